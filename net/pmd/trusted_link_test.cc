#include "luna/net/pmd/trusted_link.h"

#include <array>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/packet_util.h"
#include "luna/net/pmd/testing/fake_packet_io.h"
#include "luna/net/pmd/testing/numbered_frame.h"

namespace luna::pmd {
namespace {

TEST(TrustedLink, OffersChecksumsAndNothingElseThatTheDeviceCannot) {
  zbuf::TestSlab memory;
  FakePacketIo device(memory.slab());
  device.mutable_capabilities().tx_tso = true;
  device.mutable_capabilities().mtu = 9000;
  const TrustedLinkIo io(device);
  EXPECT_TRUE(io.capabilities().tx_ip_checksum && io.capabilities().tx_tcp_checksum);
  EXPECT_TRUE(io.capabilities().trust_rx_checksum);
  EXPECT_FALSE(io.capabilities().tx_tso);
  EXPECT_EQ(io.capabilities().mtu, 9000u);
}

TEST(TrustedLink, VouchesForWhatComes) {
  zbuf::TestSlab memory;
  FakePacketIo device(memory.slab());
  TrustedLinkIo io(device);
  device.Push(NumberedFrame(1), {.ip_checksum = ChecksumStatus::kBad, .l4_checksum = ChecksumStatus::kBad});
  device.Push(NumberedFrame(2));
  std::array<Packet, 4> out;
  ASSERT_EQ(io.ReceiveBurst(absl::MakeSpan(out), Time()), 2u);
  for (int i : {0, 1}) {
    EXPECT_EQ(out[i].rx.ip_checksum, ChecksumStatus::kGood);
    EXPECT_EQ(out[i].rx.l4_checksum, ChecksumStatus::kGood);
    EXPECT_EQ(ToBytes(out[i]), NumberedFrame(i + 1));
  }
}

TEST(TrustedLink, AsksTheDeviceForNothing) {
  zbuf::TestSlab memory;
  FakePacketIo device(memory.slab());
  device.set_transmit_ring(1);
  TrustedLinkIo io(device);
  std::array<Packet, 2> packets;
  for (Packet& packet : packets) {
    packet = *MakePacket(memory.slab(), absl::MakeConstSpan(NumberedFrame(1)));
    packet.tx = {.ip_checksum = true, .l4_checksum = true, .l2_bytes = 14, .l3_bytes = 20, .l4_bytes = 20};
  }
  EXPECT_EQ(io.TransmitBurst(absl::MakeSpan(packets)), 1u);
  io.Reclaim();
  EXPECT_EQ(io.TransmitBurst(absl::MakeSpan(packets).subspan(1)), 1u);
  for (int i = 0; i < 2; ++i) {
    const auto sent = device.PopSent();
    ASSERT_TRUE(sent.has_value());
    EXPECT_FALSE(sent->tx.ip_checksum || sent->tx.l4_checksum);
    EXPECT_EQ(sent->tx.l4_bytes, 0);
  }
}

}  // namespace
}  // namespace luna::pmd
