// What an application may choose for each connection, the snapshot, and urgent data.

#include <limits>
#include <string>

#include "gtest/gtest.h"
#include "luna/net/tcp/isn.h"
#include "luna/net/tcp/testing/stack_tester.h"

namespace luna::tcp {
namespace {

using testing::kAck;
using testing::kSyn;
using testing::kUrg;
using testing::StackTester;
using testing::SynOptions;

constexpr Duration Ms(int64_t n) { return Duration::Milliseconds(n); }

void Set(StackTester& t, Connection& c, void (*change)(ConnectionOptions&)) {
  ConnectionOptions options = c.options();
  change(options);
  ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
}

TEST(Options, DefaultsAreTheStacksAndMayBeOthersByListenerOrConnect) {
  StackConfig config = StackTester::Plain();
  config.ttl = 33;
  StackTester t(config);
  EXPECT_EQ(t.Connect()->options().ttl, 33);
  StackTester t2(config);
  ConnectionOptions own = config;
  own.ttl = 5;
  t2.Listen({.connection = own});
  t2.In({.flags = kSyn});
  EXPECT_EQ(t2.last().ttl, 5);
  t2.In({});
  EXPECT_EQ(t2.connection()->options().ttl, 5);
  StackTester t3(config);
  ASSERT_TRUE(t3.stack().Connect(t3.peer().local, t3.peer().endpoint, nullptr, t3.now(), own).ok());
  t3.Poll();
  EXPECT_EQ(t3.last().ttl, 5);
}

TEST(Options, ThatCannotBeAreRefusedByName) {
  struct Case {
    const char* name;
    void (*change)(ConnectionOptions&);
  };
  const Case kCases[] = {
      {"ttl", [](ConnectionOptions& o) { o.ttl = 0; }},
      {"dscp", [](ConnectionOptions& o) { o.dscp = 64; }},
      {"mss_clamp", [](ConnectionOptions& o) { o.mss_clamp = 10; }},
      {"send_buffer_bytes", [](ConnectionOptions& o) { o.send_buffer_bytes = 0; }},
      {"receive_buffer_bytes", [](ConnectionOptions& o) { o.receive_buffer_bytes = 1u << 31; }},
      {"keep_alive_idle", [](ConnectionOptions& o) { o.keep_alive_idle = Duration::Zero(); }},
      {"keep_alive_probes", [](ConnectionOptions& o) { o.keep_alive_probes = 0; }},
      {"user_timeout", [](ConnectionOptions& o) { o.user_timeout = Ms(-1); }},
      {"linger_time", [](ConnectionOptions& o) { o.linger_time = Ms(-1); }},
      {"fin_wait_2", [](ConnectionOptions& o) { o.fin_wait_2 = Ms(-1); }},
  };
  for (const Case& c : kCases) {
    StackTester t;
    Connection& connection = t.Establish();
    const ConnectionOptions before = connection.options();
    ConnectionOptions options = before;
    c.change(options);
    const absl::Status status = connection.SetOptions(options, t.now());
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.name;
    EXPECT_NE(std::string(status.message()).find(c.name), std::string::npos) << status;
    EXPECT_TRUE(connection.options() == before);
    EXPECT_FALSE(t.stack().Listen({t.peer().local.address, 81}, {.connection = options}).ok());
    EXPECT_FALSE(t.stack().Connect({t.peer().local.address, 0}, t.peer().endpoint, nullptr, t.now(), options).ok());
  }
}

TEST(Settings, OfBothProfilesAreValid) {
  EXPECT_TRUE(Validate(StackConfig::DataCentre()).ok());
  EXPECT_TRUE(Validate(StackConfig::Rfc()).ok());
  EXPECT_TRUE(Validate(StackTester::Plain()).ok());
}

TEST(Settings, ThatCannotBeAreRefusedByName) {
  struct Case {
    const char* name;
    void (*change)(StackConfig&);
  };
  const Case kCases[] = {
      {"ttl", [](StackConfig& c) { c.ttl = 0; }},  // a connection's default
      {"rto_min", [](StackConfig& c) { c.rto_min = Duration::Zero(); }},
      {"rto_max", [](StackConfig& c) { c.rto_max = Ms(1); }},
      {"rto_initial", [](StackConfig& c) { c.rto_initial = Ms(-1); }},
      {"delayed_ack", [](StackConfig& c) { c.delayed_ack = Ms(500); }},  // RFC 9293 MUST-40
      {"delayed_ack", [](StackConfig& c) { c.delayed_ack = Ms(-1); }},
      {"path_mtu_life", [](StackConfig& c) { c.path_mtu_life = Ms(1000); }},
      {"timestamp_tick", [](StackConfig& c) { c.timestamp_tick = Duration::Microseconds(1); }},
      {"ack_every_segments", [](StackConfig& c) { c.ack_every_segments = 0; }},
      {"reordering_segments", [](StackConfig& c) { c.reordering_segments = 0; }},
      {"reordering_limit", [](StackConfig& c) { c.reordering_limit = 0; }},
      {"unsent_low_water", [](StackConfig& c) { c.unsent_low_water = 0; }},
      {"initial_window_segments", [](StackConfig& c) { c.initial_window_segments = 0; }},
      {"receive_buffer_max_bytes", [](StackConfig& c) { c.receive_buffer_max_bytes = 1u << 31; }},
      {"receive_slices_limit", [](StackConfig& c) { c.receive_slices_limit = 0; }},
      {"send_slices_limit", [](StackConfig& c) { c.send_slices_limit = 0; }},
      {"mtu", [](StackConfig& c) { c.mtu = 60; }},
      {"min_path_mtu", [](StackConfig& c) { c.min_path_mtu = 60; }},
      {"ephemeral_first", [](StackConfig& c) { c.ephemeral_last = 100; }},
      {"max_connections", [](StackConfig& c) { c.max_connections = 0; }},
  };
  for (const Case& c : kCases) {
    StackConfig config;
    c.change(config);
    const absl::Status status = Validate(config);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.name;
    EXPECT_NE(std::string(status.message()).find(c.name), std::string::npos) << status;
  }
}

TEST(Settings, AStackWithoutSenseIsAProgrammersError) {
  StackConfig config = StackTester::Plain();
  config.delayed_ack = Ms(500);
  EXPECT_DEATH(StackTester{config}, "delayed_ack");
}

// RFC 9293 MUST-48, MUST-49, SHLD-21: of the next segment, of every kind.
TEST(Options, TtlAndDscpAreThoseOfTheNextSegment) {
  StackTester t;
  Connection& c = t.Establish();
  Set(t, c, [](ConnectionOptions& o) {
    o.ttl = 7;
    o.dscp = 46;
  });
  t.Send("x");
  t.Data("y");
  c.Abort();
  const auto out = t.TakeOut();
  ASSERT_EQ(out.size(), 3u);
  for (const auto& segment : out) {
    EXPECT_EQ(segment.ttl, 7) << segment.ToString();
    EXPECT_EQ(segment.dscp, 46) << segment.ToString();
  }
}

TEST(Options, NagleMayBeSwitchedWhileDataWaits) {  // MUST-17
  StackConfig config = StackTester::Plain();
  config.nagle = true;
  StackTester t(config);
  Connection& c = t.Establish();
  t.Send("a");
  t.Send("b");
  EXPECT_EQ(t.Out(), "PA 1+1 a1");
  Set(t, c, [](ConnectionOptions& o) { o.nagle = false; });
  EXPECT_EQ(t.Out(), "PA 2+1 a1");
}

TEST(Options, CorkHoldsShortSegmentsUntilItIsOff) {
  StackTester t;
  Connection& c = t.Establish();
  Set(t, c, [](ConnectionOptions& o) { o.cork = true; });
  t.Send(std::string(40, 'a'));
  t.Run(Ms(50));
  t.Send(std::string(40, 'b'));
  EXPECT_EQ(t.Out(), "");
  Set(t, c, [](ConnectionOptions& o) { o.cork = false; });
  EXPECT_EQ(t.Out(), "PA 1+80 a1");
}

TEST(Options, CorkLetsFullSegmentsGo) {  // CorkMSS: coalesce, then split at the MSS
  StackTester t;
  Connection& c = t.Establish();
  Set(t, c, [](ConnectionOptions& o) { o.cork = true; });
  for (int i = 0; i < 4; ++i) t.Send(std::string(1000, 'a'));
  EXPECT_EQ(t.Out(), "A 1+1460 a1; A 1461+1460 a1");
  c.Close();
  EXPECT_EQ(t.Out(), "FPA 2921+1080 a1");
}

TEST(Options, CorkHoldsNoLongerThanItsLimit) {  // RFC 9293 MUST-60
  StackTester t;
  Connection& c = t.Establish();
  Set(t, c, [](ConnectionOptions& o) { o.cork = true; });
  t.Send("short");
  t.Run(Ms(199));
  EXPECT_EQ(t.Out(), "");
  t.Run(Ms(2));
  EXPECT_EQ(t.Out(), "PA 1+5 a1");
}

TEST(Options, CorkHasItsTimeWhenAClosedWindowOpens) {
  for (const bool with_data : {false, true}) {
    SCOPED_TRACE(with_data);
    StackTester t;
    Connection& c = t.Establish();
    t.peer().window = 0;
    t.In({});
    Set(t, c, [](ConnectionOptions& o) { o.cork = true; });
    t.Send("short");
    t.Run(Ms(2));
    t.peer().window = 5000;
    if (with_data) {
      t.Data("opens");
      t.Out();
    } else {
      t.In({});
    }
    t.Run(Ms(199));
    EXPECT_EQ(t.Out(), "");
    t.Run(Ms(2));
    EXPECT_EQ(t.Out(), with_data ? "PA 1+5 a6" : "PA 1+5 a1");
  }
}

TEST(Options, MoreHoldsUntilASendWithoutIt) {
  StackTester t;
  Connection& c = t.Establish();
  EXPECT_EQ(c.Send(t.Chain("head"), {.more = true}), SendResult::kOk);
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(c.Send(t.Chain("body"), {.more = true}), SendResult::kOk);
  EXPECT_EQ(t.Out(), "");
  t.Send("tail");
  EXPECT_EQ(t.Out(), "PA 1+12 a1");
}

TEST(Options, MoreEndsWithTheNextAcknowledgementAndHasNoPush) {
  StackTester t;
  Connection& c = t.Establish();
  t.Send("first");
  t.TakeOut();
  EXPECT_EQ(c.Send(t.Chain("held"), {.more = true}), SendResult::kOk);
  EXPECT_EQ(t.Out(), "");
  t.In({});
  EXPECT_EQ(t.Out(), "A 6+4 a1");
}

TEST(Options, PushLetsOutWhatIsHeldOnce) {
  StackTester t;
  Connection& c = t.Establish();
  Set(t, c, [](ConnectionOptions& o) { o.cork = true; });
  t.Send("one");
  c.Push();
  EXPECT_EQ(t.Out(), "PA 1+3 a1");
  t.Send("two");
  EXPECT_EQ(t.Out(), "");
}

TEST(Options, MssClampIsAnnouncedAndObeyed) {
  StackTester t;
  ConnectionOptions options = t.stack().config();
  options.mss_clamp = 1100;
  t.Listen({.connection = options});
  t.In({.flags = kSyn});
  EXPECT_EQ(t.last().options.mss, 1100);
  t.In({});
  EXPECT_EQ(t.connection()->Info(t.now()).advmss, 1100u);
  EXPECT_EQ(t.connection()->Info(t.now()).snd_mss, 1100u);
  t.TakeOut();
  t.Send(std::string(2200, 'x'));
  EXPECT_EQ(t.Out(), "A 1+1100 a1; PA 1101+1100 a1");
}

TEST(Options, MssClampOfAnOpenConnectionCutsWhatIsSentNext) {
  StackTester t;
  Connection& c = t.Establish();
  Set(t, c, [](ConnectionOptions& o) { o.mss_clamp = 500; });
  t.Send(std::string(1000, 'x'));
  EXPECT_EQ(t.Out(), "A 1+500 a1; PA 501+500 a1");
}

TEST(Options, SendBufferMayGrowWhileTheApplicationWaits) {
  StackConfig config = StackTester::Plain();
  config.send_buffer_bytes = 1000;
  StackTester t(config);
  t.peer().window = 0;
  Connection& c = t.Establish();
  t.In({});
  EXPECT_EQ(c.Send(t.Chain(std::string(1000, 'x'))), SendResult::kOk);
  EXPECT_EQ(c.Send(t.Chain("y")), SendResult::kBackpressure);
  t.Poll();
  EXPECT_EQ(t.TakeEvents(), 0u);
  Set(t, c, [](ConnectionOptions& o) { o.send_buffer_bytes = 4000; });
  t.Poll();
  EXPECT_EQ(t.TakeEvents(), EventBits::kWritable);
  EXPECT_EQ(c.send_space(), 3000u);
}

TEST(Options, UnsentLowWaterDelaysWritable) {
  StackConfig config = StackTester::Plain();
  config.send_buffer_bytes = 20000;
  config.unsent_low_water = 1000;
  StackTester t(config);
  t.peer().window = 2920;
  Connection& c = t.Establish();
  EXPECT_EQ(c.Send(t.Chain(std::string(8760, 'x'))), SendResult::kOk);
  c.WantWritable();
  t.Poll();
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.In({.ack = 2921});
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.In({.ack = 5841});  // the rest leaves
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.In({.ack = 7301});
  EXPECT_EQ(t.TakeEvents(), EventBits::kWritable);
}

// ReduceRecvBuf: the edge that was promised stands, and moves no further until the smaller buffer has room.
TEST(Options, ASmallerReceiveBufferClosesTheWindowWithoutLying) {
  StackConfig config = StackTester::Plain();
  config.receive_buffer_bytes = 20000;
  StackTester t(config);
  Connection& c = t.Establish();
  Set(t, c, [](ConnectionOptions& o) { o.receive_buffer_bytes = 5000; });
  for (int i = 0; i < 20; ++i) t.Data(std::string(1000, 'a' + i));
  EXPECT_EQ(c.readable_bytes(), 20000u);  // all that was promised
  EXPECT_EQ(t.last().header.window, 0u);
  EXPECT_EQ(c.Read().bytes(), 20000u);
  t.Poll();
  EXPECT_EQ(t.last().header.window, 5000u);
}

// What the SYN has promised holds, whatever the buffer has become when the answer comes.
TEST(Options, AReceiveBufferThatChangesDuringTheHandshakeTakesNoPromiseBack) {
  for (const bool simultaneous : {false, true}) {
    StackTester t;
    t.auto_flush = false;
    Connection* c = t.Connect();
    t.Poll();
    ASSERT_EQ(t.last().header.window, 65535u);
    Set(t, *c, [](ConnectionOptions& o) { o.receive_buffer_bytes = 5000; });
    if (simultaneous) t.In({.flags = kSyn});
    t.Poll();
    t.In({.flags = kSyn | kAck, .seq = 0});
    t.Poll();
    EXPECT_EQ(t.last().header.window, 65535u);
    EXPECT_EQ(c->receiver().window(), 65535u);
  }
}

TEST(Options, AReceiveBufferThatGrowsDuringTheHandshakeIsAnnounced) {
  StackConfig config = StackTester::Plain();
  config.receive_buffer_bytes = 5000;
  StackTester t(config);
  Connection* c = t.Connect();
  ASSERT_EQ(t.last().header.window, 5000u);
  Set(t, *c, [](ConnectionOptions& o) { o.receive_buffer_bytes = 20000; });
  t.In({.flags = kSyn | kAck});
  EXPECT_EQ(t.last().header.window, 20000u);
}

TEST(Options, ALargerReceiveBufferOpensTheWindow) {
  StackConfig config = StackTester::Plain();
  config.receive_buffer_bytes = 5000;
  StackTester t(config);
  Connection& c = t.Establish();
  Set(t, c, [](ConnectionOptions& o) { o.receive_buffer_bytes = 50000; });
  t.Poll();
  EXPECT_EQ(t.last().header.window, 50000u);
}

// --- Snapshot ---

TEST(Info, TellsTheFactsOfTheConnection) {
  StackConfig config = StackTester::Plain();
  config.timestamps = true;
  config.window_scale = true;
  config.receive_buffer_bytes = 1u << 20;
  StackTester t(config);
  t.peer().syn_options = SynOptions(1000, 7, 5);
  Connection& c = t.Establish();
  t.Run(Ms(10));
  t.Send(std::string(3000, 'x'));
  const ConnectionInfo info = c.Info(t.now());
  EXPECT_EQ(info.state, State::kEstablished);
  EXPECT_TRUE(info.timestamps);
  EXPECT_TRUE(info.window_scale);
  EXPECT_EQ(info.snd_wscale, 7);
  EXPECT_GT(info.rcv_wscale, 0);
  EXPECT_EQ(info.snd_mss, 988u);
  EXPECT_EQ(info.advmss, 1460u);
  EXPECT_EQ(info.pmtu, 1500u);
  EXPECT_EQ(info.snd_cwnd, 10u);
  EXPECT_EQ(info.unacked, 4u);
  EXPECT_EQ(info.segs_in, 2u);
  EXPECT_EQ(info.segs_out, 5u);
  EXPECT_EQ(info.data_segs_out, 4u);
  EXPECT_EQ(info.bytes_sent, 3000u);
  EXPECT_EQ(info.bytes_acked, 0u);
  t.In({});
  t.Data("12345");
  t.Run(Ms(3));
  const ConnectionInfo later = c.Info(t.now());
  EXPECT_EQ(later.unacked, 0u);
  EXPECT_EQ(later.bytes_acked, 3000u);
  EXPECT_EQ(later.bytes_received, 5u);
  EXPECT_EQ(later.data_segs_in, 1u);
  EXPECT_EQ(later.last_data_recv, Ms(3));
  EXPECT_EQ(later.last_ack_recv, Ms(3));
  EXPECT_EQ(later.last_data_sent, Ms(3));
}

TEST(Info, TellsWhatHoldsSendingUp) {
  StackConfig config = StackTester::Plain();
  config.send_buffer_bytes = 4000;
  StackTester t(config);
  t.peer().window = 3000;
  Connection& c = t.Establish();
  t.Run(Ms(10));
  EXPECT_EQ(c.Info(t.now()).busy_time, Duration::Zero()) << "there was nothing to send";
  t.Send(std::string(2000, 'x'));
  t.Run(Ms(1));
  t.Send(std::string(2000, 'x'));  // the peer takes 1,000 of them, which are not worth a segment
  t.Run(Ms(1));
  EXPECT_EQ(c.Info(t.now()).busy_time, Ms(2));
  EXPECT_EQ(c.Info(t.now()).rwnd_limited, Ms(1));
  t.peer().window = 0xffff;
  t.In({});
  t.Send(std::string(2000, 'x'));  // all has left, …
  EXPECT_EQ(c.Send(t.Chain("no room")), SendResult::kBackpressure);
  t.In({.ack = 3001});  // … and the application waits
  t.Run(Ms(1));
  t.In({});
  t.Run(Ms(50));
  const ConnectionInfo info = c.Info(t.now());
  EXPECT_EQ(info.rwnd_limited, Ms(1));
  EXPECT_EQ(info.sndbuf_limited, Ms(1));
  EXPECT_EQ(info.busy_time, Ms(3));
}

TEST(Info, CountsWhatIsNotSentAndWhatIsSentAgain) {
  StackTester t;
  t.peer().window = 1000;
  Connection& c = t.Establish();
  t.In({});
  t.Send(std::string(1500, 'x'));
  EXPECT_EQ(c.Info(t.now()).notsent_bytes, 500u);
  t.Run(Ms(250));
  const ConnectionInfo info = c.Info(t.now());
  EXPECT_GE(info.retransmits, 1);
  EXPECT_GE(info.total_retrans, 1u);
  EXPECT_GE(info.bytes_retrans, 1000u);
  EXPECT_EQ(info.ca_state, ConnectionInfo::Recovery::kLoss);
}

TEST(Info, CountsDeliveriesAndWhatCameOutOfOrder) {
  StackConfig config = StackTester::Plain();
  config.ecn = EcnMode::kAlways;
  StackTester t(config);
  t.peer().syn_options = SynOptions(536);
  t.peer().syn_options.sack_permitted = true;
  t.Connect();
  t.In({.flags = kSyn | kAck | testing::kEce});
  Connection& c = *t.connection();
  EXPECT_EQ(c.Info(t.now()).delivered, 1u);  // the SYN
  EXPECT_EQ(c.Info(t.now()).rcv_ssthresh, 0xffffu);
  t.Send(std::string(5 * 536, 'x'));
  wire::TcpOptions sack;
  sack.sack_count = 1;
  sack.sack[0] = {t.peer().stack_isn + 1 + 536, t.peer().stack_isn + 1 + 2 * 536};
  t.In({.ack = 1, .options = sack});
  EXPECT_EQ(c.Info(t.now()).delivered, 2u);
  t.In({.ack = 1 + 2 * 536});
  EXPECT_EQ(c.Info(t.now()).delivered, 3u);
  EXPECT_EQ(c.Info(t.now()).delivered_ce, 0u);
  t.In({.flags = kAck | testing::kEce, .ack = 1 + 5 * 536});
  EXPECT_EQ(c.Info(t.now()).delivered, 6u);
  EXPECT_EQ(c.Info(t.now()).delivered_ce, 3u);
  t.In({.seq = 10, .payload = "ahead"});
  t.In({.seq = 20, .payload = "ahead"});
  EXPECT_EQ(c.Info(t.now()).rcv_ooopack, 2u);
}

// Without SACK a duplicate says that something was delivered, too.
TEST(Info, CountsDeliveriesByDuplicates) {
  StackTester t;
  t.peer().syn_options = SynOptions(536);
  Connection& c = t.Establish();
  t.Send(std::string(5 * 536, 'x'));
  t.In({.ack = 1});
  t.In({.ack = 1});
  EXPECT_EQ(c.Info(t.now()).delivered, 3u);
  t.In({.ack = 1 + 4 * 536});
  EXPECT_EQ(c.Info(t.now()).delivered, 5u);
  t.In({.ack = 1 + 5 * 536});
  EXPECT_EQ(c.Info(t.now()).delivered, 6u);
}

TEST(Info, OctetsAreCountedBeyondTheEndOfTheNumbers) {
  StackTester t;
  // Numbers of both sides pass 2^32 soon: of ours, that is so for some peer's port.
  constexpr uint32_t kSoon = 1u << 20;
  wire::FourTuple tuple{t.peer().local, t.peer().endpoint};
  while (InitialSequenceNumber(StackTester::Plain().secret, tuple, t.now()).raw() < 0u - kSoon) {
    ASSERT_LT(tuple.remote.port, 0xffff);
    ++tuple.remote.port;
  }
  t.peer().endpoint = tuple.remote;
  Connection& c = t.Establish();
  ASSERT_GE(t.peer().stack_isn, 0u - kSoon);
  constexpr uint64_t kPiece = 8000;
  uint64_t sent = 0;
  while (sent < 2 * kSoon) {
    t.Send(std::string(kPiece, 'x'));
    sent += kPiece;
    t.Data(std::string(1000, 'y'));
    c.Read();
    t.In({});
  }
  const ConnectionInfo info = c.Info(t.now());
  EXPECT_EQ(info.bytes_acked, sent);
  EXPECT_EQ(info.bytes_sent, sent);
  EXPECT_EQ(info.bytes_received, sent / 8);
}

// --- Urgent data (RFC 9293 §3.8.5, RFC 6093) ---

TEST(Urgent, PointsToTheOctetAfterIt) {  // MUST-30, MUST-62
  StackTester t;
  Connection& c = t.Establish();
  EXPECT_EQ(c.Send(t.Chain("now!"), {.urgent = true}), SendResult::kOk);
  t.Send("and later");
  EXPECT_EQ(t.Out(), "PAU 1+13 a1");
  EXPECT_EQ(t.last().header.urgent_pointer, 4u);
  t.In({});
  t.Send("ordinary");
  EXPECT_EQ(t.Out(), "PA 14+8 a1");
}

TEST(Urgent, MayBeOfAnyLength) {  // MUST-31
  StackTester t;
  Connection& c = t.Establish();
  EXPECT_EQ(c.Send(t.Chain(std::string(100000, 'x')), {.urgent = true}), SendResult::kOk);
  auto out = t.TakeOut();
  ASSERT_GT(out.size(), 5u);
  for (const auto& segment : out) {
    EXPECT_TRUE(segment.header.Has(kUrg));
    EXPECT_EQ(segment.header.urgent_pointer, std::min<int64_t>(100001 - segment.seq, 0xffff));
  }
  for (int i = 0; i < 40 && t.peer().received < 100001; ++i) t.In({});
  EXPECT_EQ(t.peer().received, 100001);
}

TEST(Urgent, IsAnnouncedToAClosedWindow) {
  StackTester t;
  t.peer().window = 0;
  Connection& c = t.Establish();
  t.In({});
  EXPECT_EQ(c.Send(t.Chain("help"), {.urgent = true}), SendResult::kOk);
  t.Run(Ms(500));
  EXPECT_TRUE(t.last().header.Has(kUrg));
}

TEST(Urgent, IsToldAtOnceAndHowMuch) {  // MUST-32, MUST-33
  StackTester t;
  Connection& c = t.Establish();
  t.In({.flags = kAck | kUrg, .payload = "abc", .urgent = 10});
  t.peer().next += 3;
  EXPECT_EQ(t.TakeEvents(), EventBits::kUrgent | EventBits::kReadable);
  EXPECT_EQ(c.urgent_bytes(), 10u);  // seven more will come
  EXPECT_EQ(t.Read(), "abc");
  EXPECT_EQ(c.urgent_bytes(), 7u);
  t.In({.flags = kAck | kUrg, .payload = "defghij", .urgent = 7});  // the same: no news
  t.peer().next += 7;
  EXPECT_EQ(t.TakeEvents(), EventBits::kReadable);
  EXPECT_EQ(t.Read(), "defghij");  // in line
  EXPECT_EQ(c.urgent_bytes(), 0u);
  t.In({.flags = kAck | kUrg, .payload = "k", .urgent = 1});
  EXPECT_EQ(t.TakeEvents(), EventBits::kUrgent | EventBits::kReadable);
}

TEST(Urgent, IsHeardAtAClosedWindow) {  // MUST-66
  StackConfig config = StackTester::Plain();
  config.receive_buffer_bytes = 100;
  StackTester t(config);
  Connection& c = t.Establish();
  t.Data(std::string(100, 'x'));
  t.TakeEvents();
  ASSERT_EQ(t.last().header.window, 0u);
  t.In({.flags = kAck | kUrg, .payload = "!", .urgent = 1});
  EXPECT_EQ(t.TakeEvents(), EventBits::kUrgent);
  EXPECT_EQ(c.urgent_bytes(), 101u);
}

TEST(Urgent, PointerBehindWhatWasReadIsNoNews) {
  StackTester t;
  Connection& c = t.Establish();
  t.Data("abc");
  t.Read();
  t.TakeEvents();
  t.In({.flags = kAck | kUrg, .seq = 1, .payload = "abcd", .urgent = 2});
  EXPECT_EQ(t.TakeEvents(), EventBits::kReadable);
  EXPECT_EQ(c.urgent_bytes(), 0u);
}

}  // namespace
}  // namespace luna::tcp
