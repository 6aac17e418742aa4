// luna-echo as a user meets it: two processes, unprivileged, joined by memif or by the kernel's loopback; and every way
// to start it wrongly.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "luna/apps/echo/process.h"

namespace luna::apps {
namespace {

constexpr char kEcho[] = "apps/echo/luna-echo";

std::vector<std::string> Echo(const std::vector<std::string>& words) {
  std::vector<std::string> command = {kEcho};
  command.insert(command.end(), words.begin(), words.end());
  return command;
}

// A memif socket of this test's own: abstract, so nothing is left behind.
std::string Memif(const std::string& role, const std::string& test) {
  return absl::StrCat("--device=net_memif0,role=", role, ",socket=luna-test-", getpid(), "-", test);
}

TEST(LunaEcho, EchoesOverMemifAndEverythingComesHome) {
  Process server(Echo(
      {"server", Memif("server", "echo"), "--address=10.0.0.2/24", "--huge=off", "--memory_mb=32", "--drain=20s"}));
  ASSERT_TRUE(server.WaitForOutput("listening on 10.0.0.2:61441")) << server.Errors();
  // Twice: a client may come after another has gone.
  for (int i = 0; i < 2; ++i) {
    Process client(Echo({"client", Memif("client", "echo"), "--address=10.0.0.1/24", "--connect=10.0.0.2:61441",
                         "--size=5000", "--inflight=8", "--connections=3", "--bytes=2000000", "--verify", "--json",
                         "--huge=off", "--memory_mb=32", "--drain=20s"}));
    EXPECT_EQ(client.Wait(), 0) << client.Errors();
    const std::string report = client.Output();
    EXPECT_TRUE(absl::StrContains(report, "\"errors\": 0, \"bytes_verified\": 6000000")) << report;
    for (const char* key : {"rps", "gbps", "p50_us", "p99_us", "p999_us"}) {
      EXPECT_TRUE(absl::StrContains(report, absl::StrCat("\"", key, "\": "))) << report;
    }
  }
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0) << server.Errors();
  EXPECT_FALSE(absl::StrContains(server.Errors(), "leak")) << server.Errors();
}

TEST(LunaEcho, EachModelEchoesWhetherItSpinsOrSleeps) {
  int number = 0;
  // The third: a core for I/O alone, and two threads that answer. The client of the last three has two workers.
  for (const std::string model : {"--model=inline", "--model=batch", "--threads=2", "--workers=3", "--api=socket"}) {
    for (const std::string idle : {"--idle=spin", "--idle=20us"}) {
      SCOPED_TRACE(absl::StrCat(model, " ", idle));
      const std::string socket = absl::StrCat("model", ++number);
      Process server(Echo({"server", Memif("server", socket), "--address=10.0.0.2/24", "--huge=off", "--memory_mb=32",
                           "--drain=20s", "--stall=20s", model, idle}));
      ASSERT_TRUE(server.WaitForOutput("listening on 10.0.0.2:61441")) << server.Errors();
      Process client(
          Echo({"client", Memif("client", socket), "--address=10.0.0.1/24", "--connect=10.0.0.2:61441", "--size=5000",
                "--inflight=4", "--connections=10", "--bytes=200000", "--verify", "--json", "--huge=off",
                "--memory_mb=32", "--drain=20s", idle, absl::StartsWith(model, "--model") ? model : "--workers=2"}));
      EXPECT_EQ(client.Wait(), 0) << client.Errors();
      EXPECT_TRUE(absl::StrContains(client.Output(), "\"errors\": 0, \"bytes_verified\": 2000000")) << client.Output();
      server.Signal(SIGTERM);
      EXPECT_EQ(server.Wait(), 0) << server.Errors();
      if (model != "--workers=3") continue;
      // How many each of the server's workers had: all of the ten, and each counted once.
      const std::vector<std::string> shares =
          absl::StrSplit(server.Errors().substr(0, server.Errors().find(" connections")), " + ");
      ASSERT_EQ(shares.size(), 3u) << server.Errors();
      int sum = 0;
      for (const std::string& share : shares) sum += std::stoi(share);
      EXPECT_EQ(sum, 10) << server.Errors();
    }
  }
}

// More than any ring between two threads holds.
TEST(LunaEcho, ThousandsOfConnectionsInEachShape) {
  int number = 0;
  for (const std::string shape : {"--threads=2", "--workers=2", "--api=socket"}) {
    SCOPED_TRACE(shape);
    const std::string socket = absl::StrCat("many", ++number);
    Process server(Echo({"server", Memif("server", socket), "--address=10.0.0.2/24", "--huge=off", "--memory_mb=128",
                         "--drain=20s", "--idle=1ms", shape}));
    ASSERT_TRUE(server.WaitForOutput("listening on 10.0.0.2:61441")) << server.Errors();
    Process client(Echo({"client", Memif("client", socket), "--address=10.0.0.1/24", "--connect=10.0.0.2:61441",
                         "--size=64", "--inflight=2", "--connections=3000", "--bytes=1920", "--verify", "--json",
                         "--huge=off", "--memory_mb=128", "--drain=20s"}));
    EXPECT_EQ(client.Wait(), 0) << client.Errors();
    EXPECT_TRUE(absl::StrContains(client.Output(), "\"errors\": 0, \"bytes_verified\": 5760000")) << client.Output();
    server.Signal(SIGTERM);
    EXPECT_EQ(server.Wait(), 0) << server.Errors();
  }
}

// Neither for large messages nor for jumbo frames; and the server's last word is of all of its life.
TEST(LunaEcho, NothingIsCopiedOverMemif) {
  for (const std::string mtu : {"--mtu=1500", "--mtu=9000"}) {
    const std::string socket = "copy" + mtu.substr(6);
    Process server(Echo({"server", Memif("server", socket), mtu, "--address=10.0.0.2/24", "--huge=off",
                         "--memory_mb=64", "--stats=20ms"}));
    ASSERT_TRUE(server.WaitForOutput("listening on 10.0.0.2:61441")) << server.Errors();
    Process client(Echo({"client", Memif("client", socket), mtu, "--address=10.0.0.1/24", "--connect=10.0.0.2:61441",
                         "--size=65536", "--inflight=4", "--bytes=20000000", "--verify", "--json", "--huge=off",
                         "--memory_mb=64"}));
    EXPECT_EQ(client.Wait(), 0) << client.Errors();
    EXPECT_TRUE(absl::StrContains(client.Output(), "\"errors\": 0, \"bytes_verified\": 20")) << client.Output();
    server.Signal(SIGTERM);
    EXPECT_EQ(server.Wait(), 0) << server.Errors();
    const std::vector<std::string> lines = absl::StrSplit(server.Output(), '\n', absl::SkipEmpty());
    const std::string& last = lines.back();
    EXPECT_FALSE(absl::StrContains(last, "\"tcp.bytes_in\":0,")) << last;
    for (const char* none : {"io.tx_linearised", "io.bytes_copied_rx", "io.bytes_copied_tx"}) {
      EXPECT_TRUE(absl::StrContains(last, absl::StrCat("\"", none, "\":0"))) << none << " in " << last;
    }
  }
}

// What one end leaves undone, or where it does not listen, the other talks in vain.
TEST(LunaEcho, BothEndsHaveToTrustALinkOrBeInAVlan) {
  for (const std::string flag : {"--trusted_link", "--vlan=5"}) {
    SCOPED_TRACE(flag);
    const std::string socket = "both" + flag.substr(2, 4);
    Process server(Echo({"server", Memif("server", socket), flag, "--address=10.0.0.2/24", "--huge=off",
                         "--memory_mb=32", "--drain=20s"}));
    ASSERT_TRUE(server.WaitForOutput("listening on 10.0.0.2:61441")) << server.Errors();
    const std::vector<std::string> words = {"client",
                                            Memif("client", socket),
                                            "--address=10.0.0.1/24",
                                            "--connect=10.0.0.2:61441",
                                            "--size=5000",
                                            "--inflight=8",
                                            "--bytes=2000000",
                                            "--verify",
                                            "--json",
                                            "--huge=off",
                                            "--memory_mb=32",
                                            "--drain=20s"};
    std::vector<std::string> like_the_server = words;
    like_the_server.push_back(flag);
    Process with(Echo(like_the_server));
    EXPECT_EQ(with.Wait(), 0) << with.Errors();
    EXPECT_TRUE(absl::StrContains(with.Output(), "\"errors\": 0, \"bytes_verified\": 2000000")) << with.Output();
    Process without(Echo(words));
    EXPECT_EQ(without.Wait(), 1) << without.Output();
    EXPECT_TRUE(absl::StrContains(without.Errors(), "error: could not connect")) << without.Errors();
    server.Signal(SIGTERM);
    EXPECT_EQ(server.Wait(), 0) << server.Errors();
  }
}

TEST(LunaEcho, StopsInOrderWithAConnectionOpenAndStartsAgain) {
  for (const std::string api : {"--api=handler", "--api=socket"}) {
    SCOPED_TRACE(api);
    Process server(Echo({"server", Memif("server", "stop"), "--address=10.0.0.2/24", "--huge=off", "--memory_mb=32",
                         "--drain=20s", api}));
    ASSERT_TRUE(server.WaitForOutput("listening")) << server.Errors();
    Process client(Echo({"client", Memif("client", "stop"), "--address=10.0.0.1/24", "--connect=10.0.0.2:61441",
                         "--duration=30s", "--huge=off", "--memory_mb=32", "--drain=20s"}));
    ASSERT_TRUE(client.WaitForOutput("10.0.0.2:61441 answers")) << client.Errors();
    // The server ends under load: its FIN ends the client, which says that answers are missing.
    server.Signal(SIGINT);
    EXPECT_EQ(server.Wait(), 0) << server.Errors();
    EXPECT_EQ(client.Wait(), 1) << client.Errors();
    EXPECT_TRUE(absl::StrContains(client.Errors(), "error: connection ended (closed)")) << client.Errors();
  }
}

TEST(LunaEcho, AClientThatIsStoppedFinishesAndReports) {
  Process server(Echo(
      {"server", Memif("server", "ctrl-c"), "--address=10.0.0.2/24", "--huge=off", "--memory_mb=32", "--drain=20s"}));
  ASSERT_TRUE(server.WaitForOutput("listening")) << server.Errors();
  Process client(Echo({"client", Memif("client", "ctrl-c"), "--address=10.0.0.1/24", "--connect=10.0.0.2:61441",
                       "--inflight=8", "--duration=30s", "--huge=off", "--memory_mb=32", "--drain=20s"}));
  ASSERT_TRUE(client.WaitForOutput("10.0.0.2:61441 answers")) << client.Errors();
  client.Signal(SIGINT);
  EXPECT_EQ(client.Wait(), 0) << client.Errors();
  EXPECT_TRUE(absl::StrContains(client.Output(), " 0 errors")) << client.Output();
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0) << server.Errors();
}

