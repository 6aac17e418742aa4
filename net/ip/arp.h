#ifndef LUNA_NET_IP_ARP_H_
#define LUNA_NET_IP_ARP_H_

// Arp: address resolution of our own (RFC 826, RFC 1122 §2.3.2), for links on which no kernel does it for us: memif, a
// ring, a NIC that is wholly ours, a TAP (whose kernel side is our peer, not our twin).
//
// It answers for our addresses, asks for others', keeps what it learnt, and holds frames back while it asks.
// Learns from: answers to what we asked, and requests for one of our addresses (the asker will get an answer from us
// and is about to talk to us). Anything else only updates entries that exist already (RFC 826's merge), which is how a
// peer that moved to another MAC announces itself. Unasked answers from strangers teach nothing.
//
//   unknown ──Enqueue──▶ resolving ──answer──▶ reachable ──older than `reachable`, then used──▶ probing (unicast; still
//   used)
//      ▲                    │ no answer to any request          ▲──────────── answer ─────────────┘ │ no answer
//      └────────────────────┴───────────────────────────────────────────────────────────────────────┘
//
// Time is an argument. Thread: the worker's. Slow path throughout: Egress remembers what Lookup said, so per packet
// none of this runs. Frames to be sent are appended to the caller's vector. When the slab is exhausted a request is
// counted as kTxNoBuffers and tried again at the next deadline; an answer is left to the asker's own retry.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/optional.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/ctrl/stats/drop_reason.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/ip/pending_frames.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/arp.h"
#include "luna/sched/clock/time.h"

namespace luna::ip {

struct ArpConfig {
  wire::MacAddress mac;                     // ours on the link
  std::vector<wire::Ipv4Prefix> addresses;  // ours: answered for, and asked from
  // Answers for our addresses, announces and defends them, and counts packets that are of no use. One Arp of a host
  // does, where several see the link.
  bool defends = true;
  // How long to wait after each broadcast request, so also how many there are; not empty. Waits below one second would
  // break RFC 1122 §2.3.2.1's limit of one request per second and destination; on a private link that is nobody's
  // concern.
  std::vector<Duration> request_waits = {Duration::Seconds(1), Duration::Seconds(1), Duration::Seconds(1)};
  Duration reachable = Duration::Seconds(60);        // how long an answer is believed without asking again
  int probes = 3;                                    // unicast questions to a known neighbour before it is forgotten
  Duration probe_wait = Duration::Seconds(1);        // after each of them
  size_t max_entries = 1024;                         // neighbours known, and again as many being resolved
  size_t max_pending = 256;                          // frames that wait for one neighbour
  size_t max_pending_total = 4096;                   // frames that wait for any
  Duration defend_interval = Duration::Seconds(10);  // RFC 5227 §2.4: at most one defence per this time
};

// Counts since construction.
struct ArpStats {
  uint64_t requests_sent = 0;  // broadcast and unicast, without announcements
  uint64_t replies_sent = 0;
  uint64_t learned = 0;    // new entries
  uint64_t moved = 0;      // entries whose MAC changed
  uint64_t failed = 0;     // resolutions and probes that nobody answered
  uint64_t evicted = 0;    // entries that gave way to others
  uint64_t conflicts = 0;  // packets of somebody else who claims one of our addresses
};

class Arp {
 public:
  using Frames = std::vector<pmd::Packet>;

  // A usable neighbour. `fresh_until`: ask Lookup again from then on, sooner when generation() has changed.
  struct Resolved {
    wire::MacAddress mac;
    Time fresh_until;
  };

  // `slab` gives the memory of our frames; `drops` counts. Both outlive this.
  Arp(ArpConfig config, zbuf::Slab* slab, stats::DropCounters* drops);

  // Announces our addresses (RFC 5227 §2.3), so that neighbours who knew another MAC for them correct it. Optional,
  // once the link is up.
  void Announce(Frames& frames);

  // Takes a frame that Ingress called kArp, Ethernet header included. Appends an answer, and frames that waited.
  void Accept(pmd::Packet&& frame, Time now, Frames& frames);

  // The neighbour's MAC, when known. May append a unicast probe for an entry that got old.
  absl::optional<Resolved> Lookup(wire::Ipv4Address neighbour, Time now, Frames& frames);

  // Holds `frame`, complete but for its destination MAC, until `neighbour` (which Lookup did not know) answers; asks
  // for it unless that is under way. Frames that do not fit, or whose neighbour never answers, are counted as
  // kNeighbourQueueFull or kNeighbourUnresolved.
  void Enqueue(wire::Ipv4Address neighbour, pmd::Packet&& frame, Time now, Frames& frames);

  // Retries and gives up. Call when NextDeadline() has come; harmless at any other time.
  void OnTimer(Time now, Frames& frames);
  // Never later than the next thing to do; Time::Infinite() when there is none.
  Time NextDeadline() const { return next_deadline_; }

  // Changes whenever an entry disappears or gets another MAC.
  uint64_t generation() const { return generation_; }

  const ArpStats& stats() const { return stats_; }
  size_t entries() const { return entries_.size(); }
  size_t resolving() const { return resolving_.size(); }
  size_t pending_frames() const { return pending_total_; }

 private:
  struct Entry {
    wire::MacAddress mac;
    Time confirmed;                    // when the neighbour last spoke to us
    Time used;                         // when Lookup last returned it
    int probes_sent = 0;               // > 0: probing
    Time deadline = Time::Infinite();  // of the probe under way
  };
  struct Resolution {
    PendingFrames frames;
    size_t requests_sent = 0;
    Time deadline;
  };

  stats::DropReason Judge(const pmd::Packet& frame, wire::ArpPacket* out) const;
  void CountDrop(stats::DropReason reason);  // of a packet that all see
  bool IsOurs(wire::Ipv4Address address) const;
  // Our address to ask for `neighbour` from: the one on its network, else the first.
  wire::Ipv4Address SourceFor(wire::Ipv4Address neighbour) const;
  void OnConflict(const wire::ArpPacket& packet, Time now, Frames& frames);
  // Takes in what the sender says of itself. `to_us`: it spoke to us. `may_create`: strangers are let in too.
  // Returns false when it taught nothing.
  bool Learn(const wire::ArpPacket& packet, bool to_us, bool may_create, Time now, Frames& frames);
  bool MakeRoom(bool for_stranger, Time now);
  void Probe(wire::Ipv4Address neighbour, Entry& entry, Time now, Frames& frames);
  void Ask(wire::Ipv4Address neighbour, Resolution& resolution, Time now, Frames& frames);
  bool Send(const wire::ArpPacket& packet, const wire::MacAddress& destination, Frames& frames);
  void Expect(Time deadline) {
    if (deadline < next_deadline_) next_deadline_ = deadline;
  }

  const ArpConfig config_;
  zbuf::Slab* const slab_;
  stats::DropCounters* const drops_;
  absl::flat_hash_map<wire::Ipv4Address, Entry> entries_;
  absl::flat_hash_map<wire::Ipv4Address, Resolution> resolving_;  // disjoint from entries_
  size_t pending_total_ = 0;
  Time next_deadline_ = Time::Infinite();
  uint64_t generation_ = 0;
  absl::optional<Time> last_defence_;
  ArpStats stats_;
};

}  // namespace luna::ip

#endif  // LUNA_NET_IP_ARP_H_
