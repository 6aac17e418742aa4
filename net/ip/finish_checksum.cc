#include "luna/net/ip/finish_checksum.h"

#include "glog/logging.h"
#include "luna/net/ip/chain_bytes.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/checksum.h"

namespace luna::ip {
namespace {

uint8_t* Field(OutDatagram& datagram) {
  zbuf::ZChain& data = datagram.packet.data;
  DCHECK(!data.empty() && data.front().size() >= datagram.checksum_offset + sizeof(uint16_t));
  return FrontBytes(data) + datagram.checksum_offset;
}

uint16_t PseudoHeaderSum(const OutDatagram& datagram, size_t length) {
  return wire::Ipv4PseudoHeaderSum(datagram.source.v4(), datagram.destination.v4(), datagram.protocol,
                                   static_cast<uint16_t>(length));
}

}  // namespace

void FinishChecksum(OutDatagram& datagram) {
  wire::ChecksumAccumulator sum(PseudoHeaderSum(datagram, datagram.packet.data.bytes()));
  AddChain(datagram.packet.data, &sum);
  wire::StoreBe16(Field(datagram), sum.Fold());
}

void PreparePartialChecksum(OutDatagram& datagram, bool tso_sum_has_length) {
  const bool cut = datagram.packet.tx.tso_segment_bytes > 0;
  const size_t length = cut && !tso_sum_has_length ? 0 : datagram.packet.data.bytes();
  wire::StoreBe16(Field(datagram), PseudoHeaderSum(datagram, length));
}

}  // namespace luna::ip
