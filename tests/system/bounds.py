# SPDX-License-Identifier: MIT
"""Waiting that ends: what does not come about in time fails the test and says what it was."""
import time


def until(condition, what="it", seconds=60, pause=0.02):
    """What condition() gives, once it is true."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"{what} did not come about in {seconds} s"
        time.sleep(pause)
    return result


def join_all(threads, seconds=120):
    """Joins them, all within that time."""
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    working = [thread.name for thread in threads if thread.is_alive()]
    assert not working, f"still at work after {seconds} s: {working}"
