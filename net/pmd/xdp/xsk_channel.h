#ifndef LUNA_NET_PMD_XDP_XSK_CHANNEL_H_
#define LUNA_NET_PMD_XDP_XSK_CHANNEL_H_

// XskChannel: the kernel's side of one AF_XDP socket as XdpPacketIo sees it: four rings and a few system calls.
// Implemented by XskSocket, and by testing/fake_xsk for tests without privileges.
//
// Thread: the owner of the queue. Virtual per burst at most.

#include <linux/if_xdp.h>

#include <cstdint>

#include "luna/net/pmd/xdp/ring.h"

namespace luna::pmd::xdp {

// An address in a ring is an offset into the UMEM in its low 48 bits; in `rx` the high 16 hold a further offset to the
// data (unaligned chunk mode).
struct XskRings {
  ProducerRing<uint64_t> fill;        // empty receive objs to the kernel
  ConsumerRing<xdp_desc> rx;          // received frames from it
  ProducerRing<xdp_desc> tx;          // frames to send to it
  ConsumerRing<uint64_t> completion;  // what was sent, back from it
};

// xdp_desc::options, Linux 6.6: the frame goes on in the next descriptor. Older headers lack it.
inline constexpr uint32_t kPacketContinues = 1u << 0;

// What the kernel counts, since the socket was opened.
struct XskCounters {
  uint64_t rx_dropped = 0;     // no posted obj, or the frame is longer than one
  uint64_t rx_ring_full = 0;   // we were too slow
  uint64_t rx_fill_empty = 0;  // times the fill ring was found empty; those frames are in rx_dropped
  uint64_t rx_invalid = 0;     // posted addresses that the kernel refused: a bug of ours
  uint64_t tx_invalid = 0;     // descriptors that the kernel refused: a bug of ours
};

class XskChannel {
 public:
  virtual ~XskChannel() = default;

  XskRings& rings() { return rings_; }

  // Has the kernel look at the tx ring. In copy mode it sends within the call, up to a batch of its own (32 frames).
  virtual void KickTransmit() = 0;
  // Has the kernel look at the fill ring.
  virtual void KickReceive() = 0;
  virtual XskCounters ReadCounters() = 0;
  // Whether the interface is up and has a carrier.
  virtual bool LinkUp() = 0;
  // Ends the socket: when it returns the kernel reads and writes no memory of ours. The rings are gone. Idempotent.
  virtual void Close() = 0;

 protected:
  XskRings rings_;
};

}  // namespace luna::pmd::xdp

#endif  // LUNA_NET_PMD_XDP_XSK_CHANNEL_H_
