# SPDX-License-Identifier: MIT
"""UPS-RS (PS3.18 clause 11): work items over HTTP, and their events over WebSockets."""
import base64
import concurrent.futures
import contextlib
import hashlib
import json
import os
import signal
import socket
import struct
import threading
import xml.etree.ElementTree as ElementTree

import pytest
import requests
import websocket
from pydicom.dataset import Dataset

from bounds import until
from certificates import Authority
from conftest import Server, free_port
from ups import (
    ASSIGNED, CANCEL_REQUESTED, FILTERED, GLOBAL, PROGRESS, PULL, PUSH, SCP_STATUS, STATE, Client, Watcher, code, dataset,
    item, results)
from upper_layer import EXPLICIT, Association, encode
from web import JSON, new_uid

WAIT = 20
TYPE = {"Content-Type": "application/dicom+json"}


@pytest.fixture(scope="module")
def port():
    return free_port()


@pytest.fixture(scope="module")
def daemon(session_folder, port):
    daemon = Server(session_folder / "upr", {"dimse": {"peers": [{"aeTitle": "WATCHER", "host": "127.0.0.1", "port": port}]},
                                             "http": {"corsOrigins": ["http://viewer.example"]}}).start()
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-4000:]
    assert "Sanitizer" not in daemon.log() and "runtime error" not in daemon.log()


class Web:
    def __init__(self, server):
        self.url = server.dicomweb
        self.session = requests.Session()

    def send(self, method, path, ds=None, **more):
        more.setdefault("timeout", WAIT)
        if ds is not None:
            more["data"] = json.dumps([ds.to_json_dict()])
            more["headers"] = {**TYPE, **more.get("headers", {})}
        return self.session.request(method, self.url + path, **more)

    def scheduled(self, **attributes):
        uid = new_uid()
        answer = self.send("POST", f"/workitems?{uid}", item(**attributes))
        assert answer.status_code == 201, answer.text
        return uid

    def state(self, uid, state, transaction=None):
        ds = dataset(ProcedureStepState=state)
        if transaction:
            ds.TransactionUID = transaction
        return self.send("PUT", f"/workitems/{uid}/state", ds)

    def claimed(self, **attributes):
        uid, transaction = self.scheduled(**attributes), new_uid()
        assert self.state(uid, "IN PROGRESS", transaction).status_code == 200
        return uid, transaction

    def update(self, uid, ds, transaction=None):
        return self.send("POST", f"/workitems/{uid}" + (f"?{transaction}" if transaction else ""), ds)

    def completed(self, uid, transaction):
        assert self.update(uid, results(), transaction).status_code == 200
        return self.state(uid, "COMPLETED", transaction)

    def get(self, uid, **more):
        answer = self.send("GET", f"/workitems/{uid}", headers=JSON, **more)
        assert answer.status_code == 200
        return Dataset.from_json(answer.json()[0])

    def subscribe(self, uid, requester, **parameters):
        return self.send("POST", f"/workitems/{uid}/subscribers/{requester}", params=parameters)


@pytest.fixture
def web(daemon):
    return Web(daemon)


class Ear:
    """A WebSocket of websocket-client."""

    def __init__(self, url, **more):
        self.socket = websocket.create_connection(url, timeout=WAIT, suppress_origin=True, **more)

    def hear(self, count=1):
        found = []
        for _ in range(count):
            event = json.loads(self.socket.recv())
            assert event["00000002"]["Value"] == ["1.2.840.10008.5.1.4.34.6.4"]
            state = event.get("00741000") or event.get("00741242") or {"Value": [""]}
            found.append((event["00001002"]["Value"][0], event["00001000"]["Value"][0], state["Value"][0]))
        return found

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def listen(web, requester, uid=None, **parameters):
    url = web.url.replace("http:", "ws:") + f"/subscribers/{requester}"
    if uid:
        answer = web.subscribe(uid, requester, **parameters)
        assert answer.status_code == 201 and answer.headers["Content-Location"] == url
    return Ear(url)


