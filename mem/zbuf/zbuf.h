#ifndef LUNA_MEM_ZBUF_ZBUF_H_
#define LUNA_MEM_ZBUF_ZBUF_H_

// Zbuf: the user-space slab of LUNA (paper §6). This header is the whole façade.
//
//   AnonymousPageSource pages;
//   auto arena = Arena::Create(pages, {.size_bytes = 64 << 20});   // StatusOr; once, at set-up
//   Slab slab(**arena, {.name = "worker 0"});                      // one per thread
//   std::byte* obj = slab.Alloc(2048);                             // one reference
//   Ref(obj + 100);                                                // any inner address
//   Free(obj + 7);
//   ZChain chain(ZSlice{ZRef::Adopt(obj), 2048});                  // owns the last one

#include "luna/mem/zbuf/arena.h"        // IWYU pragma: export
#include "luna/mem/zbuf/page_source.h"  // IWYU pragma: export
#include "luna/mem/zbuf/size_class.h"   // IWYU pragma: export
#include "luna/mem/zbuf/slab.h"         // IWYU pragma: export
#include "luna/mem/zbuf/zchain.h"       // IWYU pragma: export
#include "luna/mem/zbuf/zone.h"         // IWYU pragma: export
#include "luna/mem/zbuf/zref.h"         // IWYU pragma: export

#endif  // LUNA_MEM_ZBUF_ZBUF_H_
