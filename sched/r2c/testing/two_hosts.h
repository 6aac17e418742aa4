#ifndef LUNA_SCHED_R2C_TESTING_TWO_HOSTS_H_
#define LUNA_SCHED_R2C_TESTING_TWO_HOSTS_H_

// TwoHosts: two whole Luna hosts (worker, TCP, IP, ARP, memory) on one virtual clock, joined by a wire that can lose,
// delay and corrupt. Production code throughout but for the wire, the clock and the page source.
//
//   TwoHosts hosts({.wire = pmd::WireLinkOptions::Both({.seed = 7, .loss = 0.01, .delay =
//   Duration::Microseconds(20)})}); CHECK_OK(hosts.b().worker().Listen({wire::IpAddress(), 80}, server));
//   hosts.a().worker().Connect({hosts.b().address(), 80}, client);
//   EXPECT_TRUE(hosts.RunUntil([&] { return client.done; }, Duration::Seconds(5)));
//
// Host a is 10.0.0.1/24, host b 10.0.0.2/24. A run is a function of the options: it replays. An obj that is out when
// the hosts are gone fails the test (zbuf::TestSlab). With LUNA_TEST_MODEL=batch in the environment the workers of
// TwoHosts are batch-r2c, whatever the options say: a test of what all models have in common runs as several targets.

#include <functional>
#include <utility>

#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/ip/arp.h"
#include "luna/net/ip/egress.h"
#include "luna/net/ip/ingress.h"
#include "luna/net/ip/route_table.h"
#include "luna/net/ip/snapshot.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/net/pmd/testing/wire_link.h"
#include "luna/net/tcp/stack.h"
#include "luna/sched/clock/testing/fake_clock.h"
#include "luna/sched/r2c/kernel_poller.h"
#include "luna/sched/r2c/worker.h"

namespace luna::r2c {

class TestHost {
 public:
  TestHost(Clock& clock, pmd::PacketIo& io, zbuf::Slab& slab, const wire::Ipv4Prefix& address,
           const tcp::StackConfig& config, const WorkerOptions& options,
           const WorkerParts& more = {});  // what the worker has besides: poller, mailbox

  Worker& worker() { return worker_; }
  tcp::Stack& stack() { return stack_; }
  ip::Arp& arp() { return arp_; }
  ip::Ingress& ingress() { return ingress_; }
  ip::Egress& egress() { return egress_; }
  zbuf::Slab& slab() { return slab_; }
  const stats::DropCounters& drops() const { return drops_; }
  // In place of its own network's; the worker takes them with its next iteration.
  void PublishRoutes(ip::RouteTable routes) { routes_.Publish(std::move(routes)); }
  wire::IpAddress address() const { return address_.address(); }

 private:
  ip::EgressSources Sources();
  WorkerParts Parts(Clock& clock, pmd::PacketIo& io, WorkerParts parts);

  const wire::Ipv4Prefix address_;
  zbuf::Slab& slab_;
  stats::DropCounters drops_;
  ip::SnapshotBox<ip::RouteTable> routes_;
  ip::Arp arp_;
  ip::Ingress ingress_;
  ip::Egress egress_;
  tcp::Stack stack_;
  Worker worker_;
};

struct TwoHostsOptions {
  pmd::WireLinkOptions wire;
  tcp::StackConfig tcp;  // of both
  WorkerOptions worker;
  size_t memory_bytes = 16u << 20;  // per host
  Mailbox* mailbox_b = nullptr;     // that of host b's worker
};

class TwoHosts {
 public:
  explicit TwoHosts(const TwoHostsOptions& options = {});

  TestHost& a() { return a_; }
  TestHost& b() { return b_; }
  FakeClock& clock() { return clock_; }
  pmd::WireLink& link() { return link_; }

  // Iterates both workers, moving the clock to the next moment at which something happens, until `done` or `limit`.
  // Returns done().
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  // Until no connection, TIME-WAIT record, frame or timer is left, or `limit`.
  bool RunUntilQuiet(Duration limit);

 private:
  bool Step();

  FakeClock clock_;
  zbuf::TestSlab slab_a_;
  zbuf::TestSlab slab_b_;
  pmd::WireLink link_;
  TestHost a_;
  TestHost b_;
};

}  // namespace luna::r2c

#endif  // LUNA_SCHED_R2C_TESTING_TWO_HOSTS_H_
