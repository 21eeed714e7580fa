# SPDX-License-Identifier: MIT
"""Storage Commitment Push Model (PS3.4 annex J): what is said to be kept, is; and the requester hears of it."""
import json
import os
import random
import resource
import threading
import time

import pytest
import requests
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from bounds import join_all
from conftest import free_port
from upper_layer import (
    CT, EXPLICIT, IMPLICIT, VERIFICATION, Association, decode, encode, role, store_all, user_information)
from web import make, new_uid

COMMITMENT = "1.2.840.10008.1.20.1"
INSTANCE = "1.2.840.10008.1.20.1.1"
CONTEXTS = [(1, VERIFICATION, [IMPLICIT]), (3, COMMITMENT, [EXPLICIT]), (5, CT, [EXPLICIT])]
SOON = {"dimse": {"commitmentWaitSeconds": 0, "commitmentRetrySeconds": 0.2, "connectTimeoutSeconds": 1}}
NO_SUCH_INSTANCE, CONFLICT, DAMAGED, UNSUPPORTED = 0x0112, 0x0119, 0x0110, 0x0122


def action(transaction, references):
    ds = Dataset()
    if transaction is not None:
        ds.TransactionUID = transaction
    items = []
    for sop_class, instance in references:
        one = Dataset()
        one.ReferencedSOPClassUID = sop_class
        one.ReferencedSOPInstanceUID = instance
        items.append(one)
    ds.ReferencedSOPSequence = items
    return ds


def references_of(datasets):
    return [(ds.SOPClassUID, ds.SOPInstanceUID) for ds in datasets]


def ask(association, ds, number=3, instance=INSTANCE, kind=1, syntax=EXPLICIT):
    """N-ACTION; returns the status. What else comes meanwhile is no concern of this function's callers."""
    elements = {0x0003: COMMITMENT, 0x0100: 0x0130, 0x0110: association.next_id(), 0x0800: 1, 0x1001: instance}
    content = encode(ds, syntax)
    body = dict(elements)
    body[0x1008] = kind
    association.send_message(number, body, content)
    answer = association.read_message()[1]
    assert answer[0x0100] == 0x8130 and answer[0x0120] == elements[0x0110]
    assert answer[0x0002] == COMMITMENT and answer[0x0800] == 0x0101
    return answer[0x0900]


class Report:
    def __init__(self, number, command_set, ds):
        self.number, self.command, self.ds = number, command_set, ds
        self.transaction = ds.TransactionUID
        self.kind = command_set[0x1002]
        self.held = [(one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID)
                     for one in ds.get("ReferencedSOPSequence", [])]
        self.failed = {(one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID): one.FailureReason
                       for one in ds.get("FailedSOPSequence", [])}


def hear(association, syntax=EXPLICIT, status=0, answer=True):
    """Waits for the N-EVENT-REPORT on the same association, and answers it."""
    number, got, content = association.read_message()
    assert got[0x0100] == 0x0100 and got[0x0002] == COMMITMENT and got[0x1000] == INSTANCE
    if answer:
        association.send_message(number, {0x0002: COMMITMENT, 0x0100: 0x8100, 0x0120: got[0x0110], 0x0800: 0x0101,
                                          0x0900: status, 0x1000: INSTANCE})
    return Report(number, got, decode(content, syntax))


class Requester:
    """A requester that listens for reports on associations of the server's (pynetdicom)."""

    def __init__(self, port, title="REQUESTER", status=0, as_role=True):
        self.reports, self.requests = [], []
        self.status = status
        self.ae = AE(ae_title=title)
        # the requestor of the association proposes to be SCP: we are SCU then
        if as_role:
            self.ae.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)
        else:
            self.ae.add_supported_context(COMMITMENT)
        self.scp = self.ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[
            (evt.EVT_N_EVENT_REPORT, self._report), (evt.EVT_REQUESTED, self._requested)])

    def _requested(self, event):
        primitive = event.assoc.requestor.primitive
        roles = [(one.sop_class_uid, one.scu_role, one.scp_role) for one in primitive.user_information
                 if type(one).__name__ == "SCP_SCU_RoleSelectionNegotiation"]
        self.requests.append((str(primitive.calling_ae_title).strip(), str(primitive.called_ae_title).strip(), roles))

    def _report(self, event):
        status = self.status(len(self.reports)) if callable(self.status) else self.status
        self.reports.append((event.event_type, event.event_information))
        return status, None

    def wait(self, count=1, seconds=15):
        deadline = time.monotonic() + seconds
        while len(self.reports) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.reports

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.scp.shutdown()


