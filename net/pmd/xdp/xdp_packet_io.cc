#include "luna/net/pmd/xdp/xdp_packet_io.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "luna/net/pmd/packet_util.h"

namespace luna::pmd::xdp {
namespace {

constexpr uint32_t kRefillBatch = 64;
constexpr uint64_t kBaseMask = (uint64_t{1} << XSK_UNALIGNED_BUF_OFFSET_SHIFT) - 1;

}  // namespace

absl::StatusOr<std::unique_ptr<XdpPacketIo>> XdpPacketIo::Create(std::unique_ptr<XskChannel> channel,
                                                                 Capabilities capabilities, const XdpIoConfig& config,
                                                                 zbuf::Arena& arena, zbuf::Slab& slab) {
  CHECK(&slab.arena() == &arena) << "the slab's arena must be the UMEM";
  CHECK(config.chunk_bytes >= PostedSet::kGrain && config.max_tx_descriptors >= 1);
  const uint64_t longest = uint64_t{config.chunk_bytes} * config.max_tx_descriptors;
  if (MaxFrameBytes(capabilities.mtu) > longest) {
    return absl::InvalidArgumentError(absl::StrCat(capabilities.name, ": MTU ", capabilities.mtu, " does not fit ",
                                                   longest, " bytes of transmit buffer: lower the MTU"));
  }
  capabilities.max_tx_segments = config.max_tx_descriptors;
  std::unique_ptr<XdpPacketIo> io(new XdpPacketIo(std::move(channel), std::move(capabilities), config, arena, slab));
  io->Refill();
  if (io->unfilled_ != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat(io->capabilities_.name, ": ", io->rings_.fill.size(), " receive buffers of ", config.chunk_bytes,
                     " bytes wanted, ", io->posted_.count(), " found: use a smaller receive ring or a larger arena"));
  }
  return io;
}

XdpPacketIo::XdpPacketIo(std::unique_ptr<XskChannel> channel, Capabilities capabilities, const XdpIoConfig& config,
                         zbuf::Arena& arena, zbuf::Slab& slab)
    : channel_(std::move(channel)),
      rings_(channel_->rings()),
      capabilities_(std::move(capabilities)),
      config_(config),
      max_frame_bytes_(MaxFrameBytes(capabilities_.mtu)),
      arena_(arena),
      slab_(slab),
      posted_(arena.bytes()),
      in_flight_(rings_.completion.size()),
      link_up_(channel_->LinkUp()) {}

XdpPacketIo::~XdpPacketIo() {
  channel_->Close();
  const auto take_home = [this](uint64_t address) { zbuf::Free(arena_.base() + address); };
  posted_.TakeAll(take_home);
  in_flight_.TakeAll(take_home);
}

size_t XdpPacketIo::ReceiveBurst(absl::Span<Packet> out, Time now) {
  uint32_t available = rings_.rx.Available();
  size_t received = 0;
  const bool any = available > 0;
  for (; available > 0 && received < out.size(); --available) {
    const xdp_desc descriptor = rings_.rx.Pop();
    partial_bad_ |= !Adopt(descriptor, partial_);
    if ((descriptor.options & kPacketContinues) != 0) continue;
    if (std::exchange(partial_bad_, false)) {
      partial_.Clear();
      ++own_rx_dropped_;
      ++stats_.rx_dropped;
      continue;
    }
    Packet& packet = out[received++];
    packet.data = std::move(partial_);
    packet.rx = {.arrival = now};
    stats_.rx_bytes += packet.bytes();
  }
  stats_.rx_packets += received;
  if (any) rings_.rx.Release();
  Refill();
  if (rings_.fill.NeedsWakeup()) channel_->KickReceive();
  if (now >= next_look_) LookAtKernel(now);
  return received;
}

// False when the descriptor cannot be true; then nothing was appended and nothing leaks.
bool XdpPacketIo::Adopt(const xdp_desc& descriptor, zbuf::ZChain& into) {
  const uint64_t base = descriptor.addr & kBaseMask;
  const uint64_t offset = descriptor.addr >> XSK_UNALIGNED_BUF_OFFSET_SHIFT;
  if (!posted_.Take(base)) return false;
  zbuf::ZRef ref = zbuf::ZRef::Adopt(arena_.base() + base);
  if (descriptor.len == 0 || offset + descriptor.len > config_.chunk_bytes) return false;
  ref.Advance(static_cast<std::ptrdiff_t>(offset));
  into.Append(std::move(ref), descriptor.len);
  return true;
}

void XdpPacketIo::Refill() {
  uint32_t missing = rings_.fill.size() - posted_.count();
  // Small gaps wait: the shared index is written once per batch.
  if (missing < std::min(kRefillBatch, rings_.fill.size() / 2)) return;
  std::array<std::byte*, kRefillBatch> objs;
  uint32_t filled = 0;
  for (uint32_t want = kRefillBatch; want == kRefillBatch && missing > 0;) {
    const uint32_t room = std::min({missing, kRefillBatch, rings_.fill.Free(kRefillBatch)});
    want = static_cast<uint32_t>(slab_.AllocBulk(config_.chunk_bytes, absl::MakeSpan(objs).first(room)));
    for (uint32_t i = 0; i < want; ++i) {
      const uint64_t address = OffsetOf(objs[i]);
      posted_.Add(address);
      rings_.fill.Push(address);
    }
    filled += want;
    missing -= want;
  }
  if (filled > 0) rings_.fill.Publish();
  if (missing > unfilled_) stats_.rx_no_buffer += missing - unfilled_;
  unfilled_ = missing;
}

