# SPDX-License-Identifier: MIT
"""What documents of a study say, in the FHIR view: Observation, DiagnosticReport, DocumentReference."""
import json
import pathlib
import subprocess

import pytest
import report
import requests
from test_fhir_search import STRICT, found
from test_fhir_view import SYSTEM, ask, ids, refused, rich
from web import make, new_uid, store

ROOT = pathlib.Path(__file__).resolve().parents[2]
R5 = {"Accept": "application/fhir+json; fhirVersion=5.0"}


@pytest.fixture(scope="module")
def study(server):
    """(image, SR with two lengths, key objects, PDF) of one study."""
    image = make(PatientID="D" + new_uid()[-10:])
    stored = (image, report.measurements(image, 12.5, 7), report.key_objects(image), report.pdf(image))
    store(server, *stored)
    return stored


def all_of(server, image, kind, **parameters):
    page = ask(server, kind, 200, STRICT, **{"patient.identifier": str(image.PatientID)}, _count=100, **parameters)
    return [entry["resource"] for entry in page.get("entry", [])]


def test_documents_are_read_and_refer_to_what_is_here(server, study):
    image, sr, _, _ = study
    subject = ask(server, f"ImagingStudy/{image.StudyInstanceUID}")["subject"]["reference"]
    imaging_study = {"reference": f"ImagingStudy/{image.StudyInstanceUID}"}
    observations = all_of(server, image, "Observation")
    lengths = [o for o in observations if "valueQuantity" in o]
    assert sorted(o["valueQuantity"]["value"] for o in lengths) == [7, 12.5]
    for observation in observations:
        assert observation["subject"]["reference"] == subject
        assert imaging_study["reference"] in [r["reference"] for r in observation["derivedFrom"]]
        assert observation["meta"]["versionId"] and observation["meta"]["lastUpdated"]
        reference = f"Observation/{observation['id']}"
        assert ask(server, reference) == observation and len(observation["id"]) <= 64
        assert ask(server, f"{reference}/_history/{observation['meta']['versionId']}") == observation
        etag = requests.get(f"{server.fhir_view}/{reference}", timeout=60).headers["ETag"]
        assert requests.get(f"{server.fhir_view}/{reference}", headers={"If-None-Match": etag}, timeout=60).status_code == 304
    reports = all_of(server, image, "DiagnosticReport")
    assert len(reports) == 2
    measured = [r for r in reports if "result" in r][0]
    assert f"urn:oid:{sr.SOPInstanceUID}" in [i["value"] for i in measured["identifier"]]
    for result in measured["result"]:
        assert ask(server, result["reference"])["resourceType"] == "Observation"
    assert measured["imagingStudy"][0]["reference"] == imaging_study["reference"]
    assert len(all_of(server, image, "DocumentReference")) == 1
    for kind in ("Observation", "DiagnosticReport", "DocumentReference"):
        for broken in ("x", "d", "dAAAA", measured["id"][:-3], "d" + "." * 63):
            if kind != "DiagnosticReport":
                refused(server, f"{kind}/{broken}", 404, "not-found")
        if kind != "DiagnosticReport":
            refused(server, f"{kind}/{measured['id']}", 404, "not-found")


