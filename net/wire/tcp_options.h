#ifndef LUNA_NET_WIRE_TCP_OPTIONS_H_
#define LUNA_NET_WIRE_TCP_OPTIONS_H_

// TCP options: MSS (RFC 9293 §3.7.1), window scale and timestamps (RFC 7323), SACK-permitted and SACK (RFC 2018).
//
// Reading accepts any bytes in any segment and any order (RFC 9293 MUST-4, -5, -6, -7, -64, -68); whether an option
// means something in this segment (MSS, window scale and SACK-permitted do in a SYN only) is the caller's to know.
// Writing gives the layout that Linux gives, so that header prediction and GRO on the other side recognise it.
// Values and pure functions: no pointer into the bytes is kept. Any thread.

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "luna/net/wire/byte_cursor.h"

namespace luna::wire {

// Kinds, and the length that each has on the wire.
struct TcpOption {
  static constexpr uint8_t kEnd = 0;
  static constexpr uint8_t kNop = 1;
  static constexpr uint8_t kMss = 2;
  static constexpr uint8_t kWindowScale = 3;
  static constexpr uint8_t kSackPermitted = 4;
  static constexpr uint8_t kSack = 5;
  static constexpr uint8_t kTimestamp = 8;

  static constexpr uint8_t kMssLength = 4;
  static constexpr uint8_t kWindowScaleLength = 3;
  static constexpr uint8_t kSackPermittedLength = 2;
  static constexpr uint8_t kTimestampLength = 10;
  static constexpr uint8_t kSackBlockLength = 8;
};

// Bytes [left, right) of the sequence space, as on the wire: the right edge may well be below the left one.
struct TcpSackBlock {
  uint32_t left = 0;
  uint32_t right = 0;
  friend constexpr bool operator==(const TcpSackBlock&, const TcpSackBlock&) = default;
};

struct TcpOptions {
  static constexpr size_t kMaximumSize = 40;
  static constexpr size_t kMaximumSackBlocks = 4;

  // Something was wrong: a length of 0 or 1 or past the end (the rest is not read), or a wrong one for a known kind
  // (that option is skipped). What was read before stays valid: count it, do not drop the segment for it.
  bool malformed = false;
  bool has_mss = false;
  bool has_window_scale = false;
  bool sack_permitted = false;
  bool has_timestamp = false;
  uint8_t window_scale = 0;  // the shift, as sent: above 14 the caller uses 14 (RFC 7323 §2.3)
  uint8_t sack_count = 0;    // valid entries of `sack`
  uint16_t mss = 0;          // as sent, any value
  uint32_t tsval = 0;
  uint32_t tsecr = 0;
  std::array<TcpSackBlock, kMaximumSackBlocks> sack{};  // not sorted, not judged

  absl::Span<const TcpSackBlock> sack_blocks() const { return absl::MakeConstSpan(sack.data(), sack_count); }

