# SPDX-License-Identifier: MIT
"""Data and encodings (PS3.5): what is stored comes back as it was, and every receiver gets what it can read."""
import io
import random
import struct
import subprocess
import zlib

import pydicom
import pytest
import requests
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

from upper_layer import (
    BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT, STUDY_FIND, Association, command, data_pdu, decode, encode, find, keys,
    pdv, role, store_all, user_information,
)
from web import JSON, make, new_uid, url_of, value

STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.3"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
GE_PRIVATE = "1.2.840.113619.5.2"
RLE = "1.2.840.10008.1.2.5"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value", "ignore:End of file")


def store(server, content, ds, syntax, expected=0):
    association = Association(server, [(1, ds.SOPClassUID, [syntax])])
    answer = association.store(content, 1, sop_class=ds.SOPClassUID, sop_instance=ds.SOPInstanceUID)
    association.release()
    assert answer[0x0900] == expected, answer


def get_back(server, ds, syntax, sop_class=None):
    """The instance's data set as it comes by C-GET over a context of this transfer syntax; None when it fails."""
    uid = sop_class or ds.SOPClassUID
    association = Association(server, [(1, STUDY_GET, [EXPLICIT]), (3, uid, [syntax])],
                              user=user_information(1 << 20, role(uid, 0, 1)))
    association.request(1, 0x10, STUDY_GET, keys(QueryRetrieveLevel="IMAGE", StudyInstanceUID=ds.StudyInstanceUID,
                                                 SeriesInstanceUID=ds.SeriesInstanceUID, SOPInstanceUID=ds.SOPInstanceUID))
    got = None
    while True:
        number, answer, content = association.read_message()
        if answer[0x0100] == 1:
            got = content
            association.send_message(number, {0x0002: uid, 0x0100: 0x8001, 0x0120: answer[0x0110], 0x0800: 0x0101,
                                              0x0900: 0, 0x1000: answer[0x1000]})
        elif answer[0x0900] != 0xFF00:
            break
    association.release()
    assert (answer[0x0900] == 0) == (got is not None)
    return got


def deflate(content):
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    return packed + b"\0" * (len(packed) % 2)


def raw(group, number, vr, content):
    if vr in ("OB", "OW", "SQ", "UN", "UT", "UC", "UR"):
        return struct.pack("<HH2sHI", group, number, vr.encode(), 0, len(content)) + content
    return struct.pack("<HH2sH", group, number, vr.encode(), len(content)) + content


def inserted(ds, *elements):
    """The data set in Explicit VR Little Endian with raw elements put in their places."""
    content, at = encode(ds), 0
    heads = []
    while at < len(content):
        group, number, vr = struct.unpack_from("<HH2s", content, at)
        long_form = vr in (b"OB", b"OW", b"SQ", b"UN", b"UT")
        size = struct.unpack_from("<I" if long_form else "<H", content, at + (8 if long_form else 6))[0]
        end = at + (12 if long_form else 8) + size
        heads.append(((group, number), content[at:end]))
        at = end
    heads += [(struct.unpack_from("<HH", element), element) for element in elements]
    return b"".join(part for _, part in sorted(heads, key=lambda head: head[0]))


def swapped(words):
    return b"".join(words[i + 1:i + 2] + words[i:i + 1] for i in range(0, len(words), 2))


def encapsulated(ds, frames, table=True, fragments=1):
    ds.PixelData = encapsulate(frames, fragments_per_frame=fragments, has_bot=table)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return encode(ds)


@pytest.mark.parametrize("kind", ["deflated", "big endian", "GE private", "deflated frames"])
def test_DAT_01_uncommon_syntaxes_come_back_as_stored_and_native_for_others(server, kind):
    ds = make(Rows=24, Columns=20)
    pixels = ds.PixelData
    if kind == "deflated":
        content, syntax = deflate(encode(ds)), DEFLATED
    elif kind == "big endian":
        content, syntax = encode(ds, BIG_ENDIAN), BIG_ENDIAN
        pixels = swapped(pixels)
    elif kind == "GE private":  # Implicit VR Little Endian with pixels in big endian
        content, syntax = encode(ds, IMPLICIT), GE_PRIVATE
        pixels = swapped(pixels)
    else:
        content, syntax = encapsulated(ds, [deflate(pixels)]), DEFLATED_FRAMES
    store(server, content, ds, syntax)
    assert get_back(server, ds, syntax) == content
    for other in (EXPLICIT, IMPLICIT):
        got = decode(get_back(server, ds, other), other)
        assert got.PixelData == pixels and got.PatientName == ds.PatientName, other


