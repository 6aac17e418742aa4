// Reassembly and SackReport against a model of one flag per octet. An octet's value is its sequence number's, but for
// that of its copy: so the model knows which copy was kept. Four bytes of input make one step; the numbers begin just
// below 2^32, or wherever the first byte says.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "glog/logging.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/tcp/reassembly.h"
#include "luna/net/tcp/sack_report.h"
#include "luna/net/tcp/seq.h"

namespace luna::tcp {
namespace {

constexpr uint32_t kSpace = 1024;  // numbers that the model knows, from SND.NXT at the start
constexpr size_t kStepBytes = 4;
constexpr size_t kMostSteps = 400;

class Model {
 public:
  Model(zbuf::TestSlab& memory, SeqNum start) : memory_(memory), start_(start) {}

  void Step(const uint8_t* step) {
    // Small and dense, so that segments meet; or sparse, so that there are many blocks.
    const uint32_t at = (uint32_t{step[1]} << 2 | step[2] >> 6) % kSpace;
    const uint32_t length = std::min<uint32_t>(step[2] % 64 + (step[0] & 0x40 ? 64u : 0u), kSpace - at);
    switch (step[0] % 8) {
      case 6:
        Take(at, step[3] % 4 == 0);
        break;
      case 7:
        step[3] % 4 == 0 ? Truncate(at) : Duplicate(at, length);
        break;
      default:
        Insert(at, length, step[3]);
    }
    Check();
  }

 private:
  static constexpr uint16_t kMissing = 0;

  SeqNum Number(uint32_t at) const { return start_ + at; }
  // Octets are 1 to 255; zero stands for none.
  static uint16_t Value(uint32_t at, uint8_t copy) { return static_cast<uint16_t>(1 + (at * 7u + copy) % 255u); }

  void Insert(uint32_t at, uint32_t length, uint8_t copy) {
    if (at < next_) return;  // the receiver trims
    std::string bytes;
    for (uint32_t i = at; i < at + length; ++i) bytes.push_back(static_cast<char>(Value(i, copy)));
    auto chain = copy & 1 ? memory_.ChainOfSlices(bytes, 1 + copy % 16) : zbuf::ZChain();
    if (!(copy & 1) && !bytes.empty()) chain = memory_.Chain(bytes);
    const std::array<uint16_t, kSpace> before = octets_;
    const size_t blocks = queue_.blocks().size();
    const bool all = queue_.Insert(Number(at), std::move(chain));
    for (uint32_t i = at; i < at + length; ++i) {
      if (octets_[i] == kMissing) octets_[i] = Value(i, copy);
    }
    if (!all) {  // what is here now is a part of what should be; nothing else has changed
      CHECK_EQ(queue_.blocks().size(), Reassembly::kMaxBlocks);
      CHECK_GE(blocks + length, Reassembly::kMaxBlocks);
      Adopt(before);
    }
    report_.OnStored(Number(at), queue_);
    last_stored_ = queue_.Holding(Number(at)) != nullptr ? at : kSpace;
  }

  // Takes over what the queue holds, where that is of `octets_`, and the rest of `before`.
  void Adopt(const std::array<uint16_t, kSpace>& before) {
    for (uint32_t i = 0; i < kSpace; ++i) {
      if (queue_.Holding(Number(i)) == nullptr) {
        CHECK_EQ(before[i], kMissing) << "an octet was lost at " << i;
        octets_[i] = kMissing;
      }
    }
  }

  void Take(uint32_t at, bool far) {
    // RCV.NXT moves a little, or to somewhere ahead.
    next_ = std::max(next_, far ? at : std::min(next_ + at % 32, kSpace));
    std::string expected;
    while (next_ + expected.size() < kSpace && octets_[next_ + expected.size()] != kMissing) {
      expected.push_back(static_cast<char>(octets_[next_ + expected.size()]));
    }
    CHECK(queue_.TakeFrom(Number(next_)).ToString() == expected) << "took other octets at " << next_;
    next_ += static_cast<uint32_t>(expected.size());
    for (uint32_t i = 0; i < next_; ++i) octets_[i] = kMissing;
    if (last_stored_ < next_) last_stored_ = kSpace;
  }

