# SPDX-License-Identifier: MIT
"""Modality Worklist (PS3.4 annex K)."""
import json
import shutil
import subprocess
import time
import uuid

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from conftest import BINARY
from upper_layer import EXPLICIT, IMPLICIT, Association, item, user_information
from web import JSON, make, store

MWL = "1.2.840.10008.5.1.4.31"
WORKLIST = "/dicomweb/worklist"
STEP = "ScheduledProcedureStepSequence"

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")


def token():
    return uuid.uuid4().hex[:10].upper()


def entry(ae="CT1", date="20260102", at="090000", modality="CT", **attributes):
    """An entry as somebody who plans would write it; step attributes by keyword too."""
    of_step = {"ScheduledPerformingPhysicianName", "ScheduledProcedureStepID", "ScheduledProcedureStepLocation",
               "ScheduledStationName", "ScheduledProcedureStepDescription", "ScheduledProcedureStepStatus",
               "ScheduledProcedureStepEndDate"}
    ds, step = Dataset(), Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName, ds.PatientID = "Doe^Jane", "W" + token()
    ds.AccessionNumber = "A" + token()
    step.ScheduledStationAETitle, step.Modality = ae, modality
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = date, at
    for keyword, value in attributes.items():
        setattr(step if keyword in of_step else ds, keyword, value)
    ds.ScheduledProcedureStepSequence = Sequence([step])
    return ds


def order(server, *entries, expected=201):
    answer = requests.post(server.url + WORKLIST, data=json.dumps([ds.to_json_dict() for ds in entries]),
                           headers={"Content-Type": "application/dicom+json"}, timeout=30)
    assert answer.status_code == expected, answer.text
    return answer.json()


def key_item(**wanted):
    step = Dataset()
    for keyword in ("ScheduledStationAETitle", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime",
                    "Modality", "ScheduledProcedureStepID"):
        setattr(step, keyword, wanted.pop(keyword, ""))
    for keyword, value in wanted.items():
        setattr(step, keyword, value)
    return step


def query(top=None, **step):
    ds = Dataset()
    ds.PatientName = ds.PatientID = ds.AccessionNumber = ds.StudyInstanceUID = ds.RequestedProcedureID = ""
    for keyword, value in (top or {}).items():
        setattr(ds, keyword, value)
    ds.ScheduledProcedureStepSequence = Sequence([key_item(**step)])
    return ds


def ask(server, keys, options=None, syntax=EXPLICIT):
    """One C-FIND: (matches, statuses with the final one, options that were agreed)."""
    extra = b"" if options is None else item(0x56, len(MWL).to_bytes(2, "big") + MWL.encode() + bytes(options))
    association = Association(server, [(1, MWL, [syntax])], user=user_information(extra=extra))
    agreed = [list(content[2 + len(MWL):]) for content in association.accepted.sub_items(0x56)]
    association.request(1, 0x20, MWL, keys)
    found = association.answers(1)
    association.release()
    return ([match for _, match in found[:-1]], [answer[0x0900] for answer, _ in found],
            agreed[0] if agreed else None)


def ids(server, keys, **more):
    matches, statuses, _ = ask(server, keys, **more)
    assert statuses[-1] == 0 and set(statuses[:-1]) <= {0xFF00}, statuses
    return [str(match.PatientID) for match in matches]


@pytest.fixture(scope="module")
def day(server):
    """Steps of one day and its neighbours at an AE of their own, and one elsewhere: AE title, and Patient IDs by name."""
    ae, other = "CT" + token(), "MR" + token()
    plan = {
        "early": entry(ae, "20300501", "073000", PatientName="Adams^John"),
        "noon": entry(ae, "20300501", "120000", PatientName="Adamson^Mary",
                      ScheduledPerformingPhysicianName="Welby^Marcus"),
        "late": entry(ae, "20300501", "235900", PatientName="Berg^Olaf"),
        "next": entry(ae, "20300502", "063000", PatientName="Adams^John"),
        "after": entry(ae, "20300503", "100000", PatientName="Doe^Jane"),
        "other": entry(other, "20300501", "110000", "MR", PatientName="Adams^Johanna"),
    }
    for ds in plan.values():
        order(server, ds)
    return {"ae": ae, **{name: ds.PatientID for name, ds in plan.items()}}


