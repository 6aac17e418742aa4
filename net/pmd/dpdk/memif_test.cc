#include "luna/net/pmd/dpdk/memif.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace luna::pmd::dpdk {
namespace {

using ::testing::HasSubstr;

TEST(MemifTest, DefaultsFollowTheMtu) {
  struct Row {
    uint32_t mtu;
    uint32_t descriptors;
    const char* bsize;
    const char* rsize;
  };
  for (const Row& row : std::vector<Row>{{1500, 1024, "2048", "10"},
                                         {2034, 1, "2048", "0"},
                                         {2035, 1000, "2176", "10"},
                                         {9000, 1025, "9088", "11"},
                                         {65000, 60000, "65024", "14"}}) {
    absl::StatusOr<Devargs> d = Devargs::Parse("net_memif0");
    ASSERT_TRUE(d.ok());
    const absl::Status status = ApplyMemifDefaults(row.mtu, row.descriptors, *d, absl::nullopt);
    EXPECT_EQ(*d->Find("bsize"), row.bsize) << row.mtu;
    EXPECT_EQ(*d->Find("rsize"), row.rsize) << row.mtu;
    EXPECT_EQ(*d->Find("socket-abstract"), "yes");
    if (row.descriptors == 1) continue;  // rsize=0 is refused
    ASSERT_TRUE(status.ok()) << status;
    // A frame fits a slot; the receive pool's room never reaches the driver's unchecked path.
    EXPECT_GE(MemifBufferBytes(*d), row.mtu + 14);
    EXPECT_LT(MemifDataRoom(*d) - 128u, MemifBufferBytes(*d));
    EXPECT_GE(MemifDataRoom(*d) - 128u, row.mtu + 14 - 1);
  }
}

TEST(MemifTest, AddressesAreLocalUnicastAndDiffer) {
  absl::StatusOr<Devargs> a = Devargs::Parse("net_memif0");
  absl::StatusOr<Devargs> b = Devargs::Parse("net_memif0");
  ASSERT_TRUE(ApplyMemifDefaults(1500, 1024, *a, absl::nullopt).ok());
  ASSERT_TRUE(ApplyMemifDefaults(1500, 1024, *b, absl::nullopt).ok());
  const wire::MacAddress mac = *wire::MacAddress::Parse(*a->Find("mac"));
  EXPECT_TRUE(mac.IsLocal());
  EXPECT_FALSE(mac.IsMulticast());
  EXPECT_NE(*a->Find("mac"), *b->Find("mac"));

  absl::StatusOr<Devargs> c = Devargs::Parse("net_memif0");
  ASSERT_TRUE(ApplyMemifDefaults(1500, 1024, *c, wire::MacAddress({2, 0, 0, 0, 0, 9})).ok());
  EXPECT_EQ(*c->Find("mac"), "02:00:00:00:00:09");
}

TEST(MemifTest, BadValuesAreNamed) {
  struct Row {
    const char* text;
    const char* says;
  };
  for (const Row& row : std::vector<Row>{{"net_memif0,role=boss", "role=boss; choose server or client"},
                                         {"net_memif0,id=seven", "id=seven; choose a number"},
                                         {"net_memif0,id=-1", "id=-1; choose a number"},
                                         {"net_memif0,rsize=15", "choose a number from 1 to 14"},
                                         {"net_memif0,rsize=x", "rsize=x"},
                                         {"net_memif0,bsize=0", "bsize=0"},
                                         {"net_memif0,bsize=70000", "bsize=70000"},
                                         {"net_memif0,bsize=1024", "needs 1514 at both ends"},
                                         {"net_memif0,mac=1:2:3", "mac=1:2:3; write it like"},
                                         {"net_memif0,socket-abstract=maybe", "choose yes or no"},
                                         {"net_memif0,zero-copy=yes", "leave it out"}}) {
    absl::StatusOr<Devargs> d = Devargs::Parse(row.text);
    ASSERT_TRUE(d.ok()) << d.status();
    const absl::Status status = ApplyMemifDefaults(1500, 1024, *d, absl::nullopt);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.says));
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string("device \"") + row.text));
  }
  absl::StatusOr<Devargs> d = Devargs::Parse("net_memif0,mac=02:00:00:00:00:01");
  EXPECT_FALSE(ApplyMemifDefaults(1500, 1024, *d, wire::MacAddress({2, 0, 0, 0, 0, 9})).ok());
}

}  // namespace
}  // namespace luna::pmd::dpdk
