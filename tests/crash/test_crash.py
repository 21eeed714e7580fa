# SPDX-License-Identifier: MIT
"""kill -9 in the middle of parallel stores: after each restart every acknowledged instance is there byte for byte, in
query, metadata and feed, and no other one is half there."""
import hashlib
import pathlib
import random
import re
import threading
import time

import pytest
import requests
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

MR = "1.2.840.10008.5.1.4.1.1.4"
ROUNDS = 20
WRITERS = 4


def make_instance(study, series, number, rng):
    ds = Dataset()
    ds.SOPClassUID = MR
    ds.SOPInstanceUID = f"{series}.{number}"
    ds.StudyInstanceUID = study
    ds.SeriesInstanceUID = series
    ds.PatientID = "CRASH"
    ds.PatientName = "Crash^Test"
    ds.StudyDate = "20260101"
    ds.StudyTime = "120000"
    ds.AccessionNumber = "A1"
    ds.Modality = "MR"
    ds.SeriesNumber = 1
    ds.InstanceNumber = number
    ds.Rows = ds.Columns = 64
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    ds.PixelData = rng.randbytes(64 * 64 * 2)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


class Writer(threading.Thread):
    """Stores instances on one association until the daemon dies; remembers what was begun and what was acknowledged."""

    def __init__(self, daemon, study, series, begun, acknowledged, started):
        super().__init__(daemon=True)
        self.args = (daemon, study, series, begun, acknowledged, started)

    def run(self):
        daemon, study, series, begun, acknowledged, started = self.args
        rng = random.Random(series)
        ae = AE(ae_title=f"W{series[-6:].replace('.', '')}")
        ae.add_requested_context(MR, ExplicitVRLittleEndian)
        association = ae.associate("127.0.0.1", daemon.dimse_port, ae_title=daemon.ae_title)
        if not association.is_established:
            return
        number = 0
        while association.is_established:
            number += 1
            ds = make_instance(study, series, number, rng)
            begun[ds.SOPInstanceUID] = hashlib.sha256(ds.PixelData).hexdigest()
            try:
                status = association.send_c_store(ds)
            except Exception:
                break
            if not status or "Status" not in status:
                break
            assert status.Status == 0x0000, hex(status.Status)
            acknowledged.add(ds.SOPInstanceUID)
            started.set()


def read_feed(daemon):
    entries, offset = [], 0
    while True:
        page = requests.get(
            f"{daemon.dicomweb}/changefeed", params={"offset": offset, "limit": 1000}, timeout=30
        ).json()
        if not page:
            return entries
        entries += page
        offset = page[-1]["sequence"]


def query_instances(daemon, study):
    found, offset = [], 0
    while True:
        answer = requests.get(
            f"{daemon.dicomweb}/studies/{study}/instances", params={"offset": offset, "limit": 1000}, timeout=30
        )
        if answer.status_code == 204:
            return found
        page = answer.json()
        found += [(i["0020000E"]["Value"][0], i["00080018"]["Value"][0]) for i in page]
        offset += len(page)


def check_all(daemon, study, begun, acknowledged, checked, deleted=frozenset()):
    found = query_instances(daemon, study)
    uids = {uid for _, uid in found}
    assert len(uids) == len(found), "an instance is found twice"
    lost = acknowledged - uids - deleted
    assert not lost, f"lost: {sorted(lost)[:5]}"
    assert uids <= set(begun), "something that nobody sent"
    alive = set()
    for entry in read_feed(daemon):
        uid = entry["sopInstanceUid"]
        assert (entry["action"] == "create") == (uid not in alive), "created twice, or deleted twice"
        alive ^= {uid}
    assert alive == uids, "the feed and the archive do not agree"
    metadata = requests.get(f"{daemon.dicomweb}/studies/{study}/metadata", timeout=60).json()
    assert {m["00080018"]["Value"][0] for m in metadata} == uids
    counts = requests.get(f"{daemon.dicomweb}/studies", params={"StudyInstanceUID": study}, timeout=30).json()[0]
    assert counts["00201208"]["Value"][0] == len(uids)
    for series, uid in found:
        if uid in checked:
            continue
        answer = requests.get(
            f"{daemon.dicomweb}/studies/{study}/series/{series}/instances/{uid}/frames/1",
            headers={"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'},
            timeout=30,
        )
        assert answer.status_code == 200, (uid, answer.status_code, answer.text[:200])
        body = answer.content
        start = body.index(b"\r\n\r\n") + 4
        frame = body[start : start + 64 * 64 * 2]
        assert hashlib.sha256(frame).hexdigest() == begun[uid], f"other bytes in {uid}"
        checked.add(uid)


@pytest.mark.slow
def test_HOS_49_kill_9_during_parallel_stores_loses_no_acknowledged_instance(start_server):
    daemon = start_server()
    rng = random.Random(1895)
    study = "2.25.1895"
    begun, acknowledged, checked = {}, set(), set()
    for round_number in range(ROUNDS):
        started = threading.Event()
        writers = [
            Writer(daemon, study, f"{study}.{round_number + 1}.{w + 1}", begun, acknowledged, started)
            for w in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        assert started.wait(30), daemon.log()[-2000:]
        threading.Event().wait(rng.uniform(0.02, 0.5))
        daemon.kill()
        for writer in writers:
            writer.join(30)
            assert not writer.is_alive()
        daemon.start()
        check_all(daemon, study, begun, acknowledged, checked)
    assert len(acknowledged) >= ROUNDS



def fault_points():
    """The names of the fault points as they stand in the source: a new one is tested without being listed here."""
    root = pathlib.Path(__file__).resolve().parents[2]
    names = set()
    for folder in ("storage", "archive"):
        for path in (root / folder).glob("*.c"):
            names |= set(re.findall(r'FAULT_POINT\("([a-z-]+)"\)', path.read_text()))
    return sorted(names)


def delete_some(daemon, study, acknowledged, deleted):
    """Deletes acknowledged instances one by one until the daemon dies; what was tried may be gone."""
    while True:
        for uid in sorted(acknowledged - deleted)[:3]:
            deleted.add(uid)
            series = uid.rsplit(".", 1)[0]
            try:
                requests.delete(f"{daemon.dicomweb}/studies/{study}/series/{series}/instances/{uid}", timeout=5)
            except requests.RequestException:
                return
        if not daemon.alive():
            return
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", fault_points())
def test_HOS_49_a_crash_at_every_step_of_store_and_delete_loses_nothing(start_server, name):
    study = "2.25.1901"
    begun, acknowledged, deleted = {}, set(), set()
    daemon = start_server(env={"HOUNSFIELD_FAULT": f"{name}:3"})
    writers = [Writer(daemon, study, f"{study}.1.{w + 1}", begun, acknowledged, threading.Event()) for w in range(2)]
    threads = writers + [threading.Thread(target=delete_some, args=(daemon, study, acknowledged, deleted), daemon=True)]
    for thread in threads:
        thread.start()
    assert daemon.process.wait(30) == -9, "the fault point was not met"
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    daemon.env = {}
    daemon.start()
    uids = {uid for _, uid in query_instances(daemon, study)}
    assert acknowledged - deleted <= uids <= set(begun)
    # What was begun and not acknowledged can be sent again, and then everything agrees.
    again = Writer(daemon, study, f"{study}.2.1", begun, acknowledged, threading.Event())
    again.start()
    assert again.args[5].wait(10)
    daemon.stop()
    again.join(10)
    daemon.start()
    check_all(daemon, study, begun, acknowledged, set(), deleted)
