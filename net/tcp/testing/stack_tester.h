#ifndef LUNA_NET_TCP_TESTING_STACK_TESTER_H_
#define LUNA_NET_TCP_TESTING_STACK_TESTER_H_

// StackTester: one Stack on a virtual clock, and a peer that is written by hand, segment by segment.
//
//   StackTester t;
//   t.Listen();
//   t.In({.flags = kSyn});                          // the peer's SYN; our answer was flushed at once
//   EXPECT_EQ(t.Out(), "SA 0+0 a1");                // flags, relative sequence number + payload octets, relative ack
//   t.In({});                                       // the peer's ACK: flags, seq and ack default to "what comes next"
//   EXPECT_TRUE(t.TakeEvents() & EventBits::kAccepted);
//   t.Send("hello");
//   EXPECT_EQ(t.Out(), "PA 1+5 a1");
//   t.Run(Duration::Milliseconds(10));              // timers fire at their own times; then the clock stands 10 ms
//   later
//
// All numbers are relative to the initial sequence number of their sender. Every segment that the stack emits is
// parsed, its checksum (filled in by net/ip) verified and its options, sizes and invariants checked, whether a test
// looks at it or not: no payload beyond the MSS, RCV.NXT and the advertised right edge never to the left (the edge by
// less than one scale unit under RFC 7323 §2.4), no RST in answer to a RST.
//
// With LUNA_TEST_TRACE set, every segment in or out goes to stderr as a line.
//
// The destructor reaps and destroys the stack and fails the test if an obj of its memory is out.
// One thread. Time starts at kStart.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/tcp/config.h"
#include "luna/net/tcp/connection.h"
#include "luna/net/tcp/event.h"
#include "luna/net/tcp/stack.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/tcp_options.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::testing {

inline constexpr uint16_t kFin = wire::TcpFlags::kFin;
inline constexpr uint16_t kSyn = wire::TcpFlags::kSyn;
inline constexpr uint16_t kRst = wire::TcpFlags::kRst;
inline constexpr uint16_t kPsh = wire::TcpFlags::kPsh;
inline constexpr uint16_t kAck = wire::TcpFlags::kAck;
inline constexpr uint16_t kUrg = wire::TcpFlags::kUrg;
inline constexpr uint16_t kEce = wire::TcpFlags::kEce;
inline constexpr uint16_t kCwr = wire::TcpFlags::kCwr;

// A segment that the peer sends. What is not set is what comes next.
struct Incoming {
  uint16_t flags = kAck;
  absl::optional<int64_t> seq = {};                  // relative to the peer's ISN; default: after all it has sent
  absl::optional<int64_t> ack = {};                  // relative to the stack's ISN; default: all that it has received
  std::string payload = {};                          //
  absl::optional<uint16_t> window = {};              // the field as on the wire; default: Peer::window
  absl::optional<wire::TcpOptions> options = {};     // default: a timestamp when both SYNs had one
  absl::optional<Duration> arrived_before_now = {};  // when the device took it: RxMeta::arrival
  size_t slice_bytes = 0;                            // > 0: the datagram comes in slices of that size
  bool bad_checksum = false;
  uint16_t urgent = 0;             // the pointer; the flag is up to `flags`
  ip::Ecn ecn = ip::Ecn::kNotEct;  // of the IP header
};

// A segment that the stack emitted.
struct Emitted {
  wire::TcpHeader header;
  wire::TcpOptions options;
  std::string payload;
  wire::FourTuple tuple;  // as the stack has it
  int64_t seq = 0;        // relative
  int64_t ack = 0;
  Time at;
  uint8_t ttl = 0;
  uint8_t dscp = 0;
  bool dont_fragment = true;
  ip::Ecn ecn = ip::Ecn::kNotEct;
  // "SA 0+0 a1": flags of S F R P A U E W, seq + payload octets, ack when there is one.
  std::string ToString() const;
};

// The peer's memory of one connection.
struct Peer {
  wire::Endpoint endpoint{wire::Ipv4Address(10, 0, 0, 1), 40000};
  wire::Endpoint local{wire::Ipv4Address(10, 0, 0, 2), 61441};  // the stack's end
  uint32_t isn = 0xfffff000;                                    // wraps after 4 KB
  uint32_t stack_isn = 0;
  int64_t next = 0;      // relative, what it sends next
  int64_t received = 0;  // relative, what it acknowledges next
  uint16_t window = 0xffff;
  // Options of its SYN (or SYN-ACK).
  wire::TcpOptions syn_options;
  bool timestamps = false;  // both SYNs had the option
  uint32_t tsval = 1000;    // of its next segment; the test moves it
  uint32_t tsecr = 0;       // the stack's last TSval
  uint8_t stack_shift = 0;  // by the stack's SYN, in force when ours had one too
  bool scaled = false;
  // Checked on every emitted segment.
  bool has_edge = false;
  int64_t last_ack = 0;
  int64_t edge = 0;
};

