#ifndef LUNA_NET_PMD_XDP_ROOT_TEST_KERNEL_PEER_H_
#define LUNA_NET_PMD_XDP_ROOT_TEST_KERNEL_PEER_H_

// The kernel's side of a cable, for root tests: raw frames, ping and a TCP exchange. Every wait has an end.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "luna/net/wire/address.h"

namespace luna::pmd::xdp {

// All frames that the kernel sees arrive on one interface of the current namespace, and a way to send some (af_packet).
class RawLink {
 public:
  explicit RawLink(int ifindex);
  ~RawLink();
  RawLink(const RawLink&) = delete;
  RawLink& operator=(const RawLink&) = delete;

  // False when the kernel has no room just now.
  bool Send(absl::Span<const uint8_t> frame);
  // The next received frame; empty when none comes within `wait_ms`. Skips what this socket's own host sent.
  std::vector<uint8_t> Receive(int wait_ms);

 private:
  int fd_;
};

// Sends one ICMP echo request from the current namespace; true when its answer comes within a second.
bool Ping(wire::Ipv4Address address, uint16_t sequence);

// A kernel TCP listener that one connection at a time may visit. Made in the server's namespace, visited from the
// client's.
class TcpService {
 public:
  explicit TcpService(wire::Ipv4Address address);
  ~TcpService();
  TcpService(const TcpService&) = delete;
  TcpService& operator=(const TcpService&) = delete;

  uint16_t port() const { return port_; }
  // Connects from the current namespace, sends `text`, echoes it on the server's side, and returns what came back; an
  // error text in brackets when anything takes longer than a second.
  std::string Echo(const std::string& text);

 private:
  const wire::Ipv4Address address_;
  int fd_;
  uint16_t port_ = 0;
};

}  // namespace luna::pmd::xdp

#endif  // LUNA_NET_PMD_XDP_ROOT_TEST_KERNEL_PEER_H_
