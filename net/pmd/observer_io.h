#ifndef LUNA_NET_PMD_OBSERVER_IO_H_
#define LUNA_NET_PMD_OBSERVER_IO_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/types/span.h"
#include "luna/net/pmd/decorator.h"
#include "luna/net/pmd/packet.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd {

enum class FrameDirection : uint8_t { kReceived, kSent };

// Base of decorators that look at every frame and change none: captures and traces.
//
// A sent frame is seen as it was handed to the device (checksums that the device shall fill in are not there yet), and
// only when the device took it; a frame that the device takes and drops is seen too. Its time is that of the
// ReceiveBurst before, since sending has no time of its own. Cost: one virtual call per frame, and a copy of what is
// shown (none of a received frame that lies in one slice). Memory grows to the largest burst, then no allocation here.
// Observe() runs in the device's thread, inside the burst. `inner` is not owned and must outlive the observer.
class ObserverPacketIo : public PacketIoDecorator {
 public:
  static constexpr size_t kWholeFrame = std::numeric_limits<size_t>::max();

  // `snap_bytes`: how much of a frame Observe wants to see.
  explicit ObserverPacketIo(PacketIo& inner, size_t snap_bytes = kWholeFrame)
      : PacketIoDecorator(inner), snap_bytes_(snap_bytes) {}

  size_t ReceiveBurst(absl::Span<Packet> out, Time now) final;
  size_t TransmitBurst(absl::Span<Packet> packets) final;

 protected:
  // `front` is the frame, or its first snap_bytes, in one piece and valid during the call; `frame_bytes` is its length.
  virtual void Observe(FrameDirection direction, absl::Span<const uint8_t> front, uint32_t frame_bytes, Time time) = 0;
  // False: frames pass at once, unseen.
  virtual bool Observing() const { return true; }

 private:
  struct Seen {
    size_t end;  // of what is shown, in bytes_
    uint32_t frame_bytes;
  };
  const size_t snap_bytes_;
  std::vector<uint8_t> bytes_;  // of one received frame, or of a burst to be sent
  std::vector<Seen> seen_;      // the frames of that burst
  Time last_now_;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_OBSERVER_IO_H_
