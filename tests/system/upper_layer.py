# SPDX-License-Identifier: MIT
"""DICOM's upper layer in plain sockets, for tests that must send what no library would: PDUs and items by hand, a
requestor that shows every byte, and an acceptor that misbehaves on demand (PS3.8 9.3, PS3.7 9.3, E.1)."""
import concurrent.futures
import contextlib
import io
import socket
import struct
import threading
import time

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

CONTEXT = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
CT = "1.2.840.10008.5.1.4.1.1.2"
PATIENT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"

RQ, AC, RJ, DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
COMMAND, LAST = 1, 2
WAIT = 10  # seconds before a test gives up on an answer


# --- bytes -----------------------------------------------------------------------------------------------------------


def pdu(kind, body=b"", length=None):
    return struct.pack(">BBI", kind, 0, len(body) if length is None else length) + body


def item(kind, content=b"", length=None):
    content = content.encode() if isinstance(content, str) else content
    return struct.pack(">BBH", kind, 0, len(content) if length is None else length) + content


def proposed(number, abstract, syntaxes, reserved=0):
    items = item(0x30, abstract) + b"".join(item(0x40, syntax) for syntax in syntaxes)
    return item(0x20, bytes([number, reserved, reserved, reserved]) + items)


def max_length(value):
    return item(0x51, struct.pack(">I", value))


def role(uid, scu, scp):
    return item(0x54, struct.pack(">H", len(uid)) + uid.encode() + bytes([scu, scp]))


def user_information(length=16384, extra=b""):
    return item(0x50, max_length(length) + item(0x52, "1.2.826.0.1.3680043.9.9") + extra + item(0x55, "TEST"))


def title(text):
    return text.encode().ljust(16) if isinstance(text, str) else text


def associate_rq(contexts, called="HOUNSFIELD", calling="TEST", user=None, version=1, context=CONTEXT,
                 reserved=bytes(32), extra=b""):
    """`contexts`: encoded items, or (id, abstract syntax, [transfer syntaxes])."""
    items = [one if isinstance(one, bytes) else proposed(*one) for one in contexts]
    fixed = struct.pack(">HH", version, 0) + title(called) + title(calling) + reserved
    user = user_information() if user is None else user
    return pdu(RQ, fixed + item(0x10, context) + b"".join(items) + extra + user)


def pdv(number, flags, content=b"", length=None):
    return struct.pack(">IBB", len(content) + 2 if length is None else length, number, flags) + content


def data_pdu(*pdvs):
    return pdu(DATA, b"".join(pdvs))


def fragments(number, kind, content, size):
    """PDUs of one PDV each."""
    pieces = [content[at:at + size] for at in range(0, len(content), size)] or [b""]
    return b"".join(data_pdu(pdv(number, kind | (LAST if piece is pieces[-1] else 0), piece)) for piece in pieces)


US = {0x0100, 0x0903, 0x0110, 0x0120, 0x0700, 0x0800, 0x0900, 0x1002, 0x1008, 0x1020, 0x1021, 0x1022, 0x1023, 0x1031}
UI = {0x0002, 0x0003, 0x1000, 0x1001}


def element(number, value, group=0):
    if isinstance(value, int):
        value = struct.pack("<H", value)
    elif isinstance(value, str):
        value = value.encode()
        value += (b"\0" if number in UI else b" ") * (len(value) % 2)
    return struct.pack("<HHI", group, number, len(value)) + value


def command(elements, group_length=None):
    """A command set of {element number: value}, with its group length unless told otherwise."""
    body = b"".join(element(number, value) for number, value in sorted(elements.items()))
    length = len(body) if group_length is None else group_length
    return struct.pack("<HHII", 0, 0, 4, length) + body


def parse_command(content):
    """{element number: value}; checks what PS3.7 6.3.1 demands of every command set."""
    elements, at = {}, 0
    while at < len(content):
        group, number, size = struct.unpack_from("<HHI", content, at)
        value = content[at + 8:at + 8 + size]
        assert group == 0 and size % 2 == 0 and len(value) == size
        assert not elements or number > max(elements), "elements ascend"
        if number in US:
            value = struct.unpack("<H", value)[0]
        elif number == 0:
            assert struct.unpack("<I", value)[0] == len(content) - 12, "group length"
        elif number in (0x0901, 0x1005):
            value = [hi << 16 | lo for hi, lo in struct.iter_unpack("<HH", value)]
        else:
            value = value.decode("ascii").rstrip(" \0")
        elements[number] = value
        at += 8 + size
    assert list(elements)[0] == 0
    return elements


