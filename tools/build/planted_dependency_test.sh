#!/usr/bin/env bash
# Plants forbidden dependencies in a copy of the tree and sees the build fail with both names.
# Prints PASS or FAIL per plant. Not a `bazel test`: it runs Bazel itself (analysis only, nothing is compiled).
set -uo pipefail

source "$(dirname -- "${BASH_SOURCE[0]}")/../lib/common.sh"
source "$LUNA_ROOT/tools/lib/copy.sh"

tree=$LUNA_COPY

# build LABEL: analyses it in the copy.
build() {
  luna_copy_bazel build --nobuild "$1" 2>&1
}

# expect_refusal NAME LABEL WORD...: the build of LABEL fails and its message has every word on one line.
expect_refusal() {
  local name=$1 label=$2 output lines word
  shift 2
  if output=$(build "$label"); then
    luna_verdict "planted/$name" "the build of $label went through"
    return
  fi
  lines=$output
  for word; do lines=$(grep -F -- "$word" <<<"$lines"); done
  if [[ -n $lines ]]; then
    luna_verdict "planted/$name"
  else
    sed 's/^/    /' <<<"$output" | tail -n 20
    luna_verdict "planted/$name" "no line names all of: $*"
  fi
}

# append FILE: adds standard input to a BUILD file of the copy, before its last call, luna_package_tests().
append() {
  local file=$tree/$1
  sed -i '/^luna_package_tests(/d' "$file"
  { cat; echo 'luna_package_tests()'; } >>"$file"
}

restore() {
  cp -- "$LUNA_ROOT/$1" "$tree/$1"
}

luna_copy_tree

# Nothing planted: what follows fails because of the plants and of nothing else.
if output=$(build //net/tcp:tests) && output=$(build //mem/zbuf:tests); then
  luna_verdict planted/none
else
  sed 's/^/    /' <<<"$output" | tail -n 20
  luna_verdict planted/none "the copy does not even load"
  exit 1
fi

# A direct dependency on a driver room.
append net/tcp/BUILD.bazel <<'END'
luna_cc_library(
    name = "planted",
    deps = ["//net/pmd/dpdk"],
)
END
expect_refusal direct //net/tcp:planted "//net/tcp" "//net/pmd/dpdk"
restore net/tcp/BUILD.bazel

# A room of which the floor plan grants one target only: another target of it.
append net/tcp/BUILD.bazel <<'END'
luna_cc_library(
    name = "planted",
    deps = ["//net/pmd:packet_io"],
)
END
expect_refusal one-target //net/tcp:planted "//net/tcp" "//net/pmd:packet_io"
restore net/tcp/BUILD.bazel

# A legal direction, but a target that its package keeps to itself.
append apps/echo/BUILD.bazel <<'END'
luna_cc_library(
    name = "planted",
    deps = ["//net/tcp:sender"],
)
END
expect_refusal private //apps/echo:planted "//apps/echo:planted" "//net/tcp:sender" "is not visible"
restore apps/echo/BUILD.bazel

# The same of a target that only the floors above its own may see: sideways is not above.
append net/wire/BUILD.bazel <<'END'
cc_library(
    name = "planted",
    deps = ["//mem/zbuf:slab"],
)
END
expect_refusal group //net/wire:planted "//net/wire:planted" "//mem/zbuf:slab" "is not visible"
restore net/wire/BUILD.bazel

# A driver library used outside the driver rooms.
append net/ip/BUILD.bazel <<'END'
luna_cc_library(
    name = "planted",
    deps = ["@dpdk//:dpdk"],
)
END
expect_refusal library //net/ip:planted "//net/ip" "@dpdk"
restore net/ip/BUILD.bazel

# An upward dependency.
append mem/zbuf/BUILD.bazel <<'END'
luna_cc_library(
    name = "planted",
    deps = ["//net/tcp:stack"],
)
END
expect_refusal upward //mem/zbuf:planted "//mem/zbuf" "//net/tcp:stack"
restore mem/zbuf/BUILD.bazel

# Around the macros, through an alias, a native rule and a select(): only the layering test can see it.
append net/tcp/BUILD.bazel <<'END'
alias(
    name = "planted_alias",
    actual = "@libbpf//:libbpf",
)

cc_library(
    name = "planted_native",
    deps = select({"//conditions:default": [":planted_alias"]}),
)

luna_cc_library(
    name = "planted",
    deps = [":planted_native"],
)
END
expect_refusal transitive //net/tcp:layering "//net/tcp:planted" "@libbpf//:libbpf"
restore net/tcp/BUILD.bazel

# The same from another room: each hop is legal by itself where a room above vouches for it, the sum is not.
append net/wire/BUILD.bazel <<'END'
cc_library(
    name = "planted_native",
    visibility = ["//visibility:public"],
    deps = ["//sched/clock:time"],
)

luna_cc_library(
    name = "planted",
    deps = [":planted_native"],
)
END
expect_refusal sideways //net/wire:layering "//net/wire:planted" "//sched/clock:time"
restore net/wire/BUILD.bazel

# A package without a floor.
mkdir -p "$tree/net/planted"
cat >"$tree/net/planted/BUILD.bazel" <<'END'
load("//tools/build:luna.bzl", "luna_cc_library")

luna_cc_library(
    name = "planted",
    deps = ["//net/wire:address"],
)
END
expect_refusal unlisted //net/planted "//net/planted" "floors.bzl"
rm -r "$tree/net/planted"

exit $((LUNA_FAILURES > 0))
