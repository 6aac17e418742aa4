#ifndef LUNA_NET_PMD_DPDK_RING_PAIR_H_
#define LUNA_NET_PMD_DPDK_RING_PAIR_H_

// Port::RingPair: the rings between two ports of one process. Private to port.cc; includes no DPDK header.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/net/pmd/dpdk/port.h"

struct rte_ring;

namespace luna::pmd::dpdk {

// Lives as long as one of its ports. Its end frees the frames that nobody took.
class Port::RingPair {
 public:
  static absl::StatusOr<std::shared_ptr<RingPair>> Create(absl::string_view name, size_t queues, uint32_t entries);
  ~RingPair();

  // Makes side 0 or 1 of the pair a device of that name. The port's id, or -errno.
  int Attach(const std::string& device, int side) const;

 private:
  RingPair() = default;
  std::vector<rte_ring*> rings_[2];  // [s]: what side s receives, by queue
};

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_RING_PAIR_H_
