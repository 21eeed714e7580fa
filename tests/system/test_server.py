# SPDX-License-Identifier: MIT
"""The daemon itself: settings, flags, start, stop, health, metrics."""
import html
import json
import os
import re
import signal
import subprocess
import time

import pytest
import requests

from conftest import BINARY, ROOT, Server, free_port
from web import make, store


def run(*arguments, timeout=20):
    return subprocess.run([str(BINARY), *arguments], capture_output=True, text=True, timeout=timeout)


def test_help_names_every_flag_and_exits_0():
    for flag in ("--help", "-h", "help"):
        shown = run(flag)
        assert shown.returncode == 0
        for name in (
            "--config --data --aet --bind --dimse-port --http-port --peer --fhir-url --cast-quiet --version".split()
        ):
            assert name in shown.stdout, name


def test_version_is_printed():
    assert re.fullmatch(r"hounsfield \d+\.\d+\.\d+\n", run("--version").stdout)


def test_wrong_usage_is_status_2_with_one_clear_line(tmp_path):
    for arguments, words in [
        ([], "no command"),
        (["dance"], "dance"),
        (["help", "dance"], "dance"),
        (["serve", "--colour", "red"], "--colour"),
        (["serve", "--dimse-port"], "--dimse-port"),
        (["serve", "--dimse-port", "abc"], "abc"),
        (["serve", "--dimse-port", "70000"], "65535"),
        (["serve", "--peer", "nonsense"], "TITLE=HOST:PORT"),
        (["serve", "--peer", "A=h:99999"], "65535"),
        (["serve", "--aet", "THIS-IS-FAR-TOO-LONG"], "AE title"),
        (["serve", "--log", "loud"], "debug"),
        (["serve", "--data=/srv"], "two words"),
        (["serve", "--data", ""], "data.directory"),
        (["serve", "--bind", "localhost"], "no IPv4 or IPv6 address"),
        (["serve", "--dimse-port", "104.5"], "whole numbers"),
        (["serve", "--dimse-port", "8080", "--http-port", "8080"], "the same"),
        (["serve", "--base-url", "images.example.org"], "http.baseUrl"),
        (["serve", "--base-url", "http://images.example.org/"], "without a slash"),
        (["serve", "--fhir-url", "fhir.example.org/fhir"], "fhir.url"),
        (["serve", "--config", str(tmp_path / "missing.json")], "missing.json"),
    ]:
        shown = run(*arguments)
        assert shown.returncode == 2, arguments
        assert words in shown.stderr and shown.stderr.count("\n") == 1, shown.stderr


def test_the_settings_file_that_is_printed_is_read_back_with_its_comments(start_server, tmp_path):
    text = run("settings").stdout
    assert text == (ROOT / "server" / "hounsfield.json").read_text()
    config = tmp_path / "hounsfield.json"
    config.write_text(text + "\n/* and a comment\nat the end */\n")
    server = Server(tmp_path / "s")
    server.folder.mkdir()
    process = subprocess.Popen(
        [str(BINARY), "serve", "--config", str(config), "--data", str(server.data_dir), "--dimse-port",
         str(server.dimse_port), "--http-port", str(server.http_port)],
        stderr=subprocess.DEVNULL,
    )
    server.process = process
    server.wait_ready()
    assert server.stop() == 0


@pytest.mark.parametrize(
    "text,words",
    [
        ('{"dimse": {"prot": 1}}', "dimse.prot"),
        ('{"colour": "red"}', "colour"),
        ('{"dimse": {"port": "11112"}}', "dimse.port takes a number"),
        ('{"dimse": {"peers": [{"aeTitle": "A", "host": "h", "port": 1, "x": 2}]}}', '"x"'),
        ('{"dimse": {"port": 0}}', "between 1 and 65535"),
        ('{\n\n"bind": oops}', "line 3"),
        ("[]", "not a JSON object"),
    ],
)
def test_a_wrong_settings_file_is_refused_with_the_key(tmp_path, text, words):
    config = tmp_path / "wrong.json"
    config.write_text(text)
    shown = run("serve", "--config", str(config))
    assert shown.returncode == 2
    assert words in shown.stderr and "wrong.json" in shown.stderr, shown.stderr


