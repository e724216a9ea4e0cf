#include "server/tls/tls-limits.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <gnutls/x509.h>

#define CERTIFICATES_MAX 16u /* the depth of GnuTLS's verification */

/* ---- keys ---- */

/* Of an unsigned number, most significant byte first. */
static unsigned bits_of(const gnutls_datum_t *number)
{
    unsigned at = 0, bits;

    while (at < number->size && number->data[at] == 0)
        at++;
    if (at == number->size)
        return 0;
    bits = (number->size - at) * 8;
    for (uint8_t mask = 0x80; (number->data[at] & mask) == 0; mask >>= 1)
        bits--;
    return bits;
}

static unsigned exponent_bits(gnutls_pubkey_t key)
{
    gnutls_datum_t exponent = { 0 };
    unsigned bits = 0;

    if (gnutls_pubkey_export_rsa_raw2(key, NULL, &exponent, 0) >= 0)
        bits = bits_of(&exponent);
    gnutls_free(exponent.data);
    return bits;
}

const char *tls_limits_check_key(gnutls_pubkey_t key, char text[TLS_LIMITS_TEXT_BYTES])
{
    unsigned bits = 0, exponent;
    int algorithm = gnutls_pubkey_get_pk_algorithm(key, &bits);
    const char *name = algorithm >= 0 ? gnutls_pk_get_name((gnutls_pk_algorithm_t)algorithm) : NULL;

    /* Curves have no such choice. */
    if (bits > TLS_LIMITS_KEY_BITS) {
        (void)snprintf(text, TLS_LIMITS_TEXT_BYTES, "is too large (%s of %u bits): %u is the most",
                       name != NULL ? name : "unknown", bits, TLS_LIMITS_KEY_BITS);
        return text;
    }
    exponent = exponent_bits(key);
    if (exponent > TLS_LIMITS_EXPONENT_BITS) {
        (void)snprintf(text, TLS_LIMITS_TEXT_BYTES,
                       "has a public exponent of %u bits: %u is the most, and 65537 is usual",
                       exponent, TLS_LIMITS_EXPONENT_BITS);
        return text;
    }
    return NULL;
}

/* ---- messages ---- */

struct reader {
    const uint8_t *at;
    size_t left_bytes;
};

/* What has its length in front, in so many bytes. */
static bool take(struct reader *reader, unsigned length_bytes, struct reader *out)
{
    size_t length = 0;

    if (reader->left_bytes < length_bytes)
        return false;
    for (unsigned i = 0; i < length_bytes; i++)
        length = length << 8 | reader->at[i];
    if (reader->left_bytes - length_bytes < length)
        return false;
    *out = (struct reader){ reader->at + length_bytes, length };
    reader->at += length_bytes + length;
    reader->left_bytes -= length_bytes + length;
    return true;
}

/* Why a message is refused. */
struct refusal {
    int *alert;
    char *text; /* TLS_LIMITS_TEXT_BYTES */
};

static int refuse(const struct refusal *out, int alert, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int refuse(const struct refusal *out, int alert, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(out->text, TLS_LIMITS_TEXT_BYTES, format, arguments);
    va_end(arguments);
    *out->alert = alert;
    return GNUTLS_E_CERTIFICATE_ERROR;
}

/* What can't be read has no key that GnuTLS could use. */
static int check_certificate(const struct refusal *out, const struct reader *der)
{
    const gnutls_datum_t datum = { (unsigned char *)(uintptr_t)der->at, (unsigned)der->left_bytes };
    gnutls_x509_crt_t certificate = NULL;
    gnutls_pubkey_t key = NULL;
    const char *fault = NULL;
    char text[TLS_LIMITS_TEXT_BYTES];

    if (der->left_bytes > TLS_LIMITS_CERTIFICATE_BYTES)
        return refuse(out, GNUTLS_A_UNSUPPORTED_CERTIFICATE,
                      "its certificate has %zu bytes: %u is the most", der->left_bytes,
                      TLS_LIMITS_CERTIFICATE_BYTES);
    if (gnutls_x509_crt_init(&certificate) >= 0 && gnutls_pubkey_init(&key) >= 0 &&
        gnutls_x509_crt_import(certificate, &datum, GNUTLS_X509_FMT_DER) >= 0 &&
        gnutls_pubkey_import_x509(key, certificate, 0) >= 0)
        fault = tls_limits_check_key(key, text);
    gnutls_pubkey_deinit(key);
    gnutls_x509_crt_deinit(certificate);
    if (fault == NULL)
        return 0;
    return refuse(out, GNUTLS_A_UNSUPPORTED_CERTIFICATE, "the key of its certificate %s", fault);
}

/* RFC 8446, 4.4.2; RFC 5246, 7.4.2. */
static int check_certificates(const struct refusal *out, gnutls_session_t gnutls,
                              struct reader message)
{
    bool tls13 = gnutls_protocol_get_version(gnutls) >= GNUTLS_TLS1_3;
    struct reader list, certificate, ignored;
    unsigned count = 0;
    int result = 0;

    if ((tls13 && !take(&message, 1, &ignored)) || !take(&message, 3, &list))
        return GNUTLS_E_UNEXPECTED_PACKET_LENGTH;
    while (result == 0 && list.left_bytes > 0) {
        if (!take(&list, 3, &certificate) || (tls13 && !take(&list, 2, &ignored)))
            return GNUTLS_E_UNEXPECTED_PACKET_LENGTH;
        if (++count > CERTIFICATES_MAX)
            return refuse(out, GNUTLS_A_BAD_CERTIFICATE, "it sent more than %u certificates",
                          CERTIFICATES_MAX);
        result = check_certificate(out, &certificate);
    }
    return result;
}

/* TLS 1.2, where the server chooses the group: RFC 4279, 3; RFC 5246, 7.4.3. */
static int check_group(const struct refusal *out, gnutls_session_t gnutls, struct reader message)
{
    struct reader hint, prime;

    if (gnutls_kx_get(gnutls) != GNUTLS_KX_DHE_PSK)
        return 0;
    if (!take(&message, 2, &hint) || !take(&message, 2, &prime))
        return GNUTLS_E_UNEXPECTED_PACKET_LENGTH;
    const gnutls_datum_t number = { (unsigned char *)(uintptr_t)prime.at,
                                    (unsigned)prime.left_bytes };
    if (bits_of(&number) <= TLS_LIMITS_KEY_BITS)
        return 0;
    return refuse(out, GNUTLS_A_INSUFFICIENT_SECURITY,
                  "its group for Diffie-Hellman is too large (%u bits): %u is the most",
                  bits_of(&number), TLS_LIMITS_KEY_BITS);
}

int tls_limits_check_message(gnutls_session_t gnutls, unsigned type, const gnutls_datum_t *message,
                             int *alert, char text[TLS_LIMITS_TEXT_BYTES])
{
    const struct reader reader = { message->data, message->size };
    const struct refusal out = { alert, text };

    text[0] = '\0';
    if (type == GNUTLS_HANDSHAKE_CERTIFICATE_PKT)
        return check_certificates(&out, gnutls, reader);
    return type == GNUTLS_HANDSHAKE_SERVER_KEY_EXCHANGE ? check_group(&out, gnutls, reader) : 0;
}
