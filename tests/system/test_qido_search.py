# SPDX-License-Identifier: MIT
"""What QIDO-RS can search by beyond the keys of its tables: CONFORMANCE QIDO-05, -09, -10, -12, -14, -15, FND-17
(PS3.18 8.3.4)."""
import re
import resource
import socket
import urllib.parse
import uuid

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from bounds import until
from web import get, make, new_uid, store, value


def uids(answer, tag="0020000D"):
    return [value(item, tag) for item in answer.json()] if answer.content else []


def search(server, path, **parameters):
    """The answer of a search: 200 or 204. A space is not sent as a plus sign, which is one here (QIDO-06)."""
    query = urllib.parse.urlencode(parameters, quote_via=urllib.parse.quote)
    answer = requests.get(f"{server.dicomweb}{path}?{query}", timeout=60)
    assert answer.status_code in (200, 204), (answer.status_code, answer.text[:300])
    return answer


def nested(depth, text):
    """Content Sequence in Content Sequence, a Text Value at the bottom."""
    item = Dataset()
    if depth == 1:
        item.TextValue = text
    else:
        item.ContentSequence = Sequence([nested(depth - 1, text)])
    return item


def with_private(creator, block, text, **attributes):
    ds = make(**attributes)
    ds.add_new(0x00090000 + block, "LO", creator)
    ds.add_new(0x00090000 + (block << 8) + 1, "LO", text)
    return ds


def test_QIDO_05_a_sequence_path_goes_as_deep_as_the_limit_and_is_ignored_beyond(server):
    patient = uuid.uuid4().hex[:12]
    deep = make(PatientID=patient)
    deep.ContentSequence = Sequence([nested(8, "calcification")])
    store(server, deep, make(PatientID=patient))
    for sequence, leaf in (("ContentSequence", "TextValue"), ("0040A730", "0040a160")):
        path = ".".join([sequence] * 8 + [leaf])
        assert uids(search(server, "/instances", PatientID=patient, **{path: "calc*"}), "00080018") == [deep.SOPInstanceUID]
        assert not uids(search(server, "/instances", PatientID=patient, **{path: "mass*"}))
    answer = search(server, "/instances", PatientID=patient, **{".".join(["ContentSequence"] * 16 + ["TextValue"]): "x"})
    assert len(uids(answer)) == 2 and "ContentSequence" in answer.headers["Warning"]


def test_QIDO_05_a_private_tag_with_its_creator_is_found_in_whatever_block_it_stands(server):
    patient = uuid.uuid4().hex[:12]
    here = with_private("ACME 1.1", 0x10, "left", PatientID=patient)
    there = with_private("ACME 1.1", 0x2B, "left", PatientID=patient)
    other = with_private("OTHER", 0x10, "left", PatientID=patient)
    store(server, here, there, other)
    both = {here.SOPInstanceUID, there.SOPInstanceUID}
    keys = {"00090010": "ACME 1.1", "00091001": "left", "PatientID": patient}
    answer = search(server, "/instances", **keys)
    assert set(uids(answer, "00080018")) == both
    for item in answer.json():
        assert (value(item, "00090010"), value(item, "00091001")) == ("ACME 1.1", "left")
    assert set(uids(search(server, "/studies", **keys))) == {here.StudyInstanceUID, there.StudyInstanceUID}
    assert not uids(search(server, "/instances", **{**keys, "00091001": "right"}))
    # Without a creator the tag is what it says.
    plain = search(server, "/instances", PatientID=patient, **{"00091001": "left"})
    assert set(uids(plain, "00080018")) == {here.SOPInstanceUID, other.SOPInstanceUID}


def test_QIDO_09_private_and_nested_attributes_are_returned(server):
    ds = with_private("ACME 1.1", 0x10, "left")
    ds.ContentSequence = Sequence([nested(2, "deep")])
    store(server, ds)
    for field in ("00091001,0040A730", "00091001,ContentSequence.ContentSequence.TextValue"):
        item = search(server, "/instances", SOPInstanceUID=ds.SOPInstanceUID, includefield=field).json()[0]
        assert (value(item, "00090010"), value(item, "00091001")) == ("ACME 1.1", "left")
        assert value(value(value(item, "0040A730"), "0040A730"), "0040A160") == "deep"
    everything = search(server, "/instances", SOPInstanceUID=ds.SOPInstanceUID, includefield="all").json()[0]
    assert {"00091001", "0040A730", "00280010", "00080018"} <= set(everything) and "7FE00010" not in everything


