#ifndef LUNA_NET_PMD_PACKET_IO_H_
#define LUNA_NET_PMD_PACKET_IO_H_

// PacketIo: the NIC seam. One receive and one transmit queue of a device, driven by one thread.
//
// Implementations: net/pmd/dpdk (any DPDK port), net/pmd/xdp (AF_XDP), net/pmd:tap, net/pmd:packet_socket, and the
// fakes in net/pmd/testing. Decorators (pcap, trace, faults) are PacketIos around a PacketIo. Virtual per burst, never
// per packet. Thread: all calls from the one thread that owns the queue. Nothing here blocks.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd {

// What a queue can do; constant while it is open. Every false has a software fallback in the layer that would use it.
struct Capabilities {
  std::string name;              // for messages: "net_memif0 queue 0"
  wire::MacAddress mac;          // our address on the link
  uint32_t mtu = 1500;           // largest IP datagram
  uint32_t max_tx_segments = 1;  // slices per frame that TransmitBurst gathers; longer chains are linearised, counted
  bool tx_ip_checksum = false;   // honours TxMeta::ip_checksum
  bool tx_tcp_checksum = false;  // honours TxMeta::l4_checksum
  bool tx_tso = false;           // honours TxMeta::tso_segment_bytes
  bool tso_sum_has_length = false;  // in front of TSO the pseudo-header's sum covers the length (virtio), or not (DPDK)
  bool trust_rx_checksum = false;   // RxMeta checksum kGood may be believed
  bool tx_vlan_insert = false;      // honours TxMeta::vlan_tci
  bool rx_vlan_strip = false;       // takes 802.1Q tags off: RxMeta::vlan_tci
  int kernel_ifindex = 0;           // > 0: the kernel has this very link too (AF_XDP): neighbours come from it
  int poll_fd = -1;                 // readable when frames wait; -1 when the device can only be polled
};

// Counters of one queue, single writer (the owning thread).
struct IoStats {
  uint64_t rx_packets = 0;
  uint64_t rx_bytes = 0;
  uint64_t tx_packets = 0;
  uint64_t tx_bytes = 0;
  uint64_t rx_dropped = 0;       // seen by the device and lost: no buffer, too long, malformed
  uint64_t rx_no_buffer = 0;     // receive slots that could not be refilled because the slab is exhausted
  uint64_t tx_full = 0;          // frames refused because the transmit ring was full (the caller keeps them)
  uint64_t tx_dropped = 0;       // frames that the device will never take (too long, no buffer to linearise)
  uint64_t tx_linearised = 0;    // frames whose slices had to be copied into one
  uint64_t bytes_copied_rx = 0;  // payload bytes copied on the way in (0 where the device writes into Zbuf)
  uint64_t bytes_copied_tx = 0;  // payload bytes copied on the way out (0 where the device gathers)
};

class PacketIo {
 public:
  virtual ~PacketIo() = default;

  // Moves up to `out.size()` received frames into the front of `out` and returns how many; stamps them with `now`.
  // Slots of `out` must be empty packets. Link errors are counted, not returned. O(frames).
  virtual size_t ReceiveBurst(absl::Span<Packet> out, Time now) = 0;

  // Hands the first n of `packets` to the device and returns n; those slots are left empty. n < size means that the
  // ring is full: the caller keeps the rest and tries again. A frame the device can never send is dropped, counted, and
  // included in n. The device keeps the references until the frame has left.
  virtual size_t TransmitBurst(absl::Span<Packet> packets) = 0;

  // Returns objs of frames that have left, and does other deferred work. Called once per loop iteration and at shutdown
  // until nothing is outstanding. Returns the number of frames that the device still holds for transmission.
  virtual size_t Reclaim() = 0;

  // Frames that were moved for other queues since it was last asked: work of which the calls above say nothing.
  virtual size_t TakeForwarded() { return 0; }

  // The thread is about to sleep until poll_fd is readable, or something else happens. False: there is something to do,
  // and it must not. OnSlept() follows on true. For queues whose frames other threads put there.
  virtual bool PrepareToSleep() { return true; }
  // The loop has slept, so long: what a device does once in so many iterations may be due. Without effect by default.
  virtual void OnSlept(Duration slept) { (void)slept; }

  // False while the link has no peer (memif not connected, carrier down). Frames may be refused or lost meanwhile.
  virtual bool link_up() const = 0;

  virtual const Capabilities& capabilities() const = 0;
  virtual const IoStats& stats() const = 0;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_PACKET_IO_H_