TEST(LunaEcho, ASignalRightAfterTheStartIsAnOrderlyEnd) {
  for (int i = 0; i < 3; ++i) {
    Process kernel(Echo({"server", "--device=kernel", "--address=127.0.0.1", "--port=0"}));
    ASSERT_TRUE(kernel.WaitForOutput("listening")) << kernel.Errors();
    kernel.Signal(SIGTERM);
    EXPECT_EQ(kernel.Wait(), 0);
    Process luna(
        Echo({"server", "--device=net_null0", "--address=10.0.0.2/24", "--huge=off", "--memory_mb=32", "--drain=20s"}));
    ASSERT_TRUE(luna.WaitForOutput("listening")) << luna.Errors();
    luna.Signal(SIGTERM);
    EXPECT_EQ(luna.Wait(), 0) << luna.Errors();
  }
}

TEST(LunaEcho, EchoesOverTheKernel) {
  for (const char* mode : {"--kernel_mode=block", "--kernel_mode=spin"}) {
    Process server(Echo({"server", "--device=kernel", "--address=127.0.0.1", "--port=0", mode}));
    ASSERT_TRUE(server.WaitForOutput("listening on 127.0.0.1:")) << server.Errors();
    const std::string where = std::vector<std::string>(absl::StrSplit(server.Output(), ' '))[2];
    Process client(Echo({"client", "--device=kernel", mode, "--connect=" + where.substr(0, where.find('\n')),
                         "--size=100000", "--inflight=4", "--bytes=20000000", "--verify", "--json"}));
    EXPECT_EQ(client.Wait(), 0) << client.Errors();
    EXPECT_TRUE(absl::StrContains(client.Output(), "\"bytes_verified\": 20000000")) << client.Output();
    server.Signal(SIGTERM);
    EXPECT_EQ(server.Wait(), 0);
  }
}

