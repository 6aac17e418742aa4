#include "luna/net/socket/luna_ev.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "luna/net/socket/luna_socket.h"
#include "luna/net/socket/worker_sockets.h"
#include "luna/net/tcp/posix/call_result.h"

namespace {

using luna::tcp::posix::CallResult;

constexpr int kEventsAtATime = 64;
constexpr double kLongestWait = 3600;  // seconds; then it looks again

// Who watches one descriptor, and what for altogether.
struct Watched {
  luna_ev_io* first = nullptr;
  uint32_t events = 0;
};

struct Pending {
  luna_ev_watcher* watcher;
  int revents;
};

double SecondsOf(luna::Time time) { return static_cast<double>(time.nanoseconds()) * 1e-9; }

}  // namespace

struct luna_ev_loop {
  luna::socket::WorkerSockets* sockets;
  int epoll;
  std::unordered_map<int, Watched> watched;
  std::map<std::pair<double, uint64_t>, luna_ev_timer*> timers;
  uint64_t timers_started = 0;
  std::vector<luna_ev_watcher*> prepares;
  std::vector<luna_ev_watcher*> checks;
  std::vector<luna_ev_async*> asyncs;
  std::vector<Pending> pending;  // in the order of their coming; null: called or stopped since
  size_t next_pending = 0;       // of all calls of InvokePending() under way
  int active = 0;
  int depth = 0;      // of luna_ev_run()
  int break_how = 0;  // asked for
  double now = 0;
  void* userdata = nullptr;
  int event_fd = -1;  // another thread has sent something
  std::atomic<bool> sent{false};
};

namespace {

void Feed(luna_ev_loop* loop, luna_ev_watcher* w, int revents) {
  if (w->pending > 0) {
    loop->pending[w->pending - 1].revents |= revents;
    return;
  }
  loop->pending.push_back({w, revents});
  w->pending = loop->pending.size();
}

void Forget(luna_ev_loop* loop, luna_ev_watcher* w) {
  if (w->pending > 0) loop->pending[w->pending - 1].watcher = nullptr;
  w->pending = 0;
}

bool Activate(luna_ev_loop* loop, luna_ev_watcher* w) {
  if (w->active != 0) return false;
  w->active = 1;
  ++loop->active;
  return true;
}

bool Deactivate(luna_ev_loop* loop, luna_ev_watcher* w) {
  Forget(loop, w);
  if (w->active == 0) return false;
  w->active = 0;
  --loop->active;
  return true;
}

void Call(luna_ev_loop* loop, luna_ev_watcher* w, int revents) {
  const auto call = [&]<typename T>(T* watcher) { watcher->callback(loop, watcher, revents); };
  switch (w->kind) {
    case LUNA_EV_READ:
      return call(reinterpret_cast<luna_ev_io*>(w));
    case LUNA_EV_TIMER:
      return call(reinterpret_cast<luna_ev_timer*>(w));
    case LUNA_EV_PREPARE:
      return call(reinterpret_cast<luna_ev_prepare*>(w));
    case LUNA_EV_CHECK:
      return call(reinterpret_cast<luna_ev_check*>(w));
    case LUNA_EV_ASYNC:
      return call(reinterpret_cast<luna_ev_async*>(w));
    default:
      LOG(FATAL) << "a watcher that was not initialised";
  }
}

// Callbacks may stop others, run the loop, and make more pending.
void InvokePending(luna_ev_loop* loop) {
  while (loop->next_pending < loop->pending.size()) {
    const Pending next = std::exchange(loop->pending[loop->next_pending++], {nullptr, 0});
    if (next.watcher == nullptr) continue;
    next.watcher->pending = 0;
    Call(loop, next.watcher, next.revents);
  }
  loop->pending.clear();
  loop->next_pending = 0;
}

// --- Descriptors ---

uint32_t WantedOf(const Watched& watched) {
  uint32_t events = 0;
  for (const luna_ev_io* w = watched.first; w != nullptr; w = w->next) {
    if ((w->events & LUNA_EV_READ) != 0) events |= EPOLLIN;
    if ((w->events & LUNA_EV_WRITE) != 0) events |= EPOLLOUT;
  }
  return events;
}

// Tells epoll what is wanted of `fd`. A descriptor that was closed and is another's now is known to one of us only.
int Register(luna_ev_loop* loop, int fd, uint32_t before, uint32_t wanted) {
  epoll_event event = {.events = wanted, .data = {.fd = fd}};
  const int operation = wanted == 0 ? EPOLL_CTL_DEL : before == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (luna_epoll_ctl(loop->epoll, operation, fd, &event) == 0 || wanted == 0) return 0;
  if (errno == ENOENT) return luna_epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event);
  if (errno == EEXIST) return luna_epoll_ctl(loop->epoll, EPOLL_CTL_MOD, fd, &event);
  return -1;
}

