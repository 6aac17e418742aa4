#include "luna/net/ip/arp.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/ip/testing/packets.h"
#include "luna/net/wire/ethernet.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::ip {
namespace {

using stats::DropReason;
using testing::BytesOfPacket;
using testing::MakePacket;
using wire::ArpFrame;
using wire::ArpPacket;
using wire::Ipv4Address;
using wire::Ipv4Prefix;
using wire::MacAddress;

constexpr Ipv4Address kUs(10, 0, 0, 2);
constexpr Ipv4Address kPeer(10, 0, 0, 1);
constexpr Ipv4Address kStranger(10, 0, 0, 77);
constexpr MacAddress kOurMac = wire::kServerMac;
constexpr MacAddress kPeerMac = wire::kClientMac;
constexpr MacAddress kOtherMac({2, 0, 0, 0, 0, 0x77});
constexpr Duration kSecond = Duration::Seconds(1);

// A reply of the peer to our question.
ArpFrame Reply(Ipv4Address from = kPeer, MacAddress mac = kPeerMac) {
  return {.operation = ArpPacket::kReply,
          .sender_mac = mac,
          .sender_ip = from,
          .target_mac = kOurMac,
          .target_ip = kUs,
          .source_mac = mac,
          .destination_mac = kOurMac};
}

ArpFrame Request(Ipv4Address from, MacAddress mac, Ipv4Address target) {
  return {.sender_mac = mac, .sender_ip = from, .target_ip = target, .source_mac = mac};
}

class ArpTest : public ::testing::Test {
 protected:
  static ArpConfig Config() {
    ArpConfig config;
    config.mac = kOurMac;
    config.addresses = {Ipv4Prefix(Ipv4Address(192, 0, 2, 7), 24), Ipv4Prefix(kUs, 24)};
    return config;
  }

  void Accept(const ArpFrame& frame) { arp_.Accept(MakePacket(memory_, frame.Build()), now_, frames_); }
  // Holds a frame back whose last byte tells it apart.
  void Enqueue(Ipv4Address to, uint8_t mark = 0) {
    std::vector<uint8_t> bytes(60);
    bytes.back() = mark;
    arp_.Enqueue(to, MakePacket(memory_, bytes), now_, frames_);
  }
  absl::optional<Arp::Resolved> Lookup(Ipv4Address address) { return arp_.Lookup(address, now_, frames_); }
  void Advance(Duration d) {
    now_ += d;
    arp_.OnTimer(now_, frames_);
  }

  // Takes the frames sent so far.
  std::vector<std::vector<uint8_t>> Sent() {
    std::vector<std::vector<uint8_t>> sent;
    for (const pmd::Packet& frame : frames_) sent.push_back(BytesOfPacket(frame));
    frames_.clear();
    return sent;
  }
  // Expects that exactly one ARP packet was sent, and returns it.
  ArpPacket SentArp(MacAddress* destination = nullptr) {
    const auto sent = Sent();
    EXPECT_EQ(sent.size(), 1u);
    ArpPacket packet;
    wire::EthernetHeader header;
    if (sent.empty()) return packet;
    EXPECT_EQ(wire::Parse(sent[0], &header), wire::ParseResult::kOk);
    EXPECT_EQ(header.ether_type, wire::EtherType::kArp);
    EXPECT_EQ(header.source, kOurMac);
    EXPECT_EQ(wire::Parse(absl::MakeConstSpan(sent[0]).subspan(header.size()), &packet), wire::ParseResult::kOk);
    if (destination != nullptr) *destination = header.destination;
    return packet;
  }

