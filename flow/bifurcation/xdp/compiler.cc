#include "luna/flow/bifurcation/xdp/compiler.h"

#include <linux/if_ether.h>

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "luna/flow/bifurcation/xdp/assembler.h"

namespace luna::bifurcation::xdp {
namespace {

constexpr int kVlanTagBytes = 4;

// What the registers hold after ParseHeaders. The context survives the helper call's argument set-up.
constexpr Reg kContext = Reg::kR6;
constexpr Reg kPort = Reg::kR7;     // destination port, host order
constexpr Reg kAddress = Reg::kR8;  // destination address, host order
// While parsing.
constexpr Reg kFrame = Reg::kR2;
constexpr Reg kFrameEnd = Reg::kR3;
constexpr Reg kLimit = Reg::kR4;
constexpr Reg kScratch = Reg::kR5;
constexpr Reg kHeaderBytes = Reg::kR0;

// Continues only when kFrame + bytes <= kFrameEnd; the kernel's verifier wants the check in this very shape.
void RequireBytes(Assembler& a, int bytes, Assembler::Label otherwise) {
  a.Move(kLimit, kFrame);
  a.Add(kLimit, bytes);
  a.If(Jump::kGreater, kLimit, kFrameEnd, otherwise);
}

void ParseEthernet(Assembler& a, const CompileOptions& options, Assembler::Label pass) {
  a.Load(Width::k32, kFrame, kContext, offsetof(xdp_md, data));
  a.Load(Width::k32, kFrameEnd, kContext, offsetof(xdp_md, data_end));
  RequireBytes(a, ETH_HLEN, pass);
  a.Load(Width::k16, kScratch, kFrame, offsetof(ethhdr, h_proto));
  a.BigEndian16(kScratch);
  if (options.match_vlan_tagged) {
    const Assembler::Label untagged = a.NewLabel();
    a.If(Jump::kNotEqual, kScratch, ETH_P_8021Q, untagged);
    RequireBytes(a, ETH_HLEN + kVlanTagBytes, pass);
    a.Add(kFrame, kVlanTagBytes);
    a.Load(Width::k16, kScratch, kFrame, offsetof(ethhdr, h_proto));
    a.BigEndian16(kScratch);
    a.Bind(untagged);
  }
  a.If(Jump::kNotEqual, kScratch, ETH_P_IP, pass);
}

// Leaves kFrame such that the TCP header begins ETH_HLEN bytes behind it.
void ParseIpv4(Assembler& a, Assembler::Label pass) {
  constexpr int kMinHeaderBytes = 20;
  constexpr int kVersionIhl = ETH_HLEN + 0, kFragment = ETH_HLEN + 6, kProtocol = ETH_HLEN + 9,
                kDestination = ETH_HLEN + 16;
  constexpr int kMoreFragmentsOrOffset = 0x3fff;
  RequireBytes(a, ETH_HLEN + kMinHeaderBytes, pass);
  a.Load(Width::k8, kHeaderBytes, kFrame, kVersionIhl);
  a.Move(kScratch, kHeaderBytes);
  a.ShiftRight(kScratch, 4);
  a.If(Jump::kNotEqual, kScratch, 4, pass);
  a.And(kHeaderBytes, 0xf);
  a.ShiftLeft(kHeaderBytes, 2);
  a.If(Jump::kLess, kHeaderBytes, kMinHeaderBytes, pass);
  a.Load(Width::k16, kScratch, kFrame, kFragment);
  a.BigEndian16(kScratch);
  a.And(kScratch, kMoreFragmentsOrOffset);
  a.If(Jump::kNotEqual, kScratch, 0, pass);
  a.Load(Width::k8, kScratch, kFrame, kProtocol);
  a.If(Jump::kNotEqual, kScratch, kProtocolTcp, pass);
  a.Load(Width::k32, kAddress, kFrame, kDestination);
  a.BigEndian32(kAddress);
  a.Add(kFrame, kHeaderBytes);
}

void ParseTcp(Assembler& a, Assembler::Label pass) {
  constexpr int kDestinationPort = ETH_HLEN + 2;
  RequireBytes(a, kDestinationPort + 2, pass);
  a.Load(Width::k16, kPort, kFrame, kDestinationPort);
  a.BigEndian16(kPort);
}

void MatchRule(Assembler& a, const Rule& rule, Assembler::Label hit) {
  const Assembler::Label next = a.NewLabel();
  if (rule.destination_address.has_value()) {
    a.If32(Jump::kNotEqual, kAddress, rule.destination_address->value(), next);
  }
  const PortMatch& port = rule.destination_port;
  if (port.mask == 0xffff) {
    a.If(Jump::kEqual, kPort, port.value, hit);
  } else {
    a.Move(kScratch, kPort);
    a.And(kScratch, port.mask);
    a.If(Jump::kEqual, kScratch, port.value, hit);
  }
  a.Bind(next);
}

}  // namespace

absl::StatusOr<std::vector<bpf_insn>> Compile(const PortPlan& plan, int xskmap_fd, const CompileOptions& options) {
  for (const Rule& rule : plan.rules()) {
    if (rule.source_port_hash_bits != 0) {
      return absl::UnimplementedError(
          absl::StrCat("port ", rule.destination_port.ToString(),
                       " is to be spread over queues by source port, which XDP does not: set the hash bits to 0"));
    }
  }
  Assembler a;
  const Assembler::Label pass = a.NewLabel(), hit = a.NewLabel();
  a.Move(kContext, Reg::kR1);
  ParseEthernet(a, options, pass);
  ParseIpv4(a, pass);
  ParseTcp(a, pass);
  for (const Rule& rule : plan.rules()) MatchRule(a, rule, hit);
  a.Bind(pass);
  a.Move(Reg::kR0, XDP_PASS);
  a.Exit();
  a.Bind(hit);
  a.LoadMap(Reg::kR1, xskmap_fd);
  a.Load(Width::k32, Reg::kR2, kContext, offsetof(xdp_md, rx_queue_index));
  a.Move(Reg::kR3, XDP_PASS);
  a.Call(BPF_FUNC_redirect_map);
  a.Exit();
  return a.Finish();
}

}  // namespace luna::bifurcation::xdp
