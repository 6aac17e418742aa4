#include "luna/apps/echo/workload.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "luna/apps/echo/pattern.h"
#include "luna/sched/clock/testing/fake_clock.h"

namespace luna::apps {
namespace {

std::vector<std::byte> Period() {
  std::vector<std::byte> period(kPatternPeriod);
  FillPattern(absl::MakeSpan(period));
  return period;
}

// A transport in the test's hand: takes up to `room` octets, and echoes when told.
class FakeChannel final : public Channel {
 public:
  size_t SendPattern(uint64_t offset, size_t length) override {
    EXPECT_EQ(offset, taken);
    const size_t n = std::min(length, room);
    room -= n;
    taken += n;
    return n;
  }
  void Close() override { closed = true; }

  uint64_t taken = 0;
  uint64_t echoed = 0;
  size_t room = SIZE_MAX;
  bool closed = false;
};

class WorkloadTest : public testing::Test {
 protected:
  void Start(const WorkloadOptions& options) {
    workload_ = std::make_unique<Workload>(options, clock_, period_);
    stream_ = workload_->OnConnected(&channel_);
  }
  // Brings `n` octets back, in pieces of `piece`.
  void Echo(size_t n, size_t piece = SIZE_MAX) {
    while (n > 0) {
      const size_t at = channel_.echoed % kPatternPeriod;
      const size_t step = std::min({n, piece, kPatternPeriod - at});
      workload_->OnReadable(stream_, absl::MakeConstSpan(period_).subspan(at, step));
      channel_.echoed += step;
      n -= step;
    }
    workload_->OnReadableDone(stream_);
  }

