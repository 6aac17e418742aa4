#include "luna/net/pmd/steering.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "glog/logging.h"
#include "luna/net/pmd/decorator.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/ethernet.h"
#include "luna/net/wire/icmpv4.h"
#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/parse_result.h"

namespace luna::pmd {
namespace {

// Ethernet with a tag, IPv4, ICMP, and of the segment that it quotes IPv4 and the ports: 18 + 60 + 8 + 60 + 4.
constexpr size_t kLookedAt = 150;
constexpr size_t kPortsBytes = 4;
constexpr size_t kBurst = 32;

struct End {
  uint32_t address;
  uint16_t port;
};
struct Ends {
  End source;
  End destination;
};

// Of the TCP segment in `packet`; false: it is none, or a later fragment.
bool EndsOf(absl::Span<const uint8_t> packet, Ends* ends) {
  if (packet.size() < wire::Ipv4Header::kSize || packet[0] >> 4 != 4) return false;
  const size_t header = size_t{packet[0] & 0xfu} * 4;
  const bool later = (wire::LoadBe16(packet.data() + 6) & 0x1fff) != 0;
  if (packet[9] != wire::IpProtocol::kTcp || later) return false;
  if (header < wire::Ipv4Header::kSize || packet.size() < header + kPortsBytes) return false;
  *ends = {{wire::LoadBe32(packet.data() + 12), wire::LoadBe16(packet.data() + header)},
           {wire::LoadBe32(packet.data() + 16), wire::LoadBe16(packet.data() + header + 2)}};
  return true;
}

// The message of an ICMP error; empty: it is none.
absl::Span<const uint8_t> QuoteOf(absl::Span<const uint8_t> packet) {
  if (packet.size() < wire::Ipv4Header::kSize || packet[0] >> 4 != 4) return {};
  const size_t header = size_t{packet[0] & 0xfu} * 4;
  if (packet[9] != wire::IpProtocol::kIcmp || packet.size() < header + wire::Icmpv4Header::kSize) {
    return {};
  }
  return packet.subspan(header + wire::Icmpv4Header::kSize);
}

}  // namespace

std::vector<SteeredRange> SplitRange(uint16_t first, uint16_t last, size_t parts) {
  const size_t ports = size_t{last} - first + 1;
  CHECK(first <= last && parts > 0 && ports >= parts) << ports << " ports for " << parts;
  std::vector<SteeredRange> ranges;
  for (size_t i = 0; i < parts; ++i) {
    ranges.push_back({static_cast<uint16_t>(first + i * (ports / parts)),
                      i + 1 == parts ? last : static_cast<uint16_t>(first + (i + 1) * (ports / parts) - 1)});
  }
  return ranges;
}

// The thread that polls the device.
class SteeredDevice::First final : public PacketIoDecorator {
 public:
  explicit First(SteeredDevice& steered)
      : PacketIoDecorator(steered.device_), steered_(steered), given_(steered.queues()) {}

  size_t ReceiveBurst(absl::Span<Packet> out, Time now) override {
    steered_.link_up_.store(inner().link_up(), std::memory_order_relaxed);
    const size_t received = inner().ReceiveBurst(out, now);
    size_t kept = 0;
    for (Packet& packet : out.first(received)) {
      const size_t queue = steered_.QueueOf(packet);
      if (queue == kEverybody) {
        for (size_t i = 1; i < steered_.queues(); ++i) Give(i, {packet.data.Share(), packet.rx, packet.tx});
      } else if (queue != 0) {
        Give(queue, std::exchange(packet, Packet()));
        continue;
      }
      if (&packet != &out[kept]) out[kept] = std::exchange(packet, Packet());
      ++kept;
    }
    if (any_given_) RingBells();
    return kept;
  }

