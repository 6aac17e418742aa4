#include "luna/net/tcp/testing/stack_tester.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "luna/net/ip/finish_checksum.h"

namespace luna::tcp::testing {
namespace {

// Of one Run(): more means that a timer fires without effect.
constexpr int kMostSteps = 100000;

std::string FlagLetters(uint16_t flags) {
  std::string letters;
  const std::pair<uint16_t, char> kLetters[] = {{kSyn, 'S'}, {kFin, 'F'}, {kRst, 'R'}, {kPsh, 'P'},
                                                {kAck, 'A'}, {kUrg, 'U'}, {kEce, 'E'}, {kCwr, 'W'}};
  for (const auto& [flag, letter] : kLetters) {
    if (flags & flag) letters += letter;
  }
  return letters.empty() ? "-" : letters;
}

}  // namespace

std::string Emitted::ToString() const {
  std::string text = absl::StrCat(FlagLetters(header.flags), " ", seq, "+", payload.size());
  if (header.Has(kAck)) absl::StrAppend(&text, " a", ack);
  return text;
}

wire::TcpOptions SynOptions(uint16_t mss, absl::optional<uint8_t> shift, absl::optional<uint32_t> tsval) {
  wire::TcpOptions options;
  options.has_mss = true;
  options.mss = mss;
  options.has_window_scale = shift.has_value();
  options.window_scale = shift.value_or(0);
  options.has_timestamp = tsval.has_value();
  options.tsval = tsval.value_or(0);
  return options;
}

StackConfig StackTester::Plain() {
  StackConfig config;
  config.timestamps = false;
  config.window_scale = false;
  config.receive_buffer_bytes = 0xffff;
  config.receive_buffer_max_bytes = 0;
  config.delayed_ack = Duration::Zero();
  config.header_reserve = 0;  // "no memory" is none at all
  config.secret = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
  return config;
}

StackTester::StackTester(const StackConfig& config, size_t memory_bytes)
    : memory_(memory_bytes), trace_(std::getenv("LUNA_TEST_TRACE") != nullptr) {
  stack_ = std::make_unique<Stack>(config, memory_.slab(), drops_, now_);
  peers_.emplace_back();
  peer_ = &peers_.back();
  peer_->syn_options = SynOptions(1460);
}

StackTester::~StackTester() {
  out_.clear();
  on_event = nullptr;
  stack_->Reap();
  stack_.reset();
}

Peer& StackTester::NewPeer() {
  Peer peer = peers_.back();
  const Peer fresh;
  peer.endpoint.port = static_cast<uint16_t>(peers_.back().endpoint.port + 1);
  peer.local = fresh.local;
  peer.next = peer.received = 0;
  peer.stack_isn = 0;
  peer.timestamps = peer.scaled = peer.has_edge = false;
  peers_.push_back(peer);
  peer_ = &peers_.back();
  return *peer_;
}

Listener* StackTester::Listen(const ListenOptions& options) {
  const auto listener = stack_->Listen(peer_->local, options);
  CHECK(listener.ok()) << listener.status();
  return *listener;
}

Connection* StackTester::Connect() {
  const auto connection = stack_->Connect(peer_->local, peer_->endpoint, nullptr, now_);
  CHECK(connection.ok()) << connection.status();
  connection_ = *connection;
  if (auto_flush) Flush();
  return connection_;
}

std::string StackTester::Read() { return connection_->Read().ToString(); }

void StackTester::Send(absl::string_view bytes) {
  EXPECT_EQ(connection_->Send(Chain(bytes)), SendResult::kOk);
  if (auto_flush) Flush();
}

void StackTester::In(const Incoming& in) {
  Peer& peer = *peer_;
  wire::TcpHeader header;
  header.source_port = peer.endpoint.port;
  header.destination_port = peer.local.port;
  header.sequence = peer.isn + static_cast<uint32_t>(in.seq.value_or(peer.next));
  if (in.flags & kAck) header.acknowledgment = peer.stack_isn + static_cast<uint32_t>(in.ack.value_or(peer.received));
  header.flags = in.flags;
  header.window = in.window.value_or(peer.window);
  header.urgent_pointer = in.urgent;
  wire::TcpOptions options;
  if (in.options.has_value()) {
    options = *in.options;
  } else if (in.flags & kSyn) {
    options = peer.syn_options;
  } else if (peer.timestamps && (in.flags & kRst) == 0) {
    options.has_timestamp = true;
    options.tsval = peer.tsval;
  }
  if (options.has_timestamp && options.tsecr == 0) options.tsecr = peer.tsecr;
  std::array<uint8_t, wire::TcpHeader::kMaximumSize> bytes{};
  header.header_length = static_cast<uint8_t>(wire::TcpHeader::kSize +
                                              wire::WriteTcpOptions(options, bytes.data() + wire::TcpHeader::kSize));
  wire::Write(header, bytes.data());
  std::string segment(reinterpret_cast<const char*>(bytes.data()), header.header_length);
  segment += in.payload;
  const uint16_t sum =
      wire::TcpChecksum(peer.endpoint.address.v4(), peer.local.address.v4(),
                        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(segment.data()), segment.size()));
  wire::StoreBe16(reinterpret_cast<uint8_t*>(segment.data()) + 16,
                  static_cast<uint16_t>(in.bad_checksum ? sum ^ 0x0101 : sum));

