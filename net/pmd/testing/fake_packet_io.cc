#include "luna/net/pmd/testing/fake_packet_io.h"

#include <algorithm>
#include <utility>

#include "luna/net/pmd/packet_util.h"

namespace luna::pmd {

Capabilities FakePacketIo::DefaultCapabilities() {
  return {.name = "fake queue 0", .mac = wire::MacAddress({0x02, 0, 0, 0, 0, 0x02}), .max_tx_segments = 16};
}

FakePacketIo::FakePacketIo(zbuf::Slab& slab, Capabilities capabilities)
    : slab_(slab), capabilities_(std::move(capabilities)) {}

void FakePacketIo::Push(absl::Span<const uint8_t> frame, RxMeta meta) {
  incoming_.push_back({std::vector<uint8_t>(frame.begin(), frame.end()), meta});
}

void FakePacketIo::PushPacket(Packet packet) {
  const RxMeta meta = packet.rx;
  incoming_.push_back({std::move(packet), meta});
}

std::optional<SentFrame> FakePacketIo::PopSent() {
  if (sent_.empty()) return std::nullopt;
  SentFrame frame = std::move(sent_.front());
  sent_.pop_front();
  return frame;
}

std::vector<std::vector<uint8_t>> FakePacketIo::PopAllSent() {
  std::vector<std::vector<uint8_t>> all;
  while (std::optional<SentFrame> frame = PopSent()) all.push_back(std::move(frame->bytes));
  return all;
}

void FakePacketIo::CompleteTransmits(size_t n) {
  for (; n > 0 && !held_.empty(); --n) {
    Leave(held_.front());
    held_.pop_front();
  }
}

void FakePacketIo::Leave(const Held& held) {
  sent_.push_back({ToBytes(held.packet), held.packet.tx, held.slice_count});
}

std::optional<Packet> FakePacketIo::MakeSliced(absl::Span<const uint8_t> frame) {
  if (receive_slice_bytes_ == 0) return MakePacket(slab_, frame);
  Packet whole;
  while (!frame.empty()) {
    const size_t n = std::min(receive_slice_bytes_, frame.size());
    std::optional<Packet> part = MakePacket(slab_, frame.subspan(0, n));
    if (!part.has_value()) return std::nullopt;
    whole.data.Append(std::move(part->data));
    frame.remove_prefix(n);
  }
  return whole;
}

std::optional<Packet> FakePacketIo::Materialise(Incoming incoming) {
  std::optional<Packet> packet;
  if (auto* made = std::get_if<Packet>(&incoming.frame)) {
    packet = std::move(*made);
  } else {
    packet = MakeSliced(std::get<std::vector<uint8_t>>(incoming.frame));
    if (packet.has_value()) stats_.bytes_copied_rx += packet->bytes();
  }
  if (packet.has_value()) packet->rx = incoming.meta;
  return packet;
}

size_t FakePacketIo::ReceiveBurst(absl::Span<Packet> out, Time now) {
  if (!link_up_) return 0;
  const size_t budget = std::min(out.size(), receive_budget_);
  size_t n = 0;
  while (n < budget && !incoming_.empty()) {
    std::optional<Packet> packet = Materialise(std::move(incoming_.front()));
    incoming_.pop_front();
    if (!packet.has_value()) {
      ++stats_.rx_no_buffer;
      ++stats_.rx_dropped;
      continue;
    }
    packet->rx.arrival = now;
    ++stats_.rx_packets;
    stats_.rx_bytes += packet->bytes();
    out[n++] = *std::move(packet);
  }
  return n;
}

size_t FakePacketIo::TransmitBurst(absl::Span<Packet> packets) {
  size_t n = 0;
  for (; n < packets.size(); ++n) {
    if (!link_up_ || held_.size() + ring_used_ >= transmit_ring_) {
      stats_.tx_full += packets.size() - n;
      break;
    }
    Held held{std::exchange(packets[n], Packet()), 0};
    held.slice_count = held.packet.data.slice_count();
    if (held.packet.bytes() > MaxFrameBytes(capabilities_.mtu) && held.packet.tx.tso_segment_bytes == 0) {
      ++stats_.tx_dropped;
      continue;
    }
    if (!FitToSegments(held.packet, capabilities_.max_tx_segments, slab_, stats_)) {
      ++stats_.tx_dropped;
      continue;
    }
    ++stats_.tx_packets;
    stats_.tx_bytes += held.packet.bytes();
    if (hold_transmits_) {
      held_.push_back(std::move(held));
    } else {
      Leave(held);
      ++ring_used_;
    }
  }
  return n;
}

size_t FakePacketIo::Reclaim() {
  ++reclaim_calls_;
  ring_used_ = 0;
  return held_.size();
}

}  // namespace luna::pmd