void XdpPacketIo::LookAtKernel(Time now) {
  next_look_ = now + kLookInterval;
  const XskCounters counters = channel_->ReadCounters();
  stats_.rx_dropped = own_rx_dropped_ + counters.rx_dropped + counters.rx_ring_full;
  link_up_ = channel_->LinkUp();
}

size_t XdpPacketIo::TransmitBurst(absl::Span<Packet> packets) {
  size_t taken = 0;
  uint32_t sent = 0;
  for (; taken < packets.size(); ++taken) {
    Packet& packet = packets[taken];
    uint32_t descriptors = 0;
    const Readiness readiness = Prepare(packet, &descriptors);
    if (readiness == Readiness::kFull) break;
    if (readiness == Readiness::kDropped) {
      packet.data.Clear();
      ++stats_.tx_dropped;
      continue;
    }
    ++sent;
    stats_.tx_bytes += packet.bytes();
    Send(packet, descriptors);
  }
  stats_.tx_packets += sent;
  stats_.tx_full += packets.size() - taken;
  if (sent > 0) {
    rings_.tx.Publish();
    Kick();
  }
  return taken;
}

XdpPacketIo::Readiness XdpPacketIo::Prepare(Packet& packet, uint32_t* descriptors) {
  DCHECK(!packet.tx.ip_checksum && !packet.tx.l4_checksum && packet.tx.tso_segment_bytes == 0) << "not offered";
  if (packet.bytes() < kMinLinkHeaderBytes || packet.bytes() > max_frame_bytes_) return Readiness::kDropped;
  *descriptors = DescriptorsOf(packet.data);
  if (!Sendable(packet.data, *descriptors)) [[unlikely]] {
    if (!LineariseInto(packet)) return Readiness::kDropped;
    *descriptors = DescriptorsOf(packet.data);
  }
  const bool room = rings_.tx.Free(*descriptors) >= *descriptors && in_flight_.Free() >= *descriptors;
  return room ? Readiness::kReady : Readiness::kFull;
}

uint32_t XdpPacketIo::DescriptorsOf(const zbuf::ZChain& chain) const {
  uint32_t descriptors = 0;
  for (const zbuf::ZSlice& slice : chain) {
    ++descriptors;
    for (uint32_t left = slice.length; left > config_.chunk_bytes; left -= config_.chunk_bytes) ++descriptors;
  }
  return descriptors;
}

// The kernel drops some of what it will not send without a completion, so it is never given such descriptors.
bool XdpPacketIo::Sendable(const zbuf::ZChain& chain, uint32_t descriptors) const {
  if (descriptors > config_.max_tx_descriptors || chain.front().length < kMinLinkHeaderBytes) return false;
  for (const zbuf::ZSlice& slice : chain) {
    if (!arena_.Contains(slice.data())) return false;
  }
  return true;
}

bool XdpPacketIo::LineariseInto(Packet& packet) {
  const uint32_t bytes = packet.bytes();
  std::byte* obj = slab_.Alloc(bytes);
  if (obj == nullptr) return false;
  packet.data.CopyTo({obj, bytes});
  packet.data.Clear();
  packet.data.Append(zbuf::ZRef::Adopt(obj), bytes);
  ++stats_.tx_linearised;
  stats_.bytes_copied_tx += bytes;
  return true;
}

// Moves the references of the slices to the ledger: one per descriptor, so that each completion frees one.
void XdpPacketIo::Send(Packet& packet, uint32_t descriptors) {
  while (!packet.data.empty()) {
    zbuf::ZSlice slice = packet.data.PopFront();
    uint32_t left = slice.length;
    std::byte* at = slice.ref.release();
    for (;;) {
      const uint32_t bytes = std::min(left, config_.chunk_bytes);
      const bool last = --descriptors == 0;
      rings_.tx.Push({.addr = OffsetOf(at), .len = bytes, .options = last ? 0 : kPacketContinues});
      in_flight_.Add(OffsetOf(at), last);
      left -= bytes;
      if (left == 0) break;
      at += bytes;
      zbuf::Ref(at);
    }
  }
}

size_t XdpPacketIo::Reclaim() {
  DrainCompletions();
  if (in_flight_.descriptors() > 0) {
    Kick();
    DrainCompletions();
  }
  return in_flight_.frames();
}

void XdpPacketIo::DrainCompletions() {
  uint32_t available = rings_.completion.Available();
  if (available == 0) return;
  for (; available > 0; --available) {
    const uint64_t address = rings_.completion.Pop();
    const bool known = in_flight_.Complete(address);
    DCHECK(known) << "completion of what was never sent: " << address;
    if (known) zbuf::Free(arena_.base() + address);
  }
  rings_.completion.Release();
}

// In copy mode one call sends a batch, and less when the socket's send buffer is full; the rest goes at the next
// Reclaim.
void XdpPacketIo::Kick() {
  for (uint32_t before = rings_.tx.Pending(); before > 0 && rings_.tx.NeedsWakeup();) {
    channel_->KickTransmit();
    const uint32_t after = rings_.tx.Pending();
    if (after == before) return;
    before = after;
  }
}

}  // namespace luna::pmd::xdp
