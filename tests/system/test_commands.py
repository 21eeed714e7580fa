# SPDX-License-Identifier: MIT
"""The sub-commands that look after a data directory, beside a running server and without one."""
import json
import os
import pty
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
import uuid

import pytest
import requests

from conftest import BINARY
from web import CT, get, make, new_uid, store, url_of


def run(*arguments, timeout=60, **options):
    return subprocess.run(
        [str(BINARY), *map(str, arguments)], capture_output=True, text=True, timeout=timeout, **options
    )


def report(*arguments, status=0, **options):
    done = run(*arguments, "--json", **options)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def segments(data):
    return sorted((data / "segments").glob("*.seg"))


def flip(path, needle, offset=0):
    """Turns one bit of the first occurrence of some bytes."""
    content = path.read_bytes()
    at = content.index(needle) + offset
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(bytes([content[at] ^ 1]))


@pytest.fixture
def filled(start_server):
    """A server with three studies of two images each; their data sets in `images`."""
    server = start_server()
    server.images = []
    for _ in range(3):
        study, series, patient = new_uid(), new_uid(), f"C{uuid.uuid4().hex[:8]}"
        server.images += [make(study=study, series=series, PatientID=patient, InstanceNumber=n) for n in (1, 2)]
    store(server, *server.images)
    return server


def test_help_names_every_command_and_each_explains_itself():
    text = run("--help").stdout
    for command in ("verify", "backup", "restore", "rebuild", "compact", "stats"):
        assert re.search(rf"^ +hounsfield {command}\b", text, re.M), command
        own = run(command, "--help")
        assert own.returncode == 0 and f"hounsfield {command}" in own.stdout
        assert "--data DIR" in own.stdout and "Exit status" in own.stdout
        assert run("help", command).stdout == own.stdout


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["verify", "--what"], "--what"),
        (["verify", "extra"], "extra"),
        (["verify", "--dry-run"], "--dry-run"),
        (["verify", "--limit"], "--limit needs a value"),
        (["verify", "--limit", "fast"], "--limit takes"),
        (["verify", "--data"], "--data needs a value"),
        (["backup"], "needs a directory"),
        (["backup", "a", "b"], "takes no b"),
        (["compact", "--dead", "101"], "--dead takes"),
        (["verify", "--config", "/does/not/exist"], "cannot open"),
    ],
)
def test_wrong_usage_is_told_and_is_status_2(arguments, complaint):
    done = run(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr and not done.stdout


def test_a_directory_that_is_none_is_not_made(tmp_path):
    missing = tmp_path / "missing"
    for command in ("verify", "stats", "compact"):
        done = run(command, "--data", missing)
        assert done.returncode == 1 and "no data directory" in done.stderr
        assert not missing.exists()
    error = report("verify", "--data", missing, status=1)["error"]
    assert error["code"] == "not-found"


def test_a_whole_archive_is_verified_beside_the_server_and_without_it(filled):
    for online in (True, False):
        if not online:
            assert filled.stop() == 0
        result = report("verify", "--data", filled.data_dir)["result"]
        assert result["findings"] == [] and result["findingsTotal"] == 0
        assert result["instances"] == result["records"] == 6 and result["studies"] == 3
        assert result["bytes"] > 0 and not result["quick"]
        assert report("verify", "--quick", "--data", filled.data_dir)["result"]["bytes"] == 0
        done = run("verify", "--data", filled.data_dir)
        assert done.returncode == 0 and "nothing found" in done.stdout
        assert "reading records: " in done.stderr
        assert run("verify", "--data", filled.data_dir, "--quiet").stderr == ""
    assert "control: ended command=verify status=ok" in filled.log()


def test_damage_is_found_beside_the_server_and_without_it(filled):
    victim = filled.images[3]
    flip(segments(filled.data_dir)[0], victim.PixelData, 100)
    for online in (True, False):
        if not online:
            assert filled.stop() == 0
        result = report("verify", "--data", filled.data_dir, status=3)["result"]
        assert result["findingsTotal"] == 1 and result["kinds"]["blob-corrupt"] == 1
        (finding,) = result["findings"]
        assert finding["kind"] == "blob-corrupt"
        assert finding["instance"] == victim.SOPInstanceUID and finding["study"] == victim.StudyInstanceUID
        assert finding["segment"] == 1 and finding["offset"] % 4096 == 0
        done = run("verify", "--data", filled.data_dir)
        assert done.returncode == 3 and "1 finding: blob-corrupt 1" in done.stdout
        assert str(victim.PatientID) not in done.stdout + done.stderr
    assert "control: ended command=verify status=found findings=1 blob-corrupt=1 ms=" in filled.log()


def test_what_was_found_is_remembered_and_degrades_health(filled):
    def health():
        return requests.get(filled.url + "/health", timeout=10).json()

    def metric(name):
        text = requests.get(filled.url + "/metrics", timeout=10).text
        return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.M).group(1))

    corrupt = 'hounsfield_verify_findings{kind="blob-corrupt"}'
    assert health()["status"] == "ok" and metric("hounsfield_verify_last_success_seconds") == 0
    flip(segments(filled.data_dir)[0], filled.images[0].PixelData)
    report("verify", "--data", filled.data_dir, status=3)
    assert health()["status"] == "degraded" and health()["findings"] == 1
    assert metric(corrupt) == 1
    filled.restart()
    assert health()["status"] == "degraded"
    assert abs(metric("hounsfield_verify_last_success_seconds") - time.time()) < 600
    filled.stop()
    flip(segments(filled.data_dir)[0], filled.images[0].PixelData[1:], -1)  # mended
    report("verify", "--data", filled.data_dir)  # without a server it is remembered too
    filled.start()
    assert health()["status"] == "ok" and metric(corrupt) == 0


