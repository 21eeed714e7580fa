# SPDX-License-Identifier: MIT
"""Instances stored as metadata and bulk data: CONFORMANCE STOW-12 to STOW-15, JSN-04 to JSN-06, HOS-19, HOS-38, HOS-40.

PS3.18 10.5.1.4, annex F; PS3.19 annex A."""
import base64
import copy
import io
import json
import re
import socket
import struct
import zlib

import pydicom
import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import tiny_video
from web import MULTIPART_DICOM, SC, get, make, new_uid, part10, parts_of, store, url_of, value

OCTETS = "application/octet-stream"


def to_json(ds, **bulk):
    """DICOM JSON by pydicom; `bulk`: keyword -> URI of what stands apart."""
    model = ds.to_json_dict(bulk_data_threshold=1 << 30)
    for keyword, uri in bulk.items():
        tag = f"{pydicom.datadict.tag_for_keyword(keyword):08X}"
        vr = model.get(tag, {"vr": "OB"})["vr"]
        model[tag] = {"vr": "OW" if " " in vr else vr, "BulkDataURI": uri}
    return model


def body_of(metadata, bulk=(), kind="application/dicom+json", boundary="xBOUNDARYx"):
    """`bulk`: (location, media type, content)."""
    metadata = metadata if isinstance(metadata, (list, tuple)) and kind.endswith("xml") else [metadata]
    parts = [(kind, None, m if isinstance(m, bytes) else json.dumps(m).encode()) for m in metadata]
    parts += [(media, location, content) for location, media, content in bulk]
    body = []
    for media, location, content in parts:
        where = "" if location is None else f"Content-Location: {location}\r\n"
        body += [f"--{boundary}\r\nContent-Type: {media}\r\n{where}\r\n".encode(), content, b"\r\n"]
    return b"".join(body) + f"--{boundary}--\r\n".encode(), f'multipart/related; type="{kind}"; boundary={boundary}'


def send(server, metadata, bulk=(), expected=200, kind="application/dicom+json", study=None):
    body, content_type = body_of(metadata, bulk, kind)
    url = f"{server.dicomweb}/studies" + (f"/{study}" if study else "")
    answer = requests.post(url, data=body, timeout=60,
                           headers={"Content-Type": content_type, "Accept": "application/dicom+json"})
    assert answer.status_code == expected, (answer.status_code, answer.text[:500])
    return answer


def reasons(answer):
    model = answer.json()
    return [value(i, "00081197") for t in ("00081198", "0008119A") for i in model.get(t, {}).get("Value", [])]


def stored(server, ds, transfer_syntax="*"):
    answer = get(url_of(server, ds), f'{MULTIPART_DICOM}; transfer-syntax={transfer_syntax}')
    ((_, content),) = parts_of(answer)
    return pydicom.dcmread(io.BytesIO(content))


def absent(server, ds):
    get(url_of(server, ds) + "/metadata", expected=404)


def metadata_of(ds, *without):
    model = to_json(ds)
    for keyword in without:
        model.pop(f"{pydicom.datadict.tag_for_keyword(keyword):08X}", None)
    return model


def test_STOW_12_json_and_a_bulk_part_for_each_value_are_stored_as_full_instances(server):
    item = Dataset()
    item.add_new(0x00091001, "UN", b"x")
    first = make(PatientName="Müller^Jörg", SpecificCharacterSet="ISO_IR 192", ProcedureCodeSequence=Sequence([item]))
    second = make(study=first.StudyInstanceUID, series=first.SeriesInstanceUID)
    second.add_new(0x00420011, "OB", b"document")
    models = [to_json(first, PixelData="bulk/1"), to_json(second, PixelData="bulk/2", EncapsulatedDocument="bulk/3")]
    models[0]["00081032"]["Value"][0]["00091001"] = {"vr": "UN", "BulkDataURI": "bulk/4"}
    bulk = [("bulk/3", OCTETS, b"odd"), ("bulk/2", OCTETS, second.PixelData), ("bulk/4", OCTETS, b"nested value"),
            ("bulk/1", OCTETS, first.PixelData)]
    answer = send(server, models, bulk, study=first.StudyInstanceUID)
    assert len(answer.json()["00081199"]["Value"]) == 2 and "00081198" not in answer.json()
    got = stored(server, first)
    assert got.PixelData == first.PixelData and got.PatientName == "Müller^Jörg" and got["PixelData"].VR == "OW"
    assert got.ProcedureCodeSequence[0][0x00091001].value == b"nested value"
    assert got.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert got.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    assert stored(server, second).EncapsulatedDocument == b"odd\0"
    found = get(f"{server.dicomweb}/instances", StudyInstanceUID=first.StudyInstanceUID).json()
    assert len(found) == 2


