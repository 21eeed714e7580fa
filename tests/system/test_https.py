# SPDX-License-Identifier: MIT
"""HTTPS, by itself and behind a reverse proxy."""
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest
import requests

from certificates import Authority
from conftest import free_port
from web import JSON, get, make, multipart, part10, store, url_of

WAIT = 20


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    class Pki:
        ca = Authority(tmp_path_factory.mktemp("https"), "ca")
        first, second = ca.issue("first", "server"), ca.issue("second", "server")
        other = Authority(tmp_path_factory.mktemp("https-other"), "other")
    return Pki


def secure_settings(pki, identity=None, **more):
    certificate, key = identity or pki.first
    return {"http": {"tlsPort": free_port(), "tlsCertificate": str(certificate), "tlsKey": str(key), **more}}


@pytest.fixture(scope="module")
def secure(session_folder, pki):
    from conftest import Server
    daemon = Server(session_folder / "https", secure_settings(pki)).start()
    daemon.secure_port = daemon.settings["http"]["tlsPort"]
    daemon.secure_url = f"https://localhost:{daemon.secure_port}"
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-4000:]
    assert "Sanitizer" not in daemon.log() and "runtime error" not in daemon.log()


def context_of(pki, **more):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pki.ca.certificate)
    for name, wanted in more.items():
        setattr(context, name, wanted)
    return context


def wrap(port, context):
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), WAIT), server_hostname="localhost")


def common_name(secure):
    return dict(pair[0] for pair in secure.getpeercert()["subject"])["commonName"]


def hear(sock):
    answer = b""
    try:
        while piece := sock.recv(1 << 16):
            answer += piece
    except (ConnectionResetError, ssl.SSLError):
        pass
    return answer


def test_HTTPS_stores_and_serves_and_its_URLs_say_so(secure, pki):
    ds = make(Rows=512, Columns=512)
    body, content_type = multipart([part10(ds)])
    with requests.Session() as session:
        session.verify = str(pki.ca.certificate)
        session.trust_env = False  # or a bundle that it names goes first
        url = secure.secure_url + "/dicomweb/studies"
        answer = session.post(url, data=body, headers={"Content-Type": content_type, **JSON}, timeout=60)
        assert answer.status_code == 200
        assert answer.json()["00081190"]["Value"] == [f"{url}/{ds.StudyInstanceUID}"]
        (found,) = session.get(f"{url}?StudyInstanceUID={ds.StudyInstanceUID}", headers=JSON, timeout=60).json()
        assert found["00081190"]["Value"] == [f"{url}/{ds.StudyInstanceUID}"]  # QIDO-13
        instance = url_of(secure, ds).replace(secure.url, secure.secure_url)
        whole = session.get(instance, headers={"Accept": "application/dicom; transfer-syntax=*"}, timeout=60)
        assert whole.content == part10(ds)
        assert session.get(secure.secure_url + "/health", timeout=60).json()["status"] == "ok"
    assert requests.get(secure.url + "/health", timeout=60).status_code == 200


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # for the versions that are to be refused
def test_HTTPS_has_the_profile_of_DICOM_over_TLS_and_refuses_the_rest(secure, pki):
    port = secure.secure_port
    with wrap(port, context_of(pki)) as sock:
        assert sock.version() == "TLSv1.3"
    with wrap(port, context_of(pki, maximum_version=ssl.TLSVersion.TLSv1_2)) as sock:
        assert sock.version() == "TLSv1.2" and "GCM" in sock.cipher()[0] or "CHACHA20" in sock.cipher()[0]
    old = context_of(pki)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    weak = context_of(pki, maximum_version=ssl.TLSVersion.TLSv1_2)
    weak.set_ciphers("AES128-SHA:AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA:@SECLEVEL=0")
    for context in (old, weak):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            wrap(port, context).close()
    with socket.create_connection(("127.0.0.1", port), WAIT) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200" not in hear(plain)


