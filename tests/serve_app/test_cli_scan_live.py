"""How a run under way is shown: words, plain lines, JSON lines; how a thread is stopped by a signal."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import pytest

from serve_app.cli import here
from serve_app.cli.here import Interrupted, run_stoppable
from serve_app.cli.live import JsonLines, PlainLines, duration, failures, pace


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (134, "2 min 14 s"), (11_100, "3 h 5 min"), (187_200, "2 d 4 h")],
)
def test_durations_in_words(seconds: float, words: str):
    assert duration(seconds) == words


def test_pace_shows_what_is_known():
    assert pace({"rate_per_s": 1.44, "eta_s": 134, "done": 1, "total": 200}) == "1.4/s, 2 min 14 s left"
    assert pace({"rate_per_s": 0.05}) == "3.0/min"
    assert pace({"rate_per_s": 2.0, "eta_s": 0.0, "done": 9, "total": 9}) == "2.0/s"
    assert pace({}) == pace({"rate_per_s": 0.0, "eta_s": None}) == ""


def test_failures_are_counted_by_reason_the_most_frequent_first():
    assert failures({"media_empty": 1, "media_corrupt": 2}) == "3 failed (media_corrupt 2, media_empty 1)"
    assert failures({}) == failures(None) == ""


def test_plain_lines_come_now_and_then_and_at_the_end(capsys):
    lines = PlainLines("Scanning")
    for done in range(4):
        lines.show({"done": done, "total": 3, "failed": {"media_empty": 1}})
    shown = capsys.readouterr().err.splitlines()
    assert shown == [f"Scanning: {n} of 3, 1 failed (media_empty 1)" for n in (0, 3)]


def test_json_lines_hold_what_was_reported_and_do_not_repeat_themselves(capsys):
    lines = JsonLines()
    lines.show({"done": 1, "total": None, "faces": 7})
    lines.show({"done": 1, "total": None, "faces": 7})
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"event": "progress", "done": 1, "total": None, "faces": 7}
    ]


def test_work_returns_its_result_and_raises_its_error():
    assert run_stoppable(lambda stop: stop()) is False
    with pytest.raises(ZeroDivisionError):
        run_stoppable(lambda _: 1 / 0)


def test_a_signal_asks_the_work_to_stop():
    stopped = []
    with pytest.raises(Interrupted):
        run_stoppable(lambda stop: stopped.append(interrupted_until_stopped(stop)))
    assert stopped == [True]


def test_work_that_does_not_stop_is_left_behind(monkeypatch):
    monkeypatch.setattr(here, "GRACE_S", 0.2)
    release = threading.Event()
    with pytest.raises(Interrupted):
        run_stoppable(lambda _: interrupt() or release.wait(30))
    release.set()


def interrupt() -> None:
    """What Ctrl-C does; by the work itself, for before it begins the signal would end the tests."""
    os.kill(os.getpid(), signal.SIGINT)


def interrupted_until_stopped(stop) -> bool:
    interrupt()
    end = time.monotonic() + 10
    while not stop() and time.monotonic() < end:
        time.sleep(0.01)
    return stop()
