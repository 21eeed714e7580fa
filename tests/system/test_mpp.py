# SPDX-License-Identifier: MIT
"""Modality performed procedure step (PS3.4 annex F)."""
import struct
import time

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from test_mwl import WORKLIST, ask, entry, ids, order, query, token
from upper_layer import EXPLICIT, IMPLICIT, Association, decode, encode
from web import make, new_uid, store

MPPS = "1.2.840.10008.3.1.2.3.3"
RETRIEVE = "1.2.840.10008.3.1.2.3.4"
CREATE, SET, GET = 0x0140, 0x0120, 0x0110
STEP_UID = 0x1000

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")


def performed(*references, **attributes):
    """What a modality says when it begins; without references: of what was not scheduled."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName, ds.PatientID = "Doe^Jane", "M" + token()
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.ReferencedPatientSequence = Sequence([])
    items = []
    for reference in references or [{}]:
        item = Dataset()
        item.StudyInstanceUID = reference.get("study", new_uid())
        item.ReferencedStudySequence = Sequence([])
        item.AccessionNumber = reference.get("accession", "")
        item.RequestedProcedureID = reference.get("procedure", "")
        item.RequestedProcedureDescription = ""
        item.ScheduledProcedureStepID = reference.get("step", "")
        item.ScheduledProcedureStepDescription = ""
        item.ScheduledProtocolCodeSequence = Sequence([])
        items.append(item)
    ds.ScheduledStepAttributesSequence = Sequence(items)
    ds.PerformedProcedureStepID, ds.PerformedStationAETitle = "PPS" + token()[:6], "CT1"
    ds.PerformedStationName = ds.PerformedLocation = ""
    ds.PerformedProcedureStepStartDate, ds.PerformedProcedureStepStartTime = "20260102", "101500"
    ds.PerformedProcedureStepStatus = "IN PROGRESS"
    ds.PerformedProcedureStepDescription = ds.PerformedProcedureTypeDescription = ""
    ds.ProcedureCodeSequence = Sequence([])
    ds.PerformedProcedureStepEndDate = ds.PerformedProcedureStepEndTime = ""
    ds.Modality, ds.StudyID = "CT", ""
    ds.PerformedProtocolCodeSequence, ds.PerformedSeriesSequence = Sequence([]), Sequence([])
    ds.PerformedProcedureStepDiscontinuationReasonCodeSequence = Sequence([])
    for keyword, value in attributes.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    return ds


def ending(status="COMPLETED", **attributes):
    ds, series = Dataset(), Dataset()
    ds.PerformedProcedureStepStatus = status
    ds.PerformedProcedureStepEndDate, ds.PerformedProcedureStepEndTime = "20260102", "103000"
    series.SeriesInstanceUID, series.ProtocolName, series.SeriesDescription = new_uid(), "Head", "Axial"
    series.PerformingPhysicianName = series.OperatorsName = series.RetrieveAETitle = ""
    series.ReferencedImageSequence = series.ReferencedNonImageCompositeSOPInstanceSequence = Sequence([])
    ds.PerformedSeriesSequence = Sequence([series])
    for keyword, value in attributes.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    return ds


class Modality:
    """An association for performed steps."""

    def __init__(self, server, syntax=EXPLICIT, calling="CT1"):
        self.association = Association(server, [(1, MPPS, [syntax]), (3, RETRIEVE, [syntax])], calling=calling)
        self.syntax = syntax

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.association.release()

    def _ask(self, number, elements, ds=None):
        elements = dict(elements)
        elements[0x0110] = self.association.next_id()
        elements[0x0800] = 0x0101 if ds is None else 1
        self.association.send_message(number, elements, None if ds is None else encode(ds, self.syntax))
        _, answer, content = self.association.read_message()
        return answer, None if content is None else decode(content, self.syntax)

    def create(self, ds, uid=None):
        elements = {0x0002: MPPS, 0x0100: CREATE}
        if uid:
            elements[STEP_UID] = uid
        answer, _ = self._ask(1, elements, ds)
        return answer

    def begin(self, ds):
        uid = new_uid()
        assert self.create(ds, uid)[0x0900] == 0
        return uid

    def set(self, uid, ds):
        return self._ask(1, {0x0003: MPPS, 0x1001: uid, 0x0100: SET}, ds)[0]

    def get(self, uid, *tags):
        elements = {0x0003: MPPS, 0x1001: uid, 0x0100: GET}
        if tags:
            elements[0x1005] = b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)
        return self._ask(3, elements)


@pytest.fixture
def modality(server):
    with Modality(server) as modality:
        yield modality


def planned(server, **attributes):
    """One order: what a performed step refers to it by, and its key."""
    ds = entry(**attributes)
    made = order(server, ds)
    step = made["entry"]["00400100"]["Value"][0]
    return {"study": made["entry"]["0020000D"]["Value"][0], "accession": ds.AccessionNumber,
            "procedure": made["entry"]["00401001"]["Value"][0], "step": step["00400009"]["Value"][0],
            "key": made["key"], "patient": ds.PatientID}


def state(server, plan):
    answer = requests.get(f"{server.url}{WORKLIST}/{plan['key']}", timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["state"]


def test_MPP_01_a_step_is_created_under_its_uid_or_one_of_ours(server):
    for syntax in (EXPLICIT, IMPLICIT):
        with Modality(server, syntax) as modality:
            uid = new_uid()
            answer = modality.create(performed(), uid)
            assert answer[0x0900] == 0 and answer[STEP_UID] == uid and answer[0x0002] == MPPS
            answer = modality.create(performed())
            assert answer[0x0900] == 0 and answer[STEP_UID] and answer[STEP_UID] != uid
            assert modality.get(answer[STEP_UID])[0][0x0900] == 0


def test_MPP_02_what_cannot_be_a_new_step_is_refused(server, modality):
    for status in ("COMPLETED", "DISCONTINUED", "BEGUN"):
        answer = modality.create(performed(PerformedProcedureStepStatus=status), new_uid())
        assert answer[0x0900] == 0x0106, status
    for keyword in ("ScheduledStepAttributesSequence", "PerformedProcedureStepID", "PerformedStationAETitle",
                    "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime",
                    "PerformedProcedureStepStatus", "Modality"):
        uid = new_uid()
        assert modality.create(performed(**{keyword: None}), uid)[0x0900] == 0x0120, keyword
        assert modality.get(uid)[0][0x0900] == 0x0112, "nothing was created"
        if keyword != "ScheduledStepAttributesSequence":
            assert modality.create(performed(**{keyword: ""}), uid)[0x0900] == 0x0121, keyword
    assert "status=0121 attribute=00080060 " in server.log(), "the log says which"
    ds = performed()
    del ds.ScheduledStepAttributesSequence[0].StudyInstanceUID
    assert modality.create(ds, new_uid())[0x0900] == 0x0120
    uid = modality.begin(performed())
    assert modality.create(performed(), uid)[0x0900] == 0x0111


def test_MPP_02_HOS_18_a_data_set_that_cannot_be_read_is_a_processing_failure(modality):
    association, uid = modality.association, modality.begin(performed())
    for elements in ({0x0002: MPPS, 0x0100: CREATE, STEP_UID: new_uid()}, {0x0003: MPPS, 0x0100: SET, 0x1001: uid}):
        elements.update({0x0110: association.next_id(), 0x0800: 1})
        association.send_message(1, elements, b"\x08\x00\x05\x00CS\xff\xff")
        assert association.read_message()[1][0x0900] == 0x0110
    assert modality.set(uid, ending())[0x0900] == 0


@pytest.mark.parametrize("status", ["COMPLETED", "DISCONTINUED"])
def test_MPP_03_a_final_state_needs_its_attributes_and_ends_the_scheduled_step(server, modality, status):
    plan = planned(server)
    uid = modality.begin(performed(plan))
    assert state(server, plan) == "STARTED"
    for keyword, value in (("PerformedProcedureStepEndDate", None), ("PerformedProcedureStepEndTime", None),
                           ("PerformedProcedureStepEndTime", ""), ("PerformedSeriesSequence", None),
                           ("PerformedSeriesSequence", Sequence([]))):
        answer = modality.set(uid, ending(status, **{keyword: value}))
        assert answer[0x0900] in (0x0110, 0x0121), keyword
        got = modality.get(uid)[1]
        assert got.PerformedProcedureStepStatus == "IN PROGRESS" and not got.PerformedSeriesSequence
    assert state(server, plan) == "STARTED"
    assert modality.set(uid, ending(status))[0x0900] == 0
    got = modality.get(uid)[1]
    assert got.PerformedProcedureStepStatus == status and got.PerformedSeriesSequence[0].ProtocolName == "Head"
    assert state(server, plan) == status
    assert ids(server, query(dict(PatientID=plan["patient"]))) == []


def test_MPP_04_a_final_step_is_no_longer_changed(modality):
    uid = modality.begin(performed())
    end = ending()
    assert modality.set(uid, end)[0x0900] == 0
    before = modality.get(uid)[1]
    for change in (end, ending("DISCONTINUED"), Dataset()):
        answer = modality.set(uid, change)
        assert answer[0x0900] == 0x0110 and answer[0x0903] == 0xA710
        assert "no longer be updated" in answer[0x0902]
    assert modality.get(uid)[1] == before


def test_MPP_05_what_is_set_must_be_there_and_is_set_whole_or_not_at_all(modality):
    assert modality.set(new_uid(), ending())[0x0900] == 0x0112
    uid = modality.begin(performed())
    change = Dataset()
    change.PerformedProcedureStepDescription = "Head"
    assert modality.set(uid, change)[0x0900] == 0
    for keyword, value in (("PatientName", "Other^Name"), ("PerformedStationAETitle", "X"), ("StudyID", "1"),
                           ("PerformedProcedureStepStartDate", "20260103"), ("BodyPartExamined", "HEAD"),
                           ("CommentsOnThePerformedProcedureStep", "was not created")):
        change = Dataset()
        change.PerformedProcedureStepDescription = "Changed"
        setattr(change, keyword, value)
        assert modality.set(uid, change)[0x0900] in (0x0105, 0x0106), keyword
        got = modality.get(uid)[1]
        assert got.PerformedProcedureStepDescription == "Head" and got.PatientName == "Doe^Jane"
    change = Dataset()
    change.PerformedProcedureStepStatus = "PAUSED"
    assert modality.set(uid, change)[0x0900] == 0x0106
    first, second = ending("IN PROGRESS"), ending("IN PROGRESS")
    first.PerformedSeriesSequence = Sequence([first.PerformedSeriesSequence[0], second.PerformedSeriesSequence[0]])
    assert modality.set(uid, first)[0x0900] == 0 and len(modality.get(uid)[1].PerformedSeriesSequence) == 2
    assert modality.set(uid, second)[0x0900] == 0
    assert [series.SeriesInstanceUID for series in modality.get(uid)[1].PerformedSeriesSequence] == [
        second.PerformedSeriesSequence[0].SeriesInstanceUID]


def test_MPP_06_what_was_not_scheduled_is_performed_all_the_same(modality):
    uid = modality.begin(performed())
    assert modality.set(uid, ending())[0x0900] == 0
    uid = modality.begin(performed(ScheduledStepAttributesSequence=Sequence([])))
    assert modality.set(uid, ending("DISCONTINUED"))[0x0900] == 0


def test_MPP_06_two_steps_of_one_order_are_told_apart(server, modality):
    patient, accession = "W" + token(), "A" + token()
    steps = [entry(PatientID=patient, AccessionNumber=accession, ScheduledProcedureStepID=name,
                   RequestedProcedureID="R" + accession[:8]) for name in ("ONE", "TWO")]
    made = order(server, *steps)
    study = made["entry"]["0020000D"]["Value"][0]

    def states():
        found = requests.get(server.url + WORKLIST, params={"AccessionNumber": accession, "all": "true"}, timeout=30).json()
        return {one["entry"]["00400100"]["Value"][0]["00400009"]["Value"][0]: one["state"] for one in found}

    assert states() == {"ONE": "SCHEDULED", "TWO": "SCHEDULED"}
    uid = modality.begin(performed(dict(study=study, accession=accession, step="TWO")))
    assert states() == {"ONE": "SCHEDULED", "TWO": "STARTED"}
    assert modality.set(uid, ending())[0x0900] == 0
    assert states() == {"ONE": "SCHEDULED", "TWO": "COMPLETED"}
    uid = modality.begin(performed(dict(study=study, accession=accession, step="ONE")))
    again = modality.begin(performed(dict(study=study, accession=accession, step="ONE")))
    assert modality.set(uid, ending())[0x0900] == 0
    assert states()["ONE"] == "STARTED", "something is still performed of it"
    assert modality.set(again, ending("DISCONTINUED"))[0x0900] == 0
    assert states()["ONE"] == "COMPLETED"


def test_MPP_06_one_step_for_several_orders_and_an_own_study_uid(server, modality):
    plans = [planned(server), planned(server), planned(server)]
    # the third is only known by its accession number: the modality made a study of its own
    uid = modality.begin(performed(plans[0], plans[1], dict(plans[2], study=new_uid())))
    assert [state(server, plan) for plan in plans] == ["STARTED"] * 3
    answer = requests.get(f"{server.url}{WORKLIST}/{plans[1]['key']}", timeout=30).json()
    assert answer["performedSteps"] == [uid] and answer["started"]
    assert modality.set(uid, ending())[0x0900] == 0
    assert [state(server, plan) for plan in plans] == ["COMPLETED"] * 3


def test_MWL_06_a_step_that_was_started_leaves_the_list_within_a_second_and_can_be_asked_for(server, modality):
    plan = planned(server)
    patient = dict(PatientID=plan["patient"])
    assert ids(server, query(patient)) == [plan["patient"]]
    uid = modality.begin(performed(plan))
    began = time.monotonic()
    assert ids(server, query(patient)) == []
    assert time.monotonic() - began < 30  # at once, but for a slow machine
    assert ids(server, query(patient, ScheduledProcedureStepStatus="STARTED")) == [plan["patient"]]
    assert ids(server, query(patient, ScheduledProcedureStepStatus="SCHEDULED")) == []
    modality.set(uid, ending())
    assert ids(server, query(patient, ScheduledProcedureStepStatus="STARTED")) == []
    assert ids(server, query(patient, ScheduledProcedureStepStatus="COMPLETED")) == [plan["patient"]]


@pytest.mark.parametrize("charset, name", [
    ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
    ("GB18030", "Wang^XiaoDong=王^小东"),
    ("ISO_IR 100", "Buc^Jérôme"),
    ("ISO_IR 126", "Διονυσιος"),
    ("ISO_IR 144", "Люкceмбypг"),
    ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
])
def test_MPP_07_names_of_all_sets_are_kept_as_they_are(modality, charset, name):
    ds = performed(PatientName=name)
    ds.SpecificCharacterSet = charset.split("\\")
    uid = modality.begin(ds)
    got = modality.get(uid)[1]
    got.decode()
    assert str(got.PatientName) == name


def test_MPP_07_a_name_in_a_set_that_nobody_knows_is_refused(server, modality):
    ds = performed()
    content = encode(ds, EXPLICIT).replace(b"ISO_IR 192", b"ISO_IR 999").replace(b"Doe^Jane", b"D\xf6e^J\xe4ne")
    association = modality.association
    association.send_message(1, {0x0002: MPPS, 0x0100: CREATE, 0x1000: new_uid(), 0x0110: association.next_id(), 0x0800: 1},
                             content)
    assert association.read_message()[1][0x0900] == 0x0106


def test_MPP_08_attributes_are_retrieved_as_they_are_asked_for(modality):
    uid = modality.begin(performed(PatientName="Roe^Jim"))
    answer, got = modality.get(uid)
    assert answer[0x0900] == 0 and got.PatientName == "Roe^Jim" and got.PerformedStationAETitle == "CT1"
    answer, got = modality.get(uid, 0x00100010, 0x00400252)
    assert answer[0x0900] == 0
    assert (got.PatientName, got.PerformedProcedureStepStatus) == ("Roe^Jim", "IN PROGRESS") and "Modality" not in got
    answer, got = modality.get(uid, 0x00100010, 0x00090001 - 1)
    assert answer[0x0900] in (0, 0x0001) and got.PatientName == "Roe^Jim"
    answer, got = modality.get(uid, 0x00100010, 0x0012FFF1)
    assert answer[0x0900] == 0x0001 and got.PatientName == "Roe^Jim"
    assert modality.get(new_uid())[0][0x0900] == 0x0112


def test_MPP_survives_a_kill(start_server):
    server = start_server()
    plan = planned(server)
    with Modality(server) as modality:
        uid = modality.begin(performed(plan))
        done = modality.begin(performed())
        assert modality.set(done, ending())[0x0900] == 0
    server.kill()
    server.start()
    assert state(server, plan) == "STARTED"
    with Modality(server) as modality:
        assert modality.get(uid)[1].PerformedProcedureStepStatus == "IN PROGRESS"
        assert modality.get(done)[1].PerformedProcedureStepStatus == "COMPLETED"
        assert modality.set(uid, ending())[0x0900] == 0
    assert state(server, plan) == "COMPLETED"


def test_MPP_foreign_client_pynetdicom(server):
    pynetdicom = pytest.importorskip("pynetdicom")
    plan = planned(server)
    ae = pynetdicom.AE()
    ae.add_requested_context(MPPS)
    association = ae.associate("127.0.0.1", server.dimse_port, ae_title=server.ae_title)
    assert association.is_established
    uid = new_uid()
    status, _ = association.send_n_create(performed(plan), MPPS, uid)
    assert status.Status == 0
    status, _ = association.send_n_set(ending(), MPPS, uid)
    assert status.Status == 0
    association.release()
    assert state(server, plan) == "COMPLETED"


def test_IHE_01_instances_that_arrive_for_a_step_close_its_loop(server, modality):
    plan = planned(server)

    def seen():
        answer = requests.get(f"{server.url}{WORKLIST}/{plan['key']}", timeout=30)
        return answer.json()

    def wait_for(count):
        deadline = time.monotonic() + 30
        while seen()["instances"] != count and time.monotonic() < deadline:
            time.sleep(0.1)
        assert seen()["instances"] == count

    uid = modality.begin(performed(plan))
    store(server, make(plan["study"], PatientID=plan["patient"], AccessionNumber=plan["accession"]))
    wait_for(1)
    store(server, *[make(plan["study"], PatientID=plan["patient"], AccessionNumber=plan["accession"]) for _ in range(3)])
    wait_for(4)
    assert modality.set(uid, ending())[0x0900] == 0
    loop = seen()
    assert loop["state"] == "COMPLETED" and loop["performedSteps"] == [uid]
    assert loop["ordered"] <= loop["started"] <= loop["stored"] <= loop["ended"]
    assert requests.delete(f"{server.dicomweb}/studies/{plan['study']}", timeout=30).status_code == 204
    wait_for(0)


def test_IHE_01_instances_of_an_own_study_uid_are_found_by_their_accession_number(server):
    plan = planned(server)
    store(server, make(PatientID=plan["patient"], AccessionNumber=plan["accession"]))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if requests.get(f"{server.url}{WORKLIST}/{plan['key']}", timeout=30).json()["instances"] == 1:
            return
        time.sleep(0.1)
    raise AssertionError("the instance is not counted")
