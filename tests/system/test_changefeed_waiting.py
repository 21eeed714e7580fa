# SPDX-License-Identifier: MIT
"""The change feed for those who want a part of it, or wait for it."""
import concurrent.futures
import contextlib
import datetime
import json
import signal
import socket
import threading
import time

import pytest
import requests

from bounds import join_all
from web import get, make, new_uid, store, url_of, value

WAIT = 30


def ask(server, expected=200, timeout=60, **parameters):
    answer = requests.get(server.dicomweb + "/changefeed", params={"limit": 1000, **parameters}, timeout=timeout)
    assert answer.status_code == expected, answer.text
    return answer


def feed(server, **parameters):
    return ask(server, **parameters).json()


def latest(server):
    answer = requests.get(server.dicomweb + "/changefeed/latest", timeout=60)
    return answer.json()["sequence"] if answer.status_code == 200 else 0


# --- windows and filters ---


def test_a_time_window_includes_its_start_and_excludes_its_end(start_server):
    server = start_server()
    for _ in range(5):
        store(server, make())
        time.sleep(0.02)
    changes = feed(server)
    times = [c["timestamp"] for c in changes]
    assert times == sorted(set(times))

    def sequences(**window):
        return [c["sequence"] for c in feed(server, **window)]

    every = [c["sequence"] for c in changes]
    for i in range(5):
        assert sequences(startTime=times[i]) == every[i:]
        assert sequences(endTime=times[i]) == every[:i]
        for j in range(i + 1, 5):
            assert sequences(startTime=times[i], endTime=times[j]) == every[i:j]
        assert sequences(startTime=times[i], limit=1) == every[i : i + 1]
        assert sequences(startTime=times[i], offset=every[i]) == every[i + 1 :]
    # the same moment in another zone
    moment = datetime.datetime.fromisoformat(times[2]).astimezone(datetime.timezone(datetime.timedelta(hours=-5, minutes=-30)))
    assert sequences(startTime=moment.isoformat()) == every[2:]
    assert sequences(startTime="2000-01-01T00:00:00Z", endTime="2001-01-01T00:00:00Z") == []
    assert sequences(startTime="2100-01-01T00:00:00Z") == []
    # a window that is over is not waited for
    begin = time.monotonic()
    assert feed(server, endTime="2001-01-01T00:00:00Z", wait=60) == []
    assert time.monotonic() - begin < 30


def test_a_window_begins_where_it_should_in_a_long_feed(start_server):
    server = start_server()
    for _ in range(6):
        store(server, *[make() for _ in range(25)])
        time.sleep(0.03)
    changes = feed(server)
    for i in range(0, 150, 7):
        start = changes[i]["timestamp"]
        assert [c["sequence"] for c in feed(server, startTime=start)] == [
            c["sequence"] for c in changes if c["timestamp"] >= start]


@pytest.mark.parametrize("query", [
    "startTime=", "startTime=yesterday", "startTime=2026-01-01", "startTime=2026-01-01T00:00:00", "startTime=2026-13-01T00:00:00Z",
    "startTime=2026-01-01T00:00:00.Z", "startTime=2026-01-01T00:00:00%2B25:00", "endTime=1e99", "startTime=99999-01-01T00:00:00Z",
    "startTime=2026-01-02T00:00:00Z&endTime=2026-01-01T00:00:00Z", "action=", "action=creates", "action=create,", "study=", "study=1..2",
    "study=" + "1." * 40 + "1", "wait=-1", "wait=301", "wait=x", "includeMetadata=later"])
def test_bad_values_are_400(server, query):
    assert requests.get(f"{server.dicomweb}/changefeed?{query}", timeout=60).status_code == 400