@pytest.mark.parametrize(
    "settings,words",
    [
        ({"fhir": {"timezone": "Europe/Paris"}}, ["fhir.timezone", "+01:00"]),
        ({"fhir": {"identifierSystem": "my hospital"}}, ["fhir.identifierSystem"]),
        ({"fhir": {"url": "http://"}}, ["fhir.url"]),
        ({"fhir": {"url": "http://fhir.example.org/a b"}}, ["fhir.url"]),
        ({"dimse": {"tlsPort": 2762}}, ["dimse.tlsPort", "tlsCertificate"]),
        ({"dimse": {"tlsPort": 2762, "tlsCertificate": "/none/server.pem", "tlsKey": "/none/server.key"}},
         ["/none/server.pem", "No such file"]),
        ({"dimse": {"tlsPort": 2762, "tlsCertificate": "/dev/null", "tlsKey": "/dev/null"}}, ["/dev/null"]),
        ({"dimse": {"peers": [{"aeTitle": "A", "host": "h", "port": 104, "tls": True}]}}, ["peer A", "CA"]),
    ],
)
def test_settings_that_only_the_start_finds_wrong_are_status_2_too(tmp_path, settings, words):
    config = tmp_path / "wrong.json"
    settings.setdefault("dimse", {})["port"] = free_port()
    config.write_text(json.dumps({"log": "error", "http": {"port": free_port()}, **settings}))
    shown = run("serve", "--config", str(config), "--data", str(tmp_path / "data"))
    assert shown.returncode == 2, shown.stderr
    assert shown.stderr.count("\n") == 1 and all(word in shown.stderr for word in words), shown.stderr


def test_a_directory_that_holds_other_things_is_not_filled(tmp_path):
    (tmp_path / "letter.txt").write_text("of somebody")
    shown = run("serve", "--data", str(tmp_path), "--dimse-port", str(free_port()), "--http-port", str(free_port()))
    assert shown.returncode == 2 and "letter.txt" in shown.stderr, shown.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_a_second_server_on_one_data_directory_is_refused(start_server):
    first = start_server()
    second = run("serve", "--data", str(first.data_dir), "--dimse-port", str(free_port()), "--http-port", str(free_port()))
    assert second.returncode == 1
    assert str(first.data_dir) in second.stderr
    assert first.alive() and requests.get(first.url + "/health", timeout=10).status_code == 200


def test_a_port_that_is_taken_is_a_clear_error(start_server, tmp_path):
    first = start_server()
    for flag, port in (("--dimse-port", first.dimse_port), ("--http-port", first.http_port)):
        other = "--http-port" if flag == "--dimse-port" else "--dimse-port"
        second = run("serve", "--data", str(tmp_path / "d"), flag, str(port), other, str(free_port()))
        assert second.returncode == 1
        assert str(port) in second.stderr, second.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order_within_seconds(start_server, number):
    server = start_server()
    store(server, make())
    began = time.monotonic()
    server.process.send_signal(number)
    assert server.process.wait(15) == 0
    assert time.monotonic() - began < 8
    assert "server: stopped" in server.log()


def test_what_was_stored_is_there_after_a_restart(start_server):
    server = start_server()
    ds = make()
    store(server, ds)
    server.restart()
    assert requests.get(f"{server.dicomweb}/studies?StudyInstanceUID={ds.StudyInstanceUID}", timeout=10).status_code == 200
    assert requests.get(server.url + "/health", timeout=10).json()["instances"] == 1


