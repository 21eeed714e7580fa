# SPDX-License-Identifier: MIT
"""Modality performed procedure steps over HTTP (PS3.18 chapter 15): the same steps as over DIMSE."""
import concurrent.futures
import json
import time
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import escape

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from bounds import until
from conftest import free_port
from test_http_access import basic, user
from test_ian import Listener as AvailabilityListener
from test_ian import availability_of, place, series_of, settings_of
from test_mpp import MPPS, Modality, ending, performed, planned, state
from test_mwl import ids, query, token
from test_notify import Listener, start
from test_storage import needs_faults
from upper_layer import store_all
from web import JSON, make, new_uid, store

ROOT = "/modality-performed-procedure-steps"
XML = "application/dicom+xml"
DICOM_JSON = "application/dicom+json"

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")


def attributes_of(ds):
    """The attributes of the Native DICOM Model (PS3.19 A.1)."""
    for element in ds:
        if element.VR == "SQ":
            inside = "".join(f'<Item number="{number}">{"".join(attributes_of(item))}</Item>'
                             for number, item in enumerate(element.value, 1))
        elif element.VR == "PN":
            inside = "".join(f'<PersonName number="1"><Alphabetic><FamilyName>{escape(name.family_name)}</FamilyName>'
                             f"<GivenName>{escape(name.given_name)}</GivenName></Alphabetic></PersonName>"
                             for name in ([element.value] if element.value else []))
        else:
            values = element.value if element.VM > 1 else [element.value] if element.VM else []
            inside = "".join(f'<Value number="{number}">{escape(str(value))}</Value>' for number, value in enumerate(values, 1))
        yield f'<DicomAttribute tag="{element.tag:08X}" vr="{element.VR}">{inside}</DicomAttribute>'


def native(ds):
    return ('<?xml version="1.0" encoding="UTF-8"?><NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">'
            + "".join(attributes_of(ds)) + "</NativeDicomModel>").encode()


class Web:
    def __init__(self, server, **more):
        self.url, self.more = server.dicomweb + ROOT, {"timeout": 60, **more}
        self.session = requests.Session()

    def post(self, uid, ds, query="", kind=DICOM_JSON):
        body = ds if isinstance(ds, bytes) else native(ds) if kind == XML else json.dumps([ds.to_json_dict()])
        return self.session.post(f"{self.url}/{uid}{query}", data=body, headers={"Content-Type": kind, **JSON}, **self.more)

    def create(self, ds, uid=None, **more):
        return self.post(uid or new_uid(), ds, **more)

    def begin(self, ds, **more):
        uid = new_uid()
        answer = self.post(uid, ds, **more)
        assert answer.status_code == 201, answer.text
        return uid

    def update(self, uid, ds, **more):
        return self.post(uid, ds, "?update", **more)

    def look(self, uid, headers=JSON, **parameters):
        return self.session.get(f"{self.url}/{uid}", params=parameters, headers=headers, **self.more)

    def get(self, uid, **parameters):
        answer = self.look(uid, **parameters)
        assert answer.status_code == 200, answer.text
        found, = answer.json()
        return Dataset.from_json(found)


@pytest.fixture
def web(server):
    return Web(server)


@pytest.fixture
def modality(server):
    with Modality(server) as modality:
        yield modality


@pytest.mark.parametrize("kind", [DICOM_JSON, "application/json", XML])
def test_MPP_09_a_step_is_created_in_each_model_and_read_over_DIMSE(server, web, modality, kind):
    plan, uid = planned(server), new_uid()
    name = f"Q{token()}^Jim"
    answer = web.create(performed(plan, PatientName=name), uid, kind=kind)
    assert answer.status_code == 201 and not answer.content
    assert answer.headers["Location"] == f"{server.dicomweb}{ROOT}/{uid}"
    assert state(server, plan) == "STARTED" and ids(server, query(dict(PatientID=plan["patient"]))) == []
    got = modality.get(uid)[1]
    assert got.PatientName == name and got.PerformedProcedureStepStatus == "IN PROGRESS"
    assert got.ScheduledStepAttributesSequence[0].StudyInstanceUID == plan["study"]
    again = web.create(performed(), uid, kind=kind)
    assert again.status_code == 409 and again.headers["Warning"].startswith("299 ")
    assert web.get(uid).PatientName == name
    log = server.log()
    assert f"dicomweb: performed step begun instance={uid} steps=1" in log and name.split("^")[0] not in log


