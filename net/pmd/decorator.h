#ifndef LUNA_NET_PMD_DECORATOR_H_
#define LUNA_NET_PMD_DECORATOR_H_

#include "luna/net/pmd/packet_io.h"

namespace luna::pmd {

// A PacketIo around a PacketIo that passes every call on: the base of decorators, which override what they change.
// Does not own `inner`, which must outlive it. Thread: that of `inner`.
class PacketIoDecorator : public PacketIo {
 public:
  explicit PacketIoDecorator(PacketIo& inner) : inner_(inner) {}
  PacketIoDecorator(const PacketIoDecorator&) = delete;
  PacketIoDecorator& operator=(const PacketIoDecorator&) = delete;

  size_t ReceiveBurst(absl::Span<Packet> out, Time now) override { return inner_.ReceiveBurst(out, now); }
  size_t TransmitBurst(absl::Span<Packet> packets) override { return inner_.TransmitBurst(packets); }
  size_t Reclaim() override { return inner_.Reclaim(); }
  size_t TakeForwarded() override { return inner_.TakeForwarded(); }
  bool PrepareToSleep() override { return inner_.PrepareToSleep(); }
  void OnSlept(Duration slept) override { inner_.OnSlept(slept); }
  bool link_up() const override { return inner_.link_up(); }
  const Capabilities& capabilities() const override { return inner_.capabilities(); }
  const IoStats& stats() const override { return inner_.stats(); }

 protected:
  PacketIo& inner() { return inner_; }
  const PacketIo& inner() const { return inner_; }

 private:
  PacketIo& inner_;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_DECORATOR_H_
