# SPDX-License-Identifier: MIT
"""The cast against a real FHIR server (conformance items FHIR-01 to FHIR-08), through a proxy that makes faults."""
import contextlib
import json
import pathlib
import random
import re
import signal
import subprocess
import threading
import time

import fhir_proxy
import pytest
import requests
from bounds import join_all
from fhir_proxy import Proxy
from web import make, new_uid, part10, store

ROOT = pathlib.Path(__file__).resolve().parents[2]
TAG = {"system": "urn:hounsfield", "code": "dicom-cast"}
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
FRESH = {"Cache-Control": "no-cache", "Accept": "application/fhir+json"}
PATIENT_SYSTEM = "urn:hounsfield:HOUNSFIELD"

# Every transaction that the cast sent in this session: they are put through a validator at the end.
sent = []


def is_transaction(exchange):
    return exchange.is_transaction


@pytest.fixture
def proxy(fhir):
    proxy = Proxy(fhir)
    yield proxy
    proxy.close()
    sent.extend(e.body for e in proxy.transactions())


@pytest.fixture
def cast(start_server, proxy):
    """cast(**settings of fhir) -> a daemon that casts through the proxy, half a second after the last news."""

    def start(env=None, **settings):
        return start_server(
            settings={"fhir": {"url": proxy.url, "quietSeconds": 0.5, "timezone": "+01:00", **settings}}, env=env or {}
        )

    return start


def wait_for(what, timeout=60):
    deadline = time.monotonic() + timeout
    while True:
        result = what()
        if result:
            return result
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


def search(base, kind, identifier):
    answer = requests.get(f"{base}/{kind}", params={"identifier": identifier}, headers=FRESH, timeout=60)
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json().get("entry", [])]


