#include "luna/net/pmd/dpdk/queue.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
// clang-format on

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "glog/logging.h"

namespace luna::pmd::dpdk {
namespace {

constexpr uint32_t kEthernetHeaderBytes = 14;
constexpr uint32_t kLinkEvery = 64;
constexpr uint64_t kDeviceCountersEvery = 1 << 14;

ChecksumStatus FromFlags(uint64_t flags, uint64_t mask, uint64_t good, uint64_t bad) {
  const uint64_t value = flags & mask;
  return value == good ? ChecksumStatus::kGood : value == bad ? ChecksumStatus::kBad : ChecksumStatus::kUnknown;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Queue>> Queue::Create(QueueConfig config) {
  std::unique_ptr<Queue> queue(new Queue(std::move(config)));
  if (queue->config_.mode == BufferMode::kZbuf) {
    absl::StatusOr<TxPool::Ptr> pool = TxPool::Create(*queue->config_.slab, queue->config_.tx_mbufs);
    if (!pool.ok()) return pool.status();
    queue->tx_pool_ = *std::move(pool);
  }
  return queue;
}

Queue::~Queue() { rte_mempool_free(config_.copy_pool); }

// --- Receive.

size_t Queue::ReceiveBurst(absl::Span<Packet> out, Time now) {
  if (!BeginBurst()) [[unlikely]]
    return 0;
  const size_t taken = TakeBurst(out, now);
  EndBurst();
  if (config_.zbuf_pool != nullptr) stats_.rx_no_buffer = config_.zbuf_pool->exhausted();
  return taken;
}

size_t Queue::TakeBurst(absl::Span<Packet> out, Time now) {
  size_t taken = 0;
  while (taken < out.size()) {
    std::array<rte_mbuf*, kBurst> mbufs;
    const uint16_t want = static_cast<uint16_t>(std::min(out.size() - taken, kBurst));
    const uint16_t got = rte_eth_rx_burst(config_.port, config_.queue, mbufs.data(), want);
    for (uint16_t i = 0; i < got; ++i) {
      Packet& packet = out[taken];
      DCHECK(packet.data.empty());
      if (!ToPacket(mbufs[i], packet)) continue;
      packet.rx.arrival = now;
      ++stats_.rx_packets;
      stats_.rx_bytes += packet.bytes();
      ++taken;
    }
    if (got < want) break;
  }
  return taken;
}

bool Queue::ToPacket(rte_mbuf* mbuf, Packet& packet) {
  packet.rx = RxMeta{};
  packet.tx = TxMeta{};
  TakeMeta(*mbuf, packet.rx);
  const bool taken = config_.mode == BufferMode::kZbuf ? AdoptSegments(mbuf, packet) : CopyIn(mbuf, packet);
  if (!taken) ++stats_.rx_dropped;
  return taken;
}

bool Queue::AdoptSegments(rte_mbuf* mbuf, Packet& packet) {
  const rte_mempool* own = config_.zbuf_pool->pool();
  for (rte_mbuf* segment = mbuf; segment != nullptr;) {
    rte_mbuf* next = segment->next;
    const uint32_t bytes = segment->data_len;
    std::byte* data;
    if (segment->pool == own || ZbufMempool::IsZbufMempool(segment->pool)) [[likely]] {
      data = ZbufMempool::AdoptMbuf(segment);
    } else if (TxPool::IsTxPool(segment->pool)) {
      data = TxPool::Settle(segment);
    } else {
      if (segment == mbuf) return CopyIn(mbuf, packet);
      // Partly ours, partly not: nobody sends this, and it is not worth a third path.
      rte_pktmbuf_free(segment);
      packet.data.Clear();
      return false;
    }
    packet.data.Append(zbuf::ZRef::Adopt(data), bytes);
    segment = next;
  }
  return !packet.data.empty();
}

bool Queue::CopyIn(rte_mbuf* mbuf, Packet& packet) {
  const uint32_t bytes = mbuf->pkt_len;
  std::byte* obj = bytes == 0 ? nullptr : config_.slab->Alloc(RTE_PKTMBUF_HEADROOM + bytes);
  if (obj == nullptr) {
    if (bytes != 0) ++stats_.rx_no_buffer;
    rte_pktmbuf_free(mbuf);
    return false;
  }
  std::byte* data = obj + RTE_PKTMBUF_HEADROOM;
  uint32_t copied = 0;
  for (const rte_mbuf* segment = mbuf; segment != nullptr; segment = segment->next) {
    // The lengths come from a driver that may have read them from shared memory.
    const uint32_t n = std::min<uint32_t>(segment->data_len, bytes - copied);
    memcpy(data + copied, rte_pktmbuf_mtod(segment, const std::byte*), n);
    copied += n;
  }
  rte_pktmbuf_free(mbuf);
  if (copied == 0) {
    config_.slab->Free(obj);
    return false;
  }
  stats_.bytes_copied_rx += copied;
  packet.data.Append(zbuf::ZRef::Adopt(data), copied);
  return true;
}

void Queue::TakeMeta(const rte_mbuf& mbuf, RxMeta& meta) const {
  const uint64_t flags = mbuf.ol_flags;
  // net_ring delivers the sender's mbuf: its flags are requests, not findings.
  if (flags == 0 || !config_.capabilities.trust_rx_checksum) return;
  if (flags & RTE_MBUF_F_RX_VLAN_STRIPPED) meta.vlan_tci = mbuf.vlan_tci;
  if (flags & RTE_MBUF_F_RX_RSS_HASH) meta.rss_hash = mbuf.hash.rss;
  meta.ip_checksum =
      FromFlags(flags, RTE_MBUF_F_RX_IP_CKSUM_MASK, RTE_MBUF_F_RX_IP_CKSUM_GOOD, RTE_MBUF_F_RX_IP_CKSUM_BAD);
  meta.l4_checksum =
      FromFlags(flags, RTE_MBUF_F_RX_L4_CKSUM_MASK, RTE_MBUF_F_RX_L4_CKSUM_GOOD, RTE_MBUF_F_RX_L4_CKSUM_BAD);
}

void Queue::DiscardReceived() {
  std::array<rte_mbuf*, kBurst> mbufs;
  while (const uint16_t got = rte_eth_rx_burst(config_.port, config_.queue, mbufs.data(), kBurst)) {
    rte_pktmbuf_free_bulk(mbufs.data(), got);
  }
}

// --- Transmit.

size_t Queue::TransmitBurst(absl::Span<Packet> packets) {
  size_t done = 0;
  if (!packets.empty() && BeginBurst()) [[likely]] {
    done = GiveBurst(packets);
    EndBurst();
  }
  stats_.tx_full += packets.size() - done;
  return done;
}

size_t Queue::GiveBurst(absl::Span<Packet> packets) {
  size_t done = 0;
  Verdict verdict = Verdict::kReady;
  while (done < packets.size() && verdict != Verdict::kNoRoom) {
    std::array<rte_mbuf*, kBurst> mbufs;
    size_t built = 0;
    offloads_requested_ = false;
    verdict = Verdict::kReady;
    while (built < kBurst && done + built < packets.size() && verdict == Verdict::kReady) {
      verdict = Prepare(packets[done + built], &mbufs[built]);
      if (verdict == Verdict::kReady) ++built;
    }
    // Drivers that compute checksums may want the headers touched up first, and say no to what they cannot.
    const size_t fit = offloads_requested_ ? PrepareOffloads(absl::MakeSpan(mbufs.data(), built)) : built;
    const size_t sent = fit == 0 ? 0 : rte_eth_tx_burst(config_.port, config_.queue, mbufs.data(), fit);
    for (size_t i = 0; i < sent; ++i) Accepted(packets[done + i]);
    for (size_t i = sent; i < built; ++i) Refused(mbufs[i]);
    done += sent;
    if (sent < fit) break;
    // Everything in front of it has left, so the turn of the one that can never go has come.
    if (fit < built || verdict == Verdict::kNever) Drop(packets[done++]);
    if (fit < built) verdict = Verdict::kReady;
  }
  return done;
}

Queue::Verdict Queue::Prepare(Packet& packet, rte_mbuf** head) {
  const uint32_t limit =
      packet.tx.tso_segment_bytes != 0 && config_.capabilities.tx_tso ? 65535 : config_.max_frame_bytes;
  if (packet.bytes() < kEthernetHeaderBytes || packet.bytes() > limit) return Verdict::kNever;
  if (config_.mode == BufferMode::kCopy) return CopyOut(packet, head);
  if (!FitsDevice(packet)) return Verdict::kNever;
  return Gather(packet, head);
}

bool Queue::FitsDevice(Packet& packet) {
  if (packet.data.slice_count() <= config_.capabilities.max_tx_segments) return true;
  const uint32_t bytes = packet.bytes();
  if (!packet.data.Linearise(*config_.slab)) return false;
  ++stats_.tx_linearised;
  stats_.bytes_copied_tx += bytes;
  return true;
}

Queue::Verdict Queue::Gather(const Packet& packet, rte_mbuf** head) {
  rte_mbuf* tail = nullptr;
  for (const zbuf::ZSlice& slice : packet.data) {
    // At most 65,535 bytes: a slice is no longer than its frame.
    rte_mbuf* mbuf = tx_pool_->Take(slice.data(), static_cast<uint16_t>(slice.length));
    if (mbuf == nullptr) [[unlikely]] {
      if (tail != nullptr) tx_pool_->PutBack(*head);
      return Verdict::kNoRoom;
    }
    if (tail == nullptr) {
      *head = mbuf;
    } else {
      tail->next = mbuf;
    }
    tail = mbuf;
  }
  (*head)->nb_segs = static_cast<uint16_t>(packet.data.slice_count());
  (*head)->pkt_len = packet.bytes();
  SetOffloads(packet.tx, *head);
  return Verdict::kReady;
}

Queue::Verdict Queue::CopyOut(const Packet& packet, rte_mbuf** head) {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(config_.copy_pool);
  if (mbuf == nullptr) return Verdict::kNoRoom;
  char* to = rte_pktmbuf_append(mbuf, static_cast<uint16_t>(packet.bytes()));
  if (to == nullptr) {
    rte_pktmbuf_free(mbuf);
    return Verdict::kNever;
  }
  packet.data.CopyTo(absl::MakeSpan(reinterpret_cast<std::byte*>(to), packet.bytes()));
  SetOffloads(packet.tx, mbuf);
  *head = mbuf;
  return Verdict::kReady;
}

void Queue::SetOffloads(const TxMeta& tx, rte_mbuf* head) {
  uint64_t flags = 0;
  if (tx.ip_checksum && config_.capabilities.tx_ip_checksum) flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
  if (tx.l4_checksum && config_.capabilities.tx_tcp_checksum) flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
  if (tx.tso_segment_bytes != 0 && config_.capabilities.tx_tso) {
    flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG;
    head->tso_segsz = tx.tso_segment_bytes;
  }
  if (tx.vlan_tci != 0 && config_.capabilities.tx_vlan_insert) {
    flags |= RTE_MBUF_F_TX_VLAN;
    head->vlan_tci = tx.vlan_tci;
  }
  if (flags == 0) return;
  head->ol_flags |= flags;
  head->l2_len = tx.l2_bytes;
  head->l3_len = tx.l3_bytes;
  head->l4_len = tx.l4_bytes;
  offloads_requested_ = true;
}

size_t Queue::PrepareOffloads(absl::Span<rte_mbuf*> mbufs) {
  return rte_eth_tx_prepare(config_.port, config_.queue, mbufs.data(), static_cast<uint16_t>(mbufs.size()));
}

void Queue::Accepted(Packet& packet) {
  const uint32_t bytes = packet.bytes();
  ++stats_.tx_packets;
  stats_.tx_bytes += bytes;
  if (config_.mode == BufferMode::kCopy) {
    stats_.bytes_copied_tx += bytes;
    if (packet.data.slice_count() > 1) ++stats_.tx_linearised;
    packet.data.Clear();
    return;
  }
  // The device has the references now, and may have given them back already: only forget them.
  while (!packet.data.empty()) (void)packet.data.PopFront().ref.release();
}

void Queue::Refused(rte_mbuf* head) {
  if (config_.mode == BufferMode::kCopy) {
    rte_pktmbuf_free(head);
  } else {
    tx_pool_->PutBack(head);
  }
}

void Queue::Drop(Packet& packet) {
  ++stats_.tx_dropped;
  packet.data.Clear();
}

size_t Queue::Reclaim() {
  if (config_.queue == 0) config_.starter->Keep(link_up());
  if (config_.queue == 0 && ++reclaims_ % kDeviceCountersEvery == 0) ReadDeviceCounters();
  if (config_.mode == BufferMode::kCopy) return 0;
  uint32_t outstanding = tx_pool_->Outstanding();
  if (outstanding != 0 && can_tx_done_cleanup_) {
    can_tx_done_cleanup_ = rte_eth_tx_done_cleanup(config_.port, config_.queue, 0) >= 0;
    outstanding = tx_pool_->Outstanding();
  }
  return outstanding;
}

// Rarely: on a physical device this reads registers.
void Queue::ReadDeviceCounters() {
  rte_eth_stats device;
  if (rte_eth_stats_get(config_.port, &device) != 0) return;
  const uint64_t missed = device.imissed + device.ierrors;
  if (missed > rx_missed_) stats_.rx_dropped += missed - rx_missed_;
  rx_missed_ = missed;
}

void Queue::OnSlept(Duration slept) {
  link_asked_ = 0;
  if (config_.queue == 0) config_.starter->OnSlept(slept);
}

bool Queue::link_up() const {
  if (link_asked_++ % kLinkEvery == 0) {
    rte_eth_link link{};
    link_up_ = rte_eth_link_get_nowait(config_.port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
  }
  return link_up_;
}

}  // namespace luna::pmd::dpdk
