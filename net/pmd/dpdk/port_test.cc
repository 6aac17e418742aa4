// Ports in one process: ring pairs and memif pairs, without hugepages, privileges or a network.
//
// DPDK starts once per process, so the tests share an Eal. Names of sockets and devices are unique per run. With
// LUNA_TEST_HUGEPAGES set DPDK's memory is hugepages.

#include "luna/net/pmd/dpdk/port.h"

#include <stdlib.h>

#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/dpdk/eal.h"
#include "luna/net/pmd/dpdk/testing/frames.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd::dpdk {
namespace {

using ::testing::HasSubstr;

class EalEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    const Huge huge = getenv("LUNA_TEST_HUGEPAGES") == nullptr ? Huge::kOff : Huge::kOn;
    absl::StatusOr<std::unique_ptr<Eal>> eal = Eal::Init({.huge = huge, .memory_mb = 64});
    ASSERT_TRUE(eal.ok()) << eal.status();
    eal_ = *std::move(eal);
  }
  void TearDown() override { eal_.reset(); }
  Eal& eal() { return *eal_; }

 private:
  std::unique_ptr<Eal> eal_;
};
EalEnvironment* const environment = new EalEnvironment;
const auto* const kRegistered = testing::AddGlobalTestEnvironment(environment);

// LUNA_TEST_SEED replays a run.
uint64_t Seed() {
  static const uint64_t seed = [] {
    const char* text = getenv("LUNA_TEST_SEED");
    const uint64_t value = text != nullptr ? strtoull(text, nullptr, 10) : std::random_device()();
    printf("LUNA_TEST_SEED=%lu\n", static_cast<unsigned long>(value));
    return value;
  }();
  return seed;
}

// Unique on this machine: abstract sockets are shared by everybody in the network namespace.
std::string UniqueName() {
  static const uint32_t run = std::random_device()();
  static int n = 0;
  return absl::StrCat("luna-test-", run, "-", n++);
}

// Two ends of a wire, each with memory of its own.
struct Wire {
  explicit Wire(size_t megabytes = 16) : memory_a(megabytes), memory_b(megabytes) {}
  PacketIo& a() { return port_a->queue(0); }
  PacketIo& b() { return port_b->queue(0); }
  size_t outstanding() { return memory_a.outstanding() + memory_b.outstanding(); }
  Memory memory_a;
  Memory memory_b;
  std::unique_ptr<Port> port_a;
  std::unique_ptr<Port> port_b;
};

std::unique_ptr<Wire> MakeRing(size_t megabytes = 16, uint32_t entries = 1024) {
  auto wire = std::make_unique<Wire>(megabytes);
  static int n = 0;
  auto ports = Port::OpenRingPair(environment->eal(), absl::StrCat("t", n++), {.slabs = {wire->memory_a.slab.get()}},
                                  {.slabs = {wire->memory_b.slab.get()}}, entries);
  EXPECT_TRUE(ports.ok()) << ports.status();
  if (!ports.ok()) return nullptr;
  wire->port_a = std::move(ports->first);
  wire->port_b = std::move(ports->second);
  return wire;
}

// memif connects by a control thread of DPDK: there is nothing to wait on but the link.
bool AwaitLink(PacketIo& io, bool up = true) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (io.link_up() != up) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    io.Reclaim();
    std::this_thread::yield();
  }
  return true;
}

std::unique_ptr<Wire> MakeMemif(size_t megabytes = 16, PortOptions base = {}, const std::string& more_a = "",
                                const std::string& more_b = "") {
  auto wire = std::make_unique<Wire>(megabytes);
  const std::string socket = UniqueName();
  static int n = 0;
  PortOptions a = base;
  a.devargs = absl::StrCat("net_memif", n++, ",role=server,socket=", socket, more_a);
  a.slabs = {wire->memory_a.slab.get()};
  PortOptions b = base;
  b.devargs = absl::StrCat("net_memif", n++, ",role=client,socket=", socket, more_b);
  b.slabs = {wire->memory_b.slab.get()};
  auto port_a = Port::Open(environment->eal(), a);
  auto port_b = Port::Open(environment->eal(), b);
  EXPECT_TRUE(port_a.ok()) << port_a.status();
  EXPECT_TRUE(port_b.ok()) << port_b.status();
  if (!port_a.ok() || !port_b.ok()) return nullptr;
  wire->port_a = *std::move(port_a);
  wire->port_b = *std::move(port_b);
  EXPECT_TRUE(AwaitLink(wire->a()) && AwaitLink(wire->b()));
  // The server can send once the client has polled its receive ring and so lent it slots.
  EXPECT_EQ(ReceiveAll(wire->a()).size() + ReceiveAll(wire->b()).size(), 0u);
  return wire;
}