def test_MPP_09_a_step_is_told_in_each_model_and_what_is_known_is_not_sent_again(web, modality):
    uid = modality.begin(performed(PatientName="Roe^Jim"))
    for accept in (DICOM_JSON, "application/json"):
        answer = web.look(uid, {"Accept": accept})
        assert answer.status_code == 200 and answer.headers["Content-Type"] == accept
        assert answer.json()[0]["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Roe^Jim"}]}
    answer = web.look(uid, {"Accept": XML})
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith(XML)
    told = {one.get("keyword"): one.findtext("./*") for one in ElementTree.fromstring(answer.content)}
    assert told["PerformedProcedureStepStatus"] == "IN PROGRESS"
    answer = web.look(uid)
    known = {**JSON, "If-None-Match": answer.headers["ETag"]}
    again = web.look(uid, known)
    assert again.status_code == 304 and not again.content
    assert web.update(uid, ending()).status_code == 200
    assert web.look(uid, known).status_code == 200, "it is another one now"
    assert web.look(uid, {"Accept": "image/jpeg"}).status_code == 406
    assert web.look(new_uid()).status_code == 404
    assert web.look("1..2").status_code == 400


def test_MPP_09_attributes_are_retrieved_as_they_are_asked_for(web):
    ds = performed(PatientName="Roe^Jim")
    block = ds.private_block(0x0019, "ACME", create=True)
    block.add_new(0x01, "LO", "private")
    uid = web.begin(ds)
    whole = web.look(uid).json()[0]
    assert web.look(uid, includefield="all").json()[0] == whole and len(whole) > 20
    for asked in ("PatientName,00400252", ["PatientName", "00400252"], "00400252,PatientName,PatientName"):
        answer = web.look(uid, includefield=asked)
        assert answer.status_code == 200 and "Warning" not in answer.headers
        assert set(answer.json()[0]) - {"00080005"} == {"00100010", "00400252"}
    got = web.get(uid, includefield="ScheduledStepAttributesSequence.AccessionNumber")
    assert [element.keyword for element in got if element.keyword != "SpecificCharacterSet"] == ["ScheduledStepAttributesSequence"]
    got = web.look(uid, includefield="00191001").json()[0]
    assert got["00191001"]["Value"] == ["private"] and got["00190010"]["Value"] == ["ACME"]
    answer = web.look(uid, includefield="NoSuchAttribute,PatientName")
    assert answer.status_code == 200 and "ignored" in answer.headers["Warning"]
    assert set(answer.json()[0]) - {"00080005"} == {"00100010"}
    assert web.look(uid, includefield="all,PatientName").status_code == 400
    assert web.look(uid, includefield=["all", "PatientName"]).status_code == 400
    assert web.look(uid, includefield=",".join(["PatientName"] * 1001)).status_code == 400
    answer = web.look(uid, {"Accept": XML}, includefield="PatientName")
    assert {one.get("keyword") for one in ElementTree.fromstring(answer.content)} - {"SpecificCharacterSet"} == {"PatientName"}


@pytest.mark.parametrize("kind", [DICOM_JSON, XML])
def test_MPP_09_what_cannot_be_a_new_step_is_400_and_creates_nothing(web, kind):
    uid = new_uid()
    for status in ("COMPLETED", "DISCONTINUED", "BEGUN"):
        assert web.create(performed(PerformedProcedureStepStatus=status), uid, kind=kind).status_code == 400, status
    for keyword in ("ScheduledStepAttributesSequence", "PerformedProcedureStepID", "PerformedStationAETitle",
                    "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime",
                    "PerformedProcedureStepStatus", "Modality"):
        assert web.create(performed(**{keyword: None}), uid, kind=kind).status_code == 400, keyword
        if keyword != "ScheduledStepAttributesSequence":
            answer = web.create(performed(**{keyword: ""}), uid, kind=kind)
            assert answer.status_code == 400 and "has no value" in answer.text, keyword
    answer = web.create(performed(Modality=None), uid, kind=kind)
    assert "(0008,0060)" in answer.text and "(0008,0060)" in answer.headers["Warning"]
    assert web.create(performed(SOPInstanceUID=new_uid()), uid, kind=kind).status_code == 400, "another one's UID"
    assert web.look(uid).status_code == 404
    assert web.create(performed(SOPInstanceUID=uid), uid, kind=kind).status_code == 201


