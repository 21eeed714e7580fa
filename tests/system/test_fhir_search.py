# SPDX-License-Identifier: MIT
"""Searches of the FHIR view: parameters, pages, what is included, what is left out, and what is said of it."""
import time

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from test_fhir_view import SYSTEM, ask, ids, refused
from web import make, new_uid, store

CT = "1.2.840.10008.5.1.4.1.1.2"
SR = "1.2.840.10008.5.1.4.1.1.88.11"
STRICT = {"Prefer": "handling=strict"}


def found(server, kind="ImagingStudy", **parameters):
    """The ids of all pages, by the links."""
    page = ask(server, kind, 200, STRICT, **parameters)  # or the URL of one of them
    seen = []
    while True:
        seen += [e["resource"]["id"] for e in page.get("entry", []) if e["search"]["mode"] == "match"]
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        if not following:
            return seen
        page = ask(server, following[0])


@pytest.fixture(scope="module")
def studies(server):
    """Three studies of which each has something of its own."""
    title = "S" + new_uid()[-10:]
    order = Dataset()
    order.PlacerOrderNumberImagingServiceRequest = title
    first = make(PatientID=title + "a", StudyDate="20240115", StudyTime="101112", Modality="CT", BodyPartExamined="HEAD",
                 PatientName="Quarterstaff^Åke", PatientSex="M", PatientBirthDate="19700102", TimezoneOffsetFromUTC="+0100",
                 RequestAttributesSequence=Sequence([order]), SpecificCharacterSet="ISO_IR 192", AdmissionID=title,
                 ReasonForTheRequestedProcedure=title)
    second = make(PatientID=title + "b", StudyDate="20240215", StudyTime="", Modality="MR", PatientName="Quarterdeck^Bo",
                  PatientSex="F", PatientBirthDate="19800102")
    third = make(PatientID=title + "b", StudyDate="20240315", StudyTime="", Modality="US", PatientName="Quarterdeck^Bo",
                 PatientSex="F", PatientBirthDate="19800102")
    report = make(study=third.StudyInstanceUID, PatientID=title + "b", StudyDate="20240315", StudyTime="", Modality="SR",
                  SOPClassUID=SR, PatientName="Quarterdeck^Bo", PatientSex="F", PatientBirthDate="19800102")
    store(server, first, second, third, report)
    return first, second, third, report, title


def uids(*datasets):
    return sorted(d.StudyInstanceUID for d in datasets)


def test_studies_are_found_by_when_they_began(server, studies):
    first, second, third, _, _ = studies
    among = {"patient.identifier": f"{first.PatientID},{second.PatientID}"}

    def started(*values):
        return sorted(found(server, started=list(values), **among))

    assert started("2024-02-15") == uids(second)
    assert started("2024-02") == uids(second)
    assert started("2024") == uids(first, second, third)
    assert started("gt2024-01-15") == uids(second, third)
    assert started("ge2024-01-15", "lt2024-03-01") == uids(first, second)
    assert started("ne2024-02-15") == uids(first, third)
    assert started("sa2024-01-15", "eb2024-03-15") == uids(second)
    assert started("2024-02-15,2024-03-15") == uids(second, third)
    assert started("2024-01-15T09:11:12Z") == uids(first)
    assert started("2024-01-15T10:11:12+01:00") == uids(first)
    assert started("gt2024-01-15T09:11:12Z", "lt2024-01-16T00:00:00Z") == []
    assert started("ap2024-02-15") == uids(first, second, third)
    assert started("2023") == []
    # Without anything else the archive's index of dates leads there.
    assert second.StudyInstanceUID in found(server, started="2024-02-15")
    assert first.StudyInstanceUID not in found(server, started=["ge2024-02-01", "le2024-02-28"])
    for value in ("yesterday", "2024-13", "20240215", "ge", "2024-02-30", "2024-02-15T25:00:00Z"):
        refused(server, f"ImagingStudy?started={value}", 400, "invalid")


