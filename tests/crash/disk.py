# SPDX-License-Identifier: MIT
"""A daemon on a disk that fails on demand (faulty_disk.c)."""
import os
import pathlib

from conftest import BUILD


class Disk:
    """The rules of a preloaded faulty_disk."""

    def __init__(self, folder):
        self.file = pathlib.Path(folder) / "disk"
        self.acts_file = self.file.with_name("disk.acts")
        # The library is no part of the program, so it comes before a sanitizer's own.
        asan = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0")))
        self.env = {"LD_PRELOAD": str(BUILD / "tests" / "faulty_disk.so"), "FAULTY_DISK": str(self.file), "ASAN_OPTIONS": asan}
        self.set()

    def set(self, *rules):
        """Rules as (calls, path, action, after, count); none: the disk is whole."""
        new = self.file.with_name("disk.new")
        new.write_text("".join(" ".join(map(str, rule)) + "\n" for rule in rules))
        new.rename(self.file)

    def acts(self):
        return self.acts_file.read_text().splitlines() if self.acts_file.exists() else []
