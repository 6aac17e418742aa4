#include "luna/apps/httpd/request.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace luna::apps::httpd {
namespace {

// "200 OK", what is wrong, or "incomplete".
std::string Parse(const std::string& bytes, Request* request = nullptr) {
  Request own;
  Request& parsed = request == nullptr ? own : *request;
  const size_t length = ParseRequest(bytes, &parsed);
  EXPECT_LE(length, bytes.size());
  return length == 0 ? "incomplete" : parsed.error == nullptr ? "200 OK" : parsed.error;
}

std::string PathOf(const std::string& target) {
  Request request;
  return Parse(absl::StrCat("GET ", target, " HTTP/1.1\r\n\r\n"), &request) == "200 OK" ? request.path : "none";
}

TEST(Request, EndsAtTheEmptyLineAndLeavesWhatFollows) {
  const std::string first = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
  Request request;
  for (size_t n = 0; n < first.size(); ++n) {
    EXPECT_EQ(Parse(first.substr(0, n)), "incomplete") << n;
  }
  EXPECT_EQ(ParseRequest(first + "GET /b", &request), first.size());
  EXPECT_EQ(request.error, nullptr);
  EXPECT_EQ(request.path, "/a");
  EXPECT_FALSE(request.head_only);
  EXPECT_TRUE(request.keep_alive);
}

TEST(Request, KeepsAliveByVersionUnlessItSaysOtherwise) {
  const struct {
    const char* head;
    bool keep_alive;
  } kCases[] = {{"HEAD / HTTP/1.1\r\n\r\n", true},
                {"GET / HTTP/1.0\r\n\r\n", false},
                {"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", false},
                {"GET / HTTP/1.0\r\nconnection:  keep-alive \r\n\r\n", true}};
  for (const auto& c : kCases) {
    Request request;
    ASSERT_EQ(Parse(c.head, &request), "200 OK") << c.head;
    EXPECT_EQ(request.keep_alive, c.keep_alive) << c.head;
  }
}

TEST(Request, PathsAreDecodedAndStayBelowTheRoot) {
  EXPECT_EQ(PathOf("/a%20b/%C3%A4?q=1#f"), "/a b/\xc3\xa4");
  EXPECT_EQ(PathOf("/..x/x.."), "/..x/x..");
  for (const char* bad : {"/..", "/../etc", "/a/../b", "/%2e%2e/etc", "/a/%2E./b", "a", "*", "http://x/", "/%", "/%4",
                          "/%zz", "/a%00b", "/..%2fetc"}) {
    EXPECT_EQ(PathOf(bad), "none") << bad;
  }
}

TEST(Request, WhatIsNoRequestIsRefused) {
  EXPECT_EQ(Parse("GET /\r\n\r\n"), "400 Bad Request");
  EXPECT_EQ(Parse("GET / HTTP/2\r\n\r\n"), "400 Bad Request");
  EXPECT_EQ(Parse("GET  / HTTP/1.1\r\n\r\n"), "400 Bad Request");
  EXPECT_EQ(Parse("GET / HTTP/1.1\r\nno colon\r\n\r\n"), "400 Bad Request");
  EXPECT_EQ(Parse("\r\n\r\n"), "400 Bad Request");
  EXPECT_EQ(Parse("POST / HTTP/1.1\r\n\r\n"), "405 Method Not Allowed");
  EXPECT_EQ(Parse("GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"), "405 Method Not Allowed");
  EXPECT_EQ(Parse("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), "405 Method Not Allowed");
  EXPECT_EQ(Parse(std::string(kMostHeadBytes, 'x')), "431 Request Header Fields Too Large");
  EXPECT_EQ(Parse(absl::StrCat("GET /", std::string(kMostHeadBytes, 'x'), " HTTP/1.1\r\n\r\n")),
            "431 Request Header Fields Too Large");
}

TEST(OpenFile, IsAFileOfTheRootOrSaysWhyNot) {
  const std::string root = ::testing::TempDir() + "site";
  ASSERT_EQ(mkdir(root.c_str(), 0755), 0);
  std::ofstream(root + "/index.html") << "hello";
  const auto open = [&root](const std::string& path, const char* error = nullptr) {
    return OpenFile(root, {.path = path, .error = error});
  };
  for (const char* path : {"/", "/index.html"}) {
    const File file = open(path);
    EXPECT_STREQ(file.status, "200 OK");
    EXPECT_EQ(file.size, 5);
    EXPECT_GT(file.modified, 0);
    char octets[6] = {};
    EXPECT_EQ(read(file.fd, octets, 5), 5);
    EXPECT_STREQ(octets, "hello");
    close(file.fd);
    EXPECT_EQ(HeadOf(file, true),
              "HTTP/1.1 200 OK\r\nServer: luna-httpd\r\nContent-Type: text/html; charset=utf-8\r\n"
              "Content-Length: 5\r\nConnection: keep-alive\r\n\r\n");
  }
  for (const File& file : {open("/none"), open(""), open("/index.html", "400 Bad Request")}) {
    EXPECT_EQ(file.fd, -1);
    EXPECT_EQ(file.size, 0);
  }
  EXPECT_STREQ(open("/none").status, "404 Not Found");
  EXPECT_STREQ(open("").status, "404 Not Found") << "a directory";
  EXPECT_STREQ(open("/index.html", "400 Bad Request").status, "400 Bad Request");
  EXPECT_EQ(HeadOf(open("/none"), false),
            "HTTP/1.1 404 Not Found\r\nServer: luna-httpd\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n");
}

}  // namespace
}  // namespace luna::apps::httpd
