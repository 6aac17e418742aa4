// System calls that move octets.

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "luna/net/tcp/testing/packetscript/call_builder.h"
#include "luna/net/tcp/testing/packetscript/constants.h"

namespace luna::tcp::packetscript {

using Kind = Expression::Kind;
using testing::CallResult;

// "abc" wants exactly these octets, "abc"... the first ones.
void CallBuilder::CheckRead() {
  call_->check = [m = memory_]() -> absl::Status {
    for (size_t i = 0; i < m->buffers.size(); ++i) {
      const absl::optional<std::string>& expected = m->expected[i];
      if (!expected.has_value() || absl::string_view(m->buffers[i]).substr(0, expected->size()) == *expected) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("read \"", absl::CHexEscape(absl::string_view(m->buffers[i]).substr(0, expected->size())),
                       "\", expected \"", absl::CHexEscape(*expected), "\""));
    }
    return absl::OkStatus();
  };
}

void CallBuilder::Read() {
  const int fd = Fd(0);
  const int64_t size = Number(2);
  char* buffer = Buffer(Argument(1), size, /*to_read=*/true);
  call_->attempt = [&host = host_, m = memory_, fd, buffer, size] {
    return host.Read(fd, buffer, static_cast<size_t>(size));
  };
  CheckRead();
}

void CallBuilder::Readv() {
  const int fd = Fd(0);
  ReadVector(Argument(1), /*to_read=*/true);
  const auto count = static_cast<int>(Number(2));
  call_->attempt = [&host = host_, m = memory_, fd, count] { return host.Readv(fd, m->iov.data(), count); };
  CheckRead();
}

void CallBuilder::Recv() {
  const int fd = Fd(0);
  const int64_t size = Number(2);
  char* buffer = Buffer(Argument(1), size, /*to_read=*/true);
  const auto flags = static_cast<int>(Number(3));
  call_->attempt = [&host = host_, m = memory_, fd, buffer, size, flags] {
    return host.Recv(fd, buffer, static_cast<size_t>(size), flags);
  };
  CheckRead();
}

void CallBuilder::RecvFrom() {
  const int fd = Fd(0);
  const int64_t size = Number(2);
  char* buffer = Buffer(Argument(1), size, /*to_read=*/true);
  const auto flags = static_cast<int>(Number(3));
  call_->attempt = [&host = host_, m = memory_, fd, buffer, size, flags] {
    m->length = sizeof(m->address);
    return host.RecvFrom(fd, buffer, static_cast<size_t>(size), flags, reinterpret_cast<sockaddr*>(&m->address),
                         &m->length);
  };
  CheckRead();
}

void CallBuilder::Message(size_t index, bool to_read) {
  const Expression& argument = Argument(index);
  const Expression* iov = Field(argument, "msg_iov");
  if (argument.kind != Kind::kStruct || iov == nullptr) return Fail("a msghdr has a msg_iov");
  const Expression* control = Field(argument, "msg_control");
  if (control != nullptr && !control->items.empty() && !to_read) return Fail("control messages are only received here");
  ReadVector(*iov, to_read);
  memory_->message.msg_iov = memory_->iov.data();
  memory_->message.msg_iovlen = memory_->iov.size();
}

// [{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=9000}]: one message at most, with an int.
void CallBuilder::CheckControl() {
  const Expression* list = Field(Argument(1), "msg_control");
  if (list == nullptr || list->items.empty()) return;
  const Expression& wanted = list->items[0];
  const Expression* fields[] = {Field(wanted, "cmsg_level"), Field(wanted, "cmsg_type"), Field(wanted, "cmsg_data")};
  if (list->items.size() > 1 || std::find(std::begin(fields), std::end(fields), nullptr) != std::end(fields)) {
    return Fail("a control message has cmsg_level, cmsg_type and cmsg_data, and is alone");
  }
  const std::array<int64_t, 3> expected = {NumberOf(*fields[0]), NumberOf(*fields[1]), NumberOf(*fields[2])};
  call_->check = [m = memory_, expected, read = call_->check]() -> absl::Status {
    if (absl::Status status = read(); !status.ok()) return status;
    const cmsghdr* first = CMSG_FIRSTHDR(&m->message);
    if (first == nullptr) return absl::FailedPreconditionError("no control message came");
    int data = 0;
    std::memcpy(&data, CMSG_DATA(first), sizeof(data));
    const std::array<int64_t, 3> came = {first->cmsg_level, first->cmsg_type, data};
    if (came == expected) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("the control message is (", absl::StrJoin(came, ", "),
                                                      "), expected (", absl::StrJoin(expected, ", "), ")"));
  };
}

