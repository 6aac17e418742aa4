"""What root tests share: two network namespaces joined by a veth pair, and programs inside them."""

import os
import select
import signal
import subprocess
import time

LUNA_ADDRESS = "10.7.0.2"  # the kernel's, in Luna's namespace
PEER_ADDRESS = "10.7.0.1"
TAP_ADDRESS = "10.7.1.1"  # the kernel's, on a TAP of Luna's
ECHO = os.path.join(os.environ.get("LUNA_BIN", "bazel-bin"), "apps/echo/luna-echo")


def run(*command, **options):
    """A command that must succeed."""
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, **options)


class Namespaces:
    """Two namespaces, `luna` and `peer`, joined by a veth pair of one queue; its offloads are off unless asked for."""

    def __init__(self, offloads=False):
        stem = "lunatest%d" % os.getpid()
        self.luna, self.peer = stem + "l", stem + "p"
        self.offloads = offloads

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self):
        for name in (self.luna, self.peer):
            run("ip", "netns", "add", name)
            self.inside(name, "ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "veth0", "netns", self.luna, "numrxqueues", "1", "numtxqueues", "1", "type", "veth",
            "peer", "name", "veth0", "netns", self.peer, "numrxqueues", "1", "numtxqueues", "1")
        for name, address in ((self.luna, LUNA_ADDRESS), (self.peer, PEER_ADDRESS)):
            self.inside(name, "ip", "address", "add", address + "/24", "dev", "veth0")
            self.inside(name, "ip", "link", "set", "veth0", "up")
        self.set_offloads(self.offloads)

    def set_offloads(self, on):
        """Local veths leave checksums and segmentation to a NIC that is not there, unless told not to."""
        word = "on" if on else "off"
        for name in (self.luna, self.peer):
            self.inside(name, "ethtool", "-K", "veth0", "tx", word, "tso", word, "gso", word, "gro", word)

    def configure_tap(self):
        """Gives the kernel's end of Luna's TAP interface its address, as soon as the interface is there."""
        for _ in range(200):
            try:
                self.inside(self.luna, "ip", "address", "replace", TAP_ADDRESS + "/24", "dev", "luna0")
                return
            except subprocess.CalledProcessError:
                time.sleep(0.05)
        raise AssertionError("luna0 did not appear")

    def __exit__(self, *_):
        for name in (self.luna, self.peer):
            subprocess.run(["ip", "netns", "delete", name], stdin=subprocess.DEVNULL, capture_output=True, check=False)

    @staticmethod
    def inside(name, *command):
        return run("ip", "netns", "exec", name, *command)


class Program:
    """A program in a namespace; ended by SIGTERM, and then its exit code must be 0. `output`: its last lines."""

    def __init__(self, namespace, *command):
        self.command, self.accepted = command, (0, -signal.SIGTERM, 128 + signal.SIGTERM)
        self.process = subprocess.Popen(("ip", "netns", "exec", namespace) + command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def read_line(self, limit=20):
        """Its next line, "" at its end or after `limit` seconds."""
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        return self.process.stdout.readline() if ready else ""

    def wait_for_line(self, start):
        line = self.read_line()
        if not line.startswith(start):
            self.process.kill()
            raise AssertionError("%s said %r %s" % (self.command[0], line, self.process.communicate()[1][-500:]))
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.output, errors = self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise AssertionError("%s did not end within 20 s of SIGTERM" % self.command[0]) from None
        self.errors = errors.strip()
        if self.errors:
            print("  " + self.errors)
        ours = os.path.basename(self.command[0]).startswith("luna-")  # others may die of the signal, or say so
        if kind is None and self.process.returncode not in ((0,) if ours else self.accepted):
            raise AssertionError("%s ended with %d: %s" % (self.command[0], self.process.returncode, errors[-500:]))
