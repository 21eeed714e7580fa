# SPDX-License-Identifier: MIT
"""C-FIND (PS3.4 annex C)."""
import socket
import struct
import subprocess
import time
import uuid

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from upper_layer import (
    COMMAND, CT, EXPLICIT, IMPLICIT, PATIENT_FIND, STUDY_FIND, Association, busy, command, decode, encode, find, fragments, item,
    keys, store_all, store_many, user_information,
)
from web import MR, make, new_uid, url_of

LEVEL_KEYS = {"PATIENT": "PatientID", "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID",
              "IMAGE": "SOPInstanceUID"}

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")


def token():
    return uuid.uuid4().hex[:10].upper()


@pytest.fixture(scope="module")
def tree(server):
    """One patient with two studies; the first has a CT series of two images and an MR series of one."""
    patient = dict(PatientID="FND" + token(), PatientName="Tree^Old" + token())
    study, other = new_uid(), new_uid()
    ct, mr = new_uid(), new_uid()
    first = dict(patient, StudyDate="20060705", StudyTime="101500", AccessionNumber="AC" + token(), StudyID="ID1",
                 StudyDescription="Head", ReferringPhysicianName="Ref^A")
    datasets = [
        make(study, ct, InstanceNumber=1, SeriesNumber=7, **first),
        make(study, ct, InstanceNumber=2, SeriesNumber=7, **first),
        make(study, mr, InstanceNumber=1, SeriesNumber=8, Modality="MR", SOPClassUID=MR, **first),
        make(other, None, StudyDate="20060710", StudyTime="180000", AccessionNumber="AC" + token(), StudyID="ID2",
             **patient),
    ]
    store_all(server, datasets)
    return datasets


def upper_keys(ds, level, patient_root):
    above = list(LEVEL_KEYS)[0 if patient_root else 1:list(LEVEL_KEYS).index(level)]
    return {LEVEL_KEYS[name]: ds[LEVEL_KEYS[name]].value for name in above}


def studies(server, ds, **wanted):
    """The Study Instance UIDs of one patient's studies that match."""
    query = dict(QueryRetrieveLevel="STUDY", StudyInstanceUID="", PatientID=ds.PatientID)
    query.update(wanted)
    found, final = find(server, keys(**query))
    assert final[0x0900] == 0, final
    return [match.StudyInstanceUID for match in found]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("root, level, count", [
    (PATIENT_FIND, "PATIENT", 1), (PATIENT_FIND, "STUDY", 2), (PATIENT_FIND, "SERIES", 2), (PATIENT_FIND, "IMAGE", 2),
    (STUDY_FIND, "STUDY", 2), (STUDY_FIND, "SERIES", 2), (STUDY_FIND, "IMAGE", 2),
])
def test_FND_01_every_level_of_both_models(server, tree, root, level, count, syntax):
    query = keys(QueryRetrieveLevel=level, **upper_keys(tree[0], level, root == PATIENT_FIND))
    setattr(query, LEVEL_KEYS[level], "")
    if level == "PATIENT" or (root == STUDY_FIND and level == "STUDY"):
        query.PatientID = tree[0].PatientID
    found, final = find(server, query, root, syntax)
    assert final[0x0900] == 0 and final[0x0800] == 0x0101
    assert len(found) == count
    for match in found:
        assert match.QueryRetrieveLevel == level
        assert match.RetrieveAETitle == server.ae_title
        assert match[LEVEL_KEYS[level]].value
        tags = [element.tag for element in match]
        assert tags == sorted(tags) and not any(tag.element == 0 for tag in tags)
        for keyword, value in upper_keys(tree[0], level, root == PATIENT_FIND).items():
            assert match[keyword].value == value


