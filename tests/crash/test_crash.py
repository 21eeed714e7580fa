# SPDX-License-Identifier: MIT
"""A daemon under mixed load is killed, at a random moment, at a fault point of its source, or around a call to the disk,
and started again on the same data directory, round after round. A model in the client knows what was acknowledged;
after each restart the archive must agree with it in feed, query, counts and bytes.

HOUNSFIELD_ROUNDS (40, with sanitizers 20) says how many rounds, HOUNSFIELD_SEED repeats the choices of an earlier run."""
import os
import pathlib
import random
import re
import signal
import subprocess
import threading
import time

import pytest

from conftest import BUILD
from disk import Disk
from images import GATHERED_MAX, FRAME_SIZE, Association, Gone, Web, digest, part10
from model import Model, Reader
from upper_layer import Receiver

PROGRAM = (BUILD / "hounsfield").read_bytes() if (BUILD / "hounsfield").exists() else b""
ROUNDS = int(os.environ.get("HOUNSFIELD_ROUNDS", "0")) or (20 if b"__asan_init" in PROGRAM else 40)
SEED = int(os.environ.get("HOUNSFIELD_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
STUDIES_MAX = 30  # open at a time
FULL_CHECK = 100  # rounds
ROOT = pathlib.Path(__file__).resolve().parents[2]
DUPLICATE = 0x0111

# What is called on the way of an instance, of a deletion, of a new segment, of the index and at a start.
CALLS = [
    ("write", "segments/"), ("fdatasync", "segments/"), ("fsync", "segments"), ("fallocate", "segments/"),
    ("punch", "segments/"), ("ftruncate", "segments/"), ("unlink", "segments/"), ("open", "segments/"),
    ("write", "index/"), ("fdatasync", "index/"), ("fsync", "index"), ("rename", "index/"), ("unlink", "index/"),
    ("open", "index/"), ("fallocate", "index/"), ("ftruncate", "index/"),
]
START_CALLS = [(call, path) for call, path in CALLS if call not in ("punch", "fdatasync") or path == "index/"]


def fault_points(*folders):
    """The names of the fault points as they stand in the source: a new one is tested without being listed here."""
    names = set()
    for folder in folders:
        for path in (ROOT / folder).glob("*.c"):
            names |= set(re.findall(r'FAULT_POINT\("([a-z_-]+)"\)', path.read_text()))
    return sorted(names)


# Those of backup, restore and rebuild are met in tests/storage/backup_test.c and tests/archive/rebuild_test.c, those of
# query tags, legal holds and amendments in tests/system/test_query_tags.py, test_hold.py and test_pir.py.
ELSEWHERE = ("backup-", "restore-", "rebuild_", "reindex_", "untag_", "hold_", "amended")
POINTS = [name for name in fault_points("storage", "archive") if not name.startswith(ELSEWHERE)]


def has_fault_points():
    return b"HOUNSFIELD_FAULT" in PROGRAM


# --- clients ---------------------------------------------------------------------------------------------------------


class Client(threading.Thread):
    """Works until the daemon is gone; what else goes wrong is kept in `failure`."""

    def __init__(self, daemon, model, rng, begun):
        super().__init__(daemon=True)
        self.server, self.model, self.rng, self.begun = daemon, model, rng, begun
        self.failure = None
        self.counts = {}

    def run(self):
        try:
            self.open()
            while True:
                self.step()
        except Gone:
            pass
        except BaseException as error:  # told by the main thread
            self.failure = error

    def count(self, what, number=1):
        self.counts[what] = self.counts.get(what, 0) + number


class Writer(Client):
    """Stores, sends again, contradicts, deletes and reads back, in studies of its own and in a series of a shared one."""

    def __init__(self, daemon, model, rng, begun, name, shared, old):
        super().__init__(daemon, model, rng, begun)
        self.name_, self.shared, self.old = name, shared, old
        self.number = 0

    def open(self):
        self.web = Web(self.server)

    def mine(self, alive=True):
        """Instances that nobody else changes now."""
        images = [i for study in self.old for i in self.model.studies[study]]
        images += [i for i in self.model.studies.get(self.shared, []) if i.series.startswith(f"{self.shared}.{self.name_}.")]
        return [i for i in images if i.pending is None and (i.content is not None) == alive]

    def new_image(self):
        self.number += 1
        if self.rng.random() < 0.4 or not self.old:
            study = self.shared
            series = f"{study}.{self.name_}.1"
        else:
            study = self.rng.choice(self.old)
            series = f"{study}.{self.name_}.{self.rng.randrange(1, 3)}"
        uid = f"{self.shared}.{self.name_}.0.{self.number}"
        frames = self.rng.choice((1, 1, 1, 2, 4, 24))
        return self.model.add(study, series, uid, self.number, frames)

    def pick_new(self):
        """One that is not here: a new one, or one that was deleted, with new bytes."""
        gone = self.mine(alive=False)
        if gone and self.rng.random() < 0.2:
            image = self.rng.choice(gone)
            image.seed += 1
            return image
        return self.new_image()

    def step(self):
        what = self.rng.random()
        alive = self.mine()
        if what < 0.55 or not alive:
            self.store()
        elif what < 0.65:
            self.again(self.rng.choice(alive))
        elif what < 0.70:
            self.contradict(self.rng.choice(alive))
        elif what < 0.88:
            self.delete(self.rng.choice(alive))
        else:
            Reader(self.model, self.web, self.rng).retrieve(self.rng.choice(alive))
            self.count("read back")

    def delete(self, image):
        """It alone, its series, or its study."""
        level = self.rng.choice(("instance", "instance", "series", "study"))
        if level == "study" and image.study == self.shared:
            level = "series"
        images = self.model.studies[image.study]
        path = image.path
        if level == "instance":
            images = [image]
        elif level == "series":
            images = [i for i in images if i.series == image.series]
            path = f"/studies/{image.study}/series/{image.series}"
        else:
            path = f"/studies/{image.study}"
        images = [i for i in images if i.content is not None]
        for one in images:
            one.begin("delete")
        answer = self.web.delete(path)
        assert answer.status == 204, (path, answer.status, answer.content)
        for one in images:
            one.done()
        self.count(f"{level} deleted")


class StoreScu(Writer):
    def open(self):
        super().open()
        self.association = Association(self.server, f"W{self.name_}")

    def store(self):
        image = self.pick_new()
        content = image.bytes()
        image.begin("create", digest(content))
        status = self.association.c_store(content, image.uid)
        assert status == 0, f"{status:04X}"
        image.done()
        self.begun.set()
        self.count("C-STORE")

    def again(self, image):
        assert self.association.c_store(image.bytes(), image.uid) == 0
        self.count("sent again")

    def contradict(self, image):
        status = self.association.c_store(image.bytes(seed=-1), image.uid)
        assert status == DUPLICATE, f"{status:04X}"
        self.count("contradicted")


class StowClient(Writer):
    def store(self):
        images = []
        for _ in range(self.rng.choice((1, 2, 3, 6))):
            image = self.pick_new()
            if image not in images:
                images.append(image)
        files = []
        for image in images:
            content = image.bytes()
            files.append(part10(content, image.uid))
            image.begin("create", digest(content))
        status, results = self.web.stow(files)
        assert status == 200 and results == {image.uid: 0 for image in images}, (status, results)
        for image in images:
            image.done()
        self.begun.set()
        self.count("STOW", len(images))

    def again(self, image):
        status, results = self.web.stow([part10(image.bytes(), image.uid)])
        assert status == 200 and results == {image.uid: 0}, (status, results)
        self.count("sent again")

    def contradict(self, image):
        status, results = self.web.stow([part10(image.bytes(seed=-1), image.uid)])
        assert status == 409 and results == {image.uid: DUPLICATE}, (status, results)
        self.count("contradicted")


class BigClient(StoreScu):
    """Sends one object that is too big to be gathered in memory, by C-STORE or STOW-RS, and deletes what is left of
    those before."""

    def step(self):
        big = [image for image in self.mine() if image.frames > 1000]
        if len(big) > 1:
            return self.delete(big[0])
        self.number += 1
        uid = f"{self.shared}.{self.name_}.0.{self.number}"
        image = self.model.add(self.shared, f"{self.shared}.{self.name_}.1", uid, 1, GATHERED_MAX // FRAME_SIZE + 1)
        content = image.bytes()
        image.begin("create", digest(content))
        self.begun.set()
        if self.rng.random() < 0.5:
            status = self.association.c_store(content, image.uid)
            assert status == 0, f"{status:04X}"
        else:
            status, results = self.web.stow([part10(content, image.uid)])
            assert status == 200 and results == {image.uid: 0}, (status, results)
        image.done()
        self.count("big")
        return None


class Keeper(Client):
    """Compacts and backs up meanwhile, as an operator would."""

    def __init__(self, daemon, model, rng, begun, backup):
        super().__init__(daemon, model, rng, begun)
        self.backup = backup

    def open(self):
        while not self.begun.wait(0.05):
            Association(self.server).release()

    def step(self):
        Association(self.server).release()  # without a server the commands work on the data directory themselves
        if self.rng.random() < 0.7:
            self.operate("compact", "--dead", "1")
        else:
            self.operate("backup", str(self.backup))

    def operate(self, *command):
        done = subprocess.run([*self.server.command, *command, "--quiet", "--data", str(self.server.data_dir)],
                              capture_output=True, text=True, timeout=60)
        if done.returncode == 1:
            time.sleep(0.2)  # whoever sees first that the daemon is dead
            Association(self.server).release()
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        self.count(command[0])


class Watcher(Client):
    """Reads while the others write."""

    def open(self):
        self.reader = Reader(self.model, Web(self.server), self.rng)
        self.association = Association(self.server, "READER")

    def step(self):
        if self.rng.random() < 0.8:
            self.reader.step()
        else:
            study = self.rng.choice(list(self.model.studies))
            found, status = self.association.c_find(QueryRetrieveLevel="STUDY", StudyInstanceUID=study)
            assert status == 0 and len(found) <= 1
        self.count("read")


# --- rounds ----------------------------------------------------------------------------------------------------------


class Rounds:
    def __init__(self, daemon, disk, seed):
        self.daemon, self.disk = daemon, disk
        self.rng = random.Random(seed)
        self.backup = daemon.folder / "backup"
        self.model = Model()
        self.round = 0
        self.counts = {}
        self.ends = {}
        self.restarts = []

    def start(self):
        """Starts the daemon; seconds until it listens, or None when it died before."""
        from_ = time.monotonic()
        self.daemon.start(wait=False)
        while True:
            if self.daemon.process.poll() is not None:
                assert self.daemon.process.returncode == -signal.SIGKILL, self.daemon.log()[-4000:]
                return None
            try:
                # HTTP is opened last
                web = Web(self.daemon, timeout=30)
                web.health()
                web.close()
                return time.monotonic() - from_
            except Gone:
                time.sleep(0.003)
            assert time.monotonic() - from_ < 60, self.daemon.log()[-4000:]

    def choose(self):
        """How this round ends: (name, rules of the disk, fault point)."""
        kind = self.rng.random()
        number = int(2 ** self.rng.uniform(0, 6))
        if kind < 0.3:
            return "moment", [], None
        if kind < 0.5 and has_fault_points():
            name = self.rng.choice(POINTS)
            return name, [], f"{name}:{number}"
        call, path = self.rng.choice(CALLS)
        if call not in ("write", "fdatasync"):
            number = int(number ** 0.5)  # they are rare
        actions = ["kill-before", "kill-after"] + (["torn"] if call == "write" else [])
        action = self.rng.choice(actions)
        return f"{action} {call} {path}", [(call, path, action, number - 1, 1)], None

    def clients(self, begun):
        study = f"2.25.{self.round}7"
        old = self.model.open_studies()
        self.rng.shuffle(old)
        writers = [StoreScu] * 3 + [StowClient] * 2 + ([BigClient] if self.rng.random() < 0.2 else [])
        clients = []
        for i, kind in enumerate(writers):
            rng = random.Random(self.rng.random())
            clients.append(kind(self.daemon, self.model, rng, begun, i + 1, study, old[i::len(writers)][:4]))
        if self.rng.random() < 0.4 or self.daemon.env.get("HOUNSFIELD_FAULT", "").startswith("compact"):
            clients.append(Keeper(self.daemon, self.model, random.Random(self.rng.random()), begun, self.backup))
        clients.append(Watcher(self.daemon, self.model, random.Random(self.rng.random()), begun))
        return clients

    def load(self, rules, seconds):
        """Lets the clients work until the daemon is dead. True when it died by the rule or at the point."""
        begun = threading.Event()
        clients = self.clients(begun)
        if rules or any(isinstance(client, (BigClient, Keeper)) for client in clients):
            seconds *= 4
        for client in clients:
            client.start()
        until = time.monotonic() + 30
        while not begun.wait(0.05) and self.daemon.alive() and not any(c.failure for c in clients):
            assert time.monotonic() < until, "nothing is stored"
        if rules:
            self.disk.set(*rules)
        died = True
        try:
            self.daemon.process.wait(seconds)
        except subprocess.TimeoutExpired:
            died = False
            self.daemon.kill()
        self.disk.set()
        for client in clients:
            client.join(60)
            assert not client.is_alive()
            if client.failure:
                raise client.failure
            for what, number in client.counts.items():
                self.counts[what] = self.counts.get(what, 0) + number
        assert self.daemon.process.returncode == -signal.SIGKILL, self.daemon.log()[-4000:]
        self.seen = clients[-1].reader.seen if hasattr(clients[-1], "reader") else []
        return died

    def restart(self):
        """Starts again; in one round of ten it is killed while it does."""
        self.daemon.env.pop("HOUNSFIELD_FAULT", None)
        if self.rng.random() < 0.1:
            call, path = self.rng.choice(START_CALLS)
            action = self.rng.choice(("kill-before", "kill-after"))
            self.disk.set((call, path, action, int(2 ** self.rng.uniform(0, 5)) - 1, 1))
            if self.start() is None:
                self.ends["at the start"] = self.ends.get("at the start", 0) + 1
            else:
                self.daemon.kill()
            self.disk.set()
        self.restarts.append(self.start())
        assert self.restarts[-1] is not None

    def check(self, receiver):
        web = Web(self.daemon)
        studies = self.model.follow(web, self.seen)
        for study in studies:
            self.model.check_study(web, study)
        self.model.check_counts(web)
        alive = self.model.open_studies()
        if alive:
            self.model.check_study(web, self.rng.choice(alive))
            association = Association(self.daemon, "CHECK")
            self.model.check_moved(association, receiver, "MOVEDEST1", self.rng.choice(alive))
            association.release()
        if self.round % FULL_CHECK == 0:
            self.model.check_all(web)
        self.make_room(web)
        web.close()

    def make_room(self, web):
        """Old studies go, so that segments die and are removed."""
        studies = self.model.open_studies()
        for study in studies[:max(0, len(studies) - STUDIES_MAX)]:
            images = self.model.alive(study)
            for image in images:
                image.begin("delete")
            assert web.delete(f"/studies/{study}").status == 204
            for image in images:
                image.done()

    def arm(self, point):
        """The daemon that comes next dies at a fault point; it may be as soon as it starts."""
        self.daemon.kill()
        self.daemon.env["HOUNSFIELD_FAULT"] = point
        if self.start() is None:
            self.daemon.env.pop("HOUNSFIELD_FAULT")
            assert self.start() is not None

    def run_one(self, receiver, name, rules, point, seconds):
        """True when the daemon died by its rule or at its point within so many seconds."""
        self.round += 1
        if point:
            self.arm(point)
        died = self.load(rules, seconds)
        if not died:
            name = "moment"
        self.ends[name] = self.ends.get(name, 0) + 1
        self.restart()
        self.check(receiver)
        if self.round % 20 == 0:
            self.model.forget_deleted()
        return died

    def finish(self):
        """Everything once more: as it is, as `verify` sees it, after a stop in order, and out of the backup."""
        web = Web(self.daemon)
        self.model.follow(web)
        self.model.check_all(web)
        self.operate("backup", str(self.backup))
        self.operate("verify")
        self.daemon.stop()
        self.daemon.start()
        self.model.check_all(Web(self.daemon))
        self.daemon.stop()
        self.daemon.data_dir.rename(self.daemon.folder / "before")
        self.operate("restore", str(self.backup))
        self.daemon.start()
        self.model.check_all(Web(self.daemon))

    def operate(self, *command):
        """Blobs to which nothing refers are what a crash may leave, and no damage."""
        done = subprocess.run([*self.daemon.command, *command, "--json", "--quiet", "--data", str(self.daemon.data_dir)],
                              capture_output=True, text=True, timeout=600)
        found = {kind for kind in re.findall(r'"kind": ?"([a-z-]+)"', done.stdout)}
        assert done.returncode in (0, 3) and found <= {"blob-unknown"}, (command, done.stdout[-3000:], done.stderr[-3000:])

    def report(self, seconds):
        times = sorted(self.restarts)
        print(f"rounds={self.round} seconds={seconds:.1f} acknowledged={self.model.acknowledged} "
              f"restart median={times[len(times) // 2] * 1000:.0f} ms longest={times[-1] * 1000:.0f} ms")
        print("done: " + ", ".join(f"{what} {number}" for what, number in sorted(self.counts.items())))
        print("ended: " + ", ".join(f"{what} {number}" for what, number in sorted(self.ends.items())))


def open_rounds(start_server, tmp_path, seed):
    disk = Disk(tmp_path)
    daemon = start_server({"log": "info", "data": {"segmentSizeMiB": 1}}, disk.env)
    return Rounds(daemon, disk, seed)


@pytest.mark.slow
def test_HOS_49_killed_at_any_moment_it_loses_nothing_that_was_acknowledged(start_server, tmp_path):
    print(f"HOUNSFIELD_SEED={SEED} HOUNSFIELD_ROUNDS={ROUNDS}")
    rounds = open_rounds(start_server, tmp_path, SEED)
    began = time.monotonic()
    with Receiver(rounds.daemon.destination_ports["MOVEDEST1"], length=0) as receiver:
        for _ in range(ROUNDS):
            choice = rounds.choose()
            try:
                rounds.run_one(receiver, *choice, rounds.rng.uniform(0.02, 0.2))
            except BaseException:
                print(f"round {rounds.round}: {choice}\n{rounds.disk.acts()[-1:]}\n{rounds.daemon.log()[-3000:]}")
                raise
        rounds.finish()
    rounds.report(time.monotonic() - began)
    assert rounds.model.acknowledged > 10 * ROUNDS


@pytest.mark.slow
@pytest.mark.skipif(not has_fault_points(), reason="fault points are not compiled in")
@pytest.mark.parametrize("name", POINTS)
def test_HOS_49_a_crash_at_every_step_of_store_and_delete_loses_nothing(start_server, tmp_path, name):
    rounds = open_rounds(start_server, tmp_path, 1901)
    with Receiver(rounds.daemon.destination_ports["MOVEDEST1"], length=0) as receiver:
        count = 1 if name.startswith("compact") else 3
        assert rounds.run_one(receiver, name, [], f"{name}:{count}", 30), "the fault point was not met"
        rounds.finish()
