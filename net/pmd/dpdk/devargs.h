#ifndef LUNA_NET_PMD_DPDK_DEVARGS_H_
#define LUNA_NET_PMD_DPDK_DEVARGS_H_

// Devargs: the text that names a DPDK device, taken apart and checked before DPDK sees it.
//
//   net_memif0,role=client,id=7        a virtual device: a driver's prefix, a suffix that makes the name unique, keys
//   0000:03:00.0,some_key=1            a PCI address (the domain may be missing), keys of the device's driver
//
// DPDK itself ignores some mistakes and reports others by a number. Here every mistake is one line that quotes the
// devargs, says what is wrong and what would be right. No DPDK and no state: pure functions, any thread.

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"

namespace luna::pmd::dpdk {

// How a port's buffers and the driver's go together.
enum class BufferMode {
  kAuto,  // what the driver's row in the table says
  kZbuf,  // receive rings are filled with Zbuf objs, transmit gathers from them: no copy here
  kCopy,  // the driver insists on mbufs of DPDK's own layout: one copy each way, counted in IoStats
};

// What we know of a driver beyond what rte_eth_dev_info says.
struct Driver {
  absl::string_view prefix;                      // "net_memif"; empty for PCI devices
  BufferMode mode = BufferMode::kZbuf;           // never kAuto
  bool is_memory = false;                        // both ends are processes of this machine: nothing damages a frame
  bool is_kernel_link = false;                   // `iface=` names a kernel interface whose MAC and index are ours
  bool soft_mtu = true;                          // has no MTU of its own to set
  absl::Span<const absl::string_view> keys;      // that it understands; empty: not checked here
  absl::Span<const absl::string_view> required;  // keys without which it cannot open
  absl::string_view needs;                       // privileges, for messages; empty: none
};

class Devargs {
 public:
  // InvalidArgument: empty, malformed, unknown driver, unknown or missing or repeated key.
  static absl::StatusOr<Devargs> Parse(absl::string_view text);

  const std::string& text() const { return text_; }  // as given, for messages
  const std::string& name() const { return name_; }  // "net_memif0", or the PCI address with its domain
  const Driver& driver() const { return *driver_; }
  bool is_pci() const { return is_pci_; }

  absl::optional<absl::string_view> Find(absl::string_view key) const;
  // Adds `key=value` unless the key is there.
  void SetDefault(absl::string_view key, absl::string_view value);
  // "k=v,k=v" without the name; may be empty.
  std::string Arguments() const;

  // `device "TEXT": MESSAGE`, the form of every error about a device.
  std::string Message(absl::string_view message) const;

 private:
  Devargs() = default;
  absl::Status SplitArguments(absl::Span<const absl::string_view> parts);
  absl::Status CheckKeys() const;

  std::string text_;
  std::string name_;
  const Driver* driver_ = nullptr;
  bool is_pci_ = false;
  std::vector<std::pair<std::string, std::string>> arguments_;
};

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_DEVARGS_H_
