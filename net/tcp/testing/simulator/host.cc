#include "luna/net/tcp/testing/simulator/host.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/net/ip/finish_checksum.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/tcp/testing/simulator/recycled_pages.h"
#include "luna/net/tcp/testing/simulator/simulation.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp::simulator {
namespace {

// What is due at once (an application that waits for memory) costs the time of a loop.
constexpr Duration kLoop = Duration::Microseconds(1);

bool IsReset(const Packet& packet) {
  return packet.bytes.size() >= wire::TcpHeader::kSize && (packet.octets()[13] & wire::TcpFlags::kRst) != 0;
}

std::unique_ptr<zbuf::Arena> NewArena(size_t bytes) {
  auto arena = zbuf::Arena::Create(RecycledPages::OfThisThread(), {.size_bytes = bytes, .name = "simulated"});
  CHECK(arena.ok()) << arena.status();
  return *std::move(arena);
}

}  // namespace

Host::Memory::Memory(size_t bytes) : arena(NewArena(bytes)), slab(*arena, {.name = "simulated"}) {}

Host::Host(Simulation& simulation, wire::Ipv4Address address, const HostOptions& options)
    : simulation_(simulation),
      address_(address),
      options_(options),
      memory_(options.memory_bytes),
      device_memory_(options.memory_bytes),
      egress_(simulation.environment(), simulation.middle()),
      ingress_(simulation.environment(), *this),
      checker_([this](const std::string& what) { simulation_.Fail(what); }) {
  stack_ = NewStack();
}

Host::~Host() {
  on_event = nullptr;
  stack_.reset();
}

std::unique_ptr<Stack> Host::NewStack() {
  StackConfig config = options_.config;
  Random secret(simulation_.seed(), uint64_t{address_.value()} << 16 | ++boots_);
  config.secret = {secret.Next(), secret.Next()};
  return std::make_unique<Stack>(config, memory_.slab, drops_, clock());
}

Time Host::clock() const { return simulation_.now() + clock_offset_; }

void Host::At(Time when, std::function<void()> action) {
  simulation_.At(when, [this, action = std::move(action)]() mutable {
    if (simulation_.now() < stalled_until_) {
      waiting_actions_.push_back(std::move(action));
      return;
    }
    action();
    Poll();
  });
}

void Host::After(Duration delay, std::function<void()> action) { At(simulation_.now() + delay, std::move(action)); }

void Host::Stall(Duration duration) {
  stalled_until_ = std::max(stalled_until_, simulation_.now() + duration);
  simulation_.At(stalled_until_, [this] { Poll(); });
}

void Host::Reboot() {
  ring_.clear();
  waiting_actions_.clear();
  simulation_.wire().Forget(address_);
  checker_.Forget();
  stack_.reset();
  stack_ = NewStack();
  if (on_reboot) on_reboot();
  Poll();
}

void Host::Take(Packet&& packet) {
  if (simulation_.now() < stalled_until_ || !options_.flush_in_line) {
    if (ring_.size() >= options_.ring) {
      ++ring_drops_;
      return;
    }
    ring_.push_back(std::move(packet));
    if (!polls_later_) {
      polls_later_ = true;
      simulation_.At(std::max(simulation_.now(), stalled_until_), [this] {
        polls_later_ = false;
        Poll();
      });
    }
    return;
  }
  Ingest(packet);
  simulation_.environment().GiveBuffer(std::move(packet.bytes));
  Round();
}

void Host::Poll() {
  if (simulation_.now() < stalled_until_) return;
  while (!waiting_actions_.empty()) {
    const auto action = std::move(waiting_actions_.front());
    waiting_actions_.pop_front();
    action();
  }
  while (!ring_.empty()) {
    Packet packet = std::move(ring_.front());
    ring_.pop_front();
    Ingest(packet);
    simulation_.environment().GiveBuffer(std::move(packet.bytes));
    if (options_.flush_in_line) Round();
  }
  Round();
}

void Host::Ingest(const Packet& packet) {
  simulation_.Hash(packet);
  ip::Datagram datagram;
  datagram.source = packet.source;
  datagram.destination = packet.destination;
  datagram.protocol = ip::kProtocolTcp;
  datagram.ttl = 64;
  datagram.ecn = packet.ecn;
  datagram.packet.rx.arrival = clock();
  auto chain = zbuf::ZChain::CopyFrom(device_memory_.slab, packet.bytes);
  if (!chain.has_value()) {
    ++ring_drops_;
    return;
  }
  ingested_reset_ = IsReset(packet) ? wire::LoadBe32(packet.octets().data()) : 0;
  datagram.packet.data = std::move(*chain);
  Handle(stack_->Ingest(std::move(datagram), clock()));
}

void Host::Handle(const Event& event) {
  if (event && on_event) on_event(event);
}

void Host::Round() {
  while (const Event event = stack_->NextEvent(clock())) Handle(event);
  FlushAll();
  stack_->Reap();
  checker_.Check(*stack_, false);
  ingested_reset_ = 0;
  PlanWake();
}

void Host::FlushAll() {
  batch_.clear();
  stack_->Flush(clock(), options_.flush_limit, &batch_);
  if (batch_.size() > options_.flush_limit) simulation_.Fail("Flush() gave more than its limit");
  for (ip::OutDatagram& datagram : batch_) Emit(std::move(datagram));
}

void Host::Emit(ip::OutDatagram datagram) {
  ip::FinishChecksum(datagram);
  Packet packet;
  packet.source = datagram.source.v4();
  packet.destination = datagram.destination.v4();
  packet.ecn = datagram.ecn;
  packet.bytes = simulation_.environment().TakeBuffer();
  for (const zbuf::ZSlice& slice : datagram.packet.data) {
    packet.bytes.append(reinterpret_cast<const char*>(slice.data()), slice.length);
  }
  datagram.packet.data.Clear();
  simulation_.OnEmitted(*this, packet);
  if (ingested_reset_ != 0 && IsReset(packet)) {
    const uint32_t ports = wire::LoadBe32(packet.octets().data());
    if (ingested_reset_ == (ports << 16 | ports >> 16)) simulation_.Fail("a RST answers a RST");
  }
  egress_.Take(std::move(packet));
}

void Host::PlanWake() {
  const Time deadline = stack_->NextDeadline();
  Time when = deadline.is_infinite() ? deadline : std::max(deadline - clock_offset_, simulation_.now() + kLoop);
  if (stack_->HasOutput()) when = simulation_.now() + kLoop;
  if (when >= wake_) return;
  wake_ = when;
  simulation_.At(when, [this, when] {
    if (wake_ != when) return;  // an earlier one came between
    wake_ = Time::Infinite();
    Poll();
    PlanWake();
  });
}

bool Host::IsHome() {
  memory_.slab.DrainReturns();
  device_memory_.slab.DrainReturns();
  return stack_->connections() == 0 && stack_->time_wait() == 0 && !stack_->HasOutput() && ring_.empty() &&
         memory_.slab.outstanding() == stack_->reserved_objs() && device_memory_.slab.outstanding() == 0;
}

std::string Host::Describe() {
  std::string text =
      absl::StrCat(address_.ToString(), " out=", memory_.slab.outstanding(), "+", device_memory_.slab.outstanding(),
                   " time-wait=", stack_->time_wait(), " ring-drops=", ring_drops_, " drops: ", drops_.ToString());
  stack_->ForEachConnection([&](Connection& connection) { absl::StrAppend(&text, "\n  ", connection.ToString()); });
  return text;
}

}  // namespace luna::tcp::simulator
