// What debug builds catch of an application that misbehaves: no octet is sent again that is not the original. Built
// with NDEBUG off in every configuration (see BUILD.bazel).

#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/arena.h"
#include "luna/mem/zbuf/debug.h"
#include "luna/mem/zbuf/page_source.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/net/tcp/send_queue.h"

namespace luna::tcp {
namespace {

static_assert(zbuf::kDebugChecks, "this test must see the debug build");

class SendQueueDebugTest : public ::testing::Test {
 protected:
  SendQueueDebugTest() : arena_(*zbuf::Arena::Create(pages_, {.size_bytes = 4 * zbuf::kZoneBytes, .name = "test"})) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    slab_ = std::make_unique<zbuf::Slab>(*arena_, zbuf::SlabOptions{.name = "worker 7"});
  }
  // Queues `text`, in one obj, whose address the application remembers.
  std::byte* Send(const std::string& text) {
    zbuf::ZChain chain = *zbuf::ZChain::CopyFrom(*slab_, absl::string_view(text.data(), text.size()));
    std::byte* const address = chain.front().data();
    queue_.Append(std::move(chain));
    return address;
  }

  zbuf::AnonymousPageSource pages_;
  std::unique_ptr<zbuf::Arena> arena_;
  std::unique_ptr<zbuf::Slab> slab_;
  SendQueue queue_;
};

// The application has given its references away, and its memory is in use again: the queue's is not.
TEST_F(SendQueueDebugTest, WhatIsFreedAndUsedAgainIsNotOurs) {
  zbuf::ZChain of_application = *zbuf::ZChain::CopyFrom(*slab_, absl::string_view("original"));
  queue_.Append(of_application.Share());
  EXPECT_EQ(queue_.Range(0, 8).ToString(), "original");
  of_application.Clear();
  for (int i = 0; i < 1000; ++i) {
    std::byte* const other = slab_->Alloc(8);
    std::memset(other, 'x', 8);
    zbuf::Free(other);
  }
  EXPECT_EQ(queue_.Range(0, 8).ToString(), "original");
}

TEST_F(SendQueueDebugTest, OctetsChangedAfterSendAreNotSentAgain) {
  Send("first");
  std::byte* const address = Send("original");
  Send("last");
  EXPECT_EQ(queue_.Range(0, 17).ToString(), "firstoriginallast");
  queue_.Release(7);  // "fi rst or": the slice is cut
  EXPECT_EQ(queue_.Range(0, 6).ToString(), "iginal");
  address[6] ^= std::byte{1};
  EXPECT_DEATH(queue_.Range(4, 2), "a slice of 6 octets was changed after it had been given to Send\\(\\)");
  EXPECT_EQ(queue_.Range(6, 4).ToString(), "last") << "others are as they were";
  address[6] ^= std::byte{1};
  EXPECT_EQ(queue_.Range(0, 10).ToString(), "iginallast");
  address[1] = std::byte{'z'};  // acknowledged: the application's own again, as far as we are concerned
  EXPECT_EQ(queue_.Range(0, 6).ToString(), "iginal");
}

TEST_F(SendQueueDebugTest, AnObjFreedOnceTooOftenIsNotSentAgain) {
  std::byte* const address = Send("original");
  EXPECT_EQ(queue_.Range(0, 8).ToString(), "original");
  EXPECT_DEATH(
      {
        zbuf::Free(address);
        (void)queue_.Range(0, 8);
      },
      "worker 7|changed after it had been given|use-after-poison");
}

// Nothing of a queue survives it.
TEST_F(SendQueueDebugTest, AfterClearItBeginsAnew) {
  Send("one");
  Send("two");
  queue_.Clear();
  Send("three");
  EXPECT_EQ(queue_.Range(0, 5).ToString(), "three");
}

}  // namespace
}  // namespace luna::tcp
