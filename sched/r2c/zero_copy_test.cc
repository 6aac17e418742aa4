// The examples of docs/zbuf.md: receive, send, hold, forward, multicast. What they promise is tested: nothing is
// copied, and every obj comes home.

#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/sched/r2c/testing/two_hosts.h"

namespace luna::r2c {
namespace {

using tcp::Connection;

constexpr uint16_t kPort = 7;

// --- docs/zbuf.md: receive ---
class LineCounter : public Handler {
 public:
  void OnReadable(Connection&, zbuf::ZChain data) override {
    for (const zbuf::ZSlice& slice : data) {  // where the device wrote them
      for (const std::byte octet : slice.span()) lines += octet == std::byte{'\n'} ? 1 : 0;
    }
  }  // `data` goes, and its objs go home
  int lines = 0;
};

// --- docs/zbuf.md: send ---
tcp::SendResult SendRecord(Connection& connection, zbuf::Slab& slab, uint32_t number) {
  constexpr size_t kBytes = 4096;
  std::byte* obj = slab.Alloc(kBytes);
  if (obj == nullptr) return tcp::SendResult::kBackpressure;  // memory is out: a state, not an accident
  std::memset(obj, 0, kBytes);
  std::memcpy(obj, &number, sizeof(number));
  zbuf::ZChain record;
  record.Append(zbuf::ZRef::Adopt(obj), kBytes);
  return connection.Send(std::move(record));  // when refused, `record` and the obj are gone: make it again
}

// --- docs/zbuf.md: hold ---
class LastRecords : public Handler {
 public:
  void OnReadable(Connection&, zbuf::ZChain data) override {
    unread_.Append(std::move(data));
    while (unread_.bytes() >= kRecordBytes) {
      records.push_back(unread_.SplitFront(kRecordBytes));
      if (records.size() > kMost) records.pop_front();
    }
  }
  static constexpr size_t kRecordBytes = 1000;
  static constexpr size_t kMost = 3;  // what is held is memory that nobody else has: bound it
  std::deque<zbuf::ZChain> records;

 private:
  zbuf::ZChain unread_;
};

// --- docs/zbuf.md: forward ---
class Forwarder : public Handler {
 public:
  void OnReadable(Connection& from, zbuf::ZChain data) override {
    Connection* const to = &from == left ? right : left;
    if (to != nullptr) (void)to->Send(std::move(data));  // the objs that came in go out
  }
  Connection* left = nullptr;
  Connection* right = nullptr;
};

// --- docs/zbuf.md: multicast ---
class Publisher : public Handler {
 public:
  void OnAccepted(Connection& connection) override { subscribers.push_back(&connection); }
  void OnReadable(Connection&, zbuf::ZChain) override {}
  void OnClosed(Connection& connection, tcp::CloseReason) override { std::erase(subscribers, &connection); }
  void Publish(const zbuf::ZChain& payload) {
    for (Connection* subscriber : subscribers) (void)subscriber->Send(payload.Share());  // a reference, not a copy
  }
  std::vector<Connection*> subscribers;
};

// Remembers its connection, and what came.
class Client : public Handler {
 public:
  void OnConnected(Connection& c) override { connection = &c; }
  void OnAccepted(Connection& c) override { connection = &c; }
  void OnReadable(Connection&, zbuf::ZChain data) override { received += data.ToString(); }
  void OnPeerClosed(Connection&) override {}
  void OnClosed(Connection&, tcp::CloseReason) override { connection = nullptr; }
  Connection* connection = nullptr;
  std::string received;
};

class ZeroCopy : public testing::Test {
 protected:
  Client& Connect() {
    clients_.push_back(std::make_unique<Client>());
    Client& client = *clients_.back();
    EXPECT_TRUE(hosts_.a().worker().Connect({hosts_.b().address(), kPort}, client).ok());
    EXPECT_TRUE(hosts_.RunUntil([&] { return client.connection != nullptr; }, Duration::Seconds(1)));
    return client;
  }
  void Listen(Handler& handler) { ASSERT_TRUE(hosts_.b().worker().Listen({wire::IpAddress(), kPort}, handler).ok()); }
  void Settle() {
    hosts_.RunUntil([&] { return false; }, Duration::Milliseconds(50));
  }
  zbuf::Slab& slab() { return hosts_.b().slab(); }
  // Objs of host b that are out for payload.
  size_t InUse() { return slab().outstanding() - hosts_.b().stack().reserved_objs(); }
  // Frames of host b that had to be made one piece. (The wire itself copies, as wires do.)
  uint64_t Linearised() { return hosts_.link().b().stats().tx_linearised; }
  void CloseAll() {
    for (TestHost* host : {&hosts_.a(), &hosts_.b()}) {
      host->stack().ForEachConnection([](Connection& c) { c.Abort(); });
    }
    EXPECT_TRUE(hosts_.RunUntilQuiet(Duration::Seconds(5)));
  }

