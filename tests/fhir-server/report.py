#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Everything that is cast of DICOM files, and shown by the view, through the validator: a summary by type and by message.

    tests/fhir-server/report.py [--version R4|R5] [--all] FILE|FOLDER...    e.g. pydicom's data/test_files
    tests/fhir-server/report.py --sample-data                                           the generated sample studies

Stores the files in a daemon of its own, whose FHIR server is one that keeps what it is sent in a folder. --all shows warnings by
message too. Exit status 1 when there is an error.
"""
import argparse
import collections
import http.server
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "system")]
VERSIONS = {"R4": "4.0.1", "R5": "5.0.0"}


class Keeper(http.server.BaseHTTPRequestHandler):
    """Finds nothing, takes everything."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def answer(self, resource):
        body = json.dumps(resource).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if urllib.parse.urlsplit(self.path).path.endswith("/metadata"):
            self.answer({"resourceType": "CapabilityStatement", "fhirVersion": VERSIONS[self.server.version]})
        else:
            self.answer({"resourceType": "Bundle", "type": "searchset", "total": 0})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        bundle = json.loads(body)
        with self.server.lock:
            self.server.kept.append(bundle)
        self.answer({"resourceType": "Bundle", "type": "transaction-response", "entry": [{"response": {"status": "201 Created"}}] * len(bundle["entry"])})


def keeper(version):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keeper)
    server.daemon_threads = True
    server.version, server.kept, server.lock = version, [], threading.Lock()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def files_of(places):
    for place in places:
        yield from sorted(p for p in ([place] if place.is_file() else place.rglob("*")) if p.is_file())


def store(server, files):
    """How many were stored, and how many are no instances that can be."""
    import requests
    from web import multipart

    stored = refused = 0
    for file in files:
        data = file.read_bytes()
        if data[128:132] != b"DICM":
            refused += 1
            continue
        body, content_type = multipart([data])
        answer = requests.post(server.dicomweb + "/studies", data=body, headers={"Content-Type": content_type, "Accept": "application/dicom+json"}, timeout=120)
        good = answer.status_code in (200, 202) and "00081199" in answer.json()
        stored, refused = stored + good, refused + (not good)
    return stored, refused


def view(server, version):
    """All that the view shows, page by page."""
    import requests

    def ask(url):
        answer = requests.get(url, headers={"Accept": f"application/fhir+json; fhirVersion={VERSIONS[version][:3]}"}, timeout=120)
        return answer.json()

    statement = ask(server.fhir_view + "/metadata")
    yield statement
    for resource in statement["rest"][0]["resource"]:
        url = f"{server.fhir_view}/{resource['type']}?_count=20"
        while url:
            page = ask(url)
            yield page
            url = next((link["url"] for link in page.get("link", []) if link["relation"] == "next"), None)


def is_lagging(server):
    import requests

    text = requests.get(server.url + "/metrics", timeout=60).text
    return int(re.search(r"^hounsfield_cast_lag (\d+)$", text, re.M).group(1)) > 0


def run(arguments, folder):
    import conftest

    fhir = keeper(arguments.version)
    settings = {"http": {"accessLog": False}, "fhir": {"url": f"http://127.0.0.1:{fhir.server_port}/fhir", "quietSeconds": 0.5, "timezone": "+01:00"}}
    server = conftest.Server(folder / "server", settings).start()
    try:
        places = list(arguments.places)
        if arguments.sample_data:
            places.append(folder / "sample-data")
            subprocess.run([str(conftest.BUILD / "sample-data" / "sample_data"), str(places[-1])], check=True, timeout=120)
        stored, refused = store(server, files_of(places))
        deadline = time.monotonic() + 300
        while is_lagging(server) and time.monotonic() < deadline:
            time.sleep(0.2)
        pages = list(view(server, arguments.version))
    finally:
        server.stop()
        fhir.shutdown()
    documents = folder / "documents"
    documents.mkdir()
    types = collections.Counter()
    for kind, bundles in (("cast", fhir.kept), ("view", pages)):
        for i, bundle in enumerate(bundles):
            (documents / f"{kind}-{i:04}.json").write_text(json.dumps(bundle))
            types.update(f"{kind} {e['resource']['resourceType']}" for e in bundle.get("entry", []))
    print(f"{stored} instances stored, {refused} files that are none or were refused; {len(fhir.kept)} transactions, {len(pages)} answers of the view")
    print(", ".join(f"{count} {kind}" for kind, count in sorted(types.items())))
    return documents


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="*", type=pathlib.Path)
    parser.add_argument("--version", choices=list(VERSIONS), default="R4")
    parser.add_argument("--sample-data", action="store_true")
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    if not arguments.places and not arguments.sample_data:
        parser.error("no files, and no --sample-data")
    with tempfile.TemporaryDirectory(prefix="fhir-report-") as folder:
        documents = run(arguments, pathlib.Path(folder))
        done = subprocess.run([str(HERE / "validate.sh"), "--version", arguments.version, str(documents)], capture_output=True, text=True, timeout=3600)
    messages = collections.Counter()
    examples = {}
    for line in done.stdout.splitlines():
        found = re.match(r".*/((?:cast|view)-\d+)\.json\S*: (error|fatal|warning): (.*?): (.*)", line)
        if found:
            where = re.sub(r"\[\d+\]", "", re.sub(r"(^.*)?/\*(\w+)/[^*]*\*/", r"\2", found.group(3)))
            said = re.sub(r"'[^']*'|\"[^\"]*\"|http\S+|\d+(\.\d+){3,}", "…", found.group(4))
            key = (found.group(2), where, said[:200])
            messages[key] += 1
            examples.setdefault(key, found.group(4))
    for (severity, where, said), count in sorted(messages.items(), key=lambda item: (item[0][0], -item[1])):
        if severity != "warning" or arguments.all:
            print(f"{count:6} {severity} {where}: {examples[severity, where, said][:400]}")
    print(done.stdout.splitlines()[-1] if done.stdout else done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
