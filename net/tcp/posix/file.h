#ifndef LUNA_NET_TCP_POSIX_FILE_H_
#define LUNA_NET_TCP_POSIX_FILE_H_

// What stands behind the descriptors of Sockets. Internal to net/tcp/posix. One thread.

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "luna/mem/zbuf/zchain.h"
#include "luna/net/tcp/connection.h"
#include "luna/net/tcp/listener.h"
#include "luna/net/tcp/posix/settings.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::posix {

struct EpollFile;

struct File : std::enable_shared_from_this<File> {
  enum class Kind : uint8_t { kSocket, kEpoll, kPipe };
  explicit File(Kind file_kind) : kind(file_kind), tells(file_kind == Kind::kSocket) {}
  virtual ~File() = default;

  // POLLIN and the like, as they stand.
  virtual uint32_t Ready() const = 0;
  // Ready() may say more than before: the epolls that watch this look at it. Without `tells` they always do.
  void Tell();
  void JoinEpoll(const std::shared_ptr<EpollFile>& epoll, int fd);
  void LeaveEpoll(const EpollFile* epoll);
  // When descriptor `fd` is closed.
  void LeaveEpolls(int fd);

  const Kind kind;
  const bool tells;
  int flags = 0;  // O_RDWR, O_NONBLOCK …
  bool close_on_exec = false;
  // Grow with each wake-up: edge-triggered epoll compares them with what it saw.
  uint64_t read_edges = 1;
  uint64_t write_edges = 1;

 private:
  struct Watch {
    std::weak_ptr<EpollFile> epoll;
    int fd;
  };
  std::vector<Watch> watches_;
};

// What setsockopt() chose.
struct SocketOptions {
  uint32_t send_buffer = 0;  // as getsockopt() reads it
  uint32_t receive_buffer = 0;
  bool send_buffer_set = false;
  bool receive_buffer_set = false;
  bool reuse_address = false;
  bool reuse_port = false;
  bool broadcast = false;
  bool oob_inline = false;
  bool zerocopy = false;
  bool queue_hint = false;  // TCP_INQ
  bool quick_ack = true;
  bool no_delay = false;
  bool cork = false;
  bool keep_alive = false;
  bool linger = false;
  int linger_seconds = 0;
  int user_timeout_ms = 0;
  int keep_idle_seconds = 0;
  int keep_interval_seconds = 0;
  int keep_count = 0;
  int syn_count = 0;
  int fin_wait_2_seconds = 0;
  int max_segment = 0;
  int defer_accept_seconds = 0;
  int window_clamp = 0;
  int not_sent_low_water = 0;
  int tos = 0;
  int ttl = 0;
  Duration send_timeout = Duration::Infinite();
  Duration receive_timeout = Duration::Infinite();
  uint32_t receive_low_water = 1;
};

// What a socket of a host with `profile` begins with.
SocketOptions DefaultOptions(const Settings& profile);

struct SocketFile final : File {
  SocketFile() : File(Kind::kSocket) {}
  uint32_t Ready() const override;

  // Octets in the send queue beyond which a write waits.
  uint32_t send_limit() const;
  // Whether a write that waits may go on: a third of the limit is free, as on Linux, and little is unsent.
  bool SendQueueHasRoom() const;
  // `factor` times what was not sent yet is below TCP_NOTSENT_LOWAT. Pre: there is a connection.
  bool UnsentIsLow(uint64_t factor = 1) const;
  // Whether a read (or accept) would return at once.
  bool Readable() const;
  size_t readable_bytes() const;
  // How long a call with MSG_… `flags` may wait.
  Duration SendTimeout(int call_flags) const;
  Duration ReceiveTimeout(int call_flags) const;

  enum class Phase : uint8_t {
    kFresh,       // socket()
    kListening,   //
    kConnecting,  // connect() is under way
    kConnected,   // has been
    kDead,        // was connected or connecting: the stack has no connection any more
  };
  Phase phase = Phase::kFresh;
  Connection* connection = nullptr;  // null in kFresh, kListening, kDead
  Listener* listener = nullptr;      // kListening
  std::optional<wire::Endpoint> bound;
  wire::Endpoint local;  // of the connection, also after its end
  wire::Endpoint remote;
  std::deque<std::shared_ptr<SocketFile>> accept_queue;
  int error = 0;              // SO_ERROR, told once
  bool connect_told = false;  // connect() has returned its result
  bool read_shut = false;
  bool write_shut = false;
  bool peer_closed = false;  // kDead: the FIN had come
  bool normal_end = false;   // kDead: after both FINs
  bool wants_room = false;   // a write or poll found no room: its return is an edge
  bool lingering = false;    // close() was called and waits
  ConnectionInfo last_info;  // kDead
  zbuf::ZChain left_over;    // kDead: received, unread
  SocketOptions options;
};

struct EpollFile final : File {
  EpollFile() : File(Kind::kEpoll) {}
  uint32_t Ready() const override;

  struct Item {
    std::weak_ptr<File> file;
    epoll_event event;
    uint64_t read_edges = 0;  // seen, edge-triggered
    uint64_t write_edges = 0;
    bool disarmed = false;  // EPOLLONESHOT, after its shot
    uint64_t listing = 0;   // of its entry in `listed`; 0: none
  };
  struct Listed {
    int fd;
    uint64_t listing;
  };
  // What `item` would report now; 0: nothing.
  static uint32_t Report(const Item& item);
  // `fd` is to be looked at. Without effect when that is known, or `fd` is not watched.
  void List(int fd);

  std::unordered_map<int, Item> items;
  std::deque<Listed> listed;  // oldest first; entries whose item has another listing are of items that are gone
  uint64_t listings = 0;
};

// Both ends of a pipe share this.
struct PipeBuffer {
  static constexpr size_t kCapacity = 65536;
  std::string bytes;
  bool has_reader = true;
  bool has_writer = true;
};

struct PipeFile final : File {
  PipeFile(std::shared_ptr<PipeBuffer> shared, bool is_reader)
      : File(Kind::kPipe), buffer(std::move(shared)), reader(is_reader) {}
  ~PipeFile() override { (reader ? buffer->has_reader : buffer->has_writer) = false; }
  uint32_t Ready() const override;

  std::shared_ptr<PipeBuffer> buffer;
  const bool reader;
};

}  // namespace luna::tcp::posix

#endif  // LUNA_NET_TCP_POSIX_FILE_H_
