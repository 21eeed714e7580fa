# SPDX-License-Identifier: MIT
"""Instance Availability Notification (PS3.4 annex R)."""
import re
import signal
import threading

import pytest
import requests
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from bounds import until
from conftest import free_port
from test_mpp import Modality, ending, performed
from upper_layer import CT, EXPLICIT, IMPLICIT, VERIFICATION, Association, encode, store_all
from web import make, new_uid

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


class Listener:
    """A peer that is told what is available (pynetdicom)."""

    def __init__(self, port, statuses=(), unwanted=(), hangs_up=False):
        self.port, self.statuses, self.told = port, list(statuses), []
        self.unwanted, self.hangs_up = set(unwanted), hangs_up  # studies, and how they are refused
        self.changed = threading.Condition()
        self.ae = AE(ae_title="LISTENER")
        self.ae.add_supported_context(IAN)

    def _create(self, event):
        ds = event.attribute_list
        with self.changed:
            self.told.append(ds)
            self.changed.notify_all()
        if ds.StudyInstanceUID in self.unwanted:
            if self.hangs_up:
                event.assoc.abort()
            return 0x0110, None
        return (self.statuses.pop(0) if self.statuses else 0), ds

    def wait(self, count, seconds=30):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.told) >= count, seconds), f"{len(self.told)} were told"
            return list(self.told)

    def __enter__(self):
        self.scp = self.ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_N_CREATE, self._create)])
        return self

    def __exit__(self, *_):
        self.scp.shutdown()


def settings_of(port, **more):
    return {"dimse": {"peers": [{"aeTitle": "LISTENER", "host": "127.0.0.1", "port": port}], "notifyAvailability": ["LISTENER"],
                      "notifyQuietSeconds": 0.5, "forwardRetrySeconds": 0.2, "connectTimeoutSeconds": 1, **more}}


def metric(server, name):
    text = requests.get(server.url + "/metrics", timeout=10).text
    return float(re.search(rf"^hounsfield_availability_{name} (\S+)$", text, re.M).group(1))


def availability_of(ds):
    """{(series, SOP class, instance): availability}; each is named once."""
    found = {}
    assert len({one.SeriesInstanceUID for one in ds.ReferencedSeriesSequence}) == len(ds.ReferencedSeriesSequence)
    for series in ds.ReferencedSeriesSequence:
        for one in series.ReferencedSOPSequence:
            assert one.RetrieveAETitle == "HOUNSFIELD"
            key = (series.SeriesInstanceUID, one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID)
            assert key not in found
            found[key] = one.InstanceAvailability
    return found


def place(ds):
    return ds.SeriesInstanceUID, ds.SOPClassUID, ds.SOPInstanceUID


def hears(listener, study, expected):
    """The first notice that says so of this study. On a busy machine it may be quiet, and be told, while it is being stored."""
    def find():
        return [ds for ds in list(listener.told) if ds.StudyInstanceUID == study and availability_of(ds) == expected]

    return until(find, "the notice")[0]


def test_IAN_01_who_is_named_hears_of_a_study_when_it_is_quiet(start_server):
    port, step = free_port(), new_uid()
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.3", step
    study = new_uid()
    datasets = [make(study=study, series=series, ReferencedPerformedProcedureStepSequence=[reference])
                for series in (new_uid(), new_uid()) for _ in range(3)]
    daemon = start_server(settings=settings_of(port))
    with Listener(port) as listener:
        store_all(daemon, datasets)
        told = hears(listener, study, {place(ds): "ONLINE" for ds in datasets})
        one, = told.ReferencedPerformedProcedureStepSequence
        assert one.ReferencedSOPInstanceUID == step and not one.PerformedWorkitemCodeSequence
        # a study without a step, and nothing else than the standard has
        other = make()
        store_all(daemon, [other])
        told = hears(listener, other.StudyInstanceUID, {place(other): "ONLINE"})
        assert not told.ReferencedPerformedProcedureStepSequence
        assert {element.keyword for element in told} <= {
            "ReferencedPerformedProcedureStepSequence", "ReferencedSeriesSequence", "StudyInstanceUID"}


