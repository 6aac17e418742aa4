"""lwIP's end of a TCP connection, as a program: an echo client or server over a TAP interface that is there already.

    python3 lwip_end.py OBJECT TAP OWN_ADDRESS client ADDRESS PORT SIZE[,SIZE...] SEED
    python3 lwip_end.py OBJECT TAP OWN_ADDRESS server PORT

OBJECT: lwip_tap.cc as a shared object. Uses Debian's liblwip as it is, by its sockets API. Prints one line of JSON per connection; the server first says
`listening`.
"""

import ctypes
import hashlib
import json
import os
import random
import socket
import struct
import sys
import time

_LIBRARY = "liblwip.so.0"
_PATIENCE = 30  # seconds without any progress
_BLOCK = 1 << 16
_POLL_MS = 50
_IN, _OUT, _TROUBLE = 1, 4, 8 | 16 | 32  # poll(2)
_EAGAIN = 11


class PollEntry(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]


def load():
    lwip = ctypes.CDLL(_LIBRARY, use_errno=True)
    for name in ("lwip_send", "lwip_recv"):
        function = getattr(lwip, name)
        function.restype = ctypes.c_ssize_t
        function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return lwip


def word(address):
    return ctypes.c_uint32(struct.unpack("=I", socket.inet_aton(address))[0])


def sockaddr(address, port):
    return struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(address) + bytes(8)


def start(path, tap, address):
    if ctypes.CDLL(path).StartLwip(tap.encode(), word(address), word("255.255.255.0")) != 0:
        raise OSError("lwIP cannot have the interface " + tap)


class Socket:
    """One connection, never blocking but in wait()."""

    def __init__(self, lwip, fd):
        self.lwip, self.fd = lwip, fd
        self.buffer = ctypes.create_string_buffer(_BLOCK)

    def result(self, value, what):
        """A count; None when it would block."""
        if value >= 0:
            return value
        if ctypes.get_errno() == _EAGAIN:
            return None
        raise OSError("%s: %s" % (what, os.strerror(ctypes.get_errno())))

    def send(self, data):
        return self.result(self.lwip.lwip_send(self.fd, ctypes.c_char_p(data), len(data), socket.MSG_DONTWAIT), "send")

    def receive(self):
        """Octets; b"" at the end; None when there are none yet."""
        n = self.result(self.lwip.lwip_recv(self.fd, self.buffer, _BLOCK, socket.MSG_DONTWAIT), "receive")
        return None if n is None else self.buffer.raw[:n] if n == _BLOCK else ctypes.string_at(self.buffer, n)

    def wait(self, events):
        entry = PollEntry(self.fd, events, 0)
        self.lwip.lwip_poll(ctypes.byref(entry), 1, _POLL_MS)

    def shutdown(self):
        self.lwip.lwip_shutdown(self.fd, socket.SHUT_WR)

    def close(self):
        self.lwip.lwip_close(self.fd)


class Patience:
    def __init__(self):
        self.since = time.monotonic()

    def progress(self):
        self.since = time.monotonic()

    def check(self):
        if time.monotonic() - self.since > _PATIENCE:
            raise OSError("nothing happened for %d s" % _PATIENCE)


def blocks(size, seed):
    generator = random.Random("%d/%d" % (seed, size))
    while size > 0:
        block = generator.randbytes(min(size, _BLOCK))
        size -= len(block)
        yield block


def exchange(lwip, address, port, size, seed):
    """One connection: sends, and reads until the end of what comes back."""
    fd = lwip.lwip_socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    remote = sockaddr(address, port)
    if fd < 0 or lwip.lwip_connect(fd, remote, len(remote)) != 0:
        raise OSError("connect: " + os.strerror(ctypes.get_errno()))
    sock, patience, started = Socket(lwip, fd), Patience(), time.monotonic()
    sent, got, received = hashlib.sha256(), hashlib.sha256(), 0
    source, pending, ended = blocks(size, seed), b"", False
    while True:
        moved = False
        if not pending and not ended:
            pending = next(source, b"")
            sent.update(pending)
            if not pending:
                ended = True
                sock.shutdown()
        if pending:
            n = sock.send(pending)
            if n:
                pending, moved = pending[n:], True
        data = sock.receive()
        if data == b"":
            break
        if data:
            got.update(data)
            received += len(data)
            moved = True
        if moved:
            patience.progress()
        else:
            patience.check()
            sock.wait(_IN | (_OUT if pending else 0))
    sock.close()
    return dict(size=size, received=received, seconds=time.monotonic() - started, same=ended and sent.digest() == got.digest())


def echo(sock):
    """Sends back what comes in, until its end."""
    digest, got, pending, patience = hashlib.sha256(), 0, b"", Patience()
    while True:
        if pending:
            n = sock.send(pending)
            if n:
                pending = pending[n:]
                patience.progress()
                continue
            patience.check()
            sock.wait(_OUT)
            continue
        pending = sock.receive()
        if pending is None:
            pending = b""
            patience.check()
            sock.wait(_IN)
        elif pending == b"":
            break
        else:
            digest.update(pending)
            got += len(pending)
            patience.progress()
    sock.close()
    return dict(received=got, sha256=digest.hexdigest())


def report_of(function, *arguments):
    try:
        return dict(function(*arguments), errors=[])
    except OSError as error:
        return dict(errors=[str(error)])


def main(path, tap, own, mode, *rest):
    lwip = load()
    start(path, tap, own)
    if mode == "client":
        address, port, sizes, seed = rest
        for size in sizes.split(","):
            print(json.dumps(report_of(exchange, lwip, address, int(port), int(size), int(seed))), flush=True)
    else:
        listener = lwip.lwip_socket(socket.AF_INET, socket.SOCK_STREAM, 0)
        local = sockaddr("0.0.0.0", int(rest[0]))
        if listener < 0 or lwip.lwip_bind(listener, local, len(local)) != 0 or lwip.lwip_listen(listener, 5) != 0:
            raise OSError("listen: " + os.strerror(ctypes.get_errno()))
        print("listening", flush=True)
        while True:
            fd = lwip.lwip_accept(listener, None, None)
            print(json.dumps(report_of(echo, Socket(lwip, fd))), flush=True)
    sys.stdout.flush()
    os._exit(0)  # lwIP's threads never end


if __name__ == "__main__":
    main(*sys.argv[1:])
