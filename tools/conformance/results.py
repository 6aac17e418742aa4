"""What the last `bazel test` said about single test cases, from the XML files of Bazel's test logs."""

import glob
import os
import re
import xml.etree.ElementTree as ElementTree

from conformance import matrix


def _plain(suite, name):
    """The names of a parametrised case, without its instantiation and parameter."""
    parts = suite.split("/")
    return "%s.%s" % (parts[-1] if len(parts) > 1 else suite, re.sub(r"/.*$", "", name))


def cases(folder):
    """{"Suite.Name": passed} of one target's logs, or None when there are none. Of several runs all must have passed."""
    paths = glob.glob(os.path.join(folder, "test.xml")) + glob.glob(os.path.join(folder, "shard_*", "test.xml"))
    verdicts = {}
    for path in paths:
        for case in ElementTree.parse(path).iter("testcase"):
            name = _plain(case.get("classname") or "", case.get("name") or "")
            ran = case.get("status") != "notrun" and case.find("skipped") is None
            passed = ran and case.find("failure") is None and case.find("error") is None
            verdicts[name] = verdicts.get(name, True) and passed
    return verdicts if paths else None


def faults(rows, testlogs):
    """(line, message) for named cases that did not pass in the last run, or did not run."""
    known = {}
    for row in rows:
        for reference in matrix.references(row):
            parts = matrix.split_reference(reference)
            if parts is None:
                continue
            package, target, case = parts
            path = os.path.join(testlogs, package, target)
            if path not in known:
                known[path] = cases(path)
            if known[path] is None:
                yield row.line, "%s: //%s:%s has not been run" % (row.id, package, target)
            elif case not in known[path]:
                yield row.line, "%s: %s did not run in //%s:%s" % (row.id, case, package, target)
            elif not known[path][case]:
                yield row.line, "%s: %s in //%s:%s did not pass" % (row.id, case, package, target)
