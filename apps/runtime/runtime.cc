#include "luna/apps/runtime/runtime.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "luna/apps/runtime/flags.h"
#include "luna/apps/runtime/kernel_icmp.h"
#include "luna/apps/runtime/signals.h"
#include "luna/ctrl/netlink/mirror.h"
#include "luna/ctrl/netlink/mnl_socket.h"
#include "luna/net/ip/arp.h"
#include "luna/net/ip/egress.h"
#include "luna/net/ip/ingress.h"
#include "luna/net/ip/neighbour_table.h"
#include "luna/net/ip/route_table.h"
#include "luna/net/wire/pcap.h"

namespace luna::apps {
namespace {

constexpr uint32_t kMinMtu = 576;
constexpr size_t kReservedHeaders = 4096;

absl::StatusOr<std::array<uint64_t, 2>> RandomSecret() {
  std::array<uint64_t, 2> secret;
  if (getrandom(secret.data(), sizeof(secret), 0) != sizeof(secret)) {
    return absl::InternalError(absl::StrCat("getrandom: ", std::strerror(errno)));
  }
  return secret;
}

tcp::EcnMode EcnModeOf(Ecn ecn) {
  return ecn == Ecn::kOff ? tcp::EcnMode::kOff : ecn == Ecn::kAlways ? tcp::EcnMode::kAlways : tcp::EcnMode::kOnRequest;
}

r2c::WorkerOptions WorkerOptionsOf(const RuntimeOptions& options) {
  r2c::WorkerOptions worker;
  worker.model = options.model == Model::kBatch ? r2c::Model::kBatch : r2c::Model::kInline;
  worker.stall_limit = options.stall_limit;
  worker.on_stall = [](const tcp::Connection* connection, Duration took) {
    LOG_EVERY_T(WARNING, 1) << "the application took " << took.microseconds() << " us "
                            << (connection == nullptr ? "for a timer, messages or kernel descriptors"
                                                      : absl::StrCat("with ", connection->ToString()));
  };
  return worker;
}

// For the time stamps of a capture, which count from 1970.
Time WallTime() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return Time::FromNanoseconds(int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
}

absl::Status PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu >= CPU_SETSIZE) return absl::InvalidArgumentError(absl::StrCat("--cpu=", cpu, ": there is no such CPU"));
  CPU_SET(static_cast<size_t>(cpu), &set);
  if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--cpu=", cpu, ": cannot run there; choose one that `taskset -p $$` allows"));
  }
  return absl::OkStatus();
}

absl::Status VlansAreTheKernels(const RuntimeOptions& options) {
  return absl::InvalidArgumentError(absl::StrCat(
      "--vlan=", options.vlan, ": on --device=", options.device,
      " VLANs are the kernel's; name its VLAN interface as the device instead, e.g. packet:eth1.", options.vlan));
}

tcp::StackConfig TcpConfig(const RuntimeOptions& options, const pmd::Capabilities& capabilities) {
  tcp::StackConfig tcp =
      options.tcp_profile == TcpProfile::kRfc ? tcp::StackConfig::Rfc() : tcp::StackConfig::DataCentre();
  // The most that IPv4 can say; routes that take less are the worker's to follow.
  tcp.mtu = std::min<uint32_t>(capabilities.mtu, 0xffff);
  r2c::UseOffloads(capabilities, &tcp);
  if (options.ecn != Ecn::kProfile) tcp.ecn = EcnModeOf(options.ecn);
  if (options.send_buffer_bytes != 0) tcp.send_buffer_bytes = options.send_buffer_bytes;
  if (options.receive_buffer_bytes != 0) {  // said by somebody: it does not grow
    tcp.receive_buffer_bytes = tcp.receive_buffer_max_bytes = options.receive_buffer_bytes;
  }
  const uint64_t memory_bytes = uint64_t{options.memory_mb} << 20;
  tcp.memory_limit_bytes = options.tcp_memory_mb == 0 ? memory_bytes / 2 : uint64_t{options.tcp_memory_mb} << 20;
  if (options.max_connections != 0) tcp.max_connections = options.max_connections;
  return tcp;
}

}  // namespace

