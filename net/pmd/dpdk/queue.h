#ifndef LUNA_NET_PMD_DPDK_QUEUE_H_
#define LUNA_NET_PMD_DPDK_QUEUE_H_

// Queue: one receive and one transmit queue of a DPDK port as a PacketIo. Made by Port; see port.h.
//
// Receive, Zbuf mode: the mbufs that the driver filled lie in Zbuf objs; each segment becomes a slice that takes over
// the obj's reference. Segments from elsewhere (net_ring hands over the sender's own mbufs) keep their obj as well when
// they come from a Luna port of this process, and are copied otherwise. Transmit, Zbuf mode: one TxPool mbuf per slice.
// References move to the device only for frames that it accepted, so what TransmitBurst leaves behind is untouched.
// Copy mode: the driver's own mbufs on both sides, one copy each way.
//
// Bursts: drivers take at most 32 at a time here; ask for 4 or more, some vector drivers return nothing for fewer.
// Thread: the owner of the slab. Hot path: no allocation but Zbuf's, no lock, no log.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/types/span.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/pmd/dpdk/devargs.h"
#include "luna/net/pmd/dpdk/memif_gate.h"
#include "luna/net/pmd/dpdk/starter.h"
#include "luna/net/pmd/dpdk/tx_pool.h"
#include "luna/net/pmd/dpdk/zbuf_mempool.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/sched/clock/time.h"

struct rte_mbuf;
struct rte_mempool;

namespace luna::pmd::dpdk {

struct QueueConfig {
  uint16_t port = 0;
  uint16_t queue = 0;
  zbuf::Slab* slab = nullptr;
  BufferMode mode = BufferMode::kZbuf;  // never kAuto
  uint32_t max_frame_bytes = 0;         // with the Ethernet header; longer ones are dropped
  uint32_t tx_mbufs = 0;                // of the TxPool
  Capabilities capabilities;
  Starter* starter = nullptr;             // the port's; outlives the queue
  std::unique_ptr<MemifGate> memif_gate;  // of net_memif ports

  // What the driver receives into: of a ZbufMempool (kZbuf), or of DPDK's own layout (kCopy). Owned by the queue.
  std::unique_ptr<ZbufMempool> zbuf_pool;
  rte_mempool* copy_pool = nullptr;
};

class Queue final : public PacketIo {
 public:
  static absl::StatusOr<std::unique_ptr<Queue>> Create(QueueConfig config);
  // The device must be closed: it holds no mbufs of the pools. Any thread that may use the slab.
  ~Queue() override;

  size_t ReceiveBurst(absl::Span<Packet> out, Time now) override;
  size_t TransmitBurst(absl::Span<Packet> packets) override;
  // Counts mbufs, that is slices: 0 exactly when the device holds no frame.
  size_t Reclaim() override;
  void OnSlept(Duration slept) override;
  // Asks the device every 64th call. A change can be seen that late.
  bool link_up() const override;
  const Capabilities& capabilities() const override { return config_.capabilities; }
  const IoStats& stats() const override { return stats_; }

  // For Port, before it closes the device: takes in and frees what is still in the receive queue (net_ring forgets it).
  void DiscardReceived();

 private:
  static constexpr size_t kBurst = 32;

  explicit Queue(QueueConfig config) : config_(std::move(config)) {}

  // What brackets every call of the driver's burst functions. BeginBurst is false when they may not be called now.
  bool BeginBurst() {
    if (!config_.starter->started()) [[unlikely]]
      return false;
    return config_.memif_gate == nullptr || config_.memif_gate->Enter();
  }
  void EndBurst() {
    if (config_.memif_gate != nullptr) config_.memif_gate->Leave();
  }

  // Receive.
  size_t TakeBurst(absl::Span<Packet> out, Time now);
  bool ToPacket(rte_mbuf* mbuf, Packet& packet);
  bool AdoptSegments(rte_mbuf* mbuf, Packet& packet);
  bool CopyIn(rte_mbuf* mbuf, Packet& packet);
  void TakeMeta(const rte_mbuf& mbuf, RxMeta& meta) const;

  // Transmit.
  size_t GiveBurst(absl::Span<Packet> packets);
  enum class Verdict { kReady, kNever, kNoRoom };
  Verdict Prepare(Packet& packet, rte_mbuf** head);
  Verdict Gather(const Packet& packet, rte_mbuf** head);
  Verdict CopyOut(const Packet& packet, rte_mbuf** head);
  bool FitsDevice(Packet& packet);
  void SetOffloads(const TxMeta& tx, rte_mbuf* head);
  // How many from the front the device can send.
  size_t PrepareOffloads(absl::Span<rte_mbuf*> mbufs);
  void Accepted(Packet& packet);
  void Refused(rte_mbuf* head);
  void Drop(Packet& packet);

  void ReadDeviceCounters();

  QueueConfig config_;
  TxPool::Ptr tx_pool_;
  IoStats stats_;
  uint64_t reclaims_ = 0;
  uint64_t rx_missed_ = 0;  // by the device, as last read
  bool can_tx_done_cleanup_ = true;
  bool offloads_requested_ = false;  // in the burst being built
  mutable uint32_t link_asked_ = 0;
  mutable bool link_up_ = false;
};

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_QUEUE_H_