def start_with_requester(start_server, port, **more):
    peers = [{"aeTitle": "REQUESTER", "host": "127.0.0.1", "port": port}]
    return start_server(settings={"dimse": {**SOON["dimse"], "peers": peers, **more}})


@pytest.fixture(scope="module")
def prompt_server(session_folder):
    """One daemon for those tests that need no settings of their own but no waiting either."""
    from conftest import Server
    daemon = Server(session_folder / "commitment", SOON).start()
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-4000:]
    assert "Sanitizer" not in daemon.log() and "runtime error" not in daemon.log()


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_SCM_01_SCM_02_all_that_is_held_is_committed_on_the_same_association(prompt_server, syntax):
    server = prompt_server
    datasets = [make() for _ in range(7)]
    store_all(server, datasets)
    association = Association(server, [(3, COMMITMENT, [syntax]), (1, VERIFICATION, [IMPLICIT])])
    transaction = new_uid()
    wanted = references_of(datasets)
    random.Random(1).shuffle(wanted)
    assert ask(association, action(transaction, wanted), syntax=syntax) == 0
    report = hear(association, syntax)
    assert report.transaction == transaction and report.kind == 1
    assert sorted(report.held) == sorted(wanted) and not report.failed and "FailedSOPSequence" not in report.ds
    # exactly one: nothing more comes, and the association is of use
    assert association.is_silent(1.5)
    assert association.echo(1) == 0
    association.release()


def test_SCM_02_SCM_03_each_reference_stands_in_one_list_with_its_reason(prompt_server):
    server = prompt_server
    held, other_class, = [make() for _ in range(3)], make()
    store_all(server, held + [other_class])
    mr = "1.2.840.10008.5.1.4.1.1.4"
    missing, find = (CT, new_uid()), ("1.2.840.10008.5.1.4.1.2.2.1", new_uid())
    wrong = (mr if other_class.SOPClassUID != mr else CT, other_class.SOPInstanceUID)
    association = Association(server, CONTEXTS)
    assert ask(association, action(new_uid(), references_of(held) + [missing, wrong, find])) == 0
    report = hear(association)
    assert report.kind == 2
    assert sorted(report.held) == sorted(references_of(held))
    assert report.failed == {missing: NO_SUCH_INSTANCE, wrong: CONFLICT, find: UNSUPPORTED}
    # none held at all: no list of the held
    assert ask(association, action(new_uid(), [missing])) == 0
    report = hear(association)
    assert report.kind == 2 and not report.held and "ReferencedSOPSequence" not in report.ds
    association.release()


def test_SCM_04_damaged_bytes_are_never_committed(start_server):
    server = start_server(settings=SOON)
    whole, damaged = make(Rows=64, Columns=64), make(Rows=64, Columns=64)
    store_all(server, [whole, damaged])
    pattern = damaged.PixelData[1000:1200]
    found = 0
    for path in (server.data_dir / "segments").iterdir():
        content = path.read_bytes()
        at = content.find(pattern)
        if at >= 0:
            found += 1
            with open(path, "r+b") as segment:
                segment.seek(at)
                segment.write(bytes([content[at] ^ 1]))
    assert found == 1
    association = Association(server, CONTEXTS)
    assert ask(association, action(new_uid(), references_of([whole, damaged]))) == 0
    report = hear(association)
    assert report.held == references_of([whole])
    assert report.failed == {references_of([damaged])[0]: DAMAGED}
    association.release()


