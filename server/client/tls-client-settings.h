#ifndef NBDCRYPT_TLS_CLIENT_SETTINGS_H
#define NBDCRYPT_TLS_CLIENT_SETTINGS_H

/* Either `certificates` and `host`, or `psk_file`.  Strings are the caller's, for the handshake
 * only. */
struct tls_client_settings {
    /* Folder of ca-cert.pem, the authority of the server's certificate; ca-crl.pem, what that has
     * revoked, if it is there; client-cert.pem and client-key.pem, both or none, for servers that
     * ask for it. */
    const char *certificates;
    /* The certificate must name it: a DNS name or an IP address, without brackets.  NULL: there is
     * none (a Unix socket), so nothing could be compared, and only pre-shared keys will do. */
    const char *host;
    const char *psk_file; /* lines of USER:HEX, as psktool writes them */
    const char
        *user; /* NULL: the name in LOGNAME, else that of the login, which is libnbd's rule */
};

#endif