REQUIRED = {
    "PATIENT": ["PatientName", "PatientID"],
    "STUDY": ["StudyDate", "StudyTime", "AccessionNumber", "StudyID", "StudyInstanceUID", "PatientName", "PatientID"],
    "SERIES": ["Modality", "SeriesNumber", "SeriesInstanceUID"],
    "IMAGE": ["InstanceNumber", "SOPInstanceUID"],
}
WRONG = {"StudyDate": "20060101", "StudyTime": "235959", "SeriesNumber": "4711", "InstanceNumber": "4711",
         "Modality": "US", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3", "SOPInstanceUID": "1.2.3"}


@pytest.mark.parametrize("level, keyword", [(level, keyword) for level in REQUIRED for keyword in REQUIRED[level]])
def test_FND_02_required_keys_match_and_return(server, tree, level, keyword):
    ds = tree[0]
    root = PATIENT_FIND if level == "PATIENT" else STUDY_FIND
    base = dict(upper_keys(ds, level, False), QueryRetrieveLevel=level)
    if level in ("PATIENT", "STUDY"):
        base["PatientID"] = ds.PatientID
    returned = keys(**dict({name: "" for name in REQUIRED[level]}, **base))
    found, _ = find(server, returned, root)
    assert str(ds[keyword].value) in [str(match[keyword].value) for match in found]
    setattr(returned, keyword, ds[keyword].value)
    found, _ = find(server, returned, root)
    assert found and all(str(match[keyword].value) == str(ds[keyword].value) for match in found)
    setattr(returned, keyword, WRONG.get(keyword, "NO" + token()))
    assert find(server, returned, root)[0] == []


def test_FND_04_computed_keys_are_current(server):
    ds = make(PatientID="CNT" + token())
    second = make(ds.StudyInstanceUID, PatientID=ds.PatientID, Modality="MR", SOPClassUID=MR)
    counted = ["NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "ModalitiesInStudy", "SOPClassesInStudy"]

    def study():
        found, _ = find(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID,
                                     **{name: "" for name in counted}))
        values = [found[0][name].value for name in counted]
        return [int(values[0]), int(values[1])] + [[v] if isinstance(v, str) else sorted(v) for v in values[2:]]

    def patient():
        names = [f"NumberOfPatientRelated{what}" for what in ("Studies", "Series", "Instances")]
        found, _ = find(server, keys(QueryRetrieveLevel="PATIENT", PatientID=ds.PatientID,
                                     **{name: "" for name in names}), PATIENT_FIND)
        return [int(found[0][name].value) for name in names] if found else None

    store_all(server, [ds])
    assert study() == [1, 1, ["CT"], [CT]] and patient() == [1, 1, 1]
    store_all(server, [second])
    assert study() == [2, 2, ["CT", "MR"], [CT, MR]] and patient() == [1, 2, 2]
    found, _ = find(server, keys(QueryRetrieveLevel="SERIES", StudyInstanceUID=ds.StudyInstanceUID,
                                 SeriesInstanceUID=second.SeriesInstanceUID, NumberOfSeriesRelatedInstances=""))
    assert [int(match.NumberOfSeriesRelatedInstances) for match in found] == [1]
    for modality, expected in (("MR", [ds.StudyInstanceUID]), ("CT", [ds.StudyInstanceUID]), ("US", [])):
        assert studies(server, ds, ModalitiesInStudy=modality) == expected
    assert requests.delete(url_of(server, second), timeout=10).ok
    assert study() == [1, 1, ["CT"], [CT]] and patient() == [1, 1, 1]
    assert studies(server, ds, ModalitiesInStudy="MR") == []


@pytest.mark.parametrize("root, level", [
    (STUDY_FIND, None), (STUDY_FIND, ""), (STUDY_FIND, "FRAME"), (STUDY_FIND, "study"), (STUDY_FIND, "PATIENT"),
    (PATIENT_FIND, "INSTANCE"), (PATIENT_FIND, None),
])
def test_FND_05_levels_that_are_not_of_the_model(server, root, level):
    query = keys(StudyInstanceUID="", PatientID="")
    if level is not None:
        query.QueryRetrieveLevel = level
    found, final = find(server, query, root)
    assert found == [] and final[0x0900] == 0xA900 and final[0x0901] == [0x00080052]


def test_a_query_that_is_refused_is_logged_with_its_cause_and_without_its_keys(server):
    mark = token()
    before = len(server.log())
    query = keys(QueryRetrieveLevel="SERIES", PatientID="PID" + mark, PatientName="Name^" + mark)
    assert find(server, query)[1][0x0900] == 0xA900
    association = Association(server, [(1, STUDY_FIND, [EXPLICIT])])
    association.request(1, 0x21, STUDY_FIND, query, elements={0x0600: "NOBODY"})
    assert association.answers(1)[-1][0][0x0900] == 0x0122
    association.release()
    log = server.log()[before:]
    lines = [line for line in log.splitlines() if "request refused" in line]
    assert len(lines) == 2 and mark not in log
    assert all('calling_ae="TEST" ' in line for line in lines)
    assert "operation=C-FIND" in lines[0] and "status=A900" in lines[0] and "attribute=0020000D" in lines[0]
    assert "no single value" in lines[0]
    assert "operation=C-MOVE" in lines[1] and "status=0122" in lines[1]


@pytest.mark.parametrize("root, level, missing", [
    (STUDY_FIND, "SERIES", "StudyInstanceUID"), (STUDY_FIND, "IMAGE", "SeriesInstanceUID"),
    (PATIENT_FIND, "STUDY", "PatientID"), (PATIENT_FIND, "IMAGE", "StudyInstanceUID"),
])
def test_FND_06_a_missing_unique_key_above(server, tree, root, level, missing):
    upper = upper_keys(tree[0], level, root == PATIENT_FIND)
    for value in (None, "", "1.2.3\\1.2.4"):
        query = keys(**dict(upper, QueryRetrieveLevel=level))
        delattr(query, missing)
        if value is not None:
            setattr(query, missing, value.split("\\") if "\\" in value and "UID" in missing else value)
        assert find(server, query, root)[1][0x0900] == 0xA900


def test_FND_07_single_values(server, tree):
    ds = tree[0]
    uid = ds.StudyInstanceUID
    assert studies(server, ds, StudyID="ID1") == [uid]
    assert studies(server, ds, StudyID=" ID1  ") == [uid]
    assert studies(server, ds, StudyID="id1") == []
    assert studies(server, ds, StudyID="ID") == []
    assert studies(server, ds, PatientName=ds.PatientName.family_name.lower() + "^" + ds.PatientName.given_name) == [
        uid, tree[3].StudyInstanceUID] or set(studies(server, ds, PatientName=str(ds.PatientName).upper())) == {
        uid, tree[3].StudyInstanceUID}
    for number in ("7", "007", "+7"):
        found, _ = find(server, keys(QueryRetrieveLevel="SERIES", StudyInstanceUID=uid, SeriesInstanceUID="",
                                     SeriesNumber=number))
        assert [match.SeriesInstanceUID for match in found] == [ds.SeriesInstanceUID], number


def test_FND_08_universal_matching(server):
    patient = "UNI" + token()
    full = make(PatientID=patient, StudyDescription="Something")
    empty = make(PatientID=patient, StudyDescription="", AccessionNumber="", StudyDate="")
    absent = make(PatientID=patient)
    store_all(server, [full, empty, absent])
    everything = {ds.StudyInstanceUID for ds in (full, empty, absent)}
    for value in ("", "*", "**"):
        assert set(studies(server, full, StudyDescription=value)) == everything, value
    assert set(studies(server, full, AccessionNumber="*")) == everything
    raw = encode(keys(QueryRetrieveLevel="STUDY", PatientID=patient, StudyInstanceUID="")) 
    date = b"\x08\x00\x20\x00DA\x02\x00* "
    association = Association(server, [(1, STUDY_FIND, [EXPLICIT])])
    association.send_message(1, {0x0002: STUDY_FIND, 0x0100: 0x20, 0x0110: 1, 0x0700: 0, 0x0800: 1}, date + raw)
    assert len(association.answers(1)) == 4
    association.release()
    found, _ = find(server, keys(QueryRetrieveLevel="STUDY", PatientID=patient, StudyInstanceUID="",
                                 StudyDescription="", PatientComments=""))
    assert len(found) == 3 and all("StudyDescription" in match and "PatientComments" in match for match in found)


def test_FND_09_wildcards(server, tree):
    ds = tree[0]
    both = {ds.StudyInstanceUID, tree[3].StudyInstanceUID}
    assert set(studies(server, ds, StudyID="ID*")) == both
    assert set(studies(server, ds, StudyID="I??")) == both
    assert studies(server, ds, StudyID="*1") == [ds.StudyInstanceUID]
    assert studies(server, ds, StudyID="?1") == []
    assert studies(server, ds, AccessionNumber=ds.AccessionNumber[:6] + "*") == [ds.StudyInstanceUID]
    assert set(studies(server, ds, PatientName="tree^old*")) == both
    # on other VRs it is no wildcard
    for more in (dict(StudyInstanceUID=ds.StudyInstanceUID[:-2] + "*"),):
        query = keys(QueryRetrieveLevel="STUDY", PatientID=ds.PatientID, **more)
        found, final = find(server, query)
        assert found == [] and final[0x0900] in (0, 0xA900)


def test_FND_09_a_question_mark_is_one_character_not_one_byte(server):
    patient = "JPN" + token()
    ds = make(PatientID=patient, PatientName="Yamada^Tarou=山田^太郎", SpecificCharacterSet="ISO_IR 192")
    store_all(server, [ds])

    def named(name):
        query = keys(SpecificCharacterSet="ISO_IR 192", QueryRetrieveLevel="STUDY", PatientID=patient,
                     StudyInstanceUID="", PatientName=name)
        found, final = find(server, query)
        assert final[0x0900] == 0
        return len(found)

    assert named("*=山?^太郎") == 1
    assert named("*=山??^太郎") == 0
    assert named("Yamada^Tarou=山田^太郎") == 1


def test_FND_10_person_names_without_case_and_accents(server):
    patient = "PNA" + token()
    ds = make(PatientID=patient, PatientName="Müller^Zoë", SpecificCharacterSet="ISO_IR 192")
    store_all(server, [ds])
    for name in ("MULLER^ZOE", "müller^zoë", "Muller*", "Müller^Zoë^^"):
        query = keys(SpecificCharacterSet="ISO_IR 192", QueryRetrieveLevel="STUDY", PatientID=patient,
                     StudyInstanceUID="", PatientName=name)
        assert len(find(server, query)[0]) == 1, name


@pytest.mark.parametrize("key, matches", [
    ("YAMADA*", True), ("Yamada^Tarou=山田^太郎=やまだ^たろう", True), ("=山田^太郎", True), ("==やまだ^たろう", True),
    ("山田^太郎", True), ("やまだ*", True), ("Yamada^Tarou", True), ("Yamada^Tarou^^^", True), ("Yamada^Tarou==", True),
    ("=やまだ^たろう", False), ("Yamada^Jirou=山田^太郎", False), ("Yamada", False), ("山田^次郎", False),
])
def test_FND_10_component_groups_of_names(server, japanese, key, matches):
    query = keys(SpecificCharacterSet="ISO_IR 192", QueryRetrieveLevel="STUDY", PatientID=japanese.PatientID,
                 StudyInstanceUID="", PatientName=key)
    found, final = find(server, query)
    assert final[0x0900] == 0 and len(found) == matches


@pytest.fixture(scope="module")
def japanese(server):
    ds = make(PatientID="GRP" + token(), PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
              SpecificCharacterSet="ISO_IR 192")
    store_all(server, [ds])
    return ds


def test_FND_12_ten_thousand_uids_in_one_key(server, tree):
    uids = [f"1.2.3.4.5.6.7.8.9.{i}" for i in range(10000)]
    for at in (0, 5000, 9999):
        wanted = list(uids)
        wanted[at] = tree[0].StudyInstanceUID
        found, final = find(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=wanted))
        assert final[0x0900] == 0
        assert [match.StudyInstanceUID for match in found] == [tree[0].StudyInstanceUID]