def test_SCM_05_on_an_association_of_ours_when_the_requesters_is_over(start_server):
    port = free_port()
    server = start_with_requester(start_server, port)
    datasets = [make() for _ in range(3)]
    store_all(server, datasets)
    with Requester(port) as requester:
        transaction = new_uid()
        association = Association(server, CONTEXTS, calling="REQUESTER")
        assert ask(association, action(transaction, references_of(datasets))) == 0
        association.release()
        (kind, ds), = requester.wait(1)
        assert kind == 1 and ds.TransactionUID == transaction and len(ds.ReferencedSOPSequence) == 3
        # the same titles the other way round, and the roles as well
        assert requester.requests == [("HOUNSFIELD", "REQUESTER", [(COMMITMENT, False, True)])]
        # both ways work against the same device
        association = Association(server, CONTEXTS, calling="REQUESTER")
        assert ask(association, action(new_uid(), references_of(datasets))) == 0
        assert hear(association).kind == 1
        association.release()
        time.sleep(1)
        assert len(requester.reports) == 1


def test_SCM_05_pynetdicom_as_requester_hears_on_its_own_association(prompt_server):
    server = prompt_server
    datasets = [make() for _ in range(2)]
    store_all(server, datasets)
    heard, done = [], threading.Event()

    def report(event):
        heard.append((event.event_type, event.event_information))
        done.set()
        return 0, None

    ae = AE(ae_title="REQUESTER")
    ae.add_requested_context(COMMITMENT)
    association = ae.associate("127.0.0.1", server.dimse_port, ae_title=server.ae_title,
                               evt_handlers=[(evt.EVT_N_EVENT_REPORT, report)])
    assert association.is_established
    status, _ = association.send_n_action(action(new_uid(), references_of(datasets)), 1, COMMITMENT, INSTANCE)
    assert status.Status == 0
    assert done.wait(10)
    association.release()
    assert heard[0][0] == 1 and len(heard[0][1].ReferencedSOPSequence) == 2


def test_SCM_05_roles_are_negotiated(prompt_server):
    server = prompt_server
    for scu, scp in ((1, 0), (0, 1), (1, 1)):
        association = Association(server, CONTEXTS, user=user_information(extra=role(COMMITMENT, scu, scp)))
        content, = association.accepted.sub_items(0x54)
        assert content[-2:] == bytes([scu, scp])
        # who is no SCU may not ask
        assert ask(association, action(new_uid(), [(CT, new_uid())])) == (0 if scu else 0x0118)
        if scu:
            assert hear(association).kind == 2
        association.release()
    association = Association(server, CONTEXTS, user=user_information(extra=role(COMMITMENT, 0, 1)))
    association.send_message(3, {0x0002: COMMITMENT, 0x0100: 0x0100, 0x0110: 9, 0x0800: 1, 0x1000: INSTANCE},
                             encode(action(new_uid(), [(CT, new_uid())])))
    answer = association.read_message()[1]
    assert answer[0x0100] == 0x8100 and answer[0x0120] == 9 and answer[0x0900] == 0x0110
    association.release()


def test_SCM_06_unreachable_or_unwilling_is_tried_again_and_survives_a_restart(start_server):
    port = free_port()
    server = start_with_requester(start_server, port)
    datasets = [make() for _ in range(3)]
    store_all(server, datasets)
    transaction = new_uid()
    association = Association(server, CONTEXTS, calling="REQUESTER")
    assert ask(association, action(transaction, references_of(datasets))) == 0
    association.release()
    deadline = time.monotonic() + 10
    while "commitment not reported" not in server.log() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert f"commitment not reported transaction={transaction} requester=\"REQUESTER\"" in server.log()
    server.kill()
    server.start()
    # first it answers with an error, twice
    with Requester(port, status=lambda count: 0x0110 if count < 2 else 0) as requester:
        reports = requester.wait(3, 30)
        assert [ds.TransactionUID for _, ds in reports] == [transaction] * 3
        time.sleep(1.5)
        assert len(requester.reports) == 3
    assert "commitment reported" in server.log()


