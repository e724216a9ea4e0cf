"""Counts the lines that the plugin of test-plugin-is-asked-for-holes-each-time.sh writes to FOLDER/asked."""
import os
import sys

from nbd_client import *

uri, folder = sys.argv[1:]


def asked():
    path = folder + "/asked"
    return len(open(path).readlines()) if os.path.exists(path) else 0


def flags_at(client, part):
    return {flags for _, flags in client.extents(part << 16, 1 << 16)}


with Client(uri) as client:
    for part in range(8):
        equal("flags of a hole", flags_at(client, part), {3})
        equal("questions", asked(), part + 1)
    for part in range(8):
        client.read(part << 16, 4096)
        client.write(part << 16, b"x" * 4096)
    equal("questions after reads and writes", asked(), 8)
    open(folder + "/data", "w").close()
    equal("flags of data", flags_at(client, 0), {0})
    equal("questions", asked(), 9)
