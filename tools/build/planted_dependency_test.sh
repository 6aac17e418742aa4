#!/usr/bin/env bash
# Plants forbidden dependencies in a copy of the tree and sees the build fail with both names.
# Prints PASS or FAIL per plant. Not a `bazel test`: it runs Bazel itself (analysis only, nothing is compiled).
set -uo pipefail

source "$(dirname -- "${BASH_SOURCE[0]}")/../lib/common.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/luna-planted.XXXXXX")
tree=$work/tree
failures=0

bazel_in_copy() {
  (cd -- "$tree" && bazel --output_user_root="$work/bazel" --max_idle_secs=60 "$@" </dev/null 2>&1)
}

cleanup() {
  [[ ! -d $tree ]] || bazel_in_copy shutdown >/dev/null
  chmod -R u+w -- "$work" 2>/dev/null
  rm -rf -- "$work"
}
trap cleanup EXIT

copy_tree() {
  mkdir -p -- "$tree"
  if git -c safe.directory='*' -C "$LUNA_ROOT" rev-parse >/dev/null 2>&1; then
    (cd -- "$LUNA_ROOT" && git -c safe.directory='*' ls-files -z -co --exclude-standard |
      while IFS= read -r -d '' path; do [[ ! -e $path ]] || printf '%s\0' "$path"; done |
      tar -c --null -T - -f -) | tar -x -C "$tree" -f -
  else
    tar -C "$LUNA_ROOT" --exclude='./bazel-*' --exclude=./.git -c -f - . | tar -x -C "$tree" -f -
  fi
}

# build LABEL: analyses it in the copy.
build() {
  bazel_in_copy build --nobuild --noshow_progress --color=no --curses=no "$1"
}

# expect_refusal NAME LABEL WORD...: the build of LABEL fails and its message has every word on one line.
expect_refusal() {
  local name=$1 label=$2 output lines word
  shift 2
  if output=$(build "$label"); then
    echo "FAIL planted/$name: the build of $label went through"
    failures=$((failures + 1))
    return
  fi
  lines=$output
  for word; do lines=$(grep -F -- "$word" <<<"$lines"); done
  if [[ -n $lines ]]; then
    echo "PASS planted/$name"
  else
    echo "FAIL planted/$name: no line names all of: $*"
    sed 's/^/    /' <<<"$output" | tail -n 20
    failures=$((failures + 1))
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

copy_tree

# Nothing planted: what follows fails because of the plants and of nothing else.
if output=$(build //net/tcp:tests) && output=$(build //mem/zbuf:tests); then
  echo "PASS planted/none"
else
  echo "FAIL planted/none: the copy does not even load"
  sed 's/^/    /' <<<"$output" | tail -n 20
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
    actual = "@libxdp//:libxdp",
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
expect_refusal transitive //net/tcp:layering "//net/tcp:planted" "@libxdp//:libxdp"
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

exit $((failures > 0))
