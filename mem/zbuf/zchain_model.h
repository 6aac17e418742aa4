#ifndef LUNA_MEM_ZBUF_ZCHAIN_MODEL_H_
#define LUNA_MEM_ZBUF_ZCHAIN_MODEL_H_

// ZChainModel: random operations on a handful of ZChains, each checked against a std::string. For zchain_model_test and
// zchain_fuzz only. Memory is small, so that exhaustion happens. Failures are CHECKs, so that a fuzzer sees them.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "glog/logging.h"
#include "luna/mem/zbuf/arena.h"
#include "luna/mem/zbuf/page_source.h"
#include "luna/mem/zbuf/size_class.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/mem/zbuf/zref.h"

namespace luna::zbuf {

class ZChainModel {
 public:
  static constexpr size_t kChains = 5;
  static constexpr size_t kMaxBytes = 200000;

  ZChainModel() : slab_(*SharedArena(), {.name = "model"}) {}
  ~ZChainModel() {
    for (Pair& pair : pairs_) pair.chain.Clear();
    CHECK_EQ(slab_.outstanding(), 0u) << slab_.LeakReport();
  }

  // One operation; the arguments may be any numbers.
  void Step(uint8_t what, uint32_t which) {
    Pair& a = pairs_[which % kChains];
    Pair& b = pairs_[(which >> 3) % kChains];
    const uint32_t n = which >> 6;
    switch (what % 16) {
      case 0:
      case 1:
        AppendFresh(a, n % 300);
        break;
      case 2:
        AppendCopy(a, n % 40000);
        break;
      case 3:
        PrependFresh(a, n % 300);
        break;
      case 4:
        TrimFront(a, n);
        break;
      case 5:
        TrimBack(a, n);
        break;
      case 6:
        Split(a, b, n);
        break;
      case 7:
        ShareRange(a, b, n, which);
        break;
      case 8:
        AppendChain(a, b);
        break;
      case 9:
        PopFront(a);
        break;
      case 10:
        ExtendFront(a, n);
        break;
      case 11:
        ExtendBack(a, n);
        break;
      case 12:
        Linearise(a);
        break;
      case 13:
        CopyTo(a, n, which);
        break;
      case 14:
        std::swap(a.chain, b.chain);
        std::swap(a.text, b.text);
        break;
      case 15:
        if (n % 4 == 0) Clear(a);
        break;
    }
    Check(a, false);
    Check(b, false);
  }

  void CheckAll() {
    for (Pair& pair : pairs_) Check(pair, true);
    size_t slices = 0;
    for (const Pair& pair : pairs_) {
      for (const ZSlice& slice : pair.chain) slices += RefCount(slice.data()) > 0;
    }
    CHECK(slab_.outstanding() <= slices) << "objs are out that no slice holds";
  }

  size_t most_slices() const { return most_slices_; }
  Slab& slab() { return slab_; }

 private:
  struct Pair {
    ZChain chain;
    std::string text;
  };

  static Arena* SharedArena() {
    static AnonymousPageSource pages;
    static auto* const arena = Arena::Create(pages, {.size_bytes = 8 * kZoneBytes})->release();
    return arena;
  }

  std::string Text(size_t bytes) {
    std::string text(bytes, '\0');
    for (char& c : text) c = static_cast<char>(next_++ * 167 >> 3);
    return text;
  }

