# SPDX-License-Identifier: MIT
"""The table of peers: who may call, from where, what they may do; and how it is read again without a restart."""
import json
import signal
import socket
import threading
import time

import pytest

from bounds import join_all, until
from conftest import free_port
from upper_layer import (
    AC, CT, EXPLICIT, IMPLICIT, RJ, STUDY_FIND, STUDY_MOVE, VERIFICATION, Association, Receiver, associate_rq, encode,
    is_stored, keys, refused, store_all)
from web import make

ECHO = [(1, VERIFICATION, [IMPLICIT])]
EVERYTHING = [(1, VERIFICATION, [IMPLICIT]), (3, CT, [EXPLICIT]), (5, STUDY_FIND, [EXPLICIT]), (7, STUDY_MOVE, [EXPLICIT])]
NOT_RECOGNIZED = (RJ, (1, 1, 3))


def call(server, calling, source=None, called="HOUNSFIELD"):
    """AC, or the rejection."""
    answer = refused(server, associate_rq(ECHO, called=called, calling=calling), source)
    return answer[0] if answer and answer[0] == AC else answer


def rewrite(server, text=None, **dimse):
    """Other settings in the file, and SIGHUP; waits until the server says what it made of them."""
    before = server.log().count("settings ")
    if text is None:
        server.settings["dimse"].update(dimse)
        text = json.dumps(server.settings)
    (server.folder / "hounsfield.json").write_text(text)
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while server.log().count("settings ") == before and time.monotonic() < deadline:
        time.sleep(0.02)
    return [line for line in server.log().splitlines() if "settings " in line][-1]


def statuses(association, ds):
    """What becomes of C-ECHO, C-STORE, C-FIND and C-MOVE: their final statuses."""
    found = [association.echo(1), association.store(ds, 3)[0x0900]]
    association.request(5, 0x20, STUDY_FIND, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID))
    found.append(association.answers(5)[-1][0][0x0900])
    association.request(7, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID),
                        elements={0x0600: "NOBODY"})
    found.append(association.answers(7)[-1][0][0x0900])
    return found


def test_ASC_04_closed_by_default_beyond_the_loopback(start_server):
    peers = [{"aeTitle": "CT1"}]
    closed = start_server(settings={"bind": "0.0.0.0", "dimse": {"peers": peers}})
    assert call(closed, "STRANGER") == NOT_RECOGNIZED and call(closed, "ct1") == NOT_RECOGNIZED
    assert call(closed, "CT1") == AC
    assert "association rejected" in closed.log() and 'calling_ae="STRANGER"' in closed.log()
    trusting = start_server(settings={"bind": "0.0.0.0", "dimse": {"peers": peers, "trustNetwork": True}})
    assert call(trusting, "STRANGER") == AC and call(trusting, "CT1") == AC
    loopback = start_server(settings={"bind": "127.0.0.2", "dimse": {"peers": peers}}, wait=False)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.2", loopback.dimse_port), 1).close()
            break
        except OSError:
            time.sleep(0.02)
    with socket.create_connection(("127.0.0.2", loopback.dimse_port), 5) as sock:
        sock.sendall(associate_rq(ECHO, calling="STRANGER"))
        assert sock.recv(1) == bytes([AC])


def test_a_server_that_nobody_may_call_says_so_at_the_start_and_when_it_is_told(start_server):
    words = "nobody may call by DICOM"
    nobody = start_server(settings={"bind": "0.0.0.0", "dimse": {"peers": []}})
    assert call(nobody, "STRANGER") == NOT_RECOGNIZED
    assert nobody.log().count(words) == 1 and "dimse.peers" in nobody.log()
    rewrite(nobody, peers=[{"aeTitle": "CT1"}])
    assert call(nobody, "CT1") == AC and nobody.log().count(words) == 1
    rewrite(nobody, peers=[])
    assert nobody.log().count(words) == 2
    for dimse in ({"peers": [{"aeTitle": "CT1"}]}, {"peers": [], "trustNetwork": True}):
        assert words not in start_server(settings={"bind": "0.0.0.0", "dimse": dimse}).log()


def test_ASC_04_titles_of_the_list_and_of_the_table_may_call(start_server):
    server = start_server(settings={"bind": "0.0.0.0",
                                    "dimse": {"callingAeTitles": ["MR1"], "peers": [{"aeTitle": "CT1"}],
                                              "trustNetwork": True}})
    assert call(server, "MR1") == AC and call(server, "CT1") == AC
    assert call(server, "STRANGER") == NOT_RECOGNIZED


@pytest.mark.parametrize("bind", ["127.0.0.1", "::"])
def test_ASC_04_a_peer_with_a_host_calls_from_there_alone(start_server, bind):
    peers = [{"aeTitle": "PINNED", "host": "127.0.0.5"}, {"aeTitle": "BYNAME", "host": "localhost"},
             {"aeTitle": "LOST", "host": "no-such-host.invalid"}, {"aeTitle": "ROAMING"}]
    server = start_server(settings={"bind": bind, "dimse": {"peers": peers}})
    assert call(server, "PINNED", "127.0.0.5") == AC
    assert call(server, "PINNED", "127.0.0.6") == NOT_RECOGNIZED
    assert call(server, "BYNAME", "127.0.0.1") == AC
    assert call(server, "BYNAME", "127.0.0.6") == NOT_RECOGNIZED
    assert call(server, "LOST", "127.0.0.1") == NOT_RECOGNIZED
    assert call(server, "ROAMING", "127.0.0.7") == AC


