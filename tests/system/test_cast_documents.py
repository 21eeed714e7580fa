# SPDX-License-Identifier: MIT
"""What documents say, on a real FHIR server: Observation, DiagnosticReport, DocumentReference, Device, along their life
(conformance items FHIR-02, FHIR-03, FHIR-05)."""
import json
import pathlib
import subprocess

import pytest
import requests
from fhir_proxy import Proxy, answer
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from sr_documents import COMPREHENSIVE, ct_dose, document, item, key_objects, measurements, pdf, report
from test_cast import (  # noqa: F401
    ROOT, cast, cast_study, cast_together, metric, patients, post, put, read, search, studies, wait_for
)
from test_cast_operations import over_http
from web import make, new_uid, store, url_of

sent = []


@pytest.fixture
def proxy(fhir):
    proxy = Proxy(fhir)
    yield proxy
    proxy.close()
    sent.extend(e.body for e in proxy.transactions() if e.status != 422)


def of_study(base, kind, ds):
    return search(base, kind, f"urn:dicom:uid|urn:oid:{ds.StudyInstanceUID}")


def of_instance(base, kind, ds):
    return search(base, kind, f"urn:dicom:uid|urn:oid:{ds.SOPInstanceUID}")


def reference(resource):
    return f"{resource['resourceType']}/{resource['id']}"


def by_code(resources):
    return {r["code"]["coding"][0]["code"]: r for r in resources}


def one(found):
    assert len(found) == 1, found
    return found[0]


def delete(server, ds, level="instance"):
    deleted = requests.delete(url_of(server, ds, level), timeout=60)
    assert deleted.status_code in (200, 204), deleted.text


def test_FHIR_02_a_report_is_a_diagnostic_report(cast, proxy, fhir):  # noqa: F811
    server = cast()
    image = make()
    letter = report(image)
    with cast_together(server, proxy):
        store(server, image, letter)
    study = cast_study(fhir, image, letter)
    found = one(wait_for(lambda: of_instance(fhir, "DiagnosticReport", letter)))
    assert found["status"] == "final"
    assert found["code"]["coding"][0]["code"] == "18748-4"
    assert found["subject"] == {"reference": reference(one(patients(fhir, image)))}
    assert found["imagingStudy"] == [{"reference": reference(study)}]
    assert found["conclusion"] == "No pneumonia."
    assert found["effectiveDateTime"] == "2026-01-02T10:30:00+01:00"
    assert found["issued"].startswith("2026-01-02T11:30:00")
    assert found["resultsInterpreter"] == [{
        "type": "Practitioner", "display": "Gregory House",
        "identifier": {"system": "urn:hounsfield:HOUNSFIELD/coding-scheme/99HOSP", "value": "4711"},
    }]
    shown = requests.get(found["presentedForm"][0]["url"], timeout=60)
    assert shown.status_code == 200 and "No pneumonia." in shown.text
    assert len(proxy.transactions()) == 1


def test_FHIR_02_a_long_report_is_told_whole(cast, fhir):  # noqa: F811
    server = cast()
    image = make()
    text = "Nothing to be seen. " * 1000
    letter = report(image, impression=text)
    store(server, image, letter)
    found = one(wait_for(lambda: of_instance(fhir, "DiagnosticReport", letter)))
    assert found["conclusion"] == text.strip()


def peak_of(server):
    """The most memory that the server has had, in bytes."""
    lines = pathlib.Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024


