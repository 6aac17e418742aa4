#include "luna/net/tcp/testing/packetdrill_host.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp::testing {
namespace {

constexpr Duration kTick = Duration::Microseconds(1);
constexpr const char* kSysctlFileVariable = "LUNA_PACKETDRILL_SYSCTL_FILE";
constexpr uint32_t kLeastMtu = 68;  // RFC 791
constexpr uint32_t kMostMtu = 65535;

VirtualHostOptions OptionsFor(const PacketdrillFlags& flags, FdSource* fds) {
  VirtualHostOptions options;
  options.profile = *ProfileByName(flags.profile);
  options.profile.stack.mtu = flags.mtu;
  options.address = flags.local_ip;
  options.fds = fds;
  return options;
}

absl::Status SetFlag(absl::string_view key, absl::string_view value, PacketdrillFlags* flags) {
  if (key == "profile") {
    flags->profile = std::string(value);
    return ProfileByName(value).status();
  }
  if (key == "mtu") {
    if (absl::SimpleAtoi(value, &flags->mtu) && flags->mtu >= kLeastMtu && flags->mtu <= kMostMtu) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat("mtu=", value, ": a number from ", kLeastMtu, " to ", kMostMtu));
  }
  if (key == "local_ip") {
    const auto address = wire::Ipv4Address::Parse(value);
    if (!address.has_value()) return absl::InvalidArgumentError(absl::StrCat("local_ip=", value, ": an IPv4 address"));
    flags->local_ip = *address;
  } else if (key == "sysctl_file") {
    flags->sysctl_file = std::string(value);
  } else if (key == "sysctl") {
    flags->sysctls.push_back(absl::StrReplaceAll(value, {{":", "="}}));
  } else if (key == "quiet") {
    flags->quiet = value != "0";
  } else {
    return absl::NotFoundError(
        absl::StrCat("no flag \"", key, "\": profile, mtu, local_ip, sysctl_file, sysctl, quiet"));
  }
  return absl::OkStatus();
}

// "0.200000 192.168.0.1:8080 > 192.0.2.1:4000 flags 0x18 seq 7 ack 9 length 100".
std::string Describe(const VirtualHost::Packet& packet, Time start) {
  const absl::Span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(packet.bytes.data()), packet.bytes.size());
  std::string text = absl::StrCat("  at ", (packet.at - start).seconds(), " s: ", bytes.size(), " bytes");
  wire::Ipv4Header ip;
  wire::TcpHeader tcp;
  if (wire::Parse(bytes, &ip) != wire::ParseResult::kOk || ip.protocol != wire::IpProtocol::kTcp) return text;
  const absl::Span<const uint8_t> segment = ip.Payload(bytes);
  if (wire::Parse(segment, &tcp) != wire::ParseResult::kOk) return text;
  absl::StrAppend(&text, ", port ", tcp.source_port, " > ", tcp.destination_port, " flags 0x", absl::Hex(tcp.flags),
                  " seq ", tcp.sequence, " ack ", tcp.acknowledgment, " length ", tcp.Payload(segment).size());
  return text;
}

}  // namespace

absl::StatusOr<PacketdrillFlags> PacketdrillFlags::Parse(absl::string_view text) {
  PacketdrillFlags flags;
  if (const char* file = std::getenv(kSysctlFileVariable)) flags.sysctl_file = file;
  for (const absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(", "), absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> flag = absl::StrSplit(word, absl::MaxSplits('=', 1));
    if (const absl::Status status = SetFlag(flag.first, flag.second, &flags); !status.ok()) return status;
  }
  return flags;
}

int PacketdrillHost::KernelFds::Open() { return ::open("/dev/null", O_RDWR | O_CLOEXEC); }

// Not when it was closed behind our back, and is something else by now.
void PacketdrillHost::KernelFds::Close(int fd) {
  struct stat what = {};
  if (::fstat(fd, &what) == 0 && what.st_rdev == makedev(1, 3)) ::close(fd);
}

PacketdrillHost::PacketdrillHost(const PacketdrillFlags& flags) : flags_(flags), host_(OptionsFor(flags, &fds_)) {
  for (const std::string& line : flags_.sysctls) ApplyLine(line);
  host_.on_change = [this] { OnChange(); };
}

PacketdrillHost::~PacketdrillHost() = default;

void PacketdrillHost::Enter() {
  host_.BindToCurrentThread();
  if (waking_ != std::this_thread::get_id()) return;
  waking_.reset();
  changed_.notify_all();
}