def read(base, reference):
    answer = requests.get(f"{base}/{reference}", headers=FRESH, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def put(base, resource):
    url = f"{base}/{resource['resourceType']}/{resource['id']}"
    answer = requests.put(url, json=resource, headers={"Content-Type": "application/fhir+json"}, timeout=60)
    assert answer.status_code in (200, 201), answer.text
    return answer


def post(base, resource):
    answer = requests.post(
        f"{base}/{resource['resourceType']}",
        json=resource,
        headers={"Content-Type": "application/fhir+json", "Prefer": "return=representation"},
        timeout=60,
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def studies(base, ds):
    return search(base, "ImagingStudy", f"urn:dicom:uid|urn:oid:{ds.StudyInstanceUID}")


def patients(base, ds):
    return search(base, "Patient", f"{PATIENT_SYSTEM}|{ds.PatientID}")


def instance_uids(imaging_study):
    return {i["uid"] for s in imaging_study.get("series", []) for i in s.get("instance", [])}


def in_step(base, ds, *uids):
    """The one ImagingStudy of the data set's study, once it has just these instances."""
    found = studies(base, ds)
    assert len(found) <= 1
    if found and instance_uids(found[0]) == set(uids):
        return found[0]
    return None


def cast_study(base, *datasets, timeout=60):
    uids = [d.SOPInstanceUID for d in datasets]
    return wait_for(lambda: in_step(base, datasets[0], *uids), timeout)


def metric(server, name):
    text = requests.get(server.url + "/metrics", timeout=10).text
    values = re.findall(rf"^\w*{name}(?:_total)? (\d+)$", text, re.MULTILINE)
    assert len(values) == 1, f"{name} in {text}"
    return int(values[0])


def idle(server):
    """Waits until the follower is through with the feed."""
    wait_for(lambda: metric(server, "cast_lag") == 0)


@contextlib.contextmanager
def cast_together(server, proxy):
    """What is stored within is cast at once, however long storing takes: the FHIR server is away until then."""
    proxy.fault(fhir_proxy.answer(503), times=-1)
    yield
    proxy.heal()
    assert requests.post(server.url + "/operations", json={"type": "cast-replay"}, timeout=60).status_code == 202


def one_study(count, **attributes):
    first = make(**attributes)
    others = [
        make(
            study=first.StudyInstanceUID,
            series=first.SeriesInstanceUID,
            PatientID=first.PatientID,
            AccessionNumber=first.AccessionNumber,
            InstanceNumber=i,
            **{k: v for k, v in attributes.items() if k not in ("PatientID", "AccessionNumber")},
        )
        for i in range(2, count + 1)
    ]
    return [first, *others]


# --- FHIR-01, FHIR-02: what is sent ---


def test_FHIR_01_a_new_study_is_one_transaction(cast, proxy, fhir):
    server = cast()
    study = one_study(3)
    store(server, *study)
    cast_study(fhir, *study)
    idle(server)
    transactions = proxy.transactions()
    assert len(transactions) == 1
    bundle = json.loads(transactions[0].body)
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "transaction")
    entries = bundle["entry"]
    assert [e["resource"]["resourceType"] for e in entries] == ["Patient", "Endpoint", "Endpoint", "ImagingStudy"]
    assert all(e["request"]["method"] == "POST" and e["fullUrl"].startswith("urn:uuid:") for e in entries)
    conditions = [e["request"]["ifNoneExist"] for e in entries]
    assert conditions[0] == f"identifier=urn%3Ahounsfield%3AHOUNSFIELD%7C{study[0].PatientID}"
    assert conditions[3] == f"identifier=urn%3Adicom%3Auid%7Curn%3Aoid%3A{study[0].StudyInstanceUID}"
    imaging_study = entries[3]["resource"]
    assert imaging_study["subject"]["reference"] == entries[0]["fullUrl"]
    assert [r["reference"] for r in imaging_study["endpoint"]] == [e["fullUrl"] for e in entries[1:3]]
    headers = transactions[0].headers
    assert headers["Content-Type"].startswith("application/fhir+json")
    assert headers["Prefer"] == "return=minimal"
    assert all(e.headers["Cache-Control"] == "no-cache" for e in proxy.exchanges if e.method == "GET")
    # The server rewrote the references to resources that are there.
    held = studies(fhir, study[0])[0]
    assert read(fhir, held["subject"]["reference"])["identifier"][0]["value"] == study[0].PatientID
    codes = [read(fhir, r["reference"])["connectionType"]["code"] for r in held["endpoint"]]
    assert codes == ["dicom-wado-rs", "dicom-qido-rs"]


def test_FHIR_01_endpoints_are_shared_by_the_studies_of_a_server(cast, proxy, fhir):
    server = cast()
    first, second = make(), make()
    store(server, first)
    a = cast_study(fhir, first)
    store(server, second)
    b = cast_study(fhir, second)
    assert a["endpoint"] == b["endpoint"]
    kinds = [e["resource"]["resourceType"] for e in proxy.transactions()[1].entries]
    assert kinds == ["Patient", "ImagingStudy"]


def test_FHIR_02_an_imaging_study_has_the_content_of_the_study(cast, fhir):
    server = cast()
    ct = make(BodyPartExamined="HEAD", SeriesDescription="Axial", TimezoneOffsetFromUTC="-0500", SeriesNumber=3)
    sr = make(
        study=ct.StudyInstanceUID,
        PatientID=ct.PatientID,
        AccessionNumber=ct.AccessionNumber,
        Modality="SR",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.67",
        SeriesNumber=900,
        TimezoneOffsetFromUTC="-0500",
    )
    store(server, ct, sr)
    held = cast_study(fhir, ct, sr)
    assert held["status"] == "available"
    assert held["started"] == "2026-01-02T10:11:12-05:00"
    assert [m["code"] for m in held["modality"]] == ["CT"]
    assert (held["numberOfSeries"], held["numberOfInstances"]) == (2, 2)
    accession = held["identifier"][1]
    assert accession["value"] == ct.AccessionNumber
    assert accession["type"]["coding"][0] == {"system": V2_0203, "code": "ACSN"}
    series = held["series"][0]
    assert (series["uid"], series["number"], series["modality"]["code"]) == (ct.SeriesInstanceUID, 3, "CT")
    assert series["bodySite"]["code"] == "69536005"
    assert series["instance"][0]["sopClass"] == {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{ct.SOPClassUID}"}
    assert series["instance"][0]["number"] == 1
    assert held["meta"]["tag"] == [TAG]


# --- FHIR-03, FHIR-04: many, in any order, others too ---


def test_FHIR_03_two_thousand_instances_cost_at_most_two_transactions(cast, proxy, fhir):
    server = cast()
    study = one_study(2000, Rows=4, Columns=4)
    random.Random(3).shuffle(study)
    with cast_together(server, proxy):
        for i in range(0, len(study), 250):
            store(server, *study[i : i + 250])
    held = cast_study(fhir, *study, timeout=120)
    idle(server)
    assert held["numberOfInstances"] == 2000
    assert [i["number"] for i in held["series"][0]["instance"]] == list(range(1, 2001))
    assert 1 <= len(proxy.transactions()) <= 2
    assert len(patients(fhir, study[0])) == 1


def test_FHIR_03_eight_sources_in_any_order_and_twice(cast, proxy, fhir):
    server = cast(quietSeconds=0.2, maximumAgeSeconds=1)
    study = one_study(48)
    second = new_uid()
    for ds in study[24:]:
        ds.SeriesInstanceUID = second
    parts = [part10(ds) for ds in study]

    def source(seed):
        order = list(parts)
        random.Random(seed).shuffle(order)
        for part in order:
            store(server, part)

    sources = [threading.Thread(target=source, args=(seed,), daemon=True) for seed in range(8)]
    for thread in sources:
        thread.start()
    join_all(sources)
    held = cast_study(fhir, *study)
    idle(server)
    assert (held["numberOfSeries"], held["numberOfInstances"]) == (2, 48)
    assert len(studies(fhir, study[0])) == 1
    assert len(patients(fhir, study[0])) == 1


def test_FHIR_03_what_did_not_change_is_not_written(cast, proxy, fhir):
    server = cast()
    ds = make()
    store(server, ds)
    cast_study(fhir, ds)
    idle(server)
    server.restart()
    store(server, ds)  # the same once more: no change
    other = make()
    store(server, other)
    cast_study(fhir, other)
    assert len(proxy.transactions(ds.StudyInstanceUID)) == 1
    assert studies(fhir, ds)[0]["meta"]["versionId"] == "1"


def test_FHIR_04_two_studies_of_a_new_patient_make_one_patient(cast, fhir):
    server = cast()
    first = make()
    second = make(PatientID=first.PatientID)
    store(server, first, second)
    a, b = cast_study(fhir, first), cast_study(fhir, second)
    assert a["subject"] == b["subject"]
    assert len(patients(fhir, first)) == 1


def test_FHIR_04_two_archives_cast_one_new_patient_at_once(cast, fhir):
    """Both create it; the FHIR server lets one win, and the other reads again."""
    first, second = cast(), cast()
    for _ in range(4):
        a = make()
        b = make(PatientID=a.PatientID)
        threads = [threading.Thread(target=store, args=x, daemon=True) for x in ((first, a), (second, b))]
        for thread in threads:
            thread.start()
        join_all(threads)
        assert cast_study(fhir, a)["subject"] == cast_study(fhir, b)["subject"]
        assert len(patients(fhir, a)) == 1


@pytest.mark.parametrize("status", [412, 409])
def test_FHIR_04_a_conflict_is_read_again(cast, proxy, fhir, status):
    server = cast()
    proxy.fault(fhir_proxy.answer(status), times=3, when=is_transaction)
    ds = make()
    store(server, ds)
    cast_study(fhir, ds)
    idle(server)
    assert [e.status for e in proxy.transactions()] == [status, status, status, 200]
    # Everything was read again before each try.
    assert len([e for e in proxy.exchanges if "/ImagingStudy?" in e.path]) >= 4


def test_FHIR_04_who_writes_in_between_is_not_overwritten(cast, proxy, fhir):
    server = cast()
    study = one_study(2)
    store(server, study[0])
    cast_study(fhir, study[0])
    idle(server)
    meddled = []

    def meddle(exchange):
        if exchange.is_transaction and not meddled:
            meddled.append(True)
            held = studies(fhir, study[0])[0]
            held["note"] = [{"text": "in between"}]
            put(fhir, held)

    proxy.before.append(meddle)
    store(server, study[1])
    held = cast_study(fhir, *study)
    assert meddled and held["note"] == [{"text": "in between"}]
    assert [e.status for e in proxy.transactions()[1:]] == [409, 200]


def test_FHIR_04_what_others_added_survives_an_update(cast, proxy, fhir):
    server = cast()
    study = one_study(2)
    store(server, study[0])
    held = cast_study(fhir, study[0])
    patient = read(fhir, held["subject"]["reference"])
    patient["telecom"] = [{"system": "phone", "value": "+49 30 1234"}]
    patient["identifier"].insert(0, {"system": "urn:other", "value": "Z1"})
    patient["name"][0]["family"] = "Doe-Smith"
    patient["extension"] = [{"url": "urn:e", "valueDecimal": 1.5}]
    put(fhir, patient)
    held["identifier"].append({"system": "urn:other", "value": "X9"})
    held["note"] = [{"text": "seen"}]
    held["meta"]["tag"].append({"system": "urn:other", "code": "teaching"})
    held["series"][0]["extension"] = [{"url": "urn:dose", "valueDecimal": "@"}]
    body = json.dumps(held).replace('"@"', "12.3400")
    url = f"{fhir}/ImagingStudy/{held['id']}"
    answer = requests.put(url, data=body, headers={"Content-Type": "application/fhir+json"}, timeout=60)
    assert answer.status_code == 200, answer.text
    store(server, study[1])
    after = cast_study(fhir, *study)
    assert {"system": "urn:other", "value": "X9"} in after["identifier"]
    assert after["note"] == [{"text": "seen"}]
    assert {t["code"] for t in after["meta"]["tag"]} >= {"teaching", "dicom-cast"}
    assert b'"valueDecimal":12.3400' in proxy.transactions()[1].body
    patient_after = read(fhir, held["subject"]["reference"])
    for element in ("telecom", "identifier", "name", "extension"):
        assert patient_after[element] == patient[element]
    assert [e["resource"]["resourceType"] for e in proxy.transactions()[1].entries] == ["ImagingStudy"]


def test_FHIR_04_a_patient_that_is_there_gets_what_it_lacks(cast, proxy, fhir):
    server = cast()
    ds = make(PatientSex="F", PatientBirthDate="19700203")
    known = post(
        fhir,
        {
            "resourceType": "Patient",
            "identifier": [{"system": PATIENT_SYSTEM, "value": ds.PatientID}],
            "name": [{"family": "Own", "given": ["Name"]}],
            "gender": "male",
        },
    )
    store(server, ds)
    held = cast_study(fhir, ds)
    assert held["subject"]["reference"] == f"Patient/{known['id']}"
    patient = read(fhir, held["subject"]["reference"])
    assert patient["name"] == known["name"] and patient["gender"] == "male"
    assert patient["birthDate"] == "1970-02-03"
    assert "patient-differs" in {t["code"] for t in held["meta"]["tag"]}


def test_FHIR_05_the_survivor_of_a_merge_is_the_subject(cast, fhir):
    server = cast()
    ds = make()
    survivor = post(fhir, {"resourceType": "Patient", "identifier": [{"system": "urn:other", "value": new_uid()}]})
    post(
        fhir,
        {
            "resourceType": "Patient",
            "active": False,
            "identifier": [{"system": PATIENT_SYSTEM, "value": ds.PatientID}],
            "link": [{"other": {"reference": f"Patient/{survivor['id']}"}, "type": "replaced-by"}],
        },
    )
    store(server, ds)
    assert cast_study(fhir, ds)["subject"]["reference"] == f"Patient/{survivor['id']}"


def test_FHIR_03_duplicates_on_the_server_get_no_third(cast, fhir):
    server = cast()
    ds = make()
    twin = {
        "resourceType": "ImagingStudy",
        "status": "available",
        "subject": {"display": "x"},
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{ds.StudyInstanceUID}"}],
    }
    post(fhir, twin)
    ours = post(fhir, {**twin, "meta": {"tag": [TAG]}})
    store(server, ds)
    wait_for(lambda: instance_uids(read(fhir, f"ImagingStudy/{ours['id']}")))
    idle(server)
    assert len(studies(fhir, ds)) == 2


@pytest.mark.parametrize("patient_id", ["A|B,C$D", "50% & more+", "Ünï-山"])
def test_FHIR_03_a_patient_id_of_any_characters_is_found_again(cast, fhir, patient_id):
    server = cast()
    unique = f"{patient_id} {new_uid()[-8:]}"
    first = make(PatientID=unique, SpecificCharacterSet="ISO_IR 192")
    second = make(PatientID=unique, SpecificCharacterSet="ISO_IR 192")
    store(server, first)
    a = cast_study(fhir, first)
    store(server, second)
    assert cast_study(fhir, second)["subject"] == a["subject"]


# --- FHIR-05: deletion ---


def test_FHIR_05_deleted_instances_and_series_go_and_the_patient_stays(cast, fhir):
    server = cast()
    study = one_study(3)
    study[2].SeriesInstanceUID = new_uid()
    store(server, *study)
    held = cast_study(fhir, *study)
    url = f"{server.dicomweb}/studies/{study[0].StudyInstanceUID}"
    of_series = f"{url}/series/{study[0].SeriesInstanceUID}"
    assert requests.delete(f"{of_series}/instances/{study[0].SOPInstanceUID}", timeout=60).ok
    after = cast_study(fhir, study[1], study[2])
    assert (after["numberOfSeries"], after["numberOfInstances"]) == (2, 2)
    assert requests.delete(of_series, timeout=60).ok
    after = cast_study(fhir, study[2])
    assert (after["numberOfSeries"], after["numberOfInstances"]) == (1, 1)
    assert after["id"] == held["id"]
    assert requests.delete(url, timeout=60).ok
    wait_for(lambda: not studies(fhir, study[0]))
    assert requests.get(f"{fhir}/ImagingStudy/{held['id']}", headers=FRESH, timeout=60).status_code == 410
    assert len(patients(fhir, study[0])) == 1
    assert read(fhir, held["endpoint"][0]["reference"])


def test_FHIR_05_a_study_that_is_referred_to_is_withdrawn_and_comes_back(cast, fhir):
    server = cast()
    ds = make()
    store(server, ds)
    held = cast_study(fhir, ds)
    post(
        fhir,
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "a measurement"},
            "derivedFrom": [{"reference": f"ImagingStudy/{held['id']}"}],
        },
    )
    assert requests.delete(f"{server.dicomweb}/studies/{ds.StudyInstanceUID}", timeout=60).ok
    withdrawn = wait_for(lambda: in_step(fhir, ds))
    assert withdrawn["status"] == "entered-in-error"
    assert (withdrawn["numberOfSeries"], withdrawn["numberOfInstances"]) == (0, 0)
    again = make(study=ds.StudyInstanceUID, PatientID=ds.PatientID)
    store(server, again)
    back = cast_study(fhir, again)
    assert (back["id"], back["status"]) == (held["id"], "available")


