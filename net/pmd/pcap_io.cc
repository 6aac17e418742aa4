#include "luna/net/pmd/pcap_io.h"

#include <utility>

#include "glog/logging.h"

namespace luna::pmd {

PcapPacketIo::PcapPacketIo(PacketIo& inner, std::unique_ptr<wire::PcapWriter> writer, PcapIoOptions options)
    : ObserverPacketIo(inner), writer_(std::move(writer)), options_(options) {
  CHECK(writer_ != nullptr);
}

void PcapPacketIo::Observe(FrameDirection /*direction*/, absl::Span<const uint8_t> frame, uint32_t /*frame_bytes*/,
                           Time time) {
  // After a failed write the file may end inside a record: anything behind it would be unreadable.
  if (!status_.ok()) {
    ++pcap_stats_.write_errors;
    return;
  }
  if (options_.max_bytes != 0 && pcap_stats_.bytes + frame.size() > options_.max_bytes) {
    ++pcap_stats_.not_written;
    return;
  }
  status_ = writer_->Write((time + options_.epoch_offset).nanoseconds(), frame);
  if (!status_.ok()) {
    ++pcap_stats_.write_errors;
    return;
  }
  ++pcap_stats_.frames;
  pcap_stats_.bytes += frame.size();
}

absl::Status PcapPacketIo::Flush() {
  if (status_.ok()) status_ = writer_->Flush();
  return status_;
}

}  // namespace luna::pmd
