"""PKI PORT WHAT...: asks https://localhost:PORT/metrics as each of these, and prints what came of it.

NAME        with the certificate of the folder PKI/NAME, by TLS 1.3 and by TLS 1.2; `-`: with none
plain       without TLS
endless     a message of a handshake that never ends: how much of it is read
crowd       many begin a handshake and go on a byte at a time: whether others are answered meanwhile
"""
import socket
import ssl
import sys
import threading
import time

pki, port = sys.argv[1], int(sys.argv[2])
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def answer(connection):
    connection.sendall(REQUEST)
    text = b""
    while True:
        more = connection.recv(65536)
        if not more:
            break
        text += more
    if not text:
        return "refused"
    status = text.split()[1].decode()
    return status if status != "200" or b"nbdcrypt_build_info" in text else "what is that?"


def context_of(name, version):
    context = ssl.create_default_context(cafile=f"{pki}/client/ca-cert.pem")
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    if name != "-":
        context.load_cert_chain(f"{pki}/{name}/client-cert.pem", f"{pki}/{name}/client-key.pem")
    return context


def ask(name, version):
    try:
        with socket.create_connection(("127.0.0.1", port), 30) as raw:
            with context_of(name, version).wrap_socket(raw, server_hostname="localhost") as connection:
                return answer(connection)
    except (ssl.SSLError, ConnectionError):
        return "refused"


def both(name):
    one, other = ask(name, ssl.TLSVersion.TLSv1_3), ask(name, ssl.TLSVersion.TLSv1_2)
    return one if one == other else f"{one} and {other}"


def plain():
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        try:
            return answer(connection)
        except ConnectionError:
            return "refused"


def endless():
    sent = 0
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        try:
            connection.sendall(bytes([22, 3, 1]) + (4096).to_bytes(2, "big") + bytes([1, 0xff, 0xff, 0xff]) + bytes(4092))
            while sent < 8 << 20:
                connection.sendall(bytes([22, 3, 1]) + (4096).to_bytes(2, "big") + bytes(4096))
                sent += 4096
        except ConnectionError:
            pass
    return "all of it" if sent >= 8 << 20 else "refused"


def crowd():
    """Each of them has its ten seconds, however it spends them."""
    stop = threading.Event()

    def begin():
        while not stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port), 30) as connection:
                    connection.sendall(b"\x16\x03\x01\x02")
                    for _ in range(100):
                        if stop.wait(0.3):
                            return
                        connection.sendall(b"\x00")
            except OSError:
                stop.wait(0.05)

    many = [threading.Thread(target=begin) for _ in range(12)]
    for one in many:
        one.start()
    time.sleep(1)
    end, answers = time.monotonic() + 60, 0
    while answers < 3 and time.monotonic() < end:
        answers += ask("client", ssl.TLSVersion.TLSv1_3) == "200"
    stop.set()
    for one in many:
        one.join()
    return "200" if answers == 3 else "shut out"


special = {"plain": plain, "endless": endless, "crowd": crowd}
for what in sys.argv[3:]:
    print(f"{what}: {special[what]() if what in special else both(what)}")