def test_studies_are_found_by_what_is_in_their_series(server, studies):
    first, second, third, report, title = studies
    among = {"patient.identifier": f"{first.PatientID},{second.PatientID}"}
    assert found(server, modality="MR", **among) == uids(second)
    assert sorted(found(server, modality="MR,SR", **among)) == uids(second, third)
    assert found(server, modality="http://dicom.nema.org/resources/ontology/DCM|US", **among) == uids(third)
    assert found(server, modality="urn:other|US", **among) == []
    assert found(server, modality=["US", "SR"], **among) == uids(third)
    assert sorted(found(server, **{"modality:not": "MR"}, **among)) == uids(first, third)
    assert second.StudyInstanceUID in found(server, modality="MR", started="2024-02-15")
    assert found(server, series=report.SeriesInstanceUID) == uids(third)
    assert found(server, series=f"urn:oid:{report.SeriesInstanceUID}") == uids(third)
    assert found(server, instance=report.SOPInstanceUID) == uids(third)
    assert found(server, instance=f"urn:oid:{first.SOPInstanceUID},{new_uid()}") == uids(first)
    assert found(server, instance=report.SOPInstanceUID, series=third.SeriesInstanceUID) == uids(third)
    assert found(server, instance=report.SOPInstanceUID, modality="CT") == []
    assert found(server, **{"dicom-class": f"urn:oid:{SR}"}, **among) == uids(third)
    assert found(server, **{"dicom-class": SR}, started="2024-03-15") == uids(third)
    assert found(server, bodysite="http://snomed.info/sct|69536005", **among) == uids(first)
    assert sorted(found(server, **{"bodysite:missing": "true"}, **among)) == uids(second, third)
    assert found(server, **{"bodysite:missing": "false"}, **among) == uids(first)
    assert found(server, **{"basedon:identifier": title}, started="2024-01-15") == uids(first)
    assert found(server, **{"encounter:identifier": title}, **among) == uids(first)
    assert sorted(found(server, status="available", **among)) == uids(first, second, third)
    assert found(server, status="cancelled", **among) == []
    assert sorted(found(server, endpoint="Endpoint/wado-rs", **among)) == uids(first, second, third)
    assert found(server, endpoint="stow-rs", **among) == []


def test_studies_are_found_by_the_identifier_of_their_patient(server, studies):
    first, second, third, _, _ = studies
    for name in ("patient.identifier", "subject.identifier", "subject:Patient.identifier"):
        assert found(server, **{name: f"{SYSTEM}|{first.PatientID}"}) == uids(first)
        assert sorted(found(server, **{name: second.PatientID})) == uids(second, third)
        assert found(server, **{name: f"urn:other|{first.PatientID}"}) == []
    subject = ask(server, f"ImagingStudy/{second.StudyInstanceUID}")["subject"]["reference"]
    assert sorted(found(server, **{"subject:Patient": subject.removeprefix("Patient/")})) == uids(second, third)
    assert found(server, subject=subject.replace("Patient/", "Group/")) == []
    refused(server, "ImagingStudy?patient.name=x", 400, "invalid")
    refused(server, "ImagingStudy?patient:Device=x", 400, "invalid")


def test_patients_are_found_by_name_birth_date_and_gender(server, studies):
    first, second, *_ = studies

    def values(**parameters):
        page = ask(server, "Patient", 200, STRICT, _count=100, **parameters)
        return sorted(e["resource"]["identifier"][0]["value"] for e in page.get("entry", []))

    mine = {first.PatientID, second.PatientID}
    assert mine <= set(values(name="quarter"))
    assert values(family="QUARTERSTAFF", identifier=first.PatientID) == [first.PatientID]
    assert first.PatientID in values(given="åk")
    assert first.PatientID in values(name="åke")
    assert first.PatientID not in values(**{"name:exact": "quarterstaff"})
    assert first.PatientID in values(**{"family:exact": "Quarterstaff"})
    assert first.PatientID in values(**{"name:contains": "terstaf"})
    assert mine & set(values(family="quarter", gender="female")) == {second.PatientID}
    assert mine & set(values(family="quarter", birthdate="lt1975")) == {first.PatientID}
    assert values(family="quarterstaff", birthdate="1970-01-02").count(first.PatientID) == 1