// The kernel's side of a link that Luna shares with it.
class Runtime::ControlPlane final : public r2c::FdHandler, public r2c::NeighbourResolver {
 public:
  ControlPlane(std::unique_ptr<netlink::KernelMirror> mirror, r2c::KernelPoller& poller)
      : mirror_(std::move(mirror)), poller_(poller) {}
  ~ControlPlane() override { poller_.Remove(mirror_->fd()).IgnoreError(); }

  static absl::StatusOr<std::unique_ptr<ControlPlane>> Open(int ifindex, r2c::KernelPoller& poller) {
    auto socket = netlink::MnlSocket::Open(netlink::MirrorGroups());
    if (!socket.ok()) return socket.status();
    auto mirror = netlink::KernelMirror::Create(*std::move(socket), ifindex);
    if (!mirror.ok()) return mirror.status();
    auto plane = std::make_unique<ControlPlane>(*std::move(mirror), poller);
    if (absl::Status status = poller.Add(plane->mirror().fd(), EPOLLIN, plane.get()); !status.ok()) return status;
    return plane;
  }

  void OnFdReady(uint32_t) override { mirror_->OnReadable(); }
  // Fire and forget: what the kernel refuses is counted in the mirror's statistics.
  void Resolve(const wire::IpAddress& next_hop) override { mirror_->RequestResolve(next_hop).IgnoreError(); }
  netlink::KernelMirror& mirror() { return *mirror_; }

 private:
  std::unique_ptr<netlink::KernelMirror> mirror_;
  r2c::KernelPoller& poller_;
};

// A signal ends the worker's sleep; RunAndDrain() looks at StopRequested() by itself.
class Runtime::StopWaker final : public r2c::FdHandler {
 public:
  void OnFdReady(uint32_t) override {}
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
  if (options_.cpu >= 0) {
    if (absl::Status status = PinTo(options_.cpu); !status.ok()) return status;
  }
  if (absl::Status status = InitMemory(); !status.ok()) return status;
  if (absl::Status status = InitDevice(); !status.ok()) return status;
  if (options_.faults.has_value()) {
    faults_ = std::make_unique<pmd::FaultPacketIo>(*io_, *slab_, *options_.faults);
    io_ = faults_.get();
  }
  if (absl::Status status = InitPcap(); !status.ok()) return status;
  if (absl::Status status = InitAddresses(); !status.ok()) return status;
  return InitNetwork();
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
  slab_ = std::make_unique<zbuf::Slab>(*arena_, zbuf::SlabOptions{.name = "worker 0"});
  return absl::OkStatus();
}

