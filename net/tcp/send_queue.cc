#include "luna/net/tcp/send_queue.h"

#include <algorithm>
#include <utility>

#include "glog/logging.h"

namespace luna::tcp {

void SendQueue::Append(zbuf::ZChain data) {
  chain_.Append(std::move(data));
  octets_.OnAppended(chain_.slices());
}

void SendQueue::AppendRange(uint32_t offset, uint32_t length, zbuf::ZChain* out) {
  DCHECK_LE(uint64_t{offset} + length, chain_.bytes());
  if (length == 0) return;
  const absl::Span<const zbuf::ZSlice> slices = chain_.slices();
  Cursor& cursor = offset >= first_.slice_start ? first_ : again_;
  if (offset < cursor.slice_start) cursor = Cursor();
  while (cursor.slice_start + slices[cursor.index].length <= offset) {
    cursor.slice_start += slices[cursor.index].length;
    ++cursor.index;
  }
  uint32_t skip = offset - cursor.slice_start;
  while (true) {
    const zbuf::ZSlice& slice = slices[cursor.index];
    octets_.Check(slices, cursor.index);
    const uint32_t take = std::min(length, slice.length - skip);
    out->Append(zbuf::ZRef::ShareOf(slice.data() + skip), take);
    length -= take;
    if (length == 0) return;
    skip = 0;
    cursor.slice_start += slice.length;
    ++cursor.index;
  }
}

// A cursor keeps to its slice; when that one is gone or was cut, it starts again at the front.
void SendQueue::Follow(Cursor& cursor, uint32_t gone, uint32_t n) {
  if (cursor.index <= gone) {
    cursor = Cursor();
  } else {
    cursor.index -= gone;
    cursor.slice_start -= n;
  }
}

void SendQueue::Release(uint32_t n) {
  DCHECK_LE(n, chain_.bytes());
  const size_t slices_before = chain_.slice_count();
  chain_.TrimFront(n);
  const auto gone = static_cast<uint32_t>(slices_before - chain_.slice_count());
  octets_.OnReleased(chain_.slices(), gone);
  Follow(first_, gone, n);
  Follow(again_, gone, n);
}

void SendQueue::Clear() {
  chain_.Clear();
  octets_.Clear();
  first_ = again_ = Cursor();
}

}  // namespace luna::tcp
