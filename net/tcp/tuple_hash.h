#ifndef LUNA_NET_TCP_TUPLE_HASH_H_
#define LUNA_NET_TCP_TUPLE_HASH_H_

// The hash by which segments find their connection: fast (two multiplications), keyed with the stack's secret so that
// nobody outside can aim at one bucket, and the same in every run with that secret. Numbers that leave the host come
// from SipHash (isn.h), not from here. Pure.

#include <cstdint>
#include <cstring>

#include "luna/net/tcp/isn.h"
#include "luna/net/wire/address.h"

namespace luna::tcp {

class TupleHash {
 public:
  explicit TupleHash(const Secret& secret) : a_(secret[0] ^ 0x9e3779b97f4a7c15u), b_(secret[1] ^ 0xd1b54a32d192ed03u) {}

  uint64_t operator()(const wire::FourTuple& t) const {
    uint64_t local[2];
    uint64_t remote[2];
    std::memcpy(local, &t.local.address, sizeof(local));
    std::memcpy(remote, &t.remote.address, sizeof(remote));
    const uint64_t ports = uint64_t{t.local.port} << 16 | t.remote.port;
    const uint64_t ends = Fold(remote[0] ^ local[1] ^ b_, remote[1] ^ a_ ^ (ports << 32));
    return Fold(ends ^ local[0] ^ a_, ports ^ local[1] ^ b_);
  }

 private:
  static uint64_t Fold(uint64_t x, uint64_t y) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(x) * y;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }

  uint64_t a_;
  uint64_t b_;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_TUPLE_HASH_H_