def test_MWL_01_one_response_per_step_with_exactly_one_item(server, day):
    keys = query(ScheduledStationAETitle=day["ae"], ScheduledProcedureStepStartDate="20300501", Modality="CT")
    for syntax in (EXPLICIT, IMPLICIT):
        matches, statuses, _ = ask(server, keys, syntax=syntax)
        assert statuses == [0xFF00] * 3 + [0]
        assert [match.PatientID for match in matches] == [day["early"], day["noon"], day["late"]]
        assert all(len(match.ScheduledProcedureStepSequence) == 1 for match in matches)
    assert ids(server, query(ScheduledStationAETitle=day["ae"], ScheduledProcedureStepStartDate="20300501",
                             ScheduledProcedureStepStartTime="0700-1200")) == [day["early"], day["noon"]]
    assert ids(server, query(ScheduledStationAETitle=day["ae"], ScheduledProcedureStepStartDate="20300501",
                             Modality="MR")) == []


def test_MWL_02_all_required_matching_keys(server, day):
    at = dict(ScheduledStationAETitle=day["ae"])
    for wanted, step in (
            (["early", "noon", "late", "next", "after"], {}),
            (["early", "noon", "late", "next"], dict(ScheduledProcedureStepStartDate="20300501-20300502")),
            (["next", "after"], dict(ScheduledProcedureStepStartDate="20300502-")),
            (["early", "noon", "late"], dict(ScheduledProcedureStepStartDate="-20300501")),
            (["noon"], dict(ScheduledProcedureStepStartTime="120000")),
            (["noon"], dict(ScheduledPerformingPhysicianName="Welby^Marcus")),
            (["noon"], dict(ScheduledPerformingPhysicianName="wel*")),
            ([], dict(ScheduledPerformingPhysicianName="Kiley*"))):
        assert ids(server, query(**at, **step)) == [day[name] for name in wanted], step
    for wanted, name in ((["early", "next"], "Adams^John"), (["early", "noon", "next"], "adam*"),
                         (["early", "next"], "ADAMS^J?HN"), ([], "Adam")):
        assert sorted(ids(server, query(dict(PatientName=name), **at))) == sorted(day[one] for one in wanted), name
    assert ids(server, query(dict(PatientID=day["late"]))) == [day["late"]]
    assert ids(server, query(dict(PatientName="Adams^J*", PatientID=day["other"]))) == [day["other"]]


def test_MWL_02_date_and_time_ranges_are_always_one_span(server, day):
    keys = query(ScheduledStationAETitle=day["ae"], ScheduledProcedureStepStartDate="20300501-20300502",
                 ScheduledProcedureStepStartTime="1200-0700")
    assert ids(server, keys) == [day["noon"], day["late"], day["next"]]
    assert ids(server, keys, options=[0, 0]) == [day["noon"], day["late"], day["next"]]
    keys = query(ScheduledStationAETitle=day["ae"], ScheduledProcedureStepStartDate="20300501-",
                 ScheduledProcedureStepStartTime="2359-")
    assert ids(server, keys) == [day["late"], day["next"], day["after"]]


def test_MWL_02_a_step_for_several_stations_is_found_by_each(server):
    one, two = "A" + token(), "B" + token()
    ds = entry([one, two])
    order(server, ds)
    for ae in (one, two):
        matches = ask(server, query(ScheduledStationAETitle=ae))[0]
        assert [match.PatientID for match in matches] == [ds.PatientID]
        assert matches[0].ScheduledProcedureStepSequence[0].ScheduledStationAETitle == [one, two]


def test_MWL_03_return_keys_of_type_1_are_filled_whatever_the_order_said(server):
    ds = Dataset()
    ds.PatientName, ds.PatientID, ds.AccessionNumber = "Little^Told", "L" + token(), "A" + token()
    ds.ScheduledProcedureStepSequence = Sequence([Dataset()])
    order(server, ds)
    keys = query(dict(PatientID=ds.PatientID, RequestedProcedureDescription="", PatientBirthDate="", PatientSex="",
                      ReferringPhysicianName="", AdmissionID="", PatientWeight=None, MedicalAlerts="",
                      RequestedProcedurePriority="", RequestingPhysician=""),
                 ScheduledProcedureStepDescription="", ScheduledStationName="", ScheduledProcedureStepLocation="",
                 PreMedication="", ScheduledPerformingPhysicianName="")
    match, = ask(server, keys)[0]
    step = match.ScheduledProcedureStepSequence[0]
    for name in ("ScheduledStationAETitle", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime",
                 "Modality", "ScheduledProcedureStepID", "ScheduledProcedureStepDescription"):
        assert step[name].value, name
    for name in ("RequestedProcedureID", "StudyInstanceUID", "PatientName", "PatientID",
                 "RequestedProcedureDescription"):
        assert match[name].value, name
    assert UID(match.StudyInstanceUID).is_valid
    for name in ("PatientBirthDate", "PatientSex", "ReferringPhysicianName", "AdmissionID", "MedicalAlerts",
                 "RequestedProcedurePriority", "RequestingPhysician"):
        assert name in match and not match[name].value, name
    for name in ("ScheduledStationName", "ScheduledProcedureStepLocation", "PreMedication"):
        assert name in step and not step[name].value, name
    assert "PatientComments" not in match


