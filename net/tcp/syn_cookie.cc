#include "luna/net/tcp/syn_cookie.h"

#include <array>

namespace luna::tcp {
namespace {

constexpr uint64_t kCookieDomain = 5;  // beside those of isn.cc and stack.cc

// The least that is believed, the default, and what is common on links.
constexpr std::array<uint16_t, 8> kSegmentSizes = {64, 536, 1220, 1360, 1440, 1460, 4312, 8960};

constexpr uint32_t kOfferBits = 6;
constexpr uint32_t kOfferMask = (1u << kOfferBits) - 1;
constexpr uint32_t kNoScale = 0xf;
constexpr uint32_t kSackBit = 1u << 4;
constexpr uint32_t kEcnBit = 1u << 5;

uint64_t Tick(Time now) { return static_cast<uint64_t>(now.nanoseconds() / kSynCookieTick.nanoseconds()); }

constexpr uint32_t kIsnMask = (1u << 22) - 1;  // the part that depends on the peer's ISN

// The part that does not.
uint32_t Upper(const Secret& secret, const wire::FourTuple& tuple, uint64_t tick) {
  const uint64_t words[] = {HashTuple(secret, tuple, kCookieDomain), tick};
  return static_cast<uint32_t>(SipHash24(secret, words, 2)) & ~kIsnMask;
}

SeqNum Cookie(const Secret& secret, const wire::FourTuple& tuple, SeqNum peer_isn, uint64_t tick, uint32_t index) {
  const uint64_t words[] = {HashTuple(secret, tuple, kCookieDomain), peer_isn.raw(), tick};
  const uint32_t lower = static_cast<uint32_t>(SipHash24(secret, words, 3)) + index;
  return SeqNum(Upper(secret, tuple, tick) | (lower & kIsnMask));
}

}  // namespace

SeqNum MakeSynCookie(const Secret& secret, const wire::FourTuple& tuple, SeqNum peer_isn, uint16_t mss, Time now) {
  uint32_t index = kSegmentSizes.size() - 1;
  while (index > 0 && kSegmentSizes[index] > mss) --index;
  return Cookie(secret, tuple, peer_isn, Tick(now), index);
}

std::optional<uint16_t> ReadSynCookie(const Secret& secret, const wire::FourTuple& tuple, SeqNum peer_isn,
                                      SeqNum cookie, Time now) {
  for (const uint64_t age : {0u, 1u}) {
    const SeqNum first = Cookie(secret, tuple, peer_isn, Tick(now) - age, 0);
    const uint32_t index = (cookie.raw() - first.raw()) & kIsnMask;
    if (((cookie.raw() ^ first.raw()) & ~kIsnMask) == 0 && index < kSegmentSizes.size()) return kSegmentSizes[index];
  }
  return std::nullopt;
}

bool MayBeSynCookie(const Secret& secret, const wire::FourTuple& tuple, SeqNum cookie, Time now) {
  const uint32_t upper = cookie.raw() & ~kIsnMask;
  return upper == Upper(secret, tuple, Tick(now)) || upper == Upper(secret, tuple, Tick(now) - 1);
}

uint32_t PutCookieOffer(uint32_t clock, const CookieOffer& offer) {
  const uint32_t bits = offer.window_scale.value_or(kNoScale) | (offer.sack ? kSackBit : 0) | (offer.ecn ? kEcnBit : 0);
  const uint32_t value = (clock & ~kOfferMask) | bits;
  return static_cast<int32_t>(value - clock) > 0 ? value - (1u << kOfferBits) : value;
}

CookieOffer GetCookieOffer(uint32_t clock) {
  CookieOffer offer;
  const uint32_t scale = clock & kNoScale;
  if (scale != kNoScale) offer.window_scale = static_cast<uint8_t>(scale);
  offer.sack = (clock & kSackBit) != 0;
  offer.ecn = (clock & kEcnBit) != 0;
  return offer;
}

}  // namespace luna::tcp
