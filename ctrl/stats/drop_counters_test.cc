#include "luna/ctrl/stats/drop_counters.h"

#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/ctrl/stats/drop_reason.h"

namespace luna::stats {
namespace {

TEST(DropCounters, StartEmpty) {
  DropCounters drops;
  EXPECT_EQ(drops.total(), 0u);
  EXPECT_EQ(drops.ToString(), "none");
}

TEST(DropCounters, CountEachReasonApart) {
  DropCounters drops;
  uint64_t n = 0;
  for (DropReason reason : AllDropReasons()) drops.Count(reason, ++n);
  n = 0;
  for (DropReason reason : AllDropReasons()) EXPECT_EQ(drops.value(reason), ++n) << DropReasonName(reason);
  EXPECT_EQ(drops.total(), n * (n + 1) / 2);
}

TEST(DropCounters, PrintsAndVisitsTheNonZeroOnesInOrder) {
  DropCounters drops;
  drops.Count(DropReason::kTcpOldAck);
  drops.Count(DropReason::kIpBadChecksum, 3);
  EXPECT_EQ(drops.ToString(), "ip_bad_checksum=3 tcp_old_ack=1");
  std::vector<std::pair<DropReason, uint64_t>> seen;
  drops.ForEachNonZero([&](DropReason reason, uint64_t count) { seen.emplace_back(reason, count); });
  const std::vector<std::pair<DropReason, uint64_t>> want = {{DropReason::kIpBadChecksum, 3},
                                                             {DropReason::kTcpOldAck, 1}};
  EXPECT_EQ(seen, want);
}

TEST(DropCounters, NoneAndOutOfRangeShowNowhere) {
  DropCounters drops;
  drops.Count(DropReason::kNone);
  drops.Count(DropReason::kCount);
  drops.Count(static_cast<DropReason>(255));
  EXPECT_EQ(drops.total(), 0u);
  EXPECT_EQ(drops.ToString(), "none");
}

TEST(DropCounters, MergeAdds) {
  DropCounters a;
  DropCounters b;
  a.Count(DropReason::kNoRoute, 2);
  b.Count(DropReason::kNoRoute, 3);
  b.Count(DropReason::kEthTruncated);
  a.Merge(b);
  EXPECT_EQ(a.ToString(), "eth_truncated=1 no_route=5");
  EXPECT_EQ(b.ToString(), "eth_truncated=1 no_route=3");
}

}  // namespace
}  // namespace luna::stats
