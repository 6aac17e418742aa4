#include "luna/net/wire/address.h"

#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace luna::wire {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The whole of `text` as a decimal number without leading zeros, at most `max`.
absl::optional<uint32_t> ParseDecimal(absl::string_view text, uint32_t max) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text[0] == '0')) return absl::nullopt;
  uint32_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return absl::nullopt;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  if (value > max) return absl::nullopt;
  return value;
}

// One group of an IPv6 address: one to four hex digits.
absl::optional<uint16_t> ParseGroup(absl::string_view text) {
  if (text.empty() || text.size() > 4) return absl::nullopt;
  uint32_t value = 0;
  for (char c : text) {
    const int digit = HexDigit(c);
    if (digit < 0) return absl::nullopt;
    value = value << 4 | static_cast<uint32_t>(digit);
  }
  return static_cast<uint16_t>(value);
}

// A run of groups separated by single colons, the last of which may be a dotted quad when `may_end_in_v4`.
// An empty text is an empty run. Returns the number of 16-bit groups put into `groups` (room for 8), or -1.
int ParseGroups(absl::string_view text, bool may_end_in_v4, uint16_t* groups) {
  if (text.empty()) return 0;
  int count = 0;
  while (true) {
    const size_t colon = text.find(':');
    const absl::string_view group = text.substr(0, colon);
    const bool last = colon == absl::string_view::npos;
    if (last && may_end_in_v4 && group.find('.') != absl::string_view::npos) {
      const absl::optional<Ipv4Address> v4 = Ipv4Address::Parse(group);
      if (!v4 || count > 6) return -1;
      groups[count++] = static_cast<uint16_t>(v4->value() >> 16);
      groups[count++] = static_cast<uint16_t>(v4->value());
      return count;
    }
    const absl::optional<uint16_t> value = ParseGroup(group);
    if (!value || count == 8) return -1;
    groups[count++] = *value;
    if (last) return count;
    text.remove_prefix(colon + 1);
  }
}

IpAddress FromGroups(const uint16_t* groups) {
  uint8_t bytes[16];
  for (int i = 0; i < 8; ++i) {
    bytes[2 * i] = static_cast<uint8_t>(groups[i] >> 8);
    bytes[2 * i + 1] = static_cast<uint8_t>(groups[i]);
  }
  return IpAddress::FromBytes(bytes);
}

absl::optional<IpAddress> ParseV6(absl::string_view text) {
  uint16_t groups[8] = {};
  const size_t gap = text.find("::");
  if (gap == absl::string_view::npos) {
    if (ParseGroups(text, true, groups) != 8) return absl::nullopt;
    return FromGroups(groups);
  }
  uint16_t tail[8] = {};
  const int head_count = ParseGroups(text.substr(0, gap), false, groups);
  const int tail_count = ParseGroups(text.substr(gap + 2), true, tail);
  // "::" stands for at least one group (RFC 4291 §2.2).
  if (head_count < 0 || tail_count < 0 || head_count + tail_count > 7) return absl::nullopt;
  for (int i = 0; i < tail_count; ++i) groups[8 - tail_count + i] = tail[i];
  return FromGroups(groups);
}

}  // namespace

absl::optional<MacAddress> MacAddress::Parse(absl::string_view text) {
  if (text.size() != 17 || (text[2] != ':' && text[2] != '-')) return absl::nullopt;
  std::array<uint8_t, kSize> bytes;
  for (size_t i = 0; i < kSize; ++i) {
    const int high = HexDigit(text[3 * i]);
    const int low = HexDigit(text[3 * i + 1]);
    if (high < 0 || low < 0 || (i + 1 < kSize && text[3 * i + 2] != text[2])) return absl::nullopt;
    bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return MacAddress(bytes);
}

std::string MacAddress::ToString() const {
  return absl::StrFormat("%02x:%02x:%02x:%02x:%02x:%02x", bytes_[0], bytes_[1], bytes_[2], bytes_[3], bytes_[4],
                         bytes_[5]);
}

absl::optional<Ipv4Address> Ipv4Address::Parse(absl::string_view text) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const size_t dot = text.find('.');
    if ((dot == absl::string_view::npos) != (i == 3)) return absl::nullopt;
    const absl::optional<uint32_t> part = ParseDecimal(text.substr(0, dot), 255);
    if (!part) return absl::nullopt;
    value = value << 8 | *part;
    if (i < 3) text.remove_prefix(dot + 1);
  }
  return Ipv4Address(value);
}

