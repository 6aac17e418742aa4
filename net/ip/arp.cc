#include "luna/net/ip/arp.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "glog/logging.h"
#include "luna/net/ip/chain_bytes.h"
#include "luna/net/wire/ethernet.h"

namespace luna::ip {
namespace {

using stats::DropReason;
using wire::ArpPacket;
using wire::EthernetHeader;
using wire::Ipv4Address;
using wire::MacAddress;

constexpr size_t kFrameBytes = EthernetHeader::kSize + ArpPacket::kSize;
constexpr size_t kMaximumFrontBytes = kFrameBytes + EthernetHeader::kVlanTagSize;

}  // namespace

Arp::Arp(ArpConfig config, zbuf::Slab* slab, stats::DropCounters* drops)
    : config_(std::move(config)), slab_(slab), drops_(drops) {
  CHECK(!config_.request_waits.empty() && config_.max_pending > 0 && config_.max_entries > 0 && config_.probes > 0)
      << "ARP needs at least one request, one probe, one entry and room for one frame";
}

bool Arp::IsOurs(Ipv4Address address) const {
  return std::any_of(config_.addresses.begin(), config_.addresses.end(),
                     [address](const wire::Ipv4Prefix& ours) { return ours.address() == address; });
}

Ipv4Address Arp::SourceFor(Ipv4Address neighbour) const {
  for (const wire::Ipv4Prefix& ours : config_.addresses) {
    if (ours.Contains(neighbour)) return ours.address();
  }
  return config_.addresses.empty() ? Ipv4Address::Any() : config_.addresses.front().address();
}

bool Arp::Send(const ArpPacket& packet, const MacAddress& destination, Frames& frames) {
  std::byte* const obj = slab_->Alloc(pmd::kTxHeadroomBytes + kFrameBytes);  // a VLAN tag may come in front
  if (obj == nullptr) {
    drops_->Count(DropReason::kTxNoBuffers);
    return false;
  }
  std::byte* const begin = obj + pmd::kTxHeadroomBytes;
  auto* bytes = reinterpret_cast<uint8_t*>(begin);
  EthernetHeader header;
  header.destination = destination;
  header.source = config_.mac;
  header.ether_type = wire::EtherType::kArp;
  wire::Write(header, bytes);
  wire::Write(packet, bytes + EthernetHeader::kSize);
  pmd::Packet frame;
  frame.data.Append(zbuf::ZRef::Adopt(begin), kFrameBytes);
  frames.push_back(std::move(frame));
  return true;
}

void Arp::Announce(Frames& frames) {
  if (!config_.defends) return;
  for (const wire::Ipv4Prefix& ours : config_.addresses) {
    Send({ArpPacket::kRequest, config_.mac, ours.address(), MacAddress(), ours.address()}, MacAddress::Broadcast(),
         frames);
  }
}

DropReason Arp::Judge(const pmd::Packet& frame, ArpPacket* out) const {
  uint8_t scratch[kMaximumFrontBytes];
  const auto front = ContiguousFront(frame.data, sizeof(scratch), scratch);
  EthernetHeader header;
  if (wire::Parse(front, &header) != wire::ParseResult::kOk) return DropReason::kEthTruncated;
  const auto parsed = wire::Parse(front.subspan(header.size()), out);
  if (parsed == wire::ParseResult::kTruncated) return DropReason::kArpTruncated;
  if (parsed != wire::ParseResult::kOk) return DropReason::kArpMalformed;
  if (out->operation != ArpPacket::kRequest && out->operation != ArpPacket::kReply) return DropReason::kArpMalformed;
  const bool mac_is_sane = !out->sender_mac.IsMulticast() && !out->sender_mac.IsZero();
  if (!mac_is_sane || out->sender_mac == config_.mac) return DropReason::kArpBadSource;
  // 0.0.0.0 is a prober that has no address yet (RFC 5227 §2.1.1); otherwise it must be a host's.
  const bool is_host = out->sender_ip.IsUnicast() && !out->sender_ip.IsLoopback();
  if (!is_host && !(out->sender_ip.IsUnspecified() && out->operation == ArpPacket::kRequest)) {
    return DropReason::kArpBadSource;
  }
  return DropReason::kNone;
}

void Arp::Accept(pmd::Packet&& frame, Time now, Frames& frames) {
  const pmd::Packet taken = std::move(frame);
  ArpPacket packet;
  if (const DropReason reason = Judge(taken, &packet); reason != DropReason::kNone) return CountDrop(reason);
  if (IsOurs(packet.sender_ip)) return OnConflict(packet, now, frames);
  const bool to_us = IsOurs(packet.target_ip);
  const bool is_request = packet.operation == ArpPacket::kRequest;
  const bool has_address = !packet.sender_ip.IsUnspecified();
  const bool learned = has_address && Learn(packet, to_us, to_us && is_request, now, frames);
  if (is_request && to_us) {
    if (!config_.defends) return;
    const ArpPacket reply = {ArpPacket::kReply, config_.mac, packet.target_ip, packet.sender_mac, packet.sender_ip};
    if (Send(reply, packet.sender_mac, frames)) ++stats_.replies_sent;
  } else if (!learned) {
    CountDrop(is_request ? DropReason::kArpNotForUs : DropReason::kArpUnsolicited);
  }
}

void Arp::CountDrop(DropReason reason) {
  if (config_.defends) drops_->Count(reason);
}

void Arp::OnConflict(const ArpPacket& packet, Time now, Frames& frames) {
  ++stats_.conflicts;
  CountDrop(DropReason::kArpBadSource);
  if (!config_.defends) return;
  // RFC 5227 §2.4 (b): defend, but never start a war of announcements.
  if (last_defence_ && now < *last_defence_ + config_.defend_interval) return;
  last_defence_ = now;
  Send({ArpPacket::kRequest, config_.mac, packet.sender_ip, MacAddress(), packet.sender_ip}, MacAddress::Broadcast(),
       frames);
}

bool Arp::Learn(const ArpPacket& packet, bool to_us, bool may_create, Time now, Frames& frames) {
  if (const auto it = entries_.find(packet.sender_ip); it != entries_.end()) {
    Entry& entry = it->second;
    const bool moved = entry.mac != packet.sender_mac;
    if (moved) {
      entry.mac = packet.sender_mac;
      ++stats_.moved;
      ++generation_;
    }
    if (moved || to_us) {
      entry.confirmed = now;
      entry.probes_sent = 0;
      entry.deadline = Time::Infinite();
    }
    return true;
  }
  const auto asked = resolving_.find(packet.sender_ip);
  const bool is_asked = asked != resolving_.end();
  if (!to_us || (!is_asked && !may_create)) return false;
  if (!MakeRoom(/*for_stranger=*/!is_asked, now)) return false;
  Entry entry;
  entry.mac = packet.sender_mac;
  entry.confirmed = now;
  entry.used = now;
  entries_.emplace(packet.sender_ip, entry);
  ++stats_.learned;
  if (is_asked) {
    pending_total_ -= asked->second.frames.Release(packet.sender_mac, frames);
    resolving_.erase(asked);
  }
  return true;
}

bool Arp::MakeRoom(bool for_stranger, Time now) {
  if (entries_.size() < config_.max_entries) return true;
  const auto oldest = std::min_element(entries_.begin(), entries_.end(),
                                       [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
  // A flood of requests must not push out the neighbours that we talk to: those are looked up at least once per
  // `reachable`.
  if (for_stranger && now < oldest->second.used + config_.reachable * 2) return false;
  entries_.erase(oldest);
  ++stats_.evicted;
  ++generation_;
  return true;
}

absl::optional<Arp::Resolved> Arp::Lookup(Ipv4Address neighbour, Time now, Frames& frames) {
  const auto it = entries_.find(neighbour);
  if (it == entries_.end()) return absl::nullopt;
  Entry& entry = it->second;
  entry.used = now;
  const Time old_from = entry.confirmed + config_.reachable;
  if (now < old_from) return Resolved{entry.mac, old_from};
  if (entry.probes_sent == 0) Probe(neighbour, entry, now, frames);
  return Resolved{entry.mac, entry.deadline};
}

void Arp::Probe(Ipv4Address neighbour, Entry& entry, Time now, Frames& frames) {
  ++entry.probes_sent;
  entry.deadline = now + config_.probe_wait;
  Expect(entry.deadline);
  const ArpPacket request = {ArpPacket::kRequest, config_.mac, SourceFor(neighbour), MacAddress(), neighbour};
  if (Send(request, entry.mac, frames)) ++stats_.requests_sent;
}

void Arp::Ask(Ipv4Address neighbour, Resolution& resolution, Time now, Frames& frames) {
  resolution.deadline = now + config_.request_waits[resolution.requests_sent];
  ++resolution.requests_sent;
  Expect(resolution.deadline);
  const ArpPacket request = {ArpPacket::kRequest, config_.mac, SourceFor(neighbour), MacAddress(), neighbour};
  if (Send(request, MacAddress::Broadcast(), frames)) ++stats_.requests_sent;
}

void Arp::Enqueue(Ipv4Address neighbour, pmd::Packet&& frame, Time now, Frames& frames) {
  pmd::Packet taken = std::move(frame);
  DCHECK(entries_.find(neighbour) == entries_.end()) << neighbour << " is known: send the frame";
  auto it = resolving_.find(neighbour);
  const bool is_new = it == resolving_.end();
  if (pending_total_ >= config_.max_pending_total || (is_new && resolving_.size() >= config_.max_entries)) {
    drops_->Count(DropReason::kNeighbourQueueFull);
    return;
  }
  if (is_new) {
    it = resolving_.emplace(neighbour, Resolution{}).first;
    Ask(neighbour, it->second, now, frames);
  }
  const size_t dropped = it->second.frames.Push(std::move(taken), config_.max_pending);
  pending_total_ += 1 - dropped;
  if (dropped != 0) drops_->Count(DropReason::kNeighbourQueueFull, dropped);
}

void Arp::OnTimer(Time now, Frames& frames) {
  if (now < next_deadline_) return;
  next_deadline_ = Time::Infinite();
  for (auto it = resolving_.begin(); it != resolving_.end();) {
    const auto at = it++;  // erase() of absl's maps leaves other iterators alone
    Resolution& resolution = at->second;
    if (now < resolution.deadline) {
      Expect(resolution.deadline);
    } else if (resolution.requests_sent < config_.request_waits.size()) {
      Ask(at->first, resolution, now, frames);
    } else {
      drops_->Count(DropReason::kNeighbourUnresolved, resolution.frames.size());
      pending_total_ -= resolution.frames.size();
      ++stats_.failed;
      resolving_.erase(at);
    }
  }
  for (auto it = entries_.begin(); it != entries_.end();) {
    const auto at = it++;
    Entry& entry = at->second;
    if (entry.probes_sent == 0) continue;
    if (now < entry.deadline) {
      Expect(entry.deadline);
    } else if (entry.probes_sent < config_.probes) {
      Probe(at->first, entry, now, frames);
    } else {
      ++stats_.failed;
      ++generation_;
      entries_.erase(at);
    }
  }
}

}  // namespace luna::ip