// Who watches `fd` waits for something that cannot come.
void Kill(luna_ev_loop* loop, int fd) {
  const auto found = loop->watched.find(fd);
  luna_ev_io* w = found->second.first;
  loop->watched.erase(found);
  for (luna_ev_io* next = nullptr; w != nullptr; w = next) {
    next = std::exchange(w->next, nullptr);
    Deactivate(loop, &w->w);
    Feed(loop, &w->w, LUNA_EV_ERROR | LUNA_EV_READ | LUNA_EV_WRITE);
  }
}

void Update(luna_ev_loop* loop, int fd) {
  Watched& watched = loop->watched.at(fd);
  const uint32_t wanted = WantedOf(watched);
  const uint32_t before = std::exchange(watched.events, wanted);
  if (wanted != before && Register(loop, fd, before, wanted) != 0) return Kill(loop, fd);
  if (watched.first == nullptr) loop->watched.erase(fd);
}

void TakeAsyncs(luna_ev_loop* loop) {
  uint64_t count = 0;
  (void)!read(loop->event_fd, &count, sizeof(count));  // what it counts does not matter
  loop->sent.store(false, std::memory_order_seq_cst);
  for (luna_ev_async* w : loop->asyncs) {
    if (__atomic_exchange_n(&w->sent, 0, __ATOMIC_SEQ_CST) != 0) Feed(loop, &w->w, LUNA_EV_ASYNC);
  }
}

void FeedDescriptor(luna_ev_loop* loop, const epoll_event& event) {
  const int fd = event.data.fd;
  if (fd == loop->event_fd) return TakeAsyncs(loop);
  const auto found = loop->watched.find(fd);
  if (found == loop->watched.end()) {  // closed while it was watched, and its number is another's
    epoll_event none = {};
    luna_epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, &none);
    return;
  }
  int revents = 0;
  if ((event.events & ~uint32_t{EPOLLOUT}) != 0) revents |= LUNA_EV_READ;
  if ((event.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) revents |= LUNA_EV_WRITE;
  for (luna_ev_io* w = found->second.first; w != nullptr; w = w->next) {
    if ((w->events & revents) != 0) Feed(loop, &w->w, w->events & revents);
  }
}

// --- Time ---

void StartTimer(luna_ev_loop* loop, luna_ev_timer* w, double at) {
  if (!Activate(loop, &w->w)) return;
  w->at = at;
  w->number = ++loop->timers_started;
  loop->timers[{w->at, w->number}] = w;
}

bool StopTimer(luna_ev_loop* loop, luna_ev_timer* w) {
  if (!Deactivate(loop, &w->w)) return false;
  loop->timers.erase({w->at, w->number});
  return true;
}

void FeedTimers(luna_ev_loop* loop) {
  std::vector<luna_ev_timer*> due;
  for (const auto& [when, w] : loop->timers) {
    if (when.first > loop->now) break;
    due.push_back(w);
  }
  for (luna_ev_timer* w : due) {
    StopTimer(loop, w);
    // A beat that was missed is not made up for.
    const double next = w->at + w->repeat;
    if (w->repeat > 0) StartTimer(loop, w, next > loop->now ? next : loop->now + w->repeat);
    Feed(loop, &w->w, LUNA_EV_TIMER);
  }
}

int TimeoutOf(const luna_ev_loop* loop, int flags) {
  if ((flags & LUNA_EVRUN_NOWAIT) != 0 || loop->active <= 0 || loop->break_how != 0) return 0;
  if (loop->timers.empty()) return -1;
  const double seconds = std::clamp(loop->timers.begin()->first.first - loop->now, 0.0, kLongestWait);
  return static_cast<int>(std::ceil(seconds * 1000));
}

