#ifndef LUNA_SCHED_R2C_IO_CORE_H_
#define LUNA_SCHED_R2C_IO_CORE_H_

// IoCore: a dedicated I/O core (LUNA §5.2, the object store's model). One thread runs NIC and protocol, a Worker as
// always; application threads run the handlers, and block when there is nothing to do. For applications that compute
// long, or call what blocks, between a request and its answer.
//
//   IoCore io(worker, {.threads = 4});                              // the I/O thread
//   worker.Listen(local, io, io.delivery());
//   while (!stop) worker.RunOnce();
//
//   io.thread(2).Run(handler, stop);                                // an application thread, until io.Stop()
//
// Connections are given to the threads in turn, and stay with theirs. Between the two sides lie bounded rings without a
// lock. Back-pressure goes both ways: what a thread does not take stays in TCP and closes the peer's window; a
// connection has `send_bytes` of credit for octets that TCP has not taken yet, and OnWritable tells when it is whole
// again. The worker's mailbox tells the core that threads have sent something, so it may sleep, too. Nothing is copied:
// payload is references to what the device wrote, and each obj goes home by its slab's return queue, whoever frees it.
//
// Threads: IoCore's calls and the worker belong to the I/O thread, an AppThread to its own, a RemoteConnection to that
// of its handler. Ownership: the worker, which has a mailbox, outlives IoCore, and that the threads' Run().

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "absl/status/statusor.h"
#include "luna/ctrl/stats/counter.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/net/tcp/connection.h"
#include "luna/sched/r2c/handler.h"
#include "luna/sched/r2c/worker.h"
#include "luna/sched/ring/bell.h"
#include "luna/sched/ring/spsc_ring.h"

namespace luna::r2c {

class AppThread;

// A connection as its application thread sees it.
class RemoteConnection {
 public:
  // For the application's own use.
  void* context = nullptr;

  // Queues all of `data` by reference and leaves it empty; or takes nothing: no credit is left, or the ring is full
  // (OnWritable comes), or the connection has ended.
  bool Send(zbuf::ZChain&& data);
  // No more is sent; what the peer sends still comes. Its FIN ends the connection.
  void ShutdownWrite();
  void Close();
  uint64_t id() const { return id_; }

 private:
  friend class AppThread;
  RemoteConnection(AppThread& thread, uint64_t id) : thread_(thread), id_(id) {}

  AppThread& thread_;
  const uint64_t id_;
  size_t uncredited_ = 0;  // octets on their way to TCP
  bool wants_room_ = false;
  bool closed_ = false;  // by us
};

// What an application implements; as r2c::Handler, on an application thread, where it may block.
class RemoteHandler {
 public:
  virtual ~RemoteHandler() = default;
  virtual void OnAccepted(RemoteConnection&) {}
  virtual void OnReadable(RemoteConnection& connection, zbuf::ZChain data) = 0;
  virtual void OnWritable(RemoteConnection&) {}
  virtual void OnPeerClosed(RemoteConnection& connection) { connection.Close(); }
  // The program is about to end (IoCore::AskToFinish): what is under way may be finished, and the connection closed.
  virtual void OnFinish(RemoteConnection&) {}
  // The last call. The connection is gone when it returns.
  virtual void OnClosed(RemoteConnection&) {}
};

struct IoCoreOptions {
  size_t threads = 1;
  size_t ring_messages = 1024;          // per thread and direction
  size_t send_bytes = size_t{1} << 20;  // credit of a connection
  // Delivery::hold_reads_while_send_full, for handlers that answer what they receive: while TCP has no room for what a
  // connection sends, nothing of it is handed on.
  bool hold_reads_while_send_full = false;
  int spins = 200;  // looks of an application thread before it blocks
};

// The messages between the two sides. Internal.
struct ToApp {
  enum class Kind : uint8_t { kAccepted, kData, kCredit, kPeerClosed, kFinish, kClosed } kind = Kind::kData;
  uint64_t id = 0;
  zbuf::ZChain data;
  size_t bytes = 0;  // kCredit
};
struct ToIo {
  enum class Kind : uint8_t { kSend, kShutdownWrite, kClose } kind = Kind::kSend;
  uint64_t id = 0;
  zbuf::ZChain data;
};

class AppThread {
 public:
  AppThread(const AppThread&) = delete;
  AppThread& operator=(const AppThread&) = delete;

