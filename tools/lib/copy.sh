# Shell functions for tests that plant something in a copy of the tree and run Bazel there; source it after common.sh.

LUNA_COPY_WORK=$(mktemp -d "${TMPDIR:-/tmp}/luna-copy.XXXXXX")
LUNA_COPY=$LUNA_COPY_WORK/tree
LUNA_FAILURES=0

# Bazel in the copy, with a server and an output directory of its own.
luna_copy_bazel() {
  local command=$1
  shift
  (cd -- "$LUNA_COPY" && bazel --output_user_root="$LUNA_COPY_WORK/bazel" --max_idle_secs=60 \
    "$command" --config=ci "$@" </dev/null)
}

_luna_copy_cleanup() {
  [[ ! -d $LUNA_COPY_WORK/bazel ]] || luna_copy_bazel shutdown >/dev/null 2>&1
  chmod -R u+w -- "$LUNA_COPY_WORK" 2>/dev/null
  rm -rf -- "$LUNA_COPY_WORK"
}
trap _luna_copy_cleanup EXIT

# Copies what git tracks or would track; everything where there is no git tree.
luna_copy_tree() {
  mkdir -p -- "$LUNA_COPY"
  if git -c safe.directory='*' -C "$LUNA_ROOT" rev-parse >/dev/null 2>&1; then
    (cd -- "$LUNA_ROOT" && git -c safe.directory='*' ls-files -z -co --exclude-standard |
      while IFS= read -r -d '' path; do [[ ! -e $path ]] || printf '%s\0' "$path"; done |
      tar -c --null -T - -f -) | tar -x -C "$LUNA_COPY" -f -
  else
    tar -C "$LUNA_ROOT" --exclude='./bazel-*' --exclude=./.git -c -f - . | tar -x -C "$LUNA_COPY" -f -
  fi
}

# luna_verdict NAME [REASON]: prints PASS, or FAIL when there is a reason.
luna_verdict() {
  if [[ -z ${2:-} ]]; then
    echo "PASS $1"
  else
    echo "FAIL $1: $2"
    LUNA_FAILURES=$((LUNA_FAILURES + 1))
  fi
}
