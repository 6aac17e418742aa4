#include "luna/net/tcp/testing/packetscript/tcp_info_names.h"

#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "luna/net/tcp/testing/packetscript/constants.h"

namespace luna::tcp::packetscript {
namespace {

// Of include/net/tcp_states.h, which user space does not have.
constexpr const char* kStates[] = {"TCP_ESTABLISHED", "TCP_SYN_SENT",  "TCP_SYN_RECV", "TCP_FIN_WAIT1",
                                   "TCP_FIN_WAIT2",   "TCP_TIME_WAIT", "TCP_CLOSE",    "TCP_CLOSE_WAIT",
                                   "TCP_LAST_ACK",    "TCP_LISTEN",    "TCP_CLOSING"};
constexpr const char* kCongestionStates[] = {"TCP_CA_Open", "TCP_CA_Disorder", "TCP_CA_CWR", "TCP_CA_Recovery",
                                             "TCP_CA_Loss"};

void SetConstants(CodeScope* scope) {
  int64_t number = 1;
  for (const char* state : kStates) scope->Set(state, number++);
  number = 0;
  for (const char* state : kCongestionStates) scope->Set(state, number++);
  scope->Set("TCPI_OPT_TIMESTAMPS", TCPI_OPT_TIMESTAMPS);
  scope->Set("TCPI_OPT_SACK", TCPI_OPT_SACK);
  scope->Set("TCPI_OPT_WSCALE", TCPI_OPT_WSCALE);
  scope->Set("TCPI_OPT_ECN", TCPI_OPT_ECN);
  scope->Set("TCPI_OPT_ECN_SEEN", TCPI_OPT_ECN_SEEN);
  scope->Set("TCPI_OPT_SYN_DATA", TCPI_OPT_SYN_DATA);
}

void SetInfo(const tcp_info& info, CodeScope* scope) {
#define LUNA_FIELD(name) scope->Set(#name, static_cast<int64_t>(info.name))
  LUNA_FIELD(tcpi_state);
  LUNA_FIELD(tcpi_ca_state);
  LUNA_FIELD(tcpi_retransmits);
  LUNA_FIELD(tcpi_probes);
  LUNA_FIELD(tcpi_backoff);
  LUNA_FIELD(tcpi_options);
  LUNA_FIELD(tcpi_snd_wscale);
  LUNA_FIELD(tcpi_rcv_wscale);
  LUNA_FIELD(tcpi_delivery_rate_app_limited);
  LUNA_FIELD(tcpi_fastopen_client_fail);
  LUNA_FIELD(tcpi_rto);
  LUNA_FIELD(tcpi_ato);
  LUNA_FIELD(tcpi_snd_mss);
  LUNA_FIELD(tcpi_rcv_mss);
  LUNA_FIELD(tcpi_unacked);
  LUNA_FIELD(tcpi_sacked);
  LUNA_FIELD(tcpi_lost);
  LUNA_FIELD(tcpi_retrans);
  LUNA_FIELD(tcpi_fackets);
  LUNA_FIELD(tcpi_last_data_sent);
  LUNA_FIELD(tcpi_last_ack_sent);
  LUNA_FIELD(tcpi_last_data_recv);
  LUNA_FIELD(tcpi_last_ack_recv);
  LUNA_FIELD(tcpi_pmtu);
  LUNA_FIELD(tcpi_rcv_ssthresh);
  LUNA_FIELD(tcpi_rtt);
  LUNA_FIELD(tcpi_rttvar);
  LUNA_FIELD(tcpi_snd_ssthresh);
  LUNA_FIELD(tcpi_snd_cwnd);
  LUNA_FIELD(tcpi_advmss);
  LUNA_FIELD(tcpi_reordering);
  LUNA_FIELD(tcpi_rcv_rtt);
  LUNA_FIELD(tcpi_rcv_space);
  LUNA_FIELD(tcpi_total_retrans);
  LUNA_FIELD(tcpi_pacing_rate);
  LUNA_FIELD(tcpi_max_pacing_rate);
  LUNA_FIELD(tcpi_bytes_acked);
  LUNA_FIELD(tcpi_bytes_received);
  LUNA_FIELD(tcpi_segs_out);
  LUNA_FIELD(tcpi_segs_in);
  LUNA_FIELD(tcpi_notsent_bytes);
  LUNA_FIELD(tcpi_min_rtt);
  LUNA_FIELD(tcpi_data_segs_in);
  LUNA_FIELD(tcpi_data_segs_out);
  LUNA_FIELD(tcpi_delivery_rate);
  LUNA_FIELD(tcpi_busy_time);
  LUNA_FIELD(tcpi_rwnd_limited);
  LUNA_FIELD(tcpi_sndbuf_limited);
  LUNA_FIELD(tcpi_delivered);
  LUNA_FIELD(tcpi_delivered_ce);
  LUNA_FIELD(tcpi_bytes_sent);
  LUNA_FIELD(tcpi_bytes_retrans);
  LUNA_FIELD(tcpi_dsack_dups);
  LUNA_FIELD(tcpi_reord_seen);
  LUNA_FIELD(tcpi_rcv_ooopack);
  LUNA_FIELD(tcpi_snd_wnd);
#undef LUNA_FIELD
}

void SetMemory(testing::VirtualHost& host, int fd, CodeScope* scope) {
  uint32_t memory[SK_MEMINFO_VARS] = {};
  socklen_t length = sizeof(memory);
  if (!host.GetSockOpt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length).ok()) return;
  static constexpr std::pair<const char*, int> kNames[] = {{"SK_MEMINFO_RMEM_ALLOC", SK_MEMINFO_RMEM_ALLOC},
                                                           {"SK_MEMINFO_RCVBUF", SK_MEMINFO_RCVBUF},
                                                           {"SK_MEMINFO_WMEM_ALLOC", SK_MEMINFO_WMEM_ALLOC},
                                                           {"SK_MEMINFO_SNDBUF", SK_MEMINFO_SNDBUF},
                                                           {"SK_MEMINFO_FWD_ALLOC", SK_MEMINFO_FWD_ALLOC},
                                                           {"SK_MEMINFO_WMEM_QUEUED", SK_MEMINFO_WMEM_QUEUED},
                                                           {"SK_MEMINFO_OPTMEM", SK_MEMINFO_OPTMEM},
                                                           {"SK_MEMINFO_BACKLOG", SK_MEMINFO_BACKLOG},
                                                           {"SK_MEMINFO_DROPS", SK_MEMINFO_DROPS}};
  for (const auto& [name, index] : kNames) scope->Set(name, memory[index]);
}

}  // namespace

absl::Status SetTcpInfoNames(testing::VirtualHost& host, int fd, CodeScope* scope) {
  tcp_info info = {};
  socklen_t length = sizeof(info);
  const testing::CallResult result = host.GetSockOpt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
  if (!result.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("there is no TCP_INFO: ", ErrnoName(result.error)));
  }
  SetConstants(scope);
  SetInfo(info, scope);
  SetMemory(host, fd, scope);
  return absl::OkStatus();
}

}  // namespace luna::tcp::packetscript