  zbuf::TestSlab memory_;
  stats::DropCounters drops_;
  std::vector<pmd::Packet> frames_;
  Time now_ = Time::FromNanoseconds(1'000'000);
  Arp arp_{Config(), &memory_.slab(), &drops_};
};

TEST_F(ArpTest, AnswersForOurAddressesAndLearnsTheAsker) {
  Accept(Request(kPeer, kPeerMac, kUs));
  MacAddress to;
  EXPECT_EQ(SentArp(&to), (ArpPacket{ArpPacket::kReply, kOurMac, kUs, kPeerMac, kPeer}));
  EXPECT_EQ(to, kPeerMac);
  ASSERT_TRUE(Lookup(kPeer).has_value());
  EXPECT_EQ(Lookup(kPeer)->mac, kPeerMac);
  EXPECT_TRUE(Sent().empty());
  EXPECT_EQ(drops_.total(), 0u);
}

TEST_F(ArpTest, AnswersForEachOfOurAddresses) {
  Accept(Request(kPeer, kPeerMac, Ipv4Address(192, 0, 2, 7)));
  EXPECT_EQ(SentArp().sender_ip, Ipv4Address(192, 0, 2, 7));
}

TEST_F(ArpTest, AnswersAProbeWithoutLearningFromIt) {
  Accept(Request(Ipv4Address::Any(), kPeerMac, kUs));
  EXPECT_EQ(SentArp(), (ArpPacket{ArpPacket::kReply, kOurMac, kUs, kPeerMac, Ipv4Address::Any()}));
  EXPECT_EQ(arp_.entries(), 0u);
}

TEST_F(ArpTest, LeavesOthersConversationsAlone) {
  Accept(Request(kPeer, kPeerMac, kStranger));
  EXPECT_TRUE(Sent().empty());
  EXPECT_FALSE(Lookup(kPeer).has_value());
  EXPECT_EQ(drops_.value(DropReason::kArpNotForUs), 1u);
}

TEST_F(ArpTest, IgnoresAnswersToNothingWeAsked) {
  Accept(Reply());
  EXPECT_FALSE(Lookup(kPeer).has_value());
  EXPECT_EQ(drops_.value(DropReason::kArpUnsolicited), 1u);
}

TEST_F(ArpTest, ResolvesAndReleasesFramesInOrder) {
  for (uint8_t mark : {1, 2, 3}) Enqueue(kPeer, mark);
  MacAddress to;
  EXPECT_EQ(SentArp(&to), (ArpPacket{ArpPacket::kRequest, kOurMac, kUs, MacAddress(), kPeer}));
  EXPECT_EQ(to, MacAddress::Broadcast());
  EXPECT_EQ(arp_.pending_frames(), 3u);
  Accept(Reply());
  const auto sent = Sent();
  ASSERT_EQ(sent.size(), 3u);
  for (uint8_t i = 0; i < 3; ++i) {
    EXPECT_EQ(MacAddress::FromBytes(sent[i].data()), kPeerMac);
    EXPECT_EQ(sent[i].back(), i + 1);
  }
  EXPECT_EQ(arp_.pending_frames(), 0u);
  EXPECT_EQ(arp_.resolving(), 0u);
  ASSERT_TRUE(Lookup(kPeer).has_value());
  EXPECT_EQ(Lookup(kPeer)->fresh_until, now_ + Duration::Seconds(60));
}

TEST_F(ArpTest, ARequestOfTheNeighbourWeAskForIsAnAnswerToo) {
  Enqueue(kPeer);
  Sent();
  Accept(Request(kPeer, kPeerMac, kUs));
  EXPECT_EQ(Sent().size(), 2u);  // the frame, and our answer
  EXPECT_TRUE(Lookup(kPeer).has_value());
}

TEST_F(ArpTest, AsksFromTheAddressOnTheNeighboursNetwork) {
  Enqueue(kPeer);
  EXPECT_EQ(SentArp().sender_ip, kUs);
  Enqueue(Ipv4Address(192, 0, 2, 1));
  EXPECT_EQ(SentArp().sender_ip, Ipv4Address(192, 0, 2, 7));
  Enqueue(Ipv4Address(172, 16, 0, 1));
  EXPECT_EQ(SentArp().sender_ip, Ipv4Address(192, 0, 2, 7));
}

TEST_F(ArpTest, AsksThreeTimesASecondApartThenGivesUp) {
  Enqueue(kPeer);
  Enqueue(kPeer);
  EXPECT_EQ(Sent().size(), 1u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(arp_.NextDeadline(), now_ + kSecond);
    Advance(kSecond - Duration::Nanoseconds(1));
    EXPECT_TRUE(Sent().empty());
    Advance(Duration::Nanoseconds(1));
    EXPECT_EQ(SentArp().target_ip, kPeer);
  }
  Advance(kSecond);
  EXPECT_TRUE(Sent().empty());
  EXPECT_EQ(drops_.value(DropReason::kNeighbourUnresolved), 2u);
  EXPECT_EQ(arp_.pending_frames(), 0u);
  EXPECT_EQ(memory_.outstanding(), 0u);
  EXPECT_TRUE(arp_.NextDeadline().is_infinite());
  EXPECT_EQ(arp_.stats().failed, 1u);
  Enqueue(kPeer);  // and a later frame begins anew
  EXPECT_EQ(SentArp().target_ip, kPeer);
}

TEST_F(ArpTest, BackOffIsConfigurable) {
  ArpConfig config = Config();
  config.request_waits = {Duration::Milliseconds(10), Duration::Milliseconds(40)};
  Arp arp(config, &memory_.slab(), &drops_);
  arp.Enqueue(kPeer, MakePacket(memory_, std::vector<uint8_t>(60)), now_, frames_);
  EXPECT_EQ(arp.NextDeadline(), now_ + Duration::Milliseconds(10));
  arp.OnTimer(now_ + Duration::Milliseconds(10), frames_);
  EXPECT_EQ(arp.NextDeadline(), now_ + Duration::Milliseconds(50));
  arp.OnTimer(now_ + Duration::Milliseconds(50), frames_);
  EXPECT_EQ(arp.resolving(), 0u);
  EXPECT_EQ(Sent().size(), 2u);
}

TEST_F(ArpTest, BoundsFramesPerNeighbourAndDropsTheOldest) {
  ArpConfig config = Config();
  config.max_pending = 2;
  config.max_pending_total = 3;
  Arp arp(config, &memory_.slab(), &drops_);
  const auto enqueue = [&](Ipv4Address to, uint8_t mark) {
    arp.Enqueue(to, MakePacket(memory_, std::vector<uint8_t>(60, mark)), now_, frames_);
  };
  for (uint8_t mark : {1, 2, 3}) enqueue(kPeer, mark);
  EXPECT_EQ(drops_.value(DropReason::kNeighbourQueueFull), 1u);
  enqueue(kStranger, 4);
  EXPECT_EQ(drops_.value(DropReason::kNeighbourQueueFull), 1u);
  enqueue(kStranger, 5);  // the total is full
  EXPECT_EQ(drops_.value(DropReason::kNeighbourQueueFull), 2u);
  EXPECT_EQ(arp.pending_frames(), 3u);
  Sent();
  arp.Accept(MakePacket(memory_, Reply().Build()), now_, frames_);
  const auto sent = Sent();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].back(), 2);
  EXPECT_EQ(sent[1].back(), 3);
  EXPECT_EQ(arp.pending_frames(), 1u);
}

