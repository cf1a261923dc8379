"""Tasks run in processes of their own; queues and counters are shared by name; sandboxes keep code apart."""

import scriptling.runtime as runtime
import scriptling.runtime.sandbox as sandbox
import scriptling.runtime.sync as sync


def length(text):
    """Return how many words a text has."""
    return len(text.split())


def longest(texts):
    """Count in as many tasks as there are texts, and wait for all of them."""
    promises = [runtime.background("length", "length", text) for text in texts]
    return max(promise.get(timeout=30) for promise in promises)


def count(texts):
    """Hand texts to a task and return at once; the task sends what it finds to a queue."""
    runtime.background("count", "count_all", texts)


def count_all(texts):
    """Count one text after the other: this is the task."""
    for text in texts:
        sync.Atomic("words").add(length(text))
        sync.Queue("counted").put(text)


def counted():
    """Wait until a text has been counted; return it, and how many words there were so far."""
    return [sync.Queue("counted").get(timeout=30), sync.Atomic("words").get()]


def evaluate(code):
    """Run code that nobody has read in a process of its own, for five seconds and 256 MiB at the most."""
    with sandbox.create(timeout=5, memory=256) as box:
        box.exec(code)
        return box.get("result") if box.exit_code() == 0 else box.error().splitlines()[-1]