// How long to wait is said when it is known what time it is: callbacks may have taken their time.
bool Turn(luna_ev_loop* loop, int flags) {
  for (luna_ev_watcher* w : loop->prepares) Feed(loop, w, LUNA_EV_PREPARE);
  InvokePending(loop);
  luna_ev_now_update(loop);
  if ((flags & LUNA_EVRUN_NOWAIT) == 0 && loop->sockets->interrupted()) {
    errno = EINTR;
    return false;
  }
  std::array<epoll_event, kEventsAtATime> events;
  const int timeout = TimeoutOf(loop, flags);
  const CallResult got = loop->sockets->RunUntilReady(
      loop->epoll, [&] { return loop->sockets->EpollWait(loop->epoll, events.data(), kEventsAtATime, timeout); });
  loop->now = SecondsOf(loop->sockets->now());
  if (!got.ok()) {
    errno = got.error;
    return false;
  }
  for (int64_t i = 0; i < got.value; ++i) FeedDescriptor(loop, events[static_cast<size_t>(i)]);
  FeedTimers(loop);
  for (luna_ev_watcher* w : loop->checks) Feed(loop, w, LUNA_EV_CHECK);
  InvokePending(loop);
  return true;
}

void InitWatcher(luna_ev_watcher* w, int kind) {
  w->data = nullptr;
  w->kind = kind;
  w->active = 0;
  w->pending = 0;
}

}  // namespace

luna_ev_loop* luna_ev_loop_new(void) {
  luna::socket::WorkerSockets* const sockets = luna::socket::SocketsOfThisThread();
  const int epoll = luna_epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return nullptr;
  auto* loop = new luna_ev_loop{.sockets = sockets, .epoll = epoll};
  loop->now = SecondsOf(sockets->now());
  return loop;
}

void luna_ev_loop_destroy(luna_ev_loop* loop) {
  CHECK(loop->depth == 0) << "destroyed while it runs";
  luna_close(loop->epoll);
  if (loop->event_fd >= 0) close(loop->event_fd);
  delete loop;
}

int luna_ev_run(luna_ev_loop* loop, int flags) {
  ++loop->depth;
  bool ok = true;
  do {
    ok = Turn(loop, flags);
  } while (ok && loop->active > 0 && loop->break_how == 0 && (flags & (LUNA_EVRUN_NOWAIT | LUNA_EVRUN_ONCE)) == 0);
  --loop->depth;
  if (loop->break_how == LUNA_EVBREAK_ONE || loop->depth == 0) loop->break_how = 0;
  if (!ok) return -1;
  return loop->active > 0 ? 1 : 0;
}

void luna_ev_break(luna_ev_loop* loop, int how) {
  if (loop->depth > 0) loop->break_how = std::max(loop->break_how, how);
}

double luna_ev_now(luna_ev_loop* loop) { return loop->now; }
void luna_ev_now_update(luna_ev_loop* loop) {
  loop->sockets->Round();
  loop->now = SecondsOf(loop->sockets->now());
}
void luna_ev_ref(luna_ev_loop* loop) { ++loop->active; }
void luna_ev_unref(luna_ev_loop* loop) { --loop->active; }
void luna_ev_set_userdata(luna_ev_loop* loop, void* data) { loop->userdata = data; }
void* luna_ev_userdata(luna_ev_loop* loop) { return loop->userdata; }

int luna_ev_is_active(const luna_ev_watcher* w) { return w->active; }
int luna_ev_is_pending(const luna_ev_watcher* w) { return w->pending > 0 ? 1 : 0; }

void luna_ev_io_init(luna_ev_io* w, luna_ev_io_callback callback, int fd, int events) {
  InitWatcher(&w->w, LUNA_EV_READ);
  w->callback = callback;
  w->fd = fd;
  w->events = events & (LUNA_EV_READ | LUNA_EV_WRITE);
  w->next = nullptr;
}

