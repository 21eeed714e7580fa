# SPDX-License-Identifier: MIT
"""The read-only FHIR endpoint over the archive: the same resources as the cast's, found by their identifiers."""
import pytest
import report
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from web import make, new_uid, store

SYSTEM = "urn:hounsfield:HOUNSFIELD"


def ask(server, path, expected=200, headers=None, **parameters):
    url = path if path.startswith("http") else f"{server.fhir_view}/{path}"
    answer = requests.get(url, params=parameters or None, headers=headers, timeout=60)
    assert answer.status_code == expected, (answer.status_code, answer.text[:500])
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    return answer.json()


def ids(searchset):
    assert (searchset["resourceType"], searchset["type"]) == ("Bundle", "searchset")
    return [e["resource"]["id"] for e in searchset.get("entry", [])]


def refused(server, path, status, code, method="GET", **options):
    answer = requests.request(method, f"{server.fhir_view}/{path}", timeout=60, **options)
    assert answer.status_code == status, (answer.status_code, answer.text[:500])
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert [i["code"] for i in outcome["issue"]] == [code]
    return answer


def rich():
    """Nearly everything that the mapping knows."""

    def item(**attributes):
        ds = Dataset()
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)
        return ds

    issuer = item(UniversalEntityID="1.2.840.99", UniversalEntityIDType="ISO")
    code = item(CodeValue="303653007", CodingSchemeDesignator="SCT", CodeMeaning="CT of head")
    return make(
        SpecificCharacterSet="ISO_IR 192",
        PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
        IssuerOfPatientIDQualifiersSequence=Sequence([issuer]),
        OtherPatientIDsSequence=Sequence([item(PatientID="0815", IssuerOfPatientID="Ins", TypeOfPatientID="TEXT")]),
        PatientBirthTime="0430",
        PatientMotherBirthName="Sato^Hanako",
        TimezoneOffsetFromUTC="+0100",
        IssuerOfAccessionNumberSequence=Sequence([issuer]),
        ProcedureCodeSequence=Sequence([code]),
        ReasonForTheRequestedProcedure="Headache",
        InstitutionName="General Hospital",
        InstitutionalDepartmentName="Radiology",
        NameOfPhysiciansReadingStudy="Cuddy^Lisa",
        PerformingPhysicianName="House^Gregory",
        OperatorsName=["Foreman^Eric", "Chase^Robert"],
        Manufacturer="ACME",
        ManufacturerModelName="CT9000",
        DeviceSerialNumber="SN5",
        AdmissionID="V-7",
        PlacerOrderNumberImagingServiceRequest="PL-1",
        StudyDescription="CT head",
        SeriesDescription="Axial 5 mm",
        BodyPartExamined="HEAD",
        Laterality="L",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
    )


def test_a_study_is_read_with_its_patient_and_endpoints(server):
    ds = rich()
    store(server, ds)
    imaging_study = ask(server, f"ImagingStudy/{ds.StudyInstanceUID}")
    assert imaging_study["id"] == ds.StudyInstanceUID
    assert imaging_study["numberOfInstances"] == 1
    assert imaging_study["started"] == "2026-01-02T10:11:12+01:00"
    assert imaging_study["series"][0]["bodySite"]["code"] == "69536005"
    assert imaging_study["series"][0]["instance"][0]["title"] == "ORIGINAL\\PRIMARY\\AXIAL"
    patient = ask(server, imaging_study["subject"]["reference"])
    assert patient["identifier"][0]["system"] == "urn:oid:1.2.840.99"
    assert patient["identifier"][0]["value"] == ds.PatientID
    assert [n["text"] for n in patient["name"]] == ["Tarou Yamada", "山田 太郎", "やまだ たろう"]
    for reference in imaging_study["endpoint"]:
        endpoint = ask(server, reference["reference"])
        assert endpoint["address"].endswith("/dicomweb")
        assert reference["reference"] == f"Endpoint/{endpoint['id']}"


def test_a_study_says_its_version_and_shows_changes_at_once(server):
    ds = make()
    store(server, ds)
    url = f"{server.fhir_view}/ImagingStudy/{ds.StudyInstanceUID}"
    first = requests.get(url, timeout=60)
    etag = first.headers["ETag"]
    assert etag == f'W/"{first.json()["meta"]["versionId"]}"'
    same = requests.get(url, headers={"If-None-Match": etag}, timeout=60)
    assert same.status_code == 304 and not same.content
    store(server, make(study=ds.StudyInstanceUID, PatientID=ds.PatientID))
    second = requests.get(url, headers={"If-None-Match": etag}, timeout=60)
    assert second.status_code == 200 and second.json()["numberOfInstances"] == 2
    assert second.json()["meta"]["lastUpdated"] >= first.json()["meta"]["lastUpdated"]