def test_QIDO_10_fuzzy_matching_finds_names_that_sound_alike(server):
    patient = uuid.uuid4().hex[:12]
    names = {n: make(PatientID=patient, PatientName=n) for n in ("Meier^Anna", "Mayer^Anna", "Schulz^Anna")}
    store(server, *names.values())

    def found(**options):
        return set(uids(search(server, "/studies", PatientID=patient, PatientName="Anna Meier", **options)))

    answer = search(server, "/studies", PatientID=patient, PatientName="Anna Meier", fuzzymatching="true")
    assert set(uids(answer)) == {names[n].StudyInstanceUID for n in ("Meier^Anna", "Mayer^Anna")}
    assert "Warning" not in answer.headers
    assert found() == found(fuzzymatching="false") == set()
    get(f"{server.dicomweb}/studies?fuzzymatching=perhaps", expected=400)


def test_QIDO_14_empty_values_are_asked_for_with_two_quotes(server):
    patient = uuid.uuid4().hex[:12]
    without, with_one = make(PatientID=patient, AccessionNumber=""), make(PatientID=patient)
    store(server, without, with_one)
    keys = dict(PatientID=patient, AccessionNumber='""')
    assert uids(search(server, "/studies", emptyvaluematching="true", **keys)) == [without.StudyInstanceUID]
    assert not uids(search(server, "/studies", **keys))
    get(f"{server.dicomweb}/studies?emptyvaluematching=1", expected=400)


def test_QIDO_14_several_values_must_all_be_there(server):
    patient = uuid.uuid4().hex[:12]
    study = new_uid()
    store(server, make(study=study, PatientID=patient), make(study=study, PatientID=patient, Modality="MR"),
          make(PatientID=patient))
    for values in ("CT\\MR", "MR\\CT", "MR,CT"):
        keys = dict(PatientID=patient, ModalitiesInStudy=values, multiplevaluematching="true")
        assert uids(search(server, "/studies", **keys)) == [study], values
    assert not uids(search(server, "/studies", PatientID=patient, ModalitiesInStudy="CT\\US", multiplevaluematching="true"))
    get(f"{server.dicomweb}/studies?multiplevaluematching=", expected=400)


@pytest.mark.parametrize("name", ["TimezoneOffsetFromUTC", "00080201", "timezone"])
def test_FND_17_QIDO_14_dates_and_times_are_those_of_the_zone_that_is_asked_in(server, name):
    patient = uuid.uuid4().hex[:12]
    ds = make(PatientID=patient, StudyDate="20260102", StudyTime="233000", TimezoneOffsetFromUTC="+0100")
    store(server, ds)
    base = f"{server.dicomweb}/studies?PatientID={patient}"
    assert uids(get(f"{base}&StudyDate=20260102")) == [ds.StudyInstanceUID]
    (item,) = get(f"{base}&StudyDate=20260103&StudyTime=0030&{name}=+0200").json()
    assert (value(item, "00080020"), value(item, "00080030"), value(item, "00080201")) == ("20260103", "003000", "+0200")
    assert not uids(get(f"{base}&StudyDate=20260102&{name}=%2B0200", expected=204))
    get(f"{base}&{name}=Berlin", expected=400)


def test_QIDO_07_the_total_is_told_beside_the_warning(server):
    patient = uuid.uuid4().hex[:12]
    store(server, *[make(PatientID=patient) for _ in range(5)])
    for query, total in (("limit=2", "5"), ("limit=2&offset=4", "5"), ("", "5"), ("limit=0", "5"), ("offset=9", "5")):
        answer = requests.get(f"{server.dicomweb}/studies?PatientID={patient}&{query}", timeout=30)
        assert answer.headers["X-Total-Count"] == total, query
    assert requests.get(f"{server.dicomweb}/studies?PatientID=NOBODY", timeout=30).headers["X-Total-Count"] == "0"


def test_QIDO_15_matches_are_sorted_by_any_attribute(server):
    patient = uuid.uuid4().hex[:12]
    ages = {"045Y": "B^B", "007Y": "a^c", "": "C^A", "101Y": "A^B"}
    made = {}
    for number, (age, name) in enumerate(ages.items()):
        made[age] = make(PatientID=patient, PatientName=name, PatientAge=age, StudyDate=f"2026010{number + 1}", SeriesNumber=[10, 9, 100, 1][number])
    store(server, *made.values())

    def ordered(path="/studies", **parameters):
        by_uid = {d.StudyInstanceUID: age for age, d in made.items()}
        return [by_uid[u] for u in uids(search(server, path, PatientID=patient, **parameters))]

    assert ordered() == ["101Y", "", "007Y", "045Y"]
    assert ordered(orderby="PatientAge") == ["007Y", "045Y", "101Y", ""]
    assert ordered(orderby="-PatientAge") == ["101Y", "045Y", "007Y", ""], "what has no value comes last either way"
    assert ordered(sort="PatientName") == ["101Y", "007Y", "045Y", ""], "without regard to case"
    assert ordered(orderby="00080020") == ["045Y", "007Y", "", "101Y"]
    assert ordered(orderby="-StudyDate") == ordered()
    assert ordered("/series", orderby="SeriesNumber") == ["101Y", "007Y", "045Y", ""], "numbers as numbers"
    assert ordered(orderby="PatientSex,-PatientAge") == ordered(orderby="-PatientAge")
    pages = [ordered(orderby="PatientAge", limit=1, offset=n) for n in range(4)]
    assert sum(pages, []) == ordered(orderby="PatientAge")
    answer = search(server, "/studies", PatientID=patient, orderby="PatientAge", limit=1)
    assert answer.headers["X-Total-Count"] == "4" and "3 additional" in answer.headers["Warning"]
    assert "NoSuchAttribute" in search(server, "/studies", PatientID=patient, orderby="NoSuchAttribute").headers["Warning"]


