#include "luna/net/pmd/vnet_header.h"

#include "gtest/gtest.h"

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
}

}  // namespace
}  // namespace luna::pmd
