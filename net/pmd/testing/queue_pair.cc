#include "luna/net/pmd/testing/queue_pair.h"

#include <optional>
#include <utility>

#include "luna/net/pmd/packet_util.h"

namespace luna::pmd {

class QueuePair::End final : public PacketIo {
 public:
  End(zbuf::Slab& slab, Ring& out, Ring& in, Capabilities capabilities, bool share_objs)
      : slab_(slab), out_(out), in_(in), capabilities_(std::move(capabilities)), share_objs_(share_objs) {}

  size_t ReceiveBurst(absl::Span<Packet> out, Time now) override {
    size_t n = 0;
    for (; n < out.size(); ++n) {
      Packet* frame = in_.Front();
      if (frame == nullptr) break;
      if (!Accept(*frame, out[n])) {
        ++stats_.rx_no_buffer;
        break;
      }
      in_.Pop();
      out[n].rx = {.arrival = now};
      ++stats_.rx_packets;
      stats_.rx_bytes += out[n].bytes();
    }
    return n;
  }

  size_t TransmitBurst(absl::Span<Packet> packets) override {
    for (size_t n = 0; n < packets.size(); ++n) {
      const uint32_t bytes = packets[n].bytes();
      if (bytes > MaxFrameBytes(capabilities_.mtu)) {
        packets[n] = Packet();
        ++stats_.tx_dropped;
        continue;
      }
      if (!out_.TryPush(std::move(packets[n]))) {
        stats_.tx_full += packets.size() - n;
        return n;
      }
      packets[n] = Packet();
      ++stats_.tx_packets;
      stats_.tx_bytes += bytes;
    }
    return packets.size();
  }

  size_t Reclaim() override { return 0; }
  bool link_up() const override { return true; }
  const Capabilities& capabilities() const override { return capabilities_; }
  const IoStats& stats() const override { return stats_; }

 private:
  bool Accept(Packet& frame, Packet& out) {
    if (share_objs_) {
      out.data = std::move(frame.data);
      return true;
    }
    std::optional<Packet> copy = CopyPacket(slab_, frame);
    if (!copy.has_value()) return false;
    stats_.bytes_copied_rx += copy->bytes();
    out.data = std::move(copy->data);
    return true;
  }

  zbuf::Slab& slab_;
  Ring& out_;
  Ring& in_;
  const Capabilities capabilities_;
  const bool share_objs_;
  IoStats stats_;
};

QueuePair::QueuePair(zbuf::Slab& slab_a, zbuf::Slab& slab_b, QueuePairOptions options)
    : rings_{std::make_unique<Ring>(options.frames), std::make_unique<Ring>(options.frames)} {
  Capabilities capabilities{
      .name = "pair a", .mac = wire::MacAddress({0x02, 0, 0, 0, 0, 0x0a}), .mtu = options.mtu, .max_tx_segments = 64};
  ends_[0] = std::make_unique<End>(slab_a, *rings_[0], *rings_[1], capabilities, options.share_objs);
  capabilities.name = "pair b";
  capabilities.mac = wire::MacAddress({0x02, 0, 0, 0, 0, 0x0b});
  ends_[1] = std::make_unique<End>(slab_b, *rings_[1], *rings_[0], capabilities, options.share_objs);
}

QueuePair::~QueuePair() = default;

PacketIo& QueuePair::a() { return *ends_[0]; }
PacketIo& QueuePair::b() { return *ends_[1]; }

}  // namespace luna::pmd
