import ssl
import sys
import warnings
from tls_client import TlsClient, context

warnings.simplefilter("ignore")
uri, pki = sys.argv[1:]
for version in ("TLSv1", "TLSv1_1"):
    try:
        TlsClient(uri, context(pki, "client", version))
    except ssl.SSLError as error:
        assert "ALERT_PROTOCOL_VERSION" in str(error), error
    else:
        raise SystemExit(f"{version} is accepted")
for name, alert in (("expired", "CERTIFICATE_EXPIRED"), ("revoked", "CERTIFICATE_REVOKED"),
                    ("other-ca", "UNKNOWN_CA"), ("wrong-purpose", "UNSUPPORTED_CERTIFICATE"),
                    ("no-certificate", "CERTIFICATE_REQUIRED"),
                    ("trusts-other", "CERTIFICATE_VERIFY_FAILED"),
                    ("weak", "INSUFFICIENT_SECURITY")):
    try:
        TlsClient(uri, context(pki, name))
    except ssl.SSLError as error:
        assert alert in str(error), (name, error)
    else:
        raise SystemExit(f"{name} is accepted")
client = TlsClient(uri, context(pki, "client"))
client.read(0, 512)
client.disconnect()
