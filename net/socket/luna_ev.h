#ifndef LUNA_NET_SOCKET_LUNA_EV_H_
#define LUNA_NET_SOCKET_LUNA_EV_H_

/* An event loop with callbacks over Luna's sockets, in the manner of libev: watchers that the program owns, started and
 * stopped on a loop, called when what they watch for is there. Meant for workers of the batch-r2c model (LUNA §5.1): a
 * burst is processed as a whole, what it brought for one descriptor is one call, and what the callbacks write leaves
 * together. docs/socket.md has an example, and says where it differs from libev.
 *
 *   static void OnReadable(luna_ev_loop* loop, luna_ev_io* w, int revents) { luna_read(w->fd, …) … }
 *
 *   luna_ev_loop* loop = luna_ev_loop_new();
 *   luna_ev_io_init(&watcher, OnReadable, fd, LUNA_EV_READ);
 *   luna_ev_io_start(loop, &watcher);
 *   luna_ev_run(loop, 0);
 *
 * A watcher must not move, go, or be initialised again while it is active or pending: a timer that has expired is not
 * active any more, but its call may be to come. stop() ends both: a watcher that is stopped is not called any more,
 * even if its event had come. Starting one that is active does nothing, nor does stopping one that is neither. Thread:
 * that of luna_socket(), for all but luna_ev_async_send(). */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct luna_ev_loop luna_ev_loop;

/* What a watcher waits for, and what a callback is told. */
enum {
  LUNA_EV_READ = 0x01,
  LUNA_EV_WRITE = 0x02,
  LUNA_EV_TIMER = 0x100,
  LUNA_EV_PREPARE = 0x200,
  LUNA_EV_CHECK = 0x400,
  LUNA_EV_ASYNC = 0x800,
  LUNA_EV_ERROR =
      0x1000 /* the descriptor cannot be watched (none, a file on a disk, too many): the watcher was stopped */
};

/* Of every watcher; `data` is the program's, the rest the loop's. */
typedef struct luna_ev_watcher {
  void* data;
  int kind;
  int active;
  size_t pending;
} luna_ev_watcher;

int luna_ev_is_active(const luna_ev_watcher* w);
int luna_ev_is_pending(const luna_ev_watcher* w);

/* A descriptor, of Luna or of the kernel: readable, writable, or both, as long as it lasts (level-triggered). Several
 * may watch one descriptor. To be stopped before the descriptor is closed. */
typedef struct luna_ev_io luna_ev_io;
typedef void (*luna_ev_io_callback)(luna_ev_loop* loop, luna_ev_io* w, int revents);
struct luna_ev_io {
  luna_ev_watcher w;
  luna_ev_io_callback callback;
  int fd;
  int events;
  luna_ev_io* next;
};
void luna_ev_io_init(luna_ev_io* w, luna_ev_io_callback callback, int fd, int events);
void luna_ev_io_start(luna_ev_loop* loop, luna_ev_io* w);
void luna_ev_io_stop(luna_ev_loop* loop, luna_ev_io* w);
/* Waits for `events` from now on; an event that has come and was not told is forgotten. */
void luna_ev_io_modify(luna_ev_loop* loop, luna_ev_io* w, int events);

/* After so many seconds, and then every `repeat` seconds if that is not 0. The loop looks at milliseconds: a callback
 * may be late by one. */
typedef struct luna_ev_timer luna_ev_timer;
typedef void (*luna_ev_timer_callback)(luna_ev_loop* loop, luna_ev_timer* w, int revents);
struct luna_ev_timer {
  luna_ev_watcher w;
  luna_ev_timer_callback callback;
  double after;
  double repeat;
  double at;
  uint64_t number;
};
void luna_ev_timer_init(luna_ev_timer* w, luna_ev_timer_callback callback, double after, double repeat);
void luna_ev_timer_start(luna_ev_loop* loop, luna_ev_timer* w);
void luna_ev_timer_stop(luna_ev_loop* loop, luna_ev_timer* w);
/* `repeat` seconds from now, whether it was active or not; stops it when `repeat` is 0. For time limits. */
void luna_ev_timer_again(luna_ev_loop* loop, luna_ev_timer* w);
/* Seconds that are left; 0 when it is not active. */
double luna_ev_timer_remaining(luna_ev_loop* loop, luna_ev_timer* w);

