#include "luna/net/pmd/vnet_header.h"

#include <cstring>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"

namespace luna::pmd {
namespace {

TEST(VnetHeader, SaysWhatIsKnownOfTheChecksum) {
  struct Case {
    const char* what;
    uint8_t flags;
    uint16_t checksum_offset;
    ChecksumStatus status;
  };
  for (const Case& c : {Case{"nothing", 0, 0, ChecksumStatus::kUnknown},
                        Case{"left to be filled in", VnetHeader::kNeedsChecksum, 16, ChecksumStatus::kGood},
                        Case{"another protocol's", VnetHeader::kNeedsChecksum, 6, ChecksumStatus::kUnknown},
                        Case{"verified", VnetHeader::kDataValid, 0, ChecksumStatus::kGood}}) {
    VnetHeader header = {};
    header.flags = c.flags;
    header.checksum_offset = c.checksum_offset;
    EXPECT_EQ(ChecksumFrom(header), c.status) << c.what;
  }
}

TEST(VnetHeader, SuperPacketsAreThoseWithAKind) {
  VnetHeader header = {};
  EXPECT_FALSE(IsSuperPacket(header));
  header.gso_type = VnetHeader::kTcpV4;
  EXPECT_TRUE(IsSuperPacket(header));
  header.gso_type = VnetHeader::kTcpV4 | VnetHeader::kEcn;
  EXPECT_TRUE(IsSuperPacket(header));
}

TEST(VnetHeader, AsksForWhatTxMetaAsksFor) {
  const VnetHeader nothing = VnetHeaderFor({});
  EXPECT_EQ(nothing.flags, 0);
  EXPECT_EQ(nothing.gso_type, VnetHeader::kNoSegments);
  const VnetHeader checksum = VnetHeaderFor({.l4_checksum = true, .l2_bytes = 14, .l3_bytes = 24, .l4_bytes = 32});
  EXPECT_EQ(checksum.flags, VnetHeader::kNeedsChecksum);
  EXPECT_EQ(checksum.gso_type, VnetHeader::kNoSegments);
  EXPECT_EQ(checksum.checksum_start, 38);
  EXPECT_EQ(checksum.checksum_offset, 16);
  EXPECT_EQ(checksum.header_bytes, 70);
  const VnetHeader cut =
      VnetHeaderFor({.l4_checksum = true, .l2_bytes = 14, .l3_bytes = 20, .l4_bytes = 32, .tso_segment_bytes = 1448});
  EXPECT_EQ(cut.gso_type, VnetHeader::kTcpV4);
  EXPECT_EQ(cut.gso_bytes, 1448);
  EXPECT_EQ(cut.header_bytes, 66);
}

// Lengths without the header; the link takes 1518 octets.
TEST(VnetHeader, TakesWhatALinkMayCarry) {
  struct Case {
    size_t bytes;
    bool header;
    uint8_t gso_type;
    bool taken;
  };
  constexpr uint8_t kSuper = VnetHeader::kTcpV4;
  for (const Case& c :
       {Case{13, false, 0, false}, Case{14, false, 0, true}, Case{1518, false, 0, true}, Case{1519, false, 0, false},
        Case{13, true, 0, false}, Case{14, true, 0, true}, Case{1519, true, 0, false}, Case{1519, true, kSuper, true},
        Case{kMaxSuperFrameBytes, true, kSuper, true}, Case{kMaxSuperFrameBytes + 1, true, kSuper, false}}) {
    SCOPED_TRACE(c.bytes);
    zbuf::TestSlab memory;
    IoStats stats;
    const size_t prefix = c.header ? kVnetHeaderBytes : 0;
    ReceiveSlot slot(LongestFrame(1518, c.header), prefix);
    ASSERT_TRUE(slot.Fill(memory.slab(), stats));
    if (c.header) {
      VnetHeader header = {};
      header.flags = VnetHeader::kDataValid;
      header.gso_type = c.gso_type;
      std::memcpy(slot.pieces()[0].iov_base, &header, sizeof(header));
    }
    Packet packet;
    const Time now = Time::FromNanoseconds(5);
    ASSERT_EQ(TakeFrame(prefix + c.bytes, 1518, now, slot, packet), c.taken);
    EXPECT_EQ(packet.bytes(), c.taken ? c.bytes : 0);
    if (!c.taken) continue;
    EXPECT_EQ(packet.rx.arrival, now);
    EXPECT_EQ(packet.rx.l4_checksum, c.header ? ChecksumStatus::kGood : ChecksumStatus::kUnknown);
  }
}

}  // namespace
}  // namespace luna::pmd