  void Truncate(uint32_t at) {
    queue_.TruncateAt(Number(at));
    for (uint32_t i = at; i < kSpace; ++i) octets_[i] = kMissing;
    if (last_stored_ != kSpace && last_stored_ >= at) last_stored_ = kSpace;
  }

  void Duplicate(uint32_t at, uint32_t length) {
    if (length > 0) report_.OnDuplicate(Number(at), Number(at + length));
  }

  void Check() {
    uint32_t bytes = 0;
    size_t slices = 0;
    size_t block = 0;
    for (uint32_t i = next_; i < kSpace; ++i) {
      CHECK_EQ(queue_.Holding(Number(i)) != nullptr, octets_[i] != kMissing) << i;
      if (octets_[i] == kMissing || (i > 0 && octets_[i - 1] != kMissing)) continue;
      // A block begins here.
      uint32_t end = i;
      std::string expected;
      while (end < kSpace && octets_[end] != kMissing) expected.push_back(static_cast<char>(octets_[end++]));
      CHECK_LT(block, queue_.blocks().size());
      const Reassembly::Block& b = queue_.blocks()[block++];
      CHECK(b.start == Number(i) && b.end() == Number(end) && b.data.ToString() == expected) << "block at " << i;
      bytes += end - i;
      slices += b.data.slice_count();
    }
    CHECK_EQ(block, queue_.blocks().size());
    CHECK(queue_.bytes() == bytes && queue_.slices() == slices && queue_.empty() == (bytes == 0));
    CheckHeld();
    for (size_t room = 0; room <= 4; ++room) CheckReport(room);
  }

  void CheckHeld() {
    for (uint32_t i = next_; i < kSpace; i += 37) {
      const uint32_t end = std::min(kSpace, i + 50);
      uint32_t first = i;
      while (first < end && octets_[first] == kMissing) ++first;
      uint32_t last = first;
      while (last < end && octets_[last] != kMissing) ++last;
      const Reassembly::Range held = queue_.FirstHeld(Number(i), Number(end));
      CHECK(held.start == Number(first) && held.end == Number(last)) << i;
    }
  }

  // RFC 2018 §4, RFC 2883 §4.
  void CheckReport(size_t room) {
    wire::TcpOptions options;
    report_.Fill(queue_, Number(next_), room, &options);
    CHECK_LE(options.sack_count, room);
    const bool dsack = report_.duplicate_waits() && room > 0;
    const size_t first = dsack ? 1 : 0;
    for (size_t i = first; i < options.sack_count; ++i) {
      const Reassembly::Block* b = queue_.Holding(SeqNum(options.sack[i].left));
      CHECK(b != nullptr && b->start.raw() == options.sack[i].left && b->end().raw() == options.sack[i].right)
          << "not a block";
      for (size_t j = first; j < i; ++j) CHECK_NE(options.sack[i].left, options.sack[j].left) << "a block twice";
    }
    // As many as there are, or as there is room for.
    CHECK_EQ(options.sack_count, std::min(room, queue_.blocks().size() + first));
    // "The first SACK block MUST specify the contiguous block containing the segment which triggered this ACK."
    if (dsack || room == 0 || last_stored_ == kSpace) return;
    CHECK_EQ(options.sack[0].left, queue_.Holding(Number(last_stored_))->start.raw());
  }

  zbuf::TestSlab& memory_;
  const SeqNum start_;
  Reassembly queue_;
  SackReport report_;
  std::array<uint16_t, kSpace> octets_{};
  uint32_t next_ = 0;              // RCV.NXT
  uint32_t last_stored_ = kSpace;  // the segment that came last, while it is here
};

}  // namespace
}  // namespace luna::tcp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using luna::tcp::kMostSteps;
  using luna::tcp::kStepBytes;
  static auto* memory = new luna::zbuf::TestSlab;
  if (size == 0) return 0;
  {
    const uint32_t start = data[0] < 128 ? 0u - data[0] * 8u : uint32_t{data[0]} << 24;
    luna::tcp::Model model(*memory, luna::tcp::SeqNum(start));
    for (size_t i = 0; i < kMostSteps && 1 + (i + 1) * kStepBytes <= size; ++i) model.Step(data + 1 + i * kStepBytes);
  }
  CHECK_EQ(memory->outstanding(), 0u);
  return 0;
}
