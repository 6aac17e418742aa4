#include "luna/net/pmd/xdp/testing/fake_xsk.h"

#include <algorithm>
#include <cstring>

#include "glog/logging.h"
#include "gtest/gtest.h"

namespace luna::pmd::xdp {
namespace {

constexpr uint32_t kHeadroom = 256;

}  // namespace

FakeXsk::FakeXsk(const FakeXskOptions& options)
    : options_(options),
      fill_(options.ring_size, options.first_index),
      completion_(options.ring_size, options.first_index),
      rx_(options.ring_size, options.first_index),
      tx_(options.ring_size, options.first_index) {
  tx_.flags = kRingNeedsWakeup;  // as in copy mode, for ever
  rings_.fill = ProducerRing<uint64_t>(fill_.View());
  rings_.rx = ConsumerRing<xdp_desc>(rx_.View());
  rings_.tx = ProducerRing<xdp_desc>(tx_.View());
  rings_.completion = ConsumerRing<uint64_t>(completion_.View());
}

bool FakeXsk::Deliver(absl::Span<const uint8_t> frame) {
  CHECK(!closed_);
  const size_t room = options_.chunk_bytes - kHeadroom;
  const size_t pieces = (frame.size() + room - 1) / room;
  if (pieces > options_.max_descriptors || fill_entries() < pieces) {
    counters_.rx_fill_empty += fill_entries() < pieces;
    ++counters_.rx_dropped;
    return false;
  }
  if (rx_.producer - rx_.consumer + pieces > rx_.entries.size()) {
    ++counters_.rx_ring_full;
    return false;
  }
  for (size_t at = 0; at < frame.size();) {
    const uint64_t address = fill_.At(fill_.consumer++);
    const size_t bytes = std::min(room, frame.size() - at);
    CHECK_LE(address + options_.chunk_bytes, options_.umem_bytes);
    std::memcpy(options_.umem + address + kHeadroom, frame.data() + at, bytes);
    at += bytes;
    DeliverRaw({.addr = address | uint64_t{kHeadroom} << XSK_UNALIGNED_BUF_OFFSET_SHIFT,
                .len = static_cast<uint32_t>(bytes),
                .options = at < frame.size() ? kPacketContinues : 0});
  }
  return true;
}

void FakeXsk::DeliverRaw(const xdp_desc& descriptor) {
  CHECK(!rx_.Full());
  rx_.At(rx_.producer) = descriptor;
  ++rx_.producer;
}

void FakeXsk::KickTransmit() {
  CHECK(!closed_);
  ++transmit_kicks_;
  for (uint32_t i = 0; i < kick_batch_ && !tx_.Empty(); ++i) {
    if (!SendOneFrame()) break;
  }
  if (!hold_completions_) ReleaseCompletions(held_.size());
}

bool FakeXsk::SendOneFrame() {
  std::vector<uint8_t> frame;
  uint32_t descriptors = 0;
  for (bool more = true; more; ++descriptors) {
    if (tx_.Empty()) {
      ADD_FAILURE() << "the tx ring ends within a frame";
      return false;
    }
    const xdp_desc descriptor = tx_.At(tx_.consumer++);
    if (!Valid(descriptor)) {
      ADD_FAILURE() << "invalid descriptor: " << descriptor.addr << "+" << descriptor.len;
      ++counters_.tx_invalid;
      return false;
    }
    const auto* bytes = reinterpret_cast<const uint8_t*>(options_.umem) + descriptor.addr;
    frame.insert(frame.end(), bytes, bytes + descriptor.len);
    held_.push_back(descriptor.addr);
    more = (descriptor.options & kPacketContinues) != 0;
  }
  EXPECT_LE(descriptors, options_.max_descriptors);
  sent_.push_back(std::move(frame));
  sent_descriptors_.push_back(descriptors);
  return true;
}

bool FakeXsk::Valid(const xdp_desc& d) const {
  return d.len > 0 && d.len <= options_.chunk_bytes && d.addr + d.len <= options_.umem_bytes &&
         (d.options & ~kPacketContinues) == 0;
}

void FakeXsk::ReleaseCompletions(size_t count, bool newest_first) {
  count = std::min(count, held_.size());
  if (newest_first) std::reverse(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(count));
  for (; count > 0; --count) {
    CHECK(!completion_.Full()) << "more in flight than the completion ring holds";
    completion_.At(completion_.producer) = held_.front();
    ++completion_.producer;
    held_.pop_front();
  }
}

}  // namespace luna::pmd::xdp
