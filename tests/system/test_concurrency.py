# SPDX-License-Identifier: MIT
"""Twenty clients store, contradict, delete, query and retrieve the same few studies at once. Every answer must be legal: an
instance is whole or absent. Afterwards the archive agrees with its own feed, in counts and in bytes, also after a restart.
HOUNSFIELD_SECONDS (10) says for how long."""
import os
import random
import threading
import time

import pytest

from images import FRAME_SIZE, SOP_CLASS, Association, Gone, Web, dataset, dataset_of, digest, instance_of, part10
from upper_layer import Receiver

SECONDS = float(os.environ.get("HOUNSFIELD_SECONDS", "10"))
STUDIES = [f"2.25.30{n}" for n in range(3)]
FRAMES = (1, 2, 1, 24)
DUPLICATE, OUT_OF_RESOURCES = 0x0111, 0xA700


class Instance:
    """It may hold one of two contents."""

    def __init__(self, study, series, number):
        self.study, self.series = study, f"{study}.{series}"
        self.uid = f"{self.series}.{number}"
        self.contents = [dataset(study, self.series, self.uid, number, FRAMES[number - 1], seed) for seed in (1, 2)]
        self.digests = {digest(content) for content in self.contents}
        self.path = f"/studies/{study}/series/{self.series}/instances/{self.uid}"


INSTANCES = [Instance(study, series, n) for study in STUDIES for series in (1, 2) for n in range(1, len(FRAMES) + 1)]
BY_UID = {instance.uid: instance for instance in INSTANCES}


def check_content(content):
    """A whole data set with one of the contents of its instance; returns the instance."""
    instance = BY_UID[instance_of(content)]
    assert digest(content) in instance.digests, f"other bytes in {instance.uid}"
    return instance


class Client(threading.Thread):
    def __init__(self, server, until, seed):
        super().__init__(daemon=True)
        self.server, self.until = server, until
        self.rng = random.Random(seed)
        self.failure = None
        self.steps = 0

    def run(self):
        try:
            self.web = Web(self.server)
            self.open()
            while time.monotonic() < self.until:
                self.step()
                self.steps += 1
        except BaseException as error:  # told by the main thread
            self.failure = error

    def open(self):
        pass


class StoreScu(Client):
    def open(self):
        self.association = Association(self.server)

    def step(self):
        instance = self.rng.choice(INSTANCES)
        status = self.association.c_store(self.rng.choice(instance.contents), instance.uid)
        assert status in (0, DUPLICATE, OUT_OF_RESOURCES), f"{status:04X}"


class StowClient(Client):
    def step(self):
        instances = self.rng.sample(INSTANCES, self.rng.choice((1, 2, 5)))
        status, results = self.web.stow([part10(self.rng.choice(i.contents), i.uid) for i in instances])
        assert set(results) == {instance.uid for instance in instances}
        reasons = set(results.values())
        assert reasons <= {0, DUPLICATE, OUT_OF_RESOURCES}, results
        assert status == (200 if reasons == {0} else 202 if 0 in reasons else 503 if reasons == {OUT_OF_RESOURCES} else 409)


class Deleter(Client):
    def step(self):
        instance = self.rng.choice(INSTANCES)
        path = self.rng.choice((instance.path, instance.path, instance.path.partition("/instances")[0],
                                f"/studies/{instance.study}"))
        answer = self.web.delete(path)
        assert answer.status in (204, 404, 410), (path, answer.status, answer.content)
        time.sleep(0.01)


class Searcher(Client):
    def open(self):
        self.association = Association(self.server)

    def step(self):
        study = self.rng.choice(STUDIES)
        found = [uid for _, uid in self.web.instances(f"StudyInstanceUID={study}")]
        assert len(set(found)) == len(found) and all(BY_UID[uid].study == study for uid in found)
        answer = self.web.get(f"/studies?StudyInstanceUID={study}")
        assert answer.status in (200, 204)
        for one in answer.json() if answer.status == 200 else ():
            assert 1 <= one["00201206"]["Value"][0] <= 2 and 1 <= one["00201208"]["Value"][0] <= 8, one
        keys, status = self.association.c_find(QueryRetrieveLevel="IMAGE", StudyInstanceUID=study,
                                               SeriesInstanceUID=f"{study}.1", SOPInstanceUID="", InstanceNumber="")
        assert status == 0 and all(BY_UID[one.SOPInstanceUID].series == f"{study}.1" for one in keys)
        assert len({one.SOPInstanceUID for one in keys}) == len(keys)


