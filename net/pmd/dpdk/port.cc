#include "luna/net/pmd/dpdk/port.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
// clang-format on
#include <unistd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "luna/mem/zbuf/size_class.h"
#include "luna/net/pmd/dpdk/copy_pool.h"
#include "luna/net/pmd/dpdk/dma_map.h"
#include "luna/net/pmd/dpdk/interrupt_thread.h"
#include "luna/net/pmd/dpdk/kernel_link.h"
#include "luna/net/pmd/dpdk/memif.h"
#include "luna/net/pmd/dpdk/memif_sockets.h"
#include "luna/net/pmd/dpdk/offloads.h"
#include "luna/net/pmd/dpdk/ring_pair.h"

namespace luna::pmd::dpdk {
namespace {

constexpr uint32_t kLinkBytes = 18;  // Ethernet header and one VLAN tag
constexpr uint32_t kMostSegments = 64;

const char* BusOf(const Devargs& devargs) { return devargs.is_pci() ? "pci" : "vdev"; }

}  // namespace

struct Port::DeviceFacts {
  rte_eth_dev_info info;
  Offloads offloads;
  uint16_t rx_descriptors = 0;
  uint16_t tx_descriptors = 0;
  int numa_node = -1;
};

Port::Port(Eal& eal, const PortOptions& options, Devargs devargs)
    : eal_(eal),
      options_(options),
      devargs_(std::move(devargs)),
      mode_(options.mode == BufferMode::kAuto ? devargs_.driver().mode : options.mode) {
  eal_.PortOpened();
}

absl::StatusOr<std::unique_ptr<Port>> Port::Open(Eal& eal, const PortOptions& options) {
  absl::StatusOr<Devargs> devargs = Devargs::Parse(options.devargs);
  if (!devargs.ok()) return devargs.status();
  std::unique_ptr<Port> port(new Port(eal, options, *std::move(devargs)));
  if (absl::Status s = port->CheckOptions(); !s.ok()) return s;
  if (absl::Status s = port->ApplyDefaults(); !s.ok()) return s;
  eal.ForgetLog();
  if (absl::Status s = port->Attach(); !s.ok()) return s;
  if (absl::Status s = port->Configure(); !s.ok()) return s;
  return port;
}

absl::StatusOr<std::pair<std::unique_ptr<Port>, std::unique_ptr<Port>>> Port::OpenRingPair(
    Eal& eal, absl::string_view name, const PortOptions& a, const PortOptions& b, uint32_t ring_entries) {
  if (a.slabs.size() != b.slabs.size()) {
    return absl::InvalidArgumentError(absl::StrCat("ring pair \"", name, "\": one side has ", a.slabs.size(),
                                                   " queues and the other ", b.slabs.size(),
                                                   "; give both as many slabs"));
  }
  absl::StatusOr<std::shared_ptr<RingPair>> rings = RingPair::Create(name, a.slabs.size(), ring_entries);
  if (!rings.ok()) return rings.status();
  std::unique_ptr<Port> ports[2];
  for (int side = 0; side < 2; ++side) {
    PortOptions options = side == 0 ? a : b;
    options.devargs = absl::StrCat("net_ring_", name, side == 0 ? "a" : "b");
    absl::StatusOr<Devargs> devargs = Devargs::Parse(options.devargs);
    if (!devargs.ok()) return devargs.status();
    ports[side].reset(new Port(eal, options, *std::move(devargs)));
    if (absl::Status s = ports[side]->CheckOptions(); !s.ok()) return s;
    eal.ForgetLog();
    ports[side]->rings_ = *rings;
    ports[side]->ring_side_ = side;
    if (absl::Status s = ports[side]->Attach(); !s.ok()) return s;
    if (absl::Status s = ports[side]->Configure(); !s.ok()) return s;
  }
  return std::make_pair(std::move(ports[0]), std::move(ports[1]));
}

Port::~Port() {
  // net_ring leaves what is in the rings to whoever owns them; other drivers clean up themselves.
  if (starter_ != nullptr && starter_->started() && devargs_.driver().prefix == "net_ring") {
    for (auto& queue : queues_) queue->DiscardReceived();
  }
  starter_.reset();
  if (attached_) {
    if (IsMemif()) {
      RunOnInterruptThread([this] { rte_eth_dev_close(id_); });
    } else {
      rte_eth_dev_close(id_);
    }
    rte_eal_hotplug_remove(BusOf(devargs_), devargs_.name().c_str());
  }
  if (has_memif_socket_) ReleaseMemifSocket(devargs_);
  rings_.reset();
  eal_.PortClosed();
}

absl::Status Port::Failed(absl::string_view step, int error) const {
  const std::string log = eal_.LastLog();
  const absl::string_view needs = devargs_.driver().needs;
  // Drivers return -1 for anything, which reads as EPERM and is not worth showing.
  std::string message(step);
  if (error != EPERM) absl::StrAppend(&message, " (", rte_strerror(error), ")");
  if (!needs.empty()) absl::StrAppend(&message, "; it needs ", needs);
  if (error == ENOMEM || error == ENOBUFS)
    absl::StrAppend(&message, "; raise the arena's size or EalOptions::memory_mb");
  if (absl::StrContains(log, "create xsk socket")) {
    absl::StrAppend(
        &message,
        "; does an AF_XDP socket hold the queue already (of another program, or of a port that this process closed)?");
  }
  if (!log.empty()) absl::StrAppend(&message, "; DPDK says: ", log);
  message = devargs_.Message(message);
  // Nor do they say when it was a privilege that they missed.
  if (absl::StrContains(log, "Operation not permitted") || absl::StrContains(log, "Permission denied") ||
      (!needs.empty() && geteuid() != 0)) {
    return absl::PermissionDeniedError(message);
  }
  return error == ENOMEM || error == ENOBUFS ? absl::ResourceExhaustedError(message) : absl::UnavailableError(message);
}

absl::Status Port::CheckOptions() const {
  if (options_.slabs.empty())
    return absl::InvalidArgumentError(devargs_.Message("has no queue; give one slab per queue"));
  for (const zbuf::Slab* slab : options_.slabs) {
    CHECK(slab != nullptr);
    CHECK(slab->OwnedByThisThread()) << "the thread that opens a port must own its slabs; workers bind them afterwards";
  }
  if (options_.mtu < 68 || options_.mtu > 65000) {
    return absl::InvalidArgumentError(devargs_.Message(absl::StrCat("MTU ", options_.mtu, "; choose 68 to 65000")));
  }
  if (options_.rx_descriptors == 0 || options_.tx_descriptors == 0) {
    return absl::InvalidArgumentError(devargs_.Message("0 descriptors; choose for example 1024"));
  }
  if (devargs_.is_pci() && !eal_.pci()) {
    return absl::InvalidArgumentError(devargs_.Message("the PCI bus is not looked at; start the Eal with pci = true"));
  }
  if (mode_ == BufferMode::kZbuf && devargs_.driver().mode == BufferMode::kCopy) {
    return absl::InvalidArgumentError(
        devargs_.Message(absl::StrCat(devargs_.driver().prefix, " works in copy mode only; leave the mode automatic")));
  }
  return absl::OkStatus();
}

absl::Status Port::ApplyDefaults() {
  if (IsMemif()) return ApplyMemifDefaults(options_.mtu, options_.rx_descriptors, devargs_, options_.mac);
  if (!devargs_.driver().is_kernel_link) return absl::OkStatus();
  absl::StatusOr<KernelLink> link = FindKernelLink(std::string(*devargs_.Find("iface")));
  if (!link.ok()) return absl::Status(link.status().code(), devargs_.Message(link.status().message()));
  if (options_.mtu > link->mtu) {
    return absl::InvalidArgumentError(
        devargs_.Message(absl::StrCat("MTU ", options_.mtu, " is above the interface's ", link->mtu,
                                      "; lower it, or ip link set dev ", link->name, " mtu ", options_.mtu)));
  }
  kernel_ifindex_ = link->index;
  if (devargs_.driver().prefix == "net_af_packet") SizeAfPacketSlots();
  return absl::OkStatus();
}

// A slot of the packet ring that it shares with the kernel holds a frame behind some 80 bytes of header, in 2048 bytes
// by default. The receive obj must be as large as a slot, so the next power of 2 would be a waste; and the driver takes
// blocks for whole multiples of slots, which the kernel does not.
void Port::SizeAfPacketSlots() {
  uint32_t slot = 2048;
  if (MaxFrameBytes() + 128 > slot) {
    slot = (MaxFrameBytes() + 128 + 1023) & ~uint32_t{1023};
    devargs_.SetDefault("framesz", absl::StrCat(slot));
    devargs_.SetDefault("blocksz", absl::StrCat(4 * slot));
  }
  if (!absl::SimpleAtoi(devargs_.Find("framesz").value_or("2048"), &slot)) slot = 2048;
  least_receive_bytes_ = slot;
}

bool Port::IsMemif() const { return devargs_.driver().prefix == "net_memif"; }

Starter::Kind Port::StarterKind() const {
  if (!IsMemif()) return Starter::Kind::kPlain;
  return IsMemifClient(devargs_) ? Starter::Kind::kMemifClient : Starter::Kind::kMemifServer;
}

absl::Status Port::Attach() {
  uint16_t taken;
  if (rte_eth_dev_get_port_by_name(devargs_.name().c_str(), &taken) == 0) {
    return absl::AlreadyExistsError(devargs_.Message(
        absl::StrCat(devargs_.name(), " is open in this process already; close it, or choose another name")));
  }
  if (rings_ != nullptr) {
    const int id = rings_->Attach(devargs_.name(), ring_side_);
    if (id < 0) return AttachFailed(-id);
    id_ = static_cast<uint16_t>(id);
    attached_ = true;
    return absl::OkStatus();
  }
  if (IsMemif()) {
    if (absl::Status s = AcquireMemifSocket(devargs_); !s.ok()) return s;
    has_memif_socket_ = true;
  }
  const int error = rte_eal_hotplug_add(BusOf(devargs_), devargs_.name().c_str(), devargs_.Arguments().c_str());
  if (error != 0) return AttachFailed(-error);
  if (rte_eth_dev_get_port_by_name(devargs_.name().c_str(), &id_) != 0) {
    rte_eal_hotplug_remove(BusOf(devargs_), devargs_.name().c_str());
    return absl::UnavailableError(devargs_.Message("the driver took the device and made no port of it"));
  }
  attached_ = true;
  return absl::OkStatus();
}

absl::Status Port::AttachFailed(int error) const {
  if (devargs_.is_pci() && error == ENODEV) {
    return absl::NotFoundError(devargs_.Message("no such device on the PCI bus; `lspci -D` shows what there is"));
  }
  return Failed("the driver did not open it", error);
}

absl::Status Port::Configure() {
  DeviceFacts facts;
  if (absl::Status s = ReadFacts(facts); !s.ok()) return s;
  const uint16_t queues = static_cast<uint16_t>(options_.slabs.size());
  rte_eth_conf conf{};
  conf.rxmode.offloads = facts.offloads.rx;
  conf.rxmode.max_lro_pkt_size = facts.offloads.max_lro_bytes;
  conf.txmode.offloads = facts.offloads.tx;
  if (!devargs_.driver().soft_mtu) conf.rxmode.mtu = options_.mtu;
  if (queues > 1 && facts.info.flow_type_rss_offloads != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = facts.info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP);
  }
  if (int error = rte_eth_dev_configure(id_, queues, queues, &conf); error != 0)
    return Failed("configuring it failed", -error);
  if (int error = rte_eth_dev_adjust_nb_rx_tx_desc(id_, &facts.rx_descriptors, &facts.tx_descriptors); error != 0) {
    return Failed("sizing its rings failed", -error);
  }
  own_mac_ = ChooseMac();
  if (devargs_.is_pci()) {
    for (const zbuf::Slab* slab : options_.slabs) {
      if (absl::Status s = MapForDma(slab->arena(), facts.info.device); !s.ok()) {
        return absl::Status(s.code(), devargs_.Message(s.message()));
      }
    }
  }
  starter_ = std::make_unique<Starter>(id_, StarterKind());
  if (absl::Status s = SetUpQueues(facts); !s.ok()) return s;
  if (int error = starter_->Start(); error != 0) return Failed("starting it failed", -error);
  return absl::OkStatus();
}