def test_MWL_03_codes_and_whole_sequences_are_returned(server):
    ds = entry()
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CTHEAD", "99LOCAL", "CT of the head"
    ds.RequestedProcedureCodeSequence = Sequence([code])
    order(server, ds)
    keys = query(dict(PatientID=ds.PatientID, RequestedProcedureCodeSequence=Sequence([])))
    match, = ask(server, keys)[0]
    assert match.RequestedProcedureCodeSequence[0].CodeMeaning == "CT of the head"
    keys = query(dict(PatientID=ds.PatientID))
    del keys.ScheduledProcedureStepSequence
    keys.ScheduledProcedureStepSequence = Sequence([])
    match, = ask(server, keys)[0]
    assert match.ScheduledProcedureStepSequence[0].ScheduledStationAETitle == "CT1"


def test_MWL_04_optional_matches(server):
    mark = token()
    ds = entry(RequestedProcedureID="R" + mark, AdmissionID="V" + mark, ReferringPhysicianName=f"Ref{mark}^A",
               ScheduledProcedureStepLocation="L" + mark, ScheduledStationName="N" + mark,
               ScheduledProcedureStepStatus="ARRIVED")
    order(server, ds)
    order(server, entry(RequestedProcedureID="X" + mark))
    for top in (dict(AccessionNumber=ds.AccessionNumber), dict(RequestedProcedureID="R" + mark),
                dict(AdmissionID="V" + mark), dict(ReferringPhysicianName=f"ref{mark}*")):
        assert ids(server, query(top)) == [ds.PatientID], top
    for step in (dict(ScheduledProcedureStepLocation="L" + mark), dict(ScheduledStationName="N" + mark)):
        assert ids(server, query(**step)) == [ds.PatientID], step
    found = dict(AccessionNumber=ds.AccessionNumber)
    assert ids(server, query(found, ScheduledProcedureStepStatus="ARRIVED")) == [ds.PatientID]
    assert ids(server, query(found, ScheduledProcedureStepStatus="STARTED")) == []
    keys = query(found)
    keys.add_new(0x00990010, "LO", "SOMEBODY")
    keys.add_new(0x00991001, "LO", "private")
    matches, statuses, _ = ask(server, keys)
    assert statuses == [0xFF01, 0] and 0x00991001 not in matches[0]


def test_MWL_05_a_broken_identifier_is_refused_and_none_at_all_is_the_whole_list(server, day):
    keys = query()
    keys.ScheduledProcedureStepSequence = Sequence([key_item(Modality="CT"), key_item(Modality="MR")])
    assert ask(server, keys)[1] == [0xA900]
    association = Association(server, [(1, MWL, [EXPLICIT])])
    for content in (b"\x10\x00\x10\x00PN\xff\xff", b"\x40\x00\x00\x01SQ\0\0\x10\0\0\0\xfe\xff\0\xe0"):
        association.send_message(1, {0x0002: MWL, 0x0100: 0x20, 0x0110: association.next_id(), 0x0700: 0, 0x0800: 1},
                                 content)
        assert association.read_message()[1][0x0900] == 0xA900
    association.release()
    keys = Dataset()
    keys.PatientID = ""
    found = ids(server, keys)
    assert {day[name] for name in ("early", "noon", "late", "next", "after", "other")} <= set(found)
    assert ask(server, query(ScheduledProcedureStepStartDate="20300599"))[1] == [0xA900]


def test_MWL_06_an_order_that_was_cancelled_leaves_the_list_and_can_be_asked_for(server):
    ds = entry()
    made = order(server, ds)
    assert ids(server, query(dict(PatientID=ds.PatientID))) == [ds.PatientID]
    assert requests.delete(f"{server.url}{WORKLIST}/{made['key']}", timeout=30).status_code == 204
    assert ids(server, query(dict(PatientID=ds.PatientID))) == []


