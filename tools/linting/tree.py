"""The files of the tree that the lint looks at."""

import os
import subprocess

# Packages of other workspaces that lie in the tree.
FOREIGN = ("tools/consumer_test",)
CC_SUFFIXES = (".cc", ".h", ".c")
_SKIPPED_FOLDERS = (".git", "node_modules")


class Tree:
    """A snapshot of the files below `root`: paths are relative, contents are read once."""

    def __init__(self, root):
        self.root = root
        self.paths = sorted(p for p in _list(root) if os.path.isfile(os.path.join(root, p)))
        self._contents = {}

    def text(self, path):
        """The file as text; None when it is binary."""
        if path not in self._contents:
            with open(os.path.join(self.root, path), "rb") as file:
                data = file.read()
            binary = b"\0" in data[:8192]
            self._contents[path] = None if binary else data.decode("utf-8", "replace")
        return self._contents[path]

    def lines(self, path):
        text = self.text(path)
        return [] if text is None else text.split("\n")

    def cc_files(self):
        return [p for p in self.paths if p.endswith(CC_SUFFIXES)]

    def build_files(self):
        return [p for p in self.paths if os.path.basename(p) in ("BUILD.bazel", "BUILD")]

    def starlark_files(self):
        names = ("BUILD.bazel", "BUILD", "WORKSPACE")
        return [p for p in self.paths if os.path.basename(p) in names or p.endswith(".bzl")]

    def scripts(self, interpreter, suffix):
        """Files whose name or first line says that `interpreter` reads them."""
        found = []
        for path in self.paths:
            first = self.lines(path)[:1] if "." not in os.path.basename(path) else []
            if path.endswith(suffix) or (first and first[0].startswith("#!") and interpreter in first[0]):
                found.append(path)
        return found

    def is_foreign(self, path):
        return any(path.startswith(folder + "/") for folder in FOREIGN)


def _list(root):
    """What git tracks or would track; every file where there is no git tree."""
    if os.path.exists(os.path.join(root, ".git")):
        command = ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "-co", "--exclude-standard"]
        result = subprocess.run(command, capture_output=True, check=False)
        if result.returncode == 0:
            return [os.fsdecode(p) for p in result.stdout.split(b"\0") if p]
    paths = []
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if f not in _SKIPPED_FOLDERS and not f.startswith("bazel-")]
        paths += [os.path.relpath(os.path.join(folder, f), root) for f in files]
    return paths