def test_DAT_02_sequences_of_every_form(server):
    """Defined and undefined lengths mixed, empty sequences and items, 60 levels; delimiters with a length."""
    def nested(levels, undefined):
        content = raw(0x8, 0x100, "SH", b"X ")
        for level in range(levels):
            both = undefined and level % 2
            item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF if both else len(content)) + content
            if both:
                item += struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
            if undefined:
                item += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
            content = struct.pack("<HH2sHI", 0x40, 0xA730, b"SQ", 0, 0xFFFFFFFF if undefined else len(item)) + item
        return content

    empty_sequence = raw(0x8, 0x1140, "SQ", b"")
    empty_items = raw(0x8, 0x1115, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 3)
    for form in (False, True):
        ds = make()
        content = inserted(ds, empty_sequence, empty_items, nested(60, form))
        store(server, content, ds, EXPLICIT)
        assert get_back(server, ds, EXPLICIT) == content
        got = decode(get_back(server, ds, IMPLICIT), IMPLICIT)
        assert len(got.ReferencedSeriesSequence) == 3 and len(got.ReferencedImageSequence) == 0
        depth, at = 0, got
        while "ContentSequence" in at:
            depth, at = depth + 1, at.ContentSequence[0]
        assert depth == 60 and at.CodeValue == "X"


def test_DAT_03_un_and_long_values(server):
    implicit_sequence = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + struct.pack("<HHI", 8, 0x104, 4) + b"MEAN" + \
        struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    ds = make()
    del ds.AccessionNumber
    content = inserted(
        ds,
        struct.pack("<HH2sHI", 8, 0x1032, b"UN", 0, 0xFFFFFFFF) + implicit_sequence,  # UN of undefined length
        raw(8, 0x50, "UN", b"UNACC1"),  # a known attribute as UN
        raw(9, 0x10, "LO", b"ONE "), raw(9, 0x11, "LO", b"OTHER "), raw(9, 0x1001, "UN", b"\1\2"), raw(9, 0x1101, "UN", b"\3\4"),
        raw(0x20, 0x4000, "UN", b"C" * 70000),  # Image Comments beyond 64 KiB
    )
    store(server, content, ds, EXPLICIT)
    assert get_back(server, ds, EXPLICIT) == content
    found, final = find(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID, AccessionNumber="UNACC1",
                                     ProcedureCodeSequence=[]))
    assert len(found) == 1 and found[0].AccessionNumber == "UNACC1"
    assert found[0].ProcedureCodeSequence[0].CodeMeaning == "MEAN"
    got = decode(get_back(server, ds, IMPLICIT), IMPLICIT)
    assert got.AccessionNumber == "UNACC1" and got.ProcedureCodeSequence[0].CodeMeaning == "MEAN"
    assert len(got.ImageComments) == 70000
    assert got[0x00091001].value == b"\1\2" and got[0x00091101].value == b"\3\4", "each with its creator"


def test_DAT_04_values_that_are_padded_wrongly_or_not_at_all(server):
    ds = make()
    uid = ds.StudyInstanceUID
    odd = raw(8, 0x1030, "LO", b"ODD")            # no pad
    nul = raw(8, 0x103E, "LO", b"NUL\0")          # a NUL behind text
    blank = raw(0x20, 0x52, "UI", b"1.2.3 ")      # a UID padded with a space
    trailing = raw(0x10, 0x1000, "LO", b"ID1   ")
    content = inserted(ds, odd, nul, blank, trailing)
    store(server, content, ds, EXPLICIT)
    assert get_back(server, ds, EXPLICIT) == content, "kept as they are"
    base = dict(StudyInstanceUID=uid, QueryRetrieveLevel="STUDY")
    found, _ = find(server, keys(StudyDescription="ODD", OtherPatientIDs="ID1", **base))
    assert len(found) == 1 and found[0].StudyDescription == "ODD" and found[0].OtherPatientIDs == "ID1"
    found, _ = find(server, keys(QueryRetrieveLevel="SERIES", StudyInstanceUID=uid, SeriesInstanceUID="",
                                 SeriesDescription="NUL", FrameOfReferenceUID="1.2.3"))
    assert len(found) == 1 and found[0].SeriesDescription == "NUL" and found[0].FrameOfReferenceUID == "1.2.3"
    sent = get_back(server, ds, IMPLICIT)
    at = 0
    while at < len(sent):
        size = struct.unpack_from("<I", sent, at + 4)[0]
        assert size % 2 == 0
        at += 8 + size
    assert at == len(sent)