@pytest.mark.parametrize("own, name", [
    ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
    ("GB18030", "Wang^XiaoDong=王^小东"),
    ("ISO_IR 126", "Διονυσιος"),
    ("ISO_IR 144", "Люкceмбypг"),
    ("ISO_IR 127", "قباني^لنزار"),
])
def test_MWL_07_a_console_is_answered_in_a_set_it_declared(server, own, name):
    ds = entry(PatientName=name)
    order(server, ds)
    for wanted in (dict(PatientID=ds.PatientID), dict(PatientID=ds.PatientID, PatientName=name)):
        keys = query(wanted)
        keys.SpecificCharacterSet = own.split("\\")
        matches, statuses, _ = ask(server, keys)
        assert statuses == [0xFF00, 0]
        used = matches[0].SpecificCharacterSet
        assert (used if isinstance(used, str) else "\\".join(used)) == own
        matches[0].decode()
        assert str(matches[0].PatientName) == name


def test_MWL_08_options_of_the_extended_negotiation(server, day):
    keys = query(dict(PatientName="Adems^Jon"), ScheduledStationAETitle=day["ae"])
    found, statuses, agreed = ask(server, keys, options=[0, 0, 1, 0])
    assert agreed[:3] == [1, 1, 1]
    assert [match.PatientID for match in found] == [day["early"], day["next"]]
    found, statuses, agreed = ask(server, keys, options=[0, 0, 0, 0])
    assert agreed[:3] == [1, 1, 0] and found == []
    assert ask(server, keys)[2] is None


def test_MWL_08_dates_and_times_are_asked_for_and_told_in_the_zone_that_is_agreed(server):
    ae = "Z" + token()[:8]
    wanted = {"berlin": ("20260301", "003000", "+0100"), "nowhere": ("20260228", "180000", None)}
    for name, (date, at, zone) in wanted.items():
        more = {} if zone is None else {"TimezoneOffsetFromUTC": zone}
        order(server, entry(ae, date, at, PatientID=name + ae, **more))

    def found(zone, options, **step):
        keys = query({"TimezoneOffsetFromUTC": zone}, ScheduledStationAETitle=ae, ScheduledProcedureStepStartTime="", **step)
        matches, statuses, agreed = ask(server, keys, options=options)
        assert statuses[-1] == 0 and agreed == options
        return {match.PatientID[:-len(ae)]: (match.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate,
                                             match.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartTime,
                                             match.get("TimezoneOffsetFromUTC")) for match in matches}
    agreed, other = [1, 1, 0, 1], [1, 1, 0, 0]
    assert found("-0500", agreed, ScheduledProcedureStepStartDate="20260228") == {
        "berlin": ("20260228", "183000", "-0500"), "nowhere": ("20260228", "180000", None)}
    assert found("-0500", agreed, ScheduledProcedureStepStartDate="20260301") == {}
    assert set(found("+0100", agreed, ScheduledProcedureStepStartDate="20260301-")) == {"berlin"}
    # not agreed it is no key and moves nothing
    assert found("-0500", other, ScheduledProcedureStepStartDate="20260301") == {"berlin": ("20260301", "003000", None)}
    _, statuses, _ = ask(server, query({"TimezoneOffsetFromUTC": "EST"}), options=agreed)
    assert statuses == [0xA900]


def test_MWL_08_cancelled_amid_many_the_association_goes_on(server):
    ae = "MANY" + token()
    for _ in range(4):
        order(server, *[entry(ae, ScheduledProcedureStepID=f"S{i}", RequestedProcedureID="R" + token()[:8])
                        for i in range(250)])
    association = Association(server, [(1, MWL, [EXPLICIT])])
    identity = association.request(1, 0x20, MWL, query(ScheduledStationAETitle=ae))
    assert association.read_message()[1][0x0900] == 0xFF00
    association.cancel(1, identity)
    began = time.monotonic()
    rest = association.answers(1)
    assert rest[-1][0][0x0900] in (0xFE00, 0) and time.monotonic() - began < 60
    association.request(1, 0x20, MWL, query(ScheduledStationAETitle="NOBODY"))
    assert [answer[0x0900] for answer, _ in association.answers(1)] == [0]
    association.release()


