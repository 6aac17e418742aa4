#ifndef LUNA_NET_TCP_TESTING_SIMULATOR_WIRE_CHECKER_H_
#define LUNA_NET_TCP_TESTING_SIMULATOR_WIRE_CHECKER_H_

// WireChecker: holds every segment that a host emits against what no TCP may do, before the network touches it
// (CONFORMANCE F.1: S3, S4, S8, S9). It sees both ends' segments, and nothing else of them:
//
//   it parses, with a right checksum; no datagram beyond the MTU; RCV.NXT and the right edge never move left;
//   nothing is sent beyond the right edge that the other end has promised, but for a probe of one octet; nothing beyond
//   the FIN, and no gap; nothing is acknowledged that was never sent; SACK blocks tell of what was sent, ahead of the
//   acknowledgement and once; octets sent again are the same octets; a four-tuple's next SYN has another ISN.
//
// One thread. O(segment) each; keeps the octets of each direction that are not acknowledged.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp::simulator {

class WireChecker {
 public:
  // What is wrong, as a sentence.
  using Report = std::function<void(const std::string&)>;
  explicit WireChecker(Report report) : report_(std::move(report)) {}

  // `segment` leaves the host at `tuple.local`, on a link of `mtu` octets.
  void OnEmitted(const wire::FourTuple& tuple, size_t mtu, absl::Span<const uint8_t> segment);
  // The network forges: what an end believes of the other may be wrong. Only segments by themselves are judged then.
  void Distrust() { trusts_ = false; }
  // The host at `address` has lost its memory: what it sends begins anew.
  void Forget(const wire::IpAddress& address);

 private:
  // One direction of a connection, as seen where it leaves. Numbers are relative to its ISN.
  struct Flow {
    bool begun = false;
    uint32_t isn = 0;
    bool had_predecessor = false;  // another incarnation
    bool knows_peer = false;
    uint32_t peer_isn = 0;  // that its acknowledgements are about
    bool has_edge = false;
    bool has_scale = false;
    uint8_t shift = 0;
    int64_t sent = 0;          // one past the highest number sent
    int64_t fin_end = kNoFin;  // one past the FIN
    int64_t ack = 0;           // highest number acknowledged of the other direction
    int64_t edge = 0;          // promised to the other direction, relative to its ISN
    int64_t bytes_begin = 1;   // number of the first of …
    std::string bytes;         // … the octets kept
  };
  struct End {
    Flow flow;
    wire::FourTuple tuple;
    End* peer = nullptr;  // the other direction, once seen
  };
  static constexpr int64_t kNoFin = INT64_MAX;
  static constexpr size_t kKeepBytes = 64 * 1024;
  struct Segment;

  // The one that sends; O(1), and at once when it, or its peer, was the last.
  End& Find(const wire::FourTuple& tuple);
  bool Begin(const Segment& segment, Flow* flow);
  void CheckSequence(const Segment& segment, Flow* flow, const Flow& reverse);
  void CheckPayload(const Segment& segment, int64_t seq, Flow* flow);
  void CheckAck(const Segment& segment, Flow* flow, Flow* reverse);
  void CheckSack(const Segment& segment, const Flow& flow, const Flow& reverse);
  void Fail(const Segment& segment, const char* what, int64_t number, int64_t limit);

  Report report_;
  bool trusts_ = true;
  absl::flat_hash_map<wire::FourTuple, std::unique_ptr<End>> ends_;  // by the sender's tuple
  End* last_ = nullptr;
};

}  // namespace luna::tcp::simulator

#endif  // LUNA_NET_TCP_TESTING_SIMULATOR_WIRE_CHECKER_H_
