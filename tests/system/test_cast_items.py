# SPDX-License-Identifier: MIT
"""What is asked of a cast beyond its everyday: all or nothing, replaced and moved studies, kills in mid-request, hostile answers (FHIR-01 to
FHIR-09, HOS-48)."""
import time

import fhir_proxy
import pytest
import requests
from pydicom.dataset import Dataset
from test_cast import (  # noqa: F401
    PATIENT_SYSTEM,
    cast,
    cast_study,
    idle,
    is_transaction,
    metric,
    one_study,
    patients,
    proxy,
    put,
    read,
    search,
    studies,
    wait_for,
)
from web import make, new_uid, store


def test_FHIR_01_what_is_refused_in_one_entry_is_written_in_none(cast, proxy, fhir):
    server = cast()
    ds = make()

    def spoil(handler, exchange):
        whole = exchange.body
        exchange.body = whole.replace(b'"resourceType":"ImagingStudy"', b'"resourceType":"ImagingStudx"')
        handler.reply(exchange, *handler.pass_on(exchange))
        exchange.body = whole  # that is what was sent

    own = f"{PATIENT_SYSTEM}/endpoint|wado-rs:http://127.0.0.1:{server.http_port}/dicomweb"
    before = len(search(fhir, "Endpoint", own))  # a FHIR server that runs for long may know the port
    proxy.fault(spoil, times=-1, when=is_transaction)
    store(server, ds)
    wait_for(lambda: metric(server, "cast_parked") == 1)
    assert not patients(fhir, ds) and not studies(fhir, ds)
    assert len(search(fhir, "Endpoint", own)) == before
    proxy.heal()
    assert requests.post(server.url + "/operations", json={"type": "cast-replay"}, timeout=60).status_code == 202
    cast_study(fhir, ds)
    assert len(patients(fhir, ds)) == 1


def test_FHIR_03_an_update_names_the_version_that_was_read(cast, proxy, fhir):
    server = cast()
    study = one_study(2)
    store(server, study[0])
    version = cast_study(fhir, study[0])["meta"]["versionId"]
    idle(server)
    store(server, study[1])
    cast_study(fhir, *study)
    entry = proxy.transactions()[-1].entries[0]
    assert entry["request"]["method"] == "PUT" and entry["request"]["ifMatch"] == f'W/"{version}"'


@pytest.mark.long
def test_FHIR_03_ten_thousand_instances_at_once(cast, proxy, fhir):
    """The FHIR server may take minutes for the one ImagingStudy."""
    server = cast(quietSeconds=10, maximumAgeSeconds=600, timeoutSeconds=1200)
    study = one_study(10000, Rows=2, Columns=2)
    for i in range(0, len(study), 500):
        store(server, *study[i : i + 500])
    held = wait_for(lambda: (found := studies(fhir, study[0])) and found[0]["numberOfInstances"] == 10000 and found[0], 1200)
    assert [i["number"] for i in held["series"][0]["instance"]] == list(range(1, 10001))
    wait_for(lambda: metric(server, "cast_lag") == 0, 1200)
    assert len(proxy.transactions()) == len(patients(fhir, study[0])) == len(studies(fhir, study[0])) == 1


def test_FHIR_04_changes_in_a_row_end_as_the_archive_does(cast, fhir):
    server = cast(quietSeconds=0.05, maximumAgeSeconds=0.2)
    study = one_study(3)
    url = f"{server.dicomweb}/studies/{study[0].StudyInstanceUID}"
    for i in range(12):
        store(server, *study)
        if i % 3 == 0:
            assert requests.delete(url, timeout=60).ok
        elif i % 3 == 1:
            assert requests.delete(f"{url}/series/{study[0].SeriesInstanceUID}/instances/{study[i % 2].SOPInstanceUID}", timeout=60).ok
    idle(server)
    held = cast_study(fhir, *study)
    assert held["numberOfInstances"] == 3 and len(patients(fhir, study[0])) == 1


def test_FHIR_05_what_takes_the_place_of_an_instance_is_cast(start_server, proxy, fhir):
    server = start_server(settings={"store": {"onConflict": "replace"}, "fhir": {"url": proxy.url, "quietSeconds": 0.3}})
    first = make(SeriesDescription="before", InstanceNumber=4)
    store(server, first)
    held = cast_study(fhir, first)
    assert held["series"][0]["description"] == "before"
    idle(server)
    first.SeriesDescription, first.InstanceNumber = "after", 5
    store(server, first)
    after = wait_for(lambda: (s := studies(fhir, first)[0])["series"][0]["description"] == "after" and s)
    assert after["id"] == held["id"] and after["series"][0]["instance"][0]["number"] == 5
    assert after["numberOfInstances"] == 1


def test_FHIR_05_a_study_that_becomes_another_patients_changes_its_subject(cast, fhir):
    server = cast()
    ds = make()
    store(server, ds)
    before = cast_study(fhir, ds)
    idle(server)
    requests.delete(f"{server.dicomweb}/studies/{ds.StudyInstanceUID}", timeout=60)
    moved = make(study=ds.StudyInstanceUID)
    store(server, moved)
    after = cast_study(fhir, moved)
    assert after["subject"] != before["subject"]
    assert read(fhir, after["subject"]["reference"])["identifier"][0]["value"] == moved.PatientID
    assert len(patients(fhir, ds)) == len(patients(fhir, moved)) == len(studies(fhir, ds)) == 1


