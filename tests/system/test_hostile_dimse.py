# SPDX-License-Identifier: MIT
"""Hostile peers on the DICOM port, CONFORMANCE HOS-08 to HOS-30 where no other file has them: what they send is meant
to hang, exhaust or confuse the server. Each test ends with the server serving others."""
import os
import struct
import time
import zlib

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from upper_layer import (ABORT, AC, COMMAND, CT, DEFLATED, EXPLICIT, IMPLICIT, STUDY_FIND, STUDY_MOVE, VERIFICATION,
                         Association, Receiver, associate_rq, data_pdu, dial, encode, keys, pdv, store_all)

pytestmark = pytest.mark.slow

JPEG_LS = "1.2.840.10008.1.2.4.80"


def image(**attributes):
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CT, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientID = "HOSTILE"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def long_element(tag, vr, value=b"", length=None):
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, len(value) if length is None else length) + value


def deflate(content):
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    return packed + b"\0" * (len(packed) % 2)


def status_of(server, ds, content, syntax=EXPLICIT):
    association = Association(server, [(1, CT, [syntax])])
    association.sock.settimeout(60)
    answer = association.store(content, 1, sop_class=CT, sop_instance=ds.SOPInstanceUID)
    association.release()
    return answer[0x0900]


def assert_serves(server):
    association = Association(server)
    assert association.echo() == 0
    association.release()


@pytest.mark.parametrize("title", [b"A\nB\r\x1b[31m", b"%n%s%n%s%n%s%n%s", b"../../../etc/pas", b"\x80\xff\xfe", b" ",
                                   b"A\0B"])
def test_HOS_08_titles_are_only_compared_and_logged_without_control_characters(server, title):
    title = title.ljust(16)
    with dial(server) as wire:
        wire.send(associate_rq([(1, VERIFICATION, [IMPLICIT])], server.ae_title, calling=title))
        assert wire.read()[0] == AC
    with dial(server) as wire:
        wire.send(associate_rq([(1, VERIFICATION, [IMPLICIT])], title))
        assert wire.read()[1] == b"\0\1\1\7"
    assert not any(byte < 0x20 and byte != 0x0A for byte in server.log_path.read_bytes())
    assert "\nB" not in server.log()
    assert_serves(server)


def test_HOS_14_empty_fragments_without_end_are_cut_off(start_server):
    server = start_server({"dimse": {"messageTimeoutSeconds": 1, "artimTimeoutSeconds": 1}})
    for number, kind in ((1, COMMAND), (3, 0)):
        association = Association(server)
        if kind != COMMAND:
            association.send_message(3, {0x0002: CT, 0x1000: "1.2.3", 0x0100: 1, 0x0110: 1, 0x0700: 0, 0x0800: 1})
        flood = data_pdu(*[pdv(number, kind)] * 1000)
        deadline = time.monotonic() + 20
        with pytest.raises((ConnectionError, TimeoutError)):
            association.sock.settimeout(5)
            while time.monotonic() < deadline:
                association.send(flood)
        association.close()
    assert_serves(server)


@pytest.mark.parametrize("syntax", [EXPLICIT, DEFLATED])
def test_HOS_21_elements_without_end_are_refused(server, syntax):
    ds = image()
    content = encode(ds) + struct.pack("<HH2sH", 0x21, 0x10, b"SH", 0) * 200000
    status = status_of(server, ds, deflate(content) if syntax == DEFLATED else content, syntax)
    assert status & 0xF000 in (0xA000, 0xC000)
    assert_serves(server)


