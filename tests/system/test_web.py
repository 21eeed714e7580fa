# SPDX-License-Identifier: MIT
"""HTTP as every DICOMweb transaction sees it, CONFORMANCE WEB-01 to WEB-17 and HOS-33 to HOS-41."""
import concurrent.futures
import gzip
import re
import socket
import time

import pytest
import requests

from web import JSON, MULTIPART_DICOM, get, make, multipart, new_uid, part10, parts_of, store, url_of


@pytest.fixture(scope="module")
def ds(server):
    ds = make()
    store(server, ds)
    return ds


def raw(server, data, timeout=20):
    """Sends bytes, returns all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout) as s:
        try:
            s.sendall(data)
        except OSError:
            pass  # cut in the middle: what was answered counts
        answer = b""
        try:
            while piece := s.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


def status_of(answer):
    match = re.match(rb"HTTP/1\.1 (\d\d\d) ", answer)
    return int(match.group(1)) if match else None


def ask(server, target, method="GET", **fields):
    head = f"{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    head += "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in fields.items())
    return raw(server, head.encode("latin-1") + b"\r\n")


# --- negotiation ---


@pytest.mark.parametrize("accept", ["*/*", "application/*", None, ""])
def test_WEB_01_WEB_05_wildcards_and_no_accept_give_the_default_type(server, ds, accept):
    assert get(url_of(server, ds), accept).headers["Content-Type"].startswith("multipart/related; type=\"application/dicom\"")
    assert get(url_of(server, ds) + "/metadata", accept).headers["Content-Type"].startswith("application/dicom+json")
    assert get(server.dicomweb + "/studies", accept).headers["Content-Type"].startswith("application/dicom+json")


def test_WEB_02_the_best_quality_wins_and_malformed_members_are_ignored(server, ds):
    url = url_of(server, ds) + "/metadata"
    for accept, expected in [
        ("application/json;q=0.5, application/dicom+json;q=0.4", "application/json"),
        ("application/json;q=0.5, application/dicom+json", "application/dicom+json"),
        ("application/dicom+json;q=0, */*", "application/json"),
        ("text/html, bad, /, application/json;q=x, application/json;q=0.1", "application/json"),
    ]:
        assert get(url, accept).headers["Content-Type"].split(";")[0] == expected, accept


def test_WEB_03_only_unsupported_types_are_406_with_what_there_is(server, ds):
    for url, accept in [
        (url_of(server, ds), "image/tiff"),
        (url_of(server, ds) + "/metadata", "text/csv"),
        (server.dicomweb + "/studies", "application/pdf"),
        (server.dicomweb + "/changefeed", "video/mp4"),
        (url_of(server, ds) + "/metadata", "application/dicom+json;q=0"),
    ]:
        answer = get(url, accept, expected=406)
        assert "application/" in answer.text


def test_WEB_04_the_accept_parameter_goes_before_the_header(server, ds):
    url = url_of(server, ds) + "/metadata"
    for query in ("accept=application/json", "accept=image/png,application/json"):
        answer = requests.get(f"{url}?{query}", headers={"Accept": "application/dicom+json"}, timeout=60)
        assert answer.headers["Content-Type"].startswith("application/json")
    for query in ("accept=application/dicom+json", "accept=application/dicom%2Bjson"):
        answer = requests.get(f"{url}?{query}", headers={"Accept": "image/png"}, timeout=60)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("application/dicom+json")
    assert requests.get(f"{url}?accept=application/*", timeout=60).status_code == 400
    assert requests.get(f"{url}?accept=image/png", timeout=60).status_code == 406


@pytest.mark.parametrize(
    "accept",
    [
        "multipart/related; type=application/dicom; transfer-syntax=*",
        'MULTIPART/RELATED;TYPE="APPLICATION/DICOM";TRANSFER-SYNTAX=*',
        'multipart/related ; transfer-syntax = "*" ; type = "application/dicom"',
    ],
)
def test_WEB_07_types_are_understood_as_clients_write_them(server, ds, accept):
    answer = get(url_of(server, ds), accept)
    assert re.match(r'multipart/related; type="application/dicom"; boundary="?[\w-]{16,70}"?$', answer.headers["Content-Type"])
    assert len(parts_of(answer)) == 1


def test_WEB_08_multipart_answers_are_well_formed(server):
    study = new_uid()
    store(server, *[make(study=study) for _ in range(3)])
    answer = get(f"{server.dicomweb}/studies/{study}", MULTIPART_DICOM)
    boundary = re.search(r'boundary="?([^";]+)', answer.headers["Content-Type"]).group(1).encode()
    assert answer.content.count(b"\r\n--" + boundary + b"\r\n") >= 2
    assert answer.content.rstrip(b"\r\n").endswith(b"\r\n--" + boundary + b"--")
    parts = parts_of(answer)
    assert len(parts) == 3
    for headers, _ in parts:
        assert headers["Content-Type"].startswith("application/dicom; transfer-syntax=1.2.840.10008.1.2.1")
        assert headers["Content-Location"].startswith(server.dicomweb)
    assert "Content-Length" in answer.headers or answer.headers["Transfer-Encoding"] == "chunked"


# --- statuses ---


def test_WEB_10_paths_methods_types_and_parameters_have_their_statuses(server, ds):
    for path in ("/nothing", "/dicomweb/nothing", "/dicomweb/studies/1.2/nothing", "/dicomweb/studies/1.2/series/1.3/x"):
        assert requests.get(server.url + path, timeout=60).status_code == 404
    for method, path, allowed in [
        ("PUT", "/dicomweb/studies", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("POST", "/dicomweb/series", {"GET", "HEAD", "OPTIONS"}),
        ("PATCH", f"/dicomweb/studies/{ds.StudyInstanceUID}", {"GET", "HEAD", "POST", "DELETE", "OPTIONS"}),
    ]:
        answer = requests.request(method, server.url + path, timeout=60)
        assert answer.status_code == 405
        assert set(answer.headers["Allow"].split(", ")) == allowed
    answer = requests.post(server.dicomweb + "/studies", data=b"x", headers={"Content-Type": "text/plain"}, timeout=60)
    assert answer.status_code == 415
    assert requests.get(server.dicomweb + "/studies?colour=red", timeout=60).status_code in (200, 204)
    assert status_of(ask(server, "/dicomweb/studies?PatientName=" + "a" * 200_000)) == 414


def test_WEB_10_a_body_over_the_limit_is_413(start_server):
    server = start_server({"http": {"bodyLimitMiB": 1}})
    ds = make(Rows=1024, Columns=1024)
    body, content_type = multipart([part10(ds)])
    head = f"POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n"
    sized = raw(server, head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert status_of(sized) == 413
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    assert status_of(raw(server, head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)) == 413
    get(url_of(server, ds), expected=404)
    store(server, make())


def test_WEB_11_uids_of_the_path(server, ds):
    for level in ("", "/metadata", "/series", "/instances"):
        for bad in ("abc", "1..2", "1.2.", "1." + "2" * 64, "1.2%20", "..%2f..%2fetc"):
            answer = requests.get(f"{server.dicomweb}/studies/{bad}{level}", timeout=60)
            assert answer.status_code == 400, (bad, level)
    for unknown in (
        f"/studies/{new_uid()}",
        f"/studies/{ds.StudyInstanceUID}/series/{new_uid()}",
        f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{new_uid()}",
        f"/studies/{new_uid()}/metadata",
    ):
        assert requests.get(server.dicomweb + unknown, timeout=60).status_code == 404, unknown


def test_WEB_12_head_options_and_keep_alive(server, ds):
    url = url_of(server, ds)
    whole = get(url + "/metadata", "application/dicom+json")
    head = requests.head(url + "/metadata", headers=JSON, timeout=60)
    assert head.status_code == 200 and head.content == b""
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]
    answer = requests.options(server.dicomweb + "/studies", timeout=60)
    assert answer.status_code in (200, 204) and "POST" in answer.headers["Allow"]
    request = f"GET {url[len(server.url):]}/metadata HTTP/1.1\r\nHost: a\r\n\r\n"
    last = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    assert raw(server, (request * 4 + last).encode()).count(b"HTTP/1.1 200") == 5


def test_WEB_12_expect_100_continue(server):
    body, content_type = multipart([part10(make())])
    head = (
        f"POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: "
    )
    with socket.create_connection(("127.0.0.1", server.http_port), 20) as s:
        s.sendall(f"{head}{content_type}\r\n\r\n".encode())
        assert s.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(body)
        assert status_of(s.recv(1000)) == 200
    assert status_of(raw(server, f"{head}text/plain\r\n\r\n".encode())) == 415


def test_WEB_13_errors_are_readable_and_tell_nothing_of_the_inside(server):
    text = requests.get(server.dicomweb + "/studies/abc", timeout=60)
    assert text.headers["Content-Type"].startswith("text/plain") and "UID" in text.text
    json = requests.get(server.dicomweb + "/studies/abc", headers={"Accept": "application/json"}, timeout=60).json()
    assert json["status"] == 400 and json["reason"] == "Bad Request" and "UID" in json["message"]
    for answer in (text, requests.get(server.url + "/x", timeout=60)):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Server" not in answer.headers
        everything = answer.text + str(answer.headers)
        assert str(server.data_dir) not in everything and "microhttpd" not in everything.lower()
        assert not re.search(r"\.c\b|0\.\d+\.\d+", everything)


@pytest.mark.slow
def test_WEB_16_an_answer_cut_by_the_shutdown_is_never_taken_for_a_whole_one(start_server):
    server = start_server()
    ds = make(Rows=2048, Columns=2048, NumberOfFrames=16)
    store(server, ds)
    whole = len(get(url_of(server, ds), MULTIPART_DICOM).content)
    with requests.get(url_of(server, ds), headers={"Accept": MULTIPART_DICOM}, stream=True, timeout=60) as answer:
        chunks = answer.iter_content(1 << 16)
        size = len(next(chunks))
        server.process.terminate()
        time.sleep(1)
        try:
            size += sum(len(chunk) for chunk in chunks)
            assert size == whole
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
            assert size < whole
    assert server.process.wait(30) == 0


def test_WEB_17_json_comes_compressed_to_those_who_accept_it(server):
    study = new_uid()
    store(server, *[make(study=study) for _ in range(20)])
    for url in (f"{server.dicomweb}/studies/{study}/metadata", f"{server.dicomweb}/instances?StudyInstanceUID={study}"):
        plain = requests.get(url, headers={"Accept-Encoding": "identity", **JSON}, timeout=60)
        packed = requests.get(url, headers={"Accept-Encoding": "gzip", **JSON}, timeout=60, stream=True)
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in packed.headers["Vary"] and "Accept-Encoding" in plain.headers["Vary"]
        raw_bytes = packed.raw.read(decode_content=False)
        assert len(raw_bytes) < len(plain.content) / 3
        assert gzip.decompress(raw_bytes) == plain.content
    instance = get(f"{server.dicomweb}/studies/{study}", MULTIPART_DICOM)
    assert "Content-Encoding" not in instance.headers


# --- hostile clients ---


def test_HOS_33_oversized_and_malformed_heads(server):
    assert status_of(raw(server, b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: a\r\n\r\n")) == 414
    assert status_of(ask(server, "/health", X="a" * (1 << 20))) in (400, 431)
    many = b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000 + b"\r\n"
    assert status_of(raw(server, many)) in (400, 431)
    assert status_of(ask(server, "/health", method="BREW")) in (405, 501)
    assert status_of(raw(server, b"GET /health HTTP/1.1\r\n\r\n")) == 400
    assert status_of(raw(server, b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")) == 400
    assert status_of(raw(server, b"GET http://b/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")) == 400
    assert status_of(ask(server, "/health")) == 200


SMUGGLED = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "fields,body",
    [
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", b"abcde"),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
        (b"Content-Length: -1\r\n", b""),
        (b"Content-Length: +5\r\n", b"abcde"),
        (b"Content-Length: 18446744073709551616\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b"FFFFFFFFFFFFFFFF1\r\nabc"),
        (b"Transfer-Encoding: chunked\r\n", b"5;\r\nabcdeXX0\r\n\r\n"),
        (b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
        (b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
        (b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"),
        (b"X: y\r\n Transfer-Encoding: chunked\r\n\0Content-Length: 5\r\n", b"abcde"),
    ],
)
def test_HOS_34_ambiguous_framing_never_runs_a_second_request(server, fields, body):
    head = b"POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Type: application/dicom\r\n" + fields + b"\r\n"
    answer = raw(server, head + body + SMUGGLED)
    assert set(re.findall(rb"HTTP/1\.1 (\d+)", answer)) <= {b"400", b"413", b"501"}


@pytest.mark.slow
def test_HOS_35_dripped_headers_and_bodies_are_cut_and_others_served(start_server):
    server = start_server({"http": {"headerTimeoutSeconds": 1, "idleTimeoutSeconds": 2}})
    starts = [
        b"",
        b"GET /health HTTP/1.1\r\nHost: a\r\nX: ",
        b"POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Type: application/dicom\r\nContent-Length: 100000\r\n\r\n",
    ]
    clients = [socket.create_connection(("127.0.0.1", server.http_port), 20) for _ in range(60)]
    for i, client in enumerate(clients):
        client.sendall(starts[i % 3])
        client.setblocking(False)
    begin = time.monotonic()
    while clients and time.monotonic() < begin + 15:
        alive = []
        for client in clients:
            try:
                client.send(b"a")
                if client.recv(1000) != b"":
                    alive.append(client)
            except BlockingIOError:
                alive.append(client)
            except OSError:
                pass
        clients = alive
        assert requests.get(server.url + "/health", timeout=5).status_code == 200
        time.sleep(0.2)
    assert not clients
    assert time.monotonic() - begin < 12


@pytest.mark.slow
def test_HOS_35_a_reader_that_takes_nothing_is_cut(start_server):
    server = start_server({"http": {"idleTimeoutSeconds": 1}})
    ds = make(Rows=2048, Columns=2048, NumberOfFrames=8)
    store(server, ds)
    with socket.create_connection(("127.0.0.1", server.http_port), 20) as s:
        s.sendall(f"GET {url_of(server, ds)[len(server.url):]} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        time.sleep(4)
        size = 0
        try:
            while piece := s.recv(1 << 20):
                size += len(piece)
        except ConnectionResetError:
            pass
    assert size < 2048 * 2048 * 2 * 8


def test_HOS_35_more_connections_than_the_limit_are_closed_and_it_passes(start_server):
    server = start_server({"http": {"connectionLimit": 40, "connectionLimitPerAddress": 20}})
    idle = []
    for _ in range(3):  # until even the connections of the start-up are forgotten and replaced
        idle += [socket.create_connection(("127.0.0.1", server.http_port), 20) for _ in range(20)]
        time.sleep(0.3)
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url + "/health", timeout=5)
    for client in idle:
        client.close()
    time.sleep(0.3)
    assert requests.get(server.url + "/health", timeout=5).status_code == 200


@pytest.mark.parametrize(
    "target,allowed",
    [
        ("/dicomweb/studies/1.2%00.3", (400,)),
        ("/dicomweb/studies?PatientID=a%00b", (400,)),
        ("/dicomweb/studies?PatientID=%zz", (400,)),
        ("/dicomweb/studies?%zz=1", (400,)),
        ("/dicomweb/studies?PatientID=a%0d%0aX-Injected:%201", (400,)),
        ("/dicomweb/%0d%0aX-Injected:%201", (400,)),
        ("/dicomweb/studies?PatientID=%ff%fe", (400,)),
        ("/dicomweb/studies/..;/health", (400, 404)),
        ("/dicomweb/../health", (400, 404)),
        ("/dicomweb/%2e%2e/health", (400, 404)),
        ("/dicomweb/studies/%252e%252e", (400,)),
        ("/dicomweb//studies", (404,)),
        ("/dicomweb/studies?" + "a=1&" * 100_000, (400, 414)),
        ("/dicomweb/studies?" + "includefield=00100010&" * 100_000, (400, 414)),
        ("/dicomweb/studies?limit=1e99", (400,)),
        ("/dicomweb/changefeed?limit=1e99", (400,)),
    ],
)
def test_HOS_41_hostile_paths_and_queries(server, target, allowed):
    answer = ask(server, target)
    assert status_of(answer) in allowed, answer[:300]
    assert b"X-Injected" not in answer.split(b"\r\n\r\n")[0]
    assert requests.get(server.url + "/health", timeout=10).status_code == 200


def test_HOS_45_urls_in_answers_come_from_the_settings_when_there_are_some(start_server):
    server = start_server({"http": {"baseUrl": "https://images.example.org"}})
    ds = make()
    body, content_type = multipart([part10(ds)])
    answer = requests.post(
        server.dicomweb + "/studies", data=body, timeout=60,
        headers={"Content-Type": content_type, "Host": "evil.example", "X-Forwarded-Host": "evil.example", **JSON},
    )  # fmt: skip
    assert answer.json()["00081190"]["Value"] == [f"https://images.example.org/dicomweb/studies/{ds.StudyInstanceUID}"]
    assert "evil" not in answer.text


def test_many_clients_at_once_are_all_answered(server, ds):
    def one(_):
        return requests.get(url_of(server, ds) + "/metadata", headers=JSON, timeout=60).status_code

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        assert set(pool.map(one, range(200))) == {200}