TEST_F(ArpTest, ProbesAnOldNeighbourByUnicastAndKeepsUsingIt) {
  Accept(Request(kPeer, kPeerMac, kUs));
  Sent();
  now_ += Duration::Seconds(60) - Duration::Nanoseconds(1);
  EXPECT_TRUE(Lookup(kPeer).has_value());
  EXPECT_TRUE(Sent().empty());
  now_ += Duration::Nanoseconds(1);
  const auto old = Lookup(kPeer);
  ASSERT_TRUE(old.has_value());
  EXPECT_EQ(old->mac, kPeerMac);
  EXPECT_EQ(old->fresh_until, now_ + kSecond);
  MacAddress to;
  EXPECT_EQ(SentArp(&to).target_ip, kPeer);
  EXPECT_EQ(to, kPeerMac);
  Lookup(kPeer);  // one question at a time
  EXPECT_TRUE(Sent().empty());
  const uint64_t generation = arp_.generation();
  Accept(Reply());
  EXPECT_EQ(Lookup(kPeer)->fresh_until, now_ + Duration::Seconds(60));
  EXPECT_EQ(arp_.generation(), generation);
  Advance(Duration::Seconds(5));
  EXPECT_TRUE(Sent().empty());
  EXPECT_TRUE(arp_.NextDeadline().is_infinite());
}

TEST_F(ArpTest, ForgetsANeighbourThatAnswersNoProbe) {
  Accept(Request(kPeer, kPeerMac, kUs));
  now_ += Duration::Seconds(61);
  Sent();
  Lookup(kPeer);
  for (int i = 0; i < 3; ++i) {
    MacAddress to;
    EXPECT_EQ(SentArp(&to).target_ip, kPeer);
    EXPECT_EQ(to, kPeerMac);
    EXPECT_TRUE(Lookup(kPeer).has_value());
    Advance(kSecond);
  }
  EXPECT_TRUE(Sent().empty());
  const uint64_t generation = arp_.generation();
  EXPECT_GT(generation, 0u);
  EXPECT_FALSE(Lookup(kPeer).has_value());
}

