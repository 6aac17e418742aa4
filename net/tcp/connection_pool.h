#ifndef LUNA_NET_TCP_CONNECTION_POOL_H_
#define LUNA_NET_TCP_CONNECTION_POOL_H_

// ConnectionPool: memory for connections, in blocks that stay where they are. O(1) to take and give; never shrinks.

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

#include "luna/net/tcp/connection.h"

namespace luna::tcp {

class ConnectionPool {
 public:
  ConnectionPool() = default;
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;

  Connection* New(Core& core, const ConnectionOptions& options) {
    if (free_.empty()) Grow();
    Slot* slot = free_.back();
    free_.pop_back();
    ++live_;
    return new (slot->bytes) Connection(core, options);
  }

  void Delete(Connection* connection) {
    connection->~Connection();
    free_.push_back(reinterpret_cast<Slot*>(connection));
    --live_;
  }

  size_t live() const { return live_; }

 private:
  static constexpr size_t kBlock = 64;
  struct alignas(64) Slot {
    std::byte bytes[(sizeof(Connection) + 63) / 64 * 64];
  };

  void Grow() {
    blocks_.push_back(std::make_unique_for_overwrite<Slot[]>(kBlock));
    for (size_t i = kBlock; i > 0; --i) free_.push_back(&blocks_.back()[i - 1]);
  }

  std::vector<std::unique_ptr<Slot[]>> blocks_;
  std::vector<Slot*> free_;
  size_t live_ = 0;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_CONNECTION_POOL_H_
