#include "luna/net/tcp/testing/simulator/simulation.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/parse_result.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp::simulator {
namespace {

constexpr uint32_t kFirstAddress = 0x0a000001;

}  // namespace

Simulation::Simulation(uint64_t seed)
    : middle_(*this),
      wire_([this](const std::string& what) { Fail(what); }),
      trace_(std::getenv("LUNA_TEST_TRACE") != nullptr) {
  environment_.seed = seed;
  environment_.now = kStart;
}

Simulation::~Simulation() = default;

Host& Simulation::AddHost(const HostOptions& options) {
  const wire::Ipv4Address address(static_cast<uint32_t>(kFirstAddress + hosts_.size()));
  hosts_.push_back(std::make_unique<Host>(*this, address, options));
  return *hosts_.back();
}

void Simulation::Middle::Take(Packet&& packet) {
  const size_t i = packet.destination.value() - kFirstAddress;
  if (i < simulation_.hosts_.size()) simulation_.hosts_[i]->ingress().Take(std::move(packet));
}

bool Simulation::RunUntil(const std::function<bool()>& done, Duration limit) {
  const Time end = now() + limit;
  while (failures_.empty()) {
    if (done()) return true;
    if (environment_.events.empty() || environment_.events.next() > end) {
      environment_.now = std::max(now(), end);
      return false;
    }
    environment_.now = environment_.events.next();
    environment_.events.Step();
  }
  return false;
}

void Simulation::RunFor(Duration duration) {
  RunUntil([] { return false; }, duration);
}

bool Simulation::IsQuiet() {
  return std::all_of(hosts_.begin(), hosts_.end(), [](const auto& host) { return host->IsHome(); });
}

void Simulation::Fail(const std::string& what) {
  if (++failure_count_ > kMostFailures) return;
  absl::StrAppend(&failures_, "at ", (now() - kStart).seconds(), " s: ", what, "\n");
}

std::string Simulation::Describe() {
  std::string text = absl::StrCat("seed=", seed(), " t=", (now() - kStart).seconds(), "s emitted=", emitted_,
                                  " delivered=", delivered_, " planned=", environment_.events.size());
  for (const auto& host : hosts_) absl::StrAppend(&text, "\n", host->Describe());
  return text;
}

void Simulation::Hash(const Packet& packet) {
  ++delivered_;
  const auto mix = [this](uint64_t value) { trace_hash_ = (trace_hash_ ^ value) * 1099511628211u; };
  mix(static_cast<uint64_t>(now().nanoseconds()));
  mix(packet.bytes.size() << 8 | static_cast<uint64_t>(packet.ecn));
  for (size_t at = 0; at + 4 <= std::min<size_t>(packet.bytes.size(), wire::TcpHeader::kSize); at += 4) {
    mix(wire::LoadBe32(packet.octets().data() + at));
  }
}

void Simulation::OnEmitted(const Host& from, const Packet& packet) {
  ++emitted_;
  wire::TcpHeader header;
  const bool parses = wire::Parse(packet.octets(), &header) == wire::ParseResult::kOk;
  const wire::FourTuple tuple = {{packet.source, header.source_port}, {packet.destination, header.destination_port}};
  if (trace_ && parses) {
    std::cerr << (now() - kStart).microseconds() << " us  " << tuple.ToString() << "  flags " << header.flags << " seq "
              << header.sequence << "+" << packet.bytes.size() - header.header_length << " ack "
              << header.acknowledgment << " win " << header.window << "\n";
  }
  wire_.OnEmitted(tuple, from.options().config.mtu, packet.octets());
  if (on_emitted) on_emitted(from, packet);
}

}  // namespace luna::tcp::simulator