def test_SCM_06_an_answer_that_comes_too_late_counts_for_nothing(start_server):
    port = free_port()
    server = start_with_requester(start_server, port, messageTimeoutSeconds=0.7)
    ds = make()
    store_all(server, [ds])
    transaction = new_uid()
    with Requester(port) as requester:
        association = Association(server, CONTEXTS, calling="REQUESTER")
        assert ask(association, action(transaction, references_of([ds]))) == 0
        report = hear(association, answer=False)  # heard, and not answered
        assert report.transaction == transaction
        (_, again), = requester.wait(1)
        assert again.TransactionUID == transaction
        association.send_message(3, {0x0002: COMMITMENT, 0x0100: 0x8100, 0x0120: report.command[0x0110], 0x0800: 0x0101,
                                     0x0900: 0, 0x1000: INSTANCE})
        assert association.echo(1) == 0
        association.release()


def test_SCM_06_an_association_that_breaks_before_its_answer(start_server):
    port = free_port()
    server = start_with_requester(start_server, port)
    ds = make()
    store_all(server, [ds])
    for end in ("abort", "reset", "release"):
        with Requester(port) as requester:
            association = Association(server, CONTEXTS, calling="REQUESTER")
            assert ask(association, action(new_uid(), references_of([ds]))) == 0
            hear(association, answer=False)
            getattr(association, end)()
            assert len(requester.wait(1)) == 1, end


@pytest.mark.parametrize("status, wrong", [
    (0x0112, {"instance": "1.2.840.10008.1.20.1.2"}),
    (0x0123, {"kind": 2}),
    (0x0115, {"ds": action(None, [(CT, "1.2.3")])}),
    (0x0115, {"ds": action("1.2.3.4", [])}),
    (0x0115, {"ds": action("1.2.3.4", [("", "1.2.3")])}),
    (0x0115, {"ds": action("1.2.3.4", [(CT, "not a UID")])}),
    (0x0213, {"ds": action("1.2.3.4", [(CT, f"1.2.{at}") for at in range(1, 20003)])}),
])
def test_SCM_07_requests_that_are_wrong_queue_nothing(prompt_server, status, wrong):
    server = prompt_server
    wrong = dict(wrong)
    association = Association(server, CONTEXTS)
    ds = wrong.pop("ds", action("1.2.3.4", [(CT, "1.2.3")]))
    assert ask(association, ds, **wrong) == status
    assert association.is_silent(0.5)
    assert association.echo(1) == 0
    association.release()


def test_SCM_07_an_action_that_cannot_be_parsed_or_has_no_data_set(prompt_server):
    server = prompt_server
    association = Association(server, CONTEXTS)
    elements = {0x0003: COMMITMENT, 0x0100: 0x0130, 0x0110: 1, 0x0800: 1, 0x1001: INSTANCE, 0x1008: 1}
    for content in (b"\x08\x00\x95\x11UI\xff\xff1.2", b"\xff" * 40, b"\x08\x00\x99\x11SQ\0\0\xff\xff\xff\xff" * 3):
        association.send_message(3, elements, content)
        assert association.read_message()[1][0x0900] == 0x0115
    elements[0x0800] = 0x0101
    association.send_message(3, elements)
    assert association.read_message()[1][0x0900] == 0x0115
    assert association.echo(1) == 0
    association.release()


def test_SCM_08_the_same_transaction_again(prompt_server):
    server = prompt_server
    datasets = [make() for _ in range(3)]
    store_all(server, datasets)
    transaction, wanted = new_uid(), references_of(datasets)
    association = Association(server, CONTEXTS)
    for attempt in range(3):  # the same list, in whatever order: reported again
        assert ask(association, action(transaction, wanted[attempt:] + wanted[:attempt])) == 0
        report = hear(association)
        assert report.transaction == transaction and sorted(report.held) == sorted(wanted)
    # another list
    assert ask(association, action(transaction, wanted[:2])) == 0x0110
    assert association.is_silent(0.5)
    # one instance twice
    assert ask(association, action(new_uid(), wanted + wanted)) == 0
    assert sorted(hear(association).held) == sorted(wanted)
    association.release()
    # another requester may use the same UID
    association = Association(server, CONTEXTS, calling="OTHER")
    assert ask(association, action(transaction, wanted[:1])) == 0
    assert hear(association).held == wanted[:1]
    association.release()


