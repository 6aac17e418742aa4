#ifndef LUNA_APPS_RUNTIME_RUNTIME_H_
#define LUNA_APPS_RUNTIME_RUNTIME_H_

// Runtime: the composition root. Makes a device, its memory, IP, TCP, the control plane and workers out of options, and
// takes them down in order. The measure of the API is the echo server in apps/echo/main.cc.
//
// With RuntimeOptions::workers above one, each further worker has a thread, and RunThreads() says what is done there:
//
//   status = runtime.TryThreads([&](RuntimeWorker& w) { return w.Listen(port, handlers[w.index()]); });
//   return runtime.Run();
//
// Thread: one, that of Create(); it becomes the first worker's.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/apps/runtime/control_plane.h"
#include "luna/apps/runtime/device.h"
#include "luna/apps/runtime/options.h"
#include "luna/apps/runtime/runtime_worker.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/fault_io.h"
#include "luna/net/pmd/pcap_io.h"
#include "luna/net/pmd/steering.h"
#include "luna/net/pmd/trusted_link.h"
#include "luna/net/pmd/vlan_io.h"
#include "luna/sched/clock/clock.h"
#include "luna/sched/r2c/kernel_poller.h"
#include "luna/sched/r2c/mailbox.h"
#include "luna/sched/r2c/thread_group.h"

namespace luna::apps {

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

  size_t workers() const { return workers_.size(); }
  // Calls `body` once for each worker, in its thread; the first worker's is this one. Returns when all have returned;
  // until then each worker goes on, also behind its body, so that handlers may be called. From the thread of Create(),
  // and not from within a body.
  void RunThreads(const std::function<void(RuntimeWorker&)>& body);

  // The same for what may fail: the first error, in the order of workers.
  absl::Status TryThreads(const std::function<absl::Status(RuntimeWorker&)>& body);

  // Runs until SIGINT, SIGTERM or `done()`, then closes all connections in order and releases the device. Returns the
  // exit code: 0, or 1 when objs did not come home. Afterwards only drops() and the destructor may be called.
  int Run(const std::function<bool()>& done = nullptr);
  // The two halves of Run, for programs that hold objs of their own: these are to be given back in between.
  // RuntimeWorker::RunAndDrain() of each worker. `done` and `on_stop` are the first one's; the others end by a signal,
  // or when `done()` is true.
  void RunAndDrain(const std::function<bool()>& done = nullptr, const std::function<void()>& on_stop = nullptr);
  int Finish();

  // SIGINT or SIGTERM has come.
  static bool StopAsked();

  // --- The first worker, which is the only one by default; good until Finish() ---
  RuntimeWorker& first() { return *workers_[0]; }
  // InvalidArgument with several workers.
  absl::Status Listen(uint16_t port, r2c::Handler& handler, const r2c::Delivery& delivery = {});
  absl::StatusOr<tcp::Connection*> Connect(const wire::Endpoint& remote, r2c::Handler& handler,
                                           const r2c::Delivery& delivery = {}) {
    return first().Connect(remote, handler, delivery);
  }
  void Iterate() { first().Iterate(); }
  bool WaitForLink(Duration limit) { return first().WaitForLink(limit); }
  r2c::Worker& worker() { return first().worker(); }
  r2c::Mailbox& mailbox() { return first().mailbox(); }
  zbuf::Slab& slab() { return first().slab(); }

  Clock& clock() { return clock_; }
  const std::vector<wire::Ipv4Prefix>& addresses() const { return addresses_; }
  // That port of our first address.
  wire::Endpoint endpoint(uint16_t port) const { return {addresses_[0].address(), port}; }
  // Of all workers, summed up now.
  std::unique_ptr<stats::DropCounters> drops() const;

 private:
  // What outlives a worker: objs of it may be anywhere, and its drops are asked for at the end.
  struct Memory {
    Memory(zbuf::Arena& arena, const zbuf::SlabOptions& options) : slab(arena, options) {}
    zbuf::Slab slab;
    stats::DropCounters drops;
  };
  class Jobs;

  explicit Runtime(const RuntimeOptions& options);
  absl::Status Init();
  absl::Status InitCpus();
  absl::Status InitMemory();
  absl::Status InitDevice();
  absl::Status InitPcap();
  absl::Status InitSteering();
  absl::Status InitAddresses();
  absl::Status InitWorkers();
  absl::StatusOr<std::unique_ptr<RuntimeWorker>> MakeWorker(size_t index, r2c::Mailbox& mailbox);
  void ThreadMain(r2c::ThreadGroup::Member& member);
  void RunJob(uint64_t number, const std::function<void(RuntimeWorker&)>& body, RuntimeWorker& worker);
  void WakeWorkers();
  absl::Status AdmitPort(uint16_t port);
  absl::Status InstallRules();  // under rules_mutex_
  // Takes down what holds objs; returns how many are still out.
  size_t ReleaseAll();

  const RuntimeOptions options_;
  MonotonicClock clock_;
  std::unique_ptr<Platform> platform_;
  std::unique_ptr<zbuf::Arena> arena_;
  std::vector<std::unique_ptr<Memory>> memories_;  // one for each worker
  std::unique_ptr<Device> device_;
  std::unique_ptr<pmd::VlanIo> vlan_;            // around the device
  std::unique_ptr<pmd::TrustedLinkIo> trusted_;  // around that
  std::unique_ptr<pmd::FaultPacketIo> faults_;   // around that
  std::unique_ptr<pmd::PcapPacketIo> pcap_;      // around that
  pmd::PacketIo* io_ = nullptr;                  // the outermost of these
  std::unique_ptr<pmd::SteeredDevice> steered_;  // its queues, with several workers
  std::vector<wire::Ipv4Prefix> addresses_;
  std::unique_ptr<ControlPlane> control_plane_;  // the kernel's, mirrored by netlink
  std::unique_ptr<RemoteResolver> resolver_;     // the other threads' way to it
  std::mutex rules_mutex_;
  std::vector<uint16_t> listen_ports_;                   // under rules_mutex_
  std::unique_ptr<r2c::Mailbox> mailbox_;                // the first worker's; the others' are the group's
  std::vector<std::unique_ptr<RuntimeWorker>> workers_;  // each made and destroyed in its thread
  std::unique_ptr<r2c::WakeOnly> steering_waker_;        // the first worker looks at the rings by itself
  std::atomic<bool> device_memory_short_{false};         // by the first worker, whose slab the device fills
  std::unique_ptr<Jobs> jobs_;
  std::unique_ptr<r2c::ThreadGroup> threads_;  // the others
  std::vector<r2c::Mailbox*> mailboxes_;       // of all, with several workers; not changed once there are jobs
  bool released_ = false;
};

// How many objs of `slab` are not home, when nobody uses it any more; said on stderr. The slab is this thread's then.
size_t ReportLeaks(zbuf::Slab& slab);

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_RUNTIME_H_
