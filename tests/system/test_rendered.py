# SPDX-License-Identifier: MIT
"""Rendered resources and thumbnails, CONFORMANCE REN-01 to REN-10 (PS3.18 8.3.5, 10.4.1.1.3, 10.4.1.1.4)."""
import copy
import io
import pathlib
import re
import struct

import pydicom.data
import pytest
import requests
from PIL import Image, ImageCms
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, MPEG2MPML, MPEG4HP41

from web import get, make, new_uid, parts_of, part10, store, url_of

PNG = "image/png"


def picture(answer):
    assert answer.headers["Content-Type"] in ("image/jpeg", "image/png")
    return Image.open(io.BytesIO(answer.content))


def grey(rows, **attributes):
    """An image of 8-bit pixels, as rows of values."""
    frame = bytes(value for row in rows for value in row)
    return make(
        Rows=len(rows),
        Columns=len(rows[0]),
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PixelData=frame + b"\0" * (len(frame) % 2),
        **attributes,
    )


def words(values, columns, **attributes):
    """An image of 16-bit pixels."""
    return make(
        Rows=len(values) // columns,
        Columns=columns,
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=1,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PixelData=struct.pack(f"<{len(values)}h", *values),
        **attributes,
    )


def rendered(server, dataset, suffix="/rendered", accept=PNG, expected=200, **parameters):
    return get(url_of(server, dataset) + suffix, accept, expected, **parameters)


@pytest.fixture(scope="module")
def gradient(server):
    dataset = grey([[0, 50, 100, 150], [200, 210, 220, 255]])
    store(server, part10(dataset))
    return dataset


def test_REN_01_jpeg_is_the_default_and_png_comes_on_request(server, gradient):
    assert picture(rendered(server, gradient, accept=None)).format == "JPEG"
    assert picture(rendered(server, gradient, accept="image/*")).format == "JPEG"
    assert picture(rendered(server, gradient, accept="image/jpeg;q=0.1, image/png")).format == "PNG"
    assert list(picture(rendered(server, gradient)).tobytes()) == [0, 50, 100, 150, 200, 210, 220, 255]
    rendered(server, gradient, accept="image/bmp", expected=406)


@pytest.mark.parametrize("columns, rows", [(1, 1), (8, 8), (7, 9), (16, 3), (33, 18)])
def test_REN_01_a_grey_jpeg_is_near_its_image_up_to_the_edges(server, columns, rows):
    dataset = grey([[(x * 97 + y * 57) % 256 for x in range(columns)] for y in range(rows)])
    store(server, part10(dataset))
    shown = picture(rendered(server, dataset, accept="image/jpeg", quality=100))
    assert (shown.size, shown.mode) == ((columns, rows), "L")
    assert max(abs(a - b) for a, b in zip(shown.tobytes(), dataset.PixelData)) <= 3


def test_REN_01_a_gif_comes_on_request_and_loses_nothing_of_grey(server, gradient):
    noise = grey([[(x * 7919 + y * 104729 + x * y) % 256 for x in range(301)] for y in range(211)])
    smooth = grey([[(x + y) % 256 for x in range(400)] for y in range(300)])
    single = grey([[77]])
    store(server, part10(noise), part10(smooth), part10(single))
    for dataset in (gradient, noise, smooth, single):
        image = Image.open(io.BytesIO(rendered(server, dataset, accept="image/gif").content))
        assert image.format == "GIF" and getattr(image, "n_frames", 1) == 1
        assert image.convert("L").tobytes() == dataset.PixelData[: dataset.Rows * dataset.Columns]
    assert "Warning" in rendered(server, gradient, accept="image/gif", quality="50").headers
    parts = parts_of(get(url_of(server, gradient, "series") + "/rendered", 'multipart/related; type="image/gif"'))
    assert parts[0][0]["Content-Type"] == "image/gif"


def test_REN_01_colours_of_a_gif_are_near_those_of_the_image(server):
    dataset = make(Rows=60, Columns=90, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0,
                   BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=bytes([200, 30, 120] * 60 * 90))
    store(server, part10(dataset))
    image = Image.open(io.BytesIO(rendered(server, dataset, accept="image/gif").content)).convert("RGB")
    pixels = image.tobytes()
    means = [sum(pixels[c::3]) / (60 * 90) for c in range(3)]
    assert all(abs(a - b) < 12 for a, b in zip(means, (200, 30, 120))), means


def test_REN_03_all_frames_are_an_animated_gif_on_request(server):
    frames = [bytes([n * 10, n, 255, 0]) for n in range(12)]
    dataset = grey([[0, 0], [0, 0]], NumberOfFrames=12, FrameTime="40")
    dataset.PixelData = b"".join(frames)
    store(server, part10(dataset))
    image = Image.open(io.BytesIO(rendered(server, dataset, accept="image/gif").content))
    assert image.n_frames == 12 and image.info["duration"] == 40 and image.info["loop"] == 0
    for number, frame in enumerate(frames):
        image.seek(number)
        assert image.convert("L").tobytes() == frame
    still = Image.open(io.BytesIO(rendered(server, dataset, "/frames/3/rendered", accept="image/gif").content))
    assert getattr(still, "n_frames", 1) == 1 and still.convert("L").tobytes() == frames[2]
    many = grey([[0, 0]], NumberOfFrames=1001)
    many.PixelData = bytes(2002)
    store(server, part10(many))
    rendered(server, many, accept="image/gif", expected=406)


