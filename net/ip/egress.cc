#include "luna/net/ip/egress.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "luna/net/ip/chain_bytes.h"
#include "luna/net/ip/finish_checksum.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/ipv4.h"

namespace luna::ip {
namespace {

using stats::DropReason;
using wire::EthernetHeader;
using wire::IpAddress;
using wire::Ipv4Address;
using wire::Ipv4Header;

constexpr size_t kHeaderBytes = EthernetHeader::kSize + Ipv4Header::kSize;
constexpr size_t kTcpDataOffsetAt = 12;
static_assert(kHeaderBytes + EthernetHeader::kVlanTagSize <= pmd::kTxHeadroomBytes);

// How long a neighbour that the kernel calls stale is used before it is mentioned again. The kernel needs about five
// seconds (delay_first_probe_time) before it even probes.
constexpr Duration kStaleRecheck = Duration::Seconds(5);
constexpr size_t kMaxUnresolved = 256;

// TCP's: nothing else is left to a device.
size_t TransportHeaderBytes(const zbuf::ZChain& data) {
  DCHECK_GT(data.front().size(), kTcpDataOffsetAt);
  return (static_cast<uint8_t>(data.front().data()[kTcpDataOffsetAt]) >> 4) * size_t{4};
}

}  // namespace

Egress::Egress(EgressConfig config, EgressSources sources, stats::DropCounters* drops)
    : config_(std::move(config)),
      routes_(sources.routes),
      arp_(sources.arp),
      drops_(drops),
      arp_generation_(sources.arp == nullptr ? 0 : sources.arp->generation()),
      cache_(kCacheEntries) {
  CHECK(config_.max_pending > 0);
  if (sources.kernel_neighbours != nullptr) kernel_neighbours_.emplace(sources.kernel_neighbours);
}

size_t Egress::CacheSlot(const IpAddress& destination) {
  // Fibonacci hashing: hosts of one network differ in the low bits, the product spreads them over the high ones.
  return (destination.v4().value() * 0x9e3779b1u) >> 24;
}

void Egress::FlushCache() {
  static_assert(kCacheEntries == size_t{1} << (32 - 24));
  for (Hop& hop : cache_) hop.valid_until = Time::FromNanoseconds(INT64_MIN);
}

void Egress::Refresh(Frames& frames) {
  bool changed = routes_.Refresh();
  if (kernel_neighbours_ && kernel_neighbours_->Refresh()) {
    changed = true;
    ReleaseResolved(frames);
  }
  if (arp_ != nullptr && arp_->generation() != arp_generation_) {
    arp_generation_ = arp_->generation();
    changed = true;
  }
  if (changed) [[unlikely]]
    FlushCache();
}

void Egress::Poll(Time now, Frames& frames) {
  if (arp_ != nullptr && arp_->NextDeadline() <= now) arp_->OnTimer(now, frames);
  Refresh(frames);
  if (next_deadline_ <= now) ExpireWaiting(now);
}

Time Egress::NextDeadline() const {
  return arp_ == nullptr ? next_deadline_ : std::min(next_deadline_, arp_->NextDeadline());
}

bool Egress::IsOurs(Ipv4Address address) const {
  return std::any_of(config_.addresses.begin(), config_.addresses.end(),
                     [address](const wire::Ipv4Prefix& ours) { return ours.address() == address; });
}

const char* Egress::UnreachableBecause(const IpAddress& destination) const {
  if (!destination.IsV4()) return "is not an IPv4 address";
  const Ipv4Address address = destination.v4();
  if (IsOurs(address)) return "is an address of this host, and there is no loopback: use the kernel's";
  if (address.IsLoopback()) return "is a loopback address";
  if (!address.IsUnicast()) return "is not the address of one host";
  const bool is_broadcast = std::any_of(config_.addresses.begin(), config_.addresses.end(),
                                        [address](const auto& ours) { return ours.broadcast() == address; });
  return is_broadcast ? "is a broadcast address" : nullptr;
}

uint32_t Egress::MtuOf(const Route& route) const {
  return route.mtu == 0 ? config_.capabilities.mtu : std::min(route.mtu, config_.capabilities.mtu);
}

void Egress::Drop(OutDatagram& datagram, DropReason reason) {
  drops_->Count(reason);
  datagram.packet.data.Clear();
}

void Egress::Encapsulate(OutBatch& batch, Time now, Frames& frames) {
  Refresh(frames);
  for (size_t i = 0; i < batch.size(); ++i) {
    OutDatagram& datagram = batch[i];
    const bool sent = EncapsulateOne(datagram, now, frames);
    const bool row = i + 1 < batch.size() && batch[i + 1].like_last;
    if (row && sent && datagram.dont_fragment) i = EncapsulateRow(batch, i, frames);
  }
  batch.clear();
}

// Of a row of segments only TCP's octets differ: the headers in front are those of the first, which is the last frame.
size_t Egress::EncapsulateRow(OutBatch& batch, size_t first, Frames& frames) {
  const uint8_t* const headers = FrontBytes(frames.back().data);
  size_t last = first;
  for (; last + 1 < batch.size() && batch[last + 1].like_last; ++last) {
    OutDatagram& datagram = batch[last + 1];
    FinishTransport(datagram);
    std::memcpy(datagram.packet.data.ExtendFront(kHeaderBytes), headers, kHeaderBytes);
    frames.push_back(std::move(datagram.packet));
  }
  return last;
}

void Egress::Encapsulate(OutDatagram&& datagram, Time now, Frames& frames) { EncapsulateOne(datagram, now, frames); }

bool Egress::EncapsulateOne(OutDatagram& datagram, Time now, Frames& frames) {
  if (arp_ != nullptr && arp_->generation() != arp_generation_) [[unlikely]] {
    arp_generation_ = arp_->generation();
    FlushCache();
  }
  const Hop& hop = cache_[CacheSlot(datagram.destination)];
  if (hop.destination == datagram.destination && now < hop.valid_until) [[likely]] {
    return EncapsulateTo(hop, datagram, frames);
  }
  return EncapsulateSlow(datagram, now, frames);
}

bool Egress::EncapsulateTo(const Hop& hop, OutDatagram& datagram, Frames& frames) {
  if (!Prepend(hop, datagram)) return false;
  frames.push_back(std::move(datagram.packet));
  return true;
}

bool Egress::EncapsulateSlow(OutDatagram& datagram, Time now, Frames& frames) {
  const IpAddress& destination = datagram.destination;
  const Route* route = UnreachableBecause(destination) == nullptr ? routes_->Lookup(destination) : nullptr;
  if (route == nullptr) {
    Drop(datagram, DropReason::kNoRoute);
    return false;
  }
  const IpAddress next_hop = route->NextHop(destination.v4());
  Hop hop = MakeHop(destination, *route);
  if (const absl::optional<Resolved> neighbour = FindNeighbour(next_hop, now, frames)) {
    neighbour->mac.CopyTo(hop.ethernet.data());
    hop.valid_until = neighbour->valid_until;
    cache_[CacheSlot(destination)] = hop;
    return EncapsulateTo(hop, datagram, frames);
  }
  if (!Prepend(hop, datagram)) return false;
  if (arp_ != nullptr) {
    arp_->Enqueue(next_hop.v4(), std::move(datagram.packet), now, frames);
  } else {
    Wait(next_hop, std::move(datagram.packet), now);
  }
  return false;
}

Egress::Hop Egress::MakeHop(const IpAddress& destination, const Route& route) const {
  Hop hop;
  hop.destination = destination;
  hop.mtu = MtuOf(route);
  EthernetHeader header;
  header.source = config_.capabilities.mac;
  header.ether_type = wire::EtherType::kIpv4;
  wire::Write(header, hop.ethernet.data());
  return hop;
}

absl::optional<Egress::Resolved> Egress::FindNeighbour(const IpAddress& next_hop, Time now, Frames& frames) {
  if (const Neighbour* entry = config_.static_neighbours.Find(next_hop); entry != nullptr && entry->usable()) {
    return Resolved{entry->mac, Time::Infinite()};
  }
  if (kernel_neighbours_) {
    const Neighbour* entry = (*kernel_neighbours_)->Find(next_hop);
    if (entry != nullptr && entry->usable()) {
      if (entry->state != NeighbourState::kStale) return Resolved{entry->mac, Time::Infinite()};
      // The kernel does not see our traffic: it must hear that the entry is in use, or it forgets it.
      ReportUnresolved(next_hop);
      return Resolved{entry->mac, now + kStaleRecheck};
    }
  }
  if (arp_ == nullptr) return absl::nullopt;
  const absl::optional<Arp::Resolved> answer = arp_->Lookup(next_hop.v4(), now, frames);
  if (!answer) return absl::nullopt;
  return Resolved{answer->mac, answer->fresh_until};
}

bool Egress::Prepend(const Hop& hop, OutDatagram& datagram) {
  zbuf::ZChain& data = datagram.packet.data;
  const size_t total = Ipv4Header::kSize + data.bytes();
  // Of what the device cuts, the pieces: what lies behind the transport header is shared out.
  const size_t cut = datagram.packet.tx.tso_segment_bytes;
  const size_t piece = cut > 0 ? std::min(Ipv4Header::kSize + TransportHeaderBytes(data) + cut, total) : total;
  if (piece > hop.mtu || total > std::numeric_limits<uint16_t>::max()) [[unlikely]] {
    Drop(datagram, DropReason::kIpPacketTooBig);
    return false;
  }
  if (data.HeadRoom() < kHeaderBytes) [[unlikely]] {
    Drop(datagram, DropReason::kTxError);
    return false;
  }
  FinishTransport(datagram);
  Ipv4Header header;
  header.tos = static_cast<uint8_t>(datagram.dscp << 2 | static_cast<uint8_t>(datagram.ecn));
  header.total_length = static_cast<uint16_t>(total);
  if (!datagram.dont_fragment) {
    header.fragment = 0;
    header.identification = ++identification_;
  }
  header.ttl = datagram.ttl;
  header.protocol = datagram.protocol;
  header.source = datagram.source.v4();
  header.destination = datagram.destination.v4();
  auto* at = reinterpret_cast<uint8_t*>(data.ExtendFront(kHeaderBytes));
  std::memcpy(at, hop.ethernet.data(), hop.ethernet.size());
  wire::Write(header, at + EthernetHeader::kSize);
  if (datagram.packet.tx.ip_checksum) wire::StoreBe16(at + EthernetHeader::kSize + 10, 0);
  return true;
}

void Egress::FinishTransport(OutDatagram& datagram) {
  pmd::TxMeta& tx = datagram.packet.tx;
  tx.ip_checksum = config_.capabilities.tx_ip_checksum;
  tx.l4_checksum = config_.capabilities.tx_tcp_checksum && datagram.protocol == kProtocolTcp;
  if (tx.ip_checksum || tx.l4_checksum) {
    tx.l2_bytes = EthernetHeader::kSize;
    tx.l3_bytes = Ipv4Header::kSize;
    tx.l4_bytes = static_cast<uint8_t>(TransportHeaderBytes(datagram.packet.data));
  }
  if (tx.l4_checksum) {
    PreparePartialChecksum(datagram, config_.capabilities.tso_sum_has_length);
  } else {
    FinishChecksum(datagram);
  }
}

void Egress::ReportUnresolved(const IpAddress& next_hop) {
  if (unresolved_.size() >= kMaxUnresolved) return;  // mentioned again later
  if (std::find(unresolved_.begin(), unresolved_.end(), next_hop) == unresolved_.end()) unresolved_.push_back(next_hop);
}

std::vector<IpAddress> Egress::TakeUnresolved() { return std::exchange(unresolved_, {}); }

void Egress::Wait(const IpAddress& next_hop, pmd::Packet&& frame, Time now) {
  pmd::Packet taken = std::move(frame);
  if (!kernel_neighbours_) {
    drops_->Count(DropReason::kNeighbourUnresolved);  // only static entries, and it is not among them
    return;
  }
  if (pending_total_ >= config_.max_pending_total) {
    drops_->Count(DropReason::kNeighbourQueueFull);
    return;
  }
  const auto [it, is_new] = waiting_.try_emplace(next_hop);
  Waiting& waiting = it->second;
  if (is_new) {
    waiting.give_up = now + config_.resolve_timeout;
    waiting.ask_again = now + config_.ask_again;
    next_deadline_ = std::min({next_deadline_, waiting.give_up, waiting.ask_again});
    ReportUnresolved(next_hop);
  }
  const size_t dropped = waiting.frames.Push(std::move(taken), config_.max_pending);
  pending_total_ += 1 - dropped;
  if (dropped != 0) drops_->Count(DropReason::kNeighbourQueueFull, dropped);
}

void Egress::ReleaseResolved(Frames& frames) {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const auto at = it++;
    const Neighbour* entry = (*kernel_neighbours_)->Find(at->first);
    if (entry == nullptr || !entry->usable()) continue;
    pending_total_ -= at->second.frames.Release(entry->mac, frames);
    waiting_.erase(at);
  }
}

