// The message parsers and the mirror on any bytes: no crash, no read outside, and after a full dump all is well again.
//
// The input is cut into datagrams: a length of 16 bits, then so many bytes.

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "luna/ctrl/netlink/message.h"
#include "luna/ctrl/netlink/mirror.h"
#include "luna/ctrl/netlink/testing/fake_socket.h"
#include "luna/ctrl/netlink/testing/messages.h"
#include "luna/net/wire/byte_cursor.h"

namespace luna::netlink {
namespace {

void Parse(absl::Span<const uint8_t> bytes) {
  LinkMessage link;
  AddressMessage address;
  RouteMessage route;
  NeighbourMessage neighbour;
  (void)ParseLink(bytes, &link);
  (void)ParseRoute(bytes, &route);
  (void)ParseError(bytes);
  if (ParseAddress(bytes, &address) == Parsed::kOk) CHECK_LE(address.prefix.length(), 32);
  (void)ParseNeighbour(bytes, &neighbour);
}

void Run(absl::Span<const uint8_t> data) {
  auto owned = std::make_unique<testing::FakeSocket>();
  testing::FakeSocket* socket = owned.get();
  socket->SetDump(RTM_GETLINK, {testing::NewLink()});
  socket->SetDump(RTM_GETADDR, {testing::NewAddress("10.0.0.2/24")});
  socket->SetDump(RTM_GETROUTE, {testing::NewRoute({.gateway = "10.0.0.1"})});
  socket->SetDump(RTM_GETNEIGH, {testing::NewNeighbour("10.0.0.1", "02:00:00:00:00:01", NUD_REACHABLE)});
  auto mirror = KernelMirror::Create(std::move(owned), 3);
  CHECK(mirror.ok()) << mirror.status();
  const std::string routes = (*mirror)->routes()->Get()->ToString();
  wire::ByteReader input(data);
  while (input.remaining() > 2) {
    const size_t length = input.ReadU16() % 1024;
    const auto datagram = input.ReadBytes(std::min(length, input.remaining()));
    Parse(datagram);
    if (datagram.empty()) continue;
    socket->Push(testing::Message(datagram.begin(), datagram.end()));
    (*mirror)->OnReadable();
  }
  // Whatever was said, the next full dump puts it right.
  (*mirror)->Resync();
  while ((*mirror)->OnReadable()) {
  }
  CHECK((*mirror)->synced());
  CHECK_EQ((*mirror)->routes()->Get()->ToString(), routes);
  CHECK_EQ((*mirror)->neighbours()->Get()->size(), 1u);
}

}  // namespace
}  // namespace luna::netlink

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  luna::netlink::Run(absl::Span<const uint8_t>(data, size));
  return 0;
}
