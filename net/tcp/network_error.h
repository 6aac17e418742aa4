#ifndef LUNA_NET_TCP_NETWORK_ERROR_H_
#define LUNA_NET_TCP_NETWORK_ERROR_H_

// What the network, by ICMP or otherwise, said about a connection. A value; any thread.

#include <cstdint>

namespace luna::tcp {

// ICMP's destination unreachable (RFC 792; RFC 1812 §5.2.7.1), time exceeded and parameter problem, and one of our own.
enum class NetworkError : uint8_t {
  kNone,
  kNetUnreachable,       // codes 0, 6, 8, 11
  kHostUnreachable,      // codes 1, 12
  kProtocolUnreachable,  // code 2
  kPortUnreachable,      // code 3
  kMessageTooBig,        // code 4: lowers the segment size, is never reported
  kSourceRouteFailed,    // code 5
  kHostUnknown,          // code 7
  kProhibited,           // codes 9, 10, 13 to 15
  kTimeExceeded,         // type 11
  kParameterProblem,     // type 12
  kNoAnswer,             // R1: retransmissions go unanswered (RFC 9293 §3.8.3)
};

constexpr const char* Name(NetworkError error) {
  constexpr const char* kNames[] = {"none",
                                    "network unreachable",
                                    "host unreachable",
                                    "protocol unreachable",
                                    "port unreachable",
                                    "message too big",
                                    "source route failed",
                                    "host unknown",
                                    "administratively prohibited",
                                    "time exceeded",
                                    "parameter problem",
                                    "no answer"};
  return kNames[static_cast<int>(error)];
}

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_NETWORK_ERROR_H_
