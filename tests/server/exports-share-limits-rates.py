"""What clients of two exports get together, and the part of the first one: exports-share-limits-rates.py SOCKET SECONDS
FIGURE NAME NAME, of the figures `requests` or `read_bytes`."""

import sys
import time

from varlink_client import Connection

path, seconds, figure, *names = sys.argv[1:]
client = Connection(path)


def look():
    counts = {}
    began = time.monotonic()
    for reply in client.list("ListFigures"):
        counts[reply["figures"]["name"]] = reply["figures"][figure]
    return (began + time.monotonic()) / 2, [counts[name] for name in names]


began, before = look()
time.sleep(float(seconds))
ended, after = look()
rates = [(late - early) / (ended - began) for early, late in zip(before, after)]
print(sum(rates), rates[0] / max(sum(rates), 1e-9))
