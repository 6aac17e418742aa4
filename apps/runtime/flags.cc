#include "luna/apps/runtime/flags.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "luna/net/pmd/vlan_io.h"

DEFINE_string(
    device, "",
    "The network device. DPDK devargs: net_memif0,role=server (shared memory between two processes), "
    "net_ring0, net_af_packet0,iface=eth1, net_tap0, or a PCI address such as 0000:03:00.0. Without DPDK: "
    "tap:NAME (a TAP interface, needs root), packet:INTERFACE (a packet socket, with an address of Luna's own, "
    "needs root), xdp:INTERFACE (AF_XDP beside the kernel, needs root). "
    "kernel: not Luna but the kernel's sockets, in programs that can do both.");
DEFINE_string(
    address, "",
    "Our IPv4 address on the device with its prefix length, e.g. 10.0.0.2/24. On xdp: the interface's own when empty.");
DEFINE_string(gateway, "",
              "IPv4 address of the default gateway. Not needed to reach hosts in the network of --address.");
DEFINE_string(
    neighbour, "",
    "Static neighbours, e.g. 10.0.0.1=02:00:00:00:00:01,10.0.0.3=…; others are found by ARP or from the kernel.");
DEFINE_uint32(mtu, 0, "Largest IP packet in octets, 576 to 9000; 0: the device's own, else 1500.");
DEFINE_uint32(
    vlan, 0,
    "Talk in this VLAN of the device (802.1Q), 1 to 4094: all frames sent have its tag, others are not seen; 0: "
    "without tags. On packet and xdp name the kernel's VLAN interface instead, e.g. packet:eth1.5.");
DEFINE_bool(trusted_link, false,
            "Compute and check no checksums: only between two processes of one machine (net_memif, net_ring), where "
            "nothing can damage a frame, and only when both say so. Without it a peer that does drops all frames.");
DEFINE_uint32(memory_mb, 128, "Packet and message memory (the Zbuf arena) in MB, 8 or more.");
DEFINE_string(huge, "auto", "Hugepages: auto (use them when there are any), on (insist), off.");
DEFINE_string(tcp_profile, "dc",
              "dc: data centre (retransmission floor 4 ms, give up in seconds); rfc: the RFCs' numbers.");
DEFINE_string(ecn, "",
              "Explicit congestion notification: off, on_request (when the peer's SYN offers it) or always (our SYN "
              "offers it, too); the profile's when empty.");
DEFINE_uint32(send_buffer, 0,
              "Octets per connection that may wait to be sent or acknowledged, 2048 to 1073741824; 0: the profile's.");
DEFINE_uint32(receive_buffer, 0,
              "Octets per connection that may wait to be read, which is the window offered to the peer, 2048 to "
              "1073741824; 0: the profile's.");
DEFINE_uint32(tcp_memory_mb, 0,
              "Payload in MB that all connections together may hold, at most --memory_mb; 0: half of that. Peers that "
              "never read get no more, and the rest keeps the others going.");
DEFINE_uint32(max_connections, 0, "Connections at a time, handshakes included, 1 to 16777216; 0: the profile's.");
DEFINE_string(
    faults, "",
    "For tests: damage the traffic of both directions on purpose, e.g. loss=0.01,seed=7. Rates per frame, 0 to "
    "1: loss, duplicate, corrupt (one bit), delay (frames behind overtake it); seed: a number.");
DEFINE_string(pcap, "", "Write all frames of both directions to this file (readable by tcpdump and Wireshark).");
DEFINE_string(
    model, "inline",
    "inline: each request is answered before the next one is looked at; batch: a burst is taken in as a whole, "
    "each connection hears of it once, and the answers leave together.");
DEFINE_string(
    idle, "spin",
    "Without work: spin (poll for ever, a whole CPU, the shortest latency), or a time such as 50us: poll so "
    "long, then sleep until the device, a kernel descriptor or a timer has something. Devices that cannot wake "
    "a sleeper (net_memif, net_ring, net_af_packet) are looked at again after an eighth of the time without work, "
    "8 ms at most.");
