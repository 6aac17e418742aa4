#include "luna/apps/runtime/runtime.h"

#include <sys/epoll.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "luna/apps/runtime/flags.h"
#include "luna/apps/runtime/signals.h"
#include "luna/net/wire/pcap.h"

namespace luna::apps {
namespace {

constexpr uint32_t kMinMtu = 576;

// For the time stamps of a capture, which count from 1970.
Time WallTime() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return Time::FromNanoseconds(int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
}

absl::Status VlansAreTheKernels(const RuntimeOptions& options) {
  return absl::InvalidArgumentError(absl::StrCat(
      "--vlan=", options.vlan, ": on --device=", options.device,
      " VLANs are the kernel's; name its VLAN interface as the device instead, e.g. packet:eth1.", options.vlan));
}

}  // namespace

// What the other threads are to do next: one job at a time, the same for all.
class Runtime::Jobs {
 public:
  using Body = std::function<void(RuntimeWorker&)>;

  // The job's number. Pre: the one before has ended.
  uint64_t Start(const Body& body, size_t threads) {
    std::lock_guard<std::mutex> lock(mutex_);
    CHECK(running_.load(std::memory_order_relaxed) == 0) << "RunThreads() within RunThreads()";
    body_ = &body;
    running_.store(threads, std::memory_order_relaxed);
    changed_.notify_all();
    return ++number_;
  }
  void End() {
    std::lock_guard<std::mutex> lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }
  // The job behind number `*last`, waiting for it; null: there will be none.
  const Body* Next(uint64_t* last) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return ended_ || number_ != *last; });
    *last = number_;
    return ended_ ? nullptr : body_;
  }
  // One thread is through with it. True: it was the last.
  bool Done(uint64_t number) {
    if (running_.fetch_sub(1, std::memory_order_acq_rel) != 1) return false;
    ended_number_.store(number, std::memory_order_release);
    return true;
  }
  bool HasEnded(uint64_t number) const { return ended_number_.load(std::memory_order_acquire) >= number; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  const Body* body_ = nullptr;  // these three under mutex_
  uint64_t number_ = 0;
  bool ended_ = false;
  std::atomic<size_t> running_{0};
  std::atomic<uint64_t> ended_number_{0};
};

Runtime::Runtime(const RuntimeOptions& options) : options_(options) {}

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::FromFlags() {
  absl::StatusOr<RuntimeOptions> options = RuntimeOptionsFromFlags();
  if (!options.ok()) return options.status();
  return Create(*options);
}

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::Create(const RuntimeOptions& options) {
  std::unique_ptr<Runtime> runtime(new Runtime(options));
  if (absl::Status status = runtime->Init(); !status.ok()) return status;
  return runtime;
}

absl::Status Runtime::Init() {
  InstallStopSignals();  // before anybody is told that we listen
  if (absl::Status status = InitCpus(); !status.ok()) return status;
  if (absl::Status status = InitMemory(); !status.ok()) return status;
  if (absl::Status status = InitDevice(); !status.ok()) return status;
  if (options_.faults.has_value()) {
    faults_ = std::make_unique<pmd::FaultPacketIo>(*io_, memories_[0]->slab, *options_.faults);
    io_ = faults_.get();
  }
  if (absl::Status status = InitPcap(); !status.ok()) return status;
  if (absl::Status status = InitSteering(); !status.ok()) return status;
  if (absl::Status status = InitAddresses(); !status.ok()) return status;
  return InitWorkers();
}

// All are tried, so that it is said now; the last one is this thread's.
absl::Status Runtime::InitCpus() {
  CHECK(options_.workers >= 1 && (options_.cpus.empty() || options_.cpus.size() == options_.workers));
  for (size_t i = options_.cpus.size(); i-- > 0;) {
    if (r2c::PinThisThread(options_.cpus[i]).ok()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--cpu=", options_.cpus[i], ": cannot run there; choose one that `taskset -p $$` allows"));
  }
  return absl::OkStatus();
}

absl::Status Runtime::InitMemory() {
  const bool shared = absl::StartsWith(options_.device, "packet:") || absl::StartsWith(options_.device, "xdp:");
  if (options_.vlan != 0 && shared) return VlansAreTheKernels(options_);
  auto platform = OpenPlatform(options_);
  if (!platform.ok()) return platform.status();
  platform_ = *std::move(platform);
  if (options_.trusted_link && !platform_->device_is_memory()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--trusted_link: frames of --device=", options_.device,
        " may be damaged on their way, and nobody would notice; it is for net_memif and net_ring, within one machine"));
  }
  if (options_.trusted_link && options_.faults.has_value() &&
      (options_.faults->receive.corrupt > 0 || options_.faults->transmit.corrupt > 0)) {
    return absl::InvalidArgumentError("--trusted_link: what --faults=corrupt=… damages would reach the application");
  }
  auto arena =
      zbuf::Arena::Create(platform_->pages(), {.size_bytes = size_t{options_.memory_mb} << 20, .name = "luna"});
  if (!arena.ok()) {
    const std::string flag =
        options_.huge == HugePages::kOn ? "--huge=on" : absl::StrCat("--memory_mb=", options_.memory_mb);
    return absl::Status(arena.status().code(), absl::StrCat(flag, ": ", arena.status().message()));
  }
  arena_ = *std::move(arena);
  for (size_t i = 0; i < options_.workers; ++i) {
    memories_.push_back(std::make_unique<Memory>(*arena_, zbuf::SlabOptions{.name = absl::StrCat("worker ", i)}));
  }
  return absl::OkStatus();
}

