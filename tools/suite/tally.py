"""Counts what passed, failed and was skipped, and runs programs that say so line by line."""

import collections
import os
import re
import signal
import subprocess
import threading

_VERDICT = re.compile(r"^(PASS|FAIL|SKIP) (\S[^:]*(?::[^\s][^:]*)*)(?:: (.*))?$")

# How long a program that is told to end, or its left-over children, may take.
GRACE_SECONDS = 10

Result = collections.namedtuple("Result", "verdict name reason")


def parse(line):
    """The Result that a line `PASS name`, `FAIL name: why` or `SKIP name: why` states, or None."""
    match = _VERDICT.match(line.rstrip())
    return Result(match.group(1), match.group(2), match.group(3) or "") if match else None


class Tally:
    """All results of a run, in order."""

    def __init__(self):
        self.results = []

    def add(self, verdict, name, reason=""):
        self.results.append(Result(verdict, name, reason))

    def say(self, verdict, name, reason=""):
        """Adds a result and prints it."""
        self.add(verdict, name, reason)
        print("%s %s%s" % (verdict, name, ": " + reason if reason else ""), flush=True)

    def count(self, verdict):
        return sum(r.verdict == verdict for r in self.results)

    def last_lines(self):
        """How many were skipped, if any; then the closing line, which is always of one form."""
        skipped = self.count("SKIP")
        line = "%d passed, %d failed" % (self.count("PASS"), self.count("FAIL"))
        return ("%d skipped, named above\n" % skipped if skipped else "") + line

    def exit_code(self):
        return 0 if self.count("PASS") and not self.count("FAIL") else 1


def stream(command, limit_seconds, environment=None, on_line=None):
    """Runs a program in a process group of its own, without standard input, and shows what it prints.

    Returns its exit code, or None when it took longer than limit_seconds; then, and when we are interrupted, its whole
    process group has been ended.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )
    reader = threading.Thread(target=_show, args=(process.stdout, on_line), daemon=True)
    reader.start()
    try:
        code = process.wait(limit_seconds)
    except BaseException as reason:
        _end_group(process.pid, signal.SIGTERM)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        _end_group(process.pid, signal.SIGKILL)
        if not isinstance(reason, subprocess.TimeoutExpired):
            raise
        code = None
    reader.join(GRACE_SECONDS)  # A child left behind may hold the pipe open for ever; nobody waits for it.
    return code


def _show(pipe, on_line):
    for raw in pipe:
        line = raw.decode("utf-8", "replace").rstrip("\n")
        print(line, flush=True)
        if on_line:
            on_line(line)


def _end_group(group, number):
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass


def run_self_test(tally, name, command, limit_seconds):
    """Runs a program that prints verdicts about our own tools: however many they are, they count as one."""
    inner = Tally()
    run_program(inner, name, command, limit_seconds)
    failed = [r.name for r in inner.results if r.verdict == "FAIL"]
    tally.add("FAIL" if failed else "PASS", name, ", ".join(failed))


def run_program(tally, name, command, limit_seconds, environment=None):
    """Runs a program that prints verdicts. One that fails, hangs or says nothing is a failure of its own."""
    found = []

    def note(line):
        result = parse(line)
        if result:
            found.append(result)

    code = stream(command, limit_seconds, environment, note)
    tally.results += found
    if code is None:
        tally.say("FAIL", name, "not done after %d s" % limit_seconds)
    elif code != 0 and not any(r.verdict == "FAIL" for r in found):
        tally.say("FAIL", name, "exit code %d" % code)
    elif not found:
        tally.say("FAIL", name, "it did not print a single PASS, FAIL or SKIP line")