  ip::Datagram datagram;
  datagram.source = peer.endpoint.address;
  datagram.destination = peer.local.address;
  datagram.protocol = ip::kProtocolTcp;
  datagram.ecn = in.ecn;
  datagram.packet.rx.arrival = now_ - in.arrived_before_now.value_or(Duration::Zero());
  datagram.packet.data = in.slice_bytes == 0 ? Chain(segment) : memory_.ChainOfSlices(segment, in.slice_bytes);
  if (in.flags & kSyn) peer.next = std::max<int64_t>(peer.next, in.seq.value_or(peer.next) + 1);
  if (trace_) {
    std::cerr << (now_ - kStart).microseconds() << " us  in   " << FlagLetters(in.flags) << " "
              << in.seq.value_or(peer.next) << "+" << in.payload.size() << " a" << in.ack.value_or(peer.received)
              << " w" << in.window.value_or(peer.window) << "\n";
  }
  last_in_was_rst_ = (in.flags & kRst) != 0;
  Handle(stack_->Ingest(std::move(datagram), now_));
  if (auto_flush) Poll();
  last_in_was_rst_ = false;
}

void StackTester::Data(absl::string_view payload, uint16_t more_flags) {
  In({.flags = static_cast<uint16_t>(kAck | more_flags), .payload = std::string(payload)});
  peer_->next += static_cast<int64_t>(payload.size()) + ((more_flags & kFin) ? 1 : 0);
}

void StackTester::Handle(const Event& event) {
  if (!event) return;
  connection_ = event.connection;
  events_ |= event.what;
  if (event.Has(EventBits::kClosed)) close_reason_ = event.connection->close_reason();
  if (on_event) on_event(event);
}

void StackTester::Poll() {
  while (const Event event = stack_->NextEvent(now_)) Handle(event);
  Flush();
}

void StackTester::Run(Duration duration) {
  const Time end = now_ + duration;
  Poll();
  for (int steps = 0;; ++steps) {
    if (steps == kMostSteps) {
      ADD_FAILURE() << "a deadline stays due: " << stack_->NextDeadline().nanoseconds();
      break;
    }
    const Time next = stack_->NextDeadline();
    if (next > end) break;
    now_ = std::max(next, now_ + Duration::Nanoseconds(1));
    Poll();
  }
  now_ = std::max(now_, end);
  Poll();
}

void StackTester::Flush() {
  ip::OutBatch batch;
  stack_->Flush(now_, flush_limit, &batch);
  for (ip::OutDatagram& datagram : batch) Absorb(std::move(datagram));
}

Peer* StackTester::FindPeer(const wire::FourTuple& tuple) {
  for (auto peer = peers_.rbegin(); peer != peers_.rend(); ++peer) {
    if (peer->endpoint == tuple.remote && peer->local == tuple.local) return &*peer;
  }
  return nullptr;
}

void StackTester::Absorb(ip::OutDatagram datagram) {
  ASSERT_GE(datagram.packet.data.HeadRoom(), pmd::kTxHeadroomBytes);
  ip::FinishChecksum(datagram);
  const std::string bytes = datagram.packet.data.ToString();
  const auto span = absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  Emitted out;
  ASSERT_EQ(wire::Parse(span, &out.header), wire::ParseResult::kOk);
  EXPECT_TRUE(wire::TcpChecksumIsRight(datagram.source.v4(), datagram.destination.v4(), span));
  wire::ParseTcpOptions(out.header.Options(span), &out.options);
  EXPECT_FALSE(out.options.malformed);
  out.payload = bytes.substr(out.header.header_length);
  out.tuple = {{datagram.source, out.header.source_port}, {datagram.destination, out.header.destination_port}};
  out.at = now_;
  out.ttl = datagram.ttl;
  out.dscp = datagram.dscp;
  out.dont_fragment = datagram.dont_fragment;
  out.ecn = datagram.ecn;
  Peer* peer = FindPeer(out.tuple);
  if (peer != nullptr) {
    if (out.header.Has(kSyn)) {
      // Perhaps a new incarnation; and nothing but the SYN can have been received when it is the old one.
      peer->stack_isn = out.header.sequence;
      peer->has_edge = false;
      peer->last_ack = peer->edge = peer->received = 0;
      peer->timestamps = out.options.has_timestamp && peer->syn_options.has_timestamp;
      peer->scaled = out.options.has_window_scale && peer->syn_options.has_window_scale;
      peer->stack_shift = out.options.window_scale;
    }
    out.seq = static_cast<int32_t>(out.header.sequence - peer->stack_isn);
    out.ack = static_cast<int32_t>(out.header.acknowledgment - peer->isn);
    if (out.options.has_timestamp) peer->tsecr = out.options.tsval;
  }
  if (trace_) {
    std::cerr << (now_ - kStart).microseconds() << " us  out  " << out.ToString() << " w" << out.header.window << "\n";
  }
  last_ = out;
  if (peer != nullptr) Check(out, *peer);
  out_.push_back(std::move(out));
}

