# SPDX-License-Identifier: MIT
"""Clients that others wrote speak DICOMweb with this server: dicomweb-client (Python, and the one of npm, with dcmjs), curl."""
import io
import json
import pathlib
import shutil
import subprocess

import numpy
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from PIL import Image
from pydicom.data import get_testdata_file

from conftest import BUILD, Server, unavailable

NODE_PACKAGES = ["dicomweb-client@0.11.3", "dcmjs@0.51.1", "xhr2@0.2.1"]

@pytest.fixture(scope="module")
def server(session_folder):
    """dicomweb-client names the host without its port, so the server must be told how it is called."""
    daemon = Server(session_folder / "foreign")
    daemon.settings["http"]["baseUrl"] = daemon.url
    daemon.start()
    yield daemon
    assert daemon.stop() == 0
    assert "Sanitizer" not in daemon.log() and "runtime error" not in daemon.log()


@pytest.fixture(scope="module")
def client(server):
    return DICOMwebClient(server.dicomweb)


@pytest.fixture(scope="module")
def study(client, sample_data):
    """The CT study, stored by the client in one request: (study UID, its data sets by instance UID)."""
    files = [pydicom.dcmread(path) for path in sorted((sample_data / "ct-head").rglob("*.dcm"))]
    for file in files:
        file.StudyInstanceUID = "2.25.7001"
        file.PatientID = "FOREIGN"
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID[:-4] + "7001"
    answer = client.store_instances(files)
    assert len(answer.ReferencedSOPSequence) == len(files) and "FailedSOPSequence" not in answer
    return "2.25.7001", {file.SOPInstanceUID: file for file in files}


def value(item, tag):
    return item[tag]["Value"][0]


def test_dicomweb_client_searches_at_every_level(client, study):
    uid, files = study
    found = client.search_for_studies(search_filters={"PatientID": "FOREIGN"}, fields=["StudyDescription"])
    assert [value(item, "0020000D") for item in found] == [uid]
    assert value(found[0], "00081030") == "CT Head without contrast"
    series = client.search_for_series(uid, search_filters={"Modality": "CT"})
    assert {value(item, "0020000E") for item in series} == {f.SeriesInstanceUID for f in files.values() if f.Modality == "CT"}
    instances = client.search_for_instances(uid, limit=1000)
    assert {value(item, "00080018") for item in instances} == set(files)
    page = client.search_for_instances(uid, limit=10, offset=5)
    assert [value(i, "00080018") for i in page] == [value(i, "00080018") for i in instances[5:15]]
    assert client.search_for_studies(search_filters={"PatientID": "NOBODY AT ALL"}) == []


def test_dicomweb_client_reads_whole_studies_series_and_instances(client, study):
    uid, files = study
    retrieved = client.retrieve_study(uid)
    assert {d.SOPInstanceUID for d in retrieved} == set(files)
    assert all(d.PixelData == files[d.SOPInstanceUID].PixelData for d in retrieved if "PixelData" in d)
    one = next(iter(files.values()))
    series = client.retrieve_series(uid, one.SeriesInstanceUID)
    assert {d.SOPInstanceUID for d in series} == {u for u, f in files.items() if f.SeriesInstanceUID == one.SeriesInstanceUID}
    instance = client.retrieve_instance(uid, one.SeriesInstanceUID, one.SOPInstanceUID)
    assert instance == one


def test_dicomweb_client_iterates_over_a_stream(client, study):
    uid, files = study
    assert {d.SOPInstanceUID for d in client.iter_study(uid)} == set(files)


def test_dicomweb_client_reads_metadata_and_its_bulk_data(client, study):
    uid, files = study
    for item in client.retrieve_study_metadata(uid):
        file = files[value(item, "00080018")]
        dataset = pydicom.dataset.Dataset.from_json(json.dumps({t: v for t, v in item.items() if "BulkDataURI" not in v}))
        assert dataset.PatientName == file.PatientName and dataset.SOPClassUID == file.SOPClassUID
        if "PixelData" not in file:
            continue
        assert b"".join(client.retrieve_bulkdata(item["7FE00010"]["BulkDataURI"])) == file.PixelData
        break
    else:
        pytest.fail("no image")


def test_dicomweb_client_reads_frames(client, study):
    uid, files = study
    file = next(f for f in files.values() if "NumberOfFrames" not in f and "PixelData" in f)
    frames = client.retrieve_instance_frames(uid, file.SeriesInstanceUID, file.SOPInstanceUID, [1])
    assert len(frames) == 1 and frames[0] == file.PixelData[: len(frames[0])]


def test_dicomweb_client_reads_frames_as_they_are_compressed(server, client):
    file = pydicom.dcmread(get_testdata_file("MR_small_jp2klossless.dcm", download=False))
    file.StudyInstanceUID, file.SOPInstanceUID = "2.25.7002", "2.25.70021"
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    client.store_instances([file])
    kept = next(pydicom.encaps.generate_frames(file.PixelData, number_of_frames=1))
    frames = client.retrieve_instance_frames(file.StudyInstanceUID, file.SeriesInstanceUID, file.SOPInstanceUID, [1],
                                             media_types=(("image/jp2", "1.2.840.10008.1.2.4.90"),))
    assert frames[0].rstrip(b"\0") == kept.rstrip(b"\0")


