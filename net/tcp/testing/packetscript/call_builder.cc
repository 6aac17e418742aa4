#include "luna/net/tcp/testing/packetscript/call_builder.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "luna/net/tcp/testing/packetscript/constants.h"

namespace luna::tcp::packetscript {
namespace {

using Kind = Expression::Kind;
using testing::CallResult;

// More memory than any script has a use for.
constexpr int64_t kLargestBuffer = int64_t{256} << 20;
// What unread memory looks like.
constexpr char kPoison = '\x5e';

wire::Endpoint EndpointOf(const sockaddr_in& address) {
  return {wire::Ipv4Address(ntohl(address.sin_addr.s_addr)), ntohs(address.sin_port)};
}

sockaddr_in SockAddr(const wire::Endpoint& endpoint) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  address.sin_addr.s_addr = htonl(endpoint.address.v4().value());
  return address;
}

}  // namespace

const CallBuilder::Entry* CallBuilder::Find(absl::string_view name) {
  static constexpr Entry kEntries[] = {
      {"socket", &CallBuilder::Socket, 3},
      {"bind", &CallBuilder::Bind, 3},
      {"listen", &CallBuilder::Listen, 2},
      {"accept", &CallBuilder::Accept, 3},
      {"accept4", &CallBuilder::Accept, 4},
      {"connect", &CallBuilder::Connect, 3},
      {"close", &CallBuilder::Close, 1},
      {"shutdown", &CallBuilder::Shutdown, 2},
      {"open", &CallBuilder::Open, 1},
      {"cap_set", &CallBuilder::Nothing, 0},
      {"read", &CallBuilder::Read, 3},
      {"readv", &CallBuilder::Readv, 3},
      {"recv", &CallBuilder::Recv, 4},
      {"recvfrom", &CallBuilder::RecvFrom, 6},
      {"recvmsg", &CallBuilder::RecvMsg, 3},
      {"write", &CallBuilder::Write, 3},
      {"writev", &CallBuilder::Writev, 3},
      {"send", &CallBuilder::Send, 4},
      {"sendto", &CallBuilder::SendTo, 6},
      {"sendmsg", &CallBuilder::SendMsg, 3},
      {"sendfile", &CallBuilder::SendFile, 4},
      {"pipe", &CallBuilder::Pipe, 1},
      {"splice", &CallBuilder::Splice, 6},
      {"fcntl", &CallBuilder::Fcntl, 2},
      {"ioctl", &CallBuilder::Ioctl, 3},
      {"getsockopt", &CallBuilder::GetSockOpt, 5},
      {"setsockopt", &CallBuilder::SetSockOpt, 5},
      {"poll", &CallBuilder::Poll, 3},
      {"epoll_create", &CallBuilder::EpollCreate, 1},
      {"epoll_create1", &CallBuilder::EpollCreate, 1},
      {"epoll_ctl", &CallBuilder::EpollCtl, 4},
      {"epoll_wait", &CallBuilder::EpollWait, 4},
  };
  const auto* found =
      std::find_if(std::begin(kEntries), std::end(kEntries), [name](const Entry& e) { return name == e.name; });
  return found == std::end(kEntries) ? nullptr : found;
}

absl::StatusOr<std::unique_ptr<SystemCall>> CallBuilder::Build() {
  const Entry* entry = Find(spec_.name);
  if (entry == nullptr) return absl::InvalidArgumentError(absl::StrCat("no system call is called ", spec_.name));
  if (spec_.arguments.size() < entry->arguments) {
    return absl::InvalidArgumentError(absl::StrCat(spec_.name, "() takes ", entry->arguments, " arguments"));
  }
  (this->*entry->method)();
  if (!status_.ok()) return status_;
  return std::move(call_);
}

void CallBuilder::Fail(absl::string_view message) {
  if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(spec_.name, "(): ", message));
}

int64_t CallBuilder::NumberOf(const Expression& expression, int64_t otherwise) {
  if (expression.kind == Kind::kEllipsis) return otherwise;
  const absl::StatusOr<int64_t> value = IntegerOf(expression);
  if (!value.ok()) Fail(value.status().message());
  return value.value_or(otherwise);
}

int64_t CallBuilder::Number(size_t index, int64_t otherwise) {
  return index < spec_.arguments.size() ? NumberOf(Argument(index), otherwise) : otherwise;
}

