# SPDX-License-Identifier: MIT
"""A daemon on a disk whose power is cut (power_cut.c): after it was killed, what it had written and not made durable is
taken back, all of it, or the parts that a disk and a file system may lose.

The model is ext4's: names are made, changed and removed in one order, of which a beginning is kept; with an fsync of a
file or a folder all is kept that was done to its name before. Bytes and sizes of different files have no order, nor have the
sectors of one that are written over, or into space that was allocated. What is appended is there as far as the size says: data
is written before the size that shows it."""
import os
import pathlib
import shutil
import struct
from collections import defaultdict, namedtuple

from conftest import BUILD

SECTOR = 512
HEADER = struct.Struct("<QQQQQqqqqQQQQ")
Record = namedtuple("Record", "kind number file folder old_folder offset size size_before size_after grave path other bytes")

POLICIES = ("all", "changes", "changes", "torn", "torn", "sectors", "none")


def read_journal(path):
    """The records; the last one may be cut off: then its change was not made."""
    content = path.read_bytes() if path.exists() else b""
    records, at = [], 0
    while at + HEADER.size <= len(content):
        *fields, path_size, other_size, size = HEADER.unpack_from(content, at)
        end = at + HEADER.size + path_size + other_size + size
        if end > len(content):
            break
        at += HEADER.size
        name = content[at:at + path_size].decode()
        other = content[at + path_size:at + path_size + other_size].decode()
        records.append(Record(chr(fields[0]), *fields[1:], name, other, content[end - size:end]))
        at = end
    return records


class PowerCut:
    """`root`: the folder with all that the daemon writes."""

    def __init__(self, folder, root, lie=None):
        self.folder = pathlib.Path(folder) / "power-cut"
        self.root = pathlib.Path(root)
        library = BUILD / "tests" / "power_cut.so"
        assert library.exists(), library
        # The library is no part of the program, so it comes before a sanitizer's own.
        asan = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0")))
        self.env = {"LD_PRELOAD": str(library), "POWER_CUT": str(self.folder),
                    "POWER_CUT_DATA": str(self.root), "ASAN_OPTIONS": asan}
        if lie:
            self.env["POWER_CUT_LIE"] = lie
        self.lost = defaultdict(int)  # what was taken back, over all cuts
        self.clear()

    def clear(self):
        """All that is there now is durable."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "graves").mkdir(parents=True)

    def set(self, *rules):
        """As a disk that fails on demand has it: this one does not."""
        assert not rules

    def cut(self, rng, policy=None):
        """Takes back what a power cut would; the daemon is dead. Returns what was done, in a few words."""
        policy = policy or rng.choice(POLICIES)
        records = read_journal(self.folder / "journal")
        changes, names = not_durable(records)
        paths = {path.stat().st_ino: path for root in (self.root, self.folder / "graves")
                 for path in root.rglob("*") if path.is_file()}
        for inode, pending in changes.items():
            if inode in paths:
                self.take_back(paths[inode], pending, policy, rng)
        kept = {"all": 0, "none": len(names)}.get(policy, rng.randint(0, len(names)))
        for record in reversed(names[kept:]):
            self.take_back_name(record)
        self.clear()
        return f"{policy}: changes {sum(map(len, changes.values()))}, names {len(names) - kept} of {len(names)}"

    def take_back(self, path, pending, policy, rng):
        if policy == "none":
            return
        durable = pending[0].size_before
        sizes = [durable]
        for record in pending:
            sizes.append(record.size_after if record.size_after >= 0 else max(sizes[-1], record.offset + record.size))
        kept = 0 if policy == "all" else rng.randint(0, len(pending))  # changes of the size
        size = sizes[kept]
        if policy in ("torn", "sectors") and kept and sizes[kept - 1] < size and pending[kept - 1].size_after < 0:
            size = min(size, rng.randint(sizes[kept - 1] // SECTOR, size // SECTOR + 1) * SECTOR)
            size = max(size, sizes[kept - 1])
        file = os.open(path, os.O_RDWR)
        settled = set()  # sectors that hold a later change
        for number, record in reversed(list(enumerate(pending))):
            appended = durable if number < kept else None
            self.lost["changes"] += self.take_back_bytes(file, record, policy, rng, settled, appended)
        if size != os.fstat(file).st_size:
            os.ftruncate(file, size)
            self.lost["sizes"] += 1
        os.fsync(file)
        os.close(file)

    def take_back_bytes(self, file, record, policy, rng, settled, appended):
        """In each sector the old bytes or the new ones. What is kept hides what was written there before; what was
        appended from a place on, and is shown by the size, is kept."""
        first, last = record.offset // SECTOR, (record.offset + record.size - 1) // SECTOR
        if record.size <= 0:
            return 0
        count = last - first + 1
        if policy == "all":
            kept = set()
        elif policy == "changes":
            kept = set(range(first, last + 1)) if rng.random() < 0.5 else set()
        elif policy == "torn":  # up to a place, or from one on
            place = rng.randint(0, count)
            kept = set(range(first, first + place)) if rng.random() < 0.7 else set(range(first + place, last + 1))
        else:
            share = rng.random()
            kept = {sector for sector in range(first, last + 1) if rng.random() < share}
        if appended is not None and record.offset + record.size > appended:
            kept |= set(range(max(first, appended // SECTOR), last + 1))
        settled |= kept
        lost = [sector for sector in range(first, last + 1) if sector not in settled]
        old = record.bytes.ljust(record.size, b"\0")
        for begin, end in runs(lost):
            begin = max(begin * SECTOR, record.offset)
            end = min(end * SECTOR, record.offset + record.size)
            os.pwrite(file, old[begin - record.offset:end - record.offset], begin)
        return bool(lost)

    def take_back_name(self, record):
        self.lost["names"] += 1
        path = pathlib.Path(record.path)
        grave = self.folder / "graves" / str(record.grave)
        if record.kind in "CL":
            path.unlink(missing_ok=True)
        elif record.kind == "M":
            if path.is_dir():
                # What is not noted (RocksDB's own log) goes with it.
                shutil.rmtree(path)
        elif record.kind == "U":
            path.parent.mkdir(parents=True, exist_ok=True)  # removed folders are not noted
            os.link(grave, path)
        elif record.kind == "R" and pathlib.Path(record.other).exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            os.rename(record.other, path)
            if record.grave:
                os.link(grave, record.other)


def runs(sectors):
    """[begin, end) of numbers in a row."""
    found = []
    for sector in sectors:
        if found and found[-1][1] == sector:
            found[-1][1] = sector + 1
        else:
            found.append([sector, sector + 1])
    return found


def not_durable(records):
    """({inode: changes of its bytes}, changes of names), in order."""
    changes = defaultdict(list)
    done = set()
    syncs = {}  # number -> (inode, changes that were done when it began, place among the names)
    names = []
    durable_names = 0
    for record in records:
        if record.kind == "W":
            changes[record.file].append(record)
        elif record.kind == "D":
            done.add(record.number)
        elif record.kind == "B":
            covered = {change.number for change in changes[record.file] if change.number in done}
            syncs[record.number] = (record.file, covered, len(names))
        elif record.kind == "E":
            inode, covered, upto = syncs.pop(record.number)
            changes[inode] = [change for change in changes[inode] if change.number not in covered]
            for place in range(upto, durable_names, -1):
                if inode in (names[place - 1].file, names[place - 1].folder, names[place - 1].old_folder):
                    durable_names = place
                    break
        else:
            names.append(record)
    return {inode: pending for inode, pending in changes.items() if pending}, names[durable_names:]