TEST(LunaEcho, PortTakenOnTheKernel) {
  Process first(Echo({"server", "--device=kernel", "--address=127.0.0.1", "--port=0"}));
  ASSERT_TRUE(first.WaitForOutput("listening on 127.0.0.1:")) << first.Errors();
  const std::string output = first.Output();
  const std::string port = output.substr(output.rfind(':') + 1, output.size() - output.rfind(':') - 2);
  Process second(Echo({"server", "--device=kernel", "--address=127.0.0.1", "--port=" + port}));
  EXPECT_NE(second.Wait(), 0);
  EXPECT_TRUE(absl::StrContains(second.Errors(), "--port")) << second.Errors();
}

TEST(LunaEcho, NobodyListens) {
  Process client(Echo({"client", "--device=kernel", "--connect=127.0.0.1:1", "--json"}));
  EXPECT_EQ(client.Wait(), 1);
  EXPECT_TRUE(absl::StrContains(client.Output(), "\"errors\": 1")) << client.Output();
  EXPECT_TRUE(absl::StrContains(client.Errors(), "error: could not connect")) << client.Errors();
}

struct BadStart {
  const char* name;
  std::vector<std::string> words;
  std::vector<const char*> said;  // each appears in the one line on stderr
};

class LunaEchoBadStart : public testing::TestWithParam<BadStart> {};

