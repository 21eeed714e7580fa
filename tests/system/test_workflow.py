# SPDX-License-Identifier: MIT
"""IHE Scheduled Workflow from the order to FHIR, each hop looked at from outside by foreign clients.

With HOUNSFIELD_TRACE=FILE the workflow is also written down, as it is printed in docs/scheduled-workflow.md."""
import os
import socket
import time

import pytest
import requests
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    InstanceAvailabilityNotification,
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from conftest import free_port
from mllp import Sender, adt, connect, orm, pid
from web import JSON, make, new_uid

COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
WAIT = 60


def eventually(condition, what):
    deadline = time.monotonic() + WAIT
    while not (value := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return value


class Trace:
    """What happened, hop by hop."""

    def __init__(self):
        self.began = time.monotonic()
        self.rows = []

    def hop(self, transaction, who, what):
        self.rows.append((f"{time.monotonic() - self.began:6.2f}", transaction, who, what))

    def write(self):
        if path := os.environ.get("HOUNSFIELD_TRACE"):
            with open(path, "w", encoding="utf-8") as file:
                file.write("| s | transaction | from, to | what was seen |\n| ---: | --- | --- | --- |\n")
                file.writelines("| " + " | ".join(row) + " |\n" for row in self.rows)


class Department:
    """The systems around the archive, by pynetdicom: they hear what it sends."""

    def __init__(self, commitment_port, ian_port, move_port):
        self.committed, self.notices, self.moved = [], [], []
        self.scps = []
        self._listen("CT1", commitment_port, StorageCommitmentPushModel, {evt.EVT_N_EVENT_REPORT: self._report}, role=True)
        self._listen("RIS", ian_port, InstanceAvailabilityNotification, {evt.EVT_N_CREATE: self._notice})
        self._listen("MOVEDEST1", move_port, CTImageStorage, {evt.EVT_C_STORE: self._image})

    def _listen(self, title, port, sop_class, handlers, role=False):
        ae = AE(title)
        ae.add_supported_context(sop_class, **({"scu_role": False, "scp_role": True} if role else {}))
        self.scps.append(ae.start_server(("127.0.0.1", port), block=False, evt_handlers=list(handlers.items())))

    def _report(self, event):
        self.committed.append((event.event_type, event.event_information))
        return 0, None

    def _notice(self, event):
        self.notices.append(event.attribute_list)
        return 0, None

    def _image(self, event):
        self.moved.append(event.dataset)
        return 0

    def close(self):
        for scp in self.scps:
            scp.shutdown()


class Modality:
    """CT1: asks what to do, does it, tells of it, sends and lets go."""

    def __init__(self, server):
        self.server = server

    def _associate(self, sop_class, **more):
        ae = AE("CT1")
        ae.add_requested_context(sop_class)
        association = ae.associate("127.0.0.1", self.server.dimse_port, ae_title=self.server.ae_title, **more)
        assert association.is_established
        return association

    def worklist(self, **keys):
        identifier, step = Dataset(), Dataset()
        for keyword in ("Modality", "ScheduledProcedureStepID", "ScheduledProcedureStepStatus", "ScheduledProcedureStepStartDate"):
            setattr(step, keyword, keys.pop(keyword, ""))
        for keyword in ("PatientName", "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyInstanceUID", "RequestedProcedureID"):
            setattr(identifier, keyword, keys.pop(keyword, ""))
        identifier.ScheduledProcedureStepSequence = [step]
        association = self._associate(ModalityWorklistInformationFind)
        try:
            return [ds for status, ds in association.send_c_find(identifier, ModalityWorklistInformationFind)
                    if status.Status in (0xFF00, 0xFF01)]
        finally:
            association.release()

    def begin(self, entry):
        ds, item = Dataset(), Dataset()
        step = entry.ScheduledProcedureStepSequence[0]
        item.StudyInstanceUID, item.AccessionNumber = entry.StudyInstanceUID, entry.AccessionNumber
        item.RequestedProcedureID, item.ScheduledProcedureStepID = entry.RequestedProcedureID, step.ScheduledProcedureStepID
        item.RequestedProcedureDescription = item.ScheduledProcedureStepDescription = ""
        item.ReferencedStudySequence = item.ScheduledProtocolCodeSequence = Sequence([])
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = entry.PatientName, entry.PatientID, "", ""
        ds.ReferencedPatientSequence = Sequence([])
        ds.ScheduledStepAttributesSequence = [item]
        ds.PerformedProcedureStepID, ds.PerformedStationAETitle = "PPS1", "CT1"
        ds.PerformedStationName = ds.PerformedLocation = ""
        ds.PerformedProcedureStepStartDate, ds.PerformedProcedureStepStartTime = "20300102", "103000"
        ds.PerformedProcedureStepStatus, ds.Modality, ds.StudyID = "IN PROGRESS", "CT", ""
        ds.PerformedProcedureStepDescription = ds.PerformedProcedureTypeDescription = ""
        ds.PerformedProcedureStepEndDate = ds.PerformedProcedureStepEndTime = ""
        ds.ProcedureCodeSequence = ds.PerformedProtocolCodeSequence = ds.PerformedSeriesSequence = Sequence([])
        uid = new_uid()
        association = self._associate(ModalityPerformedProcedureStep)
        status, _ = association.send_n_create(ds, ModalityPerformedProcedureStep, uid)
        association.release()
        assert status.Status == 0
        return uid

    def end(self, uid, images):
        ds, series = Dataset(), Dataset()
        ds.PerformedProcedureStepStatus = "COMPLETED"
        ds.PerformedProcedureStepEndDate, ds.PerformedProcedureStepEndTime = "20300102", "104000"
        series.SeriesInstanceUID, series.ProtocolName, series.RetrieveAETitle = images[0].SeriesInstanceUID, "Head", ""
        series.SeriesDescription = series.PerformingPhysicianName = series.OperatorsName = ""
        series.ReferencedNonImageCompositeSOPInstanceSequence = Sequence([])
        series.ReferencedImageSequence = [self._reference(image) for image in images]
        ds.PerformedSeriesSequence = [series]
        association = self._associate(ModalityPerformedProcedureStep)
        status, _ = association.send_n_set(ds, ModalityPerformedProcedureStep, uid)
        association.release()
        assert status.Status == 0

    @staticmethod
    def _reference(image):
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        return reference

    def store(self, images):
        association = self._associate(CTImageStorage)
        for image in images:
            image.file_meta = FileMetaDataset()
            image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            assert association.send_c_store(image).Status == 0
        association.release()

    def commit(self, images):
        ds = Dataset()
        ds.TransactionUID = new_uid()
        ds.ReferencedSOPSequence = [self._reference(image) for image in images]
        ae = AE("CT1")
        ae.add_requested_context(StorageCommitmentPushModel)
        association = ae.associate("127.0.0.1", self.server.dimse_port, ae_title=self.server.ae_title,
                                   ext_neg=[build_role(StorageCommitmentPushModel, scu_role=True, scp_role=True)])
        status, _ = association.send_n_action(ds, 1, StorageCommitmentPushModel, COMMITMENT_INSTANCE)
        association.release()
        assert status.Status == 0
        return ds.TransactionUID


def images_of(entry, count=3):
    """What the scanner makes of a worklist entry."""
    series = new_uid()
    return [make(study=entry.StudyInstanceUID, series=series, PatientID=entry.PatientID, PatientName=str(entry.PatientName),
                 AccessionNumber=entry.AccessionNumber, InstanceNumber=str(n + 1)) for n in range(count)]


def find(server, **keys):
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber", "NumberOfStudyRelatedInstances"):
        setattr(identifier, keyword, keys.get(keyword, ""))
    ae = AE("VIEWER")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = ae.associate("127.0.0.1", server.dimse_port, ae_title=server.ae_title)
    try:
        return [ds for status, ds in association.send_c_find(identifier, StudyRootQueryRetrieveInformationModelFind)
                if status.Status in (0xFF00, 0xFF01)]
    finally:
        association.release()


def move(server, study, destination):
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", study
    ae = AE("VIEWER")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelMove)
    association = ae.associate("127.0.0.1", server.dimse_port, ae_title=server.ae_title)
    try:
        *_, (status, _) = association.send_c_move(identifier, destination, StudyRootQueryRetrieveInformationModelMove)
        assert status.Status == 0 and status.NumberOfFailedSuboperations == 0
    finally:
        association.release()


