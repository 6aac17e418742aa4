// Two processes and one memif between them: the client here, an echo server in a child that opens and closes its port
// on command.
//
// (In one process the driver shares a socket's state between its ports, so a client that comes first spoils it for the
// server; across processes it does not.)

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/dpdk/eal.h"
#include "luna/net/pmd/dpdk/port.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd::dpdk {
namespace {

struct Memory {
  Memory() {
    arena = *zbuf::Arena::Create(source, {.size_bytes = 8 << 20});
    slab = std::make_unique<zbuf::Slab>(*arena);
  }
  zbuf::AnonymousPageSource source;
  std::unique_ptr<zbuf::Arena> arena;
  std::unique_ptr<zbuf::Slab> slab;
};

// Sends back what arrives, as it is.
void Echo(PacketIo& io) {
  std::array<Packet, 32> packets;
  const size_t got = io.ReceiveBurst(absl::MakeSpan(packets), Time());
  size_t sent = 0;
  // A peer that has gone takes nothing more.
  for (int tries = 0; sent < got && tries < 1000000; ++tries) {
    sent += io.TransmitBurst(absl::MakeSpan(packets.data() + sent, got - sent));
  }
  io.Reclaim();
}

// Commands: 'o' open, 'c' close, 'q' quit; each is answered by itself, or by '!' when it failed.
int ServerProcess(const std::string& socket, int commands, int answers) {
  auto eal = Eal::Init({.huge = Huge::kOff, .memory_mb = 32});
  if (!eal.ok()) return 1;
  Memory memory;
  std::unique_ptr<Port> port;
  for (;;) {
    char command = 0;
    fcntl(commands, F_SETFL, port == nullptr ? 0 : O_NONBLOCK);
    const ssize_t n = read(commands, &command, 1);
    if (n == 0) return 2;  // the parent died
    if (n == 1) {
      bool good = true;
      if (command == 'o') {
        auto opened = Port::Open(
            **eal, {.devargs = absl::StrCat("net_memif0,role=server,socket=", socket), .slabs = {memory.slab.get()}});
        good = opened.ok();
        if (good) port = *std::move(opened);
      }
      if (command == 'c' || command == 'q') port.reset();
      if (write(answers, good ? &command : "!", 1) != 1) return 3;
      if (command == 'q') return memory.slab->outstanding() == 0 ? 0 : 4;
    }
    if (port != nullptr) Echo(port->queue(0));
  }
}

// LUNA_TEST_VICTIMS asks for more.
int Victims() {
  const char* text = getenv("LUNA_TEST_VICTIMS");
  return text == nullptr ? 1 : atoi(text);
}

class Server {
 public:
  explicit Server(const std::string& socket) {
    int down[2];
    int up[2];
    if (pipe(down) != 0 || pipe(up) != 0) abort();
    child_ = fork();
    if (child_ == 0) {
      close(down[1]);
      close(up[0]);
      _exit(ServerProcess(socket, down[0], up[1]));
    }
    close(down[0]);
    close(up[1]);
    commands_ = down[1];
    answers_ = up[0];
  }
  bool Do(char command) {
    char answer = 0;
    return write(commands_, &command, 1) == 1 && read(answers_, &answer, 1) == 1 && answer == command;
  }
  void Kill() { kill(child_, SIGKILL); }
  int Join() {
    int status = -1;
    close(commands_);
    waitpid(child_, &status, 0);
    return status;
  }

 private:
  pid_t child_;
  int commands_;
  int answers_;
};

bool AwaitLink(PacketIo& io, bool up) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (io.link_up() != up) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    io.Reclaim();
    std::this_thread::yield();
  }
  return true;
}

// `frames` frames with numbers, up to 32 under way; false when one is lost, late or changed.
bool Exchange(PacketIo& io, zbuf::Slab& slab, uint32_t frames) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  uint32_t sent = 0;
  for (uint32_t received = 0; received < frames;) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    while (sent < frames && sent - received < 32) {
      std::byte* obj = slab.Alloc(1000);
      memset(obj, static_cast<int>(sent), 1000);
      memcpy(obj, &sent, sizeof(sent));
      Packet packet;
      packet.data.Append(zbuf::ZRef::Adopt(obj), 100 + sent % 900);
      if (io.TransmitBurst(absl::MakeSpan(&packet, 1)) == 0) break;
      ++sent;
    }
    std::array<Packet, 32> packets;
    const size_t got = io.ReceiveBurst(absl::MakeSpan(packets), Time());
    for (size_t i = 0; i < got; ++i, ++received) {
      std::string expected(100 + received % 900, static_cast<char>(received));
      memcpy(expected.data(), &received, sizeof(received));
      if (packets[i].data.ToString() != expected) return false;
    }
    io.Reclaim();
  }
  return true;
}

TEST(MemifProcessTest, EitherEndMayComeFirstAndComeBack) {
  const std::string socket = absl::StrCat("luna-test-", std::random_device()());
  // Before EAL makes threads.
  Server first(socket);
  std::vector<std::unique_ptr<Server>> victims;
  for (int i = 0; i < Victims(); ++i) victims.push_back(std::make_unique<Server>(socket));
  auto eal = Eal::Init({.huge = Huge::kOff, .memory_mb = 32});
  ASSERT_TRUE(eal.ok()) << eal.status();
  Memory memory;
  auto port = Port::Open(
      **eal, {.devargs = absl::StrCat("net_memif0,role=client,socket=", socket), .slabs = {memory.slab.get()}});
  ASSERT_TRUE(port.ok()) << port.status();
  PacketIo& io = (*port)->queue(0);

  // Nobody is there: frames are refused, not lost.
  Packet packet;
  packet.data.Append(zbuf::ZRef::Adopt(memory.slab->Alloc(64)), 64);
  EXPECT_EQ(io.TransmitBurst(absl::MakeSpan(&packet, 1)), 0u);
  EXPECT_EQ(io.stats().tx_full, 1u);
  EXPECT_EQ(packet.data.bytes(), 64u);
  packet.data.Clear();
  EXPECT_FALSE(io.link_up());

  // The client came first; then the server closes and opens again, and takes its leave.
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(first.Do('o')) << round;
    ASSERT_TRUE(AwaitLink(io, true)) << round;
    EXPECT_TRUE(Exchange(io, *memory.slab, 1000)) << round;
    ASSERT_TRUE(first.Do('c')) << round;
    ASSERT_TRUE(AwaitLink(io, false)) << round;
  }
  EXPECT_TRUE(first.Do('q'));
  EXPECT_EQ(first.Join(), 0);

  // The others are killed outright, while this process keeps polling: the driver unmaps what the bursts read.
  for (auto& victim : victims) {
    ASSERT_TRUE(victim->Do('o'));
    ASSERT_TRUE(AwaitLink(io, true));
    EXPECT_TRUE(Exchange(io, *memory.slab, 1000));
    victim->Kill();
    while (io.link_up()) {
      std::array<Packet, 32> packets;
      io.ReceiveBurst(absl::MakeSpan(packets), Time());
      Packet probe;
      probe.data.Append(zbuf::ZRef::Adopt(memory.slab->Alloc(64)), 64);
      io.TransmitBurst(absl::MakeSpan(&probe, 1));
    }
    EXPECT_TRUE(WIFSIGNALED(victim->Join()));
  }

  port->reset();
  EXPECT_EQ(memory.slab->outstanding(), 0u);
}

}  // namespace
}  // namespace luna::pmd::dpdk
