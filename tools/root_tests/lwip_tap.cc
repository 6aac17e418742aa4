// lwIP's interface to a TAP device, as a shared object that lwip_peer compiles and lwip_end.py loads.
//
// Debian's liblwip brings one of its own (tapif), but that writes frames of more than some hundred octets past the end
// of their pool's buffers. Here each frame is a pbuf from the heap. Never ends, and frees nothing: its process does.

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <thread>

extern "C" {  // not all of them say so themselves
#include "lwip/etharp.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/tcpip.h"
}

namespace {

constexpr size_t kLargestFrame = 1514;

netif interface;
int tap = -1;

err_t Output(netif*, pbuf* packet) {
  char frame[kLargestFrame];
  if (packet->tot_len > sizeof(frame)) return ERR_BUF;
  pbuf_copy_partial(packet, frame, packet->tot_len, 0);
  // A full device loses the frame, as a wire would.
  return write(tap, frame, packet->tot_len) < 0 ? ERR_IF : ERR_OK;
}

void Input() {
  char frame[kLargestFrame];
  for (ssize_t size; (size = read(tap, frame, sizeof(frame))) > 0;) {
    const auto length = static_cast<u16_t>(size);
    pbuf* packet = pbuf_alloc(PBUF_RAW, length, PBUF_RAM);
    if (packet == nullptr) continue;
    pbuf_take(packet, frame, length);
    if (interface.input(packet, &interface) != ERR_OK) pbuf_free(packet);
  }
}

err_t Initialise(netif* self) {
  constexpr uint8_t kMac[ETH_HWADDR_LEN] = {0x02, 0, 0, 0, 0, 0x02};
  std::memcpy(self->hwaddr, kMac, sizeof(kMac));
  self->hwaddr_len = sizeof(kMac);
  self->name[0] = 'l';
  self->name[1] = 'w';
  self->mtu = 1500;
  self->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_LINK_UP;
  self->output = etharp_output;
  self->linkoutput = Output;
  return ERR_OK;
}

bool OpenTap(const char* name) {
  tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  ifreq request = {};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  return tap >= 0 && ioctl(tap, TUNSETIFF, &request) == 0;
}

}  // namespace

// Starts lwIP's thread and brings the interface up. `address` and `mask` in the wire's order. 0, or -1.
extern "C" int StartLwip(const char* name, uint32_t address, uint32_t mask) {
  if (!OpenTap(name)) return -1;
  tcpip_init(nullptr, nullptr);
  const ip4_addr_t own{address};
  const ip4_addr_t own_mask{mask};
  const ip4_addr_t gateway{0};
  LOCK_TCPIP_CORE();
  const bool added = netif_add(&interface, &own, &own_mask, &gateway, nullptr, Initialise, tcpip_input) != nullptr;
  if (added) {
    netif_set_default(&interface);
    netif_set_up(&interface);
  }
  UNLOCK_TCPIP_CORE();
  if (added) std::thread(Input).detach();
  return added ? 0 : -1;
}
