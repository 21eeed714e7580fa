# SPDX-License-Identifier: MIT
"""Associations: PS3.8 and PS3.7 annex D as seen by a peer, and by one that breaks every rule."""
import collections
import os
import random
import resource
import socket
import struct
import threading
import time

import pytest
import requests
from pydicom.dataset import Dataset

from bounds import join_all
from upper_layer import (
    AC, ABORT, BIG_ENDIAN, COMMAND, CT, DATA, EXPLICIT, IMPLICIT, JPEG, LAST, RELEASE_RP, RELEASE_RQ, RJ,
    RQ, STUDY_FIND, STUDY_MOVE, VERIFICATION, Accepted, Association, Receiver, Wire, assert_aborted, associate_rq,
    command, data_pdu, dial, encode, fragments, is_stored, item, keys, max_length, parse_command, pdu, pdv,
    proposed, refused, role, store_all, user_information)
from web import make, new_uid

ECHO = [(1, VERIFICATION, [IMPLICIT])]
ECHO_COMMAND = command({0x0002: VERIFICATION, 0x0100: 0x30, 0x0110: 1, 0x0800: 0x0101})
PRINT = "1.2.840.10008.5.1.1.9"  # known, and not a service here


def request(contexts=ECHO, **more):
    return associate_rq(contexts, **more)


def is_alive(server):
    association = Association(server)
    assert association.echo() == 0
    association.release()
    return True


# --- negotiation -----------------------------------------------------------------------------------------------------


def test_ASC_01_accept_repeats_titles_and_says_what_we_are(server):
    reserved = bytes(range(32))
    with dial(server) as wire:
        sent = request(called=server.ae_title, calling="ANY CALLER", reserved=reserved)
        wire.send(sent)
        kind, body = wire.read()
    assert kind == AC
    accepted = Accepted(body)
    assert accepted.version & 1
    assert body[4:68] == sent[10:74]
    assert accepted.application_context == "1.2.840.10008.3.1.1.1"
    assert accepted.contexts == {1: (0, [IMPLICIT])}
    assert struct.unpack(">I", accepted.sub_items(0x51)[0])[0] == 262144
    assert len(accepted.sub_items(0x52)) == 1 and accepted.sub_items(0x52)[0].startswith(b"2.25.")
    assert 1 <= len(accepted.sub_items(0x55)[0]) <= 16


def test_ASC_02_wrong_application_context_is_rejected_and_the_server_waits_for_the_close(start_server):
    server = start_server(settings={"dimse": {"artimTimeoutSeconds": 0.5}})
    with dial(server) as wire:
        wire.send(request(context="1.2.840.10008.3.1.1.2"))
        assert wire.read() == (RJ, b"\0\1\1\2")
        began = time.monotonic()
        assert wire.is_silent(0.2)
        assert wire.is_closed()
        assert 0.3 < time.monotonic() - began
    assert refused(server, request(context="")) == (RJ, (1, 1, 2))


def test_ASC_03_called_ae_title(server, start_server):
    assert refused(server, request(called="SOMEBODY")) == (RJ, (1, 1, 7))
    assert refused(server, request(called=server.ae_title.lower())) == (RJ, (1, 1, 7))
    assert refused(server, request(called=" " * 16)) == (RJ, (1, 1, 7))
    for padded in (b"  HOUNSFIELD".ljust(16), b"HOUNSFIELD".rjust(16)):
        with dial(server) as wire:
            wire.send(request(called=padded))
            assert wire.read()[0] == AC
    any_title = start_server(settings={"dimse": {"acceptAnyCalledAe": True}})
    association = Association(any_title, ECHO, called="SOMEBODY")
    assert association.echo() == 0
    association.release()


def test_ASC_04_calling_ae_title_not_in_the_list(start_server):
    server = start_server(settings={"dimse": {"callingAeTitles": ["CT1", "MR 2"]}})
    assert refused(server, request(calling="CT3")) == (RJ, (1, 1, 3))
    assert refused(server, request(calling="ct1")) == (RJ, (1, 1, 3))
    for caller in ("CT1", " MR 2"):
        Association(server, ECHO, calling=caller).release()


def test_ASC_05_protocol_version_bit_zero(server):
    for version in (0, 2, 0xFFFE):
        assert refused(server, request(version=version)) == (RJ, (1, 2, 2))
    for version in (1, 3, 0xFFFF):
        association = Association(server, ECHO, version=version)
        assert association.accepted.version & 1
        association.release()


