#include "luna/net/wire/checksum.h"

#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace luna::wire {
namespace {

// The definition, as slow and plain as it gets.
uint16_t ReferenceSum(absl::Span<const uint8_t> bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? uint32_t{bytes[i]} << 8 : uint32_t{bytes[i]};
    if (sum > 0xffff) sum -= 0xffff;
  }
  return static_cast<uint16_t>(sum);
}

std::mt19937 SeededRandom(uint32_t* seed) {
  const char* env = getenv("LUNA_TEST_SEED");
  *seed = env != nullptr ? static_cast<uint32_t>(atoll(env)) : std::random_device()();
  return std::mt19937(*seed);
}

std::vector<uint8_t> RandomBytes(std::mt19937* random, size_t size) {
  std::vector<uint8_t> bytes(size);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>((*random)());
  return bytes;
}

TEST(Checksum, ExampleOfRfc1071) {
  const std::vector<uint8_t> bytes = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(ChecksumSum(bytes), 0xddf2);
  EXPECT_EQ(Checksum(bytes), static_cast<uint16_t>(~0xddf2));
}

TEST(Checksum, SmallCases) {
  EXPECT_EQ(ChecksumSum({}), 0);
  EXPECT_EQ(Checksum({}), 0xffff);
  EXPECT_EQ(ChecksumSum({0x12}), 0x1200);
  EXPECT_EQ(ChecksumSum({0x12, 0x34, 0x56}), 0x6834);
  EXPECT_EQ(ChecksumSum({0, 0}), 0);
  EXPECT_EQ(ChecksumSum({0xff, 0xff}), 0xffff);
  EXPECT_EQ(ChecksumSum({0xff, 0xff, 0x00, 0x01}), 0x0001);  // the carry comes around
}

TEST(Checksum, EverySizeAndAlignmentAgreesWithTheDefinition) {
  uint32_t seed;
  std::mt19937 random = SeededRandom(&seed);
  SCOPED_TRACE(absl::StrCat("LUNA_TEST_SEED=", seed));
  const std::vector<uint8_t> bytes = RandomBytes(&random, 700);
  for (size_t offset = 0; offset < 17; ++offset) {
    for (size_t size = 0; size + offset <= 640; ++size) {
      const auto part = absl::MakeConstSpan(bytes).subspan(offset, size);
      ASSERT_EQ(ChecksumSum(part), ReferenceSum(part)) << offset << "+" << size;
    }
  }
  for (size_t size : {576u, 1460u, 1500u, 9000u, 65535u, 1000001u}) {
    const std::vector<uint8_t> large = RandomBytes(&random, size);
    ASSERT_EQ(ChecksumSum(large), ReferenceSum(large)) << size;
  }
}

