#include "luna/net/tcp/testing/differential/application.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "luna/net/tcp/testing/differential/segment_codec.h"

namespace luna::tcp::differential {
namespace {

using posix::Failure;
using posix::Success;

constexpr int kBacklog = 5;

sockaddr_in ToSockaddr(const wire::Endpoint& endpoint) {
  sockaddr_in in = {};
  in.sin_family = AF_INET;
  in.sin_port = htons(endpoint.port);
  in.sin_addr.s_addr = htonl(endpoint.address.v4().value());
  return in;
}

const sockaddr* Raw(const sockaddr_in& in) { return reinterpret_cast<const sockaddr*>(&in); }

std::string ToText(const CallResult& result) {
  if (result.would_block) return "= (blocks)";
  if (result.ok()) return absl::StrCat("= ", result.value);
  const char* name = strerrorname_np(result.error);
  return name == nullptr ? absl::StrCat("= errno ", result.error) : absl::StrCat("= ", name);
}

std::string ErrorText(const CallResult& result) {
  if (!result.ok() || result.value == 0) return ToText(result);
  return ToText(Failure(static_cast<int>(result.value)));
}

std::string PollText(const CallResult& result) {
  constexpr std::pair<int, const char*> kBits[] = {{POLLIN, " IN"},   {POLLOUT, " OUT"}, {POLLPRI, " PRI"},
                                                   {POLLERR, " ERR"}, {POLLHUP, " HUP"}, {POLLRDHUP, " RDHUP"}};
  if (!result.ok()) return ToText(result);
  std::string text = "=";
  for (const auto& [bit, name] : kBits) {
    if ((result.value & bit) != 0) absl::StrAppend(&text, name);
  }
  return text;
}

}  // namespace

CallResult Application::OpenSocket() {
  const CallResult result = system_.Socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (!result.ok()) return result;
  const sockaddr_in local = ToSockaddr(host_);
  const CallResult bound = system_.Bind(static_cast<int>(result.value), Raw(local), sizeof(local));
  return bound.ok() ? result : bound;
}

CallResult Application::Listen() {
  const CallResult result = OpenSocket();
  if (!result.ok()) return result;
  listener_ = static_cast<int>(result.value);
  return system_.Listen(listener_, kBacklog);
}

CallResult Application::Connect() {
  const sockaddr_in remote = ToSockaddr(peer_);
  if (fd_ < 0) {
    const CallResult result = OpenSocket();
    if (!result.ok()) return result;
    fd_ = static_cast<int>(result.value);
  }
  return system_.Connect(fd_, Raw(remote), sizeof(remote));
}

CallResult Application::Accept() {
  const CallResult result = system_.Accept(listener_, SOCK_NONBLOCK);
  if (!result.ok()) return result;
  fd_ = static_cast<int>(result.value);
  return Success();  // which descriptor is no matter
}

CallResult Application::Write(int64_t size, int flags) {
  std::string bytes;
  for (int64_t i = 0; i < size; ++i) bytes += HostOctet(written_ + static_cast<uint32_t>(i));
  const CallResult result = system_.Send(fd_, bytes.data(), bytes.size(), flags | MSG_NOSIGNAL);
  if (result.ok()) written_ += static_cast<uint32_t>(result.value);
  return result;
}

std::string Application::Read(int64_t size, int flags) {
  std::string bytes(static_cast<size_t>(size), '\0');
  const CallResult result = system_.Recv(fd_, bytes.data(), bytes.size(), flags);
  if (!result.ok() || result.value == 0) return ToText(result);
  const absl::string_view got(bytes.data(), static_cast<size_t>(result.value));
  return absl::StrFormat("= %d #%08x", result.value, Fingerprint(got));
}

CallResult Application::CloseFd(int* fd) { return system_.Close(std::exchange(*fd, -1)); }

CallResult Application::SetInt(int level, int name, int value) {
  return system_.SetSockOpt(fd_ >= 0 ? fd_ : listener_, level, name, &value, sizeof(value));
}

CallResult Application::Error() {
  int error = 0;
  socklen_t length = sizeof(error);
  const CallResult result = system_.GetSockOpt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
  return result.ok() ? Success(error) : result;
}

CallResult Application::Other(const CallEvent& call) {
  if (call.name == "listen") return Listen();
  if (call.name == "connect") return Connect();
  if (call.name == "accept") return Accept();
  if (call.name == "write") return Write(call.number, 0);
  if (call.name == "write-urgent") return Write(call.number, MSG_OOB);
  if (call.name == "close") return CloseFd(&fd_);
  if (call.name == "close-listener") return CloseFd(&listener_);
  if (call.name == "cork") return SetInt(IPPROTO_TCP, TCP_CORK, 1);
  if (call.name == "uncork") return SetInt(IPPROTO_TCP, TCP_CORK, 0);
  if (call.name == "receive-buffer") return SetInt(SOL_SOCKET, SO_RCVBUF, static_cast<int>(call.number));
  if (call.name == "shutdown") {
    return system_.Shutdown(fd_, call.word == "rd" ? SHUT_RD : call.word == "wr" ? SHUT_WR : SHUT_RDWR);
  }
  if (call.name == "linger-zero") {
    const linger value{.l_onoff = 1, .l_linger = 0};
    return system_.SetSockOpt(fd_, SOL_SOCKET, SO_LINGER, &value, sizeof(value));
  }
  return Failure(ENOSYS);
}

std::string Application::Do(const CallEvent& call) {
  if (call.name == "read") return Read(call.number, 0);
  if (call.name == "read-urgent") return Read(call.number, MSG_OOB);
  if (call.name == "error") return ErrorText(Error());
  if (call.name == "poll") return PollText(system_.Poll(fd_));
  return ToText(Other(call));
}

void Application::End() {
  if (fd_ >= 0) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    system_.SetSockOpt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    CloseFd(&fd_);
  }
  if (listener_ >= 0) CloseFd(&listener_);
}

}  // namespace luna::tcp::differential