def test_the_server_verifies_by_itself_and_logs_what_it_finds(start_server):
    server = start_server({"data": {"verify": {"everyDays": 0.00002, "mibPerSecond": 1000}}})
    image = make()
    store(server, image)
    flip(segments(server.data_dir)[0], image.PixelData)
    deadline = time.monotonic() + 30
    while f"verify: found kind=blob-corrupt study={image.StudyInstanceUID}" not in server.log():
        assert time.monotonic() < deadline, server.log()[-2000:]
        time.sleep(0.1)
    assert server.stop() == 0
    assert str(image.PatientID) not in server.log()


def test_the_control_socket_is_for_the_owner_alone_and_goes_with_the_server(filled):
    control = filled.data_dir / "control"
    assert stat.S_ISSOCK(control.stat().st_mode) and stat.S_IMODE(control.stat().st_mode) == 0o600
    filled.kill()
    assert control.exists()
    filled.start()  # takes the place of the one that was left behind
    report("stats", "--data", filled.data_dir)
    assert filled.stop() == 0
    assert not control.exists()


def test_a_path_that_is_too_long_for_a_socket_address_is_no_hindrance(start_server, tmp_path):
    deep = tmp_path / ("d" * 120) / "data"
    server = start_server({"data": {"directory": str(deep)}})
    store(server, make())
    assert report("stats", "--data", deep)["result"]["instances"] == 1


def talk(server, *lines, shut=False):
    """What the control socket answers to some bytes."""
    with socket.socket(socket.AF_UNIX) as client:
        here = os.getcwd()
        os.chdir(server.data_dir)
        try:
            client.connect("control")
        finally:
            os.chdir(here)
        client.settimeout(30)
        try:
            for line in lines:
                client.sendall(line)
            if shut:
                client.shutdown(socket.SHUT_WR)
        except BrokenPipeError:
            pass
        answer = b""
        try:
            while chunk := client.recv(65536):
                answer += chunk
        except ConnectionResetError:
            pass
    return [json.loads(line) for line in answer.splitlines()]


