# SPDX-License-Identifier: MIT
"""Clients that others have written, while the server is busy with the load of others: DCMTK's tools, pynetdicom, and the
tools of dicom-rs where they are installed."""
import shutil
import subprocess
import threading

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    CTImageStorage, StorageCommitmentPushModel, StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet, StudyRootQueryRetrieveInformationModelMove, Verification,
)

from bounds import join_all
from upper_layer import CT, STUDY_FIND, Association, EXPLICIT, find, keys, store_all
from web import make, new_uid, part10

COUNT = 6

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")


@pytest.fixture(scope="module")
def busy(server):
    """The server, with four clients that store and two that ask all the time."""
    stop = threading.Event()
    broken = []

    def load(work):
        try:
            while not stop.is_set():
                work()
        except Exception as error:  # pylint: disable=broad-except
            broken.append(error)

    def storing():
        store_all(server, [make() for _ in range(20)])

    def asking():
        association = Association(server, [(1, STUDY_FIND, [EXPLICIT])])
        for _ in range(5):
            association.request(1, 0x20, STUDY_FIND, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID="", PatientID="P0*"))
            association.answers(1)
        association.release()

    workers = [threading.Thread(target=load, args=(work,), daemon=True) for work in [storing] * 4 + [asking] * 2]
    for worker in workers:
        worker.start()
    yield server
    stop.set()
    join_all(workers)
    assert not broken, broken


@pytest.fixture()
def study(tmp_path):
    """A study in files that nobody has stored: (data sets, folder)."""
    uid, series, patient = new_uid(), new_uid(), "FOR" + new_uid()[-12:]
    datasets = [make(uid, series, InstanceNumber=i, PatientID=patient) for i in range(COUNT)]
    folder = tmp_path / "study"
    folder.mkdir()
    for i, ds in enumerate(datasets):
        (folder / f"{i}.dcm").write_bytes(part10(ds))
    return datasets, folder


def run(*arguments, **more):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, timeout=60, **more)
    assert done.returncode == 0, (arguments[0], done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout + done.stderr


def is_complete(server, datasets):
    found, _ = find(server, keys(QueryRetrieveLevel="IMAGE", StudyInstanceUID=datasets[0].StudyInstanceUID,
                                 SeriesInstanceUID=datasets[0].SeriesInstanceUID, SOPInstanceUID=""))
    return {match.SOPInstanceUID for match in found} == {ds.SOPInstanceUID for ds in datasets}


def same(got, datasets):
    pixels = {ds.SOPInstanceUID: bytes(ds.PixelData) for ds in datasets}
    return {ds.SOPInstanceUID: bytes(ds.PixelData) for ds in got} == pixels


# --- DCMTK -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["storescu", "dcmsend"])
def test_STO_01_dcmtk_stores_into_a_busy_server(busy, study, tool):
    datasets, folder = study
    more = ["+sd"] if tool == "storescu" else ["+sd", "-v"]
    run(tool, *more, "-aec", busy.ae_title, "127.0.0.1", busy.dimse_port, folder)
    assert is_complete(busy, datasets)


def test_ASC_01_echoscu_many_times_at_a_busy_server(busy):
    run("echoscu", "--repeat", 50, "-aec", busy.ae_title, "127.0.0.1", busy.dimse_port)


def test_FND_01_findscu_at_a_busy_server(busy, study):
    datasets, _ = study
    store_all(busy, datasets)
    text = run("findscu", "-S", "-aec", busy.ae_title, "127.0.0.1", busy.dimse_port, "-k", "QueryRetrieveLevel=SERIES",
               "-k", f"StudyInstanceUID={datasets[0].StudyInstanceUID}", "-k", "SeriesInstanceUID", "-k", "Modality")
    assert datasets[0].SeriesInstanceUID in text


def test_MOV_01_movescu_receives_from_a_busy_server(busy, study, tmp_path):
    datasets, _ = study
    store_all(busy, datasets)
    got = tmp_path / "moved"
    got.mkdir()
    run("movescu", "-S", "-aec", busy.ae_title, "-aem", "MOVEDEST1", "--port", busy.destination_ports["MOVEDEST1"], "-od", got,
        "127.0.0.1", busy.dimse_port, "-k", "QueryRetrieveLevel=STUDY",
        "-k", f"StudyInstanceUID={datasets[0].StudyInstanceUID}")
    assert same([pydicom.dcmread(path) for path in got.iterdir()], datasets)


def test_GET_01_getscu_at_a_busy_server(busy, study, tmp_path):
    datasets, _ = study
    store_all(busy, datasets)
    got = tmp_path / "got"
    got.mkdir()
    run("getscu", "-S", "+B", "-aec", busy.ae_title, "-od", got, "127.0.0.1", busy.dimse_port, "-k",
        "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={datasets[0].StudyInstanceUID}")
    assert same([pydicom.dcmread(path) for path in got.iterdir()], datasets)


# --- pynetdicom ------------------------------------------------------------------------------------------------------


def test_SCM_05_pynetdicom_does_all_on_one_association_with_a_busy_server(busy, study):
    """Store, find, get with the SCP role of storage, and commitment with the report on the same association."""
    datasets, _ = study
    got, reports, reported = [], [], threading.Event()

    def on_store(event):
        got.append(event.dataset)
        return 0

    def on_report(event):
        reports.append((event.event_type, event.event_information))
        reported.set()
        return 0, None

    ae = AE("PYNETDICOM")
    for model in (StudyRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelGet,
                  StorageCommitmentPushModel, Verification):
        ae.add_requested_context(model)
    ae.add_requested_context(CTImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    association = ae.associate("127.0.0.1", busy.dimse_port, ae_title=busy.ae_title,
                               ext_neg=[build_role(CTImageStorage, scu_role=True, scp_role=True),
                                        build_role(StorageCommitmentPushModel, scu_role=True, scp_role=False)],
                               evt_handlers=[(evt.EVT_C_STORE, on_store), (evt.EVT_N_EVENT_REPORT, on_report)])
    assert association.is_established and association.send_c_echo().Status == 0
    for ds in datasets:
        assert association.send_c_store(ds).Status == 0
    query = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=datasets[0].StudyInstanceUID, PatientID="")
    answers = list(association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind))
    assert [status.Status for status, _ in answers] == [0xFF00, 0] and answers[0][1].PatientID == datasets[0].PatientID
    query = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=datasets[0].StudyInstanceUID)
    statuses = [status.Status for status, _ in association.send_c_get(query, StudyRootQueryRetrieveInformationModelGet)]
    assert statuses[-1] == 0 and same(got, datasets)
    request = Dataset()
    request.TransactionUID = new_uid()
    request.ReferencedSOPSequence = [keys(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID=ds.SOPInstanceUID)
                                     for ds in datasets]
    status, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")
    assert status.Status == 0 and reported.wait(30)
    association.release()
    assert [kind for kind, _ in reports] == [1] and reports[0][1].TransactionUID == request.TransactionUID
    assert {one.ReferencedSOPInstanceUID for one in reports[0][1].ReferencedSOPSequence} == {
        ds.SOPInstanceUID for ds in datasets}


