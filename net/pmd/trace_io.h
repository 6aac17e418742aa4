#ifndef LUNA_NET_PMD_TRACE_IO_H_
#define LUNA_NET_PMD_TRACE_IO_H_

// TracePacketIo: shows the frames that pass, as lines of text for people, as records in a flight recorder, or both.
//
//   TracePacketIo io(device, {.sink = [](absl::string_view line) { std::cerr << line << "\n"; }});
//   1.000250000 rx 10.0.0.1:40000 > 10.0.0.2:61441: [S] seq 1 win 64240 length 0

#include <cstdint>
#include <functional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "luna/ctrl/stats/trace_ring.h"
#include "luna/net/pmd/observer_io.h"

namespace luna::pmd {

// TraceRecord::event of the records in a ring. `a` is the frame's length in bytes. `b` is, for a TCP segment over IPv4,
// source port << 48 | destination port << 32 | sequence number, otherwise the EtherType.
enum class FrameTraceEvent : uint64_t { kReceived = 1, kSent = 2 };
// For stats::TraceToString: "rx", "tx", "?".
absl::string_view FrameTraceEventName(uint64_t event);

struct TraceIoOptions {
  // Takes one line per frame, without a line end: time in seconds, rx or tx, and the frame in tcpdump's manner.
  // Allocates and formats on the worker's thread: not for load. Null: no lines.
  std::function<void(absl::string_view line)> sink;
  // Lines after which the sink gets no more; 0: no limit.
  uint64_t max_lines = 0;
  // Gets one record per frame: tens of nanoseconds, may stay on. Must outlive the decorator; its writer is this thread.
  // Null: none.
  stats::TraceRing* ring = nullptr;
};

// See ObserverPacketIo for what is seen when.
class TracePacketIo final : public ObserverPacketIo {
 public:
  TracePacketIo(PacketIo& inner, TraceIoOptions options);

  uint64_t lines() const { return lines_; }

 private:
  void Observe(FrameDirection direction, absl::Span<const uint8_t> front, uint32_t frame_bytes, Time time) override;
  bool Observing() const override { return options_.ring != nullptr || Printing(); }
  bool Printing() const { return options_.sink && (options_.max_lines == 0 || lines_ < options_.max_lines); }

  const TraceIoOptions options_;
  uint64_t lines_ = 0;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_TRACE_IO_H_