def test_actions_and_studies_are_filters_and_the_offset_header_goes_on_behind_them(server):
    before = latest(server)
    mine, other = make(), make()
    store(server, mine, other, make())
    requests.delete(url_of(server, mine), timeout=60)
    study = mine.StudyInstanceUID
    assert [c["action"] for c in feed(server, offset=before, study=study)] == ["create", "delete"]
    assert [c["action"] for c in feed(server, offset=before, StudyInstanceUID=study, action="delete")] == ["delete"]
    assert [c["action"] for c in feed(server, offset=before, action="create,Delete")] == ["create"] * 3 + ["delete"]
    assert {c["sopInstanceUid"] for c in feed(server, offset=before, action="create")} > {other.SOPInstanceUID}
    answer = ask(server, offset=before, study=new_uid())
    assert answer.json() == []
    seen = int(answer.headers["X-Change-Feed-Offset"])
    assert seen == latest(server)
    answer = ask(server, offset=before, study=study, limit=1)
    assert int(answer.headers["X-Change-Feed-Offset"]) == answer.json()[0]["sequence"]
    store(server, make(study=study))
    assert [c["studyInstanceUid"] for c in feed(server, offset=seen, study=study)] == [study]


def test_metadata_is_as_of_the_change_or_of_now(server):
    before = latest(server)
    ds = make(PatientName="First")
    store(server, ds)
    requests.delete(url_of(server, ds), timeout=60)
    ds.PatientName = "Second"
    store(server, ds)
    for mode in ("true", "event"):
        first, deleted, second = feed(server, offset=before, includeMetadata=mode)
        assert "metadata" not in first and "metadata" not in deleted
        assert value(second["metadata"], "00100010") == {"Alphabetic": "Second"}
    first, deleted, second = feed(server, offset=before, includeMetadata="now")
    assert first["state"] == "replaced"
    for change in (first, second):
        assert value(change["metadata"], "00100010") == {"Alphabetic": "Second"}
    assert "metadata" in deleted or deleted["state"] == "deleted"


# --- waiting ---


def test_who_waits_hears_of_a_change_when_it_comes(server):
    before = latest(server)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(feed, server, offset=before, wait=WAIT)
        time.sleep(0.3)
        assert not waiting.done()
        ds = make()
        store(server, ds)
        assert [c["sopInstanceUid"] for c in waiting.result(WAIT)] == [ds.SOPInstanceUID]
    assert [c["sopInstanceUid"] for c in feed(server, offset=before, wait=WAIT)] == [ds.SOPInstanceUID]


def test_who_waits_for_one_study_is_not_woken_by_others_and_ends_in_time(server):
    before = latest(server)
    study = new_uid()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(feed, server, offset=before, study=study, wait=WAIT)
        short = pool.submit(ask, server, offset=before, study=study, wait=1)
        for _ in range(3):
            store(server, make())
        answer = short.result(WAIT)
        assert answer.json() == [] and int(answer.headers["X-Change-Feed-Offset"]) >= before + 3
        assert not waiting.done()
        store(server, make(study=study))
        assert [c["studyInstanceUid"] for c in waiting.result(WAIT)] == [study]


def test_those_who_wait_are_bounded_let_go_when_they_leave_and_do_not_hold_up_a_stop(start_server):
    server = start_server({"dicomweb": {"feedWaiters": 3}, "http": {"idleTimeoutSeconds": 1, "headerTimeoutSeconds": 1}})
    store(server, make())
    path = f"/dicomweb/changefeed?offset={latest(server)}&wait=300"

    def wait_for_change():
        sock = socket.create_connection(("127.0.0.1", server.http_port), WAIT)
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(WAIT)
        return sock

    def is_full(expected):
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            answer = requests.get(server.dicomweb + "/changefeed?offset=0&wait=1", timeout=60)
            if (answer.status_code == 503) == expected:
                return answer
            time.sleep(0.05)
        raise AssertionError(f"full is not {expected}")

    waiting = [wait_for_change() for _ in range(3)]
    assert int(is_full(True).headers["Retry-After"]) > 0
    assert feed(server)  # who does not wait is served
    waiting.pop().close()
    is_full(False)
    waiting.append(wait_for_change())
    is_full(True)
    time.sleep(2.5)  # longer than an idle client may be silent
    begin = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    for sock in waiting:
        with sock:
            assert sock.recv(100).startswith(b"HTTP/1.1 200")
    assert server.process.wait(WAIT) == 0
    assert time.monotonic() - begin < 15


