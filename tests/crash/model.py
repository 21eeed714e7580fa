# SPDX-License-Identifier: MIT
"""What a client knows of an archive: which changes it was told are done, and which one was under way when the daemon
died. After a restart the archive must be in a state that this allows, and in no other.

An instance is changed by one client at a time, so what is allowed is plain: all that was acknowledged has happened,
the one change that was under way (if there is one) has happened whole or not at all."""
import random

from images import SOP_CLASS, dataset, dataset_of, digest, instance_of


class Image:
    """One SOP instance."""

    def __init__(self, study, series, uid, number, frames):
        self.study, self.series, self.uid = study, series, uid
        self.number, self.frames = number, frames
        self.remarks = 0
        self.content = None  # digest of what is stored, None: nothing
        self.seed = 0
        self.pending = None  # ("create" or "delete", digest or None): begun, and not acknowledged
        self.events = []  # acknowledged since the last check
        self.legal = set()  # digests of all that was ever sent as this instance
        self.version = 0  # changes with every step, so that a reader knows whether its answer may be old

    @property
    def path(self):
        return f"/studies/{self.study}/series/{self.series}/instances/{self.uid}"

    def bytes(self, seed=None):
        seed = self.seed if seed is None else seed
        return dataset(self.study, self.series, self.uid, self.number, self.frames, seed, self.remarks)

    def begin(self, action, content=None):
        assert self.pending is None
        self.version += 1
        self.pending = (action, content)
        if content:
            self.legal.add(content)

    def done(self):
        self.version += 1
        action, self.content = self.pending
        self.events.append(action)
        self.pending = None

    def refused(self):
        self.version += 1
        self.pending = None

    def settled(self):
        """(version, what is stored) when nothing is under way."""
        version, content, pending = self.version, self.content, self.pending
        return (version, content) if pending is None and version == self.version else None


