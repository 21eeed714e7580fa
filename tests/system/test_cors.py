# SPDX-License-Identifier: MIT
"""Pages of other origins in a browser, CONFORMANCE WEB-14 (the Fetch standard)."""
import pytest
import requests

from web import make, part10, store, url_of

VIEWER = "https://viewer.example.org"


@pytest.fixture
def open_server(start_server):
    return start_server(settings={"http": {"corsOrigins": [VIEWER, "http://localhost:3000"]}})


def preflight(url, origin, method="GET", headers="authorization,range"):
    fields = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return requests.options(url, headers=fields, timeout=30)


@pytest.mark.parametrize("origin", [VIEWER, "http://localhost:3000"])
def test_WEB_14_a_preflight_of_an_allowed_origin_is_answered(open_server, origin):
    answer = preflight(open_server.dicomweb + "/studies", origin, "POST")
    assert answer.status_code in (200, 204)
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert {"GET", "POST"} <= {m.strip() for m in answer.headers["Access-Control-Allow-Methods"].split(",")}
    allowed = {h.strip().lower() for h in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "accept", "content-type", "range", "if-none-match"} <= allowed
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", VIEWER + ".evil.example", "http://viewer.example.org", VIEWER + ":8443", "null", ""]
)
def test_WEB_14_other_origins_get_nothing(open_server, origin):
    for answer in (
        preflight(open_server.dicomweb + "/studies", origin),
        requests.get(open_server.dicomweb + "/studies", headers={"Origin": origin}, timeout=30),
    ):
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
        assert "Origin" in answer.headers["Vary"]


def test_WEB_14_answers_and_errors_can_be_read_by_the_page(open_server):
    dataset = make()
    store(open_server, part10(dataset))
    for url, status in ((url_of(open_server, dataset) + "/metadata", 200), (open_server.dicomweb + "/nothing", 404)):
        answer = requests.get(url, headers={"Origin": VIEWER}, timeout=30)
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == VIEWER
        exposed = {h.strip() for h in answer.headers["Access-Control-Expose-Headers"].split(",")}
        assert {"Content-Location", "Location", "Warning", "ETag", "Content-Range"} <= exposed


def test_WEB_14_no_origin_is_allowed_unless_the_settings_say_so(server):
    answer = preflight(server.dicomweb + "/studies", VIEWER)
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_WEB_14_a_star_allows_any_origin_by_its_name(start_server):
    server = start_server(settings={"http": {"corsOrigins": ["*"]}})
    answer = requests.get(server.dicomweb + "/studies", headers={"Origin": "https://any.example"}, timeout=30)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://any.example"