def test_HOS_22_deflated_data_sets(server):
    ds = image()
    packed = deflate(encode(ds))
    assert status_of(server, ds, packed + b"\0" * 8, DEFLATED) == 0
    for broken in (packed + b"junk" * 100, packed[:-20], zlib.compress(encode(ds)), encode(ds), deflate(b"")):
        ds = image()
        assert status_of(server, ds, broken, DEFLATED) & 0xF000 in (0xA000, 0xC000)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(encode(ds) + long_element(0x7FE00010, b"OB", length=(256 << 20) - 2))
    bomb += b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    assert status_of(server, ds, bomb + b"\0" * (len(bomb) % 2), DEFLATED) & 0xF000 in (0xA000, 0xC000)
    assert_serves(server)


def slow_query(server, association):
    """A query of keys that each take long to match all and of one that never does."""
    one = encode(keys(PatientComments="*" + "a" * 1990 + "b"))
    content = encode(keys(QueryRetrieveLevel="STUDY")) + one * 60 + encode(keys(PatientComments="*c"))
    association.send_message(1, {0x0002: STUDY_FIND, 0x0100: 0x20, 0x0110: 7, 0x0700: 0, 0x0800: 1}, content)


def test_HOS_29_a_query_that_takes_long_and_finds_nothing_can_be_cancelled_aborted_and_stopped(start_server):
    server = start_server()
    store_all(server, [image(PatientComments="a" * 3990 + "b") for _ in range(150)])
    association = Association(server, [(1, STUDY_FIND, [EXPLICIT])])
    slow_query(server, association)
    time.sleep(1)
    association.cancel(1, 7)
    began = time.monotonic()
    assert association.answers(1)[-1][0][0x0900] == 0xFE00
    assert time.monotonic() - began < 5
    slow_query(server, association)
    time.sleep(1)
    association.abort()
    deadline = time.monotonic() + 5
    while server.log().count("association ended") < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.log().count("association ended") == 2
    assert_serves(server)
    association = Association(server, [(1, STUDY_FIND, [EXPLICIT])])
    slow_query(server, association)
    assert server.stop(30) == 0
    association.close()


PIXELS = {"Rows": 4, "Columns": 4, "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 0,
          "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}


def store_undecodable(server, ds):
    """JPEG-LS of one frame that is none."""
    frame = b"\xff\xd8\xff\xf7" + os.urandom(60)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    content = encode(ds) + long_element(0x7FE00010, b"OB", length=0xFFFFFFFF) + item
    content += item[:4] + struct.pack("<I", len(frame)) + frame + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    assert status_of(server, ds, content, JPEG_LS) == 0


@pytest.mark.parametrize("sides", [{}, {"Rows": 65535, "Columns": 65535}])
def test_HOS_24_a_frame_that_cannot_be_decoded_is_406_and_goes_out_as_it_is_stored(server, sides):
    ds = image(**{**PIXELS, **sides})
    store_undecodable(server, ds)
    url = f"{server.dicomweb}/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    frames = 'multipart/related; type="application/octet-stream"'
    assert requests.get(url + "/frames/1", headers={"Accept": frames}, timeout=30).status_code == 406
    whole = f"application/dicom; transfer-syntax={EXPLICIT}"
    assert requests.get(url, headers={"Accept": whole}, timeout=30).status_code == 406
    stored = requests.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"}, timeout=30)
    assert stored.status_code == 200 and encode(ds) in stored.content
    assert_serves(server)


def test_HOS_30_instances_that_cannot_be_decoded_do_not_cost_those_that_can(server):
    study, series = generate_uid(), generate_uid()
    for number in range(5):
        store_undecodable(server, image(StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=str(number),
                                        **PIXELS))
    whole = [image(StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=str(10 + i)) for i in range(5)]
    store_all(server, whole)
    with Receiver(server.destination_ports["MOVEDEST1"], syntaxes=[EXPLICIT]) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])])
        association.request(1, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study),
                            elements={0x0600: "MOVEDEST1"})
        final = association.answers(1)[-1][0]
        association.release()
        assert (final[0x0900], final[0x1021], final[0x1022]) == (0xB000, 5, 5)
        assert {one.command[0x1000] for one in receiver.stored} == {ds.SOPInstanceUID for ds in whole}
