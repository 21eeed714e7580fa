# SPDX-License-Identifier: MIT
"""A daemon that dies between what it does to the worklist and what it answers: nothing that was acknowledged is lost, what was
sent again makes no second order, and a performed step and its scheduled step never disagree."""
import json
import struct
import subprocess
import time

import pytest
import requests
from pydicom.dataset import Dataset

from conftest import BUILD, free_port
from mllp import Sender, msh, orm, pid, stamp
from upper_layer import EXPLICIT, Association, encode
from web import new_uid

PROGRAM = (BUILD / "hounsfield").read_bytes() if (BUILD / "hounsfield").exists() else b""
MPPS = "1.2.840.10008.3.1.2.3.3"
POINTS = ["worklist-before-commit", "worklist-after-commit", "after-index-write"]

pytestmark = pytest.mark.skipif(b"HOUNSFIELD_FAULT" not in PROGRAM, reason="fault points are not compiled in")


class Gone(Exception):
    """The daemon is not there any more."""


def value(vr, *values):
    return {"vr": vr, "Value": list(values)}


def order_of(number):
    step = {"00080060": value("CS", "CT"), "00400001": value("AE", "CT1"), "00400002": value("DA", "20300101"),
            "00400009": value("SH", f"S{number}")}
    return {"00080050": value("SH", f"ACC{number}"), "00100010": value("PN", {"Alphabetic": "Doe^Jane"}),
            "00100020": value("LO", f"P{number}"), "00401001": value("SH", f"R{number}"),
            "00402016": value("LO", f"O{number}"), "00400100": value("SQ", step)}


def post(server, number):
    try:
        answer = requests.post(server.dicomweb + "/worklist", data=json.dumps([order_of(number)]), timeout=20,
                               headers={"Content-Type": "application/dicom+json"})
    except requests.ConnectionError as gone:
        raise Gone from gone
    assert answer.status_code in (200, 201), answer.text
    return answer.json()["entry"]["0020000D"]["Value"][0]


def steps(server):
    """{accession number: [(state, Study Instance UID, performed steps)]}"""
    found = requests.get(server.dicomweb + "/worklist?all=true&limit=1000", timeout=20).json()
    result = {}
    for one in found:
        result.setdefault(one["entry"]["00080050"]["Value"][0], []).append(
            (one["state"], one["entry"]["0020000D"]["Value"][0], one.get("performedSteps", [])))
    return result


def begin(server, uid, study):
    reference, ds = Dataset(), Dataset()
    reference.StudyInstanceUID = study
    ds.ScheduledStepAttributesSequence = [reference]
    ds.PerformedProcedureStepID, ds.PerformedStationAETitle, ds.Modality = "1", "CT1", "CT"
    ds.PerformedProcedureStepStartDate, ds.PerformedProcedureStepStartTime = "20300101", "1000"
    ds.PerformedProcedureStepStatus = "IN PROGRESS"
    try:
        association = Association(server, [(1, MPPS, [EXPLICIT])])
        association.send_message(1, {0x0002: MPPS, 0x0100: 0x0140, 0x0110: 1, 0x0800: 1, 0x1000: uid}, encode(ds, EXPLICIT))
        answer = association.read_message()
        association.close()
    except (OSError, AssertionError, struct.error) as gone:
        raise Gone from gone
    if answer is None:
        raise Gone
    return answer[1][0x0900]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("count", [3, 5, 8])
