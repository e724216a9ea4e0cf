"""Takes the place of the journal for a server: journal-gets-fields.py OUTPUT STOP STDERR COMMAND...

Each datagram becomes a line of OUTPUT. While the file STOP is there nothing is read; when STOP.end is there it ends.
"""

import os
import socket
import subprocess
import sys
import time

output, stop, errors = sys.argv[1:4]
PATH = "/run/systemd/journal/socket"

journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
journal.bind(PATH)
journal.settimeout(0.05)
with open(errors, "wb") as stream:
    status = os.fstat(stream.fileno())
    environment = dict(os.environ, JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}")
    server = subprocess.Popen(sys.argv[4:], stderr=stream, env=environment)

with open(output, "w", encoding="utf-8") as lines:
    while server.poll() is None and not os.path.exists(stop + ".end"):
        if os.path.exists(stop):
            open(stop + ".seen", "w", encoding="utf-8").close()
            time.sleep(0.05)
            continue
        try:
            datagram = journal.recv(1 << 20)
        except socket.timeout:
            continue
        lines.write("|".join(datagram.decode().split("\n")) + "\n")
        lines.flush()
os.unlink(PATH)
journal.close()
if os.path.exists(stop + ".seen"):
    os.unlink(stop + ".seen")
sys.exit(server.wait())
