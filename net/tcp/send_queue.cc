#include "luna/net/tcp/send_queue.h"

#include <algorithm>
#include <utility>

#include "glog/logging.h"

namespace luna::tcp {

void SendQueue::Append(zbuf::ZChain data) { chain_.Append(std::move(data)); }

zbuf::ZChain SendQueue::Range(uint32_t offset, uint32_t length) {
  DCHECK_LE(uint64_t{offset} + length, chain_.bytes());
  zbuf::ZChain range;
  if (length == 0) return range;
  const absl::Span<const zbuf::ZSlice> slices = chain_.slices();
  if (offset < cursor_.slice_start) cursor_ = Cursor();
  while (cursor_.slice_start + slices[cursor_.index].length <= offset) {
    cursor_.slice_start += slices[cursor_.index].length;
    ++cursor_.index;
  }
  uint32_t skip = offset - cursor_.slice_start;
  while (true) {
    const zbuf::ZSlice& slice = slices[cursor_.index];
    const uint32_t take = std::min(length, slice.length - skip);
    range.Append(zbuf::ZRef::ShareOf(slice.data() + skip), take);
    length -= take;
    if (length == 0) return range;
    skip = 0;
    cursor_.slice_start += slice.length;
    ++cursor_.index;
  }
}

void SendQueue::Release(uint32_t n) {
  DCHECK_LE(n, chain_.bytes());
  const size_t slices_before = chain_.slice_count();
  chain_.TrimFront(n);
  const size_t gone = slices_before - chain_.slice_count();
  // The cursor keeps to its slice; when that one is gone or was cut, it starts again at the front.
  if (cursor_.index <= gone) {
    cursor_ = Cursor();
  } else {
    cursor_.index -= gone;
    cursor_.slice_start -= n;
  }
}

void SendQueue::Clear() {
  chain_.Clear();
  cursor_ = Cursor();
}

}  // namespace luna::tcp