def test_FHIR_05_a_study_that_others_made_is_not_deleted(cast, fhir):
    server = cast()
    ds = make()
    theirs = post(
        fhir,
        {
            "resourceType": "ImagingStudy",
            "status": "available",
            "subject": {"display": "x"},
            "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{ds.StudyInstanceUID}"}],
        },
    )
    store(server, ds)
    assert cast_study(fhir, ds)["id"] == theirs["id"]
    assert requests.delete(f"{server.dicomweb}/studies/{ds.StudyInstanceUID}", timeout=60).ok
    idle(server)
    assert studies(fhir, ds)[0]["id"] == theirs["id"]


# --- FHIR-06: killed and stopped ---


def test_FHIR_06_killed_between_answer_and_saved_position(cast, proxy, fhir):
    server = cast(env={"HOUNSFIELD_FAULT": "cast-after-transaction:1"})
    ds = make()
    store(server, ds)
    server.process.wait(60)
    assert server.process.returncode == -signal.SIGKILL
    assert len(proxy.transactions()) == 1
    server.env = {}
    server.start()
    other = make()
    store(server, other)
    cast_study(fhir, other)
    idle(server)
    assert len(studies(fhir, ds)) == 1 and len(patients(fhir, ds)) == 1
    assert studies(fhir, ds)[0]["meta"]["versionId"] == "1"
    assert len(proxy.transactions(ds.StudyInstanceUID)) == 1


