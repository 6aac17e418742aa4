#ifndef LUNA_NET_TCP_SACK_REPORT_H_
#define LUNA_NET_TCP_SACK_REPORT_H_

// SackReport: which blocks a receiver reports (RFC 2018 §4) and in which order, and D-SACK (RFC 2883).
//
// Order of the blocks: the D-SACK, once, when there is one; the block that holds the segment that came last; the blocks
// reported before it, most recent first; what room is left goes to any other blocks, lowest first. So each block is
// repeated in several acknowledgements, and the loss of one of them loses nothing.
//
// Blocks grow, merge and go while they are remembered here. So what is remembered is one number inside each: the block
// that holds it now is looked up in the reassembly queue when it is reported.
// Owned by Connection; 28 bytes. O(log blocks) per call.

#include <array>
#include <cstddef>
#include <cstdint>

#include "luna/net/tcp/reassembly.h"
#include "luna/net/tcp/seq.h"
#include "luna/net/wire/tcp_options.h"

namespace luna::tcp {

class SackReport {
 public:
  // A segment that begins at `start` was put into `queue`.
  void OnStored(SeqNum start, const Reassembly& queue);
  // [start, end) was received again: the next acknowledgement says so. Of several that wait for it, the first is told.
  void OnDuplicate(SeqNum start, SeqNum end);
  bool duplicate_waits() const { return dsack_start_ != dsack_end_; }

  // Fills in at most `room` blocks; adds to nothing that is there.
  void Fill(const Reassembly& queue, SeqNum rcv_nxt, size_t room, wire::TcpOptions* options) const;
  // The blocks of Fill() have left: a D-SACK is not repeated.
  void OnSent() { dsack_end_ = dsack_start_; }

 private:
  std::array<SeqNum, wire::TcpOptions::kMaximumSackBlocks> recent_;  // a number inside each block, most recent first
  uint8_t count_ = 0;                                                // valid entries of it
  SeqNum dsack_start_;
  SeqNum dsack_end_;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_SACK_REPORT_H_
