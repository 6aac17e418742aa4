#ifndef LUNA_NET_TCP_TESTING_FUZZ_CHECKED_HOST_H_
#define LUNA_NET_TCP_TESTING_FUZZ_CHECKED_HOST_H_

// CheckedHost: one Stack on a virtual clock with an application, under whatever segments, calls and shortages, and a
// model of each of its connections that every step is held against. A violation ends the process (CHECK), so that
// libFuzzer and the replay report the input.
//
// Every octet of a stream is Octet(its sequence number), in both directions: so whoever sees a segment can tell whether
// its payload is right, whoever sent it and however often.
//
// What is checked, after each step or on each segment (CONFORMANCE F.1 in brackets):
//   [S1] the application reads what the peer sent, in order; [S2] a FIN is reached after all data, and no event follows
//   kClosed; [S3] SND.UNA <= SND.NXT <= SND.MAX; nothing new beyond the peer's right edge but a probe; RCV.NXT and
//   the right edge never to the left, acknowledgements and SACK blocks of nothing that did not come; [S4] segments
//   within the MSS, parsed again, with right checksums, no RST for a RST, nothing that was not queued; [S5] the
//   scoreboard lies in [SND.UNA, SND.NXT], its accounts equal a recount; reassembly is sorted and disjoint; [S6] held
//   octets equal a recount and keep within memory_limit_bytes; [S7] Finish(): no connection, timer, TIME-WAIT, listener
//   or obj is left; [S8] octets sent again are the same; [S11] each transition is in the RFC's table (transitions.h).
//
// With LUNA_TEST_TRACE set, every segment and every call goes to stderr as a line. One thread.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/tcp/config.h"
#include "luna/net/tcp/connection.h"
#include "luna/net/tcp/event.h"
#include "luna/net/tcp/listener.h"
#include "luna/net/tcp/stack.h"
#include "luna/net/tcp/testing/fuzz/ranges.h"
#include "luna/net/tcp/testing/fuzz/transitions.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/tcp_options.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::testing {

// The octet that every stream has at sequence number `seq`.
constexpr char Octet(uint32_t seq) { return static_cast<char>((seq * 0x9e3779b1u) >> 24 ^ seq >> 13); }
std::string Octets(uint32_t seq, size_t count);

class CheckedHost {
 public:
  // What is known of a four-tuple: its connection now, or the last one.
  struct Flow {
    wire::FourTuple tuple;
    TupleState state = TupleState::kClosed;
    Connection* found = nullptr;       // in the stack's table, in whatever state
    Connection* connection = nullptr;  // null once the application may not use it any more
    bool live = false;                 // it is in the stack, and neither CLOSED nor TIME-WAIT
    bool known = false;                // the application has it
    bool closed = false;               // the application has called Close() or Abort()
    bool told_closed = false;
    bool told_fin = false;

    // --- Receiving; numbers relative to IRS ---
    bool has_irs = false;
    uint32_t irs = 0;
    Ranges came;             // octets that were in segments for this connection
    std::set<int64_t> fins;  // where the FINs of those segments stood
    int64_t read = 0;        // octets that the application has taken
    int64_t nxt = 0;         // RCV.NXT and the right edge as last seen
    int64_t edge = 0;
    uint32_t largest_buffer = 0;

    // --- Sending; numbers relative to ISS ---
    uint32_t iss = 0;
    int64_t queued = 0;      // octets that Send() took
    bool fin_asked = false;  // ShutdownWrite() or Close()
    bool fin_sent = false;
    int64_t max_sent = 0;
    bool syn_seen = false;  // what is emitted before that may be of the connection before
    int64_t acked = 0;      // by our segments
    int64_t announced = 0;  // right edge, by our segments

    // --- What was emitted last, also without a connection ---
    uint32_t last_seq_end = 0;
    uint32_t last_ack = 0;
    uint32_t last_tsval = 0;
    bool emitted = false;
  };

  struct Segment {
    std::string bytes;
    ip::Ecn ecn = ip::Ecn::kNotEct;
    wire::FourTuple tuple;  // as this host has it
  };

