#ifndef LUNA_NET_TCP_TUPLE_TABLE_H_
#define LUNA_NET_TCP_TUPLE_TABLE_H_

// TupleTable: from four-tuple to the connection (a T with `FourTuple tuple() const` and `bool IsOf(const
// FourTuple&) const`). Open addressing in one
// array of 16-octet entries that hold the whole hash, so that a lookup costs one cache line here and then the
// connection's own, however many there are. Linear probing, at most half full; removal shifts back, nothing is left
// behind. Doubles when it grows, never shrinks.
//
// The order of ForEach() follows from the secret and the history alone. One thread. Pointers are not owned.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "luna/net/tcp/tuple_hash.h"

namespace luna::tcp {

template <typename T>
class TupleTable {
 public:
  explicit TupleTable(const Secret& secret) : hash_(secret), entries_(kFewest) {}

  T* Find(const wire::FourTuple& tuple) const {
    const uint64_t hash = hash_(tuple);
    for (size_t i = hash & Mask(); entries_[i].connection != nullptr; i = (i + 1) & Mask()) {
      if (entries_[i].hash == hash && entries_[i].connection->IsOf(tuple)) return entries_[i].connection;
    }
    return nullptr;
  }
  // For who looks up several: the entry, and later the T itself, are on their way meanwhile.
  uint64_t PrefetchEntry(const wire::FourTuple& tuple) const {
    const uint64_t hash = hash_(tuple);
    __builtin_prefetch(&entries_[hash & Mask()]);
    return hash;
  }
  // Of the entry in that place, usually the right one; null when there is none, or it is another's.
  T* Peek(uint64_t hash) const {
    const Entry& entry = entries_[hash & Mask()];
    return entry.hash == hash ? entry.connection : nullptr;
  }
  bool Contains(const wire::FourTuple& tuple) const { return Find(tuple) != nullptr; }

  // Pre: no connection with its tuple is in the table.
  void Insert(T* connection) {
    if (2 * (size_ + 1) > entries_.size()) Grow();
    Place({hash_(connection->tuple()), connection});
    ++size_;
  }

  // False when this very connection is not in the table.
  bool Erase(const T& connection) {
    const uint64_t hash = hash_(connection.tuple());
    size_t i = hash & Mask();
    while (entries_[i].connection != &connection) {
      if (entries_[i].connection == nullptr) return false;
      i = (i + 1) & Mask();
    }
    // What follows moves up, unless that would put it before its own place.
    for (size_t next = (i + 1) & Mask(); entries_[next].connection != nullptr; next = (next + 1) & Mask()) {
      const size_t home = entries_[next].hash & Mask();
      if (((next - home) & Mask()) < ((next - i) & Mask())) continue;
      entries_[i] = entries_[next];
      i = next;
    }
    entries_[i] = {};
    --size_;
    return true;
  }

  size_t size() const { return size_; }

  // Calls visit(T&) for each. The table must not change meanwhile.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const Entry& entry : entries_) {
      if (entry.connection != nullptr) visit(*entry.connection);
    }
  }

 private:
  struct Entry {
    uint64_t hash = 0;
    T* connection = nullptr;  // null: free
  };
  static constexpr size_t kFewest = 16;

  size_t Mask() const { return entries_.size() - 1; }

  void Place(const Entry& entry) {
    size_t i = entry.hash & Mask();
    while (entries_[i].connection != nullptr) i = (i + 1) & Mask();
    entries_[i] = entry;
  }

  void Grow() {
    std::vector<Entry> old(entries_.size() * 2);
    old.swap(entries_);
    for (const Entry& entry : old) {
      if (entry.connection != nullptr) Place(entry);
    }
  }

  TupleHash hash_;
  std::vector<Entry> entries_;
  size_t size_ = 0;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_TUPLE_TABLE_H_
