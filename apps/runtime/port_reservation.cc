#include "luna/apps/runtime/port_reservation.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace luna::apps {
namespace {

absl::Status BindFailed(wire::Ipv4Address address, uint16_t port, int error) {
  const std::string where = wire::Endpoint{address, port}.ToString();
  if (error == EADDRINUSE) {
    return absl::AlreadyExistsError(absl::StrCat("a program of the kernel's has ", where,
                                                 "; choose another port, or stop that program (ss -ltnp)"));
  }
  if (error == EACCES) {
    return absl::PermissionDeniedError(
        absl::StrCat(where, " is a privileged port; run as root, or choose one of 1024 or above"));
  }
  return absl::UnavailableError(absl::StrCat("cannot reserve ", where, ": ", std::strerror(error)));
}

}  // namespace

PortReservation::~PortReservation() {
  for (const auto& [where, fd] : sockets_) close(fd);
}

absl::Status PortReservation::Reserve(const bifurcation::PortPlan& plan) {
  for (const bifurcation::Rule& rule : plan.rules()) {
    if (rule.destination_port.mask != 0xffff) continue;
    const wire::Ipv4Address address = rule.destination_address.value_or(wire::Ipv4Address::Any());
    const uint16_t port = rule.destination_port.value;
    if (sockets_.contains({address.value(), port})) continue;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return absl::UnavailableError(absl::StrCat("cannot open a socket: ", std::strerror(errno)));
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(port);
    name.sin_addr.s_addr = htonl(address.value());
    // Connections of an earlier Luna that the kernel still keeps are no obstacle; a listener is, with the option too.
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0) {
      const int error = errno;
      close(fd);
      return BindFailed(address, port, error);
    }
    sockets_[{address.value(), port}] = fd;
  }
  return absl::OkStatus();
}

}  // namespace luna::apps
