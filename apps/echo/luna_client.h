#ifndef LUNA_APPS_ECHO_LUNA_CLIENT_H_
#define LUNA_APPS_ECHO_LUNA_CLIENT_H_

#include <list>

#include "absl/status/status.h"
#include "luna/apps/echo/workload.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/wire/address.h"
#include "luna/sched/r2c/worker.h"

namespace luna::apps {

// Runs a Workload over Luna's TCP. Messages are references into one obj that holds the pattern: nothing is copied.
// Thread: the worker's; lives until the worker has drained.
class LunaClient final : public r2c::Handler, public r2c::AppTimer {
 public:
  // `pattern` refers to an obj that begins with one period of the pattern (FillPattern).
  LunaClient(r2c::Worker& worker, Workload& workload, zbuf::ZRef pattern);
  ~LunaClient() override;

  // Starts `connections` connections. Those that fail at once are reported to the workload.
  void Connect(const wire::Endpoint& remote, uint32_t connections);

  void OnConnected(tcp::Connection& connection) override;
  void OnReadable(tcp::Connection& connection, zbuf::ZChain data) override;
  void OnWritable(tcp::Connection& connection) override;
  void OnPeerClosed(tcp::Connection& connection) override;
  void OnClosed(tcp::Connection& connection, tcp::CloseReason reason) override;
  void OnTimer(Time now) override;

 private:
  class LunaChannel;

  r2c::Worker& worker_;
  Workload& workload_;
  zbuf::ZRef pattern_;
  std::list<LunaChannel> channels_;
};

}  // namespace luna::apps

#endif  // LUNA_APPS_ECHO_LUNA_CLIENT_H_