  // Sends what the others have, too: a burst of each, in turn.
  size_t Reclaim() override {
    const size_t others = steered_.queues() - 1;
    for (size_t k = 0; k < others && leaving_.size() < kBurst; ++k) {
      Ring& ring = steered_.rings_[1 + (turn_ + k) % others]->from;
      Packet packet;
      for (size_t n = 0; n < kBurst && ring.TryPop(&packet); ++n) leaving_.push_back(std::exchange(packet, Packet()));
    }
    ++turn_;
    if (!leaving_.empty()) {
      const size_t sent = inner().TransmitBurst(absl::MakeSpan(leaving_));
      leaving_.erase(leaving_.begin(), leaving_.begin() + static_cast<std::ptrdiff_t>(sent));
      forwarded_ += sent;
    }
    size_t waiting = leaving_.size();
    for (size_t i = 1; i <= others; ++i) waiting += steered_.rings_[i]->from.size();
    return inner().Reclaim() + waiting;
  }

  size_t TakeForwarded() override { return std::exchange(forwarded_, 0); }
  bool PrepareToSleep() override {
    Bell& bell = *steered_.rings_[0]->bell;
    bell.Expect();
    const auto sends = [](const std::unique_ptr<Rings>& rings) { return !rings->from.empty(); };
    if (std::none_of(steered_.rings_.begin() + 1, steered_.rings_.end(), sends) && inner().PrepareToSleep())
      return true;
    bell.Answer();
    return false;
  }
  void OnSlept(Duration slept) override {
    steered_.rings_[0]->bell->Answer();
    inner().OnSlept(slept);
  }

 private:
  void Give(size_t queue, Packet packet) {
    Rings& rings = *steered_.rings_[queue];
    if (!rings.to.TryPush(std::move(packet))) rings.refused.fetch_add(1, std::memory_order_relaxed);
    given_[queue] = any_given_ = true;
    ++forwarded_;
  }

  // Once for a burst.
  void RingBells() {
    for (size_t i = 1; i < given_.size(); ++i) {
      if (std::exchange(given_[i], 0) != 0) steered_.rings_[i]->bell->Ring();
    }
    any_given_ = false;
  }

  SteeredDevice& steered_;
  std::vector<uint8_t> given_;  // which queues got something of this burst
  bool any_given_ = false;
  size_t forwarded_ = 0;
  std::vector<Packet> leaving_;  // taken from the others' rings; the device had no room
  size_t turn_ = 0;
};

class SteeredDevice::Other final : public PacketIo {
 public:
  Other(SteeredDevice& steered, size_t queue)
      : steered_(steered), rings_(*steered.rings_[queue]), capabilities_(steered.device_.capabilities()) {
    capabilities_.poll_fd = rings_.bell->fd();
  }

  size_t ReceiveBurst(absl::Span<Packet> out, Time now) override {
    size_t received = 0;
    while (received < out.size() && rings_.to.TryPop(&out[received])) {
      out[received].rx.arrival = now;
      ++stats_.rx_packets;
      stats_.rx_bytes += out[received].bytes();
      ++received;
    }
    return received;
  }
  size_t TransmitBurst(absl::Span<Packet> packets) override {
    size_t sent = 0;
    for (; sent < packets.size(); ++sent) {
      const uint32_t bytes = packets[sent].bytes();
      if (!rings_.from.TryPush(std::move(packets[sent]))) break;
      packets[sent] = Packet();
      ++stats_.tx_packets;
      stats_.tx_bytes += bytes;
    }
    stats_.tx_full += packets.size() - sent;
    if (sent > 0) steered_.rings_[0]->bell->Ring();
    return sent;
  }
  size_t Reclaim() override { return rings_.from.size(); }
  bool PrepareToSleep() override {
    rings_.bell->Expect();
    if (rings_.to.empty()) return true;
    rings_.bell->Answer();
    return false;
  }
  void OnSlept(Duration) override { rings_.bell->Answer(); }
  bool link_up() const override { return steered_.link_up_.load(std::memory_order_relaxed); }
  const Capabilities& capabilities() const override { return capabilities_; }
  const IoStats& stats() const override {
    stats_.rx_dropped = rings_.refused.load(std::memory_order_relaxed);
    return stats_;
  }

