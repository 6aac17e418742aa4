#ifndef LUNA_APPS_ECHO_SOCKET_ECHO_H_
#define LUNA_APPS_ECHO_SOCKET_ECHO_H_

// SocketEcho: the echo server as it is written for the kernel: sockets, callbacks, a buffer that octets are copied into
// and out of. Beside EchoServer it shows what that costs, and how a program of the kernel's comes to Luna.
// Thread: that of MakeSockets().

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/net/socket/luna_ev.h"

namespace luna::apps {

class SocketEcho {
 public:
  // Errors: the port is taken, or not to be had; out of descriptors.
  static absl::StatusOr<std::unique_ptr<SocketEcho>> Listen(uint16_t port);
  ~SocketEcho();
  SocketEcho(const SocketEcho&) = delete;
  SocketEcho& operator=(const SocketEcho&) = delete;

  // Until a signal. Then nobody is accepted any more, what was read is sent, each connection is closed on our side and
  // waited for; those whose peer does not end within so long are left to the destructor.
  void Run(double drain_seconds);

  uint64_t accepted() const { return accepted_; }
  uint64_t bytes() const { return bytes_; }

 private:
  struct Peer {
    luna_ev_io io = {};
    std::vector<char> waiting;  // for room; while there is something, nothing is read
    bool said_all = false;      // what still comes is dropped
  };

  SocketEcho();
  static SocketEcho& Of(luna_ev_loop* loop) { return *static_cast<SocketEcho*>(luna_ev_userdata(loop)); }
  static void OnConnection(luna_ev_loop* loop, luna_ev_io* w, int revents);
  static void OnReady(luna_ev_loop* loop, luna_ev_io* w, int revents);
  void Accept();
  void Serve(Peer& peer);
  // What is left over waits. False: the connection is at its end.
  bool Send(Peer& peer, const char* octets, size_t size);
  void SayAll(Peer& peer);
  void End(Peer& peer);

  luna_ev_loop* const loop_;
  luna_ev_io listener_ = {};
  std::unordered_map<int, std::unique_ptr<Peer>> peers_;  // by descriptor
  std::vector<char> buffer_;
  bool ending_ = false;
  uint64_t accepted_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace luna::apps

#endif  // LUNA_APPS_ECHO_SOCKET_ECHO_H_