def test_QIDO_12_a_search_without_limit_is_capped_with_a_warning_and_the_memory_stays(start_server):
    # What is freed is kept for a while by a sanitized build.
    server = start_server({"dicomweb": {"queryLimit": 200}}, env={"ASAN_OPTIONS": "quarantine_size_mb=1"})
    study = new_uid()
    store(server, *[make(study=study, PatientID="P1", InstanceNumber=n) for n in range(450)])

    def resident():
        with open(f"/proc/{server.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    get(f"{server.dicomweb}/instances?includefield=all")
    before = resident()
    for _ in range(3):
        for query in ("", "limit=1000000", "orderby=-InstanceNumber", "includefield=all"):
            answer = get(f"{server.dicomweb}/instances?{query}")
            assert len(answer.json()) == 200
            assert answer.headers["Warning"].endswith("There are 250 additional results that can be requested")
            assert answer.headers["X-Total-Count"] == "450"
    assert resident() - before < 64 << 20


def slow_search(server, count):
    """The path of a search that looks long into each of so many instances (a tenth of a second), and finds nothing."""
    study = new_uid()
    store(server, *(make(study=study, ContentSequence=Sequence([nested(1, "a" * 4000) for _ in range(20)])) for _ in range(count)))
    return f"/dicomweb/instances?ContentSequence.TextValue=*{'a' * 2000}b*"


def test_QIDO_12_a_search_that_looks_too_long_for_its_next_match_is_413(start_server):
    server = start_server({"dicomweb": {"queryTimeoutSeconds": 0.1}})
    path = slow_search(server, 8)
    answer = requests.get(server.url + path, timeout=60)
    assert answer.status_code == 413 and "narrow" in answer.text

    def soon(url):  # what is quick is too slow only where the machine stood still
        return until(lambda: answer if (answer := requests.get(url, timeout=60)).status_code == 200 else None, "an answer in time")

    assert len(soon(server.dicomweb + "/instances").json()) == 8
    # What was found, in the newest study first, stands, though counting what else there is takes too long.
    found = make(StudyDate="20300101", ContentSequence=Sequence([nested(1, "a" * 2000 + "b")]))
    store(server, found)
    answer = soon(server.url + path + "&limit=1")
    assert uids(answer, "00080018") == [found.SOPInstanceUID]
    assert "There may be additional results" in answer.headers["Warning"] and "X-Total-Count" not in answer.headers


def test_QIDO_12_a_search_ends_when_its_client_has_gone(start_server):
    server = start_server()
    path = slow_search(server, 60)
    with socket.create_connection(("127.0.0.1", server.http_port), 60) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    line = until(lambda: re.search(r"path=/dicomweb/instances status=(\d+)", server.log()), "the end of the search", 120)
    assert line.group(1) == "503"


def test_QIDO_12_a_page_of_megabytes_arrives_whole_in_every_form(start_server):
    server = start_server()
    study = new_uid()
    store(server, *(make(study=study, ContentSequence=Sequence([nested(1, "a" * 4000) for _ in range(200)])) for _ in range(5)))
    url = f"{server.dicomweb}/studies/{study}/instances?includefield=all"
    plain = requests.get(url, headers={"Accept-Encoding": "identity"}, timeout=60)
    size = int(plain.headers["Content-Length"])
    assert plain.status_code == 200 and len(plain.content) == size > 4_000_000
    assert len(plain.json()) == 5
    packed = requests.get(url, headers={"Accept-Encoding": "gzip"}, timeout=60)
    assert packed.headers["Content-Encoding"] == "gzip" and packed.content == plain.content
    xml = requests.get(url, headers={"Accept": 'multipart/related; type="application/dicom+xml"'}, timeout=60)
    assert xml.status_code == 200 and xml.content.count(b"</NativeDicomModel>") == 5
    answer = requests.head(url, headers={"Accept-Encoding": "identity"}, timeout=60)
    assert answer.status_code == 200 and int(answer.headers["Content-Length"]) == size and not answer.content


def test_QIDO_12_a_page_that_is_too_far_to_be_sorted_is_413(server):
    answer = get(f"{server.dicomweb}/studies?orderby=PatientName&offset=60000", expected=413)
    assert "sort" in answer.text
