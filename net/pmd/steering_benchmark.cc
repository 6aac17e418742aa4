// What a frame costs the thread that polls the device for others: looking at it, and a place in a ring, there and back.
// One thread does both sides: what is not shown is the cache line's way to another core, and the ring's bell.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "benchmark/benchmark.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/steering.h"
#include "luna/net/wire/byte_cursor.h"

namespace luna::pmd {
namespace {

constexpr size_t kBurst = 32;

// As many frames as are asked for: TCP from one peer and many ports, each a share of one of 64 objs.
class Source final : public PacketIo {
 public:
  explicit Source(zbuf::TestSlab& memory) {
    for (uint16_t i = 0; i < 64; ++i) {
      std::string frame(60, '\0');
      auto* bytes = reinterpret_cast<uint8_t*>(frame.data());
      wire::StoreBe16(bytes + 12, 0x0800);
      bytes[14] = 0x45;
      wire::StoreBe16(bytes + 16, 46);
      bytes[23] = 6;  // TCP
      wire::StoreBe16(bytes + 34, static_cast<uint16_t>(40000 + i));
      wire::StoreBe16(bytes + 36, 80);
      frames_.push_back(memory.Chain(frame));
    }
  }
  size_t ReceiveBurst(absl::Span<Packet> out, Time) override {
    for (Packet& packet : out) packet.data = frames_[next_++ % frames_.size()].Share();
    return out.size();
  }
  size_t TransmitBurst(absl::Span<Packet> packets) override {
    for (Packet& packet : packets) packet = Packet();
    return packets.size();
  }
  size_t Reclaim() override { return 0; }
  bool link_up() const override { return true; }
  const Capabilities& capabilities() const override { return capabilities_; }
  const IoStats& stats() const override { return stats_; }

 private:
  std::vector<zbuf::ZChain> frames_;
  size_t next_ = 0;
  Capabilities capabilities_;
  IoStats stats_;
};

void Clear(absl::Span<Packet> packets) {
  for (Packet& packet : packets) packet = Packet();
}

// {queues}: with one, the device alone, for comparison. An item is a frame received.
void BM_ReceiveForAll(benchmark::State& state) {
  const auto queues = static_cast<size_t>(state.range(0));
  zbuf::TestSlab memory(8u << 20);
  Source source(memory);
  const auto steered = *SteeredDevice::Create(source, {.queues = queues});
  std::vector<Packet> burst(kBurst);
  for (auto _ : state) {
    for (size_t i = 0; i < queues; ++i) {
      Clear(absl::MakeSpan(burst).first(steered->queue(i).ReceiveBurst(absl::MakeSpan(burst), Time())));
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBurst));
}
BENCHMARK(BM_ReceiveForAll)->ArgName("queues")->Arg(1)->Arg(2)->Arg(8);

// A burst of the second queue's, sent by the first one's thread.
void BM_SendForAnother(benchmark::State& state) {
  zbuf::TestSlab memory(8u << 20);
  Source source(memory);
  const auto steered = *SteeredDevice::Create(source, {.queues = 2});
  std::vector<Packet> burst(kBurst);
  for (auto _ : state) {
    source.ReceiveBurst(absl::MakeSpan(burst), Time());
    steered->queue(1).TransmitBurst(absl::MakeSpan(burst));
    steered->queue(0).Reclaim();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBurst));
}
BENCHMARK(BM_SendForAnother);

}  // namespace
}  // namespace luna::pmd
