// An AF_XDP queue and the XDP program in front of it, against the kernel on the other end of a cable. Needs root; works
// in network namespaces of its own.

#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <iostream>
#include <memory>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "luna/flow/bifurcation/xdp/testing/frames.h"
#include "luna/flow/bifurcation/xdp/testing/in_child.h"
#include "luna/flow/bifurcation/xdp/testing/veth_pair.h"
#include "luna/flow/bifurcation/xdp/xdp_rule_installer.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/packet_util.h"
#include "luna/net/pmd/xdp/root_test/kernel_peer.h"
#include "luna/net/pmd/xdp/xdp_port.h"

namespace luna::pmd::xdp {
namespace {

using bifurcation::PortPlan;
using bifurcation::xdp::AttachMode;
using bifurcation::xdp::FrameSpec;
using bifurcation::xdp::InChild;
using bifurcation::xdp::Shell;
using bifurcation::xdp::VethPair;
using bifurcation::xdp::XdpRuleInstaller;
using ::testing::HasSubstr;

using Bytes = std::vector<uint8_t>;
using SteadyClock = std::chrono::steady_clock;

constexpr uint16_t kLocalExperiment = 0x88b5;  // an EtherType that no kernel answers
constexpr int kPatienceMs = 5000;              // for what must come
constexpr int kShortMs = 200;                  // for what must not

PortPlan Plan() { return PortPlan::Create({.listen_ports = {8080}, .client_ranges = {{61440, 65535}}}).value(); }

// Ends a test that would wait for ever.
class Deadline {
 public:
  explicit Deadline(int seconds) : end_(SteadyClock::now() + std::chrono::seconds(seconds)) {}
  bool passed() const { return SteadyClock::now() > end_; }

 private:
  const SteadyClock::time_point end_;
};

class XdpRootTest : public ::testing::TestWithParam<AttachMode> {
 protected:
  void SetUp() override {
    const std::string why = bifurcation::xdp::WhyNotRoot();
    if (!why.empty()) GTEST_SKIP() << why;
    absl::StatusOr<std::unique_ptr<VethPair>> veth = VethPair::Create();
    ASSERT_TRUE(veth.ok()) << veth.status();
    veth_ = *std::move(veth);
    kernel_ = std::make_unique<RawLink>(veth_->luna().ifindex);
    veth_->EnterPeer();
    peer_ = std::make_unique<RawLink>(veth_->peer().ifindex);
    veth_->EnterLuna();
    memory_ = std::make_unique<zbuf::TestSlab>();
  }
  void TearDown() override {
    if (memory_ == nullptr) return;
    io_.reset();
    EXPECT_EQ(memory_->outstanding(), 0u) << "every obj is home";
  }

  void OpenRules() {
    auto rules = XdpRuleInstaller::Open({.interface = "luna0", .mode = GetParam()});
    ASSERT_TRUE(rules.ok()) << rules.status();
    rules_ = *std::move(rules);
    ASSERT_EQ(rules_->Install(Plan()), absl::OkStatus());
    ASSERT_EQ(rules_->attached_mode(), GetParam());
  }
  void Open(XdpOptions options = {}) {
    ASSERT_NO_FATAL_FAILURE(OpenRules());
    options.interface = "luna0";
    options.xskmap_fd = rules_->xskmap_fd();
    auto io = XdpPort::Open(options, memory_->arena(), memory_->slab());
    ASSERT_TRUE(io.ok()) << io.status();
    io_ = *std::move(io);
  }

  // What arrives at Luna until `frames` are there or `wait_ms` pass without one.
  std::vector<Bytes> ReceiveAtLuna(size_t frames, int wait_ms) {
    std::vector<Bytes> got;
    std::vector<Packet> out(32);
    while (got.size() < frames) {
      const size_t n = io_->ReceiveBurst(absl::MakeSpan(out), Now());
      for (size_t i = 0; i < n; ++i) {
        got.push_back(ToBytes(out[i]));
        out[i].data.Clear();
      }
      if (n > 0) continue;
      pollfd p{io_->capabilities().poll_fd, POLLIN, 0};
      if (poll(&p, 1, wait_ms) == 0) break;
    }
    return got;
  }
  static Time Now() { return Time::FromNanoseconds(SteadyClock::now().time_since_epoch().count()); }