def test_FHIR_02_a_thousand_measurements_are_told_in_one_transaction(cast, fhir):  # noqa: F811
    proxy = Proxy(fhir)
    server = cast(url=proxy.url)
    image = make()
    lengths = [item("NUM", "410668003,SCT,Length", (f"{i}.50", "mm"),
                    item("IMAGE", "", (image.SOPClassUID, image.SOPInstanceUID), relation="INFERRED FROM")) for i in range(1000)]
    measured = document(image, COMPREHENSIVE, "126000,DCM,Imaging Measurement Report",
                        item("CONTAINER", "125007,DCM,Measurement Group", None, *lengths))
    before = peak_of(server)
    store(server, measured)
    result = one(wait_for(lambda: of_instance(fhir, "DiagnosticReport", measured), 240))
    assert peak_of(server) - before < 1 << 29
    transaction = one([e for e in proxy.transactions() if e.mentions(measured.SOPInstanceUID)])
    made = [e["resource"] for e in transaction.entries]
    observations = [r for r in made if r["resourceType"] == "Observation"]
    assert len(observations) == 1001 and [r["resourceType"] for r in made].count("DiagnosticReport") == 1
    told = sorted(r["valueQuantity"]["value"] for r in observations if "valueQuantity" in r)
    assert told == [i + 0.5 for i in range(1000)]
    assert "note" not in studies(fhir, image)[0]  # nothing was left out
    group = read(fhir, result["result"][0]["reference"])
    assert len(group["hasMember"]) == 1000
    samples = [result, group, *(read(fhir, group["hasMember"][i]["reference"]) for i in (0, 500, 999))]
    sent.extend(json.dumps(sample).encode() for sample in samples)
    proxy.close()


def test_FHIR_02_measurements_are_observations_of_a_report(cast, fhir):  # noqa: F811
    server = cast()
    image = make()
    measured = measurements(image)
    store(server, image, measured)
    study = cast_study(fhir, image, measured)
    result = one(wait_for(lambda: of_instance(fhir, "DiagnosticReport", measured)))
    observations = by_code(of_study(fhir, "Observation", image))
    assert set(observations) == {"125007", "410668003", "121071"}
    group, length, finding = (observations[c] for c in ("125007", "410668003", "121071"))
    assert result["result"] == [{"reference": reference(group)}]
    assert group["hasMember"] == [{"reference": reference(length)}, {"reference": reference(finding)}]
    assert length["valueQuantity"] == {
        "value": 12.5, "unit": "mm", "system": "http://unitsofmeasure.org", "code": "mm"
    }
    assert length["bodySite"]["text"] == "Lung, Right"
    assert length["derivedFrom"] == [{"reference": reference(study)}]
    assert length["subject"] == {"reference": reference(one(patients(fhir, image)))}
    assert length["focus"][0]["display"] == "Nodule 1"
    device = read(fhir, length["device"]["reference"])
    assert (device["manufacturer"], device["serialNumber"]) == ("ACME", measured.DeviceSerialNumber)
    performers = [p["actor"] for s in studies(fhir, image)[0]["series"] for p in s.get("performer", [])]
    assert reference(device) in [actor.get("reference") for actor in performers]


def test_FHIR_02_a_dose_report_is_an_observation_with_its_events(cast, fhir):  # noqa: F811
    server = cast()
    image = make()
    event = new_uid()
    dose = ct_dose(image, event)
    store(server, image, dose)
    study = cast_study(fhir, image, dose)
    summary = one(wait_for(lambda: of_instance(fhir, "Observation", dose)))
    irradiation = one(search(fhir, "Observation", f"urn:dicom:uid|urn:oid:{event}"))
    assert [c["code"] for c in summary["code"]["coding"]] == ["113701", "73569-6"]
    assert summary["partOf"] == [{"reference": reference(study)}]
    assert summary["hasMember"] == [{"reference": reference(irradiation)}]
    assert summary["effectivePeriod"]["start"] == "2026-01-02T10:12:00+01:00"
    sums = {c["code"]["coding"][0]["code"]: c for c in summary["component"]}
    assert sums["113813"]["valueQuantity"]["value"] == 415.82
    assert sums["113813"]["valueQuantity"]["code"] == "mGy.cm"
    values = {c["code"]["coding"][0]["code"] for c in irradiation["component"]}
    assert values == {"113820", "113830", "113838"}
    assert irradiation["bodySite"]["text"] == "Head"