/* Before the loop waits, and after it has: once in each turn. */
typedef struct luna_ev_prepare luna_ev_prepare;
typedef void (*luna_ev_prepare_callback)(luna_ev_loop* loop, luna_ev_prepare* w, int revents);
struct luna_ev_prepare {
  luna_ev_watcher w;
  luna_ev_prepare_callback callback;
};
void luna_ev_prepare_init(luna_ev_prepare* w, luna_ev_prepare_callback callback);
void luna_ev_prepare_start(luna_ev_loop* loop, luna_ev_prepare* w);
void luna_ev_prepare_stop(luna_ev_loop* loop, luna_ev_prepare* w);

typedef struct luna_ev_check luna_ev_check;
typedef void (*luna_ev_check_callback)(luna_ev_loop* loop, luna_ev_check* w, int revents);
struct luna_ev_check {
  luna_ev_watcher w;
  luna_ev_check_callback callback;
};
void luna_ev_check_init(luna_ev_check* w, luna_ev_check_callback callback);
void luna_ev_check_start(luna_ev_loop* loop, luna_ev_check* w);
void luna_ev_check_stop(luna_ev_loop* loop, luna_ev_check* w);

/* A call of another thread's. Several that come before the loop has looked are one. */
typedef struct luna_ev_async luna_ev_async;
typedef void (*luna_ev_async_callback)(luna_ev_loop* loop, luna_ev_async* w, int revents);
struct luna_ev_async {
  luna_ev_watcher w;
  luna_ev_async_callback callback;
  int sent;
};
void luna_ev_async_init(luna_ev_async* w, luna_ev_async_callback callback);
/* 0; or -1 and errno: the process is out of descriptors. */
int luna_ev_async_start(luna_ev_loop* loop, luna_ev_async* w);
void luna_ev_async_stop(luna_ev_loop* loop, luna_ev_async* w);
/* Any thread, while `w` is active, and on a loop that is not being destroyed. Wait-free but for a write to an eventfd.
 */
void luna_ev_async_send(luna_ev_loop* loop, luna_ev_async* w);

/* On the sockets of this thread. Null and errno: ENOSYS (it has none), EMFILE. */
luna_ev_loop* luna_ev_loop_new(void);
/* Not from within a callback. Watchers that are active are let go. The sockets are there still. */
void luna_ev_loop_destroy(luna_ev_loop* loop);

enum {
  LUNA_EVRUN_NOWAIT = 1, /* one turn, for what is there */
  LUNA_EVRUN_ONCE = 2,   /* one turn, waiting for something */
};
enum { LUNA_EVBREAK_ONE = 1, LUNA_EVBREAK_ALL = 2 };

/* Turns of the loop: until no watcher is active (0), until luna_ev_break(), or one turn by `flags` (1: some are
 * active). -1 and errno: EINTR, the program is asked to stop (then NOWAIT still makes turns, to come to an end);
 * EDEADLK, within an iteration of the worker. May be called from a callback. */
int luna_ev_run(luna_ev_loop* loop, int flags);
/* The innermost luna_ev_run(), or all of them, return when their callbacks have been called. */
void luna_ev_break(luna_ev_loop* loop, int how);
/* Seconds of the worker's clock: of this turn, and timers that are started now count from it. A callback that takes its
 * time and then starts one updates it first, which makes a round of the worker. */
double luna_ev_now(luna_ev_loop* loop);
void luna_ev_now_update(luna_ev_loop* loop);
/* An active watcher that alone should not keep luna_ev_run() going: unref() once it is started, ref() before it is
 * stopped. */
void luna_ev_ref(luna_ev_loop* loop);
void luna_ev_unref(luna_ev_loop* loop);
void luna_ev_set_userdata(luna_ev_loop* loop, void* data);
void* luna_ev_userdata(luna_ev_loop* loop);

#ifdef __cplusplus
}
#endif

#endif  // LUNA_NET_SOCKET_LUNA_EV_H_
