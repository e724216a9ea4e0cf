#include "server/tls/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/cpu-features.h"
#include "crypto/gcm/gcm-choose.h"
#include "server/tls/ktls-keys.h"
#include "server/base/event.h"
#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/tls/tls-credentials.h"
#include "server/tls/tls-record-keys.h"
#include "server/tls/tls-server-session.h"

static int check_together(const struct tls_settings *settings, enum tls_mode mode,
                          struct error *err)
{
    bool credentials = settings->certificates != NULL || settings->psk != NULL;

    if (mode != TLS_OFF && !credentials)
        return error_set(err, -EINVAL,
                         "--tls %s needs something to prove who this server is: give "
                         "--tls-certificates DIR or --tls-psk FILE",
                         settings->mode);
    if (mode == TLS_OFF && credentials)
        return error_set(err, -EINVAL,
                         "--tls off and --%s contradict each other: leave out one of "
                         "the two",
                         settings->certificates != NULL ? "tls-certificates" : "tls-psk");
    if (!credentials && settings->priority != NULL)
        return error_set(err, -EINVAL,
                         "--tls-priority means nothing without --tls-certificates or "
                         "--tls-psk");
    if (!credentials && settings->ktls != NULL)
        return error_set(err, -EINVAL,
                         "--ktls means nothing without --tls-certificates or --tls-psk");
    if (settings->expired != NULL && strcmp(settings->expired, "end") != 0 &&
        strcmp(settings->expired, "keep") != 0)
        return error_set(err, -EINVAL, "--tls-expired %s: it is end or keep", settings->expired);
    if (settings->expired != NULL && settings->certificates == NULL)
        return error_set(err, -EINVAL,
                         "--tls-expired is about certificates: it means nothing without "
                         "--tls-certificates");
    if (settings->certificates == NULL && (settings->verify_peer || settings->no_verify_peer))
        return error_set(err, -EINVAL,
                         "--tls-%sverify-peer is about certificates: it means nothing "
                         "without --tls-certificates",
                         settings->verify_peer ? "" : "no-");
    if (settings->verify_peer && settings->no_verify_peer)
        return error_set(err, -EINVAL,
                         "--tls-verify-peer and --tls-no-verify-peer contradict each "
                         "other");
    return 0;
}

static const char *const mode_names[] = {
    [TLS_OFF] = "off",
    [TLS_ON] = "on",
    [TLS_REQUIRE_TCP] = "require-tcp",
    [TLS_REQUIRE] = "require",
};

const char *tls_mode_name(enum tls_mode mode)
{
    return mode_names[mode];
}

int tls_mode_of(enum tls_mode *out, const struct tls_settings *settings, struct error *err)
{
    bool credentials = settings->certificates != NULL || settings->psk != NULL;

    *out = credentials ? TLS_REQUIRE : TLS_OFF;
    if (settings->mode != NULL) {
        unsigned mode = 0;

        while (mode <= TLS_REQUIRE && strcmp(settings->mode, mode_names[mode]) != 0)
            mode++;
        if (mode > TLS_REQUIRE)
            return error_set(err, -EINVAL, "--tls %s: it is off, on, require-tcp or require",
                             settings->mode);
        *out = (enum tls_mode)mode;
    }
    return check_together(settings, *out, err);
}

bool tls_is_demanded(enum tls_mode mode, bool local)
{
    return mode == TLS_REQUIRE || (mode == TLS_REQUIRE_TCP && !local);
}

int tls_ktls_mode_of(enum ktls_mode *out, const struct tls_settings *settings, struct error *err)
{
    static const char *const names[] = {
        [KTLS_AUTO] = "auto",
        [KTLS_ON] = "on",
        [KTLS_OFF] = "off",
    };
    unsigned mode = KTLS_AUTO;

    if (settings->ktls != NULL)
        while (mode <= KTLS_OFF && strcmp(settings->ktls, names[mode]) != 0)
            mode++;
    if (mode > KTLS_OFF)
        return error_set(err, -EINVAL, "--ktls %s: it is auto, on or off", settings->ktls);
    *out = (enum ktls_mode)mode;
    return 0;
}

/* Who will do the records, as far as it does not depend on the client. */
static void prepare_records(struct tls *tls, enum ktls_mode ktls)
{
    static const char *const abilities[] = {
        [KTLS_ABSENT] = "it has no TLS for sockets",
        [KTLS_KEYS_FIXED] = "it has TLS for sockets, with keys that can't be changed",
        [KTLS_KEYS_CHANGE] = "it has TLS for sockets",
    };
    const struct gcm_ops *own = gcm_choose();

    tls->records_per_key = tls_records_per_key();
    if (ktls != KTLS_OFF)
        tls->kernel = ktls_keys_ability();
    if (gcm_left_out() != NULL)
        log_warning("%s", gcm_left_out());
    if (ktls == KTLS_ON && tls->kernel == KTLS_ABSENT)
        log_warning(
            "--ktls on: this kernel has no TLS for sockets (modprobe tls); it is done in user "
            "space");
    log_info(
        "TLS records: AES-GCM of TLS 1.3 by %s in this program, all else by GnuTLS; the kernel: %s",
        own != NULL ? own->name : "GnuTLS",
        ktls == KTLS_OFF ? "not used (--ktls off)" : abilities[tls->kernel]);
}