// What holds of every segment, in every test.
void StackTester::Check(const Emitted& out, Peer& peer) {
  const uint32_t mss = std::min<uint32_t>(stack_->config().mtu - 40, std::max<uint16_t>(peer.syn_options.mss, kMinMss));
  EXPECT_LE(out.payload.size() + out.header.header_length - wire::TcpHeader::kSize,
            peer.syn_options.has_mss ? mss : std::min<uint32_t>(mss + kDefaultMss, kDefaultMss))
      << out.ToString();
  if (out.header.Has(kRst)) {
    EXPECT_FALSE(last_in_was_rst_) << "a RST answered a RST";
    return;
  }
  const int64_t end = out.seq + static_cast<int64_t>(out.payload.size()) + (out.header.Has(kSyn) ? 1 : 0) +
                      (out.header.Has(kFin) ? 1 : 0);
  if (out.seq <= peer.received) peer.received = std::max(peer.received, end);
  if (!out.header.Has(kAck) || out.header.Has(kSyn)) return;
  const int64_t unit = peer.scaled ? int64_t{1} << peer.stack_shift : 1;
  const int64_t edge = out.ack + out.header.window * unit;
  if (peer.has_edge) {
    EXPECT_GE(out.ack, peer.last_ack) << "RCV.NXT moved left: " << out.ToString();
    EXPECT_GT(edge, peer.edge - unit) << "the right edge moved left: " << out.ToString();
  }
  peer.has_edge = true;
  peer.last_ack = out.ack;
  peer.edge = std::max(peer.edge, edge);
}

std::vector<Emitted> StackTester::TakeOut() {
  Poll();
  return std::exchange(out_, {});
}

std::string StackTester::Out() {
  return absl::StrJoin(TakeOut(), "; ",
                       [](std::string* text, const Emitted& out) { absl::StrAppend(text, out.ToString()); });
}

Connection& StackTester::Establish(bool passive) {
  if (passive) {
    if (stack_->Listen(peer_->local).status().code() == absl::StatusCode::kInvalidArgument) LOG(FATAL) << "port 0";
    In({.flags = kSyn});
    In({});
  } else {
    Connect();
    In({.flags = kSyn | kAck});
  }
  TakeOut();
  TakeEvents();
  CHECK(connection_ != nullptr);
  EXPECT_EQ(connection_->state(), State::kEstablished);
  return *connection_;
}

Connection& StackTester::Reach(State state) {
  if (state == State::kSynSent) {
    Connect();
    TakeOut();
    return *connection_;
  }
  if (state == State::kSynReceived) {  // by a simultaneous open: the application knows of it
    Connect();
    In({.flags = kSyn});
    TakeOut();
    return *connection_;
  }
  Connection& c = Establish();
  switch (state) {
    case State::kEstablished:
      break;
    case State::kFinWait1:
      c.ShutdownWrite();
      Poll();
      peer_->received -= 1;  // the FIN was not received yet
      break;
    case State::kFinWait2:
      c.ShutdownWrite();
      Poll();
      In({});
      break;
    case State::kCloseWait:
      Fin();
      break;
    case State::kClosing:
      c.ShutdownWrite();
      Poll();
      peer_->received -= 1;
      Fin();
      break;
    case State::kLastAck:
      Fin();
      c.ShutdownWrite();
      Poll();
      peer_->received -= 1;
      break;
    default:
      LOG(FATAL) << "not reachable here: " << Name(state);
  }
  TakeOut();
  TakeEvents();
  EXPECT_EQ(c.state(), state);
  return c;
}

}  // namespace luna::tcp::testing
