#include "luna/mem/zbuf/zchain.h"

#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/mem/zbuf/zref.h"

namespace luna::zbuf {
namespace {

std::vector<size_t> SliceSizes(const ZChain& chain) {
  std::vector<size_t> sizes;
  for (const ZSlice& slice : chain) sizes.push_back(slice.size());
  return sizes;
}

using Sizes = std::vector<size_t>;

TEST(ZRef, OwnsOneReference) {
  TestSlab memory;
  std::byte* const obj = memory.slab().Alloc(100);
  {
    ZRef a = ZRef::Adopt(obj);
    EXPECT_TRUE(a);
    EXPECT_EQ(a.get(), obj);
    ZRef b = a.Share();
    ZRef c = ZRef::ShareOf(obj + 50);
    EXPECT_EQ(c.get(), obj + 50);
    EXPECT_EQ(RefCount(obj), 3);
    b = std::move(c);
    EXPECT_EQ(RefCount(obj), 2);
    EXPECT_FALSE(c);  // NOLINT(bugprone-use-after-move): promised
    b.reset();
    EXPECT_EQ(RefCount(obj), 1);
    ZRef& same = a;
    a = std::move(same);
    EXPECT_EQ(RefCount(obj), 1) << "self-move keeps the reference";
    std::byte* const released = a.release();
    EXPECT_FALSE(a);
    EXPECT_EQ(RefCount(obj), 1);
    ZRef d = ZRef::Adopt(released);
    d.Advance(10);
    EXPECT_EQ(d.get(), obj + 10);
  }
  EXPECT_EQ(memory.outstanding(), 0u);
  EXPECT_FALSE(ZRef().Share());
  EXPECT_FALSE(ZRef::Adopt(nullptr));
}

TEST(ZChain, StartsEmpty) {
  const ZChain chain;
  EXPECT_TRUE(chain.empty());
  EXPECT_EQ(chain.bytes(), 0u);
  EXPECT_EQ(chain.begin(), chain.end());
  EXPECT_EQ(chain.HeadRoom(), 0u);
  EXPECT_EQ(chain.TailRoom(), 0u);
  EXPECT_EQ(chain.ToString(), "");
}

TEST(ZChain, CopyFromCutsLongData) {
  TestSlab memory;
  for (const size_t bytes : {0, 1, 128, 5000, 16640, 16641, 100000}) {
    std::string text(bytes, 'x');
    for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(i * 7 + i / 256);
    const ZChain chain = memory.Chain(text);
    EXPECT_EQ(chain.bytes(), bytes);
    EXPECT_EQ(chain.slice_count(), (bytes + 16639) / 16640);
    EXPECT_EQ(chain.ToString(), text);
  }
}

TEST(ZChain, CopyFromTakesNothingWhenMemoryRunsOut) {
  TestSlab memory(kZoneBytes);
  EXPECT_FALSE(ZChain::CopyFrom(memory.slab(), std::string(3 << 20, 'x')).has_value());
  EXPECT_EQ(memory.outstanding(), 0u);
  EXPECT_EQ(memory.slab().Stats().exhausted(), 1u);
}

TEST(ZChain, AppendsAcrossTheInlineLimit) {
  TestSlab memory;
  std::string text;
  ZChain chain;
  for (int i = 0; i < 40; ++i) {
    text += static_cast<char>('0' + i);
    chain.Append(memory.Chain(text.substr(text.size() - 1)).PopFront());
    ASSERT_EQ(chain.ToString(), text);
    ASSERT_EQ(chain.slice_count(), text.size());
  }
  EXPECT_EQ(memory.outstanding(), 40u);
  ZChain moved = std::move(chain);
  EXPECT_TRUE(chain.empty());  // NOLINT(bugprone-use-after-move): promised
  EXPECT_EQ(chain.slice_count(), 0u);
  EXPECT_EQ(moved.ToString(), text);
  chain.Append(memory.Chain("again"));
  EXPECT_EQ(chain.ToString(), "again");
  moved = std::move(chain);
  EXPECT_EQ(moved.ToString(), "again");
  EXPECT_EQ(memory.outstanding(), 1u);
}

TEST(ZChain, EmptySlicesVanish) {
  TestSlab memory;
  ZChain chain;
  chain.Append(ZRef::Adopt(memory.slab().Alloc(10)), 0);
  chain.PrependSlice({ZRef::Adopt(memory.slab().Alloc(10)), 0});
  chain.Append(ZChain());
  EXPECT_TRUE(chain.empty());
  EXPECT_EQ(memory.outstanding(), 0u);
}

TEST(ZChain, TrimsAndSplitsAtEveryPlace) {
  const std::string text = "abcdefghijklmnopqrstuvwxyz";
  TestSlab memory;
  for (const size_t slice_bytes : {1, 3, 7, 13, 26}) {
    for (size_t n = 0; n <= text.size(); ++n) {
      SCOPED_TRACE(testing::Message() << "slices of " << slice_bytes << ", cut at " << n);
      ZChain front = memory.ChainOfSlices(text, slice_bytes);
      front.TrimFront(n);
      ASSERT_EQ(front.ToString(), text.substr(n));
      ZChain back = memory.ChainOfSlices(text, slice_bytes);
      back.TrimBack(n);
      ASSERT_EQ(back.ToString(), text.substr(0, text.size() - n));
      ZChain rest = memory.ChainOfSlices(text, slice_bytes);
      const ZChain head = rest.SplitFront(n);
      ASSERT_EQ(head.ToString(), text.substr(0, n));
      ASSERT_EQ(rest.ToString(), text.substr(n));
      ASSERT_EQ(head.bytes(), n);
      ASSERT_EQ(rest.bytes(), text.size() - n);
      for (const ZChain* chain : std::initializer_list<const ZChain*>{&front, &back, &rest, &head}) {
        for (const size_t size : SliceSizes(*chain)) ASSERT_GT(size, 0u);
      }
    }
  }
}

TEST(ZChain, TrimFreesAtOnce) {
  TestSlab memory;
  ZChain chain = memory.ChainOfSlices("aaabbbccc", 3);
  chain.TrimFront(2);
  EXPECT_EQ(memory.outstanding(), 3u);
  chain.TrimFront(1);
  EXPECT_EQ(memory.outstanding(), 2u);
  chain.TrimBack(4);
  EXPECT_EQ(memory.outstanding(), 1u);
  EXPECT_EQ(chain.ToString(), "bb");
  chain.Clear();
  EXPECT_EQ(memory.outstanding(), 0u);
}

TEST(ZChain, ShareRangeTakesReferencesAndNoCopies) {
  const std::string text = "abcdefghijklmnop";
  TestSlab memory;
  const ZChain chain = memory.ChainOfSlices(text, 5);
  for (size_t offset = 0; offset <= text.size(); ++offset) {
    for (size_t length = 0; offset + length <= text.size(); ++length) {
      const ZChain range = chain.ShareRange(offset, length);
      ASSERT_EQ(range.ToString(), text.substr(offset, length)) << offset << "+" << length;
      std::string out(length, '\0');
      chain.CopyTo(absl::MakeSpan(reinterpret_cast<std::byte*>(out.data()), length), offset);
      ASSERT_EQ(out, text.substr(offset, length));
    }
  }
  EXPECT_EQ(memory.outstanding(), 4u);
  {
    const ZChain shared = chain.Share();
    EXPECT_EQ(RefCount(chain.front().data()), 2);
    EXPECT_EQ(shared.front().data(), chain.front().data());
    EXPECT_EQ(shared.slice_count(), 4u);
  }
  EXPECT_EQ(RefCount(chain.front().data()), 1);
}

TEST(ZChain, SplitInsideASliceSharesTheObj) {
  TestSlab memory;
  ZChain rest = memory.Chain("abcdef");
  std::byte* const obj = rest.front().data();
  ZChain head = rest.SplitFront(2);
  EXPECT_EQ(RefCount(obj), 2);
  EXPECT_EQ(head.front().data(), obj);
  EXPECT_EQ(rest.front().data(), obj + 2);
  head.Clear();
  EXPECT_EQ(RefCount(obj), 1);
  EXPECT_EQ(rest.ToString(), "cdef");
}

TEST(ZChain, PrependAndHeadRoom) {
  TestSlab memory;
  ZChain chain = memory.Chain("payload");
  std::byte* const obj = memory.slab().Alloc(64);
  chain.PrependSlice({ZRef::Adopt(obj + 64), 1});
  *chain.front().data() = std::byte{'>'};
  EXPECT_EQ(chain.HeadRoom(), 64u);
  std::byte* const at = chain.ExtendFront(3);
  EXPECT_EQ(at, obj + 61);
  std::copy_n(reinterpret_cast<const std::byte*>("tcp"), 3, at);
  EXPECT_EQ(chain.ToString(), "tcp>payload");
  EXPECT_EQ(chain.HeadRoom(), 61u);
  EXPECT_EQ(SliceSizes(chain), (Sizes{4, 7}));
  EXPECT_EQ(chain.TailRoom(), 128u - 7);
  std::byte* const end = chain.ExtendBack(1);
  *end = std::byte{'.'};
  EXPECT_EQ(chain.ToString(), "tcp>payload.");
}

TEST(ZChain, PrependsAcrossTheInlineLimit) {
  TestSlab memory;
  ZChain chain;
  std::string text;
  for (char c = 'a'; c <= 'z'; ++c) {
    chain.PrependSlice(memory.Chain(std::string(1, c)).PopFront());
    text.insert(text.begin(), c);
    ASSERT_EQ(chain.ToString(), text);
  }
}

// A send queue: bytes in at the back, out at the front, for ever.
TEST(ZChain, ServesAsAQueue) {
  TestSlab memory;
  for (const size_t depth : {1, 2, 3, 4, 9}) {
    ZChain queue;
    std::string text;
    for (int i = 0; i < 500; ++i) {
      const std::string piece(static_cast<size_t>(i % 5) + 1, static_cast<char>('a' + i % 26));
      queue.Append(memory.Chain(piece));
      text += piece;
      while (queue.slice_count() > depth) {
        const size_t n = queue.front().size();
        queue.TrimFront(n);
        text.erase(0, n);
      }
      ASSERT_EQ(queue.ToString(), text);
    }
  }
}

TEST(ZChain, Linearise) {
  TestSlab memory;
  ZChain chain = memory.ChainOfSlices(std::string(5000, 'x') + "end", 700);
  ASSERT_TRUE(chain.Linearise(memory.slab()));
  EXPECT_EQ(chain.slice_count(), 1u);
  EXPECT_EQ(chain.ToString(), std::string(5000, 'x') + "end");
  EXPECT_EQ(memory.outstanding(), 1u);
  std::byte* const obj = chain.front().data();
  ASSERT_TRUE(chain.Linearise(memory.slab()));
  EXPECT_EQ(chain.front().data(), obj) << "one slice is left as it is";
  ZChain empty;
  EXPECT_TRUE(empty.Linearise(memory.slab()));
  ZChain too_long = memory.Chain(std::string(kMaxObjBytes + 1, 'y'));
  const size_t slices = too_long.slice_count();
  EXPECT_FALSE(too_long.Linearise(memory.slab()));
  EXPECT_EQ(too_long.slice_count(), slices);
  EXPECT_EQ(too_long.ToString(), std::string(kMaxObjBytes + 1, 'y'));
}

TEST(ZChainDeathTest, HoldsLessThanFourGigabytes) {
  TestSlab memory;
  const ZChain piece = memory.Chain(std::string(4000, 'z'));
  ZChain chain;
  // Slices may repeat an obj; the lengths add up all the same.
  chain.Append(piece.front().ref.Share(), 0xfffff000u);
  EXPECT_DEATH(chain.Append(piece.front().ref.Share(), 0x1000), "less than 4 GiB");
  chain.Append(piece.front().ref.Share(), 0xfff);
  EXPECT_EQ(chain.bytes(), 0xffffffffu);
}

}  // namespace
}  // namespace luna::zbuf