def test_REN_02_real_values_are_read_in_the_byte_order_of_the_file(server):
    attributes = {"Rows": 1, "Columns": 3, "BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}
    for order, syntax in (("<", ExplicitVRLittleEndian), (">", ExplicitVRBigEndian)):
        dataset = make(PixelData=b"", **attributes)
        del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
        dataset.FloatPixelData = struct.pack(f"{order}3f", -1.5, 0, 1.5)
        store(server, part10(dataset, syntax))
        assert list(picture(rendered(server, dataset)).tobytes()) == [0, 128, 255]


def test_REN_01_a_series_and_a_study_are_a_part_for_each_instance(server):
    study, series = new_uid(), new_uid()
    datasets = [grey([[10 * n, 20]], study=study, series=series, InstanceNumber=n) for n in (1, 2)]
    text = make(study=study, InstanceNumber=3)
    for name in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel"):
        if name in text:
            delattr(text, name)
    store(server, *(part10(d) for d in (*datasets, text)))
    for level in ("series", "study"):
        answer = get(url_of(server, datasets[0], level) + "/rendered", 'multipart/related; type="image/png"')
        parts = parts_of(answer)
        assert [h["Content-Type"] for h, _ in parts] == [PNG, PNG]
        assert [list(Image.open(io.BytesIO(c)).tobytes()) for _, c in parts] == [[10, 20], [20, 20]]
        assert [h["Content-Location"] for h, _ in parts] == [url_of(server, d) + "/rendered" for d in datasets]


def test_REN_02_the_images_window_and_rescale_are_used(server):
    dataset = words([-1024, 0, 40, 1000], 2, RescaleSlope=1, RescaleIntercept=0, WindowCenter=40, WindowWidth=400)
    store(server, part10(dataset))
    assert list(picture(rendered(server, dataset)).tobytes()) == [0, 102, 128, 255]


def test_REN_03_frames_are_rendered_by_number_and_the_middle_one_stands_for_all(server):
    frames = [bytes([n * 10] * 4) for n in (1, 2, 3)]
    dataset = grey([[0, 0], [0, 0]], NumberOfFrames=3)
    dataset.PixelData = b"".join(frames)
    store(server, part10(dataset))
    assert list(picture(rendered(server, dataset)).tobytes()) == [20] * 4
    assert list(picture(rendered(server, dataset, "/frames/3/rendered")).tobytes()) == [30] * 4
    answer = rendered(server, dataset, "/frames/3,1/rendered", 'multipart/related; type="image/png"')
    parts = parts_of(answer)
    assert [list(Image.open(io.BytesIO(c)).tobytes())[0] for _, c in parts] == [30, 10]
    assert parts[0][0]["Content-Location"] == url_of(server, dataset) + "/frames/3/rendered"
    rendered(server, dataset, "/frames/4/rendered", expected=404)
    rendered(server, dataset, "/frames/0/rendered", expected=400)
    rendered(server, dataset, "/frames/x/rendered", expected=400)


@pytest.mark.parametrize(
    "window, expected",
    [
        ("100,100,linear-exact", [0, 0, 128, 255, 255, 255, 255, 255]),
        ("128,1,linear", [0, 0, 0, 255, 255, 255, 255, 255]),
        ("100.0,100,sigmoid", [5, 30, 128, 225, 250, 252, 253, 254]),
    ],
)
def test_REN_04_the_window_of_the_request_is_used(server, gradient, window, expected):
    shown = list(picture(rendered(server, gradient, window=window)).tobytes())
    assert all(abs(a - b) <= 1 for a, b in zip(shown, expected)), shown


@pytest.mark.parametrize(
    "window", ["1", "1,2", "1,2,cubic", "a,b,linear", "1,0,sigmoid", "1,-4,linear-exact", "1,0.5,linear",
               "nan,1,linear", "inf,1,linear", "", "1,2,linear,3"]
)
def test_REN_04_a_wrong_window_is_400(server, gradient, window):
    rendered(server, gradient, window=window, expected=400)


def test_REN_05_the_picture_fits_the_viewport(server, gradient):
    assert picture(rendered(server, gradient, viewport="2,2")).size == (2, 1)
    assert picture(rendered(server, gradient, viewport="100,100")).size == (4, 2)
    cut = picture(rendered(server, gradient, viewport="4,4,1,0,2,2"))
    assert list(cut.tobytes()) == [50, 100, 210, 220]
    flipped = picture(rendered(server, gradient, viewport="4,4,0,0,-4,2"))
    assert list(flipped.tobytes()) == [150, 100, 50, 0, 255, 220, 210, 200]
    rest = picture(rendered(server, gradient, viewport="4,4,2,1,,"))
    assert list(rest.tobytes()) == [220, 255]


@pytest.mark.parametrize(
    "viewport", ["1", "0,1", "1,0", "a,b", "-1,1", "1.5,1", "99999,1", "1,1,3,0,2,2", "1,1,-1,0,2,2", "1,1,0,0,0,2",
                 "1,1,0,0,1,1,1", "", "1e999,1"]
)
def test_REN_05_a_wrong_viewport_is_400(server, gradient, viewport):
    rendered(server, gradient, viewport=viewport, expected=400)


def test_REN_06_quality_is_for_lossy_types_only(server, gradient):
    noise = grey([[(x * 7919 + y * 104729) % 251 for x in range(64)] for y in range(64)])
    store(server, part10(noise))
    small = rendered(server, noise, accept="image/jpeg", quality="1")
    large = rendered(server, noise, accept="image/jpeg", quality="100")
    assert len(small.content) < len(large.content)
    assert "Warning" not in large.headers
    assert rendered(server, noise, quality="50").headers["Warning"].startswith("299 ")
    for wrong in ("0", "101", "high", "-1", "5.5", ""):
        rendered(server, gradient, quality=wrong, expected=400)


def overlay(dataset, group, rows, columns, bits, origin=(1, 1)):
    """Bits are texts of 0 and 1, as they are seen."""
    flat = "".join(bits)
    packed = int(flat[::-1], 2).to_bytes((len(flat) + 15) // 16 * 2, "little")
    dataset.add_new((group, 0x0010), "US", rows)
    dataset.add_new((group, 0x0011), "US", columns)
    dataset.add_new((group, 0x0040), "CS", "G")
    dataset.add_new((group, 0x0050), "SS", list(origin))
    dataset.add_new((group, 0x0100), "US", 1)
    dataset.add_new((group, 0x0102), "US", 0)
    dataset.add_new((group, 0x3000), "OW", packed)


def test_REN_02_overlays_are_drawn_when_the_annotation_asks_for_them(server):
    dataset = grey([[10, 20, 30], [40, 50, 60]])
    overlay(dataset, 0x6000, 2, 3, ["100", "001"])
    overlay(dataset, 0x6002, 1, 2, ["11"], origin=(2, 1))  # row, column
    store(server, part10(dataset))
    plain = [10, 20, 30, 40, 50, 60]
    assert list(picture(rendered(server, dataset)).tobytes()) == plain
    answer = rendered(server, dataset, annotation="overlays")
    assert list(picture(answer).tobytes()) == [255, 20, 30, 255, 255, 255] and "Warning" not in answer.headers
    assert "Warning" in rendered(server, dataset, annotation="overlays,flowers").headers
    assert list(picture(get(url_of(server, dataset) + "/thumbnail", PNG)).tobytes()) == plain


def test_REN_02_overlays_of_frames_and_in_unused_bits_are_drawn(server):
    frames = grey([[10, 20]], NumberOfFrames=3)
    frames.PixelData = bytes([10, 20] * 3)
    overlay(frames, 0x6000, 1, 2, ["10", "01"])
    frames.add_new((0x6000, 0x0015), "IS", 2)
    frames.add_new((0x6000, 0x0051), "US", 2)
    words_ = words([0x1000 | 100, 200, 0x0fff, 0x1000], 2, WindowCenter=2048, WindowWidth=4096)
    words_.BitsStored, words_.HighBit, words_.PixelRepresentation = 12, 11, 0
    for element, vr, value in ((0x10, "US", 2), (0x11, "US", 2), (0x40, "CS", "G"), (0x50, "SS", [1, 1]), (0x100, "US", 16), (0x102, "US", 12)):
        words_.add_new((0x6000, element), vr, value)
    store(server, part10(frames), part10(words_))
    for number, expected in ((1, [10, 20]), (2, [255, 20]), (3, [10, 255])):
        shown = rendered(server, frames, f"/frames/{number}/rendered", annotation="overlays")
        assert list(picture(shown).tobytes()) == expected
    plain = list(picture(rendered(server, words_)).tobytes())
    assert plain[0] < 20 and plain[3] == 0
    assert list(picture(rendered(server, words_, annotation="overlays")).tobytes()) == [255, plain[1], plain[2], 255]


def test_REN_02_an_overlay_that_is_cut_short_or_elsewhere_is_drawn_as_far_as_it_is_seen(server):
    dataset = grey([[10, 20], [30, 40]])
    overlay(dataset, 0x6000, 2, 2, ["11", "11"], origin=(2, -1))
    overlay(dataset, 0x6004, 60000, 60000, ["0" * 16])
    store(server, part10(dataset))
    assert list(picture(rendered(server, dataset, annotation="overlays")).tobytes()) == [10, 20, 30, 40]
    edge = grey([[10, 20], [30, 40]])
    overlay(edge, 0x6000, 2, 2, ["11", "11"], origin=(2, 2))
    store(server, part10(edge))
    assert list(picture(rendered(server, edge, annotation="overlays")).tobytes()) == [10, 20, 30, 255]


def test_REN_06_an_annotation_that_is_not_burned_in_is_warned_of(server, gradient):
    answer = rendered(server, gradient, annotation="flowers")
    assert "annotation" in answer.headers["Warning"]


def rgb(pixels, **attributes):
    """A row of pixels in colours."""
    data = b"".join(bytes(p) for p in pixels)
    return make(Rows=1, Columns=len(pixels), SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0,
                BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0, PixelData=data + b"\0" * (len(data) % 2),
                **attributes)


def profile_in(answer):
    image = Image.open(io.BytesIO(answer.content))
    stored = image.info.get("icc_profile")
    return stored and ImageCms.ImageCmsProfile(io.BytesIO(stored)).profile


def swapped():
    """A profile that has another name, and red and blue the other way round."""
    bytes_ = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for i in range(int.from_bytes(bytes_[128:132], "big")):
        entry = 132 + 12 * i
        name = bytes(bytes_[entry:entry + 4])
        bytes_[entry:entry + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(name, name)
    bytes_[12:16] = b"scnr"
    bytes_[24:36] = bytes(12)  # when it was made
    return bytes(bytes_)


COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 120, 40), (255, 255, 255), (0, 0, 0)]


def near(shown, expected, tolerance=2):
    return all(abs(a - b) <= tolerance for p, q in zip(shown, expected, strict=True) for a, b in zip(p, q, strict=True))


def pixels_in(answer):
    return triples(Image.open(io.BytesIO(answer.content)))


def triples(image):
    samples = image.convert("RGB").tobytes()
    return [tuple(samples[i:i + 3]) for i in range(0, len(samples), 3)]


@pytest.mark.parametrize("accept", ["image/jpeg", PNG])
def test_REN_07_a_picture_has_the_profile_that_is_asked_for(server, gradient, accept):
    plain, own = rgb(COLOURS), rgb(COLOURS, ICCProfile=swapped())
    store(server, part10(plain), part10(own))
    for dataset in (plain, own, gradient):
        assert profile_in(rendered(server, dataset, accept=accept, iccprofile="no")) is None
        for space, name in (("srgb", "sRGB"), ("adobergb", "Adobe RGB (1998)"), ("rommrgb", "ROMM RGB")):
            profile = profile_in(rendered(server, dataset, accept=accept, iccprofile=space))
            assert profile.profile_description == name and profile.xcolor_space.strip() == "RGB"
    assert profile_in(rendered(server, plain, accept=accept)) is None
    assert profile_in(rendered(server, plain, accept=accept, iccprofile="yes")).profile_description == "sRGB"
    assert profile_in(rendered(server, gradient, accept=accept, iccprofile="yes")).xcolor_space.strip() == "GRAY"
    for asked in ({}, {"iccprofile": "yes"}):
        image = Image.open(io.BytesIO(rendered(server, own, accept=accept, **asked).content))
        assert image.info["icc_profile"] == swapped()
    assert profile_in(get(url_of(server, own) + "/thumbnail", accept)) is None


def test_REN_07_colours_are_those_of_the_profile_in_the_space_that_is_asked_for(server):
    adobe = rgb(COLOURS, ColorSpace="ADOBERGB")
    plain, own = rgb(COLOURS), rgb(COLOURS, ICCProfile=swapped())
    broken = rgb(COLOURS, ICCProfile=swapped()[:400])
    path = Dataset()
    path.OpticalPathIdentifier, path.ICCProfile = "1", swapped()
    slide = rgb(COLOURS, OpticalPathSequence=[path])
    store(server, *(part10(d) for d in (plain, own, adobe, broken, slide)))
    for dataset in (plain, own, adobe, broken, slide):
        for asked in ({}, {"iccprofile": "no"}, {"iccprofile": "yes"}):
            assert pixels_in(rendered(server, dataset, **asked)) == COLOURS
    for dataset in (plain, broken):
        assert pixels_in(rendered(server, dataset, iccprofile="srgb")) == COLOURS
    for dataset in (own, slide):
        assert near(pixels_in(rendered(server, dataset, iccprofile="srgb")), [c[::-1] for c in COLOURS])
    in_adobe = rendered(server, plain, iccprofile="adobergb")
    for answer in (in_adobe, rendered(server, plain, iccprofile="rommrgb")):
        image = Image.open(io.BytesIO(answer.content))
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        back = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
        assert near(triples(back), COLOURS, 10)  # of 8 bits in a much larger space
    assert pixels_in(in_adobe)[0] != COLOURS[0]
    assert near(pixels_in(rendered(server, adobe, iccprofile="adobergb")), COLOURS)


def test_REN_07_what_is_no_choice_and_what_has_no_profile_is_400(server, gradient):
    for wrong in ("maybe", "", "YES", "srgb,adobergb", "no "):
        rendered(server, gradient, iccprofile=wrong, expected=400)
    for asked in ("yes", "srgb", "adobergb", "rommrgb"):
        rendered(server, gradient, accept="image/gif", iccprofile=asked, expected=400)
        get(url_of(server, gradient, "series") + "/rendered", 'multipart/related; type="image/gif"', 400, iccprofile=asked)
    rendered(server, gradient, accept="image/gif", iccprofile="no")
    parts = parts_of(get(url_of(server, gradient, "series") + "/rendered", 'multipart/related; type="image/png"',
                         iccprofile="adobergb"))
    assert Image.open(io.BytesIO(parts[0][1])).info["icc_profile"]


def test_REN_08_an_instance_without_an_image_is_406_never_500(server):
    dataset = make()
    for name in ("PixelData", "Rows", "Columns"):
        if name in dataset:
            delattr(dataset, name)
    store(server, part10(dataset))
    rendered(server, dataset, expected=406)
    rendered(server, dataset, "/thumbnail", expected=404)


def code(meaning, value="121", scheme="DCM"):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


def content(kind, name=None, relationship="CONTAINS", **attributes):
    item = Dataset()
    item.RelationshipType, item.ValueType = relationship, kind
    if name:
        item.ConceptNameCodeSequence = code(name)
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def bare(**attributes):
    """An instance without an image."""
    dataset = make(**attributes)
    for name in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel",
                 "PixelRepresentation", "PhotometricInterpretation"):
        delattr(dataset, name)
    return dataset