def encode(ds, syntax=EXPLICIT):
    out = DicomBytesIO()
    out.is_little_endian = syntax != BIG_ENDIAN
    out.is_implicit_VR = syntax == IMPLICIT
    write_dataset(out, ds)
    return out.getvalue()


def decode(content, syntax=EXPLICIT):
    return read_dataset(io.BytesIO(content), syntax == IMPLICIT, syntax != BIG_ENDIAN)


def keys(**attributes):
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


# --- a socket that reads PDUs ----------------------------------------------------------------------------------------


class Wire:
    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(WAIT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.longest = 0  # P-DATA-TF seen
        self.parts = []  # PDVs of PDUs read but not yet taken

    def send(self, *pieces):
        self.sock.sendall(b"".join(pieces))

    def _exactly(self, size):
        content = b""
        while len(content) < size:
            try:
                piece = self.sock.recv(size - len(content))
            except ConnectionResetError:
                piece = b""
            if not piece:
                return None
            content += piece
        return content

    def read(self):
        """(type, body), or None when the other side has closed."""
        header = self._exactly(6)
        if header is None:
            return None
        kind, _, length = struct.unpack(">BBI", header)
        if kind == DATA:
            self.longest = max(self.longest, length)
        body = self._exactly(length)
        return None if body is None else (kind, body)

    def read_pdv(self):
        if not self.parts:
            answer = self.read()
            assert answer and answer[0] == DATA, answer
            body, at = answer[1], 0
            while at < len(body):
                length, number, flags = struct.unpack_from(">IBB", body, at)
                self.parts.append((number, flags, body[at + 6:at + 4 + length]))
                at += 4 + length
        return self.parts.pop(0)

    def read_message(self):
        """(context id, command, data set bytes or None)."""
        gathered = []
        for kind in (COMMAND, 0):
            content, last = b"", False
            while not last:
                number, flags, piece = self.read_pdv()
                assert flags & COMMAND == kind
                content += piece
                last = bool(flags & LAST)
            gathered.append(content)
            if kind == COMMAND and parse_command(content)[0x0800] == 0x0101:
                return number, parse_command(content), None
        return number, parse_command(gathered[0]), gathered[1]

    def is_closed(self, within=WAIT):
        """Does the other side close, without another byte?"""
        self.sock.settimeout(within)
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        finally:
            self.sock.settimeout(WAIT)

    def is_silent(self, seconds):
        """Neither bytes nor a close for so long?"""
        self.sock.settimeout(seconds)
        try:
            self.sock.recv(1)
            return False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(WAIT)

    def close(self):
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def dial(server, source=None):
    """A bare connection to the server's DICOM port."""
    sock = socket.socket()
    sock.settimeout(WAIT)
    if source:
        # thousands of these must not keep their ports from servers that start later
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        sock.bind((source, 0))
    try:
        sock.connect(("127.0.0.1", server.dimse_port))
    except OSError:
        sock.close()
        raise
    return Wire(sock)


# --- requestor -------------------------------------------------------------------------------------------------------


def parse_items(content):
    at, items = 0, []
    while at < len(content):
        kind, _, length = struct.unpack_from(">BBH", content, at)
        items.append((kind, content[at + 4:at + 4 + length]))
        at += 4 + length
    return items


class Accepted:
    """What an A-ASSOCIATE-AC says."""

    def __init__(self, body):
        self.version = struct.unpack_from(">H", body)[0]
        self.titles = body[4:68]
        self.contexts, self.user = {}, []
        for kind, content in parse_items(body[68:]):
            if kind == 0x10:
                self.application_context = content.decode()
            elif kind == 0x21:
                syntaxes = [uid.decode() for _, uid in parse_items(content[4:])]
                self.contexts[content[0]] = (content[2], syntaxes)
            elif kind == 0x50:
                self.user = parse_items(content)

    def sub_items(self, kind):
        return [content for k, content in self.user if k == kind]


class Association(Wire):
    """An association that was accepted; `contexts` as for associate_rq. Without contexts: Verification and CT."""

    def __init__(self, server, contexts=None, source=None, **request):
        super().__init__(dial(server, source).sock)
        self.proposals = contexts or [(1, VERIFICATION, [IMPLICIT]), (3, CT, [EXPLICIT]), (5, CT, [IMPLICIT])]
        self.send(associate_rq(self.proposals, request.pop("called", server.ae_title), **request))
        answer = self.read()
        assert answer and answer[0] == AC, answer
        self.accepted = Accepted(answer[1])
        self.message_id = 0

    def syntax(self, number):
        result, syntaxes = self.accepted.contexts[number]
        assert result == 0
        return syntaxes[0]

    def next_id(self):
        self.message_id += 1
        return self.message_id

    def send_message(self, number, elements, data=None, size=16000):
        self.send(fragments(number, COMMAND, command(elements), size))
        if data is not None:
            self.send(fragments(number, 0, data, size))

    def echo(self, number=1, message_id=None):
        identity = self.next_id() if message_id is None else message_id
        self.send_message(number, {0x0002: VERIFICATION, 0x0100: 0x30, 0x0110: identity, 0x0800: 0x0101})
        answer = self.read_message()
        assert answer[1][0x0120] == identity and answer[1][0x0100] == 0x8030, answer
        return answer[1][0x0900]

    def store(self, ds, number=3, **elements):
        """Returns the response; `ds` may be bytes, with sop_class and sop_instance."""
        elements = {0x0002: elements.get("sop_class") or ds.SOPClassUID,
                    0x1000: elements.get("sop_instance") or ds.SOPInstanceUID,
                    0x0100: 1, 0x0110: self.next_id(), 0x0700: 0, 0x0800: 1}
        content = ds if isinstance(ds, bytes) else encode(ds, self.syntax(number))
        self.send_message(number, elements, content)
        answer = self.read_message()[1]
        assert answer[0x0100] == 0x8001 and answer[0x0120] == elements[0x0110]
        return answer

    def request(self, number, field, abstract, ds, message_id=None, **more):
        """Sends C-FIND-RQ or C-MOVE-RQ and leaves the answers to be read."""
        identity = self.next_id() if message_id is None else message_id
        elements = {0x0002: abstract, 0x0100: field, 0x0110: identity, 0x0700: 0, 0x0800: 1}
        elements.update(more.get("elements", {}))
        self.send_message(number, elements, encode(ds, self.syntax(number)))
        return identity

    def answers(self, number):
        """All responses up to the final one: [(command, data set or None)]."""
        found = []
        while True:
            _, answer, content = self.read_message()
            found.append((answer, None if content is None else decode(content, self.syntax(number))))
            if answer[0x0900] & 0xFF00 != 0xFF00:
                return found

    def cancel(self, number, message_id):
        self.send_message(number, {0x0100: 0x0FFF, 0x0120: message_id, 0x0800: 0x0101})

    def release(self):
        self.send(pdu(RELEASE_RQ, bytes(4)))
        answer = self.read()
        self.close()
        assert answer == (RELEASE_RP, bytes(4)), answer

    def abort(self):
        self.send(pdu(ABORT, bytes(4)))
        self.close()


def refused(server, data, source=None):
    """Sends bytes on a new connection and returns the answer as (PDU type, last three bytes), or None for a close."""
    with dial(server, source) as wire:
        wire.send(data)
        answer = wire.read()
        return answer and (answer[0], tuple(answer[1][1:4]))


def assert_aborted(wire, *reasons):
    """The next PDU is an A-ABORT of the service provider; the connection is then left to us to close."""
    answer = wire.read()
    assert answer and answer[0] == ABORT, answer
    assert answer[1][2] == 2 and answer[1][3] in (reasons or (0, 1, 2, 6)), answer


def store_many(server, datasets, associations=8):
    """store_all over several associations at once."""
    with concurrent.futures.ThreadPoolExecutor(associations) as pool:
        list(pool.map(lambda at: store_all(server, datasets[at::associations]), range(associations)))


def store_all(server, datasets, calling="TEST"):
    """Stores data sets over one association; each must succeed."""
    classes = sorted({ds.SOPClassUID for ds in datasets})
    contexts = [(2 * i + 1, uid, [EXPLICIT]) for i, uid in enumerate(classes)]
    association = Association(server, contexts, calling=calling)
    for ds in datasets:
        answer = association.store(ds, 2 * classes.index(ds.SOPClassUID) + 1)
        assert answer[0x0900] == 0, answer
    association.release()


@contextlib.contextmanager
def busy(server, make, senders=4):
    """Meanwhile others store what make() gives, without a pause."""
    stop = threading.Event()

    def load():
        while not stop.is_set():
            store_all(server, [make() for _ in range(20)])

    with concurrent.futures.ThreadPoolExecutor(senders) as pool:
        loads = [pool.submit(load) for _ in range(senders)]
        try:
            yield
        finally:
            stop.set()
    for one in loads:
        one.result(60)


def find(server, ds, abstract=STUDY_FIND, syntax=EXPLICIT):
    """One C-FIND: (data sets of the pending responses, final command)."""
    association = Association(server, [(1, abstract, [syntax])])
    association.request(1, 0x20, abstract, ds)
    found = association.answers(1)
    association.release()
    assert all(answer[0x0900] == 0xFF00 for answer, _ in found[:-1])
    assert found[-1][1] is None
    return [match for _, match in found[:-1]], found[-1][0]


def is_stored(server, ds):
    found, final = find(server, keys(QueryRetrieveLevel="IMAGE", StudyInstanceUID=ds.StudyInstanceUID,
                                     SeriesInstanceUID=ds.SeriesInstanceUID, SOPInstanceUID=ds.SOPInstanceUID))
    assert final[0x0900] == 0
    return len(found) == 1


# --- acceptor --------------------------------------------------------------------------------------------------------


class Received:
    def __init__(self, command_set, syntax, content):
        self.command, self.syntax, self.content = command_set, syntax, content


class Receiver:
    """A storage SCP. What it does wrong is chosen by its attributes."""

    def __init__(self, port, syntaxes=None, length=16384, status=None, delay=0, collide=False, abort_at=None,
                 reject=False, wrong_id=False):
        self.syntaxes = syntaxes  # accepted transfer syntaxes; None: the first offered
        self.length = length
        self.status = status or (lambda number, command_set: 0)
        self.delay, self.collide, self.abort_at = delay, collide, abort_at
        self.reject, self.wrong_id = reject, wrong_id  # reject may be a function of how many called before
        self.requests = []  # bodies of A-ASSOCIATE-RQ
        self.stored = []
        self.longest = 0
        self.ended = []  # how associations ended
        self.listening = socket.socket()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listening.bind(("127.0.0.1", port))
        self.listening.listen()
        self.listening.settimeout(None)  # __exit__ ends it
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Wire(connection),), daemon=True).start()

    def _negotiate(self, body):
        self.requests.append(body)
        answers, self_contexts = b"", {}
        for kind, content in parse_items(body[68:]):
            if kind != 0x20:
                continue
            offered = [uid.decode() for k, uid in parse_items(content[4:]) if k == 0x40]
            chosen = [uid for uid in offered if self.syntaxes is None or uid in self.syntaxes][:1]
            if chosen:
                self_contexts[content[0]] = chosen[0]
            answers += item(0x21, bytes([content[0], 0, 0 if chosen else 4, 0]) + item(0x40, (chosen or offered)[0]))
        fixed = struct.pack(">HH", 1, 0) + body[4:68]
        return pdu(AC, fixed + item(0x10, CONTEXT) + answers + user_information(self.length)), self_contexts

    def _serve(self, wire):
        try:
            kind, body = wire.read()
            rejection = self.reject(len(self.requests)) if callable(self.reject) else self.reject and (1, 1, 7)
            if rejection:  # result, source and reason
                self.requests.append(body)
                wire.send(pdu(RJ, bytes([0, *rejection])))
                wire.is_closed()
                return
            answer, contexts = self._negotiate(body)
            wire.send(answer)
            while True:
                got = wire.read()
                if got is None or got[0] != DATA:
                    break
                # read_message reads PDUs itself: give this one back as its PDVs
                at = 0
                while at < len(got[1]):
                    length, number, flags = struct.unpack_from(">IBB", got[1], at)
                    wire.parts.append((number, flags, got[1][at + 6:at + 4 + length]))
                    at += 4 + length
                number, command_set, content = wire.read_message()
                self.longest = max(self.longest, wire.longest)
                if self.abort_at is not None and len(self.stored) >= self.abort_at:
                    wire.send(pdu(ABORT, bytes(4)))
                    self.ended.append("aborted")
                    return
                time.sleep(self.delay)
                status = self.status(len(self.stored), command_set)
                self.stored.append(Received(command_set, contexts[number], content))
                identity = command_set[0x0110] + (1 if self.wrong_id else 0)
                wire.send(fragments(number, COMMAND, command({
                    0x0002: command_set[0x0002], 0x0100: 0x8001, 0x0120: identity, 0x0800: 0x0101,
                    0x0900: status, 0x1000: command_set[0x1000]}), 16000))
            self._end(wire, got)
        except (OSError, AssertionError, TypeError):
            self.ended.append("lost")
        finally:
            wire.close()

    def _end(self, wire, got):
        if got is None:
            self.ended.append("closed")
        elif got[0] == RELEASE_RQ and self.collide:
            wire.send(pdu(RELEASE_RQ, bytes(4)))
            answer = wire.read()
            wire.send(pdu(RELEASE_RP, bytes(4)))
            self.ended.append("collided" if answer == (RELEASE_RP, bytes(4)) else "confused")
        elif got[0] == RELEASE_RQ:
            wire.send(pdu(RELEASE_RP, bytes(4)))
            self.ended.append("released")
        else:
            self.ended.append("aborted by the requestor" if got[0] == ABORT else "confused")

    def wait_ended(self, count=1):
        deadline = time.monotonic() + WAIT
        while len(self.ended) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.ended

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.thread.join(WAIT)
