# SPDX-License-Identifier: MIT
"""Unified procedure steps over DIMSE (PS3.4 annex CC): what is scheduled, claimed, performed and heard of."""
import concurrent.futures
import re
import threading
import time

import pytest
import requests
from pydicom.tag import Tag
from pynetdicom import AE

from conftest import Server, free_port
from ups import (
    ASSIGNED, CANCEL_REQUESTED, FILTERED, GLOBAL, PROGRESS, PULL, PUSH, QUERY, SCP_STATUS, STATE, WATCH, Client, Watcher,
    code, dataset, item, results)
from upper_layer import EXPLICIT, Association, encode, role, user_information
from web import new_uid


@pytest.fixture(scope="module")
def ports():
    return {title: free_port() for title in ("WATCHER", "OTHER", "DEAF")}


@pytest.fixture(scope="module")
def daemon(session_folder, ports):
    peers = [{"aeTitle": title, "host": "127.0.0.1", "port": port} for title, port in ports.items()]
    peers.append({"aeTitle": "MUTE"})
    daemon = Server(session_folder / "ups", {"dimse": {"peers": peers, "connectTimeoutSeconds": 1, "forwardRetrySeconds": 0.2}}).start()
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-4000:]
    assert "Sanitizer" not in daemon.log() and "runtime error" not in daemon.log()


@pytest.fixture
def client(daemon):
    with Client(daemon) as client:
        yield client


@pytest.fixture
def watcher(daemon, ports, client):
    with Watcher(ports["WATCHER"]) as watcher:
        yield watcher
        client.unsubscribe(GLOBAL, "WATCHER")


def test_UPS_01_an_item_is_created_with_what_it_must_have(client):
    status, uid = client.create(item())
    assert status == 0
    status, got = client.get(uid)
    assert status == 0 and got.ProcedureStepState == "SCHEDULED" and got.SOPInstanceUID == uid
    assert client.create(item(), uid)[0] == 0x0111
    assert client.create(item(ProcedureStepState="IN PROGRESS"))[0] == 0xC309
    for keyword in ("ProcedureStepLabel", "ScheduledProcedureStepStartDateTime", "InputReadinessState",
                    "ScheduledProcedureStepPriority", "ProcedureStepState"):
        assert client.create(item(**{keyword: None}))[0] == 0x0120, keyword
        assert client.create(item(**{keyword: ""}))[0] == 0x0121, keyword
    # values that are spelled wrongly are put right, and what cannot be there yet is left out
    status, uid = client.create(item(ScheduledProcedureStepPriority="high"))
    assert status == 0xB300 and client.get(uid)[1].ScheduledProcedureStepPriority == "HIGH"
    ds = item()
    ds.update(results())
    status, uid = client.create(ds)
    assert status == 0xB300 and not client.get(uid)[1].UnifiedProcedureStepPerformedProcedureSequence


def test_UPS_01_HOS_18_a_data_set_that_cannot_be_read_has_the_status_of_its_operation(client):
    association, uid = client.association, client.create(item())[1]
    for elements, model, status in (({0x0002: PUSH, 0x0100: 0x0140, 0x1000: new_uid()}, PUSH, 0x0110),
                                    ({0x0003: PUSH, 0x0100: 0x0120, 0x1001: uid}, PULL, 0x0110),
                                    ({0x0003: PUSH, 0x0100: 0x0130, 0x1001: uid, 0x1008: 1}, PULL, 0x0115)):
        elements.update({0x0110: association.next_id(), 0x0800: 1})
        association.send_message(client.numbers[model], elements, b"\x08\x00\x05\x00CS\xff\xff")
        assert association.read_message()[1][0x0900] == status
    assert client.get(uid)[0] == 0


