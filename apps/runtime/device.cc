#include "luna/apps/runtime/device.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "luna/flow/bifurcation/xdp/xdp_rule_installer.h"
#include "luna/net/pmd/dpdk/eal.h"
#include "luna/net/pmd/dpdk/port.h"
#include "luna/net/pmd/tap.h"
#include "luna/net/pmd/xdp/xdp_port.h"

namespace luna::apps {
namespace {

constexpr uint32_t kDefaultMtu = 1500;

absl::Status Named(const RuntimeOptions& options, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("--device=", options.device, ": ", status.message()));
}

class TapDevice final : public Device {
 public:
  explicit TapDevice(std::unique_ptr<pmd::TapPacketIo> io) : io_(std::move(io)) {}
  pmd::PacketIo& io() override { return *io_; }

 private:
  std::unique_ptr<pmd::TapPacketIo> io_;
};

class XdpDevice final : public Device {
 public:
  XdpDevice(std::unique_ptr<bifurcation::xdp::XdpRuleInstaller> rules, std::unique_ptr<pmd::xdp::XdpPacketIo> io)
      : rules_(std::move(rules)), io_(std::move(io)) {}
  pmd::PacketIo& io() override { return *io_; }
  bool kernel_owns_control_plane() const override { return true; }
  absl::Status InstallRules(const bifurcation::PortPlan& plan) override { return rules_->Install(plan); }

 private:
  std::unique_ptr<bifurcation::xdp::XdpRuleInstaller> rules_;
  std::unique_ptr<pmd::xdp::XdpPacketIo> io_;
};

class DpdkDevice final : public Device {
 public:
  DpdkDevice(std::unique_ptr<pmd::dpdk::Eal> eal, std::unique_ptr<pmd::dpdk::Port> port)
      : eal_(std::move(eal)), port_(std::move(port)) {}
  pmd::PacketIo& io() override { return port_->queue(0); }

 private:
  std::unique_ptr<pmd::dpdk::Eal> eal_;
  std::unique_ptr<pmd::dpdk::Port> port_;
};

absl::StatusOr<std::unique_ptr<Device>> OpenTap(const RuntimeOptions& options, absl::string_view name,
                                                zbuf::Slab& slab) {
  auto io =
      pmd::TapPacketIo::Open({.name = std::string(name), .mtu = options.mtu == 0 ? kDefaultMtu : options.mtu}, slab);
  if (!io.ok()) return io.status();
  return std::make_unique<TapDevice>(*std::move(io));
}

// "eth1", "eth1,queue=2", "eth1,mode=generic".
absl::StatusOr<std::unique_ptr<Device>> OpenXdp(const RuntimeOptions& options, absl::string_view text,
                                                zbuf::Arena& arena, zbuf::Slab& slab) {
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  bifurcation::xdp::XdpInstallerOptions installer{.interface = parts[0]};
  pmd::xdp::XdpOptions xdp{.interface = parts[0], .mtu = options.mtu};
  for (size_t i = 1; i < parts.size(); ++i) {
    absl::string_view value = parts[i];
    if (absl::ConsumePrefix(&value, "queue=") && absl::SimpleAtoi(value, &xdp.queue) && xdp.queue < installer.queues) {
      continue;
    }
    if (parts[i] == "mode=generic") {
      installer.mode = bifurcation::xdp::AttachMode::kGeneric;
    } else if (parts[i] == "mode=native") {
      installer.mode = bifurcation::xdp::AttachMode::kNative;
    } else if (parts[i] != "mode=auto") {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", parts[i], "\" is not understood; write xdp:INTERFACE[,queue=N][,mode=auto|native|generic]"));
    }
  }
  auto rules = bifurcation::xdp::XdpRuleInstaller::Open(installer);
  if (!rules.ok()) return rules.status();
  xdp.xskmap_fd = (*rules)->xskmap_fd();
  auto io = pmd::xdp::XdpPort::Open(xdp, arena, slab);
  if (!io.ok()) return io.status();
  return std::make_unique<XdpDevice>(*std::move(rules), *std::move(io));
}

absl::StatusOr<std::unique_ptr<Device>> OpenDpdk(const RuntimeOptions& options, zbuf::Slab& slab) {
  // Before EAL starts, which takes a while and can be done only once.
  auto devargs = pmd::dpdk::Devargs::Parse(options.device);
  if (!devargs.ok()) return devargs.status();
  pmd::dpdk::EalOptions eal_options;
  eal_options.pci = devargs->is_pci();
  eal_options.huge = options.huge == HugePages::kOn    ? pmd::dpdk::Huge::kOn
                     : options.huge == HugePages::kOff ? pmd::dpdk::Huge::kOff
                                                       : pmd::dpdk::Huge::kAuto;
  auto eal = pmd::dpdk::Eal::Init(eal_options);
  if (!eal.ok()) return eal.status();
  auto port = pmd::dpdk::Port::Open(
      **eal, {.devargs = options.device, .slabs = {&slab}, .mtu = options.mtu == 0 ? kDefaultMtu : options.mtu});
  if (!port.ok()) return port.status();
  return std::make_unique<DpdkDevice>(*std::move(eal), *std::move(port));
}

absl::StatusOr<std::unique_ptr<Device>> Open(const RuntimeOptions& options, zbuf::Arena& arena, zbuf::Slab& slab) {
  absl::string_view rest = options.device;
  if (absl::ConsumePrefix(&rest, "tap:")) return OpenTap(options, rest, slab);
  if (absl::ConsumePrefix(&rest, "xdp:")) return OpenXdp(options, rest, arena, slab);
  return OpenDpdk(options, slab);
}

}  // namespace

std::unique_ptr<zbuf::PageSource> MakePageSource(const RuntimeOptions& options) {
  using zbuf::HugePageSource;
  if (options.huge == HugePages::kOff) return std::make_unique<zbuf::AnonymousPageSource>();
  return std::make_unique<HugePageSource>(options.huge == HugePages::kOn
                                              ? HugePageSource::WhenShort::kFail
                                              : HugePageSource::WhenShort::kUseOrdinaryMemory);
}

absl::StatusOr<std::unique_ptr<Device>> OpenDevice(const RuntimeOptions& options, zbuf::Arena& arena,
                                                   zbuf::Slab& slab) {
  auto device = Open(options, arena, slab);
  if (!device.ok()) return Named(options, device.status());
  return device;
}

}  // namespace luna::apps
