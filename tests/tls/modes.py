import sys
import nbd_client as nbd
from nbd_client import equal
from tls_client import TlsClient, context

mode, uri, pki = sys.argv[1:]
name = "secret"


def expect(client, option, expected, data=b""):
    equal(f"answer to option {option} in mode {mode}", client.option_result(option, data), expected)


def go_payload(export):
    return nbd.Client.go_payload(export)


def refused_attach(export):
    client = TlsClient(uri)
    client.send_option(nbd.OPT_EXPORT_NAME, export.encode())
    client.expect_end()


def listed(client):
    replies = client.option(nbd.OPT_LIST)
    equal("end of LIST", replies[-1][0], nbd.REP_ACK)
    return [payload[4:].decode() for kind, payload in replies if kind == nbd.REP_SERVER]


def check_off():
    client = TlsClient(uri)
    expect(client, nbd.OPT_STARTTLS, nbd.REP_ERR_UNSUP)
    equal("LIST", listed(client), ["open", name])
    client.go(name=name)


def check_on():
    client = TlsClient(uri)
    equal("LIST without TLS", listed(client), ["open"])
    expect(client, nbd.OPT_INFO, nbd.REP_ERR_TLS_REQD, go_payload(name))
    expect(client, nbd.OPT_GO, nbd.REP_ERR_TLS_REQD, go_payload(name))
    expect(client, nbd.OPT_GO, nbd.REP_ERR_UNKNOWN, go_payload("other"))
    client.want_structured_replies()
    expect(client, nbd.OPT_LIST_META_CONTEXT, nbd.REP_ERR_UNKNOWN, client.meta_payload(name, ()))
    client.go(name="open")
    refused_attach(name)


def check_require():
    client = TlsClient(uri)
    for option in list(range(3, 12)) + [99, 0xffffffff]:
        if option != nbd.OPT_STARTTLS:
            expect(client, option, nbd.REP_ERR_TLS_REQD)
            expect(client, option, nbd.REP_ERR_TLS_REQD, b"x" * 9000)
    expect(client, nbd.OPT_STARTTLS, nbd.REP_ERR_INVALID, b"data")
    client.starttls(context(pki, "client"))
    client.go(name=name)
    client.disconnect()
    client = TlsClient(uri)
    expect(client, nbd.OPT_ABORT, nbd.REP_ACK)
    client.expect_end()
    refused_attach(name)
    refused_attach("other")
    # Without fixed newstyle there is no STARTTLS.
    client = nbd.Client(uri, handshake=False)
    client.send_client_flags(0)
    client.send_option(nbd.OPT_STARTTLS)
    client.expect_end()


def check_under_tls():
    """Nothing of what was agreed on before is left, and nothing mentions that TLS would be needed."""
    client = TlsClient(uri)
    if mode == "on":
        client.want_structured_replies()
        equal("contexts", client.option_result(nbd.OPT_SET_META_CONTEXT,
                                               client.meta_payload("open", ["base:allocation"])), nbd.REP_ACK)
    client.structured = False
    client.starttls(context(pki, "client"))
    expect(client, nbd.OPT_STARTTLS, nbd.REP_ERR_INVALID)
    equal("LIST under TLS", listed(client), ["open", name])
    expect(client, nbd.OPT_LIST_META_CONTEXT, nbd.REP_ERR_INVALID, client.meta_payload(name, ()))
    expect(client, nbd.OPT_GO, nbd.REP_ERR_UNKNOWN, go_payload("other"))
    expect(client, 99, nbd.REP_ERR_UNSUP)
    client.go(name=name)
    reply = client.call(nbd.CMD_READ, 0, 4096) # simple: structured replies were reset
    equal("first bytes", reply.check().data, bytes(4096))
    equal("BLOCK_STATUS", client.error_of(nbd.CMD_BLOCK_STATUS, 0, 4096), nbd.EINVAL)
    client.disconnect()
    for version in ("TLSv1_2", "TLSv1_3"):
        client = TlsClient(uri, context(pki, "client", version), go=False)
        client.want_structured_replies()
        client.go(name=name)
        client.write(4096, b"x" * 100000)
        equal("what was written", client.read(4096, 100000), b"x" * 100000)
        # No resumption, so no early data that anybody could send again, and nothing that tells lengths of plaintext.
        equal("tickets", client.socket.session.has_ticket, False)
        equal("compression", client.socket.compression(), None)
        client.write_zeroes(4096, 100000)
        client.disconnect()


globals()["check_" + mode]()
if mode != "off":
    check_under_tls()
