#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the cast costs, and what it holds up.

    bench/cast.py catch-up  [--studies 100000] [--at-once 4] [--fhir URL]   a FHIR server that has never seen this archive
    bench/cast.py trickle   --fhir URL [--instances 2000] [--seconds 180]   one study that comes in over minutes, others beside it
    bench/cast.py away      [--studies 4000]                                stores while the FHIR server is not there

--build names the folder of a Release build with the targets hounsfield, load_dimse and load_fhir (build/release). Without
--fhir the FHIR server is load_fhir, which keeps nothing: the bound. Needs the Python of tests/requirements.txt for `trickle`.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


class Daemon:
    def __init__(self, build, folder):
        self.build, self.folder, self.process = build, folder, None
        self.dimse, self.http = free_port(), free_port()

    def start(self, **fhir):
        settings = {
            "log": "info",
            "data": {"directory": str(self.folder / "data"), "segmentSizeMiB": 256, "minimumFreeMiB": 64},
            "dimse": {"port": self.dimse, "aeTitle": "CASTBENCH"},
            "http": {"port": self.http, "accessLog": False},
            "fhir": fhir,
        }
        config = self.folder / "settings.json"
        config.write_text(json.dumps(settings))
        self.log_path = self.folder / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([str(self.build / "hounsfield"), "serve", "--config", str(config)], stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                return get(f"http://127.0.0.1:{self.http}/health") and self
            except OSError:
                time.sleep(0.02)
        raise SystemExit("the daemon does not answer")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def metric(self, name):
        return int(re.search(rf"^hounsfield_{name} (\d+)$", get(f"http://127.0.0.1:{self.http}/metrics"), re.M).group(1))

    def processor(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, name):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB", status, re.M).group(1)) / 1024

    def store(self, studies, instances=1, root="1.2.826.0.1.3680043.9.77", associations=8):
        command = [str(self.build / "bench/load_dimse"), "store", f"127.0.0.1:{self.dimse}", "CASTBENCH", root, str(associations), str(studies), str(instances), "64"]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=3600).stdout)

    def lags(self):
        """Seconds from a study's first change until the FHIR server has it, of each round."""
        return [int(ms) / 1000 for ms in re.findall(r"cast: in step .* lag_ms=(\d+)", self.log_path.read_text(errors="replace"))]


class Null:
    def __init__(self, build):
        self.port = free_port()
        self.process = subprocess.Popen([str(build / "bench/load_fhir"), f"127.0.0.1:{self.port}"])
        self.url = f"http://127.0.0.1:{self.port}/fhir"
        time.sleep(0.2)

    def count(self):
        return json.loads(get(f"http://127.0.0.1:{self.port}/count"))

    def processor(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.kill()
        self.process.wait(10)


def catch_up(daemon, arguments):
    daemon.start()
    filled = daemon.store(arguments.studies)
    daemon.stop()
    print(f"{filled['done']} studies stored in {filled['seconds']:.1f} s", flush=True)
    null = None if arguments.fhir else Null(arguments.build)
    began = time.monotonic()
    daemon.start(url=arguments.fhir or null.url, quietSeconds=0, studiesAtOnce=arguments.at_once)
    first = daemon.memory("VmRSS")
    while daemon.metric("cast_lag"):
        time.sleep(0.2)
    took, processor = time.monotonic() - began, daemon.processor()
    print(
        f"{arguments.studies} studies, {arguments.at_once} at once: {took:.1f} s, {arguments.studies / took:.0f} studies/s, "
        f"{1000 * processor / arguments.studies:.2f} ms of our processor time a study, memory {first:.0f} MiB at first and {daemon.memory('VmHWM'):.0f} MiB at most"
    )
    assert daemon.metric("cast_studies_total") == arguments.studies and daemon.metric("cast_parked") == 0
    if null:
        print(f"heard: {null.count()}, {null.processor():.1f} s of processor time of the FHIR server's")
        null.close()
    daemon.stop()


def trickle(daemon, arguments):
    sys.path.insert(0, str(ROOT / "tests/system"))
    import fhir_proxy
    from web import make, part10, store

    proxy = fhir_proxy.Proxy(arguments.fhir)
    daemon.start(url=proxy.url)  # quietSeconds and maximumAgeSeconds as they are
    daemon.dicomweb = f"http://127.0.0.1:{daemon.http}/dicomweb"
    first = make()
    began = time.monotonic()
    others = 0
    for i in range(arguments.instances):
        ds = make(study=first.StudyInstanceUID, series=first.SeriesInstanceUID, PatientID=first.PatientID, AccessionNumber=first.AccessionNumber, InstanceNumber=i + 1)
        store(daemon, part10(ds))
        while time.monotonic() < began + (i + 1) * arguments.seconds / arguments.instances:
            if others < (time.monotonic() - began) * arguments.others / arguments.seconds:
                store(daemon, make())
                others += 1
            time.sleep(0.005)
    stored = time.monotonic() - began
    while daemon.metric("cast_lag"):
        time.sleep(0.1)
    own = proxy.transactions(first.StudyInstanceUID)
    reads = [e for e in proxy.exchanges if e.method == "GET" and e.mentions(first.StudyInstanceUID)]
    lags = sorted(daemon.lags())
    print(f"{arguments.instances} instances over {stored:.0f} s: {len(own)} transactions, {sum(len(e.body) for e in own) / 1e6:.2f} MB sent, "
          f"{sum(len(e.answer) for e in reads) / 1e6:.2f} MB read in {len(reads)} searches")
    print(f"lag of {len(lags)} rounds ({others} other studies of one instance): p50 {statistics.median(lags):.2f} s, p99 {lags[int(len(lags) * 0.99)]:.2f} s, most {lags[-1]:.2f} s; "
          f"{daemon.processor():.1f} s of our processor time in all, stores included")
    daemon.stop()
    proxy.close()


def away(daemon, arguments):
    """In turns, each on an archive that grows: without a cast, and with one whose server refuses connections."""
    for turn in range(3):
        for name, fhir in (("no FHIR server named", {}), ("FHIR server away", {"url": f"http://127.0.0.1:{free_port()}/fhir"})):
            daemon.start(**fhir)
            before = daemon.processor()
            done = daemon.store(arguments.studies, root=f"1.2.826.0.1.3680043.9.78.{turn}.{len(name)}")
            processor = 1000 * (daemon.processor() - before) / done["done"]
            print(f"{name}: {done['rate']:.0f} stores/s, p50 {done['p50_ms']:.2f} ms, p99 {done['p99_ms']:.2f} ms, {processor:.3f} ms of processor time each, {done['failed']} failed", flush=True)
            daemon.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["catch-up", "trickle", "away"])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--fhir")
    parser.add_argument("--studies", type=int)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--instances", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--others", type=int, default=300, help="studies of one instance beside it")
    parser.add_argument("--folder", type=pathlib.Path, help="where the archive stands (a temporary folder)")
    arguments = parser.parse_args()
    arguments.studies = arguments.studies or {"catch-up": 100000, "away": 4000, "trickle": 1}[arguments.what]
    if arguments.what == "trickle" and not arguments.fhir:
        parser.error("trickle needs a FHIR server that keeps what it is sent: --fhir")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cast-bench-", dir=arguments.folder))
    daemon = Daemon(arguments.build, folder)
    try:
        {"catch-up": catch_up, "trickle": trickle, "away": away}[arguments.what](daemon, arguments)
    finally:
        if daemon.process and daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait(10)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