def test_HOS_35_who_takes_all_places_of_those_who_wait_leaves_a_quarter_to_others(start_server):
    server = start_server({"dicomweb": {"feedWaiters": 4}})
    request = b"GET /dicomweb/changefeed HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n"

    def status(source):
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.http_port), WAIT, (source, 0)))
        sock.sendall(request)
        return sock.recv(100)[9:12]

    with contextlib.ExitStack() as stack:
        assert [status("127.0.0.1") for _ in range(5)] == [b"200"] * 3 + [b"503"] * 2
        assert [status("127.0.0.2") for _ in range(2)] == [b"200", b"503"]


# --- server-sent events ---


@contextlib.contextmanager
def events(server, headers=None, **parameters):
    """An iterator of (id, data or None) of the stream, as the HTML standard reads it."""
    answer = requests.get(server.dicomweb + "/changefeed", params=parameters, stream=True, timeout=WAIT,
                          headers={"Accept": "text/event-stream", **(headers or {})})

    def read():
        fields, deadline = {}, time.monotonic() + 4 * WAIT
        for line in answer.iter_lines(chunk_size=1):
            assert time.monotonic() < deadline, "no change and no end, comments alone"
            name, _, content = line.decode().partition(": ")
            if line:
                fields[name] = content
            elif fields:
                yield fields
                fields = {}

    with answer:
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert "Content-Encoding" not in answer.headers
        stream = read()
        assert next(stream) == {"retry": "3000"}
        yield stream


def changes_of(stream, count):
    found = []
    while len(found) < count:
        fields = next(stream)
        if "data" in fields:
            change = json.loads(fields["data"])
            assert fields["id"] == str(change["sequence"])
            found.append(change)
    return found


def test_events_come_as_they_happen_and_a_client_goes_on_where_it_was(server):
    before = latest(server)
    ds = make()
    with events(server) as stream:
        store(server, ds)
        (change,) = changes_of(stream, 1)
        assert change == feed(server, offset=before)[0]
        assert value(change["metadata"], "00080018") == ds.SOPInstanceUID
        requests.delete(url_of(server, ds), timeout=60)
        (deleted,) = changes_of(stream, 1)
        assert deleted["action"] == "delete"
    store(server, *[make() for _ in range(150)])
    with events(server, {"Last-Event-ID": str(deleted["sequence"])}, includeMetadata="false") as stream:
        sequences = [c["sequence"] for c in changes_of(stream, 150)]
        assert sequences == [c["sequence"] for c in feed(server, offset=deleted["sequence"], includeMetadata="false")]
    with events(server, offset=before, study=ds.StudyInstanceUID, action="delete") as stream:
        assert changes_of(stream, 1)[0]["sequence"] == deleted["sequence"]
    for bad in ("x", "-1", "1" * 30):
        assert get(server.dicomweb + "/changefeed", None, 200)
        answer = requests.get(server.dicomweb + "/changefeed", timeout=60,
                              headers={"Accept": "text/event-stream", "Last-Event-ID": bad})
        assert answer.status_code == 400


def test_a_stream_is_not_cut_for_its_silence_and_ends_with_the_server(start_server):
    server = start_server({"http": {"idleTimeoutSeconds": 1, "headerTimeoutSeconds": 1}})
    with events(server) as stream:
        time.sleep(4)
        ds = make()
        store(server, ds)
        assert changes_of(stream, 1)[0]["sopInstanceUid"] == ds.SOPInstanceUID
        stopping = threading.Thread(target=server.stop, daemon=True)
        stopping.start()
        assert not [fields for fields in stream if "data" in fields]  # its end, as it should be
        join_all([stopping])
    assert server.process.returncode == 0
