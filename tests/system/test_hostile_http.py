# SPDX-License-Identifier: MIT
"""What hostile peers of the HTTP side once got away with, by the item of CONFORMANCE it belongs to."""
import socket
import time

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from web import make, store, url_of


def test_HOS_41_a_bulk_data_path_that_ends_in_an_item_is_400(server):
    ds = make()
    ds.RequestAttributesSequence = Sequence([Dataset()])
    store(server, ds)
    url = url_of(server, ds) + "/bulkdata/"
    for path, status in (("00400275", 404), ("0x400275", 400), ("-0400275", 400), ("%200400275", 400), ("00400275.+0.00400009", 400)):
        assert requests.get(url + path, timeout=60).status_code == status, path
    # What stands behind the path in the request must not be read as if it were part of it.
    for path in ("00400275.0", "00400275.0?aaaaa7FE00010", "00400275.", "00400275.0.", "00400275.-1.00400009"):
        answer = requests.get(url + path, timeout=60)
        assert answer.status_code in (400, 404), (path, answer.status_code)
    for tail in range(12):
        assert requests.get(f"{url}00400275.0?{'a' * tail}7FE00010", timeout=60).status_code == 400


def test_HOS_35_a_reader_that_is_cut_is_reset_so_that_the_kernel_keeps_nothing(start_server):
    server = start_server({"http": {"idleTimeoutSeconds": 1, "headerTimeoutSeconds": 1}})
    ds = make(Rows=2048, Columns=2048, NumberOfFrames=8)
    store(server, ds)
    clients = [socket.create_connection(("127.0.0.1", server.http_port), 20) for _ in range(4)]
    for client in clients:
        client.sendall(f"GET {url_of(server, ds)[len(server.url):]} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    time.sleep(4)
    for client in clients:
        with client, pytest.raises(ConnectionResetError):
            while client.recv(1 << 20):
                pass
