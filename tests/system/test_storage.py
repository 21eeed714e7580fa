# SPDX-License-Identifier: MIT
"""What a peer sees of the storage: a disk that fails, and what comes after."""
import time

import pytest

from conftest import BUILD
from web import get, make, store, url_of


def has_faults():
    return b"HOUNSFIELD_FAULT" in (BUILD / "hounsfield").read_bytes()


needs_faults = pytest.mark.skipif(not has_faults(), reason="a build with fault points is needed")


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def starts(server):
    return server.log().count("server: ready")


@needs_faults
def test_a_failed_sync_refuses_the_store_and_the_server_recovers_by_itself(start_server):
    server = start_server({"data": {"restartAfterFailure": True}}, env={"HOUNSFIELD_FAULT": "segment-sync:3:EIO"})
    process = server.process.pid
    images = [make() for _ in range(4)]
    store(server, images[0])
    store(server, images[1])
    store(server, images[2], expected=503)
    for image in images[:2]:
        get(url_of(server, image))  # reads go on
    wait_for(lambda: starts(server) == 2)
    assert server.process.pid == process and server.process.poll() is None
    store(server, images[2])
    store(server, images[3])
    for image in images:
        get(url_of(server, image))
    log = server.log()
    assert "the disk failed" in log and "in seconds=1" in log


@needs_faults
def test_without_the_setting_a_failed_server_stays_as_it_is_and_goes_on_reading(start_server):
    server = start_server(env={"HOUNSFIELD_FAULT": "segment-sync:2:EIO"})
    images = [make() for _ in range(2)]
    store(server, images[0])
    store(server, images[1], expected=503)
    get(server.url + "/health", expected=503)
    time.sleep(2.5)
    get(url_of(server, images[0]))
    assert starts(server) == 1


@needs_faults
def test_the_pause_before_a_restart_grows_while_nothing_can_be_stored(start_server):
    server = start_server({"data": {"restartAfterFailure": True}}, env={"HOUNSFIELD_FAULT": "segment-sync:1:EIO"})
    for starts_before in (1, 2):
        store(server, make(), expected=503)
        wait_for(lambda: starts(server) == starts_before + 1)
    store(server, make(), expected=503)
    wait_for(lambda: "in seconds=4" in server.log())
    assert "in seconds=1" in server.log() and "in seconds=2" in server.log()


def test_a_segment_that_vanished_is_500_and_not_404(start_server):
    server = start_server()
    image = make()
    store(server, image)
    server.stop()
    for segment in (server.data_dir / "segments").glob("*.seg"):
        segment.unlink()
    server.start()
    get(url_of(server, image), expected=500)
    assert "is gone" in server.log()
    assert "hounsfield_segments_missing 1" in get(server.url + "/metrics").text
    other = make()
    store(server, other)
    get(url_of(server, other))
