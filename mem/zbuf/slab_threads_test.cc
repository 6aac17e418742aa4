// Owner and foreign threads at work together. Meant for --config=tsan, meaningful without.

#include <atomic>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/arena.h"
#include "luna/mem/zbuf/page_source.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/mem/zbuf/zchain.h"

namespace luna::zbuf {
namespace {

constexpr int kThreads = 3;

// The hand-off between threads; closes when the producers are done.
template <typename T>
class Channel {
 public:
  void Push(T value) {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(value));
  }
  std::optional<T> Pop() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (queue_.empty()) return std::nullopt;
    T value = std::move(queue_.front());
    queue_.pop_front();
    return value;
  }
  void Close() { closed_.store(true); }
  // Pops until closed and empty.
  template <typename F>
  void Consume(F f) {
    while (true) {
      const bool last = closed_.load();
      if (std::optional<T> value = Pop()) {
        f(*std::move(value));
      } else if (last) {
        return;
      } else {
        std::this_thread::yield();
      }
    }
  }

 private:
  std::mutex mutex_;
  std::deque<T> queue_;
  std::atomic<bool> closed_{false};
};

class SlabThreadsTest : public ::testing::Test {
 protected:
  SlabThreadsTest() : arena_(*Arena::Create(pages_, {.size_bytes = 8 * kZoneBytes})) {}

  AnonymousPageSource pages_;
  std::unique_ptr<Arena> arena_;
};

// Owner allocates and writes, others read and free; the owner reuses at once what comes home.
TEST_F(SlabThreadsTest, ObjsFreedElsewhereComeHome) {
  constexpr uint32_t kObjs = 20000;
  Slab slab(*arena_, {.bytes_limit = kZoneBytes});
  Channel<std::byte*> channel;
  std::atomic<uint64_t> sum{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      channel.Consume([&](std::byte* obj) {
        uint32_t value;
        std::memcpy(&value, obj, sizeof(value));
        sum.fetch_add(value);
        Free(obj + value % 2304);
      });
    });
  }
  uint64_t expected = 0;
  for (uint32_t i = 0; i < kObjs;) {
    std::byte* const obj = slab.Alloc(2304);
    if (obj == nullptr) {
      std::this_thread::yield();
      continue;
    }
    std::memcpy(obj, &i, sizeof(i));
    expected += i++;
    channel.Push(obj);
  }
  channel.Close();
  for (std::thread& thread : threads) thread.join();
  slab.DrainReturns();
  EXPECT_EQ(sum.load(), expected);
  EXPECT_EQ(slab.outstanding(), 0u);
  EXPECT_EQ(slab.Stats().outstanding(), 0u);
}

// Everybody refs and frees the same few objs at once; each obj carries its identity, which must hold as long as anybody
// has a reference.
TEST_F(SlabThreadsTest, SharedObjsLiveAsLongAsAnyReference) {
  constexpr int kRounds = 300;
  constexpr uint64_t kObjs = 8;
  Slab slab(*arena_);
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::byte*> objs;
    for (uint64_t i = 0; i < kObjs; ++i) {
      objs.push_back(slab.Alloc(1000));
      const uint64_t identity = static_cast<uint64_t>(round) * kObjs + i;
      std::memcpy(objs.back(), &identity, sizeof(identity));
      // One reference for each thread.
      for (int t = 0; t < kThreads; ++t) Ref(objs.back());
    }
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(static_cast<unsigned>(round * kThreads + t));
        for (uint64_t i = 0; i < kObjs; ++i) {
          const int extra = static_cast<int>(random() % 4);
          for (int n = 0; n < extra; ++n) Ref(objs[i] + random() % 1000);
          uint64_t identity;
          std::memcpy(&identity, objs[i], sizeof(identity));
          if (identity != static_cast<uint64_t>(round) * kObjs + i) ++wrong;
          for (int n = 0; n <= extra; ++n) Free(objs[i] + random() % 1000);
        }
      });
    }
    // Meanwhile the owner gives up its own references, drains, and writes into what it gets anew.
    for (std::byte* obj : objs) {
      Free(obj);
      slab.DrainReturns();
      std::byte* const other = slab.Alloc(1000);
      std::memset(other, 0xff, 1000);
      Free(other);
    }
    for (std::thread& thread : threads) thread.join();
    slab.DrainReturns();
    ASSERT_EQ(wrong.load(), 0);
    ASSERT_EQ(slab.outstanding(), 0u) << "round " << round;
  }
}

