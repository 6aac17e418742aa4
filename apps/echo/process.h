#ifndef LUNA_APPS_ECHO_PROCESS_H_
#define LUNA_APPS_ECHO_PROCESS_H_

// A child process for the tests of luna-echo: its exit code and what it printed. Bounded: killed when it takes too
// long.

#include <sys/types.h>

#include <string>
#include <vector>

namespace luna::apps {

class Process {
 public:
  // Starts `command` (command[0] is a path). Standard output and error go to files of their own.
  explicit Process(const std::vector<std::string>& command);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Waits until standard output contains `text`. False when the process ends first or after 20 s.
  bool WaitForOutput(const std::string& text);
  void Signal(int signal);
  // Waits for the end; kills after 60 s. The exit code, or -signal.
  int Wait();
  std::string Output() const;
  std::string Errors() const;

 private:
  bool Ended();

  pid_t pid_ = -1;
  bool ended_ = false;
  int code_ = 0;
  std::string output_path_;
  std::string errors_path_;
};

}  // namespace luna::apps

#endif  // LUNA_APPS_ECHO_PROCESS_H_
