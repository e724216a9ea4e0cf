#include "server/transport/tls-protection.h"

#include <assert.h>
#include <string.h>

#include "crypto/gcm/gcm-choose.h"
#include "server/base/probe.h"
#include "server/base/tally.h"
#include "server/tls/tls-record-types.h"
#include "server/transport/tls-stream.h"

#define HEADER_BYTES 5u
/* RFC 8446, 5.2: of the ciphertext, and of what is in it, with its type and padding. */
#define BODY_BYTES_MAX (TLS_RECORD_PLAIN_BYTES + 256u)
#define INNER_BYTES_MAX (TLS_RECORD_PLAIN_BYTES + 1u)

#define IDLE_RECORDS_MAX 32u /* as they cost us something, and the client nothing */

void tls_protection_start(struct tls_transport *tls, uint32_t records_per_key, bool between_records)
{
    const struct gcm_ops *gcm = gcm_choose();

    tls->protection = (struct tls_protection){ .records_left = records_per_key,
                                               .records_per_key = records_per_key,
                                               .tickets = tls->session->end->client };
    if (gcm == NULL || !between_records || !tls_record_keys_take_over(tls->session, gcm))
        return;
    tls->protection.gcm = gcm;
    tls->protection.keys = (struct tls_record_key_pair *)(void *)tls->session->record_keys->data;
}

const char *tls_protection_name(const struct tls_transport *tls)
{
    return tls->protection.gcm != NULL ? tls->protection.gcm->name : NULL;
}

/* ---- sending ---- */

static int put_record(struct tls_transport *tls, uint8_t type, const uint8_t *data,
                      size_t length_bytes)
{
    struct tls_buffer *out = tls->out;
    struct tls_record_keys *keys = &tls->protection.keys->sending;
    size_t body_bytes = length_bytes + 1 + GCM_TAG_BYTES;
    uint8_t nonce[GCM_NONCE_BYTES];

    assert(length_bytes <= TLS_RECORD_PLAIN_BYTES);
    if (out->capacity_bytes - out->end < HEADER_BYTES + body_bytes)
        return GNUTLS_E_INTERNAL_ERROR;
    uint8_t *header = out->bytes + out->end;
    header[0] = TLS_RECORD_DATA;
    header[1] = header[2] = 3;
    header[3] = (uint8_t)(body_bytes >> 8);
    header[4] = (uint8_t)body_bytes;
    tls_record_keys_nonce(keys, nonce);
    gcm_seal(&keys->gcm, &(struct gcm_text){ nonce, header, HEADER_BYTES, data, length_bytes, type,
                                             header + HEADER_BYTES });
    out->end += (uint32_t)(HEADER_BYTES + body_bytes);
    PROBE(tls_record, tls, true, length_bytes);
    return 0;
}

/* RFC 8446, 4.6.3: the last record under the keys that we have had. */
static int put_key_update(struct tls_transport *tls)
{
    static const uint8_t message[] = { TLS_KEY_UPDATE, 0, 0, 1, TLS_UPDATE_NOT_REQUESTED };
    struct tls_protection *own = &tls->protection;
    int error = put_record(tls, TLS_RECORD_HANDSHAKE, message, sizeof message);

    own->update_due = false;
    own->records_left = own->records_per_key;
    if (error == 0 && !tls_record_keys_update(&own->keys->sending, own->gcm))
        error = GNUTLS_E_INTERNAL_ERROR;
    tally_add(TALLY_TLS_KEY_UPDATES_BY_US);
    return error;
}

ssize_t tls_protection_send(struct tls_transport *tls, const uint8_t *data, size_t length_bytes)
{
    struct tls_protection *own = &tls->protection;
    int error = 0;

    if (own->gcm == NULL)
        return gnutls_record_send(tls->session->gnutls, data, length_bytes);
    if (own->update_due || own->records_left == 0)
        error = put_key_update(tls);
    if (error == 0)
        error = put_record(tls, TLS_RECORD_DATA, data, length_bytes);
    own->records_left--;
    return error < 0 ? error : (ssize_t)length_bytes;
}

static void put_alert(struct tls_transport *tls, uint8_t level, int description)
{
    const uint8_t alert[2] = { level, (uint8_t)description };

    (void)put_record(tls, TLS_RECORD_ALERT, alert, sizeof alert);
}

void tls_protection_alert(struct tls_transport *tls, int error)
{
    int level;

    if (tls->protection.gcm == NULL)
        gnutls_alert_send_appropriate(tls->session->gnutls, error);
    else
        put_alert(tls, TLS_ALERT_FATAL, gnutls_error_to_alert(error, &level));
}

void tls_protection_bye(struct tls_transport *tls)
{
    if (tls->protection.gcm == NULL)
        gnutls_bye(tls->session->gnutls, GNUTLS_SHUT_WR);
    else
        put_alert(tls, TLS_ALERT_WARNING, GNUTLS_A_CLOSE_NOTIFY);
}

