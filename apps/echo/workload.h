#ifndef LUNA_APPS_ECHO_WORKLOAD_H_
#define LUNA_APPS_ECHO_WORKLOAD_H_

// Workload: a closed-loop echo client. It keeps `inflight` messages under way on each of `connections` streams, checks
// what comes back, and measures. The transport is behind Channel, so Luna and kernel sockets run the very same code.
//
// A message is complete when its last octet has come back; its latency runs from the moment it was handed to the
// transport. Rates count messages completed between Start() and the deadline; those completed after it count as
// answered, not as rate. Thread: one.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "luna/ctrl/stats/histogram.h"
#include "luna/sched/clock/clock.h"
#include "luna/sched/clock/time.h"

namespace luna::apps {

struct WorkloadOptions {
  uint32_t message_bytes = 64;
  uint32_t inflight = 1;  // messages under way per connection
  uint32_t connections = 1;
  Duration duration = Duration::Seconds(5);
  uint64_t total_bytes = 0;  // > 0: stop after this many octets per connection instead of after `duration`
  bool verify = false;       // compare each octet that comes back
};

// One connection of either transport.
class Channel {
 public:
  virtual ~Channel() = default;
  // Queues the octets [offset, offset + length) of the pattern stream; returns how many were taken. Fewer than `length`
  // means back-pressure: Workload::OnWritable() will be called.
  virtual size_t SendPattern(uint64_t offset, size_t length) = 0;
  // No more will be sent. Workload::OnClosed() follows.
  virtual void Close() = 0;
};

struct WorkloadReport {
  double seconds = 0;
  uint64_t messages = 0;  // completed before the deadline
  uint64_t bytes_received = 0;
  uint64_t bytes_verified = 0;
  uint64_t errors = 0;
  std::string first_error;  // empty when errors == 0
  double rps = 0;
  double gbps = 0;  // payload, one direction
  double p50_us = 0, p99_us = 0, p999_us = 0;

  std::string ToJson() const;  // one line
  std::string ToText() const;  // for people
};

class Workload {
 public:
  struct Stream;

  // `period`: one period of the pattern; outlives the workload.
  Workload(const WorkloadOptions& options, Clock& clock, absl::Span<const std::byte> period);
  ~Workload();

  // The transport's events. The channel outlives its stream's OnClosed().
  Stream* OnConnected(Channel* channel);
  void OnReadable(Stream* stream, absl::Span<const std::byte> data);
  // The data of one readiness was passed on: messages may be started. Once per wake-up, so that answers are not delayed
  // by sends in between.
  void OnReadableDone(Stream* stream) { Pump(stream); }
  void OnWritable(Stream* stream) { Pump(stream); }
  void OnClosed(Stream* stream, absl::string_view why);
  // A connection that never came to be.
  void OnConnectFailed(absl::string_view why);
  // Looks at the clock: ends the run at the deadline, and gives up on answers that do not come. Call now and then.
  void OnTick();
  // A user's interrupt: finish what is under way, then report.
  void Stop() { stopping_ = true; }

  // Something has come back.
  bool answered() const { return bytes_received_ > 0; }
  // All streams are closed.
  bool done() const { return ended_ == options_.connections; }
  WorkloadReport Report() const { return ReportOf({this}); }
  // Of several that ran side by side, on threads that have ended: rates add up.
  static WorkloadReport ReportOf(const std::vector<const Workload*>& workloads);

 private:
  static constexpr Duration kAnswerLimit = Duration::Seconds(10);  // silence that counts as a lost answer

  void Pump(Stream* stream);
  void MaybeFinish(Stream* stream);
  void Complete(Stream* stream, Time now);
  void Error(absl::string_view what);
  bool Ending() const { return stopping_; }
  double MeasuredSeconds() const;

  const WorkloadOptions options_;
  Clock& clock_;
  const absl::Span<const std::byte> period_;
  std::vector<std::unique_ptr<Stream>> streams_;
  uint32_t ended_ = 0;
  bool started_ = false;
  bool stopping_ = false;
  Time start_;
  Time end_;  // of the measured interval
  Time last_progress_;
  uint64_t messages_ = 0;
  uint64_t bytes_received_ = 0;
  uint64_t bytes_verified_ = 0;
  uint64_t errors_ = 0;
  std::string first_error_;
  stats::Histogram latency_;
};

}  // namespace luna::apps

#endif  // LUNA_APPS_ECHO_WORKLOAD_H_
