# SPDX-License-Identifier: MIT
"""OHIF in a headless Chromium works on this server: what it paints is compared with what the server renders, pixel by pixel.

The viewer is the npm package that OHIF publishes, fetched once into the build folder; Chromium is Debian's. Where one of them
cannot be had the tests are skipped and say so, and fail in CI."""
import io
import json
import pathlib
import shutil
import subprocess
import tarfile
import time
import urllib.parse
import warnings

import pydicom
import pytest
import requests
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import MPEG4HP41, ExplicitVRLittleEndian, HTJ2KLossless, generate_uid

import tiny_video
from browser import Browser, find_chromium
from conftest import BUILD, Server, unavailable

OHIF = "@ohif/app@3.13.2"
GRID = 48  # the pictures are compared at this many places across and down
ALIKE = 0.9  # correlation: another image, another window's inversion or swapped colours are well below


@pytest.fixture(scope="session")
def ohif():
    folder = BUILD.parent / "ohif-3.13.2"
    if (folder / "index.html").exists():
        return folder
    if not shutil.which("npm"):
        unavailable(f"npm is not installed: {OHIF} cannot be fetched")
    unpacked = pathlib.Path(f"{folder}.new")
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(parents=True)
    run = subprocess.run(["npm", "pack", OHIF, "--silent", "--pack-destination", str(unpacked)], cwd=unpacked, text=True,
                         capture_output=True, timeout=300)
    if run.returncode:
        unavailable(f"the npm registry did not give {OHIF}: {run.stderr[-300:]}")
    with tarfile.open(next(unpacked.glob("*.tgz"))) as archive:
        # Without source maps and the models of machine learning: half of the time.
        wanted = [m for m in archive.getmembers() if m.isfile() and m.name.startswith("package/dist/")
                  and not m.name.endswith(".map") and "/dist/ort/" not in m.name and ".." not in m.name]
        for member in wanted:
            path = unpacked / member.name.removeprefix("package/dist/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.extractfile(member).read())
    next(unpacked.glob("*.tgz")).unlink()
    unpacked.rename(folder)
    return folder


@pytest.fixture(scope="module")
def archive(ohif, session_folder, sample_data):
    """A server with the viewer, the sample studies and one of many formats."""
    if not find_chromium():
        unavailable("Chromium is not installed")
    server = Server(session_folder / "viewer", {"http": {"viewerDirectory": str(ohif)}}).start()
    store(server, [path.read_bytes() for path in sorted(sample_data.rglob("*.dcm"))])
    store(server, formats())
    server.formats = [*FORMATS, *store_as_htj2k(server)]
    yield server
    assert server.stop() == 0
    assert "Sanitizer" not in server.log() and "runtime error" not in server.log()


@pytest.fixture(scope="module")
def browser(archive, session_folder):
    browser = Browser(session_folder)
    browser.open(archive.url + "/viewer")
    browser.wait_text("Study List", 120)
    browser.evaluate("""localStorage.setItem('shownTours', '["basicViewerTour"]')""")
    yield browser
    browser.close()


# --- what is stored ---

FORMATS = {
    "implicit": "MR_small_implicit.dcm",
    "big endian": "MR_small_bigendian.dcm",
    "deflated": "image_dfl.dcm",
    "RLE": "MR_small_RLE.dcm",
    "RLE colour": "SC_rgb_rle.dcm",
    "JPEG colour": "SC_rgb_jpeg_dcmtk.dcm",
    "JPEG 12 bit": "JPGExtended.dcm",
    "JPEG lossless": "SC_rgb_jpeg_gdcm.dcm",
    "JPEG-LS": "MR_small_jpeg_ls_lossless.dcm",
    "JPEG 2000": "MR_small_jp2klossless.dcm",
    "JPEG 2000 colour": "examples_jpeg2k.dcm",
    "palette": "examples_palette.dcm",
    "colour planes": "examples_rgb_color.dcm",
}


def formats():
    study = generate_uid(entropy_srcs=["formats"])
    for number, (description, name) in enumerate(FORMATS.items(), 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(get_testdata_file(name, download=False))
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, generate_uid(entropy_srcs=["formats", name])
            dataset.PatientID, dataset.PatientName, dataset.StudyDescription = "FORMATS", "Formats^All", "Many formats"
            dataset.StudyDate, dataset.Modality = "20260101", dataset.get("Modality") or "OT"
            dataset.SeriesNumber, dataset.SeriesDescription, dataset.InstanceNumber = number, description, 1
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["one", name])
            file = io.BytesIO()
            dataset.save_as(file)
        yield file.getvalue()


def store_as_htj2k(server):
    """What the server itself makes of one of them: that the viewer decodes it shows that it is what it says."""
    study = study_of(server, "Many formats")
    instance = instances_of(server, study, series_of(server, study, "RLE"))[0]
    answer = requests.get(f"{server.dicomweb}/{instance}", timeout=60,
                          headers={"Accept": f"application/dicom; transfer-syntax={HTJ2KLossless}"})
    if answer.status_code == 406:  # a build without OpenJPH
        return []
    assert answer.status_code == 200, answer.text
    dataset = pydicom.dcmread(io.BytesIO(answer.content))
    assert dataset.file_meta.TransferSyntaxUID == HTJ2KLossless
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["formats", "HTJ2K"])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["one", "HTJ2K"])
    dataset.SeriesNumber, dataset.SeriesDescription = len(FORMATS) + 1, "HTJ2K"
    file = io.BytesIO()
    dataset.save_as(file)
    store(server, [file.getvalue()])
    return ["HTJ2K"]


