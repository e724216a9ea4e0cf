import fcntl
import os
import signal
import subprocess
import sys
import time

import nbd_client as nbd
from nbd_client import equal

program, image, path, late_log = sys.argv[1:]
uri = "nbd+unix:///?socket=" + path
CLIENTS = 400  # two messages each: more than the queue holds


def start():
    """A server whose log is a pipe that is full."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    server = subprocess.Popen([program, "serve", "--verbose", "--raw", "--unix", path, image],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=writer)
    server.stdout.readline()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"." * 512)
    except BlockingIOError:
        pass
    os.set_blocking(writer, True)  # it is the server's as well
    os.close(writer)
    return server, reader


def clients_come_and_go():
    slowest = 0
    staying = nbd.Client(uri)
    for _ in range(CLIENTS):
        before = time.monotonic()
        client = nbd.Client(uri)
        client.read(0, 4096)
        client.disconnect()
        staying.read(0, 512)
        slowest = max(slowest, time.monotonic() - before)
    assert slowest < 20, f"a client took {slowest} s"
    staying.disconnect()


def ends(server):
    server.send_signal(signal.SIGTERM)
    equal("exit status", server.wait(60), 0)


server, reader = start()
clients_come_and_go()
ends(server)  # nobody has read yet
os.close(reader)

server, reader = start()
clients_come_and_go()
with open(late_log, "wb") as log:
    while data := os.read(reader, 65536):
        log.write(data)
        if b"messages were lost here" in data and server.poll() is None:
            server.send_signal(signal.SIGTERM)
equal("exit status", server.wait(60), 0)
