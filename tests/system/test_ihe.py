# SPDX-License-Identifier: MIT
"""IHE scheduled workflow (SWF.b) as one story: order, worklist, performed step, images, commitment, query and retrieve, with
a patient update and a merge in the middle; every hop is checked."""

import pytest
import requests
from pydicom.dataset import Dataset

from conftest import Server, free_port
from mllp import adt, msh, orm, pid, stamp
from test_mpp import Modality, ending, performed
from test_mwl import token
from test_scm import ask as ask_commitment, hear
from upper_layer import CT, EXPLICIT, Association, role, user_information
from web import JSON, make
from workflow_steps import eventually, listed, loop_of, reference_of, series_of, studies, tell

COMMITMENT = "1.2.840.10008.1.20.1"

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")


@pytest.fixture(scope="module")
def site(session_folder):
    port = free_port()
    daemon = Server(session_folder / "ihe", {"hl7": {"port": port}}).start()
    daemon.hl7_port = port
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-4000:]
    assert "Sanitizer" not in daemon.log() and "runtime error" not in daemon.log()


def images_of(entry, count):
    """What a modality makes of an entry of the worklist: its identifiers, taken over as they are."""
    series = None
    made = []
    for number in range(count):
        ds = make(str(entry.StudyInstanceUID), series, PatientName=entry.PatientName, PatientID=entry.PatientID,
                  AccessionNumber=entry.AccessionNumber, InstanceNumber=number + 1,
                  IssuerOfPatientID="HOSP")
        series = ds.SeriesInstanceUID
        made.append(ds)
    return made


def test_IHE_01_the_scheduled_workflow_from_order_to_query_with_a_merge_in_the_middle(site):
    temporary, final_id, accession, placer = "T" + token(), "P" + token(), "A" + token(), "O" + token()

    # RAD-4: the order comes by HL7, for somebody whom nobody knows yet
    tell(site, orm(placer, patient=pid(temporary, "UNKNOWN^ONE"), accession=accession, procedure_id="R" + accession[:8],
                   step_id="S" + accession[:8], at=stamp(-600)))

    # RAD-5: the modality asks for its worklist
    entry, = listed(site, AccessionNumber=accession)
    assert entry.PatientID == temporary and entry.StudyInstanceUID
    study = str(entry.StudyInstanceUID)
    assert loop_of(site, accession)["state"] == "SCHEDULED"

    # RAD-6: it begins; the step leaves the list
    reference = dict(study=study, accession=accession, procedure=str(entry.RequestedProcedureID),
                     step=str(entry.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID))
    with Modality(site) as modality:
        uid = modality.begin(performed(reference, PatientName=entry.PatientName, PatientID=temporary))
        assert listed(site, AccessionNumber=accession) == []
        assert loop_of(site, accession)["state"] == "STARTED"

        # RAD-12 in the middle: who it is becomes known, and the ID is merged into the one that stays
        tell(site, adt("A08", patient=pid(temporary, "DOE^JANE"), at=stamp(-500)))
        tell(site, msh("ADT^A40", at=stamp(-400)) + f"EVN|A40|{stamp(-400)}\r" + pid(final_id, "DOE^JANE")
             + f"MRG|{temporary}^^^HOSP^MR\r")
        assert modality.get(uid)[1].PatientID == final_id

        # RAD-8: images are stored with what the modality was told before all that
        images = images_of(entry, 3)
        with_store = Association(site, [(1, CT, [EXPLICIT])])
        for ds in images:
            assert with_store.store(ds, 1)[0x0900] == 0
        with_store.release()
        eventually(lambda: loop_of(site, accession)["instances"] == 3, "the instances of the step are counted")

        # RAD-7: it is done
        assert modality.set(uid, ending(PerformedSeriesSequence=series_of(images)))[0x0900] == 0
    loop = loop_of(site, accession)
    assert loop["state"] == "COMPLETED" and loop["performedSteps"] == [uid] and loop["instances"] == 3
    assert loop["entry"]["00100020"]["Value"] == [final_id]

    # RAD-10: the archive commits itself to what it holds
    commitment = Association(site, [(3, COMMITMENT, [EXPLICIT])], user=user_information(extra=role(COMMITMENT, 1, 1)))
    request = Dataset()
    request.TransactionUID = make().SOPInstanceUID
    request.ReferencedSOPSequence = [reference_of(ds) for ds in images]
    assert ask_commitment(commitment, request) == 0
    report = hear(commitment)
    assert report.kind == 1 and len(report.held) == 3, "all is committed"
    commitment.release()

    # RAD-14: the study is found under the ID that stays, in all ways of asking, and not under the old one
    found = eventually(lambda: studies(site, PatientID=final_id), "the study is found under the patient's ID")
    assert [match.StudyInstanceUID for match in found] == [study]
    assert found[0].PatientName == "DOE^JANE" and found[0].NumberOfStudyRelatedInstances == 3
    assert studies(site, PatientID=temporary) == []
    answer = requests.get(site.dicomweb + "/studies", params={"AccessionNumber": accession}, headers=JSON, timeout=30).json()
    assert [one["00100020"]["Value"] for one in answer] == [[final_id]] and answer[0]["0020000D"]["Value"] == [study]

    # RAD-16: and what is retrieved says so too
    answer = requests.get(f"{site.dicomweb}/studies/{study}/metadata", headers=JSON, timeout=30).json()
    assert len(answer) == 3
    for one in answer:
        assert one["00100020"]["Value"] == [final_id] and one["00080050"]["Value"] == [accession]