// Two workers send each other chains of their own objs, share parts of what they get and send those back.
TEST_F(SlabThreadsTest, ChainsTravelBothWays) {
  constexpr int kMessages = 3000;
  Channel<ZChain> to[2];
  std::atomic<int> running{2};
  auto worker = [&](int me) {
    Slab slab(*arena_, {.name = me == 0 ? "left" : "right", .bytes_limit = 3 * kZoneBytes});
    int sent = 0;
    int received = 0;
    while (sent < kMessages || received < 2 * kMessages) {
      slab.DrainReturns();
      if (sent < kMessages) {
        if (auto chain = ZChain::CopyFrom(slab, std::string(200 + sent % 500, static_cast<char>('a' + me)))) {
          to[1 - me].Push(std::move(*chain));
          ++sent;
        }
      }
      while (std::optional<ZChain> chain = to[me].Pop()) {
        ++received;
        const char first = static_cast<char>(chain->front().data()[0]);
        ASSERT_EQ(chain->ToString(), std::string(chain->bytes(), first));
        // An original of the other side: its second half goes back once.
        if (first == 'a' + (1 - me) && chain->bytes() >= 200) {
          ZChain half = chain->ShareRange(chain->bytes() / 2, 50);
          to[1 - me].Push(std::move(half));
        }
      }
      std::this_thread::yield();
    }
    // The slab dies when its last obj is home: the other side may still hold some.
    running.fetch_sub(1);
    while (running.load() > 0) std::this_thread::yield();
    slab.DrainReturns();
    EXPECT_EQ(slab.outstanding(), 0u) << slab.LeakReport();
  };
  std::thread other(worker, 1);
  worker(0);
  other.join();
}

TEST_F(SlabThreadsTest, StatsMayBeReadFromAnywhere) {
  Slab slab(*arena_);
  std::atomic<bool> stop{false};
  constexpr uint64_t kAllocs = 20000;
  std::thread reader([&] {
    SlabStats last{};
    while (!stop.load()) {
      const SlabStats stats = slab.Stats();
      EXPECT_LE(stats.outstanding(), kAllocs);
      for (size_t k = 0; k < kClassCount; ++k) {
        EXPECT_GE(stats.classes[k].allocs, last.classes[k].allocs);
        EXPECT_GE(stats.classes[k].frees, last.classes[k].frees);
      }
      last = stats;
      EXPECT_LE(arena_->Stats().zones_used, 6u);
    }
  });
  for (uint64_t i = 0; i < kAllocs; ++i) Free(slab.Alloc(i % 3000));  // six classes
  stop.store(true);
  reader.join();
  EXPECT_EQ(slab.Stats().outstanding(), 0u);
}

// Slabs of several threads take zones from one arena and give them back.
TEST_F(SlabThreadsTest, ThreadsShareAnArena) {
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Slab slab(*arena_, {.keep_empty_zones = 0});
      std::mt19937 random(static_cast<unsigned>(t));
      for (int i = 0; i < 300; ++i) {
        std::vector<std::byte*> objs(random() % 40);
        objs.resize(slab.AllocBulk(random() % kMaxObjBytes, absl::MakeSpan(objs)));
        for (std::byte* obj : objs) std::memset(obj, t, 64);
        for (std::byte* obj : objs) ASSERT_EQ(obj[63], static_cast<std::byte>(t));
        slab.FreeBulk(objs);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(arena_->Stats().zones_free, 8u);
}

}  // namespace
}  // namespace luna::zbuf
