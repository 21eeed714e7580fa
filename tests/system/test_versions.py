# SPDX-License-Identifier: MIT
"""STO-08: old versions of instances beside all that looks after a data directory, and after a crash."""
import io
import threading

import pydicom
import requests

from test_commands import report
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
    replacer.join()

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
    assert rebuilt["instances"] + rebuilt["versions"] == looked["leftovers"]
