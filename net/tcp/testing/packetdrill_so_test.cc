// The shared object as packetdrill has it: by dlopen, through the C interface, with a blocking call on a second thread,
// and with its getsockopt() preloaded.

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "luna/net/tcp/testing/packetdrill_interface.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/tcp_header.h"

extern char** environ;

namespace luna::tcp::testing {
namespace {

using ::testing::HasSubstr;
using wire::TcpFlags;

constexpr const char* kLibrary = "net/tcp/testing/packetdrill_so.so";
constexpr wire::Ipv4Address kLocal{192, 168, 0, 1};
constexpr wire::Ipv4Address kPeer{192, 0, 2, 1};
constexpr uint16_t kPort = 8080;
constexpr uint32_t kIsn = 1000;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // refuses RTLD_DEEPBIND, and wants to be preloaded first
#else
constexpr bool kSanitized = false;
#endif

// A segment that left the stack.
struct Seen {
  wire::TcpHeader header;
  std::string payload;
  int64_t at_us = 0;
  bool nothing = false;
};

class Script {
 public:
  explicit Script(const char* flags) {
    handle_ = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL | (kSanitized ? 0 : RTLD_DEEPBIND));
    EXPECT_NE(handle_, nullptr) << dlerror();
    const auto init = reinterpret_cast<packetdrill_interface_init_t>(dlsym(handle_, "packetdrill_interface_init"));
    EXPECT_NE(init, nullptr);
    init(flags, &i_);
  }
  // What free() says on stderr.
  std::string Free() {
    ::testing::internal::CaptureStderr();
    i_.free(i_.userdata);
    return ::testing::internal::GetCapturedStderr();
  }

  packetdrill_interface& i() { return i_; }
  void* self() { return i_.userdata; }
  void* Symbol(const char* name) { return dlsym(handle_, name); }

