"""The measuring part of tools/demo (which see): starts servers and clients, verifies, prints the table."""

import argparse
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time

SMALL = ((64, 1), (64, 16), (4096, 1), (4096, 16))  # size, depth
LARGE = ((65536, 4),)  # also over a link with jumbo frames
MODELS = ((64, 1, 1), (64, 16, 1), (64, 4, 64), (4096, 1, 1), (4096, 16, 1), (4096, 1, 64))  # size, depth, connections
MODEL_ROUNDS = 5
ROUNDS = 3  # interleaved; the table shows the median round by rate
VERIFY_BYTES = 64 << 20

_START_LIMIT = 30.0
_STOP_LIMIT = 10.0


def cpus():
    """One CPU for the server, one for the client; the same one on a machine with one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def on_cpu(cpu):
    """What starts a program there; None: it goes there by itself."""
    return [] if cpu is None else ["taskset", "-c", str(cpu)]


class Server:
    """A luna-echo server on some transport; a context manager."""

    def __init__(self, command, cpu):
        self._errors = tempfile.TemporaryFile("w+")  # shown when something is wrong
        self._process = subprocess.Popen(
            on_cpu(cpu) + command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )

    def __enter__(self):
        ready, _, _ = select.select([self._process.stdout], [], [], _START_LIMIT)
        line = self._process.stdout.readline() if ready else ""
        if not line.startswith("listening on "):
            self._process.kill()
            raise SystemExit("demo: the server did not start: %r %s" % (line, self._said()))
        self.where = line.split()[-1]
        return self

    def __exit__(self, kind, value, trace):
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise SystemExit("demo: the server did not stop within %d s" % _STOP_LIMIT) from None
        if code != 0 and kind is None:
            raise SystemExit("demo: the server ended with exit code %d: %s" % (code, self._said()))
        self._errors.close()

    def _said(self):
        self._process.wait()
        self._errors.seek(0)
        return self._errors.read()


def client(command, cpu):
    """Runs a client to its end; its JSON report."""
    result = subprocess.run(
        on_cpu(cpu) + command + ["--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    if result.returncode != 0:
        raise SystemExit("demo: the client failed (exit code %d): %s" % (result.returncode, " ".join(command)))
    return json.loads(result.stdout.strip().splitlines()[-1])


class Transport:
    """How server and client are started on one kind of device."""

    def __init__(self, name, echo, server_flags, client_flags, connect, points=SMALL + LARGE):
        self.name = name
        self.points = points
        self.server_command = [echo, "server"] + server_flags
        self._client = [echo, "client"] + client_flags
        self._connect = connect

    def client_command(self, where):
        return self._client + ["--connect=" + (self._connect or where)]

    def run(self, where, extra):
        _, client_cpu = cpus()
        return client(self.client_command(where) + extra, client_cpu)


def transports(echo):
    memif = "socket=luna-demo-%d" % os.getpid()
    server = ["--device=net_memif0,role=server," + memif, "--address=10.0.0.2/24", "--port=61441"]
    client_flags = ["--device=net_memif0,role=client," + memif, "--address=10.0.0.1/24"]
    trusted = ["--trusted_link"]  # shared memory damages nothing: no checksums
    jumbo = ["--mtu=9000"]
    return [
        Transport("Luna, memif", echo, server, client_flags, "10.0.0.2:61441"),
        Transport("Luna, trusted", echo, server + trusted, client_flags + trusted, "10.0.0.2:61441"),
        Transport("Luna, MTU 9000", echo, server + jumbo, client_flags + jumbo, "10.0.0.2:61441", LARGE),
        Transport(
            "trusted, MTU 9000", echo, server + trusted + jumbo, client_flags + trusted + jumbo, "10.0.0.2:61441", LARGE
        ),
        Transport(
            "kernel, spinning",
            echo,
            ["--device=kernel", "--kernel_mode=spin", "--address=127.0.0.1", "--port=0"],
            ["--device=kernel", "--kernel_mode=spin"],
            None,
        ),
        Transport(
            "kernel, blocking",
            echo,
            ["--device=kernel", "--kernel_mode=block", "--address=127.0.0.1", "--port=0"],
            ["--device=kernel", "--kernel_mode=block"],
            None,
        ),
    ]


def verify(transport):
    """One pass that compares every octet that comes back."""
    with Server(transport.server_command, cpus()[0]) as server:
        report = transport.run(
            server.where, ["--size=16384", "--inflight=8", "--verify", "--bytes=%d" % VERIFY_BYTES]
        )
    print("%-17s %d octets sent, echoed and compared: %d errors" % (transport.name, report["bytes_verified"], report["errors"]))
    if report["errors"] or report["bytes_verified"] < VERIFY_BYTES:
        raise SystemExit("demo: %s did not bring every octet back" % transport.name)


def measure(transport, size, depth, seconds):
    with Server(transport.server_command, cpus()[0]) as server:
        return transport.run(
            server.where, ["--size=%d" % size, "--inflight=%d" % depth, "--duration=%gs" % seconds]
        )


def core_distance(program):
    """Nanoseconds of a cache line's way between the two CPUs and back, now; None where there is only one."""
    server_cpu, client_cpu = cpus()
    if server_cpu == client_cpu:
        return None
    result = subprocess.run([program, str(server_cpu), str(client_cpu)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit("demo: %s" % result.stderr.strip())
    return int(result.stdout)


def with_distance(program, measured):
    """The report of `measured()`, and how far apart the cores were before and after it."""
    before = core_distance(program)
    report = measured()
    report["core_ns"] = [before, core_distance(program)]
    return report


def distances(rounds):
    """Of all rounds of a point, "least-most"."""
    all_of_them = [ns for report in rounds for ns in report["core_ns"] if ns is not None]
    return "%d-%d" % (min(all_of_them), max(all_of_them)) if all_of_them else "-"


def model_servers(echo):
    """The same client, and servers that differ in what stands behind TCP. Threads of an application go where the worker is not."""
    memif = "socket=luna-demo-%d" % os.getpid()
    server_cpu, client_cpu = cpus()
    server = ["--device=net_memif0,role=server," + memif, "--address=10.0.0.2/24", "--cpu=%d" % server_cpu]
    client_flags = ["--device=net_memif0,role=client," + memif, "--address=10.0.0.1/24", "--cpu=%d" % client_cpu]
    shapes = [
        ("inline-r2c", ["--model=inline"]),
        ("batch-r2c", ["--model=batch"]),
        ("copy, inline", ["--api=socket", "--model=inline"]),
        ("copy, batch", ["--api=socket", "--model=batch"]),
        ("dedicated I/O", ["--threads=1"]),
    ]
    return [Transport(name, echo, server + flags, client_flags, "10.0.0.2:61441") for name, flags in shapes]


def run_models(echo, seconds):
    servers = model_servers(echo)
    reports = {}
    for _ in range(MODEL_ROUNDS):
        for point in MODELS:
            size, depth, connections = point
            flags = ["--size=%d" % size, "--inflight=%d" % depth, "--connections=%d" % connections, "--duration=%gs" % (seconds / MODEL_ROUNDS)]
            for server in servers:
                with Server(server.server_command, None) as running:
                    command = server.client_command(running.where) + flags
                    reports.setdefault((point, server.name), []).append(client(command, None))
    print("%5s %5s %5s  %-14s %12s %-23s %8s %8s %8s" % ("size", "depth", "conns", "server", "requests/s", " (least-most)", "p50 us", "p99 us", "p99.9 us"))
    for ((size, depth, connections), name), rounds in reports.items():
        middle = {key: sorted(r[key] for r in rounds)[len(rounds) // 2] for key in ("rps", "p50_us", "p99_us", "p999_us")}
        least, most = (format(round(f(r["rps"] for r in rounds)), ",") for f in (min, max))
        print("%5d %5d %5d  %-14s %12s %-23s %8.1f %8.1f %8.1f" % (
            size, depth, connections, name, format(round(middle["rps"]), ","), " (%s-%s)" % (least, most),
            middle["p50_us"], middle["p99_us"], middle["p999_us"]))
    print("\nMedians of %d interleaved rounds, each figure by itself. Server on CPU %d, client on CPU %d; with the dedicated core the application's"
          "\nthread is on the other CPUs, which are the client's alone on a machine with two. Shared memory is not a wire." % ((MODEL_ROUNDS,) + cpus()))


def median_round(reports):
    return sorted(reports, key=lambda r: r["rps"])[len(reports) // 2]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--echo", required=True)
    parser.add_argument("--distance", required=True)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--models", action="store_true")
    arguments = parser.parse_args()
    started = time.monotonic()
    if arguments.models:
        run_models(arguments.echo, arguments.seconds)
        print("Done in %d s." % (time.monotonic() - started))
        return
    all_transports = transports(arguments.echo)
    for transport in all_transports:
        verify(transport)

    reports = {}
    for _ in range(ROUNDS):
        for size, depth in SMALL + LARGE:
            for transport in all_transports:
                if (size, depth) in transport.points:
                    reports.setdefault((size, depth, transport.name), []).append(
                        with_distance(
                            arguments.distance, lambda: measure(transport, size, depth, arguments.seconds / ROUNDS)
                        )
                    )

    print()
    print(
        "%5s %5s  %-17s %12s %8s %9s %9s %9s %9s"
        % ("size", "depth", "transport", "requests/s", "Gb/s", "p50 us", "p99 us", "p99.9 us", "cores ns")
    )
    for (size, depth, name), rounds in reports.items():
        r = median_round(rounds)
        print(
            "%5d %5d  %-17s %12s %8.3f %9.2f %9.2f %9.2f %9s"
            % (
                size,
                depth,
                name,
                format(round(r["rps"]), ","),
                r["gbps"],
                r["p50_us"],
                r["p99_us"],
                r["p999_us"],
                distances(rounds),
            )
        )
    server_cpu, client_cpu = cpus()
    print()
    print(
        "One connection, server on CPU %d, client on CPU %d, closed loop; the median of %d interleaved rounds. Gb/s is"
        " payload, one way.\nCores: a cache line's way from one CPU to the other and back, before and after each round; compare rows whose"
        " cores were as near.\nTrusted: without checksums (--trusted_link). Shared memory and loopback are not a wire: no NIC, no switch, no loss."
        % (server_cpu, client_cpu, ROUNDS)
    )
    if server_cpu == client_cpu:
        print("Only one CPU may be used: both processes shared it, so the figures say little.")
    print("Done in %d s." % (time.monotonic() - started))


if __name__ == "__main__":
    sys.exit(main())
