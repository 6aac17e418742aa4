"""The checks that only read text. Each takes a Tree and yields (path, line, message)."""

import ast
import os
import re
import subprocess

from linting.functions import functions

MAX_FILE_LINES = 500
MAX_TEST_FILE_LINES = 1200
MAX_FUNCTION_LINES = 70

_TOP_FOLDERS = ("apps", "ctrl", "flow", "mem", "net", "sched", "tools")
_INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
_TEST_FILE = re.compile(r"(?:_test|_fuzz|_benchmark)\.(?:cc|h)$|_test\.py$|_test$")
_NO_README = re.compile(r"(?:^|/)(?:testing|testdata|corpus)(?:/|$)")

# Absolute paths into somebody's machine, and hosts of package registries. Written so that they do not match themselves.
_FORBIDDEN = (
    (re.compile(r"(?<![\w./$}~-])/(?:work|home|root|Users)(?:/|\b(?=[\s\"'`:,)]|$))"), "a path of somebody's machine"),
    (re.compile(r"\bregistry\.\w+\.(?:org|com|io)\b|\"resolved\"\s*:"), "the host of a package registry"),
    (re.compile(r"^(?:<{7}|>{7}|\|{7}) "), "a merge conflict"),
)


def include_spelling(tree):
    """Quoted includes are spelt from the root of their repository; ours begin with luna/ and name a file."""
    for path in tree.cc_files():
        for number, line in enumerate(tree.lines(path), 1):
            match = _INCLUDE.match(line)
            if match:
                message = _include_problem(tree, path, match.group(1), match.group(2))
                if message:
                    yield path, number, message


def _include_problem(tree, path, quoted, angled):
    if angled is not None:
        return 'write "%s", not <%s>' % (angled, angled) if angled.startswith("luna/") else None
    parts = quoted.split("/")
    if "." in parts or ".." in parts:
        return 'relative include "%s": spell it luna/<package>/<file>' % quoted
    beside = os.path.normpath(os.path.join(os.path.dirname(path), quoted))
    if parts[0] in _TOP_FOLDERS:
        return 'include "luna/%s", not "%s"' % (quoted, quoted)
    if os.path.exists(os.path.join(tree.root, beside)):
        return 'include "luna/%s", not "%s"' % (beside, quoted)
    if parts[0] == "luna" and not tree.is_foreign(path):
        if not os.path.exists(os.path.join(tree.root, *parts[1:])):
            return 'there is no %s for "%s"' % ("/".join(parts[1:]), quoted)
    return None


def include_guards(tree):
    """LUNA_<PATH>_H_ around every header."""
    for path in tree.cc_files():
        if not path.endswith(".h") or tree.is_foreign(path):
            continue
        guard = "LUNA_" + re.sub(r"[^A-Z0-9]", "_", path.upper()) + "_"
        text = tree.text(path)
        directives = re.findall(r"^[ \t]*#[ \t]*(\w+)[ \t]*(\S*)", text, re.MULTILINE)
        if directives[:2] != [("ifndef", guard), ("define", guard)]:
            yield path, 1, "the include guard must be %s" % guard
        elif not text.rstrip().endswith("#endif  // " + guard):
            yield path, text.count("\n"), "the file must end with `#endif  // %s`" % guard
        if ("pragma", "once") in directives:
            yield path, 1, "an include guard, not #pragma once"


def file_size(tree):
    """500 lines; 1200 for tests, fuzzers and benchmarks."""
    for path in tree.paths:
        if not path.endswith(tuple([".cc", ".h", ".c", ".py", ".bzl", ".sh"])) and os.path.splitext(path)[1]:
            continue
        if _is_data(path) or tree.text(path) is None:
            continue
        in_test = _TEST_FILE.search(path) or "/testing/" in path
        limit = MAX_TEST_FILE_LINES if in_test else MAX_FILE_LINES
        count = tree.text(path).count("\n")
        if count > limit:
            yield path, limit + 1, "%d lines; at most %d" % (count, limit)


def _is_data(path):
    return "/corpus/" in path or "/testdata/" in path or os.path.basename(path) in ("LICENSE", "CODEOWNERS")


def function_size(tree):
    """70 lines from the first line of the head to the closing brace."""
    for path in tree.cc_files():
        for first, last, name in functions(tree.text(path) or ""):
            if last - first + 1 > MAX_FUNCTION_LINES:
                yield path, first, "%s has %d lines; at most %d" % (name, last - first + 1, MAX_FUNCTION_LINES)


def forbidden_words(tree):
    """Nothing of one machine or workplace."""
    for path in tree.paths:
        if "/corpus/" in path:
            continue
        for number, line in enumerate(tree.lines(path), 1):
            for pattern, what in _FORBIDDEN:
                match = pattern.search(line)
                if match:
                    yield path, number, "%s: %s" % (what, match.group().strip())


def readmes(tree):
    """Every package says on one page what it is."""
    present = set(tree.paths)
    for path in tree.build_files():
        folder = os.path.dirname(path)
        if not folder or folder.startswith("third_party/") or _NO_README.search(folder):
            continue
        if folder + "/README.md" not in present:
            yield path, 1, "the package has no README.md"


def build_rules(tree):
    """BUILD files take rules from //tools/build only, and a package ends with luna_package_tests()."""
    for path in tree.build_files():
        if tree.is_foreign(path) or path.startswith(("third_party/", "tools/build/BUILD")):
            continue
        text = re.sub(r"(?m)#.*$", "", tree.text(path))
        for match in re.finditer(r'(?m)^load\(\s*"([^"]+)"', text):
            if not match.group(1).startswith("//tools/build:"):
                yield path, _line(text, match), "rules come from //tools/build only, not from %s" % match.group(1)
        for match in re.finditer(r"(?m)^(?:native\.)?((?:cc|sh|py|java)_\w+)\(", text):
            yield path, _line(text, match), "use luna_{0} of //tools/build:luna.bzl, not {0}".format(match.group(1))
        calls = re.findall(r"(?m)^(\w+)\(", text)
        if any(c.startswith("luna_cc_") for c in calls) and calls[-1] != "luna_package_tests":
            yield path, text.count("\n"), "the file must end with luna_package_tests()"


def visibility(tree):
    """A target says itself who may see it; only where all of a package is for everybody may the package say it."""
    for path in tree.build_files():
        if tree.is_foreign(path) or path.startswith("tools/") or "testing" in os.path.dirname(path).split("/"):
            continue
        text = re.sub(r"(?m)#.*$", "", tree.text(path))
        for match in re.finditer(r"\bdefault_visibility\b", text):
            yield path, _line(text, match), "default_visibility is for testing/ packages: say it per target"


def _line(text, match):
    return text.count("\n", 0, match.start()) + 1


def scripts(tree):
    """Shell and Python files parse."""
    for path in tree.scripts("sh", ".sh"):
        result = subprocess.run(
            ["bash", "-n", os.path.join(tree.root, path)], capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            match = re.search(r"line (\d+): (.*)", result.stderr)
            yield path, int(match.group(1)) if match else 1, match.group(2) if match else result.stderr.strip()
    for path in tree.scripts("python3", ".py"):
        try:
            ast.parse(tree.text(path))
        except SyntaxError as error:
            yield path, error.lineno or 1, error.msg


CHECKS = {
    "includes": include_spelling,
    "guards": include_guards,
    "file-size": file_size,
    "function-size": function_size,
    "words": forbidden_words,
    "readmes": readmes,
    "build-rules": build_rules,
    "visibility": visibility,
    "scripts": scripts,
}
