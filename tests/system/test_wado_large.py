# SPDX-License-Identifier: MIT
"""Metadata of large studies and frames of large objects, CONFORMANCE WADO-15, and searches over very many, QIDO-12: what is not asked
for is not read, and memory does not grow with it. How much the daemon has read is what the kernel counts; the clock decides nothing.

By `tests/run --long` with 10,000 instances and 10 GB, else with fewer."""
import http.client
import io
import itertools
import json
import os
import random
import re
import shutil
import socket
import time

import pydicom
import pytest
import requests
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

from web import get, make, new_uid, part10, parts_of, store, url_of

GIGABYTES = float(os.environ.get("HOUNSFIELD_GIGABYTES", "10"))
JPEG = "1.2.840.10008.1.2.4.50"
FRAME = 1 << 20
PIXELS = 32 << 10  # of an instance, so that reading them would show
MIB = 1 << 20


def has_read(server):
    """Bytes, by read(2) and its kin, from wherever."""
    with open(f"/proc/{server.process.pid}/io", encoding="ascii") as file:
        return int(re.search(r"rchar: (\d+)", file.read()).group(1))


def peak(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1)) << 10


def slow_get(server, path, **headers):
    """The answer, and the socket with a small window: what is not read from it, the server cannot send."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=120)
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read(1000)
    return connection, answer


def check_metadata(start_server, count):
    server = start_server({"log": "warn"})
    study, series, bulky = new_uid(), new_uid(), bytes(PIXELS)
    numbers = iter(range(1, count + 1))
    while piece := list(itertools.islice(numbers, 250)):
        store(server, *[make(study=study, series=series, InstanceNumber=n, Rows=128, Columns=128, PixelData=bulky) for n in piece])
    server.restart()  # no header is in memory
    get(f"{server.dicomweb}/studies?StudyInstanceUID={study}")
    before, memory, began = has_read(server), peak(server), time.monotonic()
    connection, answer = slow_get(server, f"/dicomweb/studies/{study}/metadata", Accept="application/dicom+json")
    first = answer.read(1)
    waited, at_first = time.monotonic() - began, has_read(server) - before
    rest = answer.read()
    connection.close()
    took, read, grown = time.monotonic() - began, has_read(server) - before, peak(server) - memory
    found = [one["00080018"]["Value"][0] for one in json.loads(first + rest)]
    print(f"\n{count} instances: first byte {waited:.3f} s, all {len(rest) / MIB:.1f} MiB {took:.1f} s; read {at_first / MIB:.1f} MiB before the "
          f"first byte, {read / MIB:.1f} MiB in all of {count * PIXELS / MIB:.0f} MiB of pixels; memory grew {grown / MIB:.1f} MiB")
    assert len(found) == len(set(found)) == count
    assert read < count * PIXELS / 4, "pixel data are not read"
    assert at_first < read / 2 or read < 8 * MIB, "the first byte does not wait for the last instance"
    return grown


def test_WADO_15_metadata_of_a_study_of_many_instances_come_as_they_are_read(start_server):
    check_metadata(start_server, 1500)


@pytest.mark.long
def test_WADO_15_metadata_of_ten_thousand_instances_in_memory_that_does_not_grow(start_server):
    assert check_metadata(start_server, 10_000) < 96 * MIB


def test_WADO_15_metadata_of_five_thousand_frames_do_not_read_them(server):
    ds = make(SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1", NumberOfFrames=5000, Rows=64, Columns=64)
    ds.PerFrameFunctionalGroupsSequence = Sequence()
    for number in range(5000):
        content = Dataset()
        content.InStackPositionNumber = number + 1
        item = Dataset()
        item.FrameContentSequence = Sequence([content])
        ds.PerFrameFunctionalGroupsSequence.append(item)
    store(server, ds)
    get(url_of(server, ds, "study") + "/thumbnail", expected=200)  # what is opened once is open
    before = has_read(server)
    groups = get(url_of(server, ds) + "/metadata").json()[0]["52009230"]["Value"]
    assert len(groups) == 5000 and groups[-1]["00209111"]["Value"][0]["00209057"]["Value"] == [5000]
    assert has_read(server) - before < len(ds.PixelData) / 8


def frame_of(number):
    """A JPEG as far as its ends, of a size and content of its own."""
    body = random.Random(number).randbytes(4096) * (FRAME // 4096 - number % 7)
    return b"\xff\xd8" + number.to_bytes(4, "big") + body.replace(b"\xff", b"\xfe") + b"\xff\xd9"


def store_frames(server, ds, count):
    """One instance of encapsulated frames without any offset table, made while it is sent."""
    ds.NumberOfFrames = count
    del ds.PixelData
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = JPEG
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    head = io.BytesIO()
    pydicom.dcmwrite(head, ds, enforce_file_format=True)

    def body():
        yield head.getvalue() + b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0"
        for number in range(1, count + 1):
            frame = frame_of(number)
            frame += b"\0" * (len(frame) % 2)
            yield b"\xfe\xff\x00\xe0" + len(frame).to_bytes(4, "little") + frame
        yield b"\xfe\xff\xdd\xe0\0\0\0\0"

    answer = requests.post(server.dicomweb + "/studies", data=body(), headers={"Content-Type": "application/dicom"}, timeout=600)
    assert answer.status_code == 200, answer.text


def check_frames(start_server, size):
    server = start_server({"log": "warn", "data": {"segmentSizeMiB": 1024}})
    count = max(16, int(size / FRAME))
    ds = make(SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.4.1", Rows=512, Columns=512, SamplesPerPixel=3, BitsAllocated=8, BitsStored=8, HighBit=7,
              PhotometricInterpretation="YBR_FULL_422", PlanarConfiguration=0, PixelData=b"")
    store_frames(server, ds, count)
    server.restart()
    url, memory = url_of(server, ds), peak(server)
    get(url + "/frames/1", "multipart/related; type=application/octet-stream; transfer-syntax=*")  # what is opened once is open
    seen = []
    rng = random.Random(15)
    numbers = [count, 1, count // 2] + [rng.randrange(1, count + 1) for _ in range(29)]
    for number in numbers:
        before, began = has_read(server), time.monotonic()
        ((headers, content),) = parts_of(get(f"{url}/frames/{number}", f'multipart/related; type="image/jpeg"; transfer-syntax={JPEG}'))
        seen.append((number, has_read(server) - before, time.monotonic() - began))
        assert content.rstrip(b"\0") == frame_of(number) and headers["Content-Location"].endswith(f"/frames/{number}")
    table = 24 * count + (1 << 16)  # where the frames lie, if it has to be read
    print(f"\n{count} frames of {FRAME / MIB:.0f} MiB: read {min(r for _, r, _ in seen) / MIB:.2f} to {max(r for _, r, _ in seen) / MIB:.2f} MiB, "
          f"{1000 * min(t for *_, t in seen):.1f} to {1000 * max(t for *_, t in seen):.1f} ms a frame; memory grew {(peak(server) - memory) / MIB:.1f} MiB")
    for number, read, _ in seen:
        assert read < 2 * FRAME + table, (number, read)
    several = [count, 1, count // 2]
    parts = parts_of(get(f"{url}/frames/{','.join(map(str, several))}", f'multipart/related; type="image/jpeg"; transfer-syntax={JPEG}'))
    assert [content.rstrip(b"\0") for _, content in parts] == [frame_of(number) for number in several]
    assert peak(server) - memory < 96 * MIB
    server.stop()
    shutil.rmtree(server.data_dir)


def test_WADO_15_a_frame_is_read_alone_wherever_it_lies(start_server):
    check_frames(start_server, 48 << 20)


@pytest.mark.long
def test_WADO_15_frames_of_ten_gigabytes_are_read_alone_wherever_they_lie(start_server):
    check_frames(start_server, GIGABYTES * 1e9)


def many_studies(server, count):
    """Instances of ten in a series, without pixels to speak of, 1000 in a request."""
    template = make(study="2.25.4000000000", series="2.25.5000000000", SOPInstanceUID="2.25.6000000000", Rows=2, Columns=2, PatientID="P4000000000")
    one = part10(template)
    for first in range(0, count, 1000):
        parts = b"".join(
            b"--b\r\nContent-Type: application/dicom\r\n\r\n"
            + one.replace(b"4000000000", b"%d" % (4000000000 + n // 10)).replace(b"5000000000", b"%d" % (5000000000 + n // 10))
            .replace(b"6000000000", b"%d" % (6000000000 + n)) + b"\r\n" for n in range(first, min(count, first + 1000)))
        answer = requests.post(server.dicomweb + "/studies", data=parts + b"--b--\r\n", timeout=600, headers={
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=b', "Accept": "application/dicom+json"})
        assert answer.status_code == 200, answer.text[:500]


def check_search(start_server, count):
    server = start_server({"log": "warn"})
    many_studies(server, count)
    get(server.dicomweb + "/instances?limit=1")
    memory, seen = peak(server), []
    for query in ("", "limit=1000000", "includefield=all", "Modality=CT", "PatientName=doe*"):
        before, began = has_read(server), time.monotonic()
        connection, answer = slow_get(server, f"/dicomweb/instances?{query}", Accept="application/dicom+json")
        first = answer.read(1)
        waited = time.monotonic() - began
        assert len(json.loads(first + answer.read())) == min(count, 1000)
        left = re.search(r"There are (?:more than )?(\d+) additional results", answer.headers["Warning"])
        connection.close()
        assert left and int(left.group(1)) >= min(1000, count - 1000)
        seen.append((query or "-", waited, has_read(server) - before))
    print(f"\n{count} instances: " + ", ".join(f"{query}: first byte {waited:.3f} s, read {read / MIB:.1f} MiB" for query, waited, read in seen)
          + f"; memory grew {(peak(server) - memory) / MIB:.1f} MiB")
    assert max(read for *_, read in seen) < 256 * MIB and peak(server) - memory < 96 * MIB
    assert get(server.dicomweb + "/instances?limit=1").headers["X-Total-Count"] == str(count)


def test_QIDO_12_a_search_of_everything_is_capped_and_reads_little(start_server):
    check_search(start_server, 4000)


@pytest.mark.long
def test_QIDO_12_a_search_of_a_million_is_capped_and_reads_little(start_server):
    check_search(start_server, int(os.environ.get("HOUNSFIELD_INSTANCES", "1000000")))