TEST_F(ArpTest, AnUnusedNeighbourIsNotProbed) {
  Accept(Request(kPeer, kPeerMac, kUs));
  Sent();
  Advance(Duration::Seconds(3600));
  EXPECT_TRUE(Sent().empty());
  EXPECT_EQ(arp_.entries(), 1u);
}

TEST_F(ArpTest, FollowsANeighbourThatAnnouncesANewMac) {
  Accept(Request(kPeer, kPeerMac, kUs));
  Sent();
  const uint64_t generation = arp_.generation();
  Accept(Request(kPeer, kOtherMac, kPeer));  // gratuitous
  EXPECT_TRUE(Sent().empty());
  EXPECT_EQ(Lookup(kPeer)->mac, kOtherMac);
  EXPECT_NE(arp_.generation(), generation);
  EXPECT_EQ(arp_.stats().moved, 1u);
  EXPECT_EQ(drops_.total(), 0u);
}

TEST_F(ArpTest, DefendsOurAddressButNotInAWar) {
  const ArpFrame claim = Request(kUs, kOtherMac, kUs);
  Accept(claim);
  MacAddress to;
  EXPECT_EQ(SentArp(&to), (ArpPacket{ArpPacket::kRequest, kOurMac, kUs, MacAddress(), kUs}));
  EXPECT_EQ(to, MacAddress::Broadcast());
  now_ += Duration::Seconds(9);
  Accept(claim);
  EXPECT_TRUE(Sent().empty());
  now_ += kSecond;
  Accept(claim);
  EXPECT_EQ(Sent().size(), 1u);
  EXPECT_EQ(arp_.stats().conflicts, 3u);
  EXPECT_EQ(arp_.entries(), 0u);
}

TEST_F(ArpTest, AnnouncesEachAddress) {
  arp_.Announce(frames_);
  EXPECT_EQ(frames_.size(), 2u);
  frames_.erase(frames_.begin());
  MacAddress to;
  EXPECT_EQ(SentArp(&to), (ArpPacket{ArpPacket::kRequest, kOurMac, kUs, MacAddress(), kUs}));
  EXPECT_EQ(to, MacAddress::Broadcast());
}

TEST_F(ArpTest, WhereAnotherDefendsItOnlyAsksAndLearns) {
  ArpConfig config = Config();
  config.defends = false;
  Arp quiet(config, &memory_.slab(), &drops_);
  const auto accept = [&](const ArpFrame& frame) { quiet.Accept(MakePacket(memory_, frame.Build()), now_, frames_); };
  quiet.Announce(frames_);
  accept(Request(kUs, kOtherMac, kUs));
  accept(Request(kPeer, kPeerMac, kStranger));
  accept(Reply());
  accept(Request(kPeer, kPeerMac, kUs));
  EXPECT_TRUE(Sent().empty());
  const auto resolved = quiet.Lookup(kPeer, now_, frames_);
  ASSERT_TRUE(resolved.has_value()) << "who asks for us is about to talk to us";
  EXPECT_EQ(resolved->mac, kPeerMac);
  quiet.Enqueue(kStranger, MakePacket(memory_, std::vector<uint8_t>(60)), now_, frames_);
  EXPECT_EQ(SentArp().operation, ArpPacket::kRequest);
  EXPECT_EQ(drops_.total(), 0u) << "the other one counts";
}

TEST_F(ArpTest, AFloodOfStrangersDoesNotPushOutNeighboursInUse) {
  ArpConfig config = Config();
  config.max_entries = 4;
  Arp arp(config, &memory_.slab(), &drops_);
  for (uint8_t i = 0; i < 4; ++i) {
    arp.Accept(MakePacket(memory_, Request(Ipv4Address(10, 0, 0, 10 + i), kPeerMac, kUs).Build()), now_, frames_);
  }
  arp.Accept(MakePacket(memory_, Request(kStranger, kOtherMac, kUs).Build()), now_, frames_);
  EXPECT_FALSE(arp.Lookup(kStranger, now_, frames_).has_value());
  EXPECT_EQ(Sent().size(), 5u);  // answered nevertheless
  // What we ask for ourselves gets room: the least recently used goes.
  now_ += kSecond;
  for (uint8_t i = 1; i < 4; ++i) arp.Lookup(Ipv4Address(10, 0, 0, 10 + i), now_, frames_);
  arp.Enqueue(kPeer, MakePacket(memory_, std::vector<uint8_t>(60)), now_, frames_);
  arp.Accept(MakePacket(memory_, Reply().Build()), now_, frames_);
  EXPECT_TRUE(arp.Lookup(kPeer, now_, frames_).has_value());
  EXPECT_FALSE(arp.Lookup(Ipv4Address(10, 0, 0, 10), now_, frames_).has_value());
  EXPECT_EQ(arp.stats().evicted, 1u);
  // Later, entries that nobody uses any more give way to strangers too.
  now_ += Duration::Seconds(121);
  arp.Accept(MakePacket(memory_, Request(kStranger, kOtherMac, kUs).Build()), now_, frames_);
  EXPECT_TRUE(arp.Lookup(kStranger, now_, frames_).has_value());
  EXPECT_EQ(arp.entries(), 4u);
}

