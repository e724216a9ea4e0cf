"""TLS for the measurements: what `nbdcrypt tls` makes, who is told about it how, and the client's end for programs
that are written here."""
import os
import shutil
import ssl
import struct
import subprocess

from harness.process import Failure

X509 = "tls-x509"
PSK = "tls-psk"
TRANSPORTS = (X509, PSK)

USER = "bench"
NOBODY = 65534


class Credentials:
    """Files in a folder: an authority, a server and a client with certificates, a pre-shared key.  A copy of
    those of the client is in a home folder, where libnbd finds them without being told (by fio, say); but not
    for root, so as root such programs run as the user nobody, and the copy is that user's."""

    def __init__(self, parent, nbdcrypt):
        self.folder = os.path.join(parent, "tls")
        self.server = os.path.join(self.folder, "pki/server")
        self.client = os.path.join(self.folder, "pki/clients/client")
        self.psk_folder = os.path.join(self.folder, "psk")
        self.psk = os.path.join(self.psk_folder, "keys.psk")  # QEMU's name for it
        self.home = os.path.join(self.folder, "home")
        os.makedirs(self.psk_folder)
        self._make(nbdcrypt, "init", os.path.join(self.folder, "pki"), "--host", "localhost")
        self._make(nbdcrypt, "psk", self.psk, USER)
        self._make_home(parent)

    @staticmethod
    def _make(nbdcrypt, *arguments):
        made = subprocess.run(
            [nbdcrypt, "tls"] + list(arguments), stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if made.returncode != 0:
            raise Failure("no credentials: %s" % made.stderr.decode(errors="replace").strip())

    def _make_home(self, parent):
        known = os.path.join(self.home, ".pki/libnbd")
        shutil.copytree(self.client, known)
        if os.geteuid() == 0:
            for folder in (parent, self.folder):
                os.chmod(folder, 0o711)
            for folder, _, files in os.walk(self.home):
                for path in [folder] + [os.path.join(folder, name) for name in files]:
                    os.chown(path, NOBODY, NOBODY)

    def as_client(self):
        """For subprocess: the user whose certificate libnbd finds by itself."""
        options = {"env": dict(os.environ, HOME=self.home), "cwd": self.home}
        if os.geteuid() == 0:
            options.update(user=NOBODY, group=NOBODY, extra_groups=[])
        return options


def context_of(folder):
    """Of a client with the certificate of this folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(os.path.join(folder, "ca-cert.pem"))
    context.load_cert_chain(os.path.join(folder, "client-cert.pem"), os.path.join(folder, "client-key.pem"))
    return context


# proto.md of NBD: newstyle negotiation, NBD_OPT_STARTTLS, NBD_OPT_LIST
GREETING = struct.pack(">QQ", 0x4E42444D41474943, 0x49484156454F5054)
STARTTLS = struct.pack(">LQLL", 3, 0x49484156454F5054, 5, 0)
LIST = struct.pack(">QLL", 0x49484156454F5054, 3, 0)
STARTTLS_ACK = struct.pack(">QLLL", 0x3E889045565A9, 5, 1, 0)


def _receive(peer, length_bytes):
    data = b""
    while len(data) < length_bytes:
        part = peer.recv(length_bytes - len(data))
        if not part:
            raise Failure("the server closed the connection before TLS")
        data += part
    return data


def start(peer, context):
    """A socket under TLS, from one that has just been connected; all options are still to come."""
    if _receive(peer, 18)[:16] != GREETING:
        raise Failure("this is no NBD server")
    peer.sendall(STARTTLS)
    if _receive(peer, 20) != STARTTLS_ACK:
        raise Failure("the server refused TLS")
    return context.wrap_socket(peer, server_hostname="localhost")


# ---- the command lines of servers ----


def nbdkit_options(endpoint):
    if endpoint.transport == X509:
        return ["--tls=require", "--tls-verify-peer", "--tls-certificates=" + endpoint.credentials.server]
    if endpoint.transport == PSK:
        return ["--tls=require", "--tls-psk=" + endpoint.credentials.psk]
    return []


def qemu_options(endpoint):
    if endpoint.transport == X509:
        credentials = "tls-creds-x509,verify-peer=on,dir=" + endpoint.credentials.server
    elif endpoint.transport == PSK:
        credentials = "tls-creds-psk,dir=" + endpoint.credentials.psk_folder
    else:
        return []
    return ["--object", credentials + ",id=tls0,endpoint=server", "--tls-creds", "tls0"]


def nbdcrypt_options(endpoint):
    if endpoint.transport == X509:
        return ["--tls-certificates", endpoint.credentials.server]
    if endpoint.transport == PSK:
        return ["--tls-psk", endpoint.credentials.psk]
    return []
