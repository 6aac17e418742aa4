#include "luna/apps/httpd/request.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"

namespace luna::apps::httpd {
namespace {

constexpr char kBadRequest[] = "400 Bad Request";
constexpr char kNotAllowed[] = "405 Method Not Allowed";
constexpr char kTooLong[] = "431 Request Header Fields Too Large";

// False: not a path of ours.
bool DecodePath(absl::string_view target, std::string* path) {
  target = target.substr(0, target.find_first_of("?#"));
  if (!absl::StartsWith(target, "/")) return false;
  path->clear();
  for (size_t i = 0; i < target.size(); ++i) {
    char c = target[i];
    if (c == '%') {
      const absl::string_view hex = target.substr(i + 1, 2);
      if (hex.size() != 2 || !std::all_of(hex.begin(), hex.end(), absl::ascii_isxdigit)) return false;
      c = absl::HexStringToBytes(hex)[0];
      i += 2;
    }
    if (c == '\0') return false;
    path->push_back(c);
  }
  for (const absl::string_view part : absl::StrSplit(*path, '/')) {
    if (part == "..") return false;
  }
  return true;
}

// Null: they are right.
const char* ParseHead(const std::vector<absl::string_view>& lines, Request* request) {
  const std::vector<absl::string_view> words = absl::StrSplit(lines[0], ' ');
  if (words.size() != 3 || (words[2] != "HTTP/1.1" && words[2] != "HTTP/1.0")) return kBadRequest;
  if (words[0] != "GET" && words[0] != "HEAD") return kNotAllowed;
  request->head_only = words[0] == "HEAD";
  request->keep_alive = words[2] == "HTTP/1.1";
  if (!DecodePath(words[1], &request->path)) return kBadRequest;
  for (const absl::string_view line : absl::MakeConstSpan(lines).subspan(1)) {
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos || colon == 0) return kBadRequest;
    const std::string name = absl::AsciiStrToLower(line.substr(0, colon));
    const std::string value = absl::AsciiStrToLower(absl::StripAsciiWhitespace(line.substr(colon + 1)));
    if (name == "connection" && (value == "close" || value == "keep-alive")) request->keep_alive = value != "close";
    if ((name == "content-length" && value != "0") || name == "transfer-encoding") return kNotAllowed;
  }
  return nullptr;
}

absl::string_view TypeOf(absl::string_view path) {
  if (absl::EndsWith(path, ".html")) return "text/html; charset=utf-8";
  return absl::EndsWith(path, ".txt") || path.empty() ? "text/plain; charset=utf-8" : "application/octet-stream";
}

}  // namespace

size_t ParseRequest(absl::string_view bytes, Request* request) {
  const size_t end = bytes.find("\r\n\r\n");
  if (end == absl::string_view::npos && bytes.size() < kMostHeadBytes) return 0;
  if (end == absl::string_view::npos || end + 4 > kMostHeadBytes) {
    request->error = kTooLong;
    return bytes.size();
  }
  request->error = ParseHead(absl::StrSplit(bytes.substr(0, end), "\r\n"), request);
  return end + 4;
}

File OpenFile(const std::string& root, const Request& request) {
  if (request.error != nullptr) return {.status = request.error};
  std::string path = root + request.path;
  if (absl::EndsWith(path, "/")) path += "index.html";
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && (errno == EMFILE || errno == ENFILE)) return {.status = "503 Service Unavailable"};
  struct stat about = {};
  if (fd >= 0 && fstat(fd, &about) == 0 && S_ISREG(about.st_mode)) {
    const int64_t modified = about.st_mtim.tv_sec * int64_t{1'000'000'000} + about.st_mtim.tv_nsec;
    return {.status = "200 OK", .fd = fd, .size = about.st_size, .modified = modified, .path = std::move(path)};
  }
  if (fd >= 0) close(fd);
  return {.status = "404 Not Found"};
}

bool ReadWhole(int fd, off_t offset, void* octets, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = pread(fd, static_cast<char*>(octets) + done, bytes - done, offset + static_cast<off_t>(done));
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

std::string HeadOf(const File& file, bool keep_alive) {
  return absl::StrCat("HTTP/1.1 ", file.status, "\r\nServer: luna-httpd\r\nContent-Type: ", TypeOf(file.path),
                      "\r\nContent-Length: ", file.size, "\r\nConnection: ", keep_alive ? "keep-alive" : "close",
                      "\r\n\r\n");
}

}  // namespace luna::apps::httpd