def test_ASC_06_above_the_limits_transient_rejections_and_no_lasting_harm(start_server):
    server = start_server(settings={"dimse": {"associationLimit": 3, "associationLimitPerPeer": 2}})
    held = [Association(server, ECHO) for _ in range(2)]
    assert refused(server, request()) == (RJ, (2, 3, 2))
    held.append(Association(server, ECHO, source="127.0.0.2"))
    assert refused(server, request(), source="127.0.0.3") == (RJ, (2, 3, 1))
    assert all(association.echo() == 0 for association in held)
    held.pop(0).release()
    deadline = time.monotonic() + 5
    while refused(server, request())  != (AC, (1, 0, 0)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for association in held:
        association.release()


def test_ASC_07_every_presentation_context_is_answered(server):
    contexts = [(number, VERIFICATION, [IMPLICIT]) for number in range(1, 256, 2)]
    association = Association(server, contexts)
    assert association.accepted.contexts == {number: (0, [IMPLICIT]) for number in range(1, 256, 2)}
    assert association.echo(255) == 0
    association.release()
    mixed = [(1, PRINT, [IMPLICIT]), (3, VERIFICATION, [JPEG]), (5, CT, ["not.a.uid"])]
    association = Association(server, mixed)
    results = {number: result for number, (result, _) in association.accepted.contexts.items()}
    assert results == {1: 3, 3: 4, 5: 4}
    association.release()


def test_ASC_08_choice_of_transfer_syntax_and_parallel_contexts(server):
    several = [
        (1, CT, [IMPLICIT, BIG_ENDIAN, JPEG, EXPLICIT]), (3, CT, [BIG_ENDIAN, IMPLICIT]), (5, CT, [BIG_ENDIAN]),
        (7, STUDY_FIND, [IMPLICIT, EXPLICIT]), (9, STUDY_FIND, [IMPLICIT]), (11, CT, [EXPLICIT]),
        (13, CT, ["1.2.826.0.1.3680043.2.1143.7.7"]),
    ]
    association = Association(server, several)
    chosen = {number: syntaxes for number, (result, syntaxes) in association.accepted.contexts.items() if result == 0}
    assert chosen == {1: [JPEG], 3: [IMPLICIT], 5: [BIG_ENDIAN], 7: [EXPLICIT], 9: [IMPLICIT], 11: [EXPLICIT],
                      13: ["1.2.826.0.1.3680043.2.1143.7.7"]}
    for number in (3, 5, 11, 3):
        assert association.store(make(), number)[0x0900] == 0
    for number in (7, 9):
        association.request(number, 0x20, STUDY_FIND, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=new_uid()))
        assert [answer[0x0900] for answer, _ in association.answers(number)] == [0]
    association.release()


@pytest.mark.parametrize("announced", [4096, 16384, 131072, 0])
def test_ASC_09_no_pdu_longer_than_the_peer_announced(server, announced):
    ds = make(Rows=256, Columns=256)
    store_all(server, [ds])
    with Receiver(server.destination_ports["MOVEDEST1"], length=announced) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])], user=user_information(announced))
        association.request(1, 0x21, STUDY_MOVE,
                            keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID),
                            elements={0x0600: "MOVEDEST1"})
        assert association.answers(1)[-1][0][0x0900] == 0
        association.release()
        assert len(receiver.stored) == 1
        assert receiver.longest <= (announced or 1 << 20)
        assert receiver.longest > min(announced or 1 << 17, 1 << 17) // 2  # what may be filled is filled
    assert association.longest <= (announced or 1 << 20)


def test_ASC_09_a_pdu_longer_than_we_announced_is_aborted(server):
    association = Association(server)
    association.send(pdu(DATA, pdv(1, COMMAND | LAST, b"", 262140), 262145))
    assert_aborted(association, 6)
    association.close()
    assert is_alive(server)


def test_ASC_10_any_cut_of_a_message_is_the_same_message(server):
    ds = make()
    association = Association(server)
    content = encode(ds)
    elements = command({0x0002: CT, 0x1000: ds.SOPInstanceUID, 0x0100: 1, 0x0110: 1, 0x0700: 0, 0x0800: 1})
    half = len(content) // 2
    cuts = [
        # two bytes a fragment, an empty one before each, and the last flag on an empty one
        b"".join(data_pdu(pdv(3, COMMAND), pdv(3, COMMAND, elements[at:at + 2])) for at in range(0, len(elements), 2))
        + data_pdu(pdv(3, COMMAND | LAST)) + data_pdu(pdv(3, 0)) + data_pdu(pdv(3, 0, content)) + data_pdu(pdv(3, LAST)),
        # everything in one PDU, reserved bits of the control header set
        data_pdu(pdv(3, 0xF0 | COMMAND, elements[:10]), pdv(3, 0xFC | COMMAND | LAST, elements[10:]),
                 pdv(3, 0xA8, content[:half]), pdv(3, 0x54 | LAST, content[half:])),
        # the end of the command and the beginning of the data set in one PDU
        data_pdu(pdv(3, COMMAND, elements[:20])) + data_pdu(pdv(3, COMMAND | LAST, elements[20:]), pdv(3, 0, content[:9]))
        + data_pdu(pdv(3, LAST, content[9:])),
        # odd fragments
        fragments(3, COMMAND, elements, 7) + fragments(3, 0, content, 333),
    ]
    for cut in cuts:
        association.send(cut)
        answer = association.read_message()[1]
        assert answer[0x0900] == 0 and answer[0x1000] == ds.SOPInstanceUID
    # and two messages in one PDU
    association.send(data_pdu(pdv(1, COMMAND | LAST, ECHO_COMMAND), pdv(1, COMMAND | LAST, ECHO_COMMAND)))
    for _ in range(2):
        assert association.read_message()[1][0x0100] == 0x8030
    association.release()