enum class Kind { kRing, kMemif };

class PortTest : public testing::TestWithParam<Kind> {
 protected:
  std::unique_ptr<Wire> Make(size_t megabytes = 16) {
    return GetParam() == Kind::kRing ? MakeRing(megabytes) : MakeMemif(megabytes);
  }
};

INSTANTIATE_TEST_SUITE_P(Devices, PortTest, testing::Values(Kind::kRing, Kind::kMemif),
                         [](const auto& info) { return info.param == Kind::kRing ? "Ring" : "Memif"; });

// Random sizes and slicings, both ways at once, in bursts; nothing lost, nothing changed, everything home.
TEST_P(PortTest, TwentyThousandFramesBothWays) {
  constexpr uint32_t kFrames = 10000;
  std::unique_ptr<Wire> wire = Make();
  ASSERT_NE(wire, nullptr);
  std::mt19937 random(static_cast<uint32_t>(Seed()));
  struct Side {
    PacketIo& io;
    zbuf::Slab& slab;
    std::deque<std::string> in_flight;  // towards the other side
    std::vector<Packet> waiting;
    uint32_t sent = 0;
    uint32_t received = 0;
  };
  Side sides[2] = {{wire->a(), *wire->memory_a.slab}, {wire->b(), *wire->memory_b.slab}};
  const size_t idle_objs = wire->outstanding();
  for (int idle = 0; sides[0].received + sides[1].received < 2 * kFrames && idle < 1000; ++idle) {
    for (int s = 0; s < 2; ++s) {
      Side& me = sides[s];
      Side& peer = sides[1 - s];
      for (uint32_t i = random() % 40; i > 0 && me.sent < kFrames; --i) {
        const std::string frame = Pattern(me.sent++, 14 + random() % 1501);
        me.waiting.push_back(MakePacket(me.slab, frame, 1 + random() % 5));
        ASSERT_FALSE(me.waiting.back().data.empty());
        me.in_flight.push_back(frame);
      }
      const size_t n = me.io.TransmitBurst(absl::MakeSpan(me.waiting));
      for (size_t i = 0; i < n; ++i) ASSERT_TRUE(me.waiting[i].data.empty());
      me.waiting.erase(me.waiting.begin(), me.waiting.begin() + static_cast<ptrdiff_t>(n));
      for (const std::string& frame : ReceiveAll(me.io, random() % 70)) {
        ASSERT_FALSE(peer.in_flight.empty());
        ASSERT_TRUE(frame == peer.in_flight.front());
        peer.in_flight.pop_front();
        ++me.received;
        idle = 0;
      }
      me.io.Reclaim();
      me.slab.DrainReturns();
    }
  }
  for (Side& side : sides) {
    EXPECT_EQ(side.received, kFrames);
    EXPECT_EQ(side.io.stats().rx_packets, kFrames);
    EXPECT_EQ(side.io.stats().tx_packets, kFrames);
    EXPECT_EQ(side.io.stats().tx_linearised, 0u);
    EXPECT_EQ(side.io.stats().bytes_copied_tx, 0u);
    EXPECT_EQ(side.io.stats().bytes_copied_rx, 0u);
    EXPECT_EQ(side.io.stats().rx_dropped + side.io.stats().tx_dropped, 0u);
    EXPECT_EQ(side.io.Reclaim(), 0u);
  }
  EXPECT_EQ(wire->outstanding(), idle_objs);
  wire->port_a.reset();
  wire->port_b.reset();
  EXPECT_EQ(wire->outstanding(), 0u);
}

TEST_P(PortTest, SharedPayloadTravelsTwiceAndStaysReadable) {
  std::unique_ptr<Wire> wire = Make();
  ASSERT_NE(wire, nullptr);
  const size_t idle_objs = wire->outstanding();
  const std::string payload = Pattern(7, 1000);
  zbuf::ZChain kept = *zbuf::ZChain::CopyFrom(*wire->memory_a.slab, payload);
  for (int round = 0; round < 3; ++round) {
    const std::string header = Pattern(100 + round, 54);
    Packet packet = MakePacket(*wire->memory_a.slab, header, 1);
    packet.data.Append(kept.Share());
    ASSERT_EQ(wire->a().TransmitBurst(absl::MakeSpan(&packet, 1)), 1u);
    EXPECT_TRUE(packet.data.empty());
    EXPECT_EQ(kept.ToString(), payload);
    EXPECT_TRUE(ReceiveAll(wire->b()) == Frames({header + payload}));
  }
  wire->a().Reclaim();
  EXPECT_EQ(wire->outstanding(), idle_objs + 1);
  EXPECT_EQ(zbuf::RefCount(kept.front().data()), 1);
  kept.Clear();
  EXPECT_EQ(wire->outstanding(), idle_objs);
}

