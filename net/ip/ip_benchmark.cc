// Cost per packet of Ingress::Accept and Egress::Encapsulate, with the packet's allocation and release around them
// measured on their own (BM_Packet...) so that they can be subtracted.

#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "glog/logging.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/mem/zbuf/zref.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/ip/egress.h"
#include "luna/net/ip/ingress.h"
#include "luna/net/ip/route_table.h"
#include "luna/net/ip/snapshot.h"
#include "luna/net/ip/testing/packets.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::ip {
namespace {

constexpr wire::Ipv4Address kUs(10, 0, 0, 2);

// A packet of one obj that is shared, not copied, each time: as cheap as a packet gets.
pmd::Packet ShareOf(const pmd::Packet& packet) {
  pmd::Packet copy;
  copy.data = packet.data.Share();
  return copy;
}

void BM_PacketShareAndFree(benchmark::State& state) {
  zbuf::TestSlab memory;
  const pmd::Packet frame = testing::MakePacket(memory, wire::TcpFrame{}.Build());
  for (auto _ : state) benchmark::DoNotOptimize(ShareOf(frame));
}
BENCHMARK(BM_PacketShareAndFree);

// Argument: slice length; 0 is one slice.
void BM_IngressAccept(benchmark::State& state) {
  zbuf::TestSlab memory;
  stats::DropCounters drops;
  Ingress ingress({.mac = wire::kServerMac, .addresses = {wire::Ipv4Prefix(kUs, 24)}}, &drops);
  const pmd::Packet frame = testing::MakePacket(memory, wire::TcpFrame{}.Build(), static_cast<size_t>(state.range(0)));
  Datagram datagram;
  for (auto _ : state) {
    const auto verdict = ingress.Accept(ShareOf(frame), &datagram);
    CHECK(verdict == Ingress::Verdict::kDatagram);
    benchmark::DoNotOptimize(datagram);
  }
}
BENCHMARK(BM_IngressAccept)->Arg(0)->Arg(30);

// Arguments: payload bytes, checksum offload, destinations in turn.
void BM_EgressEncapsulate(benchmark::State& state) {
  zbuf::TestSlab memory;
  stats::DropCounters drops;
  SnapshotBox<RouteTable> routes(
      std::make_shared<const RouteTable>(RouteTable::Builder().AddInterface(wire::Ipv4Prefix(kUs, 16)).Build()));
  EgressConfig config;
  config.addresses = {wire::Ipv4Prefix(kUs, 16)};
  config.capabilities.mac = wire::kServerMac;
  config.capabilities.mtu = 9000;
  config.capabilities.tx_ip_checksum = state.range(1) != 0;
  config.capabilities.tx_tcp_checksum = state.range(1) != 0;
  const auto destinations = static_cast<uint32_t>(state.range(2));
  std::vector<wire::IpAddress> peers;
  for (uint32_t i = 0; i < destinations; ++i) {
    peers.push_back(wire::Ipv4Address(wire::Ipv4Address(10, 0, 1, 0).value() + i));
    config.static_neighbours.SetPermanent(peers.back(), wire::kClientMac);
  }
  Egress egress(config, {.routes = &routes}, &drops);
  const pmd::Packet payload = testing::MakePacket(memory, wire::Pattern(static_cast<size_t>(state.range(0))));
  const std::vector<uint8_t> header = wire::TcpFrame{}.BuildSegment();
  std::vector<pmd::Packet> frames;
  frames.reserve(1);
  size_t next = 0;
  for (auto _ : state) {
    OutDatagram datagram;
    datagram.source = kUs;
    datagram.destination = peers[next];
    if (++next == peers.size()) next = 0;
    std::byte* obj = memory.slab().Alloc(pmd::kTxHeadroomBytes + 20);
    std::memcpy(obj + pmd::kTxHeadroomBytes, header.data(), 20);
    zbuf::ZRef ref = zbuf::ZRef::Adopt(obj);
    ref.Advance(pmd::kTxHeadroomBytes);
    datagram.packet.data.Append(std::move(ref), 20);
    datagram.packet.data.Append(payload.data.Share());
    egress.Encapsulate(std::move(datagram), Time(), frames);
    CHECK_EQ(frames.size(), 1u);
    frames.clear();
  }
}
BENCHMARK(BM_EgressEncapsulate)
    ->Args({64, 0, 1})
    ->Args({64, 1, 1})
    ->Args({64, 0, 100})
    ->Args({64, 0, 4000})
    ->Args({1448, 0, 1})
    ->Args({1448, 1, 1});

}  // namespace
}  // namespace luna::ip