absl::Status Port::ReadFacts(DeviceFacts& facts) const {
  if (int error = rte_eth_dev_info_get(id_, &facts.info); error != 0)
    return Failed("asking what it can do failed", -error);
  const size_t most = std::min(facts.info.max_rx_queues, facts.info.max_tx_queues);
  if (options_.slabs.size() > most) {
    return absl::InvalidArgumentError(
        devargs_.Message(absl::StrCat(options_.slabs.size(), " queues; it has ", most, " at most")));
  }
  if (!devargs_.driver().soft_mtu && (options_.mtu < facts.info.min_mtu || options_.mtu > facts.info.max_mtu)) {
    return absl::InvalidArgumentError(devargs_.Message(
        absl::StrCat("MTU ", options_.mtu, "; it takes ", facts.info.min_mtu, " to ", facts.info.max_mtu)));
  }
  facts.offloads = ChooseOffloads(facts.info, {.physical = devargs_.is_pci(), .vlan = options_.vlan});
  facts.rx_descriptors = options_.rx_descriptors;
  facts.tx_descriptors = options_.tx_descriptors;
  facts.numa_node = rte_eth_dev_socket_id(id_);
  return absl::OkStatus();
}

absl::Status Port::SetUpQueues(const DeviceFacts& facts) {
  for (size_t i = 0; i < options_.slabs.size(); ++i) {
    absl::StatusOr<QueueConfig> config = MakeQueueConfig(facts, i);
    if (!config.ok()) return absl::Status(config.status().code(), devargs_.Message(config.status().message()));
    rte_mempool* rx_pool = mode_ == BufferMode::kCopy ? config->copy_pool : config->zbuf_pool->pool();
    absl::StatusOr<std::unique_ptr<Queue>> queue = Queue::Create(*std::move(config));
    if (!queue.ok()) return absl::Status(queue.status().code(), devargs_.Message(queue.status().message()));
    queues_.push_back(*std::move(queue));
    const uint16_t q = static_cast<uint16_t>(i);
    const unsigned node = static_cast<unsigned>(facts.numa_node);
    if (int error = rte_eth_rx_queue_setup(id_, q, facts.rx_descriptors, node, nullptr, rx_pool); error != 0) {
      return Failed(absl::StrCat("setting up receive queue ", i, " failed"), -error);
    }
    if (int error = rte_eth_tx_queue_setup(id_, q, facts.tx_descriptors, node, nullptr); error != 0) {
      return Failed(absl::StrCat("setting up transmit queue ", i, " failed"), -error);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<QueueConfig> Port::MakeQueueConfig(const DeviceFacts& facts, size_t i) {
  QueueConfig config;
  config.port = id_;
  config.queue = static_cast<uint16_t>(i);
  config.slab = options_.slabs[i];
  config.starter = starter_.get();
  if (IsMemif()) config.memif_gate = std::make_unique<MemifGate>();
  config.mode = mode_;
  config.max_frame_bytes = MaxFrameBytes();
  // Frames in the device's ring and in the burst under construction, four slices each.
  config.tx_mbufs = 4 * (std::max<uint32_t>(facts.tx_descriptors, 1024) + 64);
  config.capabilities = MakeCapabilities(facts, i);
  const uint16_t room = static_cast<uint16_t>(
      std::min<uint32_t>(RTE_PKTMBUF_HEADROOM + std::max(MaxFrameBytes(), least_receive_bytes_), UINT16_MAX));
  if (mode_ == BufferMode::kCopy) {
    // net_af_xdp keeps two rings of 2048 filled whatever it is told.
    const uint32_t count = 4096 + facts.rx_descriptors + facts.tx_descriptors;
    absl::StatusOr<rte_mempool*> pool = MakeCopyPool(
        absl::StrCat("lc_", id_, "_", i), count, std::max<uint16_t>(room, RTE_MBUF_DEFAULT_BUF_SIZE), facts.numa_node);
    if (!pool.ok()) return pool.status();
    config.copy_pool = *pool;
    return config;
  }
  ZbufMempool::Options pool{.obj_bytes = room, .numa_node = facts.numa_node};
  if (IsMemif()) pool.data_room_bytes = MemifDataRoom(devargs_);
  absl::StatusOr<std::unique_ptr<ZbufMempool>> made = ZbufMempool::Create(*options_.slabs[i], pool);
  if (!made.ok()) return made.status();
  config.zbuf_pool = *std::move(made);
  return config;
}

Capabilities Port::MakeCapabilities(const DeviceFacts& facts, size_t i) const {
  Capabilities c;
  c.name = absl::StrCat(devargs_.name(), " queue ", i);
  c.mac = *own_mac_;
  c.mtu = options_.mtu;
  if (mode_ == BufferMode::kZbuf && (facts.offloads.tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS)) {
    c.max_tx_segments = std::clamp<uint32_t>(facts.info.tx_desc_lim.nb_mtu_seg_max, 1, kMostSegments);
  }
  // Frames from one ring port to another stay what the sender made them: nobody would fill in a checksum.
  c.tx_ip_checksum = (facts.offloads.tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
  c.tx_tcp_checksum = (facts.offloads.tx & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0;
  c.tx_tso = mode_ == BufferMode::kZbuf && (facts.offloads.tx & RTE_ETH_TX_OFFLOAD_TCP_TSO) != 0 && c.tx_ip_checksum &&
             c.tx_tcp_checksum;
  c.trust_rx_checksum = devargs_.is_pci();
  c.tx_vlan_insert = (facts.offloads.tx & RTE_ETH_TX_OFFLOAD_VLAN_INSERT) != 0;
  c.rx_vlan_strip = (facts.offloads.rx & RTE_ETH_RX_OFFLOAD_VLAN_STRIP) != 0;
  c.kernel_ifindex = kernel_ifindex_;
  return c;
}

wire::MacAddress Port::ChooseMac() const {
  rte_ether_addr device{};
  rte_eth_macaddr_get(id_, &device);
  const wire::MacAddress theirs = wire::MacAddress::FromBytes(device.addr_bytes);
  if (options_.mac) {
    rte_ether_addr wanted;
    options_.mac->CopyTo(wanted.addr_bytes);
    // Software devices do not filter; where this fails the address still is the one we answer to.
    if (*options_.mac != theirs && !devargs_.driver().is_kernel_link) rte_eth_dev_default_mac_addr_set(id_, &wanted);
    return *options_.mac;
  }
  // net_tap's address is that of the kernel's end of the wire.
  if (devargs_.driver().prefix == "net_tap" || theirs.IsZero()) return RandomLocalMac();
  return theirs;
}

uint32_t Port::MaxFrameBytes() const {
  const uint32_t frame = options_.mtu + kLinkBytes;
  return IsMemif() ? std::min(frame, MemifBufferBytes(devargs_)) : frame;
}

}  // namespace luna::pmd::dpdk
