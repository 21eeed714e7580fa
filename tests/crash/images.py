# SPDX-License-Identifier: MIT
"""Small clients that make load: data sets written by hand, an association and an HTTP connection that say plainly when
the other side is gone. Faster than libraries, so that a daemon and its clients find room on two cores."""
import hashlib
import http.client
import json
import random
import re
import socket
import struct

import upper_layer
from upper_layer import EXPLICIT, STUDY_FIND, STUDY_MOVE

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.7.3"  # multi-frame grayscale word secondary capture
FRAME_SIZE = 64 * 64 * 2
GATHERED_MAX = 33_557_888  # bytes of a blob that does not have a segment file of its own
_noise = random.Random(1895).randbytes(1 << 20)


class Gone(Exception):
    """The daemon is not there any more (or never was)."""


def digest(content):
    return hashlib.blake2b(content, digest_size=16).digest()


def _element(group, number, vr, value):
    if isinstance(value, int):
        value = struct.pack("<H", value)
    elif isinstance(value, str):
        value = value.encode()
        value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    if vr in ("OW", "OB"):
        return struct.pack("<HH2sHI", group, number, vr.encode(), 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr.encode(), len(value)) + value


def pixels(size, seed):
    """Bytes that are other ones for every seed, in each block of the disk."""
    rng = random.Random(seed)
    start = rng.randrange(len(_noise))
    content = (_noise[start:] + _noise * (size // len(_noise) + 1))[8:size]
    return rng.randbytes(8) + content


def dataset(study, series, instance, number=1, frames=1, seed=0, remarks=0):
    """A data set in Explicit VR Little Endian. Other bytes for another seed; `remarks`: private elements of 200 bytes
    each, which make the index grow."""
    patient = "P" + study.rsplit(".", 1)[-1]
    size = frames * FRAME_SIZE
    return b"".join((
        _element(0x0008, 0x0016, "UI", SOP_CLASS),
        _element(0x0008, 0x0018, "UI", instance),
        _element(0x0008, 0x0020, "DA", "20260101"),
        _element(0x0008, 0x0030, "TM", "120000"),
        _element(0x0008, 0x0050, "SH", "A" + patient[-12:]),
        _element(0x0008, 0x0060, "CS", "OT"),
        _element(0x0008, 0x0090, "PN", "Ref^Doc"),
        *remarks_of(remarks, f"{instance} {seed}"),
        _element(0x0010, 0x0010, "PN", "Crash^" + patient),
        _element(0x0010, 0x0020, "LO", patient),
        _element(0x0010, 0x0030, "DA", "19700203"),
        _element(0x0010, 0x0040, "CS", "O"),
        _element(0x0020, 0x000D, "UI", study),
        _element(0x0020, 0x000E, "UI", series),
        _element(0x0020, 0x0010, "SH", "S1"),
        _element(0x0020, 0x0011, "IS", series.rsplit(".", 1)[-1]),
        _element(0x0020, 0x0013, "IS", str(number)),
        _element(0x0028, 0x0002, "US", 1),
        _element(0x0028, 0x0004, "CS", "MONOCHROME2"),
        _element(0x0028, 0x0008, "IS", str(frames)),
        _element(0x0028, 0x0010, "US", 64),
        _element(0x0028, 0x0011, "US", 64),
        _element(0x0028, 0x0100, "US", 16),
        _element(0x0028, 0x0101, "US", 16),
        _element(0x0028, 0x0102, "US", 15),
        _element(0x0028, 0x0103, "US", 0),
        _element(0x7FE0, 0x0010, "OW", pixels(size, f"{instance} {seed}")),
    ))


def remarks_of(count, seed):
    if not count:
        return ()
    rng = random.Random(seed)
    lines = [_element(0x0009, 0x1001 + i, "LT", rng.randbytes(100).hex()) for i in range(count)]
    return (_element(0x0009, 0x0010, "LO", "REMARKS"), *lines)


def part10(content, instance, syntax=EXPLICIT):
    meta = b"".join((
        _element(0x0002, 0x0001, "OB", b"\0\1"),
        _element(0x0002, 0x0002, "UI", SOP_CLASS),
        _element(0x0002, 0x0003, "UI", instance),
        _element(0x0002, 0x0010, "UI", syntax),
        _element(0x0002, 0x0012, "UI", "1.2.826.0.1.3680043.9.9"),
    ))
    return bytes(128) + b"DICM" + _element(0x0002, 0x0000, "UL", struct.pack("<I", len(meta))) + meta + content


def dataset_of(file):
    """The data set in a Part 10 file."""
    assert file[128:132] == b"DICM" and file[132:138] == b"\x02\x00\x00\x00UL", file[:160]
    return file[144 + struct.unpack_from("<I", file, 140)[0]:]


_uid = re.compile(rb"\x08\x00\x18\x00UI(..)", re.DOTALL)


def instance_of(content):
    """SOP Instance UID of a data set in Explicit VR Little Endian."""
    found = _uid.search(content)
    size = struct.unpack("<H", found.group(1))[0]
    return content[found.end():found.end() + size].rstrip(b"\0").decode()


class Association(upper_layer.Association):
    """Contexts 1: storing, 3: finding, 5: moving."""

    def __init__(self, server, calling="CRASH"):
        contexts = [(1, SOP_CLASS, [EXPLICIT]), (3, STUDY_FIND, [EXPLICIT]), (5, STUDY_MOVE, [EXPLICIT])]
        try:
            super().__init__(server, contexts, calling=calling)
        except OSError as error:
            raise Gone from error

    def read(self):
        try:
            answer = super().read()
        except TimeoutError:
            raise
        except OSError as error:
            raise Gone from error
        if answer is None:
            raise Gone
        return answer

    def send(self, *pieces):
        try:
            super().send(*pieces)
        except TimeoutError:
            raise
        except OSError as error:
            raise Gone from error

    def send_message(self, number, elements, data=None, size=250000):
        super().send_message(number, elements, data, size)

    def c_store(self, content, instance):
        return self.store(content, 1, sop_class=SOP_CLASS, sop_instance=instance)[0x0900]

    def c_find(self, **keys):
        """Data sets that were found, and the final status."""
        self.request(3, 0x20, STUDY_FIND, upper_layer.keys(**keys))
        answers = self.answers(3)
        return [found for _, found in answers[:-1]], answers[-1][0][0x0900]

    def c_move(self, destination, **keys):
        """The final response."""
        self.request(5, 0x21, STUDY_MOVE, upper_layer.keys(**keys), elements={0x0600: destination})
        return self.answers(5)[-1][0]


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.content = response.read()

    def json(self):
        return json.loads(self.content)

    def parts(self):
        """The parts of a multipart answer."""
        boundary = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"]).group(1).encode()
        pieces = (b"\r\n" + self.content).split(b"\r\n--" + boundary)
        assert pieces[-1].startswith(b"--"), "no closing delimiter"
        return [piece.partition(b"\r\n\r\n")[2] for piece in pieces[1:-1]]


class Web:
    """One HTTP connection that is kept."""

    def __init__(self, server, timeout=60):
        self.prefix = "/dicomweb"
        self.connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=timeout)

    def request(self, method, path, body=None, **headers):
        try:
            if self.connection.sock is None:
                self.connection.connect()
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            return Answer(self.connection.getresponse())
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise Gone from error

    def get(self, path, accept="application/dicom+json"):
        return self.request("GET", self.prefix + path, Accept=accept)

    def files(self, path):
        return self.get(path, 'multipart/related; type="application/dicom"; transfer-syntax=*')

    def delete(self, path):
        return self.request("DELETE", self.prefix + path)

    def health(self):
        return self.request("GET", "/health")

    def stow(self, files, study=None):
        """Returns the status, and {SOP Instance UID: failure reason, 0 for success}."""
        body = b"".join(b"--xBx\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files) + b"--xBx--\r\n"
        answer = self.request("POST", self.prefix + "/studies" + (f"/{study}" if study else ""), body,
                              Content_Type='multipart/related; type="application/dicom"; boundary=xBx',
                              Accept="application/dicom+json")
        results = {}
        if answer.content and answer.headers["Content-Type"].startswith("application/dicom+json"):
            report = answer.json()
            for one in report.get("00081199", {}).get("Value", []):
                results[one["00081155"]["Value"][0]] = 0
            for one in report.get("00081198", {}).get("Value", []):
                results[one["00081155"]["Value"][0]] = one["00081197"]["Value"][0]
        return answer.status, results

    def instances(self, query):
        """[(series, instance)] of a QIDO-RS search, page by page."""
        found = []
        while True:
            answer = self.get(f"/instances?{query}&limit=1000&offset={len(found)}")
            if answer.status == 204:
                return found
            assert answer.status == 200, (answer.status, answer.content[:500])
            page = answer.json()
            found += [(one["0020000E"]["Value"][0], one["00080018"]["Value"][0]) for one in page]
            if len(page) < 1000:
                return found

    def feed(self, after):
        """All changes behind a sequence number: [(sequence, action, study, instance)]."""
        changes = []
        while True:
            answer = self.get(f"/changefeed?offset={after}&limit=1000&includeMetadata=false", "application/json")
            assert answer.status == 200, (answer.status, answer.content[:500])
            page = answer.json()
            changes += [(e["sequence"], e["action"], e["studyInstanceUid"], e["sopInstanceUid"]) for e in page]
            if len(page) < 1000:
                return changes
            after = page[-1]["sequence"]

    def close(self):
        self.connection.close()