  // Both slabs outlive the host. `device`: what comes in lies there.
  CheckedHost(const StackConfig& config, zbuf::TestSlab& memory, zbuf::TestSlab& device, TransitionLog* log, Time now);
  ~CheckedHost();
  CheckedHost(const CheckedHost&) = delete;
  CheckedHost& operator=(const CheckedHost&) = delete;

  // Before anything happens on it. Stays where it is.
  Flow& AddFlow(const wire::FourTuple& tuple);
  Flow& flow(size_t i) { return *flows_[i]; }
  const Flow& flow(size_t i) const { return *flows_[i]; }
  size_t flows() const { return flows_.size(); }
  Stack& stack() { return *stack_; }
  const StackConfig& config() const { return config_; }
  Time now() const { return now_; }
  void SetTime(Time now) { now_ = now; }
  // Whether the application takes what a listener accepts (Listener::Taken()).
  void set_takes(bool takes) { takes_ = takes; }
  Flow* Find(const wire::FourTuple& tuple);

  // --- The verbs ---
  // A TCP segment from the flow's remote end.
  void Ingest(Flow& flow, absl::string_view bytes, size_t slice_bytes, ip::Ecn ecn);
  void OnIcmp(Flow& flow, absl::string_view message, bool hard);
  void Poll();
  // Appends to `out`, if there is one.
  void Flush(size_t limit, std::vector<Segment>* out);
  void Reap();

  // --- The application. Without effect where there is no connection that it may use. ---
  void Listen(const wire::Endpoint& local, const ListenOptions& options);
  void StopListening();
  bool listening() const { return listener_ != nullptr; }
  void Connect(Flow& flow);
  size_t Send(Flow& flow, size_t bytes, bool by_reference, SendFlags flags);
  size_t Read(Flow& flow, size_t limit);
  void ShutdownWrite(Flow& flow);
  void ShutdownRead(Flow& flow);
  void Close(Flow& flow);
  void Abort(Flow& flow);
  void SetOptions(Flow& flow, const std::function<void(ConnectionOptions&)>& change);

  // --- Shortage ---
  // Takes all but `objs` objs of the header class that are left in the stack's memory, until Release().
  void Exhaust(size_t objs);
  void Release();

  // Everything is closed, the peers are silent, time goes on. Checks that nothing is left.
  void Finish();
  std::string Describe() const;

 private:
  Cause Classify(const Flow& flow, absl::string_view bytes) const;
  TupleState StateOf(const Flow& flow) const;
  // Every call of the stack that may change a state is followed by this. `flow`: whom the cause concerns; null: all of
  // them. Others must stay as they are; without a cause, all.
  void After(const Flow* flow, std::optional<Cause> cause);
  void Call(Flow& flow, Cause cause, const std::function<void(Connection&)>& call);
  void Trace(const Flow& flow, Cause cause, TupleState before) const;
  void TraceSegment(const char* way, const Flow& flow, absl::string_view bytes) const;
  void Follow(Flow& flow);
  void Begin(Flow& flow, Connection& connection);
  void Handle(const Event& event);
  void NoteCame(Flow& flow, absl::string_view bytes);
  void Check();
  void CheckConnection(Flow& flow, const Connection& connection) const;
  void CheckMemory();
  void Emit(ip::OutDatagram datagram, std::vector<Segment>* out);
  void CheckEmitted(Flow& flow, const wire::TcpHeader& header, absl::string_view bytes);
  void CheckData(Flow& flow, const wire::TcpHeader& header, absl::string_view payload);
  void CheckAcknowledgement(Flow& flow, const wire::TcpHeader& header, const wire::TcpOptions& options);

  const StackConfig config_;
  zbuf::TestSlab& memory_;
  zbuf::TestSlab& device_;
  TransitionLog* log_;
  const bool trace_;
  stats::DropCounters drops_;
  std::unique_ptr<Stack> stack_;
  std::vector<std::unique_ptr<Flow>> flows_;
  Listener* listener_ = nullptr;
  std::set<const Connection*> leaving_;  // their place has a successor, and their kClosed event is still to come
  std::vector<std::byte*> hoard_;
  Time now_;
  const Time start_;
  bool takes_ = true;
  uint64_t reaped_ = 0;
};

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_FUZZ_CHECKED_HOST_H_
