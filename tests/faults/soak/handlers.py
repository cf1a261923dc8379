"""The plugin that is soaked; what damaged messages name is there as well."""

from __future__ import annotations

from tests.faults import test_fuzz
from tests.wire.server import SETUP, registrations

HANDLERS = (
    test_fuzz.HANDLERS
    + """
import ctypes, gc, os, signal, sys, time
import scriptling.runtime as runtime
import scriptling.runtime.kv as kv
import scriptling.runtime.sync as sync
def add(a, b): return a + b
def fail(text): raise ValueError(text)
def rest(seconds):
    time.sleep(seconds)
    return seconds
def hang(begun):
    begun()
    time.sleep(60)
def die(): os.kill(os.getpid(), signal.SIGKILL); time.sleep(60)
def segfault(): ctypes.string_at(0)
def pid(): return os.getpid()
def leak(): ctypes.pythonapi.Py_IncRef(ctypes.py_object(b"x" * (1 << 20)))
def say(text):
    print(text)
    os.write(1, f"{text}\\n".encode())
def count(): return kv.default.incr("count")
def counted(): return kv.default.get("count", 0)
def note(key, text):
    kv.default.set(key, [key, text])
    return kv.default.get(key)[0]
def square(x): return x * x
def task(x): return runtime.background("square", "square", x).get(timeout=60)
def hand_on(x):
    sync.Queue("handed on").put(x)
    return sync.Queue("handed on").get(timeout=30)
def finish(group): sync.WaitGroup(group).done()
def gather(x):
    group = f"group {os.getpid()} {time.monotonic_ns()}"
    sync.WaitGroup(group).add(1)
    runtime.background("finish", "finish", group)
    sync.WaitGroup(group).wait(timeout=30)
    return x
def large(size): return "x" * size
def through(f): return f()
def use(thing, x): return thing.get() + x
class Thing:
    def __init__(self, value): self.value = value
    def get(self): return self.value
    def add(self, x):
        self.value += x
        return self.value
    def fail(self, text): raise ValueError(text)
    def ask(self, f): return f()
    def pid(self): return os.getpid()
    def living(self): return sum(type(each) is Thing for each in gc.get_objects())
"""
)

SETUP_PID = "setup.pid"  # a file beside the setup script
SETUP_SCRIPT = f"""{SETUP}{registrations(HANDLERS)}
import os, pathlib
pathlib.Path(__file__).with_name("{SETUP_PID}").write_text(str(os.getpid()))
"""