def test_what_was_acknowledged_of_the_worklist_survives_a_kill_and_what_is_sent_again_is_one(start_server, point, count):
    server = start_server()
    server.stop()
    server.env["HOUNSFIELD_FAULT"] = f"{point}:{count}"
    orders, begun = {}, {}
    pending = None
    try:
        server.start()
        for number in range(10):
            pending = ("order", number)
            orders[number] = post(server, number)
            pending = ("step", number)
            uid = new_uid()
            begun[uid] = number
            if begin(server, uid, orders[number]) != 0:
                raise AssertionError("refused")
            pending = None
        raise AssertionError("the fault point was not met")
    except (Gone, RuntimeError):
        unsure = next(reversed(begun), None) if pending and pending[0] == "step" else None
    server.process.wait(60)
    del server.env["HOUNSFIELD_FAULT"]
    server.start()
    found = steps(server)
    for number, study in orders.items():
        (state, known, performed), = found[f"ACC{number}"]
        assert known == study
        for uid, of in begun.items():
            if of == number and uid != unsure:
                assert performed == [uid] and state == "STARTED"
        if unsure and begun[unsure] == number:
            assert (state, performed) in (("SCHEDULED", []), ("STARTED", [unsure])), "both, or neither"
    if pending and pending[0] == "order":
        again = post(server, pending[1])
        (state, known, _), = steps(server)[f"ACC{pending[1]}"]
        assert known == again and state == "SCHEDULED"
    if unsure:
        done = steps(server)[f"ACC{begun[unsure]}"][0][0] == "STARTED"
        assert begin(server, unsure, orders[begun[unsure]]) == (0x0111 if done else 0)
        assert steps(server)[f"ACC{begun[unsure]}"] == [("STARTED", orders[begun[unsure]], [unsure])]
    assert server.stop() == 0
    assert "Sanitizer" not in server.log()


def patients(server):
    """{Patient ID: how many steps}"""
    found = requests.get(server.dicomweb + "/worklist?all=true&limit=1000", timeout=60).json()
    result = {}
    for one in found:
        patient = one["entry"]["00100020"]["Value"][0]
        result[patient] = result.get(patient, 0) + 1
    return result


@pytest.mark.parametrize("count", [1, 2])
def test_HL7_06_a_merge_of_a_patient_with_very_many_orders_is_finished_after_a_kill(start_server, count):
    """It takes several turns, and the server dies between two of them: what was told is known, and all of it comes to be so."""
    port = free_port()
    server = start_server({"hl7": {"port": port}})
    merge = msh("ADT^A40", at=stamp(-30)) + pid("STAYS") + "MRG|GONE^^^HOSP\r"
    for order in range(3):
        steps = []
        for number in range(200):
            step = order_of(order)
            step["00100020"], step["00100021"] = value("LO", "GONE"), value("LO", "HOSP")
            step["00400100"]["Value"][0]["00400009"] = value("SH", f"S{number}")
            steps.append(step)
        answer = requests.post(server.dicomweb + "/worklist", data=json.dumps(steps), timeout=120,
                               headers={"Content-Type": "application/dicom+json"})
        assert answer.status_code == 201, answer.text
    server.stop()
    server.env["HOUNSFIELD_FAULT"] = f"patient-followed:{count}"
    server.start()
    with Sender(port, timeout=120) as sender:
        try:
            assert sender.send(merge) is None, "the fault point was not met"
        except ConnectionError:
            pass
    server.process.wait(60)
    del server.env["HOUNSFIELD_FAULT"]
    server.start()
    with Sender(port, timeout=120) as sender:
        # an order of the patient that is gone, of which steps may not have followed yet
        again = sender.send(orm("O1", patient=pid("GONE"), accession="ACC1", step_id="S7", procedure_id="R1", at=stamp(-20)))
        assert again.code == "AA", again
        assert sender.send(merge).code == "AA"
    deadline = time.monotonic() + 120
    while patients(server).keys() != {"STAYS"} and time.monotonic() < deadline:
        time.sleep(0.2)
    assert patients(server).keys() == {"STAYS"}
    assert server.stop() == 0
    assert "Sanitizer" not in server.log()
    verified = subprocess.run([str(BUILD / "hounsfield"), "verify", "--json", "--data", str(server.data_dir)],
                              capture_output=True, text=True, timeout=120)
    assert verified.returncode == 0, verified.stdout
    assert json.loads(verified.stdout)["result"]["worklistObjects"] >= 600
