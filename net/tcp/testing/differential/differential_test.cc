// All of it that needs no kernel.

#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "luna/net/tcp/testing/differential/campaign.h"
#include "luna/net/tcp/testing/differential/difference.h"
#include "luna/net/tcp/testing/differential/event.h"
#include "luna/net/tcp/testing/differential/generator.h"
#include "luna/net/tcp/testing/differential/luna_system.h"
#include "luna/net/tcp/testing/differential/runner.h"
#include "luna/net/tcp/testing/differential/segment_codec.h"
#include "luna/net/wire/address.h"

namespace luna::tcp::differential {
namespace {

constexpr wire::Endpoint kHost{wire::Ipv4Address(10, 99, 0, 1), 5000};
constexpr wire::Endpoint kPeer{wire::Ipv4Address(10, 99, 0, 2), 4000};
constexpr char kFolder[] = "net/tcp/testing/differential/";

std::string ReadFile(const std::string& name) {
  std::ifstream file(kFolder + name);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

EventList Parse(const std::string& text) {
  const auto lists = ParseEventLists(text);
  EXPECT_TRUE(lists.ok()) << lists.status();
  return lists.ok() && !lists->empty() ? lists->front() : EventList();
}

Trace RunOnLuna(const EventList& list) {
  LunaSystem luna;
  auto trace = Run(list, kHost, kPeer, luna);
  EXPECT_TRUE(trace.ok()) << trace.status() << " in " << list.ToString();
  return trace.ok() ? *trace : Trace();
}

std::string Outcomes(const Trace& trace) {
  std::string text;
  for (const Step& step : trace) text += step.Outcome() + "\n";
  return text;
}

TEST(EventLists, OfEveryKind) {
  const EventList list = Parse(
      "list one # a comment\n"
      "isn 7\n"
      "set net.ipv4.tcp_sack 0\n"
      "passive ts\n"
      "  < FSRP.UEW -1+20 ack 3 win 4 urg 5 mss 6 wscale 7 sackOK ts 8 ecr 9 sack 1:2,-3:4 badsum\n"
      "< - 5 nots\n"
      "write 10\n"
      "shutdown rd\n"
      "advance 30\n");
  EXPECT_EQ(list.name, "one");
  EXPECT_EQ(list.peer_isn, 7u);
  EXPECT_TRUE(list.timestamps);
  ASSERT_EQ(list.events.size(), 9u);  // four of the opening
  const PacketEvent& packet = *list.events[4].packet;
  EXPECT_EQ(packet.flags, 0xff);
  EXPECT_EQ(packet.sequence, UINT32_MAX);
  EXPECT_EQ(packet.payload_bytes, 20u);
  EXPECT_EQ(packet.ack, 3u);
  EXPECT_EQ(packet.window, 4);
  EXPECT_EQ(packet.urgent_pointer, 5);
  EXPECT_EQ(packet.options.mss, 6);
  EXPECT_EQ(packet.options.window_scale, 7);
  EXPECT_TRUE(packet.options.sack_permitted);
  EXPECT_EQ(packet.options.tsval, 8u);
  EXPECT_EQ(packet.options.tsecr, 9u);
  EXPECT_EQ(packet.options.sack_count, 2);
  EXPECT_TRUE(packet.bad_checksum);
  EXPECT_TRUE(list.events[5].packet->has_explicit_timestamp);
  EXPECT_EQ(list.events[6].call->number, 10);
  EXPECT_EQ(list.events[7].call->word, "rd");
  EXPECT_EQ(list.events[8].advance_ms, 30);
  EXPECT_EQ(Parse(list.ToString()).ToString(), list.ToString());
}

TEST(EventLists, MistakesAreNamedByLine) {
  for (const char* line : {"< Q 1", "< .", "< . x", "< . 1+", "< . 1 ack", "< . 1 win 70000", "< . 1 sack 3", "write",
                           "write x", "listen 1", "advance 0", "advance 99999", "passive nonsense", "walk", "isn x"}) {
    const auto lists = ParseEventLists(std::string("list a\n") + line + "\n");
    EXPECT_EQ(lists.status().code(), absl::StatusCode::kInvalidArgument) << line;
    EXPECT_NE(lists.status().message().find("line 2"), absl::string_view::npos) << lists.status();
  }
  EXPECT_FALSE(ParseEventLists("listen\n").ok());  // of no list
}

// Encode() of one side is Reduce() of the other, but for the octets, which differ by side.
TEST(SegmentCodec, Reduces) {
  SegmentCodec host(kPeer, kHost, 0x20000000, false);  // speaks as the host
  SegmentCodec codec(kHost, kPeer, 0x10000000, false);
  for (const char* fin : {"< F. 301", "< F. 401+100"})
    codec.Encode(*Parse(std::string("list a\n") + fin).events[0].packet);
  const struct {
    const char* packet;
    const char* line;
  } kCases[] = {
      {"< S 0 mss 1460 sackOK wscale 7", "S 0 mss 1460 sackOK wscale"},
      {"< . 1 ack 268435457 ts 5 ecr 6", ". 1 ack 1 ecr 6"},
      {"< P. 1+3 ack 268435457", "P. 1+3(WRONG OCTETS) ack 1"},
      {"< . 1 ack 268435557 win 0 sack 268435757:268435857,268435657:268435757",
       ". 1 ack 101 sack 201:301,301:401 win 0"},
      {"< . 1 ack 268435557 sack 268435457:268435467,268435657:268435757", ". 1 ack 101 dsack 1:11 sack 201:301"},
      {"< . 1 ack 268435557 sack 268435667:268435677,268435657:268435757", ". 1 ack 101 dsack 211:221 sack 201:301"},
      {"< R 5", "R 5"},
      {"< . 1 ack 268435557 sack 268435657:268435758,268435957:268435958", ". 1 ack 101 sack 201:301"},  // FINs below
      {"< R. -536870912 ack 268435461", "R. zero ack 5"},
      {"< . 1 ack 268435457 badsum", "(WRONG CHECKSUM)"},
  };
  for (const auto& c : kCases) {
    const EventList list = Parse(std::string("list a\n") + c.packet);
    ASSERT_EQ(list.events.size(), 1u);
    EXPECT_EQ(codec.Reduce(host.Encode(*list.events[0].packet)).value_or("nothing"), c.line);
  }
  const EventList list = Parse("list a\n< . 1");
  SegmentCodec other({kHost.address, 1}, kPeer, 0, false);
  EXPECT_FALSE(other.Reduce(host.Encode(*list.events[0].packet)).has_value());
  EXPECT_FALSE(codec.Reduce("").has_value());
  EXPECT_FALSE(codec.Reduce(std::string("\x60\0\0\0", 4)).has_value());  // IPv6
  EXPECT_EQ(codec.Reduce("E"), "(BROKEN IPv4 HEADER)");
}

TEST(Generator, SameSeedSameList) {
  std::set<std::string> texts;
  std::string all;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const EventList list = Generate(seed);
    all += list.ToString();
    EXPECT_EQ(Generate(seed).ToString(), list.ToString());
    EXPECT_EQ(Parse(list.ToString()).ToString(), list.ToString());
    texts.insert(list.ToString());
  }
  EXPECT_EQ(texts.size(), 200u);
  // With every compiler.
  EXPECT_EQ(Fingerprint(all), 2545610334u);
}

TEST(Runner, LunaIsDeterministicAndLeaksNothing) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    const EventList list = Generate(seed);
    EXPECT_EQ(Outcomes(RunOnLuna(list)), Outcomes(RunOnLuna(list))) << list.ToString();
  }
}

