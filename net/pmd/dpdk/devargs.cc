#include "luna/net/pmd/dpdk/devargs.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace luna::pmd::dpdk {
namespace {

// Debian's absl::string_view is not std's: a plain array of literals converts.
constexpr absl::string_view kMemifKeys[] = {"id",  "role",   "bsize",    "rsize", "socket", "socket-abstract",
                                            "mac", "secret", "zero-copy"};
constexpr absl::string_view kRingKeys[] = {"nodeaction"};
constexpr absl::string_view kAfPacketKeys[] = {"iface", "qpairs", "blocksz", "framesz", "framecnt", "qdisc_bypass"};
constexpr absl::string_view kAfXdpKeys[] = {"iface",       "start_queue", "queue_count",
                                            "shared_umem", "xdp_prog",    "busy_budget"};
constexpr absl::string_view kTapKeys[] = {"iface", "remote", "mac", "persist"};
constexpr absl::string_view kNullKeys[] = {"size", "copy", "no-rx"};
constexpr absl::string_view kPcapKeys[] = {"rx_pcap",  "tx_pcap", "rx_iface", "rx_iface_in",
                                           "tx_iface", "iface",   "phy_mac",  "infinite_rx"};
constexpr absl::string_view kIface[] = {"iface"};

constexpr Driver kDrivers[] = {
    {.prefix = "net_memif", .is_memory = true, .keys = kMemifKeys},
    {.prefix = "net_ring", .is_memory = true, .keys = kRingKeys},
    {.prefix = "net_af_packet",
     .is_kernel_link = true,
     .soft_mtu = true,
     .keys = kAfPacketKeys,
     .required = kIface,
     .needs = "root or CAP_NET_RAW"},
    // Its UMEM is the receive mempool's first chunk in DPDK's own element layout, and it sends a foreign mbuf by
    // copying the packet's whole length from the first segment: so neither Zbuf objs nor chains may reach it
    // (DPDK 22.11).
    {.prefix = "net_af_xdp",
     .mode = BufferMode::kCopy,
     .is_kernel_link = true,
     .soft_mtu = true,
     .keys = kAfXdpKeys,
     .required = kIface,
     .needs = "root or CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF"},
    {.prefix = "net_tap", .keys = kTapKeys, .needs = "root or CAP_NET_ADMIN, and /dev/net/tun"},
    {.prefix = "net_null", .keys = kNullKeys},
    {.prefix = "net_pcap", .keys = kPcapKeys},
};
constexpr Driver kOtherVirtual = {.prefix = "net_"};
constexpr Driver kPci = {.soft_mtu = false, .needs = "a device bound to vfio-pci, and access to /dev/vfio"};

std::string KnownPrefixes() {
  return absl::StrJoin(kDrivers, ", ", [](std::string* out, const Driver& d) {
    absl::StrAppend(out, std::string(d.prefix.data(), d.prefix.size()));
  });
}

bool IsHex(absl::string_view text, size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), absl::ascii_isxdigit);
}

// [dddd:]bb:dd.f
bool IsPciAddress(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  if (parts.size() != 2 && parts.size() != 3) return false;
  if (parts.size() == 3 && !IsHex(parts[0], 4)) return false;
  const absl::string_view device = parts.back();
  return IsHex(parts[parts.size() - 2], 2) && device.size() == 4 && IsHex(device.substr(0, 2), 2) && device[2] == '.' &&
         device[3] >= '0' && device[3] <= '7';
}

bool IsName(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-'; });
}

const Driver* FindDriver(absl::string_view name) {
  for (const Driver& driver : kDrivers) {
    if (absl::StartsWith(name, driver.prefix)) return &driver;
  }
  return absl::StartsWith(name, kOtherVirtual.prefix) && name.size() > kOtherVirtual.prefix.size() ? &kOtherVirtual
                                                                                                   : nullptr;
}

bool Has(absl::Span<const absl::string_view> list, absl::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

}  // namespace

absl::StatusOr<Devargs> Devargs::Parse(absl::string_view text) {
  Devargs devargs;
  devargs.text_ = std::string(text);
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ',');
  const absl::string_view name = parts[0];
  devargs.is_pci_ = IsPciAddress(name);
  if (devargs.is_pci_) {
    devargs.name_ = name.size() == 7 ? absl::StrCat("0000:", name) : std::string(name);
    devargs.driver_ = &kPci;
  } else {
    devargs.name_ = std::string(name);
    devargs.driver_ = FindDriver(name);
    // DPDK keeps device names in 64 bytes.
    if (devargs.driver_ == nullptr || !IsName(name) || name.size() > 60) {
      return absl::InvalidArgumentError(
          devargs.Message(absl::StrCat("no such device; a name begins with one of ", KnownPrefixes(),
                                       " and ends in letters, digits or '_', or is a PCI address like 0000:03:00.0")));
    }
  }
  if (absl::Status s = devargs.SplitArguments(absl::MakeConstSpan(parts).subspan(1)); !s.ok()) return s;
  if (absl::Status s = devargs.CheckKeys(); !s.ok()) return s;
  return devargs;
}

absl::Status Devargs::SplitArguments(absl::Span<const absl::string_view> parts) {
  for (absl::string_view part : parts) {
    const size_t equals = part.find('=');
    if (equals == absl::string_view::npos || equals == 0 || equals + 1 == part.size()) {
      return absl::InvalidArgumentError(
          Message(absl::StrCat("\"", part, "\" is not key=value; arguments are written name,key=value,key=value")));
    }
    const absl::string_view key = part.substr(0, equals);
    if (std::any_of(part.begin(), part.end(), absl::ascii_isspace)) {
      return absl::InvalidArgumentError(Message(absl::StrCat("\"", part, "\" has a space in it; leave it out")));
    }
    if (Find(key)) return absl::InvalidArgumentError(Message(absl::StrCat("\"", key, "\" is given twice; keep one")));
    arguments_.emplace_back(std::string(key), std::string(part.substr(equals + 1)));
  }
  return absl::OkStatus();
}

absl::Status Devargs::CheckKeys() const {
  for (const auto& [key, value] : arguments_) {
    if (driver_->keys.empty() || Has(driver_->keys, key)) continue;
    return absl::InvalidArgumentError(
        Message(absl::StrCat(driver_->prefix, " has no \"", key, "\"; it has ", absl::StrJoin(driver_->keys, ", "))));
  }
  for (absl::string_view key : driver_->required) {
    if (Find(key)) continue;
    return absl::InvalidArgumentError(
        Message(absl::StrCat(driver_->prefix, " needs ", key, "=…, for example ", name_, ",", key, "=eth0")));
  }
  return absl::OkStatus();
}

absl::optional<absl::string_view> Devargs::Find(absl::string_view key) const {
  for (const auto& [k, v] : arguments_) {
    if (k == key) return absl::string_view(v);
  }
  return absl::nullopt;
}

void Devargs::SetDefault(absl::string_view key, absl::string_view value) {
  if (!Find(key)) arguments_.emplace_back(std::string(key), std::string(value));
}

std::string Devargs::Arguments() const { return absl::StrJoin(arguments_, ",", absl::PairFormatter("=")); }

std::string Devargs::Message(absl::string_view message) const {
  return absl::StrCat("device \"", text_, "\": ", message);
}

}  // namespace luna::pmd::dpdk
