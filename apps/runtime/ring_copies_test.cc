// Two whole hosts over a DPDK ring: no octet is copied, whatever the size of message and frame. (memif:
// apps/echo:luna_echo_test; a packet socket: tools/root_tests/echo_with_kernel.)

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/dpdk/eal.h"
#include "luna/net/pmd/dpdk/port.h"
#include "luna/sched/clock/testing/fake_clock.h"
#include "luna/sched/r2c/testing/two_hosts.h"

namespace luna::apps {
namespace {

class Echo final : public r2c::Handler {
 public:
  void OnReadable(tcp::Connection& c, zbuf::ZChain data) override {
    EXPECT_EQ(c.Send(std::move(data)), tcp::SendResult::kOk);
  }
};

// One message after the other, each checked.
class Client final : public r2c::Handler {
 public:
  Client(zbuf::TestSlab& memory, size_t message_bytes, int messages)
      : memory_(memory), left_(messages), message_(message_bytes, '\0') {
    for (size_t i = 0; i < message_.size(); ++i) message_[i] = static_cast<char>(i * 31 + i / 251);
  }
  void OnConnected(tcp::Connection& c) override { SendNext(c); }
  void OnReadable(tcp::Connection& c, zbuf::ZChain data) override {
    got_ += data.ToString();
    if (got_.size() < message_.size()) return;
    EXPECT_TRUE(got_ == message_);
    got_.clear();
    if (--left_ > 0) return SendNext(c);
    c.Close();
  }
  void OnClosed(tcp::Connection&, tcp::CloseReason) override { done = true; }
  bool done = false;

 private:
  void SendNext(tcp::Connection& c) { EXPECT_EQ(c.Send(memory_.ChainOfSlices(message_, 4096)), tcp::SendResult::kOk); }

  zbuf::TestSlab& memory_;
  int left_;
  std::string message_;
  std::string got_;
};

TEST(RingCopies, ThereAreNone) {
  absl::StatusOr<std::unique_ptr<pmd::dpdk::Eal>> eal =
      pmd::dpdk::Eal::Init({.huge = pmd::dpdk::Huge::kOff, .memory_mb = 64});
  ASSERT_TRUE(eal.ok()) << eal.status();
  int number = 0;
  for (const uint32_t mtu : {1500u, 9000u}) {
    for (const size_t bytes : {1u, 64u, 5000u, 100'000u}) {
      SCOPED_TRACE(absl::StrCat("MTU ", mtu, ", messages of ", bytes));
      FakeClock clock;
      zbuf::TestSlab slab_a(size_t{64} << 20), slab_b(size_t{64} << 20);
      auto ports = pmd::dpdk::Port::OpenRingPair(**eal, absl::StrCat("copies", number++),
                                                 {.slabs = {&slab_a.slab()}, .mtu = mtu},
                                                 {.slabs = {&slab_b.slab()}, .mtu = mtu});
      ASSERT_TRUE(ports.ok()) << ports.status();
      pmd::PacketIo& io_a = ports->first->queue(0);
      pmd::PacketIo& io_b = ports->second->queue(0);
      tcp::StackConfig config;
      config.mtu = mtu;
      {
        r2c::TestHost a(clock, io_a, slab_a.slab(), {wire::Ipv4Address(10, 0, 0, 1), 24}, config, {});
        r2c::TestHost b(clock, io_b, slab_b.slab(), {wire::Ipv4Address(10, 0, 0, 2), 24}, config, {});
        Echo echo;
        Client client(slab_a, bytes, 50);
        ASSERT_TRUE(b.worker().Listen({wire::IpAddress(), 80}, echo).ok());
        ASSERT_TRUE(a.worker().Connect({b.address(), 80}, client).ok());
        for (int rounds = 0; !client.done && rounds < 100'000; ++rounds) {
          a.worker().RunOnce();
          b.worker().RunOnce();
          clock.AdvanceTo(clock.Now() + Duration::Microseconds(10));
        }
        EXPECT_TRUE(client.done);
      }
      for (const pmd::PacketIo* io : {&io_a, &io_b}) {
        EXPECT_GE(io->stats().rx_bytes, 50 * bytes);
        EXPECT_EQ(io->stats().bytes_copied_rx, 0u);
        EXPECT_EQ(io->stats().bytes_copied_tx, 0u);
        EXPECT_EQ(io->stats().tx_linearised, 0u);
      }
    }
  }
}

}  // namespace
}  // namespace luna::apps