int CallBuilder::Fd(size_t index) {
  const int fd = calls_.HostFd(Number(index));
  if (index == 0) call_->host_fd = fd;
  return fd;
}

const Expression* CallBuilder::Field(const Expression& record, absl::string_view name) {
  for (const Expression& item : record.items) {
    if (item.kind == Kind::kAssign && item.items[0].text == name) return &item.items[1];
  }
  return nullptr;
}

char* CallBuilder::Buffer(const Expression& expression, int64_t size, bool to_read) {
  if (size < 0 || size > kLargestBuffer) {
    Fail("a buffer of such a size");
    return nullptr;
  }
  // NULL; whatever else is no buffer is as bad an address.
  if (expression.kind == Kind::kWord || expression.kind == Kind::kInteger) return nullptr;
  std::string buffer(static_cast<size_t>(size), to_read ? kPoison : '\0');
  absl::optional<std::string> expected;
  if (expression.kind == Kind::kString) {
    if (to_read) {
      expected = expression.text;
    } else {
      const size_t given = std::min(buffer.size(), expression.text.size());
      std::copy_n(expression.text.begin(), given, buffer.begin());
    }
  }
  memory_->buffers.push_back(std::move(buffer));
  memory_->expected.push_back(std::move(expected));
  return memory_->buffers.back().data();
}

void CallBuilder::ReadVector(const Expression& list, bool to_read) {
  for (const Expression& item : list.items) {
    if (item.kind != Kind::kStruct || item.items.size() != 2) return Fail("an iovec is {buffer, size}");
    const int64_t size = NumberOf(item.items[1]);
    memory_->iov.push_back({Buffer(item.items[0], size, to_read), static_cast<size_t>(size)});
  }
}

sockaddr* CallBuilder::Address(size_t index, const wire::Endpoint& otherwise) {
  const Expression& argument = Argument(index);
  if (argument.kind == Kind::kWord) return nullptr;
  wire::Endpoint endpoint = otherwise;
  if (argument.kind == Kind::kStruct) {
    const Expression* family = Field(argument, "sa_family");
    const Expression* port = Field(argument, "sin_port");
    const Expression* address = Field(argument, "sin_addr");
    if (family == nullptr || !family->IsWord("AF_INET")) Fail("only AF_INET is here");
    if (port != nullptr) endpoint.port = static_cast<uint16_t>(NumberOf(*port));
    if (address != nullptr) endpoint.address = wire::Ipv4Address(static_cast<uint32_t>(NumberOf(*address)));
  }
  memory_->address = SockAddr(endpoint);
  return reinterpret_cast<sockaddr*>(&memory_->address);
}

void CallBuilder::Socket() {
  const int domain = static_cast<int>(Number(0, AF_INET));
  const int type = static_cast<int>(Number(1));
  const int protocol = static_cast<int>(Number(2));
  call_->attempt = [&host = host_, domain, type, protocol] { return host.Socket(domain, type, protocol); };
  call_->gives_fd = true;
  if (const absl::StatusOr<int64_t> fd = IntegerOf(spec_.result); fd.ok()) {
    call_->succeeded = [&flows = calls_.flows_, fd = *fd](int64_t) { flows.OnSocket(static_cast<int>(fd)); };
  }
}

void CallBuilder::Bind() {
  const int fd = Fd(0);
  sockaddr* address = Address(1, calls_.addresses_.local);
  const auto length = static_cast<socklen_t>(Number(2, sizeof(sockaddr_in)));
  call_->attempt = [&host = host_, m = memory_, fd, address, length] { return host.Bind(fd, address, length); };
}

void CallBuilder::Listen() {
  const int fd = Fd(0);
  const int backlog = static_cast<int>(Number(1));
  call_->attempt = [&host = host_, fd, backlog] { return host.Listen(fd, backlog); };
  call_->succeeded = [&host = host_, &flows = calls_.flows_, fd, script_fd = static_cast<int>(Number(0))](int64_t) {
    sockaddr_in address = {};
    socklen_t length = sizeof(address);
    const bool known = host.GetSockName(fd, reinterpret_cast<sockaddr*>(&address), &length).ok();
    flows.OnListen(script_fd, known ? absl::make_optional(EndpointOf(address)) : absl::nullopt);
  };
}

