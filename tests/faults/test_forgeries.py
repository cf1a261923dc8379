"""Handlers that write into what their worker shares with the front-end: it costs their own call, and nobody else's."""

from __future__ import annotations

import textwrap

import pytest

from tests.faults.figures import Figures
from tests.wire.server import Serve, Server

HANDLERS = """
import gc, os, time
from workers import frames
from workers.children.worker import Post
def add(a, b): return a + b
def _post(): return [each for each in gc.get_objects() if type(each) is Post][0]
def _journal():
    folder = "/proc/self/fd/"
    names = {name: os.readlink(folder + name) for name in os.listdir(folder) if os.path.exists(folder + name)}
    return [int(name) for name, target in names.items() if "journal" in target][0]
def _claims(): return os.open(f"/proc/self/fd/{_post().claims}", os.O_WRONLY | os.O_NONBLOCK)
def _fill():
    pipe = _claims()
    try:
        while True: os.write(pipe, b"x" * 8)
    except BlockingIOError: pass
def _words(**words):
    for name, value in words.items(): _post().journal._words[int(name[1:])] = value
def _send(*sent):
    for frame in sent: _post().line.send(frame if type(frame) is bytes else frames.encode(frame))
MOST = 2**64 - 1
"""
STAYS = "time.sleep(30)"
ADD = "_post().journal.add(frames.encode(frames.Reply(1, False, b'1', 1)))"
FATAL = {
    "cuts off the journal": "os.ftruncate(_journal(), 0)",
    "makes the journal longer": "os.ftruncate(_journal(), 1 << 40)",
    "writes one byte among the claims": f"os.write(_claims(), b'x'); {STAYS}",
    "fills the pipe of claims": f"_fill(); {STAYS}",
    "says that it runs what there is not": f"_words(w0=MOST, w1=MOST); {STAYS}",
    "says that it has just begun, for ever": "\nwhile True: _words(w1=time.monotonic_ns())",
    "says that it began in the future": f"_words(w1=MOST); {STAYS}",
    "sends no frame": f"_send(b'no frame'); {STAYS}",
    "sends replies that are far ahead": f"_send(frames.Replies(1 << 63, [frames.Reply(1, False, b'1', 1)])); {STAYS}",
    "says that its replies are far ahead": f"{ADD}; _words(w2=MOST - 1); {STAYS}",
    "tells the end of a task": f"_send(frames.Ran(frames.Outcome(False, b'1'))); {STAYS}",
}
HARMLESS = {
    "fills the pipe of claims, and returns": "_fill()",
    "writes one byte among the claims, and returns": "os.write(_claims(), b'x')",
    "writes a claim that nobody has made": "os.write(_claims(), MOST.to_bytes(8, 'little'))",
    "says that there are replies of long ago and far ahead": "_words(w2=MOST, w3=MOST); time.sleep(0.3)",
    "says that its replies fill all of the memory": "_words(w2=0, w3=MOST); time.sleep(0.3)",
    "says that answers have arrived that never were": "_words(w5=MOST)",
    "counts twenty thousand odd things": "_send(frames.Report(operations={str(n): -1 for n in range(20_000)}))",
}


def serve_forger(serve: Serve, forgery: str, workers: int) -> Server:
    body = textwrap.indent(forgery, "    ")
    return serve(f"{HANDLERS}\ndef forge():\n{body}\n", "", "--workers", f"{workers}", "--call-timeout", "2")


def serves_others(server: Server, times: int) -> int:
    """Return how many of so many calls, all sent at once, are answered as they should be."""
    ids = server.begin_many([("add", [number, 1]) for number in range(times)])
    return sum(server.value(id) == number + 1 for number, id in enumerate(ids))


@pytest.mark.parametrize("name", FATAL)
def test_forgery_costs_the_call_that_did_it(serve: Serve, figures: Figures, name: str) -> None:
    server = serve_forger(serve, FATAL[name], workers=2)
    assert serves_others(server, 10) == 10
    forger = server.begin("forge")
    assert serves_others(server, 50) == 50
    assert server.failure(forger).code < 0
    assert serves_others(server, 50) == 50
    server.stop()


@pytest.mark.parametrize("name", HARMLESS)
def test_forgery_that_stays_undone_when_its_call_has_returned(serve: Serve, name: str) -> None:
    """What it has left in its worker makes that useless, and calls go elsewhere until it is replaced."""
    server = serve_forger(serve, HARMLESS[name], workers=1)
    server.answer(server.begin("forge"))
    assert [server.call("add", number, 1) for number in range(20)] == list(range(1, 21))
    assert serves_others(server, 100) == 100
    server.stop()
