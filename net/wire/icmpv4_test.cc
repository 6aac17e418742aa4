#include "luna/net/wire/icmpv4.h"

#include <vector>

#include "gtest/gtest.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::wire {
namespace {

TEST(Icmpv4, FragmentationNeeded) {
  // Summed by hand: 0304 + 05dc + 4500 = 4de0, complement b21f.
  const std::vector<uint8_t> message = Hex("03 04 b21f 0000 05dc 4500");
  Icmpv4Header h;
  ASSERT_EQ(Parse(message, &h), ParseResult::kOk);
  EXPECT_TRUE(h.IsFragmentationNeeded());
  EXPECT_EQ(h.next_hop_mtu(), 1500);
  std::vector<uint8_t> again = message;
  std::fill_n(again.begin(), 8, 0xff);
  Write(h, absl::MakeSpan(again));
  EXPECT_EQ(again, message);
}

TEST(Icmpv4, OtherCodesAreNotFragmentationNeeded) {
  const Icmpv4Header port = {.type = Icmpv4Header::kDestinationUnreachable, .code = Icmpv4Header::kPortUnreachable};
  const Icmpv4Header echo = {.type = Icmpv4Header::kEchoRequest, .code = 4};
  EXPECT_FALSE(port.IsFragmentationNeeded());
  EXPECT_FALSE(echo.IsFragmentationNeeded());
}

TEST(Icmpv4, EveryTruncationAndABadSum) {
  const std::vector<uint8_t> whole = Hex("08 00 f7ff 0000 0000");
  Icmpv4Header h;
  ASSERT_EQ(Parse(whole, &h), ParseResult::kOk);
  for (size_t size = 0; size < 8; ++size) {
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<long>(size));
    EXPECT_EQ(Parse(cut, &h), ParseResult::kTruncated) << size;
  }
  std::vector<uint8_t> broken = whole;
  broken.push_back(1);  // the sum covers the data too
  EXPECT_EQ(Parse(broken, &h), ParseResult::kBadChecksum);
  EXPECT_EQ(h.type, Icmpv4Header::kEchoRequest);
}

}  // namespace
}  // namespace luna::wire
