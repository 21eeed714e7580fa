# SPDX-License-Identifier: MIT
"""DIMSE messages in general (PS3.7), and messages that are none."""
import struct

import pytest

from upper_layer import (
    COMMAND, CT, EXPLICIT, IMPLICIT, LAST, STUDY_FIND, STUDY_MOVE, VERIFICATION, Association, Receiver, assert_aborted,
    command, data_pdu, element, encode, fragments, is_stored, keys, pdv, store_all,
)
from web import make, new_uid

ECHO = {0x0002: VERIFICATION, 0x0100: 0x30, 0x0110: 1, 0x0800: 0x0101}

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")


def grows_by_itself(server):
    """Memory that is freed is kept back for a while under the address sanitizer."""
    with open(f"/proc/{server.process.pid}/maps") as maps:
        return any("libasan" in line or "libtsan" in line for line in maps)


def memory_kib(server):
    with open(f"/proc/{server.process.pid}/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])


def test_DIM_01_ten_thousand_echoes_on_one_association_without_growth(server):
    association = Association(server)
    one = fragments(1, COMMAND, command(ECHO), 500)

    def echo(times):
        for _ in range(times):
            association.send(one)
            number, answer, data = association.read_message()
            assert (number, data) == (1, None)
        return answer

    answer = echo(1000)
    before = memory_kib(server)
    answer = echo(9000)
    assert memory_kib(server) - before < (1 << 16 if grows_by_itself(server) else 2048)
    assert {k: v for k, v in answer.items() if k} == {
        0x0002: VERIFICATION, 0x0100: 0x8030, 0x0120: 1, 0x0800: 0x0101, 0x0900: 0}
    association.release()


def test_DIM_02_command_sets_are_implicit_whatever_the_context_says(server):
    """parse_command() checks group length and order of every answer in these tests."""
    association = Association(server, [(1, STUDY_FIND, [EXPLICIT]), (3, VERIFICATION, [EXPLICIT])])
    assert association.echo(3) == 0
    association.request(1, 0x20, STUDY_FIND, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=new_uid()))
    answer, data = association.answers(1)[-1]
    assert answer[0x0800] == 0x0101 and data is None
    # any other value means that a data set follows
    content = encode(keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=new_uid()))
    for kind in (0x0000, 0x0001, 0x0102, 0xFFFF):
        association.send_message(1, {0x0002: STUDY_FIND, 0x0100: 0x20, 0x0110: 5, 0x0700: 0, 0x0800: kind}, content)
        assert association.read_message()[1][0x0900] == 0
    association.release()


def test_DIM_03_message_ids_and_uids_come_back(server):
    association = Association(server)
    for identity in (0, 65535, 7, 7, 7):
        assert association.echo(message_id=identity) == 0
    ds = make()
    answer = association.store(ds)
    assert answer[0x0002] == CT and answer[0x1000] == ds.SOPInstanceUID
    association.release()


def test_DIM_03_a_message_id_still_active_is_refused(server):
    study, series = new_uid(), new_uid()
    store_all(server, [make(study, series) for _ in range(6)])
    with Receiver(server.destination_ports["MOVEDEST2"], delay=0.1):
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT]), (3, VERIFICATION, [IMPLICIT])])
        association.request(1, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study),
                            message_id=9, elements={0x0600: "MOVEDEST2"})
        association.read_message()
        association.send_message(3, ECHO | {0x0110: 9})
        seen = []
        while not seen or seen[-1] != (0x8021, 0):
            answer = association.read_message()[1]
            assert answer[0x0120] == 9
            seen.append((answer[0x0100], answer[0x0900]))
        assert (0x8030, 0x0210) in seen
        # another id waits for its turn
        association.request(1, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study),
                            message_id=10, elements={0x0600: "MOVEDEST2"})
        association.send_message(3, ECHO | {0x0110: 11})
        while (answer := association.read_message()[1])[0x0100] == 0x8021:
            last = answer
        assert last[0x0900] == 0 and (answer[0x0120], answer[0x0900]) == (11, 0)
        association.release()


