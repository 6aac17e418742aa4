"""Many peers of an echo server that send and never read, on the kernel's sockets, until SIGTERM.

    python3 silent_peers.py ADDRESS PORT PEERS SENDS_PER_SECOND OCTETS

OCTETS at a time on one after the other. Prints `attacking` a second after a round of all of them found none that takes
more, or after some seconds; from then on it tries so often per second. Ends all with a reset.
"""

import json
import signal
import socket
import struct
import sys
import time

_PATIENCE = 10
_LONGEST_FILL, _SETTLE = 4, 1  # seconds


def connect(address, port):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(_PATIENCE)
    sock.connect((address, port))
    sock.setblocking(False)
    return sock


class Count:
    sent = full = gone = 0

    def try_one(self, sock, block):
        try:
            self.sent += sock.send(block)
        except BlockingIOError:
            self.full += 1
        except OSError:
            self.gone += 1


def fill(socks, block, count):
    limit = time.monotonic() + _LONGEST_FILL
    while time.monotonic() < limit:
        before = count.sent
        for sock in socks:
            count.try_one(sock, block)
        if count.sent == before:
            return
        time.sleep(0.01)


def main(address, port, peers, rate, octets):
    ending = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
    socks = [connect(address, int(port)) for _ in range(int(peers))]
    block, count = b"x" * int(octets), Count()
    fill(socks, block, count)
    time.sleep(_SETTLE)
    print("attacking", flush=True)
    burst, turn = 16, 0
    due = time.monotonic()
    while not ending:
        for _ in range(burst):
            turn = (turn + 1) % len(socks)
            count.try_one(socks[turn], block)
        due = max(due + burst / float(rate), time.monotonic() - 0.01)
        time.sleep(max(0, due - time.monotonic()))
    for sock in socks:  # slower than the server's budget of challenge ACKs, which such a reset needs one of
        sock.close()
        time.sleep(0.002)
    print(json.dumps(dict(count.__dict__, peers=len(socks))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
