# SPDX-License-Identifier: MIT
"""Studies, series and instances as a ZIP archive with a DICOMDIR: CONFORMANCE WADO-16, WADO-03, CAP-04 (PS3.18 10.4.4, PS3.10 8, PS3.3 F)."""
import io
import re
import shutil
import socket
import subprocess
import zipfile

import pytest
import requests
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from web import CT, MR, get, make, new_uid, part10, parts_of, store, url_of

ZIP = "application/zip"
KEY_OBJECT = "1.2.840.10008.5.1.4.1.1.88.59"
BASIC_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
GRAYSCALE_STATE = "1.2.840.10008.5.1.4.1.1.11.1"
RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
SPATIAL_REGISTRATION = "1.2.840.10008.5.1.4.1.1.66.1"
RAW_DATA = "1.2.840.10008.5.1.4.1.1.66"
ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"


def code(value, meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def archive_of(answer):
    """The archive, sound to its last byte; names in order."""
    assert answer.headers["Content-Type"] == ZIP
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    names = archive.namelist()
    assert names[-1] == "DICOMDIR" and len(set(names)) == len(names)
    for name in names[:-1]:
        assert re.fullmatch(r"DICOM/S\d{7}/I\d{7}", name)
        assert archive.read(name)[:132] == bytes(128) + b"DICM"
    return archive


def records_of(archive):
    """The DICOMDIR's records, level by level along its offsets, as [(record, [lower ...])]."""
    content = archive.read("DICOMDIR")
    directory = dcmread(io.BytesIO(content))
    assert directory.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.1.3.10"
    assert directory.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert directory.FileSetConsistencyFlag == 0
    by_offset = {record.seq_item_tell: record for record in directory.DirectoryRecordSequence}
    seen = []

    def level(offset):
        found = []
        while offset:
            record = by_offset[offset]
            assert record.RecordInUseFlag == 0xFFFF
            seen.append(offset)
            found.append((record, level(record.OffsetOfReferencedLowerLevelDirectoryEntity)))
            last, offset = offset, record.OffsetOfTheNextDirectoryRecord
        return found

    roots = level(directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity)
    assert directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity == roots[-1][0].seq_item_tell
    assert sorted(seen) == sorted(by_offset)
    return roots


def leaves(archive):
    ((_, ((_, series),)),) = records_of(archive)
    return [leaf for _, found in series for leaf, _ in found]


@pytest.fixture(scope="module")
def study(server):
    """Two series, of three and two instances, in the order in which they are retrieved."""
    study = new_uid()
    patient = {"PatientID": "Z1", "PatientName": "Müller^Jörg", "SpecificCharacterSet": "ISO_IR 100",
               "StudyDescription": "Schädel", "AccessionNumber": "A1"}
    first, second = sorted([new_uid(), new_uid()])
    datasets = [make(study=study, series=uid, SeriesNumber=number, InstanceNumber=i + 1, ImageType=["ORIGINAL", "PRIMARY"], **patient)
                for uid, number, count in ((second, 1, 3), (first, 2, 2)) for i in range(count)]
    store(server, *reversed(datasets))
    return datasets


@pytest.mark.parametrize("level,count", [("study", 5), ("series", 3), ("instance", 1)])
def test_WADO_16_an_archive_holds_the_stored_files_and_a_DICOMDIR(server, study, level, count, tmp_path):
    answer = get(url_of(server, study[0], level), ZIP)
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert answer.headers["Content-Disposition"].endswith('.zip"')
    archive = archive_of(answer)
    files = [archive.read(name) for name in archive.namelist()[:-1]]
    assert files == [part10(ds) for ds in study[:count]]
    archive.extractall(tmp_path)
    fileset = FileSet(tmp_path / "DICOMDIR")
    assert [instance.load().SOPInstanceUID for instance in fileset] == [ds.SOPInstanceUID for ds in study[:count]]
    assert fileset.find_values("PatientID") == ["Z1"]


def test_WADO_16_the_DICOMDIR_has_every_level_with_its_keys(server, study):
    archive = archive_of(get(url_of(server, study[0], "study"), ZIP))
    ((patient, ((first, series),)),) = records_of(archive)
    assert (patient.DirectoryRecordType, patient.PatientID, str(patient.PatientName)) == ("PATIENT", "Z1", "Müller^Jörg")
    assert (first.DirectoryRecordType, first.StudyInstanceUID, first.StudyDate, first.StudyTime) == (
        "STUDY", study[0].StudyInstanceUID, "20260102", "101112")
    assert (first.StudyID, first.AccessionNumber, first.StudyDescription) == ("S1", "A1", "Schädel")
    assert [(s.Modality, s.SeriesNumber, len(found)) for s, found in series] == [("CT", 1, 3), ("CT", 2, 2)]
    images = [image for _, found in series for image, _ in found]
    for name, ds, image in zip(archive.namelist(), study, images):
        assert image.DirectoryRecordType == "IMAGE" and "/".join(image.ReferencedFileID) == name
        assert image.ReferencedSOPInstanceUIDInFile == ds.SOPInstanceUID and image.ReferencedSOPClassUIDInFile == CT
        assert image.ReferencedTransferSyntaxUIDInFile == ExplicitVRLittleEndian
        assert image.InstanceNumber == ds.InstanceNumber and image.ImageType == ds.ImageType


@pytest.mark.skipif(not shutil.which("unzip") or not shutil.which("dcmmkdir"), reason="needs unzip and dcmtk")
def test_WADO_16_unzip_and_dcmmkdir_take_the_archive(server, study, tmp_path):
    answer = get(url_of(server, study[0], "study"), ZIP)
    (tmp_path / "study.zip").write_bytes(answer.content)
    subprocess.run(["unzip", "-tq", "study.zip"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    subprocess.run(["unzip", "-q", "study.zip"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    # an update reads the directory, checks each file it refers to and writes it anew
    files = [name for name in zipfile.ZipFile(tmp_path / "study.zip").namelist() if name != "DICOMDIR"]
    done = subprocess.run(["dcmmkdir", "-Pgp", "+U", "+D", "DICOMDIR", *files], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "W:" not in done.stderr and "E:" not in done.stderr, done.stderr
    updated = dcmread(tmp_path / "DICOMDIR")
    assert [r.DirectoryRecordType for r in updated.DirectoryRecordSequence].count("IMAGE") == 5


def other(sop_class, study, modality, **attributes):
    ds = make(study=study, SOPClassUID=sop_class, Modality=modality, PatientID="Z2", **attributes)
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
                    "SamplesPerPixel", "PhotometricInterpretation"):
        delattr(ds, keyword)
    return ds


def test_WADO_16_what_is_no_image_has_a_record_of_its_kind(server, tmp_path):
    study = new_uid()
    modifier = Dataset()
    modifier.RelationshipType, modifier.ValueType = "HAS CONCEPT MOD", "CODE"
    modifier.ConceptNameCodeSequence, modifier.ConceptCodeSequence = [code("121049", "Language")], [code("en", "English")]
    text = Dataset()
    text.RelationshipType, text.ValueType, text.TextValue = "CONTAINS", "TEXT", "finding"
    text.ConceptNameCodeSequence = [code("121071", "Finding")]
    observer = Dataset()
    observer.VerificationDateTime, observer.VerifyingObserverName = "20260103101112", "Obs^Doc"
    content = {"ContentDate": "20260102", "ContentTime": "1011"}
    title = [code("121144", "Document Title")]
    stored = {
        "SR DOCUMENT": other(BASIC_TEXT, study, "SR", CompletionFlag="COMPLETE", VerificationFlag="VERIFIED", **content,
                             VerifyingObserverSequence=[observer], ConceptNameCodeSequence=title, ContentSequence=[modifier, text]),
        "KEY OBJECT DOC": other(KEY_OBJECT, study, "KO", ConceptNameCodeSequence=title, **content),
        "ENCAP DOC": other(PDF, study, "DOC", DocumentTitle="Brief", MIMETypeOfEncapsulatedDocument="application/pdf",
                           EncapsulatedDocument=b"%PDF-1.4\n" * 2),
        "PRESENTATION": other(GRAYSCALE_STATE, study, "PR", ContentLabel="WINDOW", PresentationCreationDate="20260102",
                              PresentationCreationTime="1011", ReferencedSeriesSequence=[]),
        "RT PLAN": other(RT_PLAN, study, "RTPLAN", RTPlanLabel="P1"),
        "REGISTRATION": other(SPATIAL_REGISTRATION, study, "REG", ContentLabel="R1", **content),
        "RAW DATA": other(RAW_DATA, study, "OT", **content),
        "WAVEFORM": other(ECG, study, "ECG", **content),
        "IMAGE": make(study=study, SOPClassUID=MR, Modality="MR", PatientID="Z2")}
    store(server, *(part10(ds, ImplicitVRLittleEndian) for ds in stored.values()))
    url = url_of(server, stored["IMAGE"], "study")
    archive = archive_of(get(url, ZIP))
    records = {record.ReferencedSOPInstanceUIDInFile: record for record in leaves(archive)}
    assert {name: records[ds.SOPInstanceUID].DirectoryRecordType for name, ds in stored.items()} == {name: name for name in stored}
    report = records[stored["SR DOCUMENT"].SOPInstanceUID]
    assert report.VerificationDateTime == "20260103101112" and report.CompletionFlag == "COMPLETE"
    assert report.ConceptNameCodeSequence[0].CodeMeaning == "Document Title"
    (kept,) = report.ContentSequence
    assert kept.ConceptCodeSequence[0].CodeMeaning == "English"
    assert records[stored["ENCAP DOC"].SOPInstanceUID].MIMETypeOfEncapsulatedDocument == "application/pdf"
    # what came in Implicit VR has no place in DICOMweb (PS3.18 8.7.3.5.2)
    assert {record.ReferencedTransferSyntaxUIDInFile for record in records.values()} == {ExplicitVRLittleEndian}
    archive.extractall(tmp_path)
    assert len(FileSet(tmp_path / "DICOMDIR")) == len(stored)


def test_WADO_16_what_must_stand_in_a_record_and_is_not_known_is_filled_in(server):
    ds = make(PatientID="", StudyDate="", StudyTime="", StudyID="", SeriesNumber=None, InstanceNumber=None)
    store(server, ds)
    ((patient, ((study, ((series, ((image, _),)),)),)),) = records_of(archive_of(get(url_of(server, ds, "study"), ZIP)))
    assert patient.PatientID == ds.StudyInstanceUID
    assert (study.StudyDate, study.StudyTime, study.StudyID) == ("19000101", "000000", "UNKNOWN")
    assert (series.SeriesNumber, image.InstanceNumber) == (0, 0)


def test_WADO_16_in_the_transfer_syntax_that_is_asked_for(server):
    study = new_uid()
    plain = [make(study=study, InstanceNumber=i, PatientID="Z3") for i in range(3)]
    store(server, *plain)
    url = url_of(server, plain[0], "study")
    for syntax in (RLELossless, JPEG2000Lossless):
        archive = archive_of(get(url, f"{ZIP}; transfer-syntax={syntax}"))
        for name in archive.namelist()[:-1]:
            assert dcmread(io.BytesIO(archive.read(name))).file_meta.TransferSyntaxUID == syntax
        assert {leaf.ReferencedTransferSyntaxUIDInFile for leaf in leaves(archive)} == {syntax}
    get(url, f"{ZIP}; transfer-syntax=1.2.3", expected=406)
    get(url, f"{ZIP}; transfer-syntax={ImplicitVRLittleEndian}", expected=406)
    get(f"{url}?accept=application/zip", None)
    assert get(url_of(server, plain[0]), "application/zip;q=0.5, application/dicom").headers["Content-Type"].startswith("application/dicom")
    assert "dicom" in get(url_of(server, plain[0]), "application/*").headers["Content-Type"]
    assert len(parts_of(get(url, "*/*"))) == 3


def test_WADO_03_what_cannot_be_had_in_that_transfer_syntax_is_not_in_the_archive(server):
    study = new_uid()
    plain = make(study=study, PatientID="Z4")
    stream = make(study=study, PatientID="Z4", PixelData=b"")
    stream.PixelData = encapsulate([b"\0\0\1\xb3" + bytes(200)], has_bot=False)
    stream["PixelData"].VR = "OB"
    stream["PixelData"].is_undefined_length = True
    store(server, plain, part10(stream, "1.2.840.10008.1.2.4.100"))
    archive = archive_of(get(url_of(server, plain, "study"), f"{ZIP}; transfer-syntax={ExplicitVRLittleEndian}", expected=206))
    assert [leaf.ReferencedSOPInstanceUIDInFile for leaf in leaves(archive)] == [plain.SOPInstanceUID]
    assert len(archive_of(get(url_of(server, plain, "study"), ZIP)).namelist()) == 3


def test_WADO_13_an_archive_is_the_same_each_time_and_its_rest_can_be_had(server, study):
    url = url_of(server, study[0], "study")
    whole = get(url, ZIP)
    assert get(url, ZIP).content == whole.content
    etag = whole.headers["ETag"]
    rest = requests.get(url, headers={"Accept": ZIP, "Range": "bytes=1000-", "If-Range": etag}, timeout=60)
    assert rest.status_code == 206 and rest.content == whole.content[1000:]
    known = requests.get(url, headers={"Accept": ZIP, "If-None-Match": etag}, timeout=60)
    assert known.status_code == 304 and not known.content
    head = requests.head(url, headers={"Accept": ZIP}, timeout=60)
    assert head.status_code == 200 and head.headers["Content-Length"] == str(len(whole.content))
    assert get(url_of(server, study[0], "series"), ZIP).headers["ETag"] != etag


def test_WADO_16_a_large_study_needs_no_plan(server):
    study, uid = new_uid(), new_uid()
    count = 1005
    datasets = [make(study=study, series=uid, InstanceNumber=i, PatientID="Z5", Rows=1, Columns=2) for i in range(count)]
    store(server, *datasets)
    answer = get(url_of(server, datasets[0], "study"), ZIP)
    assert "Content-Length" not in answer.headers
    archive = archive_of(answer)
    assert [leaf.ReferencedSOPInstanceUIDInFile for leaf in leaves(archive)] == [ds.SOPInstanceUID for ds in datasets]
    assert archive.read(archive.namelist()[count - 1]) == part10(datasets[-1])


def test_WEB_11_of_what_is_not_there_there_is_no_archive(server):
    ds = make()
    get(url_of(server, ds, "study"), ZIP, expected=404)
    store(server, ds)
    assert requests.delete(url_of(server, ds, "study"), timeout=30).status_code in (200, 204)
    for level in ("study", "series", "instance"):
        get(url_of(server, ds, level), ZIP, expected=410)


def deleted_while_it_is_sent(server, accept, count=24):
    """(head, body as it came, whether the end came) of an archive whose study is deleted behind its first bytes."""
    study = new_uid()
    datasets = [make(study=study, PatientID="Z6", InstanceNumber=i, Rows=1024, Columns=1024) for i in range(count)]
    for ds in datasets:
        store(server, ds)
    path = url_of(server, datasets[0], "study").split("/", 3)[3]
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.settimeout(60)
        client.connect(("127.0.0.1", server.http_port))
        client.sendall(f"GET /{path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n".encode())
        received = client.recv(65536)
        assert requests.delete(url_of(server, datasets[0], "study"), timeout=30).status_code in (200, 204)
        try:
            while piece := client.recv(1 << 20):
                received += piece
        except ConnectionResetError:
            pass
    head, _, body = received.partition(b"\r\n\r\n")
    return head.decode().lower(), body


def test_CAP_04_an_archive_whose_length_was_said_breaks_off_when_its_study_is_deleted(server):
    head, body = deleted_while_it_is_sent(server, ZIP)
    length = int(re.search(r"content-length: (\d+)", head).group(1))
    assert len(body) < length


def test_WADO_03_an_archive_of_no_known_length_ends_well_with_what_was_not_deleted(server):
    head, body = deleted_while_it_is_sent(server, f"{ZIP}; transfer-syntax={RLELossless}")
    assert "chunked" in head
    content = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if not int(size, 16):
            break
        content, body = content + body[: int(size, 16)], body[int(size, 16) + 2 :]
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    kept = leaves(archive)
    assert 1 <= len(kept) == len(archive.namelist()) - 1 < 24