class Retriever(Client):
    def step(self):
        self.rng.choice((self.files, self.files, self.metadata, self.frame))(self.rng.choice(INSTANCES))

    def files(self, instance):
        path = self.rng.choice((instance.path, f"/studies/{instance.study}"))
        answer = self.web.files(path)
        assert answer.status in (200, 404, 410), (path, answer.status, answer.content[:300])
        if answer.status != 200:
            return
        got = [check_content(dataset_of(part)) for part in answer.parts()]
        assert len(set(got)) == len(got) and all(one.study == instance.study for one in got)
        assert path != instance.path or got == [instance]

    def metadata(self, instance):
        answer = self.web.get(f"/studies/{instance.study}/metadata")
        assert answer.status in (200, 404, 410), (answer.status, answer.content[:300])
        for one in answer.json() if answer.status == 200 else ():
            got = BY_UID[one["00080018"]["Value"][0]]
            assert got.study == instance.study and one["0020000E"]["Value"] == [got.series]
            assert one["00080016"]["Value"] == [SOP_CLASS]

    def frame(self, instance):
        accept = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
        answer = self.web.get(instance.path + "/frames/1", accept)
        assert answer.status in (200, 404, 410), (answer.status, answer.content[:300])
        if answer.status == 200:
            frame = answer.parts()[0]
            size = int(FRAME_SIZE * FRAMES[int(instance.uid.rsplit(".", 1)[1]) - 1])
            assert frame in [content[-size:][:FRAME_SIZE] for content in instance.contents]


class Mover(Client):
    """What is deleted meanwhile is one that failed; what arrives is whole."""

    def open(self):
        self.association = Association(self.server)
        self.receiver = Receiver(self.server.destination_ports["MOVEDEST1"], length=0)

    def step(self):
        study = self.rng.choice(STUDIES)
        self.receiver.stored.clear()
        final = self.association.c_move("MOVEDEST1", QueryRetrieveLevel="STUDY", StudyInstanceUID=study)
        assert final[0x0900] in (0x0000, 0xB000, 0xA702), final
        got = [check_content(one.content) for one in self.receiver.stored]
        assert len(got) == final.get(0x1021, 0) and len(set(got)) == len(got), final
        assert all(one.study == study for one in got)


class Follower(Client):
    """Each instance is created and deleted by turns, in an order that never changes."""

    def open(self):
        self.changes = []
        self.alive = set()

    def step(self):
        for change in self.web.feed(self.changes[-1][0] if self.changes else 0):
            sequence, action, study, uid = change
            assert not self.changes or sequence > self.changes[-1][0], "the feed goes back"
            assert BY_UID[uid].study == study
            assert (action == "create") == (uid not in self.alive), f"{action} of {uid}"
            self.alive ^= {uid}
            self.changes.append(change)
        time.sleep(0.02)


def check_at_rest(server, follower):
    web = Web(server)
    follower.web = web
    follower.step()
    assert web.feed(0) == follower.changes
    contents = {}
    for study in STUDIES:
        alive = {uid for uid in follower.alive if BY_UID[uid].study == study}
        assert sorted(uid for _, uid in web.instances(f"StudyInstanceUID={study}")) == sorted(alive)
        answer = web.files(f"/studies/{study}")
        if not alive:
            assert answer.status == 410
            continue
        for part in answer.parts():
            content = dataset_of(part)
            contents[check_content(content).uid] = digest(content)
        counts = web.get(f"/studies?StudyInstanceUID={study}").json()[0]
        assert counts["00201208"]["Value"][0] == len(alive)
        assert counts["00201206"]["Value"][0] == len({BY_UID[uid].series for uid in alive})
        for one in web.get(f"/studies/{study}/series").json():
            assert one["00201209"]["Value"][0] == sum(BY_UID[uid].series == one["0020000E"]["Value"][0] for uid in alive)
        metadata = web.get(f"/studies/{study}/metadata").json()
        assert {one["00080018"]["Value"][0] for one in metadata} == alive
    assert set(contents) == follower.alive
    health = web.health().json()
    assert health["instances"] == len(contents)
    assert health["studies"] == health["patients"] == len({BY_UID[uid].study for uid in contents})
    return contents


def watch(server):
    try:
        while True:
            for path in ("/health", "/metrics", "/dicomweb/studies?limit=1"):
                Web(server).request("GET", path)
    except Gone:
        pass


@pytest.mark.slow
def test_STO_14_twenty_clients_on_the_same_studies_see_whole_instances_or_none(start_server):
    server = start_server({"log": "info", "data": {"segmentSizeMiB": 1}})
    kinds = [StoreScu] * 6 + [StowClient] * 4 + [Deleter] * 3 + [Searcher] * 2 + [Retriever] * 3 + [Mover, Follower]
    until = time.monotonic() + SECONDS
    clients = [kind(server, until, seed) for seed, kind in enumerate(kinds)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(SECONDS + 60)
        assert not client.is_alive()
    for client in clients:
        if isinstance(client.failure, Gone):
            raise AssertionError(server.log()[-4000:]) from client.failure
        if client.failure:
            raise client.failure
    follower = clients[-1]
    before = check_at_rest(server, follower)
    print({kind.__name__: sum(c.steps for c in clients if isinstance(c, kind)) for kind in dict.fromkeys(kinds)},
          f"changes {len(follower.changes)}")
    assert len(follower.changes) > 20 and all(client.steps for client in clients)
    server.kill()
    server.start()
    assert check_at_rest(server, follower) == before
    # Whoever looks while it stops is answered or sent away.
    watchers = [threading.Thread(target=watch, args=(server,), daemon=True) for _ in range(4)]
    for watcher in watchers:
        watcher.start()
    time.sleep(0.1)
    assert server.stop() == 0
    for watcher in watchers:
        watcher.join(30)
        assert not watcher.is_alive()