bool tls_prefers_kernel(const struct tls *tls, bool tls13)
{
    if (tls->ktls != KTLS_AUTO)
        return tls->ktls == KTLS_ON;
    bool able = tls13 ? tls->kernel == KTLS_KEYS_CHANGE && gcm_choose() == NULL
                      : tls->kernel != KTLS_ABSENT;
    return able && cpu_has_aes(); /* asked last: in a virtual machine that takes 10 us and more */
}

static bool keeps_expired(const struct tls_settings *settings)
{
    return settings->expired != NULL && strcmp(settings->expired, "keep") == 0;
}

int tls_open(struct tls *tls, const struct tls_settings *settings, struct error *err)
{
    *tls = (struct tls){ .settings = *settings, .keeps_expired = keeps_expired(settings) };
    pthread_mutex_init(&tls->mutex, NULL);
    enum ktls_mode ktls = KTLS_AUTO;
    enum tls_mode mode = TLS_OFF;
    int result = tls_mode_of(&mode, settings, err);
    tls->mode = mode;
    if (result == 0)
        result = tls_ktls_mode_of(&ktls, settings, err);
    tls->ktls = ktls;
    if (result == 0 && tls->mode != TLS_OFF)
        prepare_records(tls, tls->ktls);
    if (result == 0 && tls->mode != TLS_OFF)
        result = tls_credentials_create(&tls->credentials, settings, tls_server_session_find_psk,
                                        NULL, err);
    return result;
}

void tls_close(struct tls *tls)
{
    tls_credentials_unref(tls->credentials);
    tls->credentials = NULL;
    pthread_mutex_destroy(&tls->mutex);
}

int tls_prepare(struct tls_credentials **out, struct tls *tls, const struct tls_settings *settings,
                struct error *err)
{
    enum ktls_mode ktls = KTLS_AUTO;
    enum tls_mode mode;
    int result = tls_mode_of(&mode, settings, err);

    *out = NULL;
    if (result < 0 || mode == TLS_OFF)
        return result;
    if (result == 0)
        result = tls_ktls_mode_of(&ktls, settings, err);
    if (result < 0)
        return result;
    if (tls->mode == TLS_OFF) /* and nobody uses it */
        tls->ktls = ktls;
    if (tls->mode == TLS_OFF || (tls->ktls == KTLS_OFF && ktls != KTLS_OFF))
        prepare_records(tls, ktls);
    result =
        tls_credentials_create(out, settings, tls_server_session_find_psk, tls->credentials, err);
    if (result < 0 && tls->credentials != NULL)
        error_prefix(
            err, "the TLS files were read again, and those that were read before stay in force: ");
    return result;
}

void tls_use(struct tls *tls, const struct tls_settings *settings, struct tls_credentials *fresh)
{
    struct tls_credentials *old;
    enum tls_mode mode = TLS_OFF, before = tls->mode;
    enum ktls_mode ktls = KTLS_AUTO;

    tls->settings = *settings;
    atomic_store(&tls->keeps_expired, keeps_expired(settings));
    if (tls_mode_of(&mode, settings, NULL) == 0) /* it was found good before */
        tls->mode = mode;
    if (tls_ktls_mode_of(&ktls, settings, NULL) == 0)
        tls->ktls = ktls;
    pthread_mutex_lock(&tls->mutex);
    old = tls->credentials;
    tls->credentials = fresh;
    pthread_mutex_unlock(&tls->mutex);
    tls_credentials_unref(old);
    if (mode != before)
        log_notice("TLS is %s from now on, and was %s", mode_names[mode], mode_names[before]);
    if (fresh != NULL) {
        log_write_about(LOG_NOTICE, LOG_ABOUT(.id = LOG_ID_TLS_RENEWED),
                        "the TLS files were read again; new connections use them");
        EVENT(.type = "tls.renewed");
    }
}

void tls_forget(struct tls_credentials *fresh)
{
    tls_credentials_unref(fresh);
}

int tls_reload(struct tls *tls, struct error *err)
{
    struct tls_credentials *fresh;
    int result = tls_prepare(&fresh, tls, &tls->settings, err);

    if (result == 0)
        tls_use(tls, &tls->settings, fresh);
    else
        log_error("%s", err->text);
    return result;
}

struct tls_credentials *tls_credentials_now(struct tls *tls)
{
    pthread_mutex_lock(&tls->mutex);
    struct tls_credentials *credentials = tls->credentials;
    if (credentials != NULL)
        atomic_fetch_add(&credentials->references, 1);
    pthread_mutex_unlock(&tls->mutex);
    return credentials;
}