def test_MOV_01_pynetdicom_moves_from_a_busy_server_to_itself(busy, study):
    datasets, _ = study
    store_all(busy, datasets)
    got = []

    def on_store(event):
        got.append(event.dataset)
        return 0

    ae = AE("MOVEDEST2")
    ae.add_supported_context(CTImageStorage)
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelMove)
    receiver = ae.start_server(("127.0.0.1", busy.destination_ports["MOVEDEST2"]), block=False,
                               evt_handlers=[(evt.EVT_C_STORE, on_store)])
    try:
        association = ae.associate("127.0.0.1", busy.dimse_port, ae_title=busy.ae_title)
        query = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=datasets[0].StudyInstanceUID)
        statuses = [status for status, _ in
                    association.send_c_move(query, "MOVEDEST2", StudyRootQueryRetrieveInformationModelMove)]
        association.release()
    finally:
        receiver.shutdown()
    assert statuses[-1].Status == 0 and statuses[-1].NumberOfCompletedSuboperations == COUNT and same(got, datasets)


# --- dicom-rs --------------------------------------------------------------------------------------------------------


def tool_of_rust(name):
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not on PATH: `cargo install --locked {name}`; it takes a newer rustc than Debian 12 has")
    return path


def test_ASC_01_dicom_rs_echoes_at_a_busy_server(busy):
    tool = tool_of_rust("dicom-echoscu")
    for _ in range(20):
        run(tool, "--called-ae-title", busy.ae_title, f"127.0.0.1:{busy.dimse_port}")


@pytest.mark.parametrize("more", [[], ["--concurrency", 3], ["--never-transcode"]])
def test_STO_01_dicom_rs_stores_into_a_busy_server(busy, study, more):
    datasets, folder = study
    tool = tool_of_rust("dicom-storescu")
    run(tool, "--fail-first", "--called-ae-title", busy.ae_title, *more, f"127.0.0.1:{busy.dimse_port}",
        *sorted(folder.iterdir()))
    assert is_complete(busy, datasets)


def test_FND_01_dicom_rs_finds_at_a_busy_server(busy, study):
    datasets, _ = study
    tool = tool_of_rust("dicom-findscu")
    store_all(busy, datasets)
    text = run(tool, "-S", "--called-ae-title", busy.ae_title, f"127.0.0.1:{busy.dimse_port}", "-q",
               "QueryRetrieveLevel=STUDY", "-q", f"PatientID={datasets[0].PatientID}", "-q", "StudyInstanceUID=")
    assert datasets[0].PatientID in text and datasets[0].StudyInstanceUID[:30] in text


def test_MOV_01_dicom_rs_moves_from_a_busy_server_to_itself(busy, study, tmp_path):
    datasets, _ = study
    tool = tool_of_rust("dicom-movescu")
    store_all(busy, datasets)
    got = tmp_path / "moved"
    got.mkdir()
    run(tool, "-S", "--called-ae-title", busy.ae_title, "--calling-ae-title", "MOVEDEST2", "--move-destination", "MOVEDEST2",
        "-p", busy.destination_ports["MOVEDEST2"], "-o", got, f"127.0.0.1:{busy.dimse_port}", "-q",
        "QueryRetrieveLevel=STUDY", "-q", f"StudyInstanceUID={datasets[0].StudyInstanceUID}")
    assert same([pydicom.dcmread(path) for path in got.iterdir()], datasets)
