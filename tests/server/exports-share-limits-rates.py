"""What clients of two exports get together, at least, about and the part of the first one of it: exports-share-limits-rates.py
SOCKET SECONDS FIGURE NAME NAME, of the figures `requests` or `read_bytes`."""

import sys
import time

from varlink_client import Connection

path, seconds, figure, *names = sys.argv[1:]
client = Connection(path)


def look():
    """A look takes time, and what it counts is of some moment of it."""
    began = time.monotonic()
    replies = client.list("ListFigures")
    ended = time.monotonic()
    counts = {reply["figures"]["name"]: reply["figures"][figure] for reply in replies}
    return began, ended, [counts[name] for name in names]


first_began, first_ended, before = look()
time.sleep(float(seconds))
last_began, last_ended, after = look()
grown = [late - early for early, late in zip(before, after)]
about = (last_began + last_ended - first_began - first_ended) / 2
print(sum(grown) / (last_ended - first_began), sum(grown) / about, grown[0] / max(sum(grown), 1))
