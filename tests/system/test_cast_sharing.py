# SPDX-License-Identifier: MIT
"""What becomes of removed studies, of duplicates, and of a FHIR server that several archives cast to (FHIR-03 to FHIR-05)."""
import pytest
import requests
from sr_documents import ct_dose
from test_cast import cast_study, idle, in_step, instance_uids, one_study, patients, post, proxy, put, read, search, studies, wait_for  # noqa: F401
from web import make, store

SYSTEM = "urn:hounsfield:HOUNSFIELD"


@pytest.fixture
def archive(start_server, proxy):  # noqa: F811
    def start(title="HOUNSFIELD", **fhir):
        return start_server(
            settings={
                "dimse": {"aeTitle": title},
                "http": {"baseUrl": f"http://{title.lower()}.example"},
                "fhir": {"url": proxy.url, "quietSeconds": 0.2, "identifierSystem": SYSTEM, **fhir},
            }
        )

    return start


def delete(server, ds):
    assert requests.delete(f"{server.dicomweb}/studies/{ds.StudyInstanceUID}", timeout=60).ok
    idle(server)


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_FHIR_05_what_is_removed_is_kept_with_a_status_where_that_is_the_policy(archive, fhir, status):
    server = archive(onRemoval=status)
    ds = make()
    store(server, ds)
    held = cast_study(fhir, ds)
    idle(server)
    put(fhir, {**held, "note": [{"text": "seen"}]})
    delete(server, ds)
    [kept] = studies(fhir, ds)
    assert (kept["id"], kept["status"], kept["numberOfInstances"]) == (held["id"], status, 0)
    assert "series" not in kept and "endpoint" not in kept and kept["note"] == [{"text": "seen"}]
    assert kept["subject"] == held["subject"]
    version = kept["meta"]["versionId"]
    delete_again = requests.post(server.url + "/operations", json={"type": "cast-reset"}, timeout=60)
    assert delete_again.status_code == 202
    idle(server)
    assert studies(fhir, ds)[0]["meta"]["versionId"] == version
    store(server, ds)
    back = cast_study(fhir, ds)
    assert (back["id"], back["status"]) == (held["id"], "available")


@pytest.mark.parametrize("first_to_go", ["owner", "other"])
def test_FHIR_05_a_study_of_two_archives_stays_until_both_have_deleted_it(archive, fhir, first_to_go):
    owner, other = archive("FIRST"), archive("SECOND")
    ds = make()
    store(owner, ds)
    held = cast_study(fhir, ds)
    store(other, ds)
    both = wait_for(lambda: (s := studies(fhir, ds)[0]) if len(studies(fhir, ds)[0]["endpoint"]) == 4 else None)
    idle(other)
    assert both["id"] == held["id"] and both["meta"]["source"].startswith("urn:hounsfield:FIRST")
    assert len(studies(fhir, ds)) == 1 and len(patients(fhir, ds)) == 1
    going, staying = (owner, other) if first_to_go == "owner" else (other, owner)
    delete(going, ds)
    [left] = studies(fhir, ds)
    addresses = {read(fhir, e["reference"])["address"] for e in left["endpoint"]}
    assert addresses == {f"http://{'second' if first_to_go == 'owner' else 'first'}.example/dicomweb"}
    assert left["status"] == "available" and instance_uids(left) == {ds.SOPInstanceUID}
    more = make(study=ds.StudyInstanceUID, PatientID=ds.PatientID, AccessionNumber=ds.AccessionNumber)
    store(staying, more)
    left = cast_study(fhir, ds, more)
    idle(staying)
    assert left["meta"]["source"].startswith("urn:hounsfield:SECOND" if first_to_go == "owner" else "urn:hounsfield:FIRST")
    delete(staying, ds)
    assert not studies(fhir, ds)


