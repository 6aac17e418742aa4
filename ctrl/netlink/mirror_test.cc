#include "luna/ctrl/netlink/mirror.h"

#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/ctrl/netlink/testing/fake_socket.h"
#include "luna/ctrl/netlink/testing/messages.h"

namespace luna::netlink {
namespace {

using testing::FakeSocket;
using testing::KernelRoute;
using testing::Message;
using wire::Ipv4Address;
using wire::Ipv4Prefix;
using wire::MacAddress;

constexpr char kPeer[] = "10.0.0.1";
constexpr char kPeerMac[] = "02:00:00:00:00:01";
constexpr char kMovedMac[] = "02:00:00:00:00:11";

class MirrorTest : public ::testing::Test {
 protected:
  MirrorTest() : owned_(std::make_unique<FakeSocket>()), socket_(owned_.get()) {
    socket_->SetDump(RTM_GETLINK, {testing::NewLink({.ifindex = 1, .name = "lo", .mac = ""}), testing::NewLink()});
    socket_->SetDump(RTM_GETADDR, {testing::NewAddress("127.0.0.1/8", 1), testing::NewAddress("10.0.0.2/24")});
    socket_->SetDump(RTM_GETROUTE, {testing::NewRoute({.destination = "10.0.0.0/24", .source = "10.0.0.2"}),
                                    testing::NewRoute({.gateway = kPeer, .metric = 100})});
    socket_->SetDump(RTM_GETNEIGH, {testing::NewNeighbour(kPeer, kPeerMac, NUD_REACHABLE)});
  }
  void Create() {
    auto mirror = KernelMirror::Create(std::move(owned_), 3);
    ASSERT_TRUE(mirror.ok()) << mirror.status();
    mirror_ = std::move(*mirror);
  }
  // Delivers a notification.
  void Notify(Message message) {
    socket_->Push(std::move(message));
    EXPECT_FALSE(mirror_->OnReadable());
  }
  const ip::Neighbour* Peer() {
    held_ = mirror_->neighbours()->Get();
    return held_->Find(*wire::IpAddress::Parse(kPeer));
  }
  std::string Routes() { return mirror_->routes()->Get()->ToString(); }

