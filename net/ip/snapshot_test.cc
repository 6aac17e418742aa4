#include "luna/net/ip/snapshot.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace luna::ip {
namespace {

TEST(SnapshotBox, StartsWithADefaultValue) {
  SnapshotBox<int> box;
  SnapshotReader<int> reader(&box);
  EXPECT_EQ(*reader, 0);
  EXPECT_FALSE(reader.Refresh());
}

TEST(SnapshotBox, AReaderKeepsItsValueUntilItRefreshes) {
  SnapshotBox<int> box(std::make_shared<const int>(1));
  SnapshotReader<int> reader(&box);
  box.Publish(2);
  EXPECT_EQ(*reader, 1);
  EXPECT_TRUE(reader.Refresh());
  EXPECT_EQ(*reader, 2);
  EXPECT_FALSE(reader.Refresh());
}

TEST(SnapshotBox, SkipsValuesInBetween) {
  SnapshotBox<int> box;
  SnapshotReader<int> reader(&box);
  for (int i = 1; i <= 5; ++i) box.Publish(i);
  EXPECT_TRUE(reader.Refresh());
  EXPECT_EQ(*reader, 5);
  EXPECT_EQ(reader.version(), box.version());
}

TEST(SnapshotBox, LetsGoOfAnOldValueWhenTheLastReaderMovesOn) {
  auto value = std::make_shared<const int>(7);
  std::weak_ptr<const int> watch = value;
  SnapshotBox<int> box(std::move(value));
  SnapshotReader<int> reader(&box);
  box.Publish(8);
  EXPECT_FALSE(watch.expired());
  reader.Refresh();
  EXPECT_TRUE(watch.expired());
}

// A value whose halves always agree: a torn or half-published value shows.
struct Pair {
  explicit Pair(int n = 0) : values(64, n) {}
  std::vector<int> values;
};

TEST(SnapshotBox, ReadersSeeWholeValuesInOrderWhileAWriterPublishes) {
  constexpr int kPublications = 2000;
  SnapshotBox<Pair> box;
  std::vector<std::thread> readers;
  std::atomic<int> failures{0};
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&box, &failures] {
      SnapshotReader<Pair> reader(&box);
      int last = 0;
      while (last < kPublications) {
        reader.Refresh();
        const int seen = reader->values.front();
        for (int v : reader->values) {
          if (v != seen) ++failures;
        }
        if (seen < last) ++failures;
        last = seen;
      }
    });
  }
  for (int i = 1; i <= kPublications; ++i) box.Publish(Pair(i));
  for (std::thread& t : readers) t.join();
  EXPECT_EQ(failures.load(), 0);
}

}  // namespace
}  // namespace luna::ip
