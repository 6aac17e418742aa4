#ifndef LUNA_APPS_HTTPD_SERVER_H_
#define LUNA_APPS_HTTPD_SERVER_H_

// Server: static files over HTTP/1.1 on Luna's C sockets: one thread, one epoll set, descriptors that do not block.
// File contents go from Zbuf: a file of kMostCachedBytes at most is read into objs once, and each answer refers to
// these; longer ones are read piece by piece, when the connection has room. Nothing is copied on the way to the device.
// Thread: that of UseSockets().

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/apps/httpd/request.h"
#include "luna/net/socket/luna_socket.h"

namespace luna::apps::httpd {

constexpr size_t kPieceBytes = 64 << 10;
constexpr size_t kMostCachedBytes = 256 << 10;

struct ServerOptions {
  std::string root;  // a directory; a path that ends with '/' means its index.html
  uint16_t port = 80;
  size_t cache_bytes = 16 << 20;
};

class Server {
 public:
  // Errors: the port is taken, or not to be had.
  static absl::StatusOr<std::unique_ptr<Server>> Listen(const ServerOptions& options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // One look at what is ready, for which it waits at most so long. False: a signal asks to stop.
  bool Turn(int timeout_ms);
  // No more connections are accepted, and each ends with the answer that is under way.
  void StopAccepting();
  size_t connections() const { return connections_.size(); }

 private:
  struct ChainDeleter {
    void operator()(luna_chain* chain) const { luna_chain_free(chain); }
  };
  using Chain = std::unique_ptr<luna_chain, ChainDeleter>;
  struct Connection {
    std::string received;      // not yet a whole request
    std::deque<Chain> output;  // what is to be sent first
    int file = -1;             // then this
    off_t offset = 0;
    off_t end = 0;
    bool keep_alive = true;
    bool waits_for_room = false;
    bool said_all = false;  // what still comes is dropped, so that no reset overtakes the last answer
  };
  struct CachedFile {
    Chain chain;
    off_t size;
    timespec modified;
  };

  explicit Server(const ServerOptions& options) : options_(options) {}
  void Accept();
  void OnReadable(int fd, Connection& c);
  // Answers requests one after the other; closes when that is to be.
  void Advance(int fd, Connection& c);
  // False: the connection is gone.
  bool SendOutput(int fd, Connection& c);
  // False: no memory now, or (then the file is closed) it became shorter.
  bool ReadPiece(Connection& c);
  void Answer(Connection& c, const Request& request);
  bool QueueHead(Connection& c, absl::string_view status, absl::string_view type, uint64_t bytes);
  // Null: not cached.
  luna_chain* Cached(const std::string& path, int file, off_t size, const timespec& modified);
  // The end of what we send; the peer's end closes.
  void SayAll(int fd, Connection& c);
  void Watch(int fd, Connection& c, bool for_room);
  void Close(int fd);

  const ServerOptions options_;
  int listener_ = -1;
  int epoll_ = -1;
  std::unordered_map<int, Connection> connections_;
  std::unordered_map<std::string, CachedFile> cache_;
  size_t cached_bytes_ = 0;
};

}  // namespace luna::apps::httpd

#endif  // LUNA_APPS_HTTPD_SERVER_H_
