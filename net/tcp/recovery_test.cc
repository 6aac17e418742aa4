// Loss detection, recovery and undo of the sender alone, acknowledgement by acknowledgement, on the virtual clock.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/tcp/sender.h"

namespace luna::tcp {
namespace {

constexpr uint32_t kMss = 1000;
constexpr SeqNum kIss(0xffffe000);  // wraps after 8 KB
constexpr SeqNum kPeer(500);
constexpr Duration Ms(int64_t n) { return Duration::Milliseconds(n); }
constexpr Duration Us(int64_t n) { return Duration::Microseconds(n); }

using Blocks = std::vector<std::pair<uint32_t, uint32_t>>;

struct More {
  bool ece = false;
  int64_t echo_ms = -1;  // the timestamp that comes back: sent so long after the start
  uint32_t window = 1u << 20;
  bool has_data = false;
};

class Recovery : public ::testing::Test {
 protected:
  Recovery() {
    config_.rto_min = Ms(200);
    config_.rto_initial = Duration::Seconds(1);
    config_.rto_max = Duration::Seconds(120);
    config_.rto_min_is_margin = true;
    config_.tail_loss_probe = false;
  }

  void Start(bool sack = true, Duration rtt = Ms(100)) {
    sender_.emplace(config_);
    sender_->StartSyn(kIss);
    sender_->set_sack(sack);
    sender_->set_ecn(ecn_);
    sender_->rtt().Sample(rtt);
    sender_->rtt().SampleMin(rtt, now_);
    sender_->Establish(kMss, 0);
    sender_->SetWindow(1u << 20, kPeer, kIss + 1);
  }

  void Write(uint32_t bytes, bool more = false) {
    sender_->Queue(memory_.Chain(std::string(bytes, 'x')), more);
    Flush();
  }

  // Consecutive segments are one: "1+10000P", with R for retransmissions, F, E for ECT, W for CWR.
  void Flush() {
    while (const auto plan = sender_->Next()) {
      sender_->OnSent(*plan, now_);
      std::string letters;
      if (plan->fin) letters += "F";
      if (plan->push) letters += "P";
      if (plan->retransmit) letters += "R";
      if (plan->ect) letters += "E";
      if (plan->cwr) letters += "W";
      const auto seq = static_cast<uint32_t>(plan->seq - kIss);
      if (!out_.empty() && out_.back().letters == letters && out_.back().seq + out_.back().bytes == seq) {
        out_.back().bytes += plan->bytes;
      } else {
        out_.push_back({seq, plan->bytes, letters});
      }
    }
  }
  std::string Out() {
    std::string text;
    for (const Sent& s : out_) absl::StrAppend(&text, text.empty() ? "" : " ", s.seq, "+", s.bytes, s.letters);
    out_.clear();
    return text;
  }

  void In(uint32_t ack, const Blocks& blocks = {}, const More& more = {}) {
    std::vector<wire::TcpSackBlock> sacks;
    for (const auto& [left, right] : blocks) sacks.push_back({(kIss + left).raw(), (kIss + right).raw()});
    Sender::AckInput in{.ack = kIss + ack, .seq = kPeer, .window = more.window, .has_data = more.has_data};
    in.ece = more.ece;
    in.has_echo = more.echo_ms >= 0;
    in.echo = TimestampClock(config_.timestamp_tick).Ticks(kStart + Ms(more.echo_ms));
    in.sacks = sacks;
    in.arrived = in.now = now_;
    sender_->OnAck(in);
    Flush();
  }

  // Timers act at their times; then the clock stands `duration` later.
  void Run(Duration duration) {
    const Time end = now_ + duration;
    while (sender_->deadline() <= end) {
      now_ = std::max(now_, sender_->deadline());
      switch (sender_->Due(now_)) {
        case Sender::TimerKind::kReorder:
          sender_->OnReorderTimer(now_);
          break;
        case Sender::TimerKind::kTailProbe:
          sender_->OnTailProbeTimer(now_);
          break;
        default:
          sender_->OnTimeout(now_);
      }
      Flush();
    }
    now_ = end;
  }

  uint32_t cwnd() const { return sender_->window_segments(); }
  uint32_t ssthresh() const { return sender_->threshold_segments(); }
  uint32_t lost() const { return sender_->board().lost().segments; }
  Sender::State state() const { return sender_->state(); }
  void AsLinux() {
    config_.congestion = CongestionAlgorithm::kCubic;
    config_.reduce_from_window = true;
  }