def test_UPR_01_an_item_is_created_and_where_it_is_is_told(web):
    uid = new_uid()
    answer = web.send("POST", f"/workitems?{uid}", item())
    assert answer.status_code == 201 and answer.headers["Location"] == f"{web.url}/workitems/{uid}"
    assert "Warning" not in answer.headers
    answer = web.send("POST", "/workitems", item())
    assert answer.status_code == 201
    assert requests.get(answer.headers["Location"], timeout=WAIT).status_code == 200
    answer = web.send("POST", "/workitems", item(ScheduledProcedureStepPriority="high"))
    assert answer.status_code == 201
    assert answer.headers["Warning"].startswith("299 ")
    assert answer.headers["Warning"].endswith(": The Workitem was created with modifications.")
    assert web.send("POST", f"/workitems?{uid}", item()).status_code == 409
    for ds in (item(ProcedureStepState="IN PROGRESS"), item(ProcedureStepLabel=None), item(ProcedureStepLabel="")):
        assert web.send("POST", "/workitems", ds).status_code == 400
    for body in (b"", b"[", b"[]", b"[{},{}]", b'[{"00741204":{"vr":"LO","Value":[{}]}}]'):
        assert web.send("POST", "/workitems", data=body, headers=TYPE).status_code == 400
    for body in (b"{}", b"\0{}", b"{},{}"):
        assert web.send("POST", "/workitems", data=body, headers=TYPE).status_code == 400
    alone = web.send("POST", "/workitems", data=b"\n " + item().to_json().encode(), headers=TYPE)
    assert alone.status_code == 201, "a data set that is in no array is taken too"
    assert web.send("POST", "/workitems?not-a-uid", item()).status_code == 400
    assert web.send("POST", "/workitems", data=b"x", headers={"Content-Type": "text/plain"}).status_code == 415


XML = """<?xml version="1.0" encoding="UTF-8"?><NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">
<DicomAttribute tag="00100020" vr="LO" keyword="PatientID"><Value number="1">P1</Value></DicomAttribute>
<DicomAttribute tag="00404005" vr="DT" keyword="ScheduledProcedureStepStartDateTime"><Value number="1">20260102</Value></DicomAttribute>
<DicomAttribute tag="00404041" vr="CS" keyword="InputReadinessState"><Value number="1">READY</Value></DicomAttribute>
<DicomAttribute tag="00741000" vr="CS" keyword="ProcedureStepState"><Value number="1">SCHEDULED</Value></DicomAttribute>
<DicomAttribute tag="00741200" vr="CS" keyword="ScheduledProcedureStepPriority"><Value number="1">LOW</Value></DicomAttribute>
<DicomAttribute tag="00741204" vr="LO" keyword="ProcedureStepLabel"><Value number="1">By XML</Value></DicomAttribute>
</NativeDicomModel>"""


def test_UPR_01_UPR_02_items_go_in_and_out_as_xml(web):
    uid = new_uid()
    answer = web.send("POST", f"/workitems?{uid}", data=XML.encode(), headers={"Content-Type": "application/dicom+xml"})
    assert answer.status_code == 201
    answer = web.send("GET", f"/workitems/{uid}", headers={"Accept": "application/dicom+xml"})
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("application/dicom+xml")
    values = {one.get("keyword"): one.findtext("./*") for one in ElementTree.fromstring(answer.content)}
    assert values["ProcedureStepLabel"] == "By XML" and "TransactionUID" not in values


