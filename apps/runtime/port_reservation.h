#ifndef LUNA_APPS_RUNTIME_PORT_RESERVATION_H_
#define LUNA_APPS_RUNTIME_PORT_RESERVATION_H_

// PortReservation: holds ports of a shared address in the kernel, so that no other program listens there while their
// traffic comes to Luna, and so that a port which is taken is found out before its traffic is.
//
// A reserved port is a kernel socket that is bound and never listens. Thread: any, one at a time. Released by the
// destructor.

#include <cstdint>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "luna/flow/bifurcation/port_plan.h"
#include "luna/net/wire/address.h"

namespace luna::apps {

class PortReservation {
 public:
  PortReservation() = default;
  ~PortReservation();
  PortReservation(const PortReservation&) = delete;
  PortReservation& operator=(const PortReservation&) = delete;

  // Reserves each exact port of the plan that is not reserved yet (ranges are client ports, which the kernel's own
  // ephemeral range is to leave alone). AlreadyExists names the address and port that another program has.
  absl::Status Reserve(const bifurcation::PortPlan& plan);

 private:
  std::map<std::pair<uint32_t, uint16_t>, int> sockets_;  // by address and port
};

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_PORT_RESERVATION_H_
