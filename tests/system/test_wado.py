# SPDX-License-Identifier: MIT
"""WADO-RS, CONFORMANCE WADO-01 to WADO-08 and what belongs to it of WEB (PS3.18 10.4, 8.7)."""
import io
import random

import pydicom
import pytest
import requests
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from web import MULTIPART_DICOM, get, make, new_uid, part10, parts_of, store, url_of, value

ANY = MULTIPART_DICOM + "; transfer-syntax=*"
FRAMES = 'multipart/related; type="application/octet-stream"'


@pytest.fixture(scope="module")
def series(server):
    study, uid = new_uid(), new_uid()
    datasets = [make(study=study, series=uid, InstanceNumber=n) for n in (3, 1, 2)]
    files = {d.SOPInstanceUID: part10(d) for d in datasets}
    store(server, *files.values())
    return datasets, files


def data_set_bytes(file):
    """What stands behind the File Meta Information."""
    length = int.from_bytes(file[140:144], "little")
    return file[144 + length :]


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_WADO_01_each_part_is_a_part_10_file_with_the_bytes_that_came(server, series, level):
    datasets, files = series
    answer = get(url_of(server, datasets[0], level), ANY)
    parts = parts_of(answer)
    expected = files if level != "instance" else {datasets[0].SOPInstanceUID: files[datasets[0].SOPInstanceUID]}
    seen = {}
    for headers, content in parts:
        assert content[128:132] == b"DICM"
        uid = str(pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True).SOPInstanceUID)
        seen[uid] = content
        assert headers["Content-Location"].endswith(f"/instances/{uid}")
    assert seen.keys() == expected.keys()
    for uid, content in seen.items():
        assert data_set_bytes(content) == data_set_bytes(expected[uid])


def test_WADO_01_the_order_is_stable_and_by_instance_number(server, series):
    datasets, _ = series
    orders = []
    for _ in range(2):
        parts = parts_of(get(url_of(server, datasets[0], "series"), ANY))
        orders.append([pydicom.dcmread(io.BytesIO(c), stop_before_pixels=True).InstanceNumber for _, c in parts])
    assert orders[0] == orders[1] == [1, 2, 3]


def test_WADO_02_one_instance_as_a_single_part_and_many_not(server, series):
    datasets, files = series
    answer = get(url_of(server, datasets[0]), "application/dicom")
    assert answer.headers["Content-Type"].startswith("application/dicom")
    assert data_set_bytes(answer.content) == data_set_bytes(files[datasets[0].SOPInstanceUID])
    get(url_of(server, datasets[0], "series"), "application/dicom", expected=406)


@pytest.mark.parametrize("level,count", [("study", 3), ("series", 3), ("instance", 1)])
def test_WADO_04_metadata_holds_every_attribute_and_no_bulk(server, series, level, count):
    datasets, _ = series
    answer = get(url_of(server, datasets[0], level) + "/metadata", "application/dicom+json")
    assert answer.headers["Content-Type"].startswith("application/dicom+json")
    items = answer.json()
    assert len(items) == count
    by_uid = {value(i, "00080018"): i for i in items}
    for ds in datasets[: count if count > 1 else 1]:
        item = by_uid[ds.SOPInstanceUID]
        expected = {f"{e.tag:08X}" for e in ds if e.tag.group > 2}
        assert set(item) - {"00080005"} == expected
        assert "BulkDataURI" in item["7FE00010"] and "InlineBinary" not in item["7FE00010"]
        assert not any(key.startswith("0002") for key in item)
        assert value(item, "00280010") == 16


def test_WADO_05_bulk_data_uris_work_as_they_are(server):
    ds = make()
    ds.add_new(0x00420011, "OB", b"%PDF-1.4" + bytes(range(256)) * 64)
    inner = pydicom.Dataset()
    inner.add_new(0x00660129, "OF", bytes(range(256)) * 32)
    ds.add_new(0x00660002, "SQ", [inner])
    store(server, ds)
    item = get(url_of(server, ds) + "/metadata").json()[0]
    for element, expected in [
        (item["00420011"], ds[0x00420011].value),
        (item["00660002"]["Value"][0]["00660129"], inner[0x00660129].value),
        (item["7FE00010"], ds.PixelData),
    ]:
        answer = get(element["BulkDataURI"], "*/*")
        assert answer.headers["Content-Type"].startswith("application/octet-stream")
        assert answer.content == expected
        (part,) = parts_of(get(element["BulkDataURI"], FRAMES))
        assert part[1] == expected


