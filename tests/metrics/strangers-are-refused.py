"""SOCKET PORT URI: see the script of this name."""
import json
import socket
import sys
import threading
import time

from metrics_text import Metrics, get, request

path, port, uri = sys.argv[1], int(sys.argv[2]), sys.argv[3]
PATHS = {
    "/": "text/html; charset=utf-8",
    "/metrics": "text/plain; version=0.0.4; charset=utf-8",
    "/status.json": "application/json",
    "/healthz": "text/plain; charset=utf-8",
}

# ---- what is there ----
for address in path, port:
    for name, kind in PATHS.items():
        status, headers, body = get(address, name)
        assert (status, headers["content-type"]) == (200, kind), (name, status, headers)
        assert headers["cache-control"] == "no-store" and headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'; "), headers
        assert "set-cookie" not in headers and "access-control-allow-origin" not in headers
        status, headers, empty = get(address, name, method="HEAD")
        assert (status, empty) == (200, "") and (name != "/" or int(headers["content-length"]) == len(body.encode()))
Metrics(get(path, "/metrics")[2])
status, headers, text = get(path, "/metrics", more="Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n")
assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0") and text.endswith("# EOF\n")
assert len(json.loads(get(path, "/status.json")[2])["exports"]) == 1
page = get(path, "/")[2]
assert len(page.encode()) <= 24 * 1024 and "http:" not in page.replace("http://www.w3.org/2000/svg", "") and "https:" not in page
assert get(path, "/metrics?x=y")[0] == 200

# ---- what is not ----
for name in "/metrics/", "//", "/status.html", "/../etc/passwd", "/%2e%2e/etc/passwd", "/metrics%20", "/favicon.ico":
    assert get(port, name)[0] == 404, name
for method in "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get":
    status, headers, _ = get(port, "/metrics", method=method)
    assert status in (405, 501) and (status == 501 or headers["allow"] == "GET, HEAD"), (method, status)
assert get(port, "/metrics", method="POST", more="Content-Length: 5\r\n")[0] == 405

# ---- by what name ----
for host in ("localhost", "LOCALHOST:9", f"127.0.0.1:{port}", "192.0.2.7", "[::1]", "[::1]:80", "nbd.example.org", "NBD.example.org:1"):
    assert get(port, "/healthz", host)[0] == 200, host
for host in ("evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", "127.1", "", "[::1", "[x]",
             "localhost:x", "localhost:80:80", "example.org", "nbd.example.org.", "2130706433", "a" * 300, "\xff"):
    assert get(port, "/healthz", host)[0] in (400, 421), host
    assert get(path, "/status.json", host)[0] in (400, 421), host
for version in b"1.0", b"1.1":
    assert request(port, b"GET /metrics HTTP/" + version + b"\r\n\r\n").split()[1] in (b"400", b"421"), version

# ---- how much ----
for data in (b"GET /" + b"a" * 70000, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20000,
             b"GET / HTTP/1.1\r\nX: " + b"y" * 70000, b"\0" * 70000, b"\r\n" * 9):
    assert not request(port, data + b"\r\n\r\n").startswith(b"HTTP/1.1 200"), data[:20]

# ---- how slowly: a byte a second keeps no place, and others are answered meanwhile ----
slow = []
for i in range(6):
    one = socket.create_connection(("127.0.0.1", port))
    one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
    slow.append(one)
began = time.monotonic()
ended = {}


def drip(one):
    try:
        while time.monotonic() - began < 40:
            one.sendall(b"y")
            one.settimeout(0.5)
            try:
                if not one.recv(100):
                    break
            except socket.timeout:
                pass
    except OSError:
        pass
    ended[one] = time.monotonic() - began


threads = [threading.Thread(target=drip, args=(one,)) for one in slow]
for thread in threads:
    thread.start()
while any(thread.is_alive() for thread in threads):
    assert get(path, "/healthz")[0] == 200
    time.sleep(0.3)
for thread in threads:
    thread.join()
assert all(8 < seconds < 20 for seconds in ended.values()), ended.values()
assert get(port, "/healthz")[0] == 200

# ---- a conversation of several requests ----
with socket.create_connection(("127.0.0.1", port)) as one:
    for _ in range(3):
        one.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = b""
        while b"answer.\n" not in got:
            got += one.recv(4096)