def test_IAN_01_who_is_down_is_told_later_over_a_restart(start_server):
    port = free_port()
    daemon = start_server(settings=settings_of(port))
    ds = make()
    store_all(daemon, [ds])
    daemon.kill()
    daemon.start()
    with Listener(port, statuses=[0x0110]) as listener:
        told = listener.wait(2)
        assert [one.StudyInstanceUID for one in told] == [ds.StudyInstanceUID] * 2
    assert 'availability refused to="LISTENER"' in daemon.log()


def test_IAN_02_what_is_deleted_is_unavailable(start_server):
    port = free_port()
    daemon = start_server(settings=settings_of(port))
    study = new_uid()
    datasets = [make(study=study) for _ in range(2)]
    with Listener(port) as listener:
        store_all(daemon, datasets)
        hears(listener, study, {place(ds): "ONLINE" for ds in datasets})
        gone, other = datasets
        url = f"{daemon.dicomweb}/studies/{study}/series/{gone.SeriesInstanceUID}/instances/{gone.SOPInstanceUID}"
        assert requests.delete(url, timeout=60).status_code == 204
        hears(listener, study, {place(gone): "UNAVAILABLE", place(other): "ONLINE"})
        assert requests.delete(f"{daemon.dicomweb}/studies/{study}", timeout=60).status_code == 204
        until(lambda: availability_of(listener.told[-1]).get(place(other)) == "UNAVAILABLE", "the other one")


def series_of(*datasets):
    """As a modality lists what it made, one series for each."""
    listed = []
    for ds in datasets:
        series, one = ending().PerformedSeriesSequence[0], Dataset()
        one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
        series.SeriesInstanceUID, series.ReferencedImageSequence = ds.SeriesInstanceUID, [one]
        listed.append(series)
    return listed


def test_IAN_01_what_a_performed_step_made_is_told_when_it_ended_and_all_of_it_is_here(start_server):
    port, study = free_port(), new_uid()
    daemon = start_server(settings=settings_of(port, notifyQuietSeconds=3600))
    images = [make(study=study) for _ in range(4)]
    with Listener(port) as listener, Modality(daemon) as modality:
        # the step ends when all is here
        step = modality.begin(performed({"study": study}))
        store_all(daemon, images[:2])
        assert modality.set(step, ending(PerformedSeriesSequence=series_of(*images[:2])))[0x0900] == 0
        told, = listener.wait(1)
        assert availability_of(told) == {place(ds): "ONLINE" for ds in images[:2]}
        assert [one.ReferencedSOPInstanceUID for one in told.ReferencedPerformedProcedureStepSequence] == [step]
        # and before: what is missing is waited for
        second = modality.begin(performed({"study": study}))
        assert modality.set(second, ending("DISCONTINUED", PerformedSeriesSequence=series_of(*images[2:])))[0x0900] == 0
        for ds in images[2:]:
            store_all(daemon, [ds])
        told = listener.wait(2)[1]
        assert availability_of(told) == {place(ds): "ONLINE" for ds in images}
        assert {one.ReferencedSOPInstanceUID for one in told.ReferencedPerformedProcedureStepSequence} == {step, second}
        assert {one.ReferencedSOPClassUID for one in told.ReferencedPerformedProcedureStepSequence} == {"1.2.840.10008.3.1.2.3.3"}
    assert len(listener.told) == 2


