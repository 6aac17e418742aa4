#ifndef LUNA_SCHED_R2C_WORKER_H_
#define LUNA_SCHED_R2C_WORKER_H_

// Worker: one run-to-completion thread (LUNA §5.1). NIC queue, IP, TCP, application and kernel descriptors in one loop.
//
// Four verbs make an iteration, and the model is their order (LUNA §5.1):
//   inline-r2c  Receive a burst; for each row of packets of one connection Ingest, Deliver to the handler, Flush its
//               answer.
//   batch-r2c   Receive a burst; Ingest all of it; Deliver one event per connection; Flush once.
// Then, in both, timers, the rest of the output, the device's deferred work, a bounded look at epoll, and Reap. See
// RunOnce(). Application code runs in Deliver, in its timers, and when messages and kernel descriptors are looked at.
//
// It composes, and owns none of its parts: apps/runtime makes them; tests use fakes.
// Thread: one, that of the first RunOnce(), for everything. Debug builds check the calls of Worker itself, not those of
// connections. Other threads use the Mailbox.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "luna/ctrl/stats/counter.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/ip/arp.h"
#include "luna/net/ip/egress.h"
#include "luna/net/ip/ingress.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/net/tcp/coalesce.h"
#include "luna/net/tcp/segment.h"
#include "luna/net/tcp/stack.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/clock.h"
#include "luna/sched/r2c/handler.h"
#include "luna/sched/r2c/kernel_poller.h"
#include "luna/sched/r2c/mailbox.h"
#include "luna/sched/r2c/thread_check.h"
#include "luna/sched/r2c/verb_timer.h"
#include "luna/sched/timer/timer_wheel.h"

namespace luna::r2c {

// Told which next hops the kernel should resolve (ctrl/netlink does so).
class NeighbourResolver {
 public:
  virtual ~NeighbourResolver() = default;
  virtual void Resolve(const wire::IpAddress& next_hop) = 0;
};

struct WorkerParts {
  Clock* clock = nullptr;
  pmd::PacketIo* io = nullptr;
  zbuf::Slab* slab = nullptr;
  ip::Ingress* ingress = nullptr;
  ip::Egress* egress = nullptr;
  tcp::Stack* stack = nullptr;
  ip::Arp* arp = nullptr;                 // null: the kernel answers ARP on this link
  NeighbourResolver* resolver = nullptr;  // null: nobody to ask
  KernelPoller* poller = nullptr;         // null: no kernel descriptors
  Mailbox* mailbox = nullptr;             // null: no other thread asks for anything
  // Where several workers share a device that receives into the slab of one: whether that one is short of memory, which
  // is everybody's business, since who keeps what was received may be any of them. Null: the slab is the device's.
  std::atomic<bool>* device_memory_short = nullptr;
  bool slab_is_devices = true;  // of the one that says so
};

enum class Model : uint8_t { kInline, kBatch };

struct WorkerOptions {
  Model model = Model::kInline;
  size_t receive_burst = 32;           // frames per ReceiveBurst, the paper's "batch"
  uint32_t event_bytes = 16 << 10;     // inline: in a burst's middle so much payload is delivered, the answer leaves
  size_t flush_events = 0;             // batch: output is made after so many events, too; 0: after the burst's last
  uint32_t transmit_bytes = 24 << 10;  // made at once before the device gets them; TSO: all
  size_t transmit_backlog = 512;       // frames that wait for the device before TCP stops making more
  size_t events_per_iteration = 1024;  // bound on timer and posted events between two bursts
  int kernel_events = 16;              // bound on kernel events per iteration (LUNA §7.2)
  size_t messages = 64;                // bound on messages of other threads per iteration
  uint32_t verb_sample = 251;          // one iteration in so many is timed verb by verb (VerbTimer); 0: none
  // A call into the application that takes longer is a stall: counted, and reported with its connection to on_stall,
  // which may be null, when it is over. No connection: a timer's call, or the sum of a round's messages or of its calls
  // for kernel descriptors. Infinite(): calls are not timed, which saves two looks at the clock each.
  Duration stall_limit = Duration::Infinite();
  std::function<void(const tcp::Connection* connection, Duration took)> on_stall;
};

struct WorkerCounters {
  stats::Counter iterations;
  stats::Counter busy_iterations;  // that received, sent or forwarded a frame, or delivered an event
  stats::Counter events_delivered;
  stats::Counter reads_held;  // deliveries put off because the send queue was full
  // The loop's utilisation is busy_ns / (busy_ns + idle_ns): time of iterations that found something to do, and of
  // those that did not, with what lay between them and the next.
  stats::Counter busy_ns;
  stats::Counter idle_ns;
  stats::Counter bursts;       // that brought a frame
  stats::Counter full_bursts;  // of WorkerOptions::receive_burst frames: more may have waited
  stats::Counter stalls;       // WorkerOptions::stall_limit
  stats::Counter longest_stall_ns;
};

// What a stack over `device` leaves to it: the cutting of segments, with a slice for the headers.
void UseOffloads(const pmd::Capabilities& device, tcp::StackConfig* config);

class Worker {
 public:
  // All parts outlive the worker; arp, resolver, poller and mailbox may be null.
  Worker(const WorkerParts& parts, const WorkerOptions& options);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Accepts connections to `port` on `address` (unspecified: any of ours). Errors: as tcp::Stack::Listen.
  absl::Status Listen(const wire::Endpoint& local, Handler& handler, const Delivery& delivery = {},
                      uint32_t backlog = 1024);
  // The same, with more to say; options.owner is the worker's. The listener is good until StopListening().
  absl::StatusOr<tcp::Listener*> Listen(const wire::Endpoint& local, Handler& handler, const Delivery& delivery,
                                        tcp::ListenOptions options);
  // Stops accepting: on all ports, or by one listener. Established connections stay.
  void StopListening();
  void StopListening(tcp::Listener* listener);
  // Connects from the address that the route prefers. OnConnected or OnClosed follows. Errors: as tcp::Stack::Connect,
  // and NotFound when there is no route.
  absl::StatusOr<tcp::Connection*> Connect(const wire::Endpoint& remote, Handler& handler,
                                           const Delivery& delivery = {});
  // The same from an address and port (0: any) of the caller's choice, which is one of ours.
  absl::StatusOr<tcp::Connection*> Connect(const wire::Endpoint& local, const wire::Endpoint& remote, Handler& handler,
                                           const Delivery& delivery, const tcp::ConnectionOptions& options);
  // The address from which `remote` is reached. NotFound: no route.
  absl::StatusOr<wire::IpAddress> SourceTo(const wire::IpAddress& remote) const {
    return parts_.egress->SelectSource(remote);
  }

