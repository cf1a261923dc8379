"""The plugin that is soaked; what damaged messages name is there as well."""

from __future__ import annotations

from tests.faults import test_fuzz

HANDLERS = (
    test_fuzz.HANDLERS
    + """
import ctypes, os, signal, sys, time
import scriptling.runtime as runtime
import scriptling.runtime.kv as kv
def add(a, b): return a + b
def fail(text): raise ValueError(text)
def rest(seconds):
    time.sleep(seconds)
    return seconds
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
"""
)
