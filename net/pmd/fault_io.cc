#include "luna/net/pmd/fault_io.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "glog/logging.h"
#include "luna/net/pmd/packet_util.h"

namespace luna::pmd {
namespace {

enum Purpose : uint64_t { kDrop, kDuplicate, kCorrupt, kCorruptBit, kDelay };

// Frames that are held back come with later bursts, of which the device's descriptor knows nothing.
Capabilities WithoutDescriptor(Capabilities capabilities) {
  capabilities.poll_fd = -1;
  return capabilities;
}

Capabilities WithoutTxOffload(Capabilities capabilities) {
  capabilities.tx_ip_checksum = false;
  capabilities.tx_tcp_checksum = false;
  capabilities.tx_tso = false;
  return capabilities;
}

uint64_t DueBurst(uint64_t burst, const FaultRates& rates) { return burst + std::max(rates.delay_bursts, 1u); }

}  // namespace

FaultPacketIo::FaultPacketIo(PacketIo& inner, zbuf::Slab& slab, FaultOptions options)
    : PacketIoDecorator(inner),
      slab_(slab),
      options_(options),
      offload_hidden_(options.transmit.corrupt > 0),
      capabilities_(WithoutDescriptor(offload_hidden_ ? WithoutTxOffload(inner.capabilities()) : inner.capabilities())),
      receive_draws_(options.seed),
      transmit_draws_(~options.seed) {}

void FaultPacketIo::SetRates(const FaultRates& receive, const FaultRates& transmit) {
  CHECK(offload_hidden_ || !(transmit.corrupt > 0)) << "transmit.corrupt cannot be turned on later";
  options_.receive = receive;
  options_.transmit = transmit;
}

FaultPacketIo::Fate FaultPacketIo::Decide(const FaultRates& rates, const SeededDraws& draws, uint64_t index) {
  return {.drop = draws.Chance(rates.drop, index, kDrop),
          .duplicate = draws.Chance(rates.duplicate, index, kDuplicate),
          .corrupt = draws.Chance(rates.corrupt, index, kCorrupt),
          .delay = draws.Chance(rates.delay, index, kDelay)};
}

void FaultPacketIo::Corrupt(Packet& packet, const SeededDraws& draws, uint64_t index) {
  if (packet.bytes() == 0) return;
  FlipBit(packet, draws.Below(uint64_t{packet.bytes()} * 8, index, kCorruptBit));
  // The device looked at the frame before we did: its verdict would hide the fault.
  packet.rx.ip_checksum = ChecksumStatus::kUnknown;
  packet.rx.l4_checksum = ChecksumStatus::kUnknown;
}

size_t FaultPacketIo::ReceiveBurst(absl::Span<Packet> out, Time now) {
  ++receive_burst_;
  const size_t held = TakeHeldReceived(out, now);
  const size_t got = inner().ReceiveBurst(out.subspan(held), now);
  const uint64_t first_index = receive_stats_.frames;
  receive_stats_.frames += got;
  if (options_.receive.AllZero()) return held + got;
  size_t n = held;
  for (size_t i = 0; i < got; ++i) {
    Packet packet = std::exchange(out[held + i], Packet());
    if (ReceiveFaulted(packet, first_index + i)) out[n++] = std::move(packet);
  }
  return n;
}

size_t FaultPacketIo::TakeHeldReceived(absl::Span<Packet> out, Time now) {
  size_t n = 0;
  while (n < out.size() && !held_received_.empty() && held_received_.begin()->first <= receive_burst_) {
    out[n] = std::move(held_received_.begin()->second);
    out[n++].rx.arrival = now;
    held_received_.erase(held_received_.begin());
  }
  return n;
}

bool FaultPacketIo::ReceiveFaulted(Packet& packet, uint64_t index) {
  const Fate fate = Decide(options_.receive, receive_draws_, index);
  if (!fate.Any()) return true;
  FaultStats& stats = receive_stats_;
  if (fate.drop) {
    ++stats.dropped;
    packet = Packet();
    return false;
  }
  if (fate.duplicate) {
    std::optional<Packet> copy;
    if (held_received_.size() < options_.max_held) copy = CopyPacket(slab_, packet);
    ++(copy.has_value() ? stats.duplicated : stats.skipped);
    if (copy.has_value()) held_received_.emplace(receive_burst_ + 1, *std::move(copy));
  }
  if (fate.corrupt) {
    Corrupt(packet, receive_draws_, index);
    ++stats.corrupted;
  }
  if (!fate.delay) return true;
  if (held_received_.size() >= options_.max_held) {
    ++stats.skipped;
    return true;
  }
  ++stats.delayed;
  held_received_.emplace(DueBurst(receive_burst_, options_.receive), std::move(packet));
  return false;
}

size_t FaultPacketIo::TransmitBurst(absl::Span<Packet> packets) {
  FaultStats& stats = transmit_stats_;
  if (options_.transmit.AllZero()) {
    const size_t n = inner().TransmitBurst(packets);
    stats.frames += n;
    return n;
  }
  size_t i = 0;
  while (i < packets.size()) {
    // Frames that nothing happens to go together.
    size_t run = 0;
    Fate fate;
    while (i + run < packets.size()) {
      fate = Decide(options_.transmit, transmit_draws_, stats.frames + run);
      if (fate.Any()) break;
      ++run;
    }
    const size_t sent = run == 0 ? 0 : inner().TransmitBurst(packets.subspan(i, run));
    stats.frames += sent;
    i += sent;
    if (sent < run) return i;
    if (i == packets.size()) return i;
    if (!TransmitFaulted(packets[i], fate)) return i;
    ++stats.frames;
    ++i;
  }
  return i;
}

bool FaultPacketIo::TransmitFaulted(Packet& packet, const Fate& fate) {
  FaultStats& stats = transmit_stats_;
  if (fate.drop) {
    ++stats.dropped;
    packet = Packet();
    return true;
  }
  // Counts only change once the frame is on its way: a refused frame comes again and meets the same fate.
  std::optional<Packet> duplicate;
  if (fate.duplicate) duplicate = CopyPacket(slab_, packet);
  std::optional<Packet> corrupted;
  if (fate.corrupt) corrupted = CopyPacket(slab_, packet);
  if (corrupted.has_value()) Corrupt(*corrupted, transmit_draws_, stats.frames);
  Packet& out = corrupted.has_value() ? *corrupted : packet;

  const bool hold = fate.delay && held_sent_.size() < options_.max_held;
  if (hold) {
    held_sent_.emplace(DueBurst(transmit_burst_, options_.transmit), std::move(out));
  } else if (!SendOne(out)) {
    return false;
  }
  packet = Packet();
  const bool duplicated = duplicate.has_value() && SendOne(*duplicate);
  stats.duplicated += duplicated;
  stats.corrupted += corrupted.has_value();
  stats.delayed += hold;
  stats.skipped += (fate.duplicate && !duplicated) + (fate.corrupt && !corrupted.has_value()) + (fate.delay && !hold);
  return true;
}

size_t FaultPacketIo::Reclaim() {
  ++transmit_burst_;
  while (!held_sent_.empty() && held_sent_.begin()->first <= transmit_burst_) {
    if (!SendOne(held_sent_.begin()->second)) break;
    held_sent_.erase(held_sent_.begin());
  }
  return inner().Reclaim() + held_sent_.size();
}

}  // namespace luna::pmd
