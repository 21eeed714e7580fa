# SPDX-License-Identifier: MIT
"""How the cast logs in at a FHIR server: Basic, tokens from a file or a token endpoint, client certificates (TLS-04, HOS-48)."""
import base64
import json
import ssl
import subprocess
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fhir_proxy
import pytest
import requests
from certificates import Authority
from fhir_proxy import Proxy
from test_cast import cast_study, metric, studies, wait_for
from web import make, store


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "login")


def server_context(certificate, key, ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if ca:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class TlsProxy(Proxy):
    def __init__(self, base, context):
        super().__init__(base)
        self.listener.socket = context.wrap_socket(self.listener.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://localhost:{self.port}{self.target.path}"


class TokenEndpoint:
    """A token endpoint under TLS: check(form, headers) -> None, or what is wrong; it gives tokens t1, t2 ..."""

    def __init__(self, context, check, life=3600):
        self.check, self.life = check, life
        self.requests, self.given = [], 0
        self.answer = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = dict(urllib.parse.parse_qsl(body, strict_parsing=True))
                outer.requests.append((form, dict(self.headers)))
                wrong = outer.check(form, self.headers)
                status, document = (401, {"error": wrong}) if wrong else (200, outer.token())
                if outer.answer:
                    status, document = outer.answer
                text = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                if status in (302, 307):
                    self.send_header("Location", document["to"])
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.listener.daemon_threads = True
        self.listener.handle_error = lambda *arguments: None
        self.listener.socket = context.wrap_socket(self.listener.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://localhost:{self.listener.server_port}/token"
        threading.Thread(target=self.listener.serve_forever, args=(0.05,), daemon=True).start()

    def token(self):
        self.given += 1
        return {"access_token": f"t{self.given}", "token_type": "Bearer", "expires_in": self.life}

    def close(self):
        self.listener.shutdown()
        self.listener.server_close()


@pytest.fixture
def endpoint(authority):
    made = []

    def open_one(check, **options):
        context = server_context(*authority.issue(f"token{len(made)}-{time.monotonic_ns()}", "server"))
        made.append(TokenEndpoint(context, check, **options))
        return made[-1]

    yield open_one
    for each in made:
        each.close()


@pytest.fixture
def proxy(fhir):
    proxy = Proxy(fhir)
    yield proxy
    proxy.close()


@pytest.fixture
def cast(start_server):
    def start(url, env=None, **settings):
        return start_server(settings={"fhir": {"url": url, "quietSeconds": 0.2, "studiesAtOnce": 1, **settings}}, env=env or {})

    return start


def authorizations(proxy):
    return [e.headers.get("Authorization") for e in proxy.exchanges]


def check_secret(form, headers):
    expected = base64.b64encode(b"caster:s%20%2B%C3%BC").decode()
    if headers.get("Authorization") != f"Basic {expected}":
        return "invalid_client"
    if form != {"grant_type": "client_credentials", "scope": "system/*.cruds"}:
        return "invalid_request"
    return None


def test_a_token_file_is_read_anew(cast, proxy, fhir, tmp_path):
    file = tmp_path / "token"
    file.write_text("  first \n")
    server = cast(proxy.url, bearerTokenFile=str(file))
    ds = make()
    store(server, ds)
    cast_study(fhir, ds)
    assert set(authorizations(proxy)) == {"Bearer first"}
    seen = len(proxy.exchanges)
    file.write_text("second\n")
    other = make()
    store(server, other)
    cast_study(fhir, other)
    assert set(authorizations(proxy)[seen:]) == {"Bearer second"}
    # Without it nothing is sent, and nothing is parked or lost.
    file.unlink()
    last = make()
    store(server, last)
    wait_for(lambda: metric(server, "cast_breaker") == 1)
    assert metric(server, "cast_parked") == 0
    file.write_text("third")
    cast_study(fhir, last)
    assert "first" not in server.log() and "third" not in server.log()


def test_client_credentials_give_a_token_that_is_kept_renewed_and_replaced(cast, proxy, fhir, authority, endpoint):
    tokens = endpoint(check_secret)
    oauth = {"tokenUrl": tokens.url, "clientId": "caster", "clientSecret": "s +\u00fc", "scope": "system/*.cruds"}
    server = cast(proxy.url, oauth=oauth, tlsCa=str(authority.certificate))
    ds = make()
    store(server, ds)
    cast_study(fhir, ds)
    assert tokens.given == 1 and set(authorizations(proxy)) == {"Bearer t1"}
    seen = len(proxy.exchanges)
    # One that the server does not take any more is replaced at once, without a pause.
    proxy.fault(fhir_proxy.answer(401), times=1)
    other = make()
    store(server, other)
    cast_study(fhir, other)
    assert authorizations(proxy)[seen:][:2] == ["Bearer t1", "Bearer t2"] and tokens.given == 2
    assert set(authorizations(proxy)[seen + 1 :]) == {"Bearer t2"}
    assert metric(server, "cast_retries") == 0
    log = server.log()
    assert "t1" not in log.split() and "s +" not in log


def test_a_token_is_renewed_before_it_ends(cast, proxy, fhir, authority, endpoint):
    tokens = endpoint(check_secret, life=2)
    oauth = {"tokenUrl": tokens.url, "clientId": "caster", "clientSecret": "s +\u00fc", "scope": "system/*.cruds"}
    server = cast(proxy.url, oauth=oauth, tlsCa=str(authority.certificate))
    for _ in range(2):
        ds = make()
        store(server, ds)
        cast_study(fhir, ds)
        time.sleep(2)
    assert 2 <= tokens.given < len(proxy.exchanges)  # not one for each request
    assert {e.status for e in proxy.exchanges} == {200}


def der(pair):
    """Two numbers as the SEQUENCE that openssl wants (RFC 3279 2.2.3)."""
    parts = b""
    for half in (pair[:48], pair[48:]):
        number = half.lstrip(b"\0") or b"\0"
        number = b"\0" + number if number[0] & 0x80 else number
        parts += bytes([2, len(number)]) + number
    return bytes([0x30, len(parts)]) + parts


def decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@pytest.mark.parametrize("algorithm, kind", [("RS384", ["RSA", "-pkeyopt", "rsa_keygen_bits:3072"]),
                                             ("ES384", ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"])])
def test_smart_backend_services_sign_who_we_are(cast, proxy, fhir, authority, endpoint, tmp_path, algorithm, kind):
    key, public = tmp_path / "key.pem", tmp_path / "public.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", *kind, "-out", key], check=True, capture_output=True, timeout=60)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True, capture_output=True, timeout=60)
    seen = set()

    def check(form, headers):
        if "Authorization" in headers or form["client_assertion_type"] != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
            return "invalid_request"
        head, claims, signature = form["client_assertion"].split(".")
        raw = decode(signature)
        (tmp_path / "signature").write_bytes(der(raw) if algorithm == "ES384" else raw)
        (tmp_path / "signed").write_text(f"{head}.{claims}")
        verified = subprocess.run(["openssl", "dgst", "-sha384", "-verify", public, "-signature", tmp_path / "signature", tmp_path / "signed"], capture_output=True, timeout=60)
        head, claims = json.loads(decode(head)), json.loads(decode(claims))
        good = (
            verified.returncode == 0
            and head == {"alg": algorithm, "kid": "k1", "typ": "JWT"}
            and claims["iss"] == claims["sub"] == "https://caster.example"
            and claims["aud"] == tokens.url
            and 0 < claims["exp"] - time.time() <= 301
            and claims["jti"] not in seen
        )
        seen.add(claims["jti"])
        return None if good else "invalid_client"

    tokens = endpoint(check, life=2)
    oauth = {"tokenUrl": tokens.url, "clientId": "https://caster.example", "keyFile": str(key), "keyId": "k1"}
    server = cast(proxy.url, oauth=oauth, tlsCa=str(authority.certificate))
    for _ in range(2):
        ds = make()
        store(server, ds)
        cast_study(fhir, ds)
        time.sleep(2)
    assert len(seen) == tokens.given >= 2


@pytest.mark.parametrize("answer, reason", [
    ((401, {"error": "invalid_client", "error_description": "Zebrowski"}), "the token endpoint answered 401 invalid_client"),
    ((200, {"token_type": "bearer"}), "holds no bearer token"),
    ((200, {"access_token": "a\r\nX: y"}), "holds no bearer token"),
    ((200, {"access_token": "x", "padding": "x" * 100_000}), "too long"),
    ((302, {"to": "/elsewhere"}), "the token endpoint answered 302"),
], ids=["denied", "empty", "injected", "long", "redirect"])
def test_HOS_48_a_token_endpoint_that_misbehaves_is_tried_again(cast, proxy, fhir, authority, endpoint, answer, reason):
    tokens = endpoint(check_secret)
    tokens.answer = answer
    oauth = {"tokenUrl": tokens.url, "clientId": "caster", "clientSecret": "s +\u00fc", "scope": "system/*.cruds"}
    server = cast(proxy.url, oauth=oauth, tlsCa=str(authority.certificate))
    ds = make()
    store(server, ds)
    wait_for(lambda: reason in server.log())
    assert not proxy.exchanges and metric(server, "cast_parked") == 0
    assert "Zebrowski" not in server.log()
    assert requests.get(server.dicomweb + "/studies", timeout=10).status_code == 200
    tokens.answer = None
    cast_study(fhir, ds)


def test_TLS_04_a_client_certificate_is_shown_and_the_servers_is_checked(cast, fhir, authority):
    ours, key = authority.issue("caster")
    context = server_context(*authority.issue("fhir", "server"), ca=authority.certificate)
    proxy = TlsProxy(fhir, context)
    server = cast(proxy.url, tlsCa=str(authority.certificate), tlsCertificate=str(ours), tlsKey=str(key))
    ds = make()
    store(server, ds)
    cast_study(fhir, ds)
    nameless = cast(proxy.url, tlsCa=str(authority.certificate))
    other = make()
    store(nameless, other)
    wait_for(lambda: metric(nameless, "cast_retries") >= 1)
    assert not studies(fhir, other)
    proxy.close()


@pytest.mark.parametrize("wrong", ["unknown", "name", "ended"])
def test_HOS_48_a_bad_certificate_is_no_server_of_ours(cast, fhir, authority, tmp_path, wrong):
    dates = ("20200101000000Z", "20200201000000Z") if wrong == "ended" else None
    kind = "elsewhere" if wrong == "name" else "server"
    certificate = authority.issue(f"bad-{wrong}", kind, dates)
    proxy = TlsProxy(fhir, server_context(*certificate))
    ca = Authority(tmp_path, "stranger").certificate if wrong == "unknown" else authority.certificate
    server = cast(proxy.url, tlsCa=str(ca), user="u", password="p")
    ds = make()
    store(server, ds)
    wait_for(lambda: metric(server, "cast_retries") >= 2)
    assert not proxy.exchanges and not studies(fhir, ds)
    assert metric(server, "cast_parked") == 0 and metric(server, "cast_lag") == 1
    assert requests.get(server.dicomweb + "/studies", timeout=10).status_code == 200
    proxy.close()


def test_a_proxy_is_the_one_that_is_set_and_no_other(cast, proxy, fhir):
    elsewhere = Proxy(fhir)
    seen = []
    elsewhere.before.append(lambda e: seen.append(e.path))
    env = {"http_proxy": elsewhere.url, "HTTP_PROXY": elsewhere.url, "ALL_PROXY": elsewhere.url}
    server = cast(proxy.url, env=env)
    ds = make()
    store(server, ds)
    cast_study(fhir, ds)
    assert not elsewhere.exchanges
    through = cast("http://fhir.invalid/fhir", proxy=f"http://127.0.0.1:{elsewhere.port}")
    other = make()
    store(through, other)
    wait_for(lambda: seen)
    assert seen[0].startswith("http://fhir.invalid/fhir/")
    elsewhere.close()


def test_settings_that_cannot_log_in_are_refused(start_server, tmp_path):
    weak = tmp_path / "weak.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", weak], check=True, capture_output=True, timeout=60)
    url = "http://127.0.0.1:9/fhir"
    token = "https://localhost:9/token"
    for fhir in (
        {"bearerToken": "a", "bearerTokenFile": "/x"},
        {"bearerToken": "a\nb"},
        {"oauth": {"tokenUrl": token}},
        {"oauth": {"tokenUrl": token, "clientId": "c"}},
        {"oauth": {"tokenUrl": token, "clientId": "c", "clientSecret": "s", "keyFile": str(weak)}},
        {"oauth": {"tokenUrl": token, "clientId": "c", "keyFile": str(weak)}},
        {"oauth": {"tokenUrl": "ftp://x", "clientId": "c", "clientSecret": "s"}},
        {"tlsCertificate": str(weak)},
    ):
        with pytest.raises(Exception):
            start_server(settings={"fhir": {"url": url, **fhir}})
