#include "luna/net/pmd/testing/wire_link.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/packet_util.h"
#include "luna/net/pmd/testing/numbered_frame.h"
#include "luna/net/pmd/testing/test_seed.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/checksum.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::pmd {
namespace {

constexpr Duration kMicrosecond = Duration::Microseconds(1);
constexpr Duration kMillisecond = Duration::Milliseconds(1);
constexpr Time kStart = Time::FromNanoseconds(1'000'000'000);

// A frame that says its number.
struct Arrival {
  uint32_t number;
  Time at;
  std::vector<uint8_t> bytes;
  bool operator==(const Arrival&) const = default;
};

class WireLinkTest : public testing::Test {
 protected:
  // Makes the link and puts its clock to kStart.
  WireLink& Make(WireLinkOptions options) {
    link_ = std::make_unique<WireLink>(a_memory_.slab(), b_memory_.slab(), std::move(options));
    link_->RecordEvents();
    link_->Advance(kStart);
    return *link_;
  }
  WireLink& Make(const WireOptions& options) { return Make(WireLinkOptions::Both(options)); }

  bool Send(PacketIo& io, const std::vector<uint8_t>& frame) {
    zbuf::TestSlab& memory = &io == &link_->a() ? a_memory_ : b_memory_;
    std::array<Packet, 1> packet = {std::move(MakePacket(memory.slab(), absl::MakeConstSpan(frame))).value()};
    return io.TransmitBurst(absl::MakeSpan(packet)) == 1;
  }

  // Steps from deadline to deadline until the link is idle, and returns what `io` received; the other end's is thrown
  // away.
  std::vector<Arrival> Drain(PacketIo& io) {
    std::vector<Arrival> arrivals;
    std::vector<Arrival> other;
    while (!link_->Idle()) {
      now_ = std::max(now_, link_->NextDeadline());
      link_->Advance(now_);
      Receive(io, arrivals);
      Receive(&io == &link_->a() ? link_->b() : link_->a(), other);
    }
    return arrivals;
  }
  void Receive(PacketIo& io, std::vector<Arrival>& arrivals) {
    std::array<Packet, 4> out;
    while (const size_t n = io.ReceiveBurst(absl::MakeSpan(out), now_)) {
      for (size_t i = 0; i < n; ++i) {
        std::vector<uint8_t> bytes = ToBytes(out[i]);
        const uint32_t number = FrameNumber(bytes);
        arrivals.push_back({number, out[i].rx.arrival, std::move(bytes)});
      }
      out = {};
    }
  }

  // Sends frames 0 .. count-1 from a, one per `gap`, stops at every deadline in between, and returns all arrivals at b.
  std::vector<Arrival> Run(uint32_t count, Duration gap) {
    std::vector<Arrival> arrivals;
    const Time start = now_;
    for (uint32_t i = 0; i < count; ++i) {
      const Time send = start + gap * i;
      while (link_->NextDeadline() < send) StepTo(link_->NextDeadline(), arrivals);
      StepTo(send, arrivals);
      EXPECT_TRUE(Send(link_->a(), NumberedFrame(i)));
    }
    std::vector<Arrival> rest = Drain(link_->b());
    arrivals.insert(arrivals.end(), rest.begin(), rest.end());
    return arrivals;
  }
  void StepTo(Time to, std::vector<Arrival>& arrivals) {
    now_ = std::max(now_, to);
    link_->Advance(now_);
    Receive(link_->b(), arrivals);
  }

  // `count` of `n` trials is within 5 standard deviations of `p`.
  static void ExpectRate(uint64_t count, uint64_t n, double p) {
    const double sigma = std::sqrt(static_cast<double>(n) * p * (1 - p));
    EXPECT_NEAR(static_cast<double>(count), static_cast<double>(n) * p, 5 * sigma);
    EXPECT_GT(count, 0u);
  }

  zbuf::TestSlab a_memory_;
  zbuf::TestSlab b_memory_;
  std::unique_ptr<WireLink> link_;
  Time now_ = kStart;
};

TEST_F(WireLinkTest, APerfectWireCarriesBytesBothWaysAtOnce) {
  WireLink& link = Make(WireOptions{});
  ASSERT_TRUE(Send(link.a(), NumberedFrame(1, 1514)));
  ASSERT_TRUE(Send(link.b(), NumberedFrame(2, 60)));
  std::vector<Arrival> at_b;
  std::vector<Arrival> at_a;
  Receive(link.b(), at_b);
  Receive(link.a(), at_a);
  EXPECT_EQ(at_b, (std::vector<Arrival>{{1, kStart, NumberedFrame(1, 1514)}}));
  EXPECT_EQ(at_a, (std::vector<Arrival>{{2, kStart, NumberedFrame(2, 60)}}));
  EXPECT_TRUE(link.Idle());
  EXPECT_EQ(link.a().stats().tx_packets, 1u);
  EXPECT_EQ(link.b().stats().rx_bytes, 1514u);
  EXPECT_EQ(link.b().stats().bytes_copied_rx, 1514u);
  EXPECT_EQ(link.a().stats().bytes_copied_tx, 1514u);
}

TEST_F(WireLinkTest, FramesAreCopiedIntoTheReceiversSlabWithHeadroom) {
  WireLink& link = Make(WireOptions{});
  ASSERT_TRUE(Send(link.a(), NumberedFrame(1)));
  EXPECT_EQ(a_memory_.outstanding(), 0u);
  std::array<Packet, 1> out;
  ASSERT_EQ(link.b().ReceiveBurst(absl::MakeSpan(out), now_), 1u);
  EXPECT_EQ(b_memory_.outstanding(), 1u);
  EXPECT_GE(out[0].data.HeadRoom(), kTxHeadroomBytes);
}

TEST_F(WireLinkTest, DelayIsExactAndDeadlinesNameIt) {
  WireLink& link = Make(WireOptions{.delay = kMillisecond * 10});
  ASSERT_TRUE(Send(link.a(), NumberedFrame(0)));
  EXPECT_EQ(link.NextDeadline(), kStart + kMillisecond * 10);
  std::array<Packet, 1> out;
  now_ = kStart + kMillisecond * 10 - Duration::Nanoseconds(1);
  EXPECT_EQ(link.b().ReceiveBurst(absl::MakeSpan(out), now_), 0u);
  now_ += Duration::Nanoseconds(1);
  EXPECT_EQ(link.b().ReceiveBurst(absl::MakeSpan(out), now_), 1u);
  EXPECT_EQ(out[0].rx.arrival, now_);
  EXPECT_TRUE(link.NextDeadline().is_infinite());
}

TEST_F(WireLinkTest, AnEarlierTimeDoesNotTurnTheClockBack) {
  WireLink& link = Make(WireOptions{.delay = kMillisecond});
  link.Advance(kStart + kMillisecond * 5);
  link.Advance(kStart);
  ASSERT_TRUE(Send(link.a(), NumberedFrame(0)));
  EXPECT_EQ(link.NextDeadline(), kStart + kMillisecond * 6);
}

TEST_F(WireLinkTest, DirectionsHaveTheirOwnKnobs) {
  WireLink& link = Make(WireLinkOptions{.a_to_b = {.loss = 1}, .b_to_a = {.delay = kMillisecond}});
  ASSERT_TRUE(Send(link.a(), NumberedFrame(0)));
  ASSERT_TRUE(Send(link.b(), NumberedFrame(1)));
  EXPECT_EQ(link.NextDeadline(), kStart + kMillisecond);
  EXPECT_EQ(Drain(link.a()).size(), 1u);
  EXPECT_EQ(link.a_to_b().stats().lost, 1u);
  EXPECT_EQ(link.b_to_a().stats().lost, 0u);
}

TEST_F(WireLinkTest, LossHasItsRate) {
  WireLink& link = Make(WireOptions{.seed = TestSeed(11), .loss = 0.1});
  const std::vector<Arrival> arrivals = Run(20'000, kMicrosecond);
  ExpectRate(20'000 - arrivals.size(), 20'000, 0.1);
  EXPECT_EQ(link.a_to_b().stats().lost, 20'000 - arrivals.size());
  EXPECT_TRUE(std::is_sorted(arrivals.begin(), arrivals.end(),
                             [](const Arrival& x, const Arrival& y) { return x.number < y.number; }));
}

TEST_F(WireLinkTest, LossIsNotPeriodic) {
  WireLink& link = Make(WireOptions{.seed = TestSeed(12), .loss = 0.5});
  Run(20'000, kMicrosecond);
  // Two neighbours are both lost in a quarter of the cases when fates are independent.
  uint64_t both = 0;
  const std::vector<WireEvent>& events = link.a_to_b().events();
  ASSERT_EQ(events.size(), 20'000u);
  for (size_t i = 1; i < events.size(); ++i) {
    both += events[i].fate == WireFate::kLost && events[i - 1].fate == WireFate::kLost;
  }
  EXPECT_NEAR(static_cast<double>(both), 20'000 * 0.25, 500);
}

TEST_F(WireLinkTest, DropNthLosesExactlyThose) {
  WireLink& link = Make(WireLinkOptions{.a_to_b = {.drop_nth = {0, 3, 4}}});
  std::vector<uint32_t> numbers;
  for (const Arrival& arrival : Run(7, kMicrosecond)) numbers.push_back(arrival.number);
  EXPECT_EQ(numbers, (std::vector<uint32_t>{1, 2, 5, 6}));
  EXPECT_EQ(link.a_to_b().stats().lost, 3u);
  EXPECT_EQ(link.a_to_b().events()[3].fate, WireFate::kDropNth);
}

TEST_F(WireLinkTest, DuplicatesArriveTwiceInARow) {
  WireLink& link = Make(WireOptions{.seed = TestSeed(13), .duplicate = 0.2, .delay = kMicrosecond});
  const std::vector<Arrival> arrivals = Run(20'000, kMicrosecond * 2);
  ExpectRate(arrivals.size() - 20'000, 20'000, 0.2);
  EXPECT_EQ(link.a_to_b().stats().duplicated, arrivals.size() - 20'000);
  EXPECT_EQ(link.a_to_b().stats().taken, arrivals.size());
  std::map<uint32_t, size_t> copies;
  for (size_t i = 0; i < arrivals.size(); ++i) {
    if (++copies[arrivals[i].number] == 2) {
      EXPECT_EQ(arrivals[i], arrivals[i - 1]);
    }
  }
  EXPECT_EQ(copies.size(), 20'000u);
}

TEST_F(WireLinkTest, CorruptionInvertsOneBitAnywhere) {
  WireLink& link = Make(WireOptions{.seed = TestSeed(14), .corrupt = 0.5});
  const std::vector<Arrival> arrivals = Run(20'000, kMicrosecond);
  ASSERT_EQ(arrivals.size(), 20'000u);
  uint64_t corrupted = 0;
  std::vector<int> hits(60 * 8);
  for (uint32_t i = 0; i < arrivals.size(); ++i) {
    const std::vector<uint8_t> sent = NumberedFrame(i);
    int bits = 0;
    for (size_t bit = 0; bit < hits.size(); ++bit) {
      const bool flipped = ((arrivals[i].bytes[bit / 8] ^ sent[bit / 8]) >> (bit % 8) & 1) != 0;
      bits += flipped;
      hits[bit] += flipped;
    }
    EXPECT_LE(bits, 1);
    corrupted += bits == 1;
    EXPECT_EQ(bits == 1, link.a_to_b().events()[i].corrupted);
  }
  ExpectRate(corrupted, 20'000, 0.5);
  EXPECT_GT(*std::min_element(hits.begin(), hits.end()), 0);  // 21 expected per bit
}

TEST_F(WireLinkTest, ReorderedFramesAreOvertakenByTheirSuccessors) {
  WireLink& link = Make(
      WireOptions{.seed = TestSeed(15), .reorder = 0.05, .delay = kMillisecond, .reorder_delay = kMicrosecond * 10});
  const std::vector<Arrival> arrivals = Run(20'000, kMicrosecond * 3);
  ASSERT_EQ(arrivals.size(), 20'000u);
  ExpectRate(link.a_to_b().stats().reordered, 20'000, 0.05);
  uint64_t late = 0;
  for (const Arrival& arrival : arrivals) {
    const WireEvent& event = link.a_to_b().events()[arrival.number];
    const Time in_order = kStart + kMicrosecond * 3 * arrival.number + kMillisecond;
    EXPECT_EQ(arrival.at, in_order + (event.reordered ? kMicrosecond * 10 : Duration::Zero()));
    late += event.reordered;
  }
  EXPECT_EQ(late, link.a_to_b().stats().reordered);
  uint64_t overtaken = 0;
  for (size_t i = 1; i < arrivals.size(); ++i) overtaken += arrivals[i].number < arrivals[i - 1].number;
  EXPECT_GT(overtaken, late / 2);
}

TEST_F(WireLinkTest, JitterSpreadsArrivalsButKeepsTheirOrder) {
  Make(WireOptions{.seed = TestSeed(16), .delay = kMillisecond, .jitter = kMicrosecond * 100});
  // So far apart that frames do not push each other.
  const std::vector<Arrival> arrivals = Run(5'000, kMicrosecond * 200);
  ASSERT_EQ(arrivals.size(), 5'000u);
  double sum = 0;
  int64_t least = INT64_MAX;
  int64_t most = 0;
  for (uint32_t i = 0; i < arrivals.size(); ++i) {
    EXPECT_EQ(arrivals[i].number, i);
    const int64_t extra = (arrivals[i].at - (kStart + kMicrosecond * 200 * i + kMillisecond)).nanoseconds();
    least = std::min(least, extra);
    most = std::max(most, extra);
    sum += static_cast<double>(extra);
  }
  EXPECT_GE(least, 0);
  EXPECT_LT(least, 1'000);
  EXPECT_LE(most, 100'000);
  EXPECT_GT(most, 99'000);
  EXPECT_NEAR(sum / 5'000, 50'000, 5 * 28'868 / std::sqrt(5'000));  // a uniform spread: sigma = 100 us / sqrt(12)
}

TEST_F(WireLinkTest, JitterAloneNeverReordersCloseFrames) {
  Make(WireOptions{.seed = TestSeed(17), .jitter = kMicrosecond * 100});
  const std::vector<Arrival> arrivals = Run(5'000, kMicrosecond);
  ASSERT_EQ(arrivals.size(), 5'000u);
  for (uint32_t i = 0; i < arrivals.size(); ++i) EXPECT_EQ(arrivals[i].number, i);
}

TEST_F(WireLinkTest, LineRateSpacesFramesWithoutRoundingDrift) {
  // 60 bytes at 7 Gb/s take 68.57 ns.
  WireLink& link = Make(WireOptions{.bits_per_second = 7'000'000'000});
  for (uint32_t i = 0; i < 7'000; ++i) ASSERT_TRUE(Send(link.a(), NumberedFrame(i)));
  const std::vector<Arrival> arrivals = Drain(link.b());
  ASSERT_EQ(arrivals.size(), 7'000u);
  EXPECT_EQ(arrivals[0].at, kStart + Duration::Nanoseconds(68));
  EXPECT_EQ(arrivals[6].at, kStart + Duration::Nanoseconds(480));
  EXPECT_EQ(arrivals[6'999].at, kStart + Duration::Nanoseconds(480'000));
}

TEST_F(WireLinkTest, AnIdleLineDoesNotSaveUpCredit) {
  WireLink& link = Make(WireOptions{.bits_per_second = 480'000'000});  // 1 us per frame
  ASSERT_TRUE(Send(link.a(), NumberedFrame(0)));
  now_ = kStart + kMillisecond;
  link.Advance(now_);
  ASSERT_TRUE(Send(link.a(), NumberedFrame(1)));
  ASSERT_TRUE(Send(link.a(), NumberedFrame(2)));
  const std::vector<Arrival> arrivals = Drain(link.b());
  ASSERT_EQ(arrivals.size(), 3u);
  EXPECT_EQ(arrivals[1].at, kStart + kMillisecond + kMicrosecond);
  EXPECT_EQ(arrivals[2].at, kStart + kMillisecond + kMicrosecond * 2);
}

TEST_F(WireLinkTest, QueuedFramesAreHeldAndReadWhenTheyLeave) {
  WireLink& link = Make(WireOptions{.bits_per_second = 480'000'000});
  std::array<Packet, 1> packet = {
      std::move(MakePacket(a_memory_.slab(), absl::MakeConstSpan(NumberedFrame(7)))).value()};
  std::byte* data = packet[0].data.front().data();
  ASSERT_EQ(link.a().TransmitBurst(absl::MakeSpan(packet)), 1u);
  EXPECT_EQ(a_memory_.outstanding(), 1u);
  EXPECT_EQ(link.a().Reclaim(), 1u);
  data[59] = std::byte{0xee};
  now_ = kStart + kMicrosecond;
  link.Advance(now_);
  EXPECT_EQ(link.a().Reclaim(), 0u);
  EXPECT_EQ(a_memory_.outstanding(), 0u);
  const std::vector<Arrival> arrivals = Drain(link.b());
  ASSERT_EQ(arrivals.size(), 1u);
  EXPECT_EQ(arrivals[0].bytes[59], 0xee);
}

TEST_F(WireLinkTest, AFullQueueDropsTheTail) {
  WireLink& link = Make(WireOptions{.bits_per_second = 480'000'000, .queue_frames = 3});
  for (uint32_t i = 0; i < 5; ++i) ASSERT_TRUE(Send(link.a(), NumberedFrame(i)));
  EXPECT_EQ(link.a_to_b().stats().queue_full, 2u);
  now_ = kStart + kMicrosecond;  // one has left
  link.Advance(now_);
  ASSERT_TRUE(Send(link.a(), NumberedFrame(5)));
  std::vector<uint32_t> numbers;
  for (const Arrival& arrival : Drain(link.b())) numbers.push_back(arrival.number);
  EXPECT_EQ(numbers, (std::vector<uint32_t>{0, 1, 2, 5}));
  EXPECT_EQ(link.a_to_b().stats().queue_full, 2u);
}

TEST_F(WireLinkTest, AFullRingRefuses) {
  WireLink& link = Make(WireOptions{.bits_per_second = 480'000'000, .ring_frames = 2});
  std::array<Packet, 3> packets;
  for (uint32_t i = 0; i < 3; ++i) {
    packets[i] = std::move(MakePacket(a_memory_.slab(), absl::MakeConstSpan(NumberedFrame(i)))).value();
  }
  EXPECT_EQ(link.a().TransmitBurst(absl::MakeSpan(packets)), 2u);
  EXPECT_EQ(link.a().stats().tx_full, 1u);
  EXPECT_EQ(ToBytes(packets[2]), NumberedFrame(2));
  EXPECT_EQ(link.a_to_b().stats().sent, 2u);
  now_ = kStart + kMicrosecond;
  link.Advance(now_);
  EXPECT_EQ(link.a().TransmitBurst(absl::MakeSpan(packets).subspan(2)), 1u);
  EXPECT_EQ(Drain(link.b()).size(), 3u);
}

TEST_F(WireLinkTest, ACutWireLosesEverythingAndComesBack) {
  WireLink& link = Make(WireOptions{.delay = kMillisecond, .bits_per_second = 480'000'000});
  ASSERT_TRUE(Send(link.a(), NumberedFrame(0)));
  ASSERT_TRUE(Send(link.a(), NumberedFrame(1)));
  now_ = kStart + kMicrosecond;
  link.Advance(now_);  // 0 is on the wire, 1 in the queue
  link.SetUp(false);
  EXPECT_FALSE(link.a().link_up());
  EXPECT_FALSE(link.b().link_up());
  EXPECT_EQ(a_memory_.outstanding(), 0u);
  ASSERT_TRUE(Send(link.a(), NumberedFrame(2)));
  EXPECT_TRUE(link.Idle());
  EXPECT_EQ(link.a_to_b().stats().cut, 3u);
  link.SetUp(true);
  EXPECT_TRUE(link.a().link_up());
  ASSERT_TRUE(Send(link.a(), NumberedFrame(3)));
  const std::vector<Arrival> arrivals = Drain(link.b());
  ASSERT_EQ(arrivals.size(), 1u);
  EXPECT_EQ(arrivals[0].number, 3u);
  EXPECT_EQ(arrivals[0].at, kStart + kMicrosecond * 2 + kMillisecond);
}

TEST_F(WireLinkTest, AnExhaustedReceiverLosesFramesAndCountsThem) {
  WireLink& link = Make(WireOptions{});
  std::vector<std::byte*> taken;
  while (std::byte* obj = b_memory_.slab().Alloc(60)) taken.push_back(obj);
  ASSERT_TRUE(Send(link.a(), NumberedFrame(0)));
  std::array<Packet, 1> out;
  EXPECT_EQ(link.b().ReceiveBurst(absl::MakeSpan(out), now_), 0u);
  EXPECT_EQ(link.b().stats().rx_no_buffer, 1u);
  EXPECT_EQ(link.b().stats().rx_dropped, 1u);
  EXPECT_TRUE(link.Idle());
  b_memory_.slab().FreeBulk(taken);
}

TEST_F(WireLinkTest, FramesThatNoLinkCarriesAreDroppedByTheSender) {
  WireLink& link = Make(WireLinkOptions{.mtu = 1000});
  EXPECT_TRUE(Send(link.a(), NumberedFrame(0, 1019)));
  EXPECT_TRUE(Send(link.a(), NumberedFrame(0, 13)));
  EXPECT_EQ(link.a().stats().tx_dropped, 2u);
  EXPECT_TRUE(Send(link.a(), NumberedFrame(0, 1018)));
  EXPECT_EQ(link.a_to_b().stats().sent, 1u);
  EXPECT_EQ(link.a().capabilities().mtu, 1000u);
  Drain(link.b());
}

TEST_F(WireLinkTest, LongChainsAreLinearised) {
  WireLink& link = Make(WireLinkOptions{.max_tx_segments = 2});
  std::array<Packet, 1> packet;
  packet[0].data = a_memory_.ChainOfSlices(std::string(60, 'z'), 20);
  ASSERT_EQ(link.a().TransmitBurst(absl::MakeSpan(packet)), 1u);
  EXPECT_EQ(link.a().stats().tx_linearised, 1u);
  EXPECT_EQ(Drain(link.b())[0].bytes, std::vector<uint8_t>(60, 'z'));
}

// A large TCP frame as a stack hands it to a NIC that does everything.
TEST_F(WireLinkTest, ANicWithOffloadCutsFillsInAndJudges) {
  const WireOptions ab{.delay = kMicrosecond, .bits_per_second = 8'000'000'000, .drop_nth = {1}};
  WireLink& link = Make(WireLinkOptions{.a_to_b = ab, .checksum_offload = true, .tso = true});
  EXPECT_TRUE(link.a().capabilities().tx_tso);
  EXPECT_TRUE(link.b().capabilities().trust_rx_checksum);
  std::vector<uint8_t> frame = wire::TcpFrame{.payload = wire::Pattern(4000)}.Build();
  wire::StoreBe16(&frame[24], 0);
  wire::StoreBe16(&frame[50], wire::Ipv4PseudoHeaderSum(wire::kClient.address.v4(), wire::kServer.address.v4(),
                                                        wire::IpProtocol::kTcp, 0));
  std::array<Packet, 1> packet = {std::move(MakePacket(a_memory_.slab(), absl::MakeConstSpan(frame))).value()};
  packet[0].tx = {.ip_checksum = true,
                  .l4_checksum = true,
                  .l2_bytes = 14,
                  .l3_bytes = 20,
                  .l4_bytes = 20,
                  .tso_segment_bytes = 1000};
  ASSERT_EQ(link.a().TransmitBurst(absl::MakeSpan(packet)), 1u);
  EXPECT_EQ(link.a_to_b().stats().sent, 4u);  // segments, each with a fate of its own
  std::array<Packet, 4> out;
  now_ = kStart + kMillisecond;
  ASSERT_EQ(link.b().ReceiveBurst(absl::MakeSpan(out), now_), 3u);
  const std::array<uint32_t, 3> sequences = {1, 2001, 3001};
  for (size_t i = 0; i < 3; ++i) {
    const std::vector<uint8_t> bytes = ToBytes(out[i]);
    const auto parsed = wire::ParseTcpFrame(bytes);
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(parsed->tcp.sequence, sequences[i]);
    EXPECT_EQ(out[i].rx.ip_checksum, ChecksumStatus::kGood);
    EXPECT_EQ(out[i].rx.l4_checksum, ChecksumStatus::kGood);
  }
  EXPECT_EQ(link.a_to_b().events()[0].left, kStart + Duration::Nanoseconds(1054));
}

TEST_F(WireLinkTest, ANicWithOffloadSeesCorruption) {
  WireLink& link = Make(WireLinkOptions{.a_to_b = {.corrupt = 1}, .checksum_offload = true});
  uint64_t bad = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(Send(link.a(), wire::TcpFrame{.payload = wire::Pattern(1000)}.Build()));
    std::array<Packet, 1> out;
    ASSERT_EQ(link.b().ReceiveBurst(absl::MakeSpan(out), now_), 1u);
    bad += out[0].rx.l4_checksum == ChecksumStatus::kBad || out[0].rx.ip_checksum == ChecksumStatus::kBad;
  }
  EXPECT_GT(bad, 90u);  // all but those that hit the Ethernet header or change what the frame is
}

TEST_F(WireLinkTest, ARequestForAnOffloadThatIsNotOfferedIsABug) {
  WireLink& link = Make(WireOptions{});
  std::array<Packet, 1> packet = {
      std::move(MakePacket(a_memory_.slab(), absl::MakeConstSpan(NumberedFrame(0)))).value()};
  packet[0].tx.l4_checksum = true;
  EXPECT_DEATH(link.a().TransmitBurst(absl::MakeSpan(packet)), "does not offer");
}

TEST_F(WireLinkTest, DestructionFreesWhatIsQueuedAndOnTheWire) {
  WireLink& link = Make(WireOptions{.delay = kMillisecond, .bits_per_second = 480'000});
  ASSERT_TRUE(Send(link.a(), NumberedFrame(0)));
  EXPECT_EQ(a_memory_.outstanding(), 1u);
  link_.reset();
  EXPECT_EQ(a_memory_.outstanding(), 0u);
}

// Everything at once: the same seed gives the same trace to the last nanosecond, another seed another one.
class WireLinkReplayTest : public WireLinkTest {
 protected:
  WireOptions Hostile(uint64_t seed) {
    return {.seed = seed,
            .loss = 0.05,
            .duplicate = 0.05,
            .corrupt = 0.05,
            .reorder = 0.05,
            .delay = kMicrosecond * 50,
            .jitter = kMicrosecond * 20,
            .bits_per_second = 400'000'000,
            .queue_frames = 64};
  }
  std::pair<std::string, std::vector<Arrival>> Record(uint64_t seed) {
    now_ = kStart;
    WireLink& link = Make(Hostile(seed));
    std::vector<Arrival> arrivals = Run(5'000, kMicrosecond);
    return {link.Trace(), arrivals};
  }
};

TEST_F(WireLinkReplayTest, SameSeedSameTrace) {
  const uint64_t seed = TestSeed(21);
  const auto first = Record(seed);
  const auto second = Record(seed);
  EXPECT_EQ(first.first, second.first);
  EXPECT_EQ(first.second, second.second);
  EXPECT_NE(first.first, Record(seed + 1).first);
  const WireStats& s = link_->a_to_b().stats();
  EXPECT_EQ(s.sent, 5'000u);
  EXPECT_EQ(s.sent, s.carried + s.lost + s.queue_full + s.cut);
  EXPECT_EQ(s.taken, s.carried + s.duplicated);
  EXPECT_GT(s.queue_full, 0u);
}

TEST_F(WireLinkReplayTest, TheTwoDirectionsAreIndependent) {
  WireLink& link = Make(WireOptions{.seed = TestSeed(22), .loss = 0.5});
  for (uint32_t i = 0; i < 200; ++i) {
    ASSERT_TRUE(Send(link.a(), NumberedFrame(i)));
    ASSERT_TRUE(Send(link.b(), NumberedFrame(i)));
  }
  EXPECT_NE(link.a_to_b().events(), link.b_to_a().events());
  Drain(link.b());
}

TEST_F(WireLinkReplayTest, AFrameKeepsItsFateWhenOtherKnobsChange) {
  const uint64_t seed = TestSeed(23);
  Make(WireOptions{.seed = seed, .loss = 0.1});
  Run(1'000, kMicrosecond);
  std::vector<uint64_t> lost;
  for (const WireEvent& event : link_->a_to_b().events()) {
    if (event.fate == WireFate::kLost) lost.push_back(event.index);
  }
  now_ = kStart;
  Make(WireOptions{.seed = seed, .loss = 0.1, .duplicate = 0.5, .reorder = 0.5, .jitter = kMillisecond});
  Run(1'000, kMicrosecond);
  std::vector<uint64_t> again;
  for (const WireEvent& event : link_->a_to_b().events()) {
    if (event.fate == WireFate::kLost) again.push_back(event.index);
  }
  EXPECT_EQ(lost, again);
  EXPECT_FALSE(lost.empty());
}

TEST_F(WireLinkReplayTest, DescriptionNamesSeedAndKnobs) {
  WireLink& link = Make(WireOptions{.seed = 4711, .loss = 0.25, .queue_frames = 9});
  const std::string text = link.Describe();
  EXPECT_NE(text.find("a>b: seed=4711 loss=0.25"), std::string::npos) << text;
  EXPECT_NE(text.find("b>a: seed=4711"), std::string::npos) << text;
  EXPECT_NE(text.find("queue_frames=9"), std::string::npos) << text;
}

TEST_F(WireLinkReplayTest, ATraceLineIsReadable) {
  WireLink& link = Make(WireLinkOptions{.a_to_b = {.delay = kMicrosecond, .drop_nth = {1}}});
  ASSERT_TRUE(Send(link.a(), NumberedFrame(0)));
  ASSERT_TRUE(Send(link.a(), NumberedFrame(1)));
  EXPECT_EQ(link.Trace(),
            "a>b #0 60 B sent 1.000000000 left 1.000000000 due 1.000001000 carried\n"
            "a>b #1 60 B sent 1.000000000 left 1.000000000 due never drop_nth\n");
  Drain(link.b());
}

}  // namespace
}  // namespace luna::pmd
