#ifndef LUNA_NET_IP_CHAIN_BYTES_H_
#define LUNA_NET_IP_CHAIN_BYTES_H_

// Bytes of a ZChain as net/wire reads them. Internal to net/ip.

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/net/wire/checksum.h"

namespace luna::ip {

inline absl::Span<const uint8_t> BytesOf(const zbuf::ZSlice& slice) {
  return {reinterpret_cast<const uint8_t*>(slice.data()), slice.size()};
}

// The first slice's bytes, writable: only in an obj that belongs to the packet alone. Not of an empty chain.
inline uint8_t* FrontBytes(zbuf::ZChain& chain) { return reinterpret_cast<uint8_t*>(chain.front().data()); }

// The first min(size, chain.bytes()) bytes, or more, in one piece: in place when the first slice holds them, else
// copied to `scratch`, which has room for `size`. Valid until the chain or `scratch` changes.
inline absl::Span<const uint8_t> ContiguousFront(const zbuf::ZChain& chain, size_t size, uint8_t* scratch) {
  if (chain.empty()) return {};
  const absl::Span<const uint8_t> first = BytesOf(chain.front());
  if (first.size() >= size || chain.slice_count() == 1) [[likely]]
    return first;
  const size_t n = size < chain.bytes() ? size : chain.bytes();
  chain.CopyTo(absl::Span<std::byte>(reinterpret_cast<std::byte*>(scratch), n));
  return {scratch, n};
}

// Adds the whole chain to a checksum.
inline void AddChain(const zbuf::ZChain& chain, wire::ChecksumAccumulator* sum) {
  for (const zbuf::ZSlice& slice : chain) sum->Add(BytesOf(slice));
}

}  // namespace luna::ip

#endif  // LUNA_NET_IP_CHAIN_BYTES_H_
