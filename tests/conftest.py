# SPDX-License-Identifier: MIT
"""A running daemon for black-box tests.

`server` is one daemon for the whole session; `start_server(...)` starts one more with other settings, its own data
directory and free ports, and stops it at the end of the test. `fhir` is a real FHIR server, `sample_data` the folder
of generated studies. The daemon's log is kept beside its data and shown when it dies.
"""
import datetime
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("HOUNSFIELD_BUILD", ROOT / "build" / "dev"))
BINARY = BUILD / "hounsfield"


# No socket of a test waits for ever, whoever made it.
socket.setdefaulttimeout(120)

_ports = set()
# Below the ports that the kernel gives to clients, and a range of its own for each of the processes that share the tests.
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_candidates = itertools.cycle(random.sample(range(12000 + 4000 * (_worker % 5), 16000 + 4000 * (_worker % 5)), 4000))


def free_port():
    """One that nobody listens on, and that was not given out before: a URL names one server for the whole session."""
    for port in _candidates:
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("0.0.0.0", port))
            except OSError:
                continue
        if port not in _ports:
            _ports.add(port)
            return port


def merge(into, new):
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value
    return into


class Server:
    """One daemon. Attributes: dimse_port, http_port, ae_title, url, dicomweb, fhir_view, data_dir, process, log_path,
    destination_ports (AE title -> port, C-MOVE destinations that are configured; nobody listens there by itself)."""

    def __init__(self, folder, settings=None, env=None):
        self.folder = pathlib.Path(folder)
        self.data_dir = self.folder / "data"
        self.log_path = self.folder / "log"
        self.dimse_port = free_port()
        self.http_port = free_port()
        self.ae_title = "HOUNSFIELD"
        self.destination_ports = {"MOVEDEST1": free_port(), "MOVEDEST2": free_port()}
        peers = [{"aeTitle": t, "host": "127.0.0.1", "port": p} for t, p in self.destination_ports.items()]
        self.settings = merge(
            {
                "log": "debug",
                "data": {"directory": str(self.data_dir), "segmentSizeMiB": 64, "minimumFreeMiB": 16,
                         "restartAfterFailure": False},
                "dimse": {"port": self.dimse_port, "aeTitle": self.ae_title, "peers": peers},
                "http": {"port": self.http_port},
            },
            settings or {},
        )
        self.ae_title = self.settings["dimse"]["aeTitle"]
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.dicomweb = self.url + "/dicomweb"
        self.fhir_view = self.url + "/fhir"
        self.env = env or {}
        self.command = [str(BINARY)]
        self.process = None

    def start(self, wait=True):
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "hounsfield.json"
        config.write_text(json.dumps(self.settings))
        log = open(self.log_path, "ab")
        env = {**os.environ, **self.env}
        if "HOUNSFIELD_DELAYS" in env:  # threads that come late: tests/delays
            env["LD_PRELOAD"] = f"{BUILD / 'tests' / 'delays.so'} {env.get('LD_PRELOAD', '')}"
        self.process = subprocess.Popen(
            [*self.command, "serve", "--config", str(config)],
            stdout=log,
            stderr=log,
            env=env,
            start_new_session=True,
        )
        log.close()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=30):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the daemon ended with {self.process.returncode}:\n{self.log()[-4000:]}")
            try:
                for port in (self.http_port, self.dimse_port):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"the daemon does not answer:\n{self.log()[-4000:]}")

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout=20):
        """In order, by SIGTERM; returns the exit status."""
        if self.process is None:
            return None
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(60)
                raise RuntimeError(f"the daemon does not stop:\n{self.log()[-4000:]}")
        return self.process.returncode

    def kill(self):
        """As a power cut would for the process: SIGKILL."""
        if self.alive():
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    def restart(self):
        self.stop()
        return self.start()


def unavailable(why):
    """What the test needs from elsewhere cannot be had: tests/run tells it among what could not be tested here."""
    pytest.skip(why)


@pytest.fixture(scope="session")
def session_folder():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hounsfield-system-"))
    yield folder
    if os.environ.get("HOUNSFIELD_KEEP"):
        print(f"kept {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server(session_folder):
    daemon = Server(session_folder / "server").start()
    yield daemon
    alive = daemon.alive()
    status = daemon.stop()
    assert alive, f"the daemon died during the tests:\n{daemon.log()[-4000:]}"
    assert status == 0, f"exit status {status}:\n{daemon.log()[-4000:]}"


@pytest.fixture
def start_server(tmp_path):
    """start_server(settings={...}, env={...}) -> Server, stopped at the end of the test."""
    daemons = []

    def start(settings=None, env=None, wait=True):
        daemon = Server(tmp_path / f"server{len(daemons)}", settings, env)
        daemons.append(daemon)
        return daemon.start(wait)

    yield start
    for daemon in daemons:
        daemon.stop()
        text = daemon.log()
        assert "Sanitizer" not in text and "runtime error" not in text, text[-6000:]


@pytest.fixture(scope="session")
def fhir(session_folder):
    """Base URL of a real FHIR R4 server (HAPI), shared by the session: use identifiers of your own in each test.
    HOUNSFIELD_FHIR names one that runs already."""
    if os.environ.get("HOUNSFIELD_FHIR"):
        yield os.environ["HOUNSFIELD_FHIR"]
        return
    run = ROOT / "tests" / "fhir-server" / "run.sh"
    port = free_port()
    subprocess.run([str(run), "start", "--port", str(port)], check=True, timeout=900, stdout=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}/fhir"
    subprocess.run([str(run), "stop", "--port", str(port)], check=True, timeout=60, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def sample_data(session_folder):
    """Folder of the generated sample studies."""
    folder = session_folder / "sample-data"
    subprocess.run([str(BUILD / "sample-data" / "sample_data"), str(folder)], check=True, timeout=120)
    return folder


def pytest_collection_modifyitems(items):
    today = datetime.date.today().strftime("%Y%m%d")
    for item in items:
        if today in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid!r} holds the time, so the processes that share the tests do not agree on it: give it ids=")
        if "fhir" in item.fixturenames or "fhir_r5" in item.fixturenames:
            item.add_marker(pytest.mark.slow)


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        os.environ["HOUNSFIELD_ENDED_BY"] = str(pathlib.Path(tempfile.gettempdir()) / f"hounsfield-tests-{os.getpid()}")


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        pathlib.Path(os.environ["HOUNSFIELD_ENDED_BY"]).unlink(missing_ok=True)


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem):
    """A test that ended its process has failed; by itself pytest-xdist would begin it again, time after time."""
    with open(os.environ["HOUNSFIELD_ENDED_BY"], "a", encoding="utf-8") as file:
        file.write(crashitem + "\n")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    ended = pathlib.Path(os.environ["HOUNSFIELD_ENDED_BY"])
    if ended.exists() and item.nodeid in ended.read_text(encoding="utf-8").splitlines():
        pytest.skip("it has ended its process once")
