# SPDX-License-Identifier: MIT
"""The power is cut under mixed load: what the machine had not made durable is lost, all of it or any part that a disk may
lose. Nothing that was acknowledged is lost, nothing else is half there.

HOUNSFIELD_ROUNDS=n runs n rounds, HOUNSFIELD_SEED repeats the choices."""
import os
import random
import time

import pytest
from images import Web
from power_cut import PowerCut
from test_crash import Rounds
from upper_layer import Receiver

ROUNDS = int(os.environ.get("HOUNSFIELD_ROUNDS", 10))
SEED = int(os.environ.get("HOUNSFIELD_SEED", random.randrange(1 << 32)))


class Cuts(Rounds):
    """`disk` is a PowerCut."""

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
        self.load([], seconds)
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
    disk = PowerCut(tmp_path, tmp_path / "server0" / "data", lie)
    daemon = start_server({"log": "info", "data": {"segmentSizeMiB": 1}}, disk.env)
    return Cuts(daemon, disk, seed)


def run(cuts, count, policy=None):
    with Receiver(cuts.daemon.destination_ports["MOVEDEST1"], length=0) as receiver:
        for _ in range(count):
            cuts.run_one(receiver, cuts.rng.uniform(0.02, 0.3), policy)


@pytest.mark.slow
def test_HOS_49_a_power_cut_at_any_moment_loses_nothing_that_was_acknowledged(start_server, tmp_path):
    print(f"HOUNSFIELD_SEED={SEED} HOUNSFIELD_ROUNDS={ROUNDS}")
    cuts = open_cuts(start_server, tmp_path, SEED)
    began = time.monotonic()
    try:
        run(cuts, ROUNDS)
        cuts.finish()
    except BaseException:
        print(f"round {cuts.round}: {cuts.story}\n{cuts.daemon.log()[-3000:]}")
        raise
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
