# SPDX-License-Identifier: MIT
"""Frames of a multi-frame image as a new instance: Composite Instance Root Retrieve (PS3.4 annex Y)."""

import pytest
from pydicom.encaps import encapsulate, generate_fragmented_frames
from pydicom.sequence import Sequence

from test_dat import deflate
from test_get import Getter, counters
from upper_layer import DEFLATED, EXPLICIT, IMPLICIT, JPEG, Association, Receiver, decode, encode, keys
from web import make, new_uid

COMPOSITE_MOVE = "1.2.840.10008.5.1.4.1.2.4.2"
COMPOSITE_GET = "1.2.840.10008.5.1.4.1.2.4.3"
RLE = "1.2.840.10008.1.2.5"
ENHANCED = "1.2.840.10008.5.1.4.1.1.2.1"
FRAMES = 6

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")


def cine(frames=FRAMES, bits=8, **attributes):
    """An image of several frames with all that refers to them."""
    # 5 x 3, so that a frame has an odd number of bytes
    pixels = b"".join(bytes([number * 16 + i for i in range(15)]) for number in range(frames))
    return make(SOPClassUID=ENHANCED, Rows=5, Columns=3, BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1,
                NumberOfFrames=frames, PixelData=attributes.pop("PixelData", pixels + bytes(len(pixels) % 2)),
                **attributes)


def whole(**attributes):
    groups = Sequence([keys(FrameContentSequence=[keys(FrameAcquisitionNumber=number)],
                            PlanePositionSequence=[keys(ImagePositionPatient=[0, 0, number])])
                       for number in range(1, FRAMES + 1)])
    ds = cine(PerFrameFunctionalGroupsSequence=groups, FrameIncrementPointer=[0x00181063, 0x00540010], FrameTime="40",
              EnergyWindowVector=list(range(101, 101 + FRAMES)), ContentDate="20260101", ContentTime="120000",
              RepresentativeFrameNumber=4, StartTrim=2, StudyDescription="Kept",
              SharedFunctionalGroupsSequence=[keys(PixelMeasuresSequence=[keys(PixelSpacing=["1", "1"])])],
              MaskSubtractionSequence=[keys(MaskOperation="AVG_SUB", MaskFrameNumbers=1)], **attributes)
    ds.add_new(0x00091001, "LO", "private")
    return ds


def store(server, ds, syntax=EXPLICIT):
    association = Association(server, [(1, ds.SOPClassUID, [syntax])])
    content = deflate(encode(ds)) if syntax == DEFLATED else encode(ds)
    assert association.store(content, 1, sop_class=ds.SOPClassUID, sop_instance=ds.SOPInstanceUID)[0x0900] == 0
    association.release()
    return ds


def of_frames(ds, **wanted):
    return keys(QueryRetrieveLevel="FRAME", SOPInstanceUID=ds.SOPInstanceUID, **wanted)


def get_frames(server, query, syntax=EXPLICIT, sop_class=ENHANCED):
    """(final response, instances that came)."""
    association = Getter(server, COMPOSITE_GET, storage=((sop_class, syntax),), roles=(sop_class,))
    final, data = association.get(query)[-1]
    association.release()
    assert data is None or final[0x0900] & 0xF000 != 0
    return final, [decode(content, got_syntax) for _, got_syntax, content in association.got], association.got


def pixels_of(ds, numbers, size=15):
    frames = b"".join(bytes(ds.PixelData)[(number - 1) * size:number * size] for number in numbers)
    return frames + bytes(len(frames) % 2)