def test_a_deleted_study_is_gone(server):
    ds = make()
    store(server, ds)
    ask(server, f"ImagingStudy/{ds.StudyInstanceUID}")
    assert requests.delete(f"{server.dicomweb}/studies/{ds.StudyInstanceUID}", timeout=60).ok
    refused(server, f"ImagingStudy/{ds.StudyInstanceUID}", 410, "deleted")
    assert ids(ask(server, "ImagingStudy", identifier=f"urn:oid:{ds.StudyInstanceUID}")) == []


def test_studies_are_found_by_identifier(server):
    ds = make(StudyID=new_uid()[-12:])
    store(server, ds)
    uid = ds.StudyInstanceUID
    for identifier in (
        f"urn:dicom:uid|urn:oid:{uid}",
        f"urn:oid:{uid}",
        f"{SYSTEM}/study-id|{ds.StudyID}",
        ds.StudyID,
        f"nobody|nothing,urn:dicom:uid|urn:oid:{uid}",
    ):
        found = ask(server, "ImagingStudy", identifier=identifier)
        assert ids(found) == [uid] and found["total"] == 1
        assert found["entry"][0]["fullUrl"] == f"{server.fhir_view}/ImagingStudy/{uid}"
        assert found["entry"][0]["search"] == {"mode": "match"}
    for identifier in (f"urn:other|urn:oid:{uid}", f"|{ds.StudyID}", uid + "1", "*", "%"):
        assert ids(ask(server, "ImagingStudy", identifier=identifier)) == []


def test_an_accession_number_finds_all_its_studies(server):
    accession = new_uid()[-14:]
    stored = [make(AccessionNumber=accession) for _ in range(3)]
    store(server, *stored)
    found = ids(ask(server, "ImagingStudy", identifier=f"{SYSTEM}/accession|{accession}"))
    assert sorted(found) == sorted(d.StudyInstanceUID for d in stored)


def test_patients_and_their_studies_are_found(server):
    first = make()
    second = make(PatientID=first.PatientID)
    stranger = make(PatientID=first.PatientID, IssuerOfPatientID="Elsewhere")
    store(server, first, second, stranger)
    subject = ask(server, f"ImagingStudy/{first.StudyInstanceUID}")["subject"]["reference"]
    patient = subject.removeprefix("Patient/")
    assert ids(ask(server, "Patient", identifier=f"{SYSTEM}|{first.PatientID}")) == [patient]
    assert len(ids(ask(server, "Patient", identifier=first.PatientID))) == 2
    assert ids(ask(server, "Patient", identifier=f"{SYSTEM}/issuer/Elsewhere|{first.PatientID}")) != [patient]
    mine = sorted([first.StudyInstanceUID, second.StudyInstanceUID])
    for value in (patient, subject, f"{server.fhir_view}/{subject}"):
        assert sorted(ids(ask(server, "ImagingStudy", patient=value))) == mine
        assert sorted(ids(ask(server, "ImagingStudy", subject=value))) == mine
    assert ids(ask(server, "ImagingStudy", patient="Patient/nobody")) == []
    both = ask(server, "ImagingStudy", patient=patient, identifier=f"urn:oid:{stranger.StudyInstanceUID}")
    assert ids(both) == []


@pytest.mark.parametrize(
    "patient_id", ["", "*", "A?B*", "Ünï-山", "x" * 64, "a|b,c$d", "50% & more"], ids=lambda value: repr(value[:8])
)
def test_a_patient_of_any_id_can_be_read_by_reference(server, patient_id):
    ds = make(PatientID=patient_id, SpecificCharacterSet="ISO_IR 192")
    store(server, ds)
    reference = ask(server, f"ImagingStudy/{ds.StudyInstanceUID}")["subject"]["reference"]
    patient = ask(server, reference)
    assert reference == f"Patient/{patient['id']}" and len(patient["id"]) <= 64
    assert patient["identifier"][0]["value"] == (patient_id or ds.StudyInstanceUID)
    assert ds.StudyInstanceUID in ids(ask(server, "ImagingStudy", patient=reference, _count=100))


def test_pages_follow_each_other_newest_first(start_server):
    server = start_server()
    stored = [make(StudyDate=f"202601{day:02}") for day in range(1, 8)]
    store(server, *stored)
    page = ask(server, "ImagingStudy", _count=3)
    seen = []
    while True:
        assert len(ids(page)) <= 3
        seen += ids(page)
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        if not following:
            break
        page = ask(server, following[0])
    assert seen == [d.StudyInstanceUID for d in reversed(stored)]
    assert len(ids(ask(server, "Patient"))) == 7
    assert ids(ask(server, "Endpoint")) == ["wado-rs", "qido-rs"]
    assert ids(ask(server, "ImagingStudy", _id=f"{stored[2].StudyInstanceUID},1.2.3")) == [stored[2].StudyInstanceUID]


