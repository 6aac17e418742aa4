#include "luna/net/pmd/xdp/ledger.h"

#include <algorithm>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace luna::pmd::xdp {
namespace {

using ::testing::ElementsAre;

constexpr uint64_t kObj = 2304;

TEST(PostedSet, TakesOnlyWhatWasAdded) {
  PostedSet posted(1 << 20);
  EXPECT_FALSE(posted.Take(0));
  posted.Add(0);
  posted.Add(kObj);
  EXPECT_EQ(posted.count(), 2u);
  EXPECT_TRUE(posted.Take(0));
  EXPECT_FALSE(posted.Take(0)) << "once only";
  EXPECT_TRUE(posted.Take(kObj));
  EXPECT_EQ(posted.count(), 0u);
}

TEST(PostedSet, AddressesOutsideTheUmem) {
  PostedSet posted(1 << 20);
  for (uint64_t address : {uint64_t{1} << 20, uint64_t{1} << 47, ~uint64_t{0}}) EXPECT_FALSE(posted.Take(address));
}

TEST(PostedSet, TakeAllNamesAnInnerAddressOfEachObj) {
  // Objs as close as they may lie, at odd places.
  PostedSet posted(1 << 20);
  std::vector<uint64_t> starts;
  for (uint64_t start = 12352; start + kObj <= 1 << 20; start += kObj) starts.push_back(start);
  for (uint64_t start : starts) posted.Add(start);
  size_t i = 0;
  posted.TakeAll([&](uint64_t inner) {
    ASSERT_LT(i, starts.size());
    EXPECT_GE(inner, starts[i]);
    EXPECT_LT(inner, starts[i] + kObj);
    ++i;
  });
  EXPECT_EQ(i, starts.size());
  EXPECT_EQ(posted.count(), 0u);
  EXPECT_FALSE(posted.Take(starts[0]));
}

TEST(InFlight, InOrder) {
  InFlight book(4);
  for (int turn = 0; turn < 10; ++turn) {
    book.Add(100, false);
    book.Add(200, true);
    book.Add(300, true);
    EXPECT_EQ(book.Free(), 1u);
    EXPECT_EQ(book.frames(), 2u);
    EXPECT_EQ(book.descriptors(), 3u);
    EXPECT_TRUE(book.Complete(100));
    EXPECT_EQ(book.frames(), 2u);
    EXPECT_TRUE(book.Complete(200));
    EXPECT_EQ(book.frames(), 1u);
    EXPECT_TRUE(book.Complete(300));
    EXPECT_EQ(book.frames(), 0u);
    EXPECT_EQ(book.Free(), 4u);
  }
}

TEST(InFlight, OutOfOrderAndUnknown) {
  InFlight book(4);
  book.Add(1, true);
  book.Add(2, true);
  book.Add(3, true);
  EXPECT_TRUE(book.Complete(2));
  EXPECT_FALSE(book.Complete(2)) << "once only";
  EXPECT_FALSE(book.Complete(9));
  EXPECT_EQ(book.Free(), 1u) << "the gap is not free yet";
  EXPECT_TRUE(book.Complete(1));
  EXPECT_EQ(book.Free(), 3u) << "1 and the gap";
  EXPECT_TRUE(book.Complete(3));
  EXPECT_EQ(book.Free(), 4u);
  EXPECT_FALSE(book.Complete(3));
}

TEST(InFlight, TheSameAddressTwice) {
  InFlight book(4);
  book.Add(7, true);
  book.Add(7, true);
  EXPECT_TRUE(book.Complete(7));
  EXPECT_EQ(book.frames(), 1u);
  EXPECT_TRUE(book.Complete(7));
  EXPECT_FALSE(book.Complete(7));
}

TEST(InFlight, TakeAllSkipsWhatIsDone) {
  InFlight book(4);
  for (uint64_t a : {1, 2, 3}) book.Add(a, true);
  EXPECT_TRUE(book.Complete(2));
  std::vector<uint64_t> rest;
  book.TakeAll([&rest](uint64_t a) { rest.push_back(a); });
  EXPECT_THAT(rest, ElementsAre(1, 3));
  EXPECT_EQ(book.Free(), 4u);
  EXPECT_EQ(book.frames(), 0u);
}

// Against a plain multiset, in a random order.
TEST(InFlight, Random) {
  std::mt19937 random(7);
  InFlight book(64);
  std::vector<uint64_t> model;
  for (int i = 0; i < 20000; ++i) {
    if (random() % 2 == 0 && book.Free() > 0) {
      model.push_back(random() % 50);
      book.Add(model.back(), true);
    } else if (!model.empty()) {
      const size_t k = std::min<size_t>(random() % 4, model.size() - 1);
      ASSERT_TRUE(book.Complete(model[k]));
      model.erase(std::find(model.begin(), model.end(), model[k]));
    }
    ASSERT_EQ(book.frames(), model.size());
    ASSERT_FALSE(book.Complete(51));
  }
}

}  // namespace
}  // namespace luna::pmd::xdp
