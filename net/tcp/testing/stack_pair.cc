#include "luna/net/tcp/testing/stack_pair.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "luna/net/ip/finish_checksum.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/tcp_options.h"

namespace luna::tcp::testing {
namespace {

using wire::TcpFlags;

absl::Span<const uint8_t> AsBytes(const std::string& text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

}  // namespace

uint64_t SeedFromEnvironment(uint64_t fallback) {
  const char* text = std::getenv("LUNA_TEST_SEED");
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 0);
}

StackPair::StackPair(const PairOptions& options)
    : options_(options), random_(options.seed), trace_(std::getenv("LUNA_TEST_TRACE") != nullptr) {
  for (int i = 0; i < 2; ++i) {
    hosts_[i] = std::make_unique<Host>(options.configs[i], options.memory_bytes);
    hosts_[i]->address = wire::Ipv4Address(10, 0, 0, static_cast<uint8_t>(1 + i));
  }
}

StackPair::~StackPair() {
  for (auto& host : hosts_) {
    host->on_event = nullptr;
    host->stack_.reset();
  }
}

void StackPair::At(Time when, std::function<void()> action) {
  ++actions_;
  network_.push({std::max(when, now_), emitted_ + actions_, 0, "", std::move(action)});
}

bool StackPair::Chance(double probability) {
  return probability > 0 && static_cast<double>(random_() >> 11) * 0x1p-53 < probability;
}

Duration StackPair::Upto(Duration duration) {
  if (duration <= Duration::Zero()) return Duration::Zero();
  return Duration::Nanoseconds(static_cast<int64_t>(random_() % static_cast<uint64_t>(duration.nanoseconds())));
}

void StackPair::Hash(uint64_t value) { trace_hash_ = (trace_hash_ ^ value) * 1099511628211u; }

Time StackPair::NextTime() const {
  Time next = network_.empty() ? Time::Infinite() : network_.top().when;
  for (const auto& host : hosts_) {
    if (host->stack_->HasOutput()) return now_ + Duration::Microseconds(1);
    next = std::min(next, host->stack_->NextDeadline());
  }
  // What is due at once (an application that waits for memory) costs the time of a loop.
  return std::max(next, now_ + Duration::Microseconds(1));
}

bool StackPair::RunUntil(const std::function<bool()>& done, Duration limit) {
  const Time end = now_ + limit;
  for (int i = 0; i < 2; ++i) Poll(i);
  while (!done()) {
    const Time next = NextTime();
    if (next > end || ::testing::Test::HasFatalFailure()) {
      now_ = std::max(now_, end);
      return false;
    }
    now_ = next;
    Step();
  }
  return true;
}

void StackPair::Step() {
  while (!network_.empty() && network_.top().when <= now_) {
    const Delivery delivery = network_.top();
    network_.pop();
    if (delivery.action) {
      delivery.action();
    } else {
      Deliver(delivery);
      if (options_.flush_in_line) Poll(delivery.to);
    }
  }
  for (int i = 0; i < 2; ++i) Poll(i);
}

void StackPair::Deliver(const Delivery& delivery) {
  Host& to = *hosts_[delivery.to];
  ip::Datagram datagram;
  datagram.source = hosts_[1 - delivery.to]->address;
  datagram.destination = to.address;
  datagram.protocol = ip::kProtocolTcp;
  datagram.ecn = delivery.ecn;
  datagram.packet.rx.arrival = now_;
  auto chain = zbuf::ZChain::CopyFrom(to.device_memory.slab(), delivery.bytes);
  if (!chain.has_value()) {
    ++lost_;
    return;
  }
  Hash(static_cast<uint64_t>(now_.nanoseconds()));
  for (const char byte : delivery.bytes.substr(0, 20)) Hash(static_cast<uint8_t>(byte));
  datagram.packet.data = std::move(*chain);
  const Event event = to.stack_->Ingest(std::move(datagram), now_);
  if (event && to.on_event) to.on_event(event);
}

void StackPair::Poll(int i) {
  Host& host = *hosts_[i];
  while (const Event event = host.stack_->NextEvent(now_)) {
    if (host.on_event) host.on_event(event);
  }
  ip::OutBatch batch;
  host.stack_->Flush(now_, options_.flush_limit, &batch);
  EXPECT_LE(batch.size(), options_.flush_limit);
  for (ip::OutDatagram& datagram : batch) Emit(i, std::move(datagram));
  host.reaped += host.stack_->Reap();
}

void StackPair::Emit(int from, ip::OutDatagram datagram) {
  ++emitted_;
  ip::FinishChecksum(datagram);
  std::string bytes = datagram.packet.data.ToString();
  Check(from, datagram, bytes);
  const Faults& faults = options_.faults[from];
  if (Chance(faults.loss)) {
    ++lost_;
    return;
  }
  const int copies = Chance(faults.duplicate) ? 2 : 1;
  for (int copy = 0; copy < copies; ++copy) {
    Time when = std::max(now_ + faults.delay + Upto(faults.jitter), last_arrival_[from]);
    if (Chance(faults.reorder)) {
      when += Upto(faults.hold);
    } else {
      last_arrival_[from] = when;
    }
    std::string delivered = bytes;
    if (Chance(faults.corrupt)) {
      ++lost_;
      delivered[random_() % delivered.size()] ^= static_cast<char>(1u << random_() % 8);
    }
    // Without a probability no number is drawn: the runs of other seeds stay as they are.
    const bool marked = datagram.ecn != ip::Ecn::kNotEct && Chance(faults.mark);
    network_.push(
        {when, emitted_ + actions_, 1 - from, std::move(delivered), nullptr, marked ? ip::Ecn::kCe : datagram.ecn});
  }
}

void StackPair::Check(int from, const ip::OutDatagram& datagram, const std::string& bytes) {
  wire::TcpHeader header;
  ASSERT_EQ(wire::Parse(AsBytes(bytes), &header), wire::ParseResult::kOk) << Describe();
  ASSERT_TRUE(wire::TcpChecksumIsRight(datagram.source.v4(), datagram.destination.v4(), AsBytes(bytes))) << Describe();
  const wire::FourTuple tuple{{datagram.source, header.source_port}, {datagram.destination, header.destination_port}};
  if (trace_) {
    std::cerr << (now_ - kStart).microseconds() << " us  " << tuple.ToString() << "  flags " << header.flags << " seq "
              << static_cast<int32_t>(header.sequence - flows_[tuple].isn) << "+" << bytes.size() - header.header_length
              << " ack " << static_cast<int32_t>(header.acknowledgment - flows_[tuple.Reversed()].isn) << " win "
              << header.window << "\n";
  }
  Flow& flow = flows_[tuple];
  Flow& reverse = flows_[tuple.Reversed()];
  if (header.Has(TcpFlags::kRst)) {
    flow.closed = true;
    return;
  }
  if (header.Has(TcpFlags::kSyn) && (flow.isn != header.sequence || flow.sent == 0)) {
    flow = Flow();
    flow.isn = header.sequence;
    wire::TcpOptions options;
    wire::ParseTcpOptions(header.Options(AsBytes(bytes)), &options);
    flow.has_scale = options.has_window_scale;
    flow.shift = std::min<uint8_t>(options.window_scale, kMaxWindowShift);
  }
  if (flow.sent == 0 && !header.Has(TcpFlags::kSyn)) return;  // TIME-WAIT after a new SYN of the other end
  CheckSequence(from, flow, reverse, bytes);
  CheckSack(flow, reverse, bytes);
}

// RFC 2018 §4, RFC 2883 §4: blocks of what the other end has sent, ahead of the acknowledgement but for a D-SACK in the
// first place, and each once but for the one around a D-SACK.
void StackPair::CheckSack(const Flow& flow, const Flow& reverse, const std::string& bytes) {
  wire::TcpHeader header;
  ASSERT_EQ(wire::Parse(AsBytes(bytes), &header), wire::ParseResult::kOk);
  wire::TcpOptions options;
  wire::ParseTcpOptions(header.Options(AsBytes(bytes)), &options);
  for (size_t i = 0; i < options.sack_count; ++i) {
    const int64_t left = static_cast<int32_t>(options.sack[i].left - reverse.isn);
    const int64_t right = static_cast<int32_t>(options.sack[i].right - reverse.isn);
    EXPECT_LT(left, right) << Describe();
    EXPECT_LE(right, reverse.sent) << "told of what was not sent: " << Describe();
    if (i > 0) {
      EXPECT_GT(left, flow.ack) << "not ahead of a hole: " << Describe();
    }
    for (size_t j = 1; j < i; ++j) {
      const int64_t other = static_cast<int32_t>(options.sack[j].left - reverse.isn);
      EXPECT_NE(left, other) << "a block twice: " << Describe();
    }
  }
}

void StackPair::CheckSequence(int from, Flow& flow, const Flow& reverse, const std::string& bytes) {
  wire::TcpHeader header;
  ASSERT_EQ(wire::Parse(AsBytes(bytes), &header), wire::ParseResult::kOk);
  const std::string payload = bytes.substr(header.header_length);
  EXPECT_LE(bytes.size(), options_.configs[from].mtu - wire::TcpHeader::kSize) << Describe();
  const int64_t seq = static_cast<int32_t>(header.sequence - flow.isn);
  const int64_t end = seq + static_cast<int64_t>(payload.size()) + (header.Has(TcpFlags::kSyn) ? 1 : 0) +
                      (header.Has(TcpFlags::kFin) ? 1 : 0);
  flow.sent = std::max(flow.sent, end);
  if (header.Has(TcpFlags::kFin)) flow.fin_end = end;
  if (end > seq && !header.Has(TcpFlags::kSyn)) {
    EXPECT_LE(end, std::max(reverse.edge, seq) + 1) << "sent beyond the right edge: " << Describe();
    EXPECT_LE(seq, reverse.edge) << "sent beyond the right edge: " << Describe();
  }
  if (!payload.empty()) {
    const auto at = static_cast<size_t>(seq - 1);
    const size_t known = at < flow.bytes.size() ? std::min(payload.size(), flow.bytes.size() - at) : 0;
    EXPECT_EQ(flow.bytes.compare(at, known, payload, 0, known), 0) << "other octets at " << seq << ": " << Describe();
    ASSERT_GE(flow.bytes.size(), at) << "a gap before " << seq << ": " << Describe();
    flow.bytes += payload.substr(known);
  }
  if (!header.Has(TcpFlags::kAck)) return;
  const int64_t ack = static_cast<int32_t>(header.acknowledgment - reverse.isn);
  const bool scaled = !header.Has(TcpFlags::kSyn) && flow.has_scale && reverse.has_scale;
  const int64_t unit = scaled ? int64_t{1} << flow.shift : 1;
  const int64_t edge = ack + header.window * unit;
  EXPECT_LE(ack, reverse.sent) << "acknowledged what was not sent: " << Describe();
  if (flow.has_edge) {
    EXPECT_GE(ack, flow.ack) << "RCV.NXT moved left: " << Describe();
    // Nothing comes after a FIN: then the window has no meaning (and TIME-WAIT remembers none).
    EXPECT_TRUE(edge > flow.edge - unit || ack >= reverse.fin_end) << "the right edge moved left: " << Describe();
  }
  flow.has_edge = true;
  flow.ack = ack;
  flow.edge = std::max(flow.edge, edge);
}

bool StackPair::Quiet() const {
  return network_.empty() && std::all_of(std::begin(hosts_), std::end(hosts_), [](const auto& host) {
           return host->stack_->connections() == 0 && host->stack_->time_wait() == 0 && !host->stack_->HasOutput();
         });
}

std::string StackPair::Describe() const {
  std::string text = absl::StrCat("seed=", options_.seed, " t=", (now_ - kStart).seconds(), "s emitted=", emitted_,
                                  " lost=", lost_, " in flight=", network_.size());
  for (const auto& host : hosts_) {
    absl::StrAppend(&text, "\n  ", host->address.ToString(),
                    " out=", host->memory.outstanding() + host->device_memory.outstanding(),
                    " time-wait=", host->stack_->time_wait(), " drops: ", host->drops.ToString());
    host->stack_->ForEachConnection([&](Connection& c) { absl::StrAppend(&text, "\n    ", c.ToString()); });
  }
  return text;
}

}  // namespace luna::tcp::testing