def test_DAT_05_group_lengths_retired_tags_and_wrong_orders(server):
    ds = make()
    content = inserted(ds, raw(8, 0, "UL", struct.pack("<I", 4)), raw(8, 1, "UL", struct.pack("<I", 4)),
                       raw(0x10, 0, "UL", struct.pack("<I", 99)), raw(0x20, 0x3100, "CS", b"OLD "))
    store(server, content, ds, EXPLICIT)
    assert get_back(server, ds, EXPLICIT) == content
    got = get_back(server, ds, IMPLICIT)
    assert struct.pack("<HHI", 8, 0, 4) not in got and struct.pack("<HHI", 0x10, 0, 4) not in got
    assert decode(got, IMPLICIT)[0x00203100].value == "OLD"
    for wrong in (raw(8, 0x50, "SH", b"A "), raw(2, 0x10, "UI", b"1.2.840.10008.1.2\0"), raw(0, 2, "UI", b"1.2 ")):
        ds = make()
        answers = []
        association = Association(server, [(1, CT, [EXPLICIT])])
        answers.append(association.store(encode(ds) + wrong, 1, sop_class=CT, sop_instance=ds.SOPInstanceUID)[0x0900])
        association.release()
        assert answers[0] in (0, 0xC000) or answers[0] >> 12 == 0xC, "one rule, and no half of it"
        found, _ = find(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID))
        assert len(found) == (answers[0] == 0)


def rle(frame):
    """One 8-bit frame: literal runs only."""
    packed = b"".join(bytes([len(frame[i:i + 128]) - 1]) + frame[i:i + 128] for i in range(0, len(frame), 128))
    return struct.pack("<16I", 1, 64, *[0] * 14) + packed + b"\0" * (len(packed) % 2)


def pieces_of(prefix, fragments, suffix):
    """An object's bytes a megabyte at a time: fragments are (first bytes, size), zeros behind."""
    zeros = bytes(1 << 20)
    yield prefix
    for head, size in fragments:
        yield struct.pack("<HHI", 0xFFFE, 0xE000, size) + head
        left = size - len(head)
        while left:
            piece = zeros[:min(left, len(zeros))]
            yield piece
            left -= len(piece)
    yield suffix


@pytest.mark.long
def test_DAT_06_an_object_beyond_4_gib_comes_back_whole_and_by_frame(start_server):
    """Three fragments of 1.5 GB by C-STORE, the whole of it by C-GET and WADO-RS, a frame behind 2^32."""
    server = start_server({"log": "info"})
    size = 1_500_000_000
    ds = make(SOPClassUID=CT, NumberOfFrames=3)
    del ds.PixelData
    prefix = encode(ds) + raw(0x7FE0, 0x10, "OB", b"")[:8] + struct.pack("<IHHI", 0xFFFFFFFF, 0xFFFE, 0xE000, 0)
    fragments = [(b"frame%d--" % i, size) for i in range(3)]
    suffix = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    total = checksum = 0
    association = Association(server, [(1, CT, [RLE])])
    association.send(data_pdu(pdv(1, 3, command({0x0002: CT, 0x0100: 1, 0x0110: 1, 0x0700: 0, 0x0800: 1,
                                                 0x1000: ds.SOPInstanceUID}))))
    longest = 262144 - 6
    for piece in pieces_of(prefix, fragments, suffix):
        total += len(piece)
        checksum = zlib.crc32(piece, checksum)
        for at in range(0, len(piece), longest):
            association.send(data_pdu(pdv(1, 0, piece[at:at + longest])))
    association.send(data_pdu(pdv(1, 2, b"")))
    association.sock.settimeout(300)
    assert association.read_message()[1][0x0900] == 0
    association.release()
    assert total > 4_500_000_000

    association = Association(server, [(1, STUDY_GET, [EXPLICIT]), (3, CT, [RLE])],
                              user=user_information(1 << 20, role(CT, 0, 1)))
    association.sock.settimeout(300)
    association.request(1, 0x10, STUDY_GET, keys(QueryRetrieveLevel="IMAGE", StudyInstanceUID=ds.StudyInstanceUID,
                                                 SeriesInstanceUID=ds.SeriesInstanceUID, SOPInstanceUID=ds.SOPInstanceUID))
    got = found = flags = 0
    while flags != 3:
        flags = association.read_pdv()[1]
    while flags != 2:
        _, flags, piece = association.read_pdv()
        got, found = got + len(piece), zlib.crc32(piece, found)
    assert (got, found) == (total, checksum)
    association.abort()

    with requests.get(url_of(server, ds), stream=True, timeout=300,
                      headers={"Accept": "application/dicom; transfer-syntax=*"}) as answer:
        assert answer.status_code == 200
        content = answer.raw
        meta = content.read(144)
        content.read(struct.unpack_from("<I", meta, 140)[0])
        got = found = 0
        while piece := content.read(1 << 20):
            got, found = got + len(piece), zlib.crc32(piece, found)
    assert (got, found) == (total, checksum)

    with requests.get(f"{url_of(server, ds)}/frames/3", stream=True, timeout=300,
                      headers={"Accept": f'multipart/related; type="image/dicom-rle"; transfer-syntax={RLE}'}) as answer:
        assert answer.status_code == 200
        assert b"frame2--" in answer.raw.read(4096)


