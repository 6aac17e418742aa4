#include "luna/net/pmd/dpdk/zbuf_mempool.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
// clang-format on

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "glog/logging.h"
#include "luna/mem/zbuf/arena.h"
#include "luna/mem/zbuf/size_class.h"
#include "luna/mem/zbuf/zone.h"
#include "luna/net/pmd/dpdk/mempool_ops.h"

namespace luna::pmd::dpdk {

static_assert(sizeof(rte_mbuf) <= zbuf::kDriverAreaBytes);
static_assert(sizeof(rte_mempool_objhdr) <= zbuf::kDriverPrefixBytes);

struct ZbufMempoolOps {
  static ZbufMempool* Self(const rte_mempool* pool) { return static_cast<ZbufMempool*>(pool->pool_data); }

  static int Dequeue(rte_mempool* pool, void** elements, unsigned count) { return Self(pool)->Get(elements, count); }

  // Any thread: Zbuf books foreign frees itself.
  static int Enqueue(rte_mempool*, void* const* elements, unsigned count) {
    for (unsigned i = 0; i < count; ++i) zbuf::Free(zbuf::ObjFromDriverArea(elements[i]));
    return 0;
  }

  // DPDK asks only for statistics.
  static unsigned Count(const rte_mempool* pool) {
    const size_t out = Self(pool)->slab().outstanding();
    return out >= pool->size ? 0 : static_cast<unsigned>(pool->size - out);
  }

  static ssize_t CalcMemSize(const rte_mempool*, uint32_t, uint32_t, size_t* min_chunk, size_t* align) {
    *min_chunk = zbuf::kZoneBytes;
    *align = zbuf::kZoneBytes;
    return zbuf::kZoneBytes;
  }

  // Makes no element: the memory becomes known as a chunk of the pool, and the last chunk makes the pool complete.
  static int Populate(rte_mempool* pool, unsigned, void*, rte_iova_t, size_t, rte_mempool_populate_obj_cb_t*, void*) {
    if (--Self(pool)->chunks_to_come_ == 0) pool->populated_size = pool->size;
    return 1;
  }

