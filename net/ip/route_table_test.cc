#include "luna/net/ip/route_table.h"

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/ip/neighbour_table.h"

namespace luna::ip {
namespace {

using wire::IpAddress;
using wire::Ipv4Address;
using wire::Ipv4Prefix;

Route MakeRoute(const char* prefix, uint32_t mark, uint32_t metric = 0) {
  Route route;
  route.destination = *Ipv4Prefix::Parse(prefix);
  route.mtu = mark;  // tells routes apart
  route.metric = metric;
  return route;
}

TEST(RouteTable, TakesTheLongestPrefix) {
  const RouteTable table = RouteTable::Builder()
                               .Add(MakeRoute("0.0.0.0/0", 1))
                               .Add(MakeRoute("10.0.0.0/8", 2))
                               .Add(MakeRoute("10.1.0.0/16", 3))
                               .Add(MakeRoute("10.1.2.0/24", 4))
                               .Add(MakeRoute("10.1.2.3/32", 5))
                               .Add(MakeRoute("10.1.2.128/25", 6))
                               .Build();
  struct Case {
    const char* address;
    uint32_t mark;
  };
  for (const Case& c : std::vector<Case>{{"10.1.2.3", 5},
                                         {"10.1.2.4", 4},
                                         {"10.1.2.127", 4},
                                         {"10.1.2.128", 6},
                                         {"10.1.2.255", 6},
                                         {"10.1.3.0", 3},
                                         {"10.1.255.255", 3},
                                         {"10.2.0.0", 2},
                                         {"9.255.255.255", 1},
                                         {"11.0.0.0", 1},
                                         {"255.255.255.255", 1}}) {
    const Route* route = table.Lookup(*IpAddress::Parse(c.address));
    ASSERT_NE(route, nullptr) << c.address;
    EXPECT_EQ(route->mtu, c.mark) << c.address;
  }
}

TEST(RouteTable, HasNoRouteWithoutADefault) {
  const RouteTable table = RouteTable::Builder().Add(MakeRoute("10.0.0.0/24", 1)).Build();
  EXPECT_EQ(table.Lookup(Ipv4Address(10, 0, 1, 0)), nullptr);
  EXPECT_EQ(RouteTable().Lookup(Ipv4Address(10, 0, 0, 1)), nullptr);
  EXPECT_EQ(table.Lookup(*IpAddress::Parse("2001:db8::1")), nullptr);
}

TEST(RouteTable, PrefersTheLowestMetricThenTheFirst) {
  const RouteTable table = RouteTable::Builder()
                               .Add(MakeRoute("10.0.0.0/24", 1, 200))
                               .Add(MakeRoute("10.0.0.0/24", 2, 100))
                               .Add(MakeRoute("10.0.0.0/24", 3, 100))
                               .Build();
  EXPECT_EQ(table.Lookup(Ipv4Address(10, 0, 0, 1))->mtu, 2u);
  EXPECT_EQ(table.routes().size(), 1u);
}

TEST(RouteTable, IgnoresHostBits) {
  const RouteTable table = RouteTable::Builder().AddInterface(Ipv4Prefix(Ipv4Address(10, 0, 0, 2), 24)).Build();
  const Route* route = table.Lookup(Ipv4Address(10, 0, 0, 99));
  ASSERT_NE(route, nullptr);
  EXPECT_EQ(route->source, Ipv4Address(10, 0, 0, 2));
  EXPECT_EQ(route->NextHop(Ipv4Address(10, 0, 0, 99)), Ipv4Address(10, 0, 0, 99));
}

TEST(RouteTable, SendsTheRestToTheGateway) {
  const RouteTable table = RouteTable::Builder()
                               .AddInterface(Ipv4Prefix(Ipv4Address(10, 0, 0, 2), 24))
                               .AddDefault(Ipv4Address(10, 0, 0, 1))
                               .Build();
  const Route* route = table.Lookup(Ipv4Address(192, 0, 2, 1));
  ASSERT_NE(route, nullptr);
  EXPECT_EQ(route->NextHop(Ipv4Address(192, 0, 2, 1)), Ipv4Address(10, 0, 0, 1));
  EXPECT_EQ(table.ToString(), "10.0.0.0/24 source 10.0.0.2\n0.0.0.0/0 via 10.0.0.1\n");
}

// Against the definition: the longest of all prefixes that contain the address, then the lowest metric, then the first.
TEST(RouteTable, AgreesWithALinearScan) {
  const char* text = std::getenv("LUNA_TEST_SEED");
  const uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 0) : std::random_device{}();
  std::cout << "LUNA_TEST_SEED=" << seed << std::endl;
  std::mt19937_64 random(seed);
  for (int round = 0; round < 50; ++round) {
    std::vector<Route> routes;
    RouteTable::Builder builder;
    const int count = static_cast<int>(random() % 40);
    for (int i = 0; i < count; ++i) {
      Route route;
      // Few distinct bits, so that prefixes nest and collide.
      const auto bits = static_cast<uint32_t>(random() & 0x81818181u);
      route.destination = Ipv4Prefix(Ipv4Address(bits), static_cast<int>(random() % 33));
      route.metric = static_cast<uint32_t>(random() % 3);
      route.mtu = static_cast<uint32_t>(i + 1);
      routes.push_back(route);
      builder.Add(route);
    }
    const RouteTable table = builder.Build();
    for (int i = 0; i < 200; ++i) {
      const Ipv4Address address(static_cast<uint32_t>(random() & 0x81818181u));
      const Route* best = nullptr;
      for (const Route& r : routes) {
        if (!r.destination.Contains(address)) continue;
        if (best == nullptr || r.destination.length() > best->destination.length() ||
            (r.destination.length() == best->destination.length() && r.metric < best->metric)) {
          best = &r;
        }
      }
      const Route* found = table.Lookup(address);
      ASSERT_EQ(found == nullptr, best == nullptr) << address;
      if (best != nullptr) {
        ASSERT_EQ(found->mtu, best->mtu) << address;
      }
    }
  }
}

TEST(NeighbourTable, FindsWhatWasSet) {
  NeighbourTable table;
  const wire::MacAddress mac({2, 0, 0, 0, 0, 1});
  table.SetPermanent(Ipv4Address(10, 0, 0, 1), mac);
  table.Set(Ipv4Address(10, 0, 0, 2), {wire::MacAddress(), NeighbourState::kFailed});
  ASSERT_NE(table.Find(Ipv4Address(10, 0, 0, 1)), nullptr);
  EXPECT_EQ(table.Find(Ipv4Address(10, 0, 0, 1))->mac, mac);
  EXPECT_TRUE(table.Find(Ipv4Address(10, 0, 0, 1))->usable());
  EXPECT_FALSE(table.Find(Ipv4Address(10, 0, 0, 2))->usable());
  EXPECT_EQ(table.Find(Ipv4Address(10, 0, 0, 3)), nullptr);
  table.Erase(Ipv4Address(10, 0, 0, 2));
  EXPECT_EQ(table.Find(Ipv4Address(10, 0, 0, 2)), nullptr);
}

}  // namespace
}  // namespace luna::ip
