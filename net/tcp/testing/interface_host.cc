#include "luna/net/tcp/testing/interface_host.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace luna::tcp::testing {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kLoad = RTLD_NOW | RTLD_LOCAL;  // sanitizers refuse RTLD_DEEPBIND
#else
constexpr int kLoad = RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND;
#endif

constexpr size_t kLargestPacket = 65536;

// The letter in its stat that says what a thread does.
char StateOf(pid_t tid) {
  std::ifstream file(absl::StrCat("/proc/self/task/", tid, "/stat"));
  std::string line;
  std::getline(file, line);
  const size_t at = line.rfind(')');
  return at == std::string::npos || at + 2 >= line.size() ? '?' : line[at + 2];
}

std::string EmptyFile() {
  const char* folder = std::getenv("TEST_TMPDIR");
  std::string path = absl::StrCat(folder == nullptr ? "/tmp" : folder, "/sysctls.XXXXXX");
  const int fd = ::mkstemp(path.data());
  CHECK_GE(fd, 0) << path;
  ::close(fd);
  return path;
}

}  // namespace

InterfaceHost::InterfaceHost(const std::string& library, const VirtualHostOptions& options)
    : VirtualHost(options), sysctl_file_(EmptyFile()) {
  void* const handle = dlopen(library.c_str(), kLoad);
  CHECK(handle != nullptr) << dlerror();
  const auto init = reinterpret_cast<packetdrill_interface_init_t>(dlsym(handle, "packetdrill_interface_init"));
  CHECK(init != nullptr) << dlerror();
  const std::string flags = absl::StrCat("quiet=1,profile=", options.profile.sockets.bsd ? "bsd-test" : "linux-test",
                                         ",mtu=", options.profile.stack.mtu, ",local_ip=", options.address.ToString(),
                                         ",sysctl_file=", sysctl_file_);
  init(flags.c_str(), &i_);
  now_ = Clock();
}

InterfaceHost::~InterfaceHost() {
  InterfaceHost::TearDown();
  ::unlink(sysctl_file_.c_str());
}

absl::Status InterfaceHost::SetSysctl(absl::string_view name, absl::string_view value) {
  std::ofstream(sysctl_file_, std::ios::app) << name << "=" << value << "\n";
  HostProfile scratch = profile();
  return ApplySysctl(name, value, &scratch);  // says whether there is such a knob
}

Time InterfaceHost::Clock() {
  timeval time;
  i_.gettimeofday(i_.userdata, &time, nullptr);
  return Time::FromNanoseconds(0) + Duration::Seconds(time.tv_sec) + Duration::Microseconds(time.tv_usec);
}

void InterfaceHost::AdvanceTo(Time when) {
  constexpr int64_t kMost = 1000 * 1000 * 1000;  // what useconds_t holds
  for (int64_t left = (when - now_).microseconds(); left > 0; left -= kMost) {
    i_.usleep(i_.userdata, static_cast<useconds_t>(std::min(left, kMost)));
  }
  now_ = Clock();
  Report();
}

void InterfaceHost::Inject(absl::string_view packet) {
  i_.netdev_send(i_.userdata, packet.data(), packet.size());
  Report();
}

bool InterfaceHost::StepToNextPacket(Time /*cap*/) {
  if (next_packet_.has_value()) return true;
  std::string bytes(kLargestPacket, '\0');
  size_t size = bytes.size();
  long long at = 0;  // NOLINT(google-runtime-int): the interface's
  i_.netdev_receive(i_.userdata, bytes.data(), &size, &at);
  now_ = Clock();
  if (size > 0) {
    bytes.resize(size);
    next_packet_ = Packet{std::move(bytes), Time::FromNanoseconds(0) + Duration::Microseconds(at)};
  }
  Report();
  return size > 0;
}

void InterfaceHost::Report() {
  if (reporting_ || !on_change) return;
  reporting_ = true;
  const Time now = now_;
  if (blocked_ != nullptr) Await(*blocked_);  // it may have been woken, and be on its way out
  if (blocked_ != nullptr && blocked_->done) now_ = blocked_->ended;
  on_change();
  now_ = now;
  reporting_ = false;
}

void InterfaceHost::Await(const Running& running) {
  while (!running.done && (running.tid == 0 || StateOf(running.tid) != 'S')) std::this_thread::yield();
}

CallResult InterfaceHost::Run(const std::function<int64_t(packetdrill_interface&)>& call) {
  if (reporting_ && blocked_ != nullptr) return blocked_->done ? Collect() : CallResult{.would_block = true};
  auto running = std::make_unique<Running>();
  Running* const r = running.get();
  r->thread = std::thread([this, r, call] {
    r->tid = gettid();
    const int64_t value = call(i_);
    const int error = errno;
    r->ended = Clock();
    r->result = value < 0 ? Failure(error) : Success(value);
    r->done = true;
  });
  Await(*r);
  if (r->done) {
    r->thread.join();
    return r->result;
  }
  CHECK(blocked_ == nullptr) << "two calls block";
  blocked_ = std::move(running);
  return {.would_block = true};
}

CallResult InterfaceHost::Collect() {
  const std::unique_ptr<Running> running = std::move(blocked_);
  running->thread.join();
  return running->result;
}

void InterfaceHost::CancelWait(int /*fd*/) {
  if (blocked_ != nullptr) given_up_.push_back(std::move(blocked_));
}

VirtualHost::Remains InterfaceHost::TearDown() {
  if (std::exchange(over_, true)) return {};
  on_change = nullptr;
  CancelWait(-1);
  i_.free(i_.userdata);
  for (const auto& running : given_up_) running->thread.join();
  return {};
}