  static int Index() {
    static const int index = RegisterMempoolOps({.name = "luna_zbuf",
                                                 .enqueue = Enqueue,
                                                 .dequeue = Dequeue,
                                                 .get_count = Count,
                                                 .calc_mem_size = CalcMemSize,
                                                 .populate = Populate});
    return index;
  }
};

ZbufMempool::ZbufMempool(zbuf::Slab& slab, const Options& options)
    : slab_(slab),
      obj_bytes_(zbuf::kClassBytes[zbuf::SizeClassOf(options.obj_bytes)]),
      buffer_bytes_(static_cast<uint16_t>(
          std::min<size_t>(obj_bytes_, options.data_room_bytes == 0 ? UINT16_MAX : options.data_room_bytes))) {}

absl::StatusOr<std::unique_ptr<ZbufMempool>> ZbufMempool::Create(zbuf::Slab& slab, const Options& options) {
  if (zbuf::SizeClassOf(options.obj_bytes) == zbuf::kClassCount || options.obj_bytes <= RTE_PKTMBUF_HEADROOM) {
    return absl::InvalidArgumentError(absl::StrCat("receive objs of ", options.obj_bytes, " bytes: choose more than ",
                                                   RTE_PKTMBUF_HEADROOM, " and at most ", zbuf::kMaxObjBytes));
  }
  std::unique_ptr<ZbufMempool> pool(new ZbufMempool(slab, options));
  if (absl::Status s = pool->Build(options.numa_node); !s.ok()) return s;
  return pool;
}

absl::Status ZbufMempool::Build(int numa_node) {
  const size_t objs = slab_.arena().zone_count() * zbuf::ObjsPerZone(zbuf::SizeClassOf(obj_bytes_));
  rte_pktmbuf_pool_private data{};
  data.mbuf_data_room_size = buffer_bytes_;
  absl::StatusOr<rte_mempool*> pool =
      MakeEmptyPool("lz", static_cast<unsigned>(objs), ZbufMempoolOps::Index(), this, data, numa_node);
  if (!pool.ok()) return pool.status();
  pool_ = *pool;
  return AddArenaAsChunks();
}

absl::Status ZbufMempool::AddArenaAsChunks() {
  const zbuf::Arena& arena = slab_.arena();
  const zbuf::PageSource& source = arena.source();
  const uint64_t first = source.IoAddress(arena.base());
  bool contiguous = true;
  for (size_t zone = 1; zone < arena.zone_count(); ++zone) {
    contiguous &= source.IoAddress(arena.base() + zone * zbuf::kZoneBytes) == first + zone * zbuf::kZoneBytes;
  }
  const size_t step = contiguous ? arena.bytes() : zbuf::kZoneBytes;
  chunks_to_come_ = arena.bytes() / step;
  for (size_t offset = 0; offset < arena.bytes(); offset += step) {
    std::byte* base = arena.base() + offset;
    const int got =
        rte_mempool_populate_iova(pool_, reinterpret_cast<char*>(base), source.IoAddress(base), step, nullptr, nullptr);
    if (got != 1) {
      return absl::ResourceExhaustedError(absl::StrCat("DPDK cannot describe the receive memory (", rte_strerror(-got),
                                                       "); raise EalOptions::memory_mb"));
    }
  }
  return absl::OkStatus();
}

ZbufMempool::~ZbufMempool() { rte_mempool_free(pool_); }

bool ZbufMempool::IsZbufMempool(const rte_mempool* pool) { return pool->ops_index == ZbufMempoolOps::Index(); }

int ZbufMempool::Get(void** elements, unsigned count) {
  if (!slab_.OwnedByThisThread()) [[unlikely]]
    return -EPERM;
  std::array<std::byte*, 64> objs;
  for (unsigned done = 0; done < count;) {
    const unsigned want = std::min<unsigned>(count - done, objs.size());
    const unsigned got = static_cast<unsigned>(slab_.AllocBulk(obj_bytes_, absl::MakeSpan(objs.data(), want)));
    for (unsigned i = 0; i < got; ++i) {
      rte_mbuf* mbuf = static_cast<rte_mbuf*>(zbuf::DriverArea(objs[i]));
      // One line is touched, and the driver writes it next anyway.
      if (mbuf->pool != pool_ || mbuf->buf_addr != objs[i] || mbuf->buf_len != buffer_bytes_) [[unlikely]]
        InitialiseMbuf(mbuf, objs[i]);
      elements[done + i] = mbuf;
    }
    done += got;
    if (got < want) [[unlikely]] {
      // Drivers expect all or nothing.
      for (unsigned i = 0; i < done; ++i) zbuf::Free(zbuf::ObjFromDriverArea(elements[i]));
      ++exhausted_;
      return -ENOBUFS;
    }
  }
  return 0;
}

void ZbufMempool::InitialiseMbuf(rte_mbuf* mbuf, std::byte* obj) const {
  InitialiseFreeMbuf(mbuf, pool_);
  mbuf->buf_addr = obj;
  mbuf->buf_iova = zbuf::IoAddress(obj);
  mbuf->buf_len = buffer_bytes_;
  mbuf->data_off = RTE_PKTMBUF_HEADROOM;
}

std::byte* ZbufMempool::AdoptMbuf(rte_mbuf* mbuf) {
  DCHECK_EQ(rte_mbuf_refcnt_read(mbuf), 1) << "a cloned mbuf cannot be adopted";
  if (mbuf->next != nullptr || mbuf->nb_segs != 1) {
    mbuf->next = nullptr;
    mbuf->nb_segs = 1;
  }
  return rte_pktmbuf_mtod(mbuf, std::byte*);
}

}  // namespace luna::pmd::dpdk
