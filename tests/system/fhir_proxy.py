# SPDX-License-Identifier: MIT
"""A proxy in front of a FHIR server that keeps what went through it and makes faults on demand."""
import http.client
import json
import socket
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Exchange:
    """One request as it came, and the status of the answer that was given."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.at = time.monotonic()
        self.status = None
        self.answer = b""

    @property
    def is_transaction(self):
        return self.method == "POST"

    @property
    def entries(self):
        return json.loads(self.body)["entry"]

    def mentions(self, text):
        return text.encode() in self.body or text in urllib.parse.unquote(self.path)


# What a fault may do instead of passing a request on.
def answer(status, headers=None, body=b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"processing"}]}'):
    """Answers by itself."""

    def act(handler, exchange):
        handler.reply(exchange, status, {"Content-Type": "application/fhir+json", **(headers or {})}, body)

    return act


def garble(body):
    """Passes it on, and answers 200 with something else."""

    def act(handler, exchange):
        handler.pass_on(exchange)
        handler.reply(exchange, 200, {"Content-Type": "application/fhir+json"}, body)

    return act


def cut_answer(handler, exchange):
    """Passes it on, and breaks the connection in the middle of the answer."""
    status, headers, body = handler.pass_on(exchange)
    handler.reply(exchange, status, headers, body[: len(body) // 2], length=len(body))
    handler.break_off()


def drop(handler, exchange):
    """Breaks the connection without an answer; the server never sees the request."""
    handler.break_off()


def hang(seconds):
    def act(handler, exchange):
        handler.server.proxy.released.wait(seconds)
        handler.break_off()

    return act


def hang_behind(seconds):
    """Passes it on, and answers nothing."""

    def act(handler, exchange):
        handler.pass_on(exchange)
        handler.server.proxy.released.wait(seconds)
        handler.break_off()

    return act


def trickle(seconds):
    """Passes it on, and answers a byte now and then, for so long."""

    def act(handler, exchange):
        status, headers, body = handler.pass_on(exchange)
        handler.reply(exchange, status, headers, body[:1], length=len(body))
        deadline = time.monotonic() + seconds
        for i in range(1, len(body)):
            if time.monotonic() > deadline or handler.server.proxy.released.wait(0.1):
                break
            handler.wfile.write(body[i : i + 1])
        handler.break_off()

    return act


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def handle_one(self):
        proxy = self.server.proxy
        size = int(self.headers.get("Content-Length") or 0)
        exchange = Exchange(self.command, self.path, dict(self.headers), self.rfile.read(size))
        fault = proxy.admit(exchange)
        if fault:
            fault(self, exchange)
            return
        for before in proxy.before:
            before(exchange)
        self.reply(exchange, *self.pass_on(exchange))

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_one

    def pass_on(self, exchange):
        target = self.server.proxy.target
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=300)
        headers = {k: v for k, v in exchange.headers.items() if k.lower() not in ("host", "accept-encoding")}
        connection.request(exchange.method, exchange.path, exchange.body or None, headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        kept = {k: v for k, v in response.getheaders() if k.lower() in ("content-type", "etag", "location")}
        return response.status, kept, body

    def reply(self, exchange, status, headers, body, length=None):
        exchange.status, exchange.answer = status, body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def break_off(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Proxy:
    """`url` stands for `base`. faults: (test of an exchange, act, how often) in order, the first that fits acts.
    before: functions called with each exchange that is passed on, before it is."""

    def __init__(self, base):
        self.target = urllib.parse.urlsplit(base)
        self.exchanges = []
        self.faults = []
        self.before = []
        self.released = threading.Event()
        self.lock = threading.Lock()
        self.listener = None
        self.port = 0
        self.open()
        self.url = f"http://127.0.0.1:{self.port}{self.target.path}"

    def open(self):
        self.listener = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.listener.daemon_threads = True
        self.listener.handle_error = lambda *arguments: None  # a daemon that is killed breaks its connections
        self.listener.proxy = self
        self.port = self.listener.server_port
        threading.Thread(target=self.listener.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.released.set()
        self.listener.shutdown()
        self.listener.server_close()

    def fault(self, act, times=1, when=lambda exchange: True):
        with self.lock:
            self.faults.append([when, act, times])

    def admit(self, exchange):
        with self.lock:
            self.exchanges.append(exchange)
            for fault in self.faults:
                if fault[2] and fault[0](exchange):
                    fault[2] -= 1
                    return fault[1]
        return None

    def heal(self):
        with self.lock:
            self.faults.clear()

    def transactions(self, text=""):
        return [e for e in list(self.exchanges) if e.is_transaction and e.mentions(text)]
