#include "luna/ctrl/netlink/interface_info.h"

#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "luna/ctrl/netlink/message.h"
#include "luna/ctrl/netlink/mnl_socket.h"

namespace luna::netlink {
namespace {

constexpr size_t kBufferBytes = 64 << 10;
// A dump comes in datagrams of at least a page; this is far more interfaces than anyone has.
constexpr int kMaxDatagrams = 4096;

enum class Progress { kMore, kDone };

absl::StatusOr<Progress> Visit(absl::Span<const uint8_t> datagram, uint16_t type, uint32_t sequence,
                               absl::FunctionRef<void(absl::Span<const uint8_t>)> visit) {
  MessageReader reader(datagram);
  RawMessage message;
  while (reader.Next(&message)) {
    if (message.sequence != sequence) continue;
    if (message.type == NLMSG_ERROR || message.type == NLMSG_DONE) {
      const int error = ParseError(message.payload).value_or(0);
      if (error != 0) return absl::InternalError(absl::StrCat("the kernel refused a netlink dump, errno ", error));
      return Progress::kDone;
    }
    if (message.type == type) visit(message.payload);
  }
  if (reader.malformed()) return absl::DataLossError("malformed netlink message");
  return Progress::kMore;
}

// Requests a dump and shows each message of `reply_type` in it.
absl::Status Dump(Socket& socket, uint16_t request_type, uint16_t reply_type, uint32_t sequence, Duration timeout,
                  absl::FunctionRef<void(absl::Span<const uint8_t>)> visit) {
  if (absl::Status s = socket.Send(DumpRequest(request_type, sequence)); !s.ok()) return s;
  std::vector<uint8_t> buffer(kBufferBytes);
  for (int i = 0; i < kMaxDatagrams; ++i) {
    const absl::StatusOr<size_t> n = socket.Receive(absl::MakeSpan(buffer));
    if (!n.ok()) return n.status();
    if (*n == 0) {
      if (absl::Status s = socket.WaitReadable(timeout); !s.ok()) return s;
      continue;
    }
    const auto progress = Visit(absl::MakeConstSpan(buffer).first(*n), reply_type, sequence, visit);
    if (!progress.ok()) return progress.status();
    if (*progress == Progress::kDone) return absl::OkStatus();
  }
  return absl::ResourceExhaustedError("an endless netlink dump");
}

}  // namespace

absl::StatusOr<LinkState> InterfaceInfo(absl::string_view name) {
  absl::StatusOr<std::unique_ptr<MnlSocket>> socket = MnlSocket::Open({});
  if (!socket.ok()) return socket.status();
  return InterfaceInfo(**socket, name);
}

absl::StatusOr<LinkState> InterfaceInfo(Socket& socket, absl::string_view name, Duration timeout) {
  LinkState info;
  std::vector<std::string> names;
  absl::Status status = Dump(socket, RTM_GETLINK, RTM_NEWLINK, 1, timeout, [&](absl::Span<const uint8_t> payload) {
    LinkMessage link;
    if (ParseLink(payload, &link) != Parsed::kOk) return;
    names.push_back(link.name);
    if (link.name != name) return;
    info.ifindex = link.ifindex;
    info.name = link.name;
    info.mac = link.mac.value_or(wire::MacAddress());
    info.mtu = link.mtu.value_or(0);
    info.up = (link.flags & IFF_UP) != 0 && (link.flags & IFF_RUNNING) != 0;
  });
  if (!status.ok()) return status;
  if (info.ifindex == 0) {
    return absl::NotFoundError(
        absl::StrCat("no network interface \"", name, "\"; there are: ", absl::StrJoin(names, ", ")));
  }
  status = Dump(socket, RTM_GETADDR, RTM_NEWADDR, 2, timeout, [&](absl::Span<const uint8_t> payload) {
    AddressMessage address;
    if (ParseAddress(payload, &address) != Parsed::kOk || address.ifindex != info.ifindex) return;
    info.addresses.push_back(address.prefix);
  });
  if (!status.ok()) return status;
  return info;
}

}  // namespace luna::netlink