def test_dicomweb_client_gets_pictures(client, study):
    uid, files = study
    file = next(f for f in files.values() if f.get("SeriesDescription") == "Head axial")
    for media_type in ("image/jpeg", "image/png"):
        picture = client.retrieve_instance_rendered(uid, file.SeriesInstanceUID, file.SOPInstanceUID,
                                                    media_types=(media_type,), params={"viewport": "64,64"})
        image = Image.open(io.BytesIO(picture)).convert("L")
        assert max(image.size) == 64 and numpy.asarray(image).std() > 10
    frame = client.retrieve_instance_frames_rendered(uid, file.SeriesInstanceUID, file.SOPInstanceUID, [1],
                                                     media_types=("image/jpeg",))
    assert Image.open(io.BytesIO(frame)).size == (file.Columns, file.Rows)


def test_dicomweb_client_deletes(server, sample_data):
    client = DICOMwebClient(server.dicomweb)
    file = pydicom.dcmread(next((sample_data / "cr-chest").rglob("*.dcm")))
    file.StudyInstanceUID, file.SOPInstanceUID = "2.25.7003", "2.25.70031"
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    client.store_instances([file])
    client.delete_study("2.25.7003")
    assert client.search_for_studies(search_filters={"StudyInstanceUID": "2.25.7003"}) == []


AS_STORED = "application/dicom; transfer-syntax=*"


def curl(*arguments):
    run = subprocess.run(["curl", "-sS", "--fail-with-body", *map(str, arguments)], capture_output=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_curl_stores_finds_and_fetches(server, tmp_path, sample_data):
    file = pydicom.dcmread(next((sample_data / "mr-knee").rglob("*.dcm")))
    file.StudyInstanceUID, file.SOPInstanceUID = "2.25.7004", "2.25.70041"
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    path = tmp_path / "one.dcm"
    file.save_as(path)
    # As its manual says it: the boundary is in a Content-Type of curl's own making, which this one is put into.
    body = tmp_path / "body"
    body.write_bytes(b"--cut\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n--cut--\r\n")
    answer = json.loads(curl("-H", 'Content-Type: multipart/related; type="application/dicom"; boundary=cut', "-H",
                             "Accept: application/dicom+json", "--data-binary", f"@{body}", server.dicomweb + "/studies"))
    assert len(answer["00081199"]["Value"]) == 1
    found = json.loads(curl(f"{server.dicomweb}/instances?StudyInstanceUID=2.25.7004"))
    assert value(found[0], "00080018") == "2.25.70041"
    instance = f"{server.dicomweb}/studies/2.25.7004/series/{file.SeriesInstanceUID}/instances/2.25.70041"
    whole = curl("--compressed", "-H", f"Accept: {AS_STORED}", instance)
    assert pydicom.dcmread(io.BytesIO(whole)).PixelData == file.PixelData
    begun = curl("-r", "0-999", "-H", f"Accept: {AS_STORED}", instance)
    (tmp_path / "part.dcm").write_bytes(begun)
    curl("-C", "-", "-o", tmp_path / "part.dcm", "-H", f"Accept: {AS_STORED}", instance)
    assert (tmp_path / "part.dcm").read_bytes() == whole
    assert curl("-o", "-", "-H", "Accept: image/png", instance + "/rendered").startswith(b"\x89PNG")


@pytest.fixture(scope="session")
def node_packages():
    folder = BUILD.parent / "node-clients"
    if (folder / "complete").exists():
        return folder
    if not shutil.which("npm") or not shutil.which("node"):
        unavailable("Node.js and npm are not installed: dicomweb-client and dcmjs cannot be run")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}')
    run = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *NODE_PACKAGES], cwd=folder,
                         capture_output=True, text=True, timeout=300)
    if run.returncode:
        unavailable(f"the npm registry did not give {NODE_PACKAGES}: {run.stderr[-300:]}")
    (folder / "complete").touch()
    return folder


def test_dicomweb_client_of_npm_and_dcmjs_store_find_and_fetch(server, node_packages, sample_data, tmp_path):
    file = pydicom.dcmread(sorted((sample_data / "mr-knee").rglob("*.dcm"))[0])
    file.StudyInstanceUID, file.SeriesInstanceUID, file.SOPInstanceUID = "2.25.7005", "2.25.70051", "2.25.70052"
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    file.save_as(tmp_path / "one.dcm")
    script = pathlib.Path(__file__).with_name("node_client.mjs")
    run = subprocess.run(["node", script, node_packages, server.dicomweb, tmp_path / "one.dcm"], capture_output=True, text=True,
                         timeout=120)
    assert run.returncode == 0, run.stderr[-2000:]
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["studies"] == 1 and told["instances"] == told["metadata"] == ["2.25.70052"]
    assert told["name"] and told["rows"] == file.Rows
    assert told["frame"] == file.Rows * file.Columns * 2 and told["picture"] > 100
