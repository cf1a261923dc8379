"""The workloads, in the order in which they run and are reported."""

from __future__ import annotations

from benchmarks.model import Workload
from benchmarks.workloads import add, callbacks, client, cpu, http, kv, mix, objects, payloads, processes, stores, where

ALL: tuple[Workload, ...] = (
    add.WORKLOAD,
    add.BATCH,
    objects.METHODS,
    objects.LIVES,
    stores.WORKLOAD,
    callbacks.WORKLOAD,
    payloads.WORKLOAD,
    cpu.WORKLOAD,
    mix.WORKLOAD,
    kv.WORKLOAD,
    http.WORKLOAD,
    client.WORKLOAD,
    processes.STARTUP,
    processes.MEMORY,
    where.WORKLOAD,
    add.RAY,
)
