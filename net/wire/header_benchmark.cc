// What a received data segment costs before TCP sees it: Ethernet, IPv4 with its checksum, TCP and its options.

#include <vector>

#include "benchmark/benchmark.h"
#include "luna/net/wire/ethernet.h"
#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/parse_result.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/tcp_options.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::wire {
namespace {

void ParseAll(benchmark::State& state, const std::vector<uint8_t>& frame) {
  for (auto _ : state) {
    absl::Span<const uint8_t> bytes = frame;
    benchmark::DoNotOptimize(bytes);
    EthernetHeader ethernet;
    Ipv4Header ip;
    TcpHeader tcp;
    TcpOptions options;
    bool ok = Parse(bytes, &ethernet) == ParseResult::kOk;
    const absl::Span<const uint8_t> packet = bytes.subspan(ethernet.size());
    ok = ok && Parse(packet, &ip) == ParseResult::kOk;
    const absl::Span<const uint8_t> segment = ip.Payload(packet);
    ok = ok && Parse(segment, &tcp) == ParseResult::kOk;
    ParseTcpOptions(tcp.Options(segment), &options);
    benchmark::DoNotOptimize(ethernet);
    benchmark::DoNotOptimize(ip);
    benchmark::DoNotOptimize(tcp);
    benchmark::DoNotOptimize(options);
    if (!ok) state.SkipWithError("frame does not parse");
  }
}

void BM_ParseDataWithTimestamp(benchmark::State& state) {
  ParseAll(state, TcpFrame{.options = {.has_timestamp = true}, .payload = Pattern(64)}.Build());
}
BENCHMARK(BM_ParseDataWithTimestamp);

void BM_ParseDataWithoutOptions(benchmark::State& state) { ParseAll(state, TcpFrame{.payload = Pattern(64)}.Build()); }
BENCHMARK(BM_ParseDataWithoutOptions);

void BM_ParseSyn(benchmark::State& state) {
  const TcpOptions options = {.has_mss = true,
                              .has_window_scale = true,
                              .sack_permitted = true,
                              .has_timestamp = true,
                              .window_scale = 7,
                              .mss = 1460};
  ParseAll(state, TcpFrame{.flags = TcpFlags::kSyn, .options = options}.Build());
}
BENCHMARK(BM_ParseSyn);

void BM_WriteDataHeaders(benchmark::State& state) {
  uint8_t out[14 + 20 + 32];
  const EthernetHeader ethernet = {kServerMac, kClientMac, EtherType::kIpv4};
  Ipv4Header ip = {.total_length = 116, .source = kClient.address.v4(), .destination = kServer.address.v4()};
  TcpHeader tcp = {.source_port = 1, .destination_port = 2, .header_length = 32, .flags = TcpFlags::kAck};
  const TcpOptions options = {.has_timestamp = true};
  for (auto _ : state) {
    benchmark::DoNotOptimize(ip);
    benchmark::DoNotOptimize(tcp);
    Write(ethernet, out);
    Write(ip, out + 14);
    Write(tcp, out + 34);
    WriteTcpOptions(options, out + 54);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_WriteDataHeaders);

}  // namespace
}  // namespace luna::wire
