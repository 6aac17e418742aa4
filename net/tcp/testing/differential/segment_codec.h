#ifndef LUNA_NET_TCP_TESTING_DIFFERENTIAL_SEGMENT_CODEC_H_
#define LUNA_NET_TCP_TESTING_DIFFERENTIAL_SEGMENT_CODEC_H_

// Between a peer's events and packets, and between a host's packets and the lines that are compared.
//
// A line has what two hosts must agree on: flags, numbers relative to each side's SYN, octets of payload (and whether
// they are the right ones), SACK blocks as a set with the duplicate one apart, which options a SYN has, and whether the
// window is zero. It has no window's size, no TSval, no time, and a FIN of the peer's is no number of a SACK block: one
// host reports octets only, the other all numbers. One thread.

#include <cstdint>
#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "luna/net/tcp/testing/differential/event.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/tcp_options.h"

namespace luna::tcp::differential {

class SegmentCodec {
 public:
  SegmentCodec(const wire::Endpoint& host, const wire::Endpoint& peer, uint32_t peer_isn, bool timestamps)
      : host_(host), peer_(peer), peer_isn_(peer_isn), timestamps_(timestamps) {}

  // The peer's packet as bytes, an IPv4 header first.
  std::string Encode(const PacketEvent& packet);
  // One of the host's packets as a line: "S. 0 ack 1 mss 1460 sackOK wscale". Nothing when it is not of this
  // connection; a complaint when it is broken.
  absl::optional<std::string> Reduce(absl::string_view packet);

 private:
  std::string SackText(const wire::TcpOptions& options, uint32_t ack) const;
  // `block` without the peer's FIN at its end.
  wire::TcpSackBlock WithoutFin(wire::TcpSackBlock block) const;

  wire::Endpoint host_;
  wire::Endpoint peer_;
  uint32_t peer_isn_;
  bool timestamps_;
  std::set<uint32_t> fins_;  // where the peer said that it ends
  uint32_t host_isn_ = 0;
  uint32_t last_tsval_ = 0;     // the host's
  uint32_t next_tsval_ = 1000;  // the peer's
};

// FNV-1a, for octets that are compared and not shown.
uint32_t Fingerprint(absl::string_view bytes);

}  // namespace luna::tcp::differential

#endif  // LUNA_NET_TCP_TESTING_DIFFERENTIAL_SEGMENT_CODEC_H_