void CallBuilder::Accept() {
  const int fd = Fd(0);
  const int flags = static_cast<int>(Number(3));
  call_->attempt = [&host = host_, m = memory_, fd, flags] {
    m->length = sizeof(m->address);
    return host.Accept(fd, reinterpret_cast<sockaddr*>(&m->address), &m->length, flags);
  };
  call_->gives_fd = true;
  if (const absl::StatusOr<int64_t> new_fd = IntegerOf(spec_.result); new_fd.ok()) {
    call_->succeeded = [&flows = calls_.flows_, m = memory_, new_fd = *new_fd](int64_t) {
      flows.OnAccept(static_cast<int>(new_fd), EndpointOf(m->address));
    };
  }
}

void CallBuilder::Connect() {
  const int fd = Fd(0);
  sockaddr* address = Address(1, calls_.addresses_.remote);
  const auto length = static_cast<socklen_t>(Number(2, sizeof(sockaddr_in)));
  // Noted before the SYN leaves.
  if (address != nullptr) calls_.flows_.OnConnect(static_cast<int>(Number(0)), EndpointOf(memory_->address));
  call_->attempt = [&host = host_, m = memory_, fd, address, length] { return host.Connect(fd, address, length); };
}

void CallBuilder::Close() {
  const auto script_fd = static_cast<int>(Number(0));
  if (calls_.files_.erase(script_fd) > 0) return Nothing();
  const int fd = Fd(0);
  call_->attempt = [&host = host_, fd] { return host.Close(fd); };
  call_->succeeded = [&fds = calls_.fds_, script_fd](int64_t) { fds.erase(script_fd); };
}

void CallBuilder::Shutdown() {
  const int fd = Fd(0);
  const int how = static_cast<int>(Number(1));
  call_->attempt = [&host = host_, fd, how] { return host.Shutdown(fd, how); };
}

// A file of zeros, for sendfile().
void CallBuilder::Open() {
  const absl::StatusOr<int64_t> fd = IntegerOf(spec_.result);
  if (!fd.ok()) return Fail("a descriptor is expected");
  calls_.files_[static_cast<int>(*fd)] = 0;
  call_->attempt = [fd = *fd] { return testing::Success(fd); };
}

void CallBuilder::Nothing() {
  call_->attempt = [] { return testing::Success(); };
}

// --- SystemCalls ---

int SystemCalls::HostFd(int64_t script_fd) const {
  const auto found = fds_.find(static_cast<int>(script_fd));
  return found == fds_.end() ? -1 : found->second;
}

absl::StatusOr<std::unique_ptr<SystemCall>> SystemCalls::Prepare(const SystemCallSpec& spec) {
  return CallBuilder(*this, spec).Build();
}

absl::Status SystemCalls::Finish(const SystemCallSpec& spec, const SystemCall& call, CallResult result) {
  const std::string got = result.would_block  ? "would block"
                          : result.error == 0 ? absl::StrCat("gave ", result.value)
                                              : absl::StrCat("gave -1 ", ErrnoName(result.error));
  const auto differs = [&](absl::string_view expected) {
    return absl::FailedPreconditionError(absl::StrCat(spec.name, "() ", got, ", expected ", expected));
  };
  if (result.would_block) return differs("an answer at once");
  if (!spec.error.empty()) {
    const absl::StatusOr<int64_t> error = ConstantByName(spec.error);
    if (!error.ok()) return error.status();
    if (result.error != *error) return differs(absl::StrCat("-1 ", spec.error));
    return absl::OkStatus();
  }
  if (spec.result.kind != Kind::kEllipsis) {
    const absl::StatusOr<int64_t> expected = IntegerOf(spec.result);
    if (!expected.ok()) return expected.status();
    const bool another_fd = call.gives_fd && *expected >= 0 && result.ok();
    if (another_fd) {
      fds_[static_cast<int>(*expected)] = static_cast<int>(result.value);
    } else if (result.value != *expected) {
      return differs(absl::StrCat(*expected));
    }
  }
  if (result.ok() && call.succeeded) call.succeeded(result.value);
  return call.check ? call.check() : absl::OkStatus();
}

}  // namespace luna::tcp::packetscript
