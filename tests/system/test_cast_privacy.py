# SPDX-License-Identifier: MIT
"""What is not cast, by choice; and what the cast writes down of patients: nothing (FHIR-02, FHIR-05, FHIR-07)."""
import json
import subprocess

import fhir_proxy
import pytest
import requests
from conftest import BINARY
from test_cast import (  # noqa: F401
    PATIENT_SYSTEM,
    cast,
    cast_study,
    idle,
    instance_uids,
    is_transaction,
    metric,
    patients,
    post,
    proxy,
    put,
    read,
    studies,
    wait_for,
)
from test_cast_operations import over_http, run
from web import make, new_uid, store

GROUPS = ["patientNames", "birthDate", "sex", "orders", "practitioners", "location", "descriptions", "instances", "reasons"]


def rich():
    return make(
        PatientName="Zebrowski^Ottilie", PatientBirthDate="19311113", PatientSex="F", ReferringPhysicianName="Quincy^A",
        InstitutionName="St. Nowhere", StudyDescription="Wrist left", SeriesDescription="lateral", StudyID="ID-7",
        AdmittingDiagnosesDescription="Fell down", AdmissionID="V-77", AccessionNumber=f"ACC-{new_uid()[-9:]}",
    )


def secrets_of(ds):
    return ["Zebrowski", "Ottilie", "1931", "female", "Quincy", "Nowhere", "Wrist", "lateral", "ID-7", "Fell down", "V-77", ds.AccessionNumber]


def with_withheld(server, groups):
    """Restarts it with these settings, and casts the whole archive anew."""
    server.settings["fhir"]["withhold"] = groups
    server.restart()
    over_http(server, "cast-reconcile")


def test_FHIR_02_what_is_withheld_is_not_sent_and_nothing_else_is_missing(cast, proxy, fhir):
    server = cast(withhold=GROUPS)
    ds = rich()
    store(server, ds)
    held = wait_for(lambda: studies(fhir, ds))[0]
    idle(server)
    text = "".join(e.body.decode() + e.path for e in proxy.exchanges)
    assert not [s for s in secrets_of(ds) if s in text]
    assert held["numberOfInstances"] == 1 and held["series"][0]["numberOfInstances"] == 1
    assert held["series"][0]["uid"] == ds.SeriesInstanceUID and "instance" not in held["series"][0]
    assert len(patients(fhir, ds)) == 1


def test_FHIR_05_what_is_withheld_later_is_taken_back_and_comes_again(start_server, proxy, fhir):
    server = start_server(settings={"dimse": {"aeTitle": "PRIVATE"}, "fhir": {"url": proxy.url, "quietSeconds": 0.3}})
    ds = rich()
    ds.IssuerOfPatientID = new_uid()
    store(server, ds)
    held = cast_study(fhir, ds)
    idle(server)
    # Others write, too: theirs stays.
    patient = read(fhir, held["subject"]["reference"])
    put(fhir, {**patient, "telecom": [{"system": "phone", "value": "+49 30 1"}], "name": [*patient["name"], {"family": "Alias"}]})
    put(fhir, {**held, "note": [{"text": "seen"}]})
    with_withheld(server, GROUPS)
    patient, bare = read(fhir, held["subject"]["reference"]), studies(fhir, ds)[0]
    text = json.dumps([patient, bare])
    assert not [s for s in secrets_of(ds) if s in text]
    assert patient["telecom"][0]["value"] == "+49 30 1" and patient["name"] == [{"family": "Alias"}]
    assert bare["note"] == [{"text": "seen"}] and bare["id"] == held["id"]
    with_withheld(server, GROUPS)
    assert studies(fhir, ds)[0]["meta"]["versionId"] == bare["meta"]["versionId"]
    with_withheld(server, [])
    patient, whole = read(fhir, held["subject"]["reference"]), studies(fhir, ds)[0]
    assert patient["birthDate"] == "1931-11-13" and patient["gender"] == "female"
    assert {k: v for k, v in whole.items() if k not in ("meta", "note")} == {k: v for k, v in held.items() if k not in ("meta", "note")}


def test_FHIR_03_without_patients_of_ours_the_subject_is_theirs_or_an_identifier(cast, proxy, fhir):
    server = cast(withhold=["Patient"])
    ds, known = rich(), make()
    theirs = post(fhir, {"resourceType": "Patient", "identifier": [{"system": PATIENT_SYSTEM, "value": known.PatientID}]})
    store(server, ds, known)
    held = cast_study(fhir, ds)
    assert held["subject"]["identifier"]["value"] == ds.PatientID and "reference" not in held["subject"]
    assert cast_study(fhir, known)["subject"] == {"reference": f"Patient/{theirs['id']}"}
    idle(server)
    assert not patients(fhir, ds) and read(fhir, f"Patient/{theirs['id']}")["meta"]["versionId"] == "1"
    assert not [e for t in proxy.transactions() for e in t.entries if e["resource"]["resourceType"] == "Patient"]
    # Once there is one, it is the subject.
    theirs = post(fhir, {"resourceType": "Patient", "identifier": [{"system": PATIENT_SYSTEM, "value": ds.PatientID}]})
    over_http(server, "cast-replay", study=ds.StudyInstanceUID)
    wait_for(lambda: studies(fhir, ds)[0]["subject"] == {"reference": f"Patient/{theirs['id']}"})


