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
