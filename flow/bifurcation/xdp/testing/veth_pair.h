#ifndef LUNA_FLOW_BIFURCATION_XDP_TESTING_VETH_PAIR_H_
#define LUNA_FLOW_BIFURCATION_XDP_TESTING_VETH_PAIR_H_

// VethPair: two network namespaces of this process, joined by one virtual cable with a single queue at each end. For
// tests as root; touches no interface that it did not make. Nothing survives the object, or the process.
//
//   namespace "luna"                          namespace "peer"
//   luna0  10.9.0.1/24 ----- 1500 bytes ----- peer0  10.9.0.2/24
//
// The addresses and each other's neighbour entries are in the kernel; the peer's transmit offloads are off (its
// checksums are real). Thread: the one that creates it is moved between namespaces by Enter, and back home by the
// destructor.

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/net/wire/address.h"

namespace luna::bifurcation::xdp {

// Why tests that need root cannot run here; empty when they can. For GTEST_SKIP.
std::string WhyNotRoot();

// Runs a shell command in the current namespace; its output is in the error.
absl::Status Shell(const std::string& command);

class VethPair {
 public:
  struct Side {
    std::string interface;
    wire::Ipv4Address address;
    wire::MacAddress mac;
    int ifindex = 0;
    int netns_fd = -1;
  };

  // Leaves the thread in the namespace "luna".
  static absl::StatusOr<std::unique_ptr<VethPair>> Create();
  ~VethPair();
  VethPair(const VethPair&) = delete;
  VethPair& operator=(const VethPair&) = delete;

  const Side& luna() const { return luna_; }
  const Side& peer() const { return peer_; }

  // Moves the calling thread into a side's namespace. Sockets stay where they were made.
  void EnterLuna() { Enter(luna_.netns_fd); }
  void EnterPeer() { Enter(peer_.netns_fd); }

 private:
  VethPair() = default;
  static void Enter(int netns_fd);
  absl::Status Build();
  static absl::Status WaitUntilRunning(const Side& side);
  absl::Status Configure(Side& side, const Side& other);

  int home_fd_ = -1;
  Side luna_{"luna0", wire::Ipv4Address(10, 9, 0, 1), wire::MacAddress({2, 0, 0, 9, 0, 1}), 0, -1};
  Side peer_{"peer0", wire::Ipv4Address(10, 9, 0, 2), wire::MacAddress({2, 0, 0, 9, 0, 2}), 0, -1};
};

}  // namespace luna::bifurcation::xdp

#endif  // LUNA_FLOW_BIFURCATION_XDP_TESTING_VETH_PAIR_H_
