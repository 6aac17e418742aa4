// The XDP program in the kernel: verifier, verdicts by BPF_PROG_TEST_RUN, attaching, replacing, and a clean NIC after
// death. Needs root; works in network namespaces of its own.

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "luna/flow/bifurcation/xdp/testing/frames.h"
#include "luna/flow/bifurcation/xdp/testing/in_child.h"
#include "luna/flow/bifurcation/xdp/testing/veth_pair.h"
#include "luna/flow/bifurcation/xdp/xdp_rule_installer.h"

namespace luna::bifurcation::xdp {
namespace {

using ::testing::HasSubstr;

const wire::Ipv4Address kA(10, 0, 0, 2);
const wire::Ipv4Address kB(192, 168, 255, 254);

PortPlan PlanOf(std::vector<uint16_t> ports) {
  PortPlanSpec spec;
  spec.listen_ports = std::move(ports);
  return PortPlan::Create(spec).value();
}

class XdpRuleInstallerRootTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string why = WhyNotRoot();
    if (!why.empty()) GTEST_SKIP() << why;
    absl::StatusOr<std::unique_ptr<VethPair>> veth = VethPair::Create();
    ASSERT_TRUE(veth.ok()) << veth.status();
    veth_ = *std::move(veth);
  }

  std::unique_ptr<XdpRuleInstaller> Open(XdpInstallerOptions options = {.interface = "luna0"}) {
    absl::StatusOr<std::unique_ptr<XdpRuleInstaller>> installer = XdpRuleInstaller::Open(options);
    EXPECT_TRUE(installer.ok()) << installer.status();
    return installer.ok() ? *std::move(installer) : nullptr;
  }

  uint32_t Attached() { return AttachedProgram(veth_->luna().ifindex).value(); }

  std::unique_ptr<VethPair> veth_;
};

// Runs the attached program on frames, in the kernel.
class KernelRunner {
 public:
  explicit KernelRunner(const XdpRuleInstaller& installer)
      : program_fd_(bpf_prog_get_fd_by_id(installer.program_id())), socket_fd_(socket(AF_XDP, SOCK_RAW, 0)) {
    const uint32_t queue = 0;
    EXPECT_GE(program_fd_, 0);
    EXPECT_EQ(bpf_map_update_elem(installer.xskmap_fd(), &queue, &socket_fd_, BPF_ANY), 0) << errno;
  }
  ~KernelRunner() {
    close(program_fd_);
    close(socket_fd_);
  }
  uint32_t Verdict(const std::vector<uint8_t>& frame) const {
    bpf_test_run_opts run{};
    run.sz = sizeof(run);
    run.data_in = frame.data();
    run.data_size_in = static_cast<uint32_t>(frame.size());
    run.repeat = 1;
    EXPECT_EQ(bpf_prog_test_run_opts(program_fd_, &run), 0) << errno;
    return run.retval;
  }

 private:
  const int program_fd_;
  const int socket_fd_;
};

TEST_F(XdpRuleInstallerRootTest, TheKernelsVerdictsAgreeWithThePlan) {
  const char* replay = std::getenv("LUNA_TEST_SEED");
  const uint32_t seed =
      replay != nullptr ? static_cast<uint32_t>(std::strtoul(replay, nullptr, 0)) : std::random_device()();
  SCOPED_TRACE(::testing::Message() << "LUNA_TEST_SEED=" << seed);
  std::mt19937 random(seed);
  for (const bool tagged : {false, true}) {
    const PortPlan plan =
        PortPlan::Create(
            {.addresses = {kA, kB}, .listen_ports = {8080}, .client_ranges = {{61440, 65535}, {30001, 39999}}})
            .value();
    auto installer = Open({.interface = "luna0", .compile = {.match_vlan_tagged = tagged}});
    ASSERT_NE(installer, nullptr);
    ASSERT_EQ(installer->Install(plan), absl::OkStatus());
    const KernelRunner kernel(*installer);
    int redirected = 0;
    for (int i = 0; i < 5000; ++i) {
      const FrameSpec f = RandomFrame(random, {kA, kB}, {8080, 61440, 65535, 30001, 39999});
      const std::vector<uint8_t> frame = BuildFrame(f);
      if (frame.size() < 14) continue;  // the kernel's test run takes no less
      const bool luna = IsWholeTcp(f, tagged) && plan.Matches(f.destination, f.destination_port);
      ASSERT_EQ(kernel.Verdict(frame), luna ? XDP_REDIRECT : XDP_PASS) << "frame " << i;
      redirected += luna;
    }
    EXPECT_GT(redirected, 500) << "the frames are too random to test anything";
  }
}

TEST_F(XdpRuleInstallerRootTest, TheVerifierTakesTheLargestPlan) {
  PortPlanSpec spec;
  for (int i = 0; i < 512; ++i) spec.listen_ports.push_back(static_cast<uint16_t>(20000 + 2 * i));
  spec.addresses = {kA, kB};
  const PortPlan plan = PortPlan::Create(spec).value();
  ASSERT_EQ(plan.rule_count(), PortPlan::kMaxRules);
  auto installer = Open();
  ASSERT_NE(installer, nullptr);
  EXPECT_EQ(installer->Install(plan), absl::OkStatus());
}