def test_FHIR_05_endpoints_and_patients_of_ours_are_taken_back(start_server, proxy, fhir):
    server = start_server(settings={"dimse": {"aeTitle": "PRIVATE2"}, "fhir": {"url": proxy.url, "quietSeconds": 0.3}})
    ds = rich()
    ds.IssuerOfPatientID = new_uid()
    store(server, ds)
    held = cast_study(fhir, ds)
    idle(server)
    assert len(held["endpoint"]) == 2
    with_withheld(server, ["Patient", "Endpoint"])
    after = studies(fhir, ds)[0]
    assert "endpoint" not in after and after["subject"] == held["subject"]
    patient = read(fhir, held["subject"]["reference"])
    assert set(patient) <= {"resourceType", "id", "meta", "identifier"}
    with_withheld(server, [])
    assert studies(fhir, ds)[0]["endpoint"] == held["endpoint"]
    assert read(fhir, held["subject"]["reference"])["name"]


def test_FHIR_02_the_view_withholds_by_a_setting_of_its_own(start_server):
    server = start_server(settings={"fhir": {"viewWithhold": [*GROUPS, "Endpoint"]}})
    ds = rich()
    store(server, ds)
    for path in (
        f"ImagingStudy/{ds.StudyInstanceUID}", f"ImagingStudy?identifier=urn:oid:{ds.StudyInstanceUID}", "Patient", "ImagingStudy", "Endpoint",
        f"ImagingStudy?identifier={ds.AccessionNumber}",
    ):
        answer = requests.get(f"{server.fhir_view}/{path}", timeout=60)
        assert answer.status_code == 200, answer.text
        # The links of a page repeat what was asked for.
        text = json.dumps({k: v for k, v in answer.json().items() if k != "link"})
        assert not [s for s in [*secrets_of(ds), "wado-rs"] if s in text]
    # Nor can it be guessed: what is not shown is not searched.
    for kind, query in (
        ("ImagingStudy", {"identifier": ds.AccessionNumber}), ("ImagingStudy", {"instance": f"urn:oid:{ds.SOPInstanceUID}"}),
        ("ImagingStudy", {"instance": ds.SOPInstanceUID}), ("Patient", {"birthdate": "1931-11-13"}), ("Patient", {"family": "Zebrowski"}),
        ("Patient", {"name": "Ottilie"}), ("Patient", {"gender": "female"}),
    ):
        found = requests.get(f"{server.fhir_view}/{kind}", params=query, timeout=60)
        assert found.status_code == 200 and not found.json().get("entry"), (kind, query, found.text[:500])


@pytest.mark.parametrize("name,groups", [("withhold", ["names"]), ("viewWithhold", ["Patient"]), ("viewWithhold", [7])])
def test_groups_that_are_none_are_refused(tmp_path, name, groups):
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"data": {"directory": str(tmp_path / "data")}, "fhir": {name: groups}}))
    done = subprocess.run([str(BINARY), "serve", "--config", str(settings)], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and f"fhir.{name}" in done.stderr, done.stderr


def test_FHIR_07_what_the_cast_writes_down_holds_no_patient_data(cast, proxy, fhir):
    """Its log, and what it keeps of a study that is parked, which is what it tells operators."""
    server = cast()
    ds = rich()
    secrets = [*secrets_of(ds), ds.PatientID]
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "invalid", "diagnostics": f"{s} is none", "expression": [f"Patient.where(name='{s}')"]} for s in secrets],
    }
    proxy.fault(fhir_proxy.answer(503, {"Retry-After": "1"}, json.dumps(outcome).encode()), when=is_transaction)
    proxy.fault(fhir_proxy.answer(422, body=json.dumps(outcome).encode()), times=-1, when=is_transaction)
    store(server, ds)
    wait_for(lambda: metric(server, "cast_parked") == 1)
    told = json.dumps([run(server, "status"), run(server, "parked", status=3), over_http(server, "cast-parked")])
    assert ds.StudyInstanceUID in told
    server.restart()
    wait_for(lambda: metric(server, "cast_parked") == 1)
    text = server.log() + told
    assert not [s for s in secrets if s in text]
