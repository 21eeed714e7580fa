# SPDX-License-Identifier: MIT
"""Objects that lie about themselves, CONFORMANCE HOS-23, HOS-25, HOS-28 and HOS-32: they are kept as they came, and
whoever reads them gets what is theirs, a clear refusal, or replacement characters; never the bytes of anything else."""
import json
import random
import struct

import pytest
import requests

from test_dat import RLE, encapsulated, get_back, inserted, raw, rle, store
from test_hostile_dimse import assert_serves, status_of
from upper_layer import CT, EXPLICIT, STUDY_MOVE, Association, Receiver, encode, keys
from web import JSON, MULTIPART_DICOM, make, new_uid, part10, parts_of, store as stow, url_of, value

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")]

JPEG_LS = "1.2.840.10008.1.2.4.80"
OCTETS = 'multipart/related; type="application/octet-stream"'


def grey(**attributes):
    """16 pixels of 8 bits each, and attributes that say something else."""
    ds = make(Rows=4, Columns=4, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=bytes(range(16)))
    ds["PixelData"].VR = "OB"
    for keyword, content in attributes.items():
        setattr(ds, keyword, content)
    return ds


def lookup_tables(entries, stated):
    return [struct.pack("<HH2sH3H", 0x28, 0x1101 + i, b"US", 6, stated, 0, 16) for i in range(3)] + \
        [raw(0x28, 0x1201 + i, "OW", bytes(2 * entries)) for i in range(3)]


LIES = {
    "32 bits overflow": dict(Rows=65535, Columns=65535, NumberOfFrames=2147483647),
    "64 bits overflow": dict(Rows=65535, Columns=65535, SamplesPerPixel=65535, BitsAllocated=65535, NumberOfFrames=2147483647),
    "more stored than allocated": dict(BitsStored=16, HighBit=15),
    "a high bit beyond all": dict(HighBit=65535),
    "bits that are none": dict(BitsStored=0, HighBit=0),
    "an odd number of bits": dict(BitsAllocated=13, BitsStored=11, HighBit=3),
    "no sample": dict(SamplesPerPixel=0),
    "65535 samples": dict(SamplesPerPixel=65535),
    "three samples of one's bytes": dict(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=1),
    "a negative number of frames": dict(NumberOfFrames=-5),
    "more frames than bytes": dict(NumberOfFrames=1000),
}


@pytest.mark.parametrize("lie", LIES)
def test_HOS_23_sizes_that_lie_are_stored_and_read_no_further_than_they_reach(server, lie):
    ds = grey(**LIES[lie])
    content = encode(ds)
    pixels = ds.PixelData
    store(server, content, ds, EXPLICIT)
    assert get_back(server, ds, EXPLICIT) == content
    url = url_of(server, ds)
    assert requests.get(url + "/metadata", headers=JSON, timeout=30).status_code == 200
    for frame in (1, 2, 1001, 2147483647, 4294967295):
        answer = requests.get(f"{url}/frames/{frame}", headers={"Accept": OCTETS}, timeout=30)
        assert answer.status_code in (200, 404, 406), (frame, answer.status_code)
        if answer.status_code == 200:
            assert frame == 1 and parts_of(answer)[0][1] in pixels, "nothing but what was stored"
    assert requests.get(url + "/rendered", timeout=30).status_code in (200, 404, 406)
    assert requests.get(url + "/thumbnail", timeout=30).status_code in (200, 404)
    for syntax in (RLE, JPEG_LS):
        accept = {"Accept": f"application/dicom; transfer-syntax={syntax}"}
        assert requests.get(url, headers=accept, timeout=30).status_code in (200, 406), syntax
    assert_serves(server)