def test_documents_are_found_by_what_they_say(server, study):
    image, sr, ko, pdf = study
    lengths = all_of(server, image, "Observation", code="http://snomed.info/sct|410668003")
    assert len(lengths) == 2 and all_of(server, image, "Observation", code="other") == []
    group = all_of(server, image, "Observation", **{"has-member": f"Observation/{lengths[0]['id']}"})
    assert [o["code"]["coding"][0]["code"] for o in group] == ["125007"]
    assert found(server, "Observation", **{"has-member": lengths[0]["id"]}) == [group[0]["id"]]
    subject = lengths[0]["subject"]["reference"]
    for by in ({"patient": subject}, {"subject": subject}, {"derived-from": f"ImagingStudy/{image.StudyInstanceUID}"},
               {"identifier": f"urn:dicom:uid|urn:oid:{image.StudyInstanceUID}"}):
        assert sorted(found(server, "Observation", code="410668003", **by)) == sorted(o["id"] for o in lengths)
    assert found(server, "Observation", _id=lengths[1]["id"]) == [lengths[1]["id"]]
    own = lengths[0]["identifier"][0]
    assert found(server, "Observation", identifier=f"{own['system']}|{own['value']}") == [lengths[0]["id"]]
    assert len(all_of(server, image, "Observation", date="2026-01-02", status="final", category="imaging")) == 3
    assert all_of(server, image, "Observation", date="lt2026-01-02") == []
    reports = all_of(server, image, "DiagnosticReport")
    assert sorted(found(server, "DiagnosticReport", identifier=str(image.AccessionNumber))) == sorted(r["id"] for r in reports)
    for document in (sr, pdf):
        assert len(found(server, "DiagnosticReport", identifier=f"urn:oid:{document.SOPInstanceUID}")) == 1
    with_results = all_of(server, image, "DiagnosticReport", result=f"Observation/{group[0]['id']}")
    assert with_results == [r for r in reports if "result" in r]
    assert all_of(server, image, "DiagnosticReport", code="http://dicom.nema.org/resources/ontology/DCM|126000") == with_results
    selected = all_of(server, image, "DocumentReference", type="113000", contenttype="application/dicom")
    assert found(server, "DocumentReference", identifier=f"urn:oid:{ko.SOPInstanceUID}") == [selected[0]["id"]]
    assert found(server, "DocumentReference", identifier=f"urn:oid:{new_uid()}", patient=subject) == []
    page = ask(server, "Observation", 200, STRICT, _include="Observation:patient", _id=lengths[0]["id"])
    assert [e["resource"]["resourceType"] for e in page["entry"]] == ["Observation", "Patient"]
    summary = ask(server, f"DiagnosticReport/{reports[0]['id']}", _summary="true")
    assert not {"result", "imagingStudy", "presentedForm"} & set(summary) and summary["code"] == reports[0]["code"]


def test_key_objects_are_an_ImagingSelection_in_R5(server, study):
    image, _, ko, _ = study
    strict = {**R5, **STRICT}
    page = requests.get(f"{server.fhir_view}/ImagingSelection", headers=strict, timeout=60,
                        params={"study-uid": str(image.StudyInstanceUID), "code": "113000"}).json()
    assert page["total"] == 1
    selection = page["entry"][0]["resource"]
    assert [i["uid"] for i in selection["instance"]] == [image.SOPInstanceUID]
    sources = [s["reference"].split("/")[0] for s in selection["derivedFrom"]]
    assert sources == ["ImagingStudy", "DocumentReference"]
    url = f"{server.fhir_view}/ImagingSelection/{selection['id']}"
    assert requests.get(url, headers=R5, timeout=60).json() == selection
    statement = requests.get(f"{server.fhir_view}/metadata", headers=R5, timeout=60).json()
    listed = {r["type"]: r for r in statement["rest"][0]["resource"]}
    for parameter in listed["ImagingSelection"]["searchParam"]:
        value = "2026" if parameter["type"] == "date" else "x"
        answer = requests.get(f"{server.fhir_view}/ImagingSelection", params={parameter["name"]: value}, headers=strict, timeout=60)
        assert answer.status_code == 200, parameter
    # R4 has none.
    refused(server, f"ImagingSelection/{selection['id']}", 404, "not-supported")
    refused(server, "ImagingSelection", 404, "not-supported")
    refused(server, "$export?_type=ImagingSelection", 400, "invalid")