@pytest.mark.parametrize("value, days", [
    ("20060705-20060707", {5}), ("20060705-20060710", {5, 10}), ("-20060705", {5}), ("20060706-", {10}),
    ("20060705", {5}), ("20060706", set()), ("-20060704", set()), ("20060710-", {10}),
])
def test_FND_13_date_ranges(server, tree, value, days):
    by_day = {5: tree[0].StudyInstanceUID, 10: tree[3].StudyInstanceUID}
    assert set(studies(server, tree[0], StudyDate=value)) == {by_day[day] for day in days}


@pytest.mark.parametrize("value", ["20061301", "20060707-20060705", "2006", "yesterday", "20060705-20060707-20060709"])
def test_FND_13_dates_that_are_none(server, tree, value):
    """The bytes are written by hand: no client library would."""
    padded = value.encode() + b" " * (len(value) % 2)
    date = b"\x08\x00\x20\x00DA" + len(padded).to_bytes(2, "little") + padded
    rest = encode(keys(QueryRetrieveLevel="STUDY", PatientID=tree[0].PatientID, StudyInstanceUID=""))
    association = Association(server, [(1, STUDY_FIND, [EXPLICIT])])
    association.send_message(1, {0x0002: STUDY_FIND, 0x0100: 0x20, 0x0110: 1, 0x0700: 0, 0x0800: 1}, date + rest)
    answers = association.answers(1)
    association.release()
    assert len(answers) == 1 and answers[0][0][0x0900] == 0xA900
    assert answers[0][0][0x0901] == [0x00080020]


def test_FND_18_sequence_keys(server):
    patient = "SEQ" + token()
    one = make(PatientID=patient, RequestAttributesSequence=[
        keys(RequestedProcedureID="RP1", ScheduledProcedureStepID="S1"),
        keys(RequestedProcedureID="RP2", ScheduledProcedureStepID="S2")])
    store_all(server, [one])

    def ask(*items):
        query = keys(QueryRetrieveLevel="SERIES", StudyInstanceUID=one.StudyInstanceUID, SeriesInstanceUID="")
        query.RequestAttributesSequence = Sequence(items)
        found, final = find(server, query)
        return len(found), final[0x0900]

    assert ask(keys(RequestedProcedureID="RP1")) == (1, 0)
    assert ask(keys(RequestedProcedureID="RP2", ScheduledProcedureStepID="S2")) == (1, 0)
    assert ask(keys(RequestedProcedureID="RP9")) == (0, 0)
    assert ask(keys(RequestedProcedureID="RP1", ScheduledProcedureStepID="S2")) == (0, 0), "within the same item"
    assert ask(Dataset()) == (1, 0)
    assert ask() == (1, 0)
    assert ask(keys(RequestedProcedureID="RP1"), keys(RequestedProcedureID="RP2")) == (0, 0xA900)


def test_FND_21_a_response_holds_what_was_asked_for_and_no_more(server, tree):
    found, _ = find(server, keys(QueryRetrieveLevel="SERIES", StudyInstanceUID=tree[0].StudyInstanceUID,
                                 SeriesInstanceUID="", Modality=""))
    for match in found:
        keywords = {element.keyword for element in match} - {"SpecificCharacterSet"}
        assert keywords == {"QueryRetrieveLevel", "RetrieveAETitle", "StudyInstanceUID", "SeriesInstanceUID",
                            "Modality"}


def test_FND_23_cancel_amid_many_matches(server):
    patient = "MNY" + token()
    store_many(server, [make(PatientID=patient, Rows=2, Columns=2) for _ in range(120)])
    association = Association(server, [(1, STUDY_FIND, [EXPLICIT])])
    query = keys(QueryRetrieveLevel="STUDY", PatientID=patient, StudyInstanceUID="", PatientName="")
    # request and cancel in one send: the cancel is there when the first match is
    asking = command({0x0002: STUDY_FIND, 0x0100: 0x20, 0x0110: 77, 0x0700: 0, 0x0800: 1})
    cancel = command({0x0100: 0x0FFF, 0x0120: 77, 0x0800: 0x0101})
    association.send(fragments(1, COMMAND, asking, 500) + fragments(1, 0, encode(query), 500)
                     + fragments(1, COMMAND, cancel, 500))
    answers = association.answers(1)
    assert answers[-1][0][0x0900] == 0xFE00 and len(answers) < 121
    assert association.is_silent(0.2)
    association.request(1, 0x20, STUDY_FIND, query)
    assert len(association.answers(1)) == 121
    association.release()


WIDE = 24 * 1024  # bytes of a text: what many matches of these take, no socket holds