  int64_t Now() {
    timeval time;
    i_.gettimeofday(self(), &time, nullptr);
    return int64_t{time.tv_sec} * 1000 * 1000 + time.tv_usec;
  }
  int Listener() {
    const int fd = i_.socket(self(), AF_INET, SOCK_STREAM, IPPROTO_TCP);
    EXPECT_GE(fd, 0);
    const int on = 1;
    EXPECT_EQ(i_.setsockopt(self(), fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    const sockaddr_in in = Address(kLocal, kPort);
    EXPECT_EQ(i_.bind(self(), fd, reinterpret_cast<const sockaddr*>(&in), sizeof(in)), 0);
    EXPECT_EQ(i_.listen(self(), fd, 5), 0);
    return fd;
  }
  static sockaddr_in Address(wire::Ipv4Address address, uint16_t port) {
    sockaddr_in in = {};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr.s_addr = htonl(address.value());
    return in;
  }

  void In(uint16_t peer_port, uint16_t flags, uint32_t seq, uint32_t ack, const std::string& payload = "",
          uint16_t to_port = kPort) {
    wire::TcpHeader tcp;
    tcp.source_port = peer_port;
    tcp.destination_port = to_port;
    tcp.sequence = seq;
    tcp.acknowledgment = ack;
    tcp.flags = flags;
    tcp.window = 32792;
    std::string segment(wire::TcpHeader::kSize, '\0');
    wire::Write(tcp, reinterpret_cast<uint8_t*>(segment.data()));
    segment += payload;
    wire::StoreBe16(reinterpret_cast<uint8_t*>(segment.data()) + 16, wire::TcpChecksum(kPeer, kLocal, Bytes(segment)));
    wire::Ipv4Header ip;
    ip.total_length = static_cast<uint16_t>(wire::Ipv4Header::kSize + segment.size());
    ip.source = kPeer;
    ip.destination = kLocal;
    std::string packet(wire::Ipv4Header::kSize, '\0');
    wire::Write(ip, reinterpret_cast<uint8_t*>(packet.data()));
    packet += segment;
    EXPECT_EQ(i_.netdev_send(self(), packet.data(), packet.size()), 0);
  }
  Seen Out() {
    std::array<char, 65536> buffer;
    size_t size = buffer.size();
    long long at = 0;  // NOLINT(google-runtime-int): the interface's
    EXPECT_EQ(i_.netdev_receive(self(), buffer.data(), &size, &at), 0);
    Seen seen;
    seen.at_us = at;
    seen.nothing = size == 0;
    if (seen.nothing) return seen;
    const std::string packet(buffer.data(), size);
    wire::Ipv4Header ip;
    EXPECT_EQ(wire::Parse(Bytes(packet), &ip), wire::ParseResult::kOk);
    const std::string segment = packet.substr(ip.header_length);
    EXPECT_TRUE(wire::TcpChecksumIsRight(ip.source, ip.destination, Bytes(segment)));
    EXPECT_EQ(wire::Parse(Bytes(segment), &seen.header), wire::ParseResult::kOk);
    seen.payload = segment.substr(seen.header.header_length);
    return seen;
  }
  // A three-way handshake with the listener. Returns the stack's ISN.
  uint32_t Handshake(uint16_t peer_port) {
    In(peer_port, TcpFlags::kSyn, kIsn, 0);
    const Seen answer = Out();
    EXPECT_EQ(answer.header.flags, TcpFlags::kSyn | TcpFlags::kAck);
    In(peer_port, TcpFlags::kAck, kIsn + 1, answer.header.sequence + 1);
    return answer.header.sequence;
  }

 private:
  static absl::Span<const uint8_t> Bytes(const std::string& text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  }

  void* handle_;
  packetdrill_interface i_ = {};
};

// The letter in /proc/self/task/TID/stat, which packetdrill looks at too.
char ThreadState(pid_t tid) {
  std::ifstream file(absl::StrCat("/proc/self/task/", tid, "/stat"));
  std::string line;
  std::getline(file, line);
  const size_t at = line.rfind(')');
  return at == std::string::npos ? '?' : line[at + 2];
}

void WaitUntilAsleep(const std::atomic<pid_t>& tid) {
  while (tid == 0 || ThreadState(tid) != 'S') std::this_thread::yield();
}

TEST(PacketdrillSo, ExportsNothingElse) {
  Script script(nullptr);
  EXPECT_NE(script.Symbol("getsockopt"), nullptr);
  EXPECT_EQ(script.Symbol("_ZN4luna3tcp7testing11VirtualHostC1ERKNS1_18VirtualHostOptionsE"), nullptr);
  script.Free();
}

TEST(PacketdrillSo, EveryFunctionIsThere) {
  Script script("profile=linux-test");
  std::array<void*, 33> slots;
  std::memcpy(slots.data(), &script.i(), sizeof(slots));
  for (size_t i = 0; i < slots.size(); ++i) EXPECT_NE(slots[i], nullptr) << i;
  script.Free();
}

TEST(PacketdrillSo, AskingForTheTimeMovesIt) {
  Script script(nullptr);
  const int64_t start = script.Now();
  EXPECT_EQ(script.Now(), start + 1);
  script.i().usleep(script.self(), 250);
  EXPECT_EQ(script.Now(), start + 252);
  script.Free();
}

TEST(PacketdrillSo, DescriptorsAreTheKernels) {
  Script script(nullptr);
  const int fd = script.i().socket(script.self(), AF_INET, SOCK_STREAM, 0);
  EXPECT_NE(::fcntl(fd, F_GETFD), -1);
  EXPECT_EQ(script.i().close(script.self(), fd), 0);
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
  EXPECT_EQ(script.i().close(script.self(), fd), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(script.i().socket(script.self(), AF_INET6, SOCK_STREAM, 0), -1);
  EXPECT_EQ(errno, EAFNOSUPPORT);
  script.Free();
}

TEST(PacketdrillSo, TwoConnectionsOfOneListener) {
  Script script("profile=linux-test");
  packetdrill_interface& i = script.i();
  const int listener = script.Listener();
  for (const uint16_t port : {40000, 40001}) {
    const uint32_t isn = script.Handshake(port);
    const int fd = i.accept(script.self(), listener, nullptr, nullptr);
    ASSERT_GE(fd, 0);
    script.In(port, TcpFlags::kAck | TcpFlags::kPsh, kIsn + 1, isn + 1, "question");
    std::array<char, 100> buffer;
    EXPECT_EQ(i.read(script.self(), fd, buffer.data(), buffer.size()), 8);
    EXPECT_EQ(i.write(script.self(), fd, "answer", 6), 6);
    // The answer may follow an acknowledgement of its own.
    Seen seen = script.Out();
    if (seen.payload.empty()) seen = script.Out();
    EXPECT_EQ(seen.payload, "answer");
    EXPECT_EQ(seen.header.acknowledgment, kIsn + 9);
    script.In(port, TcpFlags::kAck | TcpFlags::kFin, kIsn + 9, isn + 7);
    EXPECT_EQ(i.read(script.self(), fd, buffer.data(), buffer.size()), 0);
    EXPECT_EQ(i.close(script.self(), fd), 0);
    for (seen = script.Out(); !seen.nothing && !seen.header.Has(TcpFlags::kFin);) seen = script.Out();
    EXPECT_EQ(seen.header.sequence, isn + 7);
    script.In(port, TcpFlags::kAck, kIsn + 10, isn + 8);
  }
  EXPECT_EQ(i.close(script.self(), listener), 0);
  EXPECT_THAT(script.Free(), HasSubstr("0 connections left open, 0 objs leaked, 0 complaints"));
}

TEST(PacketdrillSo, ABlockedAcceptReturnsAtItsTimeAndFreezesTheClock) {
  Script script("profile=linux-test");
  const int listener = script.Listener();
  std::atomic<pid_t> tid = 0;
  int fd = -1;
  int64_t woke_at = 0;
  std::thread blocked([&] {
    tid = gettid();
    fd = script.i().accept(script.self(), listener, nullptr, nullptr);
    woke_at = script.Now();
  });
  WaitUntilAsleep(tid);
  script.In(40000, TcpFlags::kSyn, kIsn, 0);
  const Seen answer = script.Out();
  script.i().usleep(script.self(), 100 * 1000);
  const int64_t before = script.Now();
  // Returns when the other thread has read the clock, which stood still.
  script.In(40000, TcpFlags::kAck, kIsn + 1, answer.header.sequence + 1);
  script.i().usleep(script.self(), 100 * 1000);
  blocked.join();
  EXPECT_GE(fd, 0);
  EXPECT_EQ(woke_at, before);
  script.Free();
}

TEST(PacketdrillSo, ABlockedPollReturnsInTheMiddleOfASleep) {
  Script script("profile=linux-test");
  const int listener = script.Listener();
  std::atomic<pid_t> tid = 0;
  int64_t slept_until = 0;
  int result = -1;
  const int64_t start = script.Now();
  std::thread blocked([&] {
    pollfd what = {.fd = listener, .events = POLLIN, .revents = 0};
    tid = gettid();
    result = script.i().poll(script.self(), &what, 1, 50);
    slept_until = script.Now();
  });
  WaitUntilAsleep(tid);
  script.i().usleep(script.self(), 200 * 1000);
  const int64_t end = script.Now();
  blocked.join();
  EXPECT_EQ(result, 0);
  EXPECT_EQ(slept_until, start + 50 * 1000);
  EXPECT_EQ(end, start + 200 * 1000 + 1);
  script.Free();
}

TEST(PacketdrillSo, ReceiveStepsFromTimerToTimer) {
  Script script("profile=linux-test");
  script.Listener();
  script.In(40000, TcpFlags::kSyn, kIsn, 0);
  const Seen first = script.Out();
  const Seen again = script.Out();  // nobody answered
  EXPECT_EQ(again.header.sequence, first.header.sequence);
  EXPECT_EQ(again.at_us - first.at_us, 1000 * 1000);
  script.Free();
}

TEST(PacketdrillSo, NothingComesEndsInTwentySeconds) {
  Script script("profile=linux-test");
  script.Listener();
  const int64_t start = script.Now();
  EXPECT_TRUE(script.Out().nothing);
  EXPECT_EQ(script.Now(), start + 20 * 1000 * 1000 + 1);
  script.Free();
}

// As packetdrill leaves a script that did not close its sockets: they are closed in the kernel, and reset by the peer.
TEST(PacketdrillSo, SocketsMayBeLeftOpen) {
  Script script("profile=linux-test");
  const int listener = script.Listener();
  const uint32_t isn = script.Handshake(40000);
  const int fd = script.i().accept(script.self(), listener, nullptr, nullptr);
  EXPECT_EQ(::close(fd), 0);
  EXPECT_EQ(::close(listener), 0);
  script.In(40000, TcpFlags::kRst, kIsn + 1, isn + 1);
  EXPECT_THAT(script.Free(), HasSubstr("0 connections left open, 0 objs leaked, 0 complaints"));
}

TEST(PacketdrillSo, TellsOfPacketsThatNobodyTook) {
  Script script("profile=linux-test");
  script.Listener();
  script.In(40000, TcpFlags::kSyn, kIsn, 0);
  const std::string report = script.Free();
  EXPECT_THAT(report, HasSubstr("1 complaints"));
  EXPECT_THAT(report, HasSubstr("port 8080 > 40000 flags 0x12"));
}

TEST(PacketdrillSo, SysctlsComeFromAFile) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/sysctls");
  std::ofstream(path) << "net.ipv4.tcp_timestamps=0\nnet.ipv4.no_such_knob=1\n";
  Script script(absl::StrCat("profile=linux-test,sysctl_file=", path).c_str());
  const int fd = script.i().socket(script.self(), AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const sockaddr_in in = Script::Address(kPeer, kPort);
  EXPECT_EQ(script.i().connect(script.self(), fd, reinterpret_cast<const sockaddr*>(&in), sizeof(in)), -1);
  EXPECT_EQ(errno, EINPROGRESS);
  const Seen syn = script.Out();
  EXPECT_EQ(syn.header.flags & TcpFlags::kSyn, TcpFlags::kSyn);
  EXPECT_THAT(script.Free(), HasSubstr("no_such_knob"));
  ::unlink(path.c_str());
}

// What a packet script would have the shell do.
std::string SysctlsAfter(const std::string& commands) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/standins");
  ::unlink(path.c_str());
  const std::string line = absl::StrCat("export LUNA_PACKETDRILL_SYSCTL_FILE=", path,
                                        " PATH=net/tcp/testing/packetdrill/bin:$PATH; ", commands);
  EXPECT_EQ(std::system(line.c_str()), 0) << line;  // NOLINT(concurrency-mt-unsafe)
  std::ifstream file(path);
  std::string text(std::istreambuf_iterator<char>(file), {});
  ::unlink(path.c_str());
  return text;
}

TEST(PacketdrillStandIns, TurnCommandsIntoSettings) {
  const std::pair<const char*, const char*> kCases[] = {
      {"sysctl -q net.ipv4.tcp_ecn=1", "net.ipv4.tcp_ecn=1\n"},
      {"sysctl -w 'net.ipv4.tcp_rmem=4096 87380 1'", "net.ipv4.tcp_rmem=4096 87380 1\n"},
      {"sysctl a.b=1 a.b=2; test `sysctl -n a.b` = 2", "a.b=1\na.b=2\n"},
      {"tc qdisc delete dev tun0 root; tc qdisc add dev tun0 root pfifo limit 0",
       "luna.refuse_packets=0\nluna.refuse_packets=1\n"},
      {"ip link show; ss -t; nstat; ethtool -K tun0 gro off", ""},
      {"net/tcp/testing/packetdrill/common/defaults.sh", ""},
      {"net/tcp/testing/packetdrill/common/set_sysctls.py /proc/sys/net/ipv4/tcp_sack=0 && /tmp/sysctl_restore_$$.sh",
       "net.ipv4.tcp_sack=0\n"},
  };
  for (const auto& [commands, settings] : kCases) EXPECT_EQ(SysctlsAfter(commands), settings) << commands;
}

// Runs with the library preloaded: see below.
TEST(Preloaded, GetsockoptAnswersForOursAndForTheKernels) {
  if (std::getenv("LUNA_TEST_PRELOADED") == nullptr) GTEST_SKIP() << "run by PacketdrillSo.TcpInfoByPreload";
  Script script("profile=linux-test");
  const int listener = script.Listener();
  script.Handshake(40000);
  const int fd = script.i().accept(script.self(), listener, nullptr, nullptr);
  struct tcp_info info = {};
  socklen_t length = sizeof(info);
  ASSERT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
  EXPECT_EQ(info.tcpi_state, TCP_ESTABLISHED);
  EXPECT_EQ(info.tcpi_snd_cwnd, 10u);
  const int kernels = ::socket(AF_INET, SOCK_STREAM, 0);
  int type = 0;
  length = sizeof(type);
  EXPECT_EQ(::getsockopt(kernels, SOL_SOCKET, SO_TYPE, &type, &length), 0);
  EXPECT_EQ(type, SOCK_STREAM);
  EXPECT_EQ(::getsockopt(-1, SOL_SOCKET, SO_TYPE, &type, &length), -1);
  EXPECT_EQ(errno, EBADF);
  ::close(kernels);
  script.Free();
}

TEST(PacketdrillSo, TcpInfoByPreload) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer must be preloaded first";
  std::vector<std::string> environment = {absl::StrCat("LD_PRELOAD=", kLibrary), "LUNA_TEST_PRELOADED=1"};
  std::vector<char*> env;
  for (std::string& variable : environment) env.push_back(variable.data());
  env.push_back(nullptr);
  std::string program = "/proc/self/exe";
  std::string filter = "--gtest_filter=Preloaded.*";
  std::array<char*, 3> arguments = {program.data(), filter.data(), nullptr};
  pid_t child;
  ASSERT_EQ(posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments.data(), env.data()), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace luna::tcp::testing
