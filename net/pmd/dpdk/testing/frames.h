#ifndef LUNA_NET_PMD_DPDK_TESTING_FRAMES_H_
#define LUNA_NET_PMD_DPDK_TESTING_FRAMES_H_

// Frames with contents to be recognised, for tests of ports.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/pmd/packet_io.h"

namespace luna::pmd::dpdk {

// An arena of ordinary memory and a slab on it, owned by the thread that makes it.
struct Memory {
  explicit Memory(size_t megabytes);
  // Objs that are out, other threads' returns counted.
  size_t outstanding();

  zbuf::AnonymousPageSource source;
  std::unique_ptr<zbuf::Arena> arena;
  std::unique_ptr<zbuf::Slab> slab;
};

// `bytes` pseudo-random bytes that follow from `number`, which is in the first four.
std::string Pattern(uint32_t number, uint32_t bytes);

// `text` in `slices` objs of `slab`, with kTxHeadroomBytes in front of each; empty when memory is exhausted.
Packet MakePacket(zbuf::Slab& slab, const std::string& text, size_t slices);

// Compare by EXPECT_TRUE(x == y): a failure need not print kilobytes.
using Frames = std::vector<std::string>;

// Polls until nothing comes, or `at_most` frames are there.
Frames ReceiveAll(PacketIo& io, size_t at_most = 1 << 20);

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_TESTING_FRAMES_H_