DEFINE_string(stall, "",
              "Count and log each call into the application that takes longer than this, e.g. 10ms; none when empty.");
DEFINE_uint32(
    workers, 1,
    "Threads, 1 to 64: each is a worker with connections, memory limits and ports of its own. The first polls "
    "the device and hands the others what is theirs. Spinning ones (--idle) want a CPU each.");
DEFINE_string(cpu, "", "Pin the worker threads to CPUs, one for each, e.g. 2 or 2,3; not pinned when empty.");
DEFINE_string(stats, "",
              "Print all counters as a line of JSON to standard output this often, e.g. 1s, and at the end; never when "
              "empty. Lines for which a pipe has no room are left out.");
DEFINE_string(drain, "2s", "How long connections may take to close in order after Ctrl-C.");

namespace luna::apps {
namespace {

constexpr char kOwnFile[] = "apps/runtime/flags.cc";

absl::Status Bad(absl::string_view flag, absl::string_view value, absl::string_view mend) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", value, ": ", mend));
}

void PrintFlags(absl::string_view file_ending, absl::string_view title) {
  std::vector<gflags::CommandLineFlagInfo> all;
  gflags::GetAllFlags(&all);
  bool first = true;
  for (const gflags::CommandLineFlagInfo& flag : all) {
    if (!absl::EndsWith(flag.filename, file_ending)) continue;
    if (first) std::cout << "\n" << title << ":\n";
    first = false;
    const std::string default_text =
        flag.default_value.empty() ? "" : absl::StrCat(" (default ", flag.default_value, ")");
    std::cout << "  --" << flag.name << default_text << "\n";
    // Wrapped at 100 columns.
    std::string line = "     ";
    for (absl::string_view word : absl::StrSplit(flag.description, ' ')) {
      if (line.size() + 1 + word.size() > 100) {
        std::cout << line << "\n";
        line = "     ";
      }
      absl::StrAppend(&line, " ", word);
    }
    std::cout << line << "\n";
  }
}

// gflags would end the process over an unknown flag or a bad value; these are the user's, and get one line.
absl::Status SetFlag(absl::string_view argument, const char* next, bool* used_next) {
  *used_next = false;
  absl::string_view text = argument;
  if (!absl::ConsumePrefix(&text, "--")) absl::ConsumePrefix(&text, "-");
  const size_t equals = text.find('=');
  std::string name(text.substr(0, equals));
  std::replace(name.begin(), name.end(), '-', '_');
  gflags::CommandLineFlagInfo info;
  std::string value;
  if (!gflags::GetCommandLineFlagInfo(name.c_str(), &info)) {
    const std::string positive = absl::StartsWith(name, "no") ? name.substr(2) : "";
    if (positive.empty() || !gflags::GetCommandLineFlagInfo(positive.c_str(), &info) || info.type != "bool") {
      return absl::InvalidArgumentError(absl::StrCat("unknown flag --", name, "; --help lists them"));
    }
    name = positive;
    value = "false";
  } else if (equals != absl::string_view::npos) {
    value = std::string(text.substr(equals + 1));
  } else if (info.type == "bool") {
    value = "true";
  } else if (next == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("--", name, " needs a value: --", name, "=VALUE"));
  } else {
    value = next;
    *used_next = true;
  }
  if (gflags::SetCommandLineOption(name.c_str(), value.c_str()).empty()) {
    return Bad(name, value, absl::StrCat("not a value of type ", info.type));
  }
  return absl::OkStatus();
}

absl::Status ParseNeighbours(RuntimeOptions* options) {
  if (FLAGS_neighbour.empty()) return absl::OkStatus();
  for (absl::string_view entry : absl::StrSplit(FLAGS_neighbour, ',')) {
    const std::vector<std::string> parts = absl::StrSplit(entry, '=');
    const auto address = wire::Ipv4Address::Parse(parts[0]);
    const auto mac = parts.size() == 2 ? wire::MacAddress::Parse(parts[1]) : absl::nullopt;
    if (!address || !mac) return Bad("neighbour", entry, "write ADDRESS=MAC, e.g. 10.0.0.1=02:00:00:00:00:01");
    options->neighbours.emplace_back(*address, *mac);
  }
  return absl::OkStatus();
}

