// System calls that ask and set.

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "luna/net/tcp/testing/packetscript/call_builder.h"
#include "luna/net/tcp/testing/packetscript/constants.h"

namespace luna::tcp::packetscript {
namespace {

using Kind = Expression::Kind;
using testing::CallResult;

// Large enough for every structure that an option may have.
constexpr size_t kLargestOption = 1024;

template <typename T>
void AppendBytes(const T& value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// The numbers of an option as text, for messages.
std::string Numbers(absl::string_view bytes) {
  std::string text = "[";
  for (size_t i = 0; i + sizeof(int) <= bytes.size(); i += sizeof(int)) {
    int value = 0;
    std::memcpy(&value, bytes.data() + i, sizeof(value));
    absl::StrAppend(&text, i == 0 ? "" : ", ", value);
  }
  return text + "]";
}

}  // namespace

absl::optional<std::string> CallBuilder::OptionValue(const Expression& expression) {
  std::string bytes;
  if (expression.kind == Kind::kString) return expression.text;
  if (expression.kind == Kind::kList) {
    for (const Expression& item : expression.items) AppendBytes(static_cast<int>(NumberOf(item)), &bytes);
    return bytes;
  }
  if (expression.kind == Kind::kStruct) {
    const Expression* onoff = Field(expression, "onoff");
    const Expression* seconds = Field(expression, "linger");
    if (onoff == nullptr || seconds == nullptr) return absl::nullopt;
    AppendBytes(linger{static_cast<int>(NumberOf(*onoff)), static_cast<int>(NumberOf(*seconds))}, &bytes);
    return bytes;
  }
  return absl::nullopt;
}

void CallBuilder::GetSockOpt() {
  const int fd = Fd(0);
  const auto level = static_cast<int>(Number(1));
  const auto name = static_cast<int>(Number(2));
  const Expression& value = Argument(3);
  absl::optional<std::string> expected = OptionValue(value);
  const Expression& length = Argument(4);
  size_t size = expected.has_value() ? expected->size() : kLargestOption;
  if (length.kind == Kind::kList && length.items.size() == 1) size = static_cast<size_t>(NumberOf(length.items[0], 4));
  if (size > kLargestOption) return Fail("no option is so long");
  auto buffer = std::make_shared<std::string>(kLargestOption, '\0');
  const bool null = value.kind == Kind::kWord;
  call_->attempt = [&host = host_, m = memory_, buffer, fd, level, name, size, null] {
    m->length = static_cast<socklen_t>(size);
    return host.GetSockOpt(fd, level, name, null ? nullptr : buffer->data(), &m->length);
  };
  if (!expected.has_value() || spec_.result.number < 0) return;
  call_->check = [m = memory_, buffer, expected = *std::move(expected), text = value.kind == Kind::kString] {
    const absl::string_view got = absl::string_view(*buffer).substr(0, std::max<size_t>(m->length, expected.size()));
    // A name ends at its zero.
    const bool same = text ? got.substr(0, got.find('\0')) == expected : got == expected;
    if (same) return absl::OkStatus();
    return absl::FailedPreconditionError(
        text ? absl::StrCat("the option is \"", absl::CHexEscape(got), "\", expected \"", expected, "\"")
             : absl::StrCat("the option is ", Numbers(got), ", expected ", Numbers(expected)));
  };
}

void CallBuilder::SetSockOpt() {
  const int fd = Fd(0);
  const auto level = static_cast<int>(Number(1));
  const auto name = static_cast<int>(Number(2));
  const Expression& value = Argument(3);
  const absl::optional<std::string> bytes = OptionValue(value);
  const bool null = value.kind == Kind::kWord;
  if (!bytes.has_value() && !null && value.kind != Kind::kEllipsis) return Fail("the value is not understood");
  auto buffer = std::make_shared<std::string>(bytes.value_or(""));
  const auto length = static_cast<socklen_t>(Number(4, static_cast<int64_t>(buffer->size())));
  if (length <= kLargestOption && buffer->size() < length) buffer->resize(length);
  call_->attempt = [&host = host_, buffer, fd, level, name, length, null] {
    return host.SetSockOpt(fd, level, name, null ? nullptr : buffer->data(), length);
  };
}

void CallBuilder::Fcntl() {
  const int fd = Fd(0);
  const auto command = static_cast<int>(Number(1));
  const auto argument = static_cast<intptr_t>(Number(2));
  call_->attempt = [&host = host_, fd, command, argument] { return host.Fcntl(fd, command, argument); };
}

void CallBuilder::Ioctl() {
  const int fd = Fd(0);
  const auto request = static_cast<unsigned long>(Number(1));  // NOLINT(google-runtime-int): ioctl's own
  const Expression& argument = Argument(2);
  const bool list = argument.kind == Kind::kList && argument.items.size() == 1;
  const int64_t number = list ? NumberOf(argument.items[0]) : NumberOf(argument);
  auto value = std::make_shared<int>(request == FIONBIO ? static_cast<int>(number) : -1);
  const bool null = argument.kind == Kind::kWord;
  call_->attempt = [&host = host_, fd, request, value, null] {
    return host.Ioctl(fd, request, null ? nullptr : value.get());
  };
  if (request == FIONBIO || null || !list) return;
  call_->check = [value, number]() -> absl::Status {
    if (*value == number) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("ioctl() says ", *value, ", expected ", number));
  };
}

void CallBuilder::Poll() {
  std::vector<int16_t> expected;
  for (const Expression& item : Argument(0).items) {
    const Expression* fd = Field(item, "fd");
    const Expression* events = Field(item, "events");
    const Expression* revents = Field(item, "revents");
    if (fd == nullptr || events == nullptr) return Fail("a pollfd has fd and events");
    memory_->polled.push_back({calls_.HostFd(NumberOf(*fd)), static_cast<int16_t>(NumberOf(*events)), 0});
    expected.push_back(revents == nullptr ? int16_t{0} : static_cast<int16_t>(NumberOf(*revents)));
  }
  const auto count = static_cast<nfds_t>(Number(1));
  if (count > memory_->polled.size()) return Fail("there are fewer descriptors");
  if (count > 0) call_->host_fd = memory_->polled[0].fd;
  const auto timeout = static_cast<int>(Number(2));
  call_->attempt = [&host = host_, m = memory_, count, timeout] { return host.Poll(m->polled.data(), count, timeout); };
  call_->check = [m = memory_, expected]() -> absl::Status {
    for (size_t i = 0; i < expected.size(); ++i) {
      if (m->polled[i].revents == expected[i]) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("revents of descriptor ", i, " is ", m->polled[i].revents, ", expected ", expected[i]));
    }
    return absl::OkStatus();
  };
}

