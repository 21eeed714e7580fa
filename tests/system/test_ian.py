# SPDX-License-Identifier: MIT
"""Instance Availability Notification (PS3.4 annex R)."""
import pytest
from pydicom.dataset import Dataset

from upper_layer import CT, EXPLICIT, IMPLICIT, VERIFICATION, Association, encode
from web import new_uid

IAN = "1.2.840.10008.5.1.4.33"
CONTEXTS = [(1, VERIFICATION, [IMPLICIT]), (3, IAN, [EXPLICIT])]


def notification():
    reference = Dataset()
    reference.RetrieveAETitle = "OTHER"
    reference.InstanceAvailability = "ONLINE"
    reference.ReferencedSOPClassUID = CT
    reference.ReferencedSOPInstanceUID = new_uid()
    series = Dataset()
    series.ReferencedSOPSequence = [reference]
    series.SeriesInstanceUID = new_uid()
    ds = Dataset()
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.ReferencedSeriesSequence = [series]
    ds.StudyInstanceUID = new_uid()
    return ds


def create(association, ds, **changes):
    """N-CREATE; the command set of the answer."""
    elements = {0x0002: IAN, 0x0100: 0x0140, 0x0110: association.next_id(), 0x0800: 1, 0x1000: new_uid()}
    elements.update({int(name[1:], 16): value for name, value in changes.items()})
    association.send_message(3, {tag: value for tag, value in elements.items() if value is not None}, encode(ds, EXPLICIT))
    answer = association.read_message()[1]
    assert answer[0x0100] == 0x8140 and answer[0x0120] == elements[0x0110]
    return answer


def test_IAN_02_a_valid_notification_is_taken(server):
    association = Association(server, CONTEXTS)
    uid = new_uid()
    answer = create(association, notification(), t1000=uid)
    assert answer[0x0900] == 0 and answer[0x1000] == uid
    # without a UID we give one
    answer = create(association, notification(), t1000=None)
    assert answer[0x0900] == 0 and answer[0x1000]
    association.release()


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "ReferencedSeriesSequence"])
def test_IAN_02_a_notification_without_a_required_attribute_is_refused_by_its_name(server, keyword):
    association = Association(server, CONTEXTS)
    ds = notification()
    del ds[keyword]
    answer = create(association, ds)
    assert answer[0x0900] == 0x0120
    ds = notification()
    ds[keyword].value = [] if "Sequence" in keyword else ""
    assert create(association, ds)[0x0900] == 0x0121
    ds = notification()
    del ds.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].InstanceAvailability
    assert create(association, ds)[0x0900] == 0x0120
    association.release()


def test_HOS_15_HOS_16_commands_of_dimse_n_that_are_broken_are_refused(server):
    association = Association(server, CONTEXTS)
    assert create(association, notification(), t1000="1.2..3")[0x0900] == 0x0117
    assert create(association, notification(), t0002=CT)[0x0900] == 0x0118
    # operations that the class does not have, and one that nobody has
    for field in (0x0110, 0x0120, 0x0150, 0x0130):
        elements = {0x0003: IAN, 0x0100: field, 0x0110: association.next_id(), 0x0800: 0x0101, 0x1001: new_uid()}
        association.send_message(3, elements)
        answer = association.read_message()[1]
        assert answer[0x0100] == field | 0x8000 and answer[0x0900] in (0x0118, 0x0211), hex(field)
    # a data set that cannot be walked
    elements = {0x0002: IAN, 0x0100: 0x0140, 0x0110: association.next_id(), 0x0800: 1, 0x1000: new_uid()}
    association.send_message(3, elements, b"\x08\x00\x05\x00CS\xff\xff")
    assert association.read_message()[1][0x0900] == 0x0110
    assert create(association, notification())[0x0900] == 0
    association.release()
