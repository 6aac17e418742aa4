#ifndef LUNA_MEM_ZBUF_TESTING_TEST_SLAB_H_
#define LUNA_MEM_ZBUF_TESTING_TEST_SLAB_H_

// TestSlab: memory, arena and slab in one line, for the tests of everything above Zbuf.
//
//   zbuf::TestSlab memory;                    // 16 MB
//   ZChain data = memory.Chain("hello");
//   Slab& slab = memory.slab();
//
// Its destructor fails the running test when objs are still out.

#include <cstddef>
#include <memory>

#include "absl/strings/string_view.h"
#include "luna/mem/zbuf/arena.h"
#include "luna/mem/zbuf/page_source.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/mem/zbuf/zchain.h"

namespace luna::zbuf {

class TestSlab {
 public:
  // Every size class in use takes at least 2 MB.
  explicit TestSlab(size_t bytes = size_t{16} << 20, SlabOptions options = {.name = "test"});
  ~TestSlab();
  TestSlab(const TestSlab&) = delete;
  TestSlab& operator=(const TestSlab&) = delete;

  Slab& slab() { return *slab_; }
  Arena& arena() { return *arena_; }
  size_t outstanding() const { return slab_->outstanding(); }

  // A chain of one or more objs with a copy of `bytes`. CHECK fails when memory is exhausted.
  ZChain Chain(absl::string_view bytes);
  // The same with one slice per `slice_bytes`, each in an obj of its own.
  ZChain ChainOfSlices(absl::string_view bytes, size_t slice_bytes);

 private:
  AnonymousPageSource pages_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Slab> slab_;
};

}  // namespace luna::zbuf

#endif  // LUNA_MEM_ZBUF_TESTING_TEST_SLAB_H_