epoll_event CallBuilder::EpollEvent(const Expression& expression) {
  epoll_event event = {};
  const Expression* events = Field(expression, "events");
  if (events == nullptr) {
    Fail("an epoll_event has events");
    return event;
  }
  event.events = static_cast<uint32_t>(NumberOf(*events));
  if (const Expression* fd = Field(expression, "fd")) event.data.fd = static_cast<int>(NumberOf(*fd));
  if (const Expression* u32 = Field(expression, "u32")) event.data.u32 = static_cast<uint32_t>(NumberOf(*u32));
  for (const char* name : {"ptr", "u64"}) {
    if (const Expression* value = Field(expression, name)) event.data.u64 = static_cast<uint64_t>(NumberOf(*value));
  }
  return event;
}

void CallBuilder::EpollCreate() {
  const bool with_flags = spec_.name == "epoll_create1";
  const auto argument = static_cast<int>(Number(0));
  call_->attempt = [&host = host_, with_flags, argument] {
    if (!with_flags && argument <= 0) return testing::Failure(EINVAL);
    return host.EpollCreate(with_flags ? argument : 0);
  };
  call_->gives_fd = true;
}

void CallBuilder::EpollCtl() {
  const int epoll_fd = Fd(0);
  const auto operation = static_cast<int>(Number(1));
  const int fd = calls_.HostFd(Number(2));
  const bool null = Argument(3).kind != Kind::kStruct;
  const epoll_event event = null ? epoll_event{} : EpollEvent(Argument(3));
  call_->attempt = [&host = host_, epoll_fd, operation, fd, event, null] {
    return host.EpollCtl(epoll_fd, operation, fd, null ? nullptr : &event);
  };
}

void CallBuilder::EpollWait() {
  const int fd = Fd(0);
  const Expression& argument = Argument(1);
  std::vector<epoll_event> expected;
  if (argument.kind == Kind::kStruct) expected.push_back(EpollEvent(argument));
  if (argument.kind == Kind::kList) {
    for (const Expression& item : argument.items) expected.push_back(EpollEvent(item));
  }
  const auto capacity = static_cast<int>(Number(2));
  const auto timeout = static_cast<int>(Number(3));
  memory_->events.resize(static_cast<size_t>(std::clamp(capacity, 1, 4096)));
  auto given = std::make_shared<size_t>(0);
  call_->attempt = [&host = host_, m = memory_, given, fd, capacity, timeout] {
    const CallResult result = host.EpollWait(fd, m->events.data(), capacity, timeout);
    *given = result.value > 0 ? static_cast<size_t>(result.value) : 0;
    return result;
  };
  call_->check = [m = memory_, given, expected]() -> absl::Status {
    for (size_t i = 0; i < *given && i < expected.size(); ++i) {
      const epoll_event& got = m->events[i];
      if (got.events == expected[i].events && got.data.u64 == expected[i].data.u64) continue;
      return absl::FailedPreconditionError(absl::StrCat("epoll_wait() says events 0x", absl::Hex(got.events), " of ",
                                                        got.data.u64, ", expected 0x", absl::Hex(expected[i].events),
                                                        " of ", expected[i].data.u64));
    }
    return absl::OkStatus();
  };
}

}  // namespace luna::tcp::packetscript
