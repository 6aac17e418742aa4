#include "luna/net/pmd/dpdk/starter.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_ethdev.h>
// clang-format on

#include <algorithm>

#include "luna/net/pmd/dpdk/interrupt_thread.h"

namespace luna::pmd::dpdk {

int Starter::Start() {
  const int error = rte_eth_dev_start(port_);
  if (error == 0) state_.store(kStarted, std::memory_order_release);
  wait_ = error == 0 ? kHandshakePatience : kRetryEvery;
  return kind_ == Kind::kMemifClient ? 0 : error;
}

void Starter::Stop() {
  if (kind_ == Kind::kPlain) {
    if (state_.exchange(kStopped) == kStarted) rte_eth_dev_stop(port_);
    return;
  }
  // Behind a stop that Keep may have posted.
  RunOnInterruptThread([this] {
    if (state_.exchange(kStopped) == kStarted) rte_eth_dev_stop(port_);
  });
}

void Starter::KeepSlow() {
  if (was_up_) wait_ = std::min(wait_, kRetryEvery);
  was_up_ = false;
  if (--wait_ != 0) return;
  wait_ = kRetryEvery;
  switch (state_.load(std::memory_order_acquire)) {
    case kStopped:
      Start();
      break;
    case kStopping:
      break;
    case kStarted: {
      const auto stop = [](void* argument) {
        Starter* self = static_cast<Starter*>(argument);
        rte_eth_dev_stop(self->port_);
        self->state_.store(kStopped, std::memory_order_release);
      };
      state_.store(kStopping, std::memory_order_release);
      if (!PostToInterruptThread(stop, this)) state_.store(kStarted, std::memory_order_release);
      break;
    }
  }
}

}  // namespace luna::pmd::dpdk
