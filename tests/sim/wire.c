#include "tests/sim/wire.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/files.h"
#include "tests/sim/network.h"
#include "tests/sim/options.h"
#include "tests/sim/pki.h"
#include "tests/sim/schedule.h"
#include "tests/sim/texts.h"
#include "tests/sim/trace.h"

#define USER "client"
#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3"
#define PRIORITY_KEY PRIORITY ":+ECDHE-PSK:+PSK"

static gnutls_psk_client_credentials_t credentials;

void wire_make_key(void)
{
    static const char line[] = USER ":" KEY "\n";
    const gnutls_datum_t key = { (unsigned char *)(uintptr_t)KEY, sizeof(KEY) - 1 };

    text_put("psk", line, strlen(line));
    if (gnutls_psk_allocate_client_credentials(&credentials) < 0 ||
        gnutls_psk_set_client_credentials(credentials, USER, &key, GNUTLS_PSK_KEY_HEX) < 0)
        sim_fail("GnuTLS does not take the pre-shared key");
}

const char *wire_key_path(void)
{
    return SIM_FOLDER "psk";
}

/* ---- what GnuTLS sends and receives ---- */

/* Nobody waits in there: GnuTLS has a pointer to the keys in its hands, which a change of keys on
 * another fiber would free. */
static ssize_t told(struct wire *wire, int64_t count)
{
    if (count >= 0)
        return (ssize_t)count;
    gnutls_transport_set_errno(wire->tls, count == -EAGAIN ? EAGAIN : ECONNRESET);
    return -1;
}

static ssize_t push(gnutls_transport_ptr_t context, const void *data, size_t length_bytes)
{
    struct wire *wire = context;
    int64_t count = endpoint_send(wire->endpoint, data, length_bytes);

    wire->full = count == -EAGAIN;
    return told(wire, count);
}

static ssize_t pull(gnutls_transport_ptr_t context, void *out, size_t length_bytes)
{
    struct wire *wire = context;
    int64_t count = endpoint_receive(wire->endpoint, out, length_bytes);

    wire->starved = count == -EAGAIN;
    return told(wire, count);
}

/* GnuTLS also says GNUTLS_E_AGAIN of a message of its own, when there is nothing to wait for. */
static void wait_if(bool *blocked, struct wire *wire, ssize_t result)
{
    if (result != GNUTLS_E_AGAIN || !*blocked)
        return;
    *blocked = false;
    fiber_wait(wire->endpoint);
}

static int pull_timeout(gnutls_transport_ptr_t context, unsigned timeout_ms)
{
    (void)context;
    (void)timeout_ms;
    return 1;
}

static int set_proof(gnutls_session_t session, bool second)
{
    bool by_key = options.tls == TLS_BY_KEY;
    int result = gnutls_priority_set_direct(session, by_key ? PRIORITY_KEY : PRIORITY, NULL);

    if (result < 0)
        return result;
    return by_key
               ? gnutls_credentials_set(session, GNUTLS_CRD_PSK, credentials)
               : gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, pki_credentials(second));
}

bool wire_start_tls(struct wire *wire, bool second)
{
    gnutls_session_t session;
    int result;

    if (gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL) < 0 ||
        set_proof(session, second) < 0)
        sim_fail("GnuTLS makes no session");
    wire->tls = session;
    gnutls_transport_set_ptr(session, wire);
    gnutls_transport_set_push_function(session, push);
    gnutls_transport_set_pull_function(session, pull);
    gnutls_transport_set_pull_timeout_function(session, pull_timeout);
    do {
        result = gnutls_handshake(session);
        wait_if(wire->full ? &wire->full : &wire->starved, wire, result);
    } while (result < 0 && !gnutls_error_is_fatal(result));
    if (result < 0)
        trace_text(gnutls_strerror(result));
    return result == 0;
}

unsigned wire_server_certificate(const struct wire *wire)
{
    return pki_shown(wire->tls);
}

bool wire_update_keys(struct wire *wire)
{
    int result;

    mark(MARK_key_update);
    do {
        result = gnutls_session_key_update(wire->tls, GNUTLS_KU_PEER);
        wait_if(&wire->full, wire, result);
    } while (result == GNUTLS_E_AGAIN);
    return result >= 0;
}

void wire_free(struct wire *wire)
{
    if (wire->tls != NULL)
        gnutls_deinit(wire->tls);
    wire->tls = NULL;
}

/* ---- data ---- */

bool wire_send_all(struct wire *wire, const void *data, size_t length_bytes)
{
    const uint8_t *at = data;

    if (wire->tls == NULL)
        return endpoint_send_all(wire->endpoint, data, length_bytes);
    while (length_bytes > 0) {
        ssize_t count = gnutls_record_send(wire->tls, at, length_bytes);

        wait_if(&wire->full, wire, count);
        if (count < 0 && gnutls_error_is_fatal((int)count))
            return false;
        at += count > 0 ? count : 0;
        length_bytes -= count > 0 ? (size_t)count : 0;
    }
    return true;
}

bool wire_receive_all(struct wire *wire, void *out, size_t length_bytes)
{
    uint8_t *at = out;

    if (wire->tls == NULL)
        return endpoint_receive_all(wire->endpoint, out, length_bytes);
    while (length_bytes > 0) {
        ssize_t count = gnutls_record_recv(wire->tls, at, length_bytes);

        wait_if(&wire->starved, wire, count);
        if (count == 0 || (count < 0 && gnutls_error_is_fatal((int)count)))
            return false;
        at += count > 0 ? count : 0;
        length_bytes -= count > 0 ? (size_t)count : 0;
    }
    return true;
}
