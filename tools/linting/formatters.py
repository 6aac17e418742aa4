"""The checks that run clang-format and buildifier, and their --fix."""

import concurrent.futures
import json
import os
import re
import subprocess

# What buildifier's linter says that does not fit here: our macros wrap native rules, and docs live at the top of the file.
_WARNINGS_OFF = ("module-docstring", "function-docstring-args", "function-docstring-return", "function-docstring")
_BATCH = 20


class Unavailable(Exception):
    """The program is not on this machine; the message names the mend."""


def clang_format(tree, program, fix):
    """Yields (path, line, message) for what clang-format would change; with fix, changes it."""
    files = tree.cc_files()
    if not files:
        return
    arguments = ["-i"] if fix else ["--dry-run", "-Werror", "--ferror-limit=1"]
    batches = [files[i : i + _BATCH] for i in range(0, len(files), _BATCH)]

    def run(batch):
        return _run([program, "--style=file"] + arguments + batch, tree.root, "clang-format: tools/setup installs it")

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for result in pool.map(run, batches):
            found = False
            for match in re.finditer(r"^(\S+?):(\d+):\d+: error: ", result.stderr, re.MULTILINE):
                found = True
                yield match.group(1), int(match.group(2)), "clang-format would change this (tools/lint --fix does)"
            if result.returncode != 0 and not found:
                yield ".clang-format", 1, "clang-format failed: " + result.stderr.strip().split("\n")[0]


def buildifier(tree, program, fix):
    """Yields (path, line, message) for what buildifier would change or warns of; with fix, changes it."""
    files = tree.starlark_files()
    if not files:
        return
    lint = ["--lint=fix" if fix else "--lint=warn", "--warnings=" + ",".join("-" + w for w in _WARNINGS_OFF)]
    mode = "fix" if fix else "check"
    command = [program, "--mode=" + mode, "--format=json"] if not fix else [program, "--mode=fix"]
    result = _run(command + lint + files, tree.root, "buildifier: tools/setup installs it")
    if fix:
        if result.returncode not in (0, 4):
            yield "WORKSPACE", 1, "buildifier failed: " + result.stderr.strip().split("\n")[0]
        return
    try:
        report = json.loads(result.stdout)
    except ValueError:
        yield "WORKSPACE", 1, "buildifier failed: " + result.stderr.strip().split("\n")[0]
        return
    for file in report["files"]:
        if not file["valid"]:
            yield file["filename"], 1, "buildifier cannot parse this"
        elif not file["formatted"]:
            yield file["filename"], 1, "buildifier would change this (tools/lint --fix does)"
        for warning in file["warnings"]:
            message = warning["message"].split("\n")[0]
            yield file["filename"], warning["start"]["line"], "%s (%s)" % (message, warning["category"])


def _run(command, root, missing):
    try:
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except (FileNotFoundError, PermissionError) as error:
        raise Unavailable(missing) from error
