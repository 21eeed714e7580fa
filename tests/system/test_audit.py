# SPDX-License-Identifier: MIT
"""Security events in the log (PS3.15 A.5.3.11 to 13): one line each, with fields that do not change."""
import hashlib
import json
import re
import socket
import ssl
import struct
import time

import requests

from certificates import Authority
from conftest import free_port
from upper_layer import (
    CT, EXPLICIT, STUDY_FIND, STUDY_MOVE, VERIFICATION, IMPLICIT, Association, Receiver, associate_rq, item, keys,
    refused, user_information,
)
from web import make, new_uid, store, url_of

LINE = re.compile(r'audit audit: event=(\d{6}) type=(\d{6}) outcome=(\d+) ae="([^"]*)" user="([^"]*)" address=(\S+) '
                  r'cause="([^"]*)"')
ALERT, LOGIN_EVENT = "110113", "110114"
LOGIN, NODE, RESTRICTED = "110122", "110126", "110132"
ECHO = [(1, VERIFICATION, [IMPLICIT])]


def events(server):
    return [match.groups() for match in map(LINE.search, server.log().splitlines()) if match]


def wait_events(server, count):
    deadline = time.monotonic() + 10
    while len(events(server)) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    found = events(server)
    assert len(found) == count, found
    return found


def test_ASC_04_AUD_03_refused_associations_are_noted_at_every_level_of_the_log(start_server):
    server = start_server({"log": "error", "dimse": {"callingAeTitles": ["CT1"], "peers": []}})
    refused(server, associate_rq(ECHO, calling="STRANGER"))
    refused(server, associate_rq(ECHO, calling="CT1", called="OTHER"))
    first, second = wait_events(server, 2)
    assert first[:5] == (ALERT, NODE, "4", "STRANGER", "") and first[5].startswith("127.0.0.1")
    assert second[:4] == (ALERT, NODE, "4", "CT1")
    Association(server, ECHO, calling="CT1").release()
    assert len(events(server)) == 2, "what is granted is no event"


def test_ASC_20_AUD_03_wrong_identities_are_noted_without_what_they_said(start_server):
    server = start_server({"dimse": {"users": [{"name": "reader", "passcode": "s3cret", "rights": ["find"]}]}})
    wrong = item(0x58, struct.pack(">BBH", 2, 1, 6) + b"reader" + struct.pack(">H", 6) + b"wrong!")
    refused(server, associate_rq(ECHO, user=user_information(extra=wrong)))
    (event,) = wait_events(server, 1)
    assert event[:4] == (LOGIN_EVENT, LOGIN, "4", "TEST")
    assert "wrong!" not in server.log()


def test_AUD_03_what_a_peer_has_no_right_to_is_noted_and_tells_nothing_of_patients(start_server):
    server = start_server({"dimse": {"peers": [{"aeTitle": "READER", "rights": ["find"]}]}})
    association = Association(server, [(1, CT, [EXPLICIT]), (3, STUDY_FIND, [EXPLICIT])], calling="READER")
    ds = make(PatientName="Secret^Person", PatientID="SECRET1")
    assert association.store(ds, 1)[0x0900] == 0x0124
    association.request(3, 0x20, STUDY_FIND, keys(QueryRetrieveLevel="STUDY", PatientID="SECRET1"))
    assert association.answers(3)[-1][0][0x0900] == 0
    association.release()
    (event,) = wait_events(server, 1)
    assert event[:4] == (ALERT, RESTRICTED, "4", "READER") and "C-STORE" in event[6].upper().replace("_", "-")
    assert "Secret" not in server.log() and "SECRET1" not in server.log()


def test_MOV_16_a_destination_that_the_caller_may_not_send_to_is_0124_and_noted(start_server):
    port = free_port()
    peers = [{"aeTitle": "WARD", "destinations": ["NEAR"]}, {"aeTitle": "NOWHERE", "destinations": []},
             {"aeTitle": "NEAR", "host": "127.0.0.1", "port": port},
             {"aeTitle": "FAR", "host": "127.0.0.1", "port": free_port()}]
    server = start_server({"dimse": {"peers": peers}})
    ds = make()

    def move(calling, destination):
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])], calling=calling)
        association.request(1, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID),
                            elements={0x0600: destination})
        status = association.answers(1)[-1][0][0x0900]
        association.release()
        return status

    association = Association(server)
    assert association.store(ds)[0x0900] == 0
    association.release()
    with Receiver(port) as receiver:
        assert move("WARD", "FAR") == 0x0124
        assert move("NOWHERE", "NEAR") == 0x0124
        assert move("WARD", "UNHEARD") == 0xA801
        assert move("WARD", "NEAR") == 0 and len(receiver.stored) == 1
        assert move("ANYBODY", "NEAR") == 0
    found = wait_events(server, 2)
    assert [event[:4] for event in found] == [(ALERT, RESTRICTED, "4", "WARD"), (ALERT, RESTRICTED, "4", "NOWHERE")]