@pytest.mark.parametrize("lie", [name for name in LIES if name not in ("a high bit beyond all", "no sample")])
def test_HOS_23_encapsulated_pixels_that_lie_make_a_failed_sub_operation_at_the_most(server, lie):
    ds = grey(**LIES[lie])
    content = encapsulated(ds, [rle(bytes(range(16)))])
    store(server, content, ds, RLE)
    whole = grey(StudyInstanceUID=ds.StudyInstanceUID, SeriesInstanceUID=ds.SeriesInstanceUID)
    stow(server, whole)
    with Receiver(server.destination_ports["MOVEDEST1"], syntaxes=[EXPLICIT]) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])])
        association.request(1, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID),
                            elements={0x0600: "MOVEDEST1"})
        final = association.answers(1)[-1][0]
        association.release()
    assert final[0x0900] in (0, 0xB000) and final[0x1021] + final[0x1022] == 2
    sent = [one.command[0x1000] for one in receiver.stored]
    assert whole.SOPInstanceUID in sent and len(sent) == final[0x1021]
    assert get_back(server, ds, RLE) == content
    for suffix in ("/frames/1", "/rendered"):
        answer = requests.get(url_of(server, ds) + suffix, timeout=30)
        assert answer.status_code in (200, 404, 406), (suffix, answer.status_code)
    assert_serves(server)


@pytest.mark.parametrize("entries, stated", [(1, 256), (255, 256), (2, 0)])
def test_HOS_23_a_palette_that_is_shorter_than_declared_draws_no_picture(server, entries, stated):
    ds = grey(PhotometricInterpretation="PALETTE COLOR")
    content = inserted(ds, *lookup_tables(entries, stated))
    store(server, content, ds, EXPLICIT)
    assert get_back(server, ds, EXPLICIT) == content
    assert requests.get(url_of(server, ds) + "/rendered", timeout=30).status_code in (200, 406)
    assert requests.get(url_of(server, ds) + "/frames/1", timeout=30).status_code == 200
    if entries * 2 < stated:
        assert requests.get(url_of(server, ds) + "/rendered", timeout=30).status_code == 406
    assert_serves(server)


def frames_of(count):
    return [random.Random(i).randbytes(400) for i in range(count)]


def many_frames(**attributes):
    return make(Rows=20, Columns=20, BitsAllocated=8, BitsStored=8, HighBit=7, SOPClassUID="1.2.840.10008.5.1.4.1.1.7.2",
                **attributes)


PIXEL_DATA = b"\xE0\x7F\x10\x00OB\0\0\xff\xff\xff\xff"
ITEM, DELIMITER = struct.pack("<HH", 0xFFFE, 0xE000), struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def with_items(ds, *items, delimiter=DELIMITER):
    """The data set with these fragments; an item may be (bytes, stated length)."""
    content = encode(ds)
    content = content[:content.index(PIXEL_DATA[:4])] if PIXEL_DATA[:4] in content else content
    content += PIXEL_DATA
    for one in items:
        fragment, length = one if isinstance(one, tuple) else (one, len(one))
        content += ITEM + struct.pack("<I", length) + fragment
    return content + delimiter


def extended(offsets, lengths):
    return [raw(0x7FE0, 1, "OB", struct.pack(f"<{len(offsets)}Q", *offsets)).replace(b"OB", b"OV", 1),
            raw(0x7FE0, 2, "OB", struct.pack(f"<{len(lengths)}Q", *lengths)).replace(b"OB", b"OV", 1)]


OFFSETS = {
    "outside": [0, 4000000000, 4100000000, 4200000000], "backwards": [3000, 2000, 1000, 0], "the same": [0, 0, 0, 0],
    "overlapping": [0, 4, 8, 12], "one too few": [0, 500, 900], "many too many": [0] * 100000,
    "in front of the first": [0xFFFFFFFF, 0xFFFFFFF8, 0, 8],
}