int64_t PacketdrillHost::Call(const std::function<CallResult(VirtualHost&)>& attempt) {
  std::unique_lock<std::mutex> lock(mutex_);
  Enter();
  ReadSysctls();
  CallResult result = attempt(host_);
  if (result.would_block) {
    Sleeper sleeper = {.attempt = attempt, .thread = std::this_thread::get_id()};
    sleepers_.push_back(&sleeper);
    changed_.wait(mutex_, [&] { return sleeper.done; });
    std::erase(sleepers_, &sleeper);
    result = sleeper.result;
  }
  lock.unlock();
  if (result.error != 0) errno = result.error;
  return result.value;
}

void PacketdrillHost::OnChange() {
  for (size_t i = 0; i < sleepers_.size(); ++i) {
    Sleeper& sleeper = *sleepers_[i];
    if (sleeper.done) continue;
    const CallResult result = sleeper.attempt(host_);
    if (result.would_block) continue;
    sleeper.result = result;
    sleeper.done = true;
    waking_ = sleeper.thread;
    changed_.notify_all();
    Freeze();  // `sleeper` is gone now, most likely
  }
}

void PacketdrillHost::Freeze() {
  changed_.wait_for(mutex_, kFreeze, [this] { return !waking_.has_value(); });
  waking_.reset();
  host_.BindToCurrentThread();
}

bool PacketdrillHost::IsOpen(int fd) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return host_.IsOpen(fd);
}

void PacketdrillHost::Send(absl::string_view packet) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Enter();
  ++packets_in_;
  host_.Inject(packet);
}

std::string PacketdrillHost::Receive(Time* at) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Enter();
  ReadSysctls();
  host_.StepToNextPacket(host_.now() + kReceiveLimit);
  std::optional<VirtualHost::Packet> packet = host_.NextPacket();
  *at = packet.has_value() ? packet->at : host_.now();
  if (!packet.has_value()) return "";
  ++packets_out_;
  return std::move(packet->bytes);
}

void PacketdrillHost::Sleep(Duration duration) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Enter();
  host_.AdvanceTo(host_.now() + duration);
}

Time PacketdrillHost::TimeOfDay() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool frozen = waking_.has_value();
  Enter();
  if (!frozen) host_.AdvanceTo(host_.now() + kTick);
  return host_.now();
}

void PacketdrillHost::ReadSysctls() {
  if (flags_.sysctl_file.empty()) return;
  std::ifstream file(flags_.sysctl_file);
  file.seekg(sysctl_offset_);
  for (std::string line; std::getline(file, line) && !file.eof();) {
    sysctl_offset_ += static_cast<std::streamoff>(line.size()) + 1;
    ApplyLine(line);
  }
}

void PacketdrillHost::ApplyLine(absl::string_view line) {
  if (line.empty() || line[0] == '#') return;
  const std::pair<absl::string_view, absl::string_view> sysctl = absl::StrSplit(line, absl::MaxSplits('=', 1));
  if (const absl::Status status = host_.SetSysctl(sysctl.first, sysctl.second); !status.ok()) {
    complaints_.emplace_back(absl::StrCat("  ", std::string(status.message())));
  }
}

std::string PacketdrillHost::Finish() {
  const std::lock_guard<std::mutex> lock(mutex_);
  Enter();
  for (Sleeper* sleeper : sleepers_) {
    sleeper->result = Failure(EINTR);
    sleeper->done = true;
  }
  changed_.notify_all();
  while (const auto packet = host_.NextPacket()) {
    complaints_.push_back(absl::StrCat("  not expected:", Describe(*packet, VirtualHostOptions().start)));
  }
  const size_t extra = complaints_.size();
  const uint64_t dropped = host_.drops().total();
  const VirtualHost::Remains remains = host_.TearDown();
  std::string report =
      absl::StrCat("packetdrill_so: ", packets_in_, " packets in, ", packets_out_, " out, ", dropped, " dropped, ",
                   remains.connections, " connections left open, ", remains.objs, " objs leaked, ", extra,
                   " complaints\n", absl::StrJoin(complaints_, "\n"), complaints_.empty() ? "" : "\n");
  // Not std::cerr: with RTLD_DEEPBIND that may be a copy of it which nobody has initialised.
  if (!flags_.quiet || extra != 0 || remains.objs != 0) std::fputs(report.c_str(), stderr);
  return report;
}

}  // namespace luna::tcp::testing
