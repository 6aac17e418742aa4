// pcap reader: any file gives packets and then an end or an error; packets written again are read the same.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>

#include "luna/net/wire/pcap.h"
#include "luna/net/wire/testing/fuzz_check.h"

namespace luna::wire {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

void CheckRoundTrip(const PcapPacket& packet) {
  static uint8_t buffer[1 << 16];
  if (packet.bytes.size() > sizeof(buffer) / 2) return;
  File file(fmemopen(buffer, sizeof(buffer), "w+"), &std::fclose);
  auto writer = PcapWriter::ToStream(file.get(), PcapLinkType::kEthernet);
  FUZZ_CHECK(writer.ok() && (*writer)->Write(packet.time, packet.bytes).ok() && (*writer)->Flush().ok());
  std::rewind(file.get());
  auto reader = PcapReader::FromStream(file.get());
  PcapPacket again;
  FUZZ_CHECK(reader.ok() && (*reader)->Next(&again).value());
  // A read time may lie past the latest one: its fraction may be more than a second.
  FUZZ_CHECK(again.bytes == packet.bytes && again.time == std::min(packet.time, kPcapLatestTime));
}

}  // namespace
}  // namespace luna::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace luna::wire;
  if (size == 0) return 0;  // not a stream to fmemopen
  File file(fmemopen(const_cast<uint8_t*>(data), size, "r"), &std::fclose);
  auto reader = PcapReader::FromStream(file.get());
  if (!reader.ok()) return 0;
  PcapPacket packet;
  size_t total = 24;
  while (true) {
    const absl::StatusOr<bool> more = (*reader)->Next(&packet);
    if (!more.ok()) {
      FUZZ_CHECK(!(*reader)->Next(&packet).ok());
      return 0;
    }
    if (!*more) break;
    total += 16 + packet.bytes.size();
    CheckRoundTrip(packet);
  }
  FUZZ_CHECK(total == size);
  return 0;
}