def report(image, **attributes):
    unit, value = Dataset(), Dataset()
    value.MeasurementUnitsCodeSequence = code("millimeter", "mm", "UCUM")
    value.NumericValue = "12.5"
    reference, evidence, series = Dataset(), Dataset(), Dataset()
    for item in (reference, unit):
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = image.SeriesInstanceUID, [unit]
    evidence.StudyInstanceUID, evidence.ReferencedSeriesSequence = image.StudyInstanceUID, [series]
    number = content("NUM", "Diameter", MeasuredValueSequence=[value])
    number.ContentSequence = [content("CODE", "Method", "HAS CONCEPT MOD", ConceptCodeSequence=code("Caliper"))]
    section = content("CONTAINER", "Findings", ContentSequence=[
        content("TEXT", "Note", TextValue="<script>alert('\xe4')</script> & more\nsecond line"),
        number,
        content("IMAGE", ReferencedSOPSequence=[reference]),
        content("PNAME", "Reader", PersonName="Roe^Richard"),
        content("DATE", "Seen", Date="20260203"),
    ])
    return bare(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22", Modality="SR", SpecificCharacterSet="ISO_IR 100",
                ValueType="CONTAINER", ConceptNameCodeSequence=code("Imaging Report"), ContinuityOfContent="SEPARATE",
                CompletionFlag="COMPLETE", VerificationFlag="UNVERIFIED", ContentSequence=[section],
                CurrentRequestedProcedureEvidenceSequence=[evidence], **attributes)


