#!/usr/bin/env bash
# Plants one bug per Bazel config in a copy of the tree and sees that config, and not the default one, find it.
# Prints PASS or FAIL per plant. Not a `bazel test`: it runs Bazel itself.
set -uo pipefail

source "$(dirname -- "${BASH_SOURCE[0]}")/../lib/common.sh"
source "$LUNA_ROOT/tools/lib/copy.sh"

luna_copy_tree
package=$LUNA_COPY/net/wire/planted
mkdir -p -- "$package"

# library NAME SOURCE, test NAME SOURCE: one target of the planted package.
library() {
  printf '%s\n' "$2" >"$package/$1.h"
  printf '%s\n' "" "luna_cc_library(name = \"$1\", hdrs = [\"$1.h\"], deps = [\"//net/wire:ipv4\"])" >>"$package/BUILD.bazel"
}

test_target() {
  printf '%s\n' '#include <thread>' '#include "gtest/gtest.h"' "TEST(Planted, Bug) { $2 }" >"$package/$1.cc"
  printf '%s\n' "" "luna_cc_test(name = \"$1\", srcs = [\"$1.cc\"])" >>"$package/BUILD.bazel"
}

cat >"$package/BUILD.bazel" <<'END'
load("//tools/build:luna.bzl", "luna_cc_fuzz_test", "luna_cc_library", "luna_cc_test", "luna_package_tests")

luna_cc_fuzz_test(
    name = "fuzz",
    srcs = ["fuzz.cc"],
)
END
cat >"$package/fuzz.cc" <<'END'
#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 2 && data[0] == 'l' && data[1] == 'u' && data[2] == 'n') std::abort();
  return 0;
}
END
test_target asan 'volatile int at = 4; int* volatile p = new int[4]{}; EXPECT_NE(p[at], 12345); delete[] p;'
test_target leak 'volatile bool leak = true; int* volatile p = leak ? new int(1) : nullptr; EXPECT_NE(p, nullptr); p = nullptr;'
test_target ubsan 'volatile int v = 0x7fffffff; v = v + 1; SUCCEED();'
test_target tsan 'int v = 0; std::thread a([&] { ++v; }); ++v; a.join(); EXPECT_GT(v, 0);'
test_target dbg '
#ifdef NDEBUG
SUCCEED();
#else
FAIL();
#endif
'
library undeclared '#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/parse_result.h"'
library leaning 'inline std::string Planted() { return {}; }'
library warned 'inline int Planted(int unused) { int v; return 1; }'
printf '\nluna_package_tests()\n' >>"$package/BUILD.bazel"

# found CONFIG COMMAND TARGET WORD [TARGET WORD ...]: with that config each target fails, and the output has each word.
found() {
  local config=$1 command=$2 output
  local -a targets=() words=()
  shift 2
  while [[ $# -gt 0 ]]; do
    targets+=("//net/wire/planted:$1")
    words+=("$2")
    shift 2
  done
  output=$(luna_copy_bazel "$command" "--config=$config" --keep_going "${targets[@]}" 2>&1)
  local at target
  for at in "${!targets[@]}"; do
    target=${targets[at]}
    if ! grep -qF -- "${words[at]}" <<<"$output"; then
      tail -n 20 <<<"$output" | sed 's/^/    /'
      luna_verdict "configs/$config/${target#*:}" "bazel $command --config=$config $target does not say '${words[at]}'"
    elif grep -qE "^$target .* PASSED" <<<"$output"; then
      luna_verdict "configs/$config/${target#*:}" "bazel $command --config=$config $target went through"
    else
      luna_verdict "configs/$config/${target#*:}"
    fi
  done
}

# Without a config nobody notices; that is what makes the rest mean something.
targets=(//net/wire/planted:{asan,leak,ubsan,tsan,dbg,undeclared,leaning,warned})
if output=$(luna_copy_bazel test "${targets[@]}" 2>&1); then
  luna_verdict configs/default
else
  tail -n 20 <<<"$output" | sed 's/^/    /'
  luna_verdict configs/default "the plants do not build and pass without a config"
fi

found dbg test dbg "planted/dbg.cc"
found asan test asan "heap-buffer-overflow" leak "detected memory leaks"
found ubsan test ubsan "signed integer overflow"
found tsan test tsan "data race"
found clang-strict build \
  undeclared "planted:undeclared does not depend on a module exporting" \
  leaning "leaning_headers_by_themselves/leaning.h.cc" \
  warned "unused variable 'v'"

if output=$(luna_copy_bazel build --config=fuzz //net/wire/planted:fuzz 2>&1); then
  output=$(cd -- "$LUNA_COPY_WORK" && "$LUNA_COPY/bazel-bin/net/wire/planted/fuzz" -seed=1 -runs=5000000 2>&1)
fi
if grep -q 'libFuzzer: deadly signal' <<<"$output"; then
  luna_verdict configs/fuzz
else
  tail -n 20 <<<"$output" | sed 's/^/    /'
  luna_verdict configs/fuzz "libFuzzer does not find the planted crash"
fi

exit $((LUNA_FAILURES > 0))