def store(server, files):
    body = b"".join(b"--limit\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files) + b"--limit--\r\n"
    answer = requests.post(server.dicomweb + "/studies", data=body, headers={
        "Content-Type": 'multipart/related; type="application/dicom"; boundary=limit'}, timeout=60)
    assert answer.status_code == 200, answer.text


def find(server, path, **query):
    answer = requests.get(f"{server.dicomweb}/{path}", params=urllib.parse.urlencode(query, quote_via=urllib.parse.quote), timeout=60)
    return answer.json() if answer.status_code == 200 else []


def uid(item, tag):
    return item[tag]["Value"][0]


def study_of(server, description):
    return uid(find(server, "studies", StudyDescription=description)[0], "0020000D")


def series_of(server, study, description):
    return uid(find(server, f"studies/{study}/series", SeriesDescription=description)[0], "0020000E")


def instances_of(server, study, series):
    """In order of their numbers: paths."""
    found = find(server, f"studies/{study}/series/{series}/instances")
    found.sort(key=lambda item: uid(item, "00200013"))
    return [f"studies/{study}/series/{series}/instances/{uid(item, '00080018')}" for item in found]


# --- what is seen ---

def open_study(browser, server, study, series=None):
    only = f"&SeriesInstanceUIDs={series}" if series else ""
    browser.open(f"{server.url}/viewer/viewer?StudyInstanceUIDs={study}{only}")
    browser.wait("!!document.querySelector('canvas.cornerstone-canvas')")
    # That it is not for diagnosis is said once a session.
    browser.evaluate("document.querySelectorAll('[data-cy=\"confirm-and-hide-button\"]').forEach(e => e.click())")


def show_series(browser, description):
    found = ("[...document.querySelectorAll('[data-cy^=\"study-browser-thumbnail\"]')]"
             f".find(e => e.innerText.split('\\n').includes({json.dumps(description)}))")
    browser.wait(f"!!{found}")
    browser.evaluate(f"{found}.scrollIntoView(), {found}.dispatchEvent(new MouseEvent('dblclick', {{bubbles: true}}))")


def canvas_box(browser):
    return browser.evaluate("(r => [r.left, r.top, r.right, r.bottom])"
                            "(document.querySelector('canvas.cornerstone-canvas').getBoundingClientRect())")


def values(picture):
    """The pixels of the middle, where nothing is written over them, at a few places; all three colours."""
    width, height = picture.size
    middle = picture.crop((width // 8, height // 8, width - width // 8, height - height // 8))
    return list(middle.resize((GRID, GRID), Image.BOX).tobytes())


def correlation(one, other):
    n = len(one)
    mean, other_mean = sum(one) / n, sum(other) / n
    products = sum((a - mean) * (b - other_mean) for a, b in zip(one, other))
    squares = sum((a - mean) ** 2 for a in one) * sum((b - other_mean) ** 2 for b in other)
    return products / squares ** 0.5 if squares else 0


def rendered(server, instance, frame=1):
    """As the server itself shows it."""
    answer = requests.get(f"{server.dicomweb}/{instance}/frames/{frame}/rendered", headers={"Accept": "image/png"}, timeout=60)
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content)).convert("RGB")


def likeness(browser, expected):
    """How much what the canvas shows is like that picture, fitted into it as the viewer does."""
    box = canvas_box(browser)
    shown = browser.screenshot().crop([round(edge) for edge in box])
    scale = min(shown.width / expected.width, shown.height / expected.height)
    size = (round(expected.width * scale), round(expected.height * scale))
    left, top = (shown.width - size[0]) // 2, (shown.height - size[1]) // 2
    shown = shown.crop((left, top, left + size[0], top + size[1]))
    return correlation(values(shown), values(expected.resize(size)))


def assert_painted(browser, expected, seconds=60):
    best, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        best = max(best, likeness(browser, expected))
        if best > ALIKE:
            return
        # An image of another size than the one before it may lie in a corner: the button "Reset View".
        browser.evaluate("document.querySelector('[data-cy=\"Reset-btn\"]')?.click()")
        browser.evaluate("new Promise(done => setTimeout(done, 500))")
    browser.screenshot(BUILD / "viewer-failed.png")
    pytest.fail(f"the canvas is not like the image, at best {best:.3f}\n{browser.story()}")


def assert_no_complaint(browser):
    assert not [answer for answer in browser.responses if answer[0] >= 400], browser.story()
    said = [text for kind, text in browser.messages if kind in ("error", "exception", "warning")]
    assert not [text for text in said if "Content Security" in text or "CORS" in text], said


# --- the tests ---

def test_the_study_list_shows_and_filters(archive, browser):
    browser.open(archive.url + "/viewer")
    browser.wait_text("1-7 of 7")
    for text in ("MUSTER, BORIS", "CT Head without contrast", "右手 正面", "Many formats"):
        assert browser.wait_text(text)
    browser.click_on("document.querySelector('table input, input')")
    browser.type("MUSTER")
    browser.wait_text("1-1 of 1")
    browser.wait("!document.body.innerText.includes('CT Head')")
    assert_no_complaint(browser)


@pytest.mark.parametrize("study,series", [
    ("CT Head without contrast", "Head axial"), ("MR Knee left", "T2 sagittal"), ("Chest PA", "Chest PA"),
    ("US Abdomen with Doppler", "Aorta, colour flow"), ("US Abdomen with Doppler", "Screen capture")])
def test_a_sample_study_is_painted(archive, browser, study, series):
    study_uid = study_of(archive, study)
    series_uid = series_of(archive, study_uid, series)
    first = instances_of(archive, study_uid, series_uid)[0]
    open_study(browser, archive, study_uid, series_uid)
    assert_painted(browser, rendered(archive, first))
    assert_no_complaint(browser)


def test_a_format_is_painted(archive, browser):
    study = study_of(archive, "Many formats")
    open_study(browser, archive, study)
    for description in archive.formats:
        show_series(browser, description)
        browser.wait_text(description)
        assert_painted(browser, rendered(archive, instances_of(archive, study, series_of(archive, study, description))[0]))
    assert_no_complaint(browser)


def test_a_cine_loop_shows_each_of_its_frames(archive, browser):
    study = study_of(archive, "US Abdomen with Doppler")
    loop = instances_of(archive, study, series_of(archive, study, "Aorta, colour flow"))[0]
    open_study(browser, archive, study)
    show_series(browser, "Aorta, colour flow")
    assert_painted(browser, rendered(archive, loop))
    for frame in (2, 3):
        left, top, right, bottom = canvas_box(browser)
        browser.call("Input.dispatchMouseEvent", type="mouseWheel", x=(left + right) / 2, y=(top + bottom) / 2, deltaX=0,
                     deltaY=100)
        browser.wait_text(f"({frame}/12)")
        assert_painted(browser, rendered(archive, loop, frame))
    assert_no_complaint(browser)


def test_a_report_is_shown_as_the_pdf_that_it_is(archive, browser):
    open_study(browser, archive, study_of(archive, "Chest PA"))
    show_series(browser, "Report")
    browser.wait("!!document.querySelector('object[type=\"application/pdf\"]')")
    left, top, right, bottom = browser.evaluate("(r => [r.left, r.top, r.right, r.bottom])"
                                                "(document.querySelector('object').getBoundingClientRect())")

    def share(wanted):
        page = browser.screenshot().crop((round(left), round(top), round(right), round(bottom))).convert("L")
        counts = page.histogram()
        return sum(counts[tone] for tone in wanted) / sum(counts)

    for _ in range(100):  # a sheet that is white where nothing is written on it
        if share(range(250, 256)) > 0.4 and share(range(60)) > 0.001:
            break
        browser.evaluate("new Promise(done => setTimeout(done, 250))")
    else:
        pytest.fail(f"no page is seen: {share(range(250, 256)):.3f} white\n{browser.story()}")
    assert_no_complaint(browser)


def segmentation(images):
    """A square in the middle of each of these images, as a Segmentation (PS3.3 A.51)."""
    first = images[0]
    rows, columns = first.Rows, first.Columns
    new = Dataset()
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "StudyDate",
                    "StudyTime", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID"):
        if keyword in first:
            new[keyword] = first[keyword]
    new.SOPClassUID, new.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.66.4", generate_uid()
    new.SeriesInstanceUID, new.Modality, new.SeriesNumber, new.InstanceNumber = generate_uid(), "SEG", 50, 1
    new.SeriesDescription, new.Manufacturer, new.ManufacturerModelName = "A square", "Test", "Test"
    new.DeviceSerialNumber, new.SoftwareVersions, new.ContentLabel, new.ContentDescription = "1", "1", "SQUARE", "A square"
    new.ContentCreatorName, new.ContentDate, new.ContentTime = "Nobody", "20260101", "120000"
    new.ImageType, new.SegmentationType, new.PhotometricInterpretation = ["DERIVED", "PRIMARY"], "BINARY", "MONOCHROME2"
    new.Rows, new.Columns, new.NumberOfFrames, new.SamplesPerPixel = rows, columns, len(images), 1
    new.BitsAllocated = new.BitsStored = 1
    new.HighBit = new.PixelRepresentation = 0
    new.LossyImageCompression = "00"

    def code(value, scheme, meaning):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        return Sequence([item])

    def item(**attributes):
        dataset = Dataset()
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        return dataset

    new.SegmentSequence = [item(
        SegmentNumber=1, SegmentLabel="Square", SegmentAlgorithmType="MANUAL", RecommendedDisplayCIELabValue=[35000, 53000, 50000],
        SegmentedPropertyCategoryCodeSequence=code("85756007", "SCT", "Tissue"),
        SegmentedPropertyTypeCodeSequence=code("85756007", "SCT", "Tissue"))]
    new.ReferencedSeriesSequence = [item(
        SeriesInstanceUID=first.SeriesInstanceUID,
        ReferencedInstanceSequence=[item(ReferencedSOPClassUID=i.SOPClassUID, ReferencedSOPInstanceUID=i.SOPInstanceUID)
                                    for i in images])]
    new.DimensionOrganizationSequence = [item(DimensionOrganizationUID=generate_uid())]
    organization = new.DimensionOrganizationSequence[0].DimensionOrganizationUID
    new.DimensionIndexSequence = [
        item(DimensionOrganizationUID=organization, DimensionIndexPointer=0x0062000B, FunctionalGroupPointer=0x0062000A),
        item(DimensionOrganizationUID=organization, DimensionIndexPointer=0x00200032, FunctionalGroupPointer=0x00209113)]
    new.SharedFunctionalGroupsSequence = [item(
        PixelMeasuresSequence=[item(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=first.ImageOrientationPatient)],
        SegmentIdentificationSequence=[item(ReferencedSegmentNumber=1)])]
    new.PerFrameFunctionalGroupsSequence = [item(
        PlanePositionSequence=[item(ImagePositionPatient=image.ImagePositionPatient)],
        FrameContentSequence=[item(DimensionIndexValues=[1, number])],
        SegmentIdentificationSequence=[item(ReferencedSegmentNumber=1)],
        DerivationImageSequence=[item(
            SourceImageSequence=[item(
                ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID,
                PurposeOfReferenceCodeSequence=code("121322", "DCM", "Source image for image processing operation"))],
            DerivationCodeSequence=code("113076", "DCM", "Segmentation"))])
        for number, image in enumerate(images, 1)]
    bits = 0
    for row in range(rows // 4, 3 * rows // 4):
        for column in range(columns // 4, 3 * columns // 4):
            bits |= 1 << (row * columns + column)
    new.PixelData = bits.to_bytes(rows * columns // 8, "little") * len(images)
    new.file_meta = FileMetaDataset()
    new.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    new.file_meta.MediaStorageSOPClassUID, new.file_meta.MediaStorageSOPInstanceUID = new.SOPClassUID, new.SOPInstanceUID
    file = io.BytesIO()
    pydicom.dcmwrite(file, new, enforce_file_format=True)
    return file.getvalue()


def coloured(picture):
    """The share of pixels that are not grey, of the middle of a canvas."""
    width, height = picture.size
    colours = picture.crop((width // 4, height // 4, 3 * width // 4, 3 * height // 4)).tobytes()
    pixels = list(zip(colours[::3], colours[1::3], colours[2::3]))
    return sum(max(pixel) - min(pixel) > 40 for pixel in pixels) / len(pixels)


def test_a_segmentation_lies_over_its_images(archive, browser, sample_data):
    files = [pydicom.dcmread(path) for path in sorted((sample_data / "ct-head").rglob("*.dcm"))]
    images = [file for file in files if file.get("SeriesDescription") == "Head axial"]
    store(archive, [segmentation(images)])
    study = images[0].StudyInstanceUID
    open_study(browser, archive, study)
    show_series(browser, "Head axial")
    assert_painted(browser, rendered(archive, instances_of(archive, study, images[0].SeriesInstanceUID)[0]))
    box = [round(edge) for edge in canvas_box(browser)]
    assert coloured(browser.screenshot().crop(box)) < 0.01
    show_series(browser, "A square")
    for _ in range(160):
        share = coloured(browser.screenshot().crop(box))
        if share > 0.2:
            break
        browser.evaluate("[...document.querySelectorAll('button')].filter(e => e.innerText.trim() == 'Yes').map(e => e.click())")
        browser.evaluate("new Promise(done => setTimeout(done, 250))")
    assert share > 0.2, browser.story()
    assert_no_complaint(browser)


def structure_set(images):
    """The outline of a square in the middle of each of these images, as an RT Structure Set (PS3.3 A.19)."""
    first = images[0]
    new = Dataset()
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "StudyDate",
                    "StudyTime", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID"):
        if keyword in first:
            new[keyword] = first[keyword]
    new.SOPClassUID, new.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", generate_uid()
    new.SeriesInstanceUID, new.Modality, new.SeriesNumber, new.InstanceNumber = generate_uid(), "RTSTRUCT", 51, 1
    new.SeriesDescription, new.Manufacturer, new.StructureSetLabel = "An outline", "Test", "OUTLINE"
    new.StructureSetDate, new.StructureSetTime = "20260101", "120000"

    def item(**attributes):
        dataset = Dataset()
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        return dataset

    def image_item(image):
        return item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)

    def corners(image):
        """In millimetres of the patient, of an axial image."""
        left, top, height = (float(v) for v in image.ImagePositionPatient)
        down, across = (float(v) for v in image.PixelSpacing)
        x = [left + across * image.Columns * share for share in (0.3, 0.7)]
        y = [top + down * image.Rows * share for share in (0.3, 0.7)]
        # Only points that are close together stay one line.
        steps = 40
        edge = [(x[0] + (x[1] - x[0]) * i / steps, y[0]) for i in range(steps)]
        edge += [(x[1], y[0] + (y[1] - y[0]) * i / steps) for i in range(steps)]
        edge += [(x[1] - (x[1] - x[0]) * i / steps, y[1]) for i in range(steps)]
        edge += [(x[0], y[1] - (y[1] - y[0]) * i / steps) for i in range(steps)]
        return [f"{v:.3f}" for point in edge for v in (*point, height)]

    new.ReferencedFrameOfReferenceSequence = [item(
        FrameOfReferenceUID=first.FrameOfReferenceUID,
        RTReferencedStudySequence=[item(
            ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1", ReferencedSOPInstanceUID=first.StudyInstanceUID,
            RTReferencedSeriesSequence=[item(SeriesInstanceUID=first.SeriesInstanceUID,
                                             ContourImageSequence=[image_item(image) for image in images])])])]
    new.StructureSetROISequence = [item(ROINumber=1, ReferencedFrameOfReferenceUID=first.FrameOfReferenceUID, ROIName="Outline",
                                        ROIGenerationAlgorithm="MANUAL")]
    new.ROIContourSequence = [item(
        ROIDisplayColor=[255, 0, 0], ReferencedROINumber=1,
        ContourSequence=[item(ContourImageSequence=[image_item(image)], ContourGeometricType="CLOSED_PLANAR",
                              NumberOfContourPoints=160, ContourData=corners(image)) for image in images])]
    new.RTROIObservationsSequence = [item(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType="ORGAN", ROIInterpreter="")]
    new.file_meta = FileMetaDataset()
    new.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    new.file_meta.MediaStorageSOPClassUID, new.file_meta.MediaStorageSOPInstanceUID = new.SOPClassUID, new.SOPInstanceUID
    file = io.BytesIO()
    pydicom.dcmwrite(file, new, enforce_file_format=True)
    return file.getvalue()


def test_a_structure_set_is_drawn_over_its_images(archive, browser, sample_data):
    files = [pydicom.dcmread(path) for path in sorted((sample_data / "ct-head").rglob("*.dcm"))]
    images = [file for file in files if file.get("SeriesDescription") == "Head axial"]
    store(archive, [structure_set(images)])
    study = images[0].StudyInstanceUID
    open_study(browser, archive, study)
    show_series(browser, "Head axial")
    assert_painted(browser, rendered(archive, instances_of(archive, study, images[0].SeriesInstanceUID)[0]))
    box = [round(edge) for edge in canvas_box(browser)]
    assert coloured(browser.screenshot().crop(box)) < 0.001
    show_series(browser, "An outline")
    for _ in range(160):
        share = coloured(browser.screenshot().crop(box))
        if share > 0.002:
            break
        browser.evaluate("[...document.querySelectorAll('button')].filter(e => e.innerText.trim() == 'Yes').map(e => e.click())")
        browser.evaluate("new Promise(done => setTimeout(done, 250))")
    assert share > 0.002, browser.story()
    assert_no_complaint(browser)


def test_a_video_is_played_as_it_is_stored(archive, browser):
    dataset = pydicom.dcmread(get_testdata_file("SC_rgb_rle.dcm", download=False))
    dataset.SOPClassUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.77.1.4.1", "XC"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = (generate_uid() for _ in range(3))
    dataset.PatientID, dataset.PatientName, dataset.StudyDescription = "VIDEO", "Video^A", "A video"
    dataset.StudyDate, dataset.SeriesDescription, dataset.SeriesNumber, dataset.InstanceNumber = "20260102", "Dark then light", 1, 1
    dataset.Rows = dataset.Columns = tiny_video.SIDE
    dataset.NumberOfFrames, dataset.PhotometricInterpretation, dataset.FrameTime = 20, "YBR_PARTIAL_420", "100"
    dataset.PixelData = encapsulate([tiny_video.mp4([60] * 10 + [180] * 10)], has_bot=False)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = MPEG4HP41
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    file = io.BytesIO()
    dataset.save_as(file)
    store(archive, [file.getvalue()])
    browser.open(f"{archive.url}/viewer/viewer?StudyInstanceUIDs={dataset.StudyInstanceUID}")
    browser.wait("!!document.querySelector('[data-cy^=\"study-browser-thumbnail\"]')")
    browser.evaluate("document.querySelectorAll('[data-cy=\"confirm-and-hide-button\"]').forEach(e => e.click())")
    browser.wait("!!document.querySelector('canvas.cornerstone-canvas')")
    left, top, right, bottom = (round(edge) for edge in canvas_box(browser))
    for _ in range(160):
        shown = browser.screenshot().crop((left, top, right, bottom)).getpixel(((right - left) // 2, (bottom - top) // 2))
        if max(shown[:3]) > 30:
            break
        browser.evaluate("new Promise(done => setTimeout(done, 250))")
    # The first half of it has Y = 60, which is 51 in R, G and B; the second half, if it plays, 191.
    assert all(40 < value < 62 for value in shown[:3]) or all(180 < value < 202 for value in shown[:3]), (shown, browser.story())
    refused = [answer for answer in browser.responses if answer[0] >= 400]
    assert all("/thumbnail" in answer[2] for answer in refused), browser.story()


def button(text):
    return f"[...document.querySelectorAll('button')].find(e => e.innerText.trim() == {json.dumps(text)})"


def named(name):
    return f"document.querySelector('[data-cy=\"{name}\"]')"


def test_a_measurement_is_stored_as_a_structured_report(archive, browser):
    study = study_of(archive, "Chest PA")
    image = instances_of(archive, study, series_of(archive, study, "Chest PA"))[0]
    open_study(browser, archive, study)
    show_series(browser, "Chest PA")
    assert_painted(browser, rendered(archive, image))
    browser.click_on(named("Length-btn"))
    left, top, right, bottom = canvas_box(browser)
    browser.drag((left + 0.3 * (right - left), top + 0.4 * (bottom - top)), (left + 0.6 * (right - left), top + 0.5 * (bottom - top)))
    browser.wait(f"!!{named('prompt-begin-tracking-yes-btn')}")
    browser.evaluate(f"{named('prompt-begin-tracking-yes-btn')}.click()")
    browser.wait(f"!{named('prompt-begin-tracking-yes-btn')}")
    browser.click_on(named("trackedMeasurements-btn"))
    for text in ("Create SR", "Save"):
        browser.wait(f"!!{button(text)}")
        browser.evaluate(f"{button(text)}.click()")
    for number in range(240):
        reports = [r for r in find(archive, f"studies/{study}/instances", Modality="SR", includefield="ContentSequence")]
        if reports:
            break
        if number % 20 == 19:  # a dialog that was still on its way in did not take the click
            browser.evaluate(f"({button('Save')})?.click()")
        browser.evaluate("new Promise(done => setTimeout(done, 250))")
    assert len(reports) == 1, browser.story()
    series, instance = uid(reports[0], "0020000E"), uid(reports[0], "00080018")
    metadata = requests.get(f"{archive.dicomweb}/studies/{study}/series/{series}/instances/{instance}/metadata", timeout=60).text
    assert image.rsplit("/", 1)[1] in metadata and '"mm"' in metadata
    for _ in range(40):  # what was stored is there before the page hears so
        answers = [r for r in browser.responses if r[2] == archive.dicomweb + "/studies"]
        if answers:
            break
        browser.evaluate("new Promise(done => setTimeout(done, 250))")
    assert [r[0] for r in answers] == [200]
    assert_no_complaint(browser)