// All ones is where each carry of each fold happens.
TEST(Checksum, CarriesNeverGetLost) {
  for (size_t size : {2u, 20u, 64u, 1460u, 65535u, 4000000u}) {
    const std::vector<uint8_t> ones(size, 0xff);
    ASSERT_EQ(ChecksumSum(ones), ReferenceSum(ones)) << size;
  }
  EXPECT_EQ(internal::FoldSum(~uint64_t{0}), 0xffff);
  EXPECT_EQ(internal::FoldSum(0xffff'ffff'0000'0001), 1);
  EXPECT_EQ(internal::FoldSum(0x1'0000), 1);
  EXPECT_EQ(internal::FoldSum(0x1'0000'0000), 1);
  EXPECT_EQ(internal::FoldSum(0xffff'0000'0000'ffff), 0xffff);
}

TEST(Checksum, BaseHeaderAgreesWithTheGeneralOne) {
  uint32_t seed;
  std::mt19937 random = SeededRandom(&seed);
  SCOPED_TRACE(absl::StrCat("LUNA_TEST_SEED=", seed));
  for (int i = 0; i < 1000; ++i) {
    const std::vector<uint8_t> header = RandomBytes(&random, 20);
    ASSERT_EQ(Ipv4BaseHeaderSum(header.data()), ReferenceSum(header));
  }
  const std::vector<uint8_t> ones(20, 0xff);
  EXPECT_EQ(Ipv4BaseHeaderSum(ones.data()), 0xffff);
}

TEST(ChecksumAccumulator, AnySplitGivesTheWhole) {
  uint32_t seed;
  std::mt19937 random = SeededRandom(&seed);
  SCOPED_TRACE(absl::StrCat("LUNA_TEST_SEED=", seed));
  for (int round = 0; round < 2000; ++round) {
    const std::vector<uint8_t> bytes = RandomBytes(&random, random() % 200);
    ChecksumAccumulator pieces;
    for (size_t at = 0; at < bytes.size();) {
      const size_t size = std::min<size_t>(random() % 9, bytes.size() - at);  // 0 too
      pieces.Add(absl::MakeConstSpan(bytes).subspan(at, size));
      at += size;
    }
    ASSERT_EQ(pieces.Sum(), ReferenceSum(bytes));
    ASSERT_EQ(pieces.Fold(), Checksum(bytes));
  }
}

TEST(ChecksumAccumulator, OddSplitsByHand) {
  ChecksumAccumulator a;
  a.Add({0x12});
  a.Add({0x34});
  EXPECT_EQ(a.Sum(), 0x1234);
  a.Add({0x56});
  a.AddU16(0x789a);  // stands at an odd offset: 56 78, 9a 00
  EXPECT_EQ(a.Sum(), ReferenceSum({0x12, 0x34, 0x56, 0x78, 0x9a}));
  a.AddU32(0xbcdef012);
  EXPECT_EQ(a.Sum(), ReferenceSum({0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x12}));
}

TEST(ChecksumAccumulator, KnownSumsTakePart) {
  const std::vector<uint8_t> head = {1, 2, 3};
  const std::vector<uint8_t> tail = {4, 5, 6, 7};
  ChecksumAccumulator a(0x1000);
  a.AddSum(ChecksumSum(head), head.size());
  a.AddSum(ChecksumSum(tail), tail.size());
  EXPECT_EQ(a.Sum(), AddSums(0x1000, ReferenceSum({1, 2, 3, 4, 5, 6, 7})));
}

TEST(PseudoHeader, IsTheSumOfItsTwelveBytes) {
  const std::vector<uint8_t> bytes = {10, 0, 0, 1, 255, 254, 253, 252, 0, 6, 0x12, 0x34};
  EXPECT_EQ(Ipv4PseudoHeaderSum(Ipv4Address(10, 0, 0, 1), Ipv4Address(255, 254, 253, 252), 6, 0x1234),
            ReferenceSum(bytes));
  EXPECT_EQ(Ipv4PseudoHeaderSum(Ipv4Address::Broadcast(), Ipv4Address::Broadcast(), 0xff, 0xffff),
            ReferenceSum({255, 255, 255, 255, 255, 255, 255, 255, 0, 255, 255, 255}));
}

// RFC 1624 §4's example: with eqn. 2 of RFC 1141 the result would be 0xffff.
TEST(Update, ExampleOfRfc1624) { EXPECT_EQ(UpdateChecksum16(0xdd2f, 0x5555, 0x3285), 0x0000); }

TEST(Update, AgreesWithRecomputing) {
  uint32_t seed;
  std::mt19937 random = SeededRandom(&seed);
  SCOPED_TRACE(absl::StrCat("LUNA_TEST_SEED=", seed));
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint8_t> bytes = RandomBytes(&random, 20);
    bytes[0] = 0x45;  // a block of zeros has two checksums
    StoreBe16(&bytes[10], 0);
    const uint16_t before = Checksum(bytes);
    const uint32_t old_word = LoadBe32(&bytes[12]);
    const uint32_t new_word = round % 7 == 0 ? 0xffffffffu : round % 11 == 0 ? 0 : random();
    StoreBe32(&bytes[12], new_word);
    ASSERT_EQ(UpdateChecksum32(before, old_word, new_word), Checksum(bytes));
    StoreBe16(&bytes[12], static_cast<uint16_t>(old_word >> 16));
    ASSERT_EQ(UpdateChecksum16(UpdateChecksum32(before, old_word, new_word), static_cast<uint16_t>(new_word >> 16),
                               static_cast<uint16_t>(old_word >> 16)),
              Checksum(bytes));
  }
}

}  // namespace
}  // namespace luna::wire