@pytest.mark.parametrize("query, numbers", [
    (dict(SimpleFrameList=[2, 3, 5]), [2, 3, 5]), (dict(SimpleFrameList=4), [4]),
    (dict(SimpleFrameList=[6, 7, 100]), [6]), (dict(CalculatedFrameList=[1, 6, 2]), [1, 3, 5]),
    (dict(CalculatedFrameList=[1, 2, 1, 4, 0xFFFFFFFF, 2]), [1, 2, 4, 6]), (dict(TimeRange=[0.04, 0.12]), [2, 3, 4]),
    (dict(TimeRange=[0.1, 99.0]), [4, 5, 6]), (dict(SimpleFrameList=[1, 2, 3, 4, 5, 6]), [1, 2, 3, 4, 5, 6]),
])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_GET_05_frames_as_a_new_instance(server, query, numbers, syntax):
    ds = store(server, whole())
    final, found, got = get_frames(server, of_frames(ds, **query), syntax)
    assert final[0x0900] == 0 and counters(final) == (None, 1, 0, 0)
    new = found[0]
    assert new.SOPClassUID == ds.SOPClassUID and new.SOPInstanceUID == got[0][0][0x1000] != ds.SOPInstanceUID
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "StudyDescription", "Rows", "ContentTime"):
        assert new[keyword].value == ds[keyword].value
    assert new.NumberOfFrames == len(numbers) and bytes(new.PixelData) == pixels_of(ds, numbers)
    groups = new.PerFrameFunctionalGroupsSequence
    assert [group.FrameContentSequence[0].FrameAcquisitionNumber for group in groups] == numbers
    assert [int(group.PlanePositionSequence[0].ImagePositionPatient[2]) for group in groups] == numbers
    assert new.SharedFunctionalGroupsSequence == ds.SharedFunctionalGroupsSequence
    vector = new.EnergyWindowVector
    assert list(vector if len(numbers) > 1 else [vector]) == [100 + number for number in numbers]
    assert new.get("RepresentativeFrameNumber") == (numbers.index(4) + 1 if 4 in numbers else None)
    for keyword in ("StartTrim", "MaskSubtractionSequence"):
        assert keyword not in new
    assert 0x00091001 not in new
    extraction, = new.FrameExtractionSequence
    keyword, asked = next(iter(query.items()))
    said = extraction[keyword].value
    assert list(said if isinstance(asked, list) else [said]) == (asked if isinstance(asked, list) else [asked])
    assert extraction.MultiFrameSourceSOPInstanceUID == ds.SOPInstanceUID and len(extraction) == 2
    equipment, = new.ContributingEquipmentSequence
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109105"
    tags = [element.tag for element in new]
    assert tags == sorted(tags)
    # when frames begin is what it was
    steps = {after - before for before, after in zip(numbers, numbers[1:])}
    if len(steps) == 1:
        assert float(new.FrameTime) == 40 * steps.pop() and "FrameTimeVector" not in new
    elif steps:
        assert [float(at) for at in new.FrameTimeVector] == [0] + [40 * (b - a) for a, b in zip(numbers, numbers[1:])]
        assert "FrameTime" not in new and new.FrameIncrementPointer == 0x00181065
    assert float(new.get("FrameDelay", 0)) == 40 * (numbers[0] - 1)


def test_GET_05_frames_of_frames_keep_both_sources(server):
    ds = store(server, whole())
    _, (first,), _ = get_frames(server, of_frames(ds, CalculatedFrameList=[2, 6, 1]))
    store(server, first)
    _, (second,), _ = get_frames(server, of_frames(first, SimpleFrameList=[2, 4]))
    assert bytes(second.PixelData) == pixels_of(ds, [3, 5])
    assert [one.MultiFrameSourceSOPInstanceUID for one in second.FrameExtractionSequence] == [
        ds.SOPInstanceUID, first.SOPInstanceUID]
    assert len(second.ContributingEquipmentSequence) == 2


@pytest.mark.parametrize("per_frame", [1, 3])
def test_GET_05_compressed_frames_are_copied_and_not_decoded(server, per_frame):
    """They are no JPEG at all: who decodes them fails."""
    frames = [bytes([number]) * (20 + 2 * number) for number in range(1, 6)]
    ds = cine(5, PixelData=encapsulate(frames, fragments_per_frame=per_frame, has_bot=True))
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    store(server, ds, JPEG)
    final, (new,), got = get_frames(server, of_frames(ds, SimpleFrameList=[1, 4, 5]), JPEG)
    assert final[0x0900] == 0 and got[0][1] == JPEG and new.NumberOfFrames == 3
    kept = list(generate_fragmented_frames(new.PixelData, number_of_frames=3))
    assert [b"".join(parts) for parts in kept] == [frames[0], frames[3], frames[4]]
    assert all(len(parts) == per_frame for parts in kept)


