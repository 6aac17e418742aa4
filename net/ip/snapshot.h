#ifndef LUNA_NET_IP_SNAPSHOT_H_
#define LUNA_NET_IP_SNAPSHOT_H_

// SnapshotBox: how slow-changing facts (routes, neighbours) reach the workers without a lock on the hot path.
//
// One writer (the control plane) publishes immutable values; every worker holds a SnapshotReader and calls Refresh()
// once per loop iteration. Refresh() is one acquire load while nothing changed; only after a Publish() does it take the
// box's mutex, which nobody holds for longer than a pointer copy. Between two Refresh() calls a reader's value does not
// change.
//
// Lifetime: a value lives until the last reader moved on; its destructor runs on whichever thread lets go last, so keep
// values free of thread-bound resources. The box must outlive its readers.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace luna::ip {

template <typename T>
class SnapshotBox {
 public:
  // Starts with a default-constructed value, so readers never see null.
  SnapshotBox() : SnapshotBox(std::make_shared<const T>()) {}
  // `initial` is not null.
  explicit SnapshotBox(std::shared_ptr<const T> initial) : value_(std::move(initial)) {}

  SnapshotBox(const SnapshotBox&) = delete;
  SnapshotBox& operator=(const SnapshotBox&) = delete;

  // Replaces the value; `next` is not null. Any thread, usually one.
  void Publish(std::shared_ptr<const T> next) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      value_.swap(next);
      version_.store(version_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
    // The old value, now in `next`, is let go outside the lock.
  }
  void Publish(T next) { Publish(std::make_shared<const T>(std::move(next))); }

  // Counts publications, beginning at 1. Any thread, one load.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }

  // The current value and, when `version` is not null, the version that it belongs to. Any thread; locks.
  std::shared_ptr<const T> Get(uint64_t* version = nullptr) const {
    std::lock_guard<std::mutex> lock(mutex_);
    if (version != nullptr) *version = version_.load(std::memory_order_relaxed);
    return value_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const T> value_;  // guarded by mutex_
  std::atomic<uint64_t> version_{1};
};

// One worker's view of a SnapshotBox. Not thread-safe: one per worker.
template <typename T>
class SnapshotReader {
 public:
  // `box` outlives the reader. The reader holds the box's current value at once.
  explicit SnapshotReader(const SnapshotBox<T>* box) : box_(box) { value_ = box_->Get(&version_); }

  // Takes the newest value if there is one. Returns true when the value changed. One atomic load otherwise.
  bool Refresh() {
    if (box_->version() == version_) [[likely]]
      return false;
    value_ = box_->Get(&version_);
    return true;
  }

  // The value as of the last Refresh(). References stay valid until the next Refresh() that returns true.
  const T& operator*() const { return *value_; }
  const T* operator->() const { return value_.get(); }
  // The version of that value.
  uint64_t version() const { return version_; }

 private:
  const SnapshotBox<T>* box_;
  uint64_t version_ = 0;
  std::shared_ptr<const T> value_;
};

}  // namespace luna::ip

#endif  // LUNA_NET_IP_SNAPSHOT_H_