TEST_F(XdpRuleInstallerRootTest, InstallReplaceRemove) {
  auto installer = Open();
  ASSERT_NE(installer, nullptr);
  EXPECT_EQ(installer->Remove(), absl::OkStatus()) << "nothing to remove";
  ASSERT_EQ(installer->Install(PlanOf({8080})), absl::OkStatus());
  EXPECT_EQ(installer->attached_mode(), AttachMode::kNative) << "veth can";
  const uint32_t first = Attached();
  EXPECT_NE(first, 0u);
  EXPECT_EQ(first, installer->program_id());

  ASSERT_EQ(installer->Install(PlanOf({9090})), absl::OkStatus());
  EXPECT_NE(Attached(), first);
  EXPECT_EQ(Attached(), installer->program_id());
  EXPECT_EQ(KernelRunner(*installer).Verdict(BuildFrame({.destination_port = 9090})), XDP_REDIRECT);
  EXPECT_EQ(KernelRunner(*installer).Verdict(BuildFrame({.destination_port = 8080})), XDP_PASS);

  EXPECT_EQ(installer->Remove(), absl::OkStatus());
  EXPECT_EQ(Attached(), 0u);
}

TEST_F(XdpRuleInstallerRootTest, GenericModeOnRequest) {
  auto installer = Open({.interface = "luna0", .mode = AttachMode::kGeneric});
  ASSERT_NE(installer, nullptr);
  ASSERT_EQ(installer->Install(PlanOf({8080})), absl::OkStatus());
  EXPECT_EQ(installer->attached_mode(), AttachMode::kGeneric);
}

TEST_F(XdpRuleInstallerRootTest, AutoFallsBackWhereTheDriverCannot) {
  // The namespace's own loopback: its driver knows no XDP.
  auto native = Open({.interface = "lo", .mode = AttachMode::kNative});
  ASSERT_NE(native, nullptr);
  EXPECT_EQ(native->Install(PlanOf({8080})).code(), absl::StatusCode::kUnimplemented);
  auto automatic = Open({.interface = "lo"});
  ASSERT_NE(automatic, nullptr);
  EXPECT_EQ(automatic->Install(PlanOf({8080})), absl::OkStatus());
  EXPECT_EQ(automatic->attached_mode(), AttachMode::kGeneric);
}

TEST_F(XdpRuleInstallerRootTest, RefusesAnInterfaceThatIsTaken) {
  auto first = Open(), late = Open();
  ASSERT_NE(first, nullptr);
  ASSERT_NE(late, nullptr);
  ASSERT_EQ(first->Install(PlanOf({8080})), absl::OkStatus());
  const absl::Status statuses[] = {XdpRuleInstaller::Open({.interface = "luna0"}).status(),
                                   late->Install(PlanOf({9090}))};
  for (const absl::Status& status : statuses) {
    EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
    EXPECT_THAT(status.message(), HasSubstr("luna0 already has XDP program"));
    EXPECT_THAT(status.message(), HasSubstr("luna_bifurcate"));
    EXPECT_THAT(status.message(), HasSubstr("`ip link set dev luna0 xdp off`"));
  }
  EXPECT_EQ(Attached(), first->program_id());
}

TEST_F(XdpRuleInstallerRootTest, RefusesAProgramThatIsNoLinkAndTheMendMends) {
  const bpf_insn pass[] = {{.code = 0xb7, .dst_reg = 0, .imm = XDP_PASS}, {.code = 0x95}};
  const int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "stranger", "GPL", pass, 2, nullptr);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(bpf_xdp_attach(veth_->luna().ifindex, fd, 0, nullptr), 0);
  close(fd);
  EXPECT_THAT(XdpRuleInstaller::Open({.interface = "luna0"}).status().message(), HasSubstr("(stranger)"));
  ASSERT_EQ(Shell("ip link set dev luna0 xdp off"), absl::OkStatus());
  EXPECT_TRUE(XdpRuleInstaller::Open({.interface = "luna0"}).ok());
}

TEST_F(XdpRuleInstallerRootTest, AFailedInstallKeepsTheEarlierProgram) {
  auto installer = Open();
  ASSERT_NE(installer, nullptr);
  ASSERT_EQ(installer->Install(PlanOf({8080})), absl::OkStatus());
  const uint32_t before = Attached();
  PortPlanSpec spread{.listen_ports = {9090}, .listen_hash_bits = 1};
  EXPECT_EQ(installer->Install(PortPlan::Create(spread).value()).code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(Attached(), before);
}

TEST_F(XdpRuleInstallerRootTest, NoProgramOutlivesAKilledProcess) {
  const int ifindex = veth_->luna().ifindex;
  const int status = InChild([ifindex] {
    absl::StatusOr<std::unique_ptr<XdpRuleInstaller>> installer = XdpRuleInstaller::Open({.interface = "luna0"});
    if (!installer.ok() || !(*installer)->Install(PlanOf({8080})).ok()) _exit(1);
    if (AttachedProgram(ifindex).value_or(0) == 0) _exit(2);
    kill(getpid(), SIGKILL);
  });
  ASSERT_TRUE(WIFSIGNALED(status)) << "exit code " << WEXITSTATUS(status);
  // The kernel may let go a moment after the process is gone.
  for (int i = 0; i < 200 && Attached() != 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(Attached(), 0u);
}

TEST_F(XdpRuleInstallerRootTest, MissingCapabilitiesAreOneLine) {
  const int status = InChild([] {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(1);
    const absl::Status denied = XdpRuleInstaller::Open({.interface = "luna0"}).status();
    if (!absl::IsPermissionDenied(denied)) _exit(2);
    if (denied.message().find("CAP_BPF and CAP_NET_ADMIN") == absl::string_view::npos) _exit(3);
  });
  EXPECT_EQ(status, 0) << "exit code " << WEXITSTATUS(status);
}

}  // namespace
}  // namespace luna::bifurcation::xdp
