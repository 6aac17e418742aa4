#ifndef LUNA_NET_TCP_TESTING_SIMULATOR_TRANSFER_H_
#define LUNA_NET_TCP_TESTING_SIMULATOR_TRANSFER_H_

// Transfers: an application for simulations. Each transfer is a connection both of whose ends send position-coded
// octets and check what they get, with habits of their own: how much, how fast, whether they read, and how they end.
//
// Checked at both ends (CONFORMANCE F.1: S1, S2, L5): what is delivered is a prefix of what was sent; the peer's FIN
// comes after all of it; no event comes after the last; an end that both call normal has delivered everything; nobody
// is told of an end that has no cause.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "luna/net/tcp/connection.h"
#include "luna/net/tcp/event.h"
#include "luna/net/tcp/testing/simulator/pattern.h"
#include "luna/net/tcp/testing/simulator/simulation.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::simulator {

enum class Ending : uint8_t {
  kHalfClose,   // ShutdownWrite() when all is sent; Close() when the peer has ended, too
  kLast,        // as that, but ends only after the peer has
  kCloseEarly,  // Close() when all is sent, whatever comes
  kAbort,       // Abort() when all is sent
};
constexpr const char* Name(Ending ending) {
  constexpr const char* kNames[] = {"half-close", "last", "close-early", "abort"};
  return kNames[static_cast<int>(ending)];
}

struct Habits {
  uint64_t send_bytes = 0;
  uint32_t most_per_send = 4096;
  Duration send_pause;  // after each Send()
  uint32_t most_per_read = UINT32_MAX;
  Duration read_pause;       // after a Read() that did not take all
  bool never_reads = false;  // until BePatient()
  Ending ending = Ending::kHalfClose;
  bool answers = false;  // sends only as much as it has received so far

  std::string ToString() const;
};

class Transfers;

// One end.
class End {
 public:
  End(Transfers& transfers, Host& host, const Habits& habits, uint64_t key);

  void Handle(const Event& event);
  // From now on it reads whatever comes, and sends without pauses.
  void BePatient();
  // The host has rebooted, or the connection never came to be.
  void Vanish();
  void Abort();

  bool over() const { return over_; }
  bool vanished() const { return vanished_; }
  // By its habits; and because its peer was gone, which it did not hear of.
  bool aborted() const { return aborted_; }
  bool forced() const { return forced_; }
  CloseReason reason() const { return reason_; }
  uint64_t sent() const { return sent_; }
  uint64_t received() const { return received_; }
  bool shut() const { return shut_; }
  bool closed_early() const { return closed_early_; }
  // Grows with everything that happens.
  uint64_t progress() const { return sent_ + received_ + events_; }
  Time over_at() const { return over_at_; }

 private:
  friend class Transfers;
  void Send();
  void Read();
  void Finish();
  void MaybeEnd();
  // The other end gave a SYN cookie, and has not seen the acknowledgement that makes a connection of it. Whoever has
  // nothing to send will wait in vain: that is the price of cookies (RFC 4987 §3.6).
  bool IsUnknownToPeer() const;
  void Later(Duration pause, bool* planned, void (End::*action)());

  Transfers& transfers_;
  Host& host_;
  Habits habits_;
  Pattern out_, in_;
  End* peer_ = nullptr;
  Connection* connection_ = nullptr;
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
  uint64_t events_ = 0;
  bool ready_ = false;
  bool shut_ = false;
  bool peer_closed_ = false;
  bool closed_early_ = false;
  bool aborted_ = false;
  bool forced_ = false;
  bool over_ = false;
  bool vanished_ = false;
  bool send_planned_ = false;
  bool read_planned_ = false;
  CloseReason reason_ = CloseReason::kNone;
  Time over_at_;
};

// What a network may do to connections beside delaying them.
struct Expectations {
  bool may_break = false;  // ends may come for no reason that is seen: an outage, a reboot
  bool forged = false;     // streams may be wrong
};

class Transfers {
 public:
  static constexpr uint16_t kPort = 61000;

  Transfers(Simulation& simulation, const Expectations& expectations);

  // Host `to` listens at kPort from now on, if it does not yet. The connection begins at `when`.
  // `local_port` 0: the stack chooses.
  void Add(size_t from, size_t to, const Habits& active, const Habits& passive, Duration when, uint16_t local_port = 0);

  // Every end of every transfer is over.
  bool AllOver() const;
  uint64_t progress() const;
  void BePatient();
  // Ends whose other end is gone, or that never came to be, end by force: the peer's silence is all that they see.
  // True when there was any.
  bool EndOrphans();
  // What is to be said when all is over.
  void CheckEnds();
  // The active end is even.
  const std::vector<std::unique_ptr<End>>& ends() const { return ends_; }
  std::string Describe() const;

  // --- For End ---
  Simulation& simulation() { return simulation_; }
  const Expectations& expectations() const { return expectations_; }

 private:
  void Watch(size_t host);
  void OnEvent(size_t host, const Event& event);
  void OnReboot(size_t host);
  void Start(size_t from, size_t to, End* active, uint16_t local_port);
  void CheckPair(const End& a, const End& b);

  Simulation& simulation_;
  const Expectations expectations_;
  std::vector<std::unique_ptr<End>> ends_;
  std::vector<bool> watched_;
  std::vector<absl::flat_hash_map<const Connection*, End*>> current_;  // by host
  absl::flat_hash_map<wire::FourTuple, End*> expected_;                // by the passive end's tuple
};

}  // namespace luna::tcp::simulator

#endif  // LUNA_NET_TCP_TESTING_SIMULATOR_TRANSFER_H_