def test_GET_05_compressed_frames_are_decoded_where_the_receiver_must_have_it(server):
    from pydicom.pixels.encoders import RLELosslessEncoder
    ds = cine()
    frames = [RLELosslessEncoder.encode(pixels_of(ds, [number])[:15], rows=5, columns=3, samples_per_pixel=1,
                                        bits_allocated=8, bits_stored=8, pixel_representation=0,
                                        photometric_interpretation="MONOCHROME2", number_of_frames=1)
              for number in range(1, FRAMES + 1)]
    native = ds.PixelData
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    store(server, ds, RLE)
    ds.PixelData = native
    final, (new,), _ = get_frames(server, of_frames(ds, SimpleFrameList=[2, 6]))
    assert final[0x0900] == 0 and bytes(new.PixelData) == pixels_of(ds, [2, 6]) and new.NumberOfFrames == 2


def test_GET_05_frames_that_end_within_a_byte(server):
    bits = [[(number >> (i % 5)) & 1 ^ i % 2 for i in range(15)] for number in range(7)]
    stream = [bit for frame in bits for bit in frame]

    def packed(values):
        values = values + [0] * (-len(values) % 16)
        return bytes(sum(bit << i for i, bit in enumerate(values[at:at + 8])) for at in range(0, len(values), 8))

    ds = cine(7, 1, PixelData=packed(stream))
    store(server, ds)
    final, (new,), _ = get_frames(server, of_frames(ds, SimpleFrameList=[2, 3, 7]))
    assert final[0x0900] == 0 and bytes(new.PixelData) == packed(bits[1] + bits[2] + bits[6])


def test_GET_05_frames_of_a_deflated_object(server):
    ds = store(server, whole(), DEFLATED)
    final, (new,), _ = get_frames(server, of_frames(ds, SimpleFrameList=[3, 4]))
    assert final[0x0900] == 0 and bytes(new.PixelData) == pixels_of(ds, [3, 4])


def test_GET_05_whole_instances_at_their_level(server):
    ds = store(server, whole())
    final, (found,), _ = get_frames(server, keys(QueryRetrieveLevel="IMAGE", SOPInstanceUID=ds.SOPInstanceUID))
    assert final[0x0900] == 0 and found == decode(encode(ds))
    final, found, _ = get_frames(server, keys(QueryRetrieveLevel="FRAME", SOPInstanceUID=new_uid(), SimpleFrameList=1))
    assert final[0x0900] == 0 and counters(final) == (None, 0, 0, 0) and not found



WRONG = [
    (whole, dict(SimpleFrameList=[7, 9]), 0xAA00), (whole, dict(TimeRange=[5.0, 6.0]), 0xAA00),
    (cine, dict(TimeRange=[0.0, 1.0]), 0xAA03), (whole, dict(), 0xAA04), (whole, dict(SimpleFrameList=[2, 2]), 0xAA04),
    (whole, dict(SimpleFrameList=[3, 2]), 0xAA04), (whole, dict(SimpleFrameList=[0, 1]), 0xAA04),
    (whole, dict(SimpleFrameList=None), 0xAA04), (whole, dict(CalculatedFrameList=[1, 2]), 0xAA04),
    (whole, dict(CalculatedFrameList=[3, 2, 1]), 0xAA04), (whole, dict(CalculatedFrameList=[1, 3, 0]), 0xAA04),
    (whole, dict(CalculatedFrameList=[1, 4, 1, 4, 6, 1]), 0xAA04), (whole, dict(TimeRange=[2.0, 1.0]), 0xAA04),
    (whole, dict(TimeRange=[float("nan"), 1.0]), 0xAA04),
    (whole, dict(SimpleFrameList=1, CalculatedFrameList=[1, 1, 1]), 0xAA04),
]