@pytest.mark.parametrize("offsets", OFFSETS)
@pytest.mark.parametrize("kind", ["basic", "extended"])
def test_HOS_25_offset_tables_that_lie_give_each_frame_its_own_bytes_or_none(server, kind, offsets):
    ds = many_frames(NumberOfFrames=4)
    del ds.PixelData
    frames = frames_of(4)
    coded = [rle(frame) for frame in frames]
    table = OFFSETS[offsets]
    if kind == "basic":
        content = with_items(ds, struct.pack(f"<{len(table)}I", *table), *coded)
    else:
        content = with_items(ds, b"", *coded)
        at = content.index(PIXEL_DATA)
        content = content[:at] + b"".join(extended(table, [1 << 60] * len(table))) + content[at:]
    store(server, content, ds, RLE)
    assert get_back(server, ds, RLE) == content
    for number, frame in enumerate(frames, 1):
        answer = requests.get(f"{url_of(server, ds)}/frames/{number}", headers={"Accept": OCTETS}, timeout=30)
        assert answer.status_code == 200 and parts_of(answer)[0][1] == frame
    assert requests.get(f"{url_of(server, ds)}/frames/5", timeout=30).status_code == 404
    assert_serves(server)


def test_HOS_25_tables_that_lie_of_a_stream_that_cannot_be_told_apart_give_no_frame_of_outside(server):
    """JPEG-LS that is none: only the table could say where frames are, and what it says is outside."""
    pieces = frames_of(6)
    ds = many_frames(NumberOfFrames=4)
    del ds.PixelData
    for table in OFFSETS.values():
        ds.SOPInstanceUID = new_uid()
        content = with_items(ds, struct.pack(f"<{len(table)}I", *table), *pieces)
        store(server, content, ds, JPEG_LS)
        for number in range(1, 7):
            answer = requests.get(f"{url_of(server, ds)}/frames/{number}", timeout=30,
                                  headers={"Accept": f"{OCTETS}; transfer-syntax=*"})
            assert answer.status_code in (200, 404, 406), answer.status_code
            if answer.status_code == 200:
                assert parts_of(answer)[0][1] in b"".join(pieces)
    assert_serves(server)


def test_HOS_25_fragments_of_zero_and_of_odd_length(server):
    ds = many_frames()
    del ds.PixelData
    frame = frames_of(1)[0]
    coded = rle(frame)
    content = with_items(ds, b"", b"", coded, b"")
    store(server, content, ds, RLE)
    assert get_back(server, ds, RLE) == content
    answer = requests.get(f"{url_of(server, ds)}/frames/1", headers={"Accept": OCTETS}, timeout=30)
    assert answer.status_code == 200 and parts_of(answer)[0][1] == frame
    ds = many_frames()
    del ds.PixelData
    content = with_items(ds, b"", coded[:301], coded[301:])
    assert status_of(server, ds, content, RLE) in (0, 0xC000, 0xA900)
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = new_uid()
    content = with_items(ds, b"", coded[:301], coded[301:])
    status = status_of(server, ds, content, RLE)
    assert status in (0, 0xC000)
    answer = requests.get(f"{url_of(server, ds)}/frames/1", headers={"Accept": OCTETS}, timeout=30)
    assert answer.status_code == (200 if status == 0 else 404)
    assert status != 0 or parts_of(answer)[0][1] == frame
    assert_serves(server)


@pytest.mark.parametrize("broken", ["no delimiter", "a length beyond the end", "4 billion entries", "an item of undefined length",
                                    "a table that is no whole number"])
def test_HOS_25_pixel_data_that_does_not_end_is_refused(server, broken):
    ds = make(Rows=20, Columns=20, BitsAllocated=8, BitsStored=8, HighBit=7)
    del ds.PixelData
    coded = rle(frames_of(1)[0])
    content = {
        "no delimiter": lambda: with_items(ds, b"", coded, delimiter=b""),
        "a length beyond the end": lambda: with_items(ds, b"", (coded, 0x7FFFFFF0)),
        "4 billion entries": lambda: with_items(ds, (b"", 0xFFFFFFFC), coded),
        "an item of undefined length": lambda: with_items(ds, b"", (coded, 0xFFFFFFFF)),
        "a table that is no whole number": lambda: with_items(ds, b"\1\2", coded),
    }[broken]()
    status = status_of(server, ds, content, RLE)
    assert status == 0xC000 or (broken == "a table that is no whole number" and status == 0)
    assert requests.get(url_of(server, ds) + "/metadata", headers=JSON, timeout=30).status_code == (404 if status else 200)
    assert_serves(server)