def test_pages_of_patients_go_on_by_key_and_each_patient_is_met_once(start_server):
    server = start_server()
    stored = [make(PatientID=f"P{i:02}", IssuerOfPatientID=issuer) for i in range(9) for issuer in ("", "Elsewhere")]
    stored += [make(PatientID="P03", PatientIdentityRemoved="YES"), make(PatientID=""), make(PatientID="")]
    stored += [make(PatientID="P05") for _ in range(3)]
    store(server, *stored)
    for count in (1, 2, 5, 100):
        seen = found(server, "Patient", _count=count)
        assert len(seen) == len(set(seen)) == 21
    page = ask(server, "Patient", _count=5)
    assert "total" not in page and len(page["entry"]) == 5
    assert ask(server, "Patient", _count=100)["total"] == 21
    assert ask(server, "Patient", _count=5, _total="accurate")["total"] == 21
    following = [link["url"] for link in page["link"] if link["relation"] == "next"][0]
    # A patient that comes or goes moves no other one from page to page.
    store(server, make(PatientID="P00", IssuerOfPatientID="Third"))
    assert not set(ids(page)) & set(ids(ask(server, following)))
    for broken in ("x", "12", "zz" * 8, "0" * 2000, "00000000ff", "ffffffffffff"):
        answer = requests.get(f"{server.fhir_view}/Patient", params={"_page": broken}, timeout=60)
        assert answer.status_code in (200, 400) and answer.json()["resourceType"] in ("Bundle", "OperationOutcome")


def test_what_belongs_to_matches_is_included(server, studies):
    first, second, third, _, _ = studies
    page = ask(server, "ImagingStudy", 200, STRICT, _include=["ImagingStudy:patient", "ImagingStudy:endpoint"],
               **{"patient.identifier": second.PatientID})
    modes = [(e["search"]["mode"], e["resource"]["resourceType"]) for e in page["entry"]]
    assert modes == [("match", "ImagingStudy")] * 2 + [("include", "Patient")] + [("include", "Endpoint")] * 2
    assert page["total"] == 2
    for entry in page["entry"]:
        resource = entry["resource"]
        assert entry["fullUrl"] == f"{server.fhir_view}/{resource['resourceType']}/{resource['id']}"
        assert resource == ask(server, entry["fullUrl"])
    everything = ask(server, "ImagingStudy", 200, STRICT, _include="*", _id=first.StudyInstanceUID)
    assert len(everything["entry"]) == 4
    page = ask(server, "Patient", 200, STRICT, _revinclude="ImagingStudy:patient", identifier=f"{SYSTEM}|{second.PatientID}")
    assert [e["search"]["mode"] for e in page["entry"]] == ["match", "include", "include"]
    assert sorted(ids(page)[1:]) == uids(second, third)
    ask(server, "ImagingStudy", 400, STRICT, _include="ImagingStudy:performer")
    ask(server, "ImagingStudy", 200, _include="ImagingStudy:performer", _count=1)