class StackTester {
 public:
  static constexpr Time kStart = Time::FromNanoseconds(int64_t{1000} * 1000 * 1000 * 1000);
  // Settings that make scripts short: no timestamps, no window scaling, no delay of acknowledgements, a receive buffer
  // of 64 KB that does not grow; everything else as in DataCentre().
  static StackConfig Plain();

  explicit StackTester(const StackConfig& config = Plain(), size_t memory_bytes = size_t{16} << 20);
  ~StackTester();
  StackTester(const StackTester&) = delete;
  StackTester& operator=(const StackTester&) = delete;

  Stack& stack() { return *stack_; }
  zbuf::TestSlab& memory() { return memory_; }
  stats::DropCounters& drops() { return drops_; }
  uint64_t drops(stats::DropReason reason) const { return drops_.value(reason); }
  Time now() const { return now_; }
  zbuf::ZChain Chain(absl::string_view bytes) { return memory_.Chain(bytes); }

  // The peer that In() and Out() speak for. Others: SwitchTo().
  Peer& peer() { return *peer_; }
  // Makes a new peer (from the next port) current; the old ones stay valid.
  Peer& NewPeer();
  void SwitchTo(Peer& peer) { peer_ = &peer; }

  // --- The stack's application ---
  Listener* Listen(const ListenOptions& options = {});
  // Connect() to the current peer.
  Connection* Connect();
  // The connection of the last event, or of the last Connect().
  Connection* connection() { return connection_; }
  // OR of the events since the last call.
  uint32_t TakeEvents() { return std::exchange(events_, 0); }
  // Of the last kClosed event.
  CloseReason close_reason() const { return close_reason_; }
  // Called for every event, from where an application would be called.
  std::function<void(const Event&)> on_event;
  // Reads all there is.
  std::string Read();
  // Queues a copy of `bytes` on connection(), which must take it, and flushes.
  void Send(absl::string_view bytes);

  // --- The wire ---
  // Brings a segment in, handles the event, flushes.
  void In(const Incoming& segment);
  // The peer's next octets, or its FIN, acknowledging all that it has received; moves Peer::next.
  void Data(absl::string_view payload, uint16_t more_flags = 0);
  void Fin() { Data("", kFin); }
  // Flushes; everything emitted since the last call, separated by "; ". Empty: nothing.
  std::string Out();
  // The same without text.
  std::vector<Emitted> TakeOut();
  // The last emitted segment, whether or not it was taken.
  const Emitted& last() const { return last_; }
  // What goes to NextEvent() and Flush(), without a packet.
  void Poll();
  // When false, nothing is flushed until Poll() or Out().
  bool auto_flush = true;
  size_t flush_limit = 1024;

  // --- Time ---
  // Steps from deadline to deadline; then now() is `duration` later.
  void Run(Duration duration);

  // --- States. `passive`: by a listener. Nothing is left in Out() and TakeEvents(). ---
  Connection& Establish(bool passive = true);
  // Any of the ten states but TIME-WAIT and CLOSED.
  Connection& Reach(State state);

 private:
  void Handle(const Event& event);
  void Flush();
  void Absorb(ip::OutDatagram datagram);
  void Check(const Emitted& out, Peer& peer);
  Peer* FindPeer(const wire::FourTuple& tuple);

  zbuf::TestSlab memory_;
  stats::DropCounters drops_;
  Time now_ = kStart;
  std::unique_ptr<Stack> stack_;
  std::deque<Peer> peers_;
  Peer* peer_;
  Connection* connection_ = nullptr;
  uint32_t events_ = 0;
  CloseReason close_reason_ = CloseReason::kNone;
  std::vector<Emitted> out_;
  Emitted last_;
  bool last_in_was_rst_ = false;
  const bool trace_;
};

// Options of a SYN.
wire::TcpOptions SynOptions(uint16_t mss, absl::optional<uint8_t> shift = {}, absl::optional<uint32_t> tsval = {});

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_STACK_TESTER_H_
