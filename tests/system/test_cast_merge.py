# SPDX-License-Identifier: MIT
"""Patients that the registration changes and merges, by HL7, as a FHIR server sees them (FHIR-05)."""
import fhir_proxy
import pytest
import requests
from conftest import free_port
from mllp import Sender, adt, msh, pid, stamp
from test_cast import cast_study, idle, is_transaction, post, proxy, read, search, studies, wait_for  # noqa: F401
from web import make, new_uid, store


@pytest.fixture
def site(start_server, proxy):  # noqa: F811
    port = free_port()
    server = start_server(settings={"hl7": {"port": port}, "fhir": {"url": proxy.url, "quietSeconds": 0.3, "maximumAgeSeconds": 5}})
    server.hl7_port = port
    return server


def tell(server, message):
    with Sender(server.hl7_port) as sender:
        answer = sender.send(message)
    assert answer is not None and answer.code == "AA", answer


def merge(server, gone, survivor, at=-10, name="DOE^JANE"):
    tell(server, msh("ADT^A40", at=stamp(at)) + pid(survivor, name=name) + f"MRG|{gone}^^^HOSP\r")


def system():
    return "urn:hounsfield:HOUNSFIELD/issuer/HOSP"


def patients_of(fhir, value):
    return search(fhir, "Patient", f"{system()}|{value}")


def study_of(patient_id, **attributes):
    return make(PatientID=patient_id, IssuerOfPatientID="HOSP", PatientBirthDate="19700102", PatientSex="F", **{"PatientName": "DOE^JANE", **attributes})


def ids(*prefixes):
    tail = new_uid()[-12:]
    return [p + tail for p in prefixes]


def subject_of(fhir, ds):
    found = studies(fhir, ds)
    return found[0]["subject"]["reference"] if len(found) == 1 else None


def links(patient):
    return [(link["type"], link["other"]["reference"]) for link in patient.get("link", [])]


def test_FHIR_05_a_merge_moves_the_study_links_the_patients_and_makes_no_third(site, fhir):
    gone, survivor = ids("G", "S")
    moved, own = study_of(gone, PatientName="UNKNOWN^TRAUMA"), study_of(survivor)
    store(site, moved, own)
    before = cast_study(fhir, moved)["subject"]["reference"]
    cast_study(fhir, own)
    idle(site)
    merge(site, gone, survivor)
    stays = patients_of(fhir, survivor)[0]
    reference = f"Patient/{stays['id']}"
    assert reference != before
    wait_for(lambda: subject_of(fhir, moved) == reference)
    idle(site)
    went = read(fhir, before)
    assert links(went) == [("replaced-by", reference)] and went["active"] is False
    assert links(read(fhir, reference)) == [("replaces", before)]
    assert len(patients_of(fhir, gone)) == len(patients_of(fhir, survivor)) == 1
    assert subject_of(fhir, own) == reference
    # What was merged stays so, whatever comes for either of them, and nothing is written twice.
    late = study_of(gone)
    store(site, late)
    wait_for(lambda: subject_of(fhir, late) == reference)
    idle(site)
    assert len(patients_of(fhir, gone)) == len(patients_of(fhir, survivor)) == 1
    assert links(read(fhir, before)) == [("replaced-by", reference)]


def test_FHIR_05_the_survivor_of_a_merge_is_made_with_its_link(site, proxy, fhir):  # noqa: F811
    """Nobody had heard of it; and the first answers are conflicts."""
    gone, survivor = ids("G", "S")
    ds = study_of(gone)
    store(site, ds)
    before = cast_study(fhir, ds)["subject"]["reference"]
    idle(site)
    proxy.fault(fhir_proxy.answer(409), times=2, when=is_transaction)
    merge(site, gone, survivor)
    wait_for(lambda: patients_of(fhir, survivor))
    idle(site)
    made = patients_of(fhir, survivor)
    assert len(made) == 1 and subject_of(fhir, ds) == f"Patient/{made[0]['id']}"
    assert links(made[0]) == [("replaces", before)]
    assert links(read(fhir, before)) == [("replaced-by", f"Patient/{made[0]['id']}")]