@pytest.fixture
def department(start_server):
    ports = [free_port() for _ in range(2)]
    hl7 = free_port()

    def start(**settings):
        server = start_server({
            "hl7": {"port": hl7}, **settings,
            "dimse": {"peers": [{"aeTitle": "CT1", "host": "127.0.0.1", "port": ports[0]},
                                {"aeTitle": "RIS", "host": "127.0.0.1", "port": ports[1]},
                                {"aeTitle": "MOVEDEST1", "host": "127.0.0.1", "port": move_port}],
                      "notifyAvailability": ["RIS"], "notifyQuietSeconds": 0.5}})
        server.hl7_port = hl7
        return server

    move_port = free_port()
    around = Department(*ports, move_port)
    yield start, around
    around.close()


@pytest.mark.slow
def test_IHE_01_scheduled_workflow_from_the_order_to_FHIR_with_a_merge_in_the_middle(department, fhir):
    start, around = department
    server = start(fhir={"url": fhir, "quietSeconds": 0.5})
    modality, trace = Modality(server), Trace()
    number = new_uid()[-9:]
    temporary, real = "TEMP" + number, "P" + number

    with Sender(server.hl7_port) as his:
        answer = his.send(orm("PL" + number, patient=pid(temporary, "UNKNOWN^TRAUMA"), accession="A" + number))
        assert answer.code == "AA"
        trace.hop("RAD-2/4: ORM^O01", "order placer → archive", f"acknowledged `{answer.code}`: the order is durable")

        entry, = modality.worklist(AccessionNumber="A" + number)
        step = entry.ScheduledProcedureStepSequence[0]
        assert entry.PatientID == temporary and entry.StudyInstanceUID and step.Modality == "CT"
        study = entry.StudyInstanceUID
        trace.hop("RAD-5: C-FIND worklist", "modality → archive", f"one step, `{step.Modality}`, patient `{entry.PatientName}`")

        performed = modality.begin(entry)
        eventually(lambda: not modality.worklist(AccessionNumber="A" + number), "a started step leaves the list")
        started, = modality.worklist(AccessionNumber="A" + number, ScheduledProcedureStepStatus="STARTED")
        assert started.StudyInstanceUID == study
        trace.hop("RAD-6: MPPS N-CREATE", "modality → archive", "`IN PROGRESS`; the step has left the list, and is STARTED")

        images = images_of(entry)
        modality.store(images[:2])
        trace.hop("RAD-8: C-STORE", "modality → archive", "2 of 3 images, `0000`")

        answer = his.send(adt("A40", patient=pid(real, "DOE^JANE"), extra=f"MRG|{temporary}^^^HOSP^MR\r"))
        assert answer.code == "AA"
        trace.hop("RAD-12: ADT^A40", "registration → archive", "the temporary number is merged into the real one: `AA`")

        modality.store(images[2:])
        modality.end(performed, images)
        done, = modality.worklist(AccessionNumber="A" + number, ScheduledProcedureStepStatus="COMPLETED")
        assert (done.PatientID, str(done.PatientName)) == (real, "DOE^JANE")
        trace.hop("RAD-8, RAD-7: C-STORE, MPPS N-SET", "modality → archive",
                  "the third image still under the temporary number; `COMPLETED`, and the step shows the real patient")

    transaction = modality.commit(images)
    kind, report = eventually(lambda: around.committed, "a commitment is reported")[0]
    assert kind == 1 and report.TransactionUID == transaction and len(report.ReferencedSOPSequence) == 3
    trace.hop("RAD-10: storage commitment", "modality ↔ archive", "all 3 instances committed")

    found, = eventually(lambda: [ds for ds in find(server, StudyInstanceUID=study) if ds.PatientID == real
                                 and int(ds.NumberOfStudyRelatedInstances) == 3], "the study is the real patient's")
    assert str(found.PatientName) == "DOE^JANE" and not find(server, PatientID=temporary)
    trace.hop("RAD-14: C-FIND", "viewer → archive", f"the study with 3 instances under `{found.PatientName}`; none under the temporary number")

    def all_amended():
        metadata = requests.get(f"{server.dicomweb}/studies/{study}/metadata", headers=JSON, timeout=30).json()
        return len(metadata) == 3 and all(m["00100020"]["Value"] == [real] for m in metadata)

    eventually(all_amended, "every instance says the real patient")
    move(server, study, "MOVEDEST1")
    assert {ds.PatientID for ds in around.moved} == {real} and len(around.moved) == 3
    for ds in around.moved:
        original = ds.OriginalAttributesSequence[-1].ModifiedAttributesSequence[0]
        assert (original.PatientID, str(original.PatientName)) == (temporary, "UNKNOWN^TRAUMA")
        sent, = (image for image in images if image.SOPInstanceUID == ds.SOPInstanceUID)
        assert ds.PixelData == sent.PixelData
    trace.hop("RAD-16: C-MOVE", "viewer → archive", "3 copies with the real patient, what came in Original Attributes Sequence, the same pixels")

    def notice():
        return [n for n in around.notices if n.StudyInstanceUID == study
                and sum(len(s.ReferencedSOPSequence) for s in n.ReferencedSeriesSequence) == 3]

    told = eventually(notice, "the instances are told to be available")[-1]
    assert all(r.InstanceAvailability == "ONLINE" for s in told.ReferencedSeriesSequence for r in s.ReferencedSOPSequence)
    trace.hop("RAD-49: instance availability", "archive → order filler", "3 instances `ONLINE`")

    def cast():
        answer = requests.get(f"{fhir}/ImagingStudy", params={"identifier": f"urn:dicom:uid|urn:oid:{study}"},
                              headers={"Cache-Control": "no-cache"}, timeout=30).json()
        for entry in answer.get("entry", []):
            resource = entry["resource"]
            subject = requests.get(f"{fhir}/{resource['subject']['reference']}", timeout=30).json()
            if resource["numberOfInstances"] == 3 and any(i["value"] == real for i in subject.get("identifier", [])):
                return resource, subject
        return None

    resource, patient = eventually(cast, "the FHIR server agrees")
    assert patient["name"][0]["family"] == "DOE"
    assert any(i["value"] == "A" + number for i in resource["identifier"])
    assert any(b.get("identifier", {}).get("value") in ("A" + number, "PL" + number) for b in resource.get("basedOn", []))
    trace.hop("cast: transaction", "archive → FHIR server", "ImagingStudy of 3 instances, its subject the real Patient, based on the order")

    page = requests.get(f"{server.dicomweb}/worklist", headers=JSON, timeout=30)
    assert page.status_code in (200, 204) or requests.get(f"{server.url}/worklist", timeout=30).status_code == 200
    assert "DOE" not in server.log() and temporary not in server.log()
    trace.write()


def test_HL7_and_DICOM_ports_of_others_do_not_answer_each_other(department):
    """The wrong protocol on a port is told so, or closed; the server stays."""
    start, _ = department
    server = start()
    for port, data in ((server.hl7_port, b"\x01\x00\x00\x00\x00\x44" + b"\0" * 68), (server.dimse_port, b"\x0bMSH|^~\\&|\r\x1c\r"),
                       (server.hl7_port, b"GET / HTTP/1.1\r\n\r\n")):
        with connect(port, 10) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(30)
            while sock.recv(4096):
                pass
    assert server.alive()
