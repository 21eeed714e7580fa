# SPDX-License-Identifier: MIT
"""Writes, syncs, new files and reads that fail, in segments and in the index, under a daemon that goes on: what cannot be
kept is refused plainly, what was acknowledged stays readable, and when the disk is whole again so is the archive."""
import threading
import time

import pytest

from disk import Disk
from images import Association, Gone, Web, digest, part10
from model import Model
from upper_layer import Receiver

ALWAYS = 1_000_000_000
BASE = "2.25.100"
STUDY = "2.25.200"
NOTICE = ("open", "/LOCK", "note", 0, ALWAYS)  # the data directory is opened anew

# name: (rules, remarks in an object, what becomes of stores)
# "stored": the fault is nothing to them; "refused": as long as it lasts; "failed": until the data directory was opened
# anew, because nobody knows what the disk holds.
FAULTS = {
    "segment write ENOSPC": ([("write", "segments/", "ENOSPC", 0, ALWAYS)], 0, "refused"),
    "segment write EIO": ([("write", "segments/", "EIO", 0, ALWAYS)], 0, "refused"),
    "segment write EIO once": ([("write", "segments/", "EIO", 2, 1)], 0, "refused"),
    "segment write short": ([("write", "segments/", "short", 1, 3)], 0, "stored"),
    "segment write short, then ENOSPC": (
        [("write", "segments/", "short", 0, 1), ("write", "segments/", "ENOSPC", 0, ALWAYS)], 0, "refused"),
    "new segment ENOSPC": ([("fallocate", "segments/", "ENOSPC", 0, ALWAYS)], 0, "refused"),
    "new segment EMFILE": ([("open", "segments/", "EMFILE", 0, ALWAYS)], 0, "refused"),
    "new segment fsync EIO": ([("fsync", "segments", "EIO", 0, ALWAYS)], 0, "refused"),
    "segment sync EIO": ([("fdatasync", "segments/", "EIO", 1, 1)], 0, "failed"),
    "segment sync ENOSPC": ([("fdatasync", "segments/", "ENOSPC", 1, 1)], 0, "failed"),
    "log write EIO": ([("write", ".log", "EIO", 1, 1)], 0, "failed"),
    "log write ENOSPC": ([("write", ".log", "ENOSPC", 1, ALWAYS)], 0, "failed"),
    "log write ENOSPC once": ([("write", ".log", "ENOSPC", 1, 1)], 0, "failed"),
    "log write short": ([("write", ".log", "short", 1, 3)], 0, "stored"),
    "log write short, then ENOSPC": (
        [("write", ".log", "short", 1, 1), ("write", ".log", "ENOSPC", 1, 3)], 0, "failed"),
    "log sync EIO": ([("fdatasync,fsync", ".log", "EIO", 1, 1)], 0, "failed"),
    "log sync ENOSPC": ([("fdatasync,fsync", ".log", "ENOSPC", 1, 1)], 0, "failed"),
    "table write ENOSPC": ([("write", ".sst", "ENOSPC", 0, ALWAYS)], 200, "refused"),
    "table write EIO": ([("write", ".sst", "EIO", 0, 1)], 200, "failed"),
    "table sync EIO": ([("fsync,fdatasync", ".sst", "EIO", 0, 1)], 200, "failed"),
    "table EMFILE": ([("open", ".sst", "EMFILE", 0, ALWAYS)], 200, "failed"),
    "manifest write ENOSPC": ([("write", "MANIFEST", "ENOSPC", 0, ALWAYS)], 200, "refused"),
    "manifest write EIO": ([("write", "MANIFEST", "EIO", 0, 1)], 200, "failed"),
    "manifest sync EIO": ([("fsync,fdatasync", "MANIFEST", "EIO", 0, 1)], 200, "failed"),
}
LONG = {name for name, (_, remarks, _) in FAULTS.items() if remarks} - {"table write ENOSPC", "manifest write EIO"}


