#ifndef LUNA_NET_TCP_TESTING_PACKETDRILL_HOST_H_
#define LUNA_NET_TCP_TESTING_PACKETDRILL_HOST_H_

// PacketdrillHost: a VirtualHost that two threads of another program use as if it were the system: calls that block
// do block, and descriptors are descriptors of the kernel. What packetdrill's shared object consists of.
//
// Time stands still but for Sleep(), Receive(), and one microsecond with each TimeOfDay(), without which a caller that
// spins on the clock would spin for ever.
//
// Blocking. A call that would block sleeps (in a futex: the caller is seen to be in state S). The thread that causes
// what it waits for, by a packet or by letting time pass, finishes the call for it, at the right virtual time, and
// then holds everything still until the woken thread has asked for the time (or for at most kFreeze of real time):
// otherwise the time that it sees would be a race.
//
// Descriptors are reserved in the kernel, as /dev/null: their owner may close() them behind our back.
//
// Threads: any, one at a time (one mutex).

#include <sys/time.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/net/tcp/posix/call_result.h"
#include "luna/net/tcp/testing/sockets/virtual_host.h"

namespace luna::tcp::testing {

// What --so_flags says: "profile=linux-test,mtu=1500,local_ip=192.168.0.1,sysctl_file=/tmp/x". Commas or blanks part
// them; all may be missing.
struct PacketdrillFlags {
  std::string profile = "linux-test";  // or bsd-test
  uint32_t mtu = 1500;
  wire::Ipv4Address local_ip{192, 168, 0, 1};
  // Lines "name=value" that a stand-in for sysctl appends to: read whenever a call is made. The line
  // "luna.refuse_packets=1" stands for a device that takes nothing. Empty: no such file.
  std::string sysctl_file;
  std::vector<std::string> sysctls;  // "sysctl=net.ipv4.tcp_ecn:1", as often as one likes: set at the start
  bool quiet = false;                // "quiet=1": no line on stderr when nothing is amiss

  static absl::StatusOr<PacketdrillFlags> Parse(absl::string_view text);
};

class PacketdrillHost {
 public:
  // A thread that a test fails to wake up must not hang it.
  static constexpr std::chrono::seconds kFreeze{1};
  // How long Receive() lets time pass for a packet.
  static constexpr Duration kReceiveLimit = Duration::Seconds(20);

  explicit PacketdrillHost(const PacketdrillFlags& flags);
  ~PacketdrillHost();
  PacketdrillHost(const PacketdrillHost&) = delete;
  PacketdrillHost& operator=(const PacketdrillHost&) = delete;

  // Makes a call until it does not block any more; sets errno. Returns its value.
  int64_t Call(const std::function<CallResult(VirtualHost&)>& attempt);
  bool IsOpen(int fd);

  void Send(absl::string_view packet);
  // Waits for a packet in virtual time; empty when none comes. `at`: when it was sent.
  std::string Receive(Time* at);
  void Sleep(Duration duration);
  Time TimeOfDay();

  // Ends it all: wakes whoever sleeps (EINTR), and says on stderr what was amiss: packets that nobody took, objs that
  // did not come home. Returns that report. No call may follow.
  std::string Finish();

 private:
  struct Sleeper {
    const std::function<CallResult(VirtualHost&)>& attempt;
    std::thread::id thread;
    bool done = false;
    CallResult result;
  };
  // Descriptors of the kernel.
  class KernelFds final : public FdSource {
   public:
    int Open() override;
    void Close(int fd) override;
  };

  // With mutex_ held: what every entry from outside begins with.
  void Enter();
  void ReadSysctls();
  void ApplyLine(absl::string_view line);
  // Called by the host when something happened.
  void OnChange();
  // Until the woken thread has come back, or kFreeze has passed. Lets go of mutex_ meanwhile.
  void Freeze();

  std::mutex mutex_;
  std::condition_variable_any changed_;  // a sleeper is done, or a frozen clock may go on
  const PacketdrillFlags flags_;
  KernelFds fds_;
  VirtualHost host_;
  std::vector<Sleeper*> sleepers_;
  std::optional<std::thread::id> waking_;  // woken, has not come back yet: the clock is frozen
  std::streamoff sysctl_offset_ = 0;       // of what was read
  std::vector<std::string> complaints_;
  uint64_t packets_in_ = 0;
  uint64_t packets_out_ = 0;
};

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_PACKETDRILL_HOST_H_