def test_UPS_02_messages_name_the_push_class_in_every_context(daemon):
    contexts = [(1, PULL, [EXPLICIT]), (3, WATCH, [EXPLICIT]), (5, PUSH, [EXPLICIT]), (7, QUERY, [EXPLICIT])]
    with Client(daemon) as client:
        uid = client.scheduled()
    association = Association(daemon, contexts)

    def ask(number, field, sop_class, **more):
        elements = {0x0003: sop_class, 0x0100: field, 0x0110: association.next_id(), 0x0800: 0x0101, 0x1001: uid}
        elements.update({int(name[1:], 16): value for name, value in more.items()})
        association.send_message(number, elements)
        return association.read_message()[1][0x0900]

    for number in (1, 3, 5):
        assert ask(number, 0x0110, PUSH) == 0
        for other in (PULL, WATCH, "1.2.840.10008.1.20.1", new_uid()):
            assert ask(number, 0x0110, other) in (0x0118, 0x0119)
    # operations and actions of other classes
    assert ask(7, 0x0110, PUSH) == 0x0118
    assert ask(5, 0x0120, PUSH) == 0x0118
    assert ask(1, 0x0130, PUSH, t1008=3) == 0x0123
    assert ask(3, 0x0130, PUSH, t1008=1) == 0x0123
    assert ask(3, 0x0130, PUSH, t1008=99) == 0x0123
    association.release()


def test_UPS_03_one_who_gives_a_transaction_uid_claims_an_item(client):
    uid, transaction = client.scheduled(), new_uid()
    assert client.change(new_uid(), "IN PROGRESS", transaction) == 0xC307
    assert client.change(uid, "IN PROGRESS") == 0xC301
    assert client.change(uid, "IN PROGRESS", transaction) == 0
    assert client.change(uid, "IN PROGRESS", transaction) == 0xC302
    assert client.change(uid, "IN PROGRESS", new_uid()) == 0xC301
    assert client.change(uid, "IN PROGRESS") == 0xC301
    assert client.completed(uid, transaction) == 0
    assert client.change(uid, "IN PROGRESS", transaction) == 0xC300
    assert client.change(uid, "IN PROGRESS", new_uid()) == 0xC300


def test_UPS_04_an_item_is_completed_or_cancelled_by_who_holds_it(client):
    uid, transaction = client.scheduled(), new_uid()
    assert client.change(uid, "COMPLETED", transaction) == 0xC310
    assert client.change(uid, "CANCELED", transaction) == 0xC310
    assert client.change(uid, "SCHEDULED", transaction) == 0xC303
    assert client.change(uid, "IN PROGRESS", transaction) == 0
    assert client.change(uid, "COMPLETED", transaction) == 0xC304
    assert client.change(uid, "COMPLETED", new_uid()) == 0xC301
    assert client.completed(uid, transaction) == 0
    assert client.change(uid, "COMPLETED", transaction) == 0xB306
    assert client.change(uid, "CANCELED", transaction) == 0xC300
    uid, transaction = client.claimed()
    assert client.change(uid, "CANCELED", transaction) == 0
    assert client.change(uid, "CANCELED", transaction) == 0xB304
    assert client.change(uid, "COMPLETED", transaction) == 0xC300
    progress, = client.get(uid)[1].ProcedureStepProgressInformationSequence
    assert progress.ProcedureStepCancellationDateTime
    assert progress.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110513"


def test_UPS_05_who_holds_an_item_changes_it_wholly_or_not_at_all(client):
    uid, transaction = client.claimed()
    assert client.set(new_uid(), dataset(ProcedureStepLabel="x")) == 0xC307
    assert client.set(uid, dataset(ProcedureStepLabel="x")) == 0xC301
    assert client.set(uid, dataset(ProcedureStepLabel="x"), new_uid()) == 0xC301
    assert client.set(uid, dataset(ProcedureStepLabel="y"), transaction) == 0
    assert client.set(uid, dataset(ProcedureStepLabel="z", ProcedureStepState="COMPLETED"), transaction) == 0x0106
    assert client.set(uid, dataset(ProcedureStepLabel="z", ScheduledProcedureStepPriority="NEVER"), transaction) == 0x0106
    assert client.get(uid)[1].ProcedureStepLabel == "y"
    assert client.set(uid, dataset(ScheduledProcedureStepPriority="low"), transaction) == 0xB305
    unknown = dataset(ProcedureStepLabel="w")
    unknown.add_new(Tag(0x00741ABC), "LO", "what")
    assert client.set(uid, unknown, transaction) == 0x0001
    got = client.get(uid)[1]
    assert got.ProcedureStepLabel == "w" and got.ScheduledProcedureStepPriority == "LOW"
    assert Tag(0x00741ABC) not in got and Tag(0x00081195) not in got
    assert client.completed(uid, transaction) == 0
    assert client.set(uid, dataset(ProcedureStepLabel="v"), transaction) == 0xC300
    # nobody holds what is scheduled
    uid = client.scheduled()
    assert client.set(uid, dataset(ProcedureStepLabel="mine")) == 0


