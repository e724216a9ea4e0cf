"""Certificates for tests, good and bad ones:  python make_pki.py DIR

DIR/server/          ca-cert.pem server-cert.pem server-key.pem ca-crl.pem: for --tls-certificates
DIR/server-none-revoked/  the same with an empty list
DIR/server-NAME/     the same with something wrong: expired future weak sha1 mismatch client-purpose no-ca
DIR/NAME/            ca-cert.pem client-cert.pem client-key.pem, as libnbd and QEMU want them: client (good),
                     other-ca expired future wrong-purpose revoked weak no-certificate nul-name
                     large (12 KB of names)
DIR/trusts-other/    a good client certificate of a client that trusts another CA
"""

import datetime
import ipaddress
import os
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.utcnow()
DAY = datetime.timedelta(days=1)
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def new_key(weak=False):
    return rsa.generate_private_key(65537, 1024) if weak else ec.generate_private_key(ec.SECP256R1())


def subject(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def large_key(prime_count, exponent=65537):
    """An RSA key of 512 bits for each prime that is made in no time, because they are many; OpenSSL signs with it, for
    what it needs of the two primes it believes in holds for their products as well.  (PEM, public key)"""
    import base64
    import math
    import random

    def is_prime(n):
        return all(n % small for small in (3, 5, 7, 11, 13, 17, 19, 23)) and all(
            pow(base, n - 1, n) == 1 for base in (2, 3, 5, 7))

    def der(tag, body):
        length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
        return bytes([tag]) + (bytes([len(body)]) if len(body) < 128 else bytes([0x80 | len(length)]) + length) + body

    primes = []
    while len(primes) < prime_count:
        n = random.getrandbits(512) | 3 << 510 | 1
        if is_prime(n) and math.gcd(exponent, n - 1) == 1:
            primes.append(n)
    half = prime_count // 2
    p, q = math.prod(primes[:half]), math.prod(primes[half:])
    orders = [math.lcm(*(n - 1 for n in part)) for part in (primes[:half], primes[half:])]
    d = pow(exponent, -1, math.lcm(*orders))
    numbers = 0, p * q, exponent, d, p, q, d % orders[0], d % orders[1], pow(q, -1, p)
    key = der(0x30, b"".join(der(2, n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in numbers))
    return (b"-----BEGIN RSA PRIVATE KEY-----\n" + base64.encodebytes(key) + b"-----END RSA PRIVATE KEY-----\n",
            rsa.RSAPublicNumbers(exponent, p * q).public_key())


class Authority:
    def __init__(self, name):
        self.key = new_key()
        self.name = subject(name)
        self.certificate = self.make(self.name, self.key, True, None, (), NOW - DAY, NOW + 3650 * DAY)

    def make(self, name, key, is_ca, purpose, names, begin, end, digest=None):
        builder = (x509.CertificateBuilder().subject_name(name).issuer_name(self.name)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(begin).not_valid_after(end)
                   .add_extension(x509.BasicConstraints(is_ca, None), True)
                   .add_extension(x509.KeyUsage(
                       not is_ca, False, not is_ca and isinstance(key, rsa.RSAPrivateKey), False, False,
                       is_ca, is_ca, False, False), True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                       self.key.public_key()), False))
        if purpose:
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return builder.sign(self.key, digest or hashes.SHA256())

    def sign(self, name, purpose, public_key, names=()):
        """A certificate for somebody else's key."""
        holder = type("Holder", (), {"public_key": lambda self: public_key})()
        return self.make(subject(name), holder, False, purpose, names, NOW - DAY, NOW + 365 * DAY)

    def issue(self, name, purpose, names=(), begin=-1, end=365, weak=False, digest=None):
        """(certificate, key); the days count from today."""
        key = new_key(weak)
        return self.make(subject(name), key, False, purpose, names, NOW + begin * DAY, NOW + end * DAY,
                         digest), key

    def revoke(self, *certificates, begin=NOW - DAY, end=NOW + 3650 * DAY):
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.name)
                   .last_update(begin).next_update(end))
        for certificate in certificates:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
                .revocation_date(NOW - DAY).build())
        return builder.sign(self.key, hashes.SHA256())


def pem(thing):
    if hasattr(thing, "public_bytes"):
        return thing.public_bytes(serialization.Encoding.PEM)
    return thing.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                               serialization.NoEncryption())


def write(folder, **files):
    """ca_cert=... is written to ca-cert.pem."""
    os.makedirs(folder, exist_ok=True)
    for name, thing in files.items():
        if thing is None:
            continue
        path = os.path.join(folder, name.replace("_", "-") + ".pem")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(pem(thing))


def main(top):
    ca, other = Authority("test CA"), Authority("another CA")
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
             x509.IPAddress(ipaddress.ip_address("::1"))]
    names = [x509.DNSName("vm7.example.org"), x509.UniformResourceIdentifier("urn:vm:7")]

    def server(folder, pair, authority=ca, crl=None):
        write(os.path.join(top, folder), ca_cert=authority and authority.certificate,
              server_cert=pair[0], server_key=pair[1], ca_crl=crl)

    def client(folder, pair, authority=ca):
        write(os.path.join(top, folder), ca_cert=authority.certificate, client_cert=pair[0],
              client_key=pair[1])

    good = ca.issue("localhost", SERVER, hosts)
    revoked = ca.issue("revoked", CLIENT)
    server("server", good, crl=ca.revoke(revoked[0]))
    server("server-none-revoked", good, crl=ca.revoke())
    server("server-no-ca", good, authority=None)
    server("server-expired", ca.issue("localhost", SERVER, hosts, -20, -10))
    server("server-future", ca.issue("localhost", SERVER, hosts, 10, 20))
    server("server-weak", ca.issue("localhost", SERVER, hosts, weak=True))
    server("server-sha1", ca.issue("localhost", SERVER, hosts, digest=hashes.SHA1()))
    server("server-mismatch", (good[0], new_key()))
    server("server-client-purpose", ca.issue("localhost", CLIENT, hosts))

    vm7 = ca.issue("vm7", CLIENT, names)
    client("client", vm7)
    client("trusts-other", vm7, other)
    client("other-ca", other.issue("stranger", CLIENT))
    write(os.path.join(top, "other-ca"), ca_cert=ca.certificate)
    client("expired", ca.issue("expired", CLIENT, begin=-20, end=-10))
    client("future", ca.issue("future", CLIENT, begin=10, end=20))
    client("wrong-purpose", ca.issue("wrong-purpose", SERVER))
    client("revoked", revoked)
    client("weak", ca.issue("weak", CLIENT, weak=True))
    client("no-certificate", (None, None))
    client("large", ca.issue("large", CLIENT, [x509.DNSName(f"{n:0>50}.example.org") for n in range(190)]))
    client("nul-name", ca.issue("nul\nname", CLIENT, [x509.DNSName("good.example.org\0.evil"),
                                                      x509.DNSName("second.example.org")]))


if __name__ == "__main__":
    main(sys.argv[1])
