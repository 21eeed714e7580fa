# SPDX-License-Identifier: MIT
"""What an operator does with the cast: status, parked, replay, reset, reconcile (FHIR-06, FHIR-07, FHIR-09)."""
import json
import subprocess
import time

import fhir_proxy
import pytest
import requests
from conftest import BINARY
from test_cast import (  # noqa: F401
    cast,
    cast_study,
    idle,
    instance_uids,
    is_transaction,
    metric,
    one_study,
    patients,
    post,
    proxy,
    put,
    studies,
    wait_for,
)
from web import make, store

TAGS = [{"system": "urn:hounsfield", "code": "dicom-cast"}]


def run(server, *words, status=0):
    """`hounsfield cast WORDS --json` beside the server -> its result."""
    done = subprocess.run(
        [str(BINARY), "cast", *words, "--data", str(server.data_dir), "--json", "--quiet"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == status, done.stdout + done.stderr
    document = json.loads(done.stdout)
    return document.get("result") or document["error"]


def over_http(server, kind, **options):
    answer = requests.post(server.url + "/operations", json={"type": kind, **options}, timeout=60)
    assert answer.status_code == 202, answer.text
    url = answer.headers["Location"]
    ended = wait_for(lambda: (r := requests.get(url, timeout=60)).status_code == 200 and r.json())
    assert ended["status"] == "completed", ended
    return ended["result"]


def test_FHIR_07_parked_studies_are_listed_with_the_reason_and_replayed(cast, proxy, fhir):
    server = cast()
    bad = make(PatientName="Zebrowski^Ottilie")
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [
            {"severity": "error", "code": "invalid", "diagnostics": "Zebrowski is no name", "expression": ["Patient.name[0]"]},
            {"severity": "error", "code": "Zebrowski", "expression": ["Patient.name.where(family='Zebrowski')"]},
        ],
    }
    proxy.fault(fhir_proxy.answer(422, body=json.dumps(outcome).encode()), times=-1, when=is_transaction)
    store(server, bad)
    wait_for(lambda: metric(server, "cast_parked") == 1)
    for result in (run(server, "parked", status=3), over_http(server, "cast-parked")):
        assert result["parkedTotal"] == 1
        [parked] = result["parked"]
        assert parked["study"] == bad.StudyInstanceUID and parked["status"] == 422 and parked["at"].endswith("Z")
        assert parked["reason"] == "the transaction was answered with 422 invalid at Patient.name[0]"
        assert "Zebrowski" not in json.dumps(result)
    for words in ((), ("--study", bad.StudyInstanceUID)):
        before = len(proxy.transactions(bad.StudyInstanceUID))
        assert run(server, "replay", *words)["studies"] == 1
        wait_for(lambda: len(proxy.transactions(bad.StudyInstanceUID)) > before)
        wait_for(lambda: metric(server, "cast_in_flight_studies") == 0)
    proxy.heal()
    assert over_http(server, "cast-replay")["studies"] == 1
    cast_study(fhir, bad)
    wait_for(lambda: metric(server, "cast_parked") == 0)
    assert run(server, "parked")["parked"] == []


def test_FHIR_07_a_replay_ends_the_pause(cast, proxy, fhir):
    server = cast()
    proxy.fault(fhir_proxy.answer(503, {"Retry-After": "600"}))
    ds = make()
    store(server, ds)
    wait_for(lambda: run(server, "status")["state"] == "pausing")
    status = run(server, "status")
    assert status["failures"] == 1 and 500_000 < status["pauseMilliseconds"] <= 600_000
    assert status["lastFailureReason"].endswith("503 processing") and status["lag"] == 1
    assert metric(server, "cast_breaker") == 1
    run(server, "replay", "--study", ds.StudyInstanceUID)
    cast_study(fhir, ds)
    idle(server)
    status = over_http(server, "cast-status")
    assert (status["state"], status["lag"], status["waiting"], status["inFlight"]) == ("running", 0, 0, 0)
    assert status["position"] == status["latest"] and status["lastSuccess"]
    assert metric(server, "cast_studies") == 1


def test_FHIR_07_a_pause_outlives_a_restart(cast, proxy, fhir):
    server = cast()
    proxy.fault(fhir_proxy.answer(503, {"Retry-After": "600"}))
    ds = make()
    store(server, ds)
    wait_for(lambda: run(server, "status")["state"] == "pausing")
    asked = len(proxy.exchanges)
    server.restart()
    status = run(server, "status")
    assert status["state"] == "pausing" and 400_000 < status["pauseMilliseconds"] <= 600_000
    assert len(proxy.exchanges) == asked
    run(server, "replay")
    cast_study(fhir, ds)
    server.restart()
    assert run(server, "status")["state"] == "running"


def test_FHIR_06_the_position_is_readable_and_resettable_by_an_admin(cast, proxy, fhir):
    server = cast()
    first, second = make(), make()
    store(server, first, second)
    for ds in (first, second):
        cast_study(fhir, ds)
    idle(server)
    assert run(server, "status")["position"] == 2
    held = studies(fhir, first)[0]
    assert requests.delete(f"{fhir}/ImagingStudy/{held['id']}", timeout=60).ok
    assert run(server, "reset")["position"] == 0
    assert cast_study(fhir, first)["id"] != held["id"]
    idle(server)
    assert studies(fhir, second)[0]["meta"]["versionId"] == "1"
    assert run(server, "reset", "--position", "1")["position"] == 1
    idle(server)
    assert run(server, "reset", "--position", "99", status=1)["code"] == "invalid"
    assert run(server, "status")["position"] == 2


def test_FHIR_09_reconcile_lists_and_repairs_what_differs(start_server, proxy, fhir):
    # A name of its own: what other tests left on the FHIR server is another archive's.
    server = start_server(settings={"dimse": {"aeTitle": "RECONCILED"}, "fhir": {"url": proxy.url, "quietSeconds": 0.5}})
    stored = [make() for _ in range(6)]
    store(server, *stored)
    for ds in stored:
        cast_study(fhir, ds)
    idle(server)
    missing, differing, extra, twice, foreign, whole = stored
    assert requests.delete(f"{fhir}/ImagingStudy/{studies(fhir, missing)[0]['id']}", timeout=60).ok
    other = studies(fhir, differing)[0]
    other["series"][0]["instance"] = []
    del other["series"][0]["instance"]
    put(fhir, {**other, "note": [{"text": "stays"}]})
    copy = {k: v for k, v in studies(fhir, twice)[0].items() if k != "id"}
    post(fhir, copy)
    copy = {k: v for k, v in studies(fhir, foreign)[0].items() if k not in ("id", "meta")}
    post(fhir, copy)
    # One that the archive does not have: cast by us, and then lost from our memory of it.
    gone = {k: v for k, v in studies(fhir, extra)[0].items() if k != "id"}
    gone["identifier"] = [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.99" + extra.StudyInstanceUID[-9:]}]
    post(fhir, gone)
    others = {**gone, "meta": {"tag": TAGS, "source": "urn:hounsfield:OTHER"}}
    others["identifier"] = [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.98" + extra.StudyInstanceUID[-9:]}]
    post(fhir, others)
    written = len(proxy.transactions())

    def found(result):
        uids = {ds.StudyInstanceUID for ds in stored} | {gone["identifier"][0]["value"][8:], others["identifier"][0]["value"][8:]}
        return {(f["study"], f["kind"], f["repaired"]) for f in result["findings"] if f["study"] in uids}

    expected = {
        (missing.StudyInstanceUID, "missing"),
        (differing.StudyInstanceUID, "differing"),
        (twice.StudyInstanceUID, "duplicate"),
        (gone["identifier"][0]["value"][8:], "extra"),
    }
    unrepaired = (foreign.StudyInstanceUID, "duplicate", False)
    dry = run(server, "reconcile", "--dry-run", status=3)
    assert dry["studies"] == 6 and dry["kinds"]["missing"] == 1
    assert found(dry) == {(*e, False) for e in expected} | {unrepaired}
    assert len(proxy.transactions()) == written and not studies(fhir, missing)
    repaired = run(server, "reconcile", status=3)
    assert found(repaired) == {(*e, True) for e in expected} | {unrepaired}
    assert instance_uids(studies(fhir, missing)[0]) == {missing.SOPInstanceUID}
    assert studies(fhir, differing)[0]["note"] == [{"text": "stays"}]
    assert instance_uids(studies(fhir, differing)[0]) == {differing.SOPInstanceUID}
    assert len(studies(fhir, twice)) == 1 and len(studies(fhir, foreign)) == 2
    again = over_http(server, "cast-reconcile")
    assert found(again) == {unrepaired}
    assert again["kinds"]["missing"] == again["kinds"]["differing"] == again["kinds"]["extra"] == 0
    kept = requests.get(f"{fhir}/ImagingStudy", params={"identifier": "urn:dicom:uid|" + others["identifier"][0]["value"]}, headers={"Cache-Control": "no-cache"}, timeout=60)
    assert kept.json()["total"] == 1


def test_FHIR_09_reconcile_says_that_the_server_is_away(cast, proxy, fhir):
    server = cast()
    ds = make()
    store(server, ds)
    cast_study(fhir, ds)
    idle(server)
    proxy.fault(fhir_proxy.answer(403), times=-1)
    assert run(server, "reconcile", "--dry-run", status=1)["code"] == "closed"


def test_cast_alone_tells_its_commands():
    done = subprocess.run([str(BINARY), "cast"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "cast status, cast parked, cast replay, cast reset, cast reconcile" in done.stderr


def test_cast_commands_need_a_server_that_casts(start_server):
    server = start_server()
    assert run(server, "status", status=1)["code"] == "unsupported"
    server.stop()
    assert "start it first" in run(server, "status", status=1)["message"]


@pytest.mark.parametrize("way", ["cancelled", "stopped"])
def test_FHIR_09_reconcile_ends_soon_when_the_server_hangs(cast, proxy, fhir, way):
    server = cast()
    ds = make()
    store(server, ds)
    cast_study(fhir, ds)
    idle(server)
    seen = len(proxy.exchanges)
    proxy.fault(fhir_proxy.hang(60), times=-1)
    url = requests.post(server.url + "/operations", json={"type": "cast-reconcile"}, timeout=60).headers["Location"]
    wait_for(lambda: len(proxy.exchanges) > seen)
    began = time.monotonic()
    if way == "stopped":
        assert server.stop() == 0
    else:
        requests.delete(url, timeout=60)
        wait_for(lambda: requests.get(url, timeout=60).json()["status"] == "canceled")
    assert time.monotonic() - began < 30  # the request alone would take 60
