# SPDX-License-Identifier: MIT
"""Bulk data and pixel data as clients get them: CONFORMANCE WADO-05, WADO-09 to WADO-12 (PS3.18 10.4.1.1)."""
import pytest
import requests
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MPEG2MPML, MPEG4HP41, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from web import get, make, new_uid, part10, parts_of, store, url_of

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


def named_in(model):
    """All URIs of bulk data in a DICOM JSON object, in any depth."""
    found = []
    for element in model.values():
        if "BulkDataURI" in element:
            found.append(element["BulkDataURI"])
        if element["vr"] == "SQ":
            for item in element.get("Value", []):
                found += named_in(item)
    return found


def test_WADO_12_all_bulk_data_of_every_level_under_their_own_uris(server):
    first = make()
    item = Dataset()
    item.add_new(0x00420011, "OB", b"nested" * 300)
    first.ProcedureCodeSequence = Sequence([Dataset(), item])
    first.add_new(0x00090010, "LO", "ME")
    first.add_new(0x00091001, "UN", b"private" * 1000)
    same_series = make(study=first.StudyInstanceUID, series=first.SeriesInstanceUID)
    other_series = make(study=first.StudyInstanceUID)
    store(server, first, same_series, other_series)
    for level, count in (("study", 5), ("series", 4), ("instance", 3)):
        models = get(url_of(server, first, level) + "/metadata").json()
        named = [uri for model in models for uri in named_in(model)]
        parts = parts_of(get(url_of(server, first, level) + "/bulkdata", OCTETS))
        assert sorted(headers["Content-Location"] for headers, _ in parts) == sorted(named) and len(named) == count
        for headers, content in parts:
            assert headers["Content-Type"].startswith("application/octet-stream")
            assert content == get(headers["Content-Location"], "application/octet-stream").content
        pixels = parts_of(get(url_of(server, first, level) + "/pixeldata"))
        assert sorted(h["Content-Location"] for h, _ in pixels) == sorted(u for u in named if u.endswith("/7FE00010"))


