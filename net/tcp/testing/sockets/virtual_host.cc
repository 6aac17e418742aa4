#include "luna/net/tcp/testing/sockets/virtual_host.h"

#include <algorithm>
#include <utility>

#include "glog/logging.h"
#include "luna/net/pmd/packet.h"

namespace luna::tcp::testing {
namespace {

constexpr size_t kFlushLimit = 4096;
// Rounds of one Pump() or StepTo(): more means that a deadline stays due.
constexpr int kMostRounds = 1000000;
constexpr Duration kTick = Duration::Nanoseconds(1);

}  // namespace

VirtualHost::VirtualHost(const VirtualHostOptions& options)
    : Sockets(options.profile, options.fds), address_(options.address), now_(options.start) {
  auto arena = zbuf::Arena::Create(pages_, {.size_bytes = options.memory_bytes, .name = "virtual host"});
  CHECK(arena.ok()) << arena.status();
  arena_ = *std::move(arena);
  slab_ = std::make_unique<zbuf::Slab>(*arena_, zbuf::SlabOptions{.name = "virtual host"});
}

VirtualHost::~VirtualHost() { VirtualHost::TearDown(); }

Stack& VirtualHost::stack_of_sockets() {
  if (stack_ == nullptr) stack_ = std::make_unique<Stack>(profile().stack, *slab_, drops_, now_);
  return *stack_;
}

absl::Status VirtualHost::SetSysctl(absl::string_view name, absl::string_view value) {
  if (name == "luna.refuse_packets") {
    set_refuse_packets(value != "0");
    return absl::OkStatus();
  }
  return ApplySysctl(name, value, &mutable_settings());
}

Time VirtualHost::NextDeadline() const { return stack_ == nullptr ? Time::Infinite() : stack_->NextDeadline(); }

Time VirtualHost::NextWake() const { return std::min(NextDeadline(), NextWaitDeadline()); }

void VirtualHost::StepTo(Time when) {
  now_ = std::max(now_, when);
  Pump();
}

void VirtualHost::AdvanceTo(Time when) {
  for (int round = 0; NextWake() <= when; ++round) {
    CHECK_LT(round, kMostRounds) << "a deadline stays due at " << now_.nanoseconds();
    if (NextWake() <= now_ && now_ + kTick > when) break;
    StepTo(std::max(NextWake(), round == 0 ? now_ : now_ + kTick));
  }
  now_ = std::max(now_, when);
  Pump();
}

bool VirtualHost::StepToNextPacket(Time cap) {
  for (int round = 0; packets_.empty(); ++round) {
    CHECK_LT(round, kMostRounds) << "a deadline stays due at " << now_.nanoseconds();
    const Time next = std::max(NextWake(), round == 0 ? now_ : now_ + kTick);
    if (next > cap) {
      now_ = std::max(now_, cap);
      return false;
    }
    StepTo(next);
  }
  return true;
}

std::optional<VirtualHost::Packet> VirtualHost::NextPacket() {
  if (packets_.empty()) return std::nullopt;
  Packet packet = std::move(packets_.front());
  packets_.pop_front();
  return packet;
}

void VirtualHost::Pump() {
  if (stack_ != nullptr) {
    for (int round = 0; round < kMostRounds; ++round) {
      while (const Event event = stack_->NextEvent(now_)) Handle(event);
      ip::OutBatch batch;
      stack_->Flush(now_, kFlushLimit, &batch);
      for (ip::OutDatagram& datagram : batch) Emit(std::move(datagram));
      stack_->Reap();
      if (batch.empty()) break;
    }
  }
  if (in_change_ || !on_change) return;
  in_change_ = true;
  on_change();
  in_change_ = false;
}

VirtualHost::Remains VirtualHost::TearDown() {
  Remains remains{.packets = packets_.size()};
  on_change = nullptr;
  if (stack_ != nullptr) {
    remains.connections = stack_->connections();
  }
  ForgetAll([](Connection&) {});
  packets_.clear();
  stack_.reset();
  if (slab_ != nullptr) {
    slab_->DrainReturns();
    remains.objs = slab_->outstanding();
  }
  return remains;
}

}  // namespace luna::tcp::testing