def test_STOW_12_a_missing_or_unused_bulk_part_fails_that_instance_alone(server):
    good, bad = make(), make()
    models = [to_json(good, PixelData="a"), to_json(bad, PixelData="b")]
    answer = send(server, models, [("a", OCTETS, good.PixelData)], 202)
    (failed,) = answer.json()["00081198"]["Value"]
    assert value(failed, "00081155") == bad.SOPInstanceUID and value(failed, "00081197") == 0xC000
    absent(server, bad)
    assert stored(server, good).PixelData == good.PixelData
    alone = make()
    answer = send(server, [to_json(alone, PixelData="a")],
                  [("a", OCTETS, alone.PixelData), ("z", OCTETS, b"nobody's")], 409)
    assert reasons(answer) == [0xC000]
    absent(server, alone)
    one, two = make(), make()
    answer = send(server, [to_json(one, PixelData="1"), to_json(two, PixelData="2")],
                  [("1", OCTETS, one.PixelData), ("2", OCTETS, two.PixelData), ("z", OCTETS, b"nobody's")], 202)
    assert reasons(answer) == [0xC000] and len(answer.json()["00081199"]["Value"]) == 2


def test_STOW_12_xml_has_a_part_for_each_instance(server):
    first, second = make(PatientName="Doe^<&>"), make()
    for ds in (first, second):
        store(server, ds)
    models = []
    for ds in (first, second):
        content = get(url_of(server, ds) + "/metadata", "application/dicom+xml").content
        ds.SOPInstanceUID, old = new_uid(), ds.SOPInstanceUID
        models.append(content.replace(str(old).encode(), str(ds.SOPInstanceUID).encode()))
    uris = [re.search(rb'BulkData uri="([^"]*)"', m).group(1).decode() for m in models]
    send(server, models, list(zip(uris, [OCTETS] * 2, [first.PixelData, second.PixelData])),
         kind="application/dicom+xml")
    assert stored(server, first).PixelData == first.PixelData and stored(server, first).PatientName == "Doe^<&>"
    assert stored(server, second).PixelData == second.PixelData


def test_STOW_12_an_instance_of_another_study_is_refused(server):
    ds = make()
    answer = send(server, [to_json(ds)], (), 409, study=new_uid())
    assert reasons(answer) == [0xA900]


def test_STOW_12_bulk_data_is_not_kept_in_memory(start_server):
    server = start_server()
    ds = make(Rows=4096, Columns=4096, PixelData=b"")
    warm = make()
    send(server, [to_json(warm, PixelData="w")], [("w", OCTETS, warm.PixelData)])
    frame = bytes(range(256)) * 256
    ds.NumberOfFrames = 12
    head, content_type = body_of([to_json(ds, PixelData="p")], [("p", OCTETS, b"")])
    head, tail = head[:-len(b"\r\n--xBOUNDARYx--\r\n")], b"\r\n--xBOUNDARYx--\r\n"

    def peak():
        status = open(f"/proc/{server.process.pid}/status").read()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) >> 10

    def pieces():
        yield head
        for _ in range(12 * 512):
            yield frame
        yield tail

    before = peak()
    answer = requests.post(f"{server.dicomweb}/studies", data=pieces(), headers={"Content-Type": content_type}, timeout=120)
    assert answer.status_code == 200, answer.text
    assert peak() - before < 250, "384 MiB of pixels grew the process"
    assert get(url_of(server, ds) + "/frames/12", OCTETS).content == frame * 512


