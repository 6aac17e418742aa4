// Scoreboard against a model that knows each octet by itself: whether it is SACKed, lost, sent again, and when it was
// sent last. Six bytes of input make one step; the numbers begin just below 2^32.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "glog/logging.h"
#include "luna/net/tcp/scoreboard.h"
#include "luna/net/tcp/seq.h"
#include "luna/net/wire/tcp_options.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {
namespace {

using Record = Scoreboard::Record;

constexpr size_t kStepBytes = 6;
constexpr size_t kMostSteps = 300;
constexpr uint32_t kMostOctets = 1u << 16;
constexpr uint32_t kMostInFlight = 6000;

struct OctetFlags {
  bool sacked = false;
  bool lost = false;
  bool again = false;  // lost, and sent again since
  bool ever = false;
  Time sent_at;
  bool waits() const { return lost && !again; }
};

class Model {
 public:
  explicit Model(SeqNum start) : start_(start) {}

  void Step(const uint8_t* step) {
    now_ += Duration::Microseconds(1 + step[5]);
    const uint32_t word = step[1] | uint32_t{step[2]} << 8;
    switch (step[0] % 16) {
      case 0:
      case 1:
      case 2:
        Push(step[0] & 16 ? 1 + word % 3000 : mss_, step[0] & 32);
        break;
      case 3:
      case 4:
        Acknowledge(step);
        break;
      case 5:
      case 6:
      case 7:
      case 8:
        Sack(step);
        break;
      case 9:
      case 10:
        if (!board_.empty()) MarkLost(word % board_.size());
        break;
      case 11:
      case 12:
        if (board_.AnyWaiting()) Retransmit();
        break;
      case 13:
        if (!board_.empty()) Probe(word % board_.size());
        break;
      case 14:
        if (!board_.empty()) Split(step[3] % board_.size(), word);
        break;
      default:
        Forget(step[1]);
    }
    Check();
  }

 private:
  SeqNum Number(uint32_t at) const { return start_ + at; }
  uint32_t At(SeqNum seq) const { return static_cast<uint32_t>(seq - start_); }
  uint32_t nxt() const { return static_cast<uint32_t>(octets_.size()); }
  template <typename Change>
  void ForRecord(size_t i, Change change) {
    for (uint32_t at = At(board_.at(i).seq); at < At(board_.at(i).end()); ++at) change(octets_[at]);
  }

  void Push(uint32_t bytes, bool fin) {
    if (fin_ || nxt() - una_ > kMostInFlight || nxt() + bytes > kMostOctets) return;
    fin_ = fin;
    board_.Push(Number(nxt()), bytes, fin, false, false, now_);
    octets_.resize(octets_.size() + bytes + (fin ? 1 : 0), OctetFlags{.sent_at = now_});
  }

  Scoreboard::Delivery Start() const {
    Scoreboard::Delivery delivery;
    delivery.now = now_;
    delivery.window = 10000;
    board_.Start(&delivery);
    return delivery;
  }

  void Acknowledge(const uint8_t* step) {
    // To the end of a record, or anywhere.
    uint32_t ack = una_ + (step[1] | uint32_t{step[2]} << 8) % (nxt() - una_ + 1);
    if (!board_.empty() && step[3] % 2 == 0) ack = At(board_.at(step[4] % board_.size()).end());
    uint32_t delivered = 0;
    for (uint32_t at = una_; at < ack; ++at) delivered += octets_[at].sacked ? 0 : 1;
    Scoreboard::Delivery delivery = Start();
    board_.AckTo(Number(ack), &delivery);
    una_ = std::max(una_, ack);
    CHECK_EQ(delivery.bytes, delivered);
  }

