#ifndef LUNA_NET_PMD_TESTING_WIRE_LANE_H_
#define LUNA_NET_PMD_TESTING_WIRE_LANE_H_

// WireLane: one direction of an in-memory wire (wire_link.h has both), with everything that a network does to frames.
//
// A frame's way, and where each knob acts:
//
//   Send ──► transmit queue ──► leaves at the line rate ──► the wire ──────────────► due ──► Take
//            queue_frames,      bits_per_second             loss, drop_nth, corrupt,
//            ring_frames                                    delay, jitter, reorder, duplicate
//
// While a frame waits in the transmit queue the lane holds the sender's references, as a NIC does: who writes into an
// obj that is still queued sees it arrive changed. When it leaves, its bytes are copied and the references freed.
//
// Deterministic: the fate of frame n is a function of (seed, n, options) alone (SeededDraws). Time is virtual.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "luna/net/pmd/packet.h"
#include "luna/net/pmd/seeded_draws.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd {

// What one direction of the wire does. The default is a perfect wire: no loss, no delay, any rate.
// Probabilities are per frame, 0 to 1, and independent of each other.
struct WireOptions {
  uint64_t seed = 1;

  double loss = 0;       // the frame leaves and never arrives
  double duplicate = 0;  // arrives twice, the second right behind the first
  double corrupt = 0;    // one bit anywhere in the frame is inverted
  double reorder = 0;    // arrives `reorder_delay` later than it would, so that frames behind overtake it

  Duration delay;   // from the frame's last bit leaving to its arrival
  Duration jitter;  // up to this much more, uniform. Jitter alone never reorders: frames wait for the ones before.
  Duration reorder_delay = Duration::Milliseconds(1);

  // Line rate over the bytes of the frame (preamble, FCS and gap are not counted); 0: instantaneous.
  uint64_t bits_per_second = 0;
  // Frames in the transmit queue (the one being sent included) beyond which a new one is dropped, as by a router with a
  // short queue; 0: no limit. Only a line rate makes a queue.
  size_t queue_frames = 0;
  // As above, but the frame is refused, so that the sender sees back-pressure as from a NIC's ring; 0: no limit.
  size_t ring_frames = 0;

  // Frames to lose for certain, by their number: the first frame sent into this direction is 0.
  std::set<uint64_t> drop_nth;
};

enum class WireFate : uint8_t {
  kCarried,    // arrived or will
  kLost,       // by `loss`
  kDropNth,    // by `drop_nth`
  kQueueFull,  // by `queue_frames`
  kCut,        // the link went down before it arrived, or was down
};
const char* WireFateName(WireFate fate);

// What happened to one frame; decided when it left (or was dropped).
struct WireEvent {
  uint64_t index = 0;  // the frame's number, from 0
  uint32_t bytes = 0;
  WireFate fate = WireFate::kCarried;
  bool duplicated = false;
  bool corrupted = false;
  bool reordered = false;
  Time sent;  // when it was handed to the lane
  Time left;  // when its last bit left; as `sent` for kQueueFull and kCut
  Time due;   // arrival; Infinite unless carried

  bool operator==(const WireEvent&) const = default;
  // "#17 1514 B sent 1.000000000 due 1.000500000 carried corrupted"
  std::string ToString() const;
};

// Frames, each under exactly one of: carried, lost, queue_full, cut (once it has left).
struct WireStats {
  uint64_t sent = 0;     // handed to the lane: the number of the next frame
  uint64_t carried = 0;  // survived the wire; duplicates count once
  uint64_t lost = 0;     // by `loss` or `drop_nth`
  uint64_t queue_full = 0;
  uint64_t cut = 0;  // by a link that is down; copies in flight included
  uint64_t duplicated = 0;
  uint64_t corrupted = 0;
  uint64_t reordered = 0;
  uint64_t taken = 0;  // copies taken by the receiver
};

class WireLane {
 public:
  // `lane` tells apart lanes with the same seed.
  WireLane(WireOptions options, uint64_t lane);

  // True when the transmit queue is at `ring_frames`.
  bool RingFull() const { return options_.ring_frames != 0 && queue_.size() >= options_.ring_frames; }
  // Takes the packet, whatever becomes of it.
  void Send(Packet packet, Time now);
  // The same for a frame whose bytes are copied already.
  void SendBytes(std::vector<uint8_t> bytes, Time now);
  // Frames in the transmit queue: those whose references the lane still holds.
  size_t queued() const { return queue_.size(); }
  // Frames on the wire, and those due that nobody took yet.
  size_t in_flight() const { return wire_.size(); }

  // Lets frames leave whose time has come by `now`.
  void Advance(Time now);
  // The next moment at which a frame leaves or is due; in the past when frames wait to be taken; Infinite when idle.
  Time NextDeadline() const;
  // The bytes of the next frame due by `now` and not yet taken, or null. Valid until the next call of anything.
  const std::vector<uint8_t>* Peek(Time now) const;
  // Removes the frame that Peek returned.
  void Take();

  // Down: everything on the wire and in the queue is lost, and all frames sent meanwhile.
  void SetUp(bool up, Time now);

  // Knobs may be turned between calls; they hold for frames that leave afterwards. The seed may not change.
  WireOptions& options() { return options_; }
  const WireOptions& options() const { return options_; }
  const WireStats& stats() const { return stats_; }

  // Keeps an event per frame from now on.
  void RecordEvents() { record_events_ = true; }
  const std::vector<WireEvent>& events() const { return events_; }

 private:
  struct Queued {
    uint64_t index;
    Time sent;
    Time leaves;
    uint32_t size;
    Packet packet;               // read when it leaves
    std::vector<uint8_t> bytes;  // or these

    WireEvent Event(WireFate fate) const;
  };

  void Enqueue(Queued frame, Time now);
  Time LeaveTime(uint64_t frame_bytes, Time now);
  void Leave(Queued frame);
  Time DueTime(const Queued& frame, bool reordered);
  void Record(const WireEvent& event);
  void CutFrame(const Queued& frame, Time now);

  WireOptions options_;
  const SeededDraws draws_;
  bool up_ = true;
  std::deque<Queued> queue_;     // ordered by `leaves`
  Time line_free_;               // when the line has sent everything queued
  uint64_t line_remainder_ = 0;  // of the division by bits_per_second, so that rounding does not add up
  // On the wire, by (due, order of leaving).
  std::map<std::pair<Time, uint64_t>, std::vector<uint8_t>> wire_;
  uint64_t next_order_ = 0;
  Time last_due_;  // of the frames that keep their order
  WireStats stats_;
  bool record_events_ = false;
  std::vector<WireEvent> events_;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_TESTING_WIRE_LANE_H_