// n < size leaves the rest untouched, down to the very objs, and they go out later.
TEST_P(PortTest, FullRingLeavesTheRestIntact) {
  std::unique_ptr<Wire> wire = Make();
  ASSERT_NE(wire, nullptr);
  constexpr uint32_t kFrames = 1500;  // the rings take 1023 or 1024
  std::vector<Packet> packets;
  std::vector<const std::byte*> addresses;
  for (uint32_t i = 0; i < kFrames; ++i) {
    packets.push_back(MakePacket(*wire->memory_a.slab, Pattern(i, 100), 2));
    addresses.push_back(packets.back().data.back().data());
  }
  const size_t first = wire->a().TransmitBurst(absl::MakeSpan(packets));
  EXPECT_GE(first, 1000u);
  ASSERT_LT(first, kFrames);
  EXPECT_EQ(wire->a().stats().tx_full, kFrames - first);
  EXPECT_EQ(wire->a().stats().tx_packets, first);
  EXPECT_EQ(wire->a().TransmitBurst(absl::MakeSpan(packets).subspan(first)), 0u);
  for (uint32_t i = 0; i < kFrames; ++i) {
    ASSERT_EQ(packets[i].data.empty(), i < first) << i;
    if (i < first) continue;
    ASSERT_EQ(packets[i].data.slice_count(), 2u);
    ASSERT_EQ(packets[i].data.back().data(), addresses[i]);
    ASSERT_EQ(zbuf::RefCount(addresses[i]), 1);
    ASSERT_EQ(packets[i].data.ToString(), Pattern(i, 100));
  }
  std::vector<std::string> got = ReceiveAll(wire->b());
  EXPECT_EQ(got.size(), first);
  EXPECT_EQ(wire->a().TransmitBurst(absl::MakeSpan(packets).subspan(first)), kFrames - first);
  for (std::string& frame : ReceiveAll(wire->b())) got.push_back(std::move(frame));
  ASSERT_EQ(got.size(), kFrames);
  for (uint32_t i = 0; i < kFrames; ++i) ASSERT_EQ(got[i], Pattern(i, 100)) << i;
  EXPECT_EQ(wire->a().Reclaim(), 0u);
}

TEST_P(PortTest, FramesThatCanNeverGoAreDroppedInTheirTurn) {
  std::unique_ptr<Wire> wire = Make();
  ASSERT_NE(wire, nullptr);
  const size_t idle_objs = wire->outstanding();
  std::vector<Packet> packets;
  for (uint32_t bytes : {100u, 13u, 0u, 101u, 1519u, 1518u, 4000u}) {
    packets.push_back(bytes == 0 ? Packet() : MakePacket(*wire->memory_a.slab, Pattern(bytes, bytes), 1));
  }
  EXPECT_EQ(wire->a().TransmitBurst(absl::MakeSpan(packets)), packets.size());
  EXPECT_EQ(wire->a().stats().tx_dropped, 4u);
  EXPECT_EQ(wire->a().stats().tx_packets, 3u);
  EXPECT_TRUE(ReceiveAll(wire->b()) == Frames({Pattern(100, 100), Pattern(101, 101), Pattern(1518, 1518)}));
  wire->a().Reclaim();
  EXPECT_EQ(wire->outstanding(), idle_objs);
}

TEST_P(PortTest, LongChainsAreLinearised) {
  std::unique_ptr<Wire> wire = Make();
  ASSERT_NE(wire, nullptr);
  const uint32_t most = wire->a().capabilities().max_tx_segments;
  ASSERT_GT(most, 1u);
  const std::string frame = Pattern(3, 1400);
  Packet packets[2] = {MakePacket(*wire->memory_a.slab, frame, most),
                       MakePacket(*wire->memory_a.slab, frame, most + 1)};
  EXPECT_EQ(wire->a().TransmitBurst(absl::MakeSpan(packets)), 2u);
  EXPECT_EQ(wire->a().stats().tx_linearised, 1u);
  EXPECT_EQ(wire->a().stats().bytes_copied_tx, 1400u);
  EXPECT_TRUE(ReceiveAll(wire->b()) == Frames({frame, frame}));
}

