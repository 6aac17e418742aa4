#include "luna/ctrl/stats/drop_reason.h"

#include <set>
#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace luna::stats {
namespace {

TEST(DropReason, SpotChecksOfTheTable) {
  EXPECT_EQ(DropReasonName(DropReason::kNone), "none");
  EXPECT_EQ(DropReasonName(DropReason::kRxTruncated), "rx_truncated");
  EXPECT_EQ(DropReasonName(DropReason::kIpv6Unsupported), "ipv6_unsupported");
  EXPECT_EQ(DropReasonName(DropReason::kTcpBadChecksum), "tcp_bad_checksum");
  EXPECT_EQ(DropReasonName(DropReason::kShuttingDown), "shutting_down");
  EXPECT_EQ(DropReasonHelp(DropReason::kTcpBadChecksum), "TCP checksum wrong");
}

TEST(DropReason, EveryReasonHasAUniqueNameAndHelp) {
  std::set<std::string> names;
  std::set<std::string> helps;
  for (DropReason reason : AllDropReasons()) {
    const std::string name(DropReasonName(reason));
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_TRUE(helps.insert(std::string(DropReasonHelp(reason))).second) << name;
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string::npos) << name;
    EXPECT_FALSE(DropReasonHelp(reason).empty()) << name;
    EXPECT_FALSE(absl::EndsWith(DropReasonHelp(reason), ".")) << name;
  }
  EXPECT_EQ(names.size(), kDropReasonCount - 1);
  EXPECT_EQ(names.count("none"), 0u);
}

TEST(DropReason, OutOfRangeIsNamedInvalid) {
  EXPECT_EQ(DropReasonName(DropReason::kCount), "invalid");
  EXPECT_EQ(DropReasonName(static_cast<DropReason>(255)), "invalid");
  EXPECT_EQ(DropReasonHelp(static_cast<DropReason>(255)), "");
}

}  // namespace
}  // namespace luna::stats