NASTY = {
    "unknown set": (b"ISO_IR 999", b"M\xfcller^J"),
    "contradictory sets": (b"ISO_IR 192\\GB18030\\ISO_IR 100", "Müller".encode()),
    "latin bytes said to be UTF-8": (b"ISO_IR 192", b"M\xfcller^\xe9"),
    "truncated escape": (b"\\ISO 2022 IR 87", b"Yamada=\x1b$B;3ED\x1b"),
    "escape that is never ended": (b"\\ISO 2022 IR 87", b"Yamada=\x1b$B;3E"),
    "escape to a set that was not declared": (b"\\ISO 2022 IR 87", b"A=\x1b$)C\xb1\xe8"),
    "overlong UTF-8": (b"ISO_IR 192", b"A\xc0\xaf\xe0\x80\xafB"),
    "surrogates": (b"ISO_IR 192", b"A\xed\xa0\x80\xed\xb0\x80B"),
    "beyond the last plane": (b"ISO_IR 192", b"A\xf4\x90\x80\x80B"),
    "a NUL within": (b"ISO_IR 192", b"Doe\0^Jane"),
    "bidi": (b"ISO_IR 192", "Doe\u202egnp.exe\u2066".encode()),
    "markup": (b"ISO_IR 192", b"<script>alert('1')</script>\"&--"),
    "SQL": (b"ISO_IR 192", b"'; DROP TABLE patient; --"),
    "line ends": (b"ISO_IR 192", b"Doe\r\nSet-Cookie: a=b\r\n\r\n"),
    "cut at the end": (b"ISO_IR 192", "Müller".encode()[:2]),
}


@pytest.mark.parametrize("name", NASTY)
def test_HOS_28_text_that_is_none_is_kept_and_comes_out_as_valid_utf_8(server, name):
    charset, text = NASTY[name]
    ds = make()
    del ds.PatientName
    item = raw(8, 5, "CS", charset + b" " * (len(charset) % 2)) + raw(8, 0x104, "LO", text + b" " * (len(text) % 2))
    content = inserted(ds, raw(8, 5, "CS", charset + b" " * (len(charset) % 2)), raw(8, 0x1032, "SQ", ITEM +
                       struct.pack("<I", len(item)) + item), raw(0x10, 0x10, "PN", text + b" " * (len(text) % 2)))
    store(server, content, ds, EXPLICIT)
    assert get_back(server, ds, EXPLICIT) == content, "the stored bytes are kept"
    answer = requests.get(url_of(server, ds) + "/metadata", headers=JSON, timeout=30)
    shown = json.loads(answer.content.decode("utf-8"))[0]
    assert not any(byte < 0x20 for byte in answer.content.replace(b"\n", b""))
    assert "\x00" not in json.dumps(shown, ensure_ascii=False)
    assert not any(0xD800 <= ord(one) <= 0xDFFF for one in json.dumps(shown, ensure_ascii=False))
    assert value(shown, "00100010")["Alphabetic"][0] == text.decode("ascii", "replace")[0]
    query = f"{server.dicomweb}/studies?StudyInstanceUID={ds.StudyInstanceUID}&includefield=00100010"
    found = json.loads(requests.get(query, headers=JSON, timeout=30).content.decode("utf-8"))
    assert len(found) == 1 and value(found[0], "00100010") == value(shown, "00100010")
    fhir = requests.get(f"{server.fhir_view}/ImagingStudy?identifier=urn:dicom:uid|urn:oid:{ds.StudyInstanceUID}", timeout=30)
    json.loads(fhir.content.decode("utf-8"))
    log = server.log_path.read_bytes()
    assert b"Set-Cookie" not in log and b"DROP TABLE" not in log and b"<script>" not in log
    assert_serves(server)


