# SPDX-License-Identifier: MIT
"""What DICOMweb tests share: data sets, STOW bodies, multipart answers. Plain requests, no DICOMweb library."""
import io
import itertools
import random
import re
import uuid

import requests
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
SC = "1.2.840.10008.5.1.4.1.1.7"
JSON = {"Accept": "application/dicom+json"}
MULTIPART_DICOM = 'multipart/related; type="application/dicom"'
_numbers = itertools.count(1)


def new_uid():
    return generate_uid(prefix="2.25.")


def make(study=None, series=None, **attributes):
    """A small valid CT; attributes by keyword. Rows and columns 16 unless told otherwise."""
    ds = Dataset()
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = new_uid()
    ds.StudyDate = "20260102"
    ds.StudyTime = "101112"
    ds.AccessionNumber = f"A{next(_numbers)}"
    ds.Modality = "CT"
    ds.ReferringPhysicianName = "Ref^Doc"
    ds.PatientName = "Doe^Jane"
    ds.PatientID = f"P{uuid.uuid4().hex[:12]}"
    ds.PatientBirthDate = "19700203"
    ds.PatientSex = "F"
    ds.StudyInstanceUID = study or new_uid()
    ds.SeriesInstanceUID = series or new_uid()
    ds.StudyID = "S1"
    ds.SeriesNumber = 1
    ds.InstanceNumber = 1
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = 16
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    if "PixelData" not in ds:
        frames = int(ds.get("NumberOfFrames", 1) or 1)
        size = ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated * frames // 8
        ds.PixelData = random.Random(str(ds.SOPInstanceUID)).randbytes(size)
        ds["PixelData"].VR = "OW"
    return ds


def part10(ds, syntax=ExplicitVRLittleEndian):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    ds.file_meta = meta
    out = io.BytesIO()
    dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def multipart(parts, content_type="application/dicom", boundary="xBOUNDARYx"):
    body = b""
    for part in parts:
        body += f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode() + part + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return body, f'multipart/related; type="{content_type}"; boundary={boundary}'


def store(server, *datasets, study=None, expected=200):
    """STOW-RS of data sets (or bytes of Part 10 files); returns the parsed answer."""
    files = [d if isinstance(d, bytes) else part10(d) for d in datasets]
    body, content_type = multipart(files)
    url = server.dicomweb + "/studies" + (f"/{study}" if study else "")
    answer = requests.post(url, data=body, headers={"Content-Type": content_type, **JSON}, timeout=60)
    assert answer.status_code == expected, (answer.status_code, answer.text[:500])
    return answer.json() if answer.content else None


def url_of(server, ds, level="instance"):
    url = f"{server.dicomweb}/studies/{ds.StudyInstanceUID}"
    if level != "study":
        url += f"/series/{ds.SeriesInstanceUID}"
    if level == "instance":
        url += f"/instances/{ds.SOPInstanceUID}"
    return url


def get(url, accept=None, expected=200, **parameters):
    headers = {"Accept": accept} if accept is not None else {"Accept": None}
    answer = requests.get(url, headers=headers, params=parameters or None, timeout=60)
    assert answer.status_code == expected, (answer.status_code, answer.text[:500])
    return answer


def parts_of(answer):
    """The parts of a multipart answer as (headers, content), by the rules of RFC 2046 and nothing more lenient."""
    content_type = answer.headers["Content-Type"]
    assert content_type.lower().startswith("multipart/related"), content_type
    boundary = re.search(r'boundary="?([^";]+)"?', content_type).group(1).encode()
    body = answer.content
    if body.startswith(b"--" + boundary):
        body = b"\r\n" + body
    delimiter = b"\r\n--" + boundary
    pieces = body.split(delimiter)
    assert pieces[-1].startswith(b"--"), "no closing delimiter"
    parts = []
    for piece in pieces[1:-1]:
        assert piece.startswith(b"\r\n"), piece[:40]
        head, _, content = piece[2:].partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        parts.append((headers, content))
    return parts


def value(item, tag):
    """First value of an attribute in a DICOM JSON object, None when empty or absent."""
    values = item.get(tag, {}).get("Value") or [None]
    return values[0]
