#ifndef LUNA_APPS_ECHO_REMOTE_ECHO_H_
#define LUNA_APPS_ECHO_REMOTE_ECHO_H_

#include <cstdint>
#include <unordered_map>
#include <utility>

#include "luna/ctrl/stats/counter.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/sched/r2c/io_core.h"

namespace luna::apps {

// Sends back whatever arrives, on an application thread of an I/O core that holds reads while it cannot send: so what
// waits here is a credit at most.
class RemoteEcho final : public r2c::RemoteHandler {
 public:
  void OnReadable(r2c::RemoteConnection& connection, zbuf::ZChain data) override {
    bytes_.Add(data.bytes());
    const auto waiting = waiting_.find(connection.id());
    if (waiting != waiting_.end()) {
      waiting->second.data.Append(std::move(data));
    } else if (!connection.Send(std::move(data))) {
      waiting_[connection.id()].data = std::move(data);
    }
  }
  void OnWritable(r2c::RemoteConnection& connection) override {
    const auto waiting = waiting_.find(connection.id());
    if (waiting == waiting_.end() || !connection.Send(std::move(waiting->second.data))) return;
    if (waiting->second.peer_closed) connection.Close();
    waiting_.erase(waiting);
  }
  void OnPeerClosed(r2c::RemoteConnection& connection) override {
    const auto waiting = waiting_.find(connection.id());
    if (waiting == waiting_.end()) return connection.Close();
    waiting->second.peer_closed = true;  // what waits is sent first
  }
  void OnClosed(r2c::RemoteConnection& connection) override { waiting_.erase(connection.id()); }

  uint64_t bytes() const { return bytes_.value(); }

 private:
  struct Waiting {
    zbuf::ZChain data;
    bool peer_closed = false;
  };
  std::unordered_map<uint64_t, Waiting> waiting_;  // few: without credit
  stats::Counter bytes_;
};

}  // namespace luna::apps

#endif  // LUNA_APPS_ECHO_REMOTE_ECHO_H_