TEST_P(PortTest, CapabilitiesAreTheDevices) {
  std::unique_ptr<Wire> wire = Make();
  ASSERT_NE(wire, nullptr);
  for (Port* port : {wire->port_a.get(), wire->port_b.get()}) {
    const Capabilities& c = port->capabilities();
    EXPECT_THAT(c.name, HasSubstr(port->name()));
    EXPECT_EQ(c.mtu, 1500u);
    EXPECT_TRUE(c.mac.IsLocal());
    EXPECT_FALSE(c.mac.IsMulticast());
    EXPECT_FALSE(c.trust_rx_checksum);
    EXPECT_FALSE(c.tx_ip_checksum || c.tx_tcp_checksum || c.tx_tso);
    EXPECT_EQ(c.kernel_ifindex, 0);
    EXPECT_EQ(port->mode(), BufferMode::kZbuf);
  }
  EXPECT_NE(wire->port_a->capabilities().mac, wire->port_b->capabilities().mac);
  EXPECT_TRUE(wire->a().link_up());
}

TEST_P(PortTest, OpensAgainAndAgain) {
  for (int round = 0; round < 3; ++round) {
    std::unique_ptr<Wire> wire = Make(8);
    ASSERT_NE(wire, nullptr) << round;
    // Frames that nobody takes are lost with the port, but not their objs.
    std::vector<Packet> packets;
    for (uint32_t i = 0; i < 100; ++i) packets.push_back(MakePacket(*wire->memory_a.slab, Pattern(i, 500), 3));
    EXPECT_EQ(wire->a().TransmitBurst(absl::MakeSpan(packets)), packets.size());
    EXPECT_EQ(ReceiveAll(wire->b(), 10).size(), 10u);
    // Either order of closing.
    (round % 2 == 0 ? wire->port_a : wire->port_b).reset();
    wire->port_a.reset();
    wire->port_b.reset();
    EXPECT_EQ(wire->outstanding(), 0u) << round;
  }
}

TEST_P(PortTest, OwnersOnTheirOwnThreads) {
  constexpr uint32_t kFrames = 20000;
  std::unique_ptr<Wire> wire = Make();
  ASSERT_NE(wire, nullptr);
  std::thread sender([&] {
    wire->memory_a.slab->BindToCurrentThread();
    PacketIo& io = wire->a();
    for (uint32_t sent = 0; sent < kFrames;) {
      wire->memory_a.slab->DrainReturns();
      Packet packet = MakePacket(*wire->memory_a.slab, Pattern(sent, 64 + sent % 1000), 1 + sent % 3);
      if (packet.data.empty()) continue;
      while (io.TransmitBurst(absl::MakeSpan(&packet, 1)) == 0) std::this_thread::yield();
      ++sent;
    }
    while (io.Reclaim() != 0) std::this_thread::yield();
  });
  std::thread receiver([&] {
    wire->memory_b.slab->BindToCurrentThread();
    for (uint32_t received = 0; received < kFrames;) {
      for (const std::string& frame : ReceiveAll(wire->b(), 64)) {
        ASSERT_TRUE(frame == Pattern(received, 64 + received % 1000)) << received;
        ++received;
      }
    }
  });
  sender.join();
  receiver.join();
  EXPECT_EQ(wire->a().stats().tx_packets, kFrames);
  EXPECT_EQ(wire->b().stats().rx_packets, kFrames);
  // The control thread closes what it does not own.
  wire->port_a.reset();
  wire->port_b.reset();
  wire->memory_a.slab->BindToCurrentThread();
  wire->memory_b.slab->BindToCurrentThread();
  EXPECT_EQ(wire->outstanding(), 0u);
}

// --- net_ring alone.

