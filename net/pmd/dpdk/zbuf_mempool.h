#ifndef LUNA_NET_PMD_DPDK_ZBUF_MEMPOOL_H_
#define LUNA_NET_PMD_DPDK_ZBUF_MEMPOOL_H_

// ZbufMempool: a DPDK mempool that owns nothing. Its elements are the mbufs in the driver areas of a slab's objs.
//
//     zone:  | header | ctx 0: [objhdr|mbuf] | ctx 1: [objhdr|mbuf] | … | obj 0 | obj 1 | …
//                                   |                                      ^
//                                   +------------- buf_addr ---------------+
//
// A driver that gets mbufs from this pool therefore receives into Zbuf objs: get = Slab::AllocBulk, put = Free of the
// obj. The mbuf's reference and the obj's first reference are one and the same: whoever holds the mbuf owns one
// reference.
//
// An mbuf is initialised when its obj first passes through this pool (and again when another user of the driver area
// was in between); DPDK's rule that a free mbuf has refcnt 1, next null and nb_segs 1 holds from then on. AdoptMbuf
// keeps it.
//
// Since elements are not made beforehand the pool has no element list (rte_mempool_obj_iter sees none), but it does
// have the arena as its memory chunk, which is what drivers look for when they map a pool. rte_pktmbuf_clone and
// rte_pktmbuf_attach of these mbufs are not supported: DPDK finds the original by an address that is not so here.
//
// Threads: get on the slab's owner thread only (others get -EPERM; DPDK's control threads never allocate for a port of
// ours after its start). put on any thread. Exhaustion: get takes nothing, returns -ENOBUFS and is counted; it works
// again when objs are back.
//
// Lifetime: Eal, slab > this > the device's queues. When it dies every mbuf must have been put back or adopted.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "luna/mem/zbuf/slab.h"

struct rte_mempool;
struct rte_mbuf;

namespace luna::pmd::dpdk {

class ZbufMempool {
 public:
  struct Options {
    size_t obj_bytes = zbuf::kReceiveObjBytes;  // asked of the slab
    // Bytes of each obj that drivers are told of, DPDK's headroom of 128 included; 0: all, up to 65,535.
    uint16_t data_room_bytes = 0;
    int numa_node = -1;
  };

  // `slab` must outlive the pool. InvalidArgument when obj_bytes fits no class or leaves no data; ResourceExhausted
  // when DPDK has no memory for the pool's header.
  static absl::StatusOr<std::unique_ptr<ZbufMempool>> Create(zbuf::Slab& slab, const Options& options);
  ~ZbufMempool();
  ZbufMempool(const ZbufMempool&) = delete;
  ZbufMempool& operator=(const ZbufMempool&) = delete;

  rte_mempool* pool() const { return pool_; }
  zbuf::Slab& slab() const { return slab_; }
  uint16_t buffer_bytes() const { return buffer_bytes_; }

  // Gets that failed because the slab was exhausted. Owner thread.
  uint64_t exhausted() const { return exhausted_; }

  // True for the pool of any ZbufMempool.
  static bool IsZbufMempool(const rte_mempool* pool);

  // Takes the obj's reference out of `mbuf` (one segment, of any ZbufMempool): the caller owns it from here, and the
  // mbuf is in the state in which the pool expects it. Returns the first byte of the data.
  static std::byte* AdoptMbuf(rte_mbuf* mbuf);

 private:
  friend struct ZbufMempoolOps;
  ZbufMempool(zbuf::Slab& slab, const Options& options);

  int Get(void** elements, unsigned count);
  void InitialiseMbuf(rte_mbuf* mbuf, std::byte* obj) const;
  absl::Status Build(int numa_node);
  absl::Status AddArenaAsChunks();

  zbuf::Slab& slab_;
  const size_t obj_bytes_;
  const uint16_t buffer_bytes_;
  rte_mempool* pool_ = nullptr;
  size_t chunks_to_come_ = 0;  // set-up only
  uint64_t exhausted_ = 0;
};

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_ZBUF_MEMPOOL_H_