void CallBuilder::RecvMsg() {
  const int fd = Fd(0);
  Message(1, /*to_read=*/true);
  const auto flags = static_cast<int>(Number(2));
  call_->attempt = [&host = host_, m = memory_, fd, flags] {
    m->message.msg_control = m->control;
    m->message.msg_controllen = sizeof(m->control);
    return host.RecvMsg(fd, &m->message, flags);
  };
  CheckRead();
  CheckControl();
  const Expression* expected = Field(Argument(1), "msg_flags");
  if (expected == nullptr || expected->kind == Kind::kEllipsis) return;
  const int64_t expected_flags = NumberOf(*expected);
  call_->check = [m = memory_, expected_flags, read = call_->check]() -> absl::Status {
    if (m->message.msg_flags == expected_flags) return read();
    return absl::FailedPreconditionError(
        absl::StrCat("msg_flags is ", m->message.msg_flags, ", expected ", expected_flags));
  };
}

void CallBuilder::Write() {
  const int fd = Fd(0);
  const int64_t size = Number(2);
  char* buffer = Buffer(Argument(1), size, /*to_read=*/false);
  call_->attempt = [&host = host_, m = memory_, fd, buffer, size] {
    return host.Write(fd, buffer, static_cast<size_t>(size));
  };
}

void CallBuilder::Writev() {
  const int fd = Fd(0);
  ReadVector(Argument(1), /*to_read=*/false);
  const auto count = static_cast<int>(Number(2));
  call_->attempt = [&host = host_, m = memory_, fd, count] { return host.Writev(fd, m->iov.data(), count); };
}

void CallBuilder::Send() {
  const int fd = Fd(0);
  const int64_t size = Number(2);
  char* buffer = Buffer(Argument(1), size, /*to_read=*/false);
  const auto flags = static_cast<int>(Number(3));
  call_->attempt = [&host = host_, m = memory_, fd, buffer, size, flags] {
    return host.Send(fd, buffer, static_cast<size_t>(size), flags);
  };
}

void CallBuilder::SendTo() {
  const int fd = Fd(0);
  const int64_t size = Number(2);
  char* buffer = Buffer(Argument(1), size, /*to_read=*/false);
  const auto flags = static_cast<int>(Number(3));
  sockaddr* address = Address(4, calls_.addresses_.remote);
  const auto length = static_cast<socklen_t>(Number(5, sizeof(sockaddr_in)));
  if (address != nullptr && (flags & MSG_FASTOPEN) != 0) {
    calls_.flows_.OnConnect(static_cast<int>(Number(0)), calls_.addresses_.remote);
  }
  call_->attempt = [&host = host_, m = memory_, fd, buffer, size, flags, address, length] {
    return host.SendTo(fd, buffer, static_cast<size_t>(size), flags, address, length);
  };
}

void CallBuilder::SendMsg() {
  const int fd = Fd(0);
  Message(1, /*to_read=*/false);
  const auto flags = static_cast<int>(Number(2));
  call_->attempt = [&host = host_, m = memory_, fd, flags] { return host.SendMsg(fd, &m->message, flags); };
}

// Files are zeros without end.
void CallBuilder::SendFile() {
  const int fd = Fd(0);
  if (calls_.files_.find(static_cast<int>(Number(1))) == calls_.files_.end()) return Fail("no such file is open");
  const int64_t size = Number(3);
  static const Expression kAnything;
  char* buffer = Buffer(kAnything, size, /*to_read=*/false);
  call_->attempt = [&host = host_, m = memory_, fd, buffer, size] {
    return host.Write(fd, buffer, static_cast<size_t>(size));
  };
}

void CallBuilder::Pipe() {
  const Expression& list = Argument(0);
  if (list.kind != Kind::kList || list.items.size() != 2) return Fail("a pipe has two ends");
  const auto out = static_cast<int>(NumberOf(list.items[0]));
  const auto in = static_cast<int>(NumberOf(list.items[1]));
  call_->attempt = [&host = host_, m = memory_] { return host.Pipe(m->pipe); };
  call_->succeeded = [&fds = calls_.fds_, m = memory_, out, in](int64_t) {
    fds[out] = m->pipe[0];
    fds[in] = m->pipe[1];
  };
}

void CallBuilder::Splice() {
  const int in = Fd(0);
  const int out = calls_.HostFd(Number(2));
  const auto size = static_cast<size_t>(Number(4));
  const auto flags = static_cast<unsigned>(Number(5));
  call_->attempt = [&host = host_, in, out, size, flags] {
    return host.Splice(in, nullptr, out, nullptr, size, flags);
  };
}

}  // namespace luna::tcp::packetscript