TEST(Runner, WritesDownWhatIsSeen) {
  const Trace trace = RunOnLuna(Parse("list a\npassive\nwrite 10\n< P. 1+5 ack 11\nread 100\nread 1\npoll\nclose\n"));
  EXPECT_EQ(Outcomes(trace),
            "= 0 | state -\n"
            "> S. 0 ack 1 mss 1460 sackOK wscale | state SYN-RECEIVED\n"
            "state ESTABLISHED\n"
            "= 0 | state ESTABLISHED\n"
            "= 10 | > P. 1+10 ack 1 | state ESTABLISHED\n"
            "> . 11 ack 6 | state ESTABLISHED\n"
            "= 5 #041153a8 | state ESTABLISHED\n"
            "= EAGAIN | state ESTABLISHED\n"
            "= OUT | state ESTABLISHED\n"
            "= 0 | > F. 11 ack 6 | state FIN-WAIT-1\n");
  EXPECT_EQ(trace[4].before, "ESTABLISHED");
}

constexpr char kDifferences[] =
    "# comment\n"
    "difference passing\n"
    "  list one\n"
    "  event < .*\n"
    "  state A\n"
    "  luna x \\d\n"
    "  kernel y\n"
    "  then goes on\n"
    "  verdict both\n"
    "  verdict allowed\n"
    "difference last\n"
    "  list two\n"
    "  luna p\n"
    "  kernel q\n"
    "  then ends\n"
    "  verdict luna\n";