TEST(RingTest, ReceiverHoldsTheVeryObjOfTheSender) {
  std::unique_ptr<Wire> wire = MakeRing();
  ASSERT_NE(wire, nullptr);
  Packet packet = MakePacket(*wire->memory_a.slab, Pattern(1, 1000), 3);
  std::vector<const std::byte*> addresses;
  for (const zbuf::ZSlice& slice : packet.data) addresses.push_back(slice.data());
  ASSERT_EQ(wire->a().TransmitBurst(absl::MakeSpan(&packet, 1)), 1u);
  EXPECT_EQ(wire->a().Reclaim(), 3u);  // in the ring
  Packet got;
  ASSERT_EQ(wire->b().ReceiveBurst(absl::MakeSpan(&got, 1), Time()), 1u);
  EXPECT_EQ(wire->a().Reclaim(), 0u);
  ASSERT_EQ(got.data.slice_count(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(got.data.slices()[i].data(), addresses[i]);
  // And sends it back, still without a copy.
  ASSERT_EQ(wire->b().TransmitBurst(absl::MakeSpan(&got, 1)), 1u);
  Packet back;
  ASSERT_EQ(wire->a().ReceiveBurst(absl::MakeSpan(&back, 1), Time()), 1u);
  EXPECT_EQ(back.data.front().data(), addresses[0]);
  EXPECT_EQ(back.data.ToString(), Pattern(1, 1000));
  back.data.Clear();
  EXPECT_EQ(wire->outstanding(), 0u);
}

TEST(RingTest, LoopbackByDevargs) {
  Memory memory(8);
  for (int round = 0; round < 2; ++round) {
    absl::StatusOr<std::unique_ptr<Port>> port =
        Port::Open(environment->eal(), {.devargs = "net_ring0", .slabs = {memory.slab.get()}});
    ASSERT_TRUE(port.ok()) << port.status();
    std::vector<Packet> packets;
    for (uint32_t i = 0; i < 50; ++i) packets.push_back(MakePacket(*memory.slab, Pattern(i, 200), 2));
    ASSERT_EQ((*port)->queue(0).TransmitBurst(absl::MakeSpan(packets)), 50u);
    EXPECT_EQ(ReceiveAll((*port)->queue(0), 20).size(), 20u);
    port->reset();  // with 30 in the ring
    EXPECT_EQ(memory.outstanding(), 0u);
  }
}

TEST(RingTest, SeveralQueuesDoNotMix) {
  Memory a0(8), a1(8), b0(8), b1(8);
  auto ports = Port::OpenRingPair(environment->eal(), "multi", {.slabs = {a0.slab.get(), a1.slab.get()}},
                                  {.slabs = {b0.slab.get(), b1.slab.get()}});
  ASSERT_TRUE(ports.ok()) << ports.status();
  ASSERT_EQ(ports->first->queue_count(), 2u);
  for (uint32_t q = 0; q < 2; ++q) {
    Packet packet = MakePacket(q == 0 ? *a0.slab : *a1.slab, Pattern(q, 100), 1);
    ASSERT_EQ(ports->first->queue(q).TransmitBurst(absl::MakeSpan(&packet, 1)), 1u);
  }
  EXPECT_TRUE(ReceiveAll(ports->second->queue(1)) == Frames({Pattern(1, 100)}));
  EXPECT_TRUE(ReceiveAll(ports->second->queue(0)) == Frames({Pattern(0, 100)}));
}

TEST(RingTest, BadPairsAreRefused) {
  Memory m(4);
  Eal& eal = environment->eal();
  const PortOptions one{.slabs = {m.slab.get()}};
  const PortOptions two{.slabs = {m.slab.get(), m.slab.get()}};
  EXPECT_THAT(std::string(Port::OpenRingPair(eal, "x", one, two).status().message()),
              HasSubstr("2; give both as many"));
  EXPECT_THAT(std::string(Port::OpenRingPair(eal, "", one, one).status().message()), HasSubstr("1 to 16"));
  EXPECT_THAT(std::string(Port::OpenRingPair(eal, std::string(17, 'x'), one, one).status().message()),
              HasSubstr("1 to 16"));
  EXPECT_THAT(std::string(Port::OpenRingPair(eal, "x", one, one, 1000).status().message()), HasSubstr("power of 2"));
  auto ports = Port::OpenRingPair(eal, "x", one, one);
  ASSERT_TRUE(ports.ok()) << ports.status();
  EXPECT_EQ(Port::OpenRingPair(eal, "x", one, one).status().code(), absl::StatusCode::kAlreadyExists);
}

// --- net_memif alone.

TEST(MemifPortTest, TransmittedObjsAreHomeAtOnce) {
  std::unique_ptr<Wire> wire = MakeMemif();
  ASSERT_NE(wire, nullptr);
  for (PacketIo* io : {&wire->a(), &wire->b()}) {
    Memory& memory = io == &wire->a() ? wire->memory_a : wire->memory_b;
    const size_t before = memory.outstanding();
    Packet packet = MakePacket(*memory.slab, Pattern(1, 1000), 4);
    ASSERT_EQ(io->TransmitBurst(absl::MakeSpan(&packet, 1)), 1u);
    EXPECT_EQ(memory.outstanding(), before);
    EXPECT_EQ(io->Reclaim(), 0u);
  }
}

// Chains go into one slot each: the driver never clears the "next" flag of a slot, so with it the ring would be spoilt.
TEST(MemifPortTest, ChainsDoNotSpoilTheRing) {
  std::unique_ptr<Wire> wire = MakeMemif(16, {.rx_descriptors = 16, .tx_descriptors = 16});
  ASSERT_NE(wire, nullptr);
  for (PacketIo* from : {&wire->b(), &wire->a()}) {
    PacketIo& to = from == &wire->a() ? wire->b() : wire->a();
    Memory& memory = from == &wire->a() ? wire->memory_a : wire->memory_b;
    for (uint32_t i = 0; i < 200; ++i) {
      const std::string frame = Pattern(i, i < 64 ? 1514 : 60);
      Packet packet = MakePacket(*memory.slab, frame, i < 64 ? 5 : 1);
      ASSERT_EQ(from->TransmitBurst(absl::MakeSpan(&packet, 1)), 1u);
      ASSERT_TRUE(ReceiveAll(to) == Frames({frame})) << i;
    }
  }
}

TEST(MemifPortTest, JumboFramesFitOneSlotAndOneObj) {
  std::unique_ptr<Wire> wire = MakeMemif(32, {.rx_descriptors = 64, .tx_descriptors = 64, .mtu = 9000});
  ASSERT_NE(wire, nullptr);
  for (uint32_t i = 0; i < 200; ++i) {
    const std::string frame = Pattern(i, 9018 - i);
    Packet packet = MakePacket(*wire->memory_a.slab, frame, 1 + i % 7);
    ASSERT_EQ(wire->a().TransmitBurst(absl::MakeSpan(&packet, 1)), 1u);
    Packet got;
    ASSERT_EQ(wire->b().ReceiveBurst(absl::MakeSpan(&got, 1), Time()), 1u);
    ASSERT_EQ(got.data.slice_count(), 1u);
    ASSERT_EQ(got.data.ToString(), frame);
    ASSERT_GE(got.data.HeadRoom(), kTxHeadroomBytes);
  }
}

// The client decides how large slots are, and its may be larger than ours: what arrives must not run over our objs.
TEST(MemifPortTest, PeerWithLargerSlotsDoesNoHarm) {
  Memory server_memory(16);
  Memory client_memory(16);
  const std::string socket = UniqueName();
  auto server = Port::Open(environment->eal(), {.devargs = absl::StrCat("net_memif90,role=server,socket=", socket),
                                                .slabs = {server_memory.slab.get()}});
  auto client = Port::Open(environment->eal(), {.devargs = absl::StrCat("net_memif91,role=client,socket=", socket),
                                                .slabs = {client_memory.slab.get()},
                                                .mtu = 9000});
  ASSERT_TRUE(server.ok() && client.ok()) << server.status() << client.status();
  PacketIo& to = (*server)->queue(0);
  ASSERT_TRUE(AwaitLink(to) && AwaitLink((*client)->queue(0)));
  // Neighbours of the objs that receive.
  std::vector<std::byte*> guards;
  for (int i = 0; i < 256; ++i) guards.push_back(server_memory.slab->Alloc(zbuf::kReceiveObjBytes));
  for (std::byte* guard : guards) memset(guard, 0x11, zbuf::ObjBytes(guard));
  for (size_t i = 1; i < guards.size(); i += 2) server_memory.slab->Free(guards[i]);
  for (uint32_t i = 0; i < 100; ++i) {
    const std::string frame = Pattern(i, 9000);
    Packet packet = MakePacket(*client_memory.slab, frame, 2);
    ASSERT_EQ((*client)->queue(0).TransmitBurst(absl::MakeSpan(&packet, 1)), 1u);
    ASSERT_TRUE(ReceiveAll(to) == Frames({frame}));
  }
  for (size_t i = 0; i < guards.size(); i += 2) {
    for (size_t b = 0; b < zbuf::ObjBytes(guards[i]); ++b) ASSERT_EQ(guards[i][b], std::byte{0x11}) << i << " " << b;
    server_memory.slab->Free(guards[i]);
  }
}

TEST(MemifPortTest, WithoutAPeerNothingIsTaken) {
  Memory memory(8);
  auto port = Port::Open(environment->eal(), {.devargs = absl::StrCat("net_memif80,role=server,socket=", UniqueName()),
                                              .slabs = {memory.slab.get()}});
  ASSERT_TRUE(port.ok()) << port.status();
  PacketIo& io = (*port)->queue(0);
  EXPECT_FALSE(io.link_up());
  const size_t before = memory.outstanding();
  Packet packet = MakePacket(*memory.slab, Pattern(1, 100), 2);
  EXPECT_EQ(io.TransmitBurst(absl::MakeSpan(&packet, 1)), 0u);
  EXPECT_EQ(packet.data.ToString(), Pattern(1, 100));
  EXPECT_EQ(io.stats().tx_full, 1u);
  Packet got;
  EXPECT_EQ(io.ReceiveBurst(absl::MakeSpan(&got, 1), Time()), 0u);
  packet.data.Clear();
  EXPECT_EQ(memory.outstanding(), before);
}

TEST(MemifPortTest, LinkFollowsThePeer) {
  std::unique_ptr<Wire> wire = MakeMemif();
  ASSERT_NE(wire, nullptr);
  wire->port_b.reset();
  EXPECT_TRUE(AwaitLink(wire->a(), false));
}

TEST(MemifPortTest, MacByOptionAndByDevargs) {
  Memory memory(8);
  const wire::MacAddress mac({2, 0, 0, 0, 0, 9});
  auto by_option =
      Port::Open(environment->eal(), {.devargs = absl::StrCat("net_memif81,role=server,socket=", UniqueName()),
                                      .slabs = {memory.slab.get()},
                                      .mac = mac});
  ASSERT_TRUE(by_option.ok()) << by_option.status();
  EXPECT_EQ((*by_option)->capabilities().mac, mac);
  auto by_devargs =
      Port::Open(environment->eal(),
                 {.devargs = absl::StrCat("net_memif82,role=server,mac=02:00:00:00:00:0a,socket=", UniqueName()),
                  .slabs = {memory.slab.get()}});
  ASSERT_TRUE(by_devargs.ok()) << by_devargs.status();
  EXPECT_EQ((*by_devargs)->capabilities().mac.ToString(), "02:00:00:00:00:0a");
}

// Receive stops when the slab is exhausted, counts it, loses nothing that the ring holds, and goes on when objs are
// back.
TEST(MemifPortTest, ExhaustionStopsReceiveAndPasses) {
  std::unique_ptr<Wire> wire = MakeMemif(16);
  ASSERT_NE(wire, nullptr);
  zbuf::Slab& slab = *wire->memory_b.slab;
  std::vector<std::byte*> hoard;
  while (std::byte* obj = slab.Alloc(zbuf::kReceiveObjBytes)) hoard.push_back(obj);
  constexpr uint32_t kFrames = 200;
  for (uint32_t i = 0; i < kFrames; ++i) {
    Packet packet = MakePacket(*wire->memory_a.slab, Pattern(i, 700), 1);
    ASSERT_EQ(wire->a().TransmitBurst(absl::MakeSpan(&packet, 1)), 1u);
  }
  EXPECT_EQ(ReceiveAll(wire->b()).size(), 0u);
  EXPECT_GT(wire->b().stats().rx_no_buffer, 0u);
  uint32_t received = 0;
  while (received < kFrames && !hoard.empty()) {
    for (int i = 0; i < 8 && !hoard.empty(); ++i) {
      slab.Free(hoard.back());
      hoard.pop_back();
    }
    for (const std::string& frame : ReceiveAll(wire->b())) ASSERT_TRUE(frame == Pattern(received++, 700));
  }
  EXPECT_EQ(received, kFrames);
  for (std::byte* obj : hoard) slab.Free(obj);
  EXPECT_EQ(wire->outstanding(), 0u);
}

// --- Errors.

TEST(PortErrorsTest, EachIsOneLineThatNamesTheDevargs) {
  Memory memory(8);
  Memory other(8);
  struct Row {
    PortOptions options;
    absl::StatusCode code;
    const char* says;
  };
  const auto with = [&](const char* devargs) { return PortOptions{.devargs = devargs, .slabs = {memory.slab.get()}}; };
  std::vector<Row> rows = {
      {with("nonsense"), absl::StatusCode::kInvalidArgument, "no such device"},
      {with("net_memif0,rol=server"), absl::StatusCode::kInvalidArgument, "no \"rol\""},
      {with("net_memif0,bsize=64"), absl::StatusCode::kInvalidArgument, "bsize=64"},
      {with("net_af_packet0,iface=nowhere0"), absl::StatusCode::kNotFound, "no interface \"nowhere0\""},
      {with("net_af_xdp0,iface=nowhere0"), absl::StatusCode::kNotFound, "ip link"},
      {with("0000:ff:1f.7"), absl::StatusCode::kInvalidArgument, "pci = true"},
      {with("net_nosuchdriver0"), absl::StatusCode::kUnavailable, "did not open it"},
      {with("net_pcap0,rx_pcap=/nonexistent/file.pcap"), absl::StatusCode::kUnavailable, "/nonexistent/file.pcap"},
  };
  rows.push_back({{.devargs = "net_ring7"}, absl::StatusCode::kInvalidArgument, "one slab per queue"});
  rows.push_back({with("net_ring7"), absl::StatusCode::kInvalidArgument, "MTU 20"});
  rows.back().options.mtu = 20;
  rows.push_back({with("net_ring7"), absl::StatusCode::kInvalidArgument, "0 descriptors"});
  rows.back().options.rx_descriptors = 0;
  rows.push_back({with("net_null7"), absl::StatusCode::kInvalidArgument, "2000 queues"});
  rows.back().options.slabs.assign(2000, memory.slab.get());
  for (const Row& row : rows) {
    const absl::Status status = Port::Open(environment->eal(), row.options).status();
    EXPECT_EQ(status.code(), row.code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.says));
    EXPECT_THAT(std::string(status.message()), HasSubstr("device \"" + row.options.devargs + "\""));
    EXPECT_FALSE(absl::StrContains(status.message(), "\n"));
  }
  EXPECT_EQ(memory.outstanding(), 0u);
}

TEST(PortErrorsTest, TheSameNameTwice) {
  Memory memory(8);
  auto first = Port::Open(environment->eal(), {.devargs = "net_ring8", .slabs = {memory.slab.get()}});
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status second =
      Port::Open(environment->eal(), {.devargs = "net_ring8", .slabs = {memory.slab.get()}}).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.message()), HasSubstr("open in this process already"));
  first->reset();
  EXPECT_TRUE(Port::Open(environment->eal(), {.devargs = "net_ring8", .slabs = {memory.slab.get()}}).ok());
}