  // A slice somewhere inside an obj of its own.
  ZSlice FreshSlice(const std::string& text) {
    std::byte* const obj = slab_.Alloc(text.size() + 100);
    if (obj == nullptr) return {};
    std::byte* const at = obj + next_ % 100;
    std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), at);
    return {ZRef::Adopt(at), static_cast<uint32_t>(text.size())};
  }

  void AppendFresh(Pair& a, size_t bytes) {
    const std::string text = Text(bytes);
    ZSlice slice = FreshSlice(text);
    if (!slice.ref || a.text.size() > kMaxBytes) return;
    a.chain.Append(std::move(slice));
    a.text += text;
  }

  void PrependFresh(Pair& a, size_t bytes) {
    const std::string text = Text(bytes);
    ZSlice slice = FreshSlice(text);
    if (!slice.ref || a.text.size() > kMaxBytes) return;
    a.chain.PrependSlice(std::move(slice));
    a.text = text + a.text;
  }

  void AppendCopy(Pair& a, size_t bytes) {
    const std::string text = Text(bytes);
    const size_t before = slab_.outstanding();
    std::optional<ZChain> copy = ZChain::CopyFrom(slab_, text);
    if (!copy.has_value()) {
      CHECK_EQ(slab_.outstanding(), before);
      return;
    }
    if (a.text.size() > kMaxBytes) return;
    a.chain.Append(*std::move(copy));
    a.text += text;
  }

  void TrimFront(Pair& a, uint32_t n) {
    n %= a.text.size() + 1;
    a.chain.TrimFront(n);
    a.text.erase(0, n);
  }

  void TrimBack(Pair& a, uint32_t n) {
    n %= a.text.size() + 1;
    a.chain.TrimBack(n);
    a.text.resize(a.text.size() - n);
  }

  void Split(Pair& a, Pair& b, uint32_t n) {
    n %= a.text.size() + 1;
    ZChain head = a.chain.SplitFront(n);
    CHECK(head.ToString() == a.text.substr(0, n));
    const std::string text = a.text.substr(0, n);
    a.text.erase(0, n);
    b.chain = std::move(head);
    b.text = text;
    // When b is a, the assignment has dropped the rest.
  }

  void ShareRange(Pair& a, Pair& b, uint32_t n, uint32_t which) {
    const size_t offset = n % (a.text.size() + 1);
    const size_t length = (which * 2654435761u) % (a.text.size() - offset + 1);
    ZChain range = a.chain.ShareRange(offset, length);
    const std::string text = a.text.substr(offset, length);
    CHECK(range.ToString() == text);
    b.chain = std::move(range);
    b.text = text;
  }

  void AppendChain(Pair& a, Pair& b) {
    if (&a == &b || a.text.size() + b.text.size() > kMaxBytes) return;
    a.chain.Append(std::move(b.chain));
    a.text += std::exchange(b.text, "");
    CHECK(b.chain.empty());  // NOLINT(bugprone-use-after-move): promised
  }

  void PopFront(Pair& a) {
    if (a.chain.empty()) return;
    const ZSlice slice = a.chain.PopFront();
    CHECK(absl::string_view(reinterpret_cast<const char*>(slice.data()), slice.size()) ==
          absl::string_view(a.text).substr(0, slice.size()));
    a.text.erase(0, slice.size());
  }

  // Room around a slice may be written when nobody else holds the obj.
  void ExtendFront(Pair& a, uint32_t n) {
    if (a.chain.empty() || RefCount(a.chain.front().data()) != 1) return;
    n %= a.chain.HeadRoom() + 1;
    const std::string text = Text(n);
    std::byte* const at = a.chain.ExtendFront(n);
    std::copy_n(reinterpret_cast<const std::byte*>(text.data()), n, at);
    a.text = text + a.text;
  }

  void ExtendBack(Pair& a, uint32_t n) {
    if (a.chain.empty() || RefCount(a.chain.back().data()) != 1) return;
    n %= a.chain.TailRoom() + 1;
    const std::string text = Text(n);
    std::byte* const at = a.chain.ExtendBack(n);
    std::copy_n(reinterpret_cast<const std::byte*>(text.data()), n, at);
    a.text += text;
  }

  void Linearise(Pair& a) {
    const bool ok = a.chain.Linearise(slab_);
    if (ok) {
      CHECK_LE(a.chain.slice_count(), 1u);
    } else {
      CHECK_GT(a.chain.slice_count(), 1u);
    }
    Check(a, true);
  }

  void CopyTo(Pair& a, uint32_t n, uint32_t which) {
    const size_t offset = n % (a.text.size() + 1);
    const size_t length = (which * 2654435761u) % (a.text.size() - offset + 1);
    std::string out(length, '\0');
    a.chain.CopyTo(absl::MakeSpan(reinterpret_cast<std::byte*>(out.data()), length), offset);
    CHECK(out == a.text.substr(offset, length));
  }

  static void Clear(Pair& a) {
    a.chain.Clear();
    a.text.clear();
  }

  void Check(const Pair& pair, bool contents) {
    CHECK_EQ(pair.chain.bytes(), pair.text.size());
    CHECK_EQ(pair.chain.empty(), pair.text.empty());
    size_t sum = 0;
    for (const ZSlice& slice : pair.chain.slices()) {
      CHECK_GT(slice.size(), 0u);
      CHECK_LE(slice.size(), CapacityFrom(slice.data()));
      sum += slice.size();
    }
    CHECK_EQ(sum, pair.text.size());
    most_slices_ = std::max(most_slices_, pair.chain.slice_count());
    if (contents || pair.text.size() < 2000) CHECK(pair.chain.ToString() == pair.text);
  }

  Slab slab_;
  Pair pairs_[kChains];
  uint32_t next_ = 0;
  size_t most_slices_ = 0;
};

}  // namespace luna::zbuf

#endif  // LUNA_MEM_ZBUF_ZCHAIN_MODEL_H_
