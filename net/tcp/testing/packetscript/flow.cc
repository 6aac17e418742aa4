#include "luna/net/tcp/testing/packetscript/flow.h"

#include "absl/strings/str_cat.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp::packetscript {

using wire::TcpFlags;

absl::Status Flow::ToLive(Segment* segment, bool scaled) const {
  const bool syn = segment->Has(TcpFlags::kSyn);
  segment->sequence += RemoteOffset(syn);
  if (segment->source.port == 0) segment->source.port = remote.port;
  if (segment->destination.port == 0) segment->destination.port = local.port;
  segment->source.address = remote.address;
  segment->destination.address = local.address;
  ShiftSackBlocks(segment, LocalOffset(syn));
  if (!segment->Has(TcpFlags::kAck)) return absl::OkStatus();
  segment->ack += LocalOffset(syn);
  const absl::optional<Timestamp> timestamp = FindTimestamp(*segment);
  if (!timestamp.has_value()) return absl::OkStatus();
  const auto live = live_timestamps.find(timestamp->echo);
  if (live != live_timestamps.end()) {
    SetTimestamp(segment, {timestamp->value, live->second});
  } else if (scaled && has_timestamp) {
    SetTimestamp(segment, {timestamp->value, timestamp->echo - first_script_timestamp + first_live_timestamp});
  } else {
    return absl::InvalidArgumentError(absl::StrCat("no packet was sent with TS val ", timestamp->echo));
  }
  return absl::OkStatus();
}

void Flow::ToScript(Segment* segment) const {
  const bool syn = segment->Has(TcpFlags::kSyn);
  segment->sequence -= LocalOffset(syn);
  if (segment->Has(TcpFlags::kAck)) segment->ack -= RemoteOffset(syn);
  ShiftSackBlocks(segment, 0 - RemoteOffset(syn));
}

void Flow::LearnTimestamp(const Segment& expected, Segment* actual) {
  const absl::optional<Timestamp> script = FindTimestamp(expected);
  const absl::optional<Timestamp> live = FindTimestamp(*actual);
  if (!script.has_value() || !live.has_value()) return;
  live_timestamps[script->value] = live->value;
  if (!has_timestamp) {
    has_timestamp = true;
    first_script_timestamp = script->value;
    first_live_timestamp = live->value;
  }
  SetTimestamp(actual, {first_script_timestamp + (live->value - first_live_timestamp), live->echo});
}

Segment Flow::Reset() const {
  Segment reset;
  reset.source = remote;
  reset.destination = local;
  reset.flags = TcpFlags::kRst | TcpFlags::kAck;
  if (last_in.has_value() && last_in->Has(TcpFlags::kAck)) {
    reset.sequence = last_in->sequence + static_cast<uint32_t>(last_in->payload.size()) +
                     (last_in->Has(TcpFlags::kSyn) ? 1 : 0) + (last_in->Has(TcpFlags::kFin) ? 1 : 0);
    reset.ack = last_in->ack;
    reset.window = last_in->window;
  } else if (last_out.has_value() && last_out->Has(TcpFlags::kAck)) {
    reset.sequence = last_out->ack;
    reset.ack = last_out->sequence;
  } else if (last_out.has_value()) {
    reset.ack = last_out->sequence + 1;
  }
  return reset;
}

Flow& FlowTable::Add() {
  flows_.emplace_back();
  return flows_.back();
}

Flow* FlowTable::ByFd(int fd) {
  // The newest one: numbers of descriptors come again.
  for (auto flow = flows_.rbegin(); flow != flows_.rend(); ++flow) {
    if (flow->fd == fd) return &*flow;
  }
  return nullptr;
}

void FlowTable::OnSocket(int fd) {
  Flow& flow = Add();
  flow.fd = fd;
  flow.local = local_;
}

void FlowTable::OnListen(int fd, const absl::optional<wire::Endpoint>& local) {
  Flow* flow = ByFd(fd);
  if (flow == nullptr) return;
  flow->state = Flow::State::kListening;
  if (local.has_value()) flow->local.port = local->port;
  current_ = flow;
}

void FlowTable::OnConnect(int fd, const wire::Endpoint& remote) {
  Flow* flow = ByFd(fd);
  if (flow == nullptr || flow->state != Flow::State::kNew) return;
  flow->state = Flow::State::kConnecting;
  flow->remote = remote;
  flow->local.port = 0;  // learnt from the SYN
  current_ = flow;
}

void FlowTable::OnAccept(int fd, const wire::Endpoint& remote) {
  for (auto flow = flows_.rbegin(); flow != flows_.rend(); ++flow) {
    if (flow->fd >= 0 || flow->remote != remote) continue;
    flow->fd = fd;
    return;
  }
}

Flow* FlowTable::ForScript(const PacketSpec& packet) {
  if (packet.socket_fd.has_value()) return ByFd(*packet.socket_fd);
  const bool tcp = !packet.icmp.has_value();
  if (tcp && !packet.outbound && (current_ == nullptr || current_->state == Flow::State::kListening)) {
    Flow& flow = Add();
    flow.state = Flow::State::kFirstPacket;
    flow.local = current_ == nullptr ? local_ : current_->local;
    flow.remote = remote_;
    flow.remote.port = static_cast<uint16_t>(remote_.port + next_port_++);
    flow.remote_isn = packet.sequence.start;
    current_ = &flow;
  } else if (tcp && packet.outbound && current_ != nullptr && current_->state == Flow::State::kConnecting &&
             (packet.flags & TcpFlags::kSyn) != 0 && (packet.flags & TcpFlags::kAck) == 0) {
    current_->state = Flow::State::kSynSent;
    current_->script_isn = packet.sequence.start;
  }
  return current_;
}

Flow* FlowTable::ForLive(const Segment& segment) {
  for (auto flow = flows_.rbegin(); flow != flows_.rend(); ++flow) {
    if (segment.is_icmp && flow->remote.address == segment.destination.address) return &*flow;
    if (flow->local == segment.source && flow->remote == segment.destination) return &*flow;
  }
  if (!segment.Has(TcpFlags::kSyn) || segment.Has(TcpFlags::kAck)) return nullptr;
  for (auto flow = flows_.rbegin(); flow != flows_.rend(); ++flow) {
    const bool connecting = flow->state == Flow::State::kConnecting || flow->state == Flow::State::kSynSent;
    if (!connecting || flow->local.port != 0 || flow->remote != segment.destination) continue;
    flow->local = segment.source;
    flow->live_isn = segment.sequence;
    return &*flow;
  }
  return nullptr;
}

}  // namespace luna::tcp::packetscript
