"""Ethernet, IPv4, TCP and ICMP by hand, and a packet socket to send and hear them: for peers that no kernel would be."""

import ctypes
import socket
import struct

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _PACKET_QDISC_BYPASS, _PACKET_IGNORE_OUTGOING = 263, 20, 23


def checksum(octets):
    if len(octets) & 1:
        octets += b"\0"
    total = sum(struct.unpack("!%dH" % (len(octets) >> 1), octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(text):
    return socket.inet_aton(text)


def ipv4(source, destination, payload, protocol=6, fragment=0, bad_checksum=False, ident=1):
    """Addresses as four octets. `fragment`: flags and offset."""
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident, fragment, 64, protocol, 0, source, destination)
    right = checksum(header)
    return header[:10] + struct.pack("!H", right ^ 0x5555 if bad_checksum else right) + header[12:] + payload


def tcp(source, destination, ports, seq, ack, flags, window=65535, data=b"", options=b"", bad_checksum=False):
    """A segment, without IP. `ports`: source and destination; `options` padded to words."""
    words = 5 + len(options) // 4
    header = struct.pack("!HHIIHHHH", *ports, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, words << 12 | flags, window, 0, 0)
    pseudo = source + destination + struct.pack("!HH", 6, len(header) + len(options) + len(data))
    right = checksum(pseudo + header + options + data)
    return header[:16] + struct.pack("!H", right ^ 0x5555 if bad_checksum else right) + header[18:] + options + data


def icmp_error(kind, code, quoted, rest=0):
    """`quoted`: the datagram that it is about, its first 28 octets."""
    body = struct.pack("!BBHI", kind, code, 0, rest) + quoted
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


class Segment:
    """A frame that carries TCP, parsed."""

    def __init__(self, frame):
        self.source, self.destination = frame[26:30], frame[30:34]
        at = 14 + (frame[14] & 15) * 4
        self.source_port, self.destination_port, self.seq, self.ack, words, self.window = struct.unpack_from("!HHIIHH", frame, at)
        self.flags = words & 0xFF
        end = 14 + struct.unpack_from("!H", frame, 16)[0]
        self.length = max(0, end - at - (words >> 12) * 4)


def filter_program(source_port=None, destination_network=None):
    """Classic BPF on an IPv4 frame without IP options: what TCP the socket hears. `destination_network`: of a /16."""
    load_half, load_byte, jump_equal, give = 0x28, 0x30, 0x15, 0x6
    tests = [(load_half, 12, 0x800), (load_byte, 23, 6)]
    if source_port is not None:
        tests.append((load_half, 34, source_port[0]))
        tests.append((load_half, 36, source_port[1]))
    if destination_network is not None:
        tests.append((load_half, 30, struct.unpack("!H", destination_network)[0]))
    program = []
    for index, (load, at, value) in enumerate(tests):
        left = 2 * (len(tests) - index - 1)
        program += [(load, 0, 0, at), (jump_equal, 0, left + 1, value)]
    program += [(give, 0, 0, 0xFFFF), (give, 0, 0, 0)]
    return b"".join(struct.pack("=HBBI", *line) for line in program), len(program)


class Wire:
    """Sends frames on one interface, hears on another, or the same, those that a filter lets through."""

    def __init__(self, interface, heard_interface, destination_mac, source_mac):
        self.ethernet = bytes.fromhex((destination_mac + source_mac).replace(":", "")) + b"\x08\x00"
        self.interface = heard_interface
        self.out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.out.bind((interface, 0))
        self.out.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)

    def frame(self, datagram):
        return self.ethernet + datagram

    def send(self, frame):
        """False when the device had no room."""
        try:
            self.out.send(frame)
            return True
        except OSError:
            return False

    def listen(self, receive_buffer=1 << 20, **what):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        octets, length = filter_program(**what)
        buffer = ctypes.create_string_buffer(octets)
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", length, ctypes.addressof(buffer)))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        sock.setblocking(False)
        sock.bind((self.interface, 0x0800))
        return sock
