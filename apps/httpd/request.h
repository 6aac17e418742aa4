#ifndef LUNA_APPS_HTTPD_REQUEST_H_
#define LUNA_APPS_HTTPD_REQUEST_H_

// The head of an HTTP/1.1 request (RFC 9112), as far as a server of static files looks at it, and what it asks for. No
// thread, no state.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace luna::apps::httpd {

struct Request {
  bool head_only = false;       // HEAD
  bool keep_alive = false;      // by version and Connection
  std::string path;             // decoded, without query; begins with '/', and no part of it is ".."
  const char* error = nullptr;  // else null: the status to answer with, and the connection is to be closed
};

constexpr size_t kMostHeadBytes = 8192;
constexpr size_t kPieceBytes = 64 << 10;  // of a file, read and sent at once

// Looks at the front of `bytes`. 0: not yet a whole head. Else so many octets are `*request`, or all are in error.
size_t ParseRequest(absl::string_view bytes, Request* request);

struct File {
  const char* status;  // to answer with
  int fd = -1;         // the caller's to close; -1: there is no such file to be had
  off_t size = 0;
  int64_t modified = 0;  // ns
  std::string path;      // a path that ends with '/' means its index.html
};
File OpenFile(const std::string& root, const Request& request);

// All of them. False: the file has become shorter, or cannot be read.
bool ReadWhole(int fd, off_t offset, void* octets, size_t bytes);

// What goes in front of the octets of `file`.
std::string HeadOf(const File& file, bool keep_alive);

}  // namespace luna::apps::httpd

#endif  // LUNA_APPS_HTTPD_REQUEST_H_
