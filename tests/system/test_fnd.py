# SPDX-License-Identifier: MIT
"""C-FIND (PS3.4 annex C)."""
import subprocess
import uuid

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from upper_layer import (
    COMMAND, CT, EXPLICIT, IMPLICIT, PATIENT_FIND, STUDY_FIND, Association, command, encode, find, fragments, keys,
    store_all, store_many,
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


def test_FND_01_findscu_of_dcmtk(server, tree):
    shown = subprocess.run(
        ["findscu", "-S", "-aec", server.ae_title, "127.0.0.1", str(server.dimse_port), "-k", "QueryRetrieveLevel=STUDY",
         "-k", f"PatientID={tree[0].PatientID}", "-k", "StudyInstanceUID", "-k", "NumberOfStudyRelatedInstances"],
        capture_output=True, text=True, timeout=30, check=True)
    text = shown.stdout + shown.stderr
    assert tree[0].StudyInstanceUID in text and tree[3].StudyInstanceUID in text