def test_the_control_socket_survives_nonsense(filled):
    for nonsense in (b"\n", b"[]\n", b"{\n", b'{"command": 1}\n', b'{"command": "none"}\n', b'{"command":"rebuild"}\n'):
        assert talk(filled, nonsense)[-1]["error"]["code"] == "unsupported"
    answer = talk(filled, b'{"command": "backup", "options": {"directory": "relative"}}\n')
    assert answer[-1]["error"]["code"] == "invalid"
    answer = talk(filled, b'{"command": "compact", "options": {"deadShare": 7}}\n')
    assert answer[-1]["error"]["code"] == "invalid"
    assert talk(filled, b"x" * 100000)[-1:] in ([], [{"error": {"code": "limit", "message": "the request is too long"}}])
    assert talk(filled, b"", shut=True) == []
    assert talk(filled, b'{"command": "stats"}\n')[-1]["result"]["instances"] == 6


def slow_verify(data):
    """One that takes minutes, begun."""
    process = subprocess.Popen(
        [str(BINARY), "verify", "--data", str(data), "--limit", "0.002"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    for line in process.stderr:
        if line.startswith("reading records"):
            return process
    raise AssertionError(process.wait(60))


@pytest.mark.parametrize("online", [True, False])
def test_an_interrupt_ends_a_verification_in_order(filled, online):
    if not online:
        assert filled.stop() == 0
    process = slow_verify(filled.data_dir)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and not output
    assert "cancelled while reading records" in errors
    report("verify", "--data", filled.data_dir)  # nobody holds the directory, nothing runs any more


def test_a_client_that_goes_away_ends_its_job_and_there_is_one_at_a_time(filled):
    process = slow_verify(filled.data_dir)
    done = run("verify", "--data", filled.data_dir)
    assert done.returncode == 1 and "under way already" in done.stderr
    report("stats", "--data", filled.data_dir)
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 20
    while run("verify", "--data", filled.data_dir).returncode != 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "control: ended command=verify status=stopped" in filled.log()


def test_the_server_stops_while_a_job_runs(filled):
    process = slow_verify(filled.data_dir)
    assert filled.stop() == 0
    process.communicate(timeout=30)
    assert process.returncode == 1


def test_what_the_server_cannot_find_is_told_as_without_it(filled, tmp_path):
    missing = tmp_path / "not-mounted" / "backup"
    for stop in (False, True):
        if stop:
            filled.stop()
        done = run("backup", missing, "--data", filled.data_dir)
        assert done.returncode == 1 and "not-mounted/backup cannot be made" in done.stderr, done.stderr
        assert not missing.parent.exists()


def test_another_command_on_the_directory_is_told(filled):
    filled.stop()
    process = slow_verify(filled.data_dir)
    done = run("stats", "--data", filled.data_dir)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert done.returncode == 1 and "in use by another process" in done.stderr


def test_a_terminal_gets_one_line_that_is_drawn_again(filled):
    filled.stop()
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [str(BINARY), "verify", "--data", str(filled.data_dir), "--limit", "0.003"],
        stdout=subprocess.DEVNULL, stderr=slave,
    )
    os.close(slave)
    drawn = b""
    try:
        while chunk := os.read(master, 4096):
            drawn += chunk
    except OSError:  # the other end is closed
        pass
    os.close(master)
    assert process.wait(60) == 0
    assert b"\n" not in drawn
    frames = [f for f in drawn.split(b"\r") if f.startswith(b"reading records: [")]
    assert len(frames) > 1 and re.search(rb"\[#*\.*\] .* of .* \(\d+ %\)", frames[-1]), frames
    assert any(b"ETA" in f for f in frames), frames


def test_stats_count_what_is_there(filled):
    for online in (True, False):
        if not online:
            filled.stop()
        result = report("stats", "--data", filled.data_dir)["result"]
        assert (result["patients"], result["studies"], result["series"], result["instances"]) == (3, 3, 3, 6)
        assert result["modalities"] == [{"name": "CT", "series": 3, "instances": 6, "bytes": result["bytes"]}]
        assert [(c["name"], c["instances"]) for c in result["sopClasses"]] == [(CT, 6)]
        assert [(s["name"], s["instances"]) for s in result["transferSyntaxes"]] == [("1.2.840.10008.1.2.1", 6)]
        assert result["segments"]["files"] == 1 and result["segments"]["liveBytes"] >= result["bytes"]
        assert {t["table"] for t in result["index"]} >= {"record", "document", "term", "feed"}
        assert (result["feed"]["first"], result["feed"]["last"]) == (1, 6)
        assert result["newestStored"] >= result["oldestStored"] > "2026"
        assert "sopClasses" not in report("stats", "--quick", "--data", filled.data_dir)["result"]
        text = run("stats", "--data", filled.data_dir).stdout
        assert "CT Image Storage" in text and "Instances      6" in text


def wado_all(server):
    return [get(url_of(server, image), "application/dicom; transfer-syntax=*").content for image in server.images]


def test_a_backup_is_made_beside_the_server_and_restored_into_an_empty_directory(filled, tmp_path, start_server):
    folder = tmp_path / "copy"
    dry = report("backup", folder, "--dry-run", "--data", filled.data_dir)["result"]
    assert dry["dryRun"] and dry["copiedBytes"] > 0 and not any(folder.glob("**/*.seg"))
    first = report("backup", folder, "--check", "--data", filled.data_dir)["result"]
    assert first["copiedBytes"] > 0 and first["latestSequence"] == 6 and first["checked"]
    second = report("backup", folder, "--data", filled.data_dir)["result"]
    assert second["copiedBytes"] < first["copiedBytes"]
    before = wado_all(filled)

    done = run("restore", folder, "--data", filled.data_dir)
    assert done.returncode == 1 and done.stderr
    target = tmp_path / "restored"
    assert report("restore", folder, "--dry-run", "--data", target)["result"]["dryRun"]
    assert not target.exists() or not any(target.iterdir())
    report("restore", folder, "--data", target)
    report("verify", "--data", target)
    other = start_server({"data": {"directory": str(target)}})
    other.images = filled.images
    assert wado_all(other) == before
    # The numbers of the feed go on far behind the last entry.
    latest = requests.get(other.dicomweb + "/changefeed/latest", timeout=30)
    assert latest.status_code == 200
    assert latest.json() == requests.get(other.dicomweb + "/changefeed", timeout=30).json()[-1]


def test_an_index_that_is_gone_is_rebuilt_but_not_under_a_running_server(filled):
    before = wado_all(filled)
    done = run("rebuild", "--data", filled.data_dir)
    assert done.returncode == 1 and "in use" in done.stderr
    filled.stop()
    shutil.rmtree(filled.data_dir / "index")
    dry = report("rebuild", "--dry-run", "--data", filled.data_dir)["result"]
    assert dry["dryRun"] and dry["instances"] == 6 and not (filled.data_dir / "index").exists()
    assert report("rebuild", "--data", filled.data_dir)["result"]["instances"] == 6
    report("verify", "--data", filled.data_dir)
    filled.start()
    assert wado_all(filled) == before


def test_compact_gives_space_back_beside_the_server(filled):
    for image in filled.images[:4:2]:
        assert requests.delete(url_of(filled, image), timeout=30).status_code == 204
    dry = report("compact", "--dry-run", "--dead", "0", "--data", filled.data_dir)["result"]
    assert dry["dryRun"]
    assert report("stats", "--data", filled.data_dir)["result"]["instances"] == 4
    report("compact", "--dead", "0", "--data", filled.data_dir)
    assert report("verify", "--data", filled.data_dir)["result"]["instances"] == 4
