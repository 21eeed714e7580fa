#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How long a C-ECHO takes beside hostile peers: floods of connections, associations that drip a byte at a time or send one
byte a PDU, and such that never read what they asked for.

    bench/echo_beside_hostile.py [--host 127.0.0.1] --port 11112 [--seconds 10] [--peers 8]

The server must let the calling AE title HOSTILE in, and 5 * peers associations of one address. Prints p50, p99 and the largest
of the answers, alone and beside each kind of peer, with the load average, since a machine that is busy has the last word.
"""
import argparse
import multiprocessing
import os
import socket
import struct
import threading
import time

IMPLICIT, VERIFICATION, FIND = b"1.2.840.10008.1.2", b"1.2.840.10008.1.1", b"1.2.840.10008.5.1.4.1.2.2.1"


def item(kind, content):
    return struct.pack(">BBH", kind, 0, len(content)) + content


def associate(called):
    contexts = b"".join(item(0x20, bytes([number, 0, 0, 0]) + item(0x30, uid) + item(0x40, IMPLICIT))
                        for number, uid in ((1, VERIFICATION), (3, FIND)))
    user = item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3"))
    body = struct.pack(">HH16s16s32x", 1, 0, called.ljust(16), b"HOSTILE".ljust(16))
    body += item(0x10, b"1.2.840.10008.3.1.1.1") + contexts + user
    return struct.pack(">BBI", 1, 0, len(body)) + body


def element(tag, value):
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def command(*elements):
    body = b"".join(element(tag, value) for tag, value in elements)
    return element(0, struct.pack("<I", len(body))) + body


def even(uid):
    return uid + b"\0" * (len(uid) % 2)


def data(context, flags, content):
    return struct.pack(">BBIIBB", 4, 0, len(content) + 6, len(content) + 2, context, flags) + content


def echo(number):
    word = struct.Struct("<H").pack
    return command((0x00000002, even(VERIFICATION)), (0x00000100, word(0x30)), (0x00000110, word(number)), (0x00000800, word(0x101)))


def read_pdu(sock):
    head = sock.recv(6, socket.MSG_WAITALL)
    if len(head) < 6:
        raise ConnectionError
    kind, _, length = struct.unpack(">BBI", head)
    return kind, sock.recv(length, socket.MSG_WAITALL)


class Peer:
    def __init__(self, options):
        self.options, self.stop = options, threading.Event()

    def connect(self, accepted=True, **settings):
        sock = socket.socket()
        if "window" in settings:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, settings["window"])
        sock.settimeout(30)
        sock.connect((self.options.host, self.options.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if accepted:
            sock.sendall(associate(self.options.called.encode()))
            kind, _ = read_pdu(sock)
            if kind != 2:
                raise SystemExit("the association was not accepted")
        return sock

    def run(self, act):
        while not self.stop.is_set():
            try:
                act()
            except OSError:
                self.stop.wait(0.05)

    def flood(self):
        """Connections that say nothing, or nonsense, and go."""
        for content in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\1\0\xff\xff\xff\xff" + bytes(64)):
            with self.connect(accepted=False) as sock:
                sock.sendall(content)

    def drip(self):
        """A request and then a C-ECHO, a byte every 5 ms."""
        with self.connect(accepted=False) as sock:
            for byte in associate(self.options.called.encode()) + data(1, 3, echo(1)):
                sock.sendall(bytes([byte]))
                if self.stop.wait(0.005):
                    return

    def bytes_in_pdus(self):
        """C-ECHOs whose command comes a byte a PDU."""
        with self.connect() as sock:
            while not self.stop.is_set():
                content = echo(1)
                sock.sendall(b"".join(data(1, 1 + 2 * (i == len(content) - 1), content[i:i + 1]) for i in range(len(content))))
                read_pdu(sock)

    def zero_window(self):
        """Asks for all studies, again and again, and reads none of the answers."""
        word = struct.Struct("<H").pack
        with self.connect(window=4096) as sock:
            identifier = element(0x00080052, b"STUDY ") + element(0x0020000D, b"")
            for number in range(1, 1000):
                sock.sendall(data(3, 3, command((0x00000002, even(FIND)), (0x00000100, word(0x20)), (0x00000110, word(number)),
                                                (0x00000700, word(0)), (0x00000800, word(1)))) + data(3, 2, identifier))
                if self.stop.is_set():
                    return
            self.stop.wait()


def be_hostile(options, kind):
    threads = [threading.Thread(target=peer.run, args=(getattr(peer, kind),)) for peer in (Peer(options) for _ in range(options.peers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(options, kinds):
    # Processes of their own: threads of one interpreter would wait for each other.
    hostile = [multiprocessing.Process(target=be_hostile, args=(options, kind), daemon=True) for kind in kinds]
    for process in hostile:
        process.start()
    if hostile:
        time.sleep(1)
    times = []
    with Peer(options).connect() as sock:
        until = time.monotonic() + options.seconds
        while time.monotonic() < until:
            began = time.perf_counter()
            sock.sendall(data(1, 3, echo(len(times) % 65536)))
            read_pdu(sock)
            times.append(time.perf_counter() - began)
            time.sleep(0.002)
    for process in hostile:
        process.terminate()
        process.join()
    times.sort()
    p50, p99, most = (1000 * times[min(len(times) - 1, int(len(times) * part))] for part in (0.5, 0.99, 1))
    name = " and ".join(kinds) or "nothing"
    print(f"beside {name}: {len(times)} C-ECHO, p50 {p50:.2f} ms, p99 {p99:.2f} ms, most {most:.2f} ms, "
          f"load {os.getloadavg()[0]:.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--called", default="HOUNSFIELD")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--peers", type=int, default=8)
    options = parser.parse_args()
    kinds = ["flood", "drip", "bytes_in_pdus", "zero_window"]
    for beside in [[]] + [[kind] for kind in kinds] + [kinds]:
        measure(options, beside)


if __name__ == "__main__":
    main()
