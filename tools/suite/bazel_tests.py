"""`bazel test`, and what its build event stream says about every target."""

import json
import os
import subprocess
import tempfile

from suite import tally as tallies

_PASSED = ("PASSED", "FLAKY")
# Bazel's exit codes: all well; built well but some test failed; built well but there was no test.
_OK, _TESTS_FAILED, _NO_TESTS = 0, 3, 4


def read_events(lines):
    """Takes the build event stream as JSON lines; returns {label: (verdict, reason)} of tests and of what did not build."""
    tests, broken = {}, {}
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue  # The last line of an interrupted build.
        identity = event.get("id", {})
        aborted = event.get("aborted")
        if "testSummary" in identity and "testSummary" in event:
            status = event["testSummary"].get("overallStatus", "NO_STATUS")
            verdict = "PASS" if status in _PASSED else "FAIL"
            tests[identity["testSummary"]["label"]] = (verdict, "" if verdict == "PASS" else status)
        elif "targetCompleted" in identity:
            label = identity["targetCompleted"]["label"]
            if aborted and aborted.get("reason") == "SKIPPED":
                tests.setdefault(label, ("SKIP", "not for this platform"))
            elif aborted is not None or not event.get("completed", {}).get("success"):
                broken[label] = ("FAIL", "does not build")
        elif aborted is not None and "pattern" in identity:
            broken[" ".join(identity["pattern"]["pattern"])] = ("FAIL", "does not load")
    return {**tests, **broken}


def root_tests(bazel, targets):
    """The labels among `targets` that need root (tag requires-root)."""
    query = "attr(tags, requires-root, tests(set(%s)))" % " ".join(targets)
    result = subprocess.run(
        bazel + ["query", "--noshow_progress", query], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return [line for line in result.stdout.split("\n") if line.startswith("//")]


def run(tally, bazel, arguments, limit_seconds):
    """Runs the tests and adds one result per test target and one per target that does not build.

    Without root, tests that need it are built, named as skipped and not run.
    """
    options = [a for a in arguments if a.startswith("-")]
    targets = [a for a in arguments if not a.startswith("-")] or ["//..."]
    if os.geteuid() != 0:
        options.append("--test_tag_filters=-requires-root")
        for label in root_tests(bazel, targets):
            tally.say("SKIP", label, "needs root")
    with tempfile.TemporaryDirectory(prefix="luna-test.") as folder:
        events = os.path.join(folder, "events.json")
        command = bazel + ["test", "--config=ci", "--keep_going", "--build_event_json_file=" + events]
        code = tallies.stream(command + options + ["--"] + targets, limit_seconds)
        results = {}
        if os.path.exists(events):
            with open(events, encoding="utf-8", errors="replace") as file:
                results = read_events(file)
    for label, (verdict, reason) in sorted(results.items()):
        tally.add(verdict, label, reason)
    failed = any(verdict == "FAIL" for verdict, _ in results.values())
    if code is None:
        tally.say("FAIL", "bazel", "not done after %d s" % limit_seconds)
    elif code == _NO_TESTS or not results:
        tally.say("FAIL", "bazel", "there was nothing to test (exit code %s)" % code)
    elif code != _OK and not failed:
        tally.say("FAIL", "bazel", "exit code %d" % code)