  std::unique_ptr<FakeSocket> owned_;
  FakeSocket* socket_;
  std::unique_ptr<KernelMirror> mirror_;
  std::shared_ptr<const ip::NeighbourTable> held_;
};

constexpr char kInitialRoutes[] = "10.0.0.0/24 source 10.0.0.2\n0.0.0.0/0 via 10.0.0.1 metric 100\n";

TEST_F(MirrorTest, TakesAFullDump) {
  Create();
  const auto link = mirror_->link()->Get();
  EXPECT_EQ(link->name, "eth0");
  EXPECT_EQ(link->mac, MacAddress({2, 0, 0, 0, 0, 2}));
  EXPECT_EQ(link->mtu, 1500u);
  EXPECT_TRUE(link->up);
  EXPECT_EQ(link->addresses, std::vector<Ipv4Prefix>{Ipv4Prefix(Ipv4Address(10, 0, 0, 2), 24)});
  EXPECT_EQ(Routes(), kInitialRoutes);
  ASSERT_NE(Peer(), nullptr);
  EXPECT_EQ(Peer()->mac.ToString(), kPeerMac);
  EXPECT_EQ(Peer()->state, ip::NeighbourState::kReachable);
  EXPECT_EQ(mirror_->stats().dumps, 1u);
  EXPECT_EQ(mirror_->stats().malformed, 0u);
  for (uint16_t type : {RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH}) {
    EXPECT_EQ(socket_->CountSent(type), 1u);
  }
}

TEST_F(MirrorTest, SaysThatThereIsNoSuchLink) {
  const auto mirror = KernelMirror::Create(std::move(owned_), 99);
  EXPECT_EQ(mirror.status().code(), absl::StatusCode::kNotFound);
}

TEST_F(MirrorTest, PassesSetUpErrorsOn) {
  socket_->FailSends(absl::UnavailableError("no"));
  EXPECT_EQ(KernelMirror::Create(std::move(owned_), 3).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(MirrorTest, SaysWhenTheKernelRefusesADump) {
  socket_->FailDump(RTM_GETROUTE, 1);
  EXPECT_EQ(KernelMirror::Create(std::move(owned_), 3).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(MirrorTest, DoesNotWaitForeverForADump) {
  class Silent : public FakeSocket {
    absl::Status Send(absl::Span<const uint8_t>) override { return absl::OkStatus(); }
  };
  EXPECT_EQ(KernelMirror::Create(std::make_unique<Silent>(), 3).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(MirrorTest, TakesOnlyRoutesThatLunaCanUse) {
  socket_->SetDump(RTM_GETROUTE,
                   {testing::NewRoute({.destination = "10.1.0.0/16", .ifindex = 4}),                    // another link
                    testing::NewRoute({.destination = "10.2.0.0/16", .table = 255}),                    // local table
                    testing::NewRoute({.destination = "10.3.0.0/16", .table = 1000}),                   // policy
                    testing::NewRoute({.destination = "10.4.0.0/16", .type = RTN_BLACKHOLE}),           //
                    testing::NewRoute({.destination = "10.5.0.0/16", .tos = 16}),                       //
                    testing::NewRoute({.destination = "10.6.0.0/16", .multipath = {{4, "10.9.0.1"}}}),  //
                    testing::NewRoute({.destination = "10.7.0.0/16", .mtu = 1400}),                     //
                    testing::NewRoute({.destination = "10.8.0.0/16",
                                       .multipath = {{4, "10.9.0.1"}, {3, "10.0.0.9"}, {3, "10.0.0.8"}}})});
  Create();
  EXPECT_EQ(Routes(), "10.7.0.0/16 mtu 1400\n10.8.0.0/16 via 10.0.0.9\n");
}

TEST_F(MirrorTest, FollowsRoutes) {
  Create();
  Notify(testing::NewRoute({.destination = "192.0.2.0/24", .gateway = "10.0.0.7"}, NLM_F_CREATE));
  EXPECT_EQ(Routes(), "10.0.0.0/24 source 10.0.0.2\n192.0.2.0/24 via 10.0.0.7\n0.0.0.0/0 via 10.0.0.1 metric 100\n");
  // `ip route replace`
  Notify(testing::NewRoute({.destination = "192.0.2.0/24", .gateway = "10.0.0.8"}, NLM_F_REPLACE));
  EXPECT_EQ(Routes(), "10.0.0.0/24 source 10.0.0.2\n192.0.2.0/24 via 10.0.0.8\n0.0.0.0/0 via 10.0.0.1 metric 100\n");
  // A better default beside the old one, and gone again.
  Notify(testing::NewRoute({.gateway = "10.0.0.9", .metric = 50}));
  EXPECT_EQ(mirror_->routes()->Get()->Lookup(Ipv4Address(8, 8, 8, 8))->gateway, Ipv4Address(10, 0, 0, 9));
  Notify(testing::DelRoute({.gateway = "10.0.0.9", .metric = 50}));
  EXPECT_EQ(mirror_->routes()->Get()->Lookup(Ipv4Address(8, 8, 8, 8))->gateway, Ipv4Address(10, 0, 0, 1));
  Notify(testing::DelRoute({.destination = "192.0.2.0/24", .gateway = "10.0.0.8"}));
  EXPECT_EQ(Routes(), kInitialRoutes);
}

TEST_F(MirrorTest, ARouteReplacedByOneOverAnotherLinkIsGone) {
  Create();
  Notify(testing::NewRoute({.gateway = "10.9.0.1", .ifindex = 4, .metric = 100}, NLM_F_REPLACE));
  EXPECT_EQ(Routes(), "10.0.0.0/24 source 10.0.0.2\n");
}

TEST_F(MirrorTest, DeletingSomebodyElsesRouteLeavesOurs) {
  Create();
  Notify(testing::DelRoute({.gateway = "10.9.0.1", .ifindex = 4, .metric = 100}));
  Notify(testing::DelRoute({.gateway = "10.0.0.99", .metric = 100}));
  EXPECT_EQ(Routes(), kInitialRoutes);
}

TEST_F(MirrorTest, FollowsNeighbours) {
  Create();
  struct Row {
    Message message;
    bool known;
    ip::NeighbourState state;
    const char* mac;
  };
  using S = ip::NeighbourState;
  const std::vector<Row> rows = {
      {testing::NewNeighbour(kPeer, kPeerMac, NUD_STALE), true, S::kStale, kPeerMac},
      {testing::NewNeighbour(kPeer, kPeerMac, NUD_DELAY), true, S::kStale, kPeerMac},
      {testing::NewNeighbour(kPeer, kPeerMac, NUD_PROBE), true, S::kStale, kPeerMac},
      {testing::NewNeighbour(kPeer, kMovedMac, NUD_REACHABLE), true, S::kReachable, kMovedMac},
      {testing::NewNeighbour(kPeer, kPeerMac, NUD_REACHABLE, 4), true, S::kReachable, kMovedMac},  // another link
      {testing::NewNeighbour(kPeer, "", NUD_FAILED), true, S::kFailed, "00:00:00:00:00:00"},
      {testing::NewNeighbour(kPeer, "", NUD_INCOMPLETE), true, S::kIncomplete, "00:00:00:00:00:00"},
      {testing::NewNeighbour(kPeer, kPeerMac, NUD_PERMANENT), true, S::kPermanent, kPeerMac},
      {testing::NewNeighbour(kPeer, "", NUD_REACHABLE), false, {}, ""},  // not Ethernet
      {testing::NewNeighbour(kPeer, kPeerMac, NUD_NOARP), true, S::kPermanent, kPeerMac},
      {testing::NewNeighbour(kPeer, kMovedMac, NUD_REACHABLE, 3, NTF_PROXY), true, S::kPermanent, kPeerMac},
      {testing::DelNeighbour(kPeer, 4), true, S::kPermanent, kPeerMac},
      {testing::DelNeighbour(kPeer), false, {}, ""},
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(i);
    Notify(rows[i].message);
    const ip::Neighbour* peer = Peer();
    ASSERT_EQ(peer != nullptr, rows[i].known);
    if (peer == nullptr) continue;
    EXPECT_EQ(peer->state, rows[i].state);
    EXPECT_EQ(peer->mac.ToString(), rows[i].mac);
  }
}

TEST_F(MirrorTest, PublishesOnlyWhatChanged) {
  Create();
  const uint64_t neighbours = mirror_->neighbours()->version();
  const uint64_t routes = mirror_->routes()->version();
  const uint64_t link = mirror_->link()->version();
  Notify(testing::NewNeighbour(kPeer, kPeerMac, NUD_REACHABLE));  // says nothing new
  Notify(testing::NewLink());
  EXPECT_EQ(mirror_->neighbours()->version(), neighbours);
  Notify(testing::NewNeighbour(kPeer, kMovedMac, NUD_REACHABLE));
  EXPECT_EQ(mirror_->neighbours()->version(), neighbours + 1);
  EXPECT_EQ(mirror_->routes()->version(), routes);
  EXPECT_EQ(mirror_->link()->version(), link);
}

TEST_F(MirrorTest, FollowsTheLinkAndItsAddresses) {
  Create();
  Notify(testing::NewLink({.mac = "02:00:00:00:00:99", .mtu = 9000}));
  EXPECT_EQ(mirror_->link()->Get()->mac.ToString(), "02:00:00:00:00:99");
  EXPECT_EQ(mirror_->link()->Get()->mtu, 9000u);
  Notify(testing::NewAddress("192.0.2.1/32"));
  Notify(testing::NewAddress("192.0.2.1/32"));
  EXPECT_EQ(mirror_->link()->Get()->addresses.size(), 2u);
  EXPECT_EQ(mirror_->stats().dumps, 1u);
}

// The kernel removes routes silently with a link or an address: only a dump tells.
TEST_F(MirrorTest, DumpsAgainWhenTheLinkTurnsOrAnAddressGoes) {
  Create();
  socket_->SetDump(RTM_GETLINK, {testing::NewLink({.up = false})});
  socket_->SetDump(RTM_GETROUTE, {});
  Notify(testing::NewLink({.up = false}));
  EXPECT_EQ(mirror_->stats().dumps, 2u);
  EXPECT_FALSE(mirror_->link()->Get()->up);
  EXPECT_EQ(Routes(), "");
  socket_->SetDump(RTM_GETADDR, {});
  Notify(testing::DelAddress("10.0.0.2/24"));
  EXPECT_EQ(mirror_->stats().dumps, 3u);
  EXPECT_TRUE(mirror_->link()->Get()->addresses.empty());
  Notify(testing::DelAddress("10.0.0.3/24", 4));  // another link's
  EXPECT_EQ(mirror_->stats().dumps, 3u);
}

TEST_F(MirrorTest, ALinkThatDisappearsIsDownAndHasNothing) {
  Create();
  for (uint16_t type : {RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH}) socket_->SetDump(type, {});
  Notify(testing::DelLink());
  EXPECT_FALSE(mirror_->link()->Get()->up);
  EXPECT_TRUE(mirror_->link()->Get()->addresses.empty());
  EXPECT_EQ(Routes(), "");
  EXPECT_EQ(Peer(), nullptr);
}

TEST_F(MirrorTest, DumpsAllAgainAfterAnOverflow) {
  Create();
  socket_->SetDump(RTM_GETNEIGH, {testing::NewNeighbour(kPeer, kMovedMac, NUD_STALE),
                                  testing::NewNeighbour("10.0.0.5", kPeerMac, NUD_STALE)});
  socket_->SetDump(RTM_GETROUTE, {testing::NewRoute({.gateway = "10.0.0.5"})});
  socket_->PushError(absl::ResourceExhaustedError("ENOBUFS"));
  mirror_->OnReadable();
  EXPECT_TRUE(mirror_->synced());
  EXPECT_EQ(mirror_->stats().overflows, 1u);
  EXPECT_EQ(Peer()->mac.ToString(), kMovedMac);
  EXPECT_EQ(mirror_->neighbours()->Get()->size(), 2u);
  EXPECT_EQ(Routes(), "0.0.0.0/0 via 10.0.0.5\n");
}

TEST_F(MirrorTest, OldSnapshotsStandUntilTheNewDumpIsComplete) {
  Create();
  mirror_->Resync();
  while (!mirror_->synced()) {
    EXPECT_EQ(Routes(), kInitialRoutes);
    EXPECT_NE(Peer(), nullptr);
    mirror_->OnReadable(1);
  }
  EXPECT_EQ(mirror_->stats().dumps, 2u);
}

TEST_F(MirrorTest, AnOverflowDuringADumpBeginsAnother) {
  Create();
  mirror_->Resync();
  socket_->PushError(absl::ResourceExhaustedError("ENOBUFS"));
  while (mirror_->OnReadable()) {
  }
  EXPECT_TRUE(mirror_->synced());
  EXPECT_EQ(mirror_->stats().dumps, 3u);
}

TEST_F(MirrorTest, AnInterruptedDumpBeginsAgain) {
  Create();
  socket_->InterruptDump(RTM_GETROUTE);
  mirror_->Resync();
  while (mirror_->OnReadable()) {
  }
  EXPECT_TRUE(mirror_->synced());
  EXPECT_EQ(mirror_->stats().dumps, 3u);
  EXPECT_EQ(mirror_->stats().dump_errors, 1u);
}

TEST_F(MirrorTest, ARefusedDumpIsTriedAgain) {
  Create();
  socket_->FailDump(RTM_GETLINK, 16);
  mirror_->Resync();
  mirror_->OnReadable();
  EXPECT_FALSE(mirror_->synced());
  mirror_->OnReadable();
  EXPECT_TRUE(mirror_->synced());
  EXPECT_EQ(Routes(), kInitialRoutes);
}

TEST_F(MirrorTest, AMissingNeighbourWakesAStalledMirror) {
  Create();
  socket_->FailDump(RTM_GETLINK, 16);
  mirror_->Resync();
  mirror_->OnReadable();
  ASSERT_EQ(socket_->waiting(), 0u);  // nothing would make the fd readable again
  EXPECT_TRUE(mirror_->RequestResolve(Ipv4Address(10, 0, 0, 77)).ok());
  EXPECT_GT(socket_->waiting(), 1u);
  mirror_->OnReadable();
  EXPECT_TRUE(mirror_->synced());
}

TEST_F(MirrorTest, ADatagramTooLongToReadMeansADump) {
  Create();
  socket_->Push(Message(100'000));
  mirror_->OnReadable();
  EXPECT_TRUE(mirror_->synced());
  EXPECT_EQ(mirror_->stats().dumps, 2u);
}

TEST_F(MirrorTest, NewsAmongTheDumpedMessagesCount) {
  Create();
  mirror_->Resync();
  socket_->Push(testing::NewNeighbour("10.0.0.8", kPeerMac, NUD_REACHABLE));
  while (mirror_->OnReadable()) {
  }
  EXPECT_NE(mirror_->neighbours()->Get()->Find(Ipv4Address(10, 0, 0, 8)), nullptr);
}

TEST_F(MirrorTest, PartsOfAnAbandonedDumpAreNoNews) {
  Create();
  Message stale = testing::NewNeighbour("10.0.0.8", kPeerMac, NUD_REACHABLE);
  nlmsghdr header;
  memcpy(&header, stale.data(), sizeof(header));
  header.nlmsg_flags = NLM_F_MULTI;
  header.nlmsg_seq = 1;
  memcpy(stale.data(), &header, sizeof(header));
  Notify(stale);
  EXPECT_EQ(mirror_->neighbours()->Get()->Find(Ipv4Address(10, 0, 0, 8)), nullptr);
}

TEST_F(MirrorTest, ReadsABoundedNumberOfDatagrams) {
  Create();
  for (int i = 0; i < 10; ++i) socket_->Push(testing::NewNeighbour(kPeer, kPeerMac, NUD_STALE));
  EXPECT_TRUE(mirror_->OnReadable(4));
  EXPECT_EQ(socket_->waiting(), 6u);
}

TEST_F(MirrorTest, AsksTheKernelToResolve) {
  Create();
  EXPECT_TRUE(mirror_->RequestResolve(Ipv4Address(10, 0, 0, 77)).ok());
  EXPECT_EQ(socket_->CountSent(RTM_NEWNEIGH), 1u);
  mirror_->OnReadable();
  EXPECT_EQ(mirror_->stats().refused, 0u);
  EXPECT_EQ(mirror_->RequestResolve(*wire::IpAddress::Parse("fe80::1")).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(MirrorTest, CountsNonsenseAndGoesOn) {
  Create();
  Notify(Message(5, 0xff));
  Message cut = testing::NewNeighbour(kPeer, kMovedMac, NUD_REACHABLE);
  const uint32_t shorter = NLMSG_HDRLEN + 4;
  memcpy(cut.data(), &shorter, sizeof(shorter));
  cut.resize(shorter);
  Notify(cut);
  EXPECT_EQ(mirror_->stats().malformed, 2u);
  EXPECT_EQ(Peer()->mac.ToString(), kPeerMac);
}

}  // namespace
}  // namespace luna::netlink
