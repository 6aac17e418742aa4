#include "luna/net/pmd/receive_slot.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/packet_util.h"

namespace luna::pmd {
namespace {

size_t Room(absl::Span<iovec> pieces) {
  size_t room = 0;
  for (const iovec& piece : pieces) room += piece.iov_len;
  return room;
}

// What a readv of `bytes` does.
void Scatter(absl::Span<iovec> pieces, absl::Span<const uint8_t> bytes) {
  for (const iovec& piece : pieces) {
    const absl::Span<const uint8_t> part = bytes.subspan(0, piece.iov_len);
    if (!part.empty()) std::memcpy(piece.iov_base, part.data(), part.size());
    bytes.remove_prefix(part.size());
  }
  EXPECT_TRUE(bytes.empty());
}

std::vector<uint8_t> Octets(size_t n) {
  std::vector<uint8_t> octets(n);
  for (size_t i = 0; i < n; ++i) octets[i] = static_cast<uint8_t>(i * 7 + i / 251);
  return octets;
}

TEST(ReceiveSlot, FramesOfEveryLengthComeOutWhole) {
  zbuf::TestSlab memory;
  IoStats stats;
  for (const size_t prefix : {size_t{0}, size_t{10}}) {
    ReceiveSlot slot(65553, prefix);
    for (const size_t bytes : {1u, 60u, 1514u, 2240u, 2241u, 4544u, 4545u, 9014u, 65549u, 65553u}) {
      ASSERT_TRUE(slot.Fill(memory.slab(), stats));
      EXPECT_GT(Room(slot.pieces()), prefix + 65553);  // a longer frame shows
      const std::vector<uint8_t> octets = Octets(prefix + bytes);
      Scatter(slot.pieces(), octets);
      zbuf::ZChain chain;
      slot.Take(bytes, chain);
      EXPECT_EQ(ToBytes(chain),
                std::vector<uint8_t>(octets.begin() + static_cast<std::ptrdiff_t>(prefix), octets.end()));
      EXPECT_EQ(std::vector<uint8_t>(slot.prefix(), slot.prefix() + prefix),
                std::vector<uint8_t>(octets.begin(), octets.begin() + static_cast<std::ptrdiff_t>(prefix)));
      EXPECT_EQ(chain.HeadRoom(), kTxHeadroomBytes);
    }
  }
  EXPECT_EQ(stats.rx_no_buffer, 0u);
}

TEST(ReceiveSlot, WhatAFrameLeavesUnusedWaits) {
  zbuf::TestSlab memory;
  IoStats stats;
  ReceiveSlot slot(65553, 0);
  ASSERT_TRUE(slot.Fill(memory.slab(), stats));
  const size_t full = memory.outstanding();
  zbuf::ZChain chain;
  slot.Take(100, chain);
  EXPECT_EQ(memory.outstanding(), full);  // one of them is the chain's
  ASSERT_TRUE(slot.Fill(memory.slab(), stats));
  EXPECT_EQ(memory.outstanding(), full + 1);
}

TEST(ReceiveSlot, ExhaustedMemoryIsCountedAndSurvived) {
  zbuf::TestSlab memory;
  IoStats stats;
  ReceiveSlot slot(9018, 10);
  std::vector<std::byte*> taken;
  while (std::byte* obj = memory.slab().Alloc(zbuf::kReceiveObjBytes)) taken.push_back(obj);
  memory.slab().Free(taken.back());
  taken.pop_back();
  EXPECT_FALSE(slot.Fill(memory.slab(), stats));  // one of four
  EXPECT_FALSE(slot.Fill(memory.slab(), stats));
  EXPECT_EQ(stats.rx_no_buffer, 2u);
  memory.slab().FreeBulk(taken);
  ASSERT_TRUE(slot.Fill(memory.slab(), stats));
  const std::vector<uint8_t> octets = Octets(10 + 9018);
  Scatter(slot.pieces(), octets);
  zbuf::ZChain chain;
  slot.Take(9018, chain);
  EXPECT_EQ(ToBytes(chain), std::vector<uint8_t>(octets.begin() + 10, octets.end()));
}

}  // namespace
}  // namespace luna::pmd
