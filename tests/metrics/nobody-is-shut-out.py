"""SOCKET PORT: see the script of this name."""
import multiprocessing
import socket
import sys
import time

from metrics_text import get

path, port = sys.argv[1], int(sys.argv[2])
KINDS = (b"", b"GET /metr", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
CONNECTIONS = 400


def connect(address, number):
    if address == path:
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(5)
        one.connect(path)
        return one
    return socket.create_connection(("127.0.0.1", port), 5, (f"127.0.0.{1 + number % 3}", 0))


def occupy(address, came):
    """One user holds 400 connections, and opens one anew for the oldest, again and again."""
    held = []
    while True:
        try:
            one = connect(address, len(held))
            one.sendall(KINDS[came.value % len(KINDS)])
            held.append(one)
        except OSError:
            pass
        came.value += 1
        if len(held) > CONNECTIONS:
            held.pop(0).close()


def is_answered(address, name):
    """Within some tries: a connect() that does not wait fails where the line is full, and who is slow to ask loses his place."""
    until = time.monotonic() + 20
    while True:
        try:
            return get(address, name)[0] == 200
        except (BlockingIOError, IndexError):
            assert time.monotonic() < until, (address, name)


came = [multiprocessing.Value("q", 0) for _ in range(2)]
others = [multiprocessing.Process(target=occupy, args=row, daemon=True) for row in zip((path, port), came)]
for other in others:
    other.start()
began = time.monotonic()
while min(count.value for count in came) < CONNECTIONS:
    assert time.monotonic() < began + 60, [count.value for count in came]
    time.sleep(0.05)
try:
    for i in range(40):
        for address in path, port:
            assert is_answered(address, "/healthz"), (address, i)
    assert is_answered(port, "/metrics")
finally:
    for other in others:
        other.kill()
        other.join()

# ---- who is silent goes soon ----
with socket.create_connection(("127.0.0.1", port)) as one:
    began = time.monotonic()
    one.settimeout(30)
    assert one.recv(1) == b"" and 2.5 < time.monotonic() - began < 8, time.monotonic() - began
