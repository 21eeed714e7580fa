# SPDX-License-Identifier: MIT
"""A sender of HL7 v2 over MLLP of our own, and messages to send."""
import socket
import threading
import time

START, END = b"\x0b", b"\x1c\r"


def connect(port, timeout):
    """A server that was started listens for HL7 a moment after the rest."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class Sender:
    """One connection. `send` waits for the answer; the pieces of it can be had by themselves."""

    def __init__(self, port, timeout=30, wrap=None):
        self.socket = connect(port, timeout)
        if wrap:
            self.socket = wrap(self.socket)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def write(self, data):
        self.socket.sendall(data)

    def read(self):
        """The next framed answer; None at the end of the connection."""
        while END not in self.rest:
            data = self.socket.recv(65536)
            if not data:
                return None
            self.rest += data
        block, self.rest = self.rest.split(END, 1)
        assert block[:1] == START, block
        return Answer(block[1:])

    def is_closed(self, timeout=20):
        self.socket.settimeout(timeout)
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def send(self, message):
        self.write(frame(message))
        return self.read()


class Answer:
    def __init__(self, data):
        self.data = data
        text = data.decode("utf-8", "replace")
        self.separator = text[3]
        self.segments = [line.split(self.separator) for line in text.split("\r") if line]

    def segment(self, name):
        return next((s for s in self.segments if s[0] == name), None)

    @property
    def code(self):
        return self.segment("MSA")[1]

    @property
    def control_id(self):
        return self.segment("MSA")[2]

    @property
    def errors(self):
        """(location, code, severity, text) of each ERR of v2.5."""
        return [(e[2], e[3].split("^")[0], e[4], e[8] if len(e) > 8 else "") for e in self.segments if e[0] == "ERR"]

    def __repr__(self):
        return repr(self.data)


def frame(message):
    data = message if isinstance(message, bytes) else message.encode()
    return START + data + END


_count = 0


def stamp(seconds=0):
    """A time stamp some seconds from now."""
    return time.strftime("%Y%m%d%H%M%S", time.localtime(time.time() + seconds))


def msh(kind, control_id=None, at=None, version="2.5.1", application="HIS", extra=""):
    global _count
    _count += 1
    return f"MSH|^~\\&|{application}|CLINIC|HOUNSFIELD|RAD|{at or stamp()}||{kind}|{control_id or f'M{_count}'}|P|{version}{extra}\r"


def pid(patient_id="P1", name="DOE^JANE", birth="19700102", sex="F", authority="HOSP"):
    return f"PID|1||{patient_id}^^^{authority}^MR||{name}||{birth}|{sex}\r"


def orm(placer, control="NW", patient=None, accession=None, start="20300102103000", modality="CT", procedure="CTH^CT HEAD^99RIS",
        step_id="", procedure_id="", study="", at=None, order=None, status="", filler="", version="2.3.1", control_id=None):
    """An order, as IHE RAD-4 has it."""
    obr = [""] * 37
    obr[1], obr[2], obr[3], obr[4], obr[16] = "1", placer, filler, procedure, "77^MILL^JOHN^^^DR"
    obr[18], obr[19], obr[20], obr[24] = accession or "", procedure_id, step_id, modality
    obr[27] = f"1^once^^{start}^^R"
    text = msh("ORM^O01", at=at, version=version, control_id=control_id) + (patient or pid())
    text += "PV1|1|I|WARD^12^1|||||5^SMITH^ANN\r"
    text += f"ORC|{control}|{placer}|{filler}||{status}||1^once^^{start}^^R\r"
    text += "OBR|" + "|".join(obr[1:]) + "\r"
    return text + (f"ZDS|{study}^HIS^Application^DICOM\r" if study else "")


def adt(event, patient=None, at=None, evn=None, extra="", control_id=None):
    return (msh(f"ADT^{event}", at=at, control_id=control_id) + f"EVN|{event}|{evn or at or stamp()}\r" + (patient or pid()) + extra)


class Receiver:
    """Somebody whom the server tells something: takes messages on a port, and answers each with the next of `answers` (the
    last one stays): a code, or None to hang up without an answer, as for all that are `deaf_to`. `closes`: a connection a
    message."""

    def __init__(self, port, answers=("AA",), wrap=None, deaf_to=lambda message: False, closes=False):
        self.answers = list(answers)
        self.messages = []
        self.changed = threading.Condition()
        self.wrap = wrap
        self.deaf_to = deaf_to
        self.closes = closes
        self.listener = socket.create_server(("127.0.0.1", port))
        self.listener.settimeout(60)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
                connection.settimeout(60)
                self._serve(self.wrap(connection) if self.wrap else connection)
            except OSError:
                if self.listener.fileno() < 0:
                    return

    def _serve(self, connection):
        data = b""
        with connection:
            while True:
                while END not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                block, data = data.split(END, 1)
                message = block[1:].decode()
                control_id = message.split("|")[9]
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                with self.changed:
                    self.messages.append(message)
                    self.changed.notify_all()
                if answer is None or self.deaf_to(message):
                    return
                connection.sendall(frame(f"MSH|^~\\&|RIS|||||||ACK|1|P|2.3.1\rMSA|{answer}|{control_id}\r"))
                if self.closes:
                    return

    def wait(self, count, timeout=30):
        """The messages, when there are so many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.messages) >= count, timeout), self.messages
            return list(self.messages)
