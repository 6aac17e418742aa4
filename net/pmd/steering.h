#ifndef LUNA_NET_PMD_STEERING_H_
#define LUNA_NET_PMD_STEERING_H_

// SteeredDevice: several queues on a device that has one, by software (memif, ring, TAP, packet sockets). What a NIC
// would do with flow rules, the thread that polls the device does with a table: so workers that share nothing run on
// any device, one PacketIo each.
//
//   SteeredDevice device(io, {.queues = 4, .client_ranges = SplitRange(61440, 65535, 4)});
//   device.queue(0)                  // for the thread that polls `io`
//   device.queue(1) … device.queue(3)
//
// Whose is a frame (LUNA §7.1). TCP to a port of a client range: the queue whose range it is, so a worker that connects
// from its own range gets the answers. TCP to any other port: the low bits of the peer's port, modulo the number of
// queues, as Rule::source_port_hash_bits. An ICMP error: that of the segment that it quotes. An ARP reply: everybody's,
// by reference. All else, ARP requests included: queue 0's.
//
// Hand-over is by bounded rings, without a lock and without a copy. A ring to a queue that is full drops, as a NIC's
// does (IoStats::rx_dropped of that queue); a ring from it refuses (tx_full). Objs travel: they are given back to the
// slab that they are of, whoever frees them.
//
// Threads: queue(i) belongs to one thread each. Queue 0's must keep polling: the others' frames leave with it. Where it
// sleeps, the others' frames wait; it wakes for the device alone. A thread of another queue that sleeps is woken by no
// descriptor (Capabilities::poll_fd is -1). Ownership: the device outlives this, and so
// do the slabs whose objs may lie in the rings: those of all queues' threads.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/sched/clock/time.h"
#include "luna/sched/ring/spsc_ring.h"

namespace luna::pmd {

// Ports [first, last].
struct SteeredRange {
  uint16_t first = 0;
  uint16_t last = 0;
};

// `parts` ranges that cover [first, last], the last one with what is left over. Pre: as many ports as parts.
std::vector<SteeredRange> SplitRange(uint16_t first, uint16_t last, size_t parts);

struct SteeringOptions {
  size_t queues = 1;  // 1 to 255
  // One for each queue; may be missing (then nobody connects).
  std::vector<SteeredRange> client_ranges;
  size_t ring_frames = 1024;  // per queue and direction
};

class SteeredDevice {
 public:
  SteeredDevice(PacketIo& device, const SteeringOptions& options);
  ~SteeredDevice();
  SteeredDevice(const SteeredDevice&) = delete;
  SteeredDevice& operator=(const SteeredDevice&) = delete;

  size_t queues() const { return rings_.size(); }
  PacketIo& queue(size_t i);

 private:
  using Ring = SpscRing<Packet>;
  class First;
  class Other;

  static constexpr uint8_t kByPeersPort = 0xff;
  static constexpr size_t kEverybody = SIZE_MAX;

  struct Rings {
    explicit Rings(size_t frames) : to(frames), from(frames) {}
    Ring to;                           // that queue's thread receives
    Ring from;                         // and sends
    std::atomic<uint64_t> refused{0};  // frames that found `to` full; written by queue 0's thread
  };

  size_t QueueOf(const Packet& packet) const;
  size_t QueueOfPorts(uint16_t ours, uint16_t peers) const;

  PacketIo& device_;
  std::array<uint8_t, 65536> queue_of_port_;
  std::vector<std::unique_ptr<Rings>> rings_;  // [0] is not used
  std::atomic<bool> link_up_{false};
  std::vector<std::unique_ptr<PacketIo>> queues_;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_STEERING_H_