absl::Status ParseAddresses(RuntimeOptions* options) {
  if (!FLAGS_address.empty()) {
    const auto prefix = wire::Ipv4Prefix::Parse(FLAGS_address);
    if (!prefix || !absl::StrContains(FLAGS_address, "/")) {
      return Bad("address", FLAGS_address, "write an IPv4 address with its prefix length, e.g. 10.0.0.2/24");
    }
    if (!prefix->address().IsUnicast() || prefix->address().IsLoopback()) {
      return Bad("address", FLAGS_address, "not an address that a host on a link may have");
    }
    options->addresses.push_back(*prefix);
  }
  if (!FLAGS_gateway.empty()) {
    const auto gateway = wire::Ipv4Address::Parse(FLAGS_gateway);
    if (!gateway) return Bad("gateway", FLAGS_gateway, "write an IPv4 address, e.g. 10.0.0.254");
    if (!options->addresses.empty() && !options->addresses[0].Contains(*gateway)) {
      return Bad("gateway", FLAGS_gateway,
                 absl::StrCat("not in the network of --address (", options->addresses[0].ToString(), ")"));
    }
    options->gateways.push_back(*gateway);
  }
  return ParseNeighbours(options);
}

absl::Status ParseEcn(RuntimeOptions* options) {
  const std::pair<absl::string_view, Ecn> values[] = {
      {"", Ecn::kProfile}, {"off", Ecn::kOff}, {"on_request", Ecn::kOnRequest}, {"always", Ecn::kAlways}};
  for (const auto& [name, value] : values) {
    if (FLAGS_ecn != name) continue;
    options->ecn = value;
    return absl::OkStatus();
  }
  return Bad("ecn", FLAGS_ecn, "choose off, on_request or always");
}

absl::Status ParseBuffers(RuntimeOptions* options) {
  constexpr uint32_t kLeast = 2048, kMost = 1u << 30;
  for (const auto& [flag, value] :
       {std::pair("send_buffer", FLAGS_send_buffer), std::pair("receive_buffer", FLAGS_receive_buffer)}) {
    if (value != 0 && (value < kLeast || value > kMost)) {
      return Bad(flag, absl::StrCat(value), absl::StrCat("choose ", kLeast, " to ", kMost, ", or 0 for the profile's"));
    }
  }
  options->send_buffer_bytes = FLAGS_send_buffer;
  options->receive_buffer_bytes = FLAGS_receive_buffer;
  return absl::OkStatus();
}

absl::Status ParseLimits(RuntimeOptions* options) {
  if (FLAGS_memory_mb < 8 || FLAGS_memory_mb > 1024 * 1024) {
    return Bad("memory_mb", absl::StrCat(FLAGS_memory_mb), "too little to run on (or beyond 1 TB); choose 8 or more");
  }
  if (FLAGS_tcp_memory_mb > FLAGS_memory_mb) {
    return Bad("tcp_memory_mb", absl::StrCat(FLAGS_tcp_memory_mb),
               absl::StrCat("more than --memory_mb=", FLAGS_memory_mb, ", of which it is a part"));
  }
  constexpr uint32_t kMostConnections = 1u << 24;
  if (FLAGS_max_connections > kMostConnections) {
    return Bad("max_connections", absl::StrCat(FLAGS_max_connections),
               absl::StrCat("choose 1 to ", kMostConnections, ", or 0 for the profile's"));
  }
  options->memory_mb = FLAGS_memory_mb;
  options->tcp_memory_mb = FLAGS_tcp_memory_mb;
  options->max_connections = FLAGS_max_connections;
  return absl::OkStatus();
}