def encapsulated(fragment):
    return fragment + b"\0" * (len(fragment) % 2)


def jpeg(rows=8, columns=24, components=1, marker=0xC0):
    """Headers of a JPEG stream; nobody decodes it here."""
    frame = struct.pack(">BHHB", 8, rows, columns, components) + b"\x01\x11\x00" * components
    scan = bytes([components]) + b"\x01\x00" * components + b"\x01\x00\x00"
    return (b"\xff\xd8" + bytes([0xFF, marker]) + struct.pack(">H", 2 + len(frame)) + frame
            + b"\xff\xda" + struct.pack(">H", 2 + len(scan)) + scan + b"\x12\x34\x56\xff\xd9")


def jpeg_2000(rows=8, columns=24):
    size = struct.pack(">HIIIIIIIIH", 0, columns, rows, 0, 0, columns, rows, 0, 0, 1) + b"\x07\x01\x01"
    style = b"\x00\x00\x00\x01\x00" + b"\x01\x04\x04\x00\x01"
    return (b"\xff\x4f\xff\x51" + struct.pack(">H", 2 + len(size)) + size + b"\xff\x52"
            + struct.pack(">H", 2 + len(style)) + style + b"\xff\x90\x00\x0a\x00\x00\x00\x00\x00\x00\x00\x01\xff\x93\xff\xd9")


def jp2(stream):
    box = struct.pack(">I", 12) + b"jP  \r\n\x87\n" + struct.pack(">I", 20) + b"ftypjp2 \0\0\0\0jp2 "
    return box + struct.pack(">I", 8 + len(stream)) + b"jp2c" + stream


RLE = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x01\x00\x00" * 20
PIXELS = ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
          "PixelRepresentation", "PixelData")
IMAGES = [
    ("image/jpeg", jpeg(), "1.2.840.10008.1.2.4.50"),
    ("image/jpeg", jpeg(marker=0xC3), "1.2.840.10008.1.2.4.70"),
    ("image/jls", jpeg(marker=0xF7).replace(b"\xff\xda\x00\x08\x01\x01\x00\x01", b"\xff\xda\x00\x08\x01\x01\x00\x00"),
     "1.2.840.10008.1.2.4.80"),
    ("image/jp2", jpeg_2000(), "1.2.840.10008.1.2.4.90"),
    ("image/jpx", jpeg_2000(), "1.2.840.10008.1.2.4.92"),
    ("image/jphc", jpeg_2000(), "1.2.840.10008.1.2.4.201"),
]


@pytest.mark.parametrize("media,stream,syntax", IMAGES, ids=[f"{m}-{s[-3:]}" for m, _, s in IMAGES])
def test_STOW_13_an_image_is_encapsulated_unchanged_and_describes_itself(server, media, stream, syntax):
    ds = make()
    model = metadata_of(ds, *PIXELS)
    model["7FE00010"] = {"vr": "OB", "BulkDataURI": "image"}
    send(server, [model], [("image", media, stream)])
    got = stored(server, ds)
    assert got.file_meta.TransferSyntaxUID == syntax
    assert (got.Rows, got.Columns, got.SamplesPerPixel) == (8, 24, 1)
    assert (got.BitsAllocated, got.BitsStored, got.HighBit, got.PixelRepresentation) == (8, 8, 7, 0)
    assert got.PhotometricInterpretation == "MONOCHROME2"
    answer = get(url_of(server, ds) + "/frames/1", f'multipart/related; type="{media}"; transfer-syntax={syntax}')
    assert parts_of(answer)[0][1] == encapsulated(stream)


def test_STOW_13_what_clashes_with_the_image_fails(server):
    for keyword, wrong in (("Rows", 9), ("Columns", 8), ("SamplesPerPixel", 3), ("PhotometricInterpretation", "RGB"),
                           ("NumberOfFrames", 2)):
        ds = make(SOPClassUID=SC)
        model = metadata_of(ds, *PIXELS)
        tag = f"{pydicom.datadict.tag_for_keyword(keyword):08X}"
        model[tag] = {"vr": pydicom.datadict.dictionary_VR(keyword), "Value": [wrong]}
        model["7FE00010"] = {"vr": "OB", "BulkDataURI": "image"}
        answer = send(server, [model], [("image", "image/jpeg", jpeg())], 409)
        assert reasons(answer) == [0xC000], keyword
        absent(server, ds)