  // A frame from the peer to Luna's host that BuildFrame's reader knows.
  Bytes TcpTo(uint16_t port) const { return FromPeer({.destination_port = port}); }
  Bytes FromPeer(FrameSpec spec) const {
    spec.destination = veth_->luna().address;
    Bytes frame = BuildFrame(spec);
    veth_->luna().mac.CopyTo(frame.data());
    veth_->peer().mac.CopyTo(frame.data() + 6);
    return frame;
  }
  // A frame from Luna that the peer's kernel ignores: number, then a pattern that depends on it.
  Bytes Numbered(uint32_t number, size_t bytes) const {
    Bytes frame(bytes);
    veth_->peer().mac.CopyTo(frame.data());
    veth_->luna().mac.CopyTo(frame.data() + 6);
    frame[12] = kLocalExperiment >> 8;
    frame[13] = kLocalExperiment & 0xff;
    FillNumbered(number, frame, 14);
    return frame;
  }
  static void FillNumbered(uint32_t number, Bytes& frame, size_t from) {
    for (size_t i = from; i < frame.size(); ++i) frame[i] = static_cast<uint8_t>(number * 31 + i * 7 + (i >> 8));
    std::memcpy(frame.data() + from, &number, sizeof(number));
  }
  Packet PacketOf(const Bytes& frame, size_t slice_bytes) {
    Packet packet;
    packet.data = memory_->ChainOfSlices(std::string(frame.begin(), frame.end()), slice_bytes);
    return packet;
  }

