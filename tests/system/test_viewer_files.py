# SPDX-License-Identifier: MIT
"""`http.viewerDirectory`: the files of a web viewer at /viewer, and nothing else of the disk."""
import gzip
import http.client
import os
import re
import subprocess

import pytest
import requests

from conftest import BINARY, Server

PAGE = b"<!doctype html><title>A viewer</title>"
SCRIPT = b"console.log('started');\n" * 100


def make_folder(tmp_path):
    (tmp_path / "secret.js").write_bytes(b"secret")
    dist = tmp_path / "dist"
    (dist / "assets" / "deep").mkdir(parents=True)
    (dist / "index.html").write_bytes(PAGE)
    (dist / "app.js").write_bytes(SCRIPT)
    (dist / "app.js.gz").write_bytes(gzip.compress(SCRIPT))
    (dist / "assets" / "deep" / "codec.wasm").write_bytes(b"\0asm" + bytes(5000))
    (dist / ".secret.js").write_bytes(b"secret")
    (dist / "secret.gz").write_bytes(b"secret")
    (dist / "empty.css").touch()
    (dist / "app-config.js").write_text("window.config = { wadoRoot: 'https://elsewhere.example/dicomweb' };")
    (dist / "linked.js").symlink_to(tmp_path / "secret.js")
    (dist / "parent").symlink_to(tmp_path)
    os.mkfifo(dist / "pipe.js")
    return dist


@pytest.fixture
def folder(tmp_path):
    """A viewer, and beside its folder what nobody may read."""
    return make_folder(tmp_path)


@pytest.fixture(scope="module")
def viewer(tmp_path_factory):
    """A server with such a folder, which stays as it is. Its attribute folder_served."""
    folder = make_folder(tmp_path_factory.mktemp("viewer"))
    server = Server(tmp_path_factory.mktemp("server"), {"http": {"viewerDirectory": str(folder)}}).start()
    server.folder_served = folder
    yield server
    assert server.stop() == 0
    assert "Sanitizer" not in server.log() and "runtime error" not in server.log()


def serve(start_server, folder, **http):
    return start_server({"http": {"viewerDirectory": str(folder), **http}})


@pytest.mark.parametrize("path,media_type", [
    ("index.html", "text/html"), ("app.js", "text/javascript"), ("assets/deep/codec.wasm", "application/wasm"),
    ("secret.gz", "application/octet-stream"), ("empty.css", "text/css")])
def test_files_come_as_they_are_and_by_their_media_type(viewer, path, media_type):
    for url in (f"{viewer.url}/viewer/{path}", f"{viewer.url}/{path}"):
        answer = requests.get(url, timeout=60)
        assert answer.status_code == 200 and answer.content == (viewer.folder_served / path).read_bytes()
        assert answer.headers["Content-Type"].split(";")[0] == media_type
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert requests.get(url, headers={"If-None-Match": answer.headers["ETag"]}, timeout=60).status_code == 304
        head = requests.head(url, timeout=60)
        assert head.status_code == 200 and head.content == b""


def test_a_changed_file_has_another_etag(start_server, folder):
    server = serve(start_server, folder)
    before = requests.get(server.url + "/viewer/index.html", timeout=60).headers["ETag"]
    (folder / "index.html").write_bytes(PAGE + b"<p>new")
    after = requests.get(server.url + "/viewer/index.html", headers={"If-None-Match": before}, timeout=60)
    assert after.status_code == 200 and after.content == PAGE + b"<p>new"


def test_a_new_folder_in_its_place_is_served_at_once(start_server, folder):
    server = serve(start_server, folder)
    folder.rename(folder.parent / "old")
    folder.mkdir()
    (folder / "index.html").write_bytes(b"newer")
    assert requests.get(server.url + "/viewer", timeout=60).content == b"newer"


def test_the_packed_file_beside_is_taken_where_the_client_takes_gzip(viewer):
    url = viewer.url + "/viewer/app.js"
    packed = requests.get(url, headers={"Accept-Encoding": "gzip"}, stream=True, timeout=60)
    assert packed.headers["Content-Encoding"] == "gzip" and packed.headers["Vary"] == "Accept-Encoding"
    assert packed.raw.read(decode_content=False) == (viewer.folder_served / "app.js.gz").read_bytes()
    plain = requests.get(url, headers={"Accept-Encoding": "identity"}, timeout=60)
    assert "Content-Encoding" not in plain.headers and plain.content == SCRIPT
    assert plain.headers["ETag"] != packed.headers["ETag"]
    part = requests.get(url, headers={"Accept-Encoding": "identity", "Range": "bytes=8-10"}, timeout=60)
    assert part.status_code == 206 and part.content == SCRIPT[8:11]


