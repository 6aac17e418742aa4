#include "luna/net/tcp/isn.h"

#include <bit>
#include <cstring>

namespace luna::tcp {
namespace {

enum HashDomain : uint64_t { kIsn = 1, kTimestamp = 2 };

struct SipState {
  uint64_t v0, v1, v2, v3;

  void Round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }

  void Absorb(uint64_t word) {
    v3 ^= word;
    Round();
    Round();
    v0 ^= word;
  }
};

void PackAddress(const wire::IpAddress& address, uint64_t* words) {
  static_assert(sizeof(wire::IpAddress) == 16);
  std::memcpy(words, &address, 16);
}

}  // namespace

uint64_t SipHash24(const Secret& key, const uint64_t* words, int count) {
  SipState s{key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
             key[1] ^ 0x7465646279746573u};
  for (int i = 0; i < count; ++i) s.Absorb(words[i]);
  s.Absorb(static_cast<uint64_t>(count * 8) << 56);
  s.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) s.Round();
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t HashTuple(const Secret& key, const wire::FourTuple& tuple, uint64_t domain) {
  uint64_t words[5];
  PackAddress(tuple.local.address, words);
  PackAddress(tuple.remote.address, words + 2);
  words[4] = domain << 32 | static_cast<uint64_t>(tuple.local.port) << 16 | tuple.remote.port;
  return SipHash24(key, words, 5);
}

SeqNum InitialSequenceNumber(const Secret& key, const wire::FourTuple& tuple, Time now) {
  const uint64_t clock = static_cast<uint64_t>(now.nanoseconds()) / 4000;
  return SeqNum(static_cast<uint32_t>(clock + HashTuple(key, tuple, kIsn)));
}

uint32_t TimestampOffset(const Secret& key, const wire::FourTuple& tuple) {
  return static_cast<uint32_t>(HashTuple(key, tuple, kTimestamp));
}

}  // namespace luna::tcp