def test_devices_are_read_by_reference_and_found_by_identifier(start_server):
    server = start_server()
    maker = {"Manufacturer": "ACME", "ManufacturerModelName": "CT9000", "StationName": "CT1"}
    first, second = make(DeviceSerialNumber="SN-7", DeviceUID="1.2.840.99.7", **maker), make(DeviceSerialNumber="SN-8", **maker)
    measured = report.measurements(first, 1, DeviceSerialNumber="SN-9", Manufacturer="Scribe")
    store(server, first, second, measured, make())
    serial = f"{SYSTEM}/device-serial/ACME|SN-8"
    for kind, version in (("R4", "4.0"), ("R5", "5.0")):
        headers = {**STRICT, "Accept": f"application/fhir+json; fhirVersion={version}"}
        for identifier, ds, series in (("urn:ietf:rfc:3986|urn:oid:1.2.840.99.7", first, first.SeriesInstanceUID), ("SN-9", first, measured.SeriesInstanceUID),
                                       (serial, second, second.SeriesInstanceUID)):
            page = ask(server, "Device", 200, headers, identifier=identifier)
            assert len(ids(page)) == 1
            device = page["entry"][0]["resource"]
            assert device == ask(server, f"Device/{ids(page)[0]}", 200, headers)
            imaging_study = ask(server, f"ImagingStudy/{ds.StudyInstanceUID}", 200, headers)
            actors = {s["uid"]: [p["actor"]["reference"] for p in s.get("performer", []) if "reference" in p["actor"]] for s in imaging_study["series"]}
            assert actors[series] == [f"Device/{device['id']}"]
        name = device["deviceName"][0]["name"] if kind == "R4" else device["name"][0]["value"]
        assert (name, device["modelNumber"], device["serialNumber"]) == ("CT1", "CT9000", "SN-8")
    observation = ask(server, "Observation", patient=ask(server, f"ImagingStudy/{first.StudyInstanceUID}")["subject"]["reference"])["entry"][0]["resource"]
    assert ask(server, observation["device"]["reference"])["serialNumber"] == "SN-9"
    assert len(found(server, "Device")) == 3 and len(found(server, "Device", model="ct9000", _sort="-_lastUpdated")) == 2
    assert found(server, "Device", **{"device-name": "CT2"}) == found(server, "Device", identifier="SN-1") == []
    refused(server, "Device/nobody", 404, "not-found")


def test_devices_that_are_withheld_are_not_shown(start_server):
    server = start_server(settings={"fhir": {"viewWithhold": ["devices"]}})
    ds = make(DeviceSerialNumber="SN-7")
    store(server, ds)
    assert found(server, "Device") == []
    assert "SN-7" not in json.dumps(ask(server, f"ImagingStudy/{ds.StudyInstanceUID}"))


def test_pages_may_end_within_a_study(start_server):
    server = start_server()
    images = [make() for _ in range(3)]
    store(server, *images, *(report.measurements(image, *range(1, 6)) for image in images))
    for count in (1, 4, 6, 100):
        seen = found(server, "Observation", _count=count)
        assert len(seen) == len(set(seen)) == 18
    assert ask(server, "Observation", 200, STRICT, _count=2, _total="accurate")["total"] == 18
    gone = found(server, "Observation")
    assert requests.delete(f"{server.dicomweb}/studies/{images[0].StudyInstanceUID}", timeout=60).ok
    left = found(server, "Observation")
    assert len(left) == 12 and set(left) < set(gone)
    for observation in set(gone) - set(left):
        refused(server, f"Observation/{observation}", 410, "deleted")


def test_FHIR_02_everything_that_the_view_shows_is_valid_in_both_releases(server, study, fhir, tmp_path):
    """With a FHIR server only so that it runs where the validator is built."""
    image, *_ = study
    odd = make(PatientID="O" + new_uid()[-10:], PatientSex="", Modality="QX", StudyDate="", PatientName="A^B^C^D^E^F")
    nobody = make(PatientID="")
    stored = (image, rich(), odd)
    store(server, *stored[1:], nobody)
    kinds = ("ImagingStudy", "Patient", "Observation", "DiagnosticReport", "DocumentReference")
    for release, headers in (("R4", {}), ("R5", R5)):
        folder = tmp_path / ("fhir" + release)
        folder.mkdir()
        resources = [requests.get(f"{server.fhir_view}/{path}", headers=headers, timeout=60).json()
                     for path in ("", "metadata", "Endpoint", "$versions", "ImagingStudy/1.2.3", "Observation?date=x")]
        resources.append(requests.get(f"{server.fhir_view}/ImagingStudy/{nobody.StudyInstanceUID}", headers=headers, timeout=60).json())
        for ds in stored:
            for kind in (*kinds, "ImagingSelection") if headers else kinds:
                parameters = {("identifier" if kind == "Patient" else "patient.identifier"): str(ds.PatientID)}
                for more in ({}, {"_include": f"{kind}:patient"}, {"_summary": "count"}):
                    answer = requests.get(f"{server.fhir_view}/{kind}", headers=headers, params={**parameters, **more}, timeout=60)
                    assert answer.status_code == 200
                    resources.append(answer.json())
        for i, resource in enumerate(resources):
            (folder / f"{i:02}.json").write_text(json.dumps(resource))
        validator = ROOT / "tests" / "fhir-server" / "validate.sh"
        command = [str(validator), "--version", release, "--errors-only", str(folder)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert result.returncode == 0, release + result.stdout[-6000:] + result.stderr[-2000:]
