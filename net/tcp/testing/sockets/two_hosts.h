#ifndef LUNA_NET_TCP_TESTING_SOCKETS_TWO_HOSTS_H_
#define LUNA_NET_TCP_TESTING_SOCKETS_TWO_HOSTS_H_

// TwoHosts: two virtual hosts and a wire without delay, as a test fixture.

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "luna/net/tcp/testing/sockets/virtual_host.h"

namespace luna::tcp::testing {

class TwoHosts : public ::testing::Test {
 protected:
  static constexpr uint16_t kPort = 8080;
  static constexpr wire::Ipv4Address kClient{192, 168, 0, 1};
  static constexpr wire::Ipv4Address kServer{192, 168, 0, 2};

  explicit TwoHosts(const HostProfile& profile = LinuxTestProfile())
      : client_({.profile = profile, .address = kClient}), server_({.profile = profile, .address = kServer}) {}
  ~TwoHosts() override {
    for (VirtualHost* host : {&client_, &server_}) EXPECT_EQ(host->TearDown().objs, 0u);
  }

  static sockaddr_in Address(wire::Ipv4Address address, uint16_t port) {
    sockaddr_in in = {};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr.s_addr = htonl(address.value());
    return in;
  }
  static const sockaddr* Raw(const sockaddr_in& in) { return reinterpret_cast<const sockaddr*>(&in); }

  // Until nothing is on its way.
  void Exchange() {
    for (bool moved = true; moved;) {
      moved = Carry(client_, server_);
      moved = Carry(server_, client_) || moved;
    }
  }
  static bool Carry(VirtualHost& from, VirtualHost& to) {
    bool moved = false;
    while (const auto packet = from.NextPacket()) {
      to.Inject(packet->bytes);
      moved = true;
    }
    return moved;
  }
  void Advance(Duration duration) {
    Exchange();
    const Time end = client_.now() + duration;
    for (Time next = end; client_.now() < end; next = end) {
      next = std::min({next, client_.NextDeadline(), server_.NextDeadline()});
      next = std::max(next, client_.now() + Duration::Nanoseconds(1));
      client_.AdvanceTo(next);
      server_.AdvanceTo(next);
      Exchange();
    }
  }

  int Listener(int backlog = 5) {
    const int fd = static_cast<int>(server_.Socket(AF_INET, SOCK_STREAM, 0).value);
    const sockaddr_in local = Address(wire::Ipv4Address::Any(), kPort);
    EXPECT_EQ(server_.Bind(fd, Raw(local), sizeof(local)), Success());
    EXPECT_EQ(server_.Listen(fd, backlog), Success());
    return fd;
  }
  CallResult ConnectFrom(int fd) {
    const sockaddr_in remote = Address(kServer, kPort);
    return client_.Connect(fd, Raw(remote), sizeof(remote));
  }
  // The client's end and the server's.
  std::pair<int, int> Connected() {
    const int listener = Listener();
    const int fd = static_cast<int>(client_.Socket(AF_INET, SOCK_STREAM, 0).value);
    EXPECT_TRUE(ConnectFrom(fd).would_block);
    Exchange();
    EXPECT_EQ(ConnectFrom(fd), Success());
    const CallResult accepted = server_.Accept(listener, nullptr, nullptr);
    EXPECT_TRUE(accepted.ok());
    EXPECT_EQ(server_.Close(listener), Success());
    return {fd, static_cast<int>(accepted.value)};
  }
  static std::string ReadAll(VirtualHost& host, int fd) {
    std::string bytes(1 << 20, '\0');
    const CallResult result = host.Recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(result.ok() ? static_cast<size_t>(result.value) : 0);
    return bytes;
  }
  static CallResult SetInt(VirtualHost& host, int fd, int level, int name, int value) {
    return host.SetSockOpt(fd, level, name, &value, sizeof(value));
  }
  // -1 and an errno in place of the value, when it fails.
  static int GetInt(VirtualHost& host, int fd, int level, int name) {
    int value = 0;
    socklen_t length = sizeof(value);
    const CallResult result = host.GetSockOpt(fd, level, name, &value, &length);
    return result.ok() ? value : -result.error;
  }

  VirtualHost client_;
  VirtualHost server_;
};

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_SOCKETS_TWO_HOSTS_H_
