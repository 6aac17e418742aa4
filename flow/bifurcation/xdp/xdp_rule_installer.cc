#include "luna/flow/bifurcation/xdp/xdp_rule_installer.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

// Since Linux 5.18; older headers lack it.
#ifndef BPF_F_XDP_HAS_FRAGS
#define BPF_F_XDP_HAS_FRAGS (1U << 5)
#endif

namespace luna::bifurcation::xdp {
namespace {

constexpr char kProgramName[] = "luna_bifurcate";
constexpr char kMapName[] = "luna_xsks";

// An options structure of libbpf (its own macro is C only).
template <typename T>
T Options() {
  T options;
  std::memset(&options, 0, sizeof(options));
  options.sz = sizeof(options);
  return options;
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status Denied(absl::string_view what) {
  return absl::PermissionDeniedError(absl::StrCat(
      what,
      " needs CAP_BPF and CAP_NET_ADMIN: run as root, or setcap cap_bpf,cap_net_admin,cap_net_raw+ep on the program"));
}

absl::Status Busy(absl::string_view interface, uint32_t program) {
  std::string which = program == 0 ? "an XDP program" : absl::StrCat("XDP program ", program);
  Fd fd(program == 0 ? -1 : bpf_prog_get_fd_by_id(program));
  bpf_prog_info info{};
  uint32_t length = sizeof(info);
  if (fd.get() >= 0 && bpf_obj_get_info_by_fd(fd.get(), &info, &length) == 0 && info.name[0] != '\0') {
    absl::StrAppend(&which, " (", absl::string_view(info.name, strnlen(info.name, sizeof(info.name))), ")");
  }
  return absl::AlreadyExistsError(absl::StrCat(interface, " already has ", which,
                                               " attached: end the program that owns it, or run `ip link set dev ",
                                               interface, " xdp off`"));
}

std::string LastLines(const std::string& log) {
  std::vector<absl::string_view> lines = absl::StrSplit(log, '\n', absl::SkipEmpty());
  std::string tail;
  for (size_t i = lines.size() > 3 ? lines.size() - 3 : 0; i < lines.size(); ++i)
    absl::StrAppend(&tail, " | ", lines[i]);
  return tail;
}

int LoadOnce(const std::vector<bpf_insn>& program, uint32_t flags, std::string* log) {
  auto opts = Options<bpf_prog_load_opts>();
  opts.prog_flags = flags;
  if (log != nullptr) {
    opts.log_level = 1;
    opts.log_buf = log->data();
    opts.log_size = static_cast<uint32_t>(log->size());
  }
  return bpf_prog_load(BPF_PROG_TYPE_XDP, kProgramName, "Apache-2.0", program.data(), program.size(), &opts);
}

// Asks for frames of several buffers (jumbo frames, GRO), and does without where the kernel knows none.
absl::StatusOr<int> Load(const std::vector<bpf_insn>& program) {
  int fd = LoadOnce(program, BPF_F_XDP_HAS_FRAGS, nullptr);
  if (fd < 0 && errno == EINVAL) fd = LoadOnce(program, 0, nullptr);
  if (fd >= 0) return fd;
  if (errno == EPERM) return Denied("loading an XDP program");
  const int error = errno;
  std::string log(256 * 1024, '\0');
  fd = LoadOnce(program, 0, &log);
  if (fd >= 0) return fd;
  log.resize(strnlen(log.data(), log.size()));
  return absl::InternalError(
      absl::StrCat("the kernel refuses the XDP program: ", std::strerror(error), LastLines(log)));
}

uint32_t IdOf(int program_fd) {
  bpf_prog_info info{};
  uint32_t length = sizeof(info);
  return bpf_obj_get_info_by_fd(program_fd, &info, &length) == 0 ? info.id : 0;
}

}  // namespace

std::string ToString(AttachMode mode) {
  switch (mode) {
    case AttachMode::kNative:
      return "native";
    case AttachMode::kGeneric:
      return "generic";
    case AttachMode::kAuto:
      break;
  }
  return "auto";
}

absl::StatusOr<uint32_t> AttachedProgram(int ifindex) {
  auto query = Options<bpf_xdp_query_opts>();
  const int error = bpf_xdp_query(ifindex, 0, &query);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("asking for the XDP program of interface ", ifindex, ": ", std::strerror(-error)));
  }
  for (uint32_t id : {query.prog_id, query.drv_prog_id, query.skb_prog_id, query.hw_prog_id}) {
    if (id != 0) return id;
  }
  return 0;
}