def test_TLS_03_AUD_03_failed_handshakes_are_alerts_of_node_authentication(start_server, tmp_path):
    authority, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    certificate, key = authority.issue("localhost", "server")
    stranger = other.issue("CT1")
    port = free_port()
    server = start_server({"dimse": {"tlsPort": port, "tlsCertificate": str(certificate), "tlsKey": str(key),
                                     "tlsCa": str(authority.certificate)}})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(*map(str, stranger))
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        try:
            with context.wrap_socket(sock) as secure:
                secure.sendall(associate_rq(ECHO))
                secure.recv(1)
        except (ssl.SSLError, ConnectionError):
            pass
    (event,) = wait_events(server, 1)
    assert event[:3] == (ALERT, NODE, "8") and event[3] == "" and event[6].startswith("TLS: ")


def test_AUD_03_failed_logins_and_missing_rights_by_http_are_noted(start_server, tmp_path):
    users = tmp_path / "users.json"
    digest = hashlib.sha256(b"reader-token").hexdigest()
    users.write_text(json.dumps({"users": [{"name": "reader", "rights": ["read"], "tokenSha256": digest}]}))
    server = start_server({"http": {"usersFile": str(users)}})
    studies = server.dicomweb + "/studies"
    assert requests.get(studies, headers={"Authorization": "Bearer wrong!"}, timeout=10).status_code == 401
    token = {"Authorization": "Bearer reader-token"}
    assert requests.get(studies, headers=token, timeout=10).status_code in (200, 204)
    assert requests.delete(studies + "/1.2.3", headers=token, timeout=10).status_code == 403
    login, delete = wait_events(server, 2)
    assert login[:3] == (LOGIN_EVENT, LOGIN, "4") and login[5].startswith("127.0.0.1")
    assert delete[:5] == (ALERT, RESTRICTED, "4", "", "reader")
    assert "wrong!" not in server.log()


def test_CAP_04_a_deletion_is_a_line_of_who_asked_and_what_went(start_server, tmp_path):
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"users": [{"name": "admin", "rights": ["read", "write", "delete"],
                                            "tokenSha256": hashlib.sha256(b"good").hexdigest()}]}))
    server = start_server({"log": "error"})
    first = make(PatientID="SECRET", PatientName="Geheim^Anna")
    second = make(study=first.StudyInstanceUID, PatientID="SECRET", PatientName="Geheim^Anna")
    store(server, first, second)
    assert requests.delete(url_of(server, first), timeout=60).status_code == 204
    assert requests.delete(url_of(server, first, "study"), timeout=60).status_code == 204
    assert requests.delete(url_of(server, first, "study"), timeout=60).status_code == 410
    lines = [line.split("audit audit: ")[1] for line in server.log().splitlines() if "event=110105" in line]
    study = first.StudyInstanceUID
    place = f"study={study} series={first.SeriesInstanceUID} instance={first.SOPInstanceUID}"
    nobody = 'ae="" user="" address=127.0.0.1'
    assert [line.split(" request=")[0] for line in lines] == [
        f'event=110105 type=- outcome=0 {nobody} cause="{place} count=1 deleted"',
        f'event=110105 type=- outcome=0 {nobody} cause="study={study} series=- instance=- count=1 deleted"',
        f'event=110105 type=- outcome=4 {nobody} cause="study={study} series=- instance=- count=0 gone"']
    assert "SECRET" not in server.log() and "Geheim" not in server.log()

    server = start_server({"http": {"usersFile": str(users)}})
    study = f"{server.dicomweb}/studies/{new_uid()}"
    assert requests.delete(study, headers={"Authorization": "Bearer good"}, timeout=60).status_code == 404
    assert 'event=110105 type=- outcome=4 ae="" user="admin"' in server.log()
