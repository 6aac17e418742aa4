#ifndef LUNA_NET_TCP_TESTING_SIMULATOR_EVENT_QUEUE_H_
#define LUNA_NET_TCP_TESTING_SIMULATOR_EVENT_QUEUE_H_

// EventQueue: what is to happen at which virtual time. Events of the same time happen in the order in which they were
// planned. One thread.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::simulator {

// An IP datagram on its way: a TCP segment, checksum included, or another protocol's message.
struct Packet {
  wire::Ipv4Address source;
  wire::Ipv4Address destination;
  ip::Ecn ecn = ip::Ecn::kNotEct;
  std::string bytes;

  absl::Span<const uint8_t> octets() const {
    return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }
};

// Where packets go: a part of the network, or a host. Whoever drops one lets it lie.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void Take(Packet&& packet) = 0;
};

class EventQueue {
 public:
  using Action = std::function<void()>;

  bool empty() const { return heap_.empty(); }
  size_t size() const { return heap_.size(); }
  // Pre: !empty().
  Time next() const { return heap_.front().when; }

  void At(Time when, Action action) {
    const uint32_t slot = Plan(when);
    slots_[slot].action = std::move(action);
  }
  void PassAt(Time when, Sink& to, Packet&& packet) {
    const uint32_t slot = Plan(when);
    slots_[slot].to = &to;
    slots_[slot].packet = std::move(packet);
  }
  // Does the first of what is planned. Pre: !empty().
  void Step() {
    std::pop_heap(heap_.begin(), heap_.end());
    const uint32_t slot = heap_.back().slot;
    heap_.pop_back();
    Slot& event = slots_[slot];
    if (event.to != nullptr) {
      std::exchange(event.to, nullptr)->Take(std::move(event.packet));
    } else {
      event.action();
      event.action = nullptr;
    }
    free_.push_back(slot);
  }

 private:
  struct Slot {
    Sink* to = nullptr;
    Packet packet;
    Action action;
  };
  struct Entry {
    Time when;
    uint64_t order;
    uint32_t slot;
    // std::push_heap keeps the largest in front.
    bool operator<(const Entry& other) const { return when != other.when ? when > other.when : order > other.order; }
  };

  uint32_t Plan(Time when) {
    if (free_.empty()) {
      free_.push_back(static_cast<uint32_t>(slots_.size()));
      slots_.emplace_back();
    }
    const uint32_t slot = free_.back();
    free_.pop_back();
    heap_.push_back({when, ++planned_, slot});
    std::push_heap(heap_.begin(), heap_.end());
    return slot;
  }

  std::vector<Entry> heap_;
  std::deque<Slot> slots_;  // what happens may plan more: they do not move
  std::vector<uint32_t> free_;
  uint64_t planned_ = 0;
};

}  // namespace luna::tcp::simulator

#endif  // LUNA_NET_TCP_TESTING_SIMULATOR_EVENT_QUEUE_H_
