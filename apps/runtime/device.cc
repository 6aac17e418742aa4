#include "luna/apps/runtime/device.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "luna/apps/runtime/port_reservation.h"
#include "luna/flow/bifurcation/xdp/xdp_rule_installer.h"
#include "luna/net/pmd/dpdk/devargs.h"
#include "luna/net/pmd/dpdk/eal.h"
#include "luna/net/pmd/dpdk/eal_page_source.h"
#include "luna/net/pmd/dpdk/port.h"
#include "luna/net/pmd/packet_socket.h"
#include "luna/net/pmd/tap.h"
#include "luna/net/pmd/xdp/xdp_port.h"

namespace luna::apps {
namespace {

constexpr uint32_t kDefaultMtu = 1500;

uint32_t MtuOrDefault(const RuntimeOptions& options) { return options.mtu == 0 ? kDefaultMtu : options.mtu; }

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

class PacketSocketDevice final : public Device {
 public:
  explicit PacketSocketDevice(std::unique_ptr<pmd::PacketSocketIo> io) : io_(std::move(io)) {}
  pmd::PacketIo& io() override { return *io_; }

 private:
  std::unique_ptr<pmd::PacketSocketIo> io_;
};

class XdpDevice final : public Device {
 public:
  XdpDevice(std::unique_ptr<bifurcation::xdp::XdpRuleInstaller> rules, std::unique_ptr<pmd::xdp::XdpPacketIo> io)
      : rules_(std::move(rules)), io_(std::move(io)) {}
  pmd::PacketIo& io() override { return *io_; }
  bool kernel_owns_control_plane() const override { return true; }
  absl::Status InstallRules(const bifurcation::PortPlan& plan) override {
    if (absl::Status status = ports_.Reserve(plan); !status.ok()) return status;
    return rules_->Install(plan);
  }

 private:
  PortReservation ports_;
  std::unique_ptr<bifurcation::xdp::XdpRuleInstaller> rules_;
  std::unique_ptr<pmd::xdp::XdpPacketIo> io_;
};

class DpdkDevice final : public Device {
 public:
  explicit DpdkDevice(std::unique_ptr<pmd::dpdk::Port> port) : port_(std::move(port)) {}
  pmd::PacketIo& io() override { return port_->queue(0); }

 private:
  std::unique_ptr<pmd::dpdk::Port> port_;
};

// "luna0", "luna0,offloads=off": a name, and whether the device speaks of offloads.
struct NameAndOffloads {
  std::string name;
  bool offloads = true;
};

absl::StatusOr<NameAndOffloads> ParseNameAndOffloads(absl::string_view form, absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  NameAndOffloads out{.name = parts[0]};
  for (size_t i = 1; i < parts.size(); ++i) {
    if (parts[i] != "offloads=on" && parts[i] != "offloads=off") {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", parts[i], "\" is not understood; write ", form, "[,offloads=on|off]"));
    }
    out.offloads = parts[i] == "offloads=on";
  }
  return out;
}

absl::StatusOr<std::unique_ptr<Device>> OpenTap(const RuntimeOptions& options, absl::string_view text,
                                                zbuf::Slab& slab) {
  auto parsed = ParseNameAndOffloads("tap:NAME", text);
  if (!parsed.ok()) return parsed.status();
  auto io =
      pmd::TapPacketIo::Open({.name = parsed->name, .mtu = MtuOrDefault(options), .offloads = parsed->offloads}, slab);
  if (!io.ok()) return io.status();
  return std::make_unique<TapDevice>(*std::move(io));
}

absl::StatusOr<std::unique_ptr<Device>> OpenPacketSocket(const RuntimeOptions& options, absl::string_view text,
                                                         zbuf::Slab& slab) {
  auto parsed = ParseNameAndOffloads("packet:INTERFACE", text);
  if (!parsed.ok()) return parsed.status();
  pmd::PacketSocketOptions socket{.interface = parsed->name, .mtu = options.mtu, .offloads = parsed->offloads};
  for (const wire::Ipv4Prefix& address : options.addresses) socket.addresses.push_back(address.address());
  auto io = pmd::PacketSocketIo::Open(socket, slab);
  if (!io.ok()) return io.status();
  return std::make_unique<PacketSocketDevice>(*std::move(io));
}

// "eth1", "eth1,mode=generic".
absl::StatusOr<std::unique_ptr<Device>> OpenXdp(const RuntimeOptions& options, absl::string_view text,
                                                zbuf::Arena& arena, zbuf::Slab& slab) {
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  bifurcation::xdp::XdpInstallerOptions installer{.interface = parts[0]};
  pmd::xdp::XdpOptions xdp{.interface = parts[0], .mtu = options.mtu};
  for (size_t i = 1; i < parts.size(); ++i) {
    if (parts[i] == "mode=generic") {
      installer.mode = bifurcation::xdp::AttachMode::kGeneric;
    } else if (parts[i] == "mode=native") {
      installer.mode = bifurcation::xdp::AttachMode::kNative;
    } else if (parts[i] != "mode=auto") {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", parts[i], "\" is not understood; write xdp:INTERFACE[,mode=auto|native|generic]"));
    }
  }
  auto rules = bifurcation::xdp::XdpRuleInstaller::Open(installer);
  if (!rules.ok()) return rules.status();
  xdp.xskmap_fd = (*rules)->xskmap_fd();
  auto io = pmd::xdp::XdpPort::Open(xdp, arena, slab);
  if (!io.ok()) return io.status();
  return std::make_unique<XdpDevice>(*std::move(rules), *std::move(io));
}