def test_ASC_11_unknown_items_any_order_and_reserved_bytes(server):
    unknown = item(0x99, b"whatever") + item(0x00, b"") + item(0xFF, bytes(300))
    user = item(0x50, item(0x55, "LATE") + unknown + item(0x53, b"\0\1\0\1") + item(0x52, "1.2.3") + max_length(16384)
                + item(0x58, b"\1\0\0\3abc\0\0"))
    association = Association(server, [proposed(1, VERIFICATION, [IMPLICIT], reserved=0xEE)], user=user,
                              reserved=b"\xff" * 32, extra=item(0x66, b"later edition"))
    assert association.echo() == 0
    assert association.accepted.sub_items(0x53) == [b"\0\1\0\1"] and not association.accepted.sub_items(0x59)
    association.release()


def test_ASC_12_release_is_confirmed_and_the_close_is_left_to_us(start_server):
    server = start_server(settings={"dimse": {"artimTimeoutSeconds": 0.5}})
    association = Association(server, ECHO)
    assert association.echo() == 0
    association.send(pdu(RELEASE_RQ, bytes(4)))
    assert association.read() == (RELEASE_RP, bytes(4))
    assert association.is_silent(0.2)
    assert association.is_closed()


def test_ASC_12_release_collision(server):
    ds = make()
    store_all(server, [ds])
    with Receiver(server.destination_ports["MOVEDEST1"], collide=True) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])])
        association.request(1, 0x21, STUDY_MOVE,
                            keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID),
                            elements={0x0600: "MOVEDEST1"})
        assert association.answers(1)[-1][0][0x0900] == 0
        association.release()
        assert receiver.wait_ended() == ["collided"]


def test_ASC_12_release_while_an_operation_runs_ends_it(server):
    study, series = new_uid(), new_uid()
    store_all(server, [make(study, series, InstanceNumber=i) for i in range(12)])
    with Receiver(server.destination_ports["MOVEDEST2"], delay=0.1) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])])
        association.request(1, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study),
                            elements={0x0600: "MOVEDEST2"})
        association.read_message()
        association.send(pdu(RELEASE_RQ, bytes(4)))
        while (answer := association.read())[0] == DATA:
            last = parse_command(answer[1][6:])
        assert answer == (RELEASE_RP, bytes(4))
        assert last[0x0900] == 0xFE00
        receiver.wait_ended()
        assert len(receiver.stored) < 12
    association.close()


def test_ASC_13_abort_at_any_moment_leaves_nothing(server):
    ds = make()
    content = encode(ds)
    elements = command({0x0002: CT, 0x1000: ds.SOPInstanceUID, 0x0100: 1, 0x0110: 1, 0x0700: 0, 0x0800: 1})
    moments = [
        b"", fragments(1, COMMAND, ECHO_COMMAND, 500), data_pdu(pdv(3, COMMAND, elements[:20])),
        fragments(3, COMMAND, elements, 500),
        fragments(3, COMMAND, elements, 500) + data_pdu(pdv(3, 0, content[:100])),
    ]
    for sent in moments:
        association = Association(server)
        association.send(sent)
        if sent == moments[1]:
            association.read_message()
        association.send(pdu(ABORT, bytes(4)))
        assert association.is_closed(), "no PDU is sent back"
        association.close()
    assert not is_stored(server, ds)


def test_ASC_13_abort_stops_running_sub_operations(server):
    study, series = new_uid(), new_uid()
    store_all(server, [make(study, series, InstanceNumber=i) for i in range(12)])
    with Receiver(server.destination_ports["MOVEDEST2"], delay=0.1) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])])
        association.request(1, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study),
                            elements={0x0600: "MOVEDEST2"})
        association.read_message()
        association.abort()
        assert receiver.wait_ended() and len(receiver.stored) < 12


@pytest.mark.parametrize("kind, body, reasons", [
    (RQ, request()[6:], (2,)), (AC, request()[6:], (2,)), (RJ, bytes(4), (2,)), (RELEASE_RP, bytes(4), (2,)),
    (0, bytes(4), (1,)), (8, bytes(4), (1,)), (0x47, bytes(4), (1,)),
    (RELEASE_RQ, bytes(3), (6,)), (DATA, bytes(5), (6,)), (DATA, pdv(1, 3, b"", 1), (6,)),
])
def test_ASC_14_unexpected_unknown_and_malformed_pdus(server, kind, body, reasons):
    association = Association(server)
    association.send(pdu(kind, body))
    assert_aborted(association, *reasons)
    association.close()


@pytest.mark.parametrize("kind, reason", [(AC, 2), (RJ, 2), (DATA, 2), (RELEASE_RQ, 2), (RELEASE_RP, 2), (0x99, 1)])
def test_ASC_14_the_same_before_the_association(server, kind, reason):
    with dial(server) as wire:
        wire.send(pdu(kind, bytes(80) if kind in (AC, DATA) else bytes(4)))
        assert_aborted(wire, reason)
    with dial(server) as wire:
        wire.send(pdu(ABORT, bytes(4)))
        assert wire.is_closed()