CallResult InterfaceHost::Socket(int domain, int type, int protocol) {
  return Run([=](auto& i) { return i.socket(i.userdata, domain, type, protocol); });
}

CallResult InterfaceHost::Bind(int fd, const sockaddr* address, socklen_t length) {
  return Run([=](auto& i) { return i.bind(i.userdata, fd, address, length); });
}

CallResult InterfaceHost::Listen(int fd, int backlog) {
  return Run([=](auto& i) { return i.listen(i.userdata, fd, backlog); });
}

CallResult InterfaceHost::Accept(int fd, sockaddr* address, socklen_t* length, int flags) {
  if (flags != 0) return Failure(ENOSYS);  // the interface has no accept4
  return Run([=](auto& i) { return i.accept(i.userdata, fd, address, length); });
}

CallResult InterfaceHost::Connect(int fd, const sockaddr* address, socklen_t length) {
  return Run([=](auto& i) { return i.connect(i.userdata, fd, address, length); });
}

CallResult InterfaceHost::Close(int fd) {
  return Run([=](auto& i) { return i.close(i.userdata, fd); });
}

CallResult InterfaceHost::Shutdown(int fd, int how) {
  return Run([=](auto& i) { return i.shutdown(i.userdata, fd, how); });
}

CallResult InterfaceHost::Read(int fd, void* buffer, size_t size) {
  return Run([=](auto& i) { return i.read(i.userdata, fd, buffer, size); });
}

CallResult InterfaceHost::Readv(int fd, const iovec* iov, int count) {
  return Run([=](auto& i) { return i.readv(i.userdata, fd, iov, count); });
}

CallResult InterfaceHost::Recv(int fd, void* buffer, size_t size, int flags) {
  return Run([=](auto& i) { return i.recv(i.userdata, fd, buffer, size, flags); });
}

CallResult InterfaceHost::RecvFrom(int fd, void* buffer, size_t size, int flags, sockaddr* address, socklen_t* length) {
  return Run([=](auto& i) { return i.recvfrom(i.userdata, fd, buffer, size, flags, address, length); });
}

CallResult InterfaceHost::RecvMsg(int fd, msghdr* message, int flags) {
  return Run([=](auto& i) { return i.recvmsg(i.userdata, fd, message, flags); });
}

CallResult InterfaceHost::Write(int fd, const void* buffer, size_t size) {
  return Run([=](auto& i) { return i.write(i.userdata, fd, buffer, size); });
}

CallResult InterfaceHost::Writev(int fd, const iovec* iov, int count) {
  return Run([=](auto& i) { return i.writev(i.userdata, fd, iov, count); });
}

CallResult InterfaceHost::Send(int fd, const void* buffer, size_t size, int flags) {
  return Run([=](auto& i) { return i.send(i.userdata, fd, buffer, size, flags); });
}

CallResult InterfaceHost::SendTo(int fd, const void* buffer, size_t size, int flags, const sockaddr* address,
                                 socklen_t length) {
  return Run([=](auto& i) { return i.sendto(i.userdata, fd, buffer, size, flags, address, length); });
}

CallResult InterfaceHost::SendMsg(int fd, const msghdr* message, int flags) {
  return Run([=](auto& i) { return i.sendmsg(i.userdata, fd, message, flags); });
}

CallResult InterfaceHost::Fcntl(int fd, int command, intptr_t argument) {
  return Run([=](auto& i) { return i.fcntl(i.userdata, fd, command, argument); });
}

CallResult InterfaceHost::Ioctl(int fd, unsigned long request, void* argument) {  // NOLINT(google-runtime-int)
  return Run([=](auto& i) { return i.ioctl(i.userdata, fd, request, argument); });
}

CallResult InterfaceHost::GetSockOpt(int fd, int level, int name, void* value, socklen_t* length) {
  return Run([=](auto& i) { return i.getsockopt(i.userdata, fd, level, name, value, length); });
}

CallResult InterfaceHost::SetSockOpt(int fd, int level, int name, const void* value, socklen_t length) {
  return Run([=](auto& i) { return i.setsockopt(i.userdata, fd, level, name, value, length); });
}

CallResult InterfaceHost::Poll(pollfd* fds, nfds_t count, int timeout_ms) {
  return Run([=](auto& i) { return i.poll(i.userdata, fds, count, timeout_ms); });
}

CallResult InterfaceHost::EpollCreate(int /*flags*/) {
  return Run([](auto& i) { return i.epoll_create(i.userdata, 1); });
}

CallResult InterfaceHost::EpollCtl(int epoll_fd, int operation, int fd, const epoll_event* event) {
  return Run(
      [=](auto& i) { return i.epoll_ctl(i.userdata, epoll_fd, operation, fd, const_cast<epoll_event*>(event)); });
}

CallResult InterfaceHost::EpollWait(int epoll_fd, epoll_event* events, int capacity, int timeout_ms) {
  return Run([=](auto& i) { return i.epoll_wait(i.userdata, epoll_fd, events, capacity, timeout_ms); });
}

CallResult InterfaceHost::Pipe(int fds[2], int flags) {
  if (flags != 0) return Failure(ENOSYS);
  return Run([=](auto& i) { return i.pipe(i.userdata, fds); });
}

CallResult InterfaceHost::Splice(int in, loff_t* in_offset, int out, loff_t* out_offset, size_t size, unsigned flags) {
  return Run([=](auto& i) { return i.splice(i.userdata, in, in_offset, out, out_offset, size, flags); });
}

}  // namespace luna::tcp::testing
