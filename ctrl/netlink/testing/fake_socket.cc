#include "luna/ctrl/netlink/testing/fake_socket.h"

#include <linux/netlink.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "glog/logging.h"

namespace luna::netlink::testing {
namespace {

nlmsghdr HeaderOf(absl::Span<const uint8_t> message) {
  nlmsghdr header{};
  std::memcpy(&header, message.data(), std::min(sizeof(header), message.size()));
  return header;
}

}  // namespace

void FakeSocket::SetDump(uint16_t request_type, std::vector<Message> messages) {
  dumps_[request_type].messages = std::move(messages);
}

void FakeSocket::FailDump(uint16_t request_type, int error_number) { dumps_[request_type].fail = error_number; }

void FakeSocket::InterruptDump(uint16_t request_type) { dumps_[request_type].interrupt = true; }

void FakeSocket::Push(Message datagram) {
  CHECK(!datagram.empty()) << "netlink has no empty datagrams";
  queue_.push_back({absl::OkStatus(), std::move(datagram)});
}

void FakeSocket::PushError(absl::Status error) { queue_.push_back({std::move(error), {}}); }

void FakeSocket::FailSends(absl::Status error) { send_error_ = std::move(error); }

size_t FakeSocket::CountSent(uint16_t type) const {
  return static_cast<size_t>(
      std::count_if(sent_.begin(), sent_.end(), [type](const Message& m) { return HeaderOf(m).nlmsg_type == type; }));
}

absl::Status FakeSocket::Send(absl::Span<const uint8_t> message) {
  if (!send_error_.ok()) return send_error_;
  sent_.emplace_back(message.begin(), message.end());
  const nlmsghdr header = HeaderOf(message);
  if ((header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP) {
    AnswerDump(header.nlmsg_type, header.nlmsg_seq);
  } else if ((header.nlmsg_flags & NLM_F_ACK) != 0) {
    nlmsgerr acknowledgement{};
    acknowledgement.msg = header;
    PushReply(NLMSG_ERROR, 0, header.nlmsg_seq,
              {reinterpret_cast<const uint8_t*>(&acknowledgement), sizeof(acknowledgement)});
  }
  return absl::OkStatus();
}

void FakeSocket::AnswerDump(uint16_t type, uint32_t sequence) {
  Dump& dump = dumps_[type];
  const int fail = std::exchange(dump.fail, 0);
  const uint16_t flags = NLM_F_MULTI | (std::exchange(dump.interrupt, false) ? NLM_F_DUMP_INTR : 0);
  if (fail != 0) {
    nlmsgerr error{};
    error.error = -fail;
    PushReply(NLMSG_ERROR, 0, sequence, {reinterpret_cast<const uint8_t*>(&error), sizeof(error)});
    return;
  }
  for (Message message : dump.messages) {
    nlmsghdr header = HeaderOf(message);
    header.nlmsg_seq = sequence;
    header.nlmsg_flags = flags;
    std::memcpy(message.data(), &header, std::min(sizeof(header), message.size()));
    Push(std::move(message));
  }
  const int32_t length = 0;
  PushReply(NLMSG_DONE, flags, sequence, {reinterpret_cast<const uint8_t*>(&length), sizeof(length)});
}

void FakeSocket::PushReply(uint16_t type, uint16_t flags, uint32_t sequence, absl::Span<const uint8_t> payload) {
  Message message(NLMSG_SPACE(payload.size()));
  nlmsghdr header{};
  header.nlmsg_len = static_cast<uint32_t>(NLMSG_LENGTH(payload.size()));
  header.nlmsg_type = type;
  header.nlmsg_flags = flags;
  header.nlmsg_seq = sequence;
  std::memcpy(message.data(), &header, sizeof(header));
  std::memcpy(message.data() + NLMSG_HDRLEN, payload.data(), payload.size());
  Push(std::move(message));
}

absl::StatusOr<size_t> FakeSocket::Receive(absl::Span<uint8_t> buffer) {
  if (queue_.empty()) return 0;
  const Item next = std::move(queue_.front());
  queue_.pop_front();
  if (!next.error.ok()) return next.error;
  if (next.bytes.size() > buffer.size()) return absl::OutOfRangeError("netlink datagram longer than the buffer");
  std::memcpy(buffer.data(), next.bytes.data(), next.bytes.size());
  return next.bytes.size();
}

absl::Status FakeSocket::WaitReadable(Duration) {
  return queue_.empty() ? absl::DeadlineExceededError("nothing recorded") : absl::OkStatus();
}

}  // namespace luna::netlink::testing