def test_FHIR_06_killed_at_random_loses_and_doubles_nothing(cast, fhir):
    server = cast(quietSeconds=0.1)
    rng = random.Random(6)
    stored = []
    for _ in range(5):
        for _ in range(4):
            ds = make()
            store(server, ds)
            stored.append(ds)
        time.sleep(rng.uniform(0, 0.6))
        server.kill()
        server.start()
    for ds in stored:
        cast_study(fhir, ds)
    idle(server)
    for ds in stored:
        assert len(studies(fhir, ds)) == 1 and len(patients(fhir, ds)) == 1


def test_FHIR_06_another_server_gets_all_studies(cast, proxy, fhir):
    server = cast()
    stored = [make() for _ in range(3)]
    store(server, *stored)
    for ds in stored:
        cast_study(fhir, ds)
    idle(server)
    other = Proxy(fhir)
    server.settings["fhir"]["url"] = other.url
    server.restart()
    for ds in stored:
        wait_for(lambda: [e for e in other.exchanges if e.mentions(ds.StudyInstanceUID)])
    idle(server)
    assert not other.transactions()  # it has them already
    seen = len(other.exchanges)
    server.restart()
    idle(server)
    time.sleep(1)
    assert len(other.exchanges) == seen  # the same server as before
    other.close()