def test_SCM_09_what_has_not_arrived_is_waited_for(start_server):
    server = start_server(settings={"dimse": {"commitmentWaitSeconds": 30}})
    here, late = make(), make()
    store_all(server, [here])
    association = Association(server, CONTEXTS)
    assert ask(association, action(new_uid(), references_of([here, late]))) == 0
    assert association.is_silent(1)
    store_all(server, [late])
    report = hear(association)
    assert report.kind == 1 and len(report.held) == 2
    # the Retrieve AE Title stands in one place
    assert report.ds.RetrieveAETitle == "HOUNSFIELD"
    assert all("RetrieveAETitle" not in one for one in report.ds.ReferencedSOPSequence)
    association.release()


def test_SCM_09_after_the_time_what_is_missing_is_reported(start_server):
    server = start_server(settings={"dimse": {"commitmentWaitSeconds": 2}})
    association = Association(server, CONTEXTS)
    missing = (CT, new_uid())
    began = time.monotonic()
    assert ask(association, action(new_uid(), [missing])) == 0
    report = hear(association)
    assert time.monotonic() - began >= 2 and report.failed == {missing: NO_SUCH_INSTANCE}
    association.release()


def test_SCM_02_a_whole_study_of_thousands_in_one_transaction(prompt_server):
    server = prompt_server
    held = [make() for _ in range(20)]
    store_all(server, held)
    missing = [(CT, new_uid()) for _ in range(15000)]
    association = Association(server, CONTEXTS)
    assert ask(association, action(new_uid(), references_of(held) + missing)) == 0
    association.sock.settimeout(60)
    report = hear(association)
    assert sorted(report.held) == sorted(references_of(held)) and len(report.failed) == 15000
    association.release()


def test_SCM_01_services_go_on_while_reports_come(prompt_server):
    """Requests of the peer and reports to it cross on one association."""
    server = prompt_server
    datasets = [make() for _ in range(2)]
    store_all(server, datasets)
    association = Association(server, CONTEXTS)
    transactions = [new_uid() for _ in range(20)]
    heard, answered = [], 0
    for transaction in transactions:
        elements = {0x0003: COMMITMENT, 0x0100: 0x0130, 0x0110: association.next_id(), 0x0800: 1, 0x1001: INSTANCE,
                    0x1008: 1}
        association.send_message(3, elements, encode(action(transaction, references_of(datasets))))
    while len(heard) < 20 or answered < 20:
        number, got, content = association.read_message()
        if got[0x0100] == 0x8130:
            assert got[0x0900] == 0
            answered += 1
            continue
        heard.append(decode(content).TransactionUID)
        association.send_message(number, {0x0002: COMMITMENT, 0x0100: 0x8100, 0x0120: got[0x0110], 0x0800: 0x0101,
                                          0x0900: 0, 0x1000: INSTANCE})
    assert sorted(heard) == sorted(transactions)
    assert association.echo(1) == 0
    association.release()


def test_SCM_06_the_operator_sees_what_waits(start_server):
    import requests
    server = start_with_requester(start_server, free_port())
    association = Association(server, CONTEXTS, calling="REQUESTER")
    assert ask(association, action(new_uid(), [(CT, new_uid())])) == 0
    association.release()
    text = requests.get(server.url + "/metrics", timeout=60).text
    assert "hounsfield_commitments_waiting 1" in text


def test_STO_17_commitment_needs_its_right(start_server):
    server = start_server(settings={"dimse": {"peers": [{"aeTitle": "SENDER", "rights": ["store"]}]}})
    association = Association(server, CONTEXTS, calling="SENDER")
    assert ask(association, action(new_uid(), [(CT, new_uid())])) == 0x0124
    association.release()


def test_HOS_50_without_a_descriptor_left_the_request_is_kept_and_reported_otherwise(start_server):
    port = free_port()
    with Requester(port) as requester:
        server = start_with_requester(start_server, port)
        ds = make()
        store_all(server, [ds])
        association = Association(server, CONTEXTS, calling="REQUESTER")
        assert association.echo() == 0
        pid = server.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        assert {str(at) for at in range(12)} <= set(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (12, before[1]))
        transaction = new_uid()
        assert ask(association, action(transaction, references_of([ds]))) == 0
        assert association.echo() == 0
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        requester.wait(1)
        assert [report.TransactionUID for _, report in requester.reports] == [transaction]
        assert "ReferencedSOPSequence" in requester.reports[0][1] and "FailedSOPSequence" not in requester.reports[0][1]
        association.release()


