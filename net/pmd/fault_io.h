#ifndef LUNA_NET_PMD_FAULT_IO_H_
#define LUNA_NET_PMD_FAULT_IO_H_

// FaultPacketIo: seeded faults in front of any PacketIo, so that a program can be tried on its real device as on a bad
// network. For faults on virtual time between two stacks use testing/wire_link.h.
//
// Received frames pass  device → drop → duplicate → corrupt → delay → caller;  sent frames the same way outwards.
// What frame n of a direction meets depends on (seed, direction, n) only, so a run with the same traffic repeats
// exactly.
//
// Memory: duplicates and corrupted sent frames are copies in `slab` (a sent obj may be held by its sender for
// retransmission and is never written to). When the slab is exhausted the fault does not happen; counted as skipped.
// Cost: nothing while all rates are 0; otherwise a few draws per frame, and a burst is sent in pieces between faulted
// frames. Thread: that of the inner PacketIo, which is the slab's owner.

#include <cstddef>
#include <cstdint>
#include <map>

#include "absl/types/span.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/pmd/decorator.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/pmd/seeded_draws.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd {

// Faults of one direction. Probabilities are per frame, 0 to 1, independent of each other.
struct FaultRates {
  double drop = 0;
  double duplicate = 0;  // the copy, never corrupt, follows: at once when sent, with the next burst when received
  double corrupt = 0;    // one bit anywhere in the frame is inverted
  double delay = 0;      // held back for `delay_bursts`; frames behind overtake it
  // Received frames: calls of ReceiveBurst. Sent frames: calls of Reclaim, which a loop makes once per iteration.
  uint32_t delay_bursts = 8;

  bool AllZero() const { return !(drop > 0 || duplicate > 0 || corrupt > 0 || delay > 0); }
};

struct FaultOptions {
  uint64_t seed = 1;
  FaultRates receive;
  FaultRates transmit;
  // Frames held back per direction at most; beyond it frames are not delayed (counted as skipped).
  size_t max_held = 1024;
};

// What was done in one direction.
struct FaultStats {
  uint64_t frames = 0;  // that came by
  uint64_t dropped = 0;
  uint64_t duplicated = 0;
  uint64_t corrupted = 0;
  uint64_t delayed = 0;
  uint64_t skipped = 0;  // faults that were due and did not happen: no memory, no room
};

class FaultPacketIo final : public PacketIoDecorator {
 public:
  // `inner` and `slab` must outlive this. With transmit.corrupt > 0 the capabilities offer no checksum or segmentation
  // offload: the device would sum the corrupted bytes and so hide the fault.
  FaultPacketIo(PacketIo& inner, zbuf::Slab& slab, FaultOptions options);

  size_t ReceiveBurst(absl::Span<Packet> out, Time now) override;
  // A dropped or delayed frame counts as taken.
  size_t TransmitBurst(absl::Span<Packet> packets) override;
  // Sends delayed frames whose time has come. Those still held count as outstanding.
  size_t Reclaim() override;
  const Capabilities& capabilities() const override { return capabilities_; }

  // Changes the rates of a running device (0 everywhere ends the faults; held frames still come). transmit.corrupt
  // may rise above 0 only if it was at construction: capabilities are constant while the device is open (CHECK).
  void SetRates(const FaultRates& receive, const FaultRates& transmit);

  const FaultStats& receive_faults() const { return receive_stats_; }
  const FaultStats& transmit_faults() const { return transmit_stats_; }

 private:
  // What one frame meets.
  struct Fate {
    bool drop = false;
    bool duplicate = false;
    bool corrupt = false;
    bool delay = false;
    bool Any() const { return drop || duplicate || corrupt || delay; }
  };
  // Frames held back, by the number of the burst that they come with; in order of arrival among equals.
  using HeldFrames = std::multimap<uint64_t, Packet>;

  static Fate Decide(const FaultRates& rates, const SeededDraws& draws, uint64_t index);
  static void Corrupt(Packet& packet, const SeededDraws& draws, uint64_t index);
  // Moves held frames that are due to the front of `out`.
  size_t TakeHeldReceived(absl::Span<Packet> out, Time now);
  // Applies the fate of frame `index`; false when `packet` shall not go on to the caller now.
  bool ReceiveFaulted(Packet& packet, uint64_t index);
  // Applies `fate` to the next frame to be sent; false when the device refuses it (`packet` is unchanged then).
  bool TransmitFaulted(Packet& packet, const Fate& fate);
  bool SendOne(Packet& packet) { return inner().TransmitBurst({&packet, 1}) == 1; }

  zbuf::Slab& slab_;
  FaultOptions options_;
  const bool offload_hidden_;  // transmit.corrupt was > 0 from the start
  const Capabilities capabilities_;
  const SeededDraws receive_draws_;
  const SeededDraws transmit_draws_;
  FaultStats receive_stats_;
  FaultStats transmit_stats_;
  uint64_t receive_burst_ = 0;   // number of the current one
  uint64_t transmit_burst_ = 0;  // counts Reclaim
  HeldFrames held_received_;
  HeldFrames held_sent_;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_FAULT_IO_H_
