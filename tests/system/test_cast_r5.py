# SPDX-License-Identifier: MIT
"""The cast against a real FHIR R5 server: the same resources as R5 has them, and what is said of the release."""
import json
import os
import pathlib
import subprocess
import time

import fhir_proxy
import pytest
import requests
from conftest import BINARY, free_port
from fhir_proxy import Proxy
from sr_documents import ct_dose, key_objects, measurements, report
from test_fhir_view import rich
from web import make, store

ROOT = pathlib.Path(__file__).resolve().parents[2]
FRESH = {"Cache-Control": "no-cache", "Accept": "application/fhir+json"}


@pytest.fixture(scope="module")
def fhir_r5():
    run = ROOT / "tests" / "fhir-server" / "run.sh"
    port = free_port()
    command = [str(run), "start", "--port", str(port), "--version", "R5"]
    # It is started once: a class archive would take longer to make than it saves.
    subprocess.run(command, check=True, timeout=900, stdout=subprocess.DEVNULL, env={**os.environ, "HAPI_CDS": "0"})
    yield f"http://127.0.0.1:{port}/fhir"
    subprocess.run([str(run), "stop", "--port", str(port)], check=True, timeout=60, stdout=subprocess.DEVNULL)


@pytest.fixture
def proxy(fhir_r5):
    proxy = Proxy(fhir_r5)
    yield proxy
    proxy.close()


def wait_for(what, timeout=120):
    deadline = time.monotonic() + timeout
    while True:
        result = what()
        if result:
            return result
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


def in_step(base, ds, instances):
    query = {"identifier": f"urn:dicom:uid|urn:oid:{ds.StudyInstanceUID}"}
    answer = requests.get(f"{base}/ImagingStudy", params=query, headers=FRESH, timeout=60)
    assert answer.status_code == 200, answer.text
    found = [e["resource"] for e in answer.json().get("entry", [])]
    assert len(found) <= 1
    return found[0] if found and found[0]["numberOfInstances"] == instances else None


def of_study(base, ds, kind):
    query = {"identifier": f"urn:dicom:uid|urn:oid:{ds.StudyInstanceUID}"}
    answer = requests.get(f"{base}/{kind}", params=query, headers=FRESH, timeout=60)
    if answer.status_code == 404:  # a type that the server does not have
        return []
    assert answer.status_code == 200, answer.text
    return [e["resource"] for e in answer.json().get("entry", [])]


def read(base, reference):
    answer = requests.get(f"{base}/{reference}", headers=FRESH, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def validate(resources, folder):
    folder.mkdir()
    for i, resource in enumerate(resources):
        (folder / f"{i:02}.json").write_text(json.dumps(resource))
    validator = ROOT / "tests" / "fhir-server" / "validate.sh"
    command = [str(validator), "--version", "R5", "--errors-only", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]


def test_FHIR_01_FHIR_02_a_server_of_R5_is_known_by_its_CapabilityStatement_and_gets_resources_of_R5(
    start_server, proxy, tmp_path
):
    server = start_server(settings={"fhir": {"url": proxy.url, "quietSeconds": 0.5, "timezone": "+01:00"}})
    ds = rich()
    store(server, ds)
    imaging_study = wait_for(lambda: in_step(proxy.url, ds, 1))
    assert [m["coding"][0]["code"] for m in imaging_study["modality"]] == [ds.Modality]
    assert imaging_study["procedure"][0]["concept"]["coding"][0]["code"] == "303653007"
    assert imaging_study["reason"] == [{"concept": {"text": "Headache"}}]
    series = imaging_study["series"][0]
    assert series["modality"]["coding"][0]["code"] == ds.Modality
    assert series["bodySite"]["concept"]["coding"][0]["code"] == "69536005"
    assert series["laterality"]["coding"][0]["code"] == "7771000"
    assert not {"interpreter", "procedureCode", "reasonCode"} & set(imaging_study)
    endpoints = [read(proxy.url, e["reference"]) for e in imaging_study["endpoint"]]
    assert [e["connectionType"][0]["coding"][0]["code"] for e in endpoints] == ["dicom-wado-rs", "dicom-qido-rs"]
    assert endpoints[0]["payload"][0]["mimeType"][0] == "application/dicom"

    # More of the study is one more transaction, and the release is asked for once.
    store(server, make(study=ds.StudyInstanceUID, PatientID=ds.PatientID, Modality="SR"))
    grown = wait_for(lambda: in_step(proxy.url, ds, 2))
    assert [m["coding"][0]["code"] for m in grown["modality"]] == sorted({ds.Modality, "SR"})
    assert sum(e.path.endswith("/metadata") for e in proxy.exchanges) == 1
    assert len(proxy.transactions()) == 2
    # What is in step is not written: a comparison of everything finds nothing to do.
    command = [str(BINARY), "cast", "reconcile", "--dry-run", "--data", str(server.data_dir), "--json", "--quiet"]
    compared = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert compared.returncode == 0, compared.stdout + compared.stderr
    sent = [json.loads(e.body) for e in proxy.transactions()]
    validate([*sent, grown, *endpoints, read(proxy.url, grown["subject"]["reference"])], tmp_path / "fhir")

    assert requests.delete(f"{server.dicomweb}/studies/{ds.StudyInstanceUID}", timeout=60).ok
    wait_for(lambda: not in_step(proxy.url, ds, 2))


def test_a_server_of_another_release_gets_nothing_and_the_log_says_why(start_server, proxy):
    statement = json.dumps({"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2"}).encode()
    proxy.fault(fhir_proxy.answer(200, body=statement), times=10**6, when=lambda e: e.path.endswith("/metadata"))
    server = start_server(settings={"fhir": {"url": proxy.url, "quietSeconds": 0.2}})
    ds = make()
    store(server, ds)
    wait_for(lambda: "names neither FHIR R4 nor R5" in server.log_path.read_text())
    assert not proxy.transactions()
    assert in_step(proxy.url, ds, 1) is None


def test_FHIR_02_what_documents_say_is_said_in_R5(start_server, proxy, tmp_path):
    server = start_server(settings={"fhir": {"url": proxy.url, "quietSeconds": 0.5, "timezone": "+01:00"}})
    ds = make(Manufacturer="ACME", DeviceSerialNumber="SN-1", StationName="CT1")
    store(server, ds, ct_dose(ds), measurements(ds), report(ds), key_objects(ds))
    imaging_study = wait_for(lambda: in_step(proxy.url, ds, 5))
    # The test server is one that has no ImagingSelection: it is not sent one.
    kinds = ("Observation", "DiagnosticReport", "DocumentReference")
    resources = [resource for kind in kinds for resource in of_study(proxy.url, ds, kind)]
    entries = [entry for t in proxy.transactions() for entry in json.loads(t.body)["entry"]]
    made = [e["resource"]["resourceType"] for e in entries if e["request"]["method"] == "POST"]
    assert sorted(r["resourceType"] for r in resources) == sorted(kind for kind in made if kind in kinds)
    assert "ImagingSelection" not in made
    devices = requests.get(f"{proxy.url}/Device", params={"identifier": "SN-1"}, headers=FRESH, timeout=60).json()
    resources += [entry["resource"] for entry in devices["entry"]]
    reports = [r for r in resources if r["resourceType"] == "DiagnosticReport"]
    assert [r["study"] for r in reports] == [[{"reference": f"ImagingStudy/{imaging_study['id']}"}]] * 2
    validate(resources, tmp_path / "read")
