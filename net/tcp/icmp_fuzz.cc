// Any ICMP message: no crash, and nothing more than an ICMP error may do to a connection (RFC 5461, RFC 5927).
//
// Octet 0 of the input says in which state the connection is, and how much of the rest, the message, is made right
// first: its checksum, the addresses and ports that it quotes, the sequence number. Otherwise hardly any would mean
// something.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "glog/logging.h"
#include "gtest/gtest.h"
#include "luna/net/tcp/icmp.h"
#include "luna/net/tcp/testing/stack_tester.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/icmpv4.h"

namespace {

using luna::tcp::Connection;
using luna::tcp::IcmpError;
using luna::tcp::NetworkError;
using luna::tcp::State;
using luna::tcp::testing::Peer;
using luna::tcp::testing::StackTester;
using luna::wire::StoreBe16;
using luna::wire::StoreBe32;
using Bytes = std::vector<uint8_t>;

// What octet 0 asks for.
constexpr uint8_t kChecksum = 1, kTuple = 2, kSequence = 4, kStates = 3 << 3;

void MakeRight(uint8_t what, const Peer& peer, Bytes& message) {
  const size_t header = message.size() > 8 ? (message[8] & 0xfu) * 4u : 0;
  if (message.size() >= std::max<size_t>(28, 8 + header + 8)) {
    if (what & kTuple) {
      StoreBe32(&message[20], peer.local.address.v4().value());
      StoreBe32(&message[24], peer.endpoint.address.v4().value());
      StoreBe16(&message[8 + header], peer.local.port);
      StoreBe16(&message[8 + header + 2], peer.endpoint.port);
    }
    if (what & kSequence) StoreBe32(&message[8 + header + 4], peer.stack_isn + message.back() % 8);
  }
  luna::wire::Icmpv4Header parsed;
  if ((what & kChecksum) == 0 || luna::wire::Parse(message, &parsed) == luna::wire::ParseResult::kTruncated) return;
  luna::wire::Write(parsed, absl::MakeSpan(message));
}

void Check(const std::optional<IcmpError>& error, const Bytes& message) {
  if (!error.has_value()) return;
  CHECK(message[0] == 3 || message[0] == 11 || message[0] == 12);
  CHECK_GE(message.size(), 36u);
  CHECK(error->error != NetworkError::kNone && error->error != NetworkError::kNoAnswer);
  CHECK_EQ(error->mtu != 0, error->error == NetworkError::kMessageTooBig);
  CHECK_LE(error->mtu, 0xffffu);
}

State StateFor(uint8_t what) {
  constexpr State kChoice[] = {State::kSynSent, State::kSynReceived, State::kEstablished, State::kFinWait1};
  return kChoice[(what & kStates) >> 3];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 2048) return 0;
  const uint8_t what = data[0];
  Bytes message(data + 1, data + size);
  StackTester t(StackTester::Plain(), size_t{12} << 20);
  const State before = StateFor(what);
  Connection& connection = t.Reach(before);
  if (before == State::kEstablished) t.Send(std::string(4000, 'x'));
  t.TakeOut();
  MakeRight(what, t.peer(), message);
  Check(luna::tcp::ParseIcmpError(message), message);
  const uint32_t pmtu = connection.Info(t.now()).pmtu;
  t.stack().OnIcmp(message, t.now());
  const State after = connection.state();
  CHECK(after == before || (after == State::kClosed && !IsSynchronised(before)));
  CHECK_LE(connection.Info(t.now()).pmtu, pmtu);
  CHECK_GE(connection.Info(t.now()).pmtu, t.stack().config().min_path_mtu);
  t.Poll();
  t.Run(luna::Duration::Milliseconds(300));
  t.TakeOut();
  if (::testing::Test::HasFailure()) std::abort();
  return 0;
}