def test_parts_of_resources_say_that_they_are_parts(server, studies):
    first = studies[0]
    url = f"ImagingStudy/{first.StudyInstanceUID}"
    whole = ask(server, url)

    def part(**parameters):
        resource = ask(server, url, **parameters)
        assert {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"} in resource["meta"]["tag"]
        page = ask(server, "ImagingStudy", _id=first.StudyInstanceUID, **parameters)
        assert page["entry"][0]["resource"] == resource
        return resource

    summary = part(_summary="true")
    assert set(summary) == set(whole) and "instance" not in summary["series"][0]
    assert summary["series"][0]["uid"] == first.SeriesInstanceUID
    few = part(_elements="identifier,started")
    assert set(few) == {"resourceType", "id", "meta", "identifier", "started", "status", "subject"}
    assert set(part(_summary="text")) == {"resourceType", "id", "meta", "status", "subject"}
    assert set(part(_summary="data")) == set(whole)
    assert ask(server, url, _summary="false") == whole
    refused(server, "ImagingStudy?_summary=some", 400, "invalid")
    refused(server, "ImagingStudy?_elements=a%20b", 400, "invalid")


def test_matches_are_counted_when_that_is_asked_for(server, studies):
    _, second, *_ = studies
    among = {"patient.identifier": second.PatientID}
    for parameters in ({"_summary": "count"}, {"_count": 0}):
        page = ask(server, "ImagingStudy", 200, STRICT, **parameters, **among)
        assert page["total"] == 2 and "entry" not in page
    page = ask(server, "ImagingStudy", 200, STRICT, _count=1, _total="accurate", **among)
    assert page["total"] == 2 and len(page["entry"]) == 1
    assert "total" not in ask(server, "ImagingStudy", 200, STRICT, _count=1, **among)
    assert "total" not in ask(server, "ImagingStudy", 200, STRICT, _total="none", **among)
    everything = ask(server, "ImagingStudy", 200, STRICT, _summary="count")
    assert everything["total"] == len(found(server, _count=1000, _elements="id"))


def test_a_search_can_be_posted_as_a_form(server, studies):
    first, second, third, _, _ = studies
    url = f"{server.fhir_view}/ImagingStudy/_search"
    answer = requests.post(url, data={"patient.identifier": second.PatientID, "started": "ge2024-03-01"}, timeout=60)
    assert answer.status_code == 200 and ids(answer.json()) == uids(third)
    answer = requests.post(url + "?modality=MR", data={"patient.identifier": second.PatientID}, timeout=60)
    assert ids(answer.json()) == uids(second)
    # In a form a plus sign is a space.
    answer = requests.post(url, data="started=2024-01-15T10:11:12+01:00&_id=" + first.StudyInstanceUID,
                           headers={"Content-Type": "application/x-www-form-urlencoded"}, timeout=60)
    assert ids(answer.json()) == uids(first)
    assert ids(requests.post(url, timeout=60, headers={"Content-Type": "application/x-www-form-urlencoded"}).json())
    refused(server, "ImagingStudy/_search", 415, "not-supported", "POST", json={})
    refused(server, "ImagingStudy/_search", 413, "too-long", "POST", data={"_id": "x" * 70000})
    refused(server, "ImagingStudy/_search", 400, "invalid", "POST", data="_id=%zz",
            headers={"Content-Type": "application/x-www-form-urlencoded"})


def test_what_changed_lately_is_found_by_when_it_was_changed(start_server):
    server = start_server()
    old = make()
    store(server, old)
    time.sleep(0.01)
    since = ask(server, f"ImagingStudy/{old.StudyInstanceUID}")["meta"]["lastUpdated"]
    new = make()
    store(server, new)
    assert found(server, _lastUpdated=f"gt{since}") == uids(new)
    assert sorted(found(server, _lastUpdated=f"ge{since}")) == uids(old, new)
    assert found(server, _lastUpdated=f"le{since}") == uids(old)
    store(server, make(study=old.StudyInstanceUID, PatientID=old.PatientID))
    assert sorted(found(server, _lastUpdated=f"gt{since}")) == uids(old, new)


def test_unknown_modifiers_and_values_are_refused_and_unknown_parameters_only_when_strict(server):
    refused(server, "ImagingStudy?identifier:above=x", 400, "invalid")
    refused(server, "ImagingStudy?started:missing=maybe", 400, "invalid")
    refused(server, "ImagingStudy?_total=perhaps", 400, "invalid")
    refused(server, "ImagingStudy?_count=-1", 400, "invalid")
    refused(server, "ImagingStudy?_id=" + ",".join(["1"] * 200), 413, "too-costly")
    refused(server, "ImagingStudy?" + "&".join(["modality=CT"] * 40), 413, "too-costly")
    for query in ("colour=blue", "_sort=status", "identifier=", "_has:Observation:patient:code=1"):
        answer = requests.get(f"{server.fhir_view}/ImagingStudy?{query}&_count=1", timeout=60)
        assert answer.status_code == 200
        assert query.split("=")[0] not in answer.json()["link"][0]["url"]
        refused(server, f"ImagingStudy?{query}", 400, "invalid", headers=STRICT)


def test_a_version_is_read_as_long_as_it_is_the_present_one(server):
    ds = make()
    store(server, ds)
    for reference in (f"ImagingStudy/{ds.StudyInstanceUID}", "Endpoint/wado-rs",
                      ask(server, f"ImagingStudy/{ds.StudyInstanceUID}")["subject"]["reference"]):
        resource = ask(server, reference)
        assert ask(server, f"{reference}/_history/{resource['meta']['versionId']}") == resource
        refused(server, f"{reference}/_history/0", 404, "not-found")
    before = ask(server, f"ImagingStudy/{ds.StudyInstanceUID}")["meta"]["versionId"]
    store(server, make(study=ds.StudyInstanceUID, PatientID=ds.PatientID))
    refused(server, f"ImagingStudy/{ds.StudyInstanceUID}/_history/{before}", 404, "not-found")


def test_a_resource_that_did_not_change_is_not_sent_again(server):
    ds = make()
    store(server, ds)
    subject = ask(server, f"ImagingStudy/{ds.StudyInstanceUID}")["subject"]["reference"]
    for reference in (f"ImagingStudy/{ds.StudyInstanceUID}", subject):
        url = f"{server.fhir_view}/{reference}"
        first = requests.get(url, timeout=60)
        assert first.headers["ETag"] == f'W/"{first.json()["meta"]["versionId"]}"'
        for headers in ({"If-None-Match": first.headers["ETag"]}, {"If-None-Match": f'"x", {first.headers["ETag"]}'},
                        {"If-Modified-Since": first.headers["Last-Modified"]}):
            assert requests.get(url, headers=headers, timeout=60).status_code == 304
        for headers in ({"If-None-Match": 'W/"x"'}, {"If-Modified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"},
                        {"If-None-Match": 'W/"x"', "If-Modified-Since": first.headers["Last-Modified"]}):
            assert requests.get(url, headers=headers, timeout=60).status_code == 200


def test_the_base_says_what_is_there(server):
    answer = requests.get(server.fhir_view, timeout=60)
    assert answer.status_code == 200
    issue = answer.json()["issue"][0]
    assert (issue["severity"], issue["code"]) == ("information", "informational")
    assert f"{server.fhir_view}/metadata" in issue["diagnostics"]
    assert requests.get(server.fhir_view + "/", timeout=60).json() == answer.json()
    page = requests.get(server.fhir_view, headers={"Accept": "text/html,*/*"}, timeout=60)
    assert page.headers["Content-Type"].startswith("text/html") and "/fhir/ImagingStudy" in page.text


def test_each_release_of_FHIR_can_be_asked_for(server, studies):
    first = studies[0]
    url = f"{server.fhir_view}/ImagingStudy/{first.StudyInstanceUID}"
    for headers, parameters in (({"Accept": "application/fhir+json; fhirVersion=5.0"}, {}),
                                ({"Accept": 'application/fhir+json;fhirVersion="5.0"'}, {}),
                                ({}, {"_format": "application/fhir+json; fhirVersion=5.0"})):
        answer = requests.get(url, headers=headers, params=parameters, timeout=60)
        assert "fhirVersion=5.0" in answer.headers["Content-Type"] and "Accept" in answer.headers["Vary"]
        series = answer.json()["series"][0]
        assert series["bodySite"]["concept"]["coding"][0]["code"] == "69536005"
        assert series["modality"]["coding"][0]["code"] == "CT"
    r5 = {"Accept": "application/fhir+json; fhirVersion=5.0", **STRICT}
    statement = requests.get(f"{server.fhir_view}/metadata", headers=r5, timeout=60).json()
    assert statement["fhirVersion"] == "5.0.0"
    page = requests.get(f"{server.fhir_view}/ImagingStudy", headers=r5, timeout=60,
                        params={"body-site": "69536005", "patient.identifier": first.PatientID}).json()
    assert ids(page) == uids(first) and "concept" in page["entry"][0]["resource"]["series"][0]["bodySite"]
    refused(server, "ImagingStudy?bodysite=1", 400, "invalid", headers=r5)
    refused(server, "metadata", 406, "not-supported", headers={"Accept": "application/fhir+json; fhirVersion=3.0"})
    released = ask(server, "$versions")["parameter"]
    assert [p["valueCode"] for p in released] == ["4.0", "5.0", "4.0"]


def test_a_view_of_R5_has_that_by_default(start_server):
    server = start_server(settings={"fhir": {"version": "R5"}})
    assert ask(server, "metadata")["fhirVersion"] == "5.0.0"
    assert isinstance(ask(server, "Endpoint")["entry"][0]["resource"]["connectionType"], list)
