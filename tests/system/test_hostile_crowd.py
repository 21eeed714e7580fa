# SPDX-License-Identifier: MIT
"""A crowd of clients that each do something wrong, over HTTP and HTTPS, while one that does nothing wrong asks on."""
import base64
import collections
import concurrent.futures
import hashlib
import json
import multiprocessing
import os
import pathlib
import socket
import ssl
import subprocess
import time

import pytest
import requests

from certificates import Authority
from conftest import free_port
from web import JSON, make, multipart, part10, url_of

pytestmark = pytest.mark.slow
CROWD, PROCESSES, SECONDS, WAIT = 200, 4, 8, 30
TOKEN = {"Authorization": "Bearer good"}
RELATED = 'multipart/related; type="application/dicom+{}"; boundary=b'


def head(method, path, **fields):
    fields = {"Host": "a", "Authorization": "Bearer good", **fields}
    return f"{method} {path} HTTP/1.1\r\n".encode() + b"".join(f"{n.replace('_', '-')}: {v}\r\n".encode() for n, v in fields.items())


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def stow(kind):
    return head("POST", "/dicomweb/studies", Content_Type=RELATED.format(kind), Transfer_Encoding="chunked", Accept="application/dicom+json") + b"\r\n"


# Each gets a connected socket, and whatever happens to it is right.


def half_a_handshake(sock, _):
    sock.sendall(b"\x16\x03\x01\x02\x00\x01")
    sock.recv(1)


def endless_head(sock, _):
    sock.sendall(head("GET", "/dicomweb/studies"))
    for _ in range(100_000):  # far more than it takes until it is cut off
        sock.sendall(b"X-More: " + b"a" * 4000 + b"\r\n")
    raise AssertionError("400 MB of a head were taken")


def dripped_head(sock, _):
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        sock.sendall(b"G")
        time.sleep(0.2)
    raise AssertionError("a head that is dripped is not cut off")


def bulk_data_that_breaks_off(sock, _):
    sock.sendall(stow("json") + chunk(b"--b\r\nContent-Type: application/dicom+json\r\n\r\n[]\r\n--b\r\nContent-Type: "
                                      b"application/octet-stream\r\nContent-Location: x\r\n\r\n" + bytes(3 << 20)))


def deep_json(sock, _):
    sock.sendall(stow("json") + chunk(b"--b\r\nContent-Type: application/dicom+json\r\n\r\n" + b'[{"00081115":{"vr":"SQ","Value":' * 100_000))
    sock.recv(1 << 16)


def xml_with_entities(sock, _):
    sock.sendall(stow("xml") + chunk(b'--b\r\nContent-Type: application/dicom+xml\r\n\r\n<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x '
                                     b'SYSTEM "file:///etc/passwd">]><NativeDicomModel>&x;</NativeDicomModel>\r\n--b--\r\n') + b"0\r\n\r\n")
    assert b"root:" not in sock.recv(1 << 16)


def empty_parts(sock, _):
    sock.sendall(stow("json") + chunk(b"--b\r\n\r\n\r\n" * 200_000))
    sock.recv(1 << 16)


def foreign_locations(sock, _):
    model = json.dumps([{"00091001": {"vr": "OB", "BulkDataURI": "http://169.254.169.254/latest"}}]).encode()
    sock.sendall(stow("json") + chunk(b"--b\r\nContent-Type: application/dicom+json\r\n\r\n" + model + b"\r\n--b--\r\n") + b"0\r\n\r\n")
    sock.recv(1 << 16)


def guess(sock, _):
    guessed = base64.b64encode(b"doctor:" + os.urandom(6).hex().encode()).decode()
    sock.sendall(head("GET", "/dicomweb/studies", Authorization="Basic " + guessed, X_Forwarded_For='1.2.3.4" user="doctor') + b"\r\n")
    assert sock.recv(100)[9:12] in (b"401", b"503", b"")


def forge_the_log(sock, _):
    sock.sendall(head("GET", "/dicomweb/studies", X_Request_Id="\x1b[2J\x0binfo", User_Agent="\x1b]0;") + b"\r\n")
    assert sock.recv(100)[9:12] in (b"400", b"503", b"")


def silent_stream(sock, _):
    sock.sendall(head("GET", "/dicomweb/changefeed?offset=0", Accept="text/event-stream") + b"\r\n")
    time.sleep(1)


def reader_that_does_not_read(sock, path):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(head("GET", path) + b"\r\n")
    time.sleep(SECONDS)


