#include "luna/net/pmd/testing/wire_link.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "luna/net/pmd/packet_util.h"
#include "luna/net/pmd/testing/nic_offload.h"

namespace luna::pmd {
namespace {

constexpr uint32_t kMaxIpBytes = 65535;

Capabilities EndCapabilities(const WireLinkOptions& options, const char* name, const wire::MacAddress& mac) {
  return {.name = name,
          .mac = mac,
          .mtu = options.mtu,
          .max_tx_segments = options.max_tx_segments,
          .tx_ip_checksum = options.checksum_offload,
          .tx_tcp_checksum = options.checksum_offload,
          .tx_tso = options.tso,
          .trust_rx_checksum = options.checksum_offload,
          .tx_vlan_insert = options.vlan_insert,
          .rx_vlan_strip = options.vlan_strip};
}

std::string DescribeLane(const char* name, const WireLane& lane) {
  const WireOptions& o = lane.options();
  const WireStats& s = lane.stats();
  return absl::StrCat(name, ": seed=", o.seed, " loss=", o.loss, " duplicate=", o.duplicate, " corrupt=", o.corrupt,
                      " reorder=", o.reorder, " delay_ns=", o.delay.nanoseconds(),
                      " jitter_ns=", o.jitter.nanoseconds(), " reorder_delay_ns=", o.reorder_delay.nanoseconds(),
                      " bits_per_second=", o.bits_per_second, " queue_frames=", o.queue_frames,
                      " ring_frames=", o.ring_frames, " drop_nth=", o.drop_nth.size(), "; sent ", s.sent, " carried ",
                      s.carried, " lost ", s.lost, " queue_full ", s.queue_full, " cut ", s.cut, "\n");
}

}  // namespace

WireLink::WireLink(zbuf::Slab& slab_a, zbuf::Slab& slab_b, WireLinkOptions options)
    : lanes_{WireLane(options.a_to_b, 0), WireLane(options.b_to_a, 1)},
      ends_{End(*this, 0, slab_a, EndCapabilities(options, "wire a", options.mac_a)),
            End(*this, 1, slab_b, EndCapabilities(options, "wire b", options.mac_b))} {}

void WireLink::Advance(Time now) {
  now_ = std::max(now_, now);
  for (WireLane& lane : lanes_) lane.Advance(now_);
}

Time WireLink::NextDeadline() const { return std::min(lanes_[0].NextDeadline(), lanes_[1].NextDeadline()); }

void WireLink::SetUp(bool up) {
  up_ = up;
  for (WireLane& lane : lanes_) lane.SetUp(up, now_);
}

void WireLink::RecordEvents() {
  for (WireLane& lane : lanes_) lane.RecordEvents();
}

std::string WireLink::Trace() const {
  std::string trace;
  for (size_t i = 0; i < lanes_.size(); ++i) {
    for (const WireEvent& event : lanes_[i].events()) {
      absl::StrAppend(&trace, i == 0 ? "a>b " : "b>a ", event.ToString(), "\n");
    }
  }
  return trace;
}

std::string WireLink::Describe() const {
  return absl::StrCat(DescribeLane("a>b", lanes_[0]), DescribeLane("b>a", lanes_[1]));
}

WireLink::End::End(WireLink& link, size_t index, zbuf::Slab& slab, Capabilities capabilities)
    : link_(link), index_(index), slab_(slab), capabilities_(std::move(capabilities)) {}

size_t WireLink::End::ReceiveBurst(absl::Span<Packet> out, Time now) {
  link_.Advance(now);
  size_t n = 0;
  while (n < out.size()) {
    const std::vector<uint8_t>* on_wire = in_lane().Peek(now);
    if (on_wire == nullptr) break;
    std::vector<uint8_t> frame = *on_wire;
    RxMeta meta;
    if (capabilities_.trust_rx_checksum) meta = JudgeChecksums(frame);
    if (capabilities_.rx_vlan_strip) meta.vlan_tci = StripVlan(frame);
    std::optional<Packet> packet = MakePacket(slab_, absl::MakeConstSpan(frame));
    in_lane().Take();
    if (!packet.has_value()) {
      ++stats_.rx_no_buffer;
      ++stats_.rx_dropped;
      continue;
    }
    packet->rx = meta;
    packet->rx.arrival = now;
    ++stats_.rx_packets;
    stats_.rx_bytes += packet->bytes();
    stats_.bytes_copied_rx += packet->bytes();
    out[n++] = *std::move(packet);
  }
  return n;
}

bool WireLink::End::Sendable(Packet& packet) {
  const bool cut = capabilities_.tx_tso && packet.tx.tso_segment_bytes > 0;
  const uint32_t limit = cut ? kMaxIpBytes : capabilities_.mtu;
  return packet.bytes() >= kMinLinkHeaderBytes && packet.bytes() <= MaxFrameBytes(limit) &&
         FitToSegments(packet, capabilities_.max_tx_segments, slab_, stats_);
}

void WireLink::End::Send(Packet packet) {
  const TxMeta& tx = packet.tx;
  if (!tx.ip_checksum && !tx.l4_checksum && tx.tso_segment_bytes == 0 && tx.vlan_tci == 0) {
    return out_lane().Send(std::move(packet), link_.now_);
  }
  CHECK(!tx.ip_checksum || capabilities_.tx_ip_checksum) << "asked for what the device does not offer";
  CHECK(!tx.l4_checksum || capabilities_.tx_tcp_checksum) << "asked for what the device does not offer";
  CHECK(tx.tso_segment_bytes == 0 || capabilities_.tx_tso) << "asked for what the device does not offer";
  CHECK(tx.vlan_tci == 0 || capabilities_.tx_vlan_insert) << "asked for what the device does not offer";
  for (std::vector<uint8_t>& frame : ApplyTxOffload(ToBytes(packet), tx)) {
    out_lane().SendBytes(std::move(frame), link_.now_);
  }
}

size_t WireLink::End::TransmitBurst(absl::Span<Packet> packets) {
  size_t n = 0;
  for (; n < packets.size(); ++n) {
    if (out_lane().RingFull()) {
      stats_.tx_full += packets.size() - n;
      break;
    }
    Packet packet = std::exchange(packets[n], Packet());
    if (!Sendable(packet)) {
      ++stats_.tx_dropped;
      continue;
    }
    ++stats_.tx_packets;
    stats_.tx_bytes += packet.bytes();
    stats_.bytes_copied_tx += packet.bytes();
    Send(std::move(packet));
  }
  return n;
}

size_t WireLink::End::Reclaim() {
  out_lane().Advance(link_.now_);
  return out_lane().queued();
}

}  // namespace luna::pmd
