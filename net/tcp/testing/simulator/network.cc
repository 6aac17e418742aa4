#include "luna/net/tcp/testing/simulator/network.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/types/span.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/checksum.h"
#include "luna/net/wire/parse_result.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp::simulator {
namespace {

using wire::TcpFlags;
using wire::TcpHeader;

constexpr size_t kIpHeaderBytes = 20;

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

uint8_t* Data(std::string& text) { return reinterpret_cast<uint8_t*>(text.data()); }

// The quoted datagram of an ICMP error: its IP header and eight octets (RFC 792).
std::string TooBig(const Packet& packet, uint16_t mtu) {
  std::string icmp(8 + kIpHeaderBytes + 8, '\0');
  uint8_t* p = Data(icmp);
  p[0] = 3, p[1] = 4;
  wire::StoreBe16(p + 6, mtu);
  uint8_t* quoted = p + 8;
  quoted[0] = 0x45;
  wire::StoreBe16(quoted + 2, static_cast<uint16_t>(kIpHeaderBytes + packet.bytes.size()));
  quoted[6] = 0x40;
  quoted[8] = 64, quoted[9] = ip::kProtocolTcp;
  wire::StoreBe32(quoted + 12, packet.source.value());
  wire::StoreBe32(quoted + 16, packet.destination.value());
  wire::StoreBe16(quoted + 10, static_cast<uint16_t>(~wire::ChecksumSum(absl::MakeConstSpan(quoted, kIpHeaderBytes))));
  std::copy_n(packet.bytes.begin(), 8, icmp.begin() + 8 + kIpHeaderBytes);
  wire::StoreBe16(p + 2, static_cast<uint16_t>(~wire::ChecksumSum(Bytes(icmp))));
  return icmp;
}

void MarkCe(Packet& packet) {
  if (packet.ecn != ip::Ecn::kNotEct) packet.ecn = ip::Ecn::kCe;
}

}  // namespace

bool IsOf(Which which, const Packet& packet) {
  if (which == Which::kAll) return true;
  TcpHeader header;
  if (wire::Parse(packet.octets(), &header) != wire::ParseResult::kOk) return false;
  const bool data = packet.bytes.size() > header.header_length;
  if (which == Which::kData) return data;
  return !data && !header.Has(TcpFlags::kSyn | TcpFlags::kFin | TcpFlags::kRst);
}

void Path::Join(std::unique_ptr<Part> part) {
  part->environment_ = &environment_;
  part->random_ = Random(environment_.seed, ++environment_.parts);
  part->next_ = &end_;
  if (!parts_.empty()) parts_.back()->next_ = part.get();
  parts_.push_back(std::move(part));
}

uint64_t Path::dropped() const {
  uint64_t sum = 0;
  for (const auto& part : parts_) sum += part->dropped();
  return sum;
}

void Loss::OnPacket(Packet&& packet) {
  if (IsOf(which_, packet) && random().Chance(probability_)) return Drop();
  Pass(std::move(packet));
}

void BurstLoss::OnPacket(Packet&& packet) {
  bad_ = bad_ ? !random().Chance(end_) : random().Chance(begin_);
  if (bad_ && random().Chance(in_bad_)) return Drop();
  Pass(std::move(packet));
}

void DropNth::OnPacket(Packet&& packet) {
  const uint64_t number = seen_++;
  if (std::find(which_.begin(), which_.end(), number) != which_.end()) return Drop();
  Pass(std::move(packet));
}

void Flap::OnPacket(Packet&& packet) {
  const int64_t phase = now().nanoseconds() % (up_ + down_).nanoseconds();
  if (phase >= up_.nanoseconds()) return Drop();
  Pass(std::move(packet));
}

void DeadPath::OnPacket(Packet&& packet) {
  uint64_t ports = 0;
  if (packet.bytes.size() >= 4) ports = wire::LoadBe32(packet.octets().data());
  const uint64_t hash = Random(ports, uint64_t{packet.source.value()} << 32 | packet.destination.value()).Next();
  if (hash % paths_ == dead_) return Drop();
  Pass(std::move(packet));
}