  FakeClock clock_;
  std::vector<std::byte> period_ = Period();
  FakeChannel channel_;
  std::unique_ptr<Workload> workload_;
  Workload::Stream* stream_ = nullptr;
};

TEST(Pattern, IsJudgedByOffset) {
  const std::vector<std::byte> period = Period();
  const auto span = absl::MakeConstSpan(period);
  EXPECT_TRUE(MatchesPattern(span, 7, span.subspan(7, 100)));
  EXPECT_FALSE(MatchesPattern(span, 8, span.subspan(7, 100)));
  std::vector<std::byte> wrapped(period.end() - 10, period.end());
  wrapped.insert(wrapped.end(), period.begin(), period.begin() + 10);
  EXPECT_TRUE(MatchesPattern(span, 5 * kPatternPeriod - 10, wrapped));
  wrapped[15] ^= std::byte{1};
  EXPECT_FALSE(MatchesPattern(span, 5 * kPatternPeriod - 10, wrapped));
}

TEST_F(WorkloadTest, KeepsInflightMessagesUnderWayAndMeasures) {
  Start({.message_bytes = 100, .inflight = 4, .duration = Duration::Seconds(1), .verify = true});
  EXPECT_EQ(channel_.taken, 400u);
  clock_.Advance(Duration::Microseconds(10));
  Echo(250, 33);
  EXPECT_EQ(channel_.taken, 600u);  // two came back, two went out
  clock_.Advance(Duration::Seconds(1));
  Echo(350);
  EXPECT_TRUE(channel_.closed);
  EXPECT_EQ(channel_.taken, 600u);  // the deadline is over: nothing new
  workload_->OnClosed(stream_, "closed");
  EXPECT_TRUE(workload_->done());
  const WorkloadReport report = workload_->Report();
  EXPECT_EQ(report.errors, 0u) << report.first_error;
  EXPECT_EQ(report.messages, 2u);  // completed before the deadline
  EXPECT_EQ(report.bytes_verified, 600u);
  EXPECT_NEAR(report.p50_us, 1000010, 10000);
  EXPECT_NEAR(report.seconds, 1.0, 1e-9);
  EXPECT_NEAR(report.rps, 2.0, 1e-6);
}

TEST_F(WorkloadTest, GoesOnWhereBackPressureStopped) {
  channel_.room = 150;
  Start({.message_bytes = 100, .inflight = 2, .total_bytes = 300});
  EXPECT_EQ(channel_.taken, 150u);
  Echo(100);
  EXPECT_EQ(channel_.taken, 150u);
  channel_.room = SIZE_MAX;
  workload_->OnWritable(stream_);
  EXPECT_EQ(channel_.taken, 300u);
  Echo(200);
  EXPECT_TRUE(channel_.closed);
  workload_->OnClosed(stream_, "closed");
  EXPECT_EQ(workload_->Report().errors, 0u);
  EXPECT_EQ(workload_->Report().messages, 3u);
}

TEST_F(WorkloadTest, ConnectionsWithAByteCountEndEachOnItsOwn) {
  workload_ = std::make_unique<Workload>(WorkloadOptions{.message_bytes = 100, .connections = 2, .total_bytes = 300},
                                         clock_, period_);
  FakeChannel other;
  Workload::Stream* const other_stream = workload_->OnConnected(&other);
  stream_ = workload_->OnConnected(&channel_);
  for (int i = 0; i < 3; ++i) Echo(100);
  EXPECT_TRUE(channel_.closed);
  workload_->OnClosed(stream_, "closed");
  // The first one's end must not cut the second one short.
  for (uint64_t i = 0; i < 3; ++i) {
    workload_->OnReadable(other_stream, absl::MakeConstSpan(period_).subspan(100 * i, 100));
    workload_->OnReadableDone(other_stream);
  }
  EXPECT_EQ(other.taken, 300u);
  EXPECT_TRUE(other.closed);
  workload_->OnClosed(other_stream, "closed");
  EXPECT_EQ(workload_->Report().messages, 6u);
  EXPECT_EQ(workload_->Report().errors, 0u);
}

TEST_F(WorkloadTest, ChangedOctetsAreErrors) {
  Start({.message_bytes = 100, .verify = true});
  std::vector<std::byte> wrong(period_.begin(), period_.begin() + 100);
  wrong[99] ^= std::byte{0x80};
  workload_->OnReadable(stream_, wrong);
  EXPECT_EQ(workload_->Report().errors, 1u);
  EXPECT_TRUE(absl::StrContains(workload_->Report().first_error, "changed"));
}

TEST_F(WorkloadTest, MoreThanWasSentIsAnError) {
  Start({.message_bytes = 100});
  Echo(101);
  EXPECT_GE(workload_->Report().errors, 1u);
}

TEST_F(WorkloadTest, AnEarlyEndIsAnError) {
  Start({.message_bytes = 100});
  workload_->OnClosed(stream_, "reset by peer");
  EXPECT_EQ(workload_->Report().errors, 1u);
  EXPECT_TRUE(absl::StrContains(workload_->Report().first_error, "reset by peer"));
  EXPECT_TRUE(workload_->done());
}

TEST_F(WorkloadTest, SilenceEndsTheRun) {
  Start({.message_bytes = 100, .duration = Duration::Seconds(1)});
  clock_.Advance(Duration::Seconds(2));
  workload_->OnTick();
  EXPECT_FALSE(workload_->done());
  clock_.Advance(Duration::Seconds(9));
  workload_->OnTick();
  EXPECT_TRUE(workload_->done());
  EXPECT_EQ(workload_->Report().errors, 1u);
}

TEST_F(WorkloadTest, StopFinishesWhatIsUnderWay) {
  Start({.message_bytes = 100, .inflight = 2, .duration = Duration::Seconds(100)});
  workload_->Stop();
  Echo(100);
  EXPECT_EQ(channel_.taken, 200u);
  EXPECT_FALSE(channel_.closed);
  Echo(100);
  EXPECT_TRUE(channel_.closed);
}

TEST(WorkloadReport, JsonHasTheKeysThatScriptsRead) {
  WorkloadReport report;
  report.rps = 1000;
  report.p999_us = 12.5;
  EXPECT_EQ(report.ToJson(),
            R"({"rps": 1000, "gbps": 0.000, "p50_us": 0.00, "p99_us": 0.00, "p999_us": 12.50, "errors": 0, )"
            R"("bytes_verified": 0, "messages": 0, "bytes": 0, "seconds": 0.000})");
}

}  // namespace
}  // namespace luna::apps
