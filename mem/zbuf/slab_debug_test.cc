// What debug builds catch. Built with NDEBUG off in every configuration (see BUILD.bazel).

#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/arena.h"
#include "luna/mem/zbuf/debug.h"
#include "luna/mem/zbuf/page_source.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/mem/zbuf/zref.h"

namespace luna::zbuf {
namespace {

static_assert(kDebugChecks, "this test must see the debug build");

// What AddressSanitizer says when it is faster than we.
constexpr char kOrAsan[] = "|use-after-poison";

class SlabDebugDeathTest : public ::testing::Test {
 protected:
  SlabDebugDeathTest() : arena_(*Arena::Create(pages_, {.size_bytes = 4 * kZoneBytes, .name = "home"})) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    slab_ = std::make_unique<Slab>(*arena_, SlabOptions{.name = "worker 7"});
  }

  AnonymousPageSource pages_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Slab> slab_;
};

TEST_F(SlabDebugDeathTest, DoubleFreeNamesOwnerAndSite) {
  std::byte* const obj = slab_->Alloc(2048);
  Free(obj);
  EXPECT_DEATH(Free(obj + 3), "Free of .*double free.*slab 'worker 7'.*slab_debug_test.cc:");
  EXPECT_DEATH(Ref(obj), "Ref of .*slab 'worker 7'");
}

TEST_F(SlabDebugDeathTest, ForeignDoubleFreeIsCaught) {
  std::byte* const obj = slab_->Alloc(2048);
  Free(obj);
  EXPECT_DEATH(std::thread([obj] { Free(obj); }).join(), "double free.*slab 'worker 7'");
  std::byte* const other = slab_->Alloc(2048);
  EXPECT_DEATH(
      {
        Ref(other);
        std::thread([other] {
          for (int i = 0; i < 3; ++i) Free(other);
        }).join();
        slab_->DrainReturns();
      },
      "freed more often than referenced.*slab 'worker 7'");
  Free(other);
}

TEST_F(SlabDebugDeathTest, AddressesThatAreNoObj) {
  std::byte* const obj = slab_->Alloc(2048);
  int local = 0;
  EXPECT_DEATH(Free(&local), "in no Zbuf arena");
  EXPECT_DEATH(Free(ZoneOf(obj)), "in no obj");
  EXPECT_DEATH(Free(DriverArea(obj)), "in no obj");
  EXPECT_DEATH(Free(obj + 2304), "never allocated");
  EXPECT_DEATH(Free(arena_->base() + arena_->bytes() - 1),
               std::string("arena 'home', in a zone.*not in use") + kOrAsan);
  Free(obj);
}

TEST_F(SlabDebugDeathTest, ForeignArenaNamesTheOwner) {
  auto arena = *Arena::Create(pages_, {.size_bytes = 2 * kZoneBytes, .name = "elsewhere"});
  Slab stranger(*arena, {.name = "stranger"});
  std::byte* const obj = stranger.Alloc(100);
  EXPECT_DEATH(slab_->Free(obj), "through slab 'worker 7' of an obj of slab 'stranger', arena 'elsewhere'");
  EXPECT_DEATH(slab_->Ref(obj), "through slab 'worker 7' of an obj of slab 'stranger', arena 'elsewhere'");
  Free(obj);
}

TEST_F(SlabDebugDeathTest, WriteAfterFree) {
  std::byte* const obj = slab_->Alloc(2048);
  Free(obj);
  EXPECT_DEATH(
      {
        obj[77] = std::byte{1};
        (void)slab_->Alloc(2048);
      },
      std::string("write after free, 77 bytes into an obj of 2304 bytes of slab 'worker 7'.*slab_debug_test.cc:") +
          kOrAsan);
  EXPECT_DEATH(
      {
        obj[2303] = std::byte{1};
        (void)slab_->Alloc(2048);
      },
      std::string("write after free, 2303 bytes") + kOrAsan);
}

TEST_F(SlabDebugDeathTest, UseByAThreadThatIsNotTheOwner) {
  EXPECT_DEATH(std::thread([&] { (void)slab_->Alloc(1); }).join(), "slab 'worker 7' is used by a thread");
}

TEST_F(SlabDebugDeathTest, LeaksAreReportedBySite) {
  EXPECT_DEATH(
      {
        for (int i = 0; i < 3; ++i) (void)slab_->Alloc(2048);
        (void)ZChain::CopyFrom(*slab_, absl::string_view("x"))->begin()->ref.Share().release();
        slab_.reset();
      },
      "slab 'worker 7' dies with objs out.*1 x obj of 128 bytes.*slab_debug_test.cc:.*"
      "3 x obj of 2304 bytes.*slab_debug_test.cc:");
}

TEST_F(SlabDebugDeathTest, FreedObjsArePoisoned) {
  std::byte* const obj = slab_->Alloc(128);
  std::memset(obj, 0, 128);
  Free(obj);
  UnpoisonMemory(obj, 128);
  EXPECT_EQ(obj[0], std::byte{kFreePattern});
  EXPECT_EQ(obj[127], std::byte{kFreePattern});
}

// The site of a call is the caller's line, also through the layers that pass it on.
TEST_F(SlabDebugDeathTest, SiteIsTheCallersLine) {
  std::byte* const obj = slab_->Alloc(100);
  const uint32_t line = __LINE__ - 1;
  EXPECT_EQ(ContextOf(obj)->site_line, line);
  EXPECT_NE(std::strstr(ContextOf(obj)->site_file, "slab_debug_test.cc"), nullptr);
  Free(obj);
  auto chain = ZChain::CopyFrom(*slab_, absl::string_view("abc"));
  EXPECT_EQ(ContextOf(chain->front().data())->site_line, static_cast<uint32_t>(__LINE__ - 1));
}

}  // namespace
}  // namespace luna::zbuf
