#ifndef LUNA_NET_PMD_XDP_TESTING_FAKE_XSK_H_
#define LUNA_NET_PMD_XDP_TESTING_FAKE_XSK_H_

// FakeXsk: the kernel's side of an AF_XDP socket in ordinary memory, so that XdpPacketIo is tested without privileges.
// It behaves like copy mode: frames are copied in and out, a kick sends a batch, completions follow at once unless
// held.
//
// Checks what the kernel would silently drop: a descriptor outside the UMEM, longer than a chunk, empty, or in a chain
// that it cannot gather is a test failure (counted in tx_invalid).

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "absl/types/span.h"
#include "luna/net/pmd/xdp/xsk_channel.h"

namespace luna::pmd::xdp {

struct FakeXskOptions {
  std::byte* umem = nullptr;
  uint64_t umem_bytes = 0;
  uint32_t chunk_bytes = 2304;
  uint32_t ring_size = 64;       // all four
  uint32_t max_descriptors = 1;  // per frame, in both directions
  uint32_t first_index = 0;      // where the free-running indices start; near 2^32 to test their wrap
};

class FakeXsk : public XskChannel {
 public:
  explicit FakeXsk(const FakeXskOptions& options);

  // A frame from the wire. False when it was dropped (no posted obj, ring full, too long); counted as the kernel does.
  bool Deliver(absl::Span<const uint8_t> frame);
  // An arbitrary receive descriptor, for what a sane kernel never says.
  void DeliverRaw(const xdp_desc& descriptor);
  // The next posted obj, taken by the kernel. One must be there.
  uint64_t TakePosted() { return fill_.At(fill_.consumer++); }

  // Frames that went out, in order.
  std::vector<std::vector<uint8_t>>& sent() { return sent_; }
  // Descriptors of each frame in sent().
  const std::vector<uint32_t>& sent_descriptors() const { return sent_descriptors_; }

  // Completions are kept back while held; ReleaseCompletions writes the oldest `count` of them, newest first if asked.
  void HoldCompletions(bool hold) { hold_completions_ = hold; }
  void ReleaseCompletions(size_t count, bool newest_first = false);
  size_t held_completions() const { return held_.size(); }
  // An arbitrary completion.
  void CompleteRaw(uint64_t address) { held_.push_back(address), ReleaseCompletions(1); }

  void set_kick_batch(uint32_t frames) { kick_batch_ = frames; }  // 0: kicks send nothing
  void set_link_up(bool up) { link_up_ = up; }
  void set_fill_needs_wakeup(bool needs) { fill_.flags = needs ? kRingNeedsWakeup : 0; }
  int transmit_kicks() const { return transmit_kicks_; }
  int receive_kicks() const { return receive_kicks_; }
  bool closed() const { return closed_; }
  // Posted objs that the kernel has not used.
  uint32_t fill_entries() const { return fill_.producer - fill_.consumer; }

  void KickTransmit() override;
  void KickReceive() override { ++receive_kicks_; }
  XskCounters ReadCounters() override { return counters_; }
  bool LinkUp() override { return link_up_; }
  void Close() override { closed_ = true; }

 private:
  template <typename Entry>
  struct Memory {
    uint32_t producer, consumer, flags = 0;
    std::vector<Entry> entries;
    Memory(uint32_t size, uint32_t first) : producer(first), consumer(first), entries(size) {}
    RingMemory<Entry> View() {
      return {&producer, &consumer, &flags, entries.data(), static_cast<uint32_t>(entries.size())};
    }
    Entry& At(uint32_t index) { return entries[index & (entries.size() - 1)]; }
    bool Full() const { return producer - consumer == entries.size(); }
    bool Empty() const { return producer == consumer; }
  };

  bool SendOneFrame();
  bool Valid(const xdp_desc& descriptor) const;

  const FakeXskOptions options_;
  Memory<uint64_t> fill_, completion_;
  Memory<xdp_desc> rx_, tx_;
  std::deque<uint64_t> held_;
  std::vector<std::vector<uint8_t>> sent_;
  std::vector<uint32_t> sent_descriptors_;
  XskCounters counters_;
  bool hold_completions_ = false;
  uint32_t kick_batch_ = 32;
  bool link_up_ = true;
  int transmit_kicks_ = 0;
  int receive_kicks_ = 0;
  bool closed_ = false;
};

}  // namespace luna::pmd::xdp

#endif  // LUNA_NET_PMD_XDP_TESTING_FAKE_XSK_H_