void Egress::ExpireWaiting(Time now) {
  next_deadline_ = Time::Infinite();
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const auto at = it++;
    Waiting& waiting = at->second;
    if (waiting.give_up <= now) {
      drops_->Count(DropReason::kNeighbourUnresolved, waiting.frames.size());
      pending_total_ -= waiting.frames.size();
      waiting_.erase(at);
      continue;
    }
    if (waiting.ask_again <= now) {
      waiting.ask_again = now + config_.ask_again;
      ReportUnresolved(at->first);
    }
    next_deadline_ = std::min({next_deadline_, waiting.give_up, waiting.ask_again});
  }
}

absl::StatusOr<IpAddress> Egress::SelectSource(const IpAddress& destination) const {
  if (const char* why = UnreachableBecause(destination); why != nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(destination.ToString(), " ", why));
  }
  const Route* route = routes_->Lookup(destination);
  if (route == nullptr) return absl::NotFoundError(absl::StrCat("no route to ", destination.ToString()));
  if (config_.addresses.empty()) return absl::FailedPreconditionError("the device has no address");
  if (route->source && IsOurs(*route->source)) return IpAddress(*route->source);
  const Ipv4Address next_hop = route->NextHop(destination.v4());
  for (const wire::Ipv4Prefix& ours : config_.addresses) {
    if (ours.Contains(next_hop)) return IpAddress(ours.address());
  }
  return IpAddress(config_.addresses.front().address());
}

uint32_t Egress::PathMtu(const IpAddress& destination) const {
  const Route* route = routes_->Lookup(destination);
  return route == nullptr ? config_.capabilities.mtu : MtuOf(*route);
}

}  // namespace luna::ip
