#include "luna/apps/echo/luna_client.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "luna/apps/echo/pattern.h"

namespace luna::apps {
namespace {

constexpr Duration kTick = Duration::Milliseconds(10);

}  // namespace

class LunaClient::LunaChannel final : public Channel {
 public:
  LunaChannel(tcp::Connection& connection, const std::byte* pattern) : connection_(connection), pattern_(pattern) {}

  size_t SendPattern(uint64_t offset, size_t length) override {
    if (connection_.send_space() == 0) {
      connection_.WantWritable();
      return 0;
    }
    zbuf::ZChain chain;
    for (size_t left = length; left > 0;) {
      const size_t at = offset % kPatternPeriod;
      const size_t n = std::min(left, kPatternPeriod - at);
      chain.Append(zbuf::ZRef::ShareOf(pattern_ + at), static_cast<uint32_t>(n));
      offset += n;
      left -= n;
    }
    return connection_.Send(std::move(chain)) == tcp::SendResult::kOk ? length : 0;
  }
  void Close() override { connection_.Close(); }

  Workload::Stream* stream = nullptr;

 private:
  tcp::Connection& connection_;
  const std::byte* pattern_;
};

LunaClient::LunaClient(r2c::Worker& worker, Workload& workload, zbuf::ZRef pattern)
    : worker_(worker), workload_(workload), pattern_(std::move(pattern)) {
  worker_.Arm(*this, worker_.now() + kTick);
}

LunaClient::~LunaClient() { worker_.Cancel(*this); }

void LunaClient::Connect(const wire::Endpoint& remote, uint32_t connections) {
  for (uint32_t i = 0; i < connections; ++i) {
    const auto connection = worker_.Connect(remote, *this);
    if (connection.ok()) continue;
    // Out of ports or connections: the rest would fare no better, and each would search the whole range.
    for (; i < connections; ++i) workload_.OnConnectFailed(connection.status().message());
  }
}

void LunaClient::OnConnected(tcp::Connection& connection) {
  LunaChannel& channel = channels_.emplace_back(connection, pattern_.get());
  connection.set_context(&channel);
  channel.stream = workload_.OnConnected(&channel);
}

void LunaClient::OnReadable(tcp::Connection& connection, zbuf::ZChain data) {
  auto* channel = static_cast<LunaChannel*>(connection.context());
  for (const zbuf::ZSlice& slice : data) workload_.OnReadable(channel->stream, slice.span());
  workload_.OnReadableDone(channel->stream);
}

void LunaClient::OnWritable(tcp::Connection& connection) {
  auto* channel = static_cast<LunaChannel*>(connection.context());
  if (channel != nullptr) workload_.OnWritable(channel->stream);
}

void LunaClient::OnPeerClosed(tcp::Connection& connection) { connection.Close(); }

void LunaClient::OnClosed(tcp::Connection& connection, tcp::CloseReason reason) {
  auto* channel = static_cast<LunaChannel*>(connection.context());
  std::string why = tcp::Name(reason);
  const tcp::NetworkError error = connection.soft_error();
  const bool gave_up = reason == tcp::CloseReason::kTimedOut || reason == tcp::CloseReason::kUnreachable;
  if (gave_up && error != tcp::NetworkError::kNone && error != tcp::NetworkError::kNoAnswer) {
    absl::StrAppend(&why, " (", tcp::Name(error), ")");
  }
  if (channel == nullptr) {
    workload_.OnConnectFailed(why);
  } else {
    workload_.OnClosed(channel->stream, why);
  }
}

void LunaClient::OnTimer(Time now) {
  workload_.OnTick();
  worker_.Arm(*this, now + kTick);
}

}  // namespace luna::apps
