# SPDX-License-Identifier: MIT
"""Followers of the FHIR view: histories by when studies changed, searches by _lastUpdated, bulk export."""
import hashlib
import json
import threading

import report
import requests
from test_fhir_search import STRICT, found
from test_fhir_view import ask, ids, refused
from web import make, new_uid, store


def history(server, **parameters):
    """(method, study UID) of all pages."""
    bundle = ask(server, "ImagingStudy/_history", 200, STRICT, **parameters)
    entries = []
    while True:
        assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "history")
        for entry in bundle.get("entry", []):
            uid = entry["request"]["url"].removeprefix("ImagingStudy/")
            assert entry["fullUrl"] == f"{server.fhir_view}/ImagingStudy/{uid}"
            if entry["request"]["method"] == "PUT":
                assert entry["resource"]["id"] == uid
                assert entry["response"]["etag"] == f'W/"{entry["resource"]["meta"]["versionId"]}"'
                assert entry["response"]["lastModified"] == entry["resource"]["meta"]["lastUpdated"]
            entries.append((entry["request"]["method"], uid))
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        if not following:
            return entries
        bundle = ask(server, following[0])


def store_in_order(server, *datasets):
    for ds in datasets:
        store(server, ds)


def delete(server, ds, *levels):
    path = "/".join([f"studies/{ds.StudyInstanceUID}", *levels])
    assert requests.delete(f"{server.dicomweb}/{path}", timeout=60).status_code == 204


def test_a_history_has_each_study_once_at_its_last_change(start_server):
    server = start_server()
    first, second, third = make(), make(), make()
    store_in_order(server, first, second, third)
    assert history(server) == [("PUT", d.StudyInstanceUID) for d in (third, second, first)]
    more = make(study=first.StudyInstanceUID, PatientID=first.PatientID)
    store(server, more)
    since = ask(server, f"ImagingStudy/{first.StudyInstanceUID}")["meta"]["lastUpdated"]
    expected = [("PUT", d.StudyInstanceUID) for d in (first, third, second)]
    for count in (1, 2, 100):
        assert history(server, _count=count) == expected
    delete(server, second)
    delete(server, first, f"series/{first.SeriesInstanceUID}")
    changed = [("PUT", first.StudyInstanceUID), ("DELETE", second.StudyInstanceUID)]
    assert history(server, _since=since)[:2] == changed
    assert history(server) == [*changed, ("PUT", third.StudyInstanceUID)]
    store(server, second)  # it comes back
    assert history(server, _count=1) == [("PUT", d.StudyInstanceUID) for d in (second, first, third)]
    assert history(server, _since="2100-01-01T00:00:00Z") == []
    one = ask(server, f"ImagingStudy/{third.StudyInstanceUID}/_history")
    assert one["total"] == 1 and one["entry"][0]["resource"]["id"] == third.StudyInstanceUID
    delete(server, third)
    one = ask(server, f"ImagingStudy/{third.StudyInstanceUID}/_history")
    assert [e["request"]["method"] for e in one["entry"]] == ["DELETE"]
    refused(server, f"ImagingStudy/{new_uid()}/_history", 404, "not-found")
    refused(server, "ImagingStudy/_history?_since=now", 400, "invalid")
    refused(server, "ImagingStudy/_history?_page=x", 400, "invalid")


def test_a_study_of_many_instances_that_is_deleted_is_told_of_once_whatever_the_page(start_server):
    server = start_server()
    studies = []
    for _ in range(2):
        first = make()
        studies.append(first)
        store(server, first, *[make(study=first.StudyInstanceUID, PatientID=first.PatientID) for _ in range(4)])
    for ds in studies:
        delete(server, ds)
    expected = [("DELETE", ds.StudyInstanceUID) for ds in reversed(studies)]
    for count in (1, 2, 100):
        assert history(server, _count=count) == expected


def test_the_history_of_one_study_heeds_since(server):
    ds = make()
    store(server, ds)
    url = f"ImagingStudy/{ds.StudyInstanceUID}/_history"
    updated = ask(server, url)["entry"][0]["response"]["lastModified"]
    assert ask(server, url, 200, STRICT, _since=updated)["total"] == 1
    later = ask(server, url, 200, STRICT, _since="2100-01-01T00:00:00Z")
    assert later["total"] == 0 and "entry" not in later
    delete(server, ds)
    assert ask(server, url, _since=updated)["entry"][0]["request"]["method"] == "DELETE"
    assert ask(server, url, _since="2100-01-01T00:00:00Z")["total"] == 0