@pytest.mark.parametrize("image, wanted, status", WRONG)
def test_MOV_15_wrong_frame_keys(server, image, wanted, status):
    ds = store(server, image())
    final, found, _ = get_frames(server, of_frames(ds, **wanted))
    assert final[0x0900] == status and not found
    association = Association(server, [(1, COMPOSITE_MOVE, [EXPLICIT])])
    association.request(1, 0x21, COMPOSITE_MOVE, of_frames(ds, **wanted), elements={0x0600: "MOVEDEST1"})
    answers = association.answers(1)
    association.release()
    assert len(answers) == 1 and answers[0][0][0x0900] == status and answers[0][1] is None


def test_MOV_15_what_has_no_frames_that_can_be_taken(server):
    report = make(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    for keyword in ("Rows", "Columns", "PixelData", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
                    "SamplesPerPixel", "PhotometricInterpretation"):
        delattr(report, keyword)
    store(server, report)
    final, found, _ = get_frames(server, of_frames(report, SimpleFrameList=1), sop_class=report.SOPClassUID)
    assert final[0x0900] == 0xAA01 and not found
    liar = store(server, cine(PerFrameFunctionalGroupsSequence=[keys(FrameContentSequence=[])]))
    final, found, _ = get_frames(server, of_frames(liar, SimpleFrameList=[2, 3]))
    assert final[0x0900] == 0xAA02 and not found


def test_MOV_15_other_levels_take_no_frames_and_frames_are_of_one_instance(server):
    ds = store(server, whole())
    for query in (keys(QueryRetrieveLevel="IMAGE", SOPInstanceUID=ds.SOPInstanceUID, SimpleFrameList=1),
                  keys(QueryRetrieveLevel="FRAME", SOPInstanceUID=[ds.SOPInstanceUID, new_uid()], SimpleFrameList=1)):
        assert get_frames(server, query)[0][0x0900] == 0xAA04
    for query in (keys(QueryRetrieveLevel="FRAME", SimpleFrameList=1),
                  keys(QueryRetrieveLevel="SERIES", SeriesInstanceUID=ds.SeriesInstanceUID)):
        assert get_frames(server, query)[0][0x0900] == 0xA900


@pytest.mark.parametrize("syntaxes", [None, [IMPLICIT]])
def test_MOV_15_frames_go_to_a_destination(server, syntaxes):
    ds = store(server, whole())
    with Receiver(server.destination_ports["MOVEDEST1"], syntaxes) as receiver:
        association = Association(server, [(1, COMPOSITE_MOVE, [EXPLICIT])], calling="MOVER")
        association.request(1, 0x21, COMPOSITE_MOVE, of_frames(ds, SimpleFrameList=[2, 5]), elements={0x0600: "MOVEDEST1"})
        final, data = association.answers(1)[-1]
        association.release()
        assert final[0x0900] == 0 and counters(final) == (None, 1, 0, 0) and data is None
        one, = receiver.stored
    new = decode(one.content, one.syntax)
    assert one.command[0x1000] == new.SOPInstanceUID != ds.SOPInstanceUID
    assert bytes(new.PixelData) == pixels_of(ds, [2, 5]) and one.command[0x1030].strip() == "MOVER"


def test_MOV_15_a_new_instance_that_is_not_taken_is_named(server):
    ds = store(server, whole())
    with Receiver(server.destination_ports["MOVEDEST1"], status=lambda *_: 0xA700) as receiver:
        association = Association(server, [(1, COMPOSITE_MOVE, [EXPLICIT])])
        association.request(1, 0x21, COMPOSITE_MOVE, of_frames(ds, SimpleFrameList=[2, 5]), elements={0x0600: "MOVEDEST1"})
        final, data = association.answers(1)[-1]
        association.release()
        assert final[0x0900] == 0xA702 and counters(final) == (None, 0, 1, 0)
        assert data.FailedSOPInstanceUIDList == receiver.stored[0].command[0x1000]
