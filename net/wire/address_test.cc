#include "luna/net/wire/address.h"

#include <arpa/inet.h>

#include <cstring>
#include <random>
#include <type_traits>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace luna::wire {
namespace {

template <typename... T>
constexpr bool kAllTriviallyCopyable = (std::is_trivially_copyable_v<T> && ...);
static_assert(kAllTriviallyCopyable<MacAddress, Ipv4Address, IpAddress, Ipv4Prefix, Endpoint, FourTuple>);
static_assert(Ipv4Address(10, 0, 0, 2).value() == 0x0a000002);
static_assert(IpAddress(Ipv4Address(10, 0, 0, 2)).IsV4());
static_assert(!IpAddress().IsV4());

TEST(MacAddress, ParsesBothSeparatorsAndBothCases) {
  const MacAddress expected({0x02, 0xab, 0x00, 0xcd, 0xff, 0x0a});
  EXPECT_EQ(MacAddress::Parse("02:ab:00:cd:ff:0a"), expected);
  EXPECT_EQ(MacAddress::Parse("02-AB-00-CD-FF-0A"), expected);
  EXPECT_EQ(expected.ToString(), "02:ab:00:cd:ff:0a");
}

TEST(MacAddress, RefusesWhatIsNotOne) {
  for (const char* text :
       {"", "02:ab:00:cd:ff", "02:ab:00:cd:ff:0", "02:ab:00:cd:ff:0a:", "02:ab:00:cd:ff:0g", "02:ab-00:cd:ff:0a",
        "02.ab.00.cd.ff.0a", " 02:ab:00:cd:ff:0", "2:ab:00:cd:ff:0a0", "02:ab:00:cd:ff:0a0", "+2:ab:00:cd:ff:0a"}) {
    EXPECT_FALSE(MacAddress::Parse(text)) << text;
  }
}

TEST(MacAddress, Kinds) {
  EXPECT_TRUE(MacAddress().IsZero());
  EXPECT_FALSE(MacAddress().IsMulticast());
  EXPECT_TRUE(MacAddress::Broadcast().IsBroadcast());
  EXPECT_TRUE(MacAddress::Broadcast().IsMulticast());
  const MacAddress group({0x01, 0x00, 0x5e, 0, 0, 1});
  EXPECT_TRUE(group.IsMulticast());
  EXPECT_FALSE(group.IsBroadcast());
  EXPECT_FALSE(group.IsLocal());
  EXPECT_TRUE(MacAddress({0x02, 0, 0, 0, 0, 0}).IsLocal());
  EXPECT_FALSE(MacAddress({0, 0, 0, 0, 0, 1}).IsZero());
}

TEST(MacAddress, OrderIsThatOfTheBytes) {
  EXPECT_LT(MacAddress({0, 0xff, 0xff, 0xff, 0xff, 0xff}), MacAddress({1, 0, 0, 0, 0, 0}));
  EXPECT_LT(MacAddress({0, 0, 0, 0, 0, 1}), MacAddress({0, 0, 0, 0, 1, 0}));
}

TEST(MacAddress, BytesRoundTrip) {
  const uint8_t in[6] = {1, 2, 3, 4, 5, 6};
  uint8_t out[6] = {};
  MacAddress::FromBytes(in).CopyTo(out);
  EXPECT_EQ(0, memcmp(in, out, 6));
}

TEST(Ipv4Address, ParsesAndPrints) {
  const struct {
    const char* text;
    uint32_t value;
  } kCases[] = {{"0.0.0.0", 0},          {"255.255.255.255", 0xffffffff}, {"10.0.0.2", 0x0a000002},
                {"1.2.3.4", 0x01020304}, {"192.168.100.9", 0xc0a86409},   {"128.0.0.1", 0x80000001}};
  for (const auto& c : kCases) {
    ASSERT_TRUE(Ipv4Address::Parse(c.text)) << c.text;
    EXPECT_EQ(Ipv4Address::Parse(c.text)->value(), c.value);
    EXPECT_EQ(Ipv4Address(c.value).ToString(), c.text);
  }
}

TEST(Ipv4Address, RefusesWhatIsNotOne) {
  for (const char* text :
       {"",          ".",         "...",       "1.2.3",      "1.2.3.4.",          ".1.2.3.4",  "1.2.3.4.5",
        "256.0.0.1", "1.2.3.256", "1..3.4",    "01.2.3.4",   "1.2.3.00",          "1.2.3.4 ",  " 1.2.3.4",
        "1.2.3.-4",  "1.2.3.+4",  "0x1.2.3.4", "1.2.3.4/24", "99999999999.1.1.1", "1.2.3.4\n", "a.b.c.d",
        "12345"}) {
    EXPECT_FALSE(Ipv4Address::Parse(text)) << text;
  }
  EXPECT_FALSE(Ipv4Address::Parse(absl::string_view("1.2.3.4\0", 8)));
}

TEST(Ipv4Address, Kinds) {
  const struct {
    const char* text;
    bool unspecified, broadcast, multicast, loopback, class_e, link_local, unicast;
  } kCases[] = {
      // text             unspec broadc multic loopb  classE linklo unicast
      {"0.0.0.0", true, false, false, false, false, false, false},
      {"0.0.0.1", false, false, false, false, false, false, false},
      {"1.0.0.0", false, false, false, false, false, false, true},
      {"10.0.0.2", false, false, false, false, false, false, true},
      {"126.255.255.255", false, false, false, false, false, false, true},
      {"127.0.0.0", false, false, false, true, false, false, true},
      {"127.255.255.255", false, false, false, true, false, false, true},
      {"128.0.0.0", false, false, false, false, false, false, true},
      {"169.253.255.255", false, false, false, false, false, false, true},
      {"169.254.0.1", false, false, false, false, false, true, true},
      {"223.255.255.255", false, false, false, false, false, false, true},
      {"224.0.0.0", false, false, true, false, false, false, false},
      {"239.255.255.255", false, false, true, false, false, false, false},
      {"240.0.0.0", false, false, false, false, true, false, false},
      {"255.255.255.254", false, false, false, false, true, false, false},
      {"255.255.255.255", false, true, false, false, true, false, false},
  };
  for (const auto& c : kCases) {
    const Ipv4Address a = *Ipv4Address::Parse(c.text);
    EXPECT_EQ(a.IsUnspecified(), c.unspecified) << c.text;
    EXPECT_EQ(a.IsBroadcast(), c.broadcast) << c.text;
    EXPECT_EQ(a.IsMulticast(), c.multicast) << c.text;
    EXPECT_EQ(a.IsLoopback(), c.loopback) << c.text;
    EXPECT_EQ(a.IsClassE(), c.class_e) << c.text;
    EXPECT_EQ(a.IsLinkLocal(), c.link_local) << c.text;
    EXPECT_EQ(a.IsUnicast(), c.unicast) << c.text;
  }
}

TEST(Ipv4Address, WireOrder) {
  const uint8_t in[4] = {10, 0, 0, 2};
  uint8_t out[4] = {};
  Ipv4Address::FromBytes(in).CopyTo(out);
  EXPECT_EQ(Ipv4Address::FromBytes(in), Ipv4Address(10, 0, 0, 2));
  EXPECT_EQ(0, memcmp(in, out, 4));
}

TEST(IpAddress, V4IsMapped) {
  const IpAddress a = Ipv4Address(10, 0, 0, 2);
  EXPECT_TRUE(a.IsV4());
  EXPECT_EQ(a.v4(), Ipv4Address(10, 0, 0, 2));
  EXPECT_EQ(a.ToString(), "10.0.0.2");
  EXPECT_EQ(IpAddress::Parse("::ffff:10.0.0.2"), a);
  EXPECT_EQ(IpAddress::Parse("10.0.0.2"), a);
  EXPECT_EQ(IpAddress::FromV4(Ipv4Address(10, 0, 0, 2)), a);
  uint8_t bytes[16];
  a.CopyTo(bytes);
  const uint8_t expected[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2};
  EXPECT_EQ(0, memcmp(bytes, expected, 16));
  EXPECT_EQ(IpAddress::FromBytes(expected), a);
  // The v4-compatible form is not the mapped one.
  EXPECT_FALSE(IpAddress::Parse("::10.0.0.2")->IsV4());
}

TEST(IpAddress, PrintsV6AsRfc5952Says) {
  const struct {
    const char* in;
    const char* out;
  } kCases[] = {
      {"::", "::"},
      {"::1", "::1"},
      {"1::", "1::"},
      {"2001:DB8::1", "2001:db8::1"},
      {"2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},  // one zero group stays
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},           // the longest run
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},     // the first of equal runs
      {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
      {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
      {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
      {"fe80::1:0:0", "fe80::1:0:0"},
      {"0:0:1::", "0:0:1::"},
  };
  for (const auto& c : kCases) {
    const absl::optional<IpAddress> a = IpAddress::Parse(c.in);
    ASSERT_TRUE(a) << c.in;
    EXPECT_EQ(a->ToString(), c.out) << c.in;
    EXPECT_EQ(IpAddress::Parse(c.out), a) << c.in;
  }
}

TEST(IpAddress, RefusesWhatIsNotOne) {
  for (const char* text : {"",
                           ":",
                           ":::",
                           "1",
                           "1:2",
                           "1:2:3:4:5:6:7",
                           "1:2:3:4:5:6:7:8:9",
                           "1::2::3",
                           ":1::2",
                           "1::2:",
                           "12345::",
                           "::g",
                           "1:2:3:4:5:6:7:1.2.3.4",
                           "::1.2.3",
                           "::1.2.3.4:5",
                           "1.2.3.4::",
                           "[::1]",
                           "fe80::1%eth0",
                           "::1 ",
                           "1:2:3:4::5:6:7:8",
                           "::1:2:3:4:5:6:7:8",
                           "1:2:3:4:5:6:7:8::"}) {
    EXPECT_FALSE(IpAddress::Parse(text)) << text;
  }
}

TEST(IpAddress, Kinds) {
  EXPECT_TRUE(IpAddress().IsUnspecified());
  EXPECT_TRUE(IpAddress(Ipv4Address::Any()).IsUnspecified());
  EXPECT_FALSE(IpAddress(Ipv4Address(10, 0, 0, 1)).IsUnspecified());
  EXPECT_FALSE(IpAddress::Parse("1::")->IsUnspecified());
  EXPECT_FALSE(IpAddress::Parse("0:1::")->IsUnspecified());
  EXPECT_FALSE(IpAddress::Parse("0:0:1::")->IsUnspecified());
  EXPECT_TRUE(IpAddress::Parse("::1")->IsLoopback());
  EXPECT_TRUE(IpAddress::Parse("127.0.0.1")->IsLoopback());
  EXPECT_FALSE(IpAddress::Parse("::2")->IsLoopback());
  EXPECT_TRUE(IpAddress::Parse("ff02::1")->IsMulticast());
  EXPECT_TRUE(IpAddress::Parse("224.0.0.1")->IsMulticast());
  EXPECT_FALSE(IpAddress::Parse("fe80::1")->IsMulticast());
}

TEST(IpAddress, OrderIsThatOfTheBytes) {
  const char* const kAscending[] = {"::", "::1", "0.0.0.0", "10.0.0.1", "255.255.255.255", "::1:0:0:0", "1::", "ff::"};
  for (size_t i = 0; i + 1 < std::size(kAscending); ++i) {
    EXPECT_LT(*IpAddress::Parse(kAscending[i]), *IpAddress::Parse(kAscending[i + 1])) << kAscending[i];
  }
}

// The C library as an oracle: it and we agree on random texts that are nearly addresses.
TEST(IpAddress, AgreesWithTheCLibrary) {
  const char* env = getenv("LUNA_TEST_SEED");
  const uint32_t seed = env != nullptr ? static_cast<uint32_t>(atoll(env)) : std::random_device()();
  SCOPED_TRACE(absl::StrCat("LUNA_TEST_SEED=", seed));
  std::mt19937 random(seed);
  const char* const kPieces[] = {":", "::", "0", "1", "ab", "ffff", "00001", ".", "1.2.3.4", "255", "256", "10", "g"};
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    const int pieces = static_cast<int>(random() % 17);
    for (int i = 0; i < pieces; ++i) {
      text += kPieces[random() % std::size(kPieces)];
      if (random() % 2 == 0) text += ':';
    }
    uint8_t bytes[16];
    const bool v6 = inet_pton(AF_INET6, text.c_str(), bytes) == 1;
    const absl::optional<IpAddress> ours = IpAddress::Parse(text);
    if (text.find(':') == std::string::npos) continue;
    ASSERT_EQ(ours.has_value(), v6) << text;
    if (!v6) continue;
    ASSERT_EQ(*ours, IpAddress::FromBytes(bytes)) << text;
    ASSERT_EQ(IpAddress::Parse(ours->ToString()), ours) << text;
  }
}

TEST(Ipv4Prefix, ParsesAndComputes) {
  const struct {
    const char* text;
    const char* mask;
    const char* network;
    const char* broadcast;
  } kCases[] = {
      {"10.0.0.2/24", "255.255.255.0", "10.0.0.0", "10.0.0.255"},
      {"10.1.2.3/0", "0.0.0.0", "0.0.0.0", "255.255.255.255"},
      {"10.1.2.3/1", "128.0.0.0", "0.0.0.0", "127.255.255.255"},
      {"192.168.5.77/30", "255.255.255.252", "192.168.5.76", "192.168.5.79"},
      {"192.168.5.77/31", "255.255.255.254", "192.168.5.76", "255.255.255.255"},
      {"192.168.5.77/32", "255.255.255.255", "192.168.5.77", "255.255.255.255"},
  };
  for (const auto& c : kCases) {
    const absl::optional<Ipv4Prefix> p = Ipv4Prefix::Parse(c.text);
    ASSERT_TRUE(p) << c.text;
    EXPECT_EQ(p->mask().ToString(), c.mask) << c.text;
    EXPECT_EQ(p->network().ToString(), c.network) << c.text;
    EXPECT_EQ(p->broadcast().ToString(), c.broadcast) << c.text;
    EXPECT_EQ(p->ToString(), c.text);
  }
  for (const char* text : {"", "10.0.0.2", "10.0.0.2/", "10.0.0.2/33", "10.0.0.2/-1", "10.0.0.2/024", "10.0.0/24",
                           "10.0.0.2/24/", "/24", "10.0.0.2 /24", "::1/64"}) {
    EXPECT_FALSE(Ipv4Prefix::Parse(text)) << text;
  }
}

TEST(Ipv4Prefix, Contains) {
  const Ipv4Prefix p(Ipv4Address(10, 0, 0, 2), 24);
  EXPECT_TRUE(p.Contains(Ipv4Address(10, 0, 0, 255)));
  EXPECT_TRUE(p.Contains(Ipv4Address(10, 0, 0, 0)));
  EXPECT_FALSE(p.Contains(Ipv4Address(10, 0, 1, 2)));
  EXPECT_TRUE(Ipv4Prefix().Contains(Ipv4Address(255, 1, 2, 3)));
  const Ipv4Prefix host(Ipv4Address(10, 0, 0, 2), 32);
  EXPECT_TRUE(host.Contains(Ipv4Address(10, 0, 0, 2)));
  EXPECT_FALSE(host.Contains(Ipv4Address(10, 0, 0, 3)));
  EXPECT_EQ(Ipv4Prefix(Ipv4Address(), 40).length(), 32);
  EXPECT_EQ(Ipv4Prefix(Ipv4Address(), -1).length(), 0);
}

TEST(Endpoint, ParsesAndPrints) {
  EXPECT_EQ(Endpoint::Parse("10.0.0.2:61441"), (Endpoint{Ipv4Address(10, 0, 0, 2), 61441}));
  EXPECT_EQ(Endpoint::Parse("0.0.0.0:0"), (Endpoint{Ipv4Address(), 0}));
  EXPECT_EQ(Endpoint::Parse("[2001:db8::1]:65535"), (Endpoint{*IpAddress::Parse("2001:db8::1"), 65535}));
  for (const char* text : {"10.0.0.2:61441", "[2001:db8::1]:80", "[::]:0"}) {
    ASSERT_TRUE(Endpoint::Parse(text)) << text;
    EXPECT_EQ(Endpoint::Parse(text)->ToString(), text);
  }
  for (const char* text :
       {"", ":", ":80", "10.0.0.2", "10.0.0.2:", "10.0.0.2:65536", "10.0.0.2:080", "10.0.0.2:-1", "::1:80", "[::1]",
        "[::1]:", "[10.0.0.2]:80", "[::1:80", "::1]:80", "10.0.0.2:80 ", "[]:80", "10.0.0.2:100000"}) {
    EXPECT_FALSE(Endpoint::Parse(text)) << text;
  }
}

TEST(FourTuple, ReversesAndPrints) {
  const FourTuple t = {*Endpoint::Parse("10.0.0.2:61441"), *Endpoint::Parse("10.0.0.1:40000")};
  EXPECT_EQ(t.Reversed().local, t.remote);
  EXPECT_EQ(t.Reversed().Reversed(), t);
  EXPECT_NE(t.Reversed(), t);
  EXPECT_EQ(t.ToString(), "10.0.0.2:61441<-10.0.0.1:40000");
}

// Pairwise different values are unequal and hash apart; equal ones hash alike.
template <typename T>
void ExpectAllDistinct(const std::vector<T>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    for (size_t j = 0; j < values.size(); ++j) {
      const T copy = values[j];
      EXPECT_EQ(values[i] == copy, i == j) << values[i] << " " << values[j];
      EXPECT_EQ(absl::Hash<T>()(values[i]) == absl::Hash<T>()(copy), i == j) << values[i] << " " << values[j];
    }
  }
}

// Each field takes part in equality and hash.
TEST(Address, HashesAndEqualityAgree) {
  const Ipv4Address a(10, 0, 0, 1);
  const Ipv4Address b(10, 0, 0, 2);
  ExpectAllDistinct<FourTuple>({{},
                                {{a, 1}, {b, 2}},
                                {{a, 2}, {b, 2}},
                                {{a, 1}, {b, 1}},
                                {{b, 1}, {b, 2}},
                                {{a, 1}, {a, 2}},
                                {{b, 2}, {a, 1}},
                                {{*IpAddress::Parse("1::"), 1}, {b, 2}},
                                {{*IpAddress::Parse("0:0:1::"), 1}, {b, 2}}});
  ExpectAllDistinct<MacAddress>(
      {MacAddress(), MacAddress::Broadcast(), MacAddress({1, 0, 0, 0, 0, 0}), MacAddress({0, 0, 0, 0, 0, 1})});
  ExpectAllDistinct<Ipv4Prefix>({Ipv4Prefix(), Ipv4Prefix(a, 24), Ipv4Prefix(a, 25), Ipv4Prefix(b, 24)});
}

}  // namespace
}  // namespace luna::wire