absl::Status ParseThreads(RuntimeOptions* options) {
  constexpr uint32_t kMostWorkers = 64;
  if (FLAGS_workers < 1 || FLAGS_workers > kMostWorkers) {
    return Bad("workers", absl::StrCat(FLAGS_workers), absl::StrCat("choose 1 to ", kMostWorkers));
  }
  options->workers = FLAGS_workers;
  for (absl::string_view text : absl::StrSplit(FLAGS_cpu, ',', absl::SkipEmpty())) {
    int cpu = 0;
    if (!absl::SimpleAtoi(text, &cpu) || cpu < 0) return Bad("cpu", FLAGS_cpu, "write CPU numbers, e.g. 2 or 2,3");
    options->cpus.push_back(cpu);
  }
  if (!options->cpus.empty() && options->cpus.size() != options->workers) {
    return Bad("cpu", FLAGS_cpu, absl::StrCat("name one CPU for each of --workers=", options->workers));
  }
  return absl::OkStatus();
}

absl::Status ParseLoop(RuntimeOptions* options) {
  if (FLAGS_model == "batch") {
    options->model = Model::kBatch;
  } else if (FLAGS_model != "inline") {
    return Bad("model", FLAGS_model, "choose inline or batch");
  }
  if (FLAGS_idle != "spin") {
    absl::StatusOr<Duration> spin = ParseDurationFlag("idle", FLAGS_idle);
    if (!spin.ok()) return Bad("idle", FLAGS_idle, "choose spin, or a time such as 50us");
    options->idle_spin = *spin;
  }
  if (FLAGS_stall.empty()) return absl::OkStatus();
  absl::StatusOr<Duration> limit = ParseDurationFlag("stall", FLAGS_stall);
  if (!limit.ok()) return limit.status();
  options->stall_limit = *limit;
  return absl::OkStatus();
}

absl::Status ParseFaults(RuntimeOptions* options) {
  if (FLAGS_faults.empty()) return absl::OkStatus();
  pmd::FaultOptions faults;
  const std::pair<absl::string_view, double*> rates[] = {{"loss", &faults.receive.drop},
                                                         {"duplicate", &faults.receive.duplicate},
                                                         {"corrupt", &faults.receive.corrupt},
                                                         {"delay", &faults.receive.delay}};
  for (absl::string_view entry : absl::StrSplit(FLAGS_faults, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(entry, absl::MaxSplits('=', 1));
    bool understood = parts.first == "seed" && absl::SimpleAtoi(parts.second, &faults.seed);
    for (const auto& [name, rate] : rates) {
      if (parts.first == name) understood = absl::SimpleAtod(parts.second, rate) && *rate >= 0 && *rate <= 1;
    }
    if (!understood) {
      return Bad("faults", entry, "write loss=, duplicate=, corrupt= or delay= with a rate of 0 to 1, or seed=NUMBER");
    }
  }
  faults.transmit = faults.receive;
  options->faults = faults;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseCommandLine(int argc, char** argv, const Usage& usage,
                                                          absl::string_view own_flags_file) {
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);
  std::vector<std::string> positional;
  for (int i = 1; i < argc; ++i) {
    const absl::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h" || argument == "help") {
      std::cout << usage.text;
      PrintFlags(own_flags_file, "Flags of this program");
      PrintFlags(kOwnFile, "Flags of the runtime");
      std::cout << std::flush;
      std::exit(0);
    }
    if (!absl::StartsWith(argument, "-") || argument == "-") {
      positional.emplace_back(argument);
      continue;
    }
    bool used_next = false;
    const char* next = i + 1 < argc ? argv[i + 1] : nullptr;
    if (absl::Status status = SetFlag(argument, next, &used_next); !status.ok()) return status;
    if (used_next) ++i;
  }
  return positional;
}

std::string DeviceFlag() { return FLAGS_device; }

absl::StatusOr<wire::IpAddress> AddressFlag() {
  if (FLAGS_address.empty()) return wire::IpAddress(wire::Ipv4Address::Any());
  const absl::string_view text = absl::string_view(FLAGS_address).substr(0, FLAGS_address.find('/'));
  const auto address = wire::Ipv4Address::Parse(text);
  if (!address) return Bad("address", FLAGS_address, "write an IPv4 address, e.g. 127.0.0.1");
  return wire::IpAddress(*address);
}