def test_FHIR_02_key_objects_and_encapsulated_documents_are_referred_to(cast, fhir):  # noqa: F811
    server = cast()
    image = make()
    keys, letter = key_objects(image), pdf(image)
    store(server, image, keys, letter)
    study = cast_study(fhir, image, keys, letter)
    manifest = one(wait_for(lambda: of_instance(fhir, "DocumentReference", keys)))
    assert manifest["description"] == "Look here"
    related = manifest["context"]["related"]
    assert related[0] == {"reference": reference(study)}
    assert related[1]["identifier"]["value"] == f"urn:oid:{image.SOPInstanceUID}"
    got = requests.get(manifest["content"][0]["attachment"]["url"],
                       headers={"Accept": 'multipart/related; type="application/dicom"'}, timeout=60)
    assert got.status_code == 200
    found = one(of_instance(fhir, "DiagnosticReport", letter))
    assert found["presentedForm"][0]["contentType"] == "application/pdf"
    shown = requests.get(found["presentedForm"][0]["url"], timeout=60)
    assert shown.headers["Content-Type"] == "application/pdf" and shown.content.startswith(b"%PDF-1.4")


def test_FHIR_03_what_documents_say_is_written_once(cast, proxy, fhir):  # noqa: F811
    server = cast()
    image = make()
    dose, measured = ct_dose(image), measurements(image)
    store(server, image, dose)
    wait_for(lambda: of_instance(fhir, "Observation", dose))
    before = one(of_instance(fhir, "Observation", dose))["meta"]["versionId"]
    store(server, measured)
    wait_for(lambda: of_instance(fhir, "DiagnosticReport", measured))
    assert one(of_instance(fhir, "Observation", dose))["meta"]["versionId"] == before
    assert len(of_study(fhir, "Observation", image)) == 5
    transactions = len(proxy.transactions())
    store(server, make(study=image.StudyInstanceUID, PatientID=image.PatientID, AccessionNumber=image.AccessionNumber))
    wait_for(lambda: studies(fhir, image)[0]["numberOfInstances"] == 4)
    assert len(proxy.transactions()) == transactions + 1
    entries = json.loads(proxy.transactions()[-1].body)["entry"]
    assert [e["request"]["method"] for e in entries] == ["PUT"]
    assert entries[0]["resource"]["resourceType"] == "ImagingStudy"


def test_FHIR_03_a_report_that_is_issued_anew_keeps_its_observations(cast, fhir):  # noqa: F811
    server = cast()
    image = make()
    uid = new_uid()
    store(server, image, measurements(image, "12.5", uid))
    first = one(wait_for(lambda: search(fhir, "Observation", f"urn:dicom:uid|urn:oid:{uid}")))
    assert first["status"] == "preliminary"
    store(server, measurements(image, "13.5", uid, verified=True))
    final = wait_for(
        lambda: [o for o in search(fhir, "Observation", f"urn:dicom:uid|urn:oid:{uid}") if o["status"] == "final"]
    )
    assert one(final)["id"] == first["id"] and final[0]["valueQuantity"]["value"] == 13.5


def writes_nothing_more(server, proxy):
    """All studies are cast anew: does that write anything?"""
    before, through = len(proxy.transactions()), metric(server, "cast_studies")
    over_http(server, "cast-reset", position=0)
    wait_for(lambda: metric(server, "cast_studies") >= through + 2)  # of each of these tests
    return len(proxy.transactions()) == before


def test_FHIR_03_one_event_that_two_studies_tell_of_is_told_of_by_each(cast, proxy, fhir):  # noqa: F811
    server = cast()
    first, second, event, finding = make(), make(), new_uid(), new_uid()
    for image, dlp in ((first, "100.5"), (second, "200.5")):
        store(server, image, ct_dose(image, event, dlp), measurements(image, dlp, finding))
        wait_for(lambda image=image: len(of_study(fhir, "Observation", image)) == 5)
    wait_for(lambda: metric(server, "cast_lag") == 0)

    def told(image):
        return {o["identifier"][0]["value"]: o for o in of_study(fhir, "Observation", image)}

    for image, dlp in ((first, 100.5), (second, 200.5)):
        assert told(image)[f"urn:oid:{finding}"]["valueQuantity"]["value"] == dlp
        assert told(image)[f"urn:oid:{event}"]["subject"] == studies(fhir, image)[0]["subject"]
    mine = {o["id"] for o in told(first).values()}
    assert not mine & {o["id"] for o in told(second).values()}
    assert writes_nothing_more(server, proxy)
    delete(server, second, "study")
    wait_for(lambda: not studies(fhir, second))
    assert {o["id"] for o in told(first).values()} == mine and not told(second)
    assert metric(server, "cast_parked") == 0