  friend constexpr bool operator==(const TcpOptions&, const TcpOptions&) = default;
};

namespace internal {

// Takes in one option whose `length` (kind and length bytes included) has been checked against the buffer.
inline void ReadTcpOption(const uint8_t* p, size_t length, TcpOptions* out) {
  switch (p[0]) {
    case TcpOption::kMss:
      if (length != TcpOption::kMssLength) break;
      out->has_mss = true;
      out->mss = LoadBe16(p + 2);
      return;
    case TcpOption::kWindowScale:
      if (length != TcpOption::kWindowScaleLength) break;
      out->has_window_scale = true;
      out->window_scale = p[2];
      return;
    case TcpOption::kSackPermitted:
      if (length != TcpOption::kSackPermittedLength) break;
      out->sack_permitted = true;
      return;
    case TcpOption::kTimestamp:
      if (length != TcpOption::kTimestampLength) break;
      out->has_timestamp = true;
      out->tsval = LoadBe32(p + 2);
      out->tsecr = LoadBe32(p + 6);
      return;
    case TcpOption::kSack: {
      const size_t blocks = (length - 2) / TcpOption::kSackBlockLength;
      if (blocks == 0 || (length - 2) % TcpOption::kSackBlockLength != 0) break;
      // At most 4 fit into 40 bytes; the bound also holds for callers with longer buffers.
      out->sack_count = static_cast<uint8_t>(blocks < TcpOptions::kMaximumSackBlocks ? blocks : 4);
      for (size_t i = 0; i < out->sack_count; ++i) out->sack[i] = {LoadBe32(p + 2 + 8 * i), LoadBe32(p + 6 + 8 * i)};
      return;
    }
    default:
      return;
  }
  out->malformed = true;
}

inline void ParseTcpOptionsSlow(absl::Span<const uint8_t> options, TcpOptions* out) {
  const uint8_t* p = options.data();
  size_t left = options.size();
  while (left > 0 && p[0] != TcpOption::kEnd) {
    if (p[0] == TcpOption::kNop) {
      ++p;
      --left;
      continue;
    }
    if (left < 2 || p[1] < 2 || p[1] > left) {
      out->malformed = true;
      return;
    }
    const size_t length = p[1];
    ReadTcpOption(p, length, out);
    p += length;
    left -= length;
  }
}

// "nop nop timestamp", the first word of it.
inline constexpr uint32_t kAlignedTimestampHead = uint32_t{TcpOption::kNop} << 24 | uint32_t{TcpOption::kNop} << 16 |
                                                  uint32_t{TcpOption::kTimestamp} << 8 | TcpOption::kTimestampLength;

}  // namespace internal

// Whether `options` is exactly what an established connection with timestamps sends, and if so its numbers: one compare
// and two loads. The other fields of `out` are not touched.
inline bool ParseTimestampOnly(absl::Span<const uint8_t> options, TcpOptions* out) {
  if (options.size() != 12 || LoadBe32(options.data()) != internal::kAlignedTimestampHead) return false;
  out->has_timestamp = true;
  out->tsval = LoadBe32(options.data() + 4);
  out->tsecr = LoadBe32(options.data() + 8);
  return true;
}

// Reads TcpHeader::Options(segment). Resets `out` first. Of an option that comes twice, the last one counts.
inline void ParseTcpOptions(absl::Span<const uint8_t> options, TcpOptions* out) {
  *out = TcpOptions();
  if (options.empty() || ParseTimestampOnly(options, out)) [[likely]]
    return;
  internal::ParseTcpOptionsSlow(options, out);
}

// How many of options.sack_count blocks fit beside the other options: 3 with timestamps, 4 without.
constexpr size_t TcpOptionsSackBlocksThatFit(const TcpOptions& options) {
  size_t used = options.has_mss ? 4 : 0;
  used += options.has_timestamp ? 12 : options.sack_permitted ? 4 : 0;
  used += options.has_window_scale ? 4 : 0;
  const size_t room = (TcpOptions::kMaximumSize - used - 4) / TcpOption::kSackBlockLength;
  return options.sack_count < room ? options.sack_count : room;
}

// Bytes that WriteTcpOptions() writes: a multiple of 4, at most 40.
constexpr size_t TcpOptionsSize(const TcpOptions& options) {
  size_t size = options.has_mss ? 4 : 0;
  size += options.has_timestamp ? 12 : options.sack_permitted ? 4 : 0;
  size += options.has_window_scale ? 4 : 0;
  const size_t blocks = TcpOptionsSackBlocksThatFit(options);
  return size + (blocks == 0 ? 0 : 4 + TcpOption::kSackBlockLength * blocks);
}

// Writes TcpOptionsSize(options) bytes and returns that number. The order is Linux's: mss; sackOK and timestamps as one
// aligned group, with nops for the one that is missing; nop, window scale; nop, nop, SACK blocks, first ones first, as
// many as fit. `malformed` is ignored.
size_t WriteTcpOptions(const TcpOptions& options, uint8_t* out);

inline size_t WriteTcpOptions(const TcpOptions& options, uint8_t* out) {
  uint8_t* p = out;
  if (options.has_mss) {
    StoreBe32(p, uint32_t{TcpOption::kMss} << 24 | uint32_t{TcpOption::kMssLength} << 16 | options.mss);
    p += 4;
  }
  constexpr uint16_t kTwoNops = uint16_t{TcpOption::kNop} << 8 | TcpOption::kNop;
  constexpr uint16_t kSackPermitted = uint16_t{TcpOption::kSackPermitted} << 8 | TcpOption::kSackPermittedLength;
  if (options.has_timestamp) {
    StoreBe16(p, options.sack_permitted ? kSackPermitted : kTwoNops);
    StoreBe16(p + 2, static_cast<uint16_t>(internal::kAlignedTimestampHead));
    StoreBe32(p + 4, options.tsval);
    StoreBe32(p + 8, options.tsecr);
    p += 12;
  } else if (options.sack_permitted) {
    StoreBe16(p, kTwoNops);
    StoreBe16(p + 2, kSackPermitted);
    p += 4;
  }
  if (options.has_window_scale) {
    StoreBe32(p, uint32_t{TcpOption::kNop} << 24 | uint32_t{TcpOption::kWindowScale} << 16 |
                     uint32_t{TcpOption::kWindowScaleLength} << 8 | options.window_scale);
    p += 4;
  }
  const size_t blocks = TcpOptionsSackBlocksThatFit(options);
  if (blocks != 0) {
    const auto length = static_cast<uint16_t>(2 + TcpOption::kSackBlockLength * blocks);
    StoreBe16(p, kTwoNops);
    StoreBe16(p + 2, static_cast<uint16_t>(uint16_t{TcpOption::kSack} << 8 | length));
    p += 4;
    for (size_t i = 0; i < blocks; ++i, p += 8) {
      StoreBe32(p, options.sack[i].left);
      StoreBe32(p + 4, options.sack[i].right);
    }
  }
  return static_cast<size_t>(p - out);
}

}  // namespace luna::wire

#endif  // LUNA_NET_WIRE_TCP_OPTIONS_H_