def test_UPS_06_a_scheduled_item_is_cancelled_for_who_asks(client, watcher):
    uid = client.scheduled()
    assert client.subscribe(uid, "WATCHER") == 0
    assert client.cancel(uid, ReasonForCancellation="no need") == 0
    assert watcher.wait(3) == [(STATE, uid, "SCHEDULED"), (STATE, uid, "IN PROGRESS"), (STATE, uid, "CANCELED")]
    assert watcher.heard[-1][2].ReasonForCancellation == "no need"
    assert client.cancel(uid) == 0xB304
    assert client.cancel(new_uid()) == 0xC307
    assert client.cancel(uid, meta=WATCH) == 0xB304


def test_UPS_06_who_performs_an_item_is_asked(client, watcher):
    uid, transaction = client.claimed()
    assert client.cancel(uid) == 0xC312, "nobody would hear of it"
    assert client.subscribe(uid, "WATCHER") == 0
    assert client.cancel(uid, ReasonForCancellation="please", ContactDisplayName="Somebody") == 0
    assert watcher.wait(2) == [(STATE, uid, "IN PROGRESS"), (CANCEL_REQUESTED, uid, "")]
    assert watcher.heard[1][2].ReasonForCancellation == "please" and watcher.heard[1][2].RequestingAE == "TEST"
    assert client.completed(uid, transaction) == 0
    assert client.cancel(uid) == 0xC311


def test_UPS_07_what_is_asked_for_is_told_and_never_the_lock(client):
    uid, _ = client.claimed(PatientName="Müller^Jörg", SpecificCharacterSet="ISO_IR 100")
    for meta in (PUSH, PULL, WATCH):
        status, got = client.get(uid, meta=meta)
        assert status == 0 and got.PatientName == "Müller^Jörg" and "TransactionUID" not in got
    status, got = client.get(uid, [Tag(0x00100010), Tag(0x00741000), Tag(0x00404011)])
    assert status == 0 and got.ProcedureStepState == "IN PROGRESS" and not got.ExpectedCompletionDateTime
    assert {element.keyword for element in got} <= {
        "SpecificCharacterSet", "PatientName", "ExpectedCompletionDateTime", "ProcedureStepState"}
    status, got = client.get(uid, [Tag(0x00081195), Tag(0x00741000)])
    assert status == 0x0001 and "TransactionUID" not in got
    assert client.get(new_uid())[0] == 0xC307


@pytest.mark.parametrize("model", [PULL, WATCH, QUERY])
def test_UPS_07_items_are_found_by_their_keys(client, model):
    mark = f"L{new_uid()[-10:]}"
    first = client.scheduled(WorklistLabel=mark, ScheduledProcedureStepPriority="HIGH", AdmissionID="V1",
                             ScheduledStationNameCodeSequence=[code("S1")], ExpectedCompletionDateTime="20260103",
                             ReferencedRequestSequence=[dataset(StudyInstanceUID=new_uid(), AccessionNumber="A1",
                                                                RequestedProcedureID="R1")])
    second, _ = client.claimed(WorklistLabel=mark, ScheduledProcedureStepStartDateTime="20260205101112",
                               InputReadinessState="INCOMPLETE", PatientName="Roe^Richard",
                               ScheduledHumanPerformersSequence=[dataset(HumanPerformerCodeSequence=[code("H1")])])

    def found(**keys):
        return sorted(ds.SOPInstanceUID for ds in client.find(model, SOPInstanceUID="", WorklistLabel=mark, **keys))

    assert found() == sorted([first, second])
    for keys in ({"ScheduledProcedureStepPriority": "HIGH"}, {"ProcedureStepState": "SCHEDULED"},
                 {"ScheduledProcedureStepStartDateTime": "20260101-20260131"}, {"ExpectedCompletionDateTime": "-20260103"},
                 {"PatientName": "DOE^*"}, {"InputReadinessState": "READY"}, {"AdmissionID": "V1"},
                 {"ScheduledStationNameCodeSequence": [dataset(CodeValue="S1")]},
                 {"ReferencedRequestSequence": [dataset(AccessionNumber="A1")]},
                 {"ReferencedRequestSequence": [dataset(RequestedProcedureID="R1")]}):
        assert found(**keys) == [first], keys
    for keys in ({"ProcedureStepState": "IN PROGRESS"}, {"ScheduledProcedureStepStartDateTime": "20260201-"},
                 {"ScheduledHumanPerformersSequence": [dataset(HumanPerformerCodeSequence=[dataset(CodeValue="H1")])]}):
        assert found(**keys) == [second], keys
    assert found(ScheduledWorkitemCodeSequence=[dataset(CodeValue="W1")]) == sorted([first, second])
    assert found(ScheduledWorkitemCodeSequence=[dataset(CodeValue="W2")]) == []
    # the lock is no key
    match, = client.find(model, SOPInstanceUID=second, TransactionUID="", ProcedureStepLabel="")
    assert match.ProcedureStepLabel == "Read it" and "TransactionUID" not in match