def test_UPR_02_an_item_is_read_without_its_lock(web):
    uid, _ = web.claimed()
    got = web.get(uid)
    assert got.ProcedureStepState == "IN PROGRESS" and "TransactionUID" not in got and got.SOPInstanceUID == uid
    answer = web.send("GET", f"/workitems/{uid}", headers=JSON)
    again = web.send("GET", f"/workitems/{uid}", headers={**JSON, "If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304 and not again.content
    assert web.send("GET", f"/workitems/{uid}", headers={"Accept": "image/jpeg"}).status_code == 406
    assert web.send("GET", f"/workitems/{new_uid()}").status_code == 404
    assert web.send("GET", "/workitems/x").status_code == 400


def test_UPR_02_an_item_that_was_deleted_is_gone(start_server):
    daemon = start_server(settings={"worklist": {"keepDoneDays": 0.0001}})
    web = Web(daemon)
    uid = web.scheduled()
    assert web.send("POST", f"/workitems/{uid}/cancelrequest").status_code == 202
    for _ in range(40):
        daemon.restart()
        status = web.send("GET", f"/workitems/{uid}").status_code
        if status != 200:
            break
    assert status == 410
    assert web.update(uid, dataset(ProcedureStepLabel="x")).status_code == 410
    assert web.subscribe(uid, "SOMEBODY").status_code == 410


def test_UPR_03_who_holds_an_item_changes_it(web):
    uid, transaction = web.claimed()
    assert web.update(uid, dataset(ProcedureStepLabel="one"), transaction).status_code == 200
    assert web.get(uid).ProcedureStepLabel == "one"
    answer = web.update(uid, dataset(ScheduledProcedureStepPriority="low"), transaction)
    assert answer.status_code == 200
    assert answer.headers["Warning"].endswith(": The Workitem was updated with modifications.")
    answer = web.update(uid, dataset(ProcedureStepLabel="two"))
    assert answer.status_code == 400 and answer.headers["Warning"].endswith(": The Transaction UID is missing.")
    answer = web.update(uid, dataset(ProcedureStepLabel="two"), new_uid())
    assert answer.status_code == 400 and answer.headers["Warning"].endswith(": The Transaction UID is incorrect.")
    assert web.update(uid, dataset(ProcedureStepState="COMPLETED"), transaction).status_code == 400
    assert web.get(uid).ProcedureStepLabel == "one"
    assert web.completed(uid, transaction).status_code == 200
    answer = web.update(uid, dataset(ProcedureStepLabel="two"), transaction)
    assert answer.status_code == 400 and "inconsistent with the current state" in answer.headers["Warning"]
    assert web.update(new_uid(), dataset(ProcedureStepLabel="two")).status_code == 404


def test_UPR_04_the_state_goes_by_the_table(web):
    uid, transaction = web.scheduled(), new_uid()
    assert web.state(uid, "IN PROGRESS").status_code == 400
    assert web.state(uid, "COMPLETED", transaction).status_code == 409
    assert web.state(uid, "NO STATE", transaction).status_code == 400
    assert web.state(uid, "IN PROGRESS", transaction).status_code == 200
    assert web.state(uid, "IN PROGRESS", transaction).status_code == 409
    assert web.state(uid, "IN PROGRESS", new_uid()).status_code == 409
    answer = web.state(uid, "COMPLETED")
    assert answer.status_code == 400 and answer.headers["Warning"].endswith(": The Transaction UID is missing.")
    answer = web.state(uid, "COMPLETED", new_uid())
    assert answer.status_code == 400 and answer.headers["Warning"].endswith(": The Transaction UID is incorrect.")
    answer = web.state(uid, "COMPLETED", transaction)
    assert answer.status_code == 409 and "inconsistent with the current state" in answer.headers["Warning"]
    assert web.state(uid, "SCHEDULED", transaction).status_code == 409
    assert web.completed(uid, transaction).status_code == 200
    answer = web.state(uid, "COMPLETED", transaction)
    assert answer.status_code == 200 and "already in the requested state of COMPLETED" in answer.headers["Warning"]
    assert web.state(uid, "CANCELED", transaction).status_code == 409
    uid, transaction = web.claimed()
    assert web.state(uid, "CANCELED", transaction).status_code == 200
    answer = web.state(uid, "CANCELED", transaction)
    assert answer.status_code == 200 and "already in the requested state of CANCELED" in answer.headers["Warning"]
    assert web.state(new_uid(), "IN PROGRESS", transaction).status_code == 404


def test_UPR_05_an_item_is_asked_to_be_cancelled(web):
    uid = web.scheduled()
    assert web.send("POST", f"/workitems/{uid}/cancelrequest", dataset(ReasonForCancellation="no need")).status_code == 202
    assert web.get(uid).ProcedureStepState == "CANCELED"
    assert web.get(uid).ProcedureStepProgressInformationSequence[0].ReasonForCancellation == "no need"
    answer = web.send("POST", f"/workitems/{uid}/cancelrequest")
    assert answer.status_code == 202 and "already in the requested state of CANCELED" in answer.headers["Warning"]
    uid, transaction = web.claimed()
    assert web.send("POST", f"/workitems/{uid}/cancelrequest").status_code == 202
    assert web.get(uid).ProcedureStepState == "IN PROGRESS"
    assert web.completed(uid, transaction).status_code == 200
    assert web.send("POST", f"/workitems/{uid}/cancelrequest").status_code == 409
    assert web.send("POST", f"/workitems/{new_uid()}/cancelrequest").status_code == 404


def test_UPR_06_items_are_searched_for(web):
    mark = f"L{new_uid()[-10:]}"
    uids = [web.scheduled(WorklistLabel=mark, PatientName=name, ScheduledStationNameCodeSequence=[code(name[:3])])
            for name in ("Alpha^A", "Beta^B", "Gamma^C")]

    def search(status=200, headers=JSON, **parameters):
        answer = web.send("GET", "/workitems", params={"WorklistLabel": mark, **parameters}, headers=headers)
        assert answer.status_code == status, answer.text
        return [Dataset.from_json(one) for one in answer.json()] if status in (200, 206) else answer

    assert sorted(ds.SOPInstanceUID for ds in search()) == sorted(uids)
    assert [ds.SOPInstanceUID for ds in search(PatientName="alpha*")] == [uids[0]]
    assert [ds.SOPInstanceUID for ds in search(**{"00404025.00080100": "Bet"})] == [uids[1]]
    assert [ds.SOPInstanceUID for ds in search(PatientName="Gama^C", fuzzymatching="true")] == [uids[2]]
    assert len(search(SOPInstanceUID=",".join(uids[:2]))) == 2
    assert search(204, ProcedureStepState="COMPLETED").content == b""
    pages = [search(206, limit=1), search(206, limit=1, offset=1), search(limit=1, offset=2)]
    assert sorted(page[0].SOPInstanceUID for page in pages) == sorted(uids)
    answer = web.send("GET", "/workitems", params={"WorklistLabel": mark, "limit": 1}, headers=JSON)
    assert "additional results" in answer.headers["Warning"]
    one = search(PatientName="Alpha^A", includefield="ScheduledProcedureStepModificationDateTime")[0]
    assert one.ScheduledProcedureStepModificationDateTime and "CommentsOnTheScheduledProcedureStep" not in one
    assert "CommentsOnTheScheduledProcedureStep" in search(PatientName="Alpha^A", includefield="all")[0]
    # the lock is neither matched nor returned
    transaction = new_uid()
    assert web.state(uids[0], "IN PROGRESS", transaction).status_code == 200
    answer = web.send("GET", "/workitems", params={"WorklistLabel": mark, "TransactionUID": new_uid(),
                                                   "includefield": "TransactionUID"}, headers=JSON)
    assert len(answer.json()) == 3 and "ignored" in answer.headers["Warning"] and "00081195" not in answer.text
    for bad in ({"limit": "x"}, {"offset": "-1"}, {"fuzzymatching": "maybe"}, {"ScheduledProcedureStepStartDateTime": "never"}):
        search(400, **bad)
    search(406, headers={"Accept": "image/png"})
    answer = web.send("GET", "/workitems", params={"WorklistLabel": mark},
                      headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
    assert answer.status_code == 200 and answer.content.count(b"<NativeDicomModel") == 3


def test_UPR_07_who_subscribes_hears_where_events_are(web):
    uid = web.scheduled()
    answer = web.subscribe(uid, "READER", deletionlock="true")
    assert answer.status_code == 201
    assert answer.headers["Content-Location"] == web.url.replace("http:", "ws:") + "/subscribers/READER"
    assert web.subscribe(GLOBAL, "READER").status_code == 201
    assert web.subscribe(FILTERED, "READER", filter="ScheduledProcedureStepPriority=HIGH").status_code == 201
    assert web.subscribe(FILTERED, "READER").status_code == 400
    assert web.subscribe(FILTERED, "READER", filter="nothing").status_code == 400
    assert web.subscribe(new_uid(), "READER").status_code == 404
    assert web.subscribe(uid, "A_TITLE_THAT_IS_TOO_LONG").status_code == 400
    path = f"/workitems/{GLOBAL}/subscribers/READER"
    assert web.send("POST", path + "/suspend").status_code == 200
    assert web.send("DELETE", f"/workitems/{FILTERED}/subscribers/READER").status_code == 200
    assert web.send("DELETE", f"/workitems/{FILTERED}/subscribers/READER").status_code == 404
    assert web.send("DELETE", f"/workitems/{uid}/subscribers/READER").status_code == 200
    assert web.send("DELETE", path).status_code == 200
    assert web.send("DELETE", path).status_code == 404
    assert web.send("POST", path + "/suspend").status_code == 404
    assert web.send("DELETE", f"/workitems/{new_uid()}/subscribers/READER").status_code == 404


def test_UPR_07_a_deletion_lock_that_is_not_granted_is_told(start_server):
    web = Web(start_server(settings={"worklist": {"deletionLocks": False}}))
    uid = web.scheduled()
    answer = web.subscribe(uid, "READER", deletionlock="true")
    assert answer.status_code == 201 and answer.headers["Warning"].endswith(": Deletion Lock not granted.")


def test_UPR_08_events_come_in_order_and_none_between_subscription_and_opening_is_lost(web):
    uid = web.scheduled()
    assert web.subscribe(uid, "EARLY").status_code == 201
    transaction = new_uid()
    assert web.state(uid, "IN PROGRESS", transaction).status_code == 200
    with listen(web, "EARLY") as ear:
        assert ear.hear(2) == [(STATE, uid, "SCHEDULED"), (STATE, uid, "IN PROGRESS")]
        progress = dataset(ProcedureStepProgressInformationSequence=[dataset(ProcedureStepProgress="30")])
        assert web.update(uid, progress, transaction).status_code == 200
        assert web.update(uid, dataset(ScheduledStationNameCodeSequence=[code("S9")]), transaction).status_code == 200
        assert web.send("POST", f"/workitems/{uid}/cancelrequest").status_code == 202
        assert web.completed(uid, transaction).status_code == 200
        assert ear.hear(4) == [(PROGRESS, uid, ""), (ASSIGNED, uid, ""), (CANCEL_REQUESTED, uid, ""), (STATE, uid, "COMPLETED")]
        ear.socket.ping("are you there")
        code_of, frame = ear.socket.recv_data_frame(control_frame=True)
        assert code_of == websocket.ABNF.OPCODE_PONG and frame.data == b"are you there"


def test_UPR_08_the_server_closes_with_1001_when_it_stops_and_goes_on_where_it_was(start_server):
    daemon = start_server()
    web = Web(daemon)
    uid = web.scheduled()
    ear = listen(web, "READER", uid)
    assert ear.hear() == [(STATE, uid, "SCHEDULED")]
    daemon.stop()
    assert ear.hear() == [(SCP_STATUS, GLOBAL, "GOING DOWN")]
    kind, data = ear.socket.recv_data()
    assert kind == websocket.ABNF.OPCODE_CLOSE and struct.unpack(">H", data[:2])[0] == 1001
    daemon.start()
    web = Web(daemon)
    assert web.state(uid, "IN PROGRESS", new_uid()).status_code == 200
    with listen(web, "READER") as ear:
        assert ear.hear(2) == [(SCP_STATUS, GLOBAL, "RESTARTED"), (STATE, uid, "IN PROGRESS")]


def test_UPR_09_what_a_dimse_performer_does_is_heard_over_http_and_the_reverse(daemon, web, port):
    with Client(daemon) as client, Watcher(port) as watcher:
        uid = client.scheduled()
        with listen(web, "READER9", uid) as ear:
            assert client.subscribe(uid, "WATCHER") == 0
            transaction = new_uid()
            assert client.change(uid, "IN PROGRESS", transaction) == 0
            assert client.completed(uid, transaction) == 0
            events = [(STATE, uid, "SCHEDULED"), (STATE, uid, "IN PROGRESS"), (STATE, uid, "COMPLETED")]
            assert ear.hear(3) == events and watcher.wait(3) == events
            watcher.heard.clear()
            other = web.scheduled()
            assert client.subscribe(other, "WATCHER") == 0 and web.subscribe(other, "READER9").status_code == 201
            transaction = new_uid()
            assert web.state(other, "IN PROGRESS", transaction).status_code == 200
            assert web.completed(other, transaction).status_code == 200
            events = [(kind, other, state) for kind, _, state in events]
            assert ear.hear(3) == events and watcher.wait(3) == events
        client.unsubscribe(GLOBAL, "WATCHER")


def test_UPR_09_a_newer_channel_takes_the_place_of_the_older(web):
    uid = web.scheduled()
    with listen(web, "TWICE", uid) as older:
        assert older.hear() == [(STATE, uid, "SCHEDULED")]
        with listen(web, "TWICE") as newer:
            kind, data = older.socket.recv_data()
            assert kind == websocket.ABNF.OPCODE_CLOSE and struct.unpack(">H", data[:2])[0] == 1008
            assert web.state(uid, "IN PROGRESS", new_uid()).status_code == 200
            assert newer.hear() == [(STATE, uid, "IN PROGRESS")]


def test_UPS_12_of_many_who_claim_an_item_over_dimse_and_http_one_gets_it(daemon, web):
    uid, count, each = web.scheduled(), 8, 12
    barrier = threading.Barrier(count)

    def by_web(_):
        one = Web(daemon)
        barrier.wait(30)
        return [one.state(uid, "IN PROGRESS", new_uid()).status_code for _ in range(each)]

    def by_dimse(_):
        association, statuses = Association(daemon, [(1, PULL, [EXPLICIT])]), []
        barrier.wait(30)
        for _ in range(each):
            elements = {0x0003: PUSH, 0x0100: 0x0130, 0x0110: association.next_id(), 0x0800: 1, 0x1001: uid, 0x1008: 1}
            claim = dataset(ProcedureStepState="IN PROGRESS", TransactionUID=new_uid())
            association.send_message(1, elements, encode(claim, EXPLICIT))
            statuses.append(association.read_message()[1][0x0900])
        association.release()
        return statuses

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        found = [pool.submit(by_web if at % 2 else by_dimse, at) for at in range(count)]
        statuses = [status for one in found for status in one.result(100)]
    assert statuses.count(0) + statuses.count(200) == 1
    assert set(statuses) <= {0, 200, 409, 0xC301, 0xC302}


def test_a_state_that_was_acknowledged_is_there_after_a_kill(start_server):
    daemon = start_server()
    web = Web(daemon)
    uids = [web.scheduled() for _ in range(20)]
    done = {}

    def work(part):
        one = Web(daemon)
        for uid in part:
            transaction = new_uid()
            try:
                if one.state(uid, "IN PROGRESS", transaction).status_code == 200:
                    done[uid] = transaction
            except requests.RequestException:
                return

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        parts = [pool.submit(work, uids[at::4]) for at in range(4)]
        until(lambda: len(done) >= 8, "eight claims", pause=0.001)
        daemon.kill()
        for part in parts:
            part.result(60)
    assert len(done) >= 8
    daemon.start()
    web = Web(daemon)
    for uid in uids:
        state = web.get(uid).ProcedureStepState
        assert state == "IN PROGRESS" if uid in done else state in ("SCHEDULED", "IN PROGRESS")
    for uid, transaction in list(done.items())[:3]:
        assert web.update(uid, dataset(ProcedureStepLabel="mine"), transaction).status_code == 200


def test_UPR_07_a_subscriber_is_the_users_who_subscribed_first(start_server, tmp_path):
    users = tmp_path / "users.json"
    tokens = {name: f"{name}-token-of-some-length" for name in ("anna", "bert", "carl")}
    rights = {"anna": ["read", "write"], "bert": ["read", "write"], "carl": ["write"]}
    users.write_text(json.dumps({"users": [
        {"name": name, "tokenSha256": hashlib.sha256(token.encode()).hexdigest(), "rights": rights[name]}
        for name, token in tokens.items()]}))
    daemon = start_server(settings={"http": {"usersFile": str(users)}})
    webs = {}
    for name, token in tokens.items():
        webs[name] = Web(daemon)
        webs[name].session.headers["Authorization"] = f"Bearer {token}"
    uid = webs["anna"].scheduled()
    assert Web(daemon).subscribe(uid, "MINE").status_code == 401
    assert webs["anna"].subscribe(uid, "MINE").status_code == 201
    assert webs["bert"].subscribe(uid, "MINE").status_code == 403
    assert webs["bert"].send("DELETE", f"/workitems/{uid}/subscribers/MINE").status_code == 403
    for name, status in (("anna", 101), ("bert", 403), ("carl", 403), (None, 401)):
        headers = {"Authorization": f"Bearer {tokens[name]}"} if name else {}
        with Raw(daemon, "/subscribers/MINE", **headers) as raw:
            assert raw.status == status, name
            if status == 101:
                assert raw.frame()[0] == 1
    with Raw(daemon, "/subscribers/MINE", Authorization=f"Bearer {tokens['anna']}") as raw:
        users.write_text(users.read_text().replace("anna", "anton"))
        os.kill(daemon.process.pid, signal.SIGHUP)
        assert raw.close_code() == 1001


def test_UPR_08_events_are_heard_over_HTTPS(start_server, tmp_path):
    ca = Authority(tmp_path, "ca")
    certificate, key = ca.issue("first", "server")
    daemon = start_server(settings={"http": {"tlsPort": free_port(), "tlsCertificate": str(certificate), "tlsKey": str(key)}})
    web = Web(daemon)
    web.url = f"https://localhost:{daemon.settings['http']['tlsPort']}/dicomweb"
    web.session.trust_env, web.session.verify = False, str(ca.certificate)
    uid = web.scheduled()
    url = web.subscribe(uid, "SECURE").headers["Content-Location"]
    assert url == web.url.replace("https:", "wss:") + "/subscribers/SECURE"
    trusted = {"ca_certs": str(ca.certificate)}
    with Ear(url, sslopt=trusted) as ear:
        assert ear.hear() == [(STATE, uid, "SCHEDULED")]
    for _ in range(10):  # who goes without a word
        Ear(url, sslopt=trusted).socket.shutdown()
    with Ear(url, sslopt=trusted) as ear:
        for size in (0, 1, 125):
            ear.socket.ping("x" * size)
            opcode, content = ear.socket.recv_data(control_frame=True)
            assert opcode == websocket.ABNF.OPCODE_PONG and content == b"x" * size
        others = [web.scheduled() for _ in range(100)]
        for other in others:
            assert web.subscribe(other, "SECURE").status_code == 201
        assert ear.hear(100) == [(STATE, other, "SCHEDULED") for other in others]
        assert web.state(uid, "IN PROGRESS", new_uid()).status_code == 200
        assert ear.hear() == [(STATE, uid, "IN PROGRESS")]
        daemon.stop()
        assert ear.hear() == [(SCP_STATUS, GLOBAL, "GOING DOWN")]
        kind, data = ear.socket.recv_data()
        assert kind == websocket.ABNF.OPCODE_CLOSE and struct.unpack(">H", data[:2])[0] == 1001


# --- what is hostile -------------------------------------------------------------------------------------------------


class Raw:
    """A WebSocket by hand, to send what no library would."""

    def __init__(self, server, path, line="GET {} HTTP/1.1", source="127.0.0.1", **headers):
        self.socket = socket.create_connection(("127.0.0.1", server.http_port), WAIT, (source, 0))
        fields = {"Host": f"127.0.0.1:{server.http_port}", "Upgrade": "websocket", "Connection": "Upgrade",
                  "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), "Sec-WebSocket-Version": "13"}
        fields.update({name.replace("_", "-"): value for name, value in headers.items()})
        lines = [line.format("/dicomweb" + path)] + [f"{name}: {value}" for name, value in fields.items() if value is not None]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.bytes = b""
        while b"\r\n\r\n" not in self.bytes:
            piece = self.socket.recv(4096)
            if not piece:
                break
            self.bytes += piece
        head, _, self.bytes = self.bytes.partition(b"\r\n\r\n")
        self.status = int(head.split()[1])
        self.head = head.decode()

    def _take(self, size):
        while len(self.bytes) < size:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError
            self.bytes += piece
        taken, self.bytes = self.bytes[:size], self.bytes[size:]
        return taken

    def frame(self):
        first, second = self._take(2)
        assert not second & 0x80, "frames of a server are not masked"
        size = second
        if size == 126:
            size = struct.unpack(">H", self._take(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self._take(8))[0]
        return first & 0x0F, self._take(size)

    def close_code(self):
        while True:
            opcode, content = self.frame()
            if opcode == 8:
                return struct.unpack(">H", content[:2])[0]

    def send(self, first, content=b"", length=None, masked=True):
        mask = b"\x11\x22\x33\x44"
        body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(content)) if masked else content
        size = len(content) if length is None else length
        bit = 0x80 if masked else 0
        if size < 126:
            head = bytes([first, bit | size])
        elif size < 65536:
            head = bytes([first, bit | 126]) + struct.pack(">H", size)
        else:
            head = bytes([first, bit | 127]) + struct.pack(">Q", size)
        self.socket.sendall(head + (mask if masked else b"") + body)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


BROKEN = {
    "not masked": (1002, lambda raw: raw.send(0x81, b"x", masked=False)),
    "a length of 2^63": (1002, lambda raw: raw.send(0x81, b"", 1 << 63)),
    "a length of 2^62": (1009, lambda raw: raw.send(0x81, b"", 1 << 62)),
    "a reserved bit": (1002, lambda raw: raw.send(0xC1, b"x")),
    "an unknown opcode": (1002, lambda raw: raw.send(0x83, b"x")),
    "an unknown control opcode": (1002, lambda raw: raw.send(0x8B, b"x")),
    "a long ping": (1002, lambda raw: raw.send(0x89, b"x" * 126)),
    "a ping in pieces": (1002, lambda raw: raw.send(0x09, b"x")),
    "a continuation of nothing": (1002, lambda raw: raw.send(0x80, b"x")),
    "a message in a message": (1002, lambda raw: [raw.send(0x01, b"x"), raw.send(0x81, b"x")]),
    "a close of one byte": (1002, lambda raw: raw.send(0x88, b"x")),
    "a close with no such code": (1002, lambda raw: raw.send(0x88, b"\x03\xed")),
    "fragments without end": (1009, lambda raw: [raw.send(0x01, b"")] + [raw.send(0x00, b"") for _ in range(1100)]),
    "a long message": (1009, lambda raw: [raw.send(0x01, b"x" * 60000), raw.send(0x00, b"x" * 60000)]),
    "pings by the hundred": (1008, lambda raw: raw.socket.sendall(b"\x89\x80\x00\x00\x00\x00" * 200)),
}


@pytest.mark.parametrize("what", BROKEN)
def test_HOS_44_frames_that_break_the_rules_end_the_channel_and_not_the_subscription(daemon, web, what):
    wanted, send = BROKEN[what]
    uid = web.scheduled()
    assert web.subscribe(uid, "HOSTILE").status_code == 201
    with Raw(daemon, "/subscribers/HOSTILE") as raw:
        assert raw.status == 101
        try:
            send(raw)
        except OSError:
            pass
        assert raw.close_code() == wanted
    with listen(web, "HOSTILE") as ear:
        assert web.state(uid, "IN PROGRESS", new_uid()).status_code == 200
        heard = ear.hear()
        assert heard[0][1] == uid
    assert web.send("DELETE", f"/workitems/{uid}/subscribers/HOSTILE").status_code == 200


def test_HOS_44_what_is_no_right_handshake_is_refused(daemon, web):
    uid = web.scheduled()
    assert web.subscribe(uid, "SHAKER").status_code == 201
    for status, headers in ((426, {"Upgrade": None}), (426, {"Upgrade": "h2c"}), (426, {"Connection": "keep-alive"}),
                            (426, {"Sec_WebSocket_Version": "8"}), (400, {"Sec_WebSocket_Key": None}),
                            (400, {"Sec_WebSocket_Key": "AAAA"}), (400, {"Sec_WebSocket_Key": "x" * 5000}),
                            (403, {"Origin": "http://evil.example"}), (403, {"Origin": "null"}),
                            (101, {"Origin": "http://viewer.example"}), (101, {"Origin": f"http://127.0.0.1:{daemon.http_port}"}),
                            (101, {"Connection": "keep-alive, upgrade", "Upgrade": "WebSocket"})):
        with Raw(daemon, "/subscribers/SHAKER", **headers) as raw:
            assert raw.status == status, (headers, raw.head)
    for line in ("HEAD {} HTTP/1.1", "GET {} HTTP/1.0"):  # RFC 6455 4.1
        with Raw(daemon, "/subscribers/SHAKER", line) as raw:
            assert raw.status == 426, (line, raw.head)
    assert web.send("GET", "/subscribers/SHAKER").status_code == 426


def test_HOS_44_who_opens_all_channels_leaves_a_quarter_to_others(start_server):
    server = start_server()

    def hears(raw):  # who is let in answers; who is not, closes
        raw.send(0x89, b"there?")
        return raw.frame() == (0xA, b"there?")

    with contextlib.ExitStack() as stack:
        for number in range(192):
            assert hears(stack.enter_context(Raw(server, f"/subscribers/A{number}")))
        with Raw(server, "/subscribers/MORE") as raw:
            assert raw.status == 101 and raw.close_code() == 1013
        with Raw(server, "/subscribers/OTHER", source="127.0.0.2") as raw:
            assert hears(raw)


def test_HOS_44_a_client_that_goes_away_or_does_not_read_costs_nothing(daemon, web):
    uid = web.scheduled()
    assert web.subscribe(uid, "AWAY").status_code == 201
    for _ in range(20):
        Raw(daemon, "/subscribers/AWAY").socket.close()
    with Raw(daemon, "/subscribers/AWAY") as raw:
        assert raw.status == 101
        with listen(web, "AWAY") as ear:
            assert web.state(uid, "IN PROGRESS", new_uid()).status_code == 200
            while (STATE, uid, "IN PROGRESS") not in ear.hear():  # the first state may come before
                pass


def test_HOS_31_more_than_a_work_item_may_be_is_refused(daemon, web):
    ds = item()
    ds.CommentsOnTheScheduledProcedureStep = "x" * (9 << 20)
    assert web.send("POST", "/workitems", ds).status_code == 413
    association = Association(daemon, [(1, PUSH, [EXPLICIT])])
    elements = {0x0002: PUSH, 0x0100: 0x0140, 0x0110: association.next_id(), 0x0800: 1, 0x1000: new_uid()}
    association.send_message(1, elements, encode(ds, EXPLICIT), size=16000)
    assert association.read_message()[1][0x0900] == 0x0213
    association.release()
    assert web.send("GET", f"/workitems/{web.scheduled()}").status_code == 200


def test_HOS_19_work_items_that_are_nested_too_deep_are_refused(daemon, web):
    for depth in (100, 100000):
        body = '[{"00404018":{"vr":"SQ","Value":[' + '{"00404018":{"vr":"SQ","Value":[' * depth + "]}}" * depth + "]}}]"
        answer = web.send("POST", "/workitems", data=body, headers=TYPE)
        assert answer.status_code in (400, 413), answer.text
    begin, end = b"\x40\x00\x18\x40SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    association = Association(daemon, [(1, PUSH, [EXPLICIT])])
    for content in (begin * 100 + end * 100, begin * 3, b"\x40\x00\x18\x40SQ\0\0\xff", b"\0" * 7, b"\xff" * 1000):
        elements = {0x0002: PUSH, 0x0100: 0x0140, 0x0110: association.next_id(), 0x0800: 1, 0x1000: new_uid()}
        association.send_message(1, elements, content)
        assert association.read_message()[1][0x0900] in (0x0110, 0x0115, 0x0213)
    association.release()
