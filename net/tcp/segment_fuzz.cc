// Whatever comes from the wire, and whatever the application does meanwhile: no crash, no leak, no broken invariant
// (the tester checks every segment that is emitted; a violation aborts).
//
// The input is a program for one stack with a listener and a connection of its own: each instruction is an octet and
// its operands. Segments are made relative to what the stack expects next, so that most of them mean something; one
// instruction sends raw octets with a right checksum.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "gtest/gtest.h"
#include "luna/net/tcp/testing/stack_tester.h"

namespace {

using luna::Duration;
using luna::tcp::Connection;
using luna::tcp::Event;
using luna::tcp::EventBits;
using luna::tcp::StackConfig;
using luna::tcp::testing::Incoming;
using luna::tcp::testing::StackTester;

class Program {
 public:
  Program(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  bool done() const { return at_ == end_; }
  uint8_t Octet() { return done() ? 0 : *at_++; }
  uint16_t Word() {
    const uint16_t high = Octet();
    return static_cast<uint16_t>(high << 8 | Octet());
  }
  // Near 0, near the edges of a window, or anywhere.
  int64_t Offset() {
    const uint8_t kind = Octet();
    const int64_t small = static_cast<int8_t>(Octet());
    constexpr int64_t kAround[] = {0, 0, 0, 0, 1460, 65535, 1 << 20, 0x7fffffff};
    return kAround[kind % 8] + small;
  }
  std::string Text(size_t most) {
    const size_t size = std::min<size_t>({Octet(), most, static_cast<size_t>(end_ - at_)});
    std::string text(reinterpret_cast<const char*>(at_), size);
    at_ += size;
    return text;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

StackConfig Config(uint8_t bits) {
  StackConfig config = StackTester::Plain();
  config.timestamps = bits & 1;
  config.window_scale = bits & 2;
  config.receive_buffer_bytes = bits & 4 ? 1u << 20 : 3000;
  config.send_buffer_bytes = bits & 8 ? 1u << 20 : 2000;
  config.delayed_ack = bits & 16 ? Duration::Microseconds(500) : Duration::Zero();
  config.nagle = bits & 32;
  config.receive_slices_limit = bits & 64 ? 8 : 4096;
  config.time_wait_limit = 2;
  return config;
}

void Segment(StackTester& t, Program& program) {
  Incoming in;
  in.flags = program.Octet() & 0x3f;
  if (program.Octet() % 4 != 0) in.flags |= luna::tcp::testing::kAck;
  const int64_t offset = program.Offset();
  // A SYN far away would begin a connection whose numbers the tester cannot tell from those before it.
  in.seq = t.peer().next + ((in.flags & luna::tcp::testing::kSyn) ? static_cast<int8_t>(offset) : offset);
  in.ack = t.peer().received + program.Offset();
  in.window = program.Word();
  in.payload = program.Text(200);
  in.slice_bytes = program.Octet() % 8;
  t.peer().tsval += static_cast<uint32_t>(program.Octet() % 4) - 1;
  t.In(in);
}

void Application(StackTester& t, uint8_t what, Program& program, Connection* c) {
  if (c == nullptr) return;
  switch (what % 8) {
    case 0:
      c->Close();
      break;
    case 1:
      c->Abort();
      break;
    case 2:
      c->ShutdownWrite();
      break;
    case 3:
      c->Read(program.Word());
      break;
    case 4:
      c->WantWritable();
      break;
    default: {
      const std::string text(program.Word() % 5000, 'x');
      (void)c->Send(t.Chain(text));
      break;
    }
  }
}

// Segments in order, so that the connection lives for a while.
void Orderly(StackTester& t, uint8_t what, Program& program) {
  switch (what % 6) {
    case 0:
      t.peer().next = 0;
      t.peer().syn_options = luna::tcp::testing::SynOptions(1460, uint8_t{7}, t.peer().tsval);
      t.In({.flags = luna::tcp::testing::kSyn});
      break;
    case 1:
      t.In({});
      break;
    case 2:
      t.Data(program.Text(250));
      break;
    case 3:
      t.Fin();
      break;
    case 4:
      t.In({.flags = luna::tcp::testing::kSyn | luna::tcp::testing::kAck, .seq = 0});
      break;
    default:
      t.NewPeer();
      break;
  }
}

void Raw(StackTester& t, Program& program) {
  luna::ip::Datagram datagram;
  datagram.source = t.peer().endpoint.address;
  datagram.destination = t.peer().local.address;
  datagram.packet.rx.l4_checksum = luna::pmd::ChecksumStatus::kGood;
  const std::string bytes = program.Text(120);
  if (!bytes.empty()) datagram.packet.data = t.memory().ChainOfSlices(bytes, 1 + program.Octet() % 40);
  const Event event = t.stack().Ingest(std::move(datagram), t.now());
  if (event && t.on_event) t.on_event(event);
  t.Poll();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 4096) return 0;
  Program program(data, size);
  StackTester t(Config(program.Octet()), size_t{12} << 20);
  Connection* live = nullptr;
  t.on_event = [&live](const Event& event) { live = event.Has(EventBits::kClosed) ? nullptr : event.connection; };
  t.Listen();
  while (!program.done()) {
    const uint8_t what = program.Octet();
    switch (what % 8) {
      case 0:
      case 1:
        Segment(t, program);
        break;
      case 2:
        Application(t, what / 8, program, live);
        t.Poll();
        break;
      case 3:
        t.Run(Duration::Microseconds(int64_t{program.Word()} << (what / 8 % 8)));
        break;
      case 4:
        Raw(t, program);
        break;
      case 5:
        if (what & 8) t.stack().Reap();
        break;
      default:
        Orderly(t, what / 8, program);
        break;
    }
    t.TakeOut();
    if (::testing::Test::HasFailure()) std::abort();
  }
  return 0;
}