def test_UPS_07_keys_that_are_not_supported_are_told_and_broken_ones_refused(client):
    uid = client.create(item())[1]

    def ask(keys):
        client.association.request(client.numbers[PULL], 0x0020, PULL, keys)
        return [(answer[0x0900], ds) for answer, ds in client.association.answers(client.numbers[PULL])]

    keys = dataset(SOPInstanceUID=uid, ProcedureStepState="")
    assert [status for status, _ in ask(keys)] == [0xFF00, 0]
    keys.add_new(0x00990010, "LO", "PRIVATE")
    keys.add_new(0x00991001, "LO", "nothing has it")
    (pending, match), (final, _) = ask(keys)
    assert (pending, final) == (0xFF01, 0) and match.ProcedureStepState == "SCHEDULED" and 0x00991001 not in match
    two = dataset(ScheduledWorkitemCodeSequence=[dataset(CodeValue="A"), dataset(CodeValue="B")])
    assert [status for status, _ in ask(two)] == [0xA900]


def test_UPS_08_the_state_is_heard_first(client, watcher):
    uid = client.scheduled()
    assert client.subscribe(uid, "WATCHER", lock="TRUE") == 0
    assert watcher.wait(1) == [(STATE, uid, "SCHEDULED")]
    assert client.unsubscribe(uid, "WATCHER") == 0
    assert client.subscribe(new_uid(), "WATCHER") == 0xC307
    assert client.unsubscribe(new_uid(), "WATCHER") == 0xC307
    assert client.subscribe(uid, "NOBODY") == 0xC308
    assert client.subscribe(uid, "MUTE") == 0xC315
    assert client.suspend(uid, "WATCHER") == 0xC314
    assert client.change(GLOBAL, "IN PROGRESS", new_uid()) == 0xC314
    assert client.cancel(GLOBAL) == 0xC314
    assert client.suspend(GLOBAL, "WATCHER") == 0


def test_UPS_08_a_deletion_lock_that_is_not_granted_is_told(start_server):
    port = free_port()
    daemon = start_server(settings={"dimse": {"peers": [{"aeTitle": "WATCHER", "host": "127.0.0.1", "port": port}]},
                                    "worklist": {"deletionLocks": False}})
    with Client(daemon) as client:
        uid = client.scheduled()
        assert client.subscribe(uid, "WATCHER", lock="TRUE") == 0xB301
        assert client.subscribe(uid, "WATCHER") == 0


