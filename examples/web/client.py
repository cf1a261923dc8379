"""Start the server on a free port, and ask it a few things. Run with: scriptling client.py"""

import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from websockets.sync.client import connect

setup = str(Path(__file__).with_name("setup.py"))
server = subprocess.Popen(["scriptling", "--server", "127.0.0.1:0", setup], stderr=subprocess.PIPE, text=True)


def fetch(path, body=None):
    try:
        with urllib.request.urlopen(url + path, body, timeout=20) as answer:
            return answer.status, answer.read().decode().strip()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode().strip()


try:
    url = next(found[1] for line in server.stderr if (found := re.search(r" at (http://\S+)", line)))
    print(*fetch("/hello/Ada?greeting=Good+day"))
    print(*fetch("/words", b"every word counts"))
    print(*fetch("/"))
    print(*fetch("/nowhere"))
    with connect(url.replace("http", "ws", 1) + "/shout") as client:
        client.send("quietly")
        print(client.recv())
finally:
    server.terminate()
    server.communicate()
