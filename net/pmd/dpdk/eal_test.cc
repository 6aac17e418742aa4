#include "luna/net/pmd/dpdk/eal.h"

#include <glob.h>
#include <sched.h>
#include <stdlib.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/dpdk/eal_page_source.h"

namespace luna::pmd::dpdk {
namespace {

using ::testing::HasSubstr;

// DPDK starts once per process, so the tests share one Eal and know their order: first what must fail before it starts.
std::unique_ptr<Eal>& TheEal() {
  static auto* eal = new std::unique_ptr<Eal>;
  return *eal;
}

// Other tests run beside this one in the same /tmp.
const std::string& Prefix() {
  static const auto* prefix = new std::string("luna-eal-test-" + std::to_string(std::random_device()()));
  return *prefix;
}

std::vector<std::string> RuntimeLeftovers() {
  std::vector<std::string> found;
  const char* tmp = getenv("TMPDIR");
  for (const char* directory : {tmp == nullptr ? "/tmp" : tmp, "/var/run/dpdk", "/tmp/dpdk", "/dev/hugepages"}) {
    const std::string pattern = std::string(directory) + "/" + Prefix() + "*";
    glob_t result;
    if (glob(pattern.c_str(), 0, nullptr, &result) == 0) {
      for (size_t i = 0; i < result.gl_pathc; ++i) found.emplace_back(result.gl_pathv[i]);
    }
    globfree(&result);
  }
  return found;
}

TEST(EalTest, A_BadOptionsAreNamedAndDoNotSpendTheOneChance) {
  struct Row {
    EalOptions options;
    absl::StatusCode code;
    const char* says;
  };
  const std::vector<Row> rows = {
      {{.file_prefix = "a/b"}, absl::StatusCode::kInvalidArgument, "\"a/b\""},
      {{.file_prefix = std::string(41, 'x')}, absl::StatusCode::kInvalidArgument, "at most 40"},
      {{.main_cpu = 100000}, absl::StatusCode::kInvalidArgument, "100000"},
      {{.main_cpu = -2}, absl::StatusCode::kInvalidArgument, "-2"},
      {{.memory_mb = 1}, absl::StatusCode::kInvalidArgument, "1 MB"},
      {{.huge = Huge::kOn, .memory_mb = 1 << 30}, absl::StatusCode::kResourceExhausted, "nr_hugepages"},
  };
  for (const Row& row : rows) {
    const absl::Status status = Eal::Init(row.options).status();
    EXPECT_EQ(status.code(), row.code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.says));
    EXPECT_FALSE(absl::StrContains(status.message(), "\n"));
  }
}

TEST(EalTest, B_StartsWithoutPrivilegesOrTraces) {
  setenv("XDG_RUNTIME_DIR", "/nonexistent/for/sure", 1);
  setenv("RUNTIME_DIRECTORY", "/set/by/somebody", 1);
  cpu_set_t before;
  cpu_set_t after;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  absl::StatusOr<std::unique_ptr<Eal>> eal = Eal::Init({.huge = Huge::kOff, .file_prefix = Prefix(), .memory_mb = 32});
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  ASSERT_TRUE(eal.ok()) << eal.status();
  ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
  EXPECT_STREQ(getenv("RUNTIME_DIRECTORY"), "/set/by/somebody");
  EXPECT_EQ(RuntimeLeftovers(), std::vector<std::string>());
  EXPECT_FALSE((*eal)->hugepages());
  EXPECT_EQ((*eal)->file_prefix(), Prefix());
  EXPECT_EQ((*eal)->LastLog(), "");
  TheEal() = *std::move(eal);
}

TEST(EalTest, C_ASecondStartIsRefused) {
  ASSERT_NE(TheEal(), nullptr);
  const absl::Status status = Eal::Init({.huge = Huge::kOff}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("already initialised"));
}

TEST(EalTest, D_PageSourceFeedsAnArena) {
  ASSERT_NE(TheEal(), nullptr);
  EalPageSource source(*TheEal());
  absl::StatusOr<std::unique_ptr<zbuf::Arena>> arena = zbuf::Arena::Create(source, {.size_bytes = 8 << 20});
  ASSERT_TRUE(arena.ok()) << arena.status();
  EXPECT_EQ(reinterpret_cast<uintptr_t>((*arena)->base()) % zbuf::kZoneBytes, 0u);
  zbuf::Slab slab(**arena);
  std::byte* obj = slab.Alloc(2048);
  ASSERT_NE(obj, nullptr);
  memset(obj, 0xab, 2048);
  // Without an IOMMU to ask, I/O addresses are virtual ones here.
  EXPECT_EQ(slab.IoAddress(obj), reinterpret_cast<uintptr_t>(obj));
  slab.Free(obj);
}

TEST(EalTest, E_PageSourceIsExhaustedPolitely) {
  ASSERT_NE(TheEal(), nullptr);
  EalPageSource source(*TheEal());
  const absl::Status status = source.Acquire(size_t{1} << 30).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("memory_mb"));
  // What was released can be had again, and is zero again.
  for (int i = 0; i < 5; ++i) {
    absl::StatusOr<zbuf::Region> region = source.Acquire(20 << 20);
    ASSERT_TRUE(region.ok()) << region.status();
    ASSERT_EQ(std::count(region->base, region->base + region->bytes, std::byte{0}), 20 << 20);
    memset(region->base, 1, region->bytes);
    source.Release(*region);
  }
}

TEST(EalTest, F_StopsAndCannotStartAgain) {
  TheEal().reset();
  EXPECT_EQ(RuntimeLeftovers(), std::vector<std::string>());
  EXPECT_EQ(Eal::Init({.huge = Huge::kOff}).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace luna::pmd::dpdk
