#include "luna/ctrl/stats/trace_ring.h"

#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "luna/sched/clock/time.h"

namespace luna::stats {
namespace {

// Words that only belong together when they come from the same Append.
TraceRecord Nth(uint64_t n) { return {Time::FromNanoseconds(static_cast<int64_t>(n)), n * 3, n * 5, n * 7}; }

void AppendNth(TraceRing& ring, uint64_t n) {
  const TraceRecord r = Nth(n);
  ring.Append(r.time, r.event, r.a, r.b);
}

TEST(TraceRing, CapacityIsRoundedUpToAPowerOfTwo) {
  EXPECT_EQ(TraceRing(0).capacity(), 2u);
  EXPECT_EQ(TraceRing(1).capacity(), 2u);
  EXPECT_EQ(TraceRing(8).capacity(), 8u);
  EXPECT_EQ(TraceRing(9).capacity(), 16u);
}

TEST(TraceRing, KeepsTheLatestInOrder) {
  for (uint64_t appended : {0, 1, 6, 7, 8, 9, 100}) {
    TraceRing ring(8);
    for (uint64_t n = 0; n < appended; ++n) AppendNth(ring, n);
    EXPECT_EQ(ring.written(), appended);
    std::vector<TraceRecord> want;
    for (uint64_t n = appended > 7 ? appended - 7 : 0; n < appended; ++n) want.push_back(Nth(n));
    EXPECT_EQ(ring.Snapshot(), want) << appended;
  }
}

// Under --config=tsan: a snapshot during writing is no data race. In every build: no record is torn or out of order.
TEST(TraceRing, SnapshotsDuringWritingHoldOnlyWholeRecords) {
  TraceRing ring(16);
  std::atomic<bool> done{false};
  std::thread reader([&] {
    do {
      const std::vector<TraceRecord> records = ring.Snapshot();
      for (size_t i = 0; i < records.size(); ++i) {
        const auto n = static_cast<uint64_t>(records[i].time.nanoseconds());
        ASSERT_EQ(records[i], Nth(n));
        if (i > 0) {
          ASSERT_EQ(records[i].time - records[i - 1].time, Duration::Nanoseconds(1));
        }
      }
    } while (!done.load());
  });
  for (uint64_t n = 0; n < 300'000; ++n) AppendNth(ring, n);
  done.store(true);
  reader.join();
}

TEST(TraceRing, Text) {
  TraceRing ring(4);
  ring.Append(Time::FromNanoseconds(1'000), 1, 10, 20);
  ring.Append(Time::FromNanoseconds(3'500), 2);
  const auto name = [](uint64_t event) -> absl::string_view { return event == 1 ? "receive" : "send"; };
  EXPECT_EQ(TraceToString(ring.Snapshot(), name),
            "0.000001000     +0.000 us  receive              10 20\n"
            "0.000003500     +2.500 us  send                 0 0\n");
}

}  // namespace
}  // namespace luna::stats
