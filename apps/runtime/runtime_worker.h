#ifndef LUNA_APPS_RUNTIME_RUNTIME_WORKER_H_
#define LUNA_APPS_RUNTIME_RUNTIME_WORKER_H_

// RuntimeWorker: one worker of a Runtime, and what it has for itself: IP, TCP, kernel descriptors, mailbox, idle
// policy, counters. Workers share nothing but the arena, the device behind its queues, and the kernel's routes.
//
// Thread: that which made it, for all but mailbox().

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/apps/runtime/options.h"
#include "luna/apps/runtime/stats_line.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/ip/neighbour_table.h"
#include "luna/net/ip/route_table.h"
#include "luna/net/ip/snapshot.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/net/pmd/steering.h"
#include "luna/net/tcp/stack.h"
#include "luna/sched/clock/clock.h"
#include "luna/sched/r2c/idler.h"
#include "luna/sched/r2c/kernel_poller.h"
#include "luna/sched/r2c/mailbox.h"
#include "luna/sched/r2c/worker.h"

namespace luna::apps {

class KernelIcmp;

// The numbers that a program starts from.
tcp::StackConfig ProfileOf(const RuntimeOptions& options);

// Where a worker lives. All that is pointed at outlives it.
struct WorkerPlace {
  const RuntimeOptions* options = nullptr;
  size_t index = 0;  // of options->workers
  Clock* clock = nullptr;
  pmd::PacketIo* io = nullptr;
  zbuf::Slab* slab = nullptr;
  stats::DropCounters* drops = nullptr;
  r2c::Mailbox* mailbox = nullptr;
  std::atomic<bool>* device_memory_short = nullptr;  // r2c::WorkerParts
  const pmd::SteeredDevice* steered = nullptr;       // what shares frames out, with several workers
  std::vector<wire::Ipv4Prefix> addresses;
  // On a link that is shared with the kernel; null: ARP of our own, and the routes of the options.
  const ip::SnapshotBox<ip::RouteTable>* kernel_routes = nullptr;
  const ip::SnapshotBox<ip::NeighbourTable>* kernel_neighbours = nullptr;
  r2c::NeighbourResolver* resolver = nullptr;
  // What a listener on a port needs besides TCP. Any thread.
  std::function<absl::Status(uint16_t port)> admit;
};

class RuntimeWorker {
 public:
  // Errors name the flag that is to be mended.
  static absl::StatusOr<std::unique_ptr<RuntimeWorker>> Create(const WorkerPlace& place);
  ~RuntimeWorker();
  RuntimeWorker(const RuntimeWorker&) = delete;
  RuntimeWorker& operator=(const RuntimeWorker&) = delete;

  // Accepts connections to `port` on each of our addresses: those that this worker's queue gets. Where there are
  // several workers each is to listen: connections that fall to one that does not are refused.
  absl::Status Listen(uint16_t port, r2c::Handler& handler, const r2c::Delivery& delivery = {});
  absl::StatusOr<tcp::Connection*> Connect(const wire::Endpoint& remote, r2c::Handler& handler,
                                           const r2c::Delivery& delivery = {});
  // The answers to what this worker sends from `port` come to it.
  bool OwnsPort(uint16_t port) const;
  // What a listener on `port` needs besides TCP: rules of the device, a reservation in the kernel. For good.
  absl::Status AdmitPort(uint16_t port);

  // One iteration of the worker, and the sleep behind it if --idle says so.
  void Iterate();
  // Waits until the link has a peer, at most `limit`, or until a signal. False: it has none.
  bool WaitForLink(Duration limit);
  // Until SIGINT, SIGTERM or `done()`, which is asked after each iteration: with --idle when something happened, and at
  // least ten times a second. With `on_stop`, a signal calls it and the loop goes on until `done()`, at most --drain.
  // Then closes all connections in order.
  void RunAndDrain(const std::function<bool()>& done = nullptr, const std::function<void()>& on_stop = nullptr);

  size_t index() const { return place_.index; }
  r2c::Worker& worker() { return *worker_; }
  // For calls from other threads.
  r2c::Mailbox& mailbox() { return *place_.mailbox; }
  tcp::Stack& stack() { return *stack_; }
  zbuf::Slab& slab() { return *place_.slab; }
  Clock& clock() { return *place_.clock; }
  pmd::PacketIo& io() { return *place_.io; }
  r2c::KernelPoller& poller() { return *poller_; }
  const std::vector<wire::Ipv4Prefix>& addresses() const { return place_.addresses; }
  Duration drain_limit() const { return place_.options->drain_limit; }
  // For StatsLine().
  StatsSources stats_sources() const;

 private:
  explicit RuntimeWorker(const WorkerPlace& place);
  absl::Status InitNetwork();
  absl::Status InitTcp();
  absl::Status InitLoop();
  absl::Status HearKernelsIcmp();

  const WorkerPlace place_;
  std::unique_ptr<r2c::KernelPoller> poller_;
  std::unique_ptr<KernelIcmp> kernel_icmp_;  // on a shared link
  ip::SnapshotBox<ip::RouteTable> static_routes_;
  std::unique_ptr<ip::Arp> arp_;
  std::unique_ptr<ip::Ingress> ingress_;
  std::unique_ptr<ip::Egress> egress_;
  std::unique_ptr<tcp::Stack> stack_;
  std::unique_ptr<r2c::Worker> worker_;
  std::unique_ptr<r2c::WakeOnly> stop_waker_;    // RunAndDrain() looks at StopRequested() by itself
  std::unique_ptr<r2c::KernelSleeper> sleeper_;  // these two: unless the worker spins for ever
  std::unique_ptr<r2c::Idler> idler_;
  std::unique_ptr<StatsPrinter> stats_printer_;  // on the worker's wheel
};

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_RUNTIME_WORKER_H_