def test_DIM_04_operations_that_do_not_fit_the_context(server):
    association = Association(server, [(1, VERIFICATION, [IMPLICIT]), (3, CT, [EXPLICIT]), (5, STUDY_FIND, [EXPLICIT])])
    content = encode(make())
    cases = [
        (1, ECHO | {0x0002: CT}, None, {0x0122}),  # another SOP class than the context's
        (3, {0x0002: "1.2.840.10008.5.1.4.1.1.4", 0x1000: "1.2.3", 0x0100: 1, 0x0110: 2, 0x0800: 1}, content, {0x0122}),
        (3, {0x0002: CT, 0x0100: 0x20, 0x0110: 3, 0x0800: 1}, content, {0x0122}),  # C-FIND on a storage class
        (5, {0x0002: STUDY_FIND, 0x1000: "1.2.3", 0x0100: 1, 0x0110: 4, 0x0800: 1}, content, {0x0122}),
        (5, {0x0002: STUDY_FIND, 0x0100: 0x10, 0x0110: 5, 0x0800: 1}, content, {0x0122, 0x0211}),  # C-GET
        (3, {0x0003: CT, 0x1001: "1.2.3", 0x0100: 0x0130, 0x0110: 6, 0x0800: 0x0101}, None, {0x0211, 0x0118}),  # N-ACTION
        (1, ECHO | {0x0100: 0x7777}, None, {0x0211}),
    ]
    for number, elements, data, statuses in cases:
        association.send_message(number, elements, data)
        answer = association.read_message()[1]
        assert answer[0x0900] in statuses, elements
        assert answer[0x0120] == elements[0x0110] and answer[0x0100] == elements[0x0100] | 0x8000
    assert association.echo() == 0
    association.release()


def test_DIM_05_cancel_of_nothing_is_ignored(server):
    association = Association(server, [(1, VERIFICATION, [IMPLICIT]), (3, STUDY_FIND, [EXPLICIT])])
    identity = association.request(3, 0x20, STUDY_FIND, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=new_uid()))
    assert association.answers(3)[-1][0][0x0900] == 0
    for stale in (identity, 4711, 0):
        association.cancel(3, stale)
    assert association.echo() == 0
    association.release()


def test_DIM_05_cancel_of_a_running_operation_ends_it_with_one_answer(server):
    study, series = new_uid(), new_uid()
    store_all(server, [make(study, series) for _ in range(10)])
    with Receiver(server.destination_ports["MOVEDEST2"], delay=0.1) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT]), (3, VERIFICATION, [IMPLICIT])])
        identity = association.request(1, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study),
                                       elements={0x0600: "MOVEDEST2"})
        association.read_message()
        association.cancel(1, 4711)  # not ours: ignored
        association.cancel(1, identity)
        answer = association.answers(1)[-1][0]
        assert answer[0x0900] == 0xFE00 and answer[0x1020] > 0
        assert association.is_silent(0.3), "nothing after it"
        assert association.echo(3) == 0
        association.release()
        receiver.wait_ended()
        assert len(receiver.stored) < 10


# --- hostile messages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 43, 262144, 0xFFFFFFFF])
def test_HOS_12_pdv_lengths_that_cannot_be(server, length):
    association = Association(server)
    association.send(data_pdu(pdv(1, COMMAND | LAST, bytes(36), length)))
    assert_aborted(association, 6, 2)
    association.close()


@pytest.mark.parametrize("number", [0, 2, 7, 9, 255])
def test_HOS_12_contexts_that_were_not_accepted(server, number):
    association = Association(server, [(1, VERIFICATION, [IMPLICIT]), (7, "1.2.840.10008.5.1.1.9", [IMPLICIT])])
    association.send(fragments(number, COMMAND, command(ECHO), 500))
    assert_aborted(association, 6, 2)
    association.close()


