#include "luna/sched/r2c/testing/two_hosts.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/string_view.h"
#include "glog/logging.h"

namespace luna::r2c {
namespace {

constexpr wire::Ipv4Prefix kAddressA(wire::Ipv4Address(10, 0, 0, 1), 24);
constexpr wire::Ipv4Prefix kAddressB(wire::Ipv4Address(10, 0, 0, 2), 24);

tcp::StackConfig WithOffloads(tcp::StackConfig config, const pmd::Capabilities& capabilities) {
  UseOffloads(capabilities, &config);
  return config;
}

WorkerOptions WithModelOfTheEnvironment(WorkerOptions options) {
  const char* const model = std::getenv("LUNA_TEST_MODEL");
  if (model == nullptr) return options;
  CHECK(absl::string_view(model) == "batch") << "LUNA_TEST_MODEL=" << model;
  options.model = Model::kBatch;
  return options;
}

}  // namespace

TestHost::TestHost(Clock& clock, pmd::PacketIo& io, zbuf::Slab& slab, const wire::Ipv4Prefix& address,
                   const tcp::StackConfig& config, const WorkerOptions& options, const WorkerParts& more)
    : address_(address),
      slab_(slab),
      arp_({.mac = io.capabilities().mac, .addresses = {address}}, &slab, &drops_),
      ingress_({.mac = io.capabilities().mac,
                .addresses = {address},
                .trust_rx_checksum = io.capabilities().trust_rx_checksum},
               &drops_),
      egress_({.capabilities = io.capabilities(), .addresses = {address}}, Sources(), &drops_),
      stack_(WithOffloads(config, io.capabilities()), slab, drops_, clock.Now()),
      worker_(Parts(clock, io, more), options) {}

ip::EgressSources TestHost::Sources() {
  routes_.Publish(ip::RouteTable::Builder().AddInterface(address_).Build());
  ip::EgressSources sources;
  sources.routes = &routes_;
  sources.arp = &arp_;
  return sources;
}

WorkerParts TestHost::Parts(Clock& clock, pmd::PacketIo& io, WorkerParts parts) {
  parts.clock = &clock;
  parts.io = &io;
  parts.slab = &slab_;
  parts.ingress = &ingress_;
  parts.egress = &egress_;
  parts.stack = &stack_;
  parts.arp = &arp_;
  return parts;
}

TwoHosts::TwoHosts(const TwoHostsOptions& options)
    : slab_a_(options.memory_bytes, {.name = "host a"}),
      slab_b_(options.memory_bytes, {.name = "host b"}),
      link_(slab_a_.slab(), slab_b_.slab(), options.wire),
      a_(clock_, link_.a(), slab_a_.slab(), kAddressA, options.tcp, WithModelOfTheEnvironment(options.worker)),
      b_(clock_, link_.b(), slab_b_.slab(), kAddressB, options.tcp, WithModelOfTheEnvironment(options.worker),
         {.mailbox = options.mailbox_b}) {}

bool TwoHosts::Step() {
  link_.Advance(clock_.Now());
  const bool a_busy = a_.worker().RunOnce();
  const bool b_busy = b_.worker().RunOnce();
  return a_busy || b_busy;
}

bool TwoHosts::RunUntil(const std::function<bool()>& done, Duration limit) {
  const Time end = clock_.Now() + limit;
  while (!done()) {
    if (Step()) {
      clock_.Advance(Duration::Nanoseconds(100));  // work takes time; a clock that stood still would hide ordering bugs
      continue;
    }
    const Time next = std::min({link_.NextDeadline(), a_.worker().NextDeadline(), b_.worker().NextDeadline()});
    if (clock_.Now() >= end || next > end) return done();
    clock_.AdvanceTo(std::max(next, clock_.Now() + Duration::Nanoseconds(100)));
  }
  return true;
}

bool TwoHosts::RunUntilQuiet(Duration limit) {
  const auto quiet = [](TestHost& host) {
    return host.stack().connections() == 0 && host.stack().time_wait() == 0 && !host.stack().HasOutput();
  };
  return RunUntil([&] { return quiet(a_) && quiet(b_) && link_.Idle(); }, limit);
}

}  // namespace luna::r2c