absl::StatusOr<RuntimeOptions> RuntimeOptionsFromFlags() {
  RuntimeOptions options;
  options.device = FLAGS_device;
  if (options.device.empty()) {
    return absl::InvalidArgumentError(
        "--device is missing: name a device, e.g. --device=net_memif0,role=server or --device=tap:luna0 (--help lists "
        "them)");
  }
  if (absl::Status status = ParseAddresses(&options); !status.ok()) return status;
  if (FLAGS_mtu != 0 && (FLAGS_mtu < 576 || FLAGS_mtu > 9000)) {
    return Bad("mtu", absl::StrCat(FLAGS_mtu), "choose 576 to 9000, or 0 for the device's own");
  }
  options.mtu = FLAGS_mtu;
  if (FLAGS_vlan > pmd::VlanOptions::kMostId) {
    return Bad("vlan", absl::StrCat(FLAGS_vlan), "choose 1 to 4094, or 0 for none");
  }
  options.vlan = static_cast<uint16_t>(FLAGS_vlan);
  options.trusted_link = FLAGS_trusted_link;
  if (absl::Status status = ParseLimits(&options); !status.ok()) return status;
  if (FLAGS_huge == "on") {
    options.huge = HugePages::kOn;
  } else if (FLAGS_huge == "off") {
    options.huge = HugePages::kOff;
  } else if (FLAGS_huge != "auto") {
    return Bad("huge", FLAGS_huge, "choose auto, on or off");
  }
  if (FLAGS_tcp_profile == "rfc") {
    options.tcp_profile = TcpProfile::kRfc;
  } else if (FLAGS_tcp_profile != "dc") {
    return Bad("tcp_profile", FLAGS_tcp_profile, "choose dc or rfc");
  }
  if (absl::Status status = ParseEcn(&options); !status.ok()) return status;
  if (absl::Status status = ParseBuffers(&options); !status.ok()) return status;
  if (absl::Status status = ParseLoop(&options); !status.ok()) return status;
  if (absl::Status status = ParseThreads(&options); !status.ok()) return status;
  if (absl::Status status = ParseFaults(&options); !status.ok()) return status;
  options.pcap = FLAGS_pcap;
  if (!FLAGS_stats.empty()) {
    absl::StatusOr<Duration> interval = ParseDurationFlag("stats", FLAGS_stats);
    if (!interval.ok()) return interval.status();
    options.stats_interval = *interval;
  }
  absl::StatusOr<Duration> drain = ParseDurationFlag("drain", FLAGS_drain);
  if (!drain.ok()) return drain.status();
  options.drain_limit = *drain;
  return options;
}

absl::StatusOr<wire::Endpoint> ParseEndpointFlag(absl::string_view flag, absl::string_view value) {
  const auto endpoint = wire::Endpoint::Parse(value);
  if (!endpoint || endpoint->port == 0 || !endpoint->address.IsV4()) {
    return Bad(flag, value, "write an IPv4 address and a port, e.g. 10.0.0.2:61441");
  }
  return *endpoint;
}

absl::StatusOr<Duration> ParseDurationFlag(absl::string_view flag, absl::string_view value) {
  struct Unit {
    absl::string_view suffix;
    double nanoseconds;
  };
  constexpr Unit kUnits[] = {{"ms", 1e6}, {"us", 1e3}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"", 1e9}};
  for (const Unit& unit : kUnits) {
    absl::string_view number = value;
    double amount = 0;
    if (!absl::ConsumeSuffix(&number, unit.suffix) || !absl::SimpleAtod(number, &amount)) continue;
    if (!(amount > 0) || amount * unit.nanoseconds > 1e18) break;
    return Duration::Nanoseconds(static_cast<int64_t>(amount * unit.nanoseconds));
  }
  return Bad(flag, value, "write a time greater than 0 with its unit, e.g. 5s or 250ms");
}

void PrintListening(absl::string_view where) {
  std::printf("listening on %s\n", std::string(where).c_str());
  std::fflush(stdout);
}

int ExitWith(const absl::Status& status) {
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  return status.code() == absl::StatusCode::kInvalidArgument ? 2 : 1;
}

}  // namespace luna::apps
