#ifndef LUNA_NET_TCP_TESTING_SIMULATOR_HOST_H_
#define LUNA_NET_TCP_TESTING_SIMULATOR_HOST_H_

// Host: one tcp::Stack, its memory, its NIC and its thread, in a Simulation (which see). The code under test is the
// stack as it is in production; what stands around it is here:
//
//   the NIC: a ring of received packets; full, it drops. The thread takes what is there, one packet after the other,
//   and flushes. It may stall (an application that computes), its clock may jump, and the host may reboot, which loses
//   every connection without a word.
//
// After each round of the thread the connections are held against what no connection may be (ConnectionChecker).

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/arena.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/tcp/config.h"
#include "luna/net/tcp/event.h"
#include "luna/net/tcp/stack.h"
#include "luna/net/tcp/testing/simulator/connection_checker.h"
#include "luna/net/tcp/testing/simulator/event_queue.h"
#include "luna/net/tcp/testing/simulator/network.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::simulator {

class Simulation;

struct HostOptions {
  StackConfig config;
  size_t memory_bytes = size_t{16} << 20;  // of the stack and its application; as much again of the device
  size_t ring = 1024;                      // packets that the NIC holds
  size_t flush_limit = 64;                 // datagrams per Flush()
  bool flush_in_line = true;               // after each packet; else after all that has arrived at the same time
};

class Host : public Sink {
 public:
  Host(Simulation& simulation, wire::Ipv4Address address, const HostOptions& options);
  ~Host() override;

  Stack& stack() { return *stack_; }
  zbuf::Slab& slab() { return memory_.slab; }
  const stats::DropCounters& drops() const { return drops_; }
  wire::Ipv4Address address() const { return address_; }
  const HostOptions& options() const { return options_; }
  // The network between this host and the middle of it, either way.
  Path& egress() { return egress_; }
  Path& ingress() { return ingress_; }
  // What the stack takes for the time.
  Time clock() const;

  // The application: called for every event, between the verbs.
  std::function<void(const Event&)> on_event;
  // After Reboot(): every connection is gone, and so are the listeners.
  std::function<void()> on_reboot;
  // Calls `action` on this host's thread at `when`, or when its stall is over.
  void At(Time when, std::function<void()> action);
  void After(Duration delay, std::function<void()> action);

  // The thread does nothing for so long.
  void Stall(Duration duration);
  // The clock leaps ahead.
  void JumpClock(Duration by) { clock_offset_ += by; }
  void Reboot();

  // A packet from the network.
  void Take(Packet&& packet) override;
  // One round of the thread. For whoever has called into the stack from outside.
  void Poll();
  // No connection, no TIME-WAIT, nothing to send, and all objs are home.
  bool IsHome();
  std::string Describe();
  uint64_t ring_drops() const { return ring_drops_; }
  ConnectionChecker& checker() { return checker_; }

 private:
  struct Memory {
    explicit Memory(size_t bytes);
    std::unique_ptr<zbuf::Arena> arena;
    zbuf::Slab slab;
  };

  std::unique_ptr<Stack> NewStack();
  void Ingest(const Packet& packet);
  void Handle(const Event& event);
  void Round();
  void FlushAll();
  void Emit(ip::OutDatagram datagram);
  void PlanWake();

  Simulation& simulation_;
  const wire::Ipv4Address address_;
  HostOptions options_;
  Memory memory_;
  Memory device_memory_;  // what is received is in memory that the device has set aside
  stats::DropCounters drops_;
  uint64_t boots_ = 0;
  Duration clock_offset_;
  std::unique_ptr<Stack> stack_;
  Path egress_;
  Path ingress_;
  ConnectionChecker checker_;
  std::deque<Packet> ring_;  // while stalled
  std::deque<std::function<void()>> waiting_actions_;
  uint64_t ring_drops_ = 0;
  Time stalled_until_;
  Time wake_ = Time::Infinite();  // the earliest that is planned
  bool polls_later_ = false;
  ip::OutBatch batch_;
  uint32_t ingested_reset_ = 0;  // remote and local port of a RST that is being digested
};

}  // namespace luna::tcp::simulator

#endif  // LUNA_NET_TCP_TESTING_SIMULATOR_HOST_H_
