#include "luna/apps/runtime/kernel_icmp.h"

#include <linux/icmp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "luna/net/wire/ipv4.h"

namespace luna::apps {
namespace {

constexpr int kMessagesPerCall = 16;
// Errors are much shorter (RFC 1812 §4.3.2.3: 576 octets). A longer one is cut, and its checksum wrong.
constexpr size_t kLongestDatagram = 2048;

absl::Status Failed(const char* what, int error) {
  const std::string text = absl::StrCat(what, " for ICMP: ", std::strerror(error));
  return error == EPERM || error == EACCES ? absl::PermissionDeniedError(text) : absl::UnavailableError(text);
}

}  // namespace

absl::StatusOr<std::unique_ptr<KernelIcmp>> KernelIcmp::Open(r2c::KernelPoller& poller, Heard heard) {
  const int fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);
  if (fd < 0) return Failed("raw socket", errno);
  constexpr uint32_t kWanted = 1u << ICMP_DEST_UNREACH | 1u << ICMP_TIME_EXCEEDED | 1u << ICMP_PARAMETERPROB;
  const icmp_filter refused = {~kWanted};
  if (setsockopt(fd, SOL_RAW, ICMP_FILTER, &refused, sizeof(refused)) != 0) {
    const int error = errno;
    close(fd);
    return Failed("filter of a raw socket", error);
  }
  return Watch(fd, poller, std::move(heard));
}

absl::StatusOr<std::unique_ptr<KernelIcmp>> KernelIcmp::Watch(int fd, r2c::KernelPoller& poller, Heard heard) {
  std::unique_ptr<KernelIcmp> icmp(new KernelIcmp(fd, poller, std::move(heard)));
  if (absl::Status status = poller.Add(fd, EPOLLIN, icmp.get()); !status.ok()) return status;
  return icmp;
}

KernelIcmp::KernelIcmp(int fd, r2c::KernelPoller& poller, Heard heard)
    : fd_(fd), poller_(poller), heard_(std::move(heard)) {}

KernelIcmp::~KernelIcmp() {
  poller_.Remove(fd_).IgnoreError();
  close(fd_);
}

void KernelIcmp::OnFdReady(uint32_t) {
  std::array<uint8_t, kLongestDatagram> buffer;
  for (int i = 0; i < kMessagesPerCall; ++i) {
    const ssize_t bytes = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (bytes < 0) return;
    const absl::Span<const uint8_t> datagram(buffer.data(), static_cast<size_t>(bytes));
    wire::Ipv4Header header;
    if (wire::Parse(datagram, &header) != wire::ParseResult::kOk || header.IsFragment()) continue;
    if (const std::optional<tcp::IcmpError> error = tcp::ParseIcmpError(header.Payload(datagram))) heard_(*error);
  }
}

}  // namespace luna::apps