def test_FHIR_06_a_stop_does_not_wait_for_a_server_that_hangs(cast, proxy, fhir):
    server = cast()
    proxy.fault(fhir_proxy.hang(60))
    ds = make()
    store(server, ds)
    wait_for(lambda: proxy.exchanges)
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 50  # not as long as the server hangs
    proxy.heal()
    server.start()
    cast_study(fhir, ds)


# --- FHIR-07: faults ---


def test_FHIR_07_retry_after_is_honoured(cast, proxy, fhir):
    server = cast()
    proxy.fault(fhir_proxy.answer(429, {"Retry-After": "4"}))
    ds = make()
    store(server, ds)
    cast_study(fhir, ds)
    first, second = proxy.exchanges[:2]
    assert first.status == 429 and second.at - first.at >= 4


def test_FHIR_07_pauses_grow(cast, proxy, fhir):
    server = cast()
    proxy.fault(fhir_proxy.answer(503), times=4)
    ds = make()
    store(server, ds)
    cast_study(fhir, ds)
    times = [e.at for e in proxy.exchanges[:5]]
    pauses = [b - a for a, b in zip(times, times[1:])]
    assert 0.4 < pauses[0] < 2 and pauses[3] > 3
    assert studies(fhir, ds)[0]["meta"]["versionId"] == "1"


