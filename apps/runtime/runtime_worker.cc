#include "luna/apps/runtime/runtime_worker.h"

#include <sys/epoll.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "luna/apps/runtime/kernel_icmp.h"
#include "luna/apps/runtime/signals.h"
#include "luna/net/ip/arp.h"
#include "luna/net/ip/egress.h"
#include "luna/net/ip/ingress.h"
#include "luna/net/pmd/steering.h"

namespace luna::apps {
namespace {

constexpr size_t kReservedHeaders = 4096;  // of all workers
constexpr size_t kLeastReservedHeaders = 512;

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

// A worker's part of what the options grant to all.
tcp::StackConfig TcpConfig(const RuntimeOptions& options, size_t index, const pmd::Capabilities& capabilities) {
  tcp::StackConfig tcp = ProfileOf(options);
  // The most that IPv4 can say; routes that take less are the worker's to follow.
  tcp.mtu = std::min<uint32_t>(capabilities.mtu, 0xffff);
  r2c::UseOffloads(capabilities, &tcp);
  if (options.ecn != Ecn::kProfile) tcp.ecn = EcnModeOf(options.ecn);
  if (options.send_buffer_bytes != 0) tcp.send_buffer_bytes = options.send_buffer_bytes;
  if (options.receive_buffer_bytes != 0) {  // said by somebody: it does not grow
    tcp.receive_buffer_bytes = tcp.receive_buffer_max_bytes = options.receive_buffer_bytes;
  }
  const uint64_t memory_bytes = uint64_t{options.memory_mb} << 20;
  const uint64_t tcp_bytes = options.tcp_memory_mb == 0 ? memory_bytes / 2 : uint64_t{options.tcp_memory_mb} << 20;
  tcp.memory_limit_bytes = tcp_bytes / options.workers;
  const uint32_t connections = options.max_connections != 0 ? options.max_connections : tcp.max_connections;
  tcp.max_connections = (connections + options.workers - 1) / options.workers;
  const pmd::SteeredRange ports = pmd::SplitRange(tcp.ephemeral_first, tcp.ephemeral_last, options.workers).at(index);
  tcp.ephemeral_first = ports.first;
  tcp.ephemeral_last = ports.last;
  return tcp;
}

}  // namespace

tcp::StackConfig ProfileOf(const RuntimeOptions& options) {
  return options.tcp_profile == TcpProfile::kRfc ? tcp::StackConfig::Rfc() : tcp::StackConfig::DataCentre();
}

RuntimeWorker::RuntimeWorker(const WorkerPlace& place) : place_(place) {}

absl::StatusOr<std::unique_ptr<RuntimeWorker>> RuntimeWorker::Create(const WorkerPlace& place) {
  std::unique_ptr<RuntimeWorker> worker(new RuntimeWorker(place));
  if (absl::Status status = worker->InitNetwork(); !status.ok()) return status;
  if (absl::Status status = worker->InitTcp(); !status.ok()) return status;
  if (absl::Status status = worker->InitLoop(); !status.ok()) return status;
  if (absl::Status status = worker->HearKernelsIcmp(); !status.ok()) return status;
  return worker;
}

RuntimeWorker::~RuntimeWorker() {
  kernel_icmp_.reset();
  if (stats_printer_ != nullptr) stats_printer_->Print();
}

absl::Status RuntimeWorker::InitNetwork() {
  const RuntimeOptions& options = *place_.options;
  const pmd::Capabilities& capabilities = place_.io->capabilities();
  ip::EgressConfig egress_config;
  egress_config.capabilities = capabilities;
  egress_config.addresses = place_.addresses;
  for (const auto& [address, mac] : options.neighbours) egress_config.static_neighbours.SetPermanent(address, mac);

  ip::EgressSources sources;
  if (place_.kernel_routes != nullptr) {
    sources.routes = place_.kernel_routes;
    sources.kernel_neighbours = place_.kernel_neighbours;
  } else {
    ip::RouteTable::Builder routes;
    for (const wire::Ipv4Prefix& address : place_.addresses) routes.AddInterface(address);
    for (const wire::Ipv4Address& gateway : options.gateways) routes.AddDefault(gateway);
    static_routes_.Publish(routes.Build());
    sources.routes = &static_routes_;
    arp_ = std::make_unique<ip::Arp>(
        ip::ArpConfig{.mac = capabilities.mac, .addresses = place_.addresses, .defends = place_.index == 0},
        place_.slab, place_.drops);
    sources.arp = arp_.get();
  }
  ingress_ = std::make_unique<ip::Ingress>(
      ip::IngressConfig{
          .mac = capabilities.mac, .addresses = place_.addresses, .trust_rx_checksum = capabilities.trust_rx_checksum},
      place_.drops);
  egress_ = std::make_unique<ip::Egress>(egress_config, sources, place_.drops);
  return absl::OkStatus();
}

absl::Status RuntimeWorker::InitTcp() {
  const RuntimeOptions& options = *place_.options;
  tcp::StackConfig tcp = TcpConfig(options, place_.index, place_.io->capabilities());
  if (absl::Status status = tcp::Validate(tcp); !status.ok()) return status;
  // Zones for segment headers that nobody else can take: acknowledgements and retransmissions are what frees memory.
  const size_t headers = std::max(kReservedHeaders / options.workers, kLeastReservedHeaders);
  if (absl::Status status = place_.slab->Reserve(pmd::kTxHeadroomBytes + tcp::kMaxTcpHeaderBytes, headers);
      !status.ok()) {
    return absl::Status(status.code(), absl::StrCat("--memory_mb=", options.memory_mb, ": ", status.message()));
  }
  auto secret = RandomSecret();
  if (!secret.ok()) return secret.status();
  tcp.secret = *secret;
  stack_ = std::make_unique<tcp::Stack>(tcp, *place_.slab, *place_.drops, place_.clock->Now());
  return absl::OkStatus();
}

absl::Status RuntimeWorker::InitLoop() {
  const RuntimeOptions& options = *place_.options;
  auto poller = r2c::KernelPoller::Create();
  if (!poller.ok()) return poller.status();
  poller_ = *std::move(poller);
  r2c::WorkerParts parts;
  parts.clock = place_.clock;
  parts.io = place_.io;
  parts.slab = place_.slab;
  parts.ingress = ingress_.get();
  parts.egress = egress_.get();
  parts.stack = stack_.get();
  parts.arp = arp_.get();
  parts.resolver = place_.resolver;
  parts.poller = poller_.get();
  parts.mailbox = place_.mailbox;
  parts.device_memory_short = place_.device_memory_short;
  parts.slab_is_devices = place_.index == 0;
  worker_ = std::make_unique<r2c::Worker>(parts, WorkerOptionsOf(options));
  if (options.idle_spin != Duration::Infinite()) {
    stop_waker_ = std::make_unique<r2c::WakeOnly>();
    if (absl::Status status = poller_->Add(StopFd(), EPOLLIN | EPOLLET, stop_waker_.get()); !status.ok()) return status;
    sleeper_ = std::make_unique<r2c::KernelSleeper>();
    idler_ =
        std::make_unique<r2c::Idler>(*worker_, *place_.clock, *sleeper_, r2c::IdleOptions{.spin = options.idle_spin});
  }
  if (options.stats_interval > Duration::Zero()) {
    stats_printer_ = std::make_unique<StatsPrinter>(stats_sources(), *worker_, options.stats_interval, stdout);
  }
  return absl::OkStatus();
}

StatsSources RuntimeWorker::stats_sources() const {
  return {.index = place_.index,
          .stack = *stack_,
          .slab = *place_.slab,
          .io = *place_.io,
          .worker = *worker_,
          .idler = idler_.get(),
          .mailbox = place_.mailbox,
          .drops = *place_.drops};
}

// Each worker has a raw socket, and each hears all errors: it takes those that would be its own as frames.
absl::Status RuntimeWorker::HearKernelsIcmp() {
  if (place_.kernel_routes == nullptr) return absl::OkStatus();
  auto icmp = KernelIcmp::Open(*poller_, [this](const tcp::IcmpError& error) {
    if (place_.steered != nullptr && place_.steered->QueueOf(error.tuple) != place_.index) return;
    stack_->OnIcmpError(error, worker_->now());
  });
  if (!icmp.ok()) {
    return absl::Status(icmp.status().code(), absl::StrCat("--device=", place_.options->device, ": ",
                                                           icmp.status().message(), "; run as root"));
  }
  kernel_icmp_ = *std::move(icmp);
  return absl::OkStatus();
}

bool RuntimeWorker::OwnsPort(uint16_t port) const {
  return place_.steered == nullptr || place_.steered->IsPortOf(place_.index, port);
}

absl::Status RuntimeWorker::AdmitPort(uint16_t port) {
  absl::Status status = place_.admit(port);
  return absl::Status(status.code(), status.ok() ? "" : absl::StrCat("--port=", port, ": ", status.message()));
}

absl::Status RuntimeWorker::Listen(uint16_t port, r2c::Handler& handler, const r2c::Delivery& delivery) {
  absl::StatusOr<tcp::Listener*> listener =
      worker_->Listen({wire::IpAddress(), port}, handler, delivery, tcp::ListenOptions());
  if (!listener.ok()) {
    return absl::Status(listener.status().code(), absl::StrCat("--port=", port, ": ", listener.status().message()));
  }
  absl::Status status = AdmitPort(port);
  if (!status.ok()) worker_->StopListening(*listener);
  return status;
}

absl::StatusOr<tcp::Connection*> RuntimeWorker::Connect(const wire::Endpoint& remote, r2c::Handler& handler,
                                                        const r2c::Delivery& delivery) {
  return worker_->Connect(remote, handler, delivery);
}

void RuntimeWorker::Iterate() {
  const bool busy = worker_->RunOnce();
  if (idler_ != nullptr) idler_->AfterIteration(busy);
}

bool RuntimeWorker::WaitForLink(Duration limit) {
  const std::atomic<bool>& stop = StopRequested();
  const Time deadline = place_.clock->Now() + limit;
  while (!place_.io->link_up() && worker_->now() < deadline && !stop.load(std::memory_order_relaxed)) Iterate();
  return place_.io->link_up();
}

void RuntimeWorker::RunAndDrain(const std::function<bool()>& done, const std::function<void()>& on_stop) {
  const std::atomic<bool>& stop = StopRequested();
  const auto finished = [&done] { return done && done(); };
  while (!stop.load(std::memory_order_relaxed) && !finished()) Iterate();
  if (on_stop && !finished()) {
    on_stop();
    const Time deadline = place_.clock->Now() + drain_limit();
    while (worker_->now() < deadline && !finished()) Iterate();
  }
  const size_t reset = worker_->Drain(drain_limit());
  if (reset > 0) LOG(WARNING) << reset << " connections did not close within --drain and were reset";
}

}  // namespace luna::apps
