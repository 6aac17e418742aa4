#include "luna/net/tcp/tuple_table.h"

#include <cstdlib>
#include <deque>
#include <iostream>
#include <map>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace luna::tcp {
namespace {

struct Item {
  wire::FourTuple id;
  const wire::FourTuple& tuple() const { return id; }
  bool IsOf(const wire::FourTuple& other) const { return id == other; }
};

wire::FourTuple Tuple(uint32_t n) {
  return {{wire::Ipv4Address(10, 0, 0, 2), 80},
          {wire::Ipv4Address(0x0a000000 + n / 100), static_cast<uint16_t>(1 + n % 100)}};
}

uint64_t Seed() {
  const char* given = std::getenv("LUNA_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device()();
  std::cerr << "LUNA_TEST_SEED=" << seed << "\n";
  return seed;
}

TEST(TupleTable, AgreesWithAMap) {
  std::mt19937_64 random(Seed());
  TupleTable<Item> table({random(), random()});
  std::deque<Item> items;
  std::map<wire::FourTuple, Item*> model;
  for (int step = 0; step < 40000; ++step) {
    const wire::FourTuple tuple = Tuple(static_cast<uint32_t>(random() % (step < 20000 ? 3000 : 300)));
    const auto found = model.find(tuple);
    ASSERT_EQ(table.Find(tuple), found == model.end() ? nullptr : found->second);
    if (found == model.end()) {
      items.push_back({tuple});
      table.Insert(&items.back());
      model[tuple] = &items.back();
    } else if (random() % 4 != 0) {
      const Item stranger{tuple};
      ASSERT_FALSE(table.Erase(stranger));
      ASSERT_TRUE(table.Erase(*found->second));
      ASSERT_FALSE(table.Erase(*found->second));
      model.erase(found);
    }
    ASSERT_EQ(table.size(), model.size());
  }
  for (const auto& [tuple, item] : model) EXPECT_EQ(table.Find(tuple), item);
  size_t visited = 0;
  table.ForEach([&](Item& item) { visited += model.count(item.id); });
  EXPECT_EQ(visited, model.size());
}

TEST(TupleTable, OrderFollowsFromTheSecretAlone) {
  std::vector<wire::FourTuple> orders[2];
  for (auto& order : orders) {
    std::deque<Item> items;
    TupleTable<Item> table({1, 2});
    for (uint32_t i = 0; i < 500; ++i) {
      items.push_back({Tuple(i)});
      table.Insert(&items.back());
    }
    table.ForEach([&](Item& item) { order.push_back(item.id); });
  }
  EXPECT_EQ(orders[0], orders[1]);
}

// Ends that differ in little do not meet in one place; another secret is another order.
TEST(TupleHash, SpreadsNeighboursAndDependsOnTheSecret) {
  const TupleHash hash({3, 4});
  std::vector<int> buckets(1024);
  int same = 0;
  for (uint32_t i = 0; i < 102400; ++i) {
    ++buckets[hash(Tuple(i)) % buckets.size()];
    if (Tuple(i).local == Tuple(i).remote) continue;
    same += hash(Tuple(i)) == TupleHash({3, 5})(Tuple(i)) || hash(Tuple(i)) == hash(Tuple(i).Reversed());
  }
  EXPECT_EQ(same, 0);
  for (const int count : buckets) {
    EXPECT_GT(count, 40);
    EXPECT_LT(count, 170);
  }
}

}  // namespace
}  // namespace luna::tcp