@pytest.mark.parametrize("table", ["full", "empty", "wrong", "extended"])
def test_DAT_07_offset_tables_of_every_kind(server, table):
    ds = make(Rows=20, Columns=20, BitsAllocated=8, BitsStored=8, HighBit=7, NumberOfFrames=4,
              SOPClassUID="1.2.840.10008.5.1.4.1.1.7.2")
    frames = [random.Random(i).randbytes(400) for i in range(4)]
    coded = [rle(frame) for frame in frames]
    content = encapsulated(ds, coded, table=table in ("full", "wrong"))
    if table == "wrong":
        at = content.index(b"\xE0\x7F\x10\x00OB") + 12
        content = content[:at + 8] + struct.pack("<4I", 0, 3, 7, 4000000) + content[at + 24:]
    if table == "extended":
        offsets, lengths, position = b"", b"", 0
        for frame in coded:
            offsets, lengths = offsets + struct.pack("<Q", position), lengths + struct.pack("<Q", len(frame))
            position += 8 + len(frame)
        at = content.index(b"\xE0\x7F\x10\x00OB")
        tables = b"".join(struct.pack("<HH2sHI", 0x7FE0, n, b"OV", 0, len(c)) + c for n, c in ((1, offsets), (2, lengths)))
        content = content[:at] + tables + content[at:]
    store(server, content, ds, RLE)
    for number, frame in enumerate(frames, 1):
        answer = requests.get(f"{url_of(server, ds)}/frames/{number}", timeout=20,
                              headers={"Accept": 'multipart/related; type="application/octet-stream"'})
        assert answer.status_code == 200 and frame in answer.content
    got = decode(get_back(server, ds, EXPLICIT))
    assert got.PixelData == b"".join(frames)
    assert 0x7FE00001 not in got and 0x7FE00002 not in got


def test_DAT_07_several_fragments_per_frame(server):
    ds = make(Rows=64, Columns=64, BitsAllocated=8, BitsStored=8, HighBit=7)
    frame = random.Random(5).randbytes(64 * 64)
    content = encapsulated(ds, [rle(frame)], fragments=3)
    store(server, content, ds, RLE)
    assert decode(get_back(server, ds, EXPLICIT)).PixelData == frame