absl::Status Runtime::InitDevice() {
  auto device = platform_->OpenDevice(*arena_, *slab_);
  if (!device.ok()) return device.status();
  device_ = *std::move(device);
  io_ = &device_->io();
  if (options_.vlan != 0) {
    if (io_->capabilities().kernel_ifindex > 0) return VlansAreTheKernels(options_);
    vlan_ = std::make_unique<pmd::VlanIo>(*io_, pmd::VlanOptions{.id = options_.vlan}, *slab_, drops_);
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
  auto poller = r2c::KernelPoller::Create();
  if (!poller.ok()) return poller.status();
  poller_ = *std::move(poller);
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

absl::Status Runtime::InitAddresses() {
  addresses_ = options_.addresses;
  const int ifindex = io_->capabilities().kernel_ifindex;
  std::vector<wire::Ipv4Prefix> kernel_addresses;
  if (ifindex > 0) {
    auto plane = ControlPlane::Open(ifindex, *poller_);
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

absl::Status Runtime::InitNetwork() {
  const pmd::Capabilities& capabilities = io_->capabilities();
  ip::EgressConfig egress_config;
  egress_config.capabilities = capabilities;
  egress_config.addresses = addresses_;
  for (const auto& [address, mac] : options_.neighbours) egress_config.static_neighbours.SetPermanent(address, mac);

  ip::EgressSources sources;
  if (control_plane_ != nullptr) {
    sources.routes = control_plane_->mirror().routes();
    sources.kernel_neighbours = control_plane_->mirror().neighbours();
  } else {
    ip::RouteTable::Builder routes;
    for (const wire::Ipv4Prefix& address : addresses_) routes.AddInterface(address);
    for (const wire::Ipv4Address& gateway : options_.gateways) routes.AddDefault(gateway);
    static_routes_.Publish(routes.Build());
    sources.routes = &static_routes_;
    arp_ = std::make_unique<ip::Arp>(ip::ArpConfig{.mac = capabilities.mac, .addresses = addresses_}, slab_.get(),
                                     &drops_);
    sources.arp = arp_.get();
  }
  ingress_ = std::make_unique<ip::Ingress>(
      ip::IngressConfig{
          .mac = capabilities.mac, .addresses = addresses_, .trust_rx_checksum = capabilities.trust_rx_checksum},
      &drops_);
  egress_ = std::make_unique<ip::Egress>(egress_config, sources, &drops_);

  tcp::StackConfig tcp = TcpConfig(options_, capabilities);
  if (absl::Status status = tcp::Validate(tcp); !status.ok()) return status;
  // Zones for segment headers that nobody else can take: acknowledgements and retransmissions are what frees memory.
  if (absl::Status status = slab_->Reserve(pmd::kTxHeadroomBytes + tcp::kMaxTcpHeaderBytes, kReservedHeaders);
      !status.ok()) {
    return absl::Status(status.code(), absl::StrCat("--memory_mb=", options_.memory_mb, ": ", status.message()));
  }
  auto secret = RandomSecret();
  if (!secret.ok()) return secret.status();
  tcp.secret = *secret;
  stack_ = std::make_unique<tcp::Stack>(tcp, *slab_, drops_, clock_.Now());
  if (absl::Status status = InitWorker(); !status.ok()) return status;
  if (absl::Status status = HearKernelsIcmp(); !status.ok()) return status;
  return InstallRules();
}

absl::Status Runtime::InitWorker() {
  auto mailbox = r2c::Mailbox::Create();
  if (!mailbox.ok()) return mailbox.status();
  mailbox_ = *std::move(mailbox);
  r2c::WorkerParts parts;
  parts.clock = &clock_;
  parts.io = io_;
  parts.slab = slab_.get();
  parts.ingress = ingress_.get();
  parts.egress = egress_.get();
  parts.stack = stack_.get();
  parts.arp = arp_.get();
  parts.resolver = control_plane_.get();
  parts.poller = poller_.get();
  parts.mailbox = mailbox_.get();
  worker_ = std::make_unique<r2c::Worker>(parts, WorkerOptionsOf(options_));
  if (options_.idle_spin != Duration::Infinite()) {
    stop_waker_ = std::make_unique<StopWaker>();
    if (absl::Status status = poller_->Add(StopFd(), EPOLLIN | EPOLLET, stop_waker_.get()); !status.ok()) return status;
    sleeper_ = std::make_unique<r2c::KernelSleeper>();
    idler_ = std::make_unique<r2c::Idler>(*worker_, clock_, *sleeper_, r2c::IdleOptions{.spin = options_.idle_spin});
  }
  if (options_.stats_interval > Duration::Zero()) {
    stats_printer_ = std::make_unique<StatsPrinter>(stats_sources(), *worker_, options_.stats_interval, stdout);
  }
  return absl::OkStatus();
}

StatsSources Runtime::stats_sources() const {
  return {.stack = *stack_,
          .slab = *slab_,
          .io = *io_,
          .worker = *worker_,
          .idler = idler_.get(),
          .mailbox = mailbox_.get(),
          .drops = drops_};
}

absl::Status Runtime::HearKernelsIcmp() {
  if (control_plane_ == nullptr) return absl::OkStatus();
  auto icmp =
      KernelIcmp::Open(*poller_, [this](const tcp::IcmpError& error) { stack_->OnIcmpError(error, worker_->now()); });
  if (!icmp.ok()) {
    return absl::Status(icmp.status().code(),
                        absl::StrCat("--device=", options_.device, ": ", icmp.status().message(), "; run as root"));
  }
  kernel_icmp_ = *std::move(icmp);
  return absl::OkStatus();
}

absl::Status Runtime::InstallRules() {
  bifurcation::PortPlanSpec spec;
  for (const wire::Ipv4Prefix& address : addresses_) spec.addresses.push_back(address.address());
  spec.listen_ports = listen_ports_;
  spec.client_ranges = {{stack_->config().ephemeral_first, stack_->config().ephemeral_last}};
  spec.allow_listen_in_client_range = true;
  spec.allow_privileged = true;  // whoever names such a port means it
  auto plan = bifurcation::PortPlan::Create(spec);
  if (!plan.ok()) return plan.status();
  return device_->InstallRules(*plan);
}

absl::Status Runtime::AdmitPort(uint16_t port) {
  listen_ports_.push_back(port);
  absl::Status status = InstallRules();
  if (status.ok()) return status;
  listen_ports_.pop_back();
  return absl::Status(status.code(), absl::StrCat("--port=", port, ": ", status.message()));
}

absl::Status Runtime::Listen(uint16_t port, r2c::Handler& handler, const r2c::Delivery& delivery) {
  absl::Status status = worker_->Listen({wire::IpAddress(), port}, handler, delivery);
  if (!status.ok()) return absl::Status(status.code(), absl::StrCat("--port=", port, ": ", status.message()));
  return AdmitPort(port);
}

absl::StatusOr<tcp::Connection*> Runtime::Connect(const wire::Endpoint& remote, r2c::Handler& handler,
                                                  const r2c::Delivery& delivery) {
  return worker_->Connect(remote, handler, delivery);
}

bool Runtime::WaitForLink(Duration limit) {
  const std::atomic<bool>& stop = StopRequested();
  const Time deadline = clock_.Now() + limit;
  while (!io_->link_up() && worker_->now() < deadline && !stop.load(std::memory_order_relaxed)) Iterate();
  return io_->link_up();
}

bool Runtime::StopAsked() { return StopRequested().load(std::memory_order_relaxed); }

void Runtime::Iterate() {
  const bool busy = worker_->RunOnce();
  if (idler_ != nullptr) idler_->AfterIteration(busy);
}

int Runtime::Run(const std::function<bool()>& done) {
  RunAndDrain(done);
  return Finish();
}

void Runtime::RunAndDrain(const std::function<bool()>& done, const std::function<void()>& on_stop) {
  const std::atomic<bool>& stop = StopRequested();
  const auto finished = [&done] { return done && done(); };
  while (!stop.load(std::memory_order_relaxed) && !finished()) Iterate();
  if (on_stop && !finished()) {
    on_stop();
    const Time deadline = clock_.Now() + options_.drain_limit;
    while (worker_->now() < deadline && !finished()) Iterate();
  }
  const size_t reset = worker_->Drain(options_.drain_limit);
  if (reset > 0) LOG(WARNING) << reset << " connections did not close within --drain and were reset";
}

int Runtime::Finish() { return ReleaseAll() == 0 ? 0 : 1; }

size_t Runtime::ReleaseAll() {
  if (slab_ == nullptr || released_) return 0;
  released_ = true;
  kernel_icmp_.reset();
  if (stats_printer_ != nullptr) stats_printer_->Print();
  stats_printer_.reset();
  idler_.reset();
  worker_.reset();
  mailbox_.reset();
  stack_.reset();
  egress_.reset();
  arp_.reset();
  ingress_.reset();
  control_plane_.reset();
  if (pcap_ != nullptr && !pcap_->Flush().ok())
    LOG(ERROR) << "--pcap=" << options_.pcap << ": " << pcap_->status().message();
  pcap_.reset();
  faults_.reset();
  trusted_.reset();
  vlan_.reset();
  io_ = nullptr;
  device_.reset();
  slab_->DrainReturns();
  const size_t out = slab_->outstanding();
  if (out > 0) std::fprintf(stderr, "leak: %zu Zbuf objs are not home\n%s\n", out, slab_->LeakReport().c_str());
  return out;
}

Runtime::~Runtime() { ReleaseAll(); }

}  // namespace luna::apps