  // What a block SACKs: records that it covers, and of one that is longer than a segment now is, whole segments.
  uint32_t CoverRecord(uint32_t start, uint32_t end, uint32_t bytes, uint32_t left, uint32_t right) {
    uint32_t from = start;
    if (left > start) {
      from = start + (left - start + mss_ - 1) / mss_ * mss_;
      if (bytes <= mss_ || from >= start + bytes) return 0;
      bytes -= from - start;
    }
    uint32_t to = end;
    if (end > right) {
      if (bytes <= mss_ || right < from) return 0;
      to = from + (right - from) / mss_ * mss_;
    }
    uint32_t fresh = 0;
    for (uint32_t at = from; at < to; ++at) {
      if (!octets_[at].sacked) ++fresh;
      octets_[at].sacked = true;
      octets_[at].lost = octets_[at].again = false;
    }
    return fresh;
  }

  uint32_t Cover(const wire::TcpSackBlock& block) {
    const int32_t left = SeqNum(block.left) - Number(una_);
    const int32_t right = SeqNum(block.right) - Number(una_);
    if (left < 0 || right <= left || right > static_cast<int32_t>(nxt() - una_)) return 0;  // nothing of ours
    uint32_t fresh = 0;
    const size_t count = board_.size();
    for (size_t i = 0; i < count; ++i) {
      const Record& r = board_.at(i);
      if (r.Is(Record::kSacked) || At(r.end()) <= una_ + left || At(r.seq) >= una_ + right) continue;
      // A block before this one may have SACKed it, and cut it, already: the board does that at once, we do after all.
      fresh += CoverRecord(At(r.seq), At(r.end()), r.bytes, una_ + static_cast<uint32_t>(left),
                           una_ + static_cast<uint32_t>(right));
    }
    return fresh;
  }

  void Sack(const uint8_t* step) {
    // One block a time, but for a D-SACK before it: so the model may look at the board's records.
    wire::TcpSackBlock blocks[2];
    size_t count = 0;
    uint32_t left = una_ + step[1] * (nxt() - una_) / 255;
    uint32_t right = left + step[2] * mss_ / 16;
    if (!board_.empty() && step[4] & 1) left = At(board_.at(step[1] % board_.size()).seq);
    if (!board_.empty() && step[4] & 2) right = At(board_.at(step[2] % board_.size()).end());
    if (step[4] & 4) left += 0x7ffffff0u;
    if (step[4] & 8) right = left + mss_;
    if (step[4] & 16) blocks[count++] = {Number(una_ - step[3]).raw(), Number(una_ - step[3] / 2).raw()};
    if ((step[4] & 48) == 32) blocks[count++] = {Number(left + 1).raw(), Number(right).raw()};
    blocks[count++] = {Number(left).raw(), Number(right).raw()};
    const bool dsack = IsDsack(blocks, count);
    if (count == 2 && !dsack && (step[4] & 48) == 32) count = 1;
    uint32_t fresh = 0;
    for (size_t i = dsack ? 1 : 0; i < count; ++i) fresh += Cover(blocks[i]);
    Scoreboard::Delivery delivery = Start();
    board_.ApplySack({blocks, count}, Number(una_), mss_, &delivery);
    CHECK_EQ(delivery.dsack, dsack);
    CHECK_EQ(delivery.bytes, fresh);
  }

  // RFC 2883 §4.
  bool IsDsack(const wire::TcpSackBlock* blocks, size_t count) const {
    const int32_t left = SeqNum(blocks[0].left) - Number(una_);
    const int32_t right = SeqNum(blocks[0].right) - Number(una_);
    if (SeqNum(blocks[0].left) >= SeqNum(blocks[0].right)) return false;
    if (right <= 0 && left >= -10000 && left < 0) return true;
    if (count < 2 || left < 0) return false;
    return SeqNum(blocks[1].left) <= SeqNum(blocks[0].left) && SeqNum(blocks[0].right) <= SeqNum(blocks[1].right);
  }

  void MarkLost(size_t i) {
    const Record r = board_.at(i);
    const bool news = !r.Is(Record::kSacked) && !r.waits();
    CHECK_EQ(board_.MarkLost(i), news);
    if (!news) return;
    ForRecord(i, [](OctetFlags& o) {
      o.lost = true;
      o.again = false;
    });
  }