COMPRESSORS = {  # transfer syntax: a tool of DCMTK and its options
    "RLE": ["dcmcrle"], "JPEG lossless SV1": ["dcmcjpeg", "+e1"], "JPEG lossless": ["dcmcjpeg", "+el"],
    "JPEG-LS": ["dcmcjpls"],
}
DEPTHS = {
    "8 bits": dict(BitsAllocated=8, BitsStored=8, HighBit=7),
    "12 bits": dict(BitsAllocated=16, BitsStored=12, HighBit=11),
    "16 bits": dict(BitsAllocated=16, BitsStored=16, HighBit=15),
    "signed": dict(BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=1),
    "RGB": dict(BitsAllocated=8, BitsStored=8, HighBit=7, SamplesPerPixel=3, PhotometricInterpretation="RGB",
                PlanarConfiguration=0),
    "frames": dict(BitsAllocated=16, BitsStored=12, HighBit=11, NumberOfFrames=3),
}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_DAT_09_lossless_images_of_a_foreign_encoder_are_decoded_to_the_same_pixels(server, tmp_path, compressor, depth):
    ds = make(Rows=24, Columns=32, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", **DEPTHS[depth])
    count = 24 * 32 * ds.SamplesPerPixel * int(ds.get("NumberOfFrames", 1))
    values = [(i * 13 + i // 32 * 5) % (1 << ds.BitsStored) for i in range(count)]
    ds.PixelData = struct.pack(f"<{count}{'B' if ds.BitsAllocated == 8 else 'H'}", *values)
    ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 else "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = EXPLICIT
    pydicom.dcmwrite(tmp_path / "native", ds, enforce_file_format=True)
    tool = COMPRESSORS[compressor]
    subprocess.run([tool[0], *tool[1:], str(tmp_path / "native"), str(tmp_path / "packed")], check=True, timeout=30,
                   capture_output=True)
    packed = pydicom.dcmread(tmp_path / "packed")
    syntax = packed.file_meta.TransferSyntaxUID
    content = (tmp_path / "packed").read_bytes()
    meta = 144 + struct.unpack_from("<I", content, 140)[0]
    store(server, content[meta:], packed, syntax)
    assert get_back(server, packed, syntax) == content[meta:]
    for target in (EXPLICIT, IMPLICIT):
        got = decode(get_back(server, packed, target), target)
        assert got.PixelData == ds.PixelData, target
        assert got.PhotometricInterpretation == ds.PhotometricInterpretation
        assert got.get("PlanarConfiguration", 0) == 0


ENCODERS = {"RLE": RLE, "JPEG-LS": "1.2.840.10008.1.2.4.80", "JPEG 2000": "1.2.840.10008.1.2.4.90",
            "HTJ2K": "1.2.840.10008.1.2.4.201", "HTJ2K RPCL": "1.2.840.10008.1.2.4.202"}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_DAT_09_what_we_encode_is_decoded_to_the_same_pixels(server, encoder):
    """The matrix: every encoder, every kind of pixels, there and back over the wire."""
    syntax = ENCODERS[encoder]
    for depth, attributes in DEPTHS.items():
        ds = make(Rows=24, Columns=32, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", **attributes)
        count = 24 * 32 * ds.SamplesPerPixel * int(ds.get("NumberOfFrames", 1))
        values = [(i * 13 + i // 32 * 5) % (1 << ds.BitsStored) for i in range(count)]
        ds.PixelData = struct.pack(f"<{count}{'B' if ds.BitsAllocated == 8 else 'H'}", *values)
        ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 else "OW"
        store(server, encode(ds), ds, EXPLICIT)
        packed = decode(get_back(server, ds, syntax), EXPLICIT)
        reversible = depth == "RGB" and "2" in encoder  # JPEG 2000 and HTJ2K (PS3.5 8.2.4, 8.2.14)
        assert packed.PhotometricInterpretation == ("YBR_RCT" if reversible else ds.PhotometricInterpretation)
        assert packed.get("LossyImageCompression") is None
        packed.SOPInstanceUID = new_uid()
        packed["PixelData"].is_undefined_length = True
        store(server, encode(packed), packed, syntax)
        native = decode(get_back(server, packed, EXPLICIT), EXPLICIT)
        assert native.PixelData == ds.PixelData, depth
        assert native.PhotometricInterpretation == ds.PhotometricInterpretation
        assert native.get("PlanarConfiguration", 0) == 0
        frame = requests.get(f"{url_of(server, packed)}/frames/1", timeout=20,
                             headers={"Accept": 'multipart/related; type="application/octet-stream"'})
        assert frame.status_code == 200 and ds.PixelData[:24 * 32] in frame.content
        file = requests.get(url_of(server, ds), timeout=20, headers={
            "Accept": f'multipart/related; type="application/dicom"; transfer-syntax={syntax}'})
        assert file.status_code == 200 and syntax.encode() in file.content


def test_DAT_09_what_cannot_be_decoded_is_kept_and_given_to_those_who_take_it(server):
    for syntax in ("1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.102"):  # JPEG XL, MPEG-4
        ds = make()
        content = encapsulated(ds, [b"\xff\x0a" + bytes(50)])
        store(server, content, ds, syntax)
        assert get_back(server, ds, syntax) == content
        assert get_back(server, ds, EXPLICIT) is None, "that sub-operation has failed"


NAMES = [
    ("ISO_IR 100", "Buc^Jérôme", "latin-1"), ("ISO_IR 101", "Wałęsa^Łukasz", "iso8859-2"),
    ("ISO_IR 109", "ĉiuĵaŭde", "iso8859-3"), ("ISO_IR 110", "čāšž", "iso8859-4"),
    ("ISO_IR 144", "Люкceмбypг", "iso8859-5"), ("ISO_IR 127", "قباني^لنزار", "iso8859-6"),
    ("ISO_IR 126", "Διονυσιος", "iso8859-7"), ("ISO_IR 138", "שרון^דבורה", "iso8859-8"),
    ("ISO_IR 148", "Çavuşoğlu", "iso8859-9"), ("ISO_IR 166", "นามสกุล", "tis-620"), ("ISO_IR 192", "山田^太郎", "utf-8"),
    ("GB18030", "王^小东", "gb18030"), ("GBK", "王^小东", "gbk"), ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ", "shift_jis"),
    ("GB18030", "誠^\U0002008A", "gb18030"),
]
ISO_2022 = [
    ("\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
     {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}),
    ("\\ISO 2022 IR 149", b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
     {"Alphabetic": "Hong^Gildong", "Ideographic": "洪^吉洞", "Phonetic": "홍^길동"}),
    ("\\ISO 2022 IR 58", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
     {"Alphabetic": "Zhang^XiaoDong", "Ideographic": "张^小东"}),
    ("ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 126", b"J\xe9r\xf4me=\x1b-L\xbb\xee\xda=\x1b-F\xc4\xe9\xef",
     {"Alphabetic": "Jérôme", "Ideographic": "Люк", "Phonetic": "Διο"}),
]


def stored_name(server, charset, name, extra=b""):
    ds = make()
    del ds.PatientName
    name += b" " * (len(name) % 2)
    charset = charset.encode()
    content = inserted(ds, raw(8, 5, "CS", charset + b" " * (len(charset) % 2)), raw(0x10, 0x10, "PN", name),
                       *([extra] if extra else []))
    store(server, content, ds, EXPLICIT)
    assert get_back(server, ds, EXPLICIT) == content
    return ds, requests.get(url_of(server, ds) + "/metadata", headers=JSON, timeout=20).json()[0]


@pytest.mark.parametrize("charset, name, codec", NAMES)
def test_DAT_10_every_character_set_is_read(server, charset, name, codec):
    ds, shown = stored_name(server, charset, name.encode(codec))
    assert value(shown, "00100010") == {"Alphabetic": name}
    query = keys(SpecificCharacterSet="ISO_IR 192", QueryRetrieveLevel="STUDY", PatientID=ds.PatientID, PatientName=name)
    assert len(find(server, query)[0]) == 1


@pytest.mark.parametrize("charset, name, expected", ISO_2022)
def test_DAT_10_code_extensions_are_reset_at_delimiters(server, charset, name, expected):
    ds, shown = stored_name(server, charset, name)
    assert value(shown, "00100010") == expected


def test_DAT_10_an_item_may_have_a_set_of_its_own(server):
    item = raw(8, 5, "CS", b"ISO_IR 144") + raw(8, 0x104, "LO", "Голова".encode("iso8859-5"))
    sequence = raw(8, 0x1032, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item)
    ds, shown = stored_name(server, "ISO_IR 100", "Müller".encode("latin-1"), sequence)
    assert value(shown, "00100010") == {"Alphabetic": "Müller"}
    assert value(value(shown, "00081032"), "00080104") == "Голова"


def test_DAT_11_syntaxes_whose_pixels_are_elsewhere_are_stored_as_they_are(server):
    """JPIP Referenced: the object is kept, and is no one's to transcode."""
    ds = make()
    del ds.PixelData
    ds.add_new(0x00287FE0, "UR", "http://example.org/jpip?x=1")
    syntax = "1.2.840.10008.1.2.4.94"
    content = encode(ds)
    store(server, content, ds, syntax)
    assert get_back(server, ds, syntax) == content
    assert get_back(server, ds, EXPLICIT) is None
