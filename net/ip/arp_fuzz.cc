// Arp under any sequence of frames, questions and delays: no crash, no leak, its bounds hold, and it never waits for
// the past.
//
// The input is a list of operations, one byte each with operands behind it.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "glog/logging.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/ip/arp.h"
#include "luna/net/ip/testing/packets.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::ip {
namespace {

constexpr size_t kMaximumBytes = 4096;
constexpr size_t kMaximumEntries = 3;
constexpr size_t kMaximumPending = 6;

ArpConfig Config() {
  ArpConfig config;
  config.mac = wire::kServerMac;
  config.addresses = {wire::Ipv4Prefix(wire::kServer.address.v4(), 24)};
  config.max_entries = kMaximumEntries;
  config.max_pending = 3;
  config.max_pending_total = kMaximumPending;
  return config;
}

class Machine {
 public:
  explicit Machine(zbuf::TestSlab& memory) : memory_(memory), arp_(Config(), &memory.slab(), &drops_) {}

  void Step(wire::ByteReader& input) {
    const wire::Ipv4Address neighbour(10, 0, 0, input.ReadU8() % 8);
    switch (input.ReadU8() % 6) {
      case 0:
        arp_.Accept(testing::MakePacket(memory_, input.ReadBytes(std::min<size_t>(42, input.remaining()))), now_,
                    frames_);
        break;
      case 1: {  // an ARP packet that is nearly right
        wire::ArpFrame frame;
        frame.operation = input.ReadU8() % 4;
        frame.sender_ip = neighbour;
        frame.sender_mac = wire::MacAddress({2, 0, 0, 0, 0, static_cast<uint8_t>(input.ReadU8() % 8)});
        frame.target_ip = wire::Ipv4Address(10, 0, 0, input.ReadU8() % 4);
        arp_.Accept(testing::MakePacket(memory_, frame.Build(), input.ReadU8() % 2), now_, frames_);
        break;
      }
      case 2:
        if (!arp_.Lookup(neighbour, now_, frames_)) {
          arp_.Enqueue(neighbour, testing::MakePacket(memory_, std::vector<uint8_t>(60)), now_, frames_);
          ++sent_down_;
        }
        break;
      case 3:
        now_ += Duration::Milliseconds(input.ReadU16());
        break;
      case 4:
        arp_.Lookup(neighbour, now_, frames_);
        break;
      default:
        arp_.Announce(frames_);
    }
    arp_.OnTimer(now_, frames_);
    Check();
  }

 private:
  void Check() {
    CHECK_GT(arp_.NextDeadline().nanoseconds(), now_.nanoseconds());
    CHECK_LE(arp_.entries(), kMaximumEntries);
    CHECK_LE(arp_.resolving(), kMaximumEntries);
    CHECK_LE(arp_.pending_frames(), kMaximumPending);
    // Every frame handed down waits, went out, or was counted.
    for (const pmd::Packet& frame : frames_) {
      CHECK_GE(frame.bytes(), 42u);
      came_out_ += frame.bytes() == 60;
    }
    frames_.clear();
    const uint64_t dropped =
        drops_.value(stats::DropReason::kNeighbourQueueFull) + drops_.value(stats::DropReason::kNeighbourUnresolved);
    CHECK_EQ(sent_down_, came_out_ + dropped + arp_.pending_frames());
  }

  zbuf::TestSlab& memory_;
  stats::DropCounters drops_;
  Arp arp_;
  Time now_;
  std::vector<pmd::Packet> frames_;
  uint64_t sent_down_ = 0;
  uint64_t came_out_ = 0;
};

}  // namespace
}  // namespace luna::ip

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* memory = new luna::zbuf::TestSlab;
  if (size > luna::ip::kMaximumBytes) return 0;
  {
    luna::ip::Machine machine(*memory);
    luna::wire::ByteReader input(absl::Span<const uint8_t>(data, size));
    while (input.remaining() > 0) machine.Step(input);
  }
  CHECK_EQ(memory->outstanding(), 0u);
  return 0;
}
