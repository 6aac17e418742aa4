#ifndef LUNA_NET_TCP_POSIX_CALL_RESULT_H_
#define LUNA_NET_TCP_POSIX_CALL_RESULT_H_

// What a system call of Sockets returned. A value.

#include <cstdint>

namespace luna::tcp::posix {

// error == 0: it succeeded with `value`. Else value is -1 and error the errno.
struct CallResult {
  int64_t value = 0;
  int error = 0;
  bool would_block = false;  // neither yet: make the same call again later

  bool ok() const { return error == 0 && !would_block; }
  friend bool operator==(const CallResult&, const CallResult&) = default;
};

constexpr CallResult Success(int64_t value = 0) { return {.value = value}; }
constexpr CallResult Failure(int error) { return {.value = -1, .error = error}; }

}  // namespace luna::tcp::posix

#endif  // LUNA_NET_TCP_POSIX_CALL_RESULT_H_