def wide_series(server, count):
    """A series whose matches are long; its data sets."""
    study, series, comment = new_uid(), new_uid(), "Finding " * (WIDE // 8)
    datasets = [make(study, series, InstanceNumber=i, Rows=2, Columns=2, TextValue=comment) for i in range(count)]
    store_many(server, datasets, associations=4)
    return datasets


@pytest.fixture(scope="module")
def wide(server):
    return wide_series(server, 1200)


def ask_slowly(server, datasets, message_id, **more):
    """A C-FIND for a series of many long matches whose answers nobody reads yet."""
    association = Association(server, [(1, STUDY_FIND, [EXPLICIT]), (3, "1.2.840.10008.1.1", [EXPLICIT])])
    association.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    query = keys(QueryRetrieveLevel="IMAGE", StudyInstanceUID=datasets[0].StudyInstanceUID, SOPInstanceUID="",
                 SeriesInstanceUID=datasets[0].SeriesInstanceUID, TextValue="", **more)
    association.request(1, 0x20, STUDY_FIND, query, message_id=message_id)
    return association


def test_FND_23_cancel_while_matches_stream(server, wide):
    association = ask_slowly(server, wide, 33)
    for _ in range(20):
        assert association.read_message()[1][0x0900] == 0xFF00
    association.cancel(1, 33)
    began = time.monotonic()
    answers = association.answers(1)
    assert answers[-1][0][0x0900] == 0xFE00 and answers[-1][1] is None and len(answers) < len(wide) - 20
    assert time.monotonic() - began < 10
    assert association.is_silent(0.2)
    assert association.echo(3) == 0, "the association can be used again"
    association.release()


@pytest.mark.long
def test_FND_23_cancel_amid_100000_matches(server):
    from concurrent.futures import ThreadPoolExecutor
    patient = "LNG" + token()

    def fill(count):
        store_all(server, [make(PatientID=patient, Rows=2, Columns=2) for _ in range(count)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fill, [500] * 200))
    association = Association(server, [(1, STUDY_FIND, [EXPLICIT])])
    query = keys(QueryRetrieveLevel="STUDY", PatientID=patient, StudyInstanceUID="", PatientName="")
    association.request(1, 0x20, STUDY_FIND, query, message_id=5)
    for _ in range(50000):
        assert association.read_message()[1][0x0900] == 0xFF00
    association.cancel(1, 5)
    began = time.monotonic()
    answers = association.answers(1)
    assert answers[-1][0][0x0900] == 0xFE00 and len(answers) < 50001
    assert time.monotonic() - began < 10
    association.request(1, 0x20, STUDY_FIND, query, message_id=6)
    count = 0
    while association.read_message()[1][0x0900] == 0xFF00:
        count += 1
    assert count == 100000
    association.release()


def resident(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def test_FND_24_who_reads_slowly_makes_the_server_wait_and_not_grow(server, wide):
    """What eight readers have not taken would be more than 220 MB; and what they take in the end is all."""
    ask_slowly(server, wide, 1).abort()  # what a first query takes once is no growth
    before = resident(server)
    readers = [ask_slowly(server, wide, 40 + i) for i in range(8)]
    time.sleep(1)
    assert resident(server) - before < 100 << 20
    assert all(echo == 0 for echo in [Association(server).echo() for _ in range(3)])
    for reader in readers[1:]:
        reader.abort()
    answers = readers[0].answers(1)
    readers[0].release()
    assert answers[-1][0][0x0900] == 0 and len(answers) == len(wide) + 1
    assert {match.SOPInstanceUID for _, match in answers[:-1]} == {ds.SOPInstanceUID for ds in wide}


def test_FND_27_a_query_sees_the_archive_as_it_was_when_it_began(server):
    """A relational query for the images of twenty studies: while its first matches wait to be read, the last studies are
    deleted or get more instances."""
    patient, text = "SNP" + token(), "Finding " * (WIDE // 8)
    studies = [[make(*place, PatientID=patient, StudyDate=f"202601{day:02}", Rows=2, Columns=2, TextValue=text)
                for _ in range(25)] for day in range(20, 0, -1) for place in [(new_uid(), new_uid())]]
    store_many(server, [ds for study in studies for ds in study], associations=4)
    user = user_information(extra=extended(STUDY_FIND, [1]))
    association = Association(server, [(1, STUDY_FIND, [EXPLICIT])], user=user)
    association.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    query = keys(QueryRetrieveLevel="IMAGE", PatientID=patient, SOPInstanceUID="", TextValue="", StudyDescription="",
                 NumberOfStudyRelatedInstances="", NumberOfSeriesRelatedInstances="", NumberOfStudyRelatedSeries="")
    association.request(1, 0x20, STUDY_FIND, query, message_id=9)
    first = association.read_message()
    for ds in studies[18][::5]:
        assert requests.delete(url_of(server, ds), timeout=10).ok
    assert requests.delete(url_of(server, studies[19][0], "study"), timeout=10).ok
    more = studies[17][0]
    store_all(server, [make(more.StudyInstanceUID, series, PatientID=patient, StudyDate=more.StudyDate)
                       for series in (more.SeriesInstanceUID, None)]
              + [make(PatientID=patient, StudyDate="20260101")])
    answers = association.answers(1)
    association.release()
    matches = [decode(first[2])] + [match for _, match in answers[:-1]]
    assert answers[-1][0][0x0900] == 0 and {answer[0x0900] for answer, _ in answers[:-1]} == {0xFF00}
    assert sorted(match.SOPInstanceUID for match in matches) == sorted(ds.SOPInstanceUID for s in studies for ds in s)
    assert {(int(match.NumberOfStudyRelatedInstances), int(match.NumberOfSeriesRelatedInstances),
             int(match.NumberOfStudyRelatedSeries)) for match in matches} == {(25, 25, 1)}
    found, _ = find(server, keys(QueryRetrieveLevel="STUDY", PatientID=patient, NumberOfStudyRelatedInstances=""))
    assert sorted(int(match.NumberOfStudyRelatedInstances) for match in found) == [1, 20] + [25] * 17 + [27]


def extended(uid, information):
    return item(0x56, struct.pack(">H", len(uid)) + uid.encode() + bytes(information))


def ask(server, query, information=None, abstract=STUDY_FIND, syntax=EXPLICIT):
    """One C-FIND with extended negotiation: (data sets, statuses, bytes that were agreed or None)."""
    user = user_information(extra=extended(abstract, information) if information else b"")
    association = Association(server, [(1, abstract, [syntax])], user=user)
    agreed = association.accepted.sub_items(0x56)
    association.request(1, 0x20, abstract, query)
    answers = association.answers(1)
    association.release()
    prefix = struct.pack(">H", len(abstract)) + abstract.encode()
    assert not agreed or agreed[0].startswith(prefix)
    return [match for _, match in answers[:-1]], [answer[0x0900] for answer, _ in answers], \
        list(agreed[0][len(prefix):]) if agreed else None


def raw_find(server, elements, abstract=STUDY_FIND):
    """A C-FIND of encoded elements, as no client library would write them."""
    association = Association(server, [(1, abstract, [EXPLICIT])])
    association.send_message(1, {0x0002: abstract, 0x0100: 0x20, 0x0110: 1, 0x0700: 0, 0x0800: 1}, b"".join(elements))
    number, commands = 1, []
    while True:
        _, answer, content = association.read_message()
        commands.append((answer, content))
        if answer[0x0900] & 0xFF00 != 0xFF00:
            association.release()
            return commands


def raw(group, number, vr, value, padding=b" "):
    value += padding * (len(value) % 2)
    if vr in ("OB", "OW", "SQ", "UN", "UT"):
        return struct.pack("<HH2sHI", group, number, vr.encode(), 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr.encode(), len(value)) + value


OPTIONAL = {
    "PATIENT": dict(PatientBirthDate="19700203", PatientSex="F", OtherPatientIDs="OTHER1", IssuerOfPatientID="ISSUER",
                    EthnicGroup="GROUP", PatientComments="A comment"),
    "STUDY": dict(PatientBirthDate="19700203", PatientSex="F", OtherPatientIDs="OTHER1", IssuerOfPatientID="ISSUER",
                  ReferringPhysicianName="Ref^Doc", StudyDescription="Head and neck", AccessionNumber="ACC1",
                  AdmissionID="ADM1", PatientAge="055Y"),
    "SERIES": dict(SeriesDescription="Thin slices", BodyPartExamined="HEAD", StationName="CT7", Manufacturer="ACME",
                   ProtocolName="Routine", PerformedProcedureStepStartDate="20260102", SeriesDate="20260103",
                   FrameOfReferenceUID="1.2.840.99.1", InstitutionName="Hospital", OperatorsName="Op^Erator"),
    "IMAGE": dict(SOPClassUID=CT, ContentDate="20260104", ContentTime="120000", Rows=16, Columns=16,
                  AcquisitionNumber=3, ImageComments="Blurred", SliceThickness="2.5", KVP="120"),
}


@pytest.fixture(scope="module")
def optional(server):
    attributes = {}
    for level in OPTIONAL:
        attributes.update(OPTIONAL[level])
    code = keys(CodeValue="P5-09051", CodingSchemeDesignator="SRT", CodeMeaning="Head CT")
    ds = make(PatientID="OPT" + token(), ProcedureCodeSequence=[code], **attributes)
    store_all(server, [ds])
    return ds


@pytest.mark.parametrize("level, keyword", [(level, keyword) for level in OPTIONAL for keyword in OPTIONAL[level]])
def test_FND_03_optional_keys_match_and_return(server, optional, level, keyword):
    root = PATIENT_FIND if level == "PATIENT" else STUDY_FIND
    value = OPTIONAL[level][keyword]
    base = dict(upper_keys(optional, level, False), QueryRetrieveLevel=level, **{LEVEL_KEYS[level]: ""})
    if level in ("PATIENT", "STUDY"):
        base["PatientID"] = optional.PatientID
    found, statuses, _ = ask(server, keys(**dict(base, **{keyword: value})), abstract=root)
    assert statuses == [0xFF00, 0] and str(found[0][keyword].value) == str(value)
    wrong = {str: "NOSUCH", int: 4711}[type(value)]
    if keyword.endswith("Date"):
        wrong = "19000101"
    elif keyword.endswith("Time"):
        wrong = "235959"
    elif keyword.endswith("UID"):
        wrong = "1.2.3"
    elif keyword == "PatientAge":
        wrong = "001D"
    elif keyword in ("SliceThickness", "KVP"):
        wrong = "77"
    elif keyword == "PatientSex":
        wrong = "M"
    assert ask(server, keys(**dict(base, **{keyword: wrong})), abstract=root)[1] == [0], "it is matched, too"


def test_FND_03_a_code_sequence_and_availability(server, optional):
    query = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=optional.StudyInstanceUID, InstanceAvailability="",
                 ProcedureCodeSequence=[keys(CodeValue="P5-09051", CodeMeaning="")])
    found, statuses, _ = ask(server, query)
    assert statuses == [0xFF00, 0] and found[0].InstanceAvailability == "ONLINE"
    assert found[0].ProcedureCodeSequence[0].CodeMeaning == "Head CT"
    query.ProcedureCodeSequence[0].CodeValue = "OTHER"
    assert ask(server, query)[1] == [0]


def test_FND_01_patient_study_only_model(server, tree):
    model = "1.2.840.10008.5.1.4.1.2.3.1"
    found, statuses, _ = ask(server, keys(QueryRetrieveLevel="STUDY", PatientID=tree[0].PatientID, StudyInstanceUID=""),
                             abstract=model)
    assert statuses == [0xFF00, 0xFF00, 0]
    assert {match.StudyInstanceUID for match in found} == {tree[0].StudyInstanceUID, tree[3].StudyInstanceUID}
    assert ask(server, keys(QueryRetrieveLevel="PATIENT", PatientID=tree[0].PatientID), abstract=model)[1] == [0xFF00, 0]
    assert ask(server, keys(QueryRetrieveLevel="SERIES", PatientID=tree[0].PatientID,
                            StudyInstanceUID=tree[0].StudyInstanceUID), abstract=model)[1] == [0xA900]


def test_FND_06_relational_queries_where_they_are_agreed(server, tree):
    for query, count in [
        (keys(QueryRetrieveLevel="SERIES", PatientID=tree[0].PatientID, SeriesInstanceUID=""), 3),
        (keys(QueryRetrieveLevel="IMAGE", PatientID=tree[0].PatientID, SOPInstanceUID=""), 4),
        (keys(QueryRetrieveLevel="IMAGE", SOPInstanceUID=tree[2].SOPInstanceUID), 1),
        (keys(QueryRetrieveLevel="SERIES", SeriesInstanceUID=tree[2].SeriesInstanceUID, StudyDescription=""), 1),
    ]:
        found, statuses, agreed = ask(server, query, [1])
        assert agreed == [1] and len(found) == count and statuses[-1] == 0
        assert ask(server, query)[1] == [0xA900], "not agreed: hierarchical"
        assert ask(server, query, [0])[1] == [0xA900]


def test_FND_12_an_empty_member_is_never_universal(server, tree):
    """Written by hand: a list of UIDs with nothing between two separators."""
    uid = tree[0].StudyInstanceUID.encode()
    for value in (uid + b"\\", b"\\" + uid, b"\\\\"):
        answers = raw_find(server, [raw(8, 0x52, "CS", b"STUDY"), raw(0x20, 0x0D, "UI", value, b"\0")])
        assert answers[-1][0][0x0900] == 0xA900 and len(answers) == 1


@pytest.fixture(scope="module")
def clock(server):
    """One patient's studies by the time of day."""
    patient = "TIM" + token()
    times = ["101500", "1800", "18", "180030", "223000", "235959.999999", ""]
    datasets = [make(PatientID=patient, StudyDate=f"2026020{i + 1}", StudyTime=time_) for i, time_ in enumerate(times)]
    store_all(server, datasets)
    return patient, {ds.StudyInstanceUID: time_ for ds, time_ in zip(datasets, times)}


@pytest.mark.parametrize("value, times", [
    ("2230", {"223000"}), ("223000.000", {"223000"}), ("180000", {"1800", "18"}), ("18", {"1800", "18"}),
    ("1800-1800", {"1800", "18", "180030"}), ("-1015", {"101500"}), ("2230-", {"223000", "235959.999999"}),
    ("180030-223000", {"180030", "223000"}), ("2230-1015", set()),
])
def test_FND_14_times_by_their_meaning(server, clock, value, times):
    patient, by_uid = clock
    answers = raw_find(server, [raw(8, 0x30, "TM", value.encode()), raw(8, 0x52, "CS", b"STUDY"),
                                raw(0x10, 0x20, "LO", patient.encode()), raw(0x20, 0x0D, "UI", b"", b"\0")])
    assert answers[-1][0][0x0900] == 0
    found = {uid for uid in by_uid for _, content in answers[:-1] if uid.encode() in content}
    assert {by_uid[uid] for uid in found} == times


@pytest.fixture(scope="module")
def instants(server):
    study, series = new_uid(), new_uid()
    moments = ["20260115120000+0100", "20260115110000.5+0000", "20260115060000-0500", "20260115110000", "20260116"]
    datasets = [make(study, series, InstanceNumber=i, AcquisitionDateTime=moment) for i, moment in enumerate(moments)]
    store_all(server, datasets)
    return datasets[0], {ds.SOPInstanceUID: i for i, ds in enumerate(datasets)}


@pytest.mark.parametrize("value, expected", [
    ("20260115110000+0000", {0, 2, 3}),                       # the same instant with other offsets
    ("20260115120000+0100", {0, 2, 3}),
    ("20260115110000.4+0000-20260115110000.6+0000", {1}),     # a fraction, and two offsets
    ("20260115055959-0500-20260115060000.9-0500", {0, 1, 2, 3}),  # signs are no hyphens
    ("-20260115105959-0000", set()), ("-20260115110000-0000", {0, 1, 2, 3}), ("20260116-", {4}), ("20260115-20260116", {0, 1, 2, 3, 4}),
])
def test_FND_15_date_times_with_offsets(server, instants, value, expected):
    ds, by_uid = instants
    answers = raw_find(server, [raw(8, 0x18, "UI", b"", b"\0"), raw(8, 0x2A, "DT", value.encode()),
                                raw(8, 0x52, "CS", b"IMAGE"), raw(0x20, 0x0D, "UI", ds.StudyInstanceUID.encode(), b"\0"),
                                raw(0x20, 0x0E, "UI", ds.SeriesInstanceUID.encode(), b"\0")])
    assert answers[-1][0][0x0900] == 0
    found = {uid for uid in by_uid for _, content in answers[:-1] if uid.encode() in content}
    assert {by_uid[uid] for uid in found} == expected


def test_FND_16_date_and_time_are_one_span_where_it_is_agreed(server):
    patient = "SPN" + token()
    moments = [("20060705", "090000"), ("20060705", "103000"), ("20060706", "040000"), ("20060707", "175959"),
               ("20060707", "183000")]
    datasets = [make(PatientID=patient, StudyDate=date, StudyTime=time_) for date, time_ in moments]
    store_all(server, datasets)
    query = keys(QueryRetrieveLevel="STUDY", PatientID=patient, StudyInstanceUID="", StudyDate="20060705-20060707",
                 StudyTime="1000-1800")
    numbers = {ds.StudyInstanceUID: i for i, ds in enumerate(datasets)}
    found, _, agreed = ask(server, query, [0, 1])
    assert agreed == [0, 1] and {numbers[match.StudyInstanceUID] for match in found} == {1, 2, 3}
    found, _, agreed = ask(server, query)
    assert agreed is None and {numbers[match.StudyInstanceUID] for match in found} == {1, 3}


@pytest.fixture(scope="module")
def zones(server):
    """One patient's studies: at the same instant in two zones, an hour later, without a zone, and without a time."""
    patient = "ZON" + token()

    def study(date, time_, zone=None, **more):
        return make(PatientID=patient, StudyDate=date, StudyTime=time_, PatientBirthDate="19700101",
                    **({"TimezoneOffsetFromUTC": zone} if zone else {}), **more)

    datasets = {
        "berlin": study("20260301", "003000.25", "+0100", AcquisitionDateTime="20260301003000.25",
                        RequestAttributesSequence=[keys(ScheduledProcedureStepStartDate="20260301",
                                                        ScheduledProcedureStepStartTime="0010")]),
        "new york": study("20260228", "183000.25", "-0500", AcquisitionDateTime="20260228233000.25+0000"),
        "india": study("20260301", "0600", "+0530", AcquisitionDateTime="20260301060000"),
        "nowhere": study("20260228", "180000", AcquisitionDateTime="20260228180000"),
        "timeless": study("20260228", "", "+0100"),
    }
    store_all(server, list(datasets.values()))
    return patient, datasets


def in_zone(server, zones, zone, information=(0, 0, 0, 1), **wanted):
    patient, datasets = zones
    query = keys(QueryRetrieveLevel="STUDY", PatientID=patient, StudyInstanceUID="",
                 **dict(dict(StudyDate="", StudyTime="", PatientBirthDate=""), **wanted))
    if zone is not None:
        query.TimezoneOffsetFromUTC = zone
    found, statuses, agreed = ask(server, query, list(information) if information else None)
    assert statuses[-1] == 0 and (agreed == list(information) if information else agreed is None)
    names = {ds.StudyInstanceUID: name for name, ds in datasets.items()}
    return {names[match.StudyInstanceUID]: match for match in found}


def test_FND_17_dates_and_times_are_answered_in_the_zone_that_was_asked_for(server, zones):
    said = {name: (match.StudyDate, match.StudyTime, match.get("TimezoneOffsetFromUTC"))
            for name, match in in_zone(server, zones, "-0500").items()}
    assert said == {
        "berlin": ("20260228", "183000.25", "-0500"), "new york": ("20260228", "183000.25", "-0500"),
        "india": ("20260228", "1930", "-0500"),
        "nowhere": ("20260228", "180000", None),    # nobody knows its zone
        "timeless": ("20260228", "", "-0500"),      # a day without a time does not move
    }
    assert {match.PatientBirthDate for match in in_zone(server, zones, "+1400").values()} == {"19700101"}
    assert in_zone(server, zones, "+1400")["new york"].StudyTime == "133000.25"
    assert in_zone(server, zones, "+1400")["new york"].StudyDate == "20260301"


@pytest.mark.parametrize("zone, wanted, expected", [
    ("-0500", dict(StudyDate="20260228"), {"berlin", "new york", "india", "nowhere", "timeless"}),
    ("+0100", dict(StudyDate="20260301"), {"berlin", "new york", "india"}),
    ("+0100", dict(StudyDate="20260228"), {"nowhere", "timeless"}),
    ("+1400", dict(StudyDate="20260301-"), {"berlin", "new york", "india"}),
    ("+0100", dict(StudyTime="003000-003059"), {"berlin", "new york"}),
    ("-0500", dict(StudyTime="1930"), {"india"}),
    ("+0100", dict(StudyDate="20260301", StudyTime="0000-0100"), {"berlin", "new york"}),
    ("-1200", dict(StudyDate="-20260227"), set()),
])
def test_FND_17_dates_and_times_are_matched_in_the_zone_that_was_asked_for(server, zones, zone, wanted, expected):
    assert set(in_zone(server, zones, zone, **wanted)) == expected


def test_FND_17_with_date_and_time_as_one_span(server, zones):
    span = dict(StudyDate="20260228-20260301", StudyTime="2300-0045")
    assert set(in_zone(server, zones, "+0100", (0, 1, 0, 1), **span)) == {"berlin", "new york"}
    assert set(in_zone(server, zones, "-0500", (0, 1, 0, 1), **span)) == set()


def test_FND_17_date_times_without_an_offset_are_those_of_the_zone(server, zones):
    patient, datasets = zones
    for zone, value, expected in (("+0100", "20260301003000-20260301003001", {"berlin", "new york"}),
                                  ("-0500", "20260228183000-20260228183001", {"berlin", "new york"}),
                                  ("-0500", "20260228233000+0000-20260228233001+0000", {"berlin", "new york"}),
                                  ("+0530", "202603010600", {"india"}), ("+0200", "20260228180000", {"nowhere"})):
        found = set()
        for name, ds in datasets.items():
            query = keys(QueryRetrieveLevel="IMAGE", StudyInstanceUID=ds.StudyInstanceUID, SOPInstanceUID="",
                         SeriesInstanceUID=ds.SeriesInstanceUID, AcquisitionDateTime=value, TimezoneOffsetFromUTC=zone)
            matches, statuses, _ = ask(server, query, [0, 0, 0, 1])
            assert statuses[-1] == 0
            if matches:
                found.add(name)
                expected_text = {"berlin": "20260301003000.25+0100", "new york": "20260228233000.25+0000",
                                 "india": "20260301060000+0530", "nowhere": "20260228180000" + zone}[name]
                assert matches[0].AcquisitionDateTime == expected_text
        assert found == expected, (zone, value)


def test_FND_17_dates_within_sequences_are_of_the_same_zone(server, zones):
    ds = zones[1]["berlin"]
    query = keys(QueryRetrieveLevel="SERIES", StudyInstanceUID=ds.StudyInstanceUID, SeriesInstanceUID="",
                 TimezoneOffsetFromUTC="-0500")
    item_keys = dict(ScheduledProcedureStepStartDate="", ScheduledProcedureStepStartTime="")
    query.RequestAttributesSequence = [keys(**item_keys)]
    found, _, _ = ask(server, query, [0, 0, 0, 1])
    said = found[0].RequestAttributesSequence[0]
    assert (said.ScheduledProcedureStepStartDate, said.ScheduledProcedureStepStartTime) == ("20260228", "1810")
    for day, count in (("20260228", 1), ("20260301", 0)):
        query.RequestAttributesSequence = [keys(**dict(item_keys, ScheduledProcedureStepStartDate=day))]
        assert len(ask(server, query, [0, 0, 0, 1])[0]) == count


def test_FND_17_not_agreed_the_zone_is_no_key_and_moves_nothing(server, zones):
    for information in (None, (0, 0, 0, 0)):
        found = in_zone(server, zones, "-0500", information, StudyDate="20260301")
        assert set(found) == {"berlin", "india"} and found["berlin"].StudyTime == "003000.25"
        assert all("TimezoneOffsetFromUTC" not in match for match in found.values())
    # and agreed, without one in the identifier: as it is stored
    assert set(in_zone(server, zones, None, StudyDate="20260301")) == {"berlin", "india"}


@pytest.mark.parametrize("zone", [b"+1500", b"0100", b"+1", b"EST", b"*"])
def test_FND_17_a_zone_that_is_none_is_refused(server, zone):
    user = user_information(extra=extended(STUDY_FIND, [0, 0, 0, 1]))
    association = Association(server, [(1, STUDY_FIND, [EXPLICIT])], user=user)
    association.send_message(1, {0x0002: STUDY_FIND, 0x0100: 0x20, 0x0110: 1, 0x0700: 0, 0x0800: 1},
                             raw(8, 0x52, "CS", b"STUDY") + raw(8, 0x201, "SH", zone) + raw(0x20, 0x0D, "UI", b""))
    answers = association.answers(1)
    association.release()
    assert len(answers) == 1 and answers[0][0][0x0900] == 0xA900 and answers[0][0][0x0901] == [0x00080201]


def test_FND_11_fuzzy_names_where_they_are_agreed(server):
    patient = "FUZ" + token()
    names = ["Johnson^Mary", "Schmidt^Anna", "Mayer^Hans", "Unrelated^Person"]
    store_all(server, [make(PatientID=patient, PatientName=name) for name in names])
    for key, expected in (("Jonhson^Mary", names[0]), ("Mary Johnson", names[0]), ("Smith^Anna", names[1]),
                          ("Meier^Hans", names[2])):
        query = keys(QueryRetrieveLevel="STUDY", PatientID=patient, StudyInstanceUID="", PatientName=key)
        found, _, agreed = ask(server, query, [0, 0, 1])
        assert agreed == [0, 0, 1] and [str(match.PatientName) for match in found] == [expected], key
        assert ask(server, query)[0] == [], "not agreed: literal"


def test_FND_19_any_of_several_values_matches_and_all_are_returned(server):
    ds = make(PatientID="MUL" + token(), OtherPatientIDs=["AAA1", "BBB2", "CCC3"], ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    store_all(server, [ds])
    for value in ("AAA1", "BBB2", "CCC3", "B*", "??C3"):
        found, statuses, _ = ask(server, keys(QueryRetrieveLevel="STUDY", PatientID=ds.PatientID, StudyInstanceUID="",
                                              OtherPatientIDs=value))
        assert statuses == [0xFF00, 0] and list(found[0].OtherPatientIDs) == ["AAA1", "BBB2", "CCC3"]
    assert ask(server, keys(QueryRetrieveLevel="STUDY", PatientID=ds.PatientID, OtherPatientIDs="AAA"))[1] == [0]
    found, _, _ = ask(server, keys(QueryRetrieveLevel="IMAGE", StudyInstanceUID=ds.StudyInstanceUID,
                                   SeriesInstanceUID=ds.SeriesInstanceUID, SOPInstanceUID="", ImageType="AXIAL"))
    assert list(found[0].ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]


def test_FND_20_unsupported_keys_are_told_and_left_out(server, tree):
    """At STUDY level what belongs to series and instances is not supported, nor are pixels and unknown tags."""
    ds = tree[0]
    base = [raw(8, 0x52, "CS", b"STUDY"), raw(0x10, 0x20, "LO", ds.PatientID.encode()), raw(0x20, 0x0D, "UI", b"")]
    for extra, tag in [(raw(8, 0x60, "CS", b"XX"), 0x00080060), (raw(0x18, 0x15, "CS", b"NOSUCH"), 0x00180015),
                       (raw(0x20, 0x13, "IS", b"4711"), 0x00200013), (raw(0x20, 0x0E, "UI", b""), 0x0020000E),
                       (raw(8, 0x9999, "LO", b"NOSUCH"), 0x00089999), (raw(0x7FE0, 0x10, "OW", b""), 0x7FE00010),
                       (raw(0x40, 0x275, "SQ", b"\xFE\xFF\x00\xE0\x0A\0\0\0" + raw(0x40, 9, "SH", b"X ")), 0x00400275)]:
        answers = raw_find(server, sorted(base + [extra], key=lambda e: struct.unpack_from("<HH", e)))
        assert [answer[0x0900] for answer, _ in answers] == [0xFF01, 0xFF01, 0], hex(tag)
        needle = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        for _, content in answers[:-1]:
            assert needle not in content
    # supported, and empty in the archive: zero length and FF00
    found, statuses, _ = ask(server, keys(QueryRetrieveLevel="STUDY", PatientID=ds.PatientID, StudyInstanceUID="",
                                          PatientComments="", AdmissionID=""))
    assert statuses == [0xFF00, 0xFF00, 0]
    assert all(match["PatientComments"].is_empty and match["AdmissionID"].is_empty for match in found)


NAMES = [  # (Specific Character Set, name)
    ("ISO_IR 100", "Müller^Jörg"), ("ISO_IR 101", "Wałęsa^Łukasz"), ("ISO_IR 144", "Толстой^Лев"),
    ("ISO_IR 126", "Παπαδόπουλος^Νίκος"), ("ISO_IR 192", "Çelik^Ömer=山田^太郎"), ("GB18030", "Wang^XiaoDong=王^小东"),
    ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"), ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
    ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
]


@pytest.mark.parametrize("stored, name", NAMES)
def test_FND_22_found_in_any_character_set_and_answered_in_that_of_the_requester(server, stored, name):
    patient = "CHR" + token()
    store_all(server, [make(PatientID=patient, PatientName=name, SpecificCharacterSet=stored.split("\\"))])
    for requested in ("ISO_IR 100", "ISO_IR 192", "GB18030", "\\ISO 2022 IR 87", "\\ISO 2022 IR 149", "ISO_IR 13",
                      "ISO_IR 144", stored, None):
        query = keys(QueryRetrieveLevel="STUDY", PatientID=patient, StudyInstanceUID="", PatientName="")
        if requested:
            query.SpecificCharacterSet = requested.split("\\")
        found, statuses, _ = ask(server, query)
        assert statuses == [0xFF00, 0]
        used = found[0].get("SpecificCharacterSet", "")
        used = used if isinstance(used, str) else "\\".join(used)
        if requested == stored:
            assert used == stored, "the requester's own set holds it"
        assert used in (requested or "", "ISO_IR 192"), "the requester's set, or one that has everything"
        found[0].decode()
        assert str(found[0].PatientName) == name, requested
        # and by its name, in whatever set can say it
    for asking in (stored, "ISO_IR 192"):
        query = keys(SpecificCharacterSet=asking.split("\\"), QueryRetrieveLevel="STUDY", PatientID=patient,
                     StudyInstanceUID="", PatientName=name)
        assert len(ask(server, query)[0]) == 1, asking


def test_FND_22_the_example_of_the_standard_byte_by_byte(server):
    """PS3.5 H.3.1: the response to a console that knows ISO 2022 IR 87."""
    patient = "JIS" + token()
    store_all(server, [make(PatientID=patient, PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
                            SpecificCharacterSet="ISO_IR 192")])
    answers = raw_find(server, [raw(8, 5, "CS", b"\\ISO 2022 IR 87"), raw(8, 0x52, "CS", b"STUDY"),
                                raw(0x10, 0x10, "PN", b""), raw(0x10, 0x20, "LO", patient.encode())])
    expected = (b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B")
    assert raw(0x10, 0x10, "PN", expected) in answers[0][1] and b"\\ISO 2022 IR 87" in answers[0][1]


def test_FND_25_empty_and_multiple_values_where_they_are_agreed(server):
    patient = "EMP" + token()
    full = make(PatientID=patient, StudyDescription="Something", OtherPatientIDs=["A", "B", "C"])
    empty = make(PatientID=patient, StudyDescription="")
    absent = make(PatientID=patient)
    store_all(server, [full, empty, absent])
    base = dict(QueryRetrieveLevel="STUDY", PatientID=patient, StudyInstanceUID="")
    query = keys(StudyDescription='""', **base)
    found, _, agreed = ask(server, query, [0, 0, 0, 0, 0, 1])
    assert agreed == [0, 0, 0, 0, 0, 1]
    assert {match.StudyInstanceUID for match in found} == {empty.StudyInstanceUID, absent.StudyInstanceUID}
    assert ask(server, query)[0] == []
    query = keys(OtherPatientIDs=["C", "A"], **base)
    found, _, agreed = ask(server, query, [0, 0, 0, 0, 0, 0, 1])
    assert agreed[6] == 1 and [match.StudyInstanceUID for match in found] == [full.StudyInstanceUID]
    assert ask(server, query)[0] == []
    assert ask(server, keys(OtherPatientIDs=["C", "D"], **base), [0, 0, 0, 0, 0, 0, 1])[0] == []


def test_FND_26_no_conversion_of_multi_frame_images_is_offered(server, tree):
    query = keys(QueryRetrieveLevel="STUDY", PatientID=tree[0].PatientID, StudyInstanceUID="")
    query.add_new(0x00080053, "CS", "ENHANCED")
    found, statuses, agreed = ask(server, query, [0, 0, 0, 0, 1])
    assert agreed == [0, 0, 0, 0, 0] and statuses == [0xFF00, 0xFF00, 0]


@pytest.mark.parametrize("uid", [
    "1.2.840.10008.5.1.4.39.2", "1.2.840.10008.5.1.4.38.2", "1.2.840.10008.5.1.4.1.1.200.4",
    "1.2.840.10008.5.1.4.43.2", "1.2.840.10008.5.1.4.44.2", "1.2.840.10008.5.1.4.45.2",
])
def test_FND_28_other_query_services_are_refused_as_a_whole(server, uid):
    association = Association(server, [(1, uid, [EXPLICIT]), (3, STUDY_FIND, [EXPLICIT])])
    assert association.accepted.contexts[1][0] == 3
    association.release()


@pytest.mark.parametrize("key", [
    raw(0x10, 0x10, "PN", b"*?" * 3000), raw(0x10, 0x10, "PN", b"a*" * 60), raw(8, 0x1030, "LO", b"*a" * 60),
    raw(8, 0x20, "DA", b"20270101-20260101"),
])
def test_HOS_29_keys_that_are_meant_to_cost(server, key):
    began = time.monotonic()
    answers = raw_find(server, sorted([raw(8, 0x52, "CS", b"STUDY"), key], key=lambda e: struct.unpack_from("<HH", e)))
    assert answers[-1][0][0x0900] in (0, 0xA900, 0xA700) and time.monotonic() - began < 10


def test_HOS_29_very_many_keys_and_very_deep_ones(server):
    many = [raw(8, 0x52, "CS", b"STUDY")] + [struct.pack("<HH2sH", 0x4000 + i // 200 * 2, i % 200 + 1, b"LO", 0)
                                             for i in range(10000)]
    assert raw_find(server, many)[-1][0][0x0900] & 0xFF00 in (0xA700, 0xA900, 0)
    deep = b""
    for _ in range(60):
        deep = b"\xFE\xFF\x00\xE0" + struct.pack("<I", len(deep)) + deep
        deep = struct.pack("<HH2sHI", 0x40, 0x275, b"SQ", 0, len(deep)) + deep
    assert raw_find(server, [raw(8, 0x52, "CS", b"STUDY"), deep])[-1][0][0x0900] == 0xA900


def test_FND_01_pynetdicom_and_findscu_while_the_server_is_busy(server, tree):
    from pynetdicom import AE
    with busy(server, make):
        query = keys(QueryRetrieveLevel="STUDY", PatientID=tree[0].PatientID, StudyInstanceUID="")
        ae = AE("PYNETDICOM")
        ae.add_requested_context(STUDY_FIND)
        association = ae.associate("127.0.0.1", server.dimse_port, ae_title=server.ae_title)
        answers = list(association.send_c_find(query, STUDY_FIND))
        association.release()
        assert [status.Status for status, _ in answers] == [0xFF00, 0xFF00, 0]
        assert tree[0].StudyInstanceUID in [match.StudyInstanceUID for _, match in answers[:-1]]
        shown = subprocess.run(["findscu", "-S", "-aec", server.ae_title, "127.0.0.1", str(server.dimse_port), "-k",
                                "QueryRetrieveLevel=STUDY", "-k", f"PatientID={tree[0].PatientID}", "-k",
                                "StudyInstanceUID"], capture_output=True, text=True, timeout=30, check=True)
        assert tree[0].StudyInstanceUID in shown.stdout + shown.stderr


def test_FND_01_findscu_of_dcmtk(server, tree):
    shown = subprocess.run(
        ["findscu", "-S", "-aec", server.ae_title, "127.0.0.1", str(server.dimse_port), "-k", "QueryRetrieveLevel=STUDY",
         "-k", f"PatientID={tree[0].PatientID}", "-k", "StudyInstanceUID", "-k", "NumberOfStudyRelatedInstances"],
        capture_output=True, text=True, timeout=30, check=True)
    text = shown.stdout + shown.stderr
    assert tree[0].StudyInstanceUID in text and tree[3].StudyInstanceUID in text
