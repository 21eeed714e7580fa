# SPDX-License-Identifier: MIT
"""What hostile peers of the HTTP side once got away with, by the item of CONFORMANCE it belongs to."""
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from web import make, store, url_of


def test_HOS_41_a_bulk_data_path_that_ends_in_an_item_is_400(server):
    ds = make()
    ds.RequestAttributesSequence = Sequence([Dataset()])
    store(server, ds)
    url = url_of(server, ds) + "/bulkdata/"
    # What stands behind the path in the request must not be read as if it were part of it.
    for path in ("00400275.0", "00400275.0?aaaaa7FE00010", "00400275.", "00400275.0.", "00400275.-1.00400009"):
        answer = requests.get(url + path, timeout=60)
        assert answer.status_code in (400, 404), (path, answer.status_code)
    for tail in range(12):
        assert requests.get(f"{url}00400275.0?{'a' * tail}7FE00010", timeout=60).status_code == 400
