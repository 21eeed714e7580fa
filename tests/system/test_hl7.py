# SPDX-License-Identifier: MIT
"""HL7 v2 over MLLP (HL7-01 to HL7-11, HOS-46, HOS-47): what a sender is answered, and what modalities and viewers then see."""
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
import requests
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import ModalityWorklistInformationFind

import web
from certificates import Authority
from conftest import BINARY, ROOT, free_port, unavailable
from mllp import END, START, Receiver, Sender, adt, frame, msh, orm, pid, stamp

WAIT = 30


def eventually(condition, timeout=WAIT):
    """The first true value of what follows in the background."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.05)


@pytest.fixture(scope="module")
def site(session_folder):
    from conftest import Server

    port = free_port()
    settings = {"hl7": {"port": port, "messageLimitMiB": 1, "messageTimeoutSeconds": 2}}
    daemon = Server(session_folder / "hl7", settings).start()
    daemon.hl7_port = port
    yield daemon
    alive = daemon.alive()
    assert daemon.stop() == 0 and alive, daemon.log()[-4000:]
    assert "Sanitizer" not in daemon.log() and "runtime error" not in daemon.log()


def start(start_server, **hl7):
    port = free_port()
    server = start_server(settings={"hl7": {"port": port, **hl7}})
    server.hl7_port = port
    return server


def worklist(server, **keys):
    """The entries of the Modality Worklist that match, by the keywords of their attributes."""
    identifier = Dataset()
    step = Dataset()
    for keyword in ("Modality", "ScheduledStationAETitle", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime",
                    "ScheduledProcedureStepDescription", "ScheduledProcedureStepID", "ScheduledStationName",
                    "ScheduledProcedureStepLocation", "ScheduledProcedureStepStatus"):
        setattr(step, keyword, "")
    identifier.SpecificCharacterSet = "ISO_IR 192"
    identifier.ScheduledProcedureStepSequence = [step]
    for keyword in ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "OtherPatientIDs", "AccessionNumber",
                    "RequestedProcedureID", "RequestedProcedureDescription", "StudyInstanceUID", "RequestingPhysician",
                    "ReferringPhysicianName", "CurrentPatientLocation", "PlacerOrderNumberImagingServiceRequest",
                    "RequestedProcedurePriority", "RequestedProcedureComments"):
        setattr(identifier, keyword, keys.pop(keyword, ""))
    for keyword, value in keys.items():
        setattr(step, keyword, value)
    ae = AE("CT1")
    ae.add_requested_context(ModalityWorklistInformationFind)
    association = ae.associate("127.0.0.1", server.dimse_port, ae_title=server.ae_title)
    assert association.is_established
    try:
        found = []
        for status, entry in association.send_c_find(identifier, ModalityWorklistInformationFind):
            assert status.Status in (0x0000, 0xFF00, 0xFF01), status
            if entry is not None:
                found.append(entry)
        return found
    finally:
        association.release()


def only(server, **keys):
    entries = worklist(server, **keys)
    assert len(entries) == 1, entries
    return entries[0], entries[0].ScheduledProcedureStepSequence[0]


def accepted(answer):
    assert answer is not None and answer.code == "AA", answer
    return answer


def unique(prefix, count=[0]):
    count[0] += 1
    return f"{prefix}{os.getpid()}x{count[0]}"


# Framing and connections.


def test_HL7_01_a_message_is_answered_with_its_control_id_and_the_ends_swapped(site):
    with Sender(site.hl7_port) as sender:
        answer = accepted(sender.send(adt("A08", pid(unique("P")), control_id="C4711")))
    header = answer.segment("MSH")
    assert answer.control_id == "C4711"
    assert header[2:6] == ["HOUNSFIELD", "RAD", "HIS", "CLINIC"]
    assert header[8] == "ACK^A08^ACK" and header[11] == "2.5.1" and header[9]


def test_HL7_01_messages_split_and_joined_by_TCP_are_answered_one_by_one_in_order(site):
    messages = [adt("A08", pid(unique("P")), control_id=f"J{i}") for i in range(20)]
    data = b"".join(frame(m) for m in messages)
    with Sender(site.hl7_port) as sender:
        sender.write(data)  # all in one
        assert [accepted(sender.read()).control_id for _ in messages] == [f"J{i}" for i in range(20)]
        for i in range(0, len(data), 97):  # in pieces that end anywhere
            sender.write(data[i:i + 97])
        assert [accepted(sender.read()).control_id for _ in messages] == [f"J{i}" for i in range(20)]
        for byte in frame(messages[0]):  # byte by byte
            sender.write(bytes([byte]))
        assert accepted(sender.read()).control_id == "J0"


def test_HL7_01_connections_that_say_nothing_are_kept_and_cost_no_thread(site):
    def threads():
        return len(os.listdir(f"/proc/{site.process.pid}/task"))

    with Sender(site.hl7_port) as sender:  # the server is up, with all that it has
        accepted(sender.send(adt("A08", pid("IDLE"))))
    before = threads()
    idle = [Sender(site.hl7_port) for _ in range(50)]
    try:
        for sender in idle:
            accepted(sender.send(adt("A08", pid("IDLE"))))
        time.sleep(2.5)  # longer than a message may take
        assert threads() < before + 10  # the index has some that come and go
        for sender in idle:
            accepted(sender.send(adt("A08", pid("IDLE"))))
    finally:
        for sender in idle:
            sender.socket.close()


# Orders.


def test_HL7_02_a_new_order_is_an_entry_of_the_worklist(site):
    placer, patient = unique("O"), unique("P")
    order = orm(placer, patient=pid(patient), accession=placer[-12:], study="1.2.3.4",
                step_id="SPS1", procedure_id="RP1", filler="F" + placer)
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(order))
    entry, step = only(site, PatientID=patient)
    assert (entry.PatientID, entry.IssuerOfPatientID, entry.PatientSex, entry.PatientBirthDate) == (patient, "HOSP", "F", "19700102")
    assert (entry.AccessionNumber, entry.RequestedProcedureID, entry.StudyInstanceUID) == (placer[-12:], "RP1", "1.2.3.4")
    assert entry.RequestedProcedureDescription == "CT HEAD" and entry.RequestingPhysician == "MILL^JOHN^^DR"
    assert entry.ReferringPhysicianName == "SMITH^ANN" and entry.CurrentPatientLocation == "WARD, 12, 1"
    assert (step.Modality, step.ScheduledProcedureStepID) == ("CT", "SPS1")
    assert (step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime) == ("20300102", "103000")


def test_HL7_02_a_study_uid_that_is_missing_is_made_and_stays(site):
    placer, patient = unique("O"), unique("P")
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(orm(placer, patient=pid(patient))))
        first, _ = only(site, PatientID=patient)
        accepted(sender.send(orm(placer, "XO", patient=pid(patient), start="20300103090000")))
        second, step = only(site, PatientID=patient)
    assert first.StudyInstanceUID and first.StudyInstanceUID == second.StudyInstanceUID
    assert step.ScheduledProcedureStepStartDate == "20300103"


def omi(placer, patient, steps):
    text = msh("OMI^O23^OMI_O23") + pid(patient) + f"ORC|NW|{placer}\rTQ1|1||||||20300102103000||S\rOBR|1|{placer}||CTH^CT HEAD^99RIS\r"
    for step_id, modality, station, ae_title in steps:
        text += f"IPC|{placer[-12:]}|RP1|1.2.3.5|{step_id}|{modality}|PC^PROTOCOL {step_id}^99RIS|{station}|L^ROOM|{ae_title}\r"
    return text


def test_HL7_03_several_IPC_are_steps_of_one_procedure(site):
    placer, patient = unique("O"), unique("P")
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(omi(placer, patient, [("S1", "CT", "CTROOM", "CT1"), ("S2", "MR", "MRROOM", "MR1")])))
    entries = {e.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID: e for e in worklist(site, PatientID=patient)}
    assert set(entries) == {"S1", "S2"}
    one, two = (entries[s].ScheduledProcedureStepSequence[0] for s in ("S1", "S2"))
    assert (one.ScheduledStationAETitle, one.ScheduledStationName, one.Modality) == ("CT1", "CTROOM", "CT")
    assert (two.ScheduledStationAETitle, two.ScheduledProcedureStepLocation, two.Modality) == ("MR1", "ROOM", "MR")
    assert {e.StudyInstanceUID for e in entries.values()} == {"1.2.3.5"}
    assert {e.RequestedProcedurePriority for e in entries.values()} == {"STAT"}


def test_HL7_04_orders_are_changed_cancelled_and_not_doubled(site):
    placer, patient = unique("O"), unique("P")
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(orm(placer, patient=pid(patient))))
        accepted(sender.send(orm(placer, patient=pid(patient), start="20300201")))
        _, step = only(site, PatientID=patient)
        assert step.ScheduledProcedureStepStartDate == "20300201"
        accepted(sender.send(orm(placer, "CA", patient=pid(patient))))
        assert worklist(site, PatientID=patient) == []
        started = unique("O")
        accepted(sender.send(orm(started, patient=pid(patient))))
        accepted(sender.send(orm(started, "SC", patient=pid(patient), status="IP")))
        refused = sender.send(orm(started, "CA", patient=pid(patient), version="2.5.1"))
        assert refused.code == "AE" and refused.errors[0][:2] == ("ORC^1", "206")
        accepted(sender.send(orm(started, "DC", patient=pid(patient))))
        unknown = sender.send(orm(unique("O"), "XO", patient=pid(patient), version="2.5.1"))
        assert unknown.code == "AE" and unknown.errors[0][1] == "204" and "no such order" in unknown.errors[0][3]


def test_HL7_04_a_message_that_is_sent_again_makes_no_second_order(site):
    placer, patient = unique("O"), unique("P")
    message = orm(placer, patient=pid(patient), control_id="AGAIN1")
    with Sender(site.hl7_port) as sender:
        for _ in range(3):
            assert accepted(sender.send(message)).control_id == "AGAIN1"
    only(site, PatientID=patient)


def test_SIU_moves_an_order(site):
    placer, patient = unique("O"), unique("P")
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(orm(placer, patient=pid(patient), at=stamp(-60))))
        accepted(sender.send(msh("SIU^S13", at=stamp(-30)) + f"SCH|AP1{'|' * 10}^^^20300401081500{'|' * 15}{placer}\r" + pid(patient) +
                             "RGS|1\rAIS|1||CTH^CT HEAD|20300401081500\rAIL|1||ROOM7\r"))
        _, step = only(site, PatientID=patient)
        assert (step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime) == ("20300401", "081500")
        assert step.ScheduledProcedureStepLocation == "ROOM7"
        accepted(sender.send(msh("SIU^S15") + f"SCH|AP1{'|' * 25}{placer}\r" + pid(patient)))
        assert worklist(site, PatientID=patient) == []


# Patients.


def study_of(server, patient):
    return requests.get(f"{server.dicomweb}/studies", params={"PatientID": patient, "includefield": "00100010"}, timeout=60,
                        headers=web.JSON).text


def found(server, patient):
    answer = requests.get(f"{server.dicomweb}/studies", params={"PatientID": patient}, timeout=60, headers=web.JSON)
    assert answer.status_code in (200, 204), answer.status_code
    return answer.json() if answer.content else []


def test_HL7_05_demographics_reach_worklist_queries_and_retrieves_with_the_originals_kept(site):
    placer, patient = unique("O"), unique("P")
    image = web.make(PatientID=patient, IssuerOfPatientID="HOSP", PatientName="DOE^JANE", PatientBirthDate="19700102")
    web.store(site, image)
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(orm(placer, patient=pid(patient), at=stamp(-100))))
        accepted(sender.send(adt("A08", pid(patient, "ROE^JANE", "19700103"), at=stamp(-50))))
        entry, _ = only(site, PatientID=patient)
        assert (entry.PatientName, entry.PatientBirthDate) == ("ROE^JANE", "19700103")
        name = eventually(lambda: [s for s in found(site, patient) if s["00100010"]["Value"][0]["Alphabetic"] == "ROE^JANE"])
        assert name, study_of(site, patient)
        instance = web.get(web.url_of(site, image) + "/metadata", "application/dicom+json").json()[0]
        assert instance["00100010"]["Value"][0]["Alphabetic"] == "ROE^JANE"
        originals = instance["04000561"]["Value"][0]["04000550"]["Value"][0]
        assert originals["00100010"]["Value"][0]["Alphabetic"] == "DOE^JANE"
        # An older one that comes late.
        accepted(sender.send(adt("A08", pid(patient, "OLD^NAME"), at=stamp(-80))))
        accepted(sender.send(adt("A08", pid(patient, "OLD^NAME"), evn=stamp(-80))))
        entry, _ = only(site, PatientID=patient)
        assert entry.PatientName == "ROE^JANE"
        assert found(site, patient)[0]["00100010"]["Value"][0]["Alphabetic"] == "ROE^JANE"


def test_HL7_06_merged_patients_are_found_by_the_id_that_survives(site):
    ids = [unique("P") for _ in range(3)]
    image = web.make(PatientID=ids[0], IssuerOfPatientID="HOSP", PatientName="DOE^JANE")
    web.store(site, image)
    first = msh("ADT^A40", at=stamp(-40)) + pid(ids[1]) + f"MRG|{ids[0]}^^^HOSP\r"
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(orm(unique("O"), patient=pid(ids[0]), at=stamp(-50))))
        accepted(sender.send(first))
        accepted(sender.send(msh("ADT^A40", at=stamp(-30)) + pid(ids[2]) + f"MRG|{ids[1]}^^^HOSP\r"))
        accepted(sender.send(first))  # repeated: no change
    assert eventually(lambda: found(site, ids[2])), "the study does not follow its patient"
    assert eventually(lambda: not found(site, ids[0])) and not found(site, ids[1])
    assert len(worklist(site, PatientID=ids[2])) == 1
    assert worklist(site, PatientID=ids[0]) == [] and worklist(site, PatientID=ids[1]) == []


def test_patients_that_were_merged_by_mistake_are_two_again(site):
    gone, survivor = unique("P"), unique("P")
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(orm(unique("O"), patient=pid(gone, "DOE^GONE"), at=stamp(-60))))
        accepted(sender.send(msh("ADT^A40", at=stamp(-40)) + pid(survivor, "DOE^STAYS") + f"MRG|{gone}^^^HOSP\r"))
        assert only(site, PatientID=survivor)[0].PatientName == "DOE^STAYS"
        accepted(sender.send(msh("ADT^A37", at=stamp(-20)) + pid(survivor, "DOE^STAYS") + pid(gone, "DOE^GONE")))
    assert only(site, PatientID=gone)[0].PatientName == "DOE^GONE"
    assert worklist(site, PatientID=survivor) == []


def test_images_after_a_merge_was_undone_are_not_the_other_patients(site):
    gone, survivor, fence = unique("P"), unique("P"), unique("P")
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(orm(unique("O"), patient=pid(gone, "DOE^GONE"), at=stamp(-60))))
        accepted(sender.send(msh("ADT^A40", at=stamp(-40)) + pid(survivor, "DOE^STAYS") + f"MRG|{gone}^^^HOSP\r"))
        accepted(sender.send(msh("ADT^A37", at=stamp(-20)) + pid(survivor, "DOE^STAYS") + pid(gone, "DOE^GONE")))
        web.store(site, web.make(PatientID=gone, IssuerOfPatientID="HOSP", PatientName="DOE^GONE", study="1.2.99.1"))
        # Studies are worked off by their UIDs: when this one has changed, the other one was looked at.
        accepted(sender.send(adt("A08", pid(fence, "ROE^NEW"))))
        web.store(site, web.make(PatientID=fence, IssuerOfPatientID="HOSP", PatientName="ROE^OLD", study="2.99.9"))
    assert eventually(lambda: found(site, fence)[0]["00100010"]["Value"][0]["Alphabetic"] == "ROE^NEW")
    assert found(site, gone) and not found(site, survivor)


def test_images_that_were_amended_for_a_merge_are_the_first_patients_again_when_it_is_undone(site):
    gone, survivor = unique("P"), unique("P")
    image = web.make(PatientID=gone, IssuerOfPatientID="HOSP", PatientName="DOE^GONE", PatientSex="F")
    web.store(site, image)
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(msh("ADT^A40", at=stamp(-40)) + pid(survivor, "DOE^STAYS", sex="M") + f"MRG|{gone}^^^HOSP\r"))
        assert eventually(lambda: found(site, survivor)) and not found(site, gone)
        accepted(sender.send(msh("ADT^A37", at=stamp(-20)) + pid(survivor, "DOE^STAYS") + pid(gone, "DOE^GONE")))
    assert eventually(lambda: found(site, gone)) and not found(site, survivor)
    instance = web.get(web.url_of(site, image) + "/metadata", "application/dicom+json").json()[0]
    assert instance["00100010"]["Value"][0]["Alphabetic"] == "DOE^GONE" and instance["00100040"]["Value"] == ["F"]
    steps = [i["04000550"]["Value"][0]["00100020"]["Value"][0] for i in instance["04000561"]["Value"]]
    assert steps == [gone, survivor]


def test_HL7_07_the_same_number_of_two_authorities_is_two_patients(site):
    number = unique("P")
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(orm(unique("O"), patient=pid(number, "DOE^NORTH", authority="NORTH"))))
        accepted(sender.send(orm(unique("O"), patient=pid(number, "DOE^SOUTH", authority="SOUTH"))))
        accepted(sender.send(adt("A08", pid(number, "ROE^SOUTH", authority="SOUTH"))))
    names = {e.IssuerOfPatientID: str(e.PatientName) for e in worklist(site, PatientID=number)}
    assert names == {"NORTH": "DOE^NORTH", "SOUTH": "ROE^SOUTH"}


def test_HL7_07_further_ids_are_other_patient_ids(site):
    number = unique("P")
    patient = f"PID|1||{number}^^^HOSP~77^^^CITY~88^^^STATE||DOE^JANE\r"
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(orm(unique("O"), patient=patient)))
    entry, _ = only(site, PatientID=number)
    assert list(entry.OtherPatientIDs) == ["77", "88"]


@pytest.mark.parametrize("event", ["A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08", "A10", "A11", "A13", "A23", "A28", "A31"])
def test_HL7_11_every_event_of_a_patient_tells_of_it(site, event):
    patient = unique("P")
    visit = f"PV1|1|I|WARD9^1{'|' * 16}V77\r"
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(orm(unique("O"), patient=pid(patient), at=stamp(-60))))
        assert only(site, PatientID=patient)[0].CurrentPatientLocation == "WARD, 12, 1"
        accepted(sender.send(adt(event, pid(patient, "ROE^JANE"), extra=visit)))
    entry, _ = only(site, PatientID=patient)
    assert entry.PatientName == "ROE^JANE"
    assert entry.CurrentPatientLocation == ("" if event in ("A03", "A11", "A23") else "WARD9, 1")


@pytest.mark.parametrize("event", ["A18", "A34", "A40", "A47"])
def test_HL7_06_every_event_of_a_merge_merges(site, event):
    gone, survivor = unique("P"), unique("P")
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(orm(unique("O"), patient=pid(gone), at=stamp(-60))))
        accepted(sender.send(msh(f"ADT^{event}") + pid(survivor, "ROE^JANE") + f"MRG|{gone}^^^HOSP\r"))
    assert worklist(site, PatientID=gone) == []
    assert only(site, PatientID=survivor)[0].PatientName == "ROE^JANE"


# Character sets.


@pytest.mark.parametrize("name,encoding,text", [
    ("", "ascii", "PLAIN^JANE"),
    ("8859/1", "latin-1", "MÜLLER^JÖRG"),
    ("8859/5", "iso8859-5", "Люкceмбypг^Иван"),
    ("8859/7", "iso8859-7", "Διονυσιος^Α"),
    ("UNICODE UTF-8", "utf-8", "Wang^小东"),
    ("GB 18030-2000", "gb18030", "Wang^乗东"),
    ("KS X 1001", "euc_kr", "Hong^길동"),
    ("ASCII~ISO IR87", "iso2022_jp", "山田^太郎"),
    ("", "latin-1", "MÜLLER^OHNE ANGABE"),
    ("", "utf-8", "Люкceмбypг^Иван"),
])
def test_HL7_08_names_of_all_character_sets_are_right_in_the_worklist(site, name, encoding, text):
    patient = unique("P")
    message = orm(unique("O"), patient=pid(patient, text)).replace("|2.3.1\r", f"|2.3.1{'|' * 6}{name}\r", 1)
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(message.encode(encoding)))
    entry, _ = only(site, PatientID=patient)
    assert str(entry.PatientName) == text


def test_HL7_08_escapes_and_other_separators(site):
    patient = unique("P")
    message = (f"MSH#*!?%#HIS#C###{stamp()}##ORM*O01#1#P#2.5\rPID#1##{patient}***HOSP##O?E?MALLEY*J?F?A?S?N?R?E?T?Z?X41?\r"
               f"ORC#NW#{unique('O')}\rOBR#1###X*a|b^c\r")
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(message))
    entry, _ = only(site, PatientID=patient)
    assert str(entry.PatientName) == "O?MALLEY^J#A*N!E%ZA"
    assert entry.RequestedProcedureDescription == "a|b^c"


# What is wrong.


@pytest.mark.parametrize("message,code,error", [
    (msh("ZZZ^Z01"), "AR", ("MSH^1^9", "200")),
    (msh("ADT^A99"), "AR", ("MSH^1^9", "201")),
    (msh("ADT^A08", version="9.9") + pid(), "AR", ("MSH^1^12", "203")),
    (msh("ADT^A08"), "AE", ("PID^1", "100")),
    (msh("ADT^A08") + "PID|1||||DOE^JANE\r", "AE", ("PID^1^3", "101")),
    (msh("ADT^A40") + pid(), "AE", ("MRG^1", "100")),
    (msh("ORM^O01") + pid(), "AE", ("ORC^1", "100")),
    (msh("ORM^O01") + pid() + "ORC|NW|1\rOBR|1|1\r", "AE", ("OBR^1^4", "101")),
    (msh("ORM^O01") + pid() + "ORC|QQ|1\rOBR|1|1||X\r", "AE", ("ORC^1^1", "103")),
    (msh("SIU^S13") + pid(), "AE", ("SCH^1", "100")),
], ids=["type", "event", "version", "no PID", "no patient", "no MRG", "no ORC", "no service", "control code", "no SCH"])  # a message holds the time
def test_HL7_09_what_is_wrong_is_told_by_segment_field_and_code(site, message, code, error):
    with Sender(site.hl7_port) as sender:
        answer = sender.send(message)
        assert answer.code == code and answer.errors[0][:2] == error and answer.errors[0][3], answer
        accepted(sender.send(adt("A08", pid("P"))))


def test_HL7_10_enhanced_mode_answers_as_asked(site):
    def codes(conditions, count, event="A08"):
        with Sender(site.hl7_port) as sender:
            sender.write(frame(msh(f"ADT^{event}", extra=f"|||{conditions}") + pid("P")))
            answers = [sender.read() for _ in range(count)]
            assert all(a.segment("MSH")[14:16] == ["NE", "NE"] for a in answers)
            # Nothing more comes: the next answer is the next message's.
            assert accepted(sender.send(adt("A08", pid("P"), control_id="NEXT"))).control_id == "NEXT"
            return [a.code for a in answers]

    assert codes("AL|AL", 2) == ["CA", "AA"]
    assert codes("AL|NE", 1) == ["CA"]
    assert codes("NE|AL", 1) == ["AA"]
    assert codes("NE|NE", 0) == []
    assert codes("ER|ER", 0) == []
    assert codes("AL|AL", 1, "A99") == ["CR"]
    assert codes("ER|ER", 1, "A99") == ["CR"]


def test_HL7_10_messages_of_several_connections_are_each_answered_in_order(site):
    def send(number):
        with Sender(site.hl7_port) as sender:
            ids = [f"T{number}.{i}" for i in range(30)]
            sender.write(b"".join(frame(adt("A08", pid(f"Q{number}"), control_id=i)) for i in ids))
            return [accepted(sender.read()).control_id for _ in ids] == ids

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(send, range(8), timeout=120))


# The site's own mapping.


def explain(*arguments, data=None):
    return subprocess.run([BINARY, "hl7", "explain", *arguments], input=data, capture_output=True, timeout=60)


def test_what_is_taken_is_named_in_the_log_for_who_asks_for_it(start_server):
    port = free_port()
    server = start_server(settings={"log": "debug", "hl7": {"port": port}})
    with Sender(port) as sender:
        accepted(sender.send(adt("A08", pid("L1", name="Quiet^Quentin"), control_id="C77")))
    assert f"hl7_port={port} " in server.log()
    line, = [line for line in server.log().splitlines() if "hl7: message accepted" in line]
    assert 'type="ADT^A08' in line and 'control_id="C77"' in line and "uiet" not in line


def test_HL7_11_a_dry_run_shows_the_entry_and_the_answer(tmp_path):
    file = tmp_path / "order.hl7"
    file.write_text(orm("O1", accession="A1", step_id="S1", study="1.2.3"), newline="")
    told = explain(str(file))
    assert told.returncode == 0, told.stderr
    assert b"order new" in told.stdout and b"(0010,0010) PatientName = DOE^JANE" in told.stdout and b"MSA|AA|" in told.stdout
    document = json.loads(explain(str(file), "--json").stdout)[0]
    entry = document["actions"][0]["steps"][0]
    assert document["answer"] == "AA" and entry["00080050"]["Value"] == ["A1"]
    assert entry["00400100"]["Value"][0]["00400009"]["Value"] == ["S1"]
    refused = explain("-", "--json", data=msh("ADT^A08").encode())
    assert refused.returncode == 3
    assert json.loads(refused.stdout)[0]["errors"][0]["segment"] == "PID"
    several = explain("-", "--json", data=frame(adt("A08")) + frame(adt("A40")))
    assert [m["answer"] for m in json.loads(several.stdout)] == ["AA", "AE"]
    unreadable = explain("-", data=b"ORM|no header")
    assert unreadable.returncode == 3 and b"answer none" in unreadable.stdout
    assert explain("-", data=b"").returncode == 1
    assert explain().returncode == 2


def test_HL7_11_the_mapping_is_edited_without_a_restart(start_server, tmp_path):
    server = start(start_server, mapping={"ZXX-1": "RequestedProcedureComments"})
    message = lambda placer: orm(placer, patient=pid(placer)) + "ZXX|first|second\r"
    config = server.folder / "hounsfield.json"
    with Sender(server.hl7_port) as sender:
        accepted(sender.send(message("O1")))
        assert only(server, PatientID="O1")[0].RequestedProcedureComments == "first"
        settings = json.loads(config.read_text())
        settings["hl7"]["mapping"] = {"ZXX-2": "RequestedProcedureComments", "PID-8": ""}
        config.write_text(json.dumps(settings))
        server.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: "settings reloaded" in server.log())
        accepted(sender.send(message("O2")))  # on the connection that stands
        entry, _ = only(server, PatientID="O2")
        assert entry.RequestedProcedureComments == "second" and not entry.PatientSex
        settings["hl7"]["mapping"] = {"ZXX-2": "NoSuchKeyword"}
        config.write_text(json.dumps(settings))
        server.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: "not reloaded" in server.log() and "NoSuchKeyword" in server.log())
        accepted(sender.send(message("O3")))
    told = json.loads(explain("-", "--json", "--config", str(tmp_path / "none.json"), data=b"x").stdout or b"null")
    assert told is None


def test_HL7_11_the_table_of_the_manual_is_the_one_that_is_used():
    table = subprocess.run([BINARY, "hl7", "mapping"], capture_output=True, text=True, timeout=60).stdout
    manual = (ROOT / "docs" / "hl7.md").read_text()
    assert len(table.splitlines()) > 40 and table in manual


def test_the_statement_of_the_server_tells_of_HL7_where_it_is_listened_for(site, server):
    told, silent = (web.get(s.url + "/conformance").text for s in (site, server))
    assert "## 8 HL7" in told and f"Port {site.hl7_port}." in told and "| ADT^A40 |" in told and "| ZDS-1.1 IPC-3.1 |" in told
    assert "HL7" not in silent
    manual = (ROOT / "docs" / "hl7.md").read_text()
    for code, event in re.findall(r"^\| ([A-Z]{3})\^(\w{3}) \|", told, re.M):
        assert event in manual and code in manual, (code, event)


@pytest.mark.parametrize("hl7,word", [
    ({"port": 11112}, "port of its own"),
    ({"tlsPort": 2576}, "tlsCertificate"),
    ({"peers": [{"host": "his.example.org"}]}, "address or network"),
    ({"peers": [{"host": "10.0.0.1", "name": "HIS"}]}, "name"),
    ({"mapping": {"ZXX": "PatientName"}}, "ZXX"),
    ({"mapping": {"ZXX-1": "PatientID"}}, "PatientID"),
    ({"mapping": {"ZXX-1": 7}}, "ZXX-1"),
    ({"processingIds": "PX"}, "processingIds"),
    ({"stationAeTitle": "LONGER THAN SIXTEEN"}, "stationAeTitle"),
    ({"destinations": [{"host": "10.0.0.1"}]}, "port"),
    ({"destinations": [{"host": "ris.example.org", "port": 1}]}, "address"),
    ({"destinations": [{"host": "10.0.0.1", "port": 1}, {"host": "10.0.0.1", "port": 1, "application": "B"}]}, "twice"),
])
def test_settings_that_cannot_be_are_refused_and_named(tmp_path, hl7, word):
    config = tmp_path / "hl7.json"
    config.write_text(json.dumps({"hl7": hl7}))
    shown = subprocess.run([BINARY, "serve", "--config", str(config), "--data", str(tmp_path / "d")], capture_output=True, text=True,
                           timeout=60)
    assert shown.returncode == 2 and "hl7" in shown.stderr and word in shown.stderr, shown.stderr
    assert not (tmp_path / "d").exists()


# What others are told.


def fields(message, name):
    return next(line.split("|") for line in message.split("\r") if line.startswith(name + "|"))


def orc(message):
    return fields(message, "ORC")[1:4] + [fields(message, "ORC")[5]]


def test_HL7_11_what_becomes_of_an_order_is_told_to_who_wants_to_know(start_server):
    port = free_port()
    with Receiver(port) as ris:
        server = start(start_server, destinations=[{"host": "127.0.0.1", "port": port, "application": "RIS", "facility": "CLINIC"}])
        with Sender(server.hl7_port) as sender:
            accepted(sender.send(orm("O1^HIS", patient=pid("P1", "M\\T\\ÜLLER^JANE^^^DR"), accession="A1", filler="F1^FILL", step_id="S1",
                                     procedure_id="RP1", study="1.2.3", version="2.5.1").replace("|2.5.1\r", "|2.5.1||||||UNICODE UTF-8\r", 1)))
            accepted(sender.send(orm("O1^HIS", "SC", patient=pid("P1"), status="IP", filler="F1^FILL")))
            accepted(sender.send(orm("O1^HIS", "SC", patient=pid("P1"), status="CM", filler="F1^FILL")))
            accepted(sender.send(orm("O2", patient=pid("P2"))))
            accepted(sender.send(orm("O2", "CA", patient=pid("P2"))))
        told = ris.wait(3)
    header = fields(told[0], "MSH")
    assert header[2:6] == ["HOUNSFIELD", "HOUNSFIELD", "RIS", "CLINIC"] and header[8] == "ORM^O01" and header[11] == "2.3.1"
    assert [orc(m) for m in told] == [["SC", "O1^HIS", "F1^FILL", "IP"], ["SC", "O1^HIS", "F1^FILL", "CM"], ["SC", "O2", "", "CA"]]
    obr = fields(told[0], "OBR")
    assert (obr[4], obr[18], obr[19], obr[20], obr[24]) == ("CTH^CT HEAD^99RIS", "A1", "RP1", "S1", "CT")
    assert fields(told[0], "ZDS")[1].split("^")[0] == "1.2.3"
    assert fields(told[0], "PID")[3] == "P1^^^HOSP"
    assert len({fields(m, "MSH")[9] for m in told}) == 3
    assert len(told) == 3


def test_HL7_11_a_destination_that_is_away_hears_all_of_it_later_in_order_and_once(start_server):
    port = free_port()
    server = start(start_server, retrySeconds=0.05, destinations=[{"host": "127.0.0.1", "port": port}])

    def tell(sender, placer):
        accepted(sender.send(orm(placer, patient=pid(placer))))
        accepted(sender.send(orm(placer, "CA", patient=pid(placer))))

    with Sender(server.hl7_port) as sender:
        tell(sender, "O1")
        tell(sender, "O2")
    assert eventually(lambda: "status update not sent" in server.log())
    server.kill()
    server.start()
    with Receiver(port, [None, "AE", "AA"]) as ris:  # hangs up once, refuses one, takes the rest
        with Sender(server.hl7_port) as sender:
            tell(sender, "O3")
        told = [orc(m)[1] for m in ris.wait(4)]
    assert told == ["O1", "O1", "O2", "O3"]
    assert fields(ris.messages[0], "MSH")[9] == fields(ris.messages[1], "MSH")[9]  # told again: the same control ID
    assert "status update refused" in server.log()
    server.restart()
    with Receiver(port) as ris:
        with Sender(server.hl7_port) as sender:
            tell(sender, "O4")
        assert [orc(m)[1] for m in ris.wait(1)] == ["O4"]


def test_HL7_11_an_order_that_is_never_answered_holds_up_neither_others_nor_other_destinations(start_server):
    port, other = free_port(), free_port()

    def told(receiver):
        return [orc(m)[1] for m in list(receiver.messages)]

    with Receiver(port, deaf_to=lambda message: "ORC|SC|O1|" in message) as ris, Receiver(other) as healthy:
        server = start(start_server, retrySeconds=0.01, destinations=[{"host": "127.0.0.1", "port": p} for p in (port, other)])
        with Sender(server.hl7_port) as sender:
            for placer in ("O1", "O2", "O3"):
                accepted(sender.send(orm(placer, patient=pid(placer))))
                accepted(sender.send(orm(placer, "CA", patient=pid(placer))))
        healthy.wait(3)
        assert told(healthy) == ["O1", "O2", "O3"]
        assert eventually(lambda: "O3" in told(ris))
        assert [p for p in told(ris) if p != "O1"] == ["O2", "O3"]  # in order, and once
        assert told(ris).count("O1") >= 8
        assert f"status update parked destination=hl7:127.0.0.1:{port} control_id=U" in server.log()
        metrics = requests.get(f"{server.url}/metrics", timeout=60).text
        assert "hounsfield_hl7_updates_parked_total 1\n" in metrics


def test_HL7_11_a_destination_that_hangs_up_in_the_pause_is_told_the_next_thing_without_a_retry(start_server):
    port = free_port()

    def is_hung_up():
        """The server has seen it: its end is in CLOSE_WAIT."""
        rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return any(row[2] == f"0100007F:{port:04X}" and row[3] == "08" for row in rows)

    with Receiver(port, closes=True) as ris:
        server = start(start_server, retrySeconds=3600, destinations=[{"host": "127.0.0.1", "port": port}])
        with Sender(server.hl7_port) as sender:
            for count, placer in enumerate(("O1", "O2"), 1):
                accepted(sender.send(orm(placer, patient=pid(placer))))
                accepted(sender.send(orm(placer, "CA", patient=pid(placer))))
                assert orc(ris.wait(count)[-1])[1] == placer
                assert eventually(is_hung_up)
    assert "status update not sent" not in server.log()


def test_HL7_11_destinations_are_told_over_TLS_and_verified(start_server, tmp_path):
    authority, other = Authority(tmp_path, "ca"), Authority(tmp_path, "other")
    identity, wrong = authority.issue("localhost", "server"), other.issue("localhost", "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity)
    stranger.load_cert_chain(*wrong)
    port, strange = free_port(), free_port()
    pinned = {"tls": True, "host": "127.0.0.1", "certificate": authority.fingerprint(identity[0])}
    with Receiver(port, wrap=lambda s: context.wrap_socket(s, server_side=True)) as ris, \
            Receiver(strange, wrap=lambda s: stranger.wrap_socket(s, server_side=True)) as nobody:
        listening, destinations = free_port(), [{**pinned, "port": port}, {**pinned, "port": strange}]
        server = start_server(settings={"dimse": {"tlsCa": str(authority.certificate)},
                                        "hl7": {"port": listening, "retrySeconds": 0.1, "destinations": destinations}})
        with Sender(listening) as sender:
            accepted(sender.send(orm("O1")))
            accepted(sender.send(orm("O1", "CA")))
        assert orc(ris.wait(1)[0])[1] == "O1"
        assert eventually(lambda: f"not sent destination=hl7:127.0.0.1:{strange}" in server.log())
        assert not nobody.messages


# Reports.


def oru(placer, patient, lines, number="", status="F"):
    text = msh("ORU^R01") + pid(patient) + f"ORC|RE|{placer}\r"
    text += f"OBR|1|{placer}|{number}|CTH^CT HEAD^99RIS|||20300102101500{'|' * 15}20300102120000|||{status}{'|' * 7}5&READER&ANN\r"
    return text + "".join(f"OBX|{i}|TX|F^FINDINGS^99RIS||{line}||||||{status}\r" for i, line in enumerate(lines, 1))


def test_a_report_is_an_instance_of_its_study(site):
    patient, accession = unique("P"), unique("A")[-14:]
    image = web.make(PatientID=patient, IssuerOfPatientID="HOSP", AccessionNumber=accession, PatientName="DOE^JANE")
    web.store(site, image)
    report = oru(unique("O"), patient, ["No bleeding.", "Ventricles \\T\\ sulci normal."])
    report = report.replace("|||20300102101500" + "|" * 15, "|||20300102101500" + "|" * 11 + accession + "|" * 4)
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(report))
        accepted(sender.send(report))  # again: the same instance
        foreign = sender.send(report.replace(patient, "SOMEBODYELSE"))
        assert foreign.code == "AE" and foreign.errors[0][1] == "205"
    instances = web.get(f"{web.url_of(site, image, 'study')}/instances", "application/dicom+json").json()
    kinds = sorted(i["00080060"]["Value"][0] for i in instances)
    assert kinds == ["CT", "SR"], kinds
    document = next(i for i in instances if i["00080060"]["Value"] == ["SR"])
    series = document["0020000E"]["Value"][0]
    sop = document["00080018"]["Value"][0]
    metadata = web.get(f"{web.url_of(site, image, 'study')}/series/{series}/instances/{sop}/metadata", "application/dicom+json").json()[0]
    item = metadata["0040A730"]["Value"][0]
    assert item["0040A160"]["Value"] == ["No bleeding.\r\nVentricles & sulci normal."]
    assert metadata["0040A493"]["Value"] == ["VERIFIED"] and metadata["0040A491"]["Value"] == ["COMPLETE"]


# Who may send.


def test_only_peers_of_the_settings_may_send(start_server):
    server = start(start_server, peers=[{"host": "127.0.0.0/8", "application": "HIS"}])
    with Sender(server.hl7_port) as sender:
        accepted(sender.send(adt("A08")))
        refused = sender.send(adt("A08").replace("|HIS|", "|EVIL|", 1))
        assert refused.code == "AR" and refused.errors[0][:2] == ("MSH^1^3", "207")
    assert "event=110113" in server.log()
    closed = start(start_server, peers=[{"host": "10.255.255.1"}])
    with Sender(closed.hl7_port) as sender:
        assert sender.is_closed()


def test_nobody_may_send_from_outside_of_this_machine_unless_it_is_said(start_server):
    port = free_port()
    server = start_server(settings={"bind": "0.0.0.0", "hl7": {"port": port}, "dimse": {"trustNetwork": True}})
    with Sender(port) as sender:
        assert sender.is_closed()
    assert "nobody may send HL7" in server.log()


def test_TLS_as_for_DICOM(start_server, tmp_path):
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("localhost", "server")
    port = free_port()
    server = start_server(settings={"hl7": {"tlsPort": port}, "dimse": {"tlsPort": free_port(), "tlsCertificate": str(certificate),
                                                                        "tlsKey": str(key)}})
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.check_hostname = False
    with Sender(port, wrap=lambda s: context.wrap_socket(s)) as sender:
        for _ in range(5):
            accepted(sender.send(adt("A08")))
        data = b"".join(frame(adt("A08", control_id=f"S{i}")) for i in range(50))
        sender.write(data)
        assert [sender.read().control_id for _ in range(50)] == [f"S{i}" for i in range(50)]
        server.process.send_signal(signal.SIGHUP)  # other credentials are loaded; the session keeps its own
        assert eventually(lambda: "settings reloaded" in server.log())
        accepted(sender.send(adt("A08")))
    with Sender(port) as sender:  # in plain
        sender.write(frame(adt("A08")))
        sender.socket.settimeout(20)
        try:
            sender.socket.shutdown(socket.SHUT_WR)
            answer = sender.socket.recv(100)
        except OSError:  # the server may have hung up by now
            answer = b""
        assert b"MSA" not in answer
    with Sender(port, wrap=lambda s: context.wrap_socket(s)) as sender:
        accepted(sender.send(adt("A08")))
    assert server.alive()


# Hostile input.


def test_HOS_46_what_is_no_message_is_answered_or_closed_and_the_next_one_is_read(site):
    good = adt("A08", pid("P"), control_id="GOOD")

    def after(data, *codes):
        with Sender(site.hl7_port) as sender:
            sender.write(data + frame(good))
            told = []
            while not told or told[-1].control_id != "GOOD":
                answer = sender.read()
                assert answer is not None, data
                told.append(answer)
            assert [a.code for a in told] == [*codes, "AA"], (data[:80], told)

    head = msh("ADT^A08", control_id="BAD").encode()
    after(b"garbage without a start\x1c\r")
    after(START + head + pid().encode(), "AR")  # no end: the next start cuts it
    after(START * 5)
    after(START + head + b"PID|1\x00|2\r" + END, "AR")
    after(START + head + b"PID|1\x1c|2\r" + END, "AR")
    after(START + head + b"nonsense\r" + END, "AR")
    after(START + head + b"ZZZ\r" * 20000 + END, "AR")  # more segments than are read
    after(START + head + b"ZZZ|" + b"x" * (2 << 20) + END, "AR")  # longer than messages may be


@pytest.mark.parametrize("data", [b"", b"PID|1\r", b"MSH", b"MSH|^~\\", b"MSH||||||||||1\r", b"MSHAAAAAAAA\r", b"MSH|^~\\&|||||||ADT^A08\r"])
def test_HOS_46_what_cannot_be_answered_is_closed(site, data):
    with Sender(site.hl7_port) as sender:
        sender.write(START + data + END)
        assert sender.is_closed()


def test_HOS_46_other_protocols_and_half_messages_are_closed_in_time(site):
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", START + b"MSH|^~\\&|and then nothing", b"x" * 5000, b"\x16\x03\x01\x02\x00"):
        with Sender(site.hl7_port) as sender:
            sender.write(data)
            assert sender.is_closed(), data
    with Sender(site.hl7_port) as sender:
        accepted(sender.send(adt("A08")))


def test_HOS_46_a_message_without_end_holds_no_memory(start_server):
    server = start(start_server, messageLimitMiB=4)
    rss = lambda: int((pathlib.Path("/proc") / str(server.process.pid) / "statm").read_text().split()[1]) * 4096
    with Sender(server.hl7_port) as sender:
        accepted(sender.send(adt("A08")))
        before = rss()
        sender.write(START + msh("ADT^A08", control_id="BIG").encode())
        for _ in range(64):
            sender.write(b"OBX|1|TX|||" + b"x" * (1 << 20))
        assert sender.read().code == "AR"
        assert rss() - before < 64 << 20
        sender.write(END)
        accepted(sender.send(adt("A08")))


def test_HOS_46_more_connections_than_there_may_be_are_closed(start_server):
    server = start(start_server, connectionLimit=5)
    first = [Sender(server.hl7_port) for _ in range(5)]
    try:
        for sender in first:
            accepted(sender.send(adt("A08")))
        with Sender(server.hl7_port) as one_more:
            assert one_more.is_closed()
        first.pop().socket.close()
        def gets_in():
            with Sender(server.hl7_port) as again:
                try:
                    return again.send(adt("A08"))
                except ConnectionError:
                    return None
        assert eventually(gets_in)
        metrics = requests.get(server.url + "/metrics", timeout=30).text
        assert "hounsfield_hl7_connections_refused_total" in metrics and "hounsfield_hl7_messages_accepted_total" in metrics
    finally:
        for sender in first:
            sender.socket.close()


def test_HOS_47_values_are_mapped_safely_or_refused(site):
    patient = unique("P")
    name = "D\\E\\OE=X\\S\\Y\\.br\\Z^" + "J" * 200
    with Sender(site.hl7_port) as sender:
        answer = accepted(sender.send(orm(unique("O"), patient=f"PID|1||{patient}||{name}||19991399|F\r", version="2.5.1")))
        assert {e[0].split("^")[2] for e in answer.errors} == {"5", "7"} and {e[2] for e in answer.errors} == {"W"}
        entry, _ = only(site, PatientID=patient)
        assert str(entry.PatientName).startswith("D OE X Y Z^JJJ") and len(str(entry.PatientName)) == 64
        assert not entry.PatientBirthDate
        refused = sender.send(orm(unique("O"), patient=pid("P" * 80), version="2.5.1"))
        assert refused.code == "AE" and refused.errors[0][:2] == ("PID^1^3^1^1", "102")
        refused = sender.send(orm(unique("O"), study="../../etc/passwd", version="2.5.1"))
        assert refused.code == "AE" and refused.errors[0][:2] == ("ZDS^1^1^1^1", "102")
    assert "etc/passwd" not in site.log() and "JJJ" not in site.log()


def test_HOS_47_merges_that_make_no_sense_change_nothing(site):
    a, b, c = (unique("P") for _ in range(3))

    def merge(gone, survivor, at):
        return msh("ADT^A40", at=stamp(at)) + pid(survivor) + f"MRG|{gone}^^^HOSP\r"

    with Sender(site.hl7_port) as sender:
        assert sender.send(merge(a, a, -10)).errors[0][:2] == ("MRG^1^1", "205")
        assert sender.send(msh("ADT^A40") + pid(a) + "MRG|\r").errors[0][:2] == ("MRG^1^1", "101")
        accepted(sender.send(merge(a, b, -9)))
        accepted(sender.send(merge(b, c, -8)))
        assert sender.send(merge(c, a, -7)).code in ("AE", "AA")
        accepted(sender.send(orm(unique("O"), patient=pid(a))))
    assert len(worklist(site, PatientID=c)) + len(worklist(site, PatientID=a)) == 1


# Durability.


def test_HL7_09_nothing_that_was_acknowledged_is_lost_and_what_is_sent_again_comes_once(start_server):
    server = start(start_server)
    told, sent = set(), set()
    lock = threading.Lock()

    def send(number, until):
        count = 0
        try:
            with Sender(server.hl7_port) as sender:
                while not until.is_set():
                    placer = f"K{round_}.{number}.{count}"
                    count += 1
                    with lock:
                        sent.add(placer)
                    answer = sender.send(orm(placer, patient=pid(placer), control_id=placer))
                    if answer is None:
                        return
                    assert answer.code == "AA"
                    with lock:
                        told.add(placer)
        except OSError:
            return

    for round_ in range(3):
        until = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for i in range(4):
                pool.submit(send, i, until)
            before = len(told)
            begun = eventually(lambda: len(told) > before + 50)
            server.kill()
            until.set()
            assert begun
        server.start()
    there = [str(e.PatientID) for e in worklist(server)]
    assert told <= set(there) and len(there) == len(set(there)) and len(told) > 10
    with Sender(server.hl7_port) as sender:  # who heard nothing sends again
        for placer in sorted(sent - told) + sorted(told)[:20]:
            accepted(sender.send(orm(placer, patient=pid(placer), control_id=placer)))
    there = [str(e.PatientID) for e in worklist(server)]
    assert sorted(there) == sorted(sent)


def test_the_server_stops_in_order_while_messages_come(start_server):
    server = start(start_server)
    until = threading.Event()
    answers = []

    def send():
        try:
            with Sender(server.hl7_port) as sender:
                while not until.is_set():
                    answer = sender.send(adt("A08"))
                    if answer is None:
                        return
                    answers.append(answer.code)
        except OSError:
            return

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    begun = eventually(lambda: len(answers) > 20)
    stopped = server.stop()
    until.set()
    thread.join(30)
    assert begun and stopped == 0
    assert not thread.is_alive()
    assert set(answers) == {"AA"}


# Foreign senders.


def test_python_hl7_sends_and_reads_the_answer(site):
    hl7 = pytest.importorskip("hl7")
    from hl7.client import MLLPClient

    patient = unique("P")
    with MLLPClient("127.0.0.1", site.hl7_port, encoding="utf-8") as client:
        answer = hl7.parse(client.send_message(hl7.parse(orm(unique("O"), patient=pid(patient)))).decode())
        assert str(answer.segment("MSA")[1]) == "AA"
        again = hl7.parse(client.send_message(adt("A08", pid(patient, "ROE^JANE"))).decode())
        assert str(again.segment("MSA")[1]) == "AA"
    entry, _ = only(site, PatientID=patient)
    assert str(entry.PatientName) == "ROE^JANE"


@pytest.fixture(scope="session")
def hapi_sender():
    """The command that runs HAPI's own HL7 v2 library."""
    folder = ROOT / "tests" / "hl7-client"
    jar = folder / "target" / "hl7-test-client.jar"
    source = folder / "src" / "main" / "java" / "hl7test" / "Send.java"
    try:
        if not jar.exists() or jar.stat().st_mtime < source.stat().st_mtime:
            for offline, limit in ((["-o"], 80), ([], 200)):
                built = subprocess.run(["mvn", "-B", "-q", *offline, "package"], cwd=folder, capture_output=True, timeout=limit)
                if built.returncode == 0:
                    break
            else:
                unavailable(f"HAPI's HL7 v2 library cannot be had: {built.stdout[-300:]}")
    except (FileNotFoundError, subprocess.TimeoutExpired) as why:
        unavailable(f"HAPI's HL7 v2 library cannot be had: {why}")
    return ["java", "-cp", f"{jar}:{(folder / 'target' / 'classpath.txt').read_text()}", "hl7test.Send"]


def test_HAPI_sends_an_order_and_a_new_name(site, hapi_sender, tmp_path):
    placer, patient = unique("O"), unique("P")
    ran = subprocess.run([*hapi_sender, str(site.hl7_port), placer, patient], cwd=tmp_path, capture_output=True, text=True,
                         timeout=120)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout.splitlines() == ["AA true HAPI ACK", "AA true HAPI ACK", "AR true HAPI ACK"], ran.stdout
    entry, step = only(site, PatientID=patient)
    assert (str(entry.PatientName), entry.IssuerOfPatientID, step.Modality) == ("Second^Jörg & Söhne", "HAPI", "MR")
