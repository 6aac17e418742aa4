#include "luna/ctrl/stats/registry.h"

#include "gtest/gtest.h"
#include "luna/ctrl/stats/counter.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/ctrl/stats/drop_reason.h"
#include "luna/ctrl/stats/histogram.h"

namespace luna::stats {
namespace {

TEST(Registry, EmptyRendersAsNothing) {
  Registry registry;
  EXPECT_EQ(registry.RenderText(), "");
  EXPECT_EQ(registry.RenderJsonLines(), "");
}

TEST(Registry, RendersWhatTheObjectsHoldNow) {
  Registry registry;
  Counter packets;
  DropCounters drops;
  Histogram rtt;
  registry.Add("worker0.rx_packets", "packets received", &packets);
  registry.Add("worker0.drop", &drops);
  registry.Add("worker0.rtt", "round trip", &rtt);
  EXPECT_EQ(registry.RenderJsonLines(),
            "{\"name\":\"worker0.rtt\",\"count\":0,\"min_ns\":0,\"mean_ns\":0.0,\"p50_ns\":0,\"p99_ns\":0,"
            "\"p999_ns\":0,\"max_ns\":0}\n"
            "{\"name\":\"worker0.rx_packets\",\"value\":0}\n");
  packets.Add(1234);
  drops.Count(DropReason::kTcpBadChecksum, 2);
  rtt.Record(uint64_t{100});
  rtt.Record(uint64_t{200});
  EXPECT_EQ(registry.RenderJsonLines(),
            "{\"name\":\"worker0.drop.tcp_bad_checksum\",\"value\":2}\n"
            "{\"name\":\"worker0.rtt\",\"count\":2,\"min_ns\":100,\"mean_ns\":150.0,\"p50_ns\":100,\"p99_ns\":200,"
            "\"p999_ns\":200,\"max_ns\":200}\n"
            "{\"name\":\"worker0.rx_packets\",\"value\":1234}\n");
}

TEST(Registry, TextIsAnAlignedSortedTable) {
  Registry registry;
  Counter b;
  Counter a;
  DropCounters drops;
  registry.Add("w.b", "second", &b);
  registry.Add("w.a_long_name", "first", &a);
  registry.Add("x", &drops);
  a.Add(5);
  b.Add(1234);
  drops.Count(DropReason::kNoRoute);
  EXPECT_EQ(registry.RenderText(),
            "w.a_long_name     5  first\n"
            "w.b            1234  second\n"
            "x.no_route        1  no route to the destination\n");
}

TEST(Registry, RemoveTakesTheNameAndAllBelowIt) {
  Registry registry;
  Counter c;
  registry.Add("a", "", &c);
  registry.Add("a.x", "", &c);
  registry.Add("a.y.z", "", &c);
  registry.Add("ab", "", &c);
  EXPECT_EQ(registry.Remove("a"), 3);
  EXPECT_EQ(registry.RenderJsonLines(), "{\"name\":\"ab\",\"value\":0}\n");
  EXPECT_EQ(registry.Remove("a"), 0);
  registry.Add("a", "", &c);
}

TEST(RegistryDeathTest, RefusesTakenAndMalformedNames) {
  Registry registry;
  Counter c;
  registry.Add("a", "", &c);
  EXPECT_DEATH(registry.Add("a", "", &c), "name taken: a");
  EXPECT_DEATH(registry.Add("", "", &c), "not a name");
  EXPECT_DEATH(registry.Add("a\"b", "", &c), "not a name");
  const Counter* none = nullptr;
  EXPECT_DEATH(registry.Add("n", "", none), "nothing to show");
}

}  // namespace
}  // namespace luna::stats