def test_HOS_33_HOS_34_what_is_refused_before_its_body_is_told_over_TLS_as_well(secure, pki):
    for head, status in (
        (b"POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde", b"400"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (b"BREW /health HTTP/1.1\r\nHost: a\r\n\r\n", b"501"),
    ):
        with wrap(secure.secure_port, context_of(pki)) as sock:
            sock.sendall(head)
            answer = hear(sock)
            assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
            assert answer.count(b"HTTP/1.1 ") == 1


def test_HOS_35_who_does_not_finish_its_handshake_is_cut_and_others_are_served(start_server, pki):
    server = start_server(secure_settings(pki, headerTimeoutSeconds=1, idleTimeoutSeconds=1))
    port = server.settings["http"]["tlsPort"]
    silent = [socket.create_connection(("127.0.0.1", port), WAIT) for _ in range(20)]
    for sock in silent[:10]:
        sock.sendall(b"\x16\x03\x01\x02\x00")
    url = f"https://localhost:{port}/health"
    assert requests.get(url, verify=str(pki.ca.certificate), timeout=60).status_code == 200
    for sock in silent:
        with sock:
            hear(sock)  # to its end


def test_SIGHUP_takes_a_new_certificate_and_open_connections_go_on(start_server, pki, tmp_path):
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"

    def install(identity):
        for source, target in zip(identity, (certificate, key)):
            shutil.copy(source, target)

    def renew(words):
        seen = server.log().count(words)
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + WAIT
        while server.log().count(words) == seen and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.log().count(words) == seen + 1

    def named():
        with wrap(port, context_of(pki)) as sock:
            return common_name(sock)

    install(pki.first)
    server = start_server(secure_settings(pki, (certificate, key)))
    port = server.settings["http"]["tlsPort"]
    ask = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    with wrap(port, context_of(pki)) as before:
        assert common_name(before) == "first"
        for _ in range(10):  # more often than daemons are kept
            install(pki.second)
            renew("settings reloaded")
            assert named() == "second"
        certificate.write_text("none")
        renew("settings not reloaded")
        assert named() == "second"
        install(pki.first)
        renew("settings reloaded")
        assert named() == "first"
    with wrap(port, context_of(pki)) as before:
        install(pki.second)
        renew("settings reloaded")
        before.sendall(ask)
        assert before.recv(12) == b"HTTP/1.1 200"
        assert named() == "second"


def test_a_certificate_that_cannot_be_used_is_told_at_the_start(tmp_path, pki):
    from conftest import Server
    for identity, words in (((pki.first[0], pki.second[1]), "HTTPS"), ((tmp_path / "none", pki.first[1]), "HTTPS")):
        daemon = Server(tmp_path / words / str(identity[0].name), secure_settings(pki, identity)).start(wait=False)
        assert daemon.process.wait(WAIT) == 2  # wrong settings
        assert words in daemon.log()


# --- behind a reverse proxy ---


def base_of(server, headers):
    """The base URL that the server writes into answers to a request with these headers."""
    answer = requests.get(server.dicomweb + "/studies?limit=1", headers={**JSON, **headers}, timeout=60)
    assert answer.status_code == 200, answer.text
    (url,) = answer.json()[0]["00081190"]["Value"]
    return url.partition("/dicomweb/")[0]


FORGED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil",
          "X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.7;host=evil.example;proto=https"}


def test_HOS_45_QIDO_13_forwarded_fields_of_others_than_trusted_proxies_are_not_heard(start_server):
    for trusted in ([], ["10.0.0.0/8", "::1", "127.0.0.2"]):
        server = start_server({"http": {"trustedProxies": trusted}})
        store(server, make())
        assert base_of(server, FORGED) == server.url
        assert base_of(server, {**FORGED, "Host": "images.example"}) == "http://images.example"


def test_HOS_45_QIDO_13_a_trusted_proxy_says_how_it_was_called(start_server):
    server = start_server({"http": {"trustedProxies": ["127.0.0.0/8"]}})
    store(server, make())
    host = f"127.0.0.1:{server.http_port}"
    for headers, base in (
        ({}, server.url),
        ({"X-Forwarded-Proto": "https"}, f"https://{host}"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "pacs.example:8443"}, "https://pacs.example:8443"),
        ({"X-Forwarded-Host": "pacs.example", "X-Forwarded-Prefix": "/a/b/"}, "http://pacs.example/a/b"),
        # what stands on the left may be a client's word
        ({"X-Forwarded-Host": "evil.example, pacs.example", "X-Forwarded-Proto": "http, https"}, "https://pacs.example"),
        ({"X-Forwarded-Host": 'evil"<', "X-Forwarded-Proto": "javascript", "X-Forwarded-Prefix": "/../x"}, server.url),
        ({"X-Forwarded-Prefix": "//evil.example"}, server.url),
        ({"X-Forwarded-Host": ",".join("a" * 9000)}, "http://a"),  # the last is the proxy's
        ({"Forwarded": "for=192.0.2.7;host=evil.example;proto=https"}, server.url),
    ):
        assert base_of(server, headers) == base, headers


