#include "luna/apps/echo/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "glog/logging.h"

namespace luna::apps {
namespace {

constexpr int kStartLimitMs = 20'000;
constexpr int kEndLimitMs = 60'000;
constexpr int kLookMs = 10;

// The tests of processes wait for other processes; each wait is bounded and ends as soon as what it waits for is there.
void Pause() {
  const timespec pause = {0, kLookMs * 1'000'000};
  nanosleep(&pause, nullptr);
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

std::string TemporaryFile() {
  const char* folder = std::getenv("TEST_TMPDIR");
  std::string path = std::string(folder != nullptr ? folder : "/tmp") + "/luna.XXXXXX";
  const int fd = mkstemp(path.data());
  PCHECK(fd >= 0) << path;
  close(fd);
  return path;
}

}  // namespace

Process::Process(const std::vector<std::string>& command)
    : output_path_(TemporaryFile()), errors_path_(TemporaryFile()) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_ = fork();
  PCHECK(pid_ >= 0);
  if (pid_ > 0) return;
  const int in = open("/dev/null", O_RDONLY);
  const int out = open(output_path_.c_str(), O_WRONLY);
  const int err = open(errors_path_.c_str(), O_WRONLY);
  if (in < 0 || out < 0 || err < 0) _exit(126);
  dup2(in, 0);
  dup2(out, 1);
  dup2(err, 2);
  execv(argv[0], argv.data());
  _exit(127);
}

Process::~Process() {
  if (!ended_) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  unlink(output_path_.c_str());
  unlink(errors_path_.c_str());
}

bool Process::Ended() {
  if (ended_) return true;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return false;
  ended_ = true;
  code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return true;
}

bool Process::WaitForOutput(const std::string& text) {
  for (int waited = 0; waited < kStartLimitMs; waited += kLookMs) {
    if (Output().find(text) != std::string::npos) return true;
    if (Ended()) return false;
    Pause();
  }
  return false;
}

void Process::Signal(int signal) {
  if (!ended_) kill(pid_, signal);
}

int Process::Wait() {
  for (int waited = 0; waited < kEndLimitMs && !Ended(); waited += kLookMs) Pause();
  if (!Ended()) {
    kill(pid_, SIGKILL);
    while (!Ended()) Pause();
  }
  return code_;
}

std::string Process::Output() const { return ReadAll(output_path_); }
std::string Process::Errors() const { return ReadAll(errors_path_); }

}  // namespace luna::apps
