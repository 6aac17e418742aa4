"""The steps of tools/test (which see). Prints seconds per step, what failed, and the tally on the last line."""

import argparse
import os
import subprocess
import sys
import time

TOOLS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
ROOT = os.path.dirname(TOOLS)
sys.path.insert(0, TOOLS)

from suite import bazel_tests, tally as tallies  # noqa: E402  (the path above must come first)

# Longest time of a step in seconds: many times what a cold run takes on two slow cores.
_BAZEL_LIMIT = 3 * 3600
_PROGRAM_LIMIT = 1800
_ROOT_TEST_LIMIT = 600

_BAZEL = ["bash", "-c", 'source "$0/lib/common.sh"; luna_bazel "$@"', TOOLS]


def bazel_info(arguments, key):
    """What `bazel info` says of a key under the Bazel options among the arguments; or nothing, and why."""
    options = [a for a in arguments if a.startswith("-")]
    info = subprocess.run(_BAZEL + ["info"] + options + [key], capture_output=True, text=True, check=False)
    return info.stdout.strip(), "bazel info says: " + info.stderr.strip().split("\n")[-1]


def lint(tally, _):
    tallies.run_program(tally, "lint", [os.path.join(TOOLS, "lint")], _PROGRAM_LIMIT)


def lint_test(tally, _):
    tallies.run_self_test(tally, "lint_test", [os.path.join(TOOLS, "lint_test")], _PROGRAM_LIMIT)


def suite(tally, _):
    tallies.run_self_test(tally, "suite_test", [os.path.join(TOOLS, "suite", "suite_test")], _PROGRAM_LIMIT)


def bazel(tally, arguments):
    bazel_tests.run(tally, _BAZEL, arguments, _BAZEL_LIMIT)


def conformance(tally, arguments):
    folder = os.path.join(TOOLS, "conformance")
    tallies.run_self_test(tally, "conformance_test", [os.path.join(folder, "conformance_test")], _PROGRAM_LIMIT)
    testlogs, said = bazel_info(arguments, "bazel-testlogs")
    if not testlogs:
        tally.say("FAIL", "conformance", said)
        return
    tallies.run_program(tally, "conformance", [os.path.join(folder, "check"), "--testlogs=" + testlogs], _PROGRAM_LIMIT)


def planted(tally, _):
    tallies.run_program(tally, "planted", [os.path.join(TOOLS, "build", "planted_dependency_test.sh")], _PROGRAM_LIMIT)


def mutants(tally, _):
    tallies.run_program(tally, "mutants", [os.path.join(TOOLS, "mutants"), "--check"], _PROGRAM_LIMIT)


def configs(tally, _):
    tallies.run_program(tally, "configs", [os.path.join(TOOLS, "build", "configs_test.sh")], _PROGRAM_LIMIT)


def consumer(tally, _):
    tallies.run_program(tally, "consumer", [os.path.join(TOOLS, "consumer_test", "run")], _PROGRAM_LIMIT)


def root_tests(folder):
    """The programs of tools/root_tests."""
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    return [p for p in paths if os.path.isfile(p) and os.access(p, os.X_OK)]


def cases_of(program):
    """The names of a root test's cases; its own name when it does not tell."""
    try:
        result = subprocess.run(
            [program, "--list"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
        )
        names = [line.strip() for line in result.stdout.split("\n") if line.strip()]
        return names if result.returncode == 0 and names else [os.path.basename(program)]
    except (OSError, subprocess.TimeoutExpired):
        return [os.path.basename(program)]


def root(tally, arguments):
    programs = root_tests(os.path.join(TOOLS, "root_tests"))
    if os.geteuid() != 0:
        for program in programs:
            for name in cases_of(program):
                tally.say("SKIP", name, "needs root")
        return
    if not programs:
        return
    binaries, said = bazel_info(arguments, "bazel-bin")
    if not binaries:
        tally.say("FAIL", "root", said)
        return
    environment = dict(os.environ, LUNA_BIN=binaries, LUNA_ROOT=ROOT)
    for program in programs:
        tallies.run_program(tally, os.path.basename(program), [program], _ROOT_TEST_LIMIT, environment)


STEPS = {
    "lint": lint,
    "lint_test": lint_test,
    "suite": suite,
    "bazel": bazel,
    "conformance": conformance,
    "planted": planted,
    "mutants": mutants,
    "configs": configs,
    "consumer": consumer,
    "root": root,
}


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tools/test", add_help=False, allow_abbrev=False)
    parser.add_argument("--only", default="")
    parser.add_argument("--skip", default="")
    parser.add_argument("--setup-seconds", type=int, default=0)
    parser.add_argument("--setup-failed", action="store_true")
    options, rest = parser.parse_known_args()
    chosen = options.only.split(",") if options.only else list(STEPS)
    skipped = [s for s in options.skip.split(",") if s]
    for name in chosen + skipped:
        if name not in STEPS:
            sys.exit("tools/test: no step '%s'; there are: %s" % (name, ", ".join(STEPS)))
    return options, [s for s in STEPS if s in chosen and s not in skipped], rest


def summary(tally, seconds):
    print("\nseconds per step: " + ", ".join("%s %.0f" % pair for pair in seconds))
    for result in tally.results:
        if result.verdict != "PASS":
            print("%s %s%s" % (result.verdict, result.name, ": " + result.reason if result.reason else ""))
    print(tally.last_lines(), flush=True)


def main():
    options, steps, rest = parse_arguments()
    tally = tallies.Tally()
    seconds = [("setup", options.setup_seconds)]
    if options.setup_failed:
        tally.say("FAIL", "setup", "see above")
    for name in steps:
        print("\n== %s" % name, flush=True)
        started = time.monotonic()
        STEPS[name](tally, rest)
        seconds.append((name, time.monotonic() - started))
    summary(tally, seconds)
    return tally.exit_code()


if __name__ == "__main__":
    sys.exit(main())