def test_REN_08_a_report_is_a_page_of_html_whose_texts_are_escaped(server, gradient):
    dataset = report(gradient)
    store(server, part10(dataset))
    answer = rendered(server, dataset, accept=None)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    page = answer.content.decode("utf-8")
    assert "<h1>Imaging Report</h1>" in page and "Findings</h2>" in page
    assert "<script" not in page and "&lt;script&gt;alert(&#39;\xe4&#39;)&lt;/script&gt; &amp; more\nsecond line" in page
    assert "<b>Diameter</b>: <span>12.5 millimeter</span>" in page
    assert "<b>Method</b>: <span>Caliper</span>" in page
    assert "Roe,Richard" in page and "2026-02-03" in page and "Doe,Jane" in page
    link = re.search('href="([^"]+)"', page).group(1)
    assert link == url_of(server, gradient) + "/rendered"
    assert picture(get(link, PNG)).size == (4, 2)


def test_REN_08_a_report_is_plain_text_on_request(server, gradient):
    dataset = report(gradient)
    store(server, part10(dataset))
    answer = rendered(server, dataset, accept="text/plain")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    text = answer.content.decode("utf-8")
    assert text.startswith("Imaging Report\n")
    assert "Diameter: 12.5 millimeter\n" in text and "<script>alert('\xe4')</script> & more" in text
    assert url_of(server, gradient) + "/rendered" in text
    rendered(server, dataset, accept="image/jpeg", expected=406)
    rendered(server, dataset, "/thumbnail", accept=None, expected=404)


def test_REN_08_a_reference_that_the_evidence_does_not_place_is_no_link(server, gradient):
    dataset = report(gradient)
    del dataset.CurrentRequestedProcedureEvidenceSequence
    store(server, part10(dataset))
    page = rendered(server, dataset, accept=None).text
    assert "href" not in page and gradient.SOPInstanceUID in page


def test_REN_08_a_report_as_deep_as_data_sets_may_nest_is_a_page(server):
    items = [content("TEXT", "Deep", TextValue="the bottom")]
    for level in range(50):
        items = [content("CONTAINER", f"Level {level}", ContentSequence=items)]
    dataset = bare(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", Modality="SR", ValueType="CONTAINER",
                   ContentSequence=items)
    store(server, part10(dataset))
    page = rendered(server, dataset, accept=None).text
    assert "the bottom" in page and page.count("<ul>") == page.count("</ul>") == 52
    assert page.count("<li>") == page.count("</li>")


