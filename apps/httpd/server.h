#ifndef LUNA_APPS_HTTPD_SERVER_H_
#define LUNA_APPS_HTTPD_SERVER_H_

// Server: static files over HTTP/1.1 on Luna's C sockets: one thread, one loop of callbacks, descriptors that do not
// block. File contents go from Zbuf: a file of kMostCachedBytes at most is read into objs once, and each answer refers
// to these; longer ones are read piece by piece, when the connection has room. Nothing is copied on the way to the
// device. Thread: that of UseSockets().

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/apps/httpd/request.h"
#include "luna/net/socket/luna_ev.h"
#include "luna/net/socket/luna_socket.h"

namespace luna::apps::httpd {

constexpr size_t kMostCachedBytes = 256 << 10;

struct ServerOptions {
  std::string root;  // a directory; a path that ends with '/' means its index.html
  uint16_t port = 80;
  size_t cache_bytes = 16 << 20;
  double idle_seconds = 60;  // a connection on which nothing moves for so long is closed
};

class Server {
 public:
  // Errors: the port is taken, or not to be had.
  static absl::StatusOr<std::unique_ptr<Server>> Listen(const ServerOptions& options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Until a signal. Then nobody is accepted any more, and each connection ends with the answer that is under way; those
  // that have not after so long are left to the destructor.
  void Run(double drain_seconds);

 private:
  using Chain = socket::UniqueChain;
  struct Connection {
    luna_ev_io io = {};
    double moved_at = 0;       // when an octet last came, or was acknowledged
    int queued = 0;            // octets that were not, then
    std::string received;      // not yet a whole request
    std::deque<Chain> output;  // what is to be sent first
    int file = -1;             // then this
    off_t offset = 0;
    off_t end = 0;
    bool keep_alive = true;
    bool said_all = false;  // what still comes is dropped, so that no reset overtakes the last answer
  };
  struct CachedFile {
    Chain chain;
    off_t size;
    int64_t modified;  // ns
  };

  explicit Server(const ServerOptions& options);
  void StopAccepting();
  void Accept();
  void CloseIdle();
  void OnReadable(Connection& c);
  // Answers requests one after the other; closes when that is to be.
  void Advance(Connection& c);
  // False: the connection is gone.
  bool SendOutput(Connection& c);
  // False: no memory now, or (then the file is closed) it became shorter.
  bool ReadPiece(Connection& c);
  void Answer(Connection& c, const Request& request);
  bool QueueHead(Connection& c, absl::string_view head);
  // Null: not cached.
  luna_chain* Cached(const File& file);
  // The end of what we send; the peer's end closes.
  void SayAll(Connection& c);
  void Close(Connection& c);

  const ServerOptions options_;
  luna_ev_loop* const loop_;
  luna_ev_io listener_ = {};
  luna_ev_timer tick_ = {};
  std::unordered_map<int, Connection> connections_;  // by descriptor; what is inside stays where it is
  std::unordered_map<std::string, CachedFile> cache_;
  size_t cached_bytes_ = 0;
};

}  // namespace luna::apps::httpd

#endif  // LUNA_APPS_HTTPD_SERVER_H_
