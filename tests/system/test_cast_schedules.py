# SPDX-License-Identifier: MIT
"""Random schedules of faults between the cast and a FHIR server: nothing lost, nothing doubled (FHIR-03 to FHIR-07, HOS-48).
With -s the long test tells of each schedule which faults it met."""
import random
import time

import fhir_proxy
import pytest
import requests
import sr_documents
from test_cast import in_step, metric, patients, proxy, search, studies, wait_for  # noqa: F401
from web import make, store

DOCUMENTS = [
    (sr_documents.report, "DiagnosticReport"), (sr_documents.measurements, "DiagnosticReport"), (sr_documents.ct_dose, "Observation"),
    (sr_documents.key_objects, "DocumentReference"),
]
KINDS = ["Observation", "DiagnosticReport", "DocumentReference"]
ELSEWHERE = "http://169.254.169.254/latest"
FAULTS = {
    "412": fhir_proxy.answer(412),
    "409": fhir_proxy.answer(409),
    "429": fhir_proxy.answer(429, {"Retry-After": "1"}),
    "503": fhir_proxy.answer(503, {"Retry-After": "1"}),
    "500": fhir_proxy.answer(500),
    "422": fhir_proxy.answer(422),
    "401": fhir_proxy.answer(401),
    "redirect": fhir_proxy.answer(307, {"Location": ELSEWHERE}),
    "dropped": fhir_proxy.drop,
    "silent": fhir_proxy.hang(4),
    "silent behind": fhir_proxy.hang_behind(4),
    "cut": fhir_proxy.cut_answer,
    "garbage": fhir_proxy.garble(b"\0\xff<html>"),
    "other bundle": fhir_proxy.garble(b'{"resourceType":"Bundle","type":"transaction-response","entry":[]}'),
    "slow": fhir_proxy.trickle(4),
}


@pytest.fixture
def server(start_server, proxy):  # noqa: F811
    return start_server(
        settings={"fhir": {"url": proxy.url, "quietSeconds": 0.2, "maximumAgeSeconds": 2, "timeoutSeconds": 2, "studiesAtOnce": 3}}
    )


def is_through(server):
    """Is nothing waiting or parked any more? As an operator would, tries again what is parked: a study may be so after a fault
    that was under way when the last one looked."""
    if metric(server, "cast_parked") or metric(server, "cast_breaker"):
        assert requests.post(server.url + "/operations", json={"type": "cast-replay"}, timeout=60).status_code == 202
        time.sleep(0.2)
    return metric(server, "cast_lag") == 0 and metric(server, "cast_parked") == 0 and metric(server, "cast_waiting_studies") == 0


def disturb(chance, proxy, count):  # noqa: F811
    """`count` faults, each of some request that is to come."""
    names = chance.choices(list(FAULTS), k=count)
    for name in names:
        left = [chance.randrange(4)]

        def is_its_turn(exchange, left=left):
            left[0] -= 1
            return left[0] < 0

        proxy.fault(FAULTS[name], when=is_its_turn)
    return names


def add_document(chance, server, study):
    """Perhaps: (data set, type of what it becomes, whether it is there in the end)."""
    if chance.random() > 0.4:
        return None
    make_document, kind = chance.choice(DOCUMENTS)
    ds = make_document(study[0])
    store(server, ds)
    stays = chance.random() < 0.7
    if stays:
        study.append(ds)
    else:
        url = f"{server.dicomweb}/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
        assert requests.delete(url, timeout=60).ok
    return ds, kind, stays


def check_documents(fhir, documents, gone):  # noqa: F811
    for ds, kind, stays in documents:
        stays = stays and not (gone and gone[0].StudyInstanceUID == ds.StudyInstanceUID)
        assert len(search(fhir, kind, f"urn:dicom:uid|urn:oid:{ds.SOPInstanceUID}")) == stays
        held = [r for k in KINDS for r in search(fhir, k, f"urn:dicom:uid|urn:oid:{ds.StudyInstanceUID}")]
        assert bool(held) == stays
        names = [(r["resourceType"], r["identifier"][0]["system"], r["identifier"][0]["value"]) for r in held]
        assert len(names) == len(set(names))


def run_schedule(seed, server, proxy, fhir):  # noqa: F811
    chance = random.Random(seed)
    faults = disturb(chance, proxy, chance.randint(3, 8))
    planned = list(proxy.faults)
    live = []  # the data sets of each study that is to be there in the end
    gone = []
    patient = make().PatientID
    for _ in range(chance.randint(2, 4)):
        first = make(PatientID=chance.choice((patient, make().PatientID)))
        live.append([first])
        store(server, first)
    for study in live:
        if chance.random() < 0.5:
            more = make(study=study[0].StudyInstanceUID, PatientID=study[0].PatientID, AccessionNumber=study[0].AccessionNumber)
            store(server, more)
            study.append(more)
    killed = chance.random() < 0.4
    if killed:
        time.sleep(chance.uniform(0, 1.5))
        server.kill()
        server.start()
    documents = [document for study in live if (document := add_document(chance, server, study))]
    if chance.random() < 0.5:
        gone = live.pop()
        assert requests.delete(f"{server.dicomweb}/studies/{gone[0].StudyInstanceUID}", timeout=60).ok
    # The archive goes on as if nothing was.
    for study in live:
        found = requests.get(f"{server.dicomweb}/studies", params={"StudyInstanceUID": study[0].StudyInstanceUID}, timeout=60)
        assert found.status_code == 200 and len(found.json()) == 1
    wait_for(lambda: all(not fault[2] for fault in proxy.faults) or metric(server, "cast_lag") == 0, 120)
    proxy.heal()
    wait_for(lambda: is_through(server), 120)
    for study in live:
        assert len(studies(fhir, study[0])) == 1 and len(patients(fhir, study[0])) == 1, (seed, faults)
        assert in_step(fhir, study[0], *(d.SOPInstanceUID for d in study)), (seed, faults)
    if gone:
        assert not studies(fhir, gone[0]), (seed, faults)
    check_documents(fhir, documents, gone)
    assert not any(e.path.startswith(ELSEWHERE) for e in proxy.exchanges)
    met = [name for name, fault in zip(faults, planned) if not fault[2]]
    return met + ["killed"] * killed


@pytest.mark.parametrize("seed", range(3))
def test_FHIR_07_after_a_random_schedule_of_faults_nothing_is_lost_or_doubled(server, proxy, fhir, seed):  # noqa: F811
    run_schedule(seed, server, proxy, fhir)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_FHIR_07_after_each_of_two_hundred_schedules_nothing_is_lost_or_doubled(server, proxy, fhir, seed):  # noqa: F811
    met = run_schedule(seed, server, proxy, fhir)
    print(f"\nschedule {seed}: {', '.join(met)}", flush=True)