  // `handler` goes away: its listeners are closed, its connections aborted, and nothing is delivered to it any more.
  void Detach(Handler& handler);

  // One iteration. Returns true when there was something to do.
  bool RunOnce();
  // Iterations until `*stop` is true, looked at once per iteration.
  void Run(const std::atomic<bool>& stop);
  // Closes everything in order: listeners first; then each connection sends what it has queued and a FIN, and goes on
  // delivering what the peer still sends, until the peer closes too. Runs until no connection is left or `limit` has
  // passed; then resets the rest, and lingers a little for the last segments. Returns how many had to be reset.
  size_t Drain(Duration limit);

  void Arm(AppTimer& timer, Time deadline) {
    thread_.Check("Worker::Arm");
    wheel_.Arm(timer, deadline);
  }
  void Cancel(AppTimer& timer) {
    thread_.Check("Worker::Cancel");
    wheel_.Cancel(timer);
  }
  // When RunOnce() has something to do even if no frame comes: a lower bound, Time::Infinite() when never.
  Time NextDeadline() const;
  // Within RunOnce(), which then may not be called: by application code, for one.
  bool iterating() const { return iterating_; }
  // The time of the iteration under way.
  Time now() const { return now_; }

  tcp::Stack& stack() { return *parts_.stack; }
  zbuf::Slab& slab() { return *parts_.slab; }
  pmd::PacketIo& io() { return *parts_.io; }
  KernelPoller* poller() { return parts_.poller; }
  Mailbox* mailbox() { return parts_.mailbox; }
  const WorkerCounters& counters() const { return counters_; }
  const VerbTimer::Counters& verbs() const { return verbs_.counters(); }

 private:
  // What Connection::owner() points at.
  struct Attachment {
    Handler* handler;
    Delivery delivery;
  };

  // The verbs.
  size_t ReceiveBurst();
  void ProcessInline(size_t frames);
  void ProcessBatch(size_t frames);
  void Queue(const tcp::Event& event);
  void DeliverQueued();
  void Complete(const tcp::Event& event);
  void Hand(tcp::Event* event);
  // The segments in `frames`, joined where they can be, their connections on the way from memory. Valid until the next
  // call.
  absl::Span<tcp::Segment> ParseGroup(absl::Span<pmd::Packet> frames);
  // False: no segment, and dealt with.
  bool Parse(pmd::Packet&& frame, tcp::Segment* out);
  // Hands `segment` to TCP and its event on to `event`; that, when it is of another connection, is completed first.
  void Ingest(tcp::Segment& segment, tcp::Event* event);
  void TakeIcmp(const zbuf::ZChain& message);
  void Deliver(const tcp::Event& event);
  void Call(const tcp::Event& event);
  void NoteCall(const tcp::Connection* connection, Time start);
  void Flush();
  // False: nothing was to be sent.
  bool Transmit();

  bool DeliverTimers();
  bool RunAppTimers();
  int PollKernel();
  bool TakeMessages();
  // The time since the last iteration began is that one's.
  void NoteTime(Time now);
  // Takes back what other threads have freed, and tells TCP when little is left: windows close before the device runs
  // out of memory to receive into, acknowledgements included.
  void LookAtMemory();
  bool IsMemoryShort();
  void DeliverReadable(tcp::Connection& connection, const Attachment& attachment);
  void PollControlPlane();
  // Tells TCP the MTU of the routes: of a new connection's, and of all when they changed (RFC 9293 SHLD-6).
  void FollowRoute(tcp::Connection& connection);
  void FollowRoutes();
  Attachment* Attach(Handler& handler, const Delivery& delivery);
  static Handler& Nobody();

  const WorkerParts parts_;
  const WorkerOptions options_;
  ThreadCheck thread_;
  size_t transmit_burst_;  // full-sized frames for WorkerOptions::transmit_bytes
  Time now_;
  VerbTimer verbs_;
  bool was_busy_ = false;  // the last iteration
  bool iterating_ = false;
  bool memory_short_ = false;  // as TCP was told
  bool device_holds_ = false;  // frames, at the last Reclaim()
  std::vector<pmd::Packet> received_;
  std::array<tcp::Segment, tcp::Stack::kMostPrefetched> segments_;  // of a part of a burst
  std::vector<tcp::Event> events_;                                  // batch: not delivered yet; one per connection
  ip::OutBatch batch_;                                              // from TCP to IP
  std::vector<pmd::Packet> frames_;                                 // from IP to the device; front ones first
  bool link_was_up_ = false;
  uint64_t routes_version_ = 0;  // that the connections follow
  timer::TimerWheel wheel_;      // the application's timers
  std::deque<Attachment> attachments_;
  std::vector<tcp::Listener*> listeners_;
  WorkerCounters counters_;
};

}  // namespace luna::r2c

#endif  // LUNA_SCHED_R2C_WORKER_H_