  void Retransmit() {
    const size_t i = board_.FirstWaiting();
    board_.Retransmitted(i, now_);
    ForRecord(i, [this](OctetFlags& o) {
      o.again = o.ever = true;
      o.sent_at = now_;
    });
  }

  void Probe(size_t i) {
    board_.Probed(i, now_);
    ForRecord(i, [this](OctetFlags& o) {
      o.ever = true;
      o.sent_at = now_;
    });
  }

  void Split(size_t i, uint32_t at) {
    const Record& r = board_.at(i);
    if (r.bytes == 0 || r.length() < 2) return;
    // Octets of payload before the cut, and something behind it.
    const uint32_t bytes = 1 + at % (r.length() - 1);
    if (bytes <= r.bytes) board_.Split(i, bytes);
  }

  void Forget(uint8_t what) {
    switch (what % 6) {
      case 0:
        board_.ForgetLosses();
        for (OctetFlags& o : octets_) o.lost = o.again = false;
        break;
      case 1:
        board_.ForgetSacks();
        for (OctetFlags& o : octets_) o.sacked = false;
        break;
      case 2:
        board_.GiveBack();
        break;
      case 3:
        mss_ = 100 + what;
        break;
      case 4:
        mss_ = 1460;
        break;
      default:
        board_.Clear();
        una_ = nxt();
        break;
    }
  }

  void Check() const {
    CHECK(board_.IsConsistent());
    CHECK_EQ(board_.empty(), una_ == nxt());
    if (!board_.empty()) CHECK(board_.front().seq == Number(una_) && board_.back().end() == Number(nxt()));
    for (size_t i = 0; i < board_.size(); ++i) {
      const Record& r = board_.at(i);
      for (uint32_t at = At(r.seq); at < At(r.end()); ++at) {
        const OctetFlags& o = octets_[at];
        CHECK(o.sacked == r.Is(Record::kSacked) && o.lost == r.Is(Record::kLost)) << at;
        CHECK(o.again == r.Is(Record::kRetransmitted) && o.ever == r.Is(Record::kEver) && o.sent_at == r.sent_at) << at;
      }
      CHECK_EQ(board_.Find(r.seq), i);
    }
    uint32_t pipe = 0, sacked = 0, lost = 0, first = nxt(), highest = una_;
    for (uint32_t at = una_; at < nxt(); ++at) {
      const OctetFlags& o = octets_[at];
      pipe += (!o.sacked && !o.lost) || o.again ? 1 : 0;
      sacked += o.sacked;
      lost += o.lost;
      if (o.waits()) first = std::min(first, at);
      if (o.sacked) highest = at + 1;
    }
    CHECK(board_.pipe() == pipe && board_.sacked().bytes == sacked && board_.lost().bytes == lost);
    CHECK_EQ(board_.AnyWaiting(), first != nxt());
    const size_t waiting = board_.FirstWaiting();
    CHECK(waiting == board_.size() ? first == nxt() : board_.at(waiting).seq == Number(first)) << first;
    if (!board_.empty()) CHECK(board_.highest_sacked() == Number(highest));
  }

  const SeqNum start_;
  Scoreboard board_;
  std::vector<OctetFlags> octets_;  // all that were ever sent
  uint32_t una_ = 0;
  uint32_t mss_ = 1460;
  bool fin_ = false;
  Time now_ = Time::FromNanoseconds(int64_t{1000} * 1000 * 1000);
};

}  // namespace
}  // namespace luna::tcp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using luna::tcp::kMostSteps;
  using luna::tcp::kStepBytes;
  if (size == 0) return 0;
  luna::tcp::Model model(luna::tcp::SeqNum(0u - data[0] * 64u));
  for (size_t i = 0; i < kMostSteps && 1 + (i + 1) * kStepBytes <= size; ++i) model.Step(data + 1 + i * kStepBytes);
  return 0;
}