def test_STOW_13_a_part_for_each_frame_and_other_syntaxes_of_the_media_type(server):
    ds = make()
    model = metadata_of(ds, *PIXELS)
    model["7FE00010"] = {"vr": "OB", "BulkDataURI": "frames"}
    media = "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.57"
    frames = [jpeg(marker=0xC3), jpeg(marker=0xC3)[:-2] + b"\x01\xff\xd9"]
    send(server, [model], [("frames", media, f) for f in frames])
    got = stored(server, ds)
    assert got.NumberOfFrames == 2 and got.file_meta.TransferSyntaxUID.endswith(".57")
    for number, frame in enumerate(frames, 1):
        answer = get(f"{url_of(server, ds)}/frames/{number}", 'multipart/related; type="image/jpeg"; transfer-syntax=*')
        assert parts_of(answer)[0][1] == encapsulated(frame)
    wrong = make()
    model = metadata_of(wrong, *PIXELS)
    model["7FE00010"] = {"vr": "OB", "BulkDataURI": "frames"}
    for media in ("image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.90", "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.70",
                  "image/jls", "image/tiff"):
        send(server, [model], [("frames", media, jpeg())], 409)
    absent(server, wrong)


def test_STOW_13_a_jp2_file_gives_its_codestream_and_rle_goes_by_its_attributes(server):
    ds = make()
    model = metadata_of(ds, *PIXELS)
    model["7FE00010"] = {"vr": "OB", "BulkDataURI": "image"}
    send(server, [model], [("image", "image/jp2", jp2(jpeg_2000()))])
    answer = get(url_of(server, ds) + "/frames/1", 'multipart/related; type="image/jp2"; transfer-syntax=*')
    assert parts_of(answer)[0][1] == encapsulated(jpeg_2000())
    ds = make(Rows=8, Columns=8, BitsAllocated=8, BitsStored=8, HighBit=7)
    send(server, [to_json(ds, PixelData="image")], [("image", "image/dicom-rle", RLE)])
    assert stored(server, ds).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"


def png(rows, columns, colour, bits, lines, palette=b""):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", columns, rows, bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + line for line in lines))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + (chunk(b"PLTE", palette) if palette else b"")
            + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def gif(rows, columns, frames, palette):
    """With a code for each pixel and a clear before each, so that codes stay three bits wide."""
    out = b"GIF89a" + struct.pack("<HHBBB", columns, rows, 0x81, 0, 0) + palette
    for pixels in frames:
        bits = "".join(f"{c:03b}"[::-1] for p in pixels for c in (4, p)) + "101"
        data = bytes(int(bits[i:i + 8][::-1], 2) for i in range(0, len(bits), 8))
        out += b"\x2c" + struct.pack("<HHHHB", 0, 0, columns, rows, 0) + b"\x02" + bytes([len(data)]) + data + b"\0"
    return out + b";"


COLOURS = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7])
PICTURES = [
    ("image/png", png(2, 3, 0, 8, [b"\1\2\3", b"\4\5\6"]), 1, 8, bytes(range(1, 7))),
    ("image/png", png(2, 2, 0, 16, [b"\1\2\3\4", b"\5\6\7\x08"]), 1, 16, b"\2\1\4\3\6\5\x08\7"),
    ("image/png", png(1, 2, 6, 8, [b"\1\2\3\xff\4\5\6\0"]), 3, 8, bytes(range(1, 7))),
    ("image/png", png(1, 4, 3, 2, [b"\x1b"], COLOURS), 3, 8, COLOURS),
    ("image/png", png(1, 4, 0, 1, [b"\xa0"]), 1, 8, b"\xff\0\xff\0"),
    ("image/gif", gif(2, 2, [[0, 1, 2, 3]], COLOURS), 3, 8, COLOURS),
    ("image/gif", gif(1, 2, [[0, 1], [3, 3]], COLOURS), 3, 8, COLOURS[:6] + COLOURS[9:] * 2),
]