def test_ASC_15_silence_idleness_and_half_messages_end_in_time(start_server):
    server = start_server(settings={"dimse": {"artimTimeoutSeconds": 0.3, "idleTimeoutSeconds": 0.5,
                                              "messageTimeoutSeconds": 0.4}})
    silent, idle, half = dial(server), Association(server), Association(server)
    trickle = Association(server)
    began = time.monotonic()
    half.send(data_pdu(pdv(1, COMMAND, ECHO_COMMAND[:30])))
    assert silent.is_closed(), "no PDU on ARTIM"
    assert 0.2 < time.monotonic() - began
    assert_aborted(half)
    assert_aborted(idle)
    # crumbs do not keep a message alive
    trickle.send(struct.pack(">BBI", DATA, 0, 200))
    with pytest.raises((BrokenPipeError, ConnectionResetError, TimeoutError, AssertionError)):
        for _ in range(190):  # of 200
            trickle.send(b"\0")
            time.sleep(0.05)
            trickle.sock.setblocking(False)
            try:
                assert not trickle.sock.recv(10)
            except BlockingIOError:
                pass
            trickle.sock.setblocking(True)


def test_ASC_16_roles_are_answered_for_who_proposed_them(server):
    roles = role(CT, 0, 1) + role(VERIFICATION, 1, 1) + role("1.2.840.10008.5.1.4.1.1.4", 1, 1)
    association = Association(server, [(1, CT, [EXPLICIT]), (3, VERIFICATION, [IMPLICIT]), (5, STUDY_FIND, [EXPLICIT])],
                              user=user_information(extra=roles))
    answered = {}
    for content in association.accepted.sub_items(0x54):
        size = struct.unpack_from(">H", content)[0]
        answered[content[2:2 + size].decode()] = (content[2 + size], content[3 + size])
    assert answered == {CT: (0, 1), VERIFICATION: (1, 0)}
    association.release()
    association = Association(server)
    assert not association.accepted.sub_items(0x54)
    association.release()


def window(invoked, performed):
    return item(0x53, struct.pack(">HH", invoked, performed))


def test_ASC_17_no_more_operations_are_granted_than_offered(start_server):
    server = start_server(settings={"dimse": {"async": 5, "peers": [{"aeTitle": "BUSY", "async": 9}]}})
    for calling, offered, granted in (("TEST", (0, 0), (5, 1)), ("TEST", (3, 7), (3, 1)), ("TEST", (5, 1), (5, 1)),
                                      ("TEST", (65535, 65535), (5, 1)), ("TEST", (1, 1), (1, 1)),
                                      ("BUSY", (0, 0), (9, 1)), ("BUSY", (4, 1), (4, 1))):
        association = Association(server, ECHO, calling=calling, user=user_information(extra=window(*offered)))
        assert association.accepted.sub_items(0x53) == [struct.pack(">HH", *granted)]
        association.release()
    association = Association(server, ECHO)
    assert not association.accepted.sub_items(0x53)
    association.release()


def test_ASC_17_the_window_is_served_each_answer_with_its_message_id(server):
    association = Association(server, [(1, VERIFICATION, [IMPLICIT]), (3, CT, [EXPLICIT])],
                              user=user_information(extra=window(16, 1)))
    datasets = [make() for _ in range(16)]
    wanted = {}
    for number, ds in enumerate(datasets, 100):
        wanted[number] = (0x8001, ds.SOPInstanceUID)
        association.send_message(3, {0x0002: CT, 0x1000: ds.SOPInstanceUID, 0x0100: 1, 0x0110: number, 0x0700: 0,
                                     0x0800: 1}, encode(ds))
    got = {}
    for _ in datasets:
        answer = association.read_message()[1]
        assert answer[0x0900] == 0 and answer[0x0120] not in got
        got[answer[0x0120]] = (answer[0x0100], answer[0x1000])
    assert got == wanted
    assert all(is_stored(server, ds) for ds in datasets)
    association.release()


def test_ASC_17_operations_wait_behind_a_long_one_and_a_cancel_overtakes_them(start_server):
    server = start_server()
    study, series = new_uid(), new_uid()
    store_all(server, [make(study=study, series=series, InstanceNumber=at) for at in range(60)])
    contexts = [(1, VERIFICATION, [IMPLICIT]), (3, STUDY_MOVE, [EXPLICIT]), (5, STUDY_FIND, [EXPLICIT])]
    association = Association(server, contexts, user=user_information(extra=window(8, 1)))
    with Receiver(server.destination_ports["MOVEDEST1"], delay=0.05):
        moving = association.request(3, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study),
                                     elements={0x0600: "MOVEDEST1"})
        finding = association.request(5, 0x20, STUDY_FIND,
                                      keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study, PatientID=""))
        echoing = association.next_id()
        association.send_message(1, {0x0002: VERIFICATION, 0x0100: 0x30, 0x0110: echoing, 0x0800: 0x0101})
        # the same Message ID as one that waits
        association.send_message(1, {0x0002: VERIFICATION, 0x0100: 0x30, 0x0110: finding, 0x0800: 0x0101})
        time.sleep(0.5)
        association.cancel(3, moving)
        finals = []
        while len(finals) < 4:
            answer = association.read_message()[1]
            if answer[0x0900] & 0xFF00 != 0xFF00:
                finals.append((answer[0x0120], answer[0x0900]))
    assert set(finals[:2]) == {(finding, 0x0210), (moving, 0xFE00)}
    assert finals[2:] == [(finding, 0), (echoing, 0)]
    association.release()


