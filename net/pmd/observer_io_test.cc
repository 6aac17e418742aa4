// The observers: pcap_io.h, trace_io.h and their base.
#include "luna/net/pmd/observer_io.h"

#include <array>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/ctrl/stats/trace_ring.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/packet_util.h"
#include "luna/net/pmd/pcap_io.h"
#include "luna/net/pmd/testing/fake_packet_io.h"
#include "luna/net/pmd/trace_io.h"
#include "luna/net/wire/pcap.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::pmd {
namespace {

using wire::TcpFlags;
using wire::TcpFrame;

constexpr Time kNow = Time::FromNanoseconds(1'000'250'000);

class ObserverTest : public testing::Test {
 protected:
  // Receives everything that was pushed, through `io`.
  std::vector<std::vector<uint8_t>> Receive(PacketIo& io, Time now = kNow) {
    std::array<Packet, 8> out;
    const size_t n = io.ReceiveBurst(absl::MakeSpan(out), now);
    std::vector<std::vector<uint8_t>> frames;
    for (size_t i = 0; i < n; ++i) frames.push_back(ToBytes(out[i]));
    return frames;
  }
  // Sends the frames in slices of 20 bytes; returns how many were taken.
  size_t Send(PacketIo& io, const std::vector<std::vector<uint8_t>>& frames) {
    std::vector<Packet> packets(frames.size());
    for (size_t i = 0; i < frames.size(); ++i) {
      packets[i].data = memory_.ChainOfSlices(std::string(frames[i].begin(), frames[i].end()), 20);
    }
    return io.TransmitBurst(absl::MakeSpan(packets));
  }

  zbuf::TestSlab memory_;
  FakePacketIo device_{memory_.slab()};
  const std::vector<uint8_t> syn_ = TcpFrame{.sequence = 7, .flags = TcpFlags::kSyn}.Build();
  const std::vector<uint8_t> data_ = TcpFrame{.sequence = 8, .payload = wire::Pattern(1000)}.Build();
};

struct Shown {
  FrameDirection direction;
  std::vector<uint8_t> front;
  uint32_t frame_bytes;
  Time time;
  bool operator==(const Shown&) const = default;
};

class Recorder final : public ObserverPacketIo {
 public:
  using ObserverPacketIo::ObserverPacketIo;
  std::vector<Shown> seen;
  size_t limit = 100;

 private:
  void Observe(FrameDirection direction, absl::Span<const uint8_t> front, uint32_t frame_bytes, Time time) override {
    seen.push_back({direction, {front.begin(), front.end()}, frame_bytes, time});
  }
  bool Observing() const override { return seen.size() < limit; }
};

TEST_F(ObserverTest, ShowsBothDirectionsAndChangesNothing) {
  Recorder io(device_);
  device_.Push(syn_);
  device_.Push(data_);
  EXPECT_EQ(Receive(io), (std::vector<std::vector<uint8_t>>{syn_, data_}));
  EXPECT_EQ(Send(io, {data_, syn_}), 2u);
  EXPECT_EQ(device_.PopAllSent(), (std::vector<std::vector<uint8_t>>{data_, syn_}));
  const auto syn_bytes = static_cast<uint32_t>(syn_.size());
  const auto data_bytes = static_cast<uint32_t>(data_.size());
  EXPECT_EQ(io.seen, (std::vector<Shown>{{FrameDirection::kReceived, syn_, syn_bytes, kNow},
                                         {FrameDirection::kReceived, data_, data_bytes, kNow},
                                         {FrameDirection::kSent, data_, data_bytes, kNow},
                                         {FrameDirection::kSent, syn_, syn_bytes, kNow}}));
}

TEST_F(ObserverTest, ShowsOnlySentFramesThatTheDeviceTook) {
  Recorder io(device_);
  device_.set_transmit_ring(1);
  EXPECT_EQ(Send(io, {syn_, data_}), 1u);
  ASSERT_EQ(io.seen.size(), 1u);
  EXPECT_EQ(io.seen[0].front, syn_);
}

TEST_F(ObserverTest, ReceivedSlicesAreShownInOnePiece) {
  Recorder io(device_);
  device_.set_receive_slice_bytes(64);
  device_.Push(data_);
  Receive(io);
  ASSERT_EQ(io.seen.size(), 1u);
  EXPECT_EQ(io.seen[0].front, data_);
}

TEST_F(ObserverTest, SnapBytesLimitWhatIsShown) {
  for (size_t slice_bytes : {0, 16}) {
    Recorder io(device_, 50);
    device_.set_receive_slice_bytes(slice_bytes);
    device_.Push(data_);
    Receive(io);
    Send(io, {data_});
    ASSERT_EQ(io.seen.size(), 2u);
    for (const Shown& seen : io.seen) {
      EXPECT_EQ(seen.front, std::vector<uint8_t>(data_.begin(), data_.begin() + 50));
      EXPECT_EQ(seen.frame_bytes, data_.size());
    }
  }
}

TEST_F(ObserverTest, FramesPassWhenItHasSeenEnough) {
  Recorder io(device_);
  io.limit = 1;
  device_.Push(syn_);
  device_.Push(data_);
  EXPECT_EQ(Receive(io).size(), 2u);
  EXPECT_EQ(Send(io, {data_}), 1u);
  EXPECT_EQ(io.seen.size(), 1u);
}

TEST_F(ObserverTest, EverythingElseIsPassedOn) {
  Recorder io(device_);
  EXPECT_EQ(&io.capabilities(), &device_.capabilities());
  EXPECT_EQ(&io.stats(), &device_.stats());
  device_.set_link_up(false);
  EXPECT_FALSE(io.link_up());
  io.Reclaim();
  EXPECT_EQ(device_.reclaim_calls(), 1u);
}

class PcapIoTest : public ObserverTest {
 protected:
  void SetUp() override { file_ = std::tmpfile(); }
  void TearDown() override { std::fclose(file_); }
  std::unique_ptr<wire::PcapWriter> Writer() {
    return wire::PcapWriter::ToStream(file_, wire::PcapLinkType::kEthernet).value();
  }
  std::vector<wire::PcapPacket> Written() {
    std::rewind(file_);
    return wire::PcapReader::FromStream(file_).value()->ReadAll().value();
  }
  std::FILE* file_ = nullptr;
};

TEST_F(PcapIoTest, WritesBothDirectionsWithTimes) {
  PcapPacketIo io(device_, Writer(), {.epoch_offset = Duration::Seconds(100)});
  device_.Push(syn_);
  Receive(io);
  Send(io, {data_});
  ASSERT_TRUE(io.Flush().ok());
  const std::vector<wire::PcapPacket> packets = Written();
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[0].bytes, syn_);
  EXPECT_EQ(packets[1].bytes, data_);
  EXPECT_EQ(packets[0].time, 101'000'250'000);
  EXPECT_EQ(io.pcap_stats().frames, 2u);
  EXPECT_EQ(io.pcap_stats().bytes, syn_.size() + data_.size());
}

TEST_F(PcapIoTest, StopsAtMaxBytesWhileTrafficGoesOn) {
  PcapPacketIo io(device_, Writer(), {.max_bytes = syn_.size() + 10});
  Send(io, {syn_, data_, data_});
  EXPECT_EQ(device_.PopAllSent().size(), 3u);
  EXPECT_EQ(io.pcap_stats().frames, 1u);
  EXPECT_EQ(io.pcap_stats().not_written, 2u);
  ASSERT_TRUE(io.Flush().ok());
  EXPECT_EQ(Written().size(), 1u);
}

TEST_F(PcapIoTest, AFullDiskIsCountedAndStopsTheCaptureOnly) {
  std::FILE* full = std::fopen("/dev/full", "wb");
  ASSERT_NE(full, nullptr);
  std::setvbuf(full, nullptr, _IOFBF, 4096);
  {
    PcapPacketIo io(device_, wire::PcapWriter::ToStream(full, wire::PcapLinkType::kEthernet).value());
    for (int i = 0; i < 10; ++i) EXPECT_EQ(Send(io, {data_}), 1u);
    EXPECT_EQ(device_.PopAllSent().size(), 10u);
    EXPECT_FALSE(io.status().ok());
    EXPECT_GT(io.pcap_stats().write_errors, 0u);
    EXPECT_EQ(io.pcap_stats().frames + io.pcap_stats().write_errors, 10u);
    EXPECT_EQ(io.Flush(), io.status());
  }
  std::fclose(full);
}

TEST_F(ObserverTest, TraceLinesNameTimeDirectionAndFrame) {
  std::vector<std::string> lines;
  TracePacketIo io(device_, {.sink = [&](absl::string_view line) { lines.emplace_back(line); }});
  device_.Push(syn_);
  Receive(io);
  Send(io, {data_});
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].rfind("1.000250000 rx 10.0.0.1:40000 > 10.0.0.2:61441: [S] seq 7", 0), 0u) << lines[0];
  EXPECT_EQ(lines[1].rfind("1.000250000 tx 10.0.0.1:40000 > 10.0.0.2:61441: [.] seq 8", 0), 0u) << lines[1];
  EXPECT_NE(lines[1].find("length 1000"), std::string::npos) << lines[1];
}