def smuggled(sock, _):
    sock.sendall(head("POST", "/dicomweb/studies", Content_Length="0", Transfer_Encoding="chunked") + b"\r\n0\r\n\r\n"
                 + head("DELETE", "/dicomweb/studies/1.2") + b"\r\n")
    answer = b""
    while piece := sock.recv(1 << 16):
        answer += piece
    assert answer.count(b"HTTP/1.1 ") <= 1  # none: it was cut before, as any of the crowd may be


PLAIN = [endless_head, dripped_head, bulk_data_that_breaks_off, deep_json, xml_with_entities, empty_parts, foreign_locations, guess, forge_the_log,
         silent_stream, reader_that_does_not_read, smuggled]


def misbehave(number, port, tls_port, path, context, end):
    """A fifth of them over HTTPS. How often it did what."""
    done = collections.Counter()
    attack = half_a_handshake if number % 20 == 0 else PLAIN[number % len(PLAIN)]
    secure = number % 5 == 0
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", tls_port if secure else port), WAIT) as sock:
                if secure and attack is not half_a_handshake:
                    with context.wrap_socket(sock, server_hostname="localhost") as wrapped:
                        attack(wrapped, path)
                else:
                    attack(sock, path)
        except OSError:
            pass
        done[attack.__name__] += 1
    return done


def misbehave_together(first, port, tls_port, path, authority):
    """A share of the crowd, in a process of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority)
    end = time.monotonic() + SECONDS
    numbers = range(first, CROWD, PROCESSES)
    with concurrent.futures.ThreadPoolExecutor(len(numbers)) as pool:
        return sum(pool.map(lambda n: misbehave(n, port, tls_port, path, context, end), numbers), collections.Counter())


def held(server):
    """What the crowd could leave behind: sockets, files without a name, threads."""
    process = pathlib.Path(f"/proc/{server.process.pid}")
    names = []
    for link in (process / "fd").iterdir():
        try:
            names.append(os.readlink(link))
        except FileNotFoundError:
            pass
    return sum(n.startswith("socket:") for n in names), sum(n.endswith("(deleted)") for n in names), len(list((process / "task").iterdir()))


def test_HOS_33_to_HOS_45_a_crowd_of_hostile_clients_costs_others_no_request_and_leaves_nothing(start_server, tmp_path):
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("crowd", "server")
    hashed = subprocess.run(["openssl", "passwd", "-6", "right"], check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"users": [
        {"name": "doctor", "rights": ["read"], "passwordHash": hashed},
        {"name": "modality", "rights": ["read", "write"], "tokenSha256": hashlib.sha256(b"good").hexdigest()}]}))
    server = start_server({"http": {"tlsPort": free_port(), "tlsCertificate": str(certificate), "tlsKey": str(key), "usersFile": str(users),
                                    "headerTimeoutSeconds": 2, "idleTimeoutSeconds": 2}})
    ds = make(Rows=2048, Columns=2048, NumberOfFrames=2)
    body, content_type = multipart([part10(ds)])
    stored = requests.post(server.dicomweb + "/studies", data=body, headers={**TOKEN, **JSON, "Content-Type": content_type}, timeout=60)
    assert stored.status_code == 200
    url, doctor = url_of(server, ds), ("doctor", "right")
    assert requests.get(url + "/metadata", auth=doctor, timeout=60).status_code == 200
    sockets, files, threads = held(server)

    # Spawned: what is forked off a process with threads may wait for ever for a lock that one of them held. What works on
    # at the end is terminated.
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        crowd = [pool.apply_async(misbehave_together, (n, server.http_port, server.settings["http"]["tlsPort"], url[len(server.url):],
                                                       str(authority.certificate))) for n in range(PROCESSES)]
        deadline = time.monotonic() + SECONDS + 4 * WAIT
        while not all(c.ready() for c in crowd):
            assert time.monotonic() < deadline, "the crowd does not come to its end"
            answer = requests.get(url + "/metadata", auth=doctor, timeout=60)
            assert answer.status_code == 200 and answer.json()[0]["00080018"]["Value"] == [ds.SOPInstanceUID]
        done = sum((c.get(60) for c in crowd), collections.Counter())
    assert len(done) == len(PLAIN) + 1

    deadline = time.monotonic() + WAIT
    while True:
        after = held(server)
        if after[0] <= sockets + 1 and after[1] <= files and after[2] <= threads + 1:
            break
        assert time.monotonic() < deadline, (after, (sockets, files, threads))
        time.sleep(0.2)
    found = requests.get(server.dicomweb + "/instances", headers={**TOKEN, **JSON}, timeout=60).json()
    assert [i["00080018"]["Value"][0] for i in found] == [ds.SOPInstanceUID]  # nobody stored or deleted
    assert "\x1b" not in server.log()
