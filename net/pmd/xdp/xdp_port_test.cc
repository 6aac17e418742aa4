#include "luna/net/pmd/xdp/xdp_port.h"

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/xdp/interface_facts.h"

namespace luna::pmd::xdp {
namespace {

using ::testing::HasSubstr;

// What needs no privilege; the rest is root_test/xdp_root_test.cc.
TEST(XdpPort, RefusalsBeforeAnySocket) {
  zbuf::TestSlab memory;
  struct Case {
    XdpOptions options;
    absl::StatusCode code;
    const char* words;
  };
  const Case kCases[] = {
      {{.interface = "no-such-if0"}, absl::StatusCode::kNotFound, "no-such-if0"},
      {{.interface = "a-name-longer-than-a-kernel-name"}, absl::StatusCode::kNotFound, "a-name-longer"},
      {{.interface = "lo"}, absl::StatusCode::kInvalidArgument, "lo is no Ethernet interface"},
      {{.interface = "lo", .chunk_bytes = 1024}, absl::StatusCode::kInvalidArgument, "not 1024"},
      {{.interface = "lo", .chunk_bytes = 8192}, absl::StatusCode::kInvalidArgument, "not 8192"},
  };
  for (const Case& c : kCases) {
    const absl::Status status = XdpPort::Open(c.options, memory.arena(), memory.slab()).status();
    EXPECT_EQ(status.code(), c.code) << status;
    EXPECT_THAT(status.message(), HasSubstr(c.words));
  }
}

}  // namespace
}  // namespace luna::pmd::xdp
