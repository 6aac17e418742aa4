"""What luna-echo's client sends, for peers that check it."""

import hashlib


def pattern_sha256(size, period=65521):
    """What luna-echo's client sends (apps/echo/pattern.h)."""
    octets, state, mask = bytearray(), 0x9E3779B97F4A7C15, (1 << 64) - 1
    for _ in range(period):
        state ^= state << 13 & mask
        state ^= state >> 7
        state ^= state << 17 & mask
        octets.append(state >> 32 & 0xFF)
    digest = hashlib.sha256()
    for _ in range(size // period):
        digest.update(octets)
    digest.update(octets[: size % period])
    return digest.hexdigest()
