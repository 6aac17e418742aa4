#ifndef LUNA_CTRL_NETLINK_TESTING_FAKE_SOCKET_H_
#define LUNA_CTRL_NETLINK_TESTING_FAKE_SOCKET_H_

// FakeSocket: a netlink Socket that replays recorded messages. No kernel, no root, no time.
//
// A test records what each dump returns (SetDump), feeds notifications (Push) and failures (PushError), and looks at
// what was sent. A dump request is answered like the kernel does: the recorded messages, each with the request's
// sequence number and NLM_F_MULTI, then NLMSG_DONE; everything queues behind what already waits. Any other request with
// NLM_F_ACK is answered with an acknowledgement. Thread: one.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "luna/ctrl/netlink/socket.h"
#include "luna/sched/clock/time.h"

namespace luna::netlink::testing {

using Message = std::vector<uint8_t>;  // one netlink message, header included, padded to 4 octets

class FakeSocket : public Socket {
 public:
  // What a dump request of `request_type` (RTM_GETLINK, …) returns from now on. Default: nothing, only NLMSG_DONE.
  void SetDump(uint16_t request_type, std::vector<Message> messages);
  // The next dump of that type answers with this errno value (NLMSG_ERROR) instead; 0 clears.
  void FailDump(uint16_t request_type, int error_number);
  // The next dump of that type says that it was interrupted by a change (NLM_F_DUMP_INTR).
  void InterruptDump(uint16_t request_type);

  // Queues one datagram, as a notification arrives. Any bytes, at least one.
  void Push(Message datagram);
  // Queues a failure of Receive().
  void PushError(absl::Status error);
  // Every later Send() fails with this; OK clears.
  void FailSends(absl::Status error);

  // Every message sent so far, and how many of them asked for `type`.
  const std::vector<Message>& sent() const { return sent_; }
  size_t CountSent(uint16_t type) const;
  // Datagrams and failures not yet received.
  size_t waiting() const { return queue_.size(); }

  absl::Status Send(absl::Span<const uint8_t> message) override;
  absl::StatusOr<size_t> Receive(absl::Span<uint8_t> buffer) override;
  absl::Status WaitReadable(Duration timeout) override;
  int fd() const override { return -1; }

 private:
  struct Dump {
    std::vector<Message> messages;
    int fail = 0;
    bool interrupt = false;
  };
  void AnswerDump(uint16_t type, uint32_t sequence);
  void PushReply(uint16_t type, uint16_t flags, uint32_t sequence, absl::Span<const uint8_t> payload);

  std::map<uint16_t, Dump> dumps_;
  // A datagram, or a failure when `error` is not OK.
  struct Item {
    absl::Status error;
    Message bytes;
  };
  std::deque<Item> queue_;
  std::vector<Message> sent_;
  absl::Status send_error_;
};

}  // namespace luna::netlink::testing

#endif  // LUNA_CTRL_NETLINK_TESTING_FAKE_SOCKET_H_