class Model:
    def __init__(self):
        self.images = {}
        self.studies = {}  # uid -> [Image]
        self.position = 0  # in the feed, all before it was checked
        self.changes = []  # the feed up to there
        self.acknowledged = 0  # changes, in all

    def add(self, study, series, uid, number, frames=1):
        image = Image(study, series, uid, number, frames)
        self.studies.setdefault(study, []).append(image)
        self.images[uid] = image
        return image

    def alive(self, study=None):
        images = self.images.values() if study is None else self.studies.get(study, [])
        return [image for image in list(images) if image.content is not None]

    def open_studies(self):
        return [study for study, images in self.studies.items() if any(i.content or i.pending for i in images)]

    # --- after a restart ---

    def follow(self, web, seen=()):
        """Reads the feed on. Each acknowledged change is there once and in order, what was under way once or not at
        all; `seen`: what a reader was shown before the crash is still the beginning of it."""
        changes = web.feed(self.position)
        assert list(seen) == changes[:len(seen)], f"the feed has changed: {list(seen)[:3]} ... {changes[:3]} ..."
        events = {}
        last = self.position
        for sequence, action, study, uid in changes:
            assert sequence > last, f"the feed goes back: {sequence} after {last}"
            last = sequence
            image = self.images.get(uid)
            assert image and image.study == study, f"a change of {uid}, which nobody sent"
            events.setdefault(uid, []).append(action)
        touched = [image for image in self.images.values() if image.events or image.pending or image.uid in events]
        for image in touched:
            self.settle(image, events.get(image.uid, []))
        self.changes += changes
        self.position = last
        return {image.study for image in touched}

    def settle(self, image, seen):
        told = image.events
        if image.pending and seen == told + [image.pending[0]]:
            image.content = image.pending[1]
        else:
            assert seen == told, f"{image.uid}: acknowledged {told}, under way {image.pending}, in the feed {seen}"
        self.acknowledged += len(told)
        image.events = []
        image.pending = None
        image.version += 1

    def check_study(self, web, study, read=True):
        """The study in query and retrieve is what the model says, and nothing else."""
        alive = {image.uid: image for image in self.alive(study)}
        found = web.instances(f"StudyInstanceUID={study}")
        uids = {uid for _, uid in found}
        assert len(uids) == len(found), "an instance is found twice"
        assert not set(alive) - uids, f"lost: {sorted(set(alive) - uids)[:5]}"
        assert not uids - set(alive), f"not deleted, or half there: {sorted(uids - set(alive))[:5]}"
        answer = web.get(f"/studies?StudyInstanceUID={study}")
        if not alive:
            assert answer.status == 204, (study, answer.status, answer.content[:300])
            assert web.files(f"/studies/{study}").status in (404, 410)
            return
        counts = answer.json()[0]
        assert counts["00201208"]["Value"][0] == len(alive), "Number of Study Related Instances"
        assert counts["00201206"]["Value"][0] == len({i.series for i in alive.values()}), "... Series"
        for one in web.get(f"/studies/{study}/series").json():
            series = one["0020000E"]["Value"][0]
            assert one["00201209"]["Value"][0] == sum(i.series == series for i in alive.values()), series
        if read:
            self.check_bytes(web, study, alive)

    def check_bytes(self, web, study, alive):
        answer = web.files(f"/studies/{study}")
        assert answer.status == 200, (study, answer.status, answer.content[:300])
        got = {}
        for part in answer.parts():
            content = dataset_of(part)
            got[instance_of(content)] = digest(content)
        assert got == {uid: image.content for uid, image in alive.items()}, f"other bytes in {study}"

    def check_moved(self, association, receiver, destination, study):
        """C-MOVE of a study gives the same bytes."""
        receiver.stored.clear()
        final = association.c_move(destination, QueryRetrieveLevel="STUDY", StudyInstanceUID=study)
        assert final[0x0900] == 0, final
        got = {one.command[0x1000]: digest(one.content) for one in receiver.stored}
        assert all(one.command[0x0002] == SOP_CLASS for one in receiver.stored)
        assert got == {image.uid: image.content for image in self.alive(study)}, f"C-MOVE of {study}"

    def check_counts(self, web):
        health = web.health()
        assert health.status == 200, health.content
        counts = health.json()
        alive = self.alive()
        assert counts["instances"] == len(alive), (counts, len(alive))
        assert counts["series"] == len({(i.study, i.series) for i in alive})
        assert counts["studies"] == counts["patients"] == len({i.study for i in alive})

    def check_all(self, web, read=True):
        """Everything there ever was: the whole feed again, and every study."""
        assert web.feed(0) == self.changes, "what stood in the feed has changed"
        for study in self.studies:
            self.check_study(web, study, read)
        self.check_counts(web)

    def forget_deleted(self):
        """Studies without anything left are taken out: the feed and the counts go on to tell of them."""
        for study in [s for s, images in self.studies.items()
                      if not any(i.content or i.pending or i.events for i in images)]:
            for image in self.studies.pop(study):
                del self.images[image.uid]


class Reader:
    """Reads while others write: what is settled must be answered as it is; all else whole or not at all."""

    def __init__(self, model, web, rng=None):
        self.model, self.web = model, web
        self.rng = rng or random.Random()
        self.seen = []  # changes
        self.answers = 0

    def follow(self):
        after = self.seen[-1][0] if self.seen else self.model.position
        for change in self.web.feed(after):
            assert change[0] > after, "the feed goes back"
            after = change[0]
            self.seen.append(change)

    def retrieve(self, image):
        before = image.settled()
        answer = self.web.files(image.path)
        assert answer.status in (200, 404, 410), (image.path, answer.status, answer.content[:300])
        got = None
        if answer.status == 200:
            parts = answer.parts()
            assert len(parts) == 1
            content = dataset_of(parts[0])
            assert instance_of(content) == image.uid
            got = digest(content)
        if before and before == image.settled():
            assert got == before[1], f"{image.path}: {answer.status}"
        else:
            assert got is None or got in image.legal, f"{image.path}: bytes that nobody sent"
        self.answers += 1

    def query(self, study):
        before = {image.uid: image.settled() for image in list(self.model.studies.get(study, []))}
        found = [uid for _, uid in self.web.instances(f"StudyInstanceUID={study}")]
        assert len(set(found)) == len(found), "an instance is found twice"
        for image in list(self.model.studies.get(study, [])):
            state = before.get(image.uid)
            if state and state == image.settled():
                assert (image.uid in found) == (state[1] is not None), f"{image.path} in a query"
        self.answers += 1

    def step(self):
        what = self.rng.random()
        images = list(self.model.images.values())
        if what < 0.2:
            self.follow()
        elif images and what < 0.6:
            self.query(self.rng.choice(images).study)
        elif images:
            self.retrieve(self.rng.choice(images))