def test_HOS_45_QIDO_13_or_says_it_by_RFC_7239(start_server):
    server = start_server({"http": {"trustedProxies": ["127.0.0.1"], "forwardedHeader": "Forwarded"}})
    store(server, make())
    for header, base in (
        ("proto=https;host=pacs.example", "https://pacs.example"),
        ('For="[2001:db8::1]:4711";Host="pacs.example:8443";Proto=https', "https://pacs.example:8443"),
        ("for=192.0.2.1;host=evil.example, for=192.0.2.60;host=pacs.example", "http://pacs.example"),
        # the proxy at 127.0.0.1 was itself called by one that is trusted
        ("host=evil.example, for=192.0.2.60;host=pacs.example;proto=https, for=127.0.0.1;host=inner", "https://pacs.example"),
        ('host="pacs.example', server.url),
        ("", server.url),
    ):
        assert base_of(server, {"Forwarded": header, "X-Forwarded-Host": "evil.example"}) == base, header


def test_STOW_15_Location_and_URLs_of_a_store_are_those_of_the_proxy(start_server):
    server = start_server({"http": {"trustedProxies": ["127.0.0.1"]}})
    ds = make()
    body, content_type = multipart([part10(ds)])
    answer = requests.post(
        server.dicomweb + "/studies", data=body, timeout=60,
        headers={"Content-Type": content_type, **JSON, "X-Forwarded-Host": "pacs.example", "X-Forwarded-Proto": "https"})
    assert answer.json()["00081190"]["Value"] == [f"https://pacs.example/dicomweb/studies/{ds.StudyInstanceUID}"]
    for name in ("Location", "Content-Location"):
        assert answer.headers.get(name, "https://pacs.example/").startswith("https://pacs.example/")


NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 200; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
{location}
    }}
}}
"""


def location_of_the_manual(server):
    """The block that docs/operation.md tells people to copy, with our address in it."""
    from conftest import ROOT
    text = (ROOT / "docs" / "operation.md").read_text()
    block = text.partition("    location / {\n")[2].partition("\n    }\n")[0]
    assert "proxy_pass http://127.0.0.1:8080;" in block
    return "location / {\n" + block.replace("127.0.0.1:8080", f"127.0.0.1:{server.http_port}") + "\n}"


@pytest.mark.skipif(not shutil.which("nginx") or not shutil.which("curl"), reason="no nginx or no curl")
def test_WEB_12_HTTP_2_over_TLS_by_the_nginx_of_the_manual(start_server, pki, tmp_path):
    server = start_server({"http": {"trustedProxies": ["127.0.0.1"]}})
    port = free_port()
    certificate, key = pki.first
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX.format(folder=tmp_path, port=port, certificate=certificate, key=key,
                                   location=location_of_the_manual(server)))
    nginx = subprocess.Popen(["nginx", "-c", str(config), "-e", str(tmp_path / "error")])
    try:
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert nginx.poll() is None, (tmp_path / "error").read_text()
                time.sleep(0.02)

        def curl(*arguments, path="/dicomweb/studies"):
            out = subprocess.run(
                ["curl", "-sS", "--http2", "--cacert", str(pki.ca.certificate), "-w", "\n%{http_version} %{http_code}",
                 *arguments, f"https://localhost:{port}{path}"], check=True, capture_output=True, timeout=60)
            body, _, line = out.stdout.rpartition(b"\n")
            return body, line.decode()

        ds = make(Rows=1024, Columns=1024)
        body, content_type = multipart([part10(ds)])
        (tmp_path / "stow").write_bytes(body)
        for chunked in ((), ("-H", "Transfer-Encoding: chunked")):
            stored, line = curl("--data-binary", f"@{tmp_path / 'stow'}", "-H", f"Content-Type: {content_type}",
                                "-H", "Accept: application/dicom+json", *chunked)
            assert line == "2 200", stored
            base = f"https://localhost:{port}/dicomweb/studies/{ds.StudyInstanceUID}"
            assert f'"{base}"'.encode() in stored
        path = url_of(server, ds)[len(server.url):]
        whole, line = curl("-H", "Accept: application/dicom; transfer-syntax=*", path=path)
        assert line == "2 200" and whole == part10(ds)
        found, line = curl("-H", "Accept: application/dicom+json")
        assert line == "2 200" and f'"{base}"'.encode() in found
        assert curl("-H", "X-Forwarded-Host: evil.example")[0].find(b"evil") < 0
        _, line = curl("-r", "0-9", "-H", "Accept: application/dicom; transfer-syntax=*", path=path)
        assert line == "2 206"
    finally:
        nginx.terminate()
        nginx.wait(WAIT)
