#ifndef LUNA_NET_PMD_STEERING_H_
#define LUNA_NET_PMD_STEERING_H_

// SteeredDevice: several queues on a device that has one, by software (memif, ring, TAP, packet sockets). What a NIC
// would do with flow rules, the thread that polls the device does with a table: so workers that share nothing run on
// any device, one PacketIo each.
//
//   auto device = SteeredDevice::Create(io, {.queues = 4, .client_ranges = SplitRange(61440, 65535, 4)});
//   (*device)->queue(0)                  // for the thread that polls `io`
//   (*device)->queue(1) … (*device)->queue(3)
//
// Whose is a frame (LUNA §7.1). TCP to a port of a client range: the queue whose range it is, so a worker that connects
// from its own range gets the answers. TCP to any other port, and to listening ones: a hash of the peer's address and
// port. (The paper's NIC takes the low bits of the port; Linux gives connections ports of one parity, so that half of
// the queues would get none.) An ICMP error: that of the segment that it quotes. ARP: everybody's, by reference (one of
// them is to answer: ip::ArpConfig::defends). All else: queue 0's.
//
// Hand-over is by bounded rings, without a lock and without a copy. A ring to a queue that is full drops, as a NIC's
// does (IoStats::rx_dropped of that queue); a ring from it refuses (tx_full). Objs travel: they are given back to the
// slab that they are of, whoever frees them.
//
// queue(0).stats() are the device's: what the others count is part of it.
//
// Threads: queue(i) belongs to one thread each. Queue 0's must keep polling: the others' frames leave with it. A thread
// that sleeps is woken when another puts something into its ring: that of queue 0 by wake_fd() beside the device's own
// descriptor, the others' by their Capabilities::poll_fd (both after PrepareToSleep()). Ownership: the device outlives
// this, and so do the slabs whose objs may lie in the rings: those of all queues' threads.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"
#include "luna/sched/ring/bell.h"
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
  // Fails when the process or the system is out of file descriptors.
  static absl::StatusOr<std::unique_ptr<SteeredDevice>> Create(PacketIo& device, const SteeringOptions& options);
  ~SteeredDevice();
  SteeredDevice(const SteeredDevice&) = delete;
  SteeredDevice& operator=(const SteeredDevice&) = delete;

  size_t queues() const { return rings_.size(); }
  PacketIo& queue(size_t i);
  // Readable when frames of the others wait while queue 0's thread sleeps.
  int wake_fd() const { return rings_[0]->bell->fd(); }
  // Connections to `port` are accepted, in all threads: it is no client's, also if it is of a client range. Any thread;
  // before anybody connects from that port.
  void AddListenPort(uint16_t port) { queue_of_port_[port].store(kByHash, std::memory_order_relaxed); }
  // What comes to `port` is that queue's, whoever sends it. Any thread.
  bool IsPortOf(size_t queue, uint16_t port) const {
    return queue_of_port_[port].load(std::memory_order_relaxed) == queue;
  }
  // The queue of a connection, whose `local` is ours. IPv4. Any thread.
  size_t QueueOf(const wire::FourTuple& tuple) const;

 private:
  using Ring = SpscRing<Packet>;
  class First;
  class Other;

  static constexpr uint8_t kByHash = 0xff;
  static constexpr size_t kEverybody = SIZE_MAX;

  struct Rings {
    Rings(size_t frames, std::unique_ptr<Bell> its_bell) : bell(std::move(its_bell)), to(frames), from(frames) {}
    const std::unique_ptr<Bell> bell;  // wakes that queue's thread
    Ring to;                           // that queue's thread receives
    Ring from;                         // and sends
    std::atomic<uint64_t> refused{0};  // frames that found `to` full; written by queue 0's thread
  };

  SteeredDevice(PacketIo& device, const SteeringOptions& options, std::vector<std::unique_ptr<Bell>> bells);
  size_t QueueOf(const Packet& packet) const;
  size_t QueueOf(uint16_t our_port, uint32_t peers_address, uint16_t peers_port) const;

  PacketIo& device_;
  std::array<std::atomic<uint8_t>, 65536> queue_of_port_;
  std::vector<std::unique_ptr<Rings>> rings_;  // of [0] only the bell is used
  std::atomic<bool> link_up_{false};
  std::vector<std::unique_ptr<PacketIo>> queues_;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_STEERING_H_
