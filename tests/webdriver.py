"""A browser without a screen, driven by ChromeDriver over plain HTTP (W3C WebDriver)."""

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {
    **{"Enter": "\ue007", "Escape": "\ue00c", "Left": "\ue012", "Up": "\ue013", "Right": "\ue014"},
    **{"Down": "\ue015", "Delete": "\ue017", "Shift": "\ue008", "Control": "\ue009", "Space": " "},
    **{"End": "\ue010", "Home": "\ue011"},
}


class Browser:
    """One window of one session."""

    def __init__(self, port: int, downloads: Path, profile: Path) -> None:
        self._root = f"http://127.0.0.1:{port}"
        flags = [*_FLAGS, f"--user-data-dir={profile}"]
        preferences = {"download.default_directory": str(downloads)}
        options = {"binary": CHROMIUM, "args": flags, "prefs": preferences}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
            "unhandledPromptBehavior": "accept",
        }
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._root += f"/session/{session['sessionId']}"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._root + path, content, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from error

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of an expression, or of a script with `return`."""
        text = script if "return " in script else f"return {script}"
        return self._call("POST", "/execute/sync", {"script": text, "args": list(arguments)})

    def devtools(self, command: str, **parameters: Any) -> Any:
        body = {"cmd": command, "params": parameters}
        return self._call("POST", "/goog/cdp/execute", body)

    def look(self, width: int, height: int, scheme: str = "light") -> None:
        """Set the size of the page and whether it is dark."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def keys(self, *keys: str, held: Sequence[str] = ()) -> None:
        """Press keys: names in `KEYS`, or texts that are typed."""
        strokes = [c for key in keys for c in ([KEYS[key]] if key in KEYS else key)]
        down = [{"type": "keyDown", "value": KEYS[key]} for key in held]
        pressed = [{"type": kind, "value": c} for c in strokes for kind in ("keyDown", "keyUp")]
        up = [{"type": "keyUp", "value": KEYS[key]} for key in held]
        source = {"type": "key", "id": "keys", "actions": [*down, *pressed, *up]}
        self._call("POST", "/actions", {"actions": [source]})

    def click(self, selector: str, held: str | None = None) -> None:
        """Click with the mouse, with a key held down."""
        element = self._call("POST", "/element", {"using": "css selector", "value": selector})
        move = {"type": "pointerMove", "origin": element, "x": 0, "y": 0, "duration": 0}
        mouse = [move, *({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up"))]
        pause = {"type": "pause", "duration": 0}
        keys = [pause] * len(mouse)
        if held:
            keys = [{"type": "keyDown", "value": KEYS[held]}, *keys]
            mouse = [pause, *mouse]
            keys.append({"type": "keyUp", "value": KEYS[held]})
        sources = [
            {"type": "key", "id": "keys", "actions": keys},
            {"type": "pointer", "id": "mouse", "actions": mouse},
        ]
        self._call("POST", "/actions", {"actions": sources})

    def draw(self, *places: Sequence[float], held: str | None = None) -> None:
        """Press the mouse at the first place (x, y) of the window, move along, release it."""
        moves = [
            {"type": "pointerMove", "origin": "viewport", "x": round(x), "y": round(y)}
            for x, y in places
        ]
        down, up = ({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up"))
        pause = {"type": "pause", "duration": 0}
        mouse = [pause, moves[0], down, *moves[1:], up]
        key = [
            {"type": f"key{way}", "value": KEYS[held]} if held else pause for way in ("Down", "Up")
        ]
        keys = [key[0], *[pause] * (len(mouse) - 1), key[1]]
        pointer = {"type": "pointer", "id": "mouse", "actions": mouse}
        self._call(
            "POST",
            "/actions",
            {"actions": [{"type": "key", "id": "keys", "actions": keys}, pointer]},
        )

    def settle(self, expression: str, seconds: float = 10.0) -> None:
        """Wait until an expression is true in the page."""
        deadline = time.monotonic() + seconds
        while not self.run(expression):
            assert time.monotonic() < deadline, expression
            time.sleep(0.05)

    def download(self, selector: str, file: Path) -> None:
        """Click what saves a file, and wait until it is there."""
        self.devtools("Page.setDownloadBehavior", behavior="allow", downloadPath=str(file.parent))
        self.click(selector)
        deadline = time.monotonic() + 20
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)

    def fresh(self, url: str) -> None:
        """Open a page that keeps nothing from before."""
        self.open(url)
        self.run("localStorage.clear(); return 1")
        self.open(url)

    def choose_file(self, selector: str, file: Path) -> None:
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        self._call("POST", f"/element/{found[_ELEMENT]}/value", {"text": str(file)})

    def complaints(self) -> list[str]:
        """What stands on the console."""
        return [row["message"] for row in self._call("POST", "/se/log", {"type": "browser"})]

    def close(self) -> None:
        self._call("DELETE", "")


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """Yield a browser that downloads to `folder` / downloads."""
    (folder / "downloads").mkdir(parents=True, exist_ok=True)
    driver = subprocess.Popen(
        [str(DRIVER), "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert driver.stdout is not None
        port = None
        deadline = time.monotonic() + 60
        while port is None and time.monotonic() < deadline:
            line = driver.stdout.readline()
            if "started successfully on port" in line:
                port = int(line.rstrip(".\n").rpartition(" ")[2])
        assert port is not None, "ChromeDriver did not start"
        browser = Browser(port, folder / "downloads", folder / "profile")
        try:
            yield browser
        finally:
            browser.close()
    finally:
        driver.terminate()
        driver.wait()
