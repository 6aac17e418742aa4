#ifndef LUNA_NET_IP_FINISH_CHECKSUM_H_
#define LUNA_NET_IP_FINISH_CHECKSUM_H_

// Transport checksums of datagrams to be sent, over an IPv4 pseudo-header (RFC 9293 §3.1). For Egress, and for whoever
// sends datagrams over a link without Ethernet.

#include "luna/net/ip/datagram.h"

namespace luna::ip {

// Computes the transport checksum over all slices and stores it at datagram.checksum_offset. Both addresses are IPv4;
// the field holds 0 and lies whole in the first slice; the datagram is shorter than 64 KB. Linear in the bytes. Any
// thread.
void FinishChecksum(OutDatagram& datagram);

// Stores there what a device wants that computes the rest: the folded sum of the pseudo-header, not complemented. The
// length in that sum is the segment's. Where the device cuts the segment (tso_segment_bytes > 0) and so makes new
// lengths, virtio wants the old one there and DPDK's drivers none: Capabilities::tso_sum_has_length.
void PreparePartialChecksum(OutDatagram& datagram, bool tso_sum_has_length);

}  // namespace luna::ip

#endif  // LUNA_NET_IP_FINISH_CHECKSUM_H_