@pytest.mark.parametrize("media,picture,samples,bits,pixels", PICTURES)
def test_STOW_13_gif_and_png_become_native_pixels(server, media, picture, samples, bits, pixels):
    ds = make()
    model = metadata_of(ds, *PIXELS)
    model["7FE00010"] = {"vr": "OW", "BulkDataURI": "picture"}
    send(server, [model], [("picture", media, picture)])
    got = stored(server, ds)
    assert got.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert got.PixelData == pixels + b"\0" * (len(pixels) % 2)
    frames = got.get("NumberOfFrames", 1)
    assert got.Rows * got.Columns * got.SamplesPerPixel * got.BitsAllocated // 8 * frames == len(pixels)
    assert (got.SamplesPerPixel, got.BitsStored) == (samples, bits)
    assert got.PhotometricInterpretation == ("RGB" if samples == 3 else "MONOCHROME2")
    assert got.get("PlanarConfiguration", 0) == 0


def test_STOW_13_a_picture_that_is_broken_or_of_another_size_fails(server):
    ds = make()
    for media, picture, rows in (("image/png", PICTURES[0][1][:-30], 2), ("image/gif", b"GIF89a", 2), ("image/png", b"", 2),
                                 ("image/png", PICTURES[0][1], 5), ("image/gif", PICTURES[5][1][:30], 2),
                                 ("image/gif", gif(2, 2, [[0, 1, 2]], COLOURS), 2)):
        model = metadata_of(ds, *PIXELS)
        model["00280010"] = {"vr": "US", "Value": [rows]}
        model["7FE00010"] = {"vr": "OW", "BulkDataURI": "picture"}
        assert reasons(send(server, [model], [("picture", media, picture)], 409)) == [0xC000]
    absent(server, ds)


@pytest.mark.parametrize("media,head,syntax,size", [
    ("video/mp4", struct.pack(">I", 20) + b"ftypisom\0\0\0\0isom", "1.2.840.10008.1.2.4.102", (1080, 1920)),
    ("video/mpeg2", b"\0\0\1\xb3\x2d\x02\x40\x23" + bytes(8), "1.2.840.10008.1.2.4.100", (576, 720)),
])
def test_STOW_13_video_is_one_stream_for_all_frames(server, media, head, syntax, size):
    ds = make(NumberOfFrames=25, Rows=size[0], Columns=size[1], SamplesPerPixel=3, PhotometricInterpretation="YBR_PARTIAL_420",
              BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=b"")
    stream = head + bytes(range(256)) * 40
    send(server, [to_json(ds, PixelData="v")], [("v", media, stream)])
    got = stored(server, ds)
    assert got.file_meta.TransferSyntaxUID == syntax and got.NumberOfFrames == 25
    assert stream in got.PixelData


def box(kind, content):
    return struct.pack(">I", 8 + len(content)) + kind + content


def mp4(columns, rows, frames, coding=b"avc1", configuration=box(b"avcC", b"\1\x64\0\x2a")):
    """A file whose tables stand behind the video, as cameras write it."""
    entry = box(coding, bytes(24) + struct.pack(">HH", columns, rows) + bytes(50) + configuration)
    tables = (box(b"stsd", bytes(7) + b"\1" + entry) + box(b"stsz", bytes(8) + struct.pack(">I", frames)))
    media = box(b"hdlr", bytes(8) + b"vide" + bytes(13)) + box(b"minf", box(b"stbl", tables))
    return (box(b"ftyp", b"isom\0\0\2\0isom") + box(b"mdat", bytes(range(256)) * 6000)
            + box(b"moov", box(b"trak", box(b"mdia", media))))