  // Delivers to `handler` until IoCore::Stop(). Blocks without work.
  void Run(RemoteHandler& handler);
  // A round of Run() without blocking: false when there was nothing.
  bool RunOnce(RemoteHandler& handler);

  struct Counters {
    stats::Counter messages;
    stats::Counter blocked;  // times that it slept
  };
  const Counters& counters() const { return counters_; }

 private:
  friend class IoCore;
  friend class RemoteConnection;
  AppThread(const IoCoreOptions& options, std::unique_ptr<Bell> bell, std::function<bool()> announce);
  bool Give(ToIo&& message);
  void Announce();
  void Handle(RemoteHandler& handler, ToApp message);
  // What found the ring full is tried again. False: nothing did.
  bool Retry(RemoteHandler& handler);
  void GiveOrKeep(ToIo message);
  void Block();

  const IoCoreOptions options_;
  const std::unique_ptr<Bell> bell_;  // rung by the I/O thread
  SpscRing<ToApp> to_app_;
  SpscRing<ToIo> to_io_;
  std::atomic<bool> stop_{false};
  const std::function<bool()> announce_;  // false: the worker's mailbox is full
  std::atomic<bool> announced_{false};    // and the worker has not looked yet
  std::unordered_map<uint64_t, std::unique_ptr<RemoteConnection>> connections_;
  std::deque<ToIo> kept_;  // shutdowns and closes for which the ring had no room
  std::unordered_set<uint64_t> want_room_;
  bool ring_was_full_ = false;  // and who found it so has not been told that there is room
  Counters counters_;
};

class IoCore final : public Handler {
 public:
  static absl::StatusOr<std::unique_ptr<IoCore>> Create(Worker& worker, const IoCoreOptions& options);
  ~IoCore() override;

  // How worker.Listen() is to deliver to this.
  static constexpr Delivery delivery() { return {.leave_data = true}; }
  AppThread& thread(size_t i) { return *threads_.at(i); }
  // OnFinish() of each connection that there is.
  void AskToFinish();
  // The threads' Run() return.
  void Stop();
  size_t connections() const { return links_.size(); }

 private:
  // A connection, and what its thread is still to be told, in this order.
  struct Link {
    tcp::Connection* connection;  // null: it has ended
    AppThread* thread;
    bool accepted = true;
    size_t credit = 0;       // octets that TCP has taken
    zbuf::ZChain left_over;  // of a connection that has ended
    bool readable = false;   // octets may wait in TCP
    bool peer_closed = false;
    bool finish = false;
    bool closed = false;

    std::deque<zbuf::ZChain> unsent;  // for which TCP had no room
    bool shutdown = false;            // behind what is unsent
    bool close = false;               // the same
    bool is_pending = false;
  };

  IoCore(Worker& worker, const IoCoreOptions& options) : worker_(worker), options_(options) {}
  void OnAccepted(tcp::Connection& connection) override;
  void OnReadable(tcp::Connection& connection, zbuf::ZChain) override;
  void OnWritable(tcp::Connection& connection) override;
  void OnPeerClosed(tcp::Connection& connection) override;
  void OnClosed(tcp::Connection& connection, tcp::CloseReason reason) override;

  static uint64_t IdOf(const tcp::Connection& connection) { return reinterpret_cast<uintptr_t>(connection.context()); }
  // Tells the thread. False: its ring is full, and some of it waits.
  bool HandOn(uint64_t id, Link& link);
  void HandOnOrWait(uint64_t id, Link& link);
  void Send(Link& link);
  void Take(ToIo message);
  void TakeFrom(AppThread& thread);
  void RetryPending();

  // What found a full ring is tried again.
  class RetryTimer final : public AppTimer {
   public:
    explicit RetryTimer(IoCore& core) : core_(core) {}
    void OnTimer(Time) override { core_.RetryPending(); }

   private:
    IoCore& core_;
  };

  Worker& worker_;
  const IoCoreOptions options_;
  std::vector<std::unique_ptr<AppThread>> threads_;
  std::unordered_map<uint64_t, Link> links_;
  std::vector<uint64_t> pending_;  // links that wait for room in a ring, each once
  RetryTimer retry_timer_{*this};
  // For messages that are in the mailbox when this goes: null then. Of the I/O thread.
  std::shared_ptr<IoCore*> self_ = std::make_shared<IoCore*>(this);
  uint64_t next_id_ = 1;
  size_t next_thread_ = 0;
};

}  // namespace luna::r2c

#endif  // LUNA_SCHED_R2C_IO_CORE_H_