def test_REN_08_long_texts_that_stand_outside_of_the_header_are_shown_whole(server):
    text = "a long finding, " * 5000
    dataset = bare(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR", ValueType="CONTAINER",
                   ContentSequence=[content("TEXT", "Note", TextValue=text)])
    store(server, part10(dataset))
    assert text.strip() in rendered(server, dataset, accept=None).text


@pytest.mark.parametrize(
    "number, kind", [(1, "application/pdf"), (2, "text/xml"), (3, "model/stl"), (4, "model/obj"), (5, "model/mtl")]
)
@pytest.mark.parametrize("size", [33, 10001])
def test_REN_08_encapsulated_documents_come_as_they_are(server, number, kind, size):
    document = (b"%PDF or the like \x00\xff" * 1000)[:size]
    dataset = bare(SOPClassUID=f"1.2.840.10008.5.1.4.1.1.104.{number}", Modality="DOC",
                   MIMETypeOfEncapsulatedDocument="text/html", EncapsulatedDocumentLength=size)
    dataset.add_new("EncapsulatedDocument", "OB", document + b"\0")
    store(server, part10(dataset), part10(dataset))
    answer = rendered(server, dataset, accept=None)
    assert answer.headers["Content-Type"] == kind
    assert answer.content == document
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert ("Content-Security-Policy" in answer.headers) == (kind == "text/xml")
    assert rendered(server, dataset, accept=kind).content == document
    rendered(server, dataset, accept="image/png", expected=406)


def test_REN_09_each_level_has_one_small_picture(server):
    study, series = new_uid(), new_uid()
    datasets = [
        grey([[n * 50] * 300] * 200, study=study, series=series, InstanceNumber=n) for n in (1, 2, 3)
    ]
    store(server, *(part10(d) for d in datasets))
    for level in ("study", "series"):
        shown = picture(get(url_of(server, datasets[0], level) + "/thumbnail", PNG))
        assert shown.size == (128, 85)
        assert set(shown.tobytes()) == {100}
    assert set(picture(rendered(server, datasets[2], "/thumbnail")).tobytes()) == {150}
    assert picture(rendered(server, datasets[2], "/frames/1/thumbnail", viewport="30,30")).size == (30, 20)
    rendered(server, datasets[2], "/thumbnail", viewport="30,30,0,0,10,10", expected=400)


def test_REN_09_a_series_whose_middle_is_no_image_has_a_thumbnail_with_one_etag(server):
    image = grey([[10, 20]], InstanceNumber=1)
    text = bare(study=image.StudyInstanceUID, series=image.SeriesInstanceUID, InstanceNumber=2)
    store(server, part10(image), part10(text))
    url = url_of(server, image, "series") + "/thumbnail"
    answer = get(url, PNG)
    assert list(picture(answer).tobytes()) == [10, 20]
    assert re.fullmatch(r'"[^", ]+"', answer.headers["ETag"]) and answer.headers["Cache-Control"] == "private, no-cache"
    again = requests.get(url, headers={"Accept": PNG, "If-None-Match": answer.headers["ETag"]}, timeout=30)
    assert again.status_code == 304 and again.headers["ETag"] == answer.headers["ETag"]


def test_REN_unknown_and_deleted_ones_are_404_and_410(server):
    dataset = grey([[1, 2]])
    rendered(server, dataset, expected=404)
    rendered(server, dataset, "/thumbnail", expected=404)
    store(server, part10(dataset))
    assert requests.delete(url_of(server, dataset, "study"), timeout=30).status_code in (200, 204)
    rendered(server, dataset, expected=410)
    rendered(server, dataset, "/thumbnail", expected=410)


SAMPLES = [
    "CT_small.dcm",
    "MR_small.dcm",
    "JPEG2000.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "examples_palette.dcm",
    "examples_rgb_color.dcm",
    "examples_ybr_color.dcm",
    "examples_jpeg2k.dcm",
    "examples_overlay.dcm",
    "liver_1frame.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_rle_16bit.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "rtdose.dcm",
    "rtdose_1frame.dcm",
    "image_dfl.dcm",
]


@pytest.mark.parametrize("name", SAMPLES)
def test_REN_02_real_images_have_a_picture_of_their_size(server, name):
    dataset = pydicom.dcmread(pydicom.data.get_testdata_file(name, download=False))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = new_uid()  # some files share theirs
    file = io.BytesIO()
    dataset.save_as(file)
    store(server, file.getvalue())
    shown = picture(rendered(server, dataset, accept=None))
    assert shown.size == (dataset.Columns, dataset.Rows)
    assert shown.getextrema() != ((0, 0),) * len(shown.getbands())


def test_the_sample_studies_are_pictures_to_look_at(server, sample_data):
    seen = 0
    for path in sorted(pathlib.Path(sample_data).rglob("*.dcm")):
        dataset = pydicom.dcmread(path, stop_before_pixels=False)
        if "PixelData" not in dataset or path.name.startswith("axial-") and path.name != "axial-0030.dcm":
            continue
        store(server, path.read_bytes())
        image = picture(rendered(server, dataset)).convert("L")
        histogram = image.histogram()
        pixels = sum(histogram)
        grey = sum(histogram[8:248])
        assert grey > pixels / 50, f"{path.name}: {grey} of {pixels} pixels are neither black nor white"
        seen += 1
    assert seen >= 8


def reference_to(image, *frames):
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    if frames:
        item.ReferencedFrameNumber = list(frames)
    return item


def item_of(**attributes):
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def presentation(*images, **attributes):
    """A grayscale softcopy presentation state of images."""
    series = {}
    for image in images:
        series.setdefault(image.SeriesInstanceUID, []).append(reference_to(image))
    state = bare(study=images[0].StudyInstanceUID, SOPClassUID="1.2.840.10008.5.1.4.1.1.11.1", Modality="PR",
                 **{"PresentationLUTShape": "IDENTITY", **attributes})
    if "ReferencedSeriesSequence" not in state:
        state.ReferencedSeriesSequence = [item_of(SeriesInstanceUID=uid, ReferencedImageSequence=items)
                                          for uid, items in series.items()]
    return state


def shown_by(server, state, **parameters):
    store(server, part10(state))
    image = picture(rendered(server, state, **parameters))
    return [list(image.tobytes()[i : i + image.width]) for i in range(0, image.width * image.height, image.width)]