// --- Copy mode, on a driver that would not need it.

TEST(CopyModeTest, CopiesOnceEachWayAndSaysSo) {
  Memory memory(8);
  auto port = Port::Open(environment->eal(), {.devargs = "net_ring9",
                                              .slabs = {memory.slab.get()},
                                              .rx_descriptors = 64,
                                              .tx_descriptors = 64,
                                              .mode = BufferMode::kCopy});
  ASSERT_TRUE(port.ok()) << port.status();
  PacketIo& io = (*port)->queue(0);
  EXPECT_EQ((*port)->mode(), BufferMode::kCopy);
  EXPECT_EQ(io.capabilities().max_tx_segments, 1u);
  for (uint32_t i = 0; i < 3000; ++i) {
    Packet packet = MakePacket(*memory.slab, Pattern(i, 1000), 1 + i % 2);
    ASSERT_EQ(io.TransmitBurst(absl::MakeSpan(&packet, 1)), 1u);
    ASSERT_EQ(memory.outstanding(), 0u);
    ASSERT_TRUE(ReceiveAll(io) == Frames({Pattern(i, 1000)}));
  }
  EXPECT_EQ(io.stats().bytes_copied_rx, 3000u * 1000);
  EXPECT_EQ(io.stats().bytes_copied_tx, 3000u * 1000);
  EXPECT_EQ(io.stats().tx_linearised, 1500u);
}

