/* Numbers of the record layer: RFC 8446, 5.1, 6, B.2 and B.3. */
#ifndef NBDCRYPT_TLS_RECORD_TYPES_H
#define NBDCRYPT_TLS_RECORD_TYPES_H

enum tls_record_type {
    TLS_RECORD_ALERT = 21,
    TLS_RECORD_HANDSHAKE = 22,
    TLS_RECORD_DATA = 23,
};

enum tls_alert_level { TLS_ALERT_WARNING = 1, TLS_ALERT_FATAL = 2 };

#endif
