#include "server/transport/ktls-handover.h"

#include <errno.h>
#include <stdlib.h>

#include "server/transport/ktls.h"
#include "server/tls/tls-session.h"

#define IDLE_STEPS_MAX 16u /* of GnuTLS without data: it returns after a key update, say */

/* Opens what was read ahead of the kernel: the bytes in `data`, or -ECONNRESET. */
static int open_read_ahead(struct ktls *ktls, gnutls_session_t gnutls, uint8_t *data,
                           struct error *err)
{
    uint32_t filled = 0, idle_steps = 0;

    while (filled < TRANSPORT_STAGING_BYTES && idle_steps < IDLE_STEPS_MAX) {
        ssize_t count = gnutls_record_recv(gnutls, data + filled, TRANSPORT_STAGING_BYTES - filled);

        if (count == 0) {
            ktls->ended = true;
            break;
        }
        if (count < 0 && gnutls_error_is_fatal((int)count))
            return error_set(err, -ECONNRESET, "%s", gnutls_strerror((int)count));
        if (count > 0)
            filled += (uint32_t)count;
        idle_steps = count > 0 ? 0 : idle_steps + 1;
    }
    return (int)filled;
}

int ktls_handover(struct transport **out, struct tls_session *session, const struct tls *tls,
                  struct loop *loop, const struct loop_file *file, const struct peer *peer,
                  struct error *err)
{
    uint8_t read_ahead[TRANSPORT_STAGING_BYTES];
    gnutls_session_t gnutls = session->gnutls;
    struct ktls *ktls = malloc(sizeof *ktls);

    *out = NULL;
    if (ktls == NULL || ktls_start_sending(ktls, gnutls, file->fd, peer) < 0) {
        free(ktls);
        return 0;
    }
    /* From here on there is no way back: the kernel encrypts what is sent. */
    int count = open_read_ahead(ktls, gnutls, read_ahead, err);
    int result = count < 0 ? count : ktls_start_receiving(ktls, gnutls);
    if (count >= 0 && result < 0)
        error_set(err, result, "the kernel did not take the keys for receiving");
    if (result == 0)
        result =
            transport_plain_create_on_ktls(out, loop, file, ktls, read_ahead, (uint32_t)count, err);
    if (result == 0)
        ktls_follow_keys(ktls, session, tls);
    else
        free(ktls);
    return result < 0 ? -ECONNRESET : 0;
}
