# Shell functions shared by the tools; source it: it defines functions, LUNA_ROOT and, where nobody did, USER.

# The root of the tree, whatever the caller's directory.
LUNA_ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

# Bazel wants a user's name, even where the user has none (a container with a number for a user).
export USER=${USER:-$(id -un 2>/dev/null || echo "uid$(id -u)")}

# Whether files can be created in a directory (which is made when it is missing).
luna_can_write() {
  local probe
  mkdir -p -- "$1" 2>/dev/null || return 1
  probe=$(mktemp -- "$1/.luna.XXXXXX" 2>/dev/null) || return 1
  rm -f -- "$probe"
}

# Prints a directory of our own for caches: under HOME when it can be written, else a private one under TMPDIR.
luna_cache() {
  local base=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
  if [[ -n $base ]] && luna_can_write "$base/luna"; then
    printf '%s\n' "$base/luna"
    return
  fi
  base=${TMPDIR:-/tmp}/luna-$(id -u)
  mkdir -m 700 -- "$base" 2>/dev/null
  if [[ ! -O $base || -L $base ]]; then
    echo "luna: $base belongs to someone else; set HOME or XDG_CACHE_HOME to a directory that you can write" >&2
    return 1
  fi
  printf '%s\n' "$base"
}

# Runs bazel in this tree. Where HOME cannot be written, Bazel's output goes to our cache directory.
# LUNA_BAZEL_STARTUP holds startup options for a machine with wishes of its own (--output_base=..., say).
luna_bazel() {
  local -a startup=()
  local cache
  if [[ -n ${LUNA_BAZEL_STARTUP:-} ]]; then
    read -r -a startup <<<"$LUNA_BAZEL_STARTUP"
  elif [[ -z ${HOME:-} ]] || ! luna_can_write "$HOME/.cache/bazel"; then
    cache=$(luna_cache) || return 1
    startup=("--output_user_root=$cache/bazel")
  fi
  (cd -- "$LUNA_ROOT" && bazel "${startup[@]}" "$@")
}

# The buildifier that tools/setup installs: prints its path, or fails when it is not there.
luna_buildifier() {
  local cache version program
  if [[ -n ${LUNA_BUILDIFIER:-} ]]; then
    printf '%s\n' "$LUNA_BUILDIFIER"
    return
  fi
  cache=$(luna_cache) || return 1
  version=$(sed -n 's/.*"@bazel\/buildifier": "\(.*\)".*/\1/p' "$LUNA_ROOT/tools/buildifier/package.json")
  case $(uname -m) in
    aarch64 | arm64) program=buildifier-linux_arm64 ;;
    *) program=buildifier-linux_amd64 ;;
  esac
  program=$cache/buildifier-$version/node_modules/@bazel/buildifier/$program
  printf '%s\n' "$program"
  [[ -x $program ]]
}