std::vector<Difference> Differences() {
  auto differences = ParseDifferences(kDifferences);
  EXPECT_TRUE(differences.ok()) << differences.status();
  return *std::move(differences);
}

TEST(DifferencesText, IsRead) {
  const std::vector<Difference> differences = Differences();
  ASSERT_EQ(differences.size(), 2u);
  EXPECT_EQ(differences[0].verdict, "both allowed");
  EXPECT_TRUE(differences[0].goes_on);
  EXPECT_FALSE(differences[1].goes_on);
  for (const char* text : {"list a", "difference a\nverdict v", "difference a\nlist l", "difference a\nthen x",
                           "difference a\nwhat is", "difference"}) {
    EXPECT_FALSE(ParseDifferences(text).ok()) << text;
  }
}

TEST(Compare, KnownAndUnknown) {
  const std::vector<Difference> differences = Differences();
  const Trace same = {{"< e", "A", {"s"}}, {"< f", "A", {"s"}}};
  EXPECT_EQ(Compare(same, same, differences).unknown, "");
  const struct {
    Trace luna;
    Trace kernel;
    std::vector<std::string> known;
    bool fails;
  } kCases[] = {
      {{{"< e", "A", {"x 1"}}, {"f", "", {"s"}}}, {{"< e", "A", {"y"}}, {"f", "", {"s"}}}, {"passing"}, false},
      {{{"< e", "A", {"x 1"}}, {"f", "", {"s"}}}, {{"< e", "A", {"y"}}, {"f", "", {"t"}}}, {"passing"}, true},
      {{{"< e", "B", {"x 1"}}}, {{"< e", "B", {"y"}}}, {}, true},    // another state
      {{{"call", "A", {"x 1"}}}, {{"call", "A", {"y"}}}, {}, true},  // another event
      {{{"< e", "A", {"x 12"}}}, {{"< e", "A", {"y"}}}, {}, true},   // the whole text
      {{{"< e", "A", {"y"}}}, {{"< e", "A", {"x 1"}}}, {}, true},    // the other way round
      {{{"g", "", {"p"}}, {"h", "", {"s"}}}, {{"g", "", {"q"}}, {"h", "", {"t"}}}, {"last"}, false},
  };
  for (const auto& c : kCases) {
    const Comparison comparison = Compare(c.luna, c.kernel, differences);
    EXPECT_EQ(comparison.known, c.known);
    EXPECT_EQ(!comparison.unknown.empty(), c.fails) << comparison.unknown;
  }
}

TEST(Compare, ApartFromAPart) {
  const auto differences = ParseDifferences("difference a\nlist l\napart-from [ ]ecr \\d+\nverdict v\n");
  ASSERT_TRUE(differences.ok()) << differences.status();
  EXPECT_EQ(Compare({{"e", "", {"x ecr 1"}}}, {{"e", "", {"x ecr 2"}}}, *differences).unknown, "");
  EXPECT_EQ(Compare({{"e", "", {"x"}}}, {{"e", "", {"x ecr 2"}}}, *differences).unknown, "");
  EXPECT_NE(Compare({{"e", "", {"x ecr 1"}}}, {{"e", "", {"y ecr 1"}}}, *differences).unknown, "");
}

TEST(FindStale, NamesWhatWasNotSeenWhereItBelongs) {
  const std::vector<Difference> differences = Differences();
  EXPECT_EQ(FindStale(differences, {{.name = "one", .known = {"passing"}}, {.name = "two", .known = {"last"}}}),
            std::vector<std::string>());
  EXPECT_EQ(FindStale(differences, {{.name = "one", .known = {"passing"}}, {.name = "one", .known = {"last"}}}),
            std::vector<std::string>{"last"});
}

TEST(CommittedFiles, AreReadAndFitTogether) {
  const auto lists = ParseEventLists(ReadFile("lists.txt"));
  const auto differences = ParseDifferences(ReadFile("differences.txt"));
  ASSERT_TRUE(lists.ok()) << lists.status();
  ASSERT_TRUE(differences.ok()) << differences.status();
  std::set<std::string> names;
  for (const EventList& list : *lists) {
    EXPECT_TRUE(names.insert(list.name).second) << list.name << " is there twice";
    EXPECT_EQ(RunOnLuna(list).size(), list.events.size());
  }
  for (const Difference& difference : *differences) {
    EXPECT_TRUE(names.contains(difference.list)) << difference.name << ": no list " << difference.list;
  }
}

}  // namespace
}  // namespace luna::tcp::differential
