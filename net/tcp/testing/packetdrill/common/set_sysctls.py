#!/usr/bin/env python3
"""Stands in for the script of the same name: /proc/sys/NAME=VALUE arguments become lines of the file that
packetdrill_so.so reads. A script that undoes them is left where packet scripts look for it; here it has nothing to do."""

import os
import sys

RESTORE = "/tmp/sysctl_restore_%d.sh"


def parent_of(pid):
    """The parent of a process, from the fields behind the name (which may hold blanks) in its stat."""
    with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def main():
    with open(os.environ["LUNA_PACKETDRILL_SYSCTL_FILE"], "a", encoding="utf-8") as file:
        for word in sys.argv[1:]:
            file.write(word.removeprefix("/proc/sys/").replace("/", ".") + "\n")
    # A shell may have replaced itself by us, or still stand between us and packetdrill.
    restores = [RESTORE % pid for pid in (os.getppid(), parent_of(os.getppid()))]
    for path in restores:
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nrm -f %s\n" % " ".join(restores))
        os.chmod(path, 0o755)


if __name__ == "__main__":
    main()