@pytest.mark.parametrize(
    "fault",
    [
        fhir_proxy.answer(500),
        fhir_proxy.answer(503),
        fhir_proxy.answer(504),
        fhir_proxy.answer(408),
        fhir_proxy.drop,
        fhir_proxy.cut_answer,
        fhir_proxy.garble(b"<html>busy</html>"),
        fhir_proxy.garble(b'{"resourceType":"Bundle","type":"transaction-response","entry":[]}'),
        fhir_proxy.garble(b"[" * 100000),
    ],
    ids=["500", "503", "504", "408", "dropped", "cut", "html", "other-bundle", "deep"],
)
def test_FHIR_07_after_a_fault_nothing_is_lost_or_doubled(cast, proxy, fhir, fault):
    server = cast()
    proxy.fault(fault, when=is_transaction)
    ds = make()
    store(server, ds)
    cast_study(fhir, ds)
    idle(server)
    assert len(studies(fhir, ds)) == 1 and len(patients(fhir, ds)) == 1
    assert studies(fhir, ds)[0]["meta"]["versionId"] == "1"
    assert metric(server, "cast_parked") == 0


def test_FHIR_07_a_search_that_is_cut_or_garbled_is_repeated(cast, proxy, fhir):
    server = cast()
    proxy.fault(fhir_proxy.cut_answer)
    proxy.fault(fhir_proxy.garble(b"not json"))
    ds = make()
    store(server, ds)
    cast_study(fhir, ds)
    assert len(studies(fhir, ds)) == 1


