#ifndef LUNA_APPS_HTTPD_DEDICATED_SERVER_H_
#define LUNA_APPS_HTTPD_DEDICATED_SERVER_H_

// DedicatedServer: the same files behind a dedicated I/O core: one for each application thread. Reading from a disk may
// take its time here; nobody but this thread's connections waits for it. Octets go from Zbuf, of the thread's own slab.
// Thread: that of its AppThread.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "luna/apps/httpd/request.h"
#include "luna/apps/runtime/runtime.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/sched/r2c/io_core.h"

namespace luna::apps::httpd {

class DedicatedServer final : public r2c::RemoteHandler {
 public:
  // `slab` is the thread's from the first call on.
  DedicatedServer(const std::string& root, zbuf::Slab& slab) : root_(root), slab_(slab) {}
  ~DedicatedServer() override;

  void OnAccepted(r2c::RemoteConnection& connection) override;
  void OnReadable(r2c::RemoteConnection& connection, zbuf::ZChain data) override;
  void OnWritable(r2c::RemoteConnection& connection) override { Advance(connection, exchanges_.at(connection.id())); }
  void OnPeerClosed(r2c::RemoteConnection& connection) override;
  // Each connection ends with the answer that is under way.
  void OnFinish(r2c::RemoteConnection& connection) override;
  void OnClosed(r2c::RemoteConnection& connection) override;

 private:
  struct Exchange {
    std::string received;  // not yet a whole request
    zbuf::ZChain output;   // what is to be sent first
    int file = -1;         // then this
    off_t offset = 0;
    off_t end = 0;
    bool keep_alive = true;
    bool said_all = false;
  };

  void Advance(r2c::RemoteConnection& connection, Exchange& x);
  void Answer(Exchange& x, const Request& request);
  // `bytes` octets of a new obj at the end of the output; null: no memory.
  std::byte* Append(Exchange& x, size_t bytes);
  // False: no memory, or the file became shorter. The connection ends then.
  bool ReadPiece(Exchange& x);
  static void CloseFile(Exchange& x);

  const std::string root_;
  zbuf::Slab& slab_;
  std::unordered_map<uint64_t, Exchange> exchanges_;
};

// The site on so many threads behind the runtime's worker, until a signal. Returns the program's exit code.
int ServeOnThreads(Runtime& runtime, const std::string& root, uint16_t port, size_t threads);

}  // namespace luna::apps::httpd

#endif  // LUNA_APPS_HTTPD_DEDICATED_SERVER_H_
