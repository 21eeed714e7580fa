# SPDX-License-Identifier: MIT
"""STO-08: old versions of instances beside all that looks after a data directory, and after a crash."""
import io
import json
import struct
import threading
import time
from collections import Counter

import pydicom
import requests

from bounds import join_all
from test_commands import report
from upper_layer import Association
from web import get, make, new_uid, parts_of, store, url_of

KEPT = 3
INSTANCES = 6


class Replacer(threading.Thread):
    """Stores version after version of the same instances; `acknowledged` has the last one of each that was a success."""

    def __init__(self, server):
        super().__init__()
        self.server, self.stopping = server, False
        study, series = new_uid(), new_uid()
        self.instances = [make(study=study, series=series, InstanceNumber=n, PatientID="V1") for n in range(INSTANCES)]
        self.acknowledged = {ds.SOPInstanceUID: 0 for ds in self.instances}

    def round(self, number):
        for ds in self.instances:
            ds.ImageComments = str(number)
            ds.PixelData = number.to_bytes(4, "little") * (len(ds.PixelData) // 4)
            store(self.server, ds)
            self.acknowledged[ds.SOPInstanceUID] = number

    def run(self):
        number = 1
        try:
            while not self.stopping:
                number += 1
                self.round(number)
        except (AssertionError, requests.RequestException):
            pass  # the server is gone

    def shown(self, server):
        """The version of each instance, whose bytes are of that version alone."""
        numbers = {}
        for ds in self.instances:
            answer = get(url_of(server, ds), 'multipart/related; type="application/dicom"; transfer-syntax=*')
            file = pydicom.dcmread(io.BytesIO(parts_of(answer)[0][1]))
            number = int(file.ImageComments)
            assert file.PixelData == number.to_bytes(4, "little") * (len(ds.PixelData) // 4)
            numbers[ds.SOPInstanceUID] = number
        return numbers


def check(data):
    """Whole, with as many versions as are kept at most. Returns their number, and that of records that no version is:
    what was being stored at the moment of a crash or backup, and stays until its segment is compacted."""
    looked = report("verify", "--data", data)["result"]
    assert looked["findings"] == []
    figures = report("stats", "--data", data)["result"]
    assert figures["instances"] == INSTANCES
    assert 0 < figures["versions"] <= KEPT * INSTANCES and figures["versionBytes"] > 0
    return figures["versions"], looked["leftovers"]


def test_STO_08_old_versions_stay_whole_beside_all_commands_and_a_crash(start_server, tmp_path):
    server = start_server({"store": {"onConflict": "replace", "versionsKept": KEPT}})
    data, backup, restored = server.data_dir, tmp_path / "backup", tmp_path / "restored"
    replacer = Replacer(server)
    replacer.round(1)
    replacer.start()
    for _ in range(2):
        check(data)
        report("compact", "--dead", "0", "--data", data)
    before_backup = dict(replacer.acknowledged)
    report("backup", backup, "--check", "--data", data)
    server.kill()
    join_all([replacer])

    # What was acknowledged is there, or what was being stored after it.
    server.start()
    shown = replacer.shown(server)
    for uid, number in replacer.acknowledged.items():
        assert number <= shown[uid] <= number + 1
    assert server.stop() == 0
    report("compact", "--dead", "0", "--data", data)
    versions, left = check(data)
    assert left <= 1
    rebuilt = report("rebuild", "--data", data)["result"]
    assert (rebuilt["instances"], rebuilt["versions"]) == (INSTANCES, versions + left)
    assert report("verify", "--data", data)["result"]["leftovers"] == 0
    server.start()
    again = replacer.shown(server)
    assert sum(again[uid] - shown[uid] for uid in shown) == left  # it was newer than what was shown
    assert server.stop() == 0

    report("restore", backup, "--data", restored)
    _, left = check(restored)
    assert left <= 1
    again = start_server({"data": {"directory": str(restored)}})
    for uid, number in replacer.shown(again).items():
        assert number >= before_backup[uid]
    study = f"{again.dicomweb}/studies/{replacer.instances[0].StudyInstanceUID}"
    assert requests.delete(study, timeout=30).status_code == 204
    assert report("stats", "--data", restored)["result"]["versions"] == 0
    assert again.stop() == 0
    report("compact", "--dead", "0", "--data", restored)
    looked = report("verify", "--data", restored)["result"]
    assert looked["findings"] == [] and looked["leftovers"] <= left
    rebuilt = report("rebuild", "--data", restored)["result"]
    assert (rebuilt["instances"], rebuilt["versions"], rebuilt["deleted"]) == (0, 0, looked["leftovers"])


def test_STO_08_many_replace_one_instance_while_it_is_retrieved_queried_committed_and_deleted(start_server):
    """Whoever looks sees one version, whole, or nothing; so does who looks after a crash."""
    server = start_server({"store": {"onConflict": "replace", "versionsKept": KEPT}})
    study, series, instance = new_uid(), new_uid(), new_uid()
    stopping, faults, done = threading.Event(), [], Counter()
    association = dict(calling="RACER")

    def version(number):
        ds = make(study=study, series=series, PatientID="V1", ImageComments=str(number), SOPInstanceUID=instance)
        ds.PixelData = number.to_bytes(4, "little") * (len(ds.PixelData) // 4)
        return ds

    first = version(1)

    def replace(worker):
        one = Association(server, **association)
        for number in range(worker << 16, (worker + 1) << 16):
            if stopping.is_set():
                return one.release()
            status = one.store(version(number))[0x0900]
            assert status in (0, 0xA700), hex(status)  # A700: others were faster again and again
            done["replaced"] += status == 0

    def retrieve(_):
        while not stopping.is_set():
            answer = requests.get(url_of(server, first), timeout=60, headers={
                "Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'})
            assert answer.status_code in (200, 404, 410), answer.status_code
            if answer.status_code == 200:
                file = pydicom.dcmread(io.BytesIO(parts_of(answer)[0][1]))
                assert file.PixelData == int(file.ImageComments).to_bytes(4, "little") * (len(first.PixelData) // 4)
                done["retrieved"] += 1

    def query(_):
        while not stopping.is_set():
            found = requests.get(f"{server.dicomweb}/instances", timeout=60,
                                 params={"SOPInstanceUID": instance, "includefield": "ImageComments"})
            assert found.status_code in (200, 204)
            assert found.status_code == 204 or len(found.json()) <= 1
            done["queried"] += 1

    def commit(_):
        body = json.dumps([{"00081199": {"vr": "SQ", "Value": [{"00081150": {"vr": "UI", "Value": [first.SOPClassUID]},
                                                                "00081155": {"vr": "UI", "Value": [instance]}}]}}])
        while not stopping.is_set():
            url = f"{server.dicomweb}/commitment-requests/{new_uid()}"
            answer = requests.post(url, data=body, headers={"Content-Type": "application/dicom+json"}, timeout=60)
            while answer.status_code == 202 and not stopping.is_set():
                answer = requests.get(url, timeout=60)
            if answer.status_code == 200:
                failed = answer.json()[0].get("00081198", {}).get("Value", [])
                assert not failed or failed[0]["00081197"]["Value"] == [0x0112], "held whole, or not held"
                done["committed"] += 1

    def delete(_):
        while not stopping.wait(0.2):
            status = requests.delete(url_of(server, first), timeout=60).status_code
            assert status in (204, 404, 410), status
            done["deleted"] += status == 204

    def guarded(act, worker):
        try:
            act(worker)
        except (AssertionError, OSError, requests.RequestException, AttributeError, TypeError, struct.error) as fault:
            if not stopping.is_set():  # after that the server is gone
                faults.append(f"{act.__name__}: {fault!r}")

    threads = [threading.Thread(target=guarded, args=(act, worker), daemon=True)
               for act, count in ((replace, 16), (retrieve, 2), (query, 1), (commit, 1), (delete, 1))
               for worker in range(1, count + 1)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 60
    while time.monotonic() < until and not faults and min(done[what] for what in (
            "replaced", "retrieved", "queried", "committed", "deleted")) < 5:
        time.sleep(0.05)
    stopping.set()
    server.kill()
    join_all(threads)
    assert faults == [] and len(+done) == 5
    server.start()
    assert report("verify", "--data", server.data_dir)["result"]["findings"] == []
    retrieved = requests.get(url_of(server, first), timeout=60)
    assert retrieved.status_code in (200, 404, 410)
