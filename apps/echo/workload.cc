#include "luna/apps/echo/workload.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "luna/apps/echo/pattern.h"

namespace luna::apps {

struct Workload::Stream {
  Channel* channel = nullptr;
  uint64_t queued_bytes = 0;  // handed to the transport
  uint64_t received_bytes = 0;
  uint64_t started = 0;  // messages
  uint64_t completed = 0;
  bool closing = false;       // we closed: the end is expected
  std::vector<Time> sent_at;  // ring: when message i was started, at i % inflight
};

Workload::Workload(const WorkloadOptions& options, Clock& clock, absl::Span<const std::byte> period)
    : options_(options), clock_(clock), period_(period), last_progress_(clock.Now()) {}

Workload::~Workload() = default;

Workload::Stream* Workload::OnConnected(Channel* channel) {
  streams_.push_back(std::make_unique<Stream>());
  Stream* stream = streams_.back().get();
  stream->channel = channel;
  stream->sent_at.resize(options_.inflight);
  last_progress_ = clock_.Now();
  if (!started_) {
    started_ = true;
    start_ = last_progress_;
    end_ = options_.total_bytes > 0 ? Time::Infinite() : start_ + options_.duration;
  }
  Pump(stream);
  return stream;
}

void Workload::Pump(Stream* stream) {
  if (stream->closing) return;
  while (true) {
    const uint64_t wanted = stream->started * options_.message_bytes;
    if (stream->queued_bytes < wanted) {
      const size_t taken = stream->channel->SendPattern(stream->queued_bytes, wanted - stream->queued_bytes);
      stream->queued_bytes += taken;
      if (stream->queued_bytes < wanted) return;  // OnWritable() goes on
    }
    const bool enough = options_.total_bytes > 0 && wanted >= options_.total_bytes;
    if (Ending() || enough || stream->started - stream->completed >= options_.inflight) break;
    stream->sent_at[stream->started % options_.inflight] = clock_.Now();
    ++stream->started;
  }
  MaybeFinish(stream);
}

void Workload::OnReadable(Stream* stream, absl::Span<const std::byte> data) {
  const Time now = clock_.Now();
  last_progress_ = now;
  if (options_.verify) {
    if (MatchesPattern(period_, stream->received_bytes, data)) {
      bytes_verified_ += data.size();
    } else {
      Error(absl::StrCat("octets ", stream->received_bytes, " to ", stream->received_bytes + data.size(),
                         " came back changed"));
    }
  }
  stream->received_bytes += data.size();
  bytes_received_ += data.size();
  if (stream->received_bytes > stream->queued_bytes) {
    Error(absl::StrCat(stream->received_bytes, " octets came back of ", stream->queued_bytes, " sent"));
  }
  while (stream->completed < stream->started &&
         stream->received_bytes >= (stream->completed + 1) * options_.message_bytes) {
    Complete(stream, now);
  }
  if (now >= end_) stopping_ = true;
}

void Workload::Complete(Stream* stream, Time now) {
  latency_.Record(now - stream->sent_at[stream->completed % options_.inflight]);
  ++stream->completed;
  if (now <= end_) ++messages_;
}

void Workload::MaybeFinish(Stream* stream) {
  const bool all_started =
      Ending() || (options_.total_bytes > 0 && stream->started * options_.message_bytes >= options_.total_bytes);
  if (!all_started || stream->completed < stream->started || stream->closing) return;
  stream->closing = true;
  stream->channel->Close();
}

void Workload::OnClosed(Stream* stream, absl::string_view why) {
  ++ended_;
  stream->channel = nullptr;
  if (stream->completed < stream->started || !stream->closing) {
    Error(absl::StrCat("connection ended (", why, ") with ", stream->started - stream->completed,
                       " messages unanswered"));
  }
  stream->closing = true;
}

void Workload::OnConnectFailed(absl::string_view why) {
  ++ended_;
  Error(absl::StrCat("could not connect: ", why));
}

void Workload::OnTick() {
  const Time now = clock_.Now();
  if (started_ && now >= end_) stopping_ = true;
  if (stopping_) {
    for (auto& stream : streams_) {
      if (stream->channel != nullptr) MaybeFinish(stream.get());
    }
  }
  if (now - last_progress_ < kAnswerLimit || done()) return;
  Error(absl::StrCat("no answer for ", kAnswerLimit.milliseconds() / 1000, " s"));
  ended_ = options_.connections;
}

void Workload::Error(absl::string_view what) {
  if (errors_++ == 0) first_error_ = std::string(what);
}

double Workload::MeasuredSeconds() const {
  if (!started_) return 0;
  return (std::min(end_, std::max(last_progress_, start_)) - start_).seconds();  // end_ is infinite with total_bytes
}

WorkloadReport Workload::ReportOf(const std::vector<const Workload*>& workloads) {
  WorkloadReport report;
  stats::Histogram latency;
  for (const Workload* workload : workloads) {
    report.messages += workload->messages_;
    report.bytes_received += workload->bytes_received_;
    report.bytes_verified += workload->bytes_verified_;
    report.errors += workload->errors_;
    if (report.first_error.empty()) report.first_error = workload->first_error_;
    latency.Merge(workload->latency_);
    const double seconds = workload->MeasuredSeconds();
    report.seconds = std::max(report.seconds, seconds);
    if (seconds <= 0) continue;
    const double rps = static_cast<double>(workload->messages_) / seconds;
    report.rps += rps;
    report.gbps += rps * workload->options_.message_bytes * 8 * 1e-9;
  }
  const auto micros = [&latency](double fraction) { return static_cast<double>(latency.Percentile(fraction)) * 1e-3; };
  report.p50_us = micros(0.5);
  report.p99_us = micros(0.99);
  report.p999_us = micros(0.999);
  return report;
}

std::string WorkloadReport::ToJson() const {
  return absl::StrFormat(
      R"({"rps": %.0f, "gbps": %.3f, "p50_us": %.2f, "p99_us": %.2f, "p999_us": %.2f, "errors": %d, )"
      R"("bytes_verified": %d, "messages": %d, "bytes": %d, "seconds": %.3f})",
      rps, gbps, p50_us, p99_us, p999_us, errors, bytes_verified, messages, bytes_received, seconds);
}

std::string WorkloadReport::ToText() const {
  std::string text = absl::StrFormat(
      "%.0f requests/s, %.3f Gb/s each way; latency p50 %.2f us, p99 %.2f us, p99.9 %.2f us; %d messages in %.2f s, "
      "%d octets verified, %d errors",
      rps, gbps, p50_us, p99_us, p999_us, messages, seconds, bytes_verified, errors);
  if (errors > 0) absl::StrAppend(&text, " (first: ", first_error, ")");
  return text;
}

}  // namespace luna::apps
