import time

import scriptling.runtime.kv as kv


def kv_set(times):
    began = time.perf_counter()
    for i in range(times):
        kv.default.set("bench", i)
    return (time.perf_counter() - began) / times


def kv_get(times):
    kv.default.set("bench", 1)
    began = time.perf_counter()
    for _ in range(times):
        kv.default.get("bench")
    return (time.perf_counter() - began) / times