absl::Status Runtime::InitDevice() {
  auto device = platform_->OpenDevice(*arena_, memories_[0]->slab);
  if (!device.ok()) return device.status();
  device_ = *std::move(device);
  io_ = &device_->io();
  if (options_.vlan != 0) {
    if (io_->capabilities().kernel_ifindex > 0) return VlansAreTheKernels(options_);
    vlan_ = std::make_unique<pmd::VlanIo>(*io_, pmd::VlanOptions{.id = options_.vlan}, memories_[0]->slab,
                                          memories_[0]->drops);
    io_ = vlan_.get();
  }
  if (options_.trusted_link) {
    trusted_ = std::make_unique<pmd::TrustedLinkIo>(*io_);
    io_ = trusted_.get();
  }
  if (io_->capabilities().mtu < kMinMtu) {
    return absl::FailedPreconditionError(
        absl::StrCat("--device=", options_.device, ": its MTU of ", io_->capabilities().mtu, " is below ", kMinMtu));
  }
  return absl::OkStatus();
}

absl::Status Runtime::InitPcap() {
  if (options_.pcap.empty()) return absl::OkStatus();
  auto writer = wire::PcapWriter::Open(options_.pcap, wire::PcapLinkType::kEthernet);
  if (!writer.ok()) {
    return absl::Status(writer.status().code(),
                        absl::StrCat("--pcap=", options_.pcap, ": ", writer.status().message()));
  }
  pcap_ = std::make_unique<pmd::PcapPacketIo>(*io_, *std::move(writer),
                                              pmd::PcapIoOptions{.epoch_offset = WallTime() - clock_.Now()});
  io_ = pcap_.get();
  return absl::OkStatus();
}

absl::Status Runtime::InitSteering() {
  if (options_.workers == 1) return absl::OkStatus();
  const tcp::StackConfig tcp = ProfileOf(options_);
  auto steered = pmd::SteeredDevice::Create(
      *io_, {.queues = options_.workers,
             .client_ranges = pmd::SplitRange(tcp.ephemeral_first, tcp.ephemeral_last, options_.workers)});
  if (!steered.ok()) return steered.status();
  steered_ = *std::move(steered);
  return absl::OkStatus();
}

absl::Status Runtime::InitAddresses() {
  addresses_ = options_.addresses;
  const int ifindex = io_->capabilities().kernel_ifindex;
  std::vector<wire::Ipv4Prefix> kernel_addresses;
  if (ifindex > 0) {
    auto plane = ControlPlane::Open(ifindex);
    if (!plane.ok()) return plane.status();
    kernel_addresses = (*plane)->mirror().link()->Get()->addresses;
    if (device_->kernel_owns_control_plane()) control_plane_ = *std::move(plane);
  }
  const auto kernel_has = [&kernel_addresses](const wire::Ipv4Prefix& ours) {
    return std::any_of(kernel_addresses.begin(), kernel_addresses.end(),
                       [&ours](const wire::Ipv4Prefix& theirs) { return theirs.address() == ours.address(); });
  };
  if (control_plane_ != nullptr) {
    if (addresses_.empty()) addresses_ = kernel_addresses;
    for (const wire::Ipv4Prefix& address : addresses_) {
      if (kernel_has(address)) continue;
      return absl::InvalidArgumentError(absl::StrCat("--address=", address.ToString(), ": not on the link of --device=",
                                                     options_.device, "; `ip address add` it there, or leave it out"));
    }
  }
  for (const wire::Ipv4Prefix& address : addresses_) {
    if (control_plane_ != nullptr || !kernel_has(address)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--address=", address.ToString(), ": the kernel has it on the link of --device=", options_.device,
                     " and would answer our peers with RST; choose an address of Luna's own, or --device=xdp:…"));
  }
  if (addresses_.empty()) {
    return absl::InvalidArgumentError("--address is missing: give our address on the link, e.g. --address=10.0.0.2/24");
  }
  return absl::OkStatus();
}

