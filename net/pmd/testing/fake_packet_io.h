#ifndef LUNA_NET_PMD_TESTING_FAKE_PACKET_IO_H_
#define LUNA_NET_PMD_TESTING_FAKE_PACKET_IO_H_

// FakePacketIo: a NIC whose other side is the test. The test pushes the frames that arrive and pops those that were
// sent.
//
//   FakePacketIo io(memory.slab());
//   io.Push(TcpFrame({...}).Build());                     // ReceiveBurst will return it
//   std::optional<SentFrame> frame = io.PopSent();        // what TransmitBurst was given, oldest first
//
// Received frames are copied into objs of the slab at ReceiveBurst, so an exhausted slab loses them as on a NIC:
// counted (rx_dropped, rx_no_buffer). Thread: one.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <variant>
#include <vector>

#include "absl/types/span.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd {

// A frame that the code under test has sent.
struct SentFrame {
  std::vector<uint8_t> bytes;
  TxMeta tx;               // the offloads that it asked for; the fake does none of them
  size_t slice_count = 0;  // as it was handed over, before linearising
};

class FakePacketIo final : public PacketIo {
 public:
  static constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();

  // 02:00:00:00:00:02, MTU 1500, 16 segments, no offloads.
  static Capabilities DefaultCapabilities();

  // `slab` must outlive the fake.
  explicit FakePacketIo(zbuf::Slab& slab, Capabilities capabilities = DefaultCapabilities());

  // --- The test's side.

  // Appends a frame that ReceiveBurst will return, with these facts (arrival is set at ReceiveBurst).
  void Push(absl::Span<const uint8_t> frame, RxMeta meta = {});
  // The same with a packet made by the test, for shapes that Push cannot make. Handed on as it is.
  void PushPacket(Packet packet);
  // Frames pushed and not yet received.
  size_t pending() const { return incoming_.size(); }

  // The oldest frame that has left and was not popped.
  std::optional<SentFrame> PopSent();
  // All of them, bytes only.
  std::vector<std::vector<uint8_t>> PopAllSent();
  size_t sent_count() const { return sent_.size(); }

  // Knobs.

  // Frames per ReceiveBurst at most.
  void set_receive_budget(size_t frames) { receive_budget_ = frames; }
  // Pushed frames are cut into slices of this size, each in an obj of its own, as by a NIC with small buffers; 0: one
  // slice.
  void set_receive_slice_bytes(size_t bytes) { receive_slice_bytes_ = bytes; }
  // Frames that TransmitBurst takes before Reclaim (or CompleteTransmits, when held) makes room again.
  void set_transmit_ring(size_t frames) { transmit_ring_ = frames; }
  // Held: frames stay in the ring, with their references, until CompleteTransmits; PopSent sees them only then, with
  // the bytes that the objs hold by that time. Not held (the default): they leave at once.
  void set_hold_transmits(bool hold) { hold_transmits_ = hold; }
  // Lets the oldest `n` held frames leave.
  void CompleteTransmits(size_t n = kUnlimited);
  // Down: nothing is received, and TransmitBurst takes nothing (tx_full counts the frames refused).
  void set_link_up(bool up) { link_up_ = up; }
  // Change before the code under test reads them: it may take them as constant.
  Capabilities& mutable_capabilities() { return capabilities_; }
  IoStats& mutable_stats() { return stats_; }

  // How often the loop called Reclaim.
  uint64_t reclaim_calls() const { return reclaim_calls_; }

  // --- PacketIo.

  size_t ReceiveBurst(absl::Span<Packet> out, Time now) override;
  size_t TransmitBurst(absl::Span<Packet> packets) override;
  size_t Reclaim() override;
  bool link_up() const override { return link_up_; }
  const Capabilities& capabilities() const override { return capabilities_; }
  const IoStats& stats() const override { return stats_; }

 private:
  struct Incoming {
    std::variant<std::vector<uint8_t>, Packet> frame;
    RxMeta meta;
  };
  struct Held {
    Packet packet;
    size_t slice_count;
  };

  std::optional<Packet> Materialise(Incoming incoming);
  std::optional<Packet> MakeSliced(absl::Span<const uint8_t> frame);
  void Leave(const Held& held);

  zbuf::Slab& slab_;
  Capabilities capabilities_;
  IoStats stats_;
  bool link_up_ = true;
  size_t receive_budget_ = kUnlimited;
  size_t receive_slice_bytes_ = 0;
  size_t transmit_ring_ = kUnlimited;
  bool hold_transmits_ = false;
  size_t ring_used_ = 0;  // frames that left since the last Reclaim and still occupy the ring
  uint64_t reclaim_calls_ = 0;
  std::deque<Incoming> incoming_;
  std::deque<Held> held_;
  std::deque<SentFrame> sent_;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_TESTING_FAKE_PACKET_IO_H_