 private:
  SteeredDevice& steered_;
  Rings& rings_;
  Capabilities capabilities_;
  mutable IoStats stats_;
};

absl::StatusOr<std::unique_ptr<SteeredDevice>> SteeredDevice::Create(PacketIo& device, const SteeringOptions& options) {
  CHECK(options.queues >= 1 && options.queues < kByHash) << options.queues << " queues";
  CHECK(options.client_ranges.empty() || options.client_ranges.size() == options.queues);
  std::vector<std::unique_ptr<Bell>> bells;
  for (size_t i = 0; i < options.queues; ++i) {
    absl::StatusOr<std::unique_ptr<Bell>> bell = Bell::Create();
    if (!bell.ok()) return bell.status();
    bells.push_back(*std::move(bell));
  }
  return absl::WrapUnique(new SteeredDevice(device, options, std::move(bells)));
}

SteeredDevice::SteeredDevice(PacketIo& device, const SteeringOptions& options, std::vector<std::unique_ptr<Bell>> bells)
    : device_(device) {
  for (std::atomic<uint8_t>& queue : queue_of_port_) queue.store(kByHash, std::memory_order_relaxed);
  for (size_t i = 0; i < options.client_ranges.size(); ++i) {
    const auto [first, last] = options.client_ranges[i];
    for (uint32_t port = first; port <= last; ++port)
      queue_of_port_[port].store(static_cast<uint8_t>(i), std::memory_order_relaxed);
  }
  for (size_t i = 0; i < options.queues; ++i) {
    rings_.push_back(std::make_unique<Rings>(options.ring_frames, std::move(bells[i])));
  }
  queues_.push_back(std::make_unique<First>(*this));
  for (size_t i = 1; i < options.queues; ++i) queues_.push_back(std::make_unique<Other>(*this, i));
}

SteeredDevice::~SteeredDevice() = default;

PacketIo& SteeredDevice::queue(size_t i) { return *queues_.at(i); }

// Multiplicative hashing (Knuth, TAOCP 3, 6.4): the high bits of the product are spread well for keys that follow each
// other, whatever the step.
size_t SteeredDevice::QueueOf(uint16_t our_port, uint32_t peers_address, uint16_t peers_port) const {
  constexpr uint32_t kGoldenRatio = 2654435769u;  // 2^32 / phi
  const uint8_t queue = queue_of_port_[our_port].load(std::memory_order_relaxed);
  if (queue != kByHash) return queue;
  const uint32_t hash = (peers_address * kGoldenRatio + peers_port) * kGoldenRatio;
  return static_cast<size_t>(uint64_t{hash} * rings_.size() >> 32);
}

size_t SteeredDevice::QueueOf(const wire::FourTuple& tuple) const {
  return QueueOf(tuple.local.port, tuple.remote.address.v4().value(), tuple.remote.port);
}

size_t SteeredDevice::QueueOf(const Packet& packet) const {
  std::array<std::byte, kLookedAt> copy;
  absl::Span<const std::byte> front = packet.data.empty() ? absl::Span<const std::byte>() : packet.data.front();
  if (const size_t wanted = std::min<size_t>(kLookedAt, packet.bytes()); front.size() < wanted) {
    packet.data.CopyTo(absl::MakeSpan(copy).first(wanted));
    front = absl::MakeConstSpan(copy).first(wanted);
  }
  const absl::Span<const uint8_t> frame(reinterpret_cast<const uint8_t*>(front.data()), front.size());
  wire::EthernetHeader ethernet;
  if (wire::Parse(frame, &ethernet) != wire::ParseResult::kOk) return 0;
  const absl::Span<const uint8_t> payload = frame.subspan(std::min(ethernet.size(), frame.size()));
  if (ethernet.ether_type == wire::EtherType::kArp) return kEverybody;
  if (ethernet.ether_type != wire::EtherType::kIpv4) return 0;
  Ends ends;
  if (EndsOf(payload, &ends)) return QueueOf(ends.destination.port, ends.source.address, ends.source.port);
  if (EndsOf(QuoteOf(payload), &ends)) {
    return QueueOf(ends.source.port, ends.destination.address, ends.destination.port);
  }
  return 0;
}

}  // namespace luna::pmd
