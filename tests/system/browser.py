# SPDX-License-Identifier: MIT
"""A headless Chromium, driven over a pipe by the Chrome DevTools protocol: nothing but the standard library."""
import base64
import io
import itertools
import json
import os
import select
import shutil
import subprocess
import time

from PIL import Image

# Software rendering of WebGL, as there is no graphics card; one renderer as root in a container has no sandbox.
FLAGS = ["--headless=new", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
         "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--mute-audio", "--force-device-scale-factor=1",
         "--password-store=basic", "--remote-debugging-pipe"]


def find_chromium():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if shutil.which(name):
            return shutil.which(name)
    return None


class Browser:
    """One page. `messages` holds what its console said, `responses` (status, type, URL) of what it asked for."""

    def __init__(self, folder, width=1280, height=800):
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        self._ids = itertools.count(1)
        self._buffer = b""
        self._session = None
        self.messages = []
        self.requests = []
        self.responses = []
        self.failures = []
        self._log = open(folder / "chromium.log", "wb")

        def hand_over():
            # To the descriptors that the protocol is spoken on, by way of high ones: they may overlap.
            reader, writer = os.dup2(to_browser, 100), os.dup2(from_browser, 101)
            os.dup2(reader, 3)
            os.dup2(writer, 4)

        self.process = subprocess.Popen(
            [find_chromium(), *FLAGS, f"--user-data-dir={folder}/profile", f"--window-size={width},{height}"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, close_fds=False, preexec_fn=hand_over,
            start_new_session=True)
        os.close(to_browser)
        os.close(from_browser)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def close(self):
        try:
            self._session = None
            self.call("Browser.close")
        except (OSError, EOFError, RuntimeError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.process.wait(60)
        os.close(self._in)
        os.close(self._out)
        self._log.close()

    # --- the protocol: JSON, each message ended by a NUL ---

    def _receive(self, timeout):
        deadline = time.monotonic() + timeout
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], max(0, deadline - time.monotonic()))[0]:
                return None
            piece = os.read(self._in, 1 << 20)
            if not piece:
                raise EOFError("the browser has ended")
            self._buffer += piece
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def _note(self, message):
        what, about = message.get("method"), message.get("params", {})
        if what == "Runtime.consoleAPICalled":
            text = " ".join(str(a.get("value", a.get("description", ""))) for a in about["args"])
            self.messages.append((about["type"], text))
        elif what == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.messages.append(("exception", details.get("exception", {}).get("description") or details["text"]))
        elif what == "Log.entryAdded":
            self.messages.append((about["entry"]["level"], about["entry"]["text"] + " " + about["entry"].get("url", "")))
        elif what == "Network.requestWillBeSent":
            self.requests.append((about["request"]["method"], about["request"]["url"]))
        elif what == "Network.responseReceived":
            answer = about["response"]
            self.responses.append((answer["status"], answer["mimeType"], answer["url"]))
        elif what == "Network.loadingFailed":
            self.failures.append(about)

    def call(self, method, timeout=60, **params):
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._receive(timeout)) is not None:
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)
        raise TimeoutError(method)

    # --- what a test does ---

    def open(self, url):
        del self.messages[:], self.requests[:], self.responses[:], self.failures[:]
        self.call("Page.navigate", url=url)

    def evaluate(self, expression):
        """The value of a JavaScript expression, awaited when it is a promise."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description"))
        return answer["result"].get("value")

    def wait(self, expression, timeout=60):
        """Until the expression is true; its value."""
        deadline = time.monotonic() + timeout
        value = None
        while time.monotonic() < deadline:
            try:
                value = self.evaluate(expression)
            except RuntimeError:  # the page is not there yet
                value = None
            if value:
                return value
            time.sleep(0.1)
        raise TimeoutError(f"not within {timeout} s: {expression}\n{self.story()}")

    def wait_text(self, text, timeout=60):
        return self.wait(f"document.body.innerText.includes({json.dumps(text)})", timeout)

    def screenshot(self, path=None):
        png = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path:
            path.write_bytes(png)
        return Image.open(io.BytesIO(png)).convert("RGB")

    def mouse(self, kind, x, y, button="left"):
        held = 0 if kind == "mouseReleased" or button == "none" else 1
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=held, clickCount=1)

    def click(self, x, y):
        self.mouse("mouseMoved", x, y, "none")
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def drag(self, start, end, steps=10):
        self.mouse("mouseMoved", *start, "none")
        self.mouse("mousePressed", *start)
        for step in range(1, steps + 1):
            self.mouse("mouseMoved", *(a + (b - a) * step / steps for a, b in zip(start, end)))
        self.mouse("mouseReleased", *end)

    def centre_of(self, expression):
        """Of the element that the expression gives."""
        return self.evaluate(f"(e => {{ const r = e.getBoundingClientRect();"
                             f" return [r.x + r.width / 2, r.y + r.height / 2]; }})({expression})")

    def click_on(self, expression):
        self.wait(f"!!({expression})")
        self.click(*self.centre_of(expression))

    def type(self, text):
        self.call("Input.insertText", text=text)

    def story(self):
        bad = [r for r in self.responses if r[0] >= 400]
        said = [m for m in self.messages if m[0] in ("error", "exception", "warning")]
        return f"answers: {bad[-10:]}\nfailures: {self.failures[-5:]}\nconsole: {said[-15:]}\nrequests: {self.requests[-12:]}"
