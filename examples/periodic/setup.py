"""A plugin that works beside its calls: it sums up what they leave in kv, and keeps the sum for its next life.

The first argument names a file. What it says is where this life begins; however the server ends, the clean-up at the end
of this script writes it anew. See it work with: scriptling client.py
"""

import json
import sys
import time
from pathlib import Path

import scriptling.runtime as runtime
import scriptling.runtime.kv as kv
import scriptling.runtime.plugin as plugin_srv

PERIOD = 0.05  # seconds
kept = Path(sys.argv[1])


def sum_up():
    """Add up what has come since the last time, so that handlers need not."""
    new = {key: kv.default.get(key) for key in kv.default.keys("sale:*")}
    for key in new:
        kv.default.delete(key)
    if new:
        kv.default.incr("sales", len(new))
        kv.default.incr("total", sum(new.values()))


plugin_srv.serve("periodic", "1.0")
plugin_srv.register_function("sell", "handlers.sell")
plugin_srv.register_function("report", "handlers.report")

if kept.exists():
    for key, value in json.loads(kept.read_text()).items():
        kv.default.set(key, value)

runtime.start_server(wait=False)
due = time.monotonic()
while runtime.server_running():
    if time.monotonic() >= due:
        due += PERIOD
        sum_up()
    yield_now()  # a Scriptling builtin: waits a moment and costs nothing

# All calls have been answered by now, so that nothing is missing.
sum_up()
kept.write_text(json.dumps({key: kv.default.get(key, 0) for key in ("sales", "total")}))
print(f"periodic: {kv.default.get('sales', 0)} sales kept", file=sys.stderr)