def test_SCM_07_one_requester_leaves_room_for_others(start_server):
    """213H for who asks and asks while nobody can tell it; another is served."""
    server = start_server(settings={"dimse": {"commitmentWaitSeconds": 3600, "commitmentRetrySeconds": 3600, "peers": [
        {"aeTitle": "GREEDY"}, {"aeTitle": "MODEST"}]}})
    greedy = Association(server, CONTEXTS, calling="GREEDY")
    missing = [(CT, new_uid())]
    statuses = [ask(greedy, action(new_uid(), missing)) for _ in range(520)]
    assert statuses == [0] * 512 + [0x0213] * 8
    modest = Association(server, CONTEXTS, calling="MODEST")
    assert ask(modest, action(new_uid(), missing)) == 0


# --- over HTTP (PS3.18 13) ---

JSON = "application/dicom+json"


def by_web(server, transaction):
    return f"{server.url}/dicomweb/commitment-requests/{transaction}"


def body_of(references):
    return [{"00081199": {"vr": "SQ", "Value": [
        {"00081150": {"vr": "UI", "Value": [sop_class]}, "00081155": {"vr": "UI", "Value": [instance]}}
        for sop_class, instance in references]}}]


def post(server, transaction, references, **headers):
    return requests.post(by_web(server, transaction), data=json.dumps(body_of(references)), timeout=60,
                         headers={"Content-Type": JSON, "Accept": JSON} | headers)


def result_of(answer):
    assert answer.status_code == 200 and answer.headers["Content-Type"] == JSON
    (ds,) = answer.json()
    held = {one["00081155"]["Value"][0] for one in ds.get("00081199", {}).get("Value", [])}
    failed = {one["00081155"]["Value"][0]: one["00081197"]["Value"][0]
              for one in ds.get("00081198", {}).get("Value", [])}
    return held, failed


def settled(server, transaction, answer):
    deadline = time.monotonic() + 120
    while answer.status_code == 202:
        assert time.monotonic() < deadline, "no result of the commitment"
        assert int(answer.headers["Retry-After"]) > 0 and not answer.content
        time.sleep(0.2)
        answer = requests.get(by_web(server, transaction), headers={"Accept": JSON}, timeout=60)
    return result_of(answer)


def test_SCM_10_over_http_each_reference_stands_in_one_list_and_the_result_can_be_asked_for_again(prompt_server):
    datasets = [make(), make()]
    store_all(prompt_server, datasets)
    missing, no_class, transaction = new_uid(), new_uid(), new_uid()
    references = references_of(datasets) + [(CT, missing), ("1.2.840.10008.1.1", no_class),
                                            ("1.2.840.10008.5.1.4.1.1.4", datasets[0].SOPInstanceUID)]
    expected = ({ds.SOPInstanceUID for ds in datasets},
                {missing: NO_SUCH_INSTANCE, no_class: UNSUPPORTED, datasets[0].SOPInstanceUID: CONFLICT})
    assert settled(prompt_server, transaction, post(prompt_server, transaction, references)) == expected
    again = requests.get(by_web(prompt_server, transaction), headers={"Accept": JSON}, timeout=60)
    assert result_of(again) == expected
    assert result_of(again)[0] and again.json()[0]["00080054"]["Value"] == ["HOUNSFIELD"]


def test_SCM_10_over_http_as_xml(prompt_server):
    ds = make()
    store_all(prompt_server, [ds])
    xml = (f'<NativeDicomModel xml:space="preserve"><DicomAttribute tag="00081199" vr="SQ"><Item number="1">'
           f'<DicomAttribute tag="00081150" vr="UI"><Value number="1">{ds.SOPClassUID}</Value></DicomAttribute>'
           f'<DicomAttribute tag="00081155" vr="UI"><Value number="1">{ds.SOPInstanceUID}</Value></DicomAttribute>'
           f'</Item></DicomAttribute></NativeDicomModel>')
    answer = requests.post(by_web(prompt_server, new_uid()), data=xml, timeout=60, headers={
        "Content-Type": "application/dicom+xml", "Accept": "application/dicom+xml"})
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/dicom+xml"
    assert ds.SOPInstanceUID in answer.text and "00081199" in answer.text and "00081198" not in answer.text


