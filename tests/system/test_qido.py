# SPDX-License-Identifier: MIT
"""QIDO-RS, CONFORMANCE QIDO-01 to QIDO-09 and QIDO-13 (PS3.18 10.6)."""
import uuid

import pytest
import requests

from web import get, make, new_uid, store, url_of, value
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

STUDY_TAGS = (
    "00080020 00080030 00080050 00080056 00080061 00080090 00081190 00100010 00100020 00100030 00100040 0020000D "
    "00200010 00201206 00201208"
).split()
SERIES_TAGS = "00080060 0008103E 00081190 0020000E 00200011 00201209 00400244 00400245 00400275".split()
INSTANCE_TAGS = "00080016 00080018 00080056 00081190 00200013 00280008 00280010 00280011 00280100".split()


@pytest.fixture(scope="module")
def archive(server):
    """Two studies of two patients: one with a CT series of three and an MR series of one, one with a single CT."""
    tag = uuid.uuid4().hex[:8].upper()
    study, ct, mr, other = new_uid(), new_uid(), new_uid(), new_uid()
    request = Dataset()
    request.ScheduledProcedureStepID = "SPS" + tag
    request.RequestedProcedureID = "RP" + tag
    common = dict(
        study=study, PatientID="Q" + tag, PatientName=f"Quast^{tag}", StudyDate="20250304", StudyTime="080910",
        AccessionNumber="ACC" + tag, StudyID="ID" + tag, StudyDescription="Head and neck",
    )
    cts = [
        make(series=ct, InstanceNumber=n, SeriesNumber=2, SeriesDescription="axial", RequestAttributesSequence=Sequence([request]), **common)
        for n in (1, 2, 3)
    ]
    mrs = [make(series=mr, Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4", SeriesNumber=7, **common)]
    single = make(study=other, PatientID="R" + tag, PatientName=f"Roe^{tag}", StudyDate="20250305", AccessionNumber="BCC" + tag)
    store(server, *cts, *mrs, single)

    class Archive:
        pass

    found = Archive()
    found.__dict__.update(locals())
    found.server = server
    found.web = server.dicomweb
    return found


def uids(answer, tag="0020000D"):
    return [value(item, tag) for item in answer.json()]


def test_QIDO_01_six_resources_answer_with_an_array_of_matches(archive):
    a = archive
    for path, tag, expected in [
        (f"/studies?PatientID=Q{a.tag}", "0020000D", {a.study}),
        (f"/series?PatientID=Q{a.tag}", "0020000E", {a.ct, a.mr}),
        (f"/instances?PatientID=Q{a.tag}", "00080018", {d.SOPInstanceUID for d in a.cts + a.mrs}),
        (f"/studies/{a.study}/series", "0020000E", {a.ct, a.mr}),
        (f"/studies/{a.study}/instances", "00080018", {d.SOPInstanceUID for d in a.cts + a.mrs}),
        (f"/studies/{a.study}/series/{a.ct}/instances", "00080018", {d.SOPInstanceUID for d in a.cts}),
    ]:
        answer = get(a.web + path, "application/dicom+json")
        assert answer.headers["Content-Type"].startswith("application/dicom+json"), path
        found = uids(answer, tag)
        assert len(found) == len(set(found)) and set(found) == expected, path


@pytest.mark.parametrize(
    "key,of",
    [
        ("StudyDate=20250304", lambda a: a.study), ("StudyTime=080910", lambda a: a.study),
        ("AccessionNumber=ACC{tag}", lambda a: a.study), ("ModalitiesInStudy=MR", lambda a: a.study),
        ("ReferringPhysicianName=Ref^Doc", lambda a: a.study), ("PatientName=Quast^{tag}", lambda a: a.study),
        ("PatientID=Q{tag}", lambda a: a.study), ("StudyInstanceUID={study}", lambda a: a.study),
        ("StudyID=ID{tag}", lambda a: a.study),
    ],
)
def test_QIDO_02_required_study_keys_match(archive, key, of):
    key = key.format(tag=archive.tag, study=archive.study)
    answer = get(f"{archive.web}/studies?{key}&AccessionNumber=ACC{archive.tag}" if "Accession" not in key else f"{archive.web}/studies?{key}")
    assert uids(answer) == [of(archive)]


def test_QIDO_02_a_study_key_with_another_value_does_not_match(archive):
    for key in ("StudyDate=20250306", "StudyTime=0811", "ModalitiesInStudy=US", "ReferringPhysicianName=Nobody", "StudyID=NONE"):
        get(f"{archive.web}/studies?AccessionNumber=ACC{archive.tag}&{key}", expected=204)


def test_QIDO_02_required_series_and_instance_keys_match(archive):
    a = archive
    base = f"{a.web}/studies/{a.study}"
    for key, expected in [
        ("Modality=MR", {a.mr}), (f"SeriesInstanceUID={a.ct}", {a.ct}), ("SeriesNumber=2", {a.ct}),
        (f"RequestAttributesSequence.ScheduledProcedureStepID=SPS{a.tag}", {a.ct}),
        (f"00400275.00401001=RP{a.tag}", {a.ct}),
    ]:
        assert set(uids(get(f"{base}/series?{key}"), "0020000E")) == expected, key
    get(f"{base}/series?RequestAttributesSequence.ScheduledProcedureStepID=OTHER", expected=204)
    first = a.cts[0]
    for key in ("InstanceNumber=1", f"SOPInstanceUID={first.SOPInstanceUID}"):
        assert uids(get(f"{base}/series/{a.ct}/instances?{key}"), "00080018") == [first.SOPInstanceUID]
    assert len(uids(get(f"{base}/instances?SOPClassUID=1.2.840.10008.5.1.4.1.1.4"), "00080018")) == 1


def test_QIDO_03_required_attributes_are_returned_unasked(archive):
    a = archive
    study = get(f"{a.web}/studies?StudyInstanceUID={a.study}").json()[0]
    assert set(STUDY_TAGS) <= set(study)
    assert value(study, "00201206") == 2 and value(study, "00201208") == 4
    assert sorted(study["00080061"]["Value"]) == ["CT", "MR"]
    assert value(study, "00080056") == "ONLINE"
    series = get(f"{a.web}/studies/{a.study}/series?SeriesInstanceUID={a.ct}").json()[0]
    assert set(SERIES_TAGS) <= set(series)
    assert value(series, "00201209") == 3
    assert "00100010" not in series
    instance = get(f"{a.web}/studies/{a.study}/series/{a.ct}/instances").json()[0]
    assert set(INSTANCE_TAGS) <= set(instance)
    assert (value(instance, "00280010"), value(instance, "00280011"), value(instance, "00280100")) == (16, 16, 16)


def test_QIDO_03_relational_results_carry_the_levels_above(archive):
    a = archive
    series = get(f"{a.web}/series?SeriesInstanceUID={a.ct}").json()[0]
    assert set(SERIES_TAGS) | {"00100010", "00100020", "00080020", "0020000D"} <= set(series)
    instance = get(f"{a.web}/instances?SOPInstanceUID={a.cts[0].SOPInstanceUID}").json()[0]
    assert set(INSTANCE_TAGS) | {"00100020", "00080060", "0020000E"} <= set(instance)
    instance = get(f"{a.web}/studies/{a.study}/instances").json()[0]
    assert {"00080060", "0020000E"} <= set(instance) and "00100020" not in instance


def test_QIDO_03_retrieve_urls_work_as_they_are(archive):
    a = archive
    for path in (f"/studies?StudyInstanceUID={a.study}", f"/studies/{a.study}/series", f"/studies/{a.study}/instances"):
        url = value(get(a.web + path).json()[0], "00081190")
        assert url.startswith(a.web)
        assert requests.get(url + "/metadata", timeout=30).status_code == 200


def test_QIDO_04_no_match_is_204_without_a_body(archive):
    for path in ("/studies?PatientID=NOBODY-AT-ALL", "/series?Modality=XX", "/instances?SOPInstanceUID=2.25.1"):
        answer = get(archive.web + path, expected=204)
        assert answer.content == b""


def test_QIDO_05_keyword_and_tag_in_either_case_are_the_same_key(archive):
    a = archive
    for name in ("PatientID", "00100020"):
        assert uids(get(f"{a.web}/studies?{name}=Q{a.tag}")) == [a.study]
    for name in ("0020000D", "0020000d", "StudyInstanceUID"):
        assert uids(get(f"{a.web}/studies?{name}={a.study}")) == [a.study]


def test_QIDO_05_an_attribute_given_twice_is_400(archive):
    get(f"{archive.web}/studies?PatientID=A&PatientID=B", expected=400)
    get(f"{archive.web}/studies?PatientID=A&00100020=B", expected=400)


def test_QIDO_05_an_unknown_keyword_is_ignored_with_a_warning(archive):
    answer = get(f"{archive.web}/studies?AccessionNumber=ACC{archive.tag}&NoSuchKeyword=1")
    assert uids(answer) == [archive.study]
    assert answer.headers["Warning"].startswith("299 ") and "NoSuchKeyword" in answer.headers["Warning"]


def test_QIDO_06_matching_rules_are_those_of_c_find(archive):
    a = archive
    acc = f"AccessionNumber=ACC{a.tag}"
    for key, hit in [
        (f"AccessionNumber=acc{a.tag}", False), (f"AccessionNumber=ACC{a.tag[:-1]}?", True),
        (f"{acc}&StudyDate=20250301-20250310", True), (f"{acc}&StudyDate=-20250303", False),
        (f"{acc}&StudyDate=20250304-", True), (f"PatientName=quast^{a.tag}", True), (f"PatientName=Qu*{a.tag}", True),
        (f"PatientName=Quast%5E{a.tag}", True), (f"{acc}&PatientName=*", True),
        (f"StudyInstanceUID={a.study},2.25.77", True), (f"StudyInstanceUID=2.25.78%5C{a.study}", True),
        (f"StudyInstanceUID=2.25.78%2C{a.study}", True),
    ]:
        answer = requests.get(f"{a.web}/studies?{key}", timeout=30)
        assert answer.status_code == (200 if hit else 204), key
        if hit:
            assert uids(answer) == [a.study], key


def test_QIDO_06_a_plus_sign_is_a_plus_sign(server):
    tag = uuid.uuid4().hex[:8]
    ds = make(AccessionNumber=f"X+{tag}")
    store(server, ds)
    assert uids(get(f"{server.dicomweb}/studies?AccessionNumber=X+{tag}")) == [ds.StudyInstanceUID]
    get(f"{server.dicomweb}/studies?AccessionNumber=X%20{tag}", expected=204)


def test_QIDO_06_date_and_time_ranges_are_one_span(server):
    tag = uuid.uuid4().hex[:10]
    inside = [make(PatientID=tag, StudyDate=d, StudyTime=t) for d, t in (("20060705", "1830"), ("20060706", "0100"), ("20060707", "1759"))]
    outside = [make(PatientID=tag, StudyDate=d, StudyTime=t) for d, t in (("20060705", "0959"), ("20060707", "1801"))]
    store(server, *inside, *outside)
    answer = get(f"{server.dicomweb}/studies?PatientID={tag}&StudyDate=20060705-20060707&StudyTime=1000-1800")
    assert set(uids(answer)) == {d.StudyInstanceUID for d in inside}


def test_QIDO_06_bad_dates_are_400_and_never_all_studies(archive):
    for key in ("StudyDate=20061301", "StudyDate=20060708-20060701", "StudyDate=yesterday", "StudyDate=2006*"):
        get(f"{archive.web}/studies?{key}", expected=400)


def test_QIDO_07_pages_miss_and_repeat_nothing(server):
    patient = uuid.uuid4().hex[:12]
    studies = [make(PatientID=patient, StudyDate=f"202501{d:02}") for d in range(1, 12)]
    store(server, *studies)
    expected = [d.StudyInstanceUID for d in reversed(studies)]
    seen = []
    for offset in range(0, 12, 4):
        answer = get(f"{server.dicomweb}/studies?PatientID={patient}&limit=4&offset={offset}")
        seen += uids(answer)
        rest = len(studies) - len(seen)
        if rest:
            assert answer.headers["Warning"].endswith(f"There are {rest} additional results that can be requested")
        else:
            assert "Warning" not in answer.headers
    assert seen == expected, "newest study first"


def test_QIDO_08_limits_that_are_no_numbers_are_400(archive):
    for bad in ("limit=-1", "limit=", "limit=abc", "offset=-5", "limit=99999999999999999999", "offset=1.5"):
        get(f"{archive.web}/studies?{bad}", expected=400)
    get(f"{archive.web}/studies?limit=0", expected=204)
    get(f"{archive.web}/studies?PatientID=Q{archive.tag}&offset=5", expected=204)


def test_QIDO_09_include_fields_by_name_tag_and_list(archive):
    a = archive
    base = f"{a.web}/studies?StudyInstanceUID={a.study}"
    assert "00081030" not in get(base).json()[0]
    for field in ("includefield=StudyDescription", "includefield=00081030", "includefield=00081030%2C00100030"):
        assert value(get(f"{base}&{field}").json()[0], "00081030") == "Head and neck", field
    everything = get(f"{base}&includefield=all").json()[0]
    assert value(everything, "00081030") == "Head and neck"
    get(f"{base}&includefield=all&includefield=00081030", expected=400)
    answer = get(f"{base}&includefield=NoSuchField")
    assert "NoSuchField" in answer.headers["Warning"]


def test_QIDO_13_counts_follow_a_store_and_a_delete_at_once(server):
    ds = make()
    second = make(study=ds.StudyInstanceUID, PatientID=ds.PatientID)
    url = f"{server.dicomweb}/studies?StudyInstanceUID={ds.StudyInstanceUID}"
    store(server, ds)
    assert value(get(url).json()[0], "00201208") == 1
    store(server, second)
    assert (value(get(url).json()[0], "00201208"), value(get(url).json()[0], "00201206")) == (2, 2)
    assert requests.delete(url_of(server, second), timeout=30).status_code in (200, 204)
    assert (value(get(url).json()[0], "00201208"), value(get(url).json()[0], "00201206")) == (1, 1)


def test_HOS_26_a_uid_in_the_path_that_is_none_is_400(server):
    for bad in ("..%2f..%2fetc", "abc", "1.2.3%00", "1" * 65, "%2e%2e"):
        assert requests.get(f"{server.dicomweb}/studies/{bad}/series", timeout=30).status_code in (400, 404), bad
