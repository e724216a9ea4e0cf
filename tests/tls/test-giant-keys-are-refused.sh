#!/bin/bash
# Keys and certificates at the other end that would cost time, though nobody knows yet whose they are, are refused before
# anything is calculated with them, under TLS 1.3 and 1.2, by the server and by our client; one's own are refused at start.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires_python_module ssl

work=$(temp_dir)
cd "$work"

# server/ client/ as usual.  large-key/ large-exponent/ many-certificates/ large-certificate/ long-chain/: for both ends, by
# the same authority, and what is large in all-the-most/ is just allowed.
python - <<'PYTHON_END'
import os
from make_pki import CLIENT, SERVER, Authority, large_key, pem, write, x509

ca = Authority("test CA")
host = [x509.DNSName("localhost")]


def write_pair(folder, end, certificates, key):
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{end}-cert.pem", "wb") as out:
        out.write(b"".join(map(pem, certificates)))
    with open(os.open(f"{folder}/{end}-key.pem", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
        out.write(key)
    write(folder, ca_cert=ca.certificate)


for end, purpose in ("server", SERVER), ("client", CLIENT):
    certificate, key = ca.issue("ordinary", purpose, host)
    write_pair(end, end, [certificate], pem(key))
    write_pair("many-certificates", end, [certificate] * 17, pem(key))
    write_pair("long-chain", end, [certificate] * 200, pem(key))
    certificate, key = ca.issue("names", purpose, host + [x509.DNSName(f"{n:0>50}.example.org") for n in range(260)])
    write_pair("large-certificate", end, [certificate], pem(key))
    for folder, count, exponent in (("large-key", 20, 65537), ("large-exponent", 6, (1 << 66) + 3),
                                    ("all-the-most", 16, (1 << 63) + 29)):
        key, public_key = large_key(count, exponent)
        write_pair(folder, end, [ca.sign(folder, purpose, public_key, host)] + [ca.certificate] * 15, key)
PYTHON_END

# Of OpenSSL, which sends everything that it is given: each as a client of ours, and then as its server.
cat >peer.py <<'PYTHON_END'
import socket
import ssl
import struct
import sys
import nbd_client as nbd
from tls_client import TlsClient


def context(folder, end, version):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if end == "client" else ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = tls.maximum_version = getattr(ssl.TLSVersion, version)
    tls.load_verify_locations(f"{folder}/ca-cert.pem")
    tls.load_cert_chain(f"{folder}/{end}-cert.pem", f"{folder}/{end}-key.pem")
    return tls


def client(uri, folder, version):
    try:
        TlsClient(uri, context(folder, "client", version)).read(0, 512)
    except (ssl.SSLError, OSError, nbd.EndOfStream) as error:
        return str(error) or "closed"
    return "served"


def accept(ready):
    """A connection up to STARTTLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    with open(ready, "w") as out:
        out.write(f"{listener.getsockname()[1]}\n")
    connection, _ = listener.accept()
    connection.sendall(struct.pack(">QQH", nbd.MAGIC_INIT, nbd.MAGIC_OPTION, 3))
    connection.recv(4, socket.MSG_WAITALL)
    connection.recv(16, socket.MSG_WAITALL)
    connection.sendall(struct.pack(">QIII", nbd.MAGIC_OPTION_REPLY, nbd.OPT_STARTTLS, nbd.REP_ACK, 0))
    return connection


def server(ready, folder, version):
    try:
        context(folder, "server", version).wrap_socket(accept(ready), server_side=True).recv(1)
    except OSError:
        pass


def group_server(ready, prime_bytes):
    """TLS 1.2 with a pre-shared key, where the server chooses a group for Diffie-Hellman."""
    def message(kind, body):
        return bytes([kind]) + len(body).to_bytes(3, "big") + body

    connection = accept(ready)
    connection.recv(65536)
    number = b"\xff" * int(prime_bytes)
    hello = message(2, b"\3\3" + bytes(32) + b"\0" + b"\0\xaa" + b"\0")
    key = message(12, struct.pack(">HH", 0, len(number)) + number + b"\0\1\2" + b"\0\1\3")
    for part in hello, key, message(14, b""):
        connection.sendall(b"\x16\3\3" + struct.pack(">H", len(part)) + part)
    connection.recv(65536)


print({"client": client, "server": server, "group-server": group_server}[sys.argv[1]](*sys.argv[2:]))
PYTHON_END

declare -A refusals=(
    [large-key]='the key of its certificate is too large \(RSA of 102[0-9]{2} bits\): 8192 is the most'
    [large-exponent]='the key of its certificate has a public exponent of 67 bits: 64 is the most, and 65537 is usual'
    [many-certificates]='it sent more than 16 certificates'
    [large-certificate]='its certificate has [0-9]+ bytes: 16384 is the most'
    [long-chain]='it sent more than 65536 bytes'
)

# serve_by_peer KIND ARGUMENT...: sets $port.
serve_by_peer() {
    local kind=$1

    shift
    rm -f port
    mkfifo port
    "$PYTHON" peer.py "$kind" port "$@" >/dev/null 2>"$log_dir/peer" &
    remember_pid $!
    exec {port_fd}<port
    read -r -t 60 -u "$port_fd" port
    exec {port_fd}<&-
}

for version in TLSv1_3 TLSv1_2; do
    start_tls_nbdcrypt --tls-certificates server --raw memory:1M
    expect_equal "an ordinary client" served "$(python peer.py client "$uri" client "$version")"
    expect_equal "a client with the most" served "$(python peer.py client "$uri" all-the-most "$version")"
    for folder in "${!refusals[@]}"; do
        answer=$(python peer.py client "$uri" "$folder" "$version")
        [ "$answer" != served ] || fail "$folder is served with $version"
        wait_until 20 grep -qE "TLS (refused|handshake): ${refusals[$folder]}" "$server_log"
    done
    stop_nbdcrypt
    for folder in all-the-most "${!refusals[@]}"; do
        serve_by_peer server "$folder" "$version"
        run_nbdcrypt serve --raw --unix "$work/s" "nbds://localhost:$port/?tls-certificates=$work/client"
        expect_equal "exit status" 1 "$status"
        expected="TLS with the server failed: ${refusals[$folder]-}"
        # This one says nothing more, but its handshake was fine.
        [ "$folder" != all-the-most ] || expected='the connection ended without close_notify'
        expect_match "$err" "$expected"
    done
done

note "a group"
make_psk
for bytes in 1024 1025 2040; do
    serve_by_peer group-server "$bytes"
    run_nbdcrypt serve --raw --unix "$work/s" "nbds://alice@localhost:$port/?tls-psk-file=$psk"
    expect_equal "exit status" 1 "$status"
    expected="its group for Diffie-Hellman is too large \\($((bytes * 8)) bits\\): 8192 is the most"
    if [ "$bytes" -le 1024 ]; then
        expect_match "$err" "TLS with the server failed: "
        ! grep -q "too large" "$err" || fail "a group of 8192 bits is refused"
    else
        expect_match "$err" "TLS with the server failed: $expected"
    fi
done

note "one's own"
for folder in large-key large-exponent; do
    run_nbdcrypt serve --raw --unix "$work/s" --tls-certificates "$folder" memory:1M
    expect_equal "exit status" 1 "$status"
    expect_match "$err" "^nbdcrypt: $folder/server-cert.pem: its key ${refusals[$folder]#the key of its certificate }; \
make one of ECDSA P-256, or RSA of 4096 bits$"
done