TEST(CopyModeTest, ExhaustionDropsAndPasses) {
  Memory memory(2);
  auto port = Port::Open(environment->eal(),
                         {.devargs = "net_ring10", .slabs = {memory.slab.get()}, .mode = BufferMode::kCopy});
  ASSERT_TRUE(port.ok()) << port.status();
  PacketIo& io = (*port)->queue(0);
  Packet packet = MakePacket(*memory.slab, Pattern(1, 1000), 1);
  ASSERT_EQ(io.TransmitBurst(absl::MakeSpan(&packet, 1)), 1u);
  std::vector<std::byte*> hoard;
  while (std::byte* obj = memory.slab->Alloc(zbuf::kReceiveObjBytes)) hoard.push_back(obj);
  EXPECT_EQ(ReceiveAll(io).size(), 0u);
  EXPECT_EQ(io.stats().rx_no_buffer, 1u);
  EXPECT_EQ(io.stats().rx_dropped, 1u);
  for (std::byte* obj : hoard) memory.slab->Free(obj);
  packet = MakePacket(*memory.slab, Pattern(2, 1000), 1);
  ASSERT_EQ(io.TransmitBurst(absl::MakeSpan(&packet, 1)), 1u);
  EXPECT_TRUE(ReceiveAll(io) == Frames({Pattern(2, 1000)}));
}

}  // namespace
}  // namespace luna::pmd::dpdk