def test_what_changed_lately_is_found_page_by_page(start_server):
    server = start_server()
    old = [make() for _ in range(3)]
    store_in_order(server, *old)
    since = ask(server, f"ImagingStudy/{old[-1].StudyInstanceUID}")["meta"]["lastUpdated"]
    new = [make(PatientID=d.PatientID, StudyDate="20260401") for d in old[:2]] + [make(study=old[2].StudyInstanceUID, PatientID=old[2].PatientID)]
    store_in_order(server, *new, report.measurements(new[0], 1, 2, 3))
    expected = [d.StudyInstanceUID for d in (new[0], new[2], new[1])]
    for count in (1, 2, 100):
        assert found(server, _lastUpdated=f"gt{since}", _count=count) == expected
        assert len(set(found(server, "Observation", _lastUpdated=f"gt{since}", _count=count))) == 4
        assert len(found(server, "Patient", _lastUpdated=f"gt{since}", _count=count)) == 3
    assert found(server, _lastUpdated=[f"gt{since}", "lt2100"], modality="SR") == expected[:1]
    assert ask(server, "ImagingStudy", 200, STRICT, _lastUpdated=f"gt{since}", _summary="count")["total"] == 3
    delete(server, new[2])
    assert found(server, _lastUpdated=f"gt{since}") == [expected[0], expected[2]]


def export(server, **parameters):
    """Type -> resources, by the manifest."""
    begun = requests.get(f"{server.fhir_view}/$export", params=parameters, timeout=60,
                         headers={"Accept": "application/fhir+json", "Prefer": "respond-async"})
    assert begun.status_code == 202, begun.text
    status = begun.headers["Content-Location"]
    answer = requests.get(status, timeout=60)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
    manifest = answer.json()
    assert manifest["request"].startswith(f"{server.fhir_view}/$export") and manifest["error"] == []
    assert manifest["requiresAccessToken"] is False and manifest["transactionTime"]
    files = {}
    for output in manifest["output"]:
        answer = requests.get(output["url"], timeout=60)
        assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("application/fhir+ndjson")
        files[output["type"]] = [json.loads(line) for line in answer.text.splitlines()]
        assert all(r["resourceType"] == output["type"] for r in files[output["type"]])
    assert requests.delete(status, timeout=60).status_code == 202
    return files, manifest["transactionTime"]


def test_everything_is_exported_as_it_is_read(start_server):
    server = start_server()
    stored = [make() for _ in range(4)] + [make(DeviceSerialNumber="SN-1"), make(PatientID="")]
    store(server, *stored, report.measurements(stored[0], 1, 2), report.key_objects(stored[1]))
    files, at = export(server)
    assert {k: len(v) for k, v in files.items()} == {
        "ImagingStudy": 6, "Patient": 6, "Endpoint": 2, "Observation": 3, "DiagnosticReport": 1, "DocumentReference": 1,
        "Device": 1}
    for kind, resources in files.items():
        for resource in resources:
            assert ask(server, f"{kind}/{resource['id']}") == resource
    files, _ = export(server, _type="Patient,ImagingStudy", _since=at)
    assert files == {"ImagingStudy": [], "Patient": []}
    new = make(PatientID=stored[0].PatientID, StudyDate="20260401")  # of its studies the newest tells of a Patient
    store(server, new)
    files, _ = export(server, _type="Patient,ImagingStudy", _since=at)
    assert [r["id"] for r in files["ImagingStudy"]] == [new.StudyInstanceUID]
    assert len(files["Patient"]) == 1
    refused(server, "$export?_type=Medication", 400, "invalid")
    refused(server, "$export?_since=now", 400, "invalid")
    refused(server, "$export?_outputFormat=text/csv", 400, "invalid")
    refused(server, "$export-output/Medication", 404, "not-found")


def test_an_export_loses_nothing_while_others_store_and_delete(start_server):
    server = start_server()
    kept = [make() for _ in range(30)]
    going = [make() for _ in range(10)]
    store(server, *kept, *going)

    def disturb():
        for ds in going:
            delete(server, ds)
            store(server, make())

    thread = threading.Thread(target=disturb, daemon=True)
    thread.start()
    seen = [export(server, _type="ImagingStudy,Patient")[0] for _ in range(3)]
    thread.join(timeout=120)
    for files in seen:
        exported = [r["id"] for r in files["ImagingStudy"]]
        assert len(exported) == len(set(exported)) and {d.StudyInstanceUID for d in kept} <= set(exported)
        values = {r["identifier"][0]["value"] for r in files["Patient"]}
        assert {d.PatientID for d in kept} <= values


def test_who_may_read_may_search_and_export_and_nobody_else(start_server, tmp_path):
    tokens = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("reader", "writer")}
    path = tmp_path / "users.json"
    path.write_text(json.dumps({"users": [{"name": "reader", "rights": ["read"], "tokenSha256": tokens["reader"]},
                                          {"name": "writer", "rights": ["write"], "tokenSha256": tokens["writer"]}]}))
    server = start_server({"http": {"usersFile": str(path)}})
    reads = ["", "metadata", "ImagingStudy", "Patient/x", "ImagingStudy/_history", "$export", "$export-status", "$export-output/Patient"]
    for name, expected in (("reader", None), ("writer", 403), (None, 401)):
        headers = {"Authorization": f"Bearer {name}"} if name else {}
        answers = [requests.get(f"{server.fhir_view}/{read}", headers=headers, timeout=60) for read in reads]
        answers.append(requests.post(f"{server.fhir_view}/Patient/_search", data={"_id": "x"}, headers=headers, timeout=60))
        assert {a.status_code for a in answers} == ({expected} if expected else {200, 202, 404})
        if not expected:
            assert answers[6].json()["requiresAccessToken"] is True