void DropLarger::OnPacket(Packet&& packet) {
  if (kIpHeaderBytes + packet.bytes.size() <= mtu_) return Pass(std::move(packet));
  Drop();
  if (tell_) tell_(packet, TooBig(packet, static_cast<uint16_t>(mtu_)));
}

void Reorder::OnPacket(Packet&& packet) {
  if (!random().Chance(probability_)) return Pass(std::move(packet));
  PassAt(now() + random().Upto(hold_), std::move(packet));
}

void Swap::OnPacket(Packet&& packet) {
  if (holds_) {
    holds_ = false;
    Packet held = std::move(held_);
    Pass(std::move(packet));
    return Pass(std::move(held));
  }
  if (!random().Chance(probability_)) return Pass(std::move(packet));
  holds_ = true;
  held_ = std::move(packet);
  At(now() + most_, [this, turn = ++turn_] {
    if (!holds_ || turn != turn_) return;
    holds_ = false;
    Pass(std::move(held_));
  });
}

void Duplicate::OnPacket(Packet&& packet) {
  if (random().Chance(probability_)) {
    for (uint64_t copies = random().Between(1, most_); copies > 0; --copies) {
      PassAt(now() + random().Upto(spread_), Packet(packet));
    }
  }
  Pass(std::move(packet));
}

void Corrupt::OnPacket(Packet&& packet) {
  if (!packet.bytes.empty() && random().Chance(probability_)) {
    packet.bytes[random().Below(packet.bytes.size())] ^= static_cast<char>(1u << random().Below(8));
  }
  Pass(std::move(packet));
}

void Forge::OnPacket(Packet&& packet) {
  TcpHeader header;
  if (random().Chance(probability_) && wire::Parse(packet.octets(), &header) == wire::ParseResult::kOk) {
    uint8_t* p = Data(packet.bytes);
    // Behind the ports; not the checksum, which is made anew.
    size_t at = 4 + random().Below(header.header_length - 4u - 2u);
    if (at >= 16) at += 2;
    p[at] = static_cast<uint8_t>(random().Next());
    wire::StoreBe16(p + 16, 0);
    wire::StoreBe16(p + 16, wire::TcpChecksum(packet.source, packet.destination, packet.octets()));
  }
  Pass(std::move(packet));
}

void Mark::OnPacket(Packet&& packet) {
  if (packet.ecn != ip::Ecn::kNotEct && random().Chance(probability_)) MarkCe(packet);
  Pass(std::move(packet));
}

Duration Delay::Jitter() {
  if (tail_ <= 0) return random().Upto(jitter_);
  const double factor = std::min(std::pow(1 - random().Unit(), -1 / tail_) - 1, 100.0);
  return Duration::Nanoseconds(static_cast<int64_t>(static_cast<double>(jitter_.nanoseconds()) * factor));
}

void Delay::OnPacket(Packet&& packet) {
  last_ = std::max(last_, now() + base_ + (jitter_ > Duration::Zero() ? Jitter() : Duration::Zero()));
  PassAt(last_, std::move(packet));
}

size_t Queue::Waiting() {
  while (first_ < departures_.size() && departures_[first_] <= now()) ++first_;
  if (first_ == departures_.size()) departures_.clear(), first_ = 0;
  if (first_ > 1024 && first_ * 2 > departures_.size()) {
    departures_.erase(departures_.begin(), departures_.begin() + static_cast<ptrdiff_t>(first_));
    first_ = 0;
  }
  return departures_.size() - first_;
}

void Queue::OnPacket(Packet&& packet) {
  const size_t waiting = Waiting();
  if (waiting >= packets_) return Drop();
  most_ = std::max(most_, waiting + 1);
  if (waiting >= mark_from_) MarkCe(packet);
  // With IP and Ethernet around it, preamble and gap included.
  constexpr uint64_t kFrameBytes = kIpHeaderBytes + 38;
  const auto nanoseconds = static_cast<int64_t>((packet.bytes.size() + kFrameBytes) * 8'000'000'000u / rate_);
  const Time begin = waiting == 0 ? now() : departures_.back();
  departures_.push_back(begin + Duration::Nanoseconds(nanoseconds));
  PassAt(departures_.back(), std::move(packet));
}

}  // namespace luna::tcp::simulator
