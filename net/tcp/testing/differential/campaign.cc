#include "luna/net/tcp/testing/differential/campaign.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "luna/net/tcp/testing/differential/kernel_system.h"
#include "luna/net/tcp/testing/differential/luna_system.h"
#include "luna/net/wire/address.h"

namespace luna::tcp::differential {
namespace {

constexpr wire::Ipv4Address kHost{10, 99, 0, 1};
constexpr wire::Ipv4Address kPeer{10, 99, 0, 2};
constexpr uint16_t kPeerPort = 4000;
// One port of the host's for each run in a namespace: what a list leaves behind does not meet the next.
constexpr uint16_t kFirstPort = 5000;
constexpr uint16_t kPorts = 50000;

class Campaign {
 public:
  Campaign(const std::vector<EventList>& lists, const std::vector<Difference>& differences,
           const CampaignOptions& options)
      : lists_(lists), differences_(differences), options_(options), outcomes_(lists.size()) {}

  absl::StatusOr<std::vector<Outcome>> Run() {
    std::vector<std::thread> threads;
    const auto wanted = std::min(static_cast<size_t>(options_.threads), lists_.size());
    for (size_t i = 0; i < wanted; ++i) threads.emplace_back([this] { Work(); });
    for (std::thread& thread : threads) thread.join();
    if (!status_.ok()) return status_;
    return std::move(outcomes_);
  }

 private:
  void Work() {
    absl::StatusOr<std::unique_ptr<KernelSystem>> kernel = KernelSystem::Create(kHost);
    if (!kernel.ok()) return Fail(kernel.status());
    LunaSystem luna;
    uint16_t runs = 0;
    for (size_t i; (i = next_++) < lists_.size();) {
      Outcome& outcome = outcomes_[i];
      do {
        const auto port = static_cast<uint16_t>(kFirstPort + runs++ % kPorts);
        Try(lists_[i], {kHost, port}, luna, **kernel, &outcome);
      } while (!outcome.failure.empty() && outcome.attempts < options_.attempts);
    }
  }

  void Try(const EventList& list, const wire::Endpoint& host, LunaSystem& luna, KernelSystem& kernel,
           Outcome* outcome) {
    const wire::Endpoint peer{kPeer, kPeerPort};
    absl::StatusOr<Trace> ours = differential::Run(list, host, peer, luna);
    absl::StatusOr<Trace> theirs = differential::Run(list, host, peer, kernel);
    *outcome = {.name = list.name, .attempts = outcome->attempts + 1};
    if (!ours.ok() || !theirs.ok()) {
      outcome->failure = absl::StrCat("    ", (ours.ok() ? theirs : ours).status().ToString(), "\n");
      return;
    }
    Comparison comparison = Compare(*ours, *theirs, differences_);
    outcome->known = std::move(comparison.known);
    outcome->failure = std::move(comparison.unknown);
    outcome->luna = *std::move(ours);
    outcome->kernel = *std::move(theirs);
  }

  void Fail(const absl::Status& status) {
    const std::lock_guard<std::mutex> lock(mutex_);
    status_ = status;
    next_ = lists_.size();
  }

  const std::vector<EventList>& lists_;
  const std::vector<Difference>& differences_;
  const CampaignOptions options_;
  std::vector<Outcome> outcomes_;  // each written by one thread
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  absl::Status status_;  // under mutex_
};

}  // namespace

absl::StatusOr<std::vector<Outcome>> RunCampaign(const std::vector<EventList>& lists,
                                                 const std::vector<Difference>& differences,
                                                 const CampaignOptions& options) {
  return Campaign(lists, differences, options).Run();
}

std::vector<std::string> FindStale(const std::vector<Difference>& differences, const std::vector<Outcome>& outcomes) {
  std::vector<std::string> stale;
  for (const Difference& difference : differences) {
    const bool seen = std::any_of(outcomes.begin(), outcomes.end(), [&](const Outcome& outcome) {
      return outcome.name == difference.list &&
             std::find(outcome.known.begin(), outcome.known.end(), difference.name) != outcome.known.end();
    });
    if (!seen) stale.push_back(difference.name);
  }
  return stale;
}

}  // namespace luna::tcp::differential
