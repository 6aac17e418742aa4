#ifndef LUNA_NET_TCP_TESTING_PACKETSCRIPT_CALL_BUILDER_H_
#define LUNA_NET_TCP_TESTING_PACKETSCRIPT_CALL_BUILDER_H_

// The inside of SystemCalls::Prepare(): one function for each system call, which reads the arguments and fills in a
// SystemCall. The first argument that makes no sense is kept as an error.

#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "luna/net/tcp/testing/packetscript/script.h"
#include "luna/net/tcp/testing/packetscript/system_call.h"
#include "luna/net/tcp/testing/sockets/virtual_host.h"

namespace luna::tcp::packetscript {

// What the pointers of a call point to.
struct CallMemory {
  std::deque<std::string> buffers;
  std::deque<absl::optional<std::string>> expected;  // of `buffers`, where the script says what is to be read
  std::vector<iovec> iov;
  msghdr message = {};
  alignas(cmsghdr) char control[64] = {};
  sockaddr_in address = {};
  socklen_t length = 0;
  std::vector<pollfd> polled;
  std::vector<epoll_event> events;
  int pipe[2] = {-1, -1};
};

class CallBuilder {
 public:
  CallBuilder(SystemCalls& calls, const SystemCallSpec& spec)
      : calls_(calls), host_(calls.host_), spec_(spec), memory_(std::make_shared<CallMemory>()) {}

  absl::StatusOr<std::unique_ptr<SystemCall>> Build();

 private:
  using Method = void (CallBuilder::*)();
  struct Entry {
    const char* name;
    Method method;
    size_t arguments;  // at least
  };
  static const Entry* Find(absl::string_view name);

  // --- Arguments ---
  void Fail(absl::string_view message);
  const Expression& Argument(size_t index) const { return spec_.arguments[index]; }
  // A number; "..." and what is not there are `otherwise`.
  int64_t Number(size_t index, int64_t otherwise = 0);
  int64_t NumberOf(const Expression& expression, int64_t otherwise = 0);
  // The host's descriptor.
  int Fd(size_t index);
  // `name` = value inside of a struct; null when it is not there.
  static const Expression* Field(const Expression& record, absl::string_view name);
  // A buffer of `size` octets, or null for NULL.
  char* Buffer(const Expression& expression, int64_t size, bool to_read);
  // [{..., 10}, {..., 20}]
  void ReadVector(const Expression& list, bool to_read);
  // "..." is `otherwise`. Null for NULL.
  sockaddr* Address(size_t index, const wire::Endpoint& otherwise);
  // The octets of an option's value: [1], {onoff=1, linger=5}, "cubic".
  absl::optional<std::string> OptionValue(const Expression& expression);
  // {events=EPOLLIN, fd=4}
  epoll_event EpollEvent(const Expression& expression);

  // --- Results ---
  // After reading: what came against what was expected, vector by vector.
  void CheckRead();
  void CheckControl();
  void CheckOption(size_t value, size_t length, std::shared_ptr<std::string> buffer);

  // --- call_builder.cc: opening and closing ---
  void Socket();
  void Bind();
  void Listen();
  void Accept();
  void Connect();
  void Close();
  void Shutdown();
  void Open();
  void Nothing();
  // --- call_builder_data.cc ---
  void Read();
  void Readv();
  void Recv();
  void RecvFrom();
  void RecvMsg();
  void Write();
  void Writev();
  void Send();
  void SendTo();
  void SendMsg();
  void SendFile();
  void Pipe();
  void Splice();
  void Message(size_t index, bool to_read);
  // --- call_builder_options.cc ---
  void Fcntl();
  void Ioctl();
  void GetSockOpt();
  void SetSockOpt();
  void Poll();
  void EpollCreate();
  void EpollCtl();
  void EpollWait();

  SystemCalls& calls_;
  testing::VirtualHost& host_;
  const SystemCallSpec& spec_;
  std::shared_ptr<CallMemory> memory_;
  std::unique_ptr<SystemCall> call_ = std::make_unique<SystemCall>();
  absl::Status status_;
};

}  // namespace luna::tcp::packetscript

#endif  // LUNA_NET_TCP_TESTING_PACKETSCRIPT_CALL_BUILDER_H_