@pytest.mark.parametrize("path", ["/viewer", "/viewer/", "/viewer/viewer?StudyInstanceUIDs=1.2", "/viewer/studies/1.2.840",
                                  "/viewer/assets", "/viewer/assets/deep/"])
def test_paths_of_the_application_are_its_page(viewer, path):
    answer = requests.get(viewer.url + path, timeout=60)
    assert answer.status_code == 200 and answer.content == PAGE
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", [
    "/viewer/missing.js", "/viewer/assets/missing.wasm", "/missing.js", "/viewers", "/assets", "/assets/",
    "/viewer/linked.js", "/viewer/parent/secret.js", "/viewer/.secret.js", "/viewer/pipe.js", "/viewer//app.js",
    "/viewer/..%2fsecret.js", "/viewer/assets%2f..%2f..%2fsecret.js", "/viewer/%2e%2e/secret.js", "/viewer/../secret.js",
    "/..%2fsecret.js", "/viewer/" + "a" * 300 + ".js", "/viewer/app.js/index.js", "/viewer/app.js%00.js"])
def test_nothing_else_is_there(viewer, path):
    connection = http.client.HTTPConnection("127.0.0.1", viewer.http_port, timeout=30)
    connection.putrequest("GET", path)  # as it is, dots and all
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status in (400, 404) and b"secret" not in answer.read()


def test_the_services_keep_their_paths_and_methods(viewer):
    server = viewer
    assert requests.get(server.dicomweb + "/studies", timeout=60).status_code in (200, 204)
    assert requests.get(server.url + "/health", timeout=60).headers["Content-Type"] == "application/json"
    assert requests.post(server.dicomweb + "/metadata", timeout=60).status_code == 404
    assert requests.get(server.dicomweb + "/nothing", timeout=60).status_code == 404
    assert requests.post(server.url + "/viewer/app.js", timeout=60).status_code == 404
    assert requests.post(server.url + "/viewer", timeout=60).status_code == 405
    assert "/viewer" in requests.get(server.url + "/", timeout=60).text


def test_a_configuration_that_points_elsewhere_is_replaced_by_ours(viewer):
    for path in ("/app-config.js", "/viewer/app-config.js"):
        answer = requests.get(viewer.url + path, timeout=60)
        assert answer.headers["Content-Type"].startswith("text/javascript")
        assert "elsewhere" not in answer.text and "'/dicomweb'" in answer.text and "@" not in answer.text.replace("@ohif/", "")


def test_a_configuration_that_points_here_is_left_alone(start_server, folder):
    own = b'window.config = { wadoRoot: "/dicomweb", name: "our own" };'
    (folder / "app-config.js").write_bytes(own)
    server = serve(start_server, folder)
    assert requests.get(server.url + "/viewer/app-config.js", timeout=60).content == own
    assert requests.get(server.url + "/app-config.js", timeout=60).content == own


def test_the_configuration_names_the_prefix_that_is_set(start_server, folder):
    server = start_server({"http": {"viewerDirectory": str(folder)}, "dicomweb": {"prefix": "/images"}})
    assert "root + '/images'" in requests.get(server.url + "/viewer/app-config.js", timeout=60).text


def test_other_origins_are_reached_only_where_the_settings_say_so(start_server, folder):
    def connect(server):
        policy = requests.get(server.url + "/viewer", timeout=60).headers["Content-Security-Policy"]
        return re.search("connect-src ([^;]*)", policy).group(1)

    assert connect(serve(start_server, folder)) == "'self' data: blob:"
    other = serve(start_server, folder, viewerOrigins=["https://login.example.org"])
    assert connect(other) == "'self' data: blob: https://login.example.org"


def test_who_must_log_in_must_do_so_for_the_viewer_too(start_server, folder, tmp_path):
    users = tmp_path / "users"
    users.write_text('{"users": []}')
    server = serve(start_server, folder, usersFile=str(users))
    for path in ("/viewer", "/viewer/app.js", "/app.js", "/missing.js"):
        answer = requests.get(server.url + path, timeout=60)
        assert answer.status_code == 401 and "Basic" in answer.headers["WWW-Authenticate"]


def test_a_folder_without_a_page_is_refused_at_the_start(tmp_path):
    run = subprocess.run([BINARY, "serve", "--data", tmp_path / "data", "--viewer", tmp_path], capture_output=True, text=True,
                         timeout=60)
    assert run.returncode != 0 and "index.html" in run.stderr and "--viewer" in run.stderr


def test_without_a_viewer_its_paths_are_not_there(server):
    for path in ("/viewer", "/viewer/index.html", "/app-config.js"):
        assert requests.get(server.url + path, timeout=60).status_code == 404