  static constexpr Time kStart = Time::FromNanoseconds(int64_t{5000} * 1000 * 1000 * 1000);
  struct Sent {
    uint32_t seq, bytes;
    std::string letters;
  };
  zbuf::TestSlab memory_;
  StackConfig config_;
  bool ecn_ = false;
  Time now_ = kStart;
  std::vector<Sent> out_;
  std::optional<Sender> sender_;
};

// --- RFC 6675 and RFC 9937: recovery with SACK ---

TEST_F(Recovery, OneHoleIsFilledAtTheThirdSackAndNewDataFollowsAtTheRateOfDelivery) {
  AsLinux();
  Start();
  Write(10000);
  EXPECT_EQ(Out(), "1+9000 9001+1000P");
  Run(Ms(100));
  In(1, {{1001, 2001}});
  EXPECT_EQ(state(), Sender::State::kDisorder);
  In(1, {{1001, 3001}});
  EXPECT_EQ(Out(), "");
  In(1, {{1001, 4001}});
  EXPECT_EQ(Out(), "1+1000R");
  EXPECT_EQ(state(), Sender::State::kRecovery);
  EXPECT_EQ(cwnd(), 7u);
  EXPECT_EQ(ssthresh(), 7u);
  Write(7000);
  EXPECT_EQ(Out(), "");
  for (uint32_t i = 0; i < 6; ++i) {
    In(1, {{1001, 5001 + 1000 * i}});
    EXPECT_EQ(Out(), absl::StrCat(10001 + 1000 * i, "+1000"));
  }
  In(10001);
  EXPECT_EQ(Out(), "16001+1000P");
  EXPECT_EQ(state(), Sender::State::kOpen);
  EXPECT_EQ(cwnd(), 7u);
  In(17001);
  EXPECT_EQ(sender_->board().size(), 0u);
}

TEST_F(Recovery, ManyHolesAreFilledOnePerDelivery) {
  AsLinux();
  Start(true, Ms(10));
  Write(10000);
  Out();
  Run(Ms(10));
  In(1, {{4001, 5001}});
  In(1, {{4001, 6001}});
  In(1, {{4001, 7001}});
  EXPECT_EQ(Out(), "1+1000R");
  EXPECT_EQ(lost(), 4u);
  In(1, {{4001, 8001}});
  EXPECT_EQ(Out(), "1001+1000R");
  In(1, {{4001, 9001}});
  EXPECT_EQ(Out(), "2001+1000R");
  In(1, {{4001, 10001}});
  EXPECT_EQ(Out(), "3001+1000R");
  Run(Ms(10));
  for (uint32_t ack : {1001, 2001, 3001}) In(ack, {{4001, 10001}});
  In(10001);
  Write(10000);
  EXPECT_EQ(Out(), "10001+7000");  // the whole threshold
}

TEST_F(Recovery, ARetransmissionThatIsLostIsSentAgain) {
  AsLinux();
  Start(true, Ms(10));
  Write(20000);
  Out();
  Run(Ms(10));
  In(1, {{4001, 5001}});
  EXPECT_EQ(Out(), "10001+1000");  // limited transmit
  Run(Ms(2));
  In(1, {{4001, 6001}});
  EXPECT_EQ(Out(), "11001+1000");
  const std::string kOut[] = {"1+1000R", "1001+1000R", "2001+1000R", "3001+1000R", "12001+1000", "13001+1000"};
  for (uint32_t i = 0; i < 6; ++i) {
    Run(Ms(2));
    In(1, {{4001, 7001 + 1000 * i}});
    EXPECT_EQ(Out(), kOut[i]) << i;
  }
  Run(Ms(10));
  In(1001, {{4001, 12001}});
  EXPECT_EQ(Out(), "14001+2000");  // PRR in slow start
  Run(Ms(2));
  In(1001, {{2001, 12001}});  // 3 and 4 came, 2 did not: RACK knows that it was sent before them
  EXPECT_EQ(Out(), "1001+1000R 16001+1000");
  Run(Ms(2));
  In(1001, {{2001, 13001}});
  EXPECT_EQ(Out(), "17001+1000");
  EXPECT_EQ(sender_->timeouts(), 0u);
}

// --- RFC 8985: RACK ---

TEST_F(Recovery, OneSackWaitsForTheReorderingWindow) {
  Start();
  Write(10000);
  Out();
  Run(Ms(100));
  In(1, {{7001, 8001}});
  EXPECT_EQ(Out(), "");
  Run(Ms(24));
  EXPECT_EQ(Out(), "");
  Run(Ms(2));  // a quarter of the round trip
  EXPECT_EQ(Out(), "1+1000R");
  EXPECT_EQ(state(), Sender::State::kRecovery);
  EXPECT_EQ(lost(), 7u);
  EXPECT_EQ(sender_->reordering(), 3u);
  Run(Ms(2));
  In(1, {{3001, 4001}, {7001, 8001}});
  EXPECT_EQ(Out(), "1001+1000R");
  EXPECT_EQ(lost(), 6u);
  EXPECT_EQ(sender_->reordering(), 5u);
  Run(Ms(2));
  In(1, {{3001, 5001}, {7001, 8001}});
  EXPECT_EQ(Out(), "2001+1000R");
  EXPECT_EQ(lost(), 5u);
  In(1, {{3001, 5001}, {7001, 9001}});
  In(1, {{3001, 5001}, {7001, 10001}});
  EXPECT_EQ(Out(), "5001+2000R");
  Run(Ms(100));
  In(10001);
  EXPECT_EQ(state(), Sender::State::kOpen);
  EXPECT_EQ(sender_->pipe() + sender_->board().sacked().segments + lost(), 0u);
}

TEST_F(Recovery, ReorderingWithinTheWindowIsNoLoss) {
  Start();
  Write(10000);
  Out();
  Run(Ms(100));
  In(1, {{1001, 2001}});
  In(1, {{1001, 3001}});
  Run(Ms(10));
  In(3001);
  EXPECT_EQ(state(), Sender::State::kOpen);
  EXPECT_TRUE(sender_->rack().reordering_seen());
  EXPECT_EQ(Out(), "");
  // From now on three SACKs are no proof either, the window is waited for.
  In(3001, {{4001, 7001}});
  EXPECT_EQ(Out(), "");
  Run(Ms(30));
  EXPECT_EQ(Out(), "3001+1000R");
}

TEST_F(Recovery, EachRoundOfDsacksWidensTheReorderingWindow) {
  Start();
  Write(10000);
  Run(Ms(100));
  In(1001);
  EXPECT_EQ(sender_->rack().steps(), 1u);
  In(2001, {{1, 1001}});
  EXPECT_EQ(sender_->rack().steps(), 2u);
  In(3001, {{1001, 2001}});  // the same round trip
  EXPECT_EQ(sender_->rack().steps(), 2u);
  Write(5000);
  In(10001);
  In(11001, {{2001, 3001}});
  EXPECT_EQ(sender_->rack().steps(), 3u);
  EXPECT_EQ(sender_->dsacks(), 3u);
}

// Found by simulation: limited transmit's segments and then the repair leave at one and the same time. That theirs are
// delivered first says nothing of the repair.
TEST_F(Recovery, ARepairIsNotLostBecauseOfWhatLeftBeforeItAtTheSameTime) {
  Start();
  Write(15000);
  Out();
  Run(Ms(100));
  In(1, {{1001, 2001}});
  In(1, {{1001, 3001}});
  EXPECT_EQ(Out(), "10001+2000");
  In(1, {{1001, 4001}});
  EXPECT_EQ(Out(), "1+1000R");
  Run(Ms(100));
  In(1, {{1001, 10001}});
  Out();
  In(1, {{1001, 11001}});
  In(1, {{1001, 12001}});
  EXPECT_EQ(Out().find("R"), std::string::npos);
  In(12001);
  EXPECT_EQ(Out().find("R"), std::string::npos);
  EXPECT_EQ(sender_->total_retransmissions(), 1u);
}

// Repairs are in order among themselves: one that left with it, and is beyond it, shows that it is lost.
TEST_F(Recovery, ARepairIsLostWhenOneAfterItIsDelivered) {
  Start();
  Write(10000);
  Out();
  Run(Ms(100));
  In(1, {{2001, 10001}});
  EXPECT_EQ(Out(), "1+2000R");
  Run(Ms(100));
  In(1, {{1001, 10001}});
  EXPECT_EQ(Out(), "1+1000R");
}

TEST_F(Recovery, ByCountWhenRackIsOff) {
  config_.rack = false;
  Start();
  Write(10000);
  Out();
  Run(Ms(100));
  In(1, {{1001, 2001}});
  In(1, {{1001, 3001}});
  Run(Ms(50));
  EXPECT_EQ(Out(), "");  // two are not enough, however long it takes
  In(1, {{1001, 3001}, {5001, 6001}});
  EXPECT_EQ(Out(), "1+1000R");
  EXPECT_EQ(lost(), 1u);
  In(1, {{1001, 3001}, {5001, 8001}});
  EXPECT_EQ(lost(), 3u);  // 3001 and 4001 now have three above them
}

TEST_F(Recovery, BogusBlocksAreCountedAndDoNothing) {
  Start();
  Write(5000);
  Out();
  Run(Ms(100));
  In(1001, {{5001, 7001}, {3001, 2001}, {500, 3001}});
  EXPECT_EQ(sender_->bogus_sacks(), 3u);
  EXPECT_EQ(sender_->board().sacked().segments, 0u);
  EXPECT_EQ(state(), Sender::State::kOpen);
}

// --- RFC 5681, 6582, 3042: without SACK ---

TEST_F(Recovery, LimitedTransmitWithoutSack) {
  Start(false);
  Write(15000);
  EXPECT_EQ(Out(), "1+10000");
  Run(Ms(110));
  In(1);
  EXPECT_EQ(Out(), "10001+1000");
  In(1);
  EXPECT_EQ(Out(), "11001+1000");
  In(3001);  // reordering: one segment is news, two were announced
  EXPECT_EQ(cwnd(), 11u);
  EXPECT_EQ(Out(), "12001+2000");
  In(5001);
  EXPECT_EQ(Out(), "14001+1000P");
}

TEST_F(Recovery, FourSegmentsAreEnoughForAFastRetransmit) {
  Start(false);
  Write(4000);
  Out();
  Run(Ms(100));
  for (int i = 0; i < 3; ++i) In(1);
  EXPECT_EQ(Out(), "1+1000R");
  Run(Ms(100));
  In(4001);
  EXPECT_EQ(state(), Sender::State::kOpen);
  EXPECT_EQ(sender_->timeouts(), 0u);
}

TEST_F(Recovery, NewRenoRepairsOneHolePerRoundTrip) {
  Start(false);
  Write(10000);
  Out();
  Run(Ms(100));
  for (int i = 0; i < 7; ++i) In(1);  // 1, 4 and 7 are lost
  EXPECT_EQ(Out(), "1+1000R");
  EXPECT_EQ(ssthresh(), 5u);
  Run(Ms(100));
  In(3001);
  EXPECT_EQ(Out(), "3001+1000R");
  Run(Ms(100));
  In(6001);
  EXPECT_EQ(Out(), "6001+1000R");
  Run(Ms(100));
  In(10001);
  EXPECT_EQ(state(), Sender::State::kOpen);
  EXPECT_EQ(cwnd(), 5u);
  EXPECT_EQ(sender_->timeouts(), 0u);
}

// RFC 6582 §3.2 step 1: duplicates of retransmissions after a full acknowledgement are no new loss.
TEST_F(Recovery, NoSecondFastRetransmitForTheSameWindow) {
  Start(false);
  Write(10000);
  Run(Ms(100));
  for (int i = 0; i < 5; ++i) In(1);
  Run(Ms(100));
  Out();
  In(10001);
  Write(5000);
  Out();
  for (int i = 0; i < 4; ++i) In(10001);
  EXPECT_NE(state(), Sender::State::kRecovery);
  EXPECT_EQ(Out(), "");
}

// --- RFC 6298, 5682, 2018: time-out ---

TEST_F(Recovery, ATimeoutSendsOnlyWhatIsMissing) {
  config_.frto = false;
  config_.rack = false;
  Start();
  Write(8000);
  Out();
  Run(Ms(100));
  In(1, {{2001, 3001}, {5001, 6001}});
  Run(Ms(299));
  EXPECT_EQ(Out(), "1+1000R");
  EXPECT_EQ(state(), Sender::State::kLoss);
  EXPECT_EQ(lost(), 6u);
  EXPECT_EQ(cwnd(), 1u);
  EXPECT_EQ(ssthresh(), 4u);
  In(1001, {{2001, 3001}, {5001, 6001}});
  EXPECT_EQ(Out(), "1001+1000R 3001+1000R");
  In(5001, {{5001, 6001}});
  In(6001);
  EXPECT_EQ(Out(), "6001+1000R 7001+1000PR");
  In(8001);
  EXPECT_EQ(state(), Sender::State::kOpen);
  EXPECT_EQ(sender_->total_retransmissions(), 5u);
}

TEST_F(Recovery, APeerThatRenegesIsBelievedNothing) {
  config_.frto = false;
  Start();
  Write(4000);
  Out();
  Run(Ms(100));
  In(1, {{1001, 2001}});
  Run(Ms(50));
  EXPECT_EQ(Out(), "1+1000R");
  In(1001);  // and yet it wants 1001, which it had
  Run(Duration::Seconds(1));
  EXPECT_EQ(sender_->board().sacked().segments, 0u);
  EXPECT_EQ(Out().substr(0, 10), "1001+1000R");
}

TEST_F(Recovery, ATimeoutDoesNotCondemnWhatWasJustSent) {
  Start();
  Write(2000);
  Run(Ms(100));
  In(1001);
  Run(Ms(290));
  Write(3000);
  Out();
  Run(Ms(10));  // 1001's time is up; the others are 10 ms old
  EXPECT_EQ(Out(), "1001+1000PR");
  EXPECT_EQ(lost(), 1u);
}

TEST_F(Recovery, BackOffDoublesAndEndsWithASample) {
  Start();
  Write(1000);
  Out();
  const Duration rto = sender_->rtt().rto();
  Run(rto);
  EXPECT_EQ(Out(), "1+1000PR");
  EXPECT_EQ(sender_->timeouts(), 1u);
  Run(rto * 2 - Us(1));
  EXPECT_EQ(Out(), "");
  Run(Us(1));
  EXPECT_EQ(Out(), "1+1000PR");
  EXPECT_EQ(sender_->timeouts(), 2u);
  In(1001);
  EXPECT_EQ(sender_->timeouts(), 0u);
  EXPECT_EQ(sender_->rtt().rto(), rto * 4);  // Karn
  Write(1000);
  Run(Ms(100));
  In(2001);
  EXPECT_LE(sender_->rtt().rto(), rto);
}

// A time-out because of a delay: nothing was lost.
TEST_F(Recovery, FrtoTakesASpuriousTimeoutBack) {
  Start();
  Write(20000);
  Out();
  Run(Ms(300));
  EXPECT_EQ(Out(), "1+1000R");
  EXPECT_EQ(cwnd(), 1u);
  Run(Ms(50));
  In(1001);  // could be of either copy: new data finds out
  EXPECT_EQ(Out(), "10001+2000");
  EXPECT_EQ(state(), Sender::State::kLoss);
  In(2001);  // sent once only
  EXPECT_EQ(state(), Sender::State::kOpen);
  EXPECT_EQ(lost(), 0u);
  EXPECT_GE(cwnd(), 10u);
  EXPECT_EQ(sender_->undos(), 1u);
  for (uint32_t ack = 3001; ack <= 10001; ack += 1000) In(ack);
  EXPECT_EQ(sender_->total_retransmissions(), 1u);
}

TEST_F(Recovery, FrtoRecoversWhenTheLossIsReal) {
  Start();
  Write(20000);
  Out();
  Run(Ms(300));
  EXPECT_EQ(Out(), "1+1000R");
  Run(Ms(100));
  In(1001);
  EXPECT_EQ(Out(), "10001+2000");
  Run(Ms(100));
  In(1001, {{10001, 11001}});  // only the new data arrived
  EXPECT_EQ(state(), Sender::State::kLoss);
  EXPECT_EQ(Out(), "1001+1000R");
  In(1001, {{10001, 12001}});
  EXPECT_EQ(sender_->undos(), 0u);
  Run(Ms(100));
  In(2001, {{10001, 12001}});
  EXPECT_EQ(Out(), "2001+3000R");
}

// Several short segments fit a window of one segment. Were more than the first sent again, an acknowledgement could
// answer any copy, and prove nothing.
TEST_F(Recovery, FrtoWithoutSackSendsOneSegmentAgainHoweverShort) {
  Start(false);
  for (int i = 0; i < 10; ++i) Write(100);
  Out();
  Run(Ms(300));
  EXPECT_EQ(Out(), "1+100PR");
  Write(1000);
  Run(Ms(100));
  In(101);  // of either copy
  EXPECT_EQ(Out(), "1001+1000P");
  Run(Ms(100));
  In(101);  // all the rest was lost
  EXPECT_EQ(Out().substr(0, 9), "101+900PR");
  In(201);
  EXPECT_EQ(sender_->undos(), 0u);
}

// Repairs of a first time-out may be what an acknowledgement answers after a second one.
TEST_F(Recovery, FrtoWithoutSackBelievesOnlyWhatWasSentOnce) {
  config_.reordering_segments = 1;
  Start(false);
  for (int i = 0; i < 10; ++i) Write(100);
  In(1);  // a duplicate: recovery, so that the first time-out does without F-RTO
  ASSERT_EQ(state(), Sender::State::kRecovery);
  Out();
  Run(Ms(300));
  EXPECT_EQ(Out(), "1+1000PR");
  Run(Ms(600));
  EXPECT_EQ(Out(), "1+100PR");
  Write(3000);
  In(101);
  EXPECT_EQ(Out().substr(0, 9), "1001+1000");
  In(201);
  EXPECT_EQ(sender_->undos(), 0u);
}

// RFC 3522 and 4015: the timestamp that comes back is older than the retransmission.
TEST_F(Recovery, TimestampsTakeATimeoutBack) {
  config_.frto = false;
  Start();
  Write(10000);
  Out();
  Run(Ms(300));
  EXPECT_EQ(Out(), "1+1000R");
  In(1001, {}, {.echo_ms = 0});
  EXPECT_EQ(state(), Sender::State::kOpen);
  EXPECT_EQ(cwnd(), 11u);  // and growing
  EXPECT_EQ(sender_->undos(), 1u);
  EXPECT_EQ(lost(), 0u);
}

TEST_F(Recovery, TimestampsOfTheRetransmissionTakeNothingBack) {
  config_.frto = false;
  Start();
  Write(10000);
  Out();
  Run(Ms(300));
  Run(Ms(100));
  In(1001, {}, {.echo_ms = 300});
  EXPECT_EQ(state(), Sender::State::kLoss);
  EXPECT_EQ(sender_->undos(), 0u);
}

TEST_F(Recovery, TimestampsTakeAFastRetransmitBack) {
  Start();
  Write(10000);
  Out();
  Run(Ms(100));
  In(1, {{1001, 4001}}, {.echo_ms = 0});
  EXPECT_EQ(Out(), "1+1000R");
  EXPECT_EQ(ssthresh(), 5u);
  Run(Ms(5));
  In(4001, {}, {.echo_ms = 0});  // the original, late
  EXPECT_EQ(state(), Sender::State::kOpen);
  EXPECT_EQ(sender_->undos(), 1u);
  EXPECT_GE(cwnd(), 10u);
  EXPECT_GT(ssthresh(), 1000u);
}

TEST_F(Recovery, DsacksTakeAFastRetransmitBack) {
  Start();
  Write(10000);
  Out();
  Run(Ms(100));
  In(1, {{1001, 4001}});
  EXPECT_EQ(Out(), "1+1000R");
  In(4001);
  Run(Ms(100));
  In(4001, {{1, 1001}});  // the retransmission came, too
  EXPECT_EQ(sender_->undos(), 1u);
  EXPECT_GE(cwnd(), 10u);
}

TEST_F(Recovery, ADsackOfOneOfTwoRetransmissionsTakesNothingBack) {
  Start();
  Write(10000);
  Out();
  Run(Ms(100));
  In(1, {{2001, 5001}});
  In(1, {{2001, 6001}});
  In(1, {{2001, 7001}});
  EXPECT_EQ(Out(), "1+2000R");
  Run(Ms(100));
  In(10001, {{1, 1001}});
  EXPECT_EQ(sender_->undos(), 0u);
  In(10001, {{1001, 2001}});
  EXPECT_EQ(sender_->undos(), 1u);
}

// --- RFC 8985 §7: tail loss probe ---

class TailProbe : public Recovery {
 protected:
  TailProbe() {
    config_.tail_loss_probe = true;
    config_.tail_probe_ack_delay = Ms(200);
    config_.tail_probe_slack = Ms(2);
  }
};

TEST_F(TailProbe, RepeatsTheLastSegmentOnce) {
  Start();
  Write(3000);
  Out();
  Run(Ms(201));
  EXPECT_EQ(Out(), "");
  Run(Ms(1));
  EXPECT_EQ(Out(), "2001+1000PR");
  EXPECT_EQ(sender_->tail_probes(), 1u);
  EXPECT_EQ(cwnd(), 10u);
  Run(Ms(299));
  EXPECT_EQ(Out(), "");
  Run(Ms(1));  // a whole time-out after the probe
  EXPECT_EQ(Out(), "1+1000R");
  EXPECT_EQ(state(), Sender::State::kLoss);
}

TEST_F(TailProbe, StartsRecoveryOfAFlightThatWasLost) {
  Start();
  Write(5000);
  Out();
  Run(Ms(202));
  EXPECT_EQ(Out(), "4001+1000PR");
  Run(Ms(100));
  In(1, {{4001, 5001}});
  Run(Ms(30));
  EXPECT_EQ(state(), Sender::State::kRecovery);
  EXPECT_EQ(Out(), "1+1000R");
  EXPECT_EQ(sender_->timeouts(), 0u);
}

TEST_F(TailProbe, PrefersNewData) {
  config_.initial_window_segments = 3;
  Start();
  Write(5000);
  EXPECT_EQ(Out(), "1+3000");
  Run(Ms(202));
  EXPECT_EQ(Out(), "3001+1000");  // beyond the congestion window
  In(4001);
  EXPECT_EQ(ssthresh(), sender_->congestion().kArbitrarilyHigh / kMss);
  EXPECT_EQ(state(), Sender::State::kOpen);
}

TEST_F(TailProbe, ALossThatItRepairedReducesTheWindowOnce) {
  Start();
  Write(10000);
  Out();
  Run(Ms(100));
  In(9001);
  Run(Ms(300));
  EXPECT_EQ(Out(), "9001+1000PR");
  Write(1000);
  Run(Ms(100));
  In(11001);  // beyond the probe, and no D-SACK: the original was lost
  EXPECT_EQ(ssthresh(), 2u);
  EXPECT_EQ(state(), Sender::State::kOpen);
  EXPECT_EQ(cwnd(), 2u);
}

TEST_F(TailProbe, ADsackSaysThatNothingWasLost) {
  Start();
  Write(10000);
  Out();
  Run(Ms(202));
  EXPECT_EQ(Out(), "9001+1000PR");
  In(10001);
  In(10001, {{9001, 10001}});
  Write(1000);
  In(11001);
  EXPECT_GE(cwnd(), 10u);
  EXPECT_EQ(sender_->undos(), 0u);
}

// The D-SACK is of the probe. The repair of the first segment was needed.
TEST_F(TailProbe, ItsDsackDoesNotUndoTheRepairOfSomethingElse) {
  Start();
  Write(5000);
  Out();
  Run(Ms(202));
  EXPECT_EQ(Out(), "4001+1000PR");
  In(1, {{1001, 5001}});
  Run(Ms(30));
  ASSERT_EQ(state(), Sender::State::kRecovery);
  EXPECT_EQ(Out(), "1+1000R");
  In(1, {{4001, 5001}, {1001, 5001}});
  EXPECT_EQ(state(), Sender::State::kRecovery);
  Run(Ms(100));
  In(5001);
  EXPECT_EQ(sender_->undos(), 0u);
}

TEST_F(TailProbe, OneSegmentAllowsForADelayedAcknowledgement) {
  Start();
  Write(100);
  Out();
  Run(Ms(299));
  EXPECT_EQ(Out(), "");  // 2 * 100 + 200 ms is later than the time-out: then
  Run(Ms(1));
  EXPECT_EQ(Out(), "1+100PR");
  EXPECT_EQ(state(), Sender::State::kOpen);
  EXPECT_EQ(sender_->timeouts(), 0u);
}

TEST_F(TailProbe, NotWithoutSackNorInRecovery) {
  Start(false);
  Write(3000);
  Out();
  Run(Ms(299));
  EXPECT_EQ(Out(), "");
  Start();
  Write(10000);
  Run(Ms(100));
  In(1, {{1001, 4001}});
  Out();
  Run(Ms(250));
  EXPECT_EQ(Out(), "");
}

// --- RFC 3168 ---

class Echo : public Recovery {
 protected:
  Echo() { ecn_ = true; }
};

TEST_F(Echo, OneReductionPerWindowAndCwrOnTheNextNewSegment) {
  Start();
  Write(30000);
  EXPECT_EQ(Out(), "1+10000E");
  Run(Ms(100));
  In(1001, {}, {.ece = true});
  EXPECT_EQ(state(), Sender::State::kCwr);
  EXPECT_EQ(ssthresh(), 5u);
  std::string out = Out();
  for (uint32_t ack = 2001; ack <= 10001; ack += 1000) {
    In(ack, {}, {.ece = true});
    absl::StrAppend(&out, " ", Out());
  }
  EXPECT_EQ(ssthresh(), 5u);
  EXPECT_NE(out.find("10001+1000EW"), std::string::npos) << out;
  EXPECT_EQ(out.find("W", out.find("W") + 1), std::string::npos) << out;  // once
  EXPECT_LE(cwnd(), 6u);
  In(11001);
  EXPECT_EQ(state(), Sender::State::kOpen);
  In(12001, {}, {.ece = true});
  EXPECT_EQ(state(), Sender::State::kCwr);
  EXPECT_EQ(ssthresh(), 2u);
}

TEST_F(Echo, RetransmissionsAreNotEct) {
  Start();
  Write(10000);
  EXPECT_EQ(Out(), "1+9000E 9001+1000PE");
  Run(Ms(100));
  In(1, {{1001, 4001}});
  EXPECT_EQ(Out(), "1+1000R");
}

TEST_F(Echo, IsIgnoredWithoutNegotiation) {
  ecn_ = false;
  Start();
  Write(10000);
  EXPECT_EQ(Out(), "1+9000 9001+1000P");
  In(1001, {}, {.ece = true});
  EXPECT_EQ(state(), Sender::State::kOpen);
}

// --- RFC 5681: growth ---

TEST_F(Recovery, SlowStartGrowsByWhatIsDelivered) {
  for (const uint32_t per_ack : {1u, 2u, 5u, 10u}) {
    Start();
    Write(30000);
    EXPECT_EQ(Out(), "1+10000");
    Run(Ms(100));
    for (uint32_t ack = per_ack; ack <= 10; ack += per_ack) {
      In(1 + ack * 1000);
      EXPECT_EQ(cwnd(), 10 + ack);
      EXPECT_EQ(Out().substr(0, 5), absl::StrCat(10001 + (ack - per_ack) * 2000)) << per_ack;
    }
    EXPECT_EQ(cwnd(), 20u);
    sender_->Clear();
  }
}

// A window that is not used must not grow; in slow start half of it is use enough.
TEST_F(Recovery, AnApplicationLimitedWindow) {
  const struct {
    uint32_t segments;
    uint32_t cwnd;
  } kCases[] = {{10, 20}, {9, 18}, {7, 14}, {5, 10}, {1, 10}};
  for (const auto& c : kCases) {
    Start();
    Write(c.segments * 1000);
    Run(Ms(100));
    for (uint32_t n = 2; n < c.segments; n += 2) In(1 + n * 1000);
    In(1 + c.segments * 1000);
    EXPECT_EQ(cwnd(), c.cwnd) << c.segments;
  }
}

TEST_F(Recovery, IdleRestart) {
  for (const bool restart : {true, false}) {
    config_.idle_restart = restart;
    Start();
    Write(26000);
    Run(Ms(100));
    In(10001);
    Run(Ms(100));
    In(26001);
    EXPECT_EQ(cwnd(), 36u);
    Run(Duration::Seconds(2));
    sender_->MaybeRestartAfterIdle(now_);
    EXPECT_EQ(cwnd(), restart ? 10u : 36u);
  }
}

// --- Path MTU (RFC 1191) ---

TEST_F(Recovery, ASmallerPathCutsWhatItRefused) {
  Start();
  Write(4500);
  Out();
  sender_->SetMss(600, true);
  Flush();
  EXPECT_EQ(Out(), "1+4000R");  // each segment as 600 + 400; the last was small enough
  EXPECT_EQ(sender_->board().size(), 9u);
  EXPECT_EQ(sender_->board().at(0).bytes, 600);
  EXPECT_EQ(sender_->congestion().window(), 10000u);
  Run(Ms(100));
  In(601);  // the cut parts are segments like others
  EXPECT_EQ(sender_->board().front().bytes, 400);
  In(4501);
  Write(1300);
  EXPECT_EQ(sender_->board().size(), 3u);
  EXPECT_EQ(state(), Sender::State::kOpen);
  EXPECT_EQ(ssthresh(), sender_->congestion().kArbitrarilyHigh / 600);
}

TEST_F(Recovery, AnotherSegmentSizeIsForWhatComesNext) {
  Start();
  Write(2000);
  sender_->SetMss(500, false);
  Write(1000);
  EXPECT_EQ(sender_->board().size(), 4u);
  EXPECT_EQ(lost(), 0u);
}

// --- Round trips ---

// Karn by record: what was sent once is a sample although something else was sent twice.
TEST_F(Recovery, SacksMeasureToo) {
  Start();
  Write(10000);
  Run(Ms(60));
  In(1, {{4001, 5001}});
  EXPECT_EQ(sender_->rtt().srtt(), Ms(95));
  EXPECT_EQ(sender_->rtt().min_rtt(), Ms(60));
}

TEST_F(Recovery, TheEchoMeasuresARetransmission) {
  config_.frto = false;
  Start();
  Write(1000);
  Run(Ms(300));
  Run(Ms(20));
  In(1001, {}, {.echo_ms = 300});
  EXPECT_EQ(sender_->rtt().srtt(), Ms(90));
  EXPECT_EQ(sender_->rtt().backoff(), 0u);
}

// --- RFC 9293 §3.7.4: Nagle, cork, more ---

TEST_F(Recovery, NagleByMinshall) {
  config_.nagle = true;
  Start();
  Write(2500);
  EXPECT_EQ(Out(), "1+2000 2001+500P");  // full segments in flight hold nothing back
  Write(300);
  EXPECT_EQ(Out(), "");
  In(2001);
  EXPECT_EQ(Out(), "");
  In(2501);
  EXPECT_EQ(Out(), "2501+300P");
  sender_->QueueFin();
  Flush();
  EXPECT_EQ(Out(), "2801+0F");
}

TEST_F(Recovery, MoreHoldsUntilTheNextAcknowledgement) {
  Start();
  Write(3100, true);
  EXPECT_EQ(Out(), "1+3000");
  Write(50, true);
  EXPECT_EQ(Out(), "");
  In(2001);
  EXPECT_EQ(Out(), "3001+150");  // nothing says that it is the end
  Write(20, true);
  EXPECT_EQ(Out(), "");
  Write(20);
  EXPECT_EQ(Out(), "3151+40P");
  Write(40, true);
  sender_->set_nagle(false);
  Flush();
  EXPECT_EQ(Out(), "3191+40");
}

TEST_F(Recovery, CorkHoldsShortSegments) {
  Start();
  sender_->set_cork(true);
  Write(40);
  Write(40);
  EXPECT_EQ(Out(), "");
  EXPECT_TRUE(sender_->NeedsProbe());
  sender_->set_cork(false);
  Flush();
  EXPECT_EQ(Out(), "1+80P");
  In(81);
  sender_->set_cork(true);
  Write(1020);
  EXPECT_EQ(Out(), "81+1000");
  sender_->set_nagle(false);  // lets out what there is, once
  Flush();
  EXPECT_EQ(Out(), "1081+20P");
  Write(40);
  EXPECT_EQ(Out(), "");
  sender_->QueueFin();
  Flush();
  EXPECT_EQ(Out(), "1101+40FP");
}

TEST_F(Recovery, PushEndsWhatTheApplicationGave) {
  config_.initial_window_segments = 2;
  Start();
  Write(3000);
  EXPECT_EQ(Out(), "1+2000");
  In(2001);
  EXPECT_EQ(Out(), "2001+1000P");
}

TEST_F(Recovery, PushEndsRunsWhenAskedTo) {
  config_.push_every_segments = 8;
  Start();
  sender_->BeginBurst();
  Write(30000);
  EXPECT_EQ(Out(), "1+4000 4001+1000P 5001+4000 9001+1000P");
  Run(Ms(100));
  sender_->BeginBurst();
  In(1001);
  EXPECT_EQ(Out(), "10001+1000 11001+1000P");
  sender_->BeginBurst();
  In(1001, {{2001, 3001}});
  EXPECT_EQ(Out(), "12001+1000");  // one is no run
  In(1001, {{2001, 5001}});
  EXPECT_EQ(Out().substr(0, 10), "1001+1000R");
}

// --- RFC 9293 §3.8.6: the peer shrank its window ---

TEST_F(Recovery, RepairsStayInsideAShrunkenWindow) {
  config_.frto = false;
  Start();
  Write(5000);
  Out();
  In(1001, {}, {.window = 1500});
  Run(Duration::Seconds(1));
  EXPECT_EQ(Out().substr(0, 10), "1001+1000R");
  In(2001, {}, {.window = 500});
  EXPECT_EQ(Out(), "2001+500R");
  In(2501, {}, {.window = 0});
  EXPECT_EQ(Out(), "");
  Run(Duration::Seconds(3));
  EXPECT_EQ(Out(), "2501+1R 2501+1R");  // probes, at a growing distance
  In(2501, {}, {.window = 10000});
  EXPECT_EQ(Out(), "2501+1500R");
}

// --- RFC 9438 §4.2, §5.8: time in which the window was not the limit does not count ---

TEST_F(Recovery, CubicsClockStandsStillWhileTheWindowIsNotTheLimit) {
  config_.congestion = CongestionAlgorithm::kCubic;
  config_.idle_restart = false;
  for (const bool idle : {false, true}) {
    Start();
    Write(10000);
    In(1, {{1001, 4001}});
    Run(Ms(100));
    uint32_t next = 10001;
    In(next);
    ASSERT_EQ(cwnd(), 7u);
    const auto round = [&](uint32_t bytes) {
      Write(bytes);
      Run(Ms(100));
      In(next += bytes);
    };
    for (int i = 0; i < 3; ++i) round(cwnd() * kMss);
    const uint32_t before = cwnd();
    if (idle) {
      Run(Duration::Seconds(20));
    } else {
      for (int i = 0; i < 200; ++i) round(500);
    }
    EXPECT_EQ(cwnd(), before);
    round(before * kMss);
    EXPECT_LE(cwnd(), before + 1) << idle;
  }
}

}  // namespace
}  // namespace luna::tcp