def test_FHIR_07_a_server_that_is_away_is_waited_for(cast, proxy, fhir):
    server = cast()
    proxy.listener.shutdown()
    proxy.listener.server_close()
    stored = [make() for _ in range(5)]
    store(server, *stored)
    time.sleep(3)
    assert server.alive()
    proxy.open()
    for ds in stored:
        cast_study(fhir, ds)


@pytest.mark.parametrize("status", [400, 422, 413])
def test_FHIR_07_a_refused_study_is_parked_and_tried_again_when_it_changes(cast, proxy, fhir, status):
    server = cast()
    study = one_study(2)
    bad, good = study[0], make()
    proxy.fault(
        fhir_proxy.answer(status),
        times=-1,
        when=lambda e: e.is_transaction and e.mentions(bad.StudyInstanceUID),
    )
    store(server, bad)
    wait_for(lambda: metric(server, "cast_parked") == 1)
    store(server, good)
    cast_study(fhir, good)
    idle(server)
    assert len(proxy.transactions(bad.StudyInstanceUID)) == 1 and not studies(fhir, bad)
    assert re.search(rf"parked study={re.escape(bad.StudyInstanceUID)} status={status}", server.log())
    proxy.heal()
    store(server, study[1])
    cast_study(fhir, *study)
    wait_for(lambda: metric(server, "cast_parked") == 0)


def test_FHIR_07_a_remembered_endpoint_that_is_gone_parks_nothing(cast, proxy, fhir):
    server = cast()
    first, second = make(), make()
    store(server, first)
    endpoints = cast_study(fhir, first)["endpoint"]
    idle(server)
    assert requests.delete(f"{server.dicomweb}/studies/{first.StudyInstanceUID}", timeout=60).ok
    wait_for(lambda: not studies(fhir, first))
    for endpoint in endpoints:
        assert requests.delete(f"{fhir}/{endpoint['reference']}", timeout=60).ok
    store(server, second)
    held = cast_study(fhir, second)
    assert metric(server, "cast_parked") == 0
    assert held["endpoint"] != endpoints
    assert [read(fhir, e["reference"])["status"] for e in held["endpoint"]] == ["active", "active"]


def test_FHIR_07_a_parked_study_is_tried_again_at_a_start(cast, proxy, fhir):
    server = cast()
    proxy.fault(fhir_proxy.answer(422), when=is_transaction)
    ds = make()
    store(server, ds)
    wait_for(lambda: metric(server, "cast_parked") == 1)
    server.restart()
    cast_study(fhir, ds)
    wait_for(lambda: metric(server, "cast_parked") == 0)


def test_FHIR_07_a_study_that_the_server_cannot_bear_holds_up_nobody(cast, proxy, fhir):
    server = cast()
    bad, stored = make(), [make() for _ in range(3)]
    proxy.fault(
        fhir_proxy.answer(500), times=-1, when=lambda e: e.is_transaction and e.mentions(bad.StudyInstanceUID)
    )
    store(server, bad, *stored)
    for ds in stored:
        cast_study(fhir, ds)
    assert metric(server, "cast_parked") == 0
    proxy.heal()
    cast_study(fhir, bad)