def test_MWL_foreign_client_findscu(server, day, tmp_path):
    findscu = shutil.which("findscu")
    if not findscu:
        pytest.skip("DCMTK's findscu is not installed")
    run = subprocess.run(
        [findscu, "-W", "-X", "-od", str(tmp_path), "-aec", server.ae_title, "127.0.0.1", str(server.dimse_port),
         "-k", "0010,0010", "-k", "0010,0020", "-k", "0040,0100[0].0040,0001=" + day["ae"],
         "-k", "0040,0100[0].0040,0002=20300501", "-k", "0040,0100[0].0008,0060=CT"],
        capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert len(list(tmp_path.iterdir())) == 3


def test_MWL_foreign_client_pynetdicom(server, day):
    pynetdicom = pytest.importorskip("pynetdicom")
    ae = pynetdicom.AE()
    ae.add_requested_context(MWL)
    association = ae.associate("127.0.0.1", server.dimse_port, ae_title=server.ae_title)
    assert association.is_established
    keys = query(ScheduledStationAETitle=day["ae"], ScheduledProcedureStepStartDate="20300501")
    answers = [(status.Status, match) for status, match in association.send_c_find(keys, MWL)]
    association.release()
    assert [status for status, _ in answers] == [0xFF00] * 3 + [0]
    assert [match.PatientID for _, match in answers[:-1]] == [day["early"], day["noon"], day["late"]]


def test_MWL_needs_the_right_worklist(start_server):
    server = start_server({"dimse": {"peers": [{"aeTitle": "CONSOLE", "host": "127.0.0.1", "port": 1,
                                                "rights": ["worklist"]},
                                               {"aeTitle": "STORER", "host": "127.0.0.1", "port": 1,
                                                "rights": ["store", "find"]}]}})
    for calling, expected in (("CONSOLE", 0), ("STORER", 0x0124)):
        association = Association(server, [(1, MWL, [EXPLICIT])], calling=calling)
        association.request(1, 0x20, MWL, query())
        assert [answer[0x0900] for answer, _ in association.answers(1)] == [expected]
        association.release()


# The worklist over HTTP.

def url(server, key=""):
    return server.url + WORKLIST + (f"/{key}" if key else "")


def test_order_over_http_told_twice_is_one_and_keeps_what_was_made_for_it(server):
    ds = entry(PlacerOrderNumberImagingServiceRequest="P" + token())
    first = order(server, ds)
    ds.ScheduledProcedureStepSequence[0].ScheduledStationAETitle = "OTHER"
    again = order(server, ds, expected=200)
    assert again["key"] == first["key"]
    assert again["entry"]["0020000D"] == first["entry"]["0020000D"]
    assert ids(server, query(dict(PatientID=ds.PatientID), ScheduledStationAETitle="OTHER")) == [ds.PatientID]
    assert ids(server, query(dict(PatientID=ds.PatientID), ScheduledStationAETitle="CT1")) == []


def test_order_over_http_is_seen_changed_and_taken_away(server):
    ds = entry()
    made = order(server, ds)
    answer = requests.get(url(server, made["key"]), timeout=30)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
    assert answer.json()["state"] == "SCHEDULED" and answer.json()["instances"] == 0 and answer.json()["ordered"]
    answer = requests.get(url(server, made["key"]), headers=JSON, timeout=30)
    assert answer.headers["Content-Type"].startswith("application/dicom+json")
    assert Dataset.from_json(answer.json()).PatientID == ds.PatientID
    change = Dataset()
    change.PatientName = "Other^Name"
    step = Dataset()
    step.ScheduledProcedureStepStatus, step.ScheduledProcedureStepLocation = "ARRIVED", "Room 2"
    change.ScheduledProcedureStepSequence = Sequence([step])
    answer = requests.put(url(server, made["key"]), data=change.to_json(),
                          headers={"Content-Type": "application/dicom+json"}, timeout=30)
    assert answer.status_code == 200, answer.text
    match, = ask(server, query(dict(PatientID=ds.PatientID), ScheduledProcedureStepLocation="",
                               ScheduledProcedureStepStatus=""))[0]
    item_ = match.ScheduledProcedureStepSequence[0]
    assert (item_.ScheduledProcedureStepLocation, item_.ScheduledProcedureStepStatus) == ("Room 2", "ARRIVED")
    assert item_.ScheduledStationAETitle == "CT1", "what is not named stays"
    assert requests.delete(url(server, made["key"]), timeout=30).status_code == 204
    assert requests.get(url(server, made["key"]), timeout=30).status_code == 404
    assert requests.delete(url(server, made["key"]), timeout=30).status_code == 404


def test_change_over_http_keeps_orders_without_numbers_of_one_patient_apart(server):
    """An order that is known by its accession number alone gets no placer's or filler's number by a PUT, so two of one patient stay two."""
    first, second = entry(), entry()
    second.PatientID = first.PatientID
    keys = [order(server, ds)["key"] for ds in (first, second)]
    for key, description in zip(keys, ("knee", "hip")):
        change = Dataset()
        change.RequestedProcedureDescription = description
        answer = requests.put(url(server, key), data=change.to_json(),
                              headers={"Content-Type": "application/dicom+json"}, timeout=30)
        assert answer.status_code == 200, answer.text
        assert answer.json()["key"] == key
        assert "placerOrderNumbers" not in answer.json() and "fillerOrderNumbers" not in answer.json()
    for key, ds, description in zip(keys, (first, second), ("knee", "hip")):
        now = Dataset.from_json(requests.get(url(server, key), headers=JSON, timeout=30).json())
        assert (now.AccessionNumber, now.RequestedProcedureDescription) == (ds.AccessionNumber, description)
        assert not now.get("PlacerOrderNumberImagingServiceRequest") and not now.get("FillerOrderNumberImagingServiceRequest")


def test_order_over_http_list_by_attributes_and_pages(server, day):
    params = {"ScheduledStationAETitle": day["ae"], "ScheduledProcedureStepStartDate": "20300501-20300502"}
    answer = requests.get(url(server), params=params, timeout=30).json()
    assert [one["entry"]["00100020"]["Value"][0] for one in answer] == [
        day["early"], day["noon"], day["late"], day["next"]]
    answer = requests.get(url(server), params=dict(params, limit=2, offset=1), headers=JSON, timeout=30).json()
    assert [one["00100020"]["Value"][0] for one in answer] == [day["noon"], day["late"]]
    answer = requests.get(url(server), params={"PatientName": "Adamson*", STEP + ".Modality": "CT"}, timeout=30)
    assert [one["entry"]["00100020"]["Value"][0] for one in answer.json()] == [day["noon"]]


@pytest.mark.parametrize("body, kind, expected", [
    ("[]", "application/dicom+json", 400),
    ("[{", "application/dicom+json", 400),
    ("{}", "application/dicom+json", 400),
    ('{"00100010":{"vr":"PN","Value":[{"Alphabetic":"A"}]}}', "application/dicom+json", 400),
    ("{}", "text/plain", 415),
])
def test_order_over_http_that_is_none_is_refused(server, body, kind, expected):
    answer = requests.post(url(server), data=body, headers={"Content-Type": kind}, timeout=30)
    assert answer.status_code == expected


def test_order_over_http_survives_a_kill(start_server):
    server = start_server()
    made = [order(server, entry())["key"] for _ in range(5)]
    server.kill()
    server.start()
    for key in made:
        assert requests.get(url(server, key), timeout=30).status_code == 200


def test_MWL_is_asked_by_our_own_command(server, day):
    step = STEP + "."
    run = subprocess.run([str(BINARY), "find", "127.0.0.1", str(server.dimse_port), "--called", server.ae_title, "--worklist",
                          "--json", step + "ScheduledStationAETitle=" + day["ae"],
                          step + "ScheduledProcedureStepStartDate=20300501", "PatientComments"],
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    found = [Dataset.from_json(one) for one in json.loads(run.stdout)]
    assert [ds.PatientID for ds in found] == [day["early"], day["noon"], day["late"]]
    assert all(ds.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus == "SCHEDULED" for ds in found)
    run = subprocess.run([str(BINARY), "find", "127.0.0.1", str(server.dimse_port), "--called", server.ae_title, "--worklist",
                          "PatientID=" + day["other"]], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and day["other"] in run.stdout and day["early"] not in run.stdout


def test_a_number_that_very_many_orders_share_does_not_keep_other_studies_from_being_counted(server):
    shared = "N" + token()
    patient = "W" + token()
    for _ in range(2):
        placer = "P" + token()
        order(server, *[entry(PatientID=patient, AccessionNumber=shared, PlacerOrderNumberImagingServiceRequest=placer)
                        for _ in range(150)])
    made = order(server, entry())
    study = made["entry"]["0020000D"]["Value"][0]
    store(server, make(AccessionNumber=shared))
    time.sleep(0.5)  # so that it is a round of its own
    store(server, make(study=study))
    deadline = time.monotonic() + 60
    while requests.get(url(server, made["key"]), timeout=30).json()["instances"] != 1:
        assert time.monotonic() < deadline, "it is not counted"
        time.sleep(0.1)