TEST_F(ObserverTest, TraceStopsAtMaxLines) {
  int lines = 0;
  TracePacketIo io(device_, {.sink = [&](absl::string_view) { ++lines; }, .max_lines = 2});
  Send(io, {syn_, syn_, syn_});
  EXPECT_EQ(lines, 2);
  EXPECT_EQ(io.lines(), 2u);
  EXPECT_EQ(device_.sent_count(), 3u);
}

TEST_F(ObserverTest, TraceRingGetsARecordPerFrame) {
  stats::TraceRing ring(16);
  TracePacketIo io(device_, {.ring = &ring});
  device_.Push(syn_);
  Receive(io);
  Send(io, {data_, wire::ArpFrame{}.Build(), {1, 2, 3}});
  const auto rx = static_cast<uint64_t>(FrameTraceEvent::kReceived);
  const auto tx = static_cast<uint64_t>(FrameTraceEvent::kSent);
  const uint64_t ports = uint64_t{40000} << 48 | uint64_t{61441} << 32;
  EXPECT_EQ(ring.Snapshot(), (std::vector<stats::TraceRecord>{{kNow, rx, syn_.size(), ports | 7},
                                                              {kNow, tx, data_.size(), ports | 8},
                                                              {kNow, tx, 60, 0x0806},
                                                              {kNow, tx, 3, 0}}));
  EXPECT_EQ(FrameTraceEventName(rx), "rx");
  EXPECT_EQ(FrameTraceEventName(tx), "tx");
  EXPECT_EQ(FrameTraceEventName(77), "?");
}

TEST_F(ObserverTest, TraceRecordsSurviveAnyBytes) {
  stats::TraceRing ring(1024);
  TracePacketIo io(device_, {.sink = [](absl::string_view) {}, .ring = &ring});
  uint64_t sent = 0;
  for (size_t cut = 1; cut <= syn_.size(); ++cut) {
    std::vector<uint8_t> frame(syn_.begin(), syn_.begin() + static_cast<std::ptrdiff_t>(cut));
    Send(io, {frame});
    for (uint8_t& byte : frame) byte = 0xff;
    Send(io, {frame});
    sent += 2;
  }
  EXPECT_EQ(ring.written(), sent);
}

}  // namespace
}  // namespace luna::pmd