def test_STOW_13_an_mp4_says_its_size_its_frames_and_its_transfer_syntax(server):
    ds = make(PixelData=b"")
    for keyword in ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
                    "PixelRepresentation"):
        delattr(ds, keyword)
    stream = mp4(1920, 1080, 75)
    send(server, [to_json(ds, PixelData="v")], [("v", "video/mp4", stream)])
    got = stored(server, ds)
    assert (got.Rows, got.Columns, got.NumberOfFrames, got.SamplesPerPixel) == (1080, 1920, 75, 3)
    assert (got.PhotometricInterpretation, got.BitsAllocated, got.HighBit) == ("YBR_PARTIAL_420", 8, 7)
    assert got.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.104" and stream in got.PixelData

    ready = make(PixelData=b"")
    for keyword in ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(ready, keyword)
    file = tiny_video.mp4([60] * 12)  # tables first, and one that plays
    send(server, [to_json(ready, PixelData="v")], [("v", "video/mp4", file)])
    got = stored(server, ready)
    assert (got.Rows, got.Columns, got.NumberOfFrames) == (tiny_video.SIDE, tiny_video.SIDE, 12)
    assert got.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.102"
    assert get(url_of(server, ready) + "/rendered", "video/mp4").content.startswith(file)

    other = make(PixelData=b"", Rows=100, Columns=100, SamplesPerPixel=3, PhotometricInterpretation="YBR_PARTIAL_420",
                 BitsAllocated=8, BitsStored=8, HighBit=7)
    answer = send(server, [to_json(other, PixelData="v")], [("v", "video/mp4", stream)], 409)
    assert reasons(answer) == [0xC000]
    unknown = make(PixelData=b"", Rows=1080, Columns=1920, SamplesPerPixel=3, PhotometricInterpretation="YBR_PARTIAL_420",
                   BitsAllocated=8, BitsStored=8, HighBit=7)
    send(server, [to_json(unknown, PixelData="v")], [("v", "video/mp4", mp4(1920, 1080, 75, b"av01"))], 409)
    absent(server, unknown)


FAULTS = [
    {"0028": {"vr": "US", "Value": [1]}}, {"00280010": {"vr": "QQ", "Value": [1]}}, {"00280010": {"vr": "US", "Value": ["x"]}},
    {"00100010": {"vr": "PN", "Value": [7]}}, {"00420011": {"vr": "OB", "InlineBinary": "?"}},
    {"00280010": {"vr": "LO", "Value": ["1"]}},
]


@pytest.mark.parametrize("fault", FAULTS, ids=[json.dumps(f)[:40] for f in FAULTS])
def test_STOW_14_faulty_attributes_fail_their_instance_and_no_other(server, fault):
    good, bad = make(), make()
    model = to_json(bad)
    model.update(fault)
    answer = send(server, [model, to_json(good)], (), 202)
    assert reasons(answer) == [0xC000]
    assert value(answer.json()["00081198"]["Value"][0], "00081155") == bad.SOPInstanceUID
    absent(server, bad)
    assert stored(server, good).PixelData == good.PixelData


def test_STOW_14_and_JSN_04_inline_binary_and_empty_arrays_are_accepted(server):
    ds = make()
    model = to_json(ds)
    model["00081030"] = {"vr": "LO", "Value": []}
    model["00420011"] = {"vr": "OB", "InlineBinary": base64.b64encode(b"odd").decode()}
    send(server, [model])
    got = stored(server, ds)
    assert got.EncapsulatedDocument == b"odd\0" and got.StudyDescription == "" and got.PixelData == ds.PixelData


@pytest.mark.parametrize("text", [
    b"{}", b"7", b"", b"[", b"[{]", b"[NaN]", b"\xef\xbb\xbf[]", b'[{"00100020":{"vr":"LO","Value":["\\ud800"]}}]',
    b'[{"00280010":{"vr":"US","Value":[' + b"1" * 1000000 + b"]}}]", b"[" * 1000000,
    b'[{"00100020":{"vr":"LO"},"00100020":{"vr":"LO"}}]', b'[{"00280010":{"vr":"US","Value":[NaN]}}]',
    b'[{"00081140":{"vr":"SQ","Value":[' + b'{"00081140":{"vr":"SQ","Value":[' * 100000,
], ids=lambda t: t[:30].decode("latin-1"))
def test_HOS_40_what_is_no_json_is_400_and_nothing_is_stored(server, text):
    answer = send(server, text, (), 400)
    assert "/" not in answer.json().get("reason", "") if answer.headers["Content-Type"].endswith("json") else True
    assert server.alive()


