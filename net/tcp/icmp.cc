#include "luna/net/tcp/icmp.h"

#include "luna/net/ip/datagram.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/checksum.h"

namespace luna::tcp {
namespace {

constexpr uint8_t kUnreachable = 3;
constexpr uint8_t kTimeExceeded = 11;
constexpr uint8_t kParameterProblem = 12;
constexpr uint8_t kFragmentationNeeded = 4;
constexpr size_t kIcmpHeaderBytes = 8;
constexpr size_t kIpHeaderBytes = 20;
constexpr size_t kQuotedTcpBytes = 8;  // ports and sequence number

NetworkError FromUnreachable(uint8_t code) {
  constexpr NetworkError kErrors[] = {
      NetworkError::kNetUnreachable,  NetworkError::kHostUnreachable, NetworkError::kProtocolUnreachable,
      NetworkError::kPortUnreachable, NetworkError::kMessageTooBig,   NetworkError::kSourceRouteFailed,
      NetworkError::kNetUnreachable,  NetworkError::kHostUnknown,     NetworkError::kNetUnreachable,
      NetworkError::kProhibited,      NetworkError::kProhibited,      NetworkError::kNetUnreachable,
      NetworkError::kHostUnreachable, NetworkError::kProhibited,      NetworkError::kProhibited,
      NetworkError::kProhibited};
  return code < std::size(kErrors) ? kErrors[code] : NetworkError::kNone;
}

NetworkError FromType(uint8_t type, uint8_t code) {
  if (type == kUnreachable) return FromUnreachable(code);
  if (type == kTimeExceeded) return NetworkError::kTimeExceeded;
  return type == kParameterProblem ? NetworkError::kParameterProblem : NetworkError::kNone;
}

// RFC 1191 §7.1, table 7-1.
uint32_t NextPlateau(uint32_t refused) {
  for (const uint32_t plateau : {32000u, 17914u, 8166u, 4352u, 2002u, 1492u, 1006u, 508u, 296u, 68u}) {
    if (plateau < refused) return plateau;
  }
  return 68;
}

}  // namespace

std::optional<IcmpError> ParseIcmpError(absl::Span<const uint8_t> message) {
  if (message.size() < kIcmpHeaderBytes + kIpHeaderBytes + kQuotedTcpBytes) return std::nullopt;
  wire::ChecksumAccumulator sum;
  sum.Add(message);
  if (sum.Fold() != 0) return std::nullopt;

  const uint8_t* ip = message.data() + kIcmpHeaderBytes;
  const size_t ip_bytes = (ip[0] & 0xfu) * 4u;
  if (ip[0] >> 4 != 4 || ip_bytes < kIpHeaderBytes || ip[9] != ip::kProtocolTcp) return std::nullopt;
  if ((wire::LoadBe16(ip + 6) & 0x1fff) != 0) return std::nullopt;  // a later fragment: no TCP header there
  if (message.size() < kIcmpHeaderBytes + ip_bytes + kQuotedTcpBytes) return std::nullopt;
  const uint8_t* tcp = ip + ip_bytes;

  IcmpError error;
  error.error = FromType(message[0], message[1]);
  if (error.error == NetworkError::kNone) return std::nullopt;
  error.tuple.local = {wire::Ipv4Address(wire::LoadBe32(ip + 12)), wire::LoadBe16(tcp)};
  error.tuple.remote = {wire::Ipv4Address(wire::LoadBe32(ip + 16)), wire::LoadBe16(tcp + 2)};
  error.seq = SeqNum(wire::LoadBe32(tcp + 4));
  if (message[0] == kUnreachable && message[1] == kFragmentationNeeded) {
    error.mtu = wire::LoadBe16(message.data() + 6);
    if (error.mtu == 0) error.mtu = NextPlateau(wire::LoadBe16(ip + 2));
  }
  return error;
}

}  // namespace luna::tcp
