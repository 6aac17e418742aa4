#ifndef LUNA_NET_TCP_SYN_COOKIE_H_
#define LUNA_NET_TCP_SYN_COOKIE_H_

// SYN cookies (RFC 4987 §3.6): a SYN-ACK that needs no memory, because the acknowledgement that answers it brings back
// what there was to remember.
//
// The upper ten bits of the initial sequence number are a keyed hash (SipHash) of the four-tuple and a clock of 64
// s, the rest one of the peer's ISN, too, plus the index of a segment size in a table of eight. Guessing one that holds
// takes 2^28 tries, since two ticks of the clock are believed. The upper part tells a segment that has overtaken the
// acknowledgement of the SYN-ACK, whose ISN nobody knows yet, from one of a connection
// that is gone, unless that was opened by a cookie, too, and of late: the stack remembers those. What else the
// peer's SYN offered rides in the low six bits of our timestamp, which the peer echoes: without timestamps there is no
// window scaling, SACK or ECN on such a connection.
//
// Pure functions of their arguments.

#include <cstdint>
#include <optional>

#include "luna/net/tcp/isn.h"
#include "luna/net/tcp/seq.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

inline constexpr Duration kSynCookieTick = Duration::Seconds(64);
inline constexpr Duration kSynCookieLife = kSynCookieTick * 2;  // at most; at least one tick

// `mss` is rounded down to the table's next.
SeqNum MakeSynCookie(const Secret& secret, const wire::FourTuple& tuple, SeqNum peer_isn, uint16_t mss, Time now);
// The segment size in `cookie`, if we made it for these ends at most two ticks ago.
std::optional<uint16_t> ReadSynCookie(const Secret& secret, const wire::FourTuple& tuple, SeqNum peer_isn,
                                      SeqNum cookie, Time now);
// Whether `cookie` may be ours, for these ends, whatever the peer's ISN was: of all numbers one in 512 may.
bool MayBeSynCookie(const Secret& secret, const wire::FourTuple& tuple, SeqNum cookie, Time now);

// What rides in the timestamp.
struct CookieOffer {
  std::optional<uint8_t> window_scale;
  bool sack = false;
  bool ecn = false;

  friend bool operator==(const CookieOffer&, const CookieOffer&) = default;
};

// The timestamp clock's value to send: at most 63 ticks behind `clock`, never ahead.
uint32_t PutCookieOffer(uint32_t clock, const CookieOffer& offer);
CookieOffer GetCookieOffer(uint32_t clock);

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_SYN_COOKIE_H_