class Store:
    """A daemon on a faulty disk, and what its clients know."""

    def __init__(self, start_server, folder, remarks=0):
        self.disk = Disk(folder)
        settings = {"log": "info", "data": {"segmentSizeMiB": 1, "restartAfterFailure": True}}
        self.server = start_server(settings, self.disk.env)
        self.model = Model()
        self.remarks = remarks
        self.numbers = {}
        self.refused = []
        for _ in range(6):
            self.store(Association(self.server), BASE, 1)

    def new(self, study, series):
        number = self.numbers[study, series] = self.numbers.get((study, series), 0) + 1
        image = self.model.add(study, f"{study}.{series}", f"{study}.{series}.{number}", number, 4)
        image.remarks = self.remarks
        return image

    def store(self, association, study, series):
        """One C-STORE; True when it was acknowledged. A refusal that is not plain is an error."""
        image = self.new(study, series)
        content = image.bytes()
        image.begin("create", digest(content))
        status = association.c_store(content, image.uid)
        return self.note([image], {image.uid: status})

    def stow(self, web, study, series, count):
        images = [self.new(study, series) for _ in range(count)]
        files = []
        for image in images:
            content = image.bytes()
            files.append(part10(content, image.uid))
            image.begin("create", digest(content))
        status, results = web.stow(files)
        if set(results) != {image.uid for image in images}:
            assert status in (503, 507), (status, results)
            results = {image.uid: 0xA700 for image in images}
        stored = sum(reason == 0 for reason in results.values())
        assert status in ({0: (503, 507), count: (200,)}.get(stored, (202,))), (status, results)
        return self.note(images, results)

    def note(self, images, results):
        for image in images:
            status = results[image.uid]
            if status == 0:
                image.done()
            else:
                assert status & 0xF000 in (0xA000, 0xC000) or status == 0x0110, f"{status:04X}"
                self.refused.append(image)
        return all(status == 0 for status in results.values())

    def was_opened_since_the_fault(self):
        acts = self.disk.acts()
        faults = [at for at, act in enumerate(acts) if not act.endswith(" note")]
        return any(act.endswith("/LOCK note") for act in acts[faults[-1]:])

    # --- while the fault lasts ---

    def fill(self, outcome, series):
        """One client that stores until it is refused, and then goes on for a while."""
        try:
            association = Association(self.server)
            refusals = 0
            for _ in range(1500 if self.remarks else 60):
                if self.store(association, STUDY, series):
                    if outcome == "refused":
                        refusals = 0
                    else:
                        assert not refusals or self.was_opened_since_the_fault(), "stored after a failed sync"
                else:
                    assert outcome != "stored", "refused for nothing"
                    refusals += 1
                if refusals == 5:
                    return
        except Gone:
            assert outcome == "failed"  # it opens its data directory anew
        except BaseException as error:
            self.failures.append(error)

    def load(self, outcome):
        self.failures = []
        threads = [threading.Thread(target=self.fill, args=(outcome, n + 1), daemon=True) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()
        if self.failures:
            raise self.failures[0]

    def under_way(self):
        """Cut off by a restart, without an answer."""
        return {image.uid for image in self.model.images.values() if image.pending and image not in self.refused}

    def check_reads_though_it_restarts(self):
        """It starts itself anew a moment after the failure: then the fault has to be over, which each new process counts from
        its beginning, as the index is written to before it is there to be read."""
        until = time.monotonic() + 120
        while True:
            try:
                return self.check_reads("failed")
            except Gone:
                assert self.server.alive() and time.monotonic() < until, self.server.log()[-3000:]
                self.disk.set(NOTICE)
                time.sleep(0.1)

    def check_reads(self, outcome):
        """All that was acknowledged before can be read, and what was refused is not shown half."""
        web = Web(self.server)
        self.model.check_study(web, BASE)
        found, status = Association(self.server).c_find(QueryRetrieveLevel="STUDY", StudyInstanceUID=BASE)
        assert status == 0 and len(found) == 1
        with Receiver(self.server.destination_ports["MOVEDEST1"], length=0) as receiver:
            self.model.check_moved(Association(self.server), receiver, "MOVEDEST1", BASE)
        alive = {image.uid for image in self.model.alive(STUDY)}
        shown = {uid for _, uid in web.instances(f"StudyInstanceUID={STUDY}")}
        assert alive <= shown, "lost"
        possible = self.refused if outcome == "failed" else []
        assert shown - alive <= {image.uid for image in possible} | self.under_way()
        in_feed = [uid for _, action, _, uid in web.feed(0) if action == "create"]
        assert len(set(in_feed)) == len(in_feed) and {image.uid for image in self.model.alive()} <= set(in_feed)

    # --- when it is over ---

    def recover(self):
        """Waits until it stores again, without any hand work."""
        self.disk.set(NOTICE)
        until = time.monotonic() + 90
        while True:
            assert self.server.alive(), self.server.log()[-3000:]
            try:
                if self.store(Association(self.server), STUDY, 90):
                    return
            except Gone:
                pass  # it starts itself anew
            assert time.monotonic() < until, f"it does not recover: {self.server.log()[-3000:]}"
            time.sleep(0.1)

    def settle(self, outcome):
        """What was refused is not there. After a failed sync it may be: nobody can know; but then it is there whole."""
        self.refused += [i for i in self.model.images.values() if i.pending and i not in self.refused]
        if outcome != "failed":
            for image in self.refused:
                image.refused()
        web = Web(self.server)
        self.model.follow(web)
        self.model.check_all(web)

    def send_refused_again(self):
        web = Web(self.server)
        association = Association(self.server)
        for image in self.refused:
            content = image.bytes()
            if image.content is None:
                image.begin("create", digest(content))
            assert association.c_store(content, image.uid) == 0
            if image.pending:
                image.done()
        assert self.stow(web, STUDY, 91, 5)
        self.model.follow(web)

    def check_after_kill(self):
        self.server.kill()
        self.disk.set()
        self.server.start()
        web = Web(self.server)
        self.model.follow(web)
        self.model.check_all(web)


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] if n in LONG else []) for n in FAULTS])
def test_HOS_49_a_failing_disk_refuses_plainly_and_what_was_acknowledged_stays(start_server, tmp_path, name):
    rules, remarks, outcome = FAULTS[name]
    store = Store(start_server, tmp_path, remarks)
    store.disk.set(NOTICE, *rules)
    store.load(outcome)
    acts = [act for act in store.disk.acts() if not act.endswith(" note")]
    assert acts, "the fault was not met"
    if outcome == "stored":
        assert not store.refused
    else:
        # Whoever comes late finds the server that started itself anew.
        assert store.refused or store.was_opened_since_the_fault()
    if outcome == "failed":
        store.check_reads_though_it_restarts()
    else:
        store.check_reads(outcome)
    if outcome == "refused" and not name.endswith("once"):
        assert not store.stow(Web(store.server), STUDY, 80, 3)
        store.check_reads(outcome)
    store.recover()
    if outcome == "failed":
        assert store.was_opened_since_the_fault()
    store.settle(outcome)
    store.send_refused_again()
    store.check_after_kill()