/* ---- receiving: what is no data ---- */

static int idle(struct tls_protection *own)
{
    return ++own->idle_records > IDLE_RECORDS_MAX ? GNUTLS_E_TOO_MANY_EMPTY_PACKETS
                                                  : GNUTLS_E_INTERRUPTED;
}

/* RFC 8446, 6: whatever its level, all but two of them end the session. */
static int alert_received(struct tls_protection *own, const uint8_t *alert, uint32_t count)
{
    if (count != 2)
        return GNUTLS_E_UNEXPECTED_PACKET_LENGTH;
    own->alert = alert[1];
    if (own->alert == GNUTLS_A_USER_CANCELED)
        return idle(own);
    return own->alert == GNUTLS_A_CLOSE_NOTIFY ? 0 : GNUTLS_E_FATAL_ALERT_RECEIVED;
}

static int key_update_received(struct tls_protection *own)
{
    own->message_bytes = 0;
    if (own->message[4] > TLS_UPDATE_REQUESTED)
        return GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER;
    if (tls_update_rate_exceeded(&own->updates))
        return GNUTLS_E_TOO_MANY_HANDSHAKE_PACKETS;
    if (own->message[4] == TLS_UPDATE_REQUESTED)
        own->update_due = true;
    if (!tls_record_keys_update(&own->keys->receiving, own->gcm))
        return GNUTLS_E_INTERNAL_ERROR;
    tally_add(TALLY_TLS_KEY_UPDATES_BY_PEER);
    return idle(own);
}

/* What is wrong with the beginning of a message, as far as it has come: 0, if nothing. */
static int message_fault(const struct tls_protection *own)
{
    const uint8_t *message = own->message;

    if (message[0] == TLS_NEW_SESSION_TICKET && own->tickets)
        return own->message_bytes > 1 && message[1] > TLS_TICKET_BYTES_MAX >> 16
                   ? GNUTLS_E_UNEXPECTED_PACKET_LENGTH
                   : 0;
    static const uint8_t update[4] = { TLS_KEY_UPDATE, 0, 0, 1 };
    if (message[0] != TLS_KEY_UPDATE)
        return GNUTLS_E_UNEXPECTED_PACKET;
    return memcmp(message, update, own->message_bytes < 4 ? own->message_bytes : 4) == 0
               ? 0
               : GNUTLS_E_UNEXPECTED_PACKET_LENGTH;
}

/* Its first four bytes are there.  False: it is too short to be a ticket, or too long. */
static bool begin_ticket(struct tls_protection *own)
{
    const uint8_t *message = own->message;

    own->ticket_left_bytes = (uint32_t)message[1] << 16 | (uint32_t)message[2] << 8 | message[3];
    return own->ticket_left_bytes >= TLS_TICKET_BYTES_MIN &&
           own->ticket_left_bytes <= TLS_TICKET_BYTES_MAX;
}

/* How much of this belongs to the ticket that has begun; nobody here comes back with one. */
static uint32_t skip_ticket(struct tls_protection *own, uint32_t count)
{
    uint32_t skipped = count < own->ticket_left_bytes ? count : own->ticket_left_bytes;

    own->ticket_left_bytes -= skipped;
    if (own->ticket_left_bytes == 0)
        own->message_bytes = 0;
    return skipped;
}

/* Messages, perhaps in pieces: KeyUpdates and, of a server, tickets.  A KeyUpdate ends with its
 * record, because the next one has other keys (RFC 8446, 5.1). */
static int handshake_received(struct tls_protection *own, const uint8_t *data, uint32_t count)
{
    if (count == 0)
        return GNUTLS_E_UNEXPECTED_PACKET;
    for (uint32_t at = 0; at < count;) {
        if (own->ticket_left_bytes > 0) {
            at += skip_ticket(own, count - at);
            continue;
        }
        own->message[own->message_bytes++] = data[at++];
        int fault = message_fault(own);
        if (fault != 0)
            return fault;
        if (own->message_bytes == TLS_KEY_UPDATE_BYTES)
            return at < count ? GNUTLS_E_UNEXPECTED_PACKET : key_update_received(own);
        if (own->message[0] == TLS_NEW_SESSION_TICKET && own->message_bytes == 4 &&
            !begin_ticket(own))
            return GNUTLS_E_UNEXPECTED_PACKET_LENGTH;
    }
    return idle(own);
}

/* ---- receiving: records ---- */

/* The length of the record that begins here, with its header: or GNUTLS_E_AGAIN, or what is
 * wrong. */
static int record_length(const uint8_t *header, uint32_t count)
{
    if (count > 0 && header[0] != TLS_RECORD_DATA)
        return GNUTLS_E_UNEXPECTED_PACKET;
    if (count < HEADER_BYTES)
        return GNUTLS_E_AGAIN;
    uint32_t body_bytes = (uint32_t)header[3] << 8 | header[4];
    if (body_bytes > BODY_BYTES_MAX)
        return GNUTLS_E_RECORD_OVERFLOW;
    if (body_bytes < 1 + GCM_TAG_BYTES)
        return GNUTLS_E_DECRYPTION_FAILED;
    return (int)(HEADER_BYTES + body_bytes);
}