def test_SCM_10_a_transaction_uid_is_used_once_and_unknown_ones_are_404(prompt_server):
    ds = make()
    store_all(prompt_server, [ds])
    transaction = new_uid()
    assert requests.get(by_web(prompt_server, transaction), timeout=60).status_code == 404
    assert post(prompt_server, transaction, references_of([ds])).status_code in (200, 202)
    assert post(prompt_server, transaction, references_of([ds])).status_code == 409
    assert post(prompt_server, transaction, [(CT, new_uid())]).status_code == 409


@pytest.mark.parametrize("body, status", [
    (b"", 400), (b"[]", 400), (b"{", 400), (b"[{}]", 400), (b"[{},{}]", 400),
    (b'[{"00081199":{"vr":"SQ","Value":[]}}]', 400), (b'[{"00081199":{"vr":"SQ","Value":[{}]}}]', 400),
    (b'[{"00081199":{"vr":"SQ","Value":[{"00081150":{"vr":"UI","Value":["x"]},"00081155":{"vr":"UI","Value":["1.2"]}}]}}]', 400),
    (json.dumps(body_of([(CT, "1.2")] * 1)).encode() + b" trailing", 400),
    (json.dumps(body_of([(CT, f"1.2.{i}") for i in range(20001)])).encode(), 413),
    (b"[" + b" " * (9 << 20) + b"]", 413),
])
def test_SCM_10_wrong_bodies_are_refused_and_use_up_nothing(prompt_server, body, status):
    transaction = new_uid()
    answer = requests.post(by_web(prompt_server, transaction), data=body, headers={"Content-Type": JSON}, timeout=60)
    assert answer.status_code == status
    assert requests.get(by_web(prompt_server, transaction), timeout=60).status_code == 404


def test_SCM_10_wrong_paths_types_and_methods(prompt_server):
    assert post(prompt_server, "1..2", [(CT, "1.2")]).status_code == 400
    assert post(prompt_server, new_uid(), [(CT, "1.2")], **{"Content-Type": "text/plain"}).status_code == 415
    transaction = new_uid()
    assert post(prompt_server, transaction, [(CT, "1.2")], Accept="image/png").status_code == 406
    assert requests.get(by_web(prompt_server, transaction), timeout=60).status_code == 404
    assert requests.delete(by_web(prompt_server, transaction), timeout=60).status_code == 405


def test_SCM_10_a_request_survives_a_restart_and_its_answer_stays_true(start_server):
    server = start_server()
    ds = make()
    store_all(server, [ds])
    transaction = new_uid()
    assert settled(server, transaction, post(server, transaction, references_of([ds]))) == ({ds.SOPInstanceUID}, {})
    server.kill()
    server.start()
    first = requests.get(by_web(server, transaction), headers={"Accept": JSON}, timeout=60)
    assert settled(server, transaction, first) == ({ds.SOPInstanceUID}, {})
    assert post(server, transaction, references_of([ds])).status_code == 409


def test_SCM_10_many_at_once_each_get_the_result_of_their_own(prompt_server):
    datasets = [make() for _ in range(16)]
    store_all(prompt_server, datasets)
    results = {}

    def one(ds):
        for _ in range(3):
            transaction = new_uid()
            answer = post(prompt_server, transaction, references_of([ds]) + [(CT, transaction)])
            results[transaction] = (ds.SOPInstanceUID, settled(prompt_server, transaction, answer))

    threads = [threading.Thread(target=one, args=(ds,), daemon=True) for ds in datasets]
    for thread in threads:
        thread.start()
    join_all(threads)
    assert len(results) == 48
    for transaction, (instance, result) in results.items():
        assert result == ({instance}, {transaction: NO_SUCH_INSTANCE})
