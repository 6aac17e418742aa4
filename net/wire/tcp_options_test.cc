#include "luna/net/wire/tcp_options.h"

#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::wire {
namespace {

std::vector<uint8_t> Written(const TcpOptions& options) {
  std::vector<uint8_t> bytes(TcpOptionsSize(options) + 1, 0x77);
  EXPECT_EQ(WriteTcpOptions(options, bytes.data()), bytes.size() - 1);
  EXPECT_EQ(bytes.back(), 0x77) << "written past TcpOptionsSize()";
  bytes.pop_back();
  return bytes;
}

TcpOptions Parsed(const std::vector<uint8_t>& bytes) {
  // Leftovers of an earlier segment must not shine through.
  TcpOptions options = {.malformed = true,
                        .has_mss = true,
                        .has_window_scale = true,
                        .sack_permitted = true,
                        .has_timestamp = true,
                        .window_scale = 3,
                        .sack_count = 2,
                        .mss = 4,
                        .tsval = 5,
                        .tsecr = 6};
  ParseTcpOptions(bytes, &options);
  return options;
}

const TcpOptions kNone;
const TcpOptions kTs = {.has_timestamp = true, .tsval = 0x01020304, .tsecr = 0xfffefdfc};

TEST(TcpOptions, LinuxLayouts) {
  const struct {
    const char* name;
    TcpOptions options;
    const char* hex;
  } kCases[] = {
      {"none", kNone, ""},
      {"mss", {.has_mss = true, .mss = 1460}, "02 04 05b4"},
      {"SYN of Linux",
       {.has_mss = true,
        .has_window_scale = true,
        .sack_permitted = true,
        .has_timestamp = true,
        .window_scale = 7,
        .mss = 1460,
        .tsval = 0x01020304},
       "02 04 05b4 04 02 08 0a 01020304 00000000 01 03 03 07"},
      {"SYN without timestamps",
       {.has_mss = true, .has_window_scale = true, .sack_permitted = true, .window_scale = 14, .mss = 9000},
       "02 04 2328 01 01 04 02 01 03 03 0e"},
      {"SYN without sack",
       {.has_mss = true, .has_window_scale = true, .has_timestamp = true, .window_scale = 0, .mss = 536},
       "02 04 0218 01 01 08 0a 00000000 00000000 01 03 03 00"},
      {"sackOK alone", {.sack_permitted = true}, "01 01 04 02"},
      {"window scale alone", {.has_window_scale = true, .window_scale = 255}, "01 03 03 ff"},
      {"data", kTs, "01 01 08 0a 01020304 fffefdfc"},
      {"one sack block", {.sack_count = 1, .sack = {{{0xfffffff0, 0x00000010}}}}, "01 01 05 0a fffffff0 00000010"},
      {"timestamps and three blocks",
       {.has_timestamp = true, .sack_count = 3, .tsval = 1, .tsecr = 2, .sack = {{{1, 2}, {3, 4}, {5, 6}}}},
       "01 01 08 0a 00000001 00000002 01 01 05 1a 00000001 00000002 00000003 00000004 00000005 00000006"},
      {"four blocks",
       {.sack_count = 4, .sack = {{{1, 2}, {3, 4}, {5, 6}, {7, 8}}}},
       "01 01 05 22 00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008"},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(Written(c.options), Hex(c.hex)) << c.name;
    EXPECT_EQ(Parsed(Hex(c.hex)), c.options) << c.name;
  }
}

TEST(TcpOptions, BlocksThatDoNotFitAreLeftOutLastFirst) {
  TcpOptions options = kTs;
  options.sack_count = 4;
  options.sack = {{{1, 2}, {3, 4}, {5, 6}, {7, 8}}};
  EXPECT_EQ(TcpOptionsSackBlocksThatFit(options), 3u);
  EXPECT_EQ(TcpOptionsSize(options), 40u);
  TcpOptions expected = options;
  expected.sack_count = 3;
  expected.sack[3] = {};
  EXPECT_EQ(Parsed(Written(options)), expected);
}

TEST(TcpOptions, EveryCombinationFitsAndIsPadded) {
  for (int bits = 0; bits < 16; ++bits) {
    for (uint8_t blocks = 0; blocks <= 4; ++blocks) {
      TcpOptions options = {.has_mss = (bits & 1) != 0,
                            .has_window_scale = (bits & 2) != 0,
                            .sack_permitted = (bits & 4) != 0,
                            .has_timestamp = (bits & 8) != 0,
                            .sack_count = blocks};
      const std::vector<uint8_t> bytes = Written(options);
      EXPECT_EQ(bytes.size() % 4, 0u);
      EXPECT_LE(bytes.size(), TcpOptions::kMaximumSize);
      options.sack_count = static_cast<uint8_t>(TcpOptionsSackBlocksThatFit(options));
      EXPECT_EQ(Parsed(bytes), options) << bits << " " << int{blocks};
    }
  }
}

TEST(TcpOptions, AnyOrderAndAlignment) {
  const TcpOptions expected = {.has_mss = true,
                               .has_window_scale = true,
                               .sack_permitted = true,
                               .has_timestamp = true,
                               .window_scale = 9,
                               .mss = 1400,
                               .tsval = 1,
                               .tsecr = 2};
  EXPECT_EQ(Parsed(Hex("08 0a 00000001 00000002 03 03 09 04 02 02 04 0578")), expected);
  EXPECT_EQ(Parsed(Hex("01 02 04 0578 01 08 0a 00000001 00000002 01 01 03 03 09 04 02")), expected);
}

// RFC 9293 MUST-7 and MUST-68: a length that cannot be must not crash, loop or reach past the end.
TEST(TcpOptions, MalformedLayouts) {
  TcpOptions mss = {.has_mss = true, .mss = 1460};
  TcpOptions broken = {.malformed = true};
  TcpOptions mss_then_broken = mss;
  mss_then_broken.malformed = true;
  const struct {
    const char* name;
    const char* hex;
    TcpOptions expected;
  } kCases[] = {
      // Lengths that end the reading.
      {"kind without length at the end", "02", broken},
      {"unknown kind without length at the end", "1e", broken},
      {"length 0", "02 00 05b4", broken},
      {"length 1", "02 01 05b4", broken},
      {"unknown kind, length 0", "fd 00", broken},
      {"unknown kind, length 1", "fd 01 02 04 05b4", broken},
      {"length one past the end", "02 05 05b4", broken},
      {"length 255", "08 ff 01020304 01020304", broken},
      {"mss cut short", "02 04 05", broken},
      {"timestamp cut short", "01 01 08 0a 01020304 010203", broken},
      {"sack cut short", "05 0a 00000001 000000", broken},
      {"what came before stays", "02 04 05b4 03 00 07", mss_then_broken},
      {"what comes after is not read", "03 00 02 04 05b4", broken},
      // Wrong lengths of known kinds: that option is stepped over.
      {"mss 2", "02 02 02 04 05b4", mss_then_broken},
      {"mss 3", "02 03 05 02 04 05b4", mss_then_broken},
      {"mss 5", "02 05 05b4 00 02 04 05b4", mss_then_broken},
      {"window scale 2", "03 02 02 04 05b4", mss_then_broken},
      {"window scale 4", "03 04 07 07 02 04 05b4", mss_then_broken},
      {"sackOK 3", "04 03 00 02 04 05b4", mss_then_broken},
      {"timestamp 9", "08 09 01020304 010203 02 04 05b4", mss_then_broken},
      {"timestamp 11", "08 0b 01020304 01020304 00 02 04 05b4", mss_then_broken},
      {"aligned timestamp of length 11", "01 01 08 0b 01020304 01020304", broken},
      {"sack without block", "05 02 02 04 05b4", mss_then_broken},
      {"sack with half a block", "05 06 00000001 02 04 05b4", mss_then_broken},
      {"sack with a block and a half", "05 0e 00000001 00000002 00000003 02 04 05b4", mss_then_broken},
      // Nothing wrong with these.
      {"end at once", "00", kNone},
      {"end hides the rest", "00 02 04 05b4", kNone},
      {"end hides garbage", "02 04 05b4 00 08 00 ff", mss},
      {"only nops", "01 01 01 01", kNone},
      {"unknown kind is stepped over", "fd 04 abcd 02 04 05b4", mss},
      {"unknown kind of length 2", "fd 02 02 04 05b4", mss},
      {"echo, obsolete", "06 06 01020304 02 04 05b4", mss},
      {"MD5", "13 12 00112233445566778899aabbccddeeff 02 04 05b4", mss},
      {"fast open cookie request", "22 02 02 04 05b4", mss},
      {"the last of two counts", "02 04 0001 02 04 05b4", mss},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(Parsed(Hex(c.hex)), c.expected) << c.name;
  }
}

TEST(TcpOptions, ExtremeValuesComeRaw) {
  const TcpOptions expected = {.has_mss = true, .has_window_scale = true, .window_scale = 15, .mss = 0};
  EXPECT_EQ(Parsed(Hex("02 04 0000 03 03 0f")), expected);
  EXPECT_EQ(Parsed(Hex("02 04 ffff")).mss, 65535);
}

// More blocks than a TCP header has room for, from a caller with a longer buffer.
TEST(TcpOptions, MoreThanFourBlocksAreCut) {
  std::vector<uint8_t> bytes = {TcpOption::kSack, 2 + 8 * 5};
  for (uint8_t i = 0; i < 40; ++i) bytes.push_back(i);
  const TcpOptions options = Parsed(bytes);
  EXPECT_EQ(options.sack_count, 4);
  EXPECT_EQ(options.sack[3].left, 0x18191a1bu);
  EXPECT_FALSE(options.malformed);
}

TEST(TcpOptions, TimestampOnlyIsExact) {
  TcpOptions options;
  EXPECT_TRUE(ParseTimestampOnly(Hex("01 01 08 0a 01020304 fffefdfc"), &options));
  EXPECT_EQ(options, kTs);
  for (const char* hex :
       {"", "01 01 08 0a", "01 01 08 0a 01020304 fffefd", "01 01 08 0a 01020304 fffefdfc 00",
        "01 00 08 0a 01020304 fffefdfc", "01 01 08 0b 01020304 fffefdfc", "08 0a 01020304 fffefdfc 01 01"}) {
    TcpOptions untouched;
    EXPECT_FALSE(ParseTimestampOnly(Hex(hex), &untouched)) << hex;
    EXPECT_EQ(untouched, kNone) << hex;
  }
}

// The fast path and the slow one read the same, and no input of exact size reads outside itself (asan watches).
TEST(TcpOptions, RandomBytesAndEveryTruncation) {
  const char* env = getenv("LUNA_TEST_SEED");
  const uint32_t seed = env != nullptr ? static_cast<uint32_t>(atoll(env)) : std::random_device()();
  SCOPED_TRACE(absl::StrCat("LUNA_TEST_SEED=", seed));
  std::mt19937 random(seed);
  const uint8_t kBytes[] = {0, 1, 1, 2, 3, 4, 5, 8, 10, 18, 26, 34, 255};
  for (int round = 0; round < 50000; ++round) {
    std::vector<uint8_t> bytes(random() % 41);
    for (uint8_t& b : bytes) b = kBytes[random() % std::size(kBytes)];
    if (round % 3 == 0 && bytes.size() >= 12) StoreBe32(bytes.data(), 0x0101080a);
    TcpOptions slow;
    internal::ParseTcpOptionsSlow(bytes, &slow);
    ASSERT_EQ(Parsed(bytes), slow);
  }
  const std::vector<uint8_t> whole =
      Hex("02 04 05b4 04 02 08 0a 01020304 00000000 01 03 03 07 fd 03 00 05 0a 0000000100000002");
  for (size_t size = 0; size <= whole.size(); ++size) {
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<long>(size));
    EXPECT_EQ(Parsed(cut).has_mss, size >= 4) << size;
  }
}

}  // namespace
}  // namespace luna::wire