@pytest.fixture(scope="module")
def multiframe(server):
    ds = make(NumberOfFrames=4)
    store(server, ds)
    size = 16 * 16 * 2
    return ds, [ds.PixelData[i * size : (i + 1) * size] for i in range(4)]


def test_WADO_06_frames_come_in_the_order_asked_and_twice_when_asked_twice(server, multiframe):
    ds, frames = multiframe
    for asked in ([1], [3, 1, 2], [4, 4, 1]):
        parts = parts_of(get(f"{url_of(server, ds)}/frames/{','.join(map(str, asked))}", FRAMES))
        assert [content for _, content in parts] == [frames[n - 1] for n in asked]


def test_WADO_06_frames_that_are_no_numbers_are_400_and_beyond_the_end_404(server, multiframe):
    ds, _ = multiframe
    for bad in ("0", "-1", "abc", "1,,2", "1,", "%20", "1;2", "1.5", "99999999999999999999"):
        get(f"{url_of(server, ds)}/frames/{bad}", FRAMES, expected=400)
    for beyond in ("5", "1,2,5", "4294967295"):
        get(f"{url_of(server, ds)}/frames/{beyond}", FRAMES, expected=404)


def test_WADO_07_native_frames_are_exact_for_every_depth(server):
    for bits, samples, rows, columns in ((8, 1, 5, 7), (8, 3, 3, 5), (16, 1, 9, 4), (32, 1, 4, 4)):
        size = rows * columns * samples * bits // 8
        pixels = bytes((7 * i + bits) % 256 for i in range(size * 3))
        ds = make(
            Rows=rows, Columns=columns, SamplesPerPixel=samples, BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1,
            NumberOfFrames=3, PhotometricInterpretation="RGB" if samples == 3 else "MONOCHROME2",
        )
        if samples == 3:
            ds.PlanarConfiguration = 0
        ds.PixelData = pixels + (b"\0" if len(pixels) % 2 else b"")
        ds["PixelData"].VR = "OB" if bits == 8 else "OW"
        store(server, ds)
        parts = parts_of(get(f"{url_of(server, ds)}/frames/1,2,3", FRAMES))
        assert b"".join(c for _, c in parts) == pixels
        assert [len(c) for _, c in parts] == [size] * 3


