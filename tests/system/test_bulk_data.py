# SPDX-License-Identifier: MIT
"""Bulk data and pixel data as clients get them: CONFORMANCE WADO-05, WADO-09 to WADO-12, WADO-16 (PS3.18 10.4.1.1)."""
import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import MPEG2MPML, MPEG4HP41, JPEG2000Lossless, RLELossless

from web import get, make, part10, parts_of, store, url_of

OCTETS = 'multipart/related; type="application/octet-stream"'


def video(media, syntax, **attributes):
    ds = make(NumberOfFrames=25, Rows=576, Columns=720, SamplesPerPixel=3, PhotometricInterpretation="YBR_PARTIAL_420",
              BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=b"", **attributes)
    stream = b"\0\0\1\xb3" + bytes(range(256)) * 50
    ds.PixelData = encapsulate([stream], has_bot=False)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return ds, stream, part10(ds, syntax)


@pytest.mark.parametrize("media,syntax", [("video/mp4", MPEG4HP41), ("video/mpeg2", MPEG2MPML)])
def test_WADO_10_video_is_one_part_and_its_frames_are_not_given(server, media, syntax):
    ds, stream, content = video(media, syntax)
    store(server, content)
    bulk = get(url_of(server, ds) + "/metadata").json()[0]["7FE00010"]["BulkDataURI"]
    answer = get(bulk)
    assert answer.headers["Content-Type"] == f"{media}; transfer-syntax={syntax}" and answer.content == stream
    assert answer.headers["Content-Length"] == str(len(stream))
    ((headers, body),) = parts_of(get(bulk, f'multipart/related; type="{media}"'))
    assert body == stream and headers["Content-Type"].startswith(media) and headers["Content-Location"] == bulk
    part = requests.get(bulk, headers={"Range": "bytes=4-9"}, timeout=60)
    assert part.status_code == 206 and part.content == stream[4:10]
    assert requests.get(bulk, headers={"If-None-Match": answer.headers["ETag"]}, timeout=60).status_code == 304
    get(url_of(server, ds) + "/frames/1", expected=406)
    get(bulk, "image/jpeg", expected=406)


def test_WADO_10_video_in_fragments_is_one_stream(server):
    ds, _, _ = video("video/mp4", MPEG4HP41)
    pieces = [b"\0\0\0\x14ftypisom" + bytes(88), bytes(range(200)), b"end!"]
    ds.PixelData = encapsulate(pieces, has_bot=False)
    ds["PixelData"].is_undefined_length = True
    store(server, part10(ds, MPEG4HP41))
    assert get(f"{url_of(server, ds)}/bulkdata/7FE00010", "video/mp4").content == b"".join(pieces)


def test_WADO_05_values_at_any_depth_are_got_as_they_are_named(server):
    ds = inner = make()
    for depth in range(6):
        item = Dataset()
        item.add_new(0x00090010, "LO", "ME")
        item.add_new(0x00091001, "OB", bytes([depth]) * 2000)
        item.add_new(0x00091002, "UN", bytes([depth]) * 6000)
        inner.ProcedureCodeSequence = Sequence([Dataset(), item])
        inner = item
    store(server, ds)
    model = get(url_of(server, ds) + "/metadata").json()[0]
    for depth in range(6):
        model = model["00081032"]["Value"][1]
        assert get(model["00091001"]["BulkDataURI"]).content == bytes([depth]) * 2000
        assert get(model["00091002"]["BulkDataURI"]).content == bytes([depth]) * 6000
        ((headers, content),) = parts_of(get(model["00091002"]["BulkDataURI"], OCTETS))
        assert content == bytes([depth]) * 6000 and headers["Content-Location"] == model["00091002"]["BulkDataURI"]


def test_WADO_09_an_image_type_without_transfer_syntax_means_its_default(server):
    for syntax, media, default in ((RLELossless, "image/dicom-rle", True), (JPEG2000Lossless, "image/jp2", True),
                                   ("1.2.840.10008.1.2.4.91", "image/jp2", False), ("1.2.840.10008.1.2.4.50", "image/jpeg", False)):
        ds = make(Rows=2, Columns=2, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=encapsulate([b"\xff\xd8\xff\xe0" * 4]))
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        store(server, part10(ds, syntax))
        url = url_of(server, ds) + "/frames/1"
        accept = f'multipart/related; type="{media}"'
        if default:
            ((headers, _),) = parts_of(get(url, accept))
            assert headers["Content-Type"] == f"{media}; transfer-syntax={syntax}"
        else:
            get(url, accept, expected=406)
        ((headers, _),) = parts_of(get(url, f"{accept}; transfer-syntax={syntax}"))
        assert headers["Content-Type"] == f"{media}; transfer-syntax={syntax}"


def test_WADO_11_one_frame_is_also_had_without_multipart_and_several_are_not(server):
    ds = make(NumberOfFrames=2)
    store(server, ds)
    url = url_of(server, ds) + "/frames/"
    frame = get(url + "2", "application/octet-stream")
    assert frame.headers["Content-Type"].startswith("application/octet-stream") and frame.content == ds.PixelData[512:]
    get(url + "1,2", "application/octet-stream", expected=406)
    get(url + "1", "image/jpeg", expected=406)
    assert [content for _, content in parts_of(get(url + "1,2", OCTETS))] == [ds.PixelData[:512], ds.PixelData[512:]]


@pytest.mark.parametrize("level", ["study", "series"])
def test_WADO_16_a_zip_archive_is_not_offered(server, level):
    ds = make()
    store(server, ds)
    answer = get(url_of(server, ds, level), "application/zip", expected=406)
    assert "multipart/related" in answer.text
