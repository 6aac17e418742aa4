#ifndef LUNA_NET_PMD_PCAP_IO_H_
#define LUNA_NET_PMD_PCAP_IO_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "luna/net/pmd/observer_io.h"
#include "luna/net/wire/pcap.h"

namespace luna::pmd {

struct PcapIoOptions {
  // Added to every time stamp: the wall clock's time at the epoch of the worker's clock, so that tools show dates.
  Duration epoch_offset;
  // Packet bytes after which the capture stops (the traffic goes on); 0: no limit.
  uint64_t max_bytes = 0;
};

struct PcapIoStats {
  uint64_t frames = 0;        // written
  uint64_t bytes = 0;         // of those, packet bytes
  uint64_t not_written = 0;   // frames seen after the capture stopped by max_bytes
  uint64_t write_errors = 0;  // frames lost to a failed write, the first and all after it
};

// Writes the frames of both directions to a capture file. For production too: a full disk or a broken pipe stops the
// capture and not the traffic; status() keeps the first error and the counts say what is missing.
// Writing is blocking stdio on the worker's thread: expect microseconds per frame. See ObserverPacketIo for what is
// seen when.
class PcapPacketIo final : public ObserverPacketIo {
 public:
  // `writer` takes Ethernet frames (PcapLinkType::kEthernet). Not null.
  PcapPacketIo(PacketIo& inner, std::unique_ptr<wire::PcapWriter> writer, PcapIoOptions options = {});

  // Brings what was written so far to the file. Returns status() when the capture has failed already.
  absl::Status Flush();
  // The first write error.
  const absl::Status& status() const { return status_; }
  const PcapIoStats& pcap_stats() const { return pcap_stats_; }

 private:
  void Observe(FrameDirection direction, absl::Span<const uint8_t> frame, uint32_t frame_bytes, Time time) override;

  const std::unique_ptr<wire::PcapWriter> writer_;
  const PcapIoOptions options_;
  absl::Status status_;
  PcapIoStats pcap_stats_;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_PCAP_IO_H_
