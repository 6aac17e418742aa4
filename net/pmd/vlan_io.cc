#include "luna/net/pmd/vlan_io.h"

#include <cstring>
#include <utility>

#include "glog/logging.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/ethernet.h"

namespace luna::pmd {
namespace {

using wire::EthernetHeader;

constexpr size_t kAddressesBytes = 12;  // both MAC addresses, in front of the tag
constexpr size_t kTagBytes = EthernetHeader::kVlanTagSize;
constexpr uint16_t kIdMask = 0x0fff;

}  // namespace

VlanIo::VlanIo(PacketIo& inner, const VlanOptions& options, zbuf::Slab& slab, stats::DropCounters& drops)
    : PacketIoDecorator(inner),
      tci_(static_cast<uint16_t>(options.priority << 13 | options.id)),
      slab_(slab),
      drops_(drops),
      capabilities_(inner.capabilities()) {
  CHECK(options.id >= 1 && options.id <= VlanOptions::kMostId) << "VLAN id " << options.id;
  CHECK(options.priority <= 7);
  capabilities_.tx_vlan_insert = capabilities_.rx_vlan_strip = false;
}

size_t VlanIo::ReceiveBurst(absl::Span<Packet> out, Time now) {
  const size_t received = inner().ReceiveBurst(out, now);
  size_t kept = 0;
  for (Packet& packet : out.first(received)) {
    if (!Untag(packet)) {
      drops_.Count(stats::DropReason::kOtherVlan);
      packet = Packet();
      continue;
    }
    if (&packet != &out[kept]) out[kept] = std::exchange(packet, Packet());
    ++kept;
  }
  return kept;
}

bool VlanIo::IsOurs(uint16_t tci) const { return (tci & kIdMask) == (tci_ & kIdMask); }

bool VlanIo::Untag(Packet& packet) {
  if (packet.rx.vlan_tci != 0) return IsOurs(std::exchange(packet.rx.vlan_tci, 0));
  zbuf::ZChain& data = packet.data;
  if (data.bytes() < EthernetHeader::kSize + kTagBytes) return false;
  if (data.front().size() < kAddressesBytes + kTagBytes && !data.Linearise(slab_)) return false;
  auto* front = reinterpret_cast<uint8_t*>(data.front().data());
  if (wire::LoadBe16(front + kAddressesBytes) != wire::EtherType::kVlan) return false;
  if (!IsOurs(wire::LoadBe16(front + kAddressesBytes + 2))) return false;
  std::memmove(front + kTagBytes, front, kAddressesBytes);
  data.TrimFront(kTagBytes);
  return true;
}

void VlanIo::Tag(Packet& packet) const {
  if (inner().capabilities().tx_vlan_insert) {
    packet.tx.vlan_tci = tci_;
    return;
  }
  CHECK_GE(packet.data.HeadRoom(), kTagBytes) << "a frame without kTxHeadroomBytes in front";
  auto* front = reinterpret_cast<uint8_t*>(packet.data.ExtendFront(kTagBytes));
  std::memmove(front, front + kTagBytes, kAddressesBytes);
  wire::StoreBe16(front + kAddressesBytes, wire::EtherType::kVlan);
  wire::StoreBe16(front + kAddressesBytes + 2, tci_);
  if (packet.tx.l2_bytes != 0) packet.tx.l2_bytes += kTagBytes;
}

void VlanIo::UndoTag(Packet& packet) const {
  if (std::exchange(packet.tx.vlan_tci, 0) != 0) return;
  auto* front = reinterpret_cast<uint8_t*>(packet.data.front().data());
  std::memmove(front + kTagBytes, front, kAddressesBytes);
  packet.data.TrimFront(kTagBytes);
  if (packet.tx.l2_bytes != 0) packet.tx.l2_bytes -= kTagBytes;
}

size_t VlanIo::TransmitBurst(absl::Span<Packet> packets) {
  for (Packet& packet : packets) Tag(packet);
  const size_t sent = inner().TransmitBurst(packets);
  for (Packet& packet : packets.subspan(sent)) UndoTag(packet);
  return sent;
}

}  // namespace luna::pmd