def test_WADO_07_one_bit_frames_begin_at_bit_0(server):
    rows = columns = 5  # 25 bits a frame
    bits = [(i * 7 // 3) % 2 for i in range(75)]
    packed = bytearray((len(bits) + 7) // 8)
    for i, bit in enumerate(bits):
        packed[i // 8] |= bit << (i % 8)
    ds = make(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", Modality="SEG", Rows=rows, Columns=columns, BitsAllocated=1,
        BitsStored=1, HighBit=0, NumberOfFrames=3, PixelData=bytes(packed),
    )
    store(server, ds)
    for number in (1, 2, 3):
        ((_, content),) = parts_of(get(f"{url_of(server, ds)}/frames/{number}", FRAMES))
        found = [(content[i // 8] >> (i % 8)) & 1 for i in range(25)]
        assert found == bits[(number - 1) * 25 : number * 25]
        assert len(content) == 4


def test_WADO_07_big_endian_frames_go_out_in_little_endian(server):
    ds = make()
    ds.PixelData = bytes(range(256)) * 2
    pixels = ds.PixelData
    swapped = b"".join(pixels[i : i + 2][::-1] for i in range(0, len(pixels), 2))
    big = pydicom.Dataset(ds)
    big.PixelData = swapped
    store(server, part10(big, ExplicitVRBigEndian))
    ((_, content),) = parts_of(get(f"{url_of(server, ds)}/frames/1", FRAMES))
    assert content == pixels


def encapsulated(server, syntax, name):
    path = pydicom.data.get_testdata_file(name)
    ds = pydicom.dcmread(path)
    assert ds.file_meta.TransferSyntaxUID == syntax
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = new_uid(), new_uid(), new_uid()
    count = int(ds.get("NumberOfFrames", 1) or 1)
    frames = list(generate_frames(ds.PixelData, number_of_frames=count))
    store(server, part10(ds, syntax))
    return ds, frames


@pytest.mark.parametrize(
    "syntax,name,media_type",
    [
        (JPEGBaseline8Bit, "SC_rgb_jpeg_dcmtk.dcm", "image/jpeg"),
        (JPEG2000Lossless, "MR_small_jp2klossless.dcm", "image/jp2"),
        (JPEGLSLossless, "MR_small_jpeg_ls_lossless.dcm", "image/jls"),
        (RLELossless, "MR_small_RLE.dcm", "image/dicom-rle"),
    ],
)
def test_WADO_08_encapsulated_frames_as_stored_and_decoded(server, syntax, name, media_type):
    ds, frames = encapsulated(server, syntax, name)
    url = f"{url_of(server, ds)}/frames/1"
    stored = f'multipart/related; type="{media_type}"; transfer-syntax={syntax}'
    octets = FRAMES + "; transfer-syntax=*"
    for accept in (stored, octets, stored.replace('"', "")):
        ((headers, content),) = parts_of(get(url, accept))
        assert content.rstrip(b"\0") == frames[0].rstrip(b"\0"), accept
        assert f"transfer-syntax={syntax}" in headers["Content-Type"]
        assert headers["Content-Location"].endswith("/frames/1")
    ((headers, content),) = parts_of(get(url, FRAMES))
    expected = ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated // 8
    assert len(content) == expected
    assert "transfer-syntax=1.2.840.10008.1.2.1" in headers["Content-Type"]
    if name.startswith("MR_small"):
        assert content == pydicom.dcmread(pydicom.data.get_testdata_file("MR_small.dcm")).PixelData
    get(url, 'multipart/related; type="image/jxl"; transfer-syntax=1.2.840.10008.1.2.4.110', expected=406)


def test_WADO_08_every_frame_of_a_multiframe_object_is_exact(server):
    frames = [bytes([n]) * (100 + 2 * n) for n in range(1, 9)]
    for offsets in (True, False):
        ds = make(NumberOfFrames=8, BitsAllocated=8, BitsStored=8, HighBit=7)
        ds.PixelData = encapsulate(frames, has_bot=offsets)
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        store(server, part10(ds, JPEGBaseline8Bit))
        accept = f'multipart/related; type="image/jpeg"; transfer-syntax={JPEGBaseline8Bit}'
        parts = parts_of(get(f"{url_of(server, ds)}/frames/8,1,2,3,4,5,6,7", accept))
        assert [c for _, c in parts] == [frames[7], *frames[:7]]


def test_WEB_06_the_default_transfer_syntax_is_explicit_little_endian(server):
    ds = make()
    store(server, part10(ds, ImplicitVRLittleEndian))
    for accept in (MULTIPART_DICOM, ANY, MULTIPART_DICOM + "; transfer-syntax=1.2.840.10008.1.2.1", "*/*"):
        ((headers, content),) = parts_of(get(url_of(server, ds), accept))
        read = pydicom.dcmread(io.BytesIO(content))
        assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian, "implicit VR is never sent"
        assert "transfer-syntax=1.2.840.10008.1.2.1" in headers["Content-Type"]
        assert read.PixelData == ds.PixelData and read.PatientID == ds.PatientID
        assert {e.tag for e in read} == {e.tag for e in ds}
    get(url_of(server, ds), MULTIPART_DICOM + "; transfer-syntax=1.2.840.10008.1.2.2", expected=406)
    get(url_of(server, ds), MULTIPART_DICOM + "; transfer-syntax=1.2.840.10008.1.2.4.50", expected=406)


def test_WEB_06_lossless_is_decoded_and_lossy_goes_out_as_stored_by_default(server):
    lossless, _ = encapsulated(server, JPEG2000Lossless, "MR_small_jp2klossless.dcm")
    ((_, content),) = parts_of(get(url_of(server, lossless), MULTIPART_DICOM))
    read = pydicom.dcmread(io.BytesIO(content))
    assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert len(read.PixelData) == read.Rows * read.Columns * read.SamplesPerPixel * read.BitsAllocated // 8
    lossy, _ = encapsulated(server, JPEGBaseline8Bit, "SC_rgb_jpeg_dcmtk.dcm")
    ((headers, content),) = parts_of(get(url_of(server, lossy), MULTIPART_DICOM))
    assert f"transfer-syntax={JPEGBaseline8Bit}" in headers["Content-Type"]
    assert pydicom.dcmread(io.BytesIO(content)).PixelData == lossy.PixelData


def test_WEB_11_unknown_is_404_and_deleted_is_410_until_stored_again(server):
    ds = make()
    for level in ("study", "series", "instance"):
        get(url_of(server, ds, level), ANY, expected=404)
        get(url_of(server, ds, level) + "/metadata", expected=404)
    get(url_of(server, ds) + "/frames/1", FRAMES, expected=404)
    store(server, ds)
    get(url_of(server, ds), ANY)
    assert requests.delete(url_of(server, ds, "study"), timeout=30).status_code in (200, 204)
    for level in ("study", "series", "instance"):
        get(url_of(server, ds, level), ANY, expected=410)
        get(url_of(server, ds, level) + "/metadata", expected=410)
    store(server, ds)
    get(url_of(server, ds), ANY)


def test_DAT_08_objects_without_frames_have_metadata_and_404_for_frames(server):
    ds = make()
    del ds.PixelData
    store(server, ds)
    assert "7FE00010" not in get(url_of(server, ds) + "/metadata").json()[0]
    get(url_of(server, ds) + "/frames/1", FRAMES, expected=404)
    short = make(NumberOfFrames=3)
    short.PixelData = short.PixelData[: 16 * 16 * 2 * 2 + 10]
    store(server, short)
    assert len(parts_of(get(url_of(server, short) + "/frames/1,2", FRAMES))) == 2
    get(url_of(server, short) + "/frames/3", FRAMES, expected=404)


def test_DAT_01_deflated_objects_have_metadata_frames_and_come_back(server):
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    ds = make()
    file = part10(ds, DeflatedExplicitVRLittleEndian)
    store(server, file)
    ((_, content),) = parts_of(get(url_of(server, ds), ANY))
    assert data_set_bytes(content) == data_set_bytes(file)
    assert value(get(url_of(server, ds) + "/metadata").json()[0], "00100020") == ds.PatientID
    ((_, content),) = parts_of(get(url_of(server, ds), MULTIPART_DICOM))
    assert pydicom.dcmread(io.BytesIO(content)).PixelData == ds.PixelData
    ((_, content),) = parts_of(get(url_of(server, ds) + "/frames/1", FRAMES))
    assert content == ds.PixelData


def test_WADO_04_compressed_metadata_is_never_that_of_before_a_store_or_delete(start_server):
    """What was sent compressed is kept for the next client: it must end with the state that it tells of."""
    server = start_server()
    study, uid = new_uid(), new_uid()
    noise = random.Random(7)

    def instance(number):
        text = "".join(noise.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=4000))
        return make(study=study, series=uid, InstanceNumber=number, ImageComments=text, PatientComments=text[::-1])

    def numbers(level):
        url = url_of(server, datasets[0], level) + "/metadata"
        seen = []
        for coding in ("gzip", "gzip", "identity"):
            answer = requests.get(url, headers={"Accept-Encoding": coding}, timeout=30)
            assert answer.status_code == 200
            assert answer.headers.get("Content-Encoding", "identity") == coding
            assert "Accept-Encoding" in answer.headers["Vary"]
            seen.append([value(item, "00200013") for item in answer.json()])
        assert seen[0] == seen[1] == seen[2]
        return seen[0]

    datasets = [instance(n) for n in range(1, 6)]
    store(server, *(part10(d) for d in datasets[:4]))
    assert numbers("series") == numbers("study") == [1, 2, 3, 4]
    store(server, part10(datasets[4]))
    assert numbers("series") == numbers("study") == [1, 2, 3, 4, 5]
    assert requests.delete(url_of(server, datasets[1]), timeout=30).status_code == 204
    assert numbers("series") == numbers("study") == [1, 3, 4, 5]
    assert requests.delete(url_of(server, datasets[0], "series"), timeout=30).status_code == 204
    for level in ("series", "study"):
        get(url_of(server, datasets[0], level) + "/metadata", expected=410)
