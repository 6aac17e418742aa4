#ifndef LUNA_APPS_RUNTIME_OPTIONS_H_
#define LUNA_APPS_RUNTIME_OPTIONS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "luna/net/pmd/fault_io.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::apps {

enum class HugePages { kAuto, kOn, kOff };
enum class TcpProfile { kDataCentre, kRfc };
enum class Model { kInline, kBatch };                    // r2c::Model
enum class Ecn { kProfile, kOff, kOnRequest, kAlways };  // tcp::EcnMode, or the profile's

// What a Runtime is made of. Filled in from flags (flags.h) or by a program of its own. A plain value that owns its
// strings: the Runtime takes a copy, so it may go once Runtime::Create() has returned.
struct RuntimeOptions {
  // The device (device.h): DPDK devargs ("net_memif0,role=server", "0000:03:00.0"), "tap:NAME", "packet:INTERFACE" or
  // "xdp:INTERFACE".
  std::string device;
  std::vector<wire::Ipv4Prefix> addresses;  // ours on that link; empty on xdp: the interface's
  std::vector<wire::Ipv4Address> gateways;  // default route; at most one
  std::vector<std::pair<wire::Ipv4Address, wire::MacAddress>> neighbours;  // static entries
  uint32_t mtu = 0;           // 0: the device's own, 1500 where it has none
  uint16_t vlan = 0;          // one VLAN of the device (pmd::VlanIo), 1 to 4094; 0: untagged
  bool trusted_link = false;  // no checksums, on a device that is memory (pmd::TrustedLinkIo): both ends have to say so
  uint32_t memory_mb = 128;   // Zbuf arena
  HugePages huge = HugePages::kAuto;
  TcpProfile tcp_profile = TcpProfile::kDataCentre;
  Ecn ecn = Ecn::kProfile;
  // Per connection, in octets; 0: the profile's. What a Send() may leave queued, and what the window advertises.
  uint32_t send_buffer_bytes = 0;
  uint32_t receive_buffer_bytes = 0;
  // Payload that all connections together may hold, in MB (tcp::StackConfig::memory_limit_bytes); 0: half of memory_mb.
  uint32_t tcp_memory_mb = 0;
  uint32_t max_connections = 0;  // half-open ones included; 0: the profile's
  // Seeded faults between the device and the stack, for tests; none by default.
  absl::optional<pmd::FaultOptions> faults;
  std::string pcap;  // file to write both directions to; empty: none
  Model model = Model::kInline;
  // Without work the worker polls so long before it sleeps (r2c::IdleOptions::spin); Infinite(): for ever.
  Duration idle_spin = Duration::Infinite();
  // What takes the application longer is counted and logged (r2c::WorkerOptions::stall_limit); Infinite(): nothing is.
  Duration stall_limit = Duration::Infinite();
  uint32_t workers = 1;     // threads with a worker each; on one queue of the device, by software (pmd::SteeredDevice)
  std::vector<int> cpus;    // pin each worker to its own; empty: leave them where they are
  Duration stats_interval;  // between two lines of counters on standard output (stats_line.h); zero: none
  Duration drain_limit = Duration::Seconds(2);
};

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_OPTIONS_H_