def test_HOS_28_sets_that_change_in_items_are_each_read_by_their_own(server):
    ds = make()
    del ds.PatientName
    russian, greek = "Голова", "Κεφάλι"
    inner = raw(8, 5, "CS", b"ISO_IR 126") + raw(8, 0x104, "LO", greek.encode("iso8859-7"))
    inner = raw(8, 0x1032, "SQ", ITEM + struct.pack("<I", len(inner)) + inner)
    item = raw(8, 5, "CS", b"ISO_IR 144") + raw(8, 0x104, "LO", russian.encode("iso8859-5")) + inner
    later = raw(8, 0x104, "LO", b"M\xe9dian ")
    content = inserted(ds, raw(8, 5, "CS", b"ISO_IR 100"), raw(0x10, 0x10, "PN", b"M\xfcller"), raw(
        8, 0x1032, "SQ", ITEM + struct.pack("<I", len(item)) + item + ITEM + struct.pack("<I", len(later)) + later))
    store(server, content, ds, EXPLICIT)
    shown = requests.get(url_of(server, ds) + "/metadata", headers=JSON, timeout=30).json()[0]
    first, second = shown["00081032"]["Value"]
    assert value(shown, "00100010") == {"Alphabetic": "Müller"}
    assert value(first, "00080104") == russian and value(value(first, "00081032"), "00080104") == greek
    assert value(second, "00080104") == "Médian", "back to the data set's own"


PREAMBLES = {"PE": b"MZ\x90\0\3\0\0\0", "ELF": b"\x7fELF\2\1\1", "HTML": b"<html><script>alert(1)</script>", "ZIP": b"PK\3\4\x14",
             "TIFF": b"II*\0\x10\1\0\0", "shell": b"#!/bin/sh\n", "noise": bytes(range(128, 256))}


@pytest.mark.parametrize("kind", PREAMBLES)
def test_HOS_32_a_preamble_that_is_another_file_does_not_go_out_over_the_web(server, kind):
    ds = make()
    plain = part10(ds)
    content = PREAMBLES[kind].ljust(128, b"\0") + plain[128:]
    stow(server, content)
    for level in ("instance", "series", "study"):
        answer = requests.get(url_of(server, ds, level), timeout=30,
                              headers={"Accept": MULTIPART_DICOM + "; transfer-syntax=*"})
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        [(headers, got)] = parts_of(answer)
        assert got == plain and headers["Content-Type"].startswith("application/dicom")
    single = {"Accept": "application/dicom; transfer-syntax=*"}
    answer = requests.get(url_of(server, ds), headers=single, timeout=30)
    assert answer.content == plain and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"].startswith("application/dicom") and int(answer.headers["Content-Length"]) == len(plain)
    uri = requests.get(f"{server.dicomweb}/wado", timeout=30, headers=single, params={
        "requestType": "WADO", "studyUID": ds.StudyInstanceUID, "seriesUID": ds.SeriesInstanceUID, "objectUID": ds.SOPInstanceUID,
        "contentType": "application/dicom"})
    assert uri.content == plain and uri.headers["X-Content-Type-Options"] == "nosniff"
    for span in ("bytes=0-63", "bytes=100-199", "bytes=128-131", "bytes=-10"):
        answer = requests.get(url_of(server, ds), headers={**single, "Range": span}, timeout=30)
        first, _, last = span[6:].partition("-")
        expected = plain[-10:] if not first else plain[int(first):int(last) + 1]
        assert answer.content == (expected if answer.status_code == 206 else plain)
    implicit = requests.get(url_of(server, ds), timeout=30, headers={"Accept": "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"})
    assert implicit.content[:128] == bytes(128)
    # the same file again is the same file, whatever is sent of it
    stow(server, content)
    assert get_back(server, ds, EXPLICIT) == encode(ds)