def area(left, top, right, bottom, **attributes):
    return [item_of(DisplayedAreaTopLeftHandCorner=[left, top], DisplayedAreaBottomRightHandCorner=[right, bottom],
                    PresentationSizeMode="SCALE TO FIT", PresentationPixelAspectRatio=[1, 1], **attributes)]


PIXELS = [[0, 50, 100, 150], [200, 210, 220, 255]]


@pytest.mark.parametrize(
    "attributes, expected",
    [
        ({}, PIXELS),
        ({"PresentationLUTShape": "INVERSE"}, [[255 - v for v in row] for row in PIXELS]),
        ({"RescaleSlope": "0.5", "RescaleIntercept": "0", "SoftcopyVOILUTSequence":
            [item_of(WindowCenter="64", WindowWidth="1")]}, [[0, 0, 0, 255], [255, 255, 255, 255]]),
        ({"ImageRotation": 90, "ImageHorizontalFlip": "N"}, [[200, 0], [210, 50], [220, 100], [255, 150]]),
        ({"ImageRotation": 180, "ImageHorizontalFlip": "N"}, [[255, 220, 210, 200], [150, 100, 50, 0]]),
        ({"ImageRotation": 270, "ImageHorizontalFlip": "N"}, [[150, 255], [100, 220], [50, 210], [0, 200]]),
        ({"ImageRotation": 0, "ImageHorizontalFlip": "Y"}, [[150, 100, 50, 0], [255, 220, 210, 200]]),
        ({"ImageRotation": 90, "ImageHorizontalFlip": "Y"}, [[0, 200], [50, 210], [100, 220], [150, 255]]),
        ({"DisplayedAreaSelectionSequence": area(2, 1, 3, 2)}, [[50, 100], [210, 220]]),
        ({"DisplayedAreaSelectionSequence": area(0, 2, 2, 3)}, [[0, 200, 210], [0, 0, 0]]),
        ({"DisplayedAreaSelectionSequence": area(3, 2, 2, 1)}, [[50, 100], [210, 220]]),
        ({"ShutterShape": "RECTANGULAR", "ShutterLeftVerticalEdge": 2, "ShutterRightVerticalEdge": 3,
          "ShutterUpperHorizontalEdge": 1, "ShutterLowerHorizontalEdge": 1, "ShutterPresentationValue": 0x0700},
         [[7, 50, 100, 7], [7, 7, 7, 7]]),
        ({"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [1, 1], "RadiusOfCircularShutter": 1},
         [[0, 50, 0, 0], [200, 0, 0, 0]]),
        ({"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [0, 2, 0, 9, 9, 9, 9, 2]},
         [[0, 50, 100, 150], [0, 210, 220, 255]]),
    ],
)
def test_REN_10_a_presentation_state_is_applied(server, attributes, expected):
    image = grey(PIXELS, WindowCenter="10", WindowWidth="5", RescaleSlope="3", RescaleIntercept="7")
    store(server, part10(image))
    assert shown_by(server, presentation(image, **attributes)) == expected


def test_REN_10_the_voi_lut_of_the_image_that_it_is_for(server):
    study, series = new_uid(), new_uid()
    images = [grey(PIXELS, study=study, series=series, InstanceNumber=n) for n in (1, 2)]
    store(server, *(part10(d) for d in images))
    luts = [item_of(WindowCenter=center, WindowWidth="1", ReferencedImageSequence=[reference_to(image)])
            for center, image in zip(("101", "211"), images)]
    state = presentation(*images, SoftcopyVOILUTSequence=luts)
    store(server, part10(state))
    answer = rendered(server, state, accept='multipart/related; type="image/png"')
    shown = [list(Image.open(io.BytesIO(content)).tobytes()) for _, content in parts_of(answer)]
    assert shown == [[0, 0, 0, 255, 255, 255, 255, 255], [0, 0, 0, 0, 0, 0, 255, 255]]
    assert len(parts_of(rendered(server, state, accept=None))) == 2
    assert list(picture(rendered(server, state)).tobytes()) == shown[0]


def test_REN_10_overlays_of_image_and_state_are_drawn_in_the_grey_of_their_layer(server):
    image = grey(PIXELS)
    state = presentation(image, GraphicLayerSequence=[
        item_of(GraphicLayer="ONE", GraphicLayerOrder=1, GraphicLayerRecommendedDisplayGrayscaleValue=0x1100),
        item_of(GraphicLayer="TWO", GraphicLayerOrder=2, GraphicLayerRecommendedDisplayGrayscaleValue=0x2200)])
    for place, group, bits in ((image, 0x6000, 0b00000001), (state, 0x6002, 0b00000010), (image, 0x6004, 0b00001111)):
        for element, vr, value in ((0x0010, "US", 2), (0x0011, "US", 2), (0x0040, "CS", "G"), (0x0050, "SS", [1, 2]),
                                   (0x0100, "US", 1), (0x0102, "US", 0), (0x3000, "OW", bytes([bits, 0]))):
            place.add_new(group << 16 | element, vr, value)
    state.add_new(0x60001001, "CS", "ONE")
    state.add_new(0x60021001, "CS", "TWO")
    store(server, part10(image))
    assert shown_by(server, state) == [[0, 0x11, 0x22, 150], PIXELS[1]]


def annotated(units="PIXEL", graphics=(), texts=(), **attributes):
    objects = [item_of(GraphicAnnotationUnits=units, GraphicDimensions=2, NumberOfGraphicPoints=len(data) // 2,
                       GraphicData=data, GraphicType=kind, GraphicFilled=filled) for kind, data, filled in graphics]
    return [item_of(GraphicLayer="L", GraphicObjectSequence=objects, TextObjectSequence=list(texts), **attributes)]


def black(side=40, **attributes):
    return grey([[0] * side] * side, **attributes)


def lit(rows):
    return {(x, y) for y, row in enumerate(rows) for x, value in enumerate(row) if value}


@pytest.mark.parametrize("turned, move", [
    ({}, lambda x, y: (x, y)),
    ({"ImageRotation": 90, "ImageHorizontalFlip": "N"}, lambda x, y: (39 - y, x)),
    ({"ImageRotation": 0, "ImageHorizontalFlip": "Y"}, lambda x, y: (39 - x, y)),
    ({"DisplayedAreaSelectionSequence": area(3, 5, 40, 40)}, lambda x, y: (x - 2, y - 4)),
])
def test_REN_10_graphics_stay_at_the_pixels_that_they_are_about(server, turned, move):
    image = black()
    store(server, part10(image))
    lines = annotated(graphics=[("POLYLINE", [11.0, 21.0, 31.0, 21.0], "N")])
    shown = lit(shown_by(server, presentation(image, GraphicAnnotationSequence=lines, **turned)))
    assert {move(x, 20) for x in range(11, 30)} <= shown
    assert all(any(abs(x - a) + abs(y - b) <= 1 for a, b in (move(c, 20) for c in range(10, 31))) for x, y in shown)


def test_REN_10_shapes_are_drawn_and_filled(server):
    image = black()
    store(server, part10(image))
    shapes = [("CIRCLE", [10.0, 10.0, 16.0, 10.0], "Y"), ("ELLIPSE", [22.0, 30.0, 38.0, 30.0, 30.0, 26.0, 30.0, 34.0], "N"),
              ("POINT", [30.0, 8.0], "N"), ("INTERPOLATED", [2.0, 30.0, 8.0, 36.0, 14.0, 30.0], "N")]
    shown = lit(shown_by(server, presentation(image, GraphicAnnotationSequence=annotated(graphics=shapes))))
    assert {(9, 9), (9, 5), (13, 9)} <= shown and (30 - 1, 30 - 1) not in shown
    assert any((x, 29) in shown for x in (20, 21, 22)) and (29, 7) in shown
    assert any((7, y) in shown for y in (34, 35, 36))
    nothing = lit(shown_by(server, presentation(image, GraphicAnnotationSequence=annotated(
        graphics=shapes, ReferencedImageSequence=[reference_to(black())]))))
    assert not nothing, "they are for another image"


def test_REN_10_text_is_written_upright_where_its_box_is(server):
    image = black(80)
    store(server, part10(image))
    text = item_of(UnformattedTextValue="Line\r\nTwo", BoundingBoxAnnotationUnits="DISPLAY",
                   BoundingBoxTopLeftHandCorner=[0.5, 0.25], BoundingBoxBottomRightHandCorner=[1.0, 0.5])
    for turned in ({}, {"ImageRotation": 180, "ImageHorizontalFlip": "Y"}):
        shown = lit(shown_by(server, presentation(image, GraphicAnnotationSequence=annotated(texts=[text]), **turned)))
        assert {(40, y) for y in range(20, 27)} <= shown and {(x, 26) for x in range(40, 45)} <= shown, "an L"
        assert all(40 <= x < 70 and 20 <= y < 40 for x, y in shown)
    fitted = picture(rendered(server, presentation_of(server, image, text), viewport="40,40"))
    assert fitted.size == (40, 40) and fitted.getextrema()[1] == 255


def presentation_of(server, image, text):
    state = presentation(image, GraphicAnnotationSequence=annotated(texts=[text]))
    store(server, part10(state))
    return state


def test_REN_10_a_state_without_images_is_406_and_with_a_window_400(server, gradient):
    state = presentation(gradient)
    nowhere = presentation(grey(PIXELS))
    nothing = presentation(gradient, ReferencedSeriesSequence=[])
    store(server, part10(state), part10(nowhere), part10(nothing))
    rendered(server, state, window="1,2,linear", expected=400)
    rendered(server, nowhere, expected=404)
    rendered(server, nothing, expected=406)
    huge = presentation(gradient, DisplayedAreaSelectionSequence=area(1, 1, 2000000, 2000000))
    store(server, part10(huge))
    rendered(server, huge, expected=406)


def test_REN_10_a_hostile_state_draws_no_longer_than_a_picture_may(server):
    image = black(200)
    long_line = [value for n in range(9000) for value in (-1e6 * (n % 2), 100.0, 1e6, float(n % 200))][:40000]
    shapes = annotated(graphics=[("POLYLINE", [float(v) for v in long_line], "Y")] * 40)
    state = presentation(image, GraphicAnnotationSequence=shapes)
    store(server, part10(image), part10(state))
    assert "draws more" in rendered(server, state, expected=406).text


@pytest.mark.parametrize("accept", ["application/dicom, image/jpeg", 'multipart/related; type="application/dicom", image/png',
                                    "application/dicom+json, image/*"])
def test_REN_10_objects_and_pictures_are_not_asked_for_at_once(server, gradient, accept):
    rendered(server, gradient, accept=accept, expected=400)
    rendered(server, gradient, accept=accept + ";q=0", expected=406)


def test_REN_06_patient_and_technique_are_burned_in_when_they_are_asked_for(server):
    image = black(120)
    store(server, part10(image))
    assert not any(rendered_pixels(server, image))
    patient = rendered_pixels(server, image, annotation="patient")
    technique = rendered_pixels(server, image, annotation="technique")
    half = len(patient) // 2
    assert any(patient[:half]) and not any(patient[half:])
    assert any(technique[half:]) and not any(technique[: half // 2])
    both = rendered_pixels(server, image, annotation="patient,technique")
    assert both == [max(a, b) for a, b in zip(patient, technique)]
    assert rendered_pixels(server, image, annotation="patient,flowers") == patient
    assert "Warning" not in rendered(server, image, annotation="patient").headers
    assert "annotation" in rendered(server, image, annotation="patient,flowers").headers["Warning"]
    assert not any(picture(rendered(server, image, "/thumbnail", annotation="patient")).tobytes()), "never in a thumbnail"


def rendered_pixels(server, image, **parameters):
    return list(picture(rendered(server, image, **parameters)).tobytes())


def metric(server, name):
    text = requests.get(f"{server.url}/metrics", timeout=30).text
    return int(re.search(rf"^hounsfield_{name} (\d+)$", text, re.M)[1])


def test_WADO_14_a_picture_that_is_asked_for_again_is_the_same_and_goes_with_its_instance(start_server):
    server = start_server({"store": {"onConflict": "replace"}})
    first = grey([[10, 20], [30, 40]])
    store(server, part10(first))
    url = url_of(server, first) + "/rendered"
    drawn = rendered(server, first)
    again = rendered(server, first)
    assert again.content == drawn.content and again.headers["ETag"] == drawn.headers["ETag"]
    assert (metric(server, "picture_cache_hits_total"), metric(server, "picture_cache_misses_total")) == (1, 1)
    assert rendered(server, first, accept="image/jpeg").content[:2] == b"\xff\xd8"
    assert rendered(server, first, viewport="1,1").content != drawn.content
    known = requests.get(url, headers={"Accept": PNG, "If-None-Match": drawn.headers["ETag"]}, timeout=30)
    assert known.status_code == 304 and not known.content
    kept = metric(server, "picture_cache_bytes")
    assert kept > len(drawn.content)

    other = copy.deepcopy(first)
    other.PixelData = bytes([50, 60, 70, 80])
    store(server, part10(other))
    anew = rendered(server, first)
    assert list(picture(anew).tobytes()) == [50, 60, 70, 80] and anew.headers["ETag"] != drawn.headers["ETag"]
    assert metric(server, "picture_cache_bytes") < kept

    assert requests.delete(url_of(server, first), timeout=30).status_code == 204
    assert requests.get(url, timeout=30).status_code == 410
    assert metric(server, "picture_cache_bytes") == 0


def cache_counts(server):
    return metric(server, "picture_cache_hits_total"), metric(server, "picture_cache_misses_total")


def contents(answer):
    return [content for _, content in parts_of(answer)]


def test_WADO_14_pictures_of_several_parts_are_kept_one_by_one(start_server):
    server = start_server({})
    study, series = new_uid(), new_uid()
    images = [grey([[n, 20]], study=study, series=series, InstanceNumber=n) for n in (1, 2)]
    store(server, *(part10(d) for d in images))
    accept = 'multipart/related; type="image/png"'
    url = url_of(server, images[0], "series") + "/rendered"
    drawn = contents(get(url, accept))
    assert [list(Image.open(io.BytesIO(c)).tobytes()) for c in drawn] == [[1, 20], [2, 20]]
    assert cache_counts(server) == (0, 2)
    assert contents(get(url, accept)) == drawn and cache_counts(server) == (2, 2)
    assert rendered(server, images[1]).content == drawn[1] and cache_counts(server) == (3, 2)
    assert contents(get(url, accept, window="10,20,linear")) != drawn and cache_counts(server) == (3, 4)

    kept = metric(server, "picture_cache_bytes")
    assert requests.delete(url_of(server, images[0]), timeout=30).status_code == 204
    assert contents(get(url, accept)) == drawn[1:]
    assert metric(server, "picture_cache_bytes") < kept


def test_WADO_14_parts_of_one_image_that_are_kept_are_told_apart_by_their_frames(start_server):
    server = start_server({})
    image = make(NumberOfFrames=3, Rows=1, Columns=2, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=bytes(range(6)))
    state = presentation(image, ReferencedSeriesSequence=[
        item_of(SeriesInstanceUID=image.SeriesInstanceUID, ReferencedImageSequence=[reference_to(image, 1, 3)])])
    store(server, part10(image), part10(state))
    accept = 'multipart/related; type="image/png"'
    frames = url_of(server, image) + "/frames/3,2,3/rendered"
    for _ in range(2):
        shown = [list(Image.open(io.BytesIO(c)).tobytes()) for c in contents(get(frames, accept))]
        assert shown == [[4, 5], [2, 3], [4, 5]]
        shown = [list(Image.open(io.BytesIO(c)).tobytes())
                 for c in contents(get(url_of(server, state) + "/rendered", accept))]
        assert shown == [[0, 1], [4, 5]]
    assert cache_counts(server) == (6, 4)


MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(range(200)) * 20


def video(stream, syntax=MPEG4HP41, **attributes):
    dataset = make(NumberOfFrames=25, Rows=576, Columns=720, SamplesPerPixel=3, PhotometricInterpretation="YBR_PARTIAL_420",
                   BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=encapsulate([stream[:1000], stream[1000:]], has_bot=False),
                   **attributes)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset, part10(dataset, syntax)


@pytest.mark.parametrize("stream, syntax, media", [
    (MP4, MPEG4HP41, "video/mp4"),
    (b"\x47\x40\0\x10" + bytes(4000), MPEG4HP41, "video/mp2t"),
    (b"\0\0\1\xb3" + bytes(4000), MPEG2MPML, "video/mpeg"),
])
def test_REN_03_video_is_rendered_as_it_is_stored(server, stream, syntax, media):
    dataset, content = video(stream, syntax)
    store(server, content)
    for accept in (None, media, f"image/jpeg;q=0.5, {media}", "video/*"):
        answer = rendered(server, dataset, accept=accept)
        assert answer.headers["Content-Type"] == media and answer.content == stream
    url = url_of(server, dataset) + "/rendered"
    part = requests.get(url, headers={"Range": "bytes=990-1009"}, timeout=30)
    assert part.status_code == 206 and part.content == stream[990:1010]
    assert requests.get(url, headers={"If-None-Match": answer.headers["ETag"]}, timeout=30).status_code == 304
    rendered(server, dataset, accept="image/jpeg", expected=406)
    rendered(server, dataset, accept="video/quicktime", expected=406)
    rendered(server, dataset, "/frames/1/rendered", accept="image/jpeg", expected=406)
    rendered(server, dataset, "/thumbnail", expected=404)


def test_REN_03_video_that_is_empty_or_cut_short_is_406_never_500(server):
    tiny, content = video(b"\0\1" * 501)
    store(server, content)
    assert rendered(server, tiny, accept="video/mp4").content == b"\0\1" * 501
    nothing, _ = video(MP4)
    nothing.PixelData = b"\xfe\xff\0\xe0\0\0\0\0"  # a Basic Offset Table alone
    store(server, part10(nothing, MPEG4HP41))
    rendered(server, nothing, accept="video/mp4", expected=406)


def test_REN_09_a_series_and_a_study_with_video_have_the_thumbnail_of_their_image(server):
    study = new_uid()
    dataset, content = video(MP4, study=study, SeriesNumber=1)
    image = grey([[7, 7], [7, 7]], study=study, SeriesNumber=2)
    store(server, content, part10(image))
    for level in ("study", "series", "instance"):
        assert list(picture(get(url_of(server, image, level) + "/thumbnail", PNG)).tobytes()) == [7] * 4
    assert list(picture(get(url_of(server, image) + "/frames/1/thumbnail", PNG)).tobytes()) == [7] * 4
    get(url_of(server, dataset, "series") + "/thumbnail", PNG, 404)
