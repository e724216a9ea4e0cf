import ipaddress
from make_pki import CLIENT, DAY, NOW, SERVER, Authority, pem, write, x509

ca, other = Authority("one CA"), Authority("another CA")
certificate, key = ca.issue("localhost", SERVER, [x509.DNSName("localhost")])
write("server", server_cert=certificate, server_key=key)
with open("server/ca-cert.pem", "wb") as both:
    both.write(pem(ca.certificate) + pem(other.certificate))
for folder, authority in ("client", ca), ("other", other):
    certificate, key = authority.issue(folder, CLIENT)
    write(folder, ca_cert=ca.certificate, client_cert=certificate, client_key=key)
revoked = ca.issue("revoked", CLIENT)[0]
write("lists", good=ca.revoke(revoked), old=ca.revoke(revoked, begin=NOW - 2 * DAY, end=NOW - DAY),
      future=ca.revoke(revoked, begin=NOW + DAY, end=NOW + 2 * DAY))
with open("ca.key", "wb") as out:
    out.write(pem(ca.key))