def test_FHIR_03_an_item_that_calls_itself_as_another_study_does_is_none_of_it(cast, proxy, fhir):  # noqa: F811
    server = cast()
    image, other = make(), make()
    dose = ct_dose(image)
    store(server, image, dose)
    wait_for(lambda: len(of_study(fhir, "Observation", image)) == 2)
    wait_for(lambda: metric(server, "cast_lag") == 0)
    before = {o["id"]: o["meta"]["versionId"] for o in of_study(fhir, "Observation", image)}
    store(server, other, measurements(other, uid=image.StudyInstanceUID))
    wait_for(lambda: len(of_study(fhir, "Observation", other)) == 3)
    wait_for(lambda: metric(server, "cast_lag") == 0)
    impostor = one([o for o in of_study(fhir, "Observation", image) if o["id"] not in before])
    assert impostor["identifier"][1]["value"] == f"urn:oid:{other.StudyInstanceUID}"
    store(server, make(study=image.StudyInstanceUID, PatientID=image.PatientID, AccessionNumber=image.AccessionNumber))
    wait_for(lambda: studies(fhir, image)[0]["numberOfInstances"] == 3)
    now = {o["id"]: o["meta"]["versionId"] for o in of_study(fhir, "Observation", image)}
    assert now == {**before, impostor["id"]: impostor["meta"]["versionId"]}
    assert writes_nothing_more(server, proxy)


def test_FHIR_05_a_document_that_is_deleted_says_nothing_any_more(cast, fhir):  # noqa: F811
    server = cast()
    image = make()
    dose, measured = ct_dose(image), measurements(image)
    store(server, image, dose, measured)
    wait_for(lambda: len(of_study(fhir, "Observation", image)) == 5)
    delete(server, measured)
    wait_for(lambda: len(of_study(fhir, "Observation", image)) == 2)
    assert not of_study(fhir, "DiagnosticReport", image)
    delete(server, image, "study")
    wait_for(lambda: not studies(fhir, image))
    assert not of_study(fhir, "Observation", image)
    assert metric(server, "cast_parked") == 0


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_FHIR_05_documents_are_kept_with_a_status_where_that_is_the_policy(cast, fhir, status):  # noqa: F811
    server = cast(onRemoval=status)
    image = make()
    dose, keys = ct_dose(image), key_objects(image)
    store(server, image, dose, keys)
    wait_for(lambda: of_study(fhir, "DocumentReference", image))
    delete(server, keys)
    wait_for(lambda: one(of_study(fhir, "DocumentReference", image))["status"] == "entered-in-error")
    delete(server, image, "study")
    wait_for(lambda: studies(fhir, image)[0]["status"] == status)
    assert {o["status"] for o in of_study(fhir, "Observation", image)} == {status}
    store(server, image, dose)
    wait_for(lambda: {o["status"] for o in of_study(fhir, "Observation", image)} == {"final"})


def test_FHIR_05_what_others_refer_to_is_withdrawn(cast, proxy, fhir):  # noqa: F811
    server = cast()
    image = make()
    dose = ct_dose(image)
    store(server, image, dose)
    summary = one(wait_for(lambda: of_instance(fhir, "Observation", dose)))
    post(fhir, {"resourceType": "Observation", "status": "final", "code": {"text": "review"},
                "derivedFrom": [{"reference": reference(summary)}]})
    delete(server, dose)
    wait_for(lambda: one(of_instance(fhir, "Observation", dose))["status"] == "entered-in-error")
    before = len(proxy.transactions())
    store(server, make(study=image.StudyInstanceUID, PatientID=image.PatientID, AccessionNumber=image.AccessionNumber))
    wait_for(lambda: studies(fhir, image)[0]["numberOfInstances"] == 2)
    # It is not tried again.
    after = [entry for t in proxy.transactions()[before:] for entry in json.loads(t.body)["entry"]]
    assert [entry["request"]["method"] for entry in after] == ["PUT"]