absl::Status Runtime::InitWorkers() {
  auto mailbox = r2c::Mailbox::Create();
  if (!mailbox.ok()) return mailbox.status();
  mailbox_ = *std::move(mailbox);
  workers_.resize(options_.workers);
  auto first = MakeWorker(0, *mailbox_);
  if (!first.ok()) return first.status();
  workers_[0] = *std::move(first);
  r2c::KernelPoller& poller = workers_[0]->poller();
  if (options_.workers > 1) {
    steering_waker_ = std::make_unique<r2c::WakeOnly>();
    if (absl::Status status = poller.Add(steered_->wake_fd(), EPOLLIN | EPOLLET, steering_waker_.get()); !status.ok()) {
      return status;
    }
    if (control_plane_ != nullptr) resolver_ = std::make_unique<RemoteResolver>(*control_plane_, *mailbox_);
    jobs_ = std::make_unique<Jobs>();
    const auto cpus =
        options_.cpus.empty() ? options_.cpus : std::vector<int>(options_.cpus.begin() + 1, options_.cpus.end());
    auto threads = r2c::ThreadGroup::Start({.threads = options_.workers - 1, .cpus = cpus},
                                           [this](r2c::ThreadGroup::Member& member) { ThreadMain(member); });
    if (!threads.ok()) return threads.status();
    threads_ = *std::move(threads);
    mailboxes_ = {mailbox_.get()};
    for (size_t i = 0; i < threads_->size(); ++i) mailboxes_.push_back(&threads_->mailbox(i));
  }
  if (control_plane_ != nullptr) {
    // Those that sleep look at the new snapshot.
    if (absl::Status status = control_plane_->Watch(poller, [this] { WakeWorkers(); }); !status.ok()) return status;
  }
  const std::lock_guard<std::mutex> lock(rules_mutex_);
  return InstallRules();
}

absl::StatusOr<std::unique_ptr<RuntimeWorker>> Runtime::MakeWorker(size_t index, r2c::Mailbox& mailbox) {
  WorkerPlace place;
  place.options = &options_;
  place.index = index;
  place.clock = &clock_;
  place.io = steered_ == nullptr ? io_ : &steered_->queue(index);
  place.slab = &memories_[index]->slab;
  place.drops = &memories_[index]->drops;
  place.mailbox = &mailbox;
  place.steered = steered_.get();
  if (steered_ != nullptr) place.device_memory_short = &device_memory_short_;
  place.addresses = addresses_;
  if (control_plane_ != nullptr) {
    place.kernel_routes = control_plane_->mirror().routes();
    place.kernel_neighbours = control_plane_->mirror().neighbours();
    place.resolver = index == 0 ? static_cast<r2c::NeighbourResolver*>(control_plane_.get()) : resolver_.get();
  }
  place.admit = [this](uint16_t port) { return AdmitPort(port); };
  return RuntimeWorker::Create(place);
}

// All but the first worker's.
void Runtime::ThreadMain(r2c::ThreadGroup::Member& member) {
  const size_t index = member.index() + 1;
  memories_[index]->slab.BindToCurrentThread();
  auto made = MakeWorker(index, member.mailbox());
  if (made.ok()) workers_[index] = *std::move(made);
  if (member.Ready(made.status())) {
    uint64_t last = 0;
    while (const Jobs::Body* body = jobs_->Next(&last)) {
      RunJob(last, *body, *workers_[index]);
    }
  }
  workers_[index].reset();
}

void Runtime::RunThreads(const std::function<void(RuntimeWorker&)>& body) {
  if (jobs_ == nullptr) return body(first());
  RunJob(jobs_->Start(body, workers()), body, first());
}

// Who is ready before the others goes on: their frames leave with the first one, and whoever asks for a port that
// nobody listens on any more is told so, in whatever queue that is.
void Runtime::RunJob(uint64_t number, const std::function<void(RuntimeWorker&)>& body, RuntimeWorker& worker) {
  body(worker);
  if (jobs_->Done(number)) WakeWorkers();
  while (!jobs_->HasEnded(number)) worker.Iterate();
}

