# SPDX-License-Identifier: MIT
"""WADO-URI, CONFORMANCE URI-01 to URI-05 (PS3.18 clause 9)."""
import io

import pydicom
import pydicom.data
import pytest
import requests
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG4HP41, ExplicitVRLittleEndian, JPEGBaseline8Bit

from web import make, new_uid, part10, store, url_of


def image(rows, **attributes):
    frame = bytes(value for row in rows for value in row)
    return make(Rows=len(rows), Columns=len(rows[0]), BitsAllocated=8, BitsStored=8, HighBit=7,
                PixelData=frame * int(attributes.get("NumberOfFrames", 1)), **attributes)


def ask(server, dataset, expected=200, accept=None, **parameters):
    query = {"requestType": "WADO", "studyUID": dataset.StudyInstanceUID, "seriesUID": dataset.SeriesInstanceUID,
             "objectUID": dataset.SOPInstanceUID, **parameters}
    query = {name: value for name, value in query.items() if value is not None}
    answer = requests.get(server.dicomweb + "/wado", params=query, headers={"Accept": accept}, timeout=30)
    assert answer.status_code == expected, (answer.status_code, answer.text[:300])
    return answer


def pixels(answer):
    return list(Image.open(io.BytesIO(answer.content)).tobytes())


@pytest.fixture(scope="module")
def single(server):
    dataset = image([[0, 50, 100, 150], [200, 210, 220, 255]])
    store(server, part10(dataset))
    return dataset


def test_URI_01_a_single_frame_is_a_jpeg(server, single):
    assert ask(server, single).headers["Content-Type"] == "image/jpeg"
    assert Image.open(io.BytesIO(ask(server, single).content)).size == (4, 2)
    assert pixels(ask(server, single, contentType="image/png")) == [0, 50, 100, 150, 200, 210, 220, 255]
    assert ask(server, single, contentType="image/bmp,image/png").headers["Content-Type"] == "image/png"


def test_URI_01_what_is_no_single_frame_is_its_file(server):
    frames = image([[1, 2]], NumberOfFrames=2)
    report = make()
    for name in ("PixelData", "Rows", "Columns"):
        delattr(report, name)
    store(server, part10(frames), part10(report))
    for dataset in (frames, report):
        answer = ask(server, dataset)
        assert answer.headers["Content-Type"].startswith("application/dicom")
        assert pydicom.dcmread(io.BytesIO(answer.content)).SOPInstanceUID == dataset.SOPInstanceUID
    ask(server, report, contentType="image/jpeg", expected=406)


def test_URI_01_a_document_is_a_page_or_its_file(server):
    report = make(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR", ValueType="CONTAINER")
    for name in ("PixelData", "Rows", "Columns"):
        delattr(report, name)
    store(server, part10(report))
    assert ask(server, report).headers["Content-Type"] == "text/html; charset=utf-8"
    assert ask(server, report, contentType="text/plain").headers["Content-Type"] == "text/plain; charset=utf-8"
    assert ask(server, report, contentType="application/dicom").content[128:132] == b"DICM"
    ask(server, report, contentType="image/jpeg", expected=406)
    ask(server, report, rows=10, expected=400)


def test_URI_01_video_is_its_file_or_as_it_is_stored(server):
    stream = b"\0\0\0\x18ftypisom" + bytes(3000)
    video = make(NumberOfFrames=25, PixelData=encapsulate([stream], has_bot=False))
    video["PixelData"].VR = "OB"
    video["PixelData"].is_undefined_length = True
    store(server, part10(video, MPEG4HP41))
    assert ask(server, video).headers["Content-Type"].startswith("application/dicom")
    answer = ask(server, video, contentType="video/mp4")
    assert answer.headers["Content-Type"] == "video/mp4" and answer.content == stream
    assert ask(server, video, accept="video/mp4, image/jpeg").content == stream
    ask(server, video, 406, contentType="image/jpeg")
    ask(server, video, 400, contentType="video/mp4", rows=10)


def test_URI_01_the_file_is_in_explicit_little_endian_or_the_stored_lossy_syntax(server, single):
    answer = ask(server, single, contentType="application/dicom")
    assert pydicom.dcmread(io.BytesIO(answer.content)).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    path = pydicom.data.get_testdata_file("SC_rgb_small_odd_jpeg.dcm", download=False)
    lossy = pydicom.dcmread(path)
    store(server, open(path, "rb").read())
    answer = ask(server, lossy, contentType="application/dicom")
    assert pydicom.dcmread(io.BytesIO(answer.content)).file_meta.TransferSyntaxUID == JPEGBaseline8Bit


@pytest.mark.parametrize(
    "wrong",
    [{"requestType": None}, {"requestType": "wado"}, {"studyUID": None}, {"seriesUID": None}, {"objectUID": None},
     {"objectUID": "x"}, {"studyUID": ""}, {"seriesUID": ["1.2", "1.2"]}, {"requestType": ["WADO", "WADO"]}],
)
def test_URI_02_a_request_that_names_nothing_is_400(server, single, wrong):
    ask(server, single, 400, **wrong)


def test_URI_02_unknown_and_foreign_and_deleted_ones_are_404_and_410(server, single):
    ask(server, single, 404, objectUID=new_uid())
    ask(server, single, 404, studyUID=new_uid())
    ask(server, single, 404, seriesUID=new_uid())
    dataset = image([[1, 2]])
    store(server, part10(dataset))
    assert requests.delete(url_of(server, dataset), timeout=30).status_code in (200, 204)
    ask(server, dataset, 410)


def test_URI_02_a_type_that_is_not_offered_is_406(server, single):
    ask(server, single, 406, contentType="video/mpeg")
    ask(server, single, 406, accept="text/html")


def test_URI_03_a_transfer_syntax_goes_with_a_file(server, single):
    answer = ask(server, single, contentType="application/dicom", transferSyntax=str(ExplicitVRLittleEndian))
    assert pydicom.dcmread(io.BytesIO(answer.content)).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    ask(server, single, 400, contentType="image/jpeg", transferSyntax=str(ExplicitVRLittleEndian))
    for refused in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "x", ""):
        ask(server, single, 400, contentType="application/dicom", transferSyntax=refused)
    ask(server, single, 406, contentType="application/dicom", transferSyntax="1.2.840.10008.1.2.4.102")


