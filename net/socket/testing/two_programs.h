#ifndef LUNA_NET_SOCKET_TESTING_TWO_PROGRAMS_H_
#define LUNA_NET_SOCKET_TESTING_TWO_PROGRAMS_H_

// TwoPrograms: a fixture of two hosts with sockets, in one thread and on a virtual clock.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "luna/net/socket/luna_socket.h"
#include "luna/net/socket/worker_sockets.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"
#include "luna/sched/r2c/testing/two_hosts.h"

namespace luna::socket {

inline constexpr uint16_t kPort = 7000;

// Two hosts in one thread: `server_` of b and `client_` of a. Each round of a call that waits steps both, and runs the
// other side's program, if there is one, between its rounds.
class TwoPrograms : public ::testing::Test {
 protected:
  explicit TwoPrograms(const r2c::TwoHostsOptions& options = {}) : hosts_(options) {
    server_ = std::make_unique<WorkerSockets>(hosts_.b().worker(), OptionsOf(hosts_.b()));
    client_ = std::make_unique<WorkerSockets>(hosts_.a().worker(), OptionsOf(hosts_.a()));
    UseSockets(client_.get());
  }
  ~TwoPrograms() override {
    UseSockets(nullptr);
    client_.reset();
    server_.reset();
    hosts_.RunUntilQuiet(Duration::Seconds(100));
  }

  WorkerSocketsOptions OptionsOf(r2c::TestHost& host) {
    WorkerSocketsOptions options;
    options.iterate = [this] { Step(Duration::Seconds(10)); };
    options.round = [this] { Step(Duration::Microseconds(10)); };
    options.interrupted = [this] { return interrupted_; };
    options.may_connect_from = [this](uint16_t port) { return port != others_port_; };
    options.is_ours = [&host](const wire::IpAddress& address) { return address == host.address(); };
    options.admit = [this](uint16_t) { return admit_; };
    return options;
  }
  // A round of both. When there is nothing to do now, the clock goes on to what comes next, within the limit.
  void Step(Duration limit = Duration::Seconds(10)) {
    int rounds = 0;
    hosts_.RunUntil([&rounds] { return rounds++ > 0; }, limit);
    if (limit < Duration::Seconds(1)) hosts_.clock().Advance(Duration::Microseconds(1));
    if (!program_ || std::exchange(in_program_, true)) return;
    UseSockets(server_.get());
    program_();
    UseSockets(client_.get());
    in_program_ = false;
  }

  static sockaddr_in Address(const std::string& text, uint16_t port) {
    sockaddr_in in = {};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    EXPECT_EQ(inet_pton(AF_INET, text.c_str(), &in.sin_addr), 1);
    return in;
  }
  static int Bind(int fd, const std::string& address, uint16_t port) {
    const sockaddr_in in = Address(address, port);
    return luna_bind(fd, reinterpret_cast<const sockaddr*>(&in), sizeof(in));
  }
  static int Connect(int fd, uint16_t port = kPort) {
    const sockaddr_in in = Address("10.0.0.2", port);
    return luna_connect(fd, reinterpret_cast<const sockaddr*>(&in), sizeof(in));
  }
  static int Socket(int flags = 0) { return luna_socket(AF_INET, SOCK_STREAM | flags, 0); }
  // On the server's side.
  int Listener(uint16_t port = kPort, int backlog = 100) {
    UseSockets(server_.get());
    const int fd = Socket(SOCK_NONBLOCK);
    EXPECT_EQ(Bind(fd, "0.0.0.0", port), 0);
    EXPECT_EQ(luna_listen(fd, backlog), 0);
    UseSockets(client_.get());
    return fd;
  }
  // A connection: the client's end, and the server's, which does not block.
  std::pair<int, int> Connected() {
    if (listener_ < 0) listener_ = Listener();
    const int fd = Socket();
    EXPECT_EQ(Connect(fd), 0);
    UseSockets(server_.get());
    int accepted = -1;
    for (int i = 0; i < 100 && accepted < 0; ++i) accepted = luna_accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK);
    UseSockets(client_.get());
    EXPECT_GE(accepted, 0);
    return {fd, accepted};
  }
  static int Watch(int epoll, int fd, uint32_t events, uint64_t data) {
    epoll_event event = {.events = events, .data = {.u64 = data}};
    return luna_epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
  // The data of what epoll_wait() reports, in its order.
  static std::vector<uint64_t> Wait(int epoll, int timeout_ms, int capacity = 16) {
    std::vector<epoll_event> events(static_cast<size_t>(capacity));
    const int n = luna_epoll_wait(epoll, events.data(), capacity, timeout_ms);
    std::vector<uint64_t> data;
    for (int i = 0; i < n; ++i) data.push_back(events[static_cast<size_t>(i)].data.u64);
    return data;
  }

  r2c::TwoHosts hosts_;
  std::unique_ptr<WorkerSockets> server_;
  std::unique_ptr<WorkerSockets> client_;
  std::function<void()> program_;
  absl::Status admit_;
  bool interrupted_ = false;
  uint16_t others_port_ = 0;  // nobody may connect from
  int listener_ = -1;

 private:
  bool in_program_ = false;
};

}  // namespace luna::socket

#endif  // LUNA_NET_SOCKET_TESTING_TWO_PROGRAMS_H_