@pytest.mark.parametrize("status", [401, 403])
def test_FHIR_07_wrong_credentials_park_nothing(cast, proxy, fhir, status):
    server = cast(bearerToken="secret-token")
    proxy.fault(fhir_proxy.answer(status), times=2)
    ds = make()
    store(server, ds)
    cast_study(fhir, ds)
    assert metric(server, "cast_parked") == 0
    assert "denies us" in server.log()
    assert proxy.exchanges[0].headers["Authorization"] == "Bearer secret-token"
    assert "secret-token" not in server.log()


def test_FHIR_07_credentials_do_not_follow_a_redirect(cast, proxy, fhir):
    elsewhere = Proxy(fhir)
    server = cast(user="u", password="p")
    proxy.fault(fhir_proxy.answer(307, {"Location": elsewhere.url + "/Patient"}))
    ds = make()
    store(server, ds)
    cast_study(fhir, ds)
    assert not elsewhere.exchanges
    assert proxy.exchanges[0].headers["Authorization"] == "Basic dTpw"
    elsewhere.close()


# --- FHIR-08: odd data ---


def test_FHIR_08_odd_attributes_are_left_out_and_told(cast, fhir):
    server = cast()
    ds = make(
        SpecificCharacterSet="ISO_IR 192",
        PatientID="",
        PatientName="Hong^Gildong=洪^吉洞=홍^길동",
        PatientBirthDate="",
        PatientSex="X",
        Modality="QX",
        StudyDate="",
        AccessionNumber="",
        StudyDescription="   ",
        SeriesNumber=-1,
    )
    store(server, ds)
    held = cast_study(fhir, ds)
    patient = read(fhir, held["subject"]["reference"])
    assert patient["identifier"][0] == {
        "use": "usual",
        "system": f"{PATIENT_SYSTEM}/no-pid",
        "value": ds.StudyInstanceUID,
    }
    assert [n["text"] for n in patient["name"]] == ["Gildong Hong", "洪 吉洞", "홍 길동"]
    assert "gender" not in patient and "birthDate" not in patient
    for element in ("started", "description", "modality"):
        assert element not in held
    assert "number" not in held["series"][0]
    assert {n["authorString"] for n in held["note"]} == {"dicom-cast"}
    assert len(held["note"]) == 2


def test_FHIR_08_strict_parks_what_cannot_be_mapped_whole(cast, proxy, fhir):
    server = cast(strict=True)
    odd, whole = make(PatientSex="X"), make()
    store(server, odd, whole)
    cast_study(fhir, whole)
    wait_for(lambda: metric(server, "cast_parked") == 1)
    assert not studies(fhir, odd)


def test_FHIR_08_patients_of_two_studies_without_patient_id_are_two(cast, fhir):
    server = cast()
    first, second = make(PatientID=""), make(PatientID="")
    store(server, first, second)
    assert cast_study(fhir, first)["subject"] != cast_study(fhir, second)["subject"]


def test_FHIR_07_the_log_holds_no_patient_data(cast, proxy, fhir):
    server = cast()
    proxy.fault(fhir_proxy.answer(422, body=b'{"resourceType":"OperationOutcome","issue":[{"severity":"error",'
                                  b'"code":"invalid","diagnostics":"Zebrowski is no name"}]}'), when=is_transaction)
    ds = make(PatientName="Zebrowski^Ottilie", PatientID="SECRETID77", PatientBirthDate="19311113")
    store(server, ds)
    wait_for(lambda: metric(server, "cast_parked") == 1)
    server.restart()
    cast_study(fhir, ds)
    for secret in ("Zebrowski", "Ottilie", "SECRETID77", "19311113", "1931-11-13"):
        assert secret not in server.log()


# --- last: all that was sent ---


def test_FHIR_02_everything_that_was_sent_is_valid(fhir, tmp_path):
    if not sent:
        pytest.skip("no other test of this file ran")
    small = [body for body in dict.fromkeys(sent) if len(body) < 1 << 20]
    folder = tmp_path / "sent"
    folder.mkdir()
    for i, body in enumerate(small):
        (folder / f"{i:04}.json").write_bytes(body)
    validator = ROOT / "tests" / "fhir-server" / "validate.sh"
    result = subprocess.run(
        [str(validator), "--errors-only", str(folder)], capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
