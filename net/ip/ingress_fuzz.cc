// Ingress on any frame: no crash, no leak, and one and the same judgement however the frame is cut into slices.

#include <cstdint>
#include <string>
#include <vector>

#include "glog/logging.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/ip/ingress.h"
#include "luna/net/ip/testing/packets.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::ip {
namespace {

constexpr size_t kMaximumBytes = 4096;

// Everything that Ingress said of a frame.
struct Judgement {
  Ingress::Verdict verdict;
  std::string drops;
  std::vector<uint8_t> bytes;
  std::string facts;
  friend bool operator==(const Judgement&, const Judgement&) = default;
};

Judgement Judge(zbuf::TestSlab& memory, absl::Span<const uint8_t> frame, size_t slice_bytes, bool with_ethernet) {
  stats::DropCounters drops;
  Ingress ingress({.mac = wire::kServerMac, .addresses = {wire::Ipv4Prefix(wire::kServer.address.v4(), 24)}}, &drops);
  Datagram out;
  pmd::Packet packet = testing::MakePacket(memory, frame, slice_bytes);
  Judgement judgement;
  judgement.verdict =
      with_ethernet ? ingress.Accept(std::move(packet), &out) : ingress.AcceptIp(std::move(packet), &out);
  const bool dropped = judgement.verdict == Ingress::Verdict::kDropped;
  CHECK_EQ(drops.total(), dropped ? 1u : 0u);
  judgement.drops = drops.ToString();
  if (dropped) return judgement;
  judgement.bytes = testing::BytesOfPacket(out.packet);
  judgement.facts = out.source.ToString() + out.destination.ToString() + std::to_string(out.ttl) + "," +
                    std::to_string(out.dscp) + "," + std::to_string(static_cast<int>(out.ecn));
  return judgement;
}

}  // namespace
}  // namespace luna::ip

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* memory = new luna::zbuf::TestSlab;
  if (size > luna::ip::kMaximumBytes) return 0;
  const absl::Span<const uint8_t> frame(data, size);
  for (const bool with_ethernet : {true, false}) {
    const auto whole = luna::ip::Judge(*memory, frame, 0, with_ethernet);
    for (const size_t slice_bytes : {1, 13, 34}) {
      CHECK(luna::ip::Judge(*memory, frame, slice_bytes, with_ethernet) == whole) << "slices of " << slice_bytes;
    }
  }
  CHECK_EQ(memory->outstanding(), 0u);
  return 0;
}