def test_FHIR_03_duplicates_of_ours_go_with_the_next_change_and_no_third_is_made(archive, fhir):
    server = archive()
    study = one_study(2)
    store(server, study[0])
    held = cast_study(fhir, study[0])
    idle(server)
    post(fhir, {k: v for k, v in held.items() if k != "id"})
    patient = read(fhir, held["subject"]["reference"])
    post(fhir, {k: v for k, v in patient.items() if k != "id"})
    assert len(studies(fhir, study[0])) == len(patients(fhir, study[0])) == 2
    store(server, study[1])
    after = cast_study(fhir, *study) if len(studies(fhir, study[0])) == 1 else wait_for(
        lambda: len(studies(fhir, study[0])) == 1 and in_step(fhir, study[0], *(d.SOPInstanceUID for d in study))
    )
    assert after["id"] == held["id"] and after["subject"] == held["subject"]
    assert len(patients(fhir, study[0])) == 2  # Patients are never deleted
    assert "server holds 2 resources of one identifier type=Patient" in server.log()


def test_FHIR_04_many_studies_of_few_patients_at_once_make_no_patient_twice(archive, fhir):
    server = archive(studiesAtOnce=8)
    everybody = [make().PatientID for _ in range(3)]
    stored = [make(PatientID=everybody[i % 3]) for i in range(24)]
    store(server, *stored)
    for ds in stored:
        cast_study(fhir, ds)
    idle(server)
    for ds in stored:
        assert len(studies(fhir, ds)) == 1 and len(patients(fhir, ds)) == 1
    assert len({e["reference"] for ds in stored for e in studies(fhir, ds)[0]["endpoint"]}) == 2


def test_FHIR_05_what_documents_say_stays_until_both_archives_have_deleted_them(archive, fhir):
    def observations():
        return search(fhir, "Observation", f"urn:dicom:uid|urn:oid:{ds.StudyInstanceUID}")

    owner, other = archive("FIRST"), archive("SECOND")
    ds = make()
    dose = ct_dose(ds)
    store(owner, ds, dose)
    wait_for(lambda: len(observations()) == 2)
    store(other, ds, dose)
    wait_for(lambda: len(studies(fhir, ds)[0]["endpoint"]) == 4)
    idle(other)
    assert len(observations()) == 2
    delete(owner, ds)
    assert len(observations()) == 2
    store(other, make(study=ds.StudyInstanceUID, PatientID=ds.PatientID, AccessionNumber=ds.AccessionNumber))
    wait_for(lambda: {o["meta"].get("source", "").split("#")[0] for o in observations()} == {"urn:hounsfield:SECOND"})
    assert not any("extension" in o for o in observations())
    delete(other, ds)
    assert not observations() and not studies(fhir, ds)


def test_FHIR_05_what_we_said_of_a_study_that_others_made_goes_with_it(archive, fhir):
    server = archive()
    ds = make()
    dose = ct_dose(ds)
    foreign = post(fhir, {"resourceType": "ImagingStudy", "status": "available", "subject": {"display": "x"},
                          "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{ds.StudyInstanceUID}"}]})
    store(server, ds, dose)
    identifier = f"urn:dicom:uid|urn:oid:{ds.StudyInstanceUID}"
    wait_for(lambda: len(search(fhir, "Observation", identifier)) == 2)
    idle(server)
    delete(server, ds)
    assert not search(fhir, "Observation", identifier)
    assert [s["id"] for s in studies(fhir, ds)] == [foreign["id"]]


def test_FHIR_05_series_of_two_archives_stand_beside_each_other(archive, fhir):
    owner, other = archive("FIRST"), archive("SECOND")
    ct = one_study(3)
    sr = ct_dose(ct[0])
    store(owner, *ct)
    cast_study(fhir, *ct)
    store(other, ct[0], sr)  # a part of the owner's series, and one of its own
    cast_study(fhir, *ct, sr)
    idle(other)
    more = make(study=ct[0].StudyInstanceUID, series=ct[0].SeriesInstanceUID, PatientID=ct[0].PatientID, AccessionNumber=ct[0].AccessionNumber)
    store(owner, more)
    both = cast_study(fhir, *ct, sr, more)
    assert (both["numberOfSeries"], both["numberOfInstances"]) == (2, 5)
    idle(owner)
    delete(other, sr)
    left = cast_study(fhir, *ct, more)
    assert (left["numberOfSeries"], left["numberOfInstances"]) == (1, 4) and len(left["endpoint"]) == 2
    assert len(studies(fhir, sr)) == 1
