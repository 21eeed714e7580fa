# SPDX-License-Identifier: MIT
"""The power is cut under mixed load: what the machine had not made durable is lost, all of it or any part that a disk may
lose. Nothing that was acknowledged is lost, nothing else is half there.

HOUNSFIELD_ROUNDS=n runs n / 4 rounds (they take longer than others), HOUNSFIELD_SEED repeats the choices."""
import json
import os
import random
import shutil
import socket
import subprocess
import time

import pytest
from conftest import BINARY
from images import Gone, Web
from power_cut import PowerCut
from test_crash import Client, Keeper, Rounds
from upper_layer import Receiver

ROUNDS = int(os.environ.get("HOUNSFIELD_ROUNDS", 40)) // 4
SEED = int(os.environ.get("HOUNSFIELD_SEED", random.randrange(1 << 32)))


def command(*arguments):
    """Exit status and result of a command."""
    done = subprocess.run([str(BINARY), *map(str, arguments), "--json"], capture_output=True, text=True, timeout=120)
    return done.returncode, json.loads(done.stdout)


def ask(daemon, name, **options):
    """As a command does it while a daemon has the data directory; never without one."""
    with socket.socket(socket.AF_UNIX) as asked:
        folder = os.open(daemon.data_dir, os.O_RDONLY)
        try:
            asked.connect(f"/proc/self/fd/{folder}/control")
            asked.sendall(json.dumps({"command": name, "options": options}).encode() + b"\n")
            for line in asked.makefile():
                answer = json.loads(line)
                if "progress" not in answer:
                    return answer
        except OSError as error:
            raise Gone from error
        finally:
            os.close(folder)
    raise Gone


class AskingKeeper(Client):
    """As a Keeper; but nothing is done to the data directory once the daemon is dead."""

    def __init__(self, cuts, rng, begun):
        super().__init__(cuts.daemon, cuts.model, rng, begun)
        self.cuts = cuts

    def open(self):
        self.begun.wait(30)

    def step(self):
        if self.rng.random() < 0.5:
            answer = ask(self.server, "compact", deadShare=0.01)
            assert "result" in answer or answer["error"]["code"] == "busy", answer
            self.count("compacted")
        else:
            answer = ask(self.server, "backup", directory=str(self.cuts.backup))
            assert "result" in answer, answer
            self.cuts.backed_up = answer["result"]["latestSequence"]
            self.count("backed up")


class Cuts(Rounds):
    """`disk` is a PowerCut."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.backup = self.daemon.folder / "backup"
        self.restored = self.daemon.folder / "restored"
        self.backed_up = None  # the last change that is in the backup
        self.keeping = False

    def clients(self, begun):
        clients = [client for client in super().clients(begun) if not isinstance(client, Keeper)]
        if self.keeping:
            clients.insert(0, AskingKeeper(self, random.Random(self.rng.random()), begun))
        return clients

    def check(self, receiver):
        super().check(receiver)
        status, answer = command("verify", "--data", self.daemon.data_dir)
        assert status in (0, 3) and answer["result"]["damage"] == 0, answer
        if self.backed_up is not None and self.rng.random() < 0.4:
            self.check_backup()

    def check_backup(self):
        """The last one that came to its end, or one behind it, is whole."""
        status, answer = command("restore", self.backup, "--data", self.restored)
        assert status == 0 and answer["result"]["latestSequence"] >= self.backed_up, answer
        status, answer = command("verify", "--data", self.restored)
        assert status in (0, 3) and answer["result"]["damage"] == 0, answer
        shutil.rmtree(self.restored)

    def cut(self, when, policy=None):
        name = f"{when}, lost {self.disk.cut(self.rng, policy)}"
        self.story.append(name)
        kind = name.partition(":")[0]
        self.ends[kind] = self.ends.get(kind, 0) + 1

    def restart(self):
        """In one round of four the power goes again while the daemon recovers."""
        if self.rng.random() < 0.25:
            self.daemon.start(wait=False)
            time.sleep(self.rng.uniform(0, 0.3))
            self.daemon.kill()
            self.cut("cut at the start")
        self.restarts.append(self.start())

    def run_one(self, receiver, seconds, policy=None):
        self.round += 1
        self.story = []
        self.keeping = self.rng.random() < 0.4
        self.load([], seconds * (5 if self.keeping else 1))
        self.cut("cut", policy)
        self.restart()
        self.check(receiver)
        if self.rng.random() < 0.15:
            self.daemon.stop()
            self.cut("cut behind a stop", policy)
            self.restart()
            self.seen = []
            self.check(receiver)
        if self.round % 20 == 0:
            self.model.forget_deleted()

    def finish(self):
        """Everything once more, and again behind a stop and a cut that takes all it can."""
        web = Web(self.daemon)
        self.model.follow(web)
        self.model.check_all(web)
        web.close()
        self.daemon.stop()
        self.cut("cut behind a stop", "all")
        self.daemon.start()
        self.model.check_all(Web(self.daemon))


def open_cuts(start_server, tmp_path, seed, lie=None):
    disk = PowerCut(tmp_path, tmp_path / "server0", lie)
    daemon = start_server({"log": "info", "data": {"segmentSizeMiB": 1}}, disk.env)
    return Cuts(daemon, disk, seed)


def run(cuts, count, policy=None):
    with Receiver(cuts.daemon.destination_ports["MOVEDEST1"], length=0) as receiver:
        for _ in range(count):
            cuts.run_one(receiver, cuts.rng.uniform(0.02, 0.3), policy)


@pytest.mark.slow
def test_HOS_49_a_power_cut_at_any_moment_loses_nothing_that_was_acknowledged(start_server, tmp_path):
    print(f"HOUNSFIELD_SEED={SEED} HOUNSFIELD_ROUNDS={4 * ROUNDS}")
    cuts = open_cuts(start_server, tmp_path, SEED)
    began = time.monotonic()
    try:
        run(cuts, ROUNDS)
        cuts.finish()
    except BaseException:
        print(f"round {cuts.round}: {cuts.story}\n{cuts.daemon.log()[-3000:]}")
        raise
    if cuts.backed_up is not None:
        cuts.check_backup()
    cuts.report(time.monotonic() - began)
    print("lost: " + ", ".join(f"{what} {number}" for what, number in sorted(cuts.disk.lost.items())))
    assert cuts.model.acknowledged > 5 * ROUNDS
    assert cuts.disk.lost["changes"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("file, missing", [("/segments/", "500 Internal Server Error"), (".log", "the feed|in the feed|lost")])
def test_HOS_49_a_sync_that_does_nothing_is_found_out(start_server, tmp_path, file, missing):
    """The test above is one: when fdatasync lies, of the segments or of the log of the index, something is missing."""
    cuts = open_cuts(start_server, tmp_path, 1895, lie=file)
    with pytest.raises(AssertionError, match=missing):
        run(cuts, 3, "all")