  std::unique_ptr<VethPair> veth_;
  std::unique_ptr<RawLink> kernel_;  // what the kernel of Luna's host still sees
  std::unique_ptr<RawLink> peer_;
  std::unique_ptr<zbuf::TestSlab> memory_;
  std::unique_ptr<XdpRuleInstaller> rules_;
  std::unique_ptr<XdpPacketIo> io_;
};

INSTANTIATE_TEST_SUITE_P(Mode, XdpRootTest, ::testing::Values(AttachMode::kNative, AttachMode::kGeneric),
                         [](const auto& info) { return bifurcation::xdp::ToString(info.param); });

TEST_P(XdpRootTest, CapabilitiesAreTheInterfaces) {
  ASSERT_NO_FATAL_FAILURE(Open());
  const Capabilities& c = io_->capabilities();
  EXPECT_THAT(c.name, HasSubstr("luna0 queue 0"));
  EXPECT_EQ(c.mac, veth_->luna().mac);
  EXPECT_EQ(c.mtu, 1500u);
  EXPECT_EQ(c.kernel_ifindex, veth_->luna().ifindex);
  EXPECT_GE(c.poll_fd, 0);
  EXPECT_FALSE(c.trust_rx_checksum);
  EXPECT_TRUE(io_->link_up());
}

TEST_P(XdpRootTest, ThePlansTcpComesToLunaAndAllElseToTheKernel) {
  ASSERT_NO_FATAL_FAILURE(Open());
  const std::vector<Bytes> ours = {TcpTo(61440), TcpTo(65535), TcpTo(8080), FromPeer({.header_words = 15})};
  const std::vector<Bytes> theirs = {
      TcpTo(22),
      TcpTo(61439),
      FromPeer({.protocol = 17}),
      FromPeer({.ether_type = 0x0806}),
      FromPeer({.fragment = 0x2000}),
      FromPeer({.fragment = 0x0010}),
      FromPeer({.vlan_tags = 1}),
      Numbered(1, 60),
  };
  for (size_t i = 0; i < theirs.size(); ++i) {
    ASSERT_TRUE(peer_->Send(theirs[i]));
    if (i < ours.size()) {
      ASSERT_TRUE(peer_->Send(ours[i]));
    }
  }
  EXPECT_EQ(ReceiveAtLuna(ours.size(), kPatienceMs), ours);
  EXPECT_TRUE(ReceiveAtLuna(1, kShortMs).empty());
  std::multiset<Bytes> seen;
  const auto wait_ms = [&] { return seen.size() < theirs.size() ? kPatienceMs : kShortMs; };
  for (Bytes f = kernel_->Receive(wait_ms()); !f.empty(); f = kernel_->Receive(wait_ms())) seen.insert(f);
  for (const Bytes& frame : ours) EXPECT_EQ(seen.count(frame), 0u) << "the kernel would answer it with RST";
  // af_packet takes the tag out of the frame that it shows.
  for (const Bytes& frame : theirs) {
    if (&frame == &theirs[6]) continue;
    EXPECT_EQ(seen.count(frame), 1u) << &frame - theirs.data();
  }
  EXPECT_GE(seen.size(), theirs.size());
}

TEST_P(XdpRootTest, PingAndAKernelServiceGoOnBesideLuna) {
  TcpService service(veth_->luna().address);
  ASSERT_FALSE(Plan().Matches(veth_->luna().address, service.port())) << service.port();
  ASSERT_NO_FATAL_FAILURE(Open());
  veth_->EnterPeer();
  EXPECT_TRUE(Ping(veth_->luna().address, 1));
  EXPECT_EQ(service.Echo("hello, kernel"), "hello, kernel");
  EXPECT_TRUE(Ping(veth_->luna().address, 2));
  veth_->EnterLuna();
  EXPECT_TRUE(ReceiveAtLuna(1, 0).empty());
}

// Windows are smaller than the cable's own queue (256), which drops silently.
TEST_P(XdpRootTest, TenThousandFramesIn) {
  constexpr uint32_t kFrames = 10000, kWindow = 100;
  ASSERT_NO_FATAL_FAILURE(Open());
  const Deadline deadline(60);
  for (uint32_t next = 0; next < kFrames && !deadline.passed();) {
    std::vector<Bytes> sent;
    for (uint32_t i = 0; i < kWindow; ++i, ++next) {
      Bytes frame = TcpTo(61441);
      frame.resize(58 + (next * 37) % 1457);
      FillNumbered(next, frame, 54);
      ASSERT_TRUE(peer_->Send(frame));
      sent.push_back(std::move(frame));
    }
    ASSERT_EQ(ReceiveAtLuna(kWindow, kPatienceMs), sent) << "frames up to " << next;
  }
  EXPECT_EQ(io_->stats().rx_packets, kFrames);
  EXPECT_EQ(io_->stats().rx_dropped, 0u);
  EXPECT_EQ(io_->stats().bytes_copied_rx, 0u);
  EXPECT_EQ(io_->ReadKernelCounters().rx_invalid, 0u);
}

TEST_P(XdpRootTest, TenThousandFramesOutInChains) {
  constexpr uint32_t kFrames = 10000, kWindow = 100;
  ASSERT_NO_FATAL_FAILURE(Open());
  const bool gathers = io_->capabilities().max_tx_segments > 1;
  const Deadline deadline(60);
  for (uint32_t next = 0; next < kFrames && !deadline.passed();) {
    std::vector<Packet> packets(kWindow);
    std::vector<Bytes> sent(kWindow);
    for (uint32_t i = 0; i < kWindow; ++i, ++next) {
      sent[i] = Numbered(next, 60 + (next * 37) % 1455);
      packets[i] = PacketOf(sent[i], next % 3 == 0 ? 2000 : 54 + next % 300);
    }
    for (size_t done = 0; done < kWindow && !deadline.passed();) {
      done += io_->TransmitBurst(absl::MakeSpan(packets).subspan(done));
      io_->Reclaim();
    }
    for (uint32_t i = 0; i < kWindow; ++i)
      ASSERT_EQ(peer_->Receive(kPatienceMs), sent[i]) << "frame " << next - kWindow + i;
  }
  while (io_->Reclaim() > 0 && !deadline.passed()) {
  }
  EXPECT_EQ(io_->Reclaim(), 0u);
  EXPECT_EQ(io_->stats().tx_packets, kFrames);
  EXPECT_EQ(io_->stats().tx_dropped, 0u);
  if (gathers) {
    EXPECT_LT(io_->stats().tx_linearised, kFrames / 10) << "only chains of too many slices";
  }
  EXPECT_EQ(io_->ReadKernelCounters().tx_invalid, 0u);
}

// The obj that came in goes out again: no copy at all in user space.
TEST_P(XdpRootTest, EchoesTheVeryObj) {
  ASSERT_NO_FATAL_FAILURE(Open());
  Bytes frame = TcpTo(61441);
  frame.resize(1000, 0x5a);
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(peer_->Send(frame));
    std::vector<Packet> out(1);
    const Deadline deadline(10);
    while (io_->ReceiveBurst(absl::MakeSpan(out), Now()) == 0) ASSERT_FALSE(deadline.passed());
    auto* header = reinterpret_cast<uint8_t*>(out[0].data.front().data());
    const Bytes back = Numbered(static_cast<uint32_t>(i), 14 + 46);
    std::memcpy(header, back.data(), back.size());
    ASSERT_EQ(io_->TransmitBurst(absl::MakeSpan(out)), 1u);
    Bytes expected = frame;
    std::memcpy(expected.data(), back.data(), back.size());
    ASSERT_EQ(peer_->Receive(kPatienceMs), expected);
    io_->Reclaim();
  }
  EXPECT_EQ(io_->stats().tx_linearised, 0u);
}

TEST_P(XdpRootTest, JumboFramesAreChainsBothWays) {
  ASSERT_EQ(Shell("ip link set luna0 mtu 9000"), absl::OkStatus());
  veth_->EnterPeer();
  ASSERT_EQ(Shell("ip link set peer0 mtu 9000"), absl::OkStatus());
  veth_->EnterLuna();
  ASSERT_NO_FATAL_FAILURE(Open());
  if (io_->capabilities().max_tx_segments == 1) GTEST_SKIP() << "this kernel does not gather (before Linux 6.6)";
  Bytes frame = TcpTo(61441);
  frame.resize(9014);
  FillNumbered(7, frame, 54);
  ASSERT_TRUE(peer_->Send(frame));
  std::vector<Packet> out(1);
  const Deadline deadline(10);
  while (io_->ReceiveBurst(absl::MakeSpan(out), Now()) == 0) ASSERT_FALSE(deadline.passed());
  EXPECT_EQ(ToBytes(out[0]), frame);
  EXPECT_EQ(out[0].data.slice_count(), 5u);
  const Bytes back = Numbered(8, 9014);
  for (size_t slice_bytes : {1000, 4000, 9472}) {
    Packet packet = PacketOf(back, slice_bytes);
    ASSERT_EQ(io_->TransmitBurst(absl::MakeSpan(&packet, 1)), 1u);
    EXPECT_EQ(peer_->Receive(kPatienceMs), back) << "slices of " << slice_bytes;
  }
  EXPECT_EQ(io_->stats().tx_linearised, 0u);
}

TEST_P(XdpRootTest, ASlowReaderLosesFramesAndTheyAreCounted) {
  ASSERT_NO_FATAL_FAILURE(Open({.rx_ring = 64}));
  std::vector<Packet> none;
  io_->ReceiveBurst(absl::MakeSpan(none), Now());
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(peer_->Send(TcpTo(61441)));
  const Deadline deadline(10);
  while (io_->ReadKernelCounters().rx_dropped < 136) ASSERT_FALSE(deadline.passed());
  EXPECT_EQ(ReceiveAtLuna(100, kShortMs).size(), 64u) << "what the ring held";
  io_->ReceiveBurst(absl::MakeSpan(none), Now() + XdpPacketIo::kLookInterval * 2);
  EXPECT_EQ(io_->stats().rx_dropped, 136u);
  ASSERT_TRUE(peer_->Send(TcpTo(61442)));
  EXPECT_EQ(ReceiveAtLuna(1, kPatienceMs), std::vector<Bytes>{TcpTo(61442)}) << "and it goes on";
}

TEST_P(XdpRootTest, TheLinkGoesDown) {
  ASSERT_NO_FATAL_FAILURE(Open());
  veth_->EnterPeer();
  ASSERT_EQ(Shell("ip link set peer0 down"), absl::OkStatus());
  veth_->EnterLuna();
  std::vector<Packet> none;
  io_->ReceiveBurst(absl::MakeSpan(none), Now() + XdpPacketIo::kLookInterval * 2);
  EXPECT_FALSE(io_->link_up());
  Packet packet = PacketOf(Numbered(1, 100), 100);
  io_->TransmitBurst(absl::MakeSpan(&packet, 1));  // goes nowhere, crashes nothing; the obj comes home at close
}

TEST_P(XdpRootTest, ClosingWithFramesEverywhereAndOpeningAgain) {
  for (int round = 0; round < 3; ++round) {
    ASSERT_NO_FATAL_FAILURE(Open());
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(peer_->Send(TcpTo(61441)));
    std::vector<Packet> packets(50);
    for (uint32_t i = 0; i < 50; ++i) packets[i] = PacketOf(Numbered(i, 500), 100);
    io_->TransmitBurst(absl::MakeSpan(packets));
    packets.clear();
    io_.reset();
    EXPECT_EQ(memory_->outstanding(), 0u) << "round " << round;
    rules_.reset();
  }
}

TEST_P(XdpRootTest, WithoutASocketThePlansTrafficIsTheKernels) {
  ASSERT_NO_FATAL_FAILURE(OpenRules());
  ASSERT_TRUE(peer_->Send(TcpTo(61441)));
  EXPECT_EQ(kernel_->Receive(kPatienceMs), TcpTo(61441));
}

TEST_P(XdpRootTest, AKilledLunaLeavesTheInterfaceToTheKernel) {
  const int status = InChild([this] {
    Open();
    if (HasFailure() || bifurcation::xdp::AttachedProgram(veth_->luna().ifindex).value_or(0) == 0) _exit(1);
    kill(getpid(), SIGKILL);
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  const Deadline deadline(10);
  while (bifurcation::xdp::AttachedProgram(veth_->luna().ifindex).value() != 0) ASSERT_FALSE(deadline.passed());
  ASSERT_TRUE(peer_->Send(TcpTo(61441)));
  EXPECT_EQ(kernel_->Receive(kPatienceMs), TcpTo(61441));
  ASSERT_NO_FATAL_FAILURE(Open());  // a second start works at once
  ASSERT_TRUE(peer_->Send(TcpTo(61441)));
  EXPECT_EQ(ReceiveAtLuna(1, kPatienceMs).size(), 1u);
}

// What can go wrong at set-up. Not parametrised: no program is attached.
class XdpRootErrorsTest : public XdpRootTest {
 protected:
  absl::Status Refusal(const XdpOptions& options) {
    return XdpPort::Open(options, memory_->arena(), memory_->slab()).status();
  }
};
INSTANTIATE_TEST_SUITE_P(Any, XdpRootErrorsTest, ::testing::Values(AttachMode::kNative));

TEST_P(XdpRootErrorsTest, ATakenQueue) {
  ASSERT_NO_FATAL_FAILURE(Open());
  const absl::Status status = Refusal({.interface = "luna0"});
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(status.message(), HasSubstr("luna0 queue 0 has an AF_XDP socket already"));
}

TEST_P(XdpRootErrorsTest, MoreQueuesThanOne) {
  ASSERT_EQ(Shell("ip link add two0 numrxqueues 2 numtxqueues 2 type veth peer name two1 && ip link set two1 up && "
                  "ip link set two0 up"),
            absl::OkStatus());
  const absl::Status status = Refusal({.interface = "two0"});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("two0 has 2 receive queues but Luna opens 1"));
  EXPECT_THAT(status.message(), HasSubstr("ethtool -L two0"));
  EXPECT_EQ(Refusal({.interface = "two0", .queue = 1, .allow_more_queues = true}), absl::OkStatus());
  EXPECT_THAT(Refusal({.interface = "two0", .queue = 2}).message(), HasSubstr("has no queue 2, only 2"));
}

TEST_P(XdpRootErrorsTest, BadOptions) {
  EXPECT_THAT(Refusal({.interface = "luna0", .rx_ring = 100}).message(), HasSubstr("take a power of two"));
  EXPECT_THAT(Refusal({.interface = "luna0", .mtu = 9000}).message(),
              HasSubstr("MTU 9000 is above that of luna0, 1500"));
  EXPECT_THAT(Refusal({.interface = "luna0", .copy_mode = CopyMode::kZeroCopy}).message(), HasSubstr("hugepages"));
  EXPECT_THAT(Refusal({.interface = "luna0", .rx_ring = 16384}).message(), HasSubstr("16384 receive buffers"));
  EXPECT_THAT(Refusal({.interface = "luna0", .xskmap_fd = 0}).message(), HasSubstr("into the xskmap"));
  ASSERT_EQ(Shell("ip link set luna0 down"), absl::OkStatus());
  EXPECT_THAT(Refusal({.interface = "luna0"}).message(), HasSubstr("ip link set luna0 up"));
}

TEST_P(XdpRootErrorsTest, NoCapability) {
  const int status = InChild([this] {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(1);
    const absl::Status denied = Refusal({.interface = "luna0"});
    if (!absl::IsPermissionDenied(denied)) _exit(2);
    if (denied.message().find("CAP_NET_RAW") == absl::string_view::npos) _exit(3);
  });
  EXPECT_EQ(status, 0) << "exit code " << WEXITSTATUS(status);
}

// Gives up the two capabilities that lift the limit on locked memory.
bool LimitLockedMemory(rlim_t soft, bool hard_too) {
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return false;
  limit.rlim_cur = soft;
  if (hard_too) limit.rlim_max = soft;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || syscall(SYS_capget, &header, data) != 0) return false;
  for (__user_cap_data_struct& d : data) d.inheritable = 0;
  for (uint32_t* set : {&data[0].effective, &data[0].permitted}) *set &= ~(1u << CAP_IPC_LOCK | 1u << CAP_SYS_RESOURCE);
  return syscall(SYS_capset, &header, data) == 0;
}

TEST_P(XdpRootErrorsTest, TooLittleLockedMemory) {
  const int status = InChild([this] {
    if (!LimitLockedMemory(64 << 10, true)) _exit(1);
    const absl::Status refused = Refusal({.interface = "luna0"});
    std::cerr << refused << "\n";
    if (!absl::IsResourceExhausted(refused)) _exit(2);
    if (refused.message().find("may not lock 16 MB") == absl::string_view::npos) _exit(3);
  });
  EXPECT_EQ(status, 0) << "exit code " << WEXITSTATUS(status);
}

TEST_P(XdpRootErrorsTest, TheSoftLimitOfLockedMemoryIsRaised) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
  if (limit.rlim_max < 8 << 20) GTEST_SKIP() << "needs a hard limit of locked memory of 8 MB";
  zbuf::TestSlab small(4 << 20);
  const int status = InChild([&small] {
    if (!LimitLockedMemory(64 << 10, false)) _exit(1);
    const XdpOptions options{.interface = "luna0", .rx_ring = 64};
    const absl::Status opened = XdpPort::Open(options, small.arena(), small.slab()).status();
    std::cerr << opened << "\n";
    if (!opened.ok()) _exit(2);
  });
  EXPECT_EQ(status, 0) << "exit code " << WEXITSTATUS(status);
}

}  // namespace
}  // namespace luna::pmd::xdp
