"""Clients that hold a connection, and certificates that are over in seconds.

    make DIR SECONDS            DIR/server, and clients DIR/short (good for so long), DIR/long, DIR/revoked;
                                DIR/ca-crl.pem, a list with the last one
    expired URI END|keep        URI has CLIENT where the client's name goes
    gone URI-OF-ONE-WHO-GOES URI-OF-ONE-WHO-STAYS...    prints "attached", and waits for a line before it looks
"""

import datetime
import os
import sys
import time

import nbd
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LATE_S = 8  # a machine with much to do


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(data)
    os.chmod(path, 0o600)


def make(folder, seconds):
    now = datetime.datetime.utcnow()
    day = datetime.timedelta(days=1)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM

    def sign(subject, key, end, purpose=None):
        builder = (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("CA")).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(end)
                   .add_extension(x509.BasicConstraints(purpose is None, None), critical=True))
        if purpose is not None:
            builder = (builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
                       .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False))
        return builder.sign(ca_key, hashes.SHA256())

    ca = sign("CA", ca_key, now + 30 * day)
    ends = {"server": now + day, "long": now + day, "revoked": now + day, "short": now + datetime.timedelta(seconds=seconds)}
    certificates = {}
    for who, end in ends.items():
        key = ec.generate_private_key(ec.SECP256R1())
        kind = "server" if who == "server" else "client"
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if who == "server" else ExtendedKeyUsageOID.CLIENT_AUTH
        certificates[who] = sign(who, key, end, purpose)
        write(f"{folder}/{who}/ca-cert.pem", ca.public_bytes(pem))
        write(f"{folder}/{who}/{kind}-cert.pem", certificates[who].public_bytes(pem))
        write(f"{folder}/{who}/{kind}-key.pem",
              key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    revoked = x509.RevokedCertificateBuilder().serial_number(certificates["revoked"].serial_number).revocation_date(now).build()
    crl = (x509.CertificateRevocationListBuilder().issuer_name(name("CA")).last_update(now - day).next_update(now + 30 * day)
           .add_revoked_certificate(revoked).sign(ca_key, hashes.SHA256()))
    write(f"{folder}/ca-crl.pem", crl.public_bytes(pem))
    write(f"{folder}/end", str(certificates["short"].not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp()).encode())


def attach(uri):
    client = nbd.NBD()
    client.set_uri_allow_local_file(True)
    client.connect_uri(uri)
    client.pread(512, 0)
    return client


def is_gone(client, until):
    """Idle, as most are."""
    while time.time() < until and client.aio_is_ready():
        client.poll(100)
    return not client.aio_is_ready()


def main():
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "expired":
        uri, folder, what = sys.argv[2:]
        with open(f"{folder}/end") as file:
            end = float(file.read())
        short, long = attach(uri.replace("CLIENT", "short")), attach(uri.replace("CLIENT", "long"))
        assert not is_gone(short, end - 0.5), "it was ended before its time"
        if what == "end":
            assert is_gone(short, end + LATE_S), "it is still there"
        else:
            assert not is_gone(short, end + 3), "it was ended"
            short.pread(512, 0)
        long.pread(512, 0)
    else:
        clients = [attach(uri) for uri in sys.argv[2:]]
        print("attached", flush=True)
        sys.stdin.readline()
        assert is_gone(clients[0], time.time() + LATE_S), "it is still there"
        for client in clients[1:]:
            client.pread(512, 0)


main()
