#include "luna/net/pmd/xdp/root_test/kernel_peer.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace luna::pmd::xdp {
namespace {

constexpr int kPatienceMs = 1000;
constexpr int kBufferBytes = 64 << 20;

bool Readable(int fd, int wait_ms) {
  pollfd p{fd, POLLIN, 0};
  return poll(&p, 1, wait_ms) == 1;
}

sockaddr_in SocketAddress(wire::Ipv4Address address, uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  out.sin_addr.s_addr = htonl(address.value());
  return out;
}

void SetTimeouts(int fd) {
  const timeval patience{kPatienceMs / 1000, 0};
  PCHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
  PCHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0);
}

// Reads until `bytes` are there, an error, or the timeout.
std::string ReadExactly(int fd, size_t bytes) {
  std::string out(bytes, '\0');
  size_t got = 0;
  while (got < bytes) {
    const ssize_t n = recv(fd, out.data() + got, bytes - got, 0);
    if (n <= 0) break;
    got += static_cast<size_t>(n);
  }
  out.resize(got);
  return out;
}

uint16_t Checksum(const void* data, size_t bytes) {
  const auto* p = static_cast<const uint8_t*>(data);
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < bytes; i += 2) sum += static_cast<uint32_t>(p[i] << 8 | p[i + 1]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return htons(static_cast<uint16_t>(~sum));
}

}  // namespace

RawLink::RawLink(int ifindex) : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
  PCHECK(fd_ >= 0);
  PCHECK(setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &kBufferBytes, sizeof(kBufferBytes)) == 0);
  PCHECK(setsockopt(fd_, SOL_SOCKET, SO_SNDBUFFORCE, &kBufferBytes, sizeof(kBufferBytes)) == 0);
  sockaddr_ll link{};
  link.sll_family = AF_PACKET;
  link.sll_protocol = htons(ETH_P_ALL);
  link.sll_ifindex = ifindex;
  PCHECK(bind(fd_, reinterpret_cast<const sockaddr*>(&link), sizeof(link)) == 0);
}

RawLink::~RawLink() { close(fd_); }

bool RawLink::Send(absl::Span<const uint8_t> frame) {
  return send(fd_, frame.data(), frame.size(), MSG_DONTWAIT) == static_cast<ssize_t>(frame.size());
}

std::vector<uint8_t> RawLink::Receive(int wait_ms) {
  while (Readable(fd_, wait_ms)) {
    std::vector<uint8_t> frame(65536);
    sockaddr_ll from{};
    socklen_t length = sizeof(from);
    const ssize_t bytes =
        recvfrom(fd_, frame.data(), frame.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &length);
    if (bytes < 0 || from.sll_pkttype == PACKET_OUTGOING) continue;
    frame.resize(static_cast<size_t>(bytes));
    return frame;
  }
  return {};
}

bool Ping(wire::Ipv4Address address, uint16_t sequence) {
  const int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
  PCHECK(fd >= 0);
  icmphdr request{};
  request.type = ICMP_ECHO;
  request.un.echo.id = htons(4711);
  request.un.echo.sequence = htons(sequence);
  request.checksum = Checksum(&request, sizeof(request));
  const sockaddr_in to = SocketAddress(address, 0);
  PCHECK(sendto(fd, &request, sizeof(request), 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) > 0);
  bool answered = false;
  while (!answered && Readable(fd, kPatienceMs)) {
    struct {
      iphdr ip;  // a raw socket gives the header too; without options here
      icmphdr icmp;
    } answer{};
    const ssize_t bytes = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);
    answered = bytes == sizeof(answer) && answer.icmp.type == ICMP_ECHOREPLY &&
               answer.icmp.un.echo.sequence == request.un.echo.sequence;
  }
  close(fd);
  return answered;
}

TcpService::TcpService(wire::Ipv4Address address)
    : address_(address), fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  PCHECK(fd_ >= 0);
  SetTimeouts(fd_);
  sockaddr_in local = SocketAddress(address, 0);
  PCHECK(bind(fd_, reinterpret_cast<const sockaddr*>(&local), sizeof(local)) == 0);
  PCHECK(listen(fd_, 4) == 0);
  socklen_t length = sizeof(local);
  PCHECK(getsockname(fd_, reinterpret_cast<sockaddr*>(&local), &length) == 0);
  port_ = ntohs(local.sin_port);
}

TcpService::~TcpService() { close(fd_); }

std::string TcpService::Echo(const std::string& text) {
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  PCHECK(client >= 0);
  SetTimeouts(client);
  const sockaddr_in to = SocketAddress(address_, port_);
  std::string result;
  if (connect(client, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    result = absl::StrCat("[connect: ", std::strerror(errno), "]");
  } else {
    const int server = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (server < 0) {
      result = absl::StrCat("[accept: ", std::strerror(errno), "]");
    } else {
      SetTimeouts(server);
      PCHECK(send(client, text.data(), text.size(), MSG_NOSIGNAL) > 0);
      const std::string heard = ReadExactly(server, text.size());
      PCHECK(send(server, heard.data(), heard.size(), MSG_NOSIGNAL) >= 0);
      result = ReadExactly(client, heard.size());
      close(server);
    }
  }
  close(client);
  return result;
}

}  // namespace luna::pmd::xdp