void Runtime::WakeWorkers() {
  for (r2c::Mailbox* mailbox : mailboxes_) (void)mailbox->Post([](r2c::Worker&) {});
}

absl::Status Runtime::TryThreads(const std::function<absl::Status(RuntimeWorker&)>& body) {
  std::vector<absl::Status> results(workers());
  RunThreads([&](RuntimeWorker& worker) { results[worker.index()] = body(worker); });
  const auto bad = std::find_if(results.begin(), results.end(), [](const absl::Status& s) { return !s.ok(); });
  return bad == results.end() ? absl::OkStatus() : *bad;
}

absl::Status Runtime::Listen(uint16_t port, r2c::Handler& handler, const r2c::Delivery& delivery) {
  if (workers() > 1) {  // each is to listen, with a handler of its own: TryThreads() and RuntimeWorker::Listen()
    return absl::InvalidArgumentError(absl::StrCat("--workers=", workers(), ": this program has one; leave it out"));
  }
  return first().Listen(port, handler, delivery);
}

absl::Status Runtime::InstallRules() {
  const tcp::StackConfig tcp = ProfileOf(options_);
  bifurcation::PortPlanSpec spec;
  for (const wire::Ipv4Prefix& address : addresses_) spec.addresses.push_back(address.address());
  spec.listen_ports = listen_ports_;
  spec.client_ranges = {{tcp.ephemeral_first, tcp.ephemeral_last}};
  spec.allow_listen_in_client_range = true;
  spec.allow_privileged = true;  // whoever names such a port means it
  auto plan = bifurcation::PortPlan::Create(spec);
  if (!plan.ok()) return plan.status();
  return device_->InstallRules(*plan);
}

absl::Status Runtime::AdmitPort(uint16_t port) {
  const std::lock_guard<std::mutex> lock(rules_mutex_);
  // Each worker listens there, or it is a new listener on a port that had one before.
  if (std::find(listen_ports_.begin(), listen_ports_.end(), port) != listen_ports_.end()) return absl::OkStatus();
  listen_ports_.push_back(port);
  absl::Status status = InstallRules();
  if (!status.ok()) {
    listen_ports_.pop_back();
  } else if (steered_ != nullptr) {
    steered_->AddListenPort(port);
  }
  return status;
}

bool Runtime::StopAsked() { return StopRequested().load(std::memory_order_relaxed); }

int Runtime::Run(const std::function<bool()>& done) {
  RunAndDrain(done);
  return Finish();
}

void Runtime::RunAndDrain(const std::function<bool()>& done, const std::function<void()>& on_stop) {
  std::atomic<bool> over{false};
  const auto first_is_done = [&] {
    if (!done || !done()) return false;
    over.store(true, std::memory_order_relaxed);
    return true;
  };
  RunThreads([&](RuntimeWorker& worker) {
    if (worker.index() == 0) return worker.RunAndDrain(first_is_done, on_stop);
    worker.RunAndDrain([&over] { return over.load(std::memory_order_relaxed); });
  });
}

int Runtime::Finish() { return ReleaseAll() == 0 ? 0 : 1; }

std::unique_ptr<stats::DropCounters> Runtime::drops() const {
  auto sum = std::make_unique<stats::DropCounters>();
  for (const auto& memory : memories_) sum->Merge(memory->drops);
  return sum;
}

size_t Runtime::ReleaseAll() {
  if (released_) return 0;
  released_ = true;
  if (jobs_ != nullptr) jobs_->End();
  threads_.reset();  // each worker goes in its thread
  if (control_plane_ != nullptr) control_plane_->Unwatch();
  workers_.clear();
  mailbox_.reset();
  resolver_.reset();
  control_plane_.reset();
  steered_.reset();
  if (pcap_ != nullptr && !pcap_->Flush().ok())
    LOG(ERROR) << "--pcap=" << options_.pcap << ": " << pcap_->status().message();
  pcap_.reset();
  faults_.reset();
  trusted_.reset();
  vlan_.reset();
  io_ = nullptr;
  device_.reset();
  size_t out = 0;
  for (const auto& memory : memories_) out += ReportLeaks(memory->slab);
  return out;
}

size_t ReportLeaks(zbuf::Slab& slab) {
  slab.BindToCurrentThread();
  slab.DrainReturns();
  const size_t out = slab.outstanding();
  if (out > 0) std::fprintf(stderr, "leak: %zu Zbuf objs are not home\n%s\n", out, slab.LeakReport().c_str());
  return out;
}

Runtime::~Runtime() { ReleaseAll(); }

}  // namespace luna::apps