def test_FHIR_04_what_others_wrote_of_a_report_stays(cast, fhir):  # noqa: F811
    server = cast()
    image = make()
    letter = report(image)
    store(server, image, letter)
    found = one(wait_for(lambda: of_instance(fhir, "DiagnosticReport", letter)))
    found["identifier"].append({"system": "http://ris.example", "value": "R-1"})
    found["extension"] = [{"url": "http://ris.example/kind", "valueString": "x"}]
    put(fhir, found)
    foreign = post(fhir, {"resourceType": "Observation", "status": "final", "code": {"text": "theirs"}, "identifier": [
        {"system": "urn:dicom:uid", "value": f"urn:oid:{image.StudyInstanceUID}"}]})
    store(server, ct_dose(image))
    wait_for(lambda: len(of_study(fhir, "Observation", image)) == 3)
    kept = one(of_instance(fhir, "DiagnosticReport", letter))
    assert kept["extension"] == found["extension"]
    assert {"system": "http://ris.example", "value": "R-1"} in kept["identifier"]
    delete(server, image, "study")
    wait_for(lambda: not studies(fhir, image))
    assert [o["id"] for o in of_study(fhir, "Observation", image)] == [foreign["id"]]


def test_FHIR_04_devices_are_shared_by_studies_and_made_once(cast, fhir):  # noqa: F811
    server = cast()
    serial = new_uid()[-20:]
    images = [make(Manufacturer="ACME", DeviceSerialNumber=serial) for _ in range(8)]
    for image in images:
        store(server, image)
    actors = set()
    for image in images:
        cast_study(fhir, image)
        actors.add(studies(fhir, image)[0]["series"][0]["performer"][0]["actor"]["reference"])
    assert len(actors) == 1
    found = search(fhir, "Device", f"urn:hounsfield:HOUNSFIELD/device-serial/ACME|{serial}")
    assert [reference(device) for device in found] == list(actors)


def ordered(**attributes):
    """A study of an order, with a referrer who has a code."""
    referrer = Dataset()
    referrer.PersonIdentificationCodeSequence = [Dataset()]
    item_of = referrer.PersonIdentificationCodeSequence[0]
    item_of.CodeValue, item_of.CodingSchemeDesignator, item_of.CodeMeaning = new_uid()[-12:], "99HOSP", "Dr. Ref"
    referrer.InstitutionName = "General Hospital"
    return make(ReferringPhysicianIdentificationSequence=[referrer], AdmissionID="V" + new_uid()[-12:],
                AccessionNumber="A" + new_uid()[-12:], **attributes)


def others_of(base, ds):
    """What the hospital has of it: Practitioner, ServiceRequest and Encounter, as references."""
    own = "urn:hounsfield:HOUNSFIELD"
    code = ds.ReferringPhysicianIdentificationSequence[0].PersonIdentificationCodeSequence[0].CodeValue
    person = post(base, {"resourceType": "Practitioner", "identifier": [
        {"system": f"{own}/coding-scheme/99HOSP", "value": code}]})
    order = post(base, {"resourceType": "ServiceRequest", "status": "active", "intent": "order",
                        "subject": {"display": "x"},
                        "identifier": [{"system": f"{own}/accession", "value": ds.AccessionNumber}]})
    visit = post(base, {"resourceType": "Encounter", "status": "in-progress", "class": {"code": "IMP"},
                        "identifier": [{"system": f"{own}/admission", "value": ds.AdmissionID}]})
    return [reference(r) for r in (person, order, visit)]


def referred(study):
    return [r.get("reference") for r in (study["referrer"], study["basedOn"][0], study["encounter"])]


def test_FHIR_02_persons_orders_and_visits_that_are_there_are_referred_to(cast, fhir):  # noqa: F811
    server = cast()
    image = ordered()
    expected = others_of(fhir, image)
    letter = report(image, AdmissionID=image.AdmissionID)
    store(server, image, letter)
    study = cast_study(fhir, image, letter)
    assert referred(study) == expected
    assert study["referrer"]["display"] == "Doc Ref"
    found = one(of_instance(fhir, "DiagnosticReport", letter))
    assert found["basedOn"][0]["reference"] == expected[1]


