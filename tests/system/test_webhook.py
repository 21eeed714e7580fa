# SPDX-License-Identifier: MIT
"""Webhooks: who is told by HTTP of what was stored, replaced and deleted."""
import hashlib
import hmac
import http.server
import json
import subprocess
import threading
import time

import pytest
import requests
from conftest import BINARY, free_port
from test_cast import metric, wait_for
from web import make, store


class Receiver:
    """Keeps what it is posted. `answers`: statuses that are given before 200, with headers."""

    def __init__(self, port=0):
        self.requests, self.answers, self.silent = [], [], threading.Event()
        self.silent.set()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.silent.wait(60)
                status, headers = receiver.answers.pop(0) if receiver.answers else (200, {})
                receiver.requests.append((self.path, dict(self.headers), body, status))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?key=a"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def events(self):
        return [e for _, _, body, status in list(self.requests) if status == 200 for e in json.loads(body)["events"]]

    def close(self):
        self.silent.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def hooked(start_server, tmp_path):
    """hooked(url...) -> a daemon that tells them, signed."""
    secret = tmp_path / "secret"
    secret.write_text("s3cret key\n")

    def start(*urls, **settings):
        return start_server(settings={"store": {"onConflict": "replace"}, "webhook": {"urls": list(urls), "secretFile": str(secret), **settings}})

    return start


def test_receivers_are_told_in_order_of_everything_and_of_nothing_of_patients(hooked, receiver):
    server = hooked(receiver.url)
    first, second = make(PatientName="Zebrowski^O", PatientID="SECRET-7"), make()
    store(server, first)
    store(server, second)
    first.InstanceNumber = 9
    store(server, first)
    assert requests.delete(f"{server.dicomweb}/studies/{second.StudyInstanceUID}", timeout=60).ok
    wait_for(lambda: len(receiver.events()) == 4)
    events = receiver.events()
    assert [e["action"] for e in events] == ["create", "create", "update", "delete"]
    assert [e["sequence"] for e in events] == sorted(e["sequence"] for e in events)
    assert set(events[0]) == {"sequence", "action", "at", "study", "series", "instance", "sopClass"}
    assert events[0]["study"] == first.StudyInstanceUID and events[0]["series"] == first.SeriesInstanceUID
    assert events[0]["instance"] == first.SOPInstanceUID and events[0]["sopClass"] == first.SOPClassUID
    path, headers, body, _ = receiver.requests[0]
    assert path == "/hook?key=a" and headers["Content-Type"] == "application/json"
    assert headers["X-Hounsfield-Signature"] == "sha256=" + hmac.new(b"s3cret key", body, hashlib.sha256).hexdigest()
    text = b"".join(body for _, _, body, _ in receiver.requests).decode() + server.log()
    assert "Zebrowski" not in text and "SECRET-7" not in text and "key=a" not in server.log() and "s3cret" not in server.log()
    assert metric(server, "webhook_events") == 4 and metric(server, "webhook_lag") == 0


def test_a_receiver_that_fails_is_asked_again_and_nothing_is_left_out(hooked, receiver):
    elsewhere = Receiver()
    receiver.answers = [(500, {}), (302, {"Location": elsewhere.url}), (429, {"Retry-After": "1"})]
    server = hooked(receiver.url)
    stored = [make() for _ in range(3)]
    for ds in stored:
        store(server, ds)
    wait_for(lambda: {e["instance"] for e in receiver.events()} == {ds.SOPInstanceUID for ds in stored})
    assert [status for *_, status in receiver.requests][:3] == [500, 302, 429]
    # Once each, for nothing broke down in between.
    assert len(receiver.events()) == 3 and not elsewhere.requests
    elsewhere.close()


def test_what_came_while_a_receiver_or_we_were_away_is_told_later(hooked):
    port = free_port()
    server = hooked(f"http://127.0.0.1:{port}/hook?key=a")
    stored = [make() for _ in range(5)]
    for ds in stored[:3]:
        store(server, ds)
    wait_for(lambda: metric(server, "webhook_lag") == 3)
    server.kill()
    server.start()
    for ds in stored[3:]:
        store(server, ds)
    receiver = Receiver(port)
    wait_for(lambda: len(receiver.events()) == 5)
    assert [e["instance"] for e in receiver.events()] == [ds.SOPInstanceUID for ds in stored]
    wait_for(lambda: metric(server, "webhook_lag") == 0)  # what it has not heard the answer of it tells again
    server.restart()
    more = make()
    store(server, more)
    wait_for(lambda: len(receiver.events()) == 6)
    assert receiver.events()[-1]["instance"] == more.SOPInstanceUID
    receiver.close()


def test_a_receiver_is_told_from_the_moment_on_at_which_it_was_named(start_server, receiver):
    server = start_server()
    store(server, make())
    server.settings["webhook"] = {"urls": [receiver.url]}
    server.restart()
    ds = make()
    store(server, ds)
    wait_for(receiver.events)
    time.sleep(0.3)
    assert [e["instance"] for e in receiver.events()] == [ds.SOPInstanceUID]
    assert "X-Hounsfield-Signature" not in receiver.requests[0][1]


def test_a_receiver_that_hangs_holds_up_nobody(hooked, receiver):
    hangs = Receiver()
    hangs.silent.clear()
    server = hooked(hangs.url, receiver.url)
    stored = [make() for _ in range(300)]
    for i in range(0, 300, 50):
        store(server, *stored[i : i + 50])
    wait_for(lambda: len(receiver.events()) == 300)
    assert not hangs.events()
    assert max(len(json.loads(body)["events"]) for _, _, body, _ in receiver.requests) <= 200
    began = time.monotonic()
    assert server.stop() == 0 and time.monotonic() - began < 15
    hangs.close()


@pytest.mark.parametrize(
    "webhook,said",
    [({"urls": ["ftp://x"]}, "webhook.urls"), ({"urls": ["http://127.0.0.1:1/"], "secretFile": "/nowhere/at/all"}, "secret file"),
     ({"urls": ["http://127.0.0.1:1/"], "secretFile": "/dev/null"}, "secret file"), ({"urls": ["http://127.0.0.1:1/"] * 17}, "webhooks")],
)
def test_settings_of_webhooks_that_cannot_be_are_refused(tmp_path, webhook, said):
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"data": {"directory": str(tmp_path / "data")}, "dimse": {"port": free_port()}, "http": {"port": free_port()}, "webhook": webhook}))
    done = subprocess.run([str(BINARY), "serve", "--config", str(settings)], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and said in done.stderr, done.stderr
