#ifndef LUNA_APPS_RUNTIME_RUNTIME_H_
#define LUNA_APPS_RUNTIME_RUNTIME_H_

// Runtime: the composition root. Makes a device, its memory, IP, TCP, the control plane and one worker out of options,
// and takes them down in order. The measure of the API is the echo server in apps/echo/main.cc.
//
// Thread: one, that of Create(); it becomes the worker's.

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/apps/runtime/device.h"
#include "luna/apps/runtime/options.h"
#include "luna/apps/runtime/stats_line.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/fault_io.h"
#include "luna/net/pmd/pcap_io.h"
#include "luna/net/pmd/trusted_link.h"
#include "luna/net/pmd/vlan_io.h"
#include "luna/net/tcp/stack.h"
#include "luna/sched/clock/clock.h"
#include "luna/sched/r2c/idler.h"
#include "luna/sched/r2c/kernel_poller.h"
#include "luna/sched/r2c/mailbox.h"
#include "luna/sched/r2c/worker.h"

namespace luna::apps {

class KernelIcmp;

class Runtime {
 public:
  // Errors name the flag that is to be mended, as these options usually come from flags.
  static absl::StatusOr<std::unique_ptr<Runtime>> Create(const RuntimeOptions& options);
  // From the command line's flags (ParseCommandLine() first).
  static absl::StatusOr<std::unique_ptr<Runtime>> FromFlags();
  // Releases the device and checks that every obj is home; reports leaks on stderr.
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Accepts connections to `port` on each of our addresses.
  absl::Status Listen(uint16_t port, r2c::Handler& handler, const r2c::Delivery& delivery = {});
  absl::StatusOr<tcp::Connection*> Connect(const wire::Endpoint& remote, r2c::Handler& handler,
                                           const r2c::Delivery& delivery = {});

  // `done` is asked after each iteration: with --idle when something happened, and at least ten times a second.
  // Runs until SIGINT, SIGTERM or `done()`, then closes all connections in order and releases the device. Returns the
  // exit code: 0, or 1 when objs did not come home. Afterwards only drops() and the destructor may be called.
  int Run(const std::function<bool()>& done = nullptr);
  // The two halves of Run, for programs that hold objs of their own: these are to be given back in between. With
  // `on_stop`, a signal calls it and the loop goes on until `done()`, at most --drain, before connections are closed.
  // After Finish() only drops() and the destructor may be called.
  void RunAndDrain(const std::function<bool()>& done = nullptr, const std::function<void()>& on_stop = nullptr);
  int Finish();

  // One iteration of the worker, and the sleep behind it if --idle says so; for programs with a loop of their own.
  void Iterate();
  // SIGINT or SIGTERM has come.
  static bool StopAsked();
  // What a listener on `port` needs besides TCP: rules of the device, a reservation in the kernel.
  absl::Status AdmitPort(uint16_t port);

  // Waits until the link has a peer, at most `limit`, or until a signal. False: it has none.
  bool WaitForLink(Duration limit);

  r2c::Worker& worker() { return *worker_; }
  // For calls from other threads. Good until Finish().
  r2c::Mailbox& mailbox() { return *mailbox_; }
  tcp::Stack& stack() { return *stack_; }
  zbuf::Slab& slab() { return *slab_; }
  Clock& clock() { return clock_; }
  pmd::PacketIo& io() { return *io_; }
  const stats::DropCounters& drops() const { return drops_; }
  // For StatsLine(). Good until Finish().
  StatsSources stats_sources() const;
  Duration drain_limit() const { return options_.drain_limit; }
  const std::vector<wire::Ipv4Prefix>& addresses() const { return addresses_; }

 private:
  class ControlPlane;  // the kernel's, mirrored by netlink
  class StopWaker;

  explicit Runtime(const RuntimeOptions& options);
  absl::Status Init();
  absl::Status InitMemory();
  absl::Status InitDevice();
  absl::Status InitPcap();
  absl::Status InitAddresses();
  absl::Status InitNetwork();
  absl::Status InitWorker();
  absl::Status HearKernelsIcmp();
  absl::Status InstallRules();
  // Takes down what holds objs; returns how many are still out.
  size_t ReleaseAll();

  const RuntimeOptions options_;
  MonotonicClock clock_;
  stats::DropCounters drops_;
  std::unique_ptr<Platform> platform_;
  std::unique_ptr<zbuf::Arena> arena_;
  std::unique_ptr<zbuf::Slab> slab_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<pmd::VlanIo> vlan_;            // around the device
  std::unique_ptr<pmd::TrustedLinkIo> trusted_;  // around that
  std::unique_ptr<pmd::FaultPacketIo> faults_;   // around that
  std::unique_ptr<pmd::PcapPacketIo> pcap_;      // around that
  pmd::PacketIo* io_ = nullptr;                  // the outermost of these
  std::vector<wire::Ipv4Prefix> addresses_;
  std::vector<uint16_t> listen_ports_;
  std::unique_ptr<r2c::KernelPoller> poller_;
  std::unique_ptr<ControlPlane> control_plane_;
  std::unique_ptr<KernelIcmp> kernel_icmp_;  // with a control plane of the kernel's
  ip::SnapshotBox<ip::RouteTable> static_routes_;
  std::unique_ptr<ip::Arp> arp_;
  std::unique_ptr<ip::Ingress> ingress_;
  std::unique_ptr<ip::Egress> egress_;
  std::unique_ptr<tcp::Stack> stack_;
  std::unique_ptr<r2c::Mailbox> mailbox_;
  std::unique_ptr<r2c::Worker> worker_;
  std::unique_ptr<StopWaker> stop_waker_;
  std::unique_ptr<r2c::KernelSleeper> sleeper_;  // these two: unless the worker spins for ever
  std::unique_ptr<r2c::Idler> idler_;
  std::unique_ptr<StatsPrinter> stats_printer_;  // on the worker's wheel
  bool released_ = false;
};

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_RUNTIME_H_