def identity(kind, primary=b"", secondary=b"", answer=1):
    return item(0x58, bytes([kind, answer]) + struct.pack(">H", len(primary)) + primary
                + struct.pack(">H", len(secondary)) + secondary)


USERS = [{"name": "reader", "passcode": "s3cret", "rights": ["find"]}, {"name": "open"}]
REFUSED = (RJ, (1, 2, 1))


def test_ASC_20_user_identities_are_checked_and_answered(start_server):
    server = start_server(settings={"dimse": {"users": USERS}})

    def call(extra):
        return refused(server, request(user=user_information(extra=extra)))

    for good in (identity(2, b"reader", b"s3cret"), identity(1, b"open"), identity(2, b"open", b"whatever")):
        association = Association(server, ECHO, user=user_information(extra=good))
        assert association.accepted.sub_items(0x59) == [b"\0\0"]
        assert association.echo() == 0
        association.release()
    # no answer where none is asked for
    association = Association(server, ECHO, user=user_information(extra=identity(2, b"reader", b"s3cret", 0)))
    assert not association.accepted.sub_items(0x59)
    association.release()
    for bad in (identity(2, b"reader", b"wrong!"), identity(2, b"reader", b"s3cre"), identity(2, b"reader", b"s3cret7"),
                identity(2, b"reader"), identity(1, b"reader"), identity(1, b"nobody"), identity(1, b""),
                identity(1, b"open\0x"), identity(1, b"x" * 60000), identity(3, b"kerberos ticket"),
                identity(4, b"<saml/>"), identity(5, b"a.b.c"), identity(5, b"a.b.c", answer=0), identity(77, b"x")):
        assert call(bad) == REFUSED, bad[:40]
    assert call(b"")[0] == AC
    assert "s3cret" not in server.log() and "wrong!" not in server.log()
    assert "user=reader" in server.log()


def test_ASC_20_who_must_give_an_identity(start_server):
    server = start_server(settings={"dimse": {"users": USERS, "requireUser": True}})
    assert refused(server, request()) == REFUSED
    assert refused(server, request(user=user_information(extra=identity(1, b"open"))))[0] == AC


def test_ASC_20_without_users_identities_are_not_looked_at(server):
    for kind in (1, 2, 3, 4, 5):
        association = Association(server, ECHO, user=user_information(extra=identity(kind, b"anybody", b"x")))
        assert not association.accepted.sub_items(0x59)
        association.release()