def test_HOS_13_fragments_that_do_not_belong(server):
    ds = make()
    content = encode(ds)
    store = command({0x0002: CT, 0x1000: ds.SOPInstanceUID, 0x0100: 1, 0x0110: 1, 0x0700: 0, 0x0800: 1})
    whole = fragments(3, COMMAND, store, 500)
    cases = [
        fragments(3, 0, content, 500),  # data before any command
        fragments(1, COMMAND, command(ECHO), 500) + data_pdu(pdv(1, LAST, b"xx")),  # data that was not announced
        whole + data_pdu(pdv(3, 0, content[:50]), pdv(3, COMMAND | LAST, store)),  # a command within the data set
        whole + data_pdu(pdv(5, LAST, content)),  # another context
        data_pdu(pdv(3, COMMAND, store[:10]), pdv(5, COMMAND | LAST, store[10:])),
        data_pdu(pdv(3, COMMAND, store[:10]), pdv(3, LAST, store[10:])),
        whole + data_pdu(pdv(3, 0, content[:50])) + whole,
    ]
    for sent in cases:
        association = Association(server)
        association.send(sent)
        if sent == cases[1]:
            assert association.read_message()[1][0x0900] == 0
        assert_aborted(association, 6, 2)
        association.close()
    assert not is_stored(server, ds)
    # a second "last" is the beginning of another message, and a data fragment cannot be that
    association = Association(server)
    association.send(whole + fragments(3, 0, content, 500) + data_pdu(pdv(3, LAST, b"")))
    assert association.read_message()[1][0x0900] == 0
    assert_aborted(association, 6, 2)
    association.close()


def test_HOS_14_a_command_without_end_is_cut_off(server):
    association = Association(server)
    association.send(b"".join(data_pdu(pdv(1, COMMAND, bytes(1000))) for _ in range(65)))
    assert association.is_silent(0.2), "64 KiB are allowed"
    association.send(data_pdu(pdv(1, COMMAND, bytes(1000))))
    assert_aborted(association, 6)
    association.close()


def without(number, elements=ECHO):
    return {key: value for key, value in elements.items() if key != number}


def test_HOS_15_commands_that_are_not_as_they_must_be(server):
    explicit = struct.pack("<HH2sHI", 0, 0, b"UL", 4, 56) + struct.pack("<HH2sH", 0, 2, b"UI", 18) + b"1.2.840.10008.1.1\0"
    aborted = [
        command(without(0x0100)), command(without(0x0110)), command(without(0x0800)), b"", b"\0" * 7, explicit,
        command(ECHO)[:-1], command(ECHO) + b"\0\0", command({})[:12],
        command(ECHO)[:-6] + struct.pack("<I", 0xFFFFFFFF) + b"\0\0",
    ]
    for sent in aborted:
        association = Association(server)
        association.send(fragments(1, COMMAND, sent, 500))
        assert_aborted(association, 6)
        association.close()
    answered = [
        (command(without(0x0002)), {0x0212, 0x0117}), (command(ECHO, group_length=3), {0x0212}),
        (command(ECHO)[12:], {0x0212}), (command(ECHO) + element(0x0010, "Doe^Jane", 0x0010), {0x0212}),
        (command(ECHO | {0x0002: "letters"}), {0x0212, 0x0117, 0x0122}),
        (command(ECHO | {0x0700: b"\0\0\0\0"}), {0x0212}),
    ]
    association = Association(server)
    for sent, statuses in answered:
        association.send(fragments(1, COMMAND, sent, 500))
        answer = association.read_message()[1]
        assert answer[0x0900] in statuses and answer[0x0120] == 1 and answer[0x0100] == 0x8030
        assert len(answer.get(0x0902, "")) <= 64
    assert association.echo() == 0
    association.release()


@pytest.mark.parametrize("uid", [None, "", "1.2.letters", "../../etc/passwd", "1." + "9" * 70, "1..2", "/", "1.2\n.3"])
def test_HOS_16_store_without_a_right_instance_uid(server, uid):
    ds = make()
    elements = {0x0002: CT, 0x0100: 1, 0x0110: 1, 0x0700: 0, 0x0800: 1}
    if uid is not None:
        elements[0x1000] = uid
    association = Association(server)
    association.send_message(3, elements, encode(ds))
    assert association.read_message()[1][0x0900] in (0x0117, 0xA900)
    assert association.echo() == 0
    association.release()
    assert not is_stored(server, ds)


def test_HOS_17_answers_nobody_asked_for_and_cancels_by_the_thousand(server):
    association = Association(server)
    association.send(fragments(1, COMMAND, command({0x0002: VERIFICATION, 0x0100: 0x8030, 0x0120: 1, 0x0800: 0x0101,
                                                    0x0900: 0}), 500))
    for at in range(2000):
        association.cancel(1, at)
    assert association.echo() == 0
    association.release()