TEST_F(ArpTest, CountsBadPackets) {
  struct Case {
    std::string name;
    ArpFrame frame;
    DropReason reason;
  };
  const std::vector<Case> cases = {
      {"empty", {.truncate_to = 0}, DropReason::kEthTruncated},
      {"cut", {.truncate_to = 41}, DropReason::kArpTruncated},
      {"unknown operation", {.operation = 3}, DropReason::kArpMalformed},
      {"operation 0", {.operation = 0}, DropReason::kArpMalformed},
      {"multicast sender", Request(kPeer, MacAddress({1, 0, 0, 0, 0, 1}), kUs), DropReason::kArpBadSource},
      {"zero sender", Request(kPeer, MacAddress(), kUs), DropReason::kArpBadSource},
      {"our own frame", Request(kUs, kOurMac, kPeer), DropReason::kArpBadSource},
      {"broadcast sender", Request(Ipv4Address::Broadcast(), kPeerMac, kUs), DropReason::kArpBadSource},
      {"multicast address", Request(Ipv4Address(224, 0, 0, 1), kPeerMac, kUs), DropReason::kArpBadSource},
      {"loopback address", Request(Ipv4Address::Loopback(), kPeerMac, kUs), DropReason::kArpBadSource},
      {"a reply from nobody", Reply(Ipv4Address::Any()), DropReason::kArpBadSource},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const uint64_t before = drops_.value(c.reason);
    const uint64_t total = drops_.total();
    Accept(c.frame);
    EXPECT_EQ(drops_.value(c.reason), before + 1) << drops_.ToString();
    EXPECT_EQ(drops_.total(), total + 1);
    EXPECT_TRUE(Sent().empty());
  }
  std::vector<uint8_t> token_ring = ArpFrame{}.Build();
  token_ring[15] = 6;
  arp_.Accept(MakePacket(memory_, token_ring), now_, frames_);
  EXPECT_EQ(drops_.value(DropReason::kArpMalformed), 3u);
  EXPECT_EQ(arp_.entries(), 0u);
}

TEST_F(ArpTest, ReadsFramesCutIntoSlices) {
  arp_.Accept(MakePacket(memory_, Request(kPeer, kPeerMac, kUs).Build(), 1), now_, frames_);
  EXPECT_EQ(SentArp().operation, ArpPacket::kReply);
}

TEST(ArpExhaustion, RetriesWhenMemoryComesBack) {
  zbuf::TestSlab memory(size_t{4} << 20);
  stats::DropCounters drops;
  ArpConfig config;
  config.mac = kOurMac;
  config.addresses = {Ipv4Prefix(kUs, 24)};
  Arp arp(config, &memory.slab(), &drops);
  std::vector<pmd::Packet> frames;
  Time now;
  pmd::Packet frame = MakePacket(memory, std::vector<uint8_t>(60));
  std::vector<std::byte*> hoard;
  for (std::byte* obj = memory.slab().Alloc(64); obj != nullptr; obj = memory.slab().Alloc(64)) hoard.push_back(obj);
  arp.Enqueue(kPeer, std::move(frame), now, frames);
  EXPECT_TRUE(frames.empty());
  EXPECT_EQ(drops.value(DropReason::kTxNoBuffers), 1u);
  for (std::byte* obj : hoard) memory.slab().Free(obj);
  arp.OnTimer(now + kSecond, frames);
  EXPECT_EQ(frames.size(), 1u);
}

}  // namespace
}  // namespace luna::ip