std::unique_ptr<zbuf::PageSource> MakePageSource(HugePages huge) {
  using zbuf::HugePageSource;
  if (huge == HugePages::kOff) return std::make_unique<zbuf::AnonymousPageSource>();
  return std::make_unique<HugePageSource>(huge == HugePages::kOn ? HugePageSource::WhenShort::kFail
                                                                 : HugePageSource::WhenShort::kUseOrdinaryMemory);
}

// Devices without DPDK.
class PlainPlatform final : public Platform {
 public:
  explicit PlainPlatform(const RuntimeOptions& options) : options_(options), pages_(MakePageSource(options.huge)) {}
  zbuf::PageSource& pages() override { return *pages_; }
  absl::StatusOr<std::unique_ptr<Device>> OpenDevice(zbuf::Arena& arena, zbuf::Slab& slab) override {
    absl::string_view rest = options_.device;
    auto device = absl::ConsumePrefix(&rest, "tap:")      ? OpenTap(options_, rest, slab)
                  : absl::ConsumePrefix(&rest, "packet:") ? OpenPacketSocket(options_, rest, slab)
                  : absl::ConsumePrefix(&rest, "xdp:")    ? OpenXdp(options_, rest, arena, slab)
                                                          : absl::InternalError("not a device without DPDK");
    if (!device.ok()) return Named(options_, device.status());
    return device;
  }

 private:
  const RuntimeOptions options_;
  std::unique_ptr<zbuf::PageSource> pages_;
};

// DPDK starts once in a process: between two Runtimes it waits here.
class EalOfProcess {
 public:
  static absl::StatusOr<std::unique_ptr<pmd::dpdk::Eal>> Take(const pmd::dpdk::EalOptions& options) {
    EalOfProcess& self = Instance();
    if (self.eal_ == nullptr) {
      auto eal = pmd::dpdk::Eal::Init(options);
      if (eal.ok()) self.options_ = options;
      return eal;
    }
    const bool same = self.options_.huge == options.huge && self.options_.pci == options.pci &&
                      self.options_.memory_mb == options.memory_mb;
    if (same) return std::move(self.eal_);
    return absl::FailedPreconditionError(
        "DPDK was started with other memory or without PCI; it starts once in a process");
  }
  static void GiveBack(std::unique_ptr<pmd::dpdk::Eal> eal) {
    eal->RemoveFiles();
    Instance().eal_ = std::move(eal);
  }

 private:
  static EalOfProcess& Instance() {
    static auto* const instance = new EalOfProcess;
    return *instance;
  }

  std::unique_ptr<pmd::dpdk::Eal> eal_;  // null: not started, or in use
  pmd::dpdk::EalOptions options_;
};

// DPDK's devices. A PCI device gets memory from DPDK's heap, which is mapped for it; a software device takes any.
class DpdkPlatform final : public Platform {
 public:
  static absl::StatusOr<std::unique_ptr<Platform>> Open(const RuntimeOptions& options) {
    // Before EAL starts, which takes a while and can be done only once.
    auto devargs = pmd::dpdk::Devargs::Parse(options.device);
    if (!devargs.ok()) return Named(options, devargs.status());
    pmd::dpdk::EalOptions eal_options;
    eal_options.pci = devargs->is_pci();
    if (devargs->is_pci()) eal_options.memory_mb += options.memory_mb;
    eal_options.huge = options.huge == HugePages::kOn    ? pmd::dpdk::Huge::kOn
                       : options.huge == HugePages::kOff ? pmd::dpdk::Huge::kOff
                                                         : pmd::dpdk::Huge::kAuto;
    auto eal = EalOfProcess::Take(eal_options);
    if (!eal.ok() && options.huge == HugePages::kOn && absl::IsResourceExhausted(eal.status())) {
      return absl::Status(eal.status().code(), absl::StrCat("--huge=on: ", eal.status().message(),
                                                            "; or say --huge=auto to do without hugepages"));
    }
    if (!eal.ok()) return Named(options, eal.status());
    std::unique_ptr<DpdkPlatform> platform(new DpdkPlatform(options, *std::move(eal), devargs->driver().is_memory));
    if (devargs->is_pci()) {
      platform->pages_ = std::make_unique<pmd::dpdk::EalPageSource>(*platform->eal_);
    } else {
      platform->pages_ = MakePageSource(options.huge);
    }
    return platform;
  }

  ~DpdkPlatform() override {
    pages_.reset();
    EalOfProcess::GiveBack(std::move(eal_));
  }
  zbuf::PageSource& pages() override { return *pages_; }
  bool device_is_memory() const override { return is_memory_; }
  absl::StatusOr<std::unique_ptr<Device>> OpenDevice(zbuf::Arena&, zbuf::Slab& slab) override {
    auto port = pmd::dpdk::Port::Open(
        *eal_,
        {.devargs = options_.device, .slabs = {&slab}, .mtu = MtuOrDefault(options_), .vlan = options_.vlan != 0});
    if (!port.ok()) return Named(options_, port.status());
    return std::make_unique<DpdkDevice>(*std::move(port));
  }

 private:
  DpdkPlatform(const RuntimeOptions& options, std::unique_ptr<pmd::dpdk::Eal> eal, bool is_memory)
      : options_(options), is_memory_(is_memory), eal_(std::move(eal)) {}

  const RuntimeOptions options_;
  const bool is_memory_;
  std::unique_ptr<pmd::dpdk::Eal> eal_;
  std::unique_ptr<zbuf::PageSource> pages_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Platform>> OpenPlatform(const RuntimeOptions& options) {
  if (absl::StartsWith(options.device, "tap:") || absl::StartsWith(options.device, "packet:") ||
      absl::StartsWith(options.device, "xdp:")) {
    return std::make_unique<PlainPlatform>(options);
  }
  return DpdkPlatform::Open(options);
}

}  // namespace luna::apps
