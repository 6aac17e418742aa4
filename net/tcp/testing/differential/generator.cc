#include "luna/net/tcp/testing/differential/generator.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace luna::tcp::differential {
namespace {

constexpr int kLeastSteps = 4;
constexpr int kMoreSteps = 12;
constexpr uint32_t kHalfOpenSteps = 7;  // less than the second after which SYNs come again
constexpr uint32_t kMss = 1460;
constexpr uint32_t kWindow = 65535;
constexpr uint32_t kMostInFlight = 5 * kMss;

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed * 0x9e3779b97f4a7c15u + 1) {
    Line("list seed-", seed);
    Line("isn ", Chance(25) ? 0xffffffffu - Draw(3000) : static_cast<uint32_t>(random_()));
  }

  std::string Write() {
    Open();
    const uint32_t steps = kLeastSteps + Draw(kMoreSteps);
    for (uint32_t left = half_open_ ? std::min(steps, kHalfOpenSteps) : steps; left > 0; --left) Step();
    return text_;
  }

 private:
  template <typename... Parts>
  void Line(const Parts&... parts) {
    absl::StrAppend(&text_, parts..., "\n");
  }
  uint32_t Draw(uint32_t below) { return static_cast<uint32_t>(random_() % below); }
  bool Chance(uint32_t percent) { return Draw(100) < percent; }
  template <typename T>
  T OneOf(std::initializer_list<T> choices) {
    return choices.begin()[Draw(static_cast<uint32_t>(choices.size()))];
  }

  void Open() {
    const char* options = OneOf({"", "", " plain", " ts"});
    timestamps_ = options[0] == ' ' && options[1] == 't';
    sack_ = options[0] == '\0' || timestamps_;
    if (Chance(90)) {
      Line(OneOf({"passive", "active"}), options);
      if (Chance(15)) ChooseWindow();
      return;
    }
    timestamps_ = sack_ = false;
    half_open_ = true;
    if (Chance(50)) {
      Line("listen\n< S 0 mss 1460");
    } else {
      Line("connect");
    }
  }

  void Step() {
    constexpr struct {
      uint32_t weight;
      void (Generator::*make)();
    } kSteps[] = {
        {18, &Generator::InOrder},     {7, &Generator::Ahead},      {5, &Generator::Again},
        {12, &Generator::HostWrites},  {6, &Generator::HostReads},  {9, &Generator::Acknowledge},
        {4, &Generator::Fin},          {4, &Generator::Reset},      {4, &Generator::Syn},
        {3, &Generator::OddFlags},     {3, &Generator::WrongAck},   {2, &Generator::Broken},
        {4, &Generator::Ask},          {5, &Generator::HostCloses}, {4, &Generator::Sack},
        {3, &Generator::OldTimestamp},
    };
    uint32_t total = 0;
    for (const auto& step : kSteps) total += step.weight;
    uint32_t draw = Draw(total);
    for (const auto& step : kSteps) {
      if (draw < step.weight) return (this->*step.make)();
      draw -= step.weight;
    }
  }

  // One draw at a time, so to speak: the order in which a call's arguments are evaluated is the compiler's.

  // Mostly all that the host can have sent.
  uint32_t Ack() {
    if (Chance(60)) acked_ = host_next_;
    if (Chance(10)) acked_ += Draw(host_next_ - acked_ + 1);
    return acked_;
  }
  std::string Tail() { return absl::StrCat(" ack ", Ack(), " win ", window_); }
  // No news: what a host that does not take the segment does not miss.
  std::string Stale() const { return absl::StrCat(" ack ", acked_, " win ", window_); }
  uint32_t Length() { return OneOf<uint32_t>({1, 10, 100, 536, 1000, kMss, kMss}); }
  // Where `next_` is, or beside it, or at and behind the edges of a window.
  int64_t Near() { return int64_t{next_} + OneOf<int64_t>({0, 0, 0, -1, 1, -100, 100, 1000, 20000, 5000000, -70000}); }

  // A peer does not contradict itself: no octets behind its FIN. False: there is nothing left to say.
  bool Clip(uint32_t left, uint32_t* size) const {
    if (fin_ == 0) return true;
    *size = left < fin_ ? std::min(*size, fin_ - left) : 0;
    return *size > 0;
  }
  void InOrder() {
    uint32_t size = Length();
    if (!Clip(next_, &size)) return Acknowledge();
    const char* flags = OneOf({"P.", "."});
    Line("< ", flags, " ", next_, "+", size, Tail());
    Advance(next_ + size);
  }
  // The peer's next octets begin at `number`, or behind what was sent ahead and is joined now: what lies wholly below
  // would be old octets to the host, whose news one of the two does not take.
  void Advance(uint32_t number) {
    next_ = std::max(next_, number);
    for (bool moved = true; moved;) {
      moved = false;
      for (const auto& [left, right] : ahead_) {
        if (left > next_ || right <= next_) continue;
        next_ = right;
        moved = true;
      }
    }
  }
  void Ahead() {
    // With the window of a segment ahead the two deal differently: SND.WL1.
    if (window_ != kWindow) return InOrder();
    const uint32_t left = next_ + OneOf<uint32_t>({1, 10, 100, 1000, 1460, 2920});
    uint32_t size = Length();
    if (!Clip(left, &size)) return Acknowledge();
    Line("< P. ", left, "+", size, Tail());
    ahead_.emplace_back(left, left + size);
  }
  void Again() {
    const uint32_t back = std::min(next_ - 1, Draw(2000) + 1);
    uint32_t size = Length();
    if (!Clip(next_ - back, &size)) return Acknowledge();
    Line("< P. ", next_ - back, "+", size, Stale());
    Advance(next_ - back + size);
  }
  void HostWrites() {
    const uint32_t size = OneOf<uint32_t>({1, 10, 100, 1000, kMss, kMss + 1, 2 * kMss, 4000});
    // Far from the congestion window, near which Linux waits to send more at once.
    if (host_next_ - acked_ + size > kMostInFlight) return Acknowledge();
    Line("write ", size);
    host_next_ += size;
  }
  void HostReads() { Line("read ", OneOf({1, 100, 1000, 100000})); }
  void Acknowledge() { Line("< . ", next_, Tail()); }
  void Fin() {
    if (fin_ != 0) return Line("< F. ", fin_, Tail());
    uint32_t left = next_ + (Chance(20) ? 100 : 0);
    for (const auto& range : ahead_) left = std::max(left, range.second);
    const uint32_t size = Chance(30) ? Length() : 0;
    fin_ = left + size;
    Line("< F. ", left, "+", size, Tail());
    ahead_.emplace_back(left, fin_ + 1);
    Advance(next_);
  }
  void Reset() {
    const char* flags = OneOf({"R", "R."});
    Line("< ", flags, " ", Near(), Stale());
  }
  void Syn() {
    const char* flags = OneOf({"S", "S."});
    const int64_t number = Chance(30) ? 0 : Near();
    Line("< ", flags, " ", number, Stale(), Chance(50) ? " mss 1460" : "");
  }
  void OddFlags() {
    const char* flags = OneOf({"-", "P", "F", "SF", "SR", "FP", "SFRP"});
    const int64_t number = Near();
    Line("< ", flags, " ", number, "+", Draw(2) * 100, Stale());
  }
  void WrongAck() {
    const int64_t ack = OneOf<int64_t>({int64_t{host_next_} + 1, int64_t{host_next_} + 100000, int64_t{acked_} - 1,
                                        int64_t{acked_} - 100000, int64_t{host_next_} + 0x7fffffff});
    uint32_t size = Chance(50) ? Length() : 0;
    if (size > 0 && !Clip(next_, &size)) return Acknowledge();
    Line("< . ", next_, "+", size, " ack ", static_cast<int32_t>(ack), " win ", window_);
    if (ack + 1 == acked_) Advance(next_ + size);  // that is old, not wrong
  }
  void Broken() { Line("< P. ", next_, "+", Length(), Stale(), " badsum"); }
  void Ask() { Line(OneOf({"poll", "error"})); }
  void HostCloses() {
    const uint32_t which = Draw(10);
    Line(which < 4 ? "shutdown wr" : which < 9 ? "close" : "shutdown rd");
    if (which < 9 && !closed_) {
      closed_ = true;
      ++host_next_;
    }
  }
  void Sack() {
    if (!sack_) return Acknowledge();
    const uint32_t left = acked_ + Draw(host_next_ - acked_ + 2);
    Line("< . ", next_, " ack ", acked_, " win ", window_, " sack ", left, ":",
         left + OneOf<uint32_t>({1, 10, 100, 1000, kMss, 2 * kMss, 100000}));
  }
  // Once, at the beginning. Linux takes a smaller window only from a later segment, hence two.
  void ChooseWindow() {
    Line("< P. ", next_++, "+1 ack 1 win ", window_);
    window_ = OneOf<uint32_t>({0, 1, 100, kMss, 10000});
    Line("< P. ", next_++, "+1 ack 1 win ", window_);
  }
  void OldTimestamp() {
    uint32_t size = Length();
    if (!timestamps_ || !Clip(next_, &size)) return InOrder();
    const bool old = Chance(33);
    const char* timestamp = old ? " ts 500" : OneOf({" nots", " ts 100000"});
    Line("< P. ", next_, "+", size, Tail(), timestamp);
    if (!old) Advance(next_ + size);
  }

  std::mt19937_64 random_;
  std::string text_;
  bool timestamps_ = false;
  bool sack_ = false;
  bool closed_ = false;
  bool half_open_ = false;
  uint32_t next_ = 1;       // of the peer's octets
  uint32_t host_next_ = 1;  // when the host has sent all that it can have
  uint32_t acked_ = 1;
  uint32_t fin_ = 0;  // the peer's FIN, once it is sent
  uint32_t window_ = kWindow;
  std::vector<std::pair<uint32_t, uint32_t>> ahead_;  // octets sent out of order
};

}  // namespace

EventList Generate(uint64_t seed) {
  absl::StatusOr<std::vector<EventList>> lists = ParseEventLists(Generator(seed).Write());
  CHECK(lists.ok()) << lists.status();
  return lists->front();
}

}  // namespace luna::tcp::differential
