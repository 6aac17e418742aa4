#ifndef LUNA_NET_TCP_TESTING_DIFFERENTIAL_APPLICATION_H_
#define LUNA_NET_TCP_TESTING_DIFFERENTIAL_APPLICATION_H_

// The application of an event list: one listener, one connection, and the calls of CallEvent on them. One thread.

#include <cstdint>
#include <string>

#include "luna/net/tcp/testing/differential/event.h"
#include "luna/net/tcp/testing/differential/system.h"
#include "luna/net/wire/address.h"

namespace luna::tcp::differential {

class Application {
 public:
  Application(System& system, const wire::Endpoint& host, const wire::Endpoint& peer)
      : system_(system), host_(host), peer_(peer) {}

  // What the call said: "= 100 #89abcdef", "= EAGAIN".
  std::string Do(const CallEvent& call);
  // Closes what is open, without ceremony.
  void End();

 private:
  CallResult OpenSocket();
  CallResult Listen();
  CallResult Connect();
  CallResult Accept();
  CallResult Write(int64_t size, int flags);
  std::string Read(int64_t size, int flags);
  CallResult CloseFd(int* fd);
  CallResult SetInt(int level, int name, int value);
  CallResult Error();
  CallResult Other(const CallEvent& call);

  System& system_;
  const wire::Endpoint host_;
  const wire::Endpoint peer_;
  int listener_ = -1;
  int fd_ = -1;
  uint32_t written_ = 0;
};

}  // namespace luna::tcp::differential

#endif  // LUNA_NET_TCP_TESTING_DIFFERENTIAL_APPLICATION_H_
