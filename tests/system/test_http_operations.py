# SPDX-License-Identifier: MIT
"""Operations that are begun, watched and cancelled over HTTP."""
import hashlib
import json
import os
import subprocess
import time

import pytest
import requests

from conftest import BINARY
from web import make, store

WAIT = 60


def begin(server, expected=202, **request):
    answer = requests.post(server.url + "/operations", json=request, timeout=60)
    assert answer.status_code == expected, answer.text
    return answer


def ended(server, url):
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        answer = requests.get(url, timeout=60)
        if answer.status_code == 200:
            return answer.json()
        assert answer.status_code == 202 and answer.headers["Location"] == url
        assert answer.json()["status"] == "running" and 0 <= answer.json()["percentComplete"] < 100
        time.sleep(0.05)
    raise AssertionError("it does not end")


def test_an_operation_is_begun_watched_and_gives_its_result(start_server):
    server = start_server()
    store(server, *[make() for _ in range(5)])
    for kind, member, expected in (("verify", "instances", 5), ("stats", "instances", 5), ("compact", "moved", 0)):
        answer = begin(server, type=kind)
        url = answer.headers["Location"]
        assert url == f"{server.url}/operations/{answer.json()['operationId']}"
        operation = ended(server, url)
        assert operation["type"] == kind and operation["status"] == "completed" and operation["percentComplete"] == 100
        assert operation["createdTime"] <= operation["lastUpdatedTime"]
        result = operation["result"]
        assert (result if member in result else next(v for v in result.values() if isinstance(v, dict) and member in v))[member] == expected
    listed = requests.get(server.url + "/operations", timeout=60).json()
    assert [o["type"] for o in listed["operations"]] == ["compact", "stats", "verify"]
    assert listed["scheduledVerification"]["status"] in ("waiting", "running")
    assert "lastCompletedTime" in listed["scheduledVerification"]  # the one above counts
    for _ in range(70):  # more than are remembered
        last = begin(server, type="stats", quick=True).headers["Location"]
        ended(server, last)
    assert requests.get(url, timeout=60).status_code == 404
    assert len(requests.get(server.url + "/operations", timeout=60).json()["operations"]) == 64


def test_one_that_runs_tells_how_far_it_is_is_alone_and_can_be_cancelled(start_server):
    server = start_server()
    store(server, *[make(Rows=512, Columns=512, PixelData=os.urandom(512 * 512 * 2)) for _ in range(8)])
    url = begin(server, type="verify", bytesPerSecond=200_000).headers["Location"]
    deadline = time.monotonic() + WAIT
    while not requests.get(url, timeout=60).json().get("progress", {}).get("total") and time.monotonic() < deadline:
        time.sleep(0.05)
    operation = requests.get(url, timeout=60).json()
    assert operation["status"] == "running" and operation["progress"]["phase"] and operation["progress"]["total"] > 0
    begin(server, expected=409, type="verify")
    command = subprocess.run([BINARY, "verify", "--data", server.data_dir], capture_output=True, text=True, timeout=60)
    assert command.returncode == 1 and "under way already" in command.stderr
    assert ended(server, begin(server, type="stats").headers["Location"])["status"] == "completed"
    assert requests.delete(url, timeout=60).status_code in (200, 202)
    operation = ended(server, url)
    assert operation["status"] == "canceled" and "result" not in operation
    assert ended(server, begin(server, type="verify").headers["Location"])["status"] == "completed"
    # a stop does not wait for one
    begin(server, type="verify", bytesPerSecond=10_000)
    start = time.monotonic()
    assert server.stop() == 0 and time.monotonic() - start < 15


@pytest.mark.parametrize("request_", [
    {}, {"type": "rebuild"}, {"type": "restore", "directory": "/tmp"}, {"type": "backup", "directory": "/tmp/x"}, {"type": 1},
    {"type": "verify", "bytesPerSecond": -1}, {"type": "compact", "deadShare": 2}, {"type": "../verify"}])
def test_what_is_no_operation_for_HTTP_is_400(server, request_):
    begin(server, expected=400, **request_)


def test_only_JSON_of_a_sound_size_is_read(server):
    url = server.url + "/operations"
    for body, content_type, status in ((b"{", "application/json", 400), (b"", "application/json", 400), (b"[]", "application/json", 400),
                                       (b'{"type":"stats"}', "text/plain", 415), (b'{"type":"stats"}', "application/jsonx", 415),
                                       (b" " * 20_000, "application/json", 413), (b"[" * 10_000, "application/json", 400)):
        answer = requests.post(url, data=body, headers={"Content-Type": content_type}, timeout=60)
        assert answer.status_code == status, (body[:20], answer.status_code)
    assert requests.post(url, data=b'{"type":"stats"}', timeout=60).status_code == 415
    for path in ("/0123456789abcdef", "/x", "/%2e%2e"):
        assert requests.get(url + path, timeout=60).status_code in (400, 404)
        assert requests.delete(url + path, timeout=60).status_code in (400, 404)


def test_WEB_15_operations_are_for_admins(start_server, tmp_path):
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"users": [
        {"name": name, "rights": rights, "tokenSha256": hashlib.sha256(name.encode()).hexdigest()}
        for name, rights in (("reader", ["read", "write", "delete"]), ("admin", ["admin"]))]}))
    server = start_server({"http": {"usersFile": str(users)}})
    for token, method, path, status in ((None, "GET", "", 401), ("reader", "GET", "", 403), ("reader", "POST", "", 403),
                                        ("reader", "DELETE", "/x", 403), ("admin", "GET", "", 200), ("admin", "GET", "/x", 404)):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        assert requests.request(method, server.url + "/operations" + path, headers=headers, timeout=60).status_code == status


def test_what_is_refused_drops_nothing_that_has_ended(start_server):
    server = start_server()
    store(server, *[make() for _ in range(20)])
    kept = begin(server, type="stats", quick=True).headers["Location"]
    ended(server, kept)
    running = begin(server, type="verify", bytesPerSecond=1000).headers["Location"]
    for _ in range(70):
        begin(server, 409, type="verify")
    assert requests.get(kept, timeout=60).status_code == 200
    listed = requests.get(server.url + "/operations", timeout=60).json()["operations"]
    assert [o["type"] for o in listed] == ["verify", "stats"]
    requests.delete(running, timeout=60)
    assert ended(server, running)["status"] == "canceled"