def test_FHIR_02_an_order_that_comes_later_is_referred_to_later(cast, proxy, fhir):  # noqa: F811
    server = cast()
    image = ordered()
    store(server, image)
    assert referred(cast_study(fhir, image)) == [None, None, None]
    expected = others_of(fhir, image)
    server.restart()  # forgets what was not there
    more = make(study=image.StudyInstanceUID, PatientID=image.PatientID, AccessionNumber=image.AccessionNumber)
    store(server, more)
    assert referred(cast_study(fhir, image, more)) == expected


def test_FHIR_07_a_server_that_does_not_show_persons_parks_nothing(cast, proxy, fhir):  # noqa: F811
    proxy.fault(answer(403), times=100, when=lambda e: "/Practitioner?" in e.path)
    proxy.fault(answer(404), times=100, when=lambda e: "/ServiceRequest?" in e.path)
    server = cast()
    image = ordered()
    store(server, image)
    assert referred(cast_study(fhir, image)) == [None, None, None]
    assert metric(server, "cast_parked") == 0


def test_FHIR_07_a_server_without_a_type_is_not_sent_it(cast, proxy, fhir):  # noqa: F811
    proxy.fault(answer(404), times=100, when=lambda e: "/DocumentReference?" in e.path)
    server = cast()
    image = make()
    keys, dose = key_objects(image), ct_dose(image)
    store(server, image, keys, dose)
    wait_for(lambda: of_instance(fhir, "Observation", dose))
    assert not of_instance(fhir, "DocumentReference", keys)
    assert metric(server, "cast_parked") == 0


def test_FHIR_07_a_server_that_knows_the_modalities_of_R4_alone_is_told_newer_ones_by_name(cast, proxy, fhir):  # noqa: F811
    proxy.fault(answer(422), times=10**6, when=lambda e: e.is_transaction and b'"code":"DOC"' in e.body)
    server = cast()
    for refused in (1, 0):
        before = len(proxy.transactions())
        image = make()
        letter = pdf(image)
        letter.Modality = "DOC"
        store(server, image, letter)
        held = cast_study(fhir, image, letter)
        assert sorted(s["modality"].get("display", "-") for s in held["series"]) == ["-", "DOC"]
        assert all("code" not in s["modality"] for s in held["series"] if "display" in s["modality"])
        assert of_instance(fhir, "DiagnosticReport", letter)
        assert [e.status for e in proxy.transactions()[before:]].count(422) == refused
    wait_for(lambda: metric(server, "cast_lag") == 0)
    assert metric(server, "cast_parked") == 0
    assert "server knows no modalities that are newer than R4" in server.log()


def test_what_documents_say_can_be_withheld_later(cast, fhir):  # noqa: F811
    server = cast()
    image = make()
    dose, letter = ct_dose(image), report(image)
    store(server, image, dose, letter)
    wait_for(lambda: of_instance(fhir, "Observation", dose))
    server.stop()
    other = cast(withhold=["Observation", "practitioners"])
    store(other, image, dose, letter)
    wait_for(lambda: not of_study(fhir, "Observation", image))
    found = one(of_study(fhir, "DiagnosticReport", image))
    assert "resultsInterpreter" not in found and found["conclusion"] == "No pneumonia."


@pytest.mark.parametrize("name", ["reportsi.dcm", "test-SR.dcm"])
def test_FHIR_02_documents_of_others_are_mapped(cast, fhir, name):  # noqa: F811
    server = cast()
    ds = dcmread(get_testdata_file(name))
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = new_uid(), new_uid(), new_uid()
    ds.PatientID = "P" + new_uid()[-12:]
    store(server, ds)
    found = one(wait_for(lambda: of_instance(fhir, "DiagnosticReport", ds)))
    assert found["code"]["text"] == ds.ConceptNameCodeSequence[0].CodeMeaning


def test_FHIR_02_all_that_documents_became_is_valid(fhir, tmp_path):
    if not sent:
        pytest.skip("no other test of this file ran")
    for i, body in enumerate(body for body in dict.fromkeys(sent) if len(body) < 1 << 18):
        (tmp_path / f"{i:04}.json").write_bytes(body)
    validator = ROOT / "tests" / "fhir-server" / "validate.sh"
    result = subprocess.run(
        [str(validator), "--errors-only", str(tmp_path)], capture_output=True, text=True, timeout=280
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