absl::StatusOr<std::unique_ptr<XdpRuleInstaller>> XdpRuleInstaller::Open(const XdpInstallerOptions& options) {
  const int ifindex = static_cast<int>(if_nametoindex(options.interface.c_str()));
  if (ifindex == 0) {
    return absl::NotFoundError(absl::StrCat("no network interface '", options.interface, "' here: see `ip link`"));
  }
  absl::StatusOr<uint32_t> attached = AttachedProgram(ifindex);
  if (!attached.ok()) return attached.status();
  if (*attached != 0) return Busy(options.interface, *attached);
  const int map_fd =
      bpf_map_create(BPF_MAP_TYPE_XSKMAP, kMapName, sizeof(uint32_t), sizeof(int), options.queues, nullptr);
  if (map_fd < 0) {
    if (errno == EPERM) return Denied("creating an XDP socket map");
    return absl::UnavailableError(absl::StrCat("creating an XDP socket map: ", std::strerror(errno)));
  }
  return std::unique_ptr<XdpRuleInstaller>(new XdpRuleInstaller(options, ifindex, map_fd));
}

XdpRuleInstaller::XdpRuleInstaller(XdpInstallerOptions options, int ifindex, int map_fd)
    : options_(std::move(options)), ifindex_(ifindex), map_fd_(map_fd) {}

XdpRuleInstaller::~XdpRuleInstaller() {
  Remove().IgnoreError();  // closing a descriptor does not fail
  close(map_fd_);
}

absl::Status XdpRuleInstaller::Install(const PortPlan& plan) {
  absl::StatusOr<std::vector<bpf_insn>> program = Compile(plan, map_fd_, options_.compile);
  if (!program.ok()) return program.status();
  absl::StatusOr<int> loaded = Load(*program);
  if (!loaded.ok()) return loaded.status();
  const Fd program_fd(*loaded);  // the link keeps the program alive
  if (absl::Status status = Attach(program_fd.get()); !status.ok()) return status;
  program_id_ = IdOf(program_fd.get());
  return absl::OkStatus();
}

absl::Status XdpRuleInstaller::Attach(int program_fd) {
  if (installed()) {
    if (bpf_link_update(link_fd_, program_fd, nullptr) == 0) return absl::OkStatus();
    return absl::UnavailableError(
        absl::StrCat("replacing the XDP program of ", options_.interface, ": ", std::strerror(errno)));
  }
  const bool native_first = options_.mode != AttachMode::kGeneric;
  AttachMode mode = native_first ? AttachMode::kNative : AttachMode::kGeneric;
  absl::StatusOr<int> link = Link(program_fd, mode);
  if (absl::IsUnimplemented(link.status()) && options_.mode == AttachMode::kAuto) {
    mode = AttachMode::kGeneric;
    link = Link(program_fd, mode);
  }
  if (!link.ok()) return link.status();
  link_fd_ = *link;
  attached_mode_ = mode;
  return absl::OkStatus();
}

absl::StatusOr<int> XdpRuleInstaller::Link(int program_fd, AttachMode mode) const {
  auto opts = Options<bpf_link_create_opts>();
  opts.flags = mode == AttachMode::kNative ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
  const int fd = bpf_link_create(program_fd, ifindex_, BPF_XDP, &opts);
  if (fd >= 0) return fd;
  const int error = errno;
  if (error == EPERM) return Denied("attaching an XDP program");
  if (error == EBUSY || error == EEXIST) return Busy(options_.interface, AttachedProgram(ifindex_).value_or(0));
  if (error == ENODEV) return absl::NotFoundError(absl::StrCat(options_.interface, " is gone"));
  // Drivers refuse native mode with various errors: no support, an MTU or a ring that does not suit.
  return absl::UnimplementedError(
      absl::StrCat(options_.interface, " takes no XDP program in ", ToString(mode), " mode: ", std::strerror(error),
                   mode == AttachMode::kNative ? "; try generic mode, or a smaller MTU" : ""));
}

absl::Status XdpRuleInstaller::Remove() {
  if (!installed()) return absl::OkStatus();
  close(std::exchange(link_fd_, -1));
  program_id_ = 0;
  attached_mode_ = AttachMode::kAuto;
  return absl::OkStatus();
}

std::string XdpRuleInstaller::name() const { return absl::StrCat("xdp on ", options_.interface); }

}  // namespace luna::bifurcation::xdp
