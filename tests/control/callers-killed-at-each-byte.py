"""A caller of AddExport goes at each byte of its call, with the descriptors that go along: SOCKET IMAGE."""

import json
import re
import socket
import sys

from nbd_client import equal, wait_for
from varlink_client import Connection

path, image = sys.argv[1:]
client = Connection(path)
client.call("Status")


def descriptors():
    """By the server's own count: only root may look into one that holds secrets."""
    text = "".join(one["text"] for one in client.list("Metrics"))
    return int(re.search(r"^process_open_fds (\d+)", text, re.MULTILINE)[1])


def names():
    return [one["export"]["name"] for one in client.list("ListExports")]


parameters = {"name": "killed", "image": image, "options": {"raw": "yes"}, "image_fd": 0}
call = json.dumps({"method": "org.nbdcrypt.AddExport", "parameters": parameters}).encode() + b"\0"
before = descriptors()
with open(image, "r+b") as file:
    for count in range(1, len(call) + 1):
        caller = Connection(path)
        caller.send_with_fds(call[:1], [file.fileno()])
        if count > 1:
            caller.socket.sendall(call[1:count])
        caller.socket.close()
        if count < len(call):
            assert "killed" not in names(), count


# The last one was whole: it may have been made, and what was made is whole, too.
def is_over():
    if "killed" in names():
        client.call("RemoveExport", {"name": "killed"})
    return descriptors() <= before


wait_for(is_over, "descriptors of callers that are gone are closed")
equal("exports", names(), ["other"])
