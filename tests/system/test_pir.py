# SPDX-License-Identifier: MIT
"""Patient information reconciliation (IHE PIR): what was done for somebody whom nobody knew."""

import pytest
import requests

from conftest import BINARY, free_port
from mllp import adt, msh, orm, pid, stamp
from test_mpp import Modality, ending, performed
from test_mwl import token
from upper_layer import CT, EXPLICIT, Association
from web import JSON, make
from workflow_steps import eventually, listed, loop_of, series_of, studies, tell

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")


@pytest.fixture
def site(start_server):
    port = free_port()
    daemon = start_server(settings={"hl7": {"port": port}})
    daemon.hl7_port = port
    return daemon


def test_IHE_02_what_was_done_under_a_temporary_id_is_reconciled_and_can_be_traced(site):
    temporary, final_id = "T" + token(), "P" + token()
    study = make().StudyInstanceUID
    images = []
    for number in range(2):
        images.append(make(study, images[0].SeriesInstanceUID if images else None, PatientName="TRAUMA^ONE", PatientID=temporary,
                           IssuerOfPatientID="HOSP", PatientBirthDate="", AccessionNumber="", InstanceNumber=number + 1))

    def send(expected=0):
        association = Association(site, [(1, CT, [EXPLICIT])])
        for ds in images:
            assert association.store(ds, 1)[0x0900] == expected
        association.release()

    # Nobody has ordered it, and nobody knows who it is
    with Modality(site) as modality:
        uid = modality.begin(performed(dict(study=study), PatientName="TRAUMA^ONE", PatientID=temporary, IssuerOfPatientID="HOSP"))
        send()
        assert modality.set(uid, ending(PerformedSeriesSequence=series_of(images)))[0x0900] == 0

        # RAD-12: a name, then who it is
        tell(site, adt("A08", patient=pid(temporary, "DOE^UNKNOWN", birth="19700101"), at=stamp(-300)))
        tell(site, msh("ADT^A40", at=stamp(-200)) + f"EVN|A40|{stamp(-200)}\r" + pid(final_id, "DOE^JANE", birth="19700102")
             + f"MRG|{temporary}^^^HOSP^MR\r")

        # The performed step, queries and what is exported are the patient's
        step = modality.get(uid)[1]
        assert step.PatientID == final_id and step.PatientName == "DOE^JANE"
    found = eventually(lambda: studies(site, PatientID=final_id), "the study follows its patient")
    assert [match.StudyInstanceUID for match in found] == [study] and studies(site, PatientID=temporary) == []
    assert found[0].PatientName == "DOE^JANE" and found[0].NumberOfStudyRelatedInstances == 2
    url = f"{site.dicomweb}/studies/{study}/metadata"
    eventually(lambda: all(one["00100020"]["Value"] == [final_id]
                           for one in requests.get(url, headers=JSON, timeout=30).json()), "all instances follow")
    for one in requests.get(url, headers=JSON, timeout=30).json():
        assert one["00100030"]["Value"] == ["19700102"]
        # and each says what it was
        originals = [item["04000550"]["Value"][0] for item in one["04000561"]["Value"]]
        assert any(was.get("00100020", {}).get("Value") == [temporary] for was in originals)
        assert any(was.get("00100010", {}).get("Value", [{}])[0].get("Alphabetic") == "TRAUMA^ONE" for was in originals)

    # What came in is kept: sent again, it is a duplicate and changes nothing
    send()
    assert studies(site, PatientID=final_id)[0].NumberOfStudyRelatedInstances == 2
    assert studies(site, PatientID=temporary) == []

    # The order that is written afterwards is of the study that is there
    placer = "O" + token()
    tell(site, orm(placer, patient=pid(final_id, "DOE^JANE", birth="19700102"), study=study, accession="A" + placer[-10:]))
    tell(site, orm(placer, "SC", patient=pid(final_id, "DOE^JANE", birth="19700102"), study=study, status="CM"))
    assert loop_of(site, "A" + placer[-10:])["entry"]["0020000D"]["Value"] == [study]
    assert listed(site, AccessionNumber="A" + placer[-10:]) == []


@pytest.mark.skipif(b"HOUNSFIELD_FAULT" not in BINARY.read_bytes(), reason="fault points are not compiled in")
def test_HOS_49_a_crash_between_an_amendment_and_its_end_amends_once(start_server):
    port, temporary, real = free_port(), "T" + token(), "P" + token()
    server = start_server(settings={"hl7": {"port": port}}, env={"HOUNSFIELD_FAULT": "amended:1"})
    server.hl7_port = port
    images = [make(PatientName="TRAUMA^ONE", PatientID=temporary, IssuerOfPatientID="HOSP")]
    images.append(make(images[0].StudyInstanceUID, images[0].SeriesInstanceUID, PatientName="TRAUMA^ONE", PatientID=temporary,
                       IssuerOfPatientID="HOSP"))
    association = Association(server, [(1, CT, [EXPLICIT])])
    for ds in images:
        assert association.store(ds, 1)[0x0900] == 0
    association.release()
    tell(server, adt("A40", patient=pid(real, "DOE^JANE"), extra=f"MRG|{temporary}^^^HOSP^MR\r"))
    server.process.wait(60)
    del server.env["HOUNSFIELD_FAULT"]
    server.start()
    eventually(lambda: studies(server, PatientID=real), "the study follows its patient")
    url = f"{server.dicomweb}/studies/{images[0].StudyInstanceUID}/metadata"
    eventually(lambda: all(one["00100020"]["Value"] == [real] for one in requests.get(url, headers=JSON, timeout=30).json()), "all follow")
    for one in requests.get(url, headers=JSON, timeout=30).json():
        assert len(one["04000561"]["Value"]) == 1, "what was done before the crash is not done again"