def test_ASC_20_rights_are_those_of_the_peer_and_of_the_user(start_server):
    server = start_server(settings={"dimse": {"users": USERS, "peers": [{"aeTitle": "SENDER", "rights": ["store"]}]}})
    contexts = [(1, CT, [EXPLICIT]), (3, STUDY_FIND, [EXPLICIT])]
    for calling, name, passcode, store, find in (("TEST", b"reader", b"s3cret", 0x0124, 0), ("TEST", b"open", b"", 0, 0),
                                                 ("SENDER", b"reader", b"s3cret", 0x0124, 0x0124),
                                                 ("SENDER", b"open", b"", 0, 0x0124)):
        association = Association(server, contexts, calling=calling,
                                  user=user_information(extra=identity(2, name, passcode)))
        assert association.store(make(), 1)[0x0900] == store
        association.request(3, 0x20, STUDY_FIND, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3"))
        assert association.answers(3)[-1][0][0x0900] == find
        association.release()


def extended(uid, information):
    return item(0x56, struct.pack(">H", len(uid)) + uid.encode() + information)


def common(uid, service, related=b""):
    return item(0x57, struct.pack(">H", len(uid)) + uid.encode() + struct.pack(">H", len(service)) + service.encode()
                + struct.pack(">H", len(related)) + related)


def agreed(association):
    """{SOP class: bytes} of the 56H items of an answer."""
    found = {}
    for content in association.accepted.sub_items(0x56):
        size = struct.unpack_from(">H", content)[0]
        assert content[2:2 + size].decode() not in found
        found[content[2:2 + size].decode()] = content[2 + size:]
    return found


def test_ASC_18_extended_negotiation_is_answered_as_it_was_offered(server):
    contexts = [(1, CT, [EXPLICIT]), (3, STUDY_FIND, [EXPLICIT]), (5, STUDY_MOVE, [EXPLICIT]), (7, VERIFICATION, [IMPLICIT])]
    association = Association(server, contexts)
    assert not agreed(association)
    association.release()
    for size in (1, 2, 3, 5, 6, 9):
        offered = b"".join(extended(uid, b"\1" * size) for uid in (CT, STUDY_FIND, STUDY_MOVE, VERIFICATION))
        offered += extended("1.2.840.10008.5.1.4.1.1.4", b"\1" * size)  # in no context
        association = Association(server, contexts, user=user_information(extra=offered))
        answer = agreed(association)
        assert set(answer) == {CT, STUDY_FIND, STUDY_MOVE}
        assert all(len(one) <= size for one in answer.values())
        # storage: level 2, signatures are kept (3), nothing is coerced (PS3.4 B.3.1)
        assert answer[CT] == bytes([2, 0, 3, 0, 0, 0])[:size]
        assert set(answer[STUDY_FIND] + answer[STUDY_MOVE]) <= {0, 1}
        assert association.echo(7) == 0
        association.release()
        # what was offered as 0 is not used
        offered = extended(STUDY_FIND, b"\0" * size)
        association = Association(server, contexts, user=user_information(extra=offered))
        assert set(agreed(association)[STUDY_FIND]) == {0}
        association.release()


def test_STO_15_the_declared_level_is_true_for_signed_instances(server):
    ds = make()
    signature = Dataset()
    signature.MACIDNumber = 1
    signature.DigitalSignatureUID = new_uid()
    signature.DigitalSignatureDateTime = "20240101"
    signature.CertificateType = "X509_1993_SIG"
    signature.CertificateOfSigner = bytes(range(200))
    signature.Signature = bytes(reversed(range(128)))
    ds.DigitalSignaturesSequence = [signature]
    association = Association(server, [(1, CT, [EXPLICIT])], user=user_information(extra=extended(CT, bytes(6))))
    assert agreed(association)[CT] == bytes([2, 0, 3, 0, 0, 0])
    ds.SOPClassUID = CT
    content = encode(ds)
    assert association.store(ds, 1)[0x0900] == 0
    association.release()
    url = f"{server.dicomweb}/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    got = requests.get(url, headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}, timeout=60)
    assert got.status_code == 200 and content in got.content


def test_ASC_19_common_extended_negotiation_names_an_unknown_storage_class(server):
    unknown, other = new_uid(), new_uid()
    contexts = [(1, unknown, [EXPLICIT]), (3, other, [EXPLICIT])]
    user = user_information(extra=common(unknown, "1.2.840.10008.4.2", b"\0\5" + b"1.2.3")
                            + common(other, "1.2.840.10008.4.1"))
    association = Association(server, contexts, user=user)
    assert association.accepted.contexts[1][0] == 0 and association.accepted.contexts[3][0] == 3
    assert not association.accepted.sub_items(0x57)
    ds = make()
    ds.SOPClassUID = unknown
    assert association.store(ds, 1)[0x0900] == 0
    association.release()
    assert is_stored(server, ds)


# --- hostile peers ---------------------------------------------------------------------------------------------------


def test_HOS_01_silent_and_dripping_newcomers_are_closed_without_a_word(start_server):
    server = start_server(settings={"dimse": {"artimTimeoutSeconds": 0.6}})
    silent = [dial(server) for _ in range(30)]
    dripping = dial(server)
    for byte in request()[:4]:
        dripping.send(bytes([byte]))
        time.sleep(0.1)
    assert is_alive(server), "others are served meanwhile"
    with pytest.raises((BrokenPipeError, ConnectionResetError)):  # ARTIM is for the whole request
        for byte in request()[4:]:
            dripping.send(bytes([byte]))
            time.sleep(0.1)
    for wire in silent:
        assert wire.is_closed()
        wire.close()


def test_HOS_02_pdus_cut_anywhere(server):
    ds = make(Rows=4, Columns=4)
    whole = request(contexts=[(1, CT, [EXPLICIT])])
    message = fragments(1, COMMAND, command({0x0002: CT, 0x1000: ds.SOPInstanceUID, 0x0100: 1, 0x0110: 1, 0x0700: 0,
                                             0x0800: 1}), 500) + fragments(1, 0, encode(ds), 500)
    for size in list(range(0, 80)) + list(range(80, len(whole), 9)):
        wire = dial(server)
        wire.send(whole[:size])
        if size % 2:
            wire.reset()
            continue
        wire.sock.shutdown(socket.SHUT_WR)
        assert wire.is_closed()
        wire.close()
    for size in list(range(0, 20)) + list(range(20, len(message) - 1, 37)):
        association = Association(server, [(1, CT, [EXPLICIT])])
        association.send(message[:size])
        if size % 2:
            association.reset()
            continue
        association.sock.shutdown(socket.SHUT_WR)
        assert association.is_closed()
        association.close()
    assert not is_stored(server, ds)


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 262145, 1 << 20])
def test_HOS_03_giant_lengths_are_refused_at_once(server, length):
    association = Association(server)
    association.send(struct.pack(">BBI", DATA, 0, length))
    assert_aborted(association, 6, 0)
    association.close()
    if length > 600000:
        with dial(server) as wire:
            wire.send(struct.pack(">BBI", RQ, 0, length))
            assert_aborted(wire, 6, 0)