def test_UPS_09_each_change_is_told_once_and_in_order_and_who_is_deaf_holds_nobody_up(client, watcher):
    uid = client.scheduled()
    assert client.subscribe(uid, "DEAF") == 0
    assert client.subscribe(uid, "WATCHER") == 0
    transaction = new_uid()
    assert client.change(uid, "IN PROGRESS", transaction) == 0
    for percent in ("10", "50"):
        progress = dataset(ProcedureStepProgressInformationSequence=[dataset(ProcedureStepProgress=percent)])
        assert client.set(uid, progress, transaction) == 0
    assert client.set(uid, dataset(ScheduledStationNameCodeSequence=[code("S2")]), transaction) == 0
    assert client.set(uid, dataset(ProcedureStepLabel="not told"), transaction) == 0
    assert client.completed(uid, transaction) == 0
    heard = watcher.wait(6)
    assert heard == [(STATE, uid, "SCHEDULED"), (STATE, uid, "IN PROGRESS"), (PROGRESS, uid, ""), (PROGRESS, uid, ""),
                     (ASSIGNED, uid, ""), (STATE, uid, "COMPLETED")]
    told = [ds.ProcedureStepProgressInformationSequence[0].ProcedureStepProgress
            for kind, _, ds in watcher.heard if kind == PROGRESS]
    assert told == [10, 50]
    client.unsubscribe(GLOBAL, "DEAF")


@pytest.mark.parametrize("how", [0x0110, None])
def test_UPS_09_an_event_that_is_always_refused_holds_up_no_other(client, watcher, daemon, how):
    uid, other = client.create(item())[1], client.create(item())[1]
    before = failed_events(daemon)
    watcher.unwanted[uid] = how
    assert client.subscribe(uid, "WATCHER") == 0 and client.subscribe(other, "WATCHER") == 0
    heard = watcher.wait_for((1, other, "SCHEDULED"))
    assert heard[-1] == (1, other, "SCHEDULED") and heard.count((1, uid, "SCHEDULED")) == (1 if how else 5)
    assert failed_events(daemon) == before + 1
    client.unsubscribe(uid, "WATCHER")


def failed_events(server):
    text = requests.get(server.url + "/metrics", timeout=10).text
    return float(re.search(r"^hounsfield_workitem_events_failed_total (\S+)$", text, re.M).group(1))


def test_UPS_09_UPS_10_subscriptions_outlast_a_restart_and_the_server_tells_of_itself(start_server):
    port = free_port()
    daemon = start_server(settings={"dimse": {"peers": [{"aeTitle": "WATCHER", "host": "127.0.0.1", "port": port}],
                                              "forwardRetrySeconds": 0.2}})
    with Watcher(port) as watcher:
        with Client(daemon) as client:
            assert client.subscribe(GLOBAL, "WATCHER") == 0
            uid = client.scheduled()
        assert watcher.wait(1) == [(STATE, uid, "SCHEDULED")]
        daemon.restart()
        assert watcher.wait(3)[1:] == [(SCP_STATUS, GLOBAL, "GOING DOWN"), (SCP_STATUS, GLOBAL, "RESTARTED")]
        # what happens while nobody listens is told later
        watcher.stop()
        with Client(daemon) as client:
            assert client.change(uid, "IN PROGRESS", new_uid()) == 0
        daemon.kill()
        daemon.start()
        watcher.start()
        assert watcher.wait(5)[3:] == [(STATE, uid, "IN PROGRESS"), (SCP_STATUS, GLOBAL, "RESTARTED")]


def test_UPS_10_a_subscription_to_all_ends_with_what_is_there_when_it_is_suspended(client, watcher, ports):
    uid = client.scheduled()
    with Watcher(ports["OTHER"], "OTHER") as other:
        keys = dict(ScheduledProcedureStepPriority="LOW", ScheduledWorkitemCodeSequence=[dataset(CodeValue="W9")])
        assert client.subscribe(FILTERED, "OTHER", **keys) == 0
        assert client.subscribe(GLOBAL, "WATCHER") == 0
        low = client.scheduled(ScheduledProcedureStepPriority="LOW", ScheduledWorkitemCodeSequence=[code("W9")])
        assert client.suspend(GLOBAL, "WATCHER") == 0
        late = client.scheduled()
        assert client.change(low, "IN PROGRESS", new_uid()) == 0
        assert other.wait(2) == [(STATE, low, "SCHEDULED"), (STATE, low, "IN PROGRESS")]
        heard = watcher.wait_for((STATE, low, "IN PROGRESS"))
        assert (STATE, uid, "SCHEDULED") in heard and late not in [one[1] for one in heard]
        assert heard[-2:] == [(STATE, low, "SCHEDULED"), (STATE, low, "IN PROGRESS")]
        client.unsubscribe(GLOBAL, "OTHER")