def test_URI_03_no_copy_without_identity_is_promised(server, single):
    ask(server, single, 400, contentType="application/dicom", anonymize="yes")


def test_URI_04_the_picture_is_as_asked_for(server, single):
    png = {"contentType": "image/png"}
    assert pixels(ask(server, single, region="0.5,0.0,1.0,0.5", **png)) == [100, 150]
    assert Image.open(io.BytesIO(ask(server, single, columns=2, rows=9, **png).content)).size == (2, 1)
    assert pixels(ask(server, single, windowCenter="128", windowWidth="1", **png)) == [0, 0, 0, 255, 255, 255, 255, 255]
    low = ask(server, single, imageQuality=1).content
    assert low != ask(server, single, imageQuality=100).content
    frames = image([[1, 2]], NumberOfFrames=2)
    frames.PixelData = b"\x0a\x14\x1e\x28"
    store(server, part10(frames))
    assert pixels(ask(server, frames, frameNumber=2, **png)) == [30, 40]
    ask(server, frames, 404, frameNumber=3)


@pytest.mark.parametrize(
    "wrong",
    [{"frameNumber": 0}, {"frameNumber": "x"}, {"rows": 0}, {"columns": "1.5"}, {"rows": 99999}, {"imageQuality": 101},
     {"imageQuality": 0}, {"windowCenter": 1}, {"windowWidth": 1}, {"windowCenter": 1, "windowWidth": 0},
     {"windowCenter": "nan", "windowWidth": 5}, {"region": "0,0,1"}, {"region": "0,0,1,2"}, {"region": "0.5,0,0.5,1"},
     {"region": "0,0,1,1,1"}, {"region": ""}, {"region": "a,b,c,d"}, {"iccprofile": "other"},
     {"iccprofile": "yes", "contentType": "image/gif"}],
)
def test_URI_04_wrong_values_are_400(server, single, wrong):
    ask(server, single, 400, **wrong)


@pytest.mark.parametrize(
    "picture", [{"rows": 10}, {"region": "0,0,1,1"}, {"windowCenter": 1, "windowWidth": 2}, {"imageQuality": 50},
                {"frameNumber": 1}, {"annotation": "patient"}, {"iccprofile": "yes"}]
)
def test_URI_04_what_a_picture_is_like_does_not_go_with_a_file(server, single, picture):
    ask(server, single, 400, contentType="application/dicom", **picture)


def test_URI_04_a_picture_comes_with_a_profile_when_it_is_asked_for(server, single):
    for asked, expected in (("no", False), ("yes", True), ("adobergb", True)):
        answer = ask(server, single, contentType="image/png", iccprofile=asked)
        assert ("icc_profile" in Image.open(io.BytesIO(answer.content)).info) == expected


def state_for(image, **attributes):
    state = make(study=image.StudyInstanceUID, SOPClassUID="1.2.840.10008.5.1.4.1.1.11.1", Modality="PR",
                 PresentationLUTShape="INVERSE", **attributes)
    for name in ("PixelData", "Rows", "Columns"):
        delattr(state, name)
    reference, series = Dataset(), Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedImageSequence = image.SeriesInstanceUID, [reference]
    state.ReferencedSeriesSequence = [series]
    return state


def test_URI_05_a_presentation_state_is_applied(server, single):
    state = state_for(single)
    other = state_for(image([[1, 2]], study=single.StudyInstanceUID))
    store(server, part10(state), part10(other))
    ours = {"presentationUID": state.SOPInstanceUID, "presentationSeriesUID": state.SeriesInstanceUID}
    png = {**ours, "contentType": "image/png"}
    assert pixels(ask(server, single, **png)) == [255 - v for v in (0, 50, 100, 150, 200, 210, 220, 255)]
    assert Image.open(io.BytesIO(ask(server, single, columns=2, rows=9, **png).content)).size == (2, 1)
    ask(server, single, 400, presentationUID=other.SOPInstanceUID, presentationSeriesUID=other.SeriesInstanceUID)
    ask(server, single, 404, presentationUID=state.SOPInstanceUID, presentationSeriesUID=new_uid())
    ask(server, single, 400, presentationUID=single.SOPInstanceUID, presentationSeriesUID=single.SeriesInstanceUID)
    ask(server, single, 400, presentationUID=state.SOPInstanceUID)
    ask(server, single, 400, presentationSeriesUID=state.SeriesInstanceUID)
    ask(server, single, 400, contentType="application/dicom", **ours)
    ask(server, single, 400, region="0,0,1,1", **png)
    ask(server, single, 400, windowCenter=1, windowWidth=2, **png)