std::string Ipv4Address::ToString() const {
  return absl::StrCat(value_ >> 24, ".", value_ >> 16 & 255, ".", value_ >> 8 & 255, ".", value_ & 255);
}

absl::optional<IpAddress> IpAddress::Parse(absl::string_view text) {
  if (text.find(':') != absl::string_view::npos) return ParseV6(text);
  const absl::optional<Ipv4Address> v4 = Ipv4Address::Parse(text);
  if (!v4) return absl::nullopt;
  return IpAddress(*v4);
}

std::string IpAddress::ToString() const {
  if (IsV4()) return v4().ToString();
  uint16_t groups[8];
  for (size_t i = 0; i < 8; ++i) groups[i] = static_cast<uint16_t>(words_[i / 2] >> (i % 2 == 0 ? 16 : 0));
  int best_start = -1;
  int best_length = 1;  // a single zero group is not shortened (RFC 5952 §4.2.2)
  for (int i = 0; i < 8;) {
    int end = i;
    while (end < 8 && groups[end] == 0) ++end;
    if (end - i > best_length) {
      best_start = i;
      best_length = end - i;
    }
    i = end + 1;
  }
  std::string text;
  for (int i = 0; i < 8; ++i) {
    if (i == best_start) {
      absl::StrAppend(&text, "::");
      i += best_length - 1;
      continue;
    }
    if (!text.empty() && text.back() != ':') text.push_back(':');
    absl::StrAppend(&text, absl::Hex(groups[i]));
  }
  return text;
}

absl::optional<Ipv4Prefix> Ipv4Prefix::Parse(absl::string_view text) {
  const size_t slash = text.find('/');
  if (slash == absl::string_view::npos) return absl::nullopt;
  const absl::optional<Ipv4Address> address = Ipv4Address::Parse(text.substr(0, slash));
  const absl::optional<uint32_t> length = ParseDecimal(text.substr(slash + 1), 32);
  if (!address || !length) return absl::nullopt;
  return Ipv4Prefix(*address, static_cast<int>(*length));
}

std::string Ipv4Prefix::ToString() const { return absl::StrCat(address_.ToString(), "/", int{length_}); }

absl::optional<Endpoint> Endpoint::Parse(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return absl::nullopt;
  absl::string_view host = text.substr(0, colon);
  const absl::optional<uint32_t> port = ParseDecimal(text.substr(colon + 1), 65535);
  if (!port) return absl::nullopt;
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  // Brackets belong to v6 text and v6 text needs them, or its last group would pass for a port.
  if (bracketed != (host.find(':') != absl::string_view::npos)) return absl::nullopt;
  const absl::optional<IpAddress> address = IpAddress::Parse(host);
  if (!address) return absl::nullopt;
  return Endpoint{*address, static_cast<uint16_t>(*port)};
}

std::string Endpoint::ToString() const {
  if (address.IsV4()) return absl::StrCat(address.ToString(), ":", port);
  return absl::StrCat("[", address.ToString(), "]:", port);
}

std::string FourTuple::ToString() const { return absl::StrCat(local.ToString(), "<-", remote.ToString()); }

std::ostream& operator<<(std::ostream& out, const MacAddress& a) { return out << a.ToString(); }
std::ostream& operator<<(std::ostream& out, Ipv4Address a) { return out << a.ToString(); }
std::ostream& operator<<(std::ostream& out, const IpAddress& a) { return out << a.ToString(); }
std::ostream& operator<<(std::ostream& out, const Ipv4Prefix& p) { return out << p.ToString(); }
std::ostream& operator<<(std::ostream& out, const Endpoint& e) { return out << e.ToString(); }
std::ostream& operator<<(std::ostream& out, const FourTuple& t) { return out << t.ToString(); }

}  // namespace luna::wire
