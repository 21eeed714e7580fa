# SPDX-License-Identifier: MIT
"""What the tests of unified procedure steps share: data sets, a client by pynetdicom, one who hears events."""
import struct
import threading

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    UnifiedProcedureStepEvent as EVENT, UnifiedProcedureStepPull as PULL, UnifiedProcedureStepPush as PUSH,
    UnifiedProcedureStepQuery as QUERY, UnifiedProcedureStepWatch as WATCH)

from upper_layer import EXPLICIT, Association, decode, encode
from web import new_uid

GLOBAL, FILTERED = "1.2.840.10008.5.1.4.34.5", "1.2.840.10008.5.1.4.34.5.1"
CHANGE_STATE, REQUEST_CANCEL, SUBSCRIBE, UNSUBSCRIBE, SUSPEND = range(1, 6)
N_GET, N_SET, N_ACTION, N_CREATE = 0x0110, 0x0120, 0x0130, 0x0140
STATE, CANCEL_REQUESTED, PROGRESS, SCP_STATUS, ASSIGNED = range(1, 6)


def dataset(**attributes):
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def code(value, meaning="something", scheme="99TEST"):
    return dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def item(**attributes):
    ds = dataset(
        ScheduledProcedureStepStartDateTime="20260102101112", InputReadinessState="READY", ProcedureStepState="SCHEDULED",
        ScheduledProcedureStepPriority="MEDIUM", ProcedureStepLabel="Read it", WorklistLabel="READERS",
        PatientName="Doe^Jane", PatientID=f"P{new_uid()[-12:]}", TransactionUID="",
        ScheduledWorkitemCodeSequence=[code("W1")], ScheduledProcessingParametersSequence=[], InputInformationSequence=[])
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def results():
    return dataset(UnifiedProcedureStepPerformedProcedureSequence=[dataset(
        PerformedStationNameCodeSequence=[code("S1")], PerformedWorkitemCodeSequence=[code("W1")],
        PerformedProcedureStepStartDateTime="20260102101112", PerformedProcedureStepEndDateTime="20260102101113",
        OutputInformationSequence=[])])


class Client:
    """All roles of one who asks, over one association. By hand: pynetdicom's requestor now and then loses an answer to its
    own reactor when the machine is busy."""

    def __init__(self, server, title="TEST"):
        self.numbers = {uid: 2 * at + 1 for at, uid in enumerate((PUSH, PULL, WATCH, QUERY))}
        self.association = Association(server, [(number, uid, [EXPLICIT]) for uid, number in self.numbers.items()], calling=title)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.association.release()

    def ask(self, meta, field, uid, ds=None, **more):
        """(status, data set or None). DIMSE-N in the context of the class `meta`."""
        number, identity = self.numbers[meta], self.association.next_id()
        created = field == N_CREATE
        elements = {0x0002 if created else 0x0003: PUSH, 0x0100: field, 0x0110: identity, 0x0800: 0x0101 if ds is None else 1,
                    0x1000 if created else 0x1001: uid}
        elements.update({int(name[1:], 16): value for name, value in more.items()})
        self.association.send_message(number, elements, None if ds is None else encode(ds, EXPLICIT))
        _, answer, content = self.association.read_message()
        assert answer[0x0100] == field | 0x8000 and answer[0x0120] == identity
        return answer[0x0900], None if content is None else decode(content, EXPLICIT)

    def create(self, ds, uid=None):
        """(status, UID) of the new item."""
        uid = uid or new_uid()
        return self.ask(PUSH, N_CREATE, uid, ds)[0], uid

    def scheduled(self, **attributes):
        status, uid = self.create(item(**attributes))
        assert status == 0, hex(status)
        return uid

    def action(self, kind, uid, meta, ds=None):
        return self.ask(meta, N_ACTION, uid, ds, t1008=kind)[0]

    def change(self, uid, state, transaction=None):
        ds = dataset(ProcedureStepState=state)
        if transaction:
            ds.TransactionUID = transaction
        return self.action(CHANGE_STATE, uid, PULL, ds)

    def claimed(self, **attributes):
        uid, transaction = self.scheduled(**attributes), new_uid()
        assert self.change(uid, "IN PROGRESS", transaction) == 0
        return uid, transaction

    def set(self, uid, ds, transaction=None):
        if transaction:
            ds.TransactionUID = transaction
        return self.ask(PULL, N_SET, uid, ds)[0]

    def completed(self, uid, transaction):
        assert self.set(uid, results(), transaction) == 0
        return self.change(uid, "COMPLETED", transaction)

    def get(self, uid, tags=None, meta=PULL):
        listed = {"t1005": b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)} if tags else {}
        return self.ask(meta, N_GET, uid, **listed)

    def cancel(self, uid, meta=PUSH, **reasons):
        return self.action(REQUEST_CANCEL, uid, meta, dataset(**reasons) if reasons else None)

    def subscribe(self, uid, receiver, lock="FALSE", **keys):
        return self.action(SUBSCRIBE, uid, WATCH, dataset(ReceivingAE=receiver, DeletionLock=lock, **keys))

    def unsubscribe(self, uid, receiver):
        return self.action(UNSUBSCRIBE, uid, WATCH, dataset(ReceivingAE=receiver))

    def suspend(self, uid, receiver):
        return self.action(SUSPEND, uid, WATCH, dataset(ReceivingAE=receiver))

    def find(self, model=PULL, **keys):
        """The matches; the final status must be success."""
        self.association.request(self.numbers[model], 0x0020, model, dataset(**keys))
        *found, (answer, _) = self.association.answers(self.numbers[model])
        assert answer[0x0900] == 0, hex(answer[0x0900])
        return [ds for _, ds in found]


class Watcher:
    """Listens for events on associations of the server's."""

    def __init__(self, port, title="WATCHER"):
        self.title, self.port, self.heard = title, port, []
        self.unwanted = {}  # item: a status, or None to hang up
        self.changed = threading.Condition()
        self.ae = AE(ae_title=title)
        self.ae.add_supported_context(EVENT, scu_role=False, scp_role=True)
        self.scp = None

    def start(self):
        self.scp = self.ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._hear)])
        return self

    def stop(self):
        if self.scp:
            self.scp.shutdown()
            for association in self.scp.active_associations:
                association.abort()
        self.scp = None

    def _hear(self, event):
        request = event.request
        assert request.AffectedSOPClassUID == PUSH
        ds = event.event_information
        with self.changed:
            self.heard.append((event.event_type, str(request.AffectedSOPInstanceUID), ds))
            self.changed.notify_all()
        status = self.unwanted.get(str(request.AffectedSOPInstanceUID), 0x0000)
        if status is None:
            event.assoc.abort()
        return status or 0x0000, None

    def wait(self, count, seconds=60):
        with self.changed:
            self.changed.wait_for(lambda: len(self.heard) >= count, seconds)
            return [told(kind, uid, ds) for kind, uid, ds in self.heard]

    def wait_for(self, event, seconds=60):
        """All that was heard when this was, too."""
        with self.changed:
            self.changed.wait_for(lambda: event in [told(*one) for one in self.heard], seconds)
            return [told(*one) for one in self.heard]

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def told(kind, uid, ds):
    """An event in short."""
    return kind, uid, str(ds.get("ProcedureStepState", ds.get("SCPStatus", "")))