def test_UPS_11_a_final_item_stays_while_it_is_held(start_server):
    port = free_port()
    daemon = start_server(settings={"dimse": {"peers": [{"aeTitle": "WATCHER", "host": "127.0.0.1", "port": port}]},
                                    "worklist": {"keepDoneDays": 0.00001}})
    with Watcher(port):
        with Client(daemon) as client:
            uid = client.scheduled()
            assert client.subscribe(uid, "WATCHER", lock="TRUE") == 0
            assert client.cancel(uid) == 0
        daemon.restart()
        with Client(daemon) as again:
            assert again.get(uid)[0] == 0
            assert again.unsubscribe(uid, "WATCHER") == 0
        for _ in range(3):
            daemon.restart()
            with Client(daemon) as again:
                gone = again.get(uid)[0] == 0xC307
            if gone:
                break
        assert gone


def test_UPS_12_of_a_hundred_who_claim_an_item_at_once_one_gets_it(daemon, client):
    uid = client.scheduled()
    count, each = 10, 10
    barrier = threading.Barrier(count)

    def claim(_):
        association = Association(daemon, [(1, PULL, [EXPLICIT])])
        statuses = []
        barrier.wait(30)
        for _ in range(each):
            elements = {0x0003: PUSH, 0x0100: 0x0130, 0x0110: association.next_id(), 0x0800: 1, 0x1001: uid, 0x1008: 1}
            claim = dataset(ProcedureStepState="IN PROGRESS", TransactionUID=new_uid())
            association.send_message(1, elements, encode(claim, EXPLICIT))
            statuses.append(association.read_message()[1][0x0900])
        association.release()
        return statuses

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        statuses = [status for one in pool.map(claim, range(count), timeout=100) for status in one]
    assert statuses.count(0) == 1 and set(statuses) <= {0, 0xC301, 0xC302}


def test_a_foreign_client_works_an_item_off(daemon):
    ae = AE(ae_title="FOREIGN")
    for uid in (PUSH, PULL):
        ae.add_requested_context(uid)
    association = ae.associate("127.0.0.1", daemon.dimse_port, ae_title=daemon.ae_title)
    assert association.is_established

    def calmly(send, *values, **more):
        # its reactor must really stand still before it is asked for an answer
        association._reactor_checkpoint.clear()
        still = 0
        while still < 10:
            still = still + 1 if association._is_paused else 0
            time.sleep(0.02)
        return send(*values, **more)[0].Status

    uid, transaction = new_uid(), new_uid()
    assert calmly(association.send_n_create, item(), PUSH, uid) == 0
    change = dataset(ProcedureStepState="IN PROGRESS", TransactionUID=transaction)
    assert calmly(association.send_n_action, change, 1, PUSH, uid, meta_uid=PULL) == 0
    changes = results()
    changes.TransactionUID = transaction
    assert calmly(association.send_n_set, changes, PUSH, uid, meta_uid=PULL) == 0
    change.ProcedureStepState = "COMPLETED"
    assert calmly(association.send_n_action, change, 1, PUSH, uid, meta_uid=PULL) == 0
    association.release()
    with Client(daemon) as client:
        assert client.get(uid)[1].ProcedureStepState == "COMPLETED"


def test_ASC_16_the_role_of_who_sends_events_is_granted(daemon):
    uid = "1.2.840.10008.5.1.4.34.6.4"
    association = Association(daemon, [(1, uid, [EXPLICIT])], user=user_information(extra=role(uid, 1, 1)))
    content, = association.accepted.sub_items(0x54)
    assert content[-2:] == b"\x01\x01"
    # an event that nobody asked for
    elements = {0x0002: PUSH, 0x0100: 0x0100, 0x0110: 1, 0x0800: 1, 0x1000: new_uid(), 0x1002: 1}
    association.send_message(1, elements, encode(dataset(ProcedureStepState="SCHEDULED"), EXPLICIT))
    assert association.read_message()[1][0x0900] == 0x0110
    association.release()