def test_FHIR_05_what_an_instance_said_of_its_patient_before_it_was_amended_is_amended(start_server, proxy, fhir):
    server = start_server(settings={"store": {"onConflict": "replace"}, "fhir": {"url": proxy.url, "quietSeconds": 0.3}})
    ds = make(PatientName="Do^Jane", PatientBirthDate="19700101", PatientSex="F")
    store(server, ds)
    subject = cast_study(fhir, ds)["subject"]["reference"]
    patient = read(fhir, subject)
    put(fhir, {**patient, "birthDate": "1970-01-09", "telecom": [{"system": "phone", "value": "1"}]})
    idle(server)
    before = Dataset()
    before.PatientName, before.PatientBirthDate = ds.PatientName, ds.PatientBirthDate
    original = Dataset()
    original.ModifiedAttributesSequence = [before]
    original.AttributeModificationDateTime, original.ModifyingSystem = "20260101120000", "RIS"
    original.ReasonForTheAttributeModification, original.SourceOfPreviousValues = "CORRECT", ""
    ds.OriginalAttributesSequence = [original]
    ds.PatientName, ds.PatientBirthDate = "Doe^Jane", "19700102"
    store(server, ds)
    patient = wait_for(lambda: (p := read(fhir, subject))["name"][0]["family"] == "Doe" and p)
    assert len(patient["name"]) == 1 and patient["telecom"] and patient["gender"] == "female"
    assert patient["birthDate"] == "1970-01-09"  # somebody else's word
    idle(server)
    version = patient["meta"]["versionId"]
    assert requests.post(server.url + "/operations", json={"type": "cast-replay", "study": ds.StudyInstanceUID}, timeout=60).status_code == 202
    wait_for(lambda: metric(server, "cast_studies") == 3)
    assert read(fhir, subject)["meta"]["versionId"] == version


def test_FHIR_06_killed_between_sending_and_the_answer(cast, proxy, fhir):
    server = cast()
    proxy.fault(fhir_proxy.hang_behind(30), when=is_transaction)
    ds = make()
    store(server, ds)
    wait_for(lambda: studies(fhir, ds))  # the FHIR server has it, and we have not heard so
    server.kill()
    server.start()
    idle(server)
    assert studies(fhir, ds)[0]["meta"]["versionId"] == "1"
    assert len(studies(fhir, ds)) == len(patients(fhir, ds)) == len(proxy.transactions()) == 1


def test_FHIR_09_lag_and_backlog_show_while_the_server_is_away(cast, proxy, fhir):
    server = cast(quietSeconds=0.1)
    proxy.fault(fhir_proxy.answer(503), times=-1)
    stored = [make() for _ in range(4)]
    store(server, *stored)
    assert metric(server, "cast_lag") == 4  # at once, whatever the follower has heard of
    wait_for(lambda: metric(server, "cast_waiting_studies") >= 3)
    wait_for(lambda: metric(server, "cast_oldest_change_seconds") >= 1 and metric(server, "cast_breaker") >= 1)
    proxy.heal()
    assert requests.post(server.url + "/operations", json={"type": "cast-replay"}, timeout=60).status_code == 202
    idle(server)
    for name in ("cast_waiting_studies", "cast_in_flight_studies", "cast_breaker", "cast_oldest_change_seconds"):
        wait_for(lambda name=name: metric(server, name) == 0)
    assert metric(server, "cast_studies") == 4


class Endless:
    """Answers without an end, as fast as they are taken. `sent` counts the bytes."""

    def __init__(self, piece):
        self.piece, self.sent = piece, 0

    def __call__(self, handler, exchange):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/fhir+json")
        handler.end_headers()
        deadline = time.monotonic() + 30
        try:
            while time.monotonic() < deadline:
                handler.wfile.write(self.piece)
                self.sent += len(self.piece)
        except OSError:
            pass
        handler.break_off()


INTERNAL = "http://169.254.169.254/latest/meta-data"
MEGABYTE = 1 << 20


@pytest.mark.parametrize("kind", ["spaces", "array", "redirect", "garbage", "header"])
def test_HOS_48_a_server_that_misbehaves_keeps_the_archive_from_nothing(cast, proxy, fhir, kind):
    endless = Endless({"spaces": b" " * MEGABYTE, "array": b'[[{"a":' * 100000}.get(kind, b""))
    act = {
        "redirect": fhir_proxy.answer(302, {"Location": INTERNAL}),
        "garbage": fhir_proxy.answer(200, body=bytes(range(256)) * 1000),
        "header": fhir_proxy.answer(200, {"X-Long": "x" * 60000, "Retry-After": "9" * 300}),
    }.get(kind, endless)
    server = cast(timeoutSeconds=10)
    proxy.fault(act, times=-1)
    first, second = make(), make()
    store(server, first)
    wait_for(lambda: metric(server, "cast_retries") >= 1)
    store(server, second)
    found = requests.get(f"{server.dicomweb}/studies", params={"StudyInstanceUID": second.StudyInstanceUID}, timeout=60)
    assert len(found.json()) == 1
    assert endless.sent <= 2 * 100 * MEGABYTE  # two tries at most, each cut off at the limit
    assert metric(server, "cast_parked") == 0
    proxy.heal()
    assert requests.post(server.url + "/operations", json={"type": "cast-replay"}, timeout=60).status_code == 202
    for ds in (first, second):
        cast_study(fhir, ds)
        assert len(studies(fhir, ds)) == len(patients(fhir, ds)) == 1