def test_HOS_04_lengths_that_cannot_be(server):
    for length in (0, 1, 4, 67):
        with dial(server) as wire:
            wire.send(pdu(RQ, bytes(length)))
            assert_aborted(wire, 6)
    for length in range(6):
        association = Association(server)
        association.send(pdu(DATA, bytes(length)))
        assert_aborted(association, 6)
        association.close()
    for kind in (RELEASE_RQ, ABORT):
        for length in (0, 3, 5, 1000):
            association = Association(server)
            association.send(pdu(kind, bytes(length)))
            if kind == ABORT:
                assert association.is_closed()
            else:
                assert_aborted(association, 6)
            association.close()


def test_HOS_05_other_protocols_on_the_dicom_port(server):
    generator = random.Random(5)
    for greeting in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
                     b"\x0bMSH|^~\\&|\r\x1c\r", b"\xff" + generator.randbytes(200)):
        with dial(server) as wire:
            wire.send(greeting)
            answer = wire.read()
            assert answer is None or (answer[0] == ABORT and answer[1] == b"\0\0\2\1")
    assert is_alive(server)


def test_HOS_06_association_items_that_do_not_fit(server):
    good = proposed(1, VERIFICATION, [IMPLICIT])
    wrong = [
        dict(contexts=[item(0x20, b"\1\0\0\0", 500)]),  # overruns the PDU
        dict(contexts=[item(0x20, b"\1\0\0\0" + item(0x30, VERIFICATION, 400))]),  # overruns its item
        dict(contexts=[item(0x20, b"")]), dict(contexts=[item(0x20, b"\1\0\0")]),
        dict(contexts=[good], extra=item(0x10, "1.2.840.10008.3.1.1.1")),  # twice
        dict(contexts=[good], user=item(0x50, max_length(16384) * 2)),
        dict(contexts=[good], user=item(0x50, item(0x51, b"\0\1"))),
        dict(contexts=[good], user=item(0x50, item(0x51, b"", 4))),
        dict(contexts=[good], user=user_information() * 2),
        dict(contexts=[good], user=user_information() + b"\x50"),
        dict(contexts=[good], user=user_information(extra=item(0x54, b"\xff\xff1.2\1\1"))),
    ]
    for more in wrong:
        with dial(server) as wire:
            wire.send(request(**more))
            answer = wire.read()
            assert answer in ((ABORT, b"\0\0\2\6"), (RJ, b"\0\1\2\1")), more
    assert is_alive(server)


def test_HOS_07_context_lists_that_cannot_be(server):
    fatal = [
        [], [(number, VERIFICATION, [IMPLICIT]) for number in range(1, 256, 2)] + [(1, VERIFICATION, [IMPLICIT])],
        [(2, VERIFICATION, [IMPLICIT])], [(0, VERIFICATION, [IMPLICIT])],
        [(1, VERIFICATION, [IMPLICIT]), (1, CT, [EXPLICIT])],
    ]
    for contexts in fatal:
        with dial(server) as wire:
            wire.send(request(contexts))
            assert wire.read() == (ABORT, b"\0\0\2\6")
    nameless = item(0x20, b"\1\0\0\0" + item(0x40, IMPLICIT))
    bare = item(0x20, b"\3\0\0\0" + item(0x30, VERIFICATION))
    long = proposed(5, CT, ["1.2.3.%d" % i for i in range(3000)])
    association = Association(server, [nameless, bare, long, (7, VERIFICATION, [IMPLICIT])])
    results = {number: result for number, (result, _) in association.accepted.contexts.items()}
    assert results == {1: 3, 3: 4, 5: 0, 7: 0}
    assert association.echo(7) == 0
    association.send(fragments(3, COMMAND, ECHO_COMMAND, 500))
    assert_aborted(association, 6)
    association.close()


@pytest.mark.parametrize("uid", ["1." + "2" * 63, "1." * 2000, "1." + "3" * 65000, "", "letters", "1.2.\0.4", "1..2",
                                 "../../etc/passwd", " "])
def test_HOS_09_malformed_uids_fail_their_context(server, uid):
    abstract, syntax = proposed(1, uid, [IMPLICIT]), proposed(3, VERIFICATION, [uid[:60000]])
    association = Association(server, [abstract, syntax, (5, VERIFICATION, [IMPLICIT])])
    results = {number: result for number, (result, _) in association.accepted.contexts.items()}
    assert results[1] in (3, 4) and results[3] == 4 and results[5] == 0
    assert association.echo(5) == 0
    association.release()


