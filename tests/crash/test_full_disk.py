# SPDX-License-Identifier: MIT
"""A daemon on a file system that is really full: a small tmpfs that only it sees. Where mounting is not allowed, not even
in a user namespace of one's own, there is nothing to try."""
import os
import select
import subprocess
import time

import pytest

from images import FRAME_SIZE, Association, Web, digest, part10
from model import Model

DISK_MIB = 128
OBJECT_MIB = 2
OUT_OF_RESOURCES = 0xA700


class SmallDisk:
    """A tmpfs over a folder, in a mount namespace that a sleeping process keeps."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        script = f"mount -t tmpfs -o size={DISK_MIB}m tmpfs '{folder}' && echo mounted && exec sleep 600"
        self.keeper = subprocess.Popen(["unshare", *rights, "--mount", "--propagation", "private", "sh", "-c", script],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if not select.select([self.keeper.stdout], [], [], 30)[0] or self.keeper.stdout.readline(100) != "mounted\n":
            self.close()
            pytest.skip("no permission to mount a file system")
        users = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        self.enter = ["nsenter", "--target", str(self.keeper.pid), "--mount", *users]

    def run(self, *command):
        return subprocess.run([*self.enter, *command], check=True, capture_output=True, text=True, timeout=60).stdout

    def free(self):
        return int(self.run("stat", "-f", "-c", "%a", str(self.folder))) * 4096

    def close(self):
        self.keeper.kill()
        self.keeper.wait(60)


@pytest.fixture
def disk(tmp_path):
    disk = SmallDisk(tmp_path / "small" / "data")
    yield disk
    disk.close()


class Clients:
    def __init__(self, server):
        self.server = server
        self.model = Model()
        self.number = 0

    def new(self):
        self.number += 1
        study = f"2.25.400.{self.number % 3 + 1}"
        image = self.model.add(study, f"{study}.1", f"{study}.1.{self.number}", self.number,
                               (OBJECT_MIB << 20) // FRAME_SIZE)
        image.begin("create", digest(image.bytes()))
        return image

    def note(self, image, stored):
        if stored:
            image.done()
        else:
            image.refused()
        return stored

    def c_store(self):
        image = self.new()
        status = Association(self.server).c_store(image.bytes(), image.uid)
        assert status in (0, OUT_OF_RESOURCES), f"{status:04X}"
        return self.note(image, status == 0)

    def stow(self):
        image = self.new()
        status, results = Web(self.server).stow([part10(image.bytes(), image.uid)])
        # What is refused before it was read has no name.
        expected = ({image.uid: 0},) if status == 200 else ({image.uid: OUT_OF_RESOURCES}, {})
        assert status in (200, 503, 507) and results in expected, (status, results)
        return self.note(image, status == 200)

    def delete(self, images, expected=204):
        for image in images:
            image.begin("delete")
            status = Web(self.server).delete(image.path).status
            assert status == expected, status
            if status == 204:
                image.done()
            else:
                image.refused()

    def check(self, read=False):
        web = Web(self.server)
        self.model.follow(web)
        self.model.check_all(web, read)
        study = self.model.open_studies()[0]
        found, status = Association(self.server).c_find(QueryRetrieveLevel="STUDY", StudyInstanceUID=study)
        assert status == 0 and len(found) == 1


def until(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.slow
def test_HOS_49_a_full_disk_refuses_stores_and_all_else_goes_on(start_server, disk):
    server = start_server({"log": "info", "data": {"directory": str(disk.folder), "segmentSizeMiB": 8, "minimumFreeMiB": 24}},
                          wait=False)
    server.process.kill()  # it was started outside of the small disk
    server.process.wait(60)
    server.command = [*disk.enter, *server.command]
    server.start()
    clients = Clients(server)
    health = Web(server)
    assert health.health().json()["status"] == "ok"

    # Until it is full: before that it warns.
    stored = 0
    while clients.c_store() and clients.stow():
        stored += 2
        time.sleep(0.1)  # the disk is looked at once a second
        assert stored * OBJECT_MIB < DISK_MIB
    assert stored * OBJECT_MIB > DISK_MIB / 2
    assert not clients.c_store() and not clients.stow()
    assert disk.free() > 8 << 20, "not so much as the index needs is left"
    clients.check()
    until(lambda: health.health().json()["status"] == "full")
    log = server.log()
    assert log.index("storage: the disk is nearly full") < log.index("instance refused")

    # Deleting makes room.
    clients.delete(clients.model.alive()[:10])
    until(clients.stow)
    assert clients.c_store()
    clients.check()
    assert health.health().json()["status"] == "ok"

    # Somebody else takes all: neither stores nor deletes, but answers; and goes on when there is room again.
    filler = str(disk.folder / "filler")
    disk.run("fallocate", "-l", str(disk.free() - (1 << 20)), filler)
    until(lambda: not clients.c_store())
    assert not clients.stow()
    clients.delete(clients.model.alive()[:1], expected=507)
    clients.check(read=True)
    disk.run("rm", filler)
    until(clients.c_store)
    clients.delete(clients.model.alive()[:3])
    clients.check()

    server.kill()
    server.start()
    assert clients.stow()
    clients.check(read=True)
