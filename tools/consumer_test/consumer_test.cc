// What another repository does with Luna: takes single targets by their public include spelling, drives TCP over a
// packet source of its own (here: two stacks whose packets are handed over by a loop), and tests itself with Luna's
// fakes.

#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/tcp/stack.h"
#include "luna/sched/clock/testing/fake_clock.h"
#include "luna/sched/clock/time.h"

namespace {

const luna::wire::Endpoint kServer{luna::wire::Ipv4Address(10, 0, 0, 2), 61441};
const luna::wire::Endpoint kClient{luna::wire::Ipv4Address(10, 0, 0, 1), 0};

// A host: a stack, its memory and its counters. `luna::zbuf::TestSlab` fails the test when an obj is leaked.
struct Host {
  explicit Host(luna::Time now) : stack(luna::tcp::StackConfig(), memory.slab(), drops, now) {}

  luna::zbuf::TestSlab memory;
  luna::stats::DropCounters drops;
  luna::tcp::Stack stack;
};

class Consumer : public testing::Test {
 protected:
  // Hands everything that `from` has to send to `to`. Returns whether there was something. Events go to OnEvent.
  bool Carry(Host& from, Host& to) {
    luna::ip::OutBatch batch;
    from.stack.Flush(clock_.Now(), 64, &batch);
    for (luna::ip::OutDatagram& out : batch) {
      luna::ip::Datagram in;
      in.source = out.source;
      in.destination = out.destination;
      in.protocol = out.protocol;
      in.packet.data = std::move(out.packet.data);
      // Memory corrupts nothing: this packet source vouches for the checksum, as a NIC would.
      in.packet.rx.l4_checksum = luna::pmd::ChecksumStatus::kGood;
      OnEvent(to, to.stack.Ingest(std::move(in), clock_.Now()));
    }
    while (luna::tcp::Event event = from.stack.NextEvent(clock_.Now())) OnEvent(from, event);
    return !batch.empty();
  }

  // The server echoes; the client gathers what comes back.
  void OnEvent(Host& host, luna::tcp::Event event) {
    if (!event.Has(luna::tcp::EventBits::kReadable)) return;
    luna::zbuf::ZChain data = event.connection->Read();
    if (&host == &server_) {
      EXPECT_EQ(event.connection->Send(std::move(data)), luna::tcp::SendResult::kOk);  // the same memory: no copy
    } else {
      echoed_ += data.ToString();
    }
  }

  // Lets the virtual clock run for `time`, a tenth of a millisecond at a step.
  void Run(luna::Duration time) {
    const luna::Time end = clock_.Now() + time;
    while (clock_.Now() < end) {
      while (Carry(client_, server_) | Carry(server_, client_)) {
      }
      clock_.Advance(luna::Duration::Microseconds(100));
    }
  }

  luna::FakeClock clock_;
  Host server_{clock_.Now()};
  Host client_{clock_.Now()};
  std::string echoed_;
};

TEST_F(Consumer, EchoesOverItsOwnPacketSource) {
  ASSERT_TRUE(server_.stack.Listen(kServer).ok());
  const auto connection = client_.stack.Connect(kClient, kServer, nullptr, clock_.Now());
  ASSERT_TRUE(connection.ok()) << connection.status();
  const std::string text(100'000, 'x');
  ASSERT_EQ((*connection)->Send(client_.memory.Chain(text)), luna::tcp::SendResult::kOk);
  Run(luna::Duration::Milliseconds(5));
  EXPECT_EQ(echoed_, text);
  EXPECT_EQ((*connection)->state(), luna::tcp::State::kEstablished);

  (*connection)->Abort();
  Run(luna::Duration::Milliseconds(1));
  client_.stack.Reap();
  server_.stack.Reap();
  EXPECT_EQ(client_.stack.connections() + server_.stack.connections(), 0u);
}

TEST(ConsumerMemory, TakesTheSlabAlone) {
  luna::zbuf::AnonymousPageSource pages;
  const auto arena = luna::zbuf::Arena::Create(pages, {.size_bytes = size_t{4} << 20});
  ASSERT_TRUE(arena.ok()) << arena.status();
  luna::zbuf::Slab slab(**arena, {.name = "consumer"});
  std::byte* const obj = slab.Alloc(2048);
  ASSERT_NE(obj, nullptr);
  luna::zbuf::Ref(obj + 100);
  luna::zbuf::Free(obj + 7);
  EXPECT_EQ(slab.outstanding(), 1u);
  luna::zbuf::Free(obj + 2000);
  EXPECT_EQ(slab.outstanding(), 0u);
}

}  // namespace