def test_HOS_10_a_crowd_at_once(start_server):
    server = start_server(settings={"dimse": {"associationLimit": 20, "associationLimitPerPeer": 8,
                                              "artimTimeoutSeconds": 2}})
    answers, lock = [], threading.Lock()

    def storm(source):
        wires = []
        for _ in range(150):
            wire = dial(server, source)
            wire.send(request())
            wires.append(wire)
        for wire in wires:
            answer = wire.read()
            with lock:
                answers.append(None if answer is None else (answer[0], answer[1][1:4] if answer[0] == RJ else b""))
        time.sleep(0.2)
        for wire in wires:
            wire.close()

    sources = [f"127.0.0.{i}" for i in range(2, 8)]
    threads = [threading.Thread(target=storm, args=(source,), daemon=True) for source in sources]
    for thread in threads:
        thread.start()
    join_all(threads)
    accepted = sum(answer == (AC, b"") for answer in answers)
    rejected = sum(answer in ((RJ, b"\2\3\1"), (RJ, b"\2\3\2")) for answer in answers)
    assert len(answers) == 900 and accepted + rejected == 900, set(answers)
    assert accepted >= 20
    deadline = time.monotonic() + 10
    while True:
        try:
            assert is_alive(server)
            break
        except AssertionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_HOS_10_ten_thousand_associations_at_once_by_default_limits(start_server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(10000, hard - 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 1000), hard))
    server = start_server(settings={"dimse": {"peers": [{"aeTitle": "MODALITY"}]}})
    quiet = Association(server, ECHO, source="127.0.0.99")
    threads = len(os.listdir(f"/proc/{server.process.pid}/task"))
    wires, answers = [], collections.Counter()
    try:
        for at in range(count):
            wires.append(dial(server, "127.0.0.2" if at % 2 else f"127.0.0.{3 + at % 7}"))
            wires[-1].send(request())
        assert quiet.echo() == 0
        for wire in wires:
            kind, body = wire.read()
            answers[(kind, body[1:4] if kind == RJ else b"")] += 1
        known = Association(server, ECHO, calling="MODALITY", source="127.0.0.77")
        assert known.echo() == 0 and quiet.echo() == 0
        known.release()
        quiet.release()
    finally:
        for wire in wires:
            wire.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert answers[(AC, b"")] == 255 and sum(answers.values()) == count
    assert set(answers) == {(AC, b""), (RJ, b"\2\3\1"), (RJ, b"\2\3\2")}
    deadline = time.monotonic() + 30
    while len(os.listdir(f"/proc/{server.process.pid}/task")) > threads + 2:
        assert time.monotonic() < deadline, "threads come back"
        time.sleep(0.05)
    assert is_alive(server)


def test_HOS_10_one_crowding_address_leaves_room_for_others(start_server):
    server = start_server(settings={"dimse": {"associationLimit": 20, "associationLimitPerPeer": 4}})
    held = [Association(server, ECHO) for _ in range(4)]
    silent = [dial(server) for _ in range(100)]
    assert refused(server, request()) == (RJ, (2, 3, 2))
    other = Association(server, ECHO, source="127.0.0.9")
    assert other.echo() == 0
    other.release()
    for wire in held + silent:
        wire.close()


def test_HOS_10_places_are_kept_for_our_own_peers(start_server):
    server = start_server(settings={"dimse": {"associationLimit": 3, "associationLimitPerPeer": 3,
                                              "peers": [{"aeTitle": "MODALITY"}]}})
    held = [Association(server, ECHO) for _ in range(3)]
    assert refused(server, request(), source="127.0.0.2") == (RJ, (2, 3, 1))
    known = Association(server, ECHO, calling="MODALITY", source="127.0.0.2")
    assert known.echo() == 0
    known.release()
    for association in held:
        association.release()


def test_HOS_11_a_peer_that_never_reads_is_given_up(start_server):
    server = start_server(settings={"dimse": {"messageTimeoutSeconds": 0.5}})
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", server.dimse_port))
    wire = Wire(sock)
    wire.send(request())
    assert wire.read()[0] == AC
    flood = fragments(1, COMMAND, ECHO_COMMAND, 500) * 200
    deadline = time.monotonic() + 15
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        while time.monotonic() < deadline:
            wire.send(flood)
    wire.close()
    assert is_alive(server)


def test_ASC_01_ipv6_and_ipv4_on_one_port(start_server):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    server = start_server(settings={"bind": "::", "dimse": {"trustNetwork": True}})
    assert is_alive(server)
    with Wire(socket.create_connection(("::1", server.dimse_port), 5)) as wire:
        wire.send(request())
        assert wire.read()[0] == AC


def test_ASC_12_an_orderly_stop_ends_idle_associations_and_lets_messages_end(start_server):
    server = start_server()
    idle, busy = Association(server), Association(server)
    ds = make()
    content = encode(ds)
    busy.send(fragments(3, COMMAND, command({0x0002: CT, 0x1000: ds.SOPInstanceUID, 0x0100: 1, 0x0110: 1, 0x0700: 0,
                                             0x0800: 1}), 500) + data_pdu(pdv(3, 0, content[:100])))
    time.sleep(0.1)
    stopping = threading.Thread(target=server.stop, daemon=True)
    stopping.start()
    assert_aborted(idle, 0)
    with pytest.raises(OSError):
        dial(server)
    busy.send(data_pdu(pdv(3, LAST, content[100:])))
    assert busy.read_message()[1][0x0900] == 0
    assert_aborted(busy, 0)
    stopping.join(10)
    assert not server.alive()
    server.start()
    assert is_stored(server, ds)
