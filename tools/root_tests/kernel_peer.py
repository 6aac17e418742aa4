"""The kernel's end of a TCP connection, as a program: an echo client or server that hashes what it sent and got.

    python3 kernel_peer.py client ADDRESS PORT SIZE[,SIZE...] SEED [key=value...]
    python3 kernel_peer.py server ADDRESS PORT [key=value...]

Prints one line of JSON per connection; the server first says `listening`. Keys: congestion (a name), send_buffer,
receive_buffer (octets, beyond the system's limits too), write (octets per send).
"""

import hashlib
import json
import random
import socket
import struct
import sys
import threading
import time

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_PATIENCE = 20  # seconds without any progress
_BLOCK = 1 << 18


def configure(sock, options):
    """Before connect() or listen(): the window scale follows from the buffers, and what is accepted inherits all."""
    if "congestion" in options:  # a namespace of its own may not choose any by sysctl, but a socket of root's may
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, options["congestion"].encode())
    for key, option in (("send_buffer", _SO_SNDBUFFORCE), ("receive_buffer", _SO_RCVBUFFORCE)):
        if key in options:
            # The kernel doubles what it is given, for its own overhead.
            sock.setsockopt(socket.SOL_SOCKET, option, max(options[key] // 2, 1))


def facts(sock):
    """What the kernel says of its connection (struct tcp_info)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    word = lambda at: struct.unpack_from("=I", info, at)[0]
    names = ((1, "timestamps"), (2, "sack"), (4, "window_scale"), (8, "ecn"))
    return {
        "options": [name for bit, name in names if info[5] & bit],
        "sender_mss": word(16),
        "receiver_mss": word(20),
        "retransmissions": word(100),
        "congestion": sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).split(b"\0")[0].decode(),
    }


class Payload:
    """`size` octets that follow from a seed, made block by block."""

    def __init__(self, size, seed):
        self.size, self.random, self.sha256 = size, random.Random("%d/%d" % (seed, size)), hashlib.sha256()

    def blocks(self, length):
        left = self.size
        while left > 0:
            block = self.random.randbytes(min(left, length))
            self.sha256.update(block)
            yield block
            left -= len(block)


def send_all(sock, payload, write, errors):
    try:
        for block in payload.blocks(write):
            sock.sendall(block)
        sock.shutdown(socket.SHUT_WR)
    except OSError as error:
        errors.append("send: %s" % error)


def exchange(address, port, size, seed, options):
    """One connection: sends the payload, and reads until the end of what comes back."""
    started = time.monotonic()
    sock = socket.socket()
    with sock:
        sock.settimeout(_PATIENCE)
        configure(sock, options)
        sock.connect((address, port))
        errors, payload = [], Payload(size, seed)
        sender = threading.Thread(target=send_all, args=(sock, payload, options.get("write", _BLOCK), errors), daemon=True)
        sender.start()
        got, digest, buffer = 0, hashlib.sha256(), bytearray(_BLOCK)
        report = {}
        try:
            while n := sock.recv_into(buffer):
                digest.update(memoryview(buffer)[:n])
                got += n
                if got == size:
                    report = facts(sock)
        except OSError as error:
            errors.append("receive, after %d octets: %s" % (got, error))
        sender.join(_PATIENCE)
        report.update(size=size, received=got, seconds=time.monotonic() - started, errors=errors,
                      same=payload.sha256.digest() == digest.digest())
    return report


def echo(sock):
    """Sends back what comes in, until its end."""
    got, digest, errors, buffer, report = 0, hashlib.sha256(), [], bytearray(_BLOCK), {}
    with sock:
        sock.settimeout(_PATIENCE)
        try:
            while n := sock.recv_into(buffer):
                data = memoryview(buffer)[:n]
                digest.update(data)
                sock.sendall(data)
                got += n
            report = facts(sock)
        except OSError as error:
            errors.append("after %d octets: %s" % (got, error))
    return dict(report, received=got, sha256=digest.hexdigest(), errors=errors)


def say(report):
    print(json.dumps(report), flush=True)


def main(mode, address, port, *rest):
    pairs = [word.split("=") for word in rest if "=" in word]
    options = {key: int(value) if value.isdigit() else value for key, value in pairs}
    if mode == "client":
        for size in rest[0].split(","):
            say(exchange(address, int(port), int(size), int(rest[1]), options))
        return
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    configure(listener, options)
    listener.bind((address, int(port)))
    listener.listen()
    print("listening", flush=True)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=lambda s=sock: say(echo(s)), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