  TwoHosts hosts_{{.wire = {.max_tx_segments = 64}}};
  std::vector<std::unique_ptr<Client>> clients_;
};

absl::Span<const std::byte> Bytes(const std::string& text) {
  return absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size());
}

TEST_F(ZeroCopy, Receive) {
  LineCounter counter;
  Listen(counter);
  Connect().connection->Send(Bytes("one\ntwo\nthree\n"));
  Settle();
  EXPECT_EQ(counter.lines, 3);
  EXPECT_EQ(InUse(), 0u);
  CloseAll();
}

TEST_F(ZeroCopy, Send) {
  Client server;
  Listen(server);
  Client& client = Connect();
  Settle();
  for (uint32_t number : {7u, 8u}) ASSERT_EQ(SendRecord(*server.connection, slab(), number), tcp::SendResult::kOk);
  EXPECT_EQ(InUse(), 2u) << "the objs that were filled, and nothing else";
  Settle();
  ASSERT_EQ(client.received.size(), 2 * 4096u);
  EXPECT_EQ(client.received[0], 7);
  EXPECT_EQ(client.received[4096], 8);
  EXPECT_EQ(Linearised(), 0u);
  EXPECT_EQ(InUse(), 0u) << "acknowledged";
  CloseAll();
}

TEST_F(ZeroCopy, Hold) {
  LastRecords holder;
  Listen(holder);
  Client& client = Connect();
  for (char c = 'a'; c < 'k'; ++c) client.connection->Send(Bytes(std::string(LastRecords::kRecordBytes, c)));
  Settle();
  ASSERT_EQ(holder.records.size(), 3u);
  for (char c : {'h', 'i', 'j'}) {
    EXPECT_EQ(holder.records.front().ToString(), std::string(LastRecords::kRecordBytes, c));
    EXPECT_GT(InUse(), 0u);
    holder.records.pop_front();
  }
  EXPECT_EQ(InUse(), 0u);
  CloseAll();
}

TEST_F(ZeroCopy, Forward) {
  struct Pairing final : Forwarder {
    void OnAccepted(Connection& c) override { (left == nullptr ? left : right) = &c; }
    void OnClosed(Connection& c, tcp::CloseReason) override { (left == &c ? left : right) = nullptr; }
  } forwarder;
  Listen(forwarder);
  Client& first = Connect();
  Client& second = Connect();
  Settle();
  const std::string text(10000, 'f');
  first.connection->Send(Bytes(text));
  Settle();
  EXPECT_EQ(second.received, text);
  second.connection->Send(Bytes("back"));
  Settle();
  EXPECT_EQ(first.received, "back");
  EXPECT_EQ(Linearised(), 0u);
  EXPECT_EQ(InUse(), 0u);
  CloseAll();
}

TEST_F(ZeroCopy, Multicast) {
  Publisher publisher;
  Listen(publisher);
  for (int i = 0; i < 5; ++i) Connect();
  Settle();
  {
    const zbuf::ZChain payload = *zbuf::ZChain::CopyFrom(slab(), std::string(4000, 'm'));
    publisher.Publish(payload);
    EXPECT_EQ(zbuf::RefCount(payload.front().data()), 6u);
    EXPECT_EQ(InUse(), 1u) << "one payload, however many subscribers";
    Settle();
    EXPECT_EQ(zbuf::RefCount(payload.front().data()), 1u) << "all have it";
  }
  for (const auto& client : clients_) EXPECT_EQ(client->received, std::string(4000, 'm'));
  EXPECT_EQ(Linearised(), 0u);
  EXPECT_EQ(InUse(), 0u);
  CloseAll();
}

}  // namespace
}  // namespace luna::r2c
