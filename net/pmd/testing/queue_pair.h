#ifndef LUNA_NET_PMD_TESTING_QUEUE_PAIR_H_
#define LUNA_NET_PMD_TESTING_QUEUE_PAIR_H_

// QueuePair: two PacketIos joined back to back. Lossless, in order, no time, no knobs to set: for benchmarks and for
// tests that want a link and nothing else.
//
//   QueuePair link(slab_a, slab_b);   // link.a() and link.b() are PacketIos
//
// Nothing is ever lost: a full queue refuses (tx_full), and a frame stays in the queue while the receiver's slab is
// exhausted (rx_no_buffer counts the attempts).
// Threads: each end belongs to one thread; both may be the same. Two single-producer single-consumer rings join them.
// The receiver copies a frame into its own slab and frees the sender's objs (from its thread, see mem/zbuf/slab.h).
// Ownership: the slabs must outlive the pair.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/sched/clock/time.h"
#include "luna/sched/ring/spsc_ring.h"

namespace luna::pmd {

struct QueuePairOptions {
  size_t frames = 1024;  // per direction; rounded up to a power of two
  uint32_t mtu = 9000;
  // Hands the sender's objs on instead of copying: what remains is the cost of the stack alone. Then a receiver must
  // not write into what it received (the sender may hold it for retransmission).
  bool share_objs = false;
};

class QueuePair {
 public:
  QueuePair(zbuf::Slab& slab_a, zbuf::Slab& slab_b, QueuePairOptions options = {});
  ~QueuePair();
  QueuePair(const QueuePair&) = delete;
  QueuePair& operator=(const QueuePair&) = delete;

  PacketIo& a();
  PacketIo& b();

 private:
  using Ring = SpscRing<Packet>;
  class End;

  std::array<std::unique_ptr<Ring>, 2> rings_;
  std::array<std::unique_ptr<End>, 2> ends_;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_TESTING_QUEUE_PAIR_H_