void luna_ev_io_start(luna_ev_loop* loop, luna_ev_io* w) {
  if (!Activate(loop, &w->w)) return;
  luna_ev_io** place = &loop->watched[w->fd].first;
  while (*place != nullptr) place = &(*place)->next;
  *place = w;
  Update(loop, w->fd);
}

void luna_ev_io_stop(luna_ev_loop* loop, luna_ev_io* w) {
  if (!Deactivate(loop, &w->w)) return;
  luna_ev_io** place = &loop->watched.at(w->fd).first;
  while (*place != w) place = &(*place)->next;
  *place = std::exchange(w->next, nullptr);
  Update(loop, w->fd);
}

void luna_ev_io_modify(luna_ev_loop* loop, luna_ev_io* w, int events) {
  if (w->events == events) return;
  w->events = events;
  Forget(loop, &w->w);
  if (w->w.active != 0) Update(loop, w->fd);
}

void luna_ev_timer_init(luna_ev_timer* w, luna_ev_timer_callback callback, double after, double repeat) {
  InitWatcher(&w->w, LUNA_EV_TIMER);
  w->callback = callback;
  w->after = after;
  w->repeat = repeat;
  w->at = 0;
  w->number = 0;
}

void luna_ev_timer_start(luna_ev_loop* loop, luna_ev_timer* w) { StartTimer(loop, w, loop->now + w->after); }
void luna_ev_timer_stop(luna_ev_loop* loop, luna_ev_timer* w) { StopTimer(loop, w); }

void luna_ev_timer_again(luna_ev_loop* loop, luna_ev_timer* w) {
  StopTimer(loop, w);
  if (w->repeat > 0) StartTimer(loop, w, loop->now + w->repeat);
}

double luna_ev_timer_remaining(luna_ev_loop* loop, luna_ev_timer* w) {
  return w->w.active == 0 ? 0 : std::max(w->at - loop->now, 0.0);
}

void luna_ev_prepare_init(luna_ev_prepare* w, luna_ev_prepare_callback callback) {
  InitWatcher(&w->w, LUNA_EV_PREPARE);
  w->callback = callback;
}
void luna_ev_prepare_start(luna_ev_loop* loop, luna_ev_prepare* w) {
  if (Activate(loop, &w->w)) loop->prepares.push_back(&w->w);
}
void luna_ev_prepare_stop(luna_ev_loop* loop, luna_ev_prepare* w) {
  if (Deactivate(loop, &w->w)) std::erase(loop->prepares, &w->w);
}

void luna_ev_check_init(luna_ev_check* w, luna_ev_check_callback callback) {
  InitWatcher(&w->w, LUNA_EV_CHECK);
  w->callback = callback;
}
void luna_ev_check_start(luna_ev_loop* loop, luna_ev_check* w) {
  if (Activate(loop, &w->w)) loop->checks.push_back(&w->w);
}
void luna_ev_check_stop(luna_ev_loop* loop, luna_ev_check* w) {
  if (Deactivate(loop, &w->w)) std::erase(loop->checks, &w->w);
}

void luna_ev_async_init(luna_ev_async* w, luna_ev_async_callback callback) {
  InitWatcher(&w->w, LUNA_EV_ASYNC);
  w->callback = callback;
  w->sent = 0;
}

int luna_ev_async_start(luna_ev_loop* loop, luna_ev_async* w) {
  if (w->w.active != 0) return 0;
  if (loop->event_fd < 0) {
    const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    if (fd < 0) return -1;
    if (luna_epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
      close(fd);
      return -1;
    }
    loop->event_fd = fd;
  }
  Activate(loop, &w->w);
  w->sent = 0;
  loop->asyncs.push_back(w);
  return 0;
}

void luna_ev_async_stop(luna_ev_loop* loop, luna_ev_async* w) {
  if (Deactivate(loop, &w->w)) std::erase(loop->asyncs, w);
}

void luna_ev_async_send(luna_ev_loop* loop, luna_ev_async* w) {
  if (__atomic_exchange_n(&w->sent, 1, __ATOMIC_SEQ_CST) != 0) return;
  if (loop->sent.exchange(true, std::memory_order_seq_cst)) return;
  const uint64_t one = 1;
  PCHECK(write(loop->event_fd, &one, sizeof(one)) == sizeof(one)) << "eventfd";
}