def test_IAN_02_a_deletion_is_told_though_the_study_is_not_quiet(start_server):
    port = free_port()
    daemon = start_server(settings=settings_of(port, notifyQuietSeconds=3600))
    study = new_uid()
    datasets = [make(study=study) for _ in range(2)]
    with Listener(port) as listener:
        store_all(daemon, datasets)
        assert requests.delete(f"{daemon.dicomweb}/studies/{study}/series/{datasets[0].SeriesInstanceUID}", timeout=60).status_code == 204
        told, = listener.wait(1)
        assert availability_of(told) == {place(datasets[0]): "UNAVAILABLE", place(datasets[1]): "ONLINE"}


@pytest.mark.parametrize("hangs_up", [False, True])
def test_IAN_01_a_study_that_is_always_refused_holds_up_no_other_and_is_parked(start_server, hangs_up):
    port = free_port()
    daemon = start_server(settings=settings_of(port, notifyQuietSeconds=0.05, forwardRetrySeconds=0.05))
    unwanted, wanted = make(), make()
    with Listener(port, unwanted=[unwanted.StudyInstanceUID], hangs_up=hangs_up) as listener:
        store_all(daemon, [unwanted])
        listener.wait(1)
        store_all(daemon, [wanted])
        until(lambda: metric(daemon, "sent_total") == 1 and metric(daemon, "parked") == 1, "the other one")
        assert metric(daemon, "failed_total") == 1
        studies = [ds.StudyInstanceUID for ds in listener.told]
        assert studies.count(wanted.StudyInstanceUID) == 1 and studies.count(unwanted.StudyInstanceUID) >= 5
        assert re.search(rf'availability refused to="LISTENER" study={unwanted.StudyInstanceUID} .*parked=1', daemon.log())
        # over a restart, and then at a reload
        daemon.restart()
        until(lambda: metric(daemon, "parked") == 1 and len(listener.told) > len(studies), "another attempt")
        listener.unwanted.clear()
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: metric(daemon, "sent_total") == 1 and metric(daemon, "parked") == 0, "the last one")
        assert listener.told[-1].StudyInstanceUID == unwanted.StudyInstanceUID


def test_IAN_01_a_study_that_is_refused_again_after_a_change_is_parked_once_and_no_more_when_it_is_taken(start_server):
    port, study = free_port(), new_uid()
    daemon = start_server(settings=settings_of(port, notifyQuietSeconds=0.05, forwardRetrySeconds=0.05))
    with Listener(port, unwanted=[study]) as listener:
        for times in (1, 2):
            store_all(daemon, [make(study=study)])
            until(lambda times=times: metric(daemon, "failed_total") == times, "the end of the attempts")
            until(lambda: metric(daemon, "parked") >= 1, "the refusal")
        listener.unwanted.clear()
        store_all(daemon, [make(study=study)])
        until(lambda: metric(daemon, "parked") == 0, "the end of it")
        assert len(availability_of(listener.told[-1])) == 3
        assert metric(daemon, "failed_total") == 2


def test_IAN_01_what_was_refused_before_another_was_told_is_not_tried_each_time_that_more_is_refused(start_server):
    port = free_port()
    daemon = start_server(settings=settings_of(port, notifyQuietSeconds=0.05, forwardRetrySeconds=0.05))
    first, taken, second, last, end = (make() for _ in range(5))
    with Listener(port, unwanted=[first.StudyInstanceUID, second.StudyInstanceUID]) as listener:
        def attempts(ds):
            return [one.StudyInstanceUID for one in list(listener.told)].count(ds.StudyInstanceUID)

        for parked, (refused, told) in enumerate([(first, taken), (second, last)], 1):
            store_all(daemon, [refused])
            until(lambda parked=parked: metric(daemon, "parked") == parked, "the end of the attempts")
            assert attempts(refused) == 5
            store_all(daemon, [told])
            until(lambda refused=refused: attempts(refused) == 6, "one more attempt")
        store_all(daemon, [end])
        until(lambda: metric(daemon, "sent_total") == 3, "the last one")
        assert attempts(first) == 6
        assert attempts(second) == 6
        assert metric(daemon, "failed_total") == 2
        assert metric(daemon, "parked") == 2
