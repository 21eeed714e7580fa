# SPDX-License-Identifier: MIT
"""Results of the FHIR view in an order that is asked for (_sort), and what is said where there is no such order."""
import report
import requests
from test_fhir_follow import delete, store_in_order
from test_fhir_search import STRICT, found
from test_fhir_view import ask, refused
from web import make, store


def uid_of(ds):
    return ds.StudyInstanceUID


def updated(server, kind, reference):
    return ask(server, f"{kind}/{reference}")["meta"]["lastUpdated"]


def test_studies_are_sorted_by_when_they_began(start_server):
    server = start_server()
    days = ("20240301", "20240115", "", "20240402", "20231231")
    stored = [make(StudyDate=day, StudyTime="101112" if day else "", PatientID="P1" if i % 2 else "P2") for i, day in enumerate(days)]
    store(server, *stored)
    ascending = [uid_of(stored[i]) for i in (4, 1, 0, 3, 2)]
    descending = [uid_of(stored[i]) for i in (3, 0, 1, 4, 2)]  # what has no date comes last both ways
    for count in (1, 2, 100):
        assert found(server, _sort="started", _count=count) == ascending
        assert found(server, _sort="-started", _count=count) == descending
        assert found(server, _sort="started", started="ge2024-01-01", _count=count) == ascending[1:4]
        # Of a patient they are few, and are put in order by what they say.
        assert found(server, _sort="started", _count=count, **{"patient.identifier": "P2"}) == [uid_of(stored[i]) for i in (4, 0, 2)]
        assert found(server, _sort="-started", _count=count, **{"patient.identifier": "P2"}) == [uid_of(stored[i]) for i in (0, 4, 2)]
    page = ask(server, "ImagingStudy", 200, STRICT, _sort="started", _count=2, _total="accurate")
    assert page["total"] == 5 and "_sort=started" in page["link"][0]["url"]


def test_studies_are_sorted_by_their_ids(start_server):
    server = start_server()
    stored = [make(PatientID="P1") for _ in range(5)]
    store(server, *stored)
    ascending = sorted(map(uid_of, stored))
    for count in (1, 2, 100):
        for criteria in ({}, {"patient.identifier": "P1"}, {"modality": stored[0].Modality}):
            assert found(server, _sort="_id", _count=count, **criteria) == ascending
            assert found(server, _sort="-_id", _count=count, **criteria) == ascending[::-1]


def test_what_is_there_is_sorted_by_when_it_was_changed(start_server):
    server = start_server()
    stored = [make(PatientID=f"P{i}") for i in range(4)]
    store_in_order(server, *stored)
    store(server, report.measurements(stored[1], 1, 2))  # now it is the last one
    gone = make()
    store(server, gone)
    delete(server, gone)
    ascending = [uid_of(stored[i]) for i in (0, 2, 3, 1)]
    since = updated(server, "ImagingStudy", uid_of(stored[2]))
    for count in (1, 2, 100):
        assert found(server, _sort="_lastUpdated", _count=count) == ascending
        assert found(server, _sort="-_lastUpdated", _count=count) == ascending[::-1]
        assert found(server, _sort="_lastUpdated", _lastUpdated=f"gt{since}", _count=count) == ascending[2:]
        assert found(server, _sort="_lastUpdated", identifier=",".join(f"urn:oid:{uid}" for uid in ascending), _count=count) == ascending
        for sort, patients in (("_lastUpdated", ["P0", "P2", "P3", "P1"]), ("-_lastUpdated", ["P1", "P3", "P2", "P0"])):
            ids = found(server, "Patient", _sort=sort, _count=count)
            assert [ask(server, f"Patient/{i}")["identifier"][0]["value"] for i in ids] == patients
            ids = found(server, "Patient", _sort=sort, identifier="P3,P0,P1,P2", _count=count)
            assert [ask(server, f"Patient/{i}")["identifier"][0]["value"] for i in ids] == patients


def test_what_documents_say_is_sorted_by_when_their_study_was_changed(start_server):
    server = start_server()
    stored = [make(PatientID="P1") for _ in range(3)]
    for ds in stored:
        store(server, ds, report.measurements(ds, 1, 2))
    studies = [f"ImagingStudy/{uid_of(ds)}" for ds in stored]
    for count in (1, 2, 100):
        for criteria in ({}, {"patient.identifier": "P1"}):
            for sort, expected in (("_lastUpdated", studies), ("-_lastUpdated", studies[::-1])):
                ids = found(server, "DiagnosticReport", _sort=sort, _count=count, **criteria)
                assert [ask(server, f"DiagnosticReport/{i}")["imagingStudy"][0]["reference"] for i in ids] == expected
                ids = found(server, "Observation", _sort=sort, _count=count, **criteria)
                assert len(ids) == len(set(ids)) == 9
                times = [updated(server, "Observation", i) for i in ids]
                assert times == sorted(times, reverse=sort[0] == "-")


def test_who_follows_by_pages_in_the_order_of_changes_misses_nothing(start_server):
    server = start_server()
    stored = [make() for _ in range(4)]
    store_in_order(server, *stored)
    page = ask(server, "ImagingStudy", 200, STRICT, _sort="_lastUpdated", _count=2)
    following = [link["url"] for link in page["link"] if link["relation"] == "next"][0]
    # Between two pages one that was seen changes, and one that was not.
    more = [make(study=uid_of(stored[i]), PatientID=stored[i].PatientID) for i in (0, 2)]
    store_in_order(server, *more)
    seen = [e["resource"]["id"] for e in page["entry"]]
    rest = found(server, following)
    assert seen == [uid_of(stored[0]), uid_of(stored[1])]
    assert rest == [uid_of(stored[3]), uid_of(stored[0]), uid_of(stored[2])]


def test_an_order_that_there_is_not_is_refused_or_left_out_and_that_is_said(server):
    store(server, make())
    for kind, sort in (("ImagingStudy", "status"), ("ImagingStudy", "started,_id"), ("Patient", "family"), ("Endpoint", "_id"),
                       ("Observation", "-date"), ("ImagingStudy", "-"), ("Patient", "started")):
        answer = refused(server, kind, 400, "invalid", params={"_sort": sort}, headers=STRICT)
        assert f"in which {kind} cannot be had" in answer.json()["issue"][0]["diagnostics"]
        page = ask(server, kind, 200, {"Prefer": "handling=lenient"}, _sort=sort, _count=1)
        said = [e["resource"] for e in page["entry"] if e["search"]["mode"] == "outcome"]
        assert [(i["severity"], i["code"]) for i in said[0]["issue"]] == [("warning", "not-supported")] and len(said) == 1
        assert "_sort" not in page["link"][0]["url"]
    answer = requests.get(f"{server.fhir_view}/ImagingStudy", params=[("_sort", "started"), ("_sort", "_id")], timeout=60, headers=STRICT)
    assert answer.status_code == 400


def test_the_capabilities_tell_each_order_that_there_is(server):
    store(server, make())
    for resource in ask(server, "metadata")["rest"][0]["resource"]:
        kind, text = resource["type"], resource.get("documentation", "")
        if "_sort by one of:" not in text:
            assert kind in ("Endpoint", "ServiceRequest")
            continue
        names = text.split(":")[1].split(";")[0].split()
        assert names
        for name in names:
            for sort in (name, "-" + name):
                ask(server, kind, 200, STRICT, _sort=sort, _count=1)
