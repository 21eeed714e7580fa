# SPDX-License-Identifier: MIT
"""Who may use HTTP, what the log says of it, and heads that two parties could read as two things."""
import base64
import hashlib
import json
import re
import signal
import socket
import subprocess
import time

import pytest
import requests

from web import JSON, make, multipart, new_uid, part10, store, url_of

WAIT = 20


def hash_of(password):
    return subprocess.run(["openssl", "passwd", "-6", password], check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def user(name, rights, password=None, token=None, **more):
    entry = {"name": name, "rights": rights, **more}
    if password:
        entry["passwordHash"] = hash_of(password)
    if token:
        entry["tokenSha256"] = hashlib.sha256(token.encode()).hexdigest()
    return entry


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "users.json"
    path.write_text(json.dumps({"users": [
        user("reader", ["read"], "röntgen:1", "reader-token"), user("writer", ["read", "write"], "w"),
        user("admin", ["read", "write", "delete", "admin"], "a", "admin-token"),
        user("late", ["read"], "l", "late-token", expires="2020-01-01T00:00:00Z")]}))
    return path


def basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def stow(server, ds, **headers):
    body, content_type = multipart([part10(ds)])
    return requests.post(server.dicomweb + "/studies", data=body, timeout=60,
                         headers={"Content-Type": content_type, **JSON, **headers})


def status(method, url, headers):
    return requests.request(method, url, headers=headers, timeout=60).status_code


def test_WEB_15_401_without_credentials_403_without_the_right(start_server, users):
    server = start_server({"http": {"usersFile": str(users)}})
    ds = make()
    studies = server.dicomweb + "/studies"
    for headers in ({}, basic("reader", "wrong"), basic("nobody", "a"), bearer("none"), basic("late", "l"), bearer("late-token"),
                    {"Authorization": "Basic !!!"}, {"Authorization": "Basic"}, {"Authorization": "Digest x"}, bearer(""),
                    basic("reader", "röntgen:1\0")):
        answer = requests.get(studies, headers=headers, timeout=60)
        assert answer.status_code == 401, headers
        assert "Basic realm=" in answer.headers["WWW-Authenticate"] and "Bearer" in answer.headers["WWW-Authenticate"]
        assert stow(server, ds, **headers).status_code == 401
        assert status("DELETE", url_of(server, ds), headers) == 401
    for headers in (basic("reader", "röntgen:1"), bearer("reader-token"), basic("writer", "w"), basic("admin", "a")):
        for _ in range(2):  # the second time from memory
            assert status("GET", studies, headers) in (200, 204)
            assert status("HEAD", studies, headers) in (200, 204)
    assert stow(server, ds, **basic("reader", "röntgen:1")).status_code == 403
    assert stow(server, ds, **basic("writer", "w")).status_code == 200
    assert status("DELETE", url_of(server, ds), basic("writer", "w")) == 403  # CAP-03: off without the right
    assert status("DELETE", url_of(server, ds), {**bearer("reader-token"), "X-HTTP-Method-Override": "GET"}) == 403  # HOS-45
    assert status("GET", url_of(server, ds), {**bearer("reader-token"), "X-HTTP-Method-Override": "DELETE"}) == 200
    assert status("DELETE", url_of(server, ds), bearer("admin-token")) == 204
    assert status("GET", server.fhir_view + "/ImagingStudy", {}) == 401
    assert status("GET", server.url + "/metrics", {}) == 401
    assert status("GET", server.url + "/health", {}) == 200
    assert status("OPTIONS", studies, {}) == 204
    log = server.log()
    assert 'user="writer" method=DELETE' in log and "refused, the right is missing" in log  # audited
    assert "credentials are wrong" in log
    for secret in ("röntgen", "reader-token", "admin-token", base64.b64encode(b"admin:a").decode()):
        assert secret not in log


def test_HOS_45_tokens_that_nobody_gave_out_are_401(start_server, users):
    server = start_server({"http": {"usersFile": str(users)}})

    def part(text):
        return base64.urlsafe_b64encode(json.dumps(text).encode()).decode().rstrip("=")

    for head in ({"alg": "none"}, {"alg": "HS256"}, {"alg": "RS256", "kid": "http://127.0.0.1:1/key"}, {"kid": "../../etc/passwd"}):
        token = f"{part(head)}.{part({'sub': 'admin', 'aud': 'other', 'exp': 9999999999})}."
        assert status("GET", server.dicomweb + "/studies", bearer(token)) == 401
    for size in (5000, 100_000):
        assert status("GET", server.dicomweb + "/studies", bearer("a" * size)) == 401
    with socket.create_connection(("127.0.0.1", server.http_port), WAIT) as sock:
        sock.sendall(b"GET /dicomweb/studies HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + b"a" * (1 << 20) + b"\r\n\r\n")
        assert re.match(rb"HTTP/1\.1 4(01|31|00) ", sock.recv(100) or b"HTTP/1.1 431 ")


def test_HOS_45_two_Authorization_fields_are_400_whichever_comes_first(start_server, users):
    server = start_server({"http": {"usersFile": str(users)}})
    good, bad = b"Authorization: Bearer reader-token\r\n", b"Authorization: Bearer none\r\n"
    for fields in (good + bad, bad + good, good + good):
        assert raw(server, b"GET /dicomweb/studies HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")[9:12] == b"400"


def test_WEB_15_SIGHUP_reads_the_users_again_and_a_wrong_file_changes_nothing(start_server, users):
    server = start_server({"http": {"usersFile": str(users)}})
    url = server.dicomweb + "/studies"
    assert status("GET", url, bearer("reader-token")) in (200, 204)

    def reload(words):
        seen = server.log().count(words)
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + WAIT
        while server.log().count(words) == seen and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.log().count(words) == seen + 1

    for text in ("no JSON", '{"users": [{"name": "a", "rights": ["read"]}]}', '{"users": [{"name": "a", "password": "x"}]}',
                 '{"users": [{"name": "a", "passwordHash": "plain", "rights": []}]}', '{"tokens": []}'):
        users.write_text(text)
        reload("settings not reloaded")
        assert status("GET", url, bearer("reader-token")) in (200, 204)
    users.write_text(json.dumps({"users": [user("other", ["read"], token="other-token")]}))
    reload("settings reloaded")
    assert status("GET", url, bearer("reader-token")) == 401
    assert status("GET", url, bearer("other-token")) in (200, 204)


def test_WEB_15_who_is_taken_away_hears_no_more_of_the_change_feed(start_server, users):
    server = start_server({"http": {"usersFile": str(users)}})
    headers = {**bearer("reader-token"), "Accept": "text/event-stream"}
    with requests.get(server.dicomweb + "/changefeed", headers=headers, stream=True, timeout=WAIT) as stream:
        lines = stream.iter_lines()
        assert next(lines) == b"retry: 3000"
        users.write_text(json.dumps({"users": [user("writer", ["read", "write"], token="writer-token")]}))
        server.process.send_signal(signal.SIGHUP)
        assert not [line for line in lines if line.startswith(b"data:")]  # it ends
    assert stow(server, make(), **bearer("writer-token")).status_code == 200
    assert status("GET", server.dicomweb + "/changefeed", bearer("reader-token")) == 401


# --- the log ---


def lines_of(server, words):
    return [line for line in server.log().splitlines() if words in line]


def test_each_request_has_a_line_and_an_id_and_no_patients_data(start_server):
    server = start_server()
    ds = make(PatientID="PID-SECRET-99", PatientName="Geheim^Anna")
    stored = stow(server, ds)
    answer = requests.get(url_of(server, ds) + "/metadata", headers={**JSON, "X-Request-Id": "forged", "Accept-Encoding": "identity"},
                          timeout=60)
    found = requests.get(f"{server.dicomweb}/studies?PatientID=PID-SECRET-99&PatientName=Geheim*", headers=JSON, timeout=60)
    gone = requests.get(f"{server.url}/Geheim/PID-SECRET-99", timeout=60)
    ids = [a.headers["X-Request-Id"] for a in (stored, answer, found, gone)]
    assert len(set(ids)) == 4 and "forged" not in ids
    assert all(re.fullmatch("[0-9a-f]{16}", i) for i in ids)
    deadline = time.monotonic() + WAIT
    while len(lines_of(server, " path=")) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    (line,) = lines_of(server, f"method=GET path=/dicomweb/studies/{{study}}/series/{{series}}/instances/{{instance}}/metadata")
    assert f"study={ds.StudyInstanceUID} series={ds.SeriesInstanceUID} instance={ds.SOPInstanceUID} status=200" in line
    assert "client=127.0.0.1" in line and line.endswith(f"request={ids[1]}") and f"sent={len(answer.content)}" in line
    (line,) = lines_of(server, f"request={ids[3]}")
    assert "path=- status=404" in line
    assert any(f"request={ids[0]}" in line and "received=" in line for line in lines_of(server, "method=POST"))
    assert "SECRET" not in server.log() and "Geheim" not in server.log()


def test_the_access_log_can_be_switched_off(start_server):
    server = start_server({"http": {"accessLog": False}})
    assert "X-Request-Id" in requests.get(server.url + "/health", timeout=60).headers
    server.stop()
    assert not lines_of(server, " path=")


def test_a_trusted_proxy_names_the_client_and_the_request(start_server):
    server = start_server({"http": {"trustedProxies": ["127.0.0.1", "10.0.0.0/8"]}})
    for number, (headers, client) in enumerate((
        ({"X-Forwarded-For": "192.0.2.7"}, "192.0.2.7"), ({"X-Forwarded-For": "1.2.3.4, 192.0.2.8, 10.1.2.3"}, "192.0.2.8"),
        ({"X-Forwarded-For": "[2001:db8::7]:4711"}, "2001:db8::7"), ({"X-Forwarded-For": "unknown"}, "127.0.0.1"), ({}, "127.0.0.1"))):
        answer = requests.get(server.url + "/health", headers={"X-Request-Id": f"proxy-{number}", **headers}, timeout=60)
        assert answer.headers["X-Request-Id"] == f"proxy-{number}"
        deadline = time.monotonic() + WAIT
        while not lines_of(server, f"request=proxy-{number}") and time.monotonic() < deadline:
            time.sleep(0.02)
        (line,) = lines_of(server, f"request=proxy-{number}")
        assert f"client={client} " in line
    for bad in ("a b", "a" * 65, "x=1", 'q"'):
        answer = requests.get(server.url + "/health", headers={"X-Request-Id": bad}, timeout=60)
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-Id"])


# --- heads and framing ---


def raw(server, data):
    with socket.create_connection(("127.0.0.1", server.http_port), WAIT) as sock:
        sock.sendall(data)
        answer = b""
        try:
            while piece := sock.recv(1 << 16):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


SECOND = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("head", [
    b"GET /health HTTP/1.1\nHost: a\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: a\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: a\r\nX: b\nY: c\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: a\r\n\n",
    b"GET /health HTTP/1.1\r\nHost: a\n\n",
    b"GET /health HTTP/1.1\nHost: a\n\n",
    b"GET /health HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\nY: d\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: a\r\nX: b\r\n  \r\nY: d\r\n\r\n",
    b"GET /health HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 5\r\n\r\nabcde",
    b"GET /health HTTP/1.1\r\nHost : a\r\n\r\n",
])
def test_HOS_34_bare_line_feeds_and_folded_lines_are_400_and_end_the_connection(server, head):
    answer = raw(server, head + SECOND)
    assert set(re.findall(rb"HTTP/1\.1 (\d+)", answer)) == {b"400"}, answer[:300]


def test_HOS_34_heads_of_all_ordinary_shapes_are_taken(server):
    for head in (
        b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /health HTTP/1.1\r\nHost:a\r\nX:\r\nY: \r\nZ:  b  \r\n\r\n",
        b"\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /health?x=1&y HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=d\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X%d: %s\r\n" % (i, b"y" * 2500) for i in range(90)) + b"\r\n",
        b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\0\r\n",
    ):
        answer = raw(server, head + head + SECOND)
        assert re.findall(rb"HTTP/1\.1 (\d+)", answer)[:2] in ([b"200", b"200"], [b"405", b"405"]), (head[:99], answer[:300])
        assert len(re.findall(rb"HTTP/1\.1 (\d+)", answer)) == 3, answer
    # in pieces
    with socket.create_connection(("127.0.0.1", server.http_port), WAIT) as sock:
        for byte in b"GET /health HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n":
            sock.sendall(bytes([byte]))
            time.sleep(0.001)
        assert sock.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("body", [b"5\nabcde\n0\n\n", b"5\r\nabcde\r\n0\r\n\r\n", b"5\r\nabcde\n0\r\n\r\n", b"5;a=\"\n\"\r\nabcde\r\n0\r\n\r\n",
                                  b"3\r\nabcde\r\n0\r\n\r\n", b"0\r\nX: y\n\r\n"])
def test_HOS_34_what_follows_a_chunked_body_never_runs_as_a_request(server, body):
    head = b"POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Type: application/dicom\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = raw(server, head + body + SECOND)
    assert len(re.findall(rb"HTTP/1\.1 (\d+)", answer)) <= 1 and b"hounsfield_" not in answer


def test_HOS_35_a_minimum_rate_is_a_setting(start_server):
    server = start_server({"http": {"idleTimeoutSeconds": 1, "minimumBytesPerSecond": 100_000}})
    with socket.create_connection(("127.0.0.1", server.http_port), WAIT) as sock:
        sock.sendall(b"POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Type: application/dicom\r\nContent-Length: 9999999\r\n\r\n")
        begin = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() < begin + WAIT:
                sock.sendall(b"a" * 2000)  # 20 kB a second: well above the default
                time.sleep(0.1)
    assert requests.get(server.url + "/health", timeout=60).status_code == 200


def test_WEB_16_too_many_connections_are_503_with_Retry_After(start_server):
    server = start_server({"http": {"connectionLimit": 8, "connectionLimitPerAddress": 8}})
    idle = [socket.create_connection(("127.0.0.1", server.http_port), WAIT) for _ in range(8)]
    deadline = time.monotonic() + WAIT
    while (answer := requests.get(server.dicomweb + "/studies", timeout=60)).status_code != 503 and time.monotonic() < deadline:
        time.sleep(0.02)
    for sock in idle:
        sock.close()
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0


def test_WEB_16_a_kept_connection_hears_503_while_the_server_stops(start_server):
    server = start_server()
    ds = make(Rows=4096, Columns=4096, PixelData=b"\1" * (4096 * 4096 * 2))
    store(server, ds)
    with socket.create_connection(("127.0.0.1", server.http_port), WAIT) as kept, \
            socket.create_connection(("127.0.0.1", server.http_port), WAIT) as slow:
        kept.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        kept.recv(12)
        # an answer that is not read holds the stop up for a while
        slow.sendall(f"GET {url_of(server, ds)[len(server.url):]} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        slow.recv(1)
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + WAIT
        while "stopping" not in server.log() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        kept.sendall(b"GET /dicomweb/studies HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = b""
        while piece := kept.recv(4096):
            answer += piece
    assert b"HTTP/1.1 503" in answer and b"Retry-After: " in answer