def test_HOS_40_a_text_of_a_gigabyte_is_refused_at_the_limit(server):
    head, content_type = body_of(b'[{"00104000":{"vr":"LT","Value":["', ())
    head = head[:head.index(b'["') + 2]

    def pieces():
        yield head
        for _ in range(1024):
            yield b"x" * (1 << 20)

    answer = requests.post(f"{server.dicomweb}/studies", data=pieces(), timeout=120, headers={"Content-Type": content_type})
    assert answer.status_code == 400 and server.alive()


@pytest.mark.parametrize("text", [
    b"<Other/>", b"<NativeDicomModel>", b"no XML", b'<?php x?><NativeDicomModel/>',
    b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]><NativeDicomModel>&b;</NativeDicomModel>',
    b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><NativeDicomModel/>',
    b'<!DOCTYPE a [<!ENTITY e SYSTEM "http://127.0.0.1:1/">]><NativeDicomModel>&e;</NativeDicomModel>',
    b"<NativeDicomModel>" + b'<DicomAttribute tag="00081140" vr="SQ"><Item number="1">' * 100000,
], ids=lambda t: t[:40].decode())
def test_HOS_40_what_is_no_plain_xml_is_400(server, text):
    send(server, [text], (), 400, kind="application/dicom+xml")
    assert server.alive()


@pytest.mark.parametrize("depth,expected", [(60, 200), (65, 400)])
def test_HOS_19_sequences_are_nested_up_to_the_limit(server, depth, expected):
    ds = make()
    model = inner = to_json(ds)
    for _ in range(depth):
        item = {}
        inner["00081140"] = {"vr": "SQ", "Value": [item]}
        inner = item
    send(server, [model], (), expected)


def test_HOS_38_nested_multipart_is_bulk_data_that_nobody_asked_for(server):
    ds = make()
    inner, content_type = body_of([to_json(ds)], (), boundary="inner")
    answer = send(server, [to_json(ds)], [("x", content_type, inner)], 409)
    assert reasons(answer) == [0xC000]


def test_HOS_45_bulk_data_of_another_host_is_a_name_and_never_fetched(server):
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        uri = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/bulk"
        for uri in (uri, uri.replace("http", "ftp"), "file:///etc/hostname", "//127.0.0.1/x", "../../etc/hostname"):
            ds = make()
            model = to_json(ds) | {"00090010": {"vr": "LO", "Value": ["X"]}, "00091010": {"vr": "OB", "BulkDataURI": uri}}
            send(server, [model], [], expected=409)
            send(server, [model], [(uri, OCTETS, b"ab"), (uri, OCTETS, b"cd")], expected=409)  # which one?
            absent(server, ds)
            send(server, [model], [(uri, OCTETS, b"abcd")])
            assert stored(server, ds)[0x0009, 0x1010].value == b"abcd"
        elsewhere.settimeout(0.5)
        with pytest.raises(TimeoutError):
            elsewhere.accept()


def shares_of(ds, uri, count):
    """Metadata in which `count` values of a private block are one and the same bulk data."""
    model = to_json(ds)
    for number in range(count):
        if number % 240 == 0:
            block = 0x10 + number // 240
            model[f"0009{block:04X}"] = {"vr": "LO", "Value": [f"SHARED {block}"]}
        model[f"0009{block:02X}{number % 240:02X}"] = {"vr": "OB", "BulkDataURI": uri}
    return model


def test_HOS_38_values_that_share_bulk_data_are_no_bomb(server):
    """A few bytes for each reference, megabytes for each copy: 50 GB here."""
    bomb, sane = make(), make()
    answer = send(server, [shares_of(bomb, "big", 12_000), shares_of(sane, "small", 50)],
                  [("big", OCTETS, bytes(4 << 20)), ("small", OCTETS, b"abcd")], expected=202)
    assert len(reasons(answer)) == 1
    absent(server, bomb)
    assert stored(server, sane)[0x0009, 0x1031].value == b"abcd"