def test_it_listens_on_loopback_alone_unless_told_otherwise(start_server):
    server = start_server()
    listening = open("/proc/net/tcp").read() + open("/proc/net/tcp6").read()
    for port in (server.dimse_port, server.http_port):
        lines = [line.split()[1] for line in listening.splitlines() if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"]
        assert lines == [f"0100007F:{port:04X}"]


def test_health_counts_what_is_there(start_server):
    server = start_server()
    empty = requests.get(server.url + "/health", timeout=10)
    assert empty.status_code == 200 and empty.json()["instances"] == 0
    ds = make()
    store(server, ds, make(study=ds.StudyInstanceUID, PatientID=ds.PatientID))
    health = requests.get(server.url + "/health", timeout=10).json()
    assert (health["status"], health["patients"], health["studies"], health["series"], health["instances"]) == ("ok", 1, 1, 2, 2)


def test_health_says_full_when_new_instances_are_refused_for_want_of_space(start_server):
    server = start_server({"data": {"minimumFreeMiB": 10**9}})
    health = requests.get(server.url + "/health", timeout=10)
    assert (health.status_code, health.json()["status"]) == (200, "full")


def test_nothing_in_the_data_directory_can_be_read_by_others(start_server):
    server = start_server()
    store(server, make())
    for path in server.data_dir.rglob("*"):
        assert path.stat().st_mode & 0o007 == 0, path


@pytest.mark.parametrize(
    "prefixes", [{"dicomweb": "/a/"}, {"dicomweb": "/"}, {"fhir": "fhir"}, {"dicomweb": "/a", "fhir": "/a"}]
)
def test_prefixes_that_cannot_be_told_apart_or_joined_are_refused(tmp_path, prefixes):
    config = tmp_path / "prefixes.json"
    config.write_text(json.dumps({group: {"prefix": prefix} for group, prefix in prefixes.items()}))
    shown = run("serve", "--config", str(config), "--data", str(tmp_path / "d"))
    assert shown.returncode == 2 and "prefix" in shown.stderr
    assert not (tmp_path / "d").exists()


def test_metrics_are_prometheus_text_and_count(start_server):
    server = start_server()

    def metrics():
        answer = requests.get(server.url + "/metrics", timeout=10)
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        values = {}
        for line in answer.text.splitlines():
            if not line.startswith("#"):
                assert re.fullmatch(r'[a-z_0-9]+(\{[a-z_]+="[^"]*"\})? -?\d+(\.\d+)?', line), line
                name, number = line.split()
                values[name] = float(number)
        return values

    assert metrics()["hounsfield_instances_stored_total"] == 0
    ds = make()
    store(server, ds)
    store(server, ds)
    after = metrics()
    assert after["hounsfield_instances_stored_total"] == 1
    assert after["hounsfield_instances_duplicate_total"] == 1
    assert after["hounsfield_instances"] == 1 and after["hounsfield_stow_stored_total"] == 2
    assert after["hounsfield_bytes_stored_total"] > 0 and after["hounsfield_http_requests_total"] > 0


def test_the_front_page_says_where_everything_is(start_server):
    server = start_server()
    page = requests.get(server.url + "/", timeout=10)
    for link in re.findall(r'href="(/[^"]*)"', page.text):
        assert requests.get(server.url + html.unescape(link), timeout=10).status_code in (200, 204), link
    assert "/conformance" in page.text and "/dicomweb/worklist" in page.text
    assert page.headers["Content-Type"].startswith("text/html")
    for words in ("/dicomweb", "/fhir", "HOUNSFIELD", str(server.dimse_port)):
        assert words in page.text


def test_logs_hold_no_patient_data(start_server):
    server = start_server(settings={"log": "debug"})
    ds = make(PatientName="Geheim^Person", PatientID="PID-SECRET-77", PatientBirthDate="19431209", AccessionNumber="ACCSECRET")
    store(server, ds)
    requests.get(f"{server.dicomweb}/studies", params={"PatientName": "Geheim*", "PatientID": "PID-SECRET-77"}, timeout=10)
    requests.get(f"{server.dicomweb}/studies", params={"PatientBirthDate": "bad19431209"}, timeout=10)
    requests.get(f"{server.fhir_view}/Patient", params={"identifier": "PID-SECRET-77"}, timeout=10)
    store(server, b"no dicom, Geheim^Person", expected=400)
    server.stop()
    text = server.log()
    for secret in ("Geheim", "PID-SECRET", "19431209", "ACCSECRET"):
        assert secret not in text, text[text.index(secret) - 300 :][:600]
    assert str(ds.SOPInstanceUID) in text
