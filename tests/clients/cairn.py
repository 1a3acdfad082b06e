"""Starts, stops and kills the program under test."""

import os
import queue
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

# Long enough for a debug build on a loaded machine; nothing waits this long when all is well.
START_SECONDS = 60
STOP_SECONDS = 30


def program():
    """The cairn program, from CAIRN_BIN."""
    path = os.environ.get("CAIRN_BIN")
    if not path:
        raise RuntimeError("CAIRN_BIN is not set: it names the built `cairn` program that these tests run.")
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"CAIRN_BIN names {path}, which is not a program. Build it: cargo build -p cairn-cli")
    return path


class NotServing(Exception):
    """`cairn serve` ended before it was ready."""

    def __init__(self, code, output):
        super().__init__(f"cairn serve ended with {code} before it was ready:\n{output}")
        self.code = code
        self.output = output


class Cairn:
    """`cairn serve` on a store, from being ready to its end.

    `prefix` is put before the command line, to run it in another namespace; `more` after it.
    """

    def __init__(self, store, port=0, prefix=(), wait=True, more=()):
        self.store = Path(store)
        self.database = self.store / "mlflow.db"
        argv = [*prefix, program(), "serve", "--store", str(store), "--port", str(port), *more]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        self.lines = []
        self._arrived = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self._wait_for_url() if wait else None

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            self._arrived.put(line)
        self._arrived.put(None)

    def _wait_for_url(self):
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                line = self._arrived.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                self.process.kill()
                raise AssertionError(f"cairn serve printed no address within {START_SECONDS} s:\n{self.output}") from None
            if line is None:
                raise NotServing(self.process.wait(), self.output)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                return found.group()

    @property
    def output(self):
        return "".join(self.lines)

    def wait(self):
        """Waits for the end that the program comes to by itself; the exit code."""
        code = self.process.wait(START_SECONDS)
        self._reader.join(5)
        return code

    def stop(self):
        """Asks it to end, as a service manager would; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"cairn serve did not end within {STOP_SECONDS} s of SIGTERM:\n{self.output}") from None
        self._reader.join(5)
        return code

    def kill(self):
        """SIGKILL: no chance to tidy up."""
        self.process.kill()
        self.process.wait()
        self._reader.join(5)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            code = self.stop()
            # A failing test has its own message.
            assert kind or code == 0, f"cairn serve ended with {code}:\n{self.output}"