def test_HOS_38_many_parts_of_one_location_asked_for_many_times_cost_little(server):
    """Looked up one by one these were 10^9 comparisons of long texts."""
    ds, uri = make(), "same/" * 200
    model = shares_of(ds, uri, 20_000)
    answer = send(server, [model], [(uri, OCTETS, b"")] * 20_000, expected=409)
    assert len(reasons(answer)) == 1
    absent(server, ds)


def test_STOW_16_metadata_that_breaks_off_leave_nothing(server):
    ds = make()
    body, content_type = body_of([to_json(ds, PixelData="p")], [("p", OCTETS, ds.PixelData)])
    answer = requests.post(f"{server.dicomweb}/studies", data=body[:-40], timeout=60, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    absent(server, ds)


@pytest.mark.parametrize("kind", ["application/dicom+json", "application/dicom+xml"])
def test_JSN_06_an_instance_put_together_from_its_metadata_is_the_same_in_every_attribute(server, kind):
    """Stored, its metadata and bulk data taken, deleted, and stored again from these."""
    item = Dataset()
    item.PatientName = "A^B=C=D\\E"
    item.add_new(0x00090010, "LO", "INNER")
    item.add_new(0x00091001, "OB", bytes(range(200)) * 20)
    ds = make(SpecificCharacterSet="ISO_IR 192", PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう", ImageType=["A", "", "B"],
              ProcedureCodeSequence=Sequence([Dataset(), item]), PixelSpacing=["0.50", "1e-2"], StudyDescription="",
              PatientComments=" leading\r\n\tand <tags> & \"quotes\"", FrameIncrementPointer=0x00181063,
              OtherPatientNames=["One^A", "", "Two^B"], WindowCenter=["40", "-1.5"])
    ds.add_new(0x00090010, "LO", "HOUNSFIELD TEST")
    ds.add_new(0x00091001, "UN", b"\x00\xff" * 3000)
    ds.add_new(0x00091002, "OW", b"\x01\x02" * 10)
    ds.add_new(0x00091003, "FD", [0.1, -1e300, float("inf")])
    ds.add_new(0x00091004, "UV", 2**64 - 1)
    ds.add_new(0x00091005, "SV", -2**63)
    ds.add_new(0x00091006, "FL", 0.10000000149011612)
    ds.add_new(0x00091007, "UC", ["a", " b"])
    ds.add_new(0x00091008, "SQ", [])
    store(server, ds)
    before = stored(server, ds)
    answer = get(url_of(server, ds) + "/metadata", kind)
    uris = re.findall(r'"BulkDataURI":"([^"]*)"' if kind.endswith("json") else r'BulkData uri="([^"]*)"', answer.text)
    assert len(uris) == 3
    bulk = [(uri, OCTETS, get(uri, OCTETS).content) for uri in uris]
    assert requests.delete(url_of(server, ds), timeout=60).status_code in (200, 204)
    send(server, answer.content if kind.endswith("json") else [answer.content], bulk, kind=kind)
    after = stored(server, ds)
    assert after == before
    assert [(e.tag, e.VR) for e in after] == [(e.tag, e.VR) for e in before]


def test_STOW_15_urls_in_the_answer_are_within_the_server_and_name_the_study(server):
    ds = make()
    model = to_json(ds)
    answer = send(server, [model])
    assert value(answer.json(), "00081190") == url_of(server, ds, "study")
    item = answer.json()["00081199"]["Value"][0]
    assert value(item, "00081190") == url_of(server, ds) and get(value(item, "00081190"))
    body, content_type = body_of([copy.deepcopy(model)])
    headers = {"Content-Type": content_type, "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https",
               "Forwarded": "host=evil.example;proto=https"}
    answer = requests.post(f"{server.dicomweb}/studies", data=body, headers=headers, timeout=60)
    assert answer.status_code == 200 and "evil" not in answer.text + str(answer.headers)
