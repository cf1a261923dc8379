import tempfile
import time

import scriptling.runtime.kv as kv

MANY = 1_000_000


def _median(operation, times):
    clock, took = time.perf_counter, []
    for number in range(times):
        began = clock()
        operation(number)
        took.append(clock() - began)
    return sorted(took)[times // 2]


def kv_set(times):
    return _median(lambda number: kv.default.set("bench", number), times)


def kv_get(times):
    kv.default.set("bench", 1)
    return _median(lambda number: kv.default.get("bench"), times)


def kv_incr(times):
    return _median(lambda number: kv.default.incr("count"), times)


def kv_update(times):
    return _median(lambda number: kv.default.update("updated", lambda value: value + 1, 0), times)


def kv_set_durable(times):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, kv.open(folder) as store:
        return _median(lambda number: store.set("bench", number), times)


def kv_get_among_many(times):
    store = kv.open(":memory:many")
    if not store.exists(f"key {MANY - 1}"):
        for number in range(MANY):
            store.set(f"key {number}", {"id": number, "name": "somebody"})
    return _median(lambda number: store.get(f"key {number * 7919 % MANY}"), times)
