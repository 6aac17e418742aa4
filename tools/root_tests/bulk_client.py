"""A kernel client that keeps a TCP echo server busy, compares every octet, and says how far it is.

    python3 bulk_client.py ADDRESS PORT CONNECTIONS

Prints `ports N,N,...` (its own), and then every 50 ms the time (CLOCK_MONOTONIC) and the octets that came back so far. At
SIGTERM it ends its half of each connection, reads the rest, and prints one line of JSON.
"""

import json
import random
import selectors
import signal
import socket
import sys
import time

_BLOCK = 1 << 17
_PERIOD = 1 << 20
_SAY_EVERY = 0.05
_PATIENCE = 20  # seconds without an octet
_PATTERN = random.Random(1).randbytes(_PERIOD)
_TWICE = _PATTERN + _PATTERN[:_BLOCK]


class Stream:
    """One connection. What comes back must be what was sent."""

    def __init__(self, address, port):
        self.sock = socket.create_connection((address, port), _PATIENCE)
        self.sock.setblocking(False)
        self.sent = self.received = 0
        self.same, self.error, self.ended = True, "", False

    def send(self):
        at = self.sent % _PERIOD
        try:
            self.sent += self.sock.send(memoryview(_TWICE)[at:at + _BLOCK])
        except BlockingIOError:
            pass

    def receive(self):
        """Returns how many octets came."""
        try:
            data = self.sock.recv(_BLOCK)
        except BlockingIOError:
            return 0
        at = self.received % _PERIOD
        self.same = self.same and data == _TWICE[at:at + len(data)]
        self.received += len(data)
        self.ended = not data
        return len(data)


def report(streams):
    return {
        "received": sum(stream.received for stream in streams),
        "complete": all(stream.ended and stream.received == stream.sent for stream in streams),
        "same": all(stream.same for stream in streams),
        "errors": [stream.error for stream in streams if stream.error],
    }


class Client:
    def __init__(self, address, port, connections):
        self.streams = [Stream(address, port) for _ in range(connections)]
        self.selector = selectors.DefaultSelector()
        for stream in self.streams:
            self.selector.register(stream.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, stream)
        self.octets, self.ending, self.closing = 0, False, False
        signal.signal(signal.SIGTERM, self.end)

    def end(self, *_):
        self.ending = True

    def close_all(self):
        self.closing = True
        for stream in self.streams:
            if not stream.error and not stream.ended:
                stream.sock.shutdown(socket.SHUT_WR)
                self.selector.modify(stream.sock, selectors.EVENT_READ, stream)

    def step(self):
        for key, mask in self.selector.select(0.02):
            stream = key.data
            try:
                if mask & selectors.EVENT_READ:
                    self.octets += stream.receive()
                if mask & selectors.EVENT_WRITE and not self.closing:
                    stream.send()
            except OSError as error:
                stream.error = str(error)
            if stream.ended or stream.error:
                self.selector.unregister(stream.sock)

    def run(self):
        said = progress = time.monotonic()
        octets = 0
        while self.selector.get_map():
            self.step()
            now = time.monotonic()
            if self.octets != octets:
                octets, progress = self.octets, now
            if now - progress > _PATIENCE:
                self.streams[0].error = "no octet for %d s" % _PATIENCE
                break
            if now - said >= _SAY_EVERY:
                said = now
                print("%.6f %d" % (now, self.octets), flush=True)
            if self.ending and not self.closing:
                self.close_all()
        print(json.dumps(report(self.streams)), flush=True)


def main(address, port, connections):
    client = Client(address, int(port), int(connections))
    print("ports " + ",".join(str(stream.sock.getsockname()[1]) for stream in client.streams), flush=True)
    client.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