def test_FHIR_05_merges_that_follow_each_other_end_at_the_last_patient(site, fhir):
    first, second, third = ids("A", "B", "C")
    one, two = study_of(first), study_of(second)
    store(site, one, two)
    a, b = (cast_study(fhir, ds)["subject"]["reference"] for ds in (one, two))
    idle(site)
    merge(site, first, second, at=-20)
    wait_for(lambda: subject_of(fhir, one) == b)
    idle(site)
    merge(site, second, third, at=-10)
    wait_for(lambda: subject_of(fhir, one) == subject_of(fhir, two) and subject_of(fhir, one) not in (a, b))
    idle(site)
    c = subject_of(fhir, one)
    assert links(read(fhir, a)) == [("replaced-by", b)]
    assert ("replaced-by", c) in links(read(fhir, b)) and read(fhir, b)["active"] is False
    assert [len(patients_of(fhir, value)) for value in (first, second, third)] == [1, 1, 1]


def test_FHIR_05_a_merge_that_was_undone_is_undone_for_subject_and_links(site, fhir):
    gone, survivor = ids("G", "S")
    moved, own = study_of(gone), study_of(survivor)
    store(site, moved, own)
    first, second = (cast_study(fhir, ds)["subject"]["reference"] for ds in (moved, own))
    idle(site)
    merge(site, gone, survivor, at=-20)
    wait_for(lambda: subject_of(fhir, moved) == second)
    idle(site)
    tell(site, msh("ADT^A37", at=stamp(-10)) + pid(survivor) + pid(gone))
    wait_for(lambda: subject_of(fhir, moved) == first)
    idle(site)
    assert subject_of(fhir, own) == second
    assert "link" not in read(fhir, first) and "active" not in read(fhir, first) and "link" not in read(fhir, second)


def test_FHIR_05_a_patient_that_others_made_keeps_its_links_to_them(site, fhir):
    gone, survivor = ids("G", "S")
    theirs = post(fhir, {"resourceType": "Patient", "identifier": [{"system": system(), "value": gone}], "name": [{"family": "Theirs"}]})
    ds = study_of(gone)
    store(site, ds)
    assert cast_study(fhir, ds)["subject"]["reference"] == f"Patient/{theirs['id']}"
    idle(site)
    merge(site, gone, survivor)
    made = wait_for(lambda: patients_of(fhir, survivor))[0]
    wait_for(lambda: subject_of(fhir, ds) == f"Patient/{made['id']}")
    idle(site)
    after = read(fhir, f"Patient/{theirs['id']}")
    assert "link" not in after and after["name"] == [{"family": "Theirs"}] and "active" not in after


def test_FHIR_05_what_the_registration_changes_is_changed_where_we_said_it(site, fhir):
    (patient,) = ids("P")
    ds, other = study_of(patient, PatientName="DO^JANE"), study_of(patient, PatientName="DO^JANE")
    store(site, ds, other)
    reference = cast_study(fhir, ds)["subject"]["reference"]
    cast_study(fhir, other)
    idle(site)
    tell(site, adt("A08", pid(patient, name="DOE^JANE", birth="19700103")))
    wait_for(lambda: (p := read(fhir, reference))["name"][0]["family"] == "DOE" and p["birthDate"] == "1970-01-03")
    idle(site)
    held = read(fhir, reference)
    assert len(held["name"]) == 1 and len(patients_of(fhir, patient)) == 1
    version = held["meta"]["versionId"]
    assert requests.post(site.url + "/operations", json={"type": "cast-replay", "study": ds.StudyInstanceUID}, timeout=60).status_code == 202
    idle(site)
    assert read(fhir, reference)["meta"]["versionId"] == version