def test_MPP_09_HOS_40_a_body_that_is_no_data_set_is_400_and_of_another_type_415(web):
    uid = new_uid()
    for body in (b"", b"[", b"[]", b"[{},{}]", b"{}", b"{},{}", b"\0{}", b'[{"00100010":{"vr":"PN","Value":[{"Alphabetic":1}]}}]',
                 b"[" * 100_000):
        for query in ("", "?update"):
            expected = 404 if body == b"{}" and query else 400  # nothing is to be changed, of nothing
            assert web.post(uid, body, query).status_code == expected, (body[:20], query)
    for body in (b"<NativeDicomModel>", b"<a/>", b"{}", b'<!DOCTYPE a [<!ENTITY b "c">]><NativeDicomModel>&b;</NativeDicomModel>'):
        assert web.post(uid, body, kind=XML).status_code == 400, body
    for kind in ("text/plain", "application/dicom", "multipart/related; type=\"application/dicom+json\""):
        assert web.post(uid, b"[{}]", kind=kind).status_code == 415
    assert web.post("1..2", performed()).status_code == 400
    assert web.post("1" * 65, performed()).status_code == 400
    assert web.post(uid, performed(), "?update=never").status_code == 400
    assert web.session.request("PUT", f"{web.url}/{uid}", data=b"[{}]", timeout=60).status_code == 405
    assert web.look(uid).status_code == 404
    alone = performed().to_json().encode()
    assert web.post(uid, alone).status_code == 201, "a data set that is in no array is taken too"


def test_MPP_09_what_is_too_large_is_413_and_leaves_nothing(server, web):
    uid = new_uid()
    comments = "x" * (9 << 20)
    large = json.dumps([{**performed().to_json_dict(), "00400280": {"vr": "ST", "Value": [comments]}}]).encode()
    assert web.post(uid, large).status_code == 413
    assert web.look(uid).status_code == 404
    many = performed(*[{} for _ in range(300)])
    answer = web.post(uid, many)
    assert answer.status_code == 413 and "more steps" in answer.text
    assert web.look(uid).status_code == 404
    half = "x" * (5 << 20)
    begun = web.begin(performed(CommentsOnThePerformedProcedureStep="short", PerformedProcedureStepDescription="short"))
    change = {"00400280": {"vr": "ST", "Value": [half]}}
    assert web.post(begun, json.dumps([change]).encode(), "?update").status_code == 200
    change = {"00400254": {"vr": "LO", "Value": [half]}}
    answer = web.post(begun, json.dumps([change]).encode(), "?update")
    assert answer.status_code == 413, "each is small enough, both are not"
    got = web.get(begun)
    assert got.PerformedProcedureStepDescription == "short" and len(got.CommentsOnThePerformedProcedureStep) == len(half)


@pytest.mark.parametrize("kind", [DICOM_JSON, XML])
def test_MPP_09_what_is_set_must_be_there_and_is_set_whole_or_not_at_all(web, modality, kind):
    assert web.update(new_uid(), ending(), kind=kind).status_code == 404
    uid = web.begin(performed(), kind=kind)
    change = Dataset()
    change.PerformedProcedureStepDescription = "Head"
    answer = web.update(uid, change, kind=kind)
    assert answer.status_code == 200 and not answer.content
    before = modality.get(uid)[1]
    assert before.PerformedProcedureStepDescription == "Head"
    for keyword, value in (("PatientName", "Other^Name"), ("PerformedStationAETitle", "X"), ("StudyID", "1"),
                           ("PerformedProcedureStepStartDate", "20260103"), ("BodyPartExamined", "HEAD"),
                           ("CommentsOnThePerformedProcedureStep", "was not created"), ("SOPInstanceUID", uid)):
        change = Dataset()
        change.PerformedProcedureStepDescription = "Changed"
        setattr(change, keyword, value)
        answer = web.update(uid, change, kind=kind)
        assert answer.status_code == 409, keyword
        assert f"({change[keyword].tag.group:04X},{change[keyword].tag.element:04X})" in answer.text
    for keyword, value in (("PerformedProcedureStepStatus", "PAUSED"), ("PerformedProcedureStepEndDate", "tomorrow")):
        change = Dataset()
        setattr(change, keyword, value)
        assert web.update(uid, change, kind=kind).status_code == 400, keyword
    assert modality.get(uid)[1] == before
    first, second = ending("IN PROGRESS"), ending("IN PROGRESS")
    first.PerformedSeriesSequence = Sequence([first.PerformedSeriesSequence[0], second.PerformedSeriesSequence[0]])
    assert web.update(uid, first, kind=kind).status_code == 200
    assert len(modality.get(uid)[1].PerformedSeriesSequence) == 2
    assert web.update(uid, second, kind=kind).status_code == 200
    assert [series.SeriesInstanceUID for series in modality.get(uid)[1].PerformedSeriesSequence] == [
        second.PerformedSeriesSequence[0].SeriesInstanceUID]


