#ifndef LUNA_NET_TCP_TESTING_PACKETSCRIPT_FLOW_H_
#define LUNA_NET_TCP_TESTING_PACKETSCRIPT_FLOW_H_

// The connections that a script speaks of, and the numbers of each: in the script and on the wire.
//
// As with packetdrill, sequence and acknowledgement numbers are absolute in packets with SYN and count from the SYN in
// all others. The script's peer uses the very numbers that the script says. The stack's own initial number is learnt
// from its SYN. Of timestamps, the peer's are as the script says; the stack's are compared by what has passed since its
// first one, and echoed by the value that the packet with the script's value really had.
//
// One connection at a time is the one that packets belong to: the last that listened, that got a first packet while
// listening, or that connected.
//
// One thread.

#include <cstdint>
#include <list>
#include <map>

#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "luna/net/tcp/testing/packetscript/script.h"
#include "luna/net/tcp/testing/packetscript/wire_packet.h"
#include "luna/net/wire/address.h"

namespace luna::tcp::packetscript {

struct Flow {
  enum class State : uint8_t {
    kNew,          // socket()
    kListening,    // listen()
    kFirstPacket,  // a packet came for the listener
    kPassive,      // our SYN-ACK was seen
    kConnecting,   // connect()
    kSynSent,      // the script has our SYN
    kActive,       // the peer's SYN-ACK came
  };
  State state = State::kNew;
  int fd = -1;  // the script's
  wire::Endpoint local;
  wire::Endpoint remote;
  uint32_t script_isn = 0;  // ours, as in the script
  uint32_t live_isn = 0;    // ours, on the wire
  uint32_t remote_isn = 0;
  // Our timestamps.
  std::map<uint32_t, uint32_t> live_timestamps;  // by the script's
  bool has_timestamp = false;
  uint32_t first_script_timestamp = 0;
  uint32_t first_live_timestamp = 0;
  // For the reset at the end.
  absl::optional<Segment> last_in;
  absl::optional<Segment> last_out;

  // From the script's numbers to the wire's: what is to be added.
  uint32_t RemoteOffset(bool syn) const { return syn ? 0 : remote_isn; }
  uint32_t LocalOffset(bool syn) const { return syn ? live_isn - script_isn : live_isn; }

  // A packet of the script's peer to the wire. InvalidArgument: it echoes a timestamp that we never sent;
  // `scaled` allows it and takes the time between.
  absl::Status ToLive(Segment* segment, bool scaled) const;
  // A packet of ours to the script's numbers, but for its timestamp.
  void ToScript(Segment* segment) const;
  // Notes what the script calls the timestamp of `actual`, and turns that into the script's.
  void LearnTimestamp(const Segment& expected, Segment* actual);
  // What ends the connection at our side whatever its state.
  Segment Reset() const;
};

class FlowTable {
 public:
  // Where listeners are by default.
  FlowTable(wire::Endpoint local, wire::Endpoint remote) : local_(local), remote_(remote) {}

  // --- System calls ---
  void OnSocket(int fd);
  void OnListen(int fd, const absl::optional<wire::Endpoint>& local);
  void OnConnect(int fd, const wire::Endpoint& remote);
  void OnAccept(int fd, const wire::Endpoint& remote);

  // --- Packets ---
  // The connection that the script's packet belongs to; a new one for the first packet to a listener. Null: there is
  // none.
  Flow* ForScript(const PacketSpec& packet);
  // The connection that a packet of the stack belongs to, or null. May learn our port and number from a SYN.
  Flow* ForLive(const Segment& segment);

  Flow* current() { return current_; }
  Flow* ByFd(int fd);
  std::list<Flow>& all() { return flows_; }

 private:
  Flow& Add();

  const wire::Endpoint local_;
  const wire::Endpoint remote_;
  uint16_t next_port_ = 0;  // added to remote_'s own
  std::list<Flow> flows_;
  Flow* current_ = nullptr;
};

}  // namespace luna::tcp::packetscript

#endif  // LUNA_NET_TCP_TESTING_PACKETSCRIPT_FLOW_H_