TEST_P(LunaEchoBadStart, SaysWhatIsWrongInOneLine) {
  Process process(Echo(GetParam().words));
  const int code = process.Wait();
  EXPECT_GT(code, 0);
  const std::string errors = process.Errors();
  EXPECT_EQ(std::count(errors.begin(), errors.end(), '\n'), 1) << errors;
  EXPECT_EQ(errors.rfind("error: ", 0), 0u) << errors;
  for (const char* text : GetParam().said) EXPECT_TRUE(absl::StrContains(errors, text)) << text << " in: " << errors;
  EXPECT_EQ(process.Output(), "");
}

const char kOurs[] = "--address=10.0.0.2/24";

INSTANTIATE_TEST_SUITE_P(
    All, LunaEchoBadStart,
    testing::ValuesIn(std::vector<BadStart>{
        {"NoCommand", {}, {"luna-echo server", "--help"}},
        {"UnknownCommand", {"serve"}, {"luna-echo server", "--help"}},
        {"UnknownFlag", {"server", "--devise=tap:x"}, {"--devise", "--help"}},
        {"FlagWithoutValue", {"server", "--device"}, {"--device", "value"}},
        {"NotANumber", {"server", "--device=tap:x", kOurs, "--port=http"}, {"--port=http"}},
        {"NoDevice", {"server", kOurs}, {"--device is missing", "net_memif0"}},
        {"UnknownDevice", {"server", "--device=net_telepathy0", kOurs}, {"--device=net_telepathy0"}},
        {"MalformedDevargs", {"server", "--device=net_memif0,role", kOurs}, {"--device=net_memif0,role"}},
        {"BadDevargsValue", {"server", "--device=net_memif0,role=king", kOurs}, {"--device=net_memif0", "role"}},
        {"NoSuchInterface", {"server", "--device=xdp:luna-none0", kOurs}, {"--device=xdp:luna-none0"}},
        {"BadXdpKey", {"server", "--device=xdp:lo,speed=9", kOurs}, {"--device=xdp:lo,speed=9", "speed=9"}},
        {"NoAddress", {"server", "--device=net_null0"}, {"--address is missing", "10.0.0.2/24"}},
        {"AddressWithoutPrefix", {"server", "--device=net_null0", "--address=10.0.0.2"}, {"--address=10.0.0.2", "/24"}},
        {"AddressMulticast", {"server", "--device=net_null0", "--address=224.0.0.1/24"}, {"--address=224.0.0.1/24"}},
        {"GatewayElsewhere",
         {"server", "--device=net_null0", kOurs, "--gateway=10.9.9.9"},
         {"--gateway=10.9.9.9", "10.0.0.2/24"}},
        {"BadNeighbour",
         {"server", "--device=net_null0", kOurs, "--neighbour=10.0.0.1"},
         {"--neighbour=10.0.0.1", "MAC"}},
        {"PortZero", {"server", "--device=net_null0", kOurs, "--port=0"}, {"--port=0", "65535"}},
        {"PortTooBig", {"server", "--device=net_null0", kOurs, "--port=70000"}, {"--port=70000", "65535"}},
        {"TooLittleMemory", {"server", "--device=net_null0", kOurs, "--memory_mb=1"}, {"--memory_mb=1", "8"}},
        {"BadHuge", {"server", "--device=net_null0", kOurs, "--huge=maybe"}, {"--huge=maybe", "auto"}},
        {"BadMtu", {"server", "--device=net_null0", kOurs, "--mtu=100"}, {"--mtu=100", "576"}},
        {"BadProfile", {"server", "--device=net_null0", kOurs, "--tcp_profile=fast"}, {"--tcp_profile=fast", "dc"}},
        {"BadPcap",
         {"server", "--device=net_null0", kOurs, "--pcap=/no/such/folder/x.pcap", "--huge=off"},
         {"--pcap=/no/such/folder/x.pcap"}},
        {"BadCpu", {"server", "--device=net_null0", kOurs, "--cpu=1000"}, {"--cpu=1000"}},
        {"BadApi", {"server", "--device=net_null0", kOurs, "--api=rest"}, {"--api=rest", "socket"}},
        {"NoWorkers", {"server", "--device=net_null0", kOurs, "--workers=0"}, {"--workers=0", "64"}},
        {"OneCpuForTwo", {"server", "--device=net_null0", kOurs, "--workers=2", "--cpu=0"}, {"--cpu=0", "--workers=2"}},
        {"NotACpu", {"server", "--device=net_null0", kOurs, "--cpu=fast"}, {"--cpu=fast", "2,3"}},
        {"ThreadsBehindTwoWorkers",
         {"server", "--device=net_null0", kOurs, "--workers=2", "--threads=2", "--huge=off"},
         {"--threads", "--workers=1"}},
        {"FewerConnectionsThanWorkers",
         {"client", "--device=net_null0", kOurs, "--connect=10.0.0.1:1", "--workers=2", "--huge=off"},
         {"--connections=1", "--workers=2"}},
        {"BadDrain", {"server", "--device=net_null0", kOurs, "--drain=soon"}, {"--drain=soon", "5s"}},
        {"NoConnect", {"client", "--device=net_null0", kOurs}, {"--connect=", "10.0.0.2:61441"}},
        {"BadSize",
         {"client", "--device=net_null0", kOurs, "--connect=10.0.0.1:1", "--size=0"},
         {"--size=0", "16777216"}},
        {"BadDuration",
         {"client", "--device=net_null0", kOurs, "--connect=10.0.0.1:1", "--duration=-1"},
         {"--duration=-1", "5s"}},
        {"KernelBadMode", {"server", "--device=kernel", "--kernel_mode=nap"}, {"--kernel_mode=nap", "spin"}},
        {"KernelBadAddress", {"server", "--device=kernel", "--address=203.0.113.9"}, {"203.0.113.9", "--address"}},
    }),
    [](const testing::TestParamInfo<BadStart>& info) { return info.param.name; });

TEST(LunaEcho, HelpExplainsItself) {
  Process process(Echo({"--help"}));
  EXPECT_EQ(process.Wait(), 0);
  for (const char* text : {"luna-echo server", "luna-echo client", "--device", "--connect", "net_memif0,role=server",
                           "--memory_mb", "Ctrl-C"}) {
    EXPECT_TRUE(absl::StrContains(process.Output(), text)) << text;
  }
}

}  // namespace
}  // namespace luna::apps
