"""The client of nbd_client.py under TLS, by OpenSSL (module ssl).

    client = TlsClient(uri, context(pki, "client"))    # up to transmission
    client = TlsClient(uri, None)                      # after the greeting and the flags, no TLS yet
    client.starttls(context(pki, "client"))
"""

import os
import ssl

import nbd_client as nbd


def context(pki, name, version=None):
    """Of a client with the certificate of the folder pki/name; version: "TLSv1_2" and the like."""
    folder = os.path.join(pki, name)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(os.path.join(folder, "ca-cert.pem"))
    made.set_ciphers("DEFAULT:@SECLEVEL=0")
    if os.path.exists(os.path.join(folder, "client-cert.pem")):
        made.load_cert_chain(os.path.join(folder, "client-cert.pem"),
                             os.path.join(folder, "client-key.pem"))
    if version:
        made.minimum_version = made.maximum_version = getattr(ssl.TLSVersion, version)
    return made


class TlsClient(nbd.Client):
    def __init__(self, uri, tls=None, go=True, timeout_s=nbd.TIMEOUT_S):
        super().__init__(uri, handshake=False, timeout_s=timeout_s)
        self.under_tls = False
        self.send_client_flags()
        if tls:
            self.starttls(tls)
            if go:
                self.want_structured_replies()
                self.go()

    def starttls(self, tls):
        result = self.option_result(nbd.OPT_STARTTLS)
        if result != nbd.REP_ACK:
            raise nbd.ProtocolError(f"STARTTLS refused with {result:#x}")
        nbd.equal("bytes behind the answer to STARTTLS", bytes(self.buffer), b"")
        self.socket = tls.wrap_socket(self.socket, server_hostname="localhost",
                                      suppress_ragged_eofs=False)
        self.under_tls = True

    def send_bytes(self, data):
        """Plain poll() knows nothing of what lies deciphered already."""
        if getattr(self, "under_tls", False):
            self.socket.sendall(data)
        else:
            super().send_bytes(data)