@pytest.mark.parametrize("status", ["COMPLETED", "DISCONTINUED"])
def test_MPP_09_a_final_state_needs_its_attributes_and_ends_the_scheduled_step(server, web, modality, status):
    plan = planned(server)
    uid = web.begin(performed(plan))
    for keyword, value in (("PerformedProcedureStepEndDate", None), ("PerformedProcedureStepEndTime", None),
                           ("PerformedProcedureStepEndTime", ""), ("PerformedSeriesSequence", None),
                           ("PerformedSeriesSequence", Sequence([]))):
        answer = web.update(uid, ending(status, **{keyword: value}))
        assert answer.status_code == 409, keyword
        got = modality.get(uid)[1]
        assert got.PerformedProcedureStepStatus == "IN PROGRESS" and not got.PerformedSeriesSequence
    assert state(server, plan) == "STARTED"
    assert web.update(uid, ending(status)).status_code == 200
    got = modality.get(uid)[1]
    assert got.PerformedProcedureStepStatus == status and got.PerformedSeriesSequence[0].ProtocolName == "Head"
    assert state(server, plan) == status


def test_MPP_09_who_begins_over_one_door_may_end_over_the_other_and_neither_changes_what_is_final(server, web, modality):
    by_web, by_dimse = planned(server), planned(server)
    first, second = web.begin(performed(by_web)), modality.begin(performed(by_dimse))
    assert modality.create(performed(), first)[0x0900] == 0x0111
    assert web.create(performed(), second).status_code == 409
    assert modality.set(first, ending())[0x0900] == 0
    assert web.post(second, ending("DISCONTINUED"), "?update=true").status_code == 200
    assert state(server, by_web) == "COMPLETED"
    assert state(server, by_dimse) == "DISCONTINUED"
    for uid in (first, second):
        before = web.look(uid).content
        for change in (ending(), ending("DISCONTINUED"), ending("IN PROGRESS"), Dataset()):
            answer = web.update(uid, change)
            assert answer.status_code == 409
            assert "no longer be updated" in answer.text and "no longer be updated" in answer.headers["Warning"]
            answer = modality.set(uid, change)
            assert answer[0x0900] == 0x0110 and answer[0x0903] == 0xA710
        assert web.look(uid).content == before
        assert web.create(performed(), uid).status_code == 409


@pytest.mark.parametrize("name", ["Yamada^Tarou=山田^太郎=やまだ^たろう", "Buc^Jérôme", "Люкceмбypг"])
def test_MPP_09_MPP_07_names_of_all_scripts_are_kept_whether_a_set_is_named_or_not(web, modality, name):
    ds = performed(PatientName=name)
    uid = web.begin(ds)
    assert web.get(uid).PatientName == name
    got = modality.get(uid)[1]
    got.decode()
    assert str(got.PatientName) == name
    del ds.SpecificCharacterSet
    assert web.get(web.begin(ds)).PatientName == name


def test_MPP_09_of_many_who_create_or_end_a_step_at_once_one_does(server, web):
    def statuses(what):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return sorted(pool.map(lambda _: what(Web(server)).status_code, range(16)))

    uid, ds = new_uid(), performed()
    assert statuses(lambda own: own.create(ds, uid)) == [201] + [409] * 15
    assert statuses(lambda own: own.update(uid, ending())) == [200] + [409] * 15


def test_MPP_09_peers_are_told_of_steps_over_HTTP_in_order(start_server):
    port = free_port()
    with Listener(port) as ris:
        server = start(start_server, port)
        web = Web(server)
        done, dropped = web.begin(performed()), web.begin(performed())
        assert web.update(done, ending("IN PROGRESS")).status_code == 200
        assert web.update(done, ending()).status_code == 200
        assert web.update(dropped, ending("DISCONTINUED")).status_code == 200
        assert web.update(dropped, ending()).status_code == 409
        events = ris.wait(ris.events, 5)
        assert events == [(1, done), (1, dropped), (4, done), (2, done), (3, dropped)]


def test_MPP_09_what_a_step_over_HTTP_made_is_told_as_available_when_it_ended(start_server):
    port, study = free_port(), new_uid()
    daemon = start_server(settings=settings_of(port, notifyQuietSeconds=3600))
    web, images = Web(daemon), [make(study=study) for _ in range(2)]
    with AvailabilityListener(port) as listener:
        step = web.begin(performed({"study": study}))
        store_all(daemon, images)
        assert web.update(step, ending(PerformedSeriesSequence=series_of(*images))).status_code == 200
        told, = listener.wait(1)
        assert availability_of(told) == {place(ds): "ONLINE" for ds in images}
        assert [one.ReferencedSOPInstanceUID for one in told.ReferencedPerformedProcedureStepSequence] == [step]
        assert told.ReferencedPerformedProcedureStepSequence[0].ReferencedSOPClassUID == MPPS


