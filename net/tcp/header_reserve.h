#ifndef LUNA_NET_TCP_HEADER_RESERVE_H_
#define LUNA_NET_TCP_HEADER_RESERVE_H_

// HeaderReserve: the objs that headers are built in, and some of them set aside. Where payload has all the slab, its
// segments still leave, and their acknowledgements free it; without a header none would, and nothing ever again.
//
// Internal to net/tcp. One thread. The objs set aside count as outstanding.

#include <cstddef>
#include <vector>

#include "luna/mem/zbuf/slab.h"

namespace luna::tcp {

class HeaderReserve {
 public:
  // Takes `objs` objs of `bytes` at once, as far as there are any; the rest as they come home.
  HeaderReserve(zbuf::Slab& slab, size_t bytes, size_t objs) : slab_(slab), bytes_(bytes), target_(objs) {
    objs_.reserve(objs);
    Fill();
  }
  ~HeaderReserve() {
    for (std::byte* obj : objs_) slab_.Free(obj);
  }
  HeaderReserve(const HeaderReserve&) = delete;
  HeaderReserve& operator=(const HeaderReserve&) = delete;

  // Null when the slab is exhausted, and the reserve, too. The caller owns the obj; freed, it goes to the slab.
  std::byte* Alloc() {
    std::byte* obj = AllocOrdinary();
    if (obj == nullptr && !objs_.empty()) [[unlikely]] {
      obj = objs_.back();
      objs_.pop_back();
    }
    return obj;
  }

  // The same without the reserve, which is filled first.
  std::byte* AllocOrdinary() {
    if (objs_.size() < target_ && !Fill()) [[unlikely]]
      return nullptr;
    return slab_.Alloc(bytes_);
  }

  // How many are set aside now.
  size_t objs() const { return objs_.size(); }

  // What came home first comes here, before payload has it. True: nothing is missing.
  bool Fill() {
    while (objs_.size() < target_) {
      std::byte* obj = slab_.Alloc(bytes_);
      if (obj == nullptr) return false;
      objs_.push_back(obj);
    }
    return true;
  }

 private:
  zbuf::Slab& slab_;
  const size_t bytes_;
  const size_t target_;
  std::vector<std::byte*> objs_;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_HEADER_RESERVE_H_
