# SPDX-License-Identifier: MIT
"""Gigabytes are stored in one request, and fetched in one, in memory that does not grow with them."""
import http.client
import io
import os
import re
import shutil
import socket
import time

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

# 10 GB by `tests/run --long`; what memory it takes shows with less.
GIGABYTES = float(os.environ.get("HOUNSFIELD_GIGABYTES", "10"))
SIDE = 1024  # 2 MiB of pixels each
ALLOWED_MIB = 192  # more than before, at the most
STUDY, SERIES = "2.25.8001", "2.25.8002"
BOUNDARY = b"--part-of-a-large-body\r\n"


def peak_mib(server):
    text = open(f"/proc/{server.process.pid}/status").read()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text).group(1)) / 1024


def template():
    """One instance as bytes, and where its UID and number stand."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "2.25.8003.10000000"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.PatientID, dataset.PatientName = STUDY, SERIES, "LARGE", "Large"
    dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = dataset.StudyID = dataset.PatientBirthDate = ""
    dataset.Modality, dataset.InstanceNumber, dataset.Rows, dataset.Columns = "CT", 1, SIDE, SIDE
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 0, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = bytes(range(256)) * (SIDE * SIDE * 2 // 256)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def store(server, first, count, instance):
    """One STOW-RS request of so many instances, each made when it is sent."""
    head, tail = BOUNDARY + b"Content-Type: application/dicom\r\n\r\n", b"\r\n"
    size = count * (len(head) + len(instance) + len(tail)) + len(BOUNDARY) + 2
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=600)
    connection.putrequest("POST", "/dicomweb/studies")
    connection.putheader("Content-Type", 'multipart/related; type="application/dicom"; boundary=part-of-a-large-body')
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    for number in range(count):
        connection.send(head + instance.replace(b"2.25.8003.10000000", b"2.25.8003.%08d" % (first + number)) + tail)
    connection.send(BOUNDARY[:-2] + b"--\r\n")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def fetch(server, pause=0):
    """The whole study as it is stored, read in pieces; how many bytes. `pause`: seconds, eight times in the first MiBs."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=600)
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    connection.request("GET", f"/dicomweb/studies/{STUDY}",
                       headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'})
    answer = connection.getresponse()
    assert answer.status == 200
    received = pauses = 0
    while piece := answer.read(1 << 20):
        received += len(piece)
        if pause and pauses < 8:
            pauses += 1
            time.sleep(pause)
    connection.close()
    return received


@pytest.mark.long
def test_STOW_10_ten_gigabytes_are_stored_and_fetched_in_memory_that_does_not_grow(start_server):
    """One request of thousands of instances, and the study in one answer, quickly and slowly read."""
    server = start_server({"log": "info", "data": {"segmentSizeMiB": 1024}})
    instance = template()
    count = max(1, int(GIGABYTES * 1e9 / len(instance)))
    assert store(server, 10000000, 2, instance) == 200
    start = peak_mib(server)
    figures = [f"{count} instances of {len(instance)} bytes; at first {start:.0f} MiB"]
    began = time.monotonic()
    assert store(server, 20000000, count, instance) == 200
    stored = peak_mib(server)
    figures.append(f"one STOW: {time.monotonic() - began:.0f} s, peak {stored:.0f} MiB")
    began = time.monotonic()
    assert fetch(server) > count * len(instance)
    fetched = peak_mib(server)
    figures.append(f"one GET: {time.monotonic() - began:.0f} s, peak {fetched:.0f} MiB")
    assert fetch(server, pause=1) > count * len(instance)
    figures.append(f"one GET, slowly begun: peak {peak_mib(server):.0f} MiB")
    print("; ".join(figures))
    assert peak_mib(server) < start + ALLOWED_MIB, figures
    server.stop()
    shutil.rmtree(server.data_dir)