def test_WADO_12_encapsulated_frames_are_decoded_or_given_as_they_are_stored(server):
    ds = make(NumberOfFrames=2, Rows=2, Columns=8, BitsAllocated=8, BitsStored=8, HighBit=7,
              PixelData=encapsulate([(1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + b"\xf1" + bytes([v])
                                     for v in (7, 9)]))
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    store(server, part10(ds, RLELossless))
    uri = f"{url_of(server, ds)}/bulkdata/7FE00010"
    decoded = parts_of(get(url_of(server, ds) + "/pixeldata", OCTETS))
    assert [content for _, content in decoded] == [bytes([7] * 16), bytes([9] * 16)]
    stored = parts_of(get(url_of(server, ds) + "/pixeldata", OCTETS + '; transfer-syntax="*"'))
    assert [h["Content-Type"] for h, _ in stored] == [f"image/dicom-rle; transfer-syntax={RLELossless}"] * 2
    assert {h["Content-Location"] for h, _ in decoded + stored} == {uri} and stored[1][1].endswith(b"\xf1\x09")


def test_WADO_12_pixel_data_come_in_the_image_types_that_they_are_stored_in(server):
    study, series = new_uid(), new_uid()
    frame = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + b"\xf1\7"
    shape = {"Rows": 2, "Columns": 8, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    rle = make(study=study, series=series, PixelData=encapsulate([frame]), **shape)
    jpeg = make(study=study, series=series, PixelData=encapsulate([b"\xff\xd8\xff\xd9"]), **shape)
    for dataset in (rle, jpeg):
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    plain = make(study=study)
    store(server, part10(rle, RLELossless), part10(jpeg, JPEGBaseline8Bit), plain)

    def asked(level, kind, syntax="", expected=206):
        accept = f'multipart/related; type="{kind}"' + (f"; transfer-syntax={syntax}" if syntax else "")
        answer = requests.get(url_of(server, rle, level) + "/pixeldata", headers={"Accept": accept}, timeout=60)
        assert answer.status_code == expected, answer.text
        return parts_of(answer) if expected < 300 else None

    for level in ("study", "series"):
        for syntax in ("", "*", RLELossless):
            ((headers, content),) = asked(level, "image/dicom-rle", syntax)
            assert headers["Content-Type"] == f"image/dicom-rle; transfer-syntax={RLELossless}" and content == frame
            assert headers["Content-Location"] == f"{url_of(server, rle)}/bulkdata/7FE00010"
        for syntax in ("*", JPEGBaseline8Bit):
            ((headers, _),) = asked(level, "image/jpeg", syntax)
            assert headers["Content-Type"] == f"image/jpeg; transfer-syntax={JPEGBaseline8Bit}"
        asked(level, "image/jpeg", "", 406)  # that would be 1.2.840.10008.1.2.4.70
        asked(level, "image/jp2", "*", 406)
    assert len(asked("instance", "image/dicom-rle", "*", 200)) == 1
    asked("instance", "image/jpeg", "*", 406)
    bulk = url_of(server, rle, "study") + "/bulkdata"
    get(bulk, 'multipart/related; type="image/dicom-rle"', 406)


def test_WADO_12_big_endian_and_deflated_values_are_little_endian_and_plain(server):
    for syntax in ("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2"):
        ds = make(Rows=64, Columns=64)
        little = ds.PixelData
        if syntax.endswith(".2.2"):
            ds.PixelData = b"".join(little[i:i + 2][::-1] for i in range(0, len(little), 2))
        store(server, part10(ds, syntax))
        ((_, content),) = parts_of(get(url_of(server, ds) + "/pixeldata"))
        assert content == little, syntax


def test_WADO_12_video_and_what_has_no_bulk_data(server):
    ds, stream, content = video("video/mp4", MPEG4HP41)
    store(server, content)
    ((headers, body),) = parts_of(get(url_of(server, ds) + "/pixeldata"))
    assert body == stream and headers["Content-Type"].startswith("video/mp4")
    plain = make()
    del plain.PixelData
    store(server, plain)
    for resource in ("bulkdata", "pixeldata"):
        get(f"{url_of(server, plain)}/{resource}", expected=404)
        get(f"{server.dicomweb}/studies/1.2.3.4/{resource}", expected=404)
        get(f"{server.dicomweb}/studies/no/{resource}", expected=400)
        get(f"{url_of(server, ds)}/{resource}", "application/zip", expected=406)




def test_WADO_05_compressed_pixels_of_an_icon_are_a_frame_and_not_items(server):
    ds = make(Rows=16, Columns=16, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=bytes(256))
    plain = bytes(range(256)) * 16
    icon = make(Rows=64, Columns=64, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=plain)
    icon["PixelData"].VR = "OB"
    icon.file_meta = FileMetaDataset()
    icon.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    icon.compress(RLELossless)
    (stored,) = generate_frames(icon.PixelData, number_of_frames=1)
    item = Dataset()
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
                    "PhotometricInterpretation"):
        setattr(item, keyword, getattr(icon, keyword))
    item.PixelData = icon.PixelData
    item["PixelData"].VR = "OB"
    item["PixelData"].is_undefined_length = True
    ds.IconImageSequence = [item]
    main = make(Rows=16, Columns=16, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=bytes(256))
    main["PixelData"].VR = "OB"
    main.file_meta = FileMetaDataset()
    main.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    main.compress(RLELossless)
    ds.PixelData = main.PixelData
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    store(server, part10(ds, RLELossless))
    url = get(url_of(server, ds) + "/metadata").json()[0]["00880200"]["Value"][0]["7FE00010"]["BulkDataURI"]
    answer = get(url)
    assert answer.content == plain and answer.headers["ETag"]
    assert answer.headers["Content-Type"] == f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}"
    ((headers, content),) = parts_of(get(url, OCTETS))
    assert content == plain and headers["Content-Location"] == url
    as_it_is = get(url, "image/dicom-rle")
    assert as_it_is.headers["Content-Type"] == f"image/dicom-rle; transfer-syntax={RLELossless}"
    assert as_it_is.content == stored
    assert get(url, "application/octet-stream; transfer-syntax=*").content == stored
    ((headers, content),) = parts_of(get(url, 'multipart/related; type="image/dicom-rle"'))
    assert content == stored and headers["Content-Type"] == as_it_is.headers["Content-Type"]
    part = requests.get(url, headers={"Range": "bytes=4-9"}, timeout=60)
    assert part.status_code == 206 and part.content == plain[4:10]
    get(url, "image/jpeg", expected=406)
