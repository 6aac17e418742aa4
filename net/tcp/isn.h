#ifndef LUNA_NET_TCP_ISN_H_
#define LUNA_NET_TCP_ISN_H_

// Numbers that an attacker must not guess: initial sequence numbers (RFC 6528), timestamp offsets (RFC 7323 §5.4) and
// the first ephemeral port to try (RFC 6056 §3.3.3), all from SipHash-2-4 keyed with the stack's secret. Pure functions
// of (secret, tuple, now): they replay.

#include <array>
#include <cstdint>

#include "luna/net/tcp/seq.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

using Secret = std::array<uint64_t, 2>;

// SipHash-2-4 (Aumasson and Bernstein) of `words`, each taken as eight little-endian octets.
uint64_t SipHash24(const Secret& key, const uint64_t* words, int count);

// Keyed hash of a four-tuple; `domain` separates its uses.
uint64_t HashTuple(const Secret& key, const wire::FourTuple& tuple, uint64_t domain);

// ISN = M + F(tuple, secret), where M ticks every 4 µs (RFC 6528 §3).
SeqNum InitialSequenceNumber(const Secret& key, const wire::FourTuple& tuple, Time now);

// How far beyond its predecessor's last number a connection that reopens a TIME-WAIT begins: more than any window field
// without scale.
inline constexpr uint32_t kIssStep = 0x10002;

// Per-connection offset of the timestamp clock, so that TSval tells nothing of the host's uptime.
uint32_t TimestampOffset(const Secret& key, const wire::FourTuple& tuple);

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_ISN_H_