def test_what_is_not_there_is_an_operation_outcome(server):
    refused(server, "ImagingStudy/1.2.3.4.5", 404, "not-found")
    refused(server, "ImagingStudy/..%2Fx", 404, "not-found")
    refused(server, "Patient/nobody", 404, "not-found")
    refused(server, "Endpoint/stow-rs", 404, "not-found")
    refused(server, "Medication", 404, "not-supported")
    refused(server, "Medication/1", 404, "not-supported")
    refused(server, "ImagingStudy?_count=many", 400, "invalid")
    refused(server, "metadata?_format=xml", 406, "not-supported")
    refused(server, "metadata", 406, "not-supported", headers={"Accept": "application/fhir+xml"})


def test_a_browser_gets_what_it_can_show(server):
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    for path in ("metadata", "ImagingStudy", "Patient/nobody"):
        answer = requests.get(f"{server.fhir_view}/{path}", headers={"Accept": accept}, timeout=60)
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.json()["resourceType"]


def test_unknown_parameters_are_ignored_unless_handling_is_strict(server):
    ds = make()
    store(server, ds)
    parameters = {"_id": ds.StudyInstanceUID, "colour": "blue"}
    assert ids(ask(server, "ImagingStudy", **parameters)) == [ds.StudyInstanceUID]
    ask(server, "ImagingStudy", 400, {"Prefer": "handling=strict"}, **parameters)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_endpoint_is_read_only(server, method):
    ds = make()
    store(server, ds)
    for path in ("ImagingStudy", f"ImagingStudy/{ds.StudyInstanceUID}", "Patient", "Endpoint/wado-rs"):
        answer = refused(server, path, 405, "not-supported", method, data=b'{"resourceType":"Patient"}')
        assert answer.headers["Allow"] == "GET, HEAD"
    ask(server, f"ImagingStudy/{ds.StudyInstanceUID}")


def test_the_capabilities_are_those_that_work(server):
    """Every claim of the CapabilityStatement is tried."""
    ds = make(Manufacturer="ACME", DeviceSerialNumber="SN-1")
    store(server, ds, report.measurements(ds, 1), report.key_objects(ds))
    statement = ask(server, "metadata")
    assert (statement["resourceType"], statement["fhirVersion"]) == ("CapabilityStatement", "4.0.1")
    assert statement["implementation"]["url"] == server.fhir_view
    resources = statement["rest"][0]["resource"]
    assert [o["name"] for o in statement["rest"][0]["operation"]] == ["export"]
    assert requests.get(f"{server.fhir_view}/$export", timeout=60).status_code == 202
    types = ["ImagingStudy", "Patient", "Endpoint", "Observation", "DiagnosticReport", "DocumentReference", "Device"]
    orders = resources.pop()  # tried by tests of their own
    assert (orders["type"], [i["code"] for i in orders["interaction"]]) == ("ServiceRequest", ["create"])
    assert [r["type"] for r in resources] == types
    strict = {"Prefer": "handling=strict"}
    for resource in resources:
        kind = resource["type"]
        interactions = {i["code"] for i in resource["interaction"]} - {"read", "vread", "search-type"}
        assert interactions == ({"history-type", "history-instance"} if kind == "ImagingStudy" else set())
        example = ask(server, kind, 200, strict, _count=1)["entry"][0]["resource"]
        reference = f"{kind}/{example['id']}"
        for at in ("_history", f"{example['id']}/_history") if interactions else ():
            assert ask(server, f"{kind}/{at}", 200, strict)["type"] == "history"
        assert ask(server, reference) == example
        assert (resource["versioning"], resource["readHistory"]) == ("versioned", False)
        assert ask(server, f"{reference}/_history/{example['meta']['versionId']}") == example
        assert resource["conditionalRead"] == "full-support"
        answer = requests.get(f"{server.fhir_view}/{reference}", timeout=60)
        known = [{"If-None-Match": answer.headers["ETag"]}]
        if kind != "Endpoint":  # nothing says when that came to be
            known.append({"If-Modified-Since": answer.headers["Last-Modified"]})
        for headers in known:
            assert requests.get(f"{server.fhir_view}/{reference}", headers=headers, timeout=60).status_code == 304
        for parameter in resource["searchParam"]:
            value = "2026" if parameter["type"] == "date" else "x"
            ask(server, kind, 200, strict, **{parameter["name"]: value})
            modifier = {"token": "not", "string": "exact", "reference": "identifier"}.get(parameter["type"], "missing")
            value = "true" if modifier == "missing" else "x"
            ask(server, kind, 200, strict, _count=1, **{f"{parameter['name']}:{modifier}": value})
        for included in resource.get("searchInclude", []):
            page = ask(server, kind, 200, strict, _id=example["id"], _include=included)
            assert [e["search"]["mode"] for e in page["entry"]][:2] == ["match", "include"]
        for included in resource.get("searchRevInclude", []):
            page = ask(server, kind, 200, strict, _id=example["id"], _revinclude=included)
            assert [e["search"]["mode"] for e in page["entry"]][:2] == ["match", "include"]