def test_MPP_09_a_discontinued_step_is_planned_again_where_that_is_wanted(start_server):
    server = start_server({"worklist": {"rescheduleDiscontinued": True}})
    web, plan = Web(server), planned(server)
    uid = web.begin(performed(plan))
    assert state(server, plan) == "STARTED"
    assert web.update(uid, ending("DISCONTINUED")).status_code == 200
    assert state(server, plan) == "SCHEDULED"
    assert ids(server, query(dict(PatientID=plan["patient"]))) == [plan["patient"]]


def test_MPP_09_a_step_survives_a_kill(start_server):
    server = start_server()
    web, plan = Web(server), planned(server)
    begun, done = web.begin(performed(plan)), web.begin(performed())
    assert web.update(done, ending()).status_code == 200
    before = web.look(done).json()
    server.kill()
    server.start()
    assert state(server, plan) == "STARTED"
    web = Web(server)
    assert web.get(begun).PerformedProcedureStepStatus == "IN PROGRESS"
    assert web.look(done).json() == before
    assert web.update(done, ending("DISCONTINUED")).status_code == 409
    assert web.update(begun, ending()).status_code == 200
    server.kill()
    server.start()
    assert state(server, plan) == "COMPLETED"
    assert Web(server).get(begun).PerformedProcedureStepStatus == "COMPLETED"


def test_MPP_09_a_step_that_was_forgotten_is_gone(start_server):
    server = start_server()
    web = Web(server)
    under_way, done = web.begin(performed()), web.begin(performed())
    assert web.update(done, ending()).status_code == 200
    ended = time.time()
    until(lambda: time.time() > ended + 1.5, "the age at which it is forgotten")
    server.stop()
    server.settings["worklist"] = {"keepDoneDays": 0.00001}  # what is old is looked for at a start, and once a minute
    server.start()
    until(lambda: "worklist: forgotten work_items=0 steps=1" in server.log(), "what is done is forgotten")
    server.stop()
    server.settings["worklist"] = {"keepDoneDays": 90}
    server.start()
    web = Web(server)
    answer = web.look(done)
    assert answer.status_code == 410 and "Doe" not in answer.text
    assert web.update(done, ending()).status_code == 410
    assert web.create(performed(), done).status_code == 409, "its UID was one"
    with Modality(server) as modality:
        assert modality.get(done)[0][0x0900] == 0x0112
        assert modality.set(done, ending())[0x0900] == 0x0112
        assert modality.create(performed(), done)[0x0900] == 0x0111
    assert web.update(under_way, ending()).status_code == 200, "what is under way stays"


@needs_faults
def test_MPP_09_when_the_disk_has_failed_creating_and_updating_are_503_and_reading_goes_on(start_server):
    server = start_server(env={"HOUNSFIELD_FAULT": "segment-sync:1:EIO"})
    web = Web(server)
    uid = web.begin(performed())
    store(server, make(), expected=503)
    other = new_uid()
    for answer in (web.create(performed(), other), web.update(uid, ending())):
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
    assert web.get(uid).PerformedProcedureStepStatus == "IN PROGRESS"
    assert web.look(other).status_code == 404


def test_MPP_09_creating_and_updating_take_the_right_to_write(start_server, tmp_path):
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"users": [user("reader", ["read"], "r"), user("writer", ["write"], "w")]}))
    server = start_server({"http": {"usersFile": str(users), "corsOrigins": ["https://viewer.example"]}})
    reader, writer = ({**JSON, "Content-Type": DICOM_JSON, **basic(*who)} for who in (("reader", "r"), ("writer", "w")))
    uid = new_uid()
    url = f"{server.dicomweb}{ROOT}/{uid}"
    body = performed().to_json()
    for query in ("", "?update"):
        assert requests.post(url + query, data=body, headers={"Content-Type": DICOM_JSON}, timeout=60).status_code == 401
        assert requests.post(url + query, data=body, headers=reader, timeout=60).status_code == 403
    assert requests.post(url, data=body, headers=writer, timeout=60).status_code == 201
    assert requests.get(url, headers=writer, timeout=60).status_code == 403
    assert requests.get(url, headers=reader, timeout=60).status_code == 200
    assert requests.get(url, headers=JSON, timeout=60).status_code == 401
    answer = requests.options(url, timeout=60, headers={"Origin": "https://viewer.example", "Access-Control-Request-Method": "POST"})
    assert answer.status_code == 204 and "POST" in answer.headers["Access-Control-Allow-Methods"]
