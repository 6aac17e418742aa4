#ifndef LUNA_NET_PMD_TESTING_WIRE_LINK_H_
#define LUNA_NET_PMD_TESTING_WIRE_LINK_H_

// WireLink: an in-memory wire between two PacketIos, on virtual time, that loses, delays, reorders, duplicates and
// corrupts as told (WireOptions in wire_lane.h, per direction). For deterministic tests of whole stacks.
//
//   WireLink link(slab_a, slab_b, WireLinkOptions::Both({.seed = seed, .loss = 0.01, .delay = ms}));
//   SCOPED_TRACE(link.Describe());                        // a failure names the seed and the knobs
//   while (...) {
//     link.Advance(clock.Now());
//     Step(stack_a, link.a());  Step(stack_b, link.b());  // ReceiveBurst … TransmitBurst … Reclaim
//     clock.AdvanceTo(std::min(link.NextDeadline(), …));
//   }
//
// Frames that cross are copied into an obj of the receiver's slab, as by a NIC. When that slab is exhausted the frame
// is lost and counted (rx_dropped, rx_no_buffer), as by a NIC. Time: the link's clock is the latest of Advance(now) and
// ReceiveBurst(…, now); TransmitBurst happens at that time. Ownership: slabs must outlive the link. Destroying the link
// frees what it holds. Thread: one, for both ends.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/net/pmd/testing/wire_lane.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd {

struct WireLinkOptions {
  WireOptions a_to_b;
  WireOptions b_to_a;
  wire::MacAddress mac_a{{0x02, 0, 0, 0, 0, 0x0a}};
  wire::MacAddress mac_b{{0x02, 0, 0, 0, 0, 0x0b}};
  uint32_t mtu = 1500;            // longer frames (plus an Ethernet header and a tag) are dropped by the sender's end
  uint32_t max_tx_segments = 16;  // longer chains are linearised by the sender's end
  // The ends are NICs with offload (nic_offload.h): they fill in checksums where TxMeta asks, and judge those they
  // receive.
  bool checksum_offload = false;
  // They cut large TCP frames too. Each segment is a frame of its own on the wire.
  bool tso = false;
  bool vlan_insert = false;  // they put 802.1Q tags on
  bool vlan_strip = false;   // and take them off

  // The same knobs both ways. The two directions draw independently even with one seed.
  static WireLinkOptions Both(const WireOptions& options) { return {.a_to_b = options, .b_to_a = options}; }
};

class WireLink {
 public:
  WireLink(zbuf::Slab& slab_a, zbuf::Slab& slab_b, WireLinkOptions options = {});
  WireLink(const WireLink&) = delete;
  WireLink& operator=(const WireLink&) = delete;

  PacketIo& a() { return ends_[0]; }
  PacketIo& b() { return ends_[1]; }

  // Moves the link's clock forward to `now` (an earlier time does nothing) and lets frames leave that have to.
  void Advance(Time now);
  // The next moment at which anything happens on the wire. At or before `now` when frames wait to be received; Infinite
  // when the wire is empty.
  Time NextDeadline() const;
  // No frame queued, on its way or waiting.
  bool Idle() const { return NextDeadline().is_infinite(); }

  // Down: frames on the wire and in the queues are lost, and those sent meanwhile. Both ends see link_up() false.
  void SetUp(bool up);

  WireLane& a_to_b() { return lanes_[0]; }
  WireLane& b_to_a() { return lanes_[1]; }
  const WireLane& a_to_b() const { return lanes_[0]; }
  const WireLane& b_to_a() const { return lanes_[1]; }

  // The fate of every frame from now on, for comparing two runs and for reading after a failure.
  void RecordEvents();
  // One line per frame, "a>b #0 1514 B …", a's first. Empty without RecordEvents().
  std::string Trace() const;
  // Seeds, knobs and counts of both directions: what is needed to run it again.
  std::string Describe() const;

 private:
  class End final : public PacketIo {
   public:
    End(WireLink& link, size_t index, zbuf::Slab& slab, Capabilities capabilities);
    size_t ReceiveBurst(absl::Span<Packet> out, Time now) override;
    size_t TransmitBurst(absl::Span<Packet> packets) override;
    size_t Reclaim() override;
    bool link_up() const override { return link_.up_; }
    const Capabilities& capabilities() const override { return capabilities_; }
    const IoStats& stats() const override { return stats_; }

   private:
    WireLane& out_lane() { return link_.lanes_[index_]; }
    WireLane& in_lane() { return link_.lanes_[1 - index_]; }
    bool Sendable(Packet& packet);
    void Send(Packet packet);

    WireLink& link_;
    const size_t index_;
    zbuf::Slab& slab_;
    const Capabilities capabilities_;
    IoStats stats_;
  };

  Time now_;
  bool up_ = true;
  std::array<WireLane, 2> lanes_;  // [0]: from a to b
  std::array<End, 2> ends_;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_TESTING_WIRE_LINK_H_