def test_ASC_06_a_peer_has_a_limit_of_its_own(start_server):
    server = start_server(settings={"dimse": {"associationLimitPerPeer": 3,
                                              "peers": [{"aeTitle": "ONE", "maxAssociations": 1},
                                                        {"aeTitle": "MANY", "maxAssociations": 6}]}})
    held = [Association(server, ECHO, calling="ONE")]
    assert call(server, "ONE") == (RJ, (2, 3, 2))
    held += [Association(server, ECHO, calling="MANY") for _ in range(6)]
    assert call(server, "MANY") == (RJ, (2, 3, 2))
    for association in held:
        association.release()
    Association(server, ECHO, calling="ONE").release()


def test_STO_17_what_a_peer_has_no_right_to_is_refused_by_its_status(start_server):
    rights = {"NOTHING": [], "SENDER": ["store"], "READER": ["find", "move"]}
    server = start_server(settings={"dimse": {"peers": [{"aeTitle": title, "rights": right}
                                                        for title, right in rights.items()] + [{"aeTitle": "ALL"}]}})
    unauthorized, unknown_destination = 0x0124, 0xA801
    expected = {
        "NOTHING": [0, unauthorized, unauthorized, unauthorized],
        "SENDER": [0, 0, unauthorized, unauthorized],
        "READER": [0, unauthorized, 0, unknown_destination],
        "ALL": [0, 0, 0, unknown_destination],
    }
    for title, wanted in expected.items():
        ds = make()
        association = Association(server, EVERYTHING, calling=title)
        assert statuses(association, ds) == wanted, title
        association.release()
        assert is_stored(server, ds) == (wanted[1] == 0)


def test_peers_are_read_again_without_dropping_an_association(start_server):
    server = start_server(settings={"bind": "0.0.0.0", "dimse": {"peers": [{"aeTitle": "OLD"}]}})
    ds = make()
    old = Association(server, EVERYTHING, calling="OLD")
    assert call(server, "NEW") == NOT_RECOGNIZED
    port = free_port()
    with Receiver(port) as receiver:
        line = rewrite(server, peers=[{"aeTitle": "NEW", "rights": ["store"]},
                                      {"aeTitle": "DEST", "host": "127.0.0.1", "port": port}])
        assert "settings reloaded peers=2" in line
        # what is open goes on as it began
        assert statuses(old, ds) == [0, 0, 0, 0xA801]
        old.release()
        assert call(server, "OLD") == NOT_RECOGNIZED
        new = Association(server, EVERYTHING, calling="NEW")
        assert statuses(new, ds) == [0, 0, 0x0124, 0x0124]
        new.release()
        mover = Association(server, EVERYTHING, calling="DEST")
        mover.request(7, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID),
                      elements={0x0600: "DEST"})
        assert mover.answers(7)[-1][0][0x0900] == 0
        mover.release()
        assert [str(got.command[0x1000]) for got in receiver.stored] == [ds.SOPInstanceUID]


@pytest.mark.parametrize("wrong, why", [
    ("{ this is no JSON", "not JSON"),
    ('{"dimse": {"peers": [{"aeTitle": "A", "host": "x", "port": 0}]}}', "port takes 1 to 65535"),
    ('{"dimse": {"peers": [{"aeTitle": "A", "port": 104}]}}', "has no host"),
    ('{"dimse": {"peers": [{"aeTitle": "A", "rights": ["write"]}]}}', "rights takes"),
    ('{"dimse": {"peers": [{"aeTitle": "A"}, {"aeTitle": "A"}]}}', "given twice"),
    ('{"dimse": {"peers": [{"host": "x"}]}}', "no aeTitle"),
    ('{"dimse": {"peers": [{"aeTitle": "A", "colour": "red"}]}}', 'unknown key'),
])
def test_wrong_settings_change_nothing_and_say_why(start_server, wrong, why):
    server = start_server(settings={"bind": "0.0.0.0", "dimse": {"peers": [{"aeTitle": "OLD"}]}})
    line = rewrite(server, wrong)
    assert "settings not reloaded" in line and why in line, line
    assert call(server, "OLD") == AC and call(server, "NEW") == NOT_RECOGNIZED
    assert "reloaded peers=1" in rewrite(server, peers=[{"aeTitle": "NEW"}])
    assert call(server, "OLD") == NOT_RECOGNIZED and call(server, "NEW") == AC


def test_a_storm_of_reloads_disturbs_nobody(start_server):
    server = start_server(settings={"dimse": {"peers": [{"aeTitle": "OLD"}]}})
    failures, stop = [], threading.Event()

    def work(calling):
        try:
            while not stop.is_set():
                store_all(server, [make()], calling=calling)
        except BaseException as failure:  # pylint: disable=broad-except
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(calling,), daemon=True) for calling in ("OLD", "ANYBODY", "OTHER")]
    for thread in threads:
        thread.start()
    for at in range(40):
        server.settings["dimse"]["peers"] = [{"aeTitle": f"P{i}", "host": "127.0.0.1"} for i in range(at)]
        (server.folder / "hounsfield.json").write_text(json.dumps(server.settings))
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.02)
    stop.set()
    join_all(threads)
    assert not failures, failures
    assert server.alive()


def test_MOV_04_a_peer_that_nothing_is_sent_to_is_no_destination(start_server):
    server = start_server(settings={"dimse": {"peers": [{"aeTitle": "CT1", "host": "127.0.0.1"}]}})
    association = Association(server, EVERYTHING)
    association.request(7, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3"),
                        elements={0x0600: "CT1"})
    assert association.answers(7)[-1][0][0x0900] == 0xA801
    association.release()


def test_a_title_with_spaces_is_one_value_of_a_line_of_the_log(start_server):
    server = start_server()
    store_all(server, [make()], calling="A status=FFFF")
    until(lambda: 'calling_ae="A status=FFFF"' in server.log(), "the line")
    assert "calling_ae=A" not in server.log()
