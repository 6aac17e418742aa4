#ifndef LUNA_NET_TCP_TESTING_SOCKETS_VIRTUAL_HOST_H_
#define LUNA_NET_TCP_TESTING_SOCKETS_VIRTUAL_HOST_H_

// VirtualHost: one host on a virtual clock: its memory, a tcp::Stack, an IPv4 layer without Ethernet, and the system
// calls of a POSIX host over them. For packet scripts: in process, and behind packetdrill's shared object.
//
//   VirtualHost host({.profile = LinuxTestProfile()});
//   const int fd = host.Socket(AF_INET, SOCK_STREAM, 0).value;
//   host.Connect(fd, …);                        // {.would_block = true}: its SYN has left
//   std::optional<VirtualHost::Packet> syn = host.NextPacket();
//   host.Inject(syn_ack);                       // a bare IPv4 packet
//   host.Connect(fd, …);                        // the same call again: {0}
//   host.AdvanceTo(host.now() + Duration::Milliseconds(40));  // timers run in order, each at its own time
//
// The calls are those of posix::Sockets. Whatever a call causes to be sent has been emitted when it returns; a blocked
// call is to be made again after on_change() said that something happened.
//
// What is virtual here lets the same host be driven through another interface (interface_host.h).
// Deterministic: a function of options, calls, packets and times. One thread at a time: BindToCurrentThread().
// A Linux host's answers where systems differ; SocketDefaults says what is otherwise in the "bsd-test" profile.

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/arena.h"
#include "luna/mem/zbuf/page_source.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/tcp/posix/call_result.h"
#include "luna/net/tcp/posix/sockets.h"
#include "luna/net/tcp/stack.h"
#include "luna/net/tcp/testing/sockets/profile.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::testing {

using posix::CallResult;
using posix::Failure;
using posix::FdSource;
using posix::Success;

struct VirtualHostOptions {
  HostProfile profile = LinuxTestProfile();
  wire::Ipv4Address address{192, 168, 0, 1};
  size_t memory_bytes = size_t{64} << 20;
  Time start = Time::FromNanoseconds(int64_t{1000} * 1000 * 1000 * 1000);
  FdSource* fds = nullptr;  // null: the default
};

class VirtualHost : public posix::Sockets {
 public:
  explicit VirtualHost(const VirtualHostOptions& options);
  ~VirtualHost() override;
  VirtualHost(const VirtualHost&) = delete;
  VirtualHost& operator=(const VirtualHost&) = delete;

  // --- Settings ---
  // A sysctl by its name ("net.ipv4.tcp_ecn", "net.inet.tcp.delayed_ack"), in either of its spellings (dots or
  // slashes). Holds for sockets made afterwards, as far as the stack's own settings go: until the first socket() all,
  // later those of sockets (buffers, retries, times). "luna.refuse_packets" is set_refuse_packets(). NotFound: no such
  // knob here. InvalidArgument: not its value.
  virtual absl::Status SetSysctl(absl::string_view name, absl::string_view value);
  const HostProfile& profile() const { return settings(); }

  // --- Time ---
  Time now() const override { return now_; }
  // When something may happen by itself at the earliest.
  virtual Time NextDeadline() const;
  // Runs timers in order, each at its own time, up to and at `when`, where the clock then stands. A `when` in the past
  // runs what is due and moves nothing.
  virtual void AdvanceTo(Time when);
  // Steps from timer to timer until a packet waits (true), or the next timer is later than `cap`: then false, and the
  // clock stands at `cap`.
  virtual bool StepToNextPacket(Time cap);
  // Called whenever something happened that may let a blocked call go on: after a packet, a timer or a call. now() is
  // when. It may make calls, but must not move the time or inject packets.
  std::function<void()> on_change;

  // --- Packets ---
  struct Packet {
    std::string bytes;  // from the IPv4 header on, all checksums right
    Time at;            // when it was emitted
  };
  // A packet from the network: an IPv4 header and what belongs to it, up to 64 KB. What is malformed is dropped and
  // counted in drops().
  virtual void Inject(absl::string_view packet);
  // The oldest packet that was emitted and not taken.
  virtual std::optional<Packet> NextPacket();
  size_t packets() const { return packets_.size(); }
  // While true, what is sent goes nowhere: the device refuses it, as a full queue would.
  void set_refuse_packets(bool refuse) { refuse_packets_ = refuse; }

  // The thread that calls from now on. The one before must have said that it has stopped, as by a mutex.
  void BindToCurrentThread() { slab_->BindToCurrentThread(); }

  // --- The end ---
  struct Remains {
    size_t packets = 0;      // emitted, never taken
    size_t connections = 0;  // that had not ended
    size_t objs = 0;         // of the memory, still out after all was destroyed: leaks
  };
  // Closes everything, destroys the stack and counts what is left. No other call may follow.
  virtual Remains TearDown();

  // --- Insight, for tests ---
  // Null before the first socket().
  Stack* stack() { return stack_.get(); }
  const stats::DropCounters& drops() const { return drops_; }

 protected:
  Stack& stack_of_sockets() override;
  // Hands out events, emits what is to be sent, and tells on_change.
  void Pump() override;
  absl::StatusOr<wire::IpAddress> SourceTo(const wire::IpAddress&) override { return address_; }

 private:
  // --- virtual_host.cc ---
  void Emit(ip::OutDatagram datagram);
  Time NextWake() const;
  void StepTo(Time when);

  // --- virtual_host_ip.cc ---
  void IngestTcp(ip::Datagram&& datagram);
  void IngestIcmp(absl::string_view message);

  const wire::Ipv4Address address_;
  zbuf::AnonymousPageSource pages_;
  std::unique_ptr<zbuf::Arena> arena_;
  std::unique_ptr<zbuf::Slab> slab_;
  stats::DropCounters drops_;
  std::unique_ptr<Stack> stack_;
  Time now_;
  std::deque<Packet> packets_;
  bool refuse_packets_ = false;
  bool in_change_ = false;
};

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_SOCKETS_VIRTUAL_HOST_H_
