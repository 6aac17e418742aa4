#ifndef LUNA_NET_PMD_XDP_XSK_SOCKET_H_
#define LUNA_NET_PMD_XDP_XSK_SOCKET_H_

// XskSocket: an AF_XDP socket with its UMEM, bound to one queue of an interface. Raw system calls: libxdp would add its
// own program loader and dispatcher, which flow/bifurcation/xdp replaces, and hides which call failed.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/net/pmd/xdp/xsk_channel.h"

namespace luna::pmd::xdp {

// How the kernel moves frames between the UMEM and the driver.
enum class CopyMode : uint8_t {
  kAuto,      // zero copy if the driver can and the UMEM is of hugepages, else copy
  kCopy,      // one copy by the kernel; any driver
  kZeroCopy,  // the NIC reads and writes the UMEM; hugepages and a driver with support
};

struct XskOptions {
  std::string interface;  // looked up in the caller's network namespace
  uint32_t queue = 0;
  std::byte* umem = nullptr;  // page-aligned; stays mapped until Close
  uint64_t umem_bytes = 0;
  uint64_t page_bytes = 4096;   // of the memory behind the UMEM
  uint32_t chunk_bytes = 2304;  // 2048..4096
  uint32_t rx_ring = 2048;      // of the rx and fill rings; a power of two
  uint32_t tx_ring = 2048;      // of the tx and completion rings; a power of two
  CopyMode copy_mode = CopyMode::kAuto;
};

class XskSocket : public XskChannel {
 public:
  // In one line with the mend: PermissionDenied (CAP_NET_RAW), Unimplemented (no AF_XDP in this kernel, or no zero copy
  // in the driver), ResourceExhausted (locked memory), AlreadyExists (the queue has a socket), NotFound (no such
  // interface or queue).
  static absl::StatusOr<std::unique_ptr<XskSocket>> Open(const XskOptions& options);
  ~XskSocket() override;

  // Readable when frames wait; the value to enter into the xskmap.
  int fd() const { return fd_; }
  // The kernel gathers frames of several descriptors, both ways (Linux 6.6).
  bool gathers() const { return gathers_; }
  bool zero_copy() const { return zero_copy_; }

  void KickTransmit() override;
  void KickReceive() override;
  XskCounters ReadCounters() override;
  bool LinkUp() override;
  void Close() override;

 private:
  struct Mapping {
    void* base = nullptr;
    size_t bytes = 0;
  };

  XskSocket() = default;
  static absl::StatusOr<std::unique_ptr<XskSocket>> OpenOnce(const XskOptions& options, int ifindex,
                                                             uint16_t bind_flags);
  absl::Status RegisterUmem(const XskOptions& options);
  absl::Status MakeRings(const XskOptions& options);
  template <typename Entry, typename Offset>
  absl::StatusOr<RingMemory<Entry>> MapRing(const Offset& offset, uint32_t size, uint64_t page_offset,
                                            Mapping* mapping);
  absl::Status Bind(const XskOptions& options, int ifindex, uint16_t bind_flags);

  int fd_ = -1;
  int control_fd_ = -1;  // an ordinary socket, for questions about the interface
  std::string interface_;
  bool gathers_ = false;
  bool zero_copy_ = false;
  Mapping fill_, completion_, rx_, tx_;
};

}  // namespace luna::pmd::xdp

#endif  // LUNA_NET_PMD_XDP_XSK_SOCKET_H_
