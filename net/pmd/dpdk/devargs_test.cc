#include "luna/net/pmd/dpdk/devargs.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace luna::pmd::dpdk {
namespace {

using ::testing::HasSubstr;

TEST(DevargsTest, TakesApartVirtualDevices) {
  absl::StatusOr<Devargs> d = Devargs::Parse("net_memif0,role=client,id=7");
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_EQ(d->name(), "net_memif0");
  EXPECT_EQ(d->driver().prefix, "net_memif");
  EXPECT_FALSE(d->is_pci());
  EXPECT_EQ(d->Find("role"), absl::string_view("client"));
  EXPECT_EQ(d->Find("bsize"), absl::nullopt);
  EXPECT_EQ(d->Arguments(), "role=client,id=7");
}

TEST(DevargsTest, TakesApartPciAddresses) {
  struct Row {
    const char* text;
    const char* name;
  };
  for (const Row& row : std::vector<Row>{{"0000:03:00.0", "0000:03:00.0"},
                                         {"03:00.1", "0000:03:00.1"},
                                         {"abcd:ff:1f.7,rxq_cqe_comp_en=0", "abcd:ff:1f.7"}}) {
    absl::StatusOr<Devargs> d = Devargs::Parse(row.text);
    ASSERT_TRUE(d.ok()) << d.status();
    EXPECT_TRUE(d->is_pci()) << row.text;
    EXPECT_EQ(d->name(), row.name);
    EXPECT_EQ(d->driver().mode, BufferMode::kZbuf);
  }
  EXPECT_FALSE(Devargs::Parse("net_ring0")->is_pci());
}

TEST(DevargsTest, OtherVirtualDriversPassUnchecked) {
  absl::StatusOr<Devargs> d = Devargs::Parse("net_virtio_user0,path=/tmp/s,anything=1");
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_EQ(d->driver().prefix, "net_");
}

TEST(DevargsTest, LongestPrefixIsNotShadowed) {
  EXPECT_EQ(Devargs::Parse("net_af_packet0,iface=eth0")->driver().prefix, "net_af_packet");
  EXPECT_EQ(Devargs::Parse("net_af_xdp,iface=eth0")->driver().mode, BufferMode::kCopy);
}

TEST(DevargsTest, DefaultsDoNotOverride) {
  absl::StatusOr<Devargs> d = Devargs::Parse("net_memif0,bsize=4096");
  ASSERT_TRUE(d.ok());
  d->SetDefault("bsize", "2048");
  d->SetDefault("rsize", "11");
  EXPECT_EQ(d->Arguments(), "bsize=4096,rsize=11");
}

// Every line quotes what was given, says what is wrong and names the mend.
TEST(DevargsTest, EveryMistakeHasItsLine) {
  struct Row {
    const char* text;
    std::vector<const char*> says;
  };
  const std::vector<Row> rows = {
      {"", {"no such device", "net_memif", "0000:03:00.0"}},
      {"foo0", {"no such device", "net_af_packet"}},
      {"net_", {"no such device"}},
      {"net_memif 0", {"no such device"}},
      {"net_memif/0", {"no such device"}},
      {"0000:03:00", {"no such device"}},
      {"0000:03:00.8", {"no such device"}},
      {"0000:zz:00.0", {"no such device"}},
      {"net_memif0,", {"\"\" is not key=value"}},
      {"net_memif0,role", {"\"role\" is not key=value", "name,key=value"}},
      {"net_memif0,=client", {"\"=client\" is not key=value"}},
      {"net_memif0,role=", {"\"role=\" is not key=value"}},
      {"net_memif0,role=client,,id=0", {"\"\" is not key=value"}},
      {"net_memif0,role=client,role=server", {"\"role\" is given twice"}},
      {"net_memif0,rol=client", {"net_memif has no \"rol\"", "role", "bsize"}},
      {"net_memif0,role=cli ent", {"has a space"}},
      {"net_af_packet0", {"net_af_packet needs iface=", "iface=eth0"}},
      {"net_af_xdp0,start_queue=1", {"net_af_xdp needs iface="}},
      {"net_ring0,ring=7", {"net_ring has no \"ring\"", "nodeaction"}},
  };
  for (const Row& row : rows) {
    const absl::Status status = Devargs::Parse(row.text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.text;
    const std::string message(status.message());
    EXPECT_THAT(message, HasSubstr("device \"" + std::string(row.text) + "\": "));
    EXPECT_FALSE(absl::StrContains(message, "\n"));
    for (const char* phrase : row.says) EXPECT_THAT(message, HasSubstr(phrase));
  }
  const std::string long_name = "net_ring" + std::string(80, 'x');
  EXPECT_FALSE(Devargs::Parse(long_name).ok());
}

}  // namespace
}  // namespace luna::pmd::dpdk
