#!/usr/bin/env python3
"""A client that does nothing but TLS handshakes with an NBD server: so many connections at a time, each connects, says
STARTTLS, proves itself and goes away.  A program of its own, so that its CPU time and its priority are:

    handshakes.py SOCKET FOLDER-OF-CLIENT AT-A-TIME SECONDS        prints JSON
"""
import json
import os
import socket
import ssl
import sys
import threading
import time

if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position
from harness import tls  # noqa: E402
from harness.process import Failure  # noqa: E402


class Counter:
    def __init__(self, path, context, seconds):
        self.path, self.context = path, context
        self.deadline = time.monotonic() + seconds
        self.done = 0
        self.failure = None
        self.lock = threading.Lock()

    def run(self):
        while time.monotonic() < self.deadline and self.failure is None:
            try:
                self._shake_hands()
            except (OSError, Failure) as failure:
                self.failure = str(failure) or type(failure).__name__

    def _shake_hands(self):
        """The first byte that comes under TLS shows that the server is through with it as well, which under
        TLS 1.3 the client's end of the handshake does not."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(30)
            peer.connect(self.path)
            with tls.start(peer, self.context) as session:
                session.sendall(tls.LIST)
                if session.recv(1) == b"":
                    raise Failure("the server closed the connection behind the handshake")
        with self.lock:
            self.done += 1


def main():
    path, folder, at_a_time, seconds = sys.argv[1:]
    began_ns = time.monotonic_ns()
    counter = Counter(path, tls.context_of(folder), float(seconds))
    threads = [threading.Thread(target=counter.run) for _ in range(int(at_a_time))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if counter.failure is not None:
        sys.exit("handshake %d failed: %s" % (counter.done + 1, counter.failure))
    elapsed_ns = time.monotonic_ns() - began_ns
    print(json.dumps({"handshakes": counter.done, "elapsed_ns": elapsed_ns, "library": ssl.OPENSSL_VERSION}))


if __name__ == "__main__":
    main()