/* Opens a record to `out`, which may be its body: how much its content and the type behind it
 * are. */
static int open_record(struct tls_protection *own, const uint8_t *record, uint32_t record_bytes,
                       uint8_t *out)
{
    uint32_t inner_bytes = record_bytes - HEADER_BYTES - GCM_TAG_BYTES;
    struct tls_record_keys *keys = &own->keys->receiving;
    uint8_t nonce[GCM_NONCE_BYTES];

    tls_record_keys_nonce(keys, nonce);
    if (!gcm_open(&keys->gcm,
                  &(struct gcm_text){ nonce, record, HEADER_BYTES, record + HEADER_BYTES,
                                      inner_bytes, GCM_NO_TRAILER, out }))
        return GNUTLS_E_DECRYPTION_FAILED;
    if (inner_bytes > INNER_BYTES_MAX)
        return GNUTLS_E_RECORD_OVERFLOW;
    while (inner_bytes > 0 && out[inner_bytes - 1] == 0) /* RFC 8446, 5.4: padding */
        inner_bytes--;
    return inner_bytes > 0 ? (int)inner_bytes : GNUTLS_E_UNEXPECTED_PACKET;
}

static int not_data(struct tls_protection *own, uint8_t type, const uint8_t *content,
                    uint32_t count)
{
    if (type == TLS_RECORD_HANDSHAKE)
        return handshake_received(own, content, count);
    if (own->message_bytes > 0) /* RFC 8446, 5.1: nothing comes between the pieces of a message */
        return GNUTLS_E_UNEXPECTED_PACKET;
    if (type == TLS_RECORD_ALERT)
        return alert_received(own, content, count);
    return type == TLS_RECORD_DATA ? idle(own) : GNUTLS_E_UNEXPECTED_PACKET;
}

/* The next record: its data goes to `data` if all of it, type and padding included, has room there;
 * else it stays where the record is, as plain_bytes. */
static ssize_t next_record(struct tls_transport *tls, uint8_t *data, size_t room_bytes)
{
    struct tls_protection *own = &tls->protection;
    struct tls_input in = tls_stream_input(tls);
    uint8_t *record = in.bytes + *in.start;
    int record_bytes = record_length(record, *in.end - *in.start);

    if (record_bytes < 0)
        return record_bytes;
    if ((uint32_t)record_bytes > *in.end - *in.start)
        return GNUTLS_E_AGAIN;
    bool direct = room_bytes >= (uint32_t)record_bytes - HEADER_BYTES - GCM_TAG_BYTES;
    uint8_t *content = direct ? data : record + HEADER_BYTES;
    int inner_bytes = open_record(own, record, (uint32_t)record_bytes, content);
    if (inner_bytes < 0)
        return inner_bytes;
    uint32_t count = (uint32_t)inner_bytes - 1;
    PROBE(tls_record, tls, false, count);
    if (content[count] != TLS_RECORD_DATA || count == 0 || own->message_bytes > 0) {
        *in.start += (uint32_t)record_bytes;
        return not_data(own, content[count], content, count);
    }
    own->idle_records = 0;
    if (direct) {
        *in.start += (uint32_t)record_bytes;
        return count;
    }
    own->plain_at = HEADER_BYTES;
    own->plain_bytes = count;
    own->record_bytes = (uint32_t)record_bytes;
    return 0;
}

/* From the record that has been opened in its place. */
static uint32_t take_plain(struct tls_transport *tls, uint8_t *data, size_t room_bytes)
{
    struct tls_protection *own = &tls->protection;
    struct tls_input in = tls_stream_input(tls);
    uint32_t count = own->plain_bytes < room_bytes ? own->plain_bytes : (uint32_t)room_bytes;

    memcpy(data, in.bytes + *in.start + own->plain_at, count);
    own->plain_at += count;
    own->plain_bytes -= count;
    if (own->plain_bytes == 0)
        *in.start += own->record_bytes;
    return count;
}

ssize_t tls_protection_recv(struct tls_transport *tls, uint8_t *data, size_t length_bytes)
{
    struct tls_protection *own = &tls->protection;

    if (own->gcm == NULL)
        return gnutls_record_recv(tls->session->gnutls, data, length_bytes);
    if (own->plain_bytes == 0) {
        ssize_t count = next_record(tls, data, length_bytes);

        if (count != 0 || own->plain_bytes == 0)
            return count;
    }
    return take_plain(tls, data, length_bytes);
}

uint32_t tls_protection_wants_bytes(struct tls_transport *tls)
{
    struct tls_input in = tls_stream_input(tls);
    int record_bytes = record_length(in.bytes + *in.start, *in.end - *in.start);

    return record_bytes > 0 ? (uint32_t)record_bytes : HEADER_BYTES;
}
