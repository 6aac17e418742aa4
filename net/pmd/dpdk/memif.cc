#include "luna/net/pmd/dpdk/memif.h"

#include <algorithm>
#include <bit>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "luna/net/pmd/dpdk/kernel_link.h"

namespace luna::pmd::dpdk {
namespace {

constexpr uint32_t kDefaultBytes = 2048;
constexpr uint32_t kMostBytes = 65280;  // beyond, the driver's 16-bit sums overflow
constexpr uint32_t kEthernetHeaderBytes = 14;
constexpr uint32_t kDpdkHeadroomBytes = 128;
constexpr uint32_t kMostLogEntries = 14;

absl::Status Wrong(const Devargs& devargs, absl::string_view key, absl::string_view mend) {
  return absl::InvalidArgumentError(devargs.Message(absl::StrCat(key, "=", *devargs.Find(key), "; ", mend)));
}

absl::Status CheckRange(const Devargs& devargs, absl::string_view key, uint32_t low, uint32_t high) {
  uint32_t value;
  if (!devargs.Find(key)) return absl::OkStatus();
  if (absl::SimpleAtoi(*devargs.Find(key), &value) && value >= low && value <= high) return absl::OkStatus();
  return Wrong(devargs, key, absl::StrCat("choose a number from ", low, " to ", high));
}

absl::Status CheckOneOf(const Devargs& devargs, absl::string_view key,
                        std::initializer_list<absl::string_view> values) {
  if (!devargs.Find(key)) return absl::OkStatus();
  std::string list;
  for (absl::string_view value : values) {
    if (*devargs.Find(key) == value) return absl::OkStatus();
    absl::StrAppend(&list, list.empty() ? "" : " or ", value);
  }
  return Wrong(devargs, key, absl::StrCat("choose ", list));
}

}  // namespace

absl::Status ApplyMemifDefaults(uint32_t mtu, uint32_t descriptors, Devargs& devargs,
                                absl::optional<wire::MacAddress> mac) {
  const uint32_t least = mtu + kEthernetHeaderBytes;
  const uint32_t roomy = (mtu + 18 + 128) & ~uint32_t{127};
  devargs.SetDefault("bsize", absl::StrCat(least <= kDefaultBytes ? kDefaultBytes : std::min(roomy, kMostBytes)));
  devargs.SetDefault("rsize",
                     absl::StrCat(std::min<uint32_t>(std::bit_width(std::bit_ceil(descriptors)) - 1, kMostLogEntries)));
  devargs.SetDefault("socket-abstract", "yes");
  if (mac && devargs.Find("mac") && *devargs.Find("mac") != mac->ToString()) {
    return Wrong(devargs, "mac", absl::StrCat("and ", mac->ToString(), " is asked for elsewhere; give one"));
  }
  devargs.SetDefault("mac", (mac ? *mac : RandomLocalMac()).ToString());
  if (!wire::MacAddress::Parse(*devargs.Find("mac"))) return Wrong(devargs, "mac", "write it like 02:00:00:00:00:01");
  if (absl::Status s = CheckOneOf(devargs, "role", {"server", "client"}); !s.ok()) return s;
  if (absl::Status s = CheckOneOf(devargs, "socket-abstract", {"yes", "no"}); !s.ok()) return s;
  if (absl::Status s = CheckOneOf(devargs, "zero-copy", {"no"}); !s.ok()) {
    return Wrong(devargs, "zero-copy", "Luna's buffers are not in DPDK's heap; leave it out");
  }
  if (absl::Status s = CheckRange(devargs, "id", 0, UINT32_MAX); !s.ok()) return s;
  if (absl::Status s = CheckRange(devargs, "rsize", 1, kMostLogEntries); !s.ok()) return s;
  if (absl::Status s = CheckRange(devargs, "bsize", 1, kMostBytes); !s.ok()) return s;
  if (MemifBufferBytes(devargs) < least) {
    return Wrong(devargs, "bsize",
                 absl::StrCat("a frame of MTU ", mtu, " needs ", least, " at both ends; raise it or lower the MTU"));
  }
  return absl::OkStatus();
}

bool IsMemifClient(const Devargs& devargs) {
  return devargs.driver().prefix == "net_memif" && (!devargs.Find("role") || *devargs.Find("role") == "client");
}

uint32_t MemifBufferBytes(const Devargs& devargs) {
  uint32_t bytes = 0;
  return absl::SimpleAtoi(*devargs.Find("bsize"), &bytes) ? bytes : 0;
}

uint16_t MemifDataRoom(const Devargs& devargs) {
  return static_cast<uint16_t>(kDpdkHeadroomBytes + MemifBufferBytes(devargs) - 1);
}

}  // namespace luna::pmd::dpdk
