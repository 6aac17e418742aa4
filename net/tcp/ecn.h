#ifndef LUNA_NET_TCP_ECN_H_
#define LUNA_NET_TCP_ECN_H_

// Ecn: explicit congestion notification of one connection (RFC 3168 §6.1): what was negotiated, what is echoed to the
// peer, and what is owed to it.
//
// Negotiation. An ECN-setup SYN has ECE and CWR, an ECN-setup SYN-ACK has ECE alone (both flags there: a middlebox that
// mirrors them). A SYN that got no answer is repeated without the flags (§6.1.1.1), because some networks drop them.
// From then on we send no ECT, but still echo what the peer's packets went through: it may have had the first SYN.
//
// Echo. A data segment that arrives with CE makes every acknowledgement carry ECE until the peer's CWR.
//
// The sender's half, CWR on new data once ECE has made the congestion window smaller, is Sender's (Plan::cwr). A value
// of four bits; owned by Connection.

#include <cstdint>

#include "luna/net/tcp/config.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp {

class Ecn {
 public:
  // --- Handshake ---
  // Flags to add to our SYN; `repeated`: it is not the first. Remembers what was offered.
  uint16_t OfferInSyn(EcnMode mode, bool repeated) {
    if (mode != EcnMode::kAlways) return 0;
    if (repeated) {
      retracted_ = true;
      return 0;
    }
    offered_ = true;
    return kSetupSyn;
  }
  // The peer's SYN, or a repetition of it, with the flags `flags`: decides what our SYN-ACK says.
  void OnSyn(uint16_t flags, EcnMode mode) { on_ = mode != EcnMode::kOff && (flags & kSetupSyn) == kSetupSyn; }
  // The peer's SYN-ACK.
  void OnSynAck(uint16_t flags) { on_ = offered_ && (flags & kSetupSyn) == wire::TcpFlags::kEce; }
  uint16_t synack_flags() const { return on_ ? wire::TcpFlags::kEce : uint16_t{0}; }

  // Both sides understand ECN.
  bool negotiated() const { return on_; }
  // New data is sent as ECT(0).
  bool sends_ect() const { return on_ && !retracted_; }

  // --- Receiving ---
  // A data segment was accepted. True when an acknowledgement should leave at once: the peer is to slow down.
  bool OnData(bool congestion_experienced, uint16_t flags) {
    if (!on_) return false;
    if (flags & wire::TcpFlags::kCwr) echo_ = false;
    if (!congestion_experienced) return false;
    const bool first = !echo_;
    echo_ = true;
    return first;
  }
  // ECE while there is something to echo; for every segment but SYN and RST.
  uint16_t echo_flags() const { return echo_ ? wire::TcpFlags::kEce : uint16_t{0}; }

 private:
  static constexpr uint16_t kSetupSyn = wire::TcpFlags::kEce | wire::TcpFlags::kCwr;

  bool offered_ : 1 = false;    // our SYN was an ECN-setup SYN
  bool retracted_ : 1 = false;  // a later copy of it was not
  bool on_ : 1 = false;
  bool echo_ : 1 = false;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_ECN_H_
