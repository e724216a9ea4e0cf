/* NBD URIs. */
#include "server/nbd/nbd-uri.h"

#include <errno.h>

#include "tests/support/check.h"

static const struct {
    const char *text, *host, *port, *socket_path, *export_name,
        *user; /* `user`: nbds, "" if none */
} good[] = {
    { "nbd://example.org", "example.org", "10809", NULL, "", NULL },
    { "nbd://example.org/", "example.org", "10809", NULL, "", NULL },
    { "nbd://example.org:99/a%20disk", "example.org", "99", NULL, "a disk", NULL },
    { "nbd://[::1]:10810/x", "::1", "10810", NULL, "x", NULL },
    { "nbd://[fe80::1]/x", "fe80::1", "10809", NULL, "x", NULL },
    { "nbd://[fe80::1%25eth0]:7/x", "fe80::1%eth0", "7", NULL, "x", NULL },
    { "nbd://[fe80::1%eth0]", "fe80::1%eth0", "10809", NULL, "", NULL },
    { "nbd://[fe80::1%25]/x", "fe80::1%25", "10809", NULL, "x", NULL },
    { "nbds://[fe80::1%25br%2D0]/x", "fe80::1%br-0", "10809", NULL, "x", "" },
    { "nbd:///x", "localhost", "10809", NULL, "x", NULL },
    { "nbd://h/a/b", "h", "10809", NULL, "a/b", NULL },
    { "nbd+unix:///?socket=/run/nbd.sock", NULL, NULL, "/run/nbd.sock", "", NULL },
    { "nbd+unix://?socket=/run/nbd.sock", NULL, NULL, "/run/nbd.sock", "", NULL },
    { "nbd+unix:///disk?socket=/run/a%3fb", NULL, NULL, "/run/a?b", "disk", NULL },
    { "nbd+unix:///%c3%a4?socket=rel", NULL, NULL, "rel", "\xc3\xa4", NULL },
    { "nbds://example.org/d", "example.org", "10809", NULL, "d", "" },
    { "nbds://a%40b@[::1]:7/d@e", "::1", "7", NULL, "d@e", "a@b" },
    { "nbds+unix://alice@/d?socket=/x", NULL, NULL, "/x", "d", "alice" },
    { "nbds+unix://alice@/d?socket=/x&tls-psk-file=/y", NULL, NULL, "/x", "d", "alice" },
    { "nbds://h/d?tls-certificates=/y", "h", "10809", NULL, "d", "" },
};

static const struct {
    const char *text, *sentence;
} bad[] = {
    { "", "an NBD URI is" },
    { "http://x/", "an NBD URI is" },
    { "nbd:example.org", "an NBD URI is" },
    { "nbds+unix:///", "the socket is missing" },
    { "nbd+unix:///x", "the socket is missing" },
    { "nbd+unix:///x?socket=", "the socket is missing" },
    { "nbd+unix://host/x?socket=/a", "there is no host" },
    { "nbd://h:port/", "'port' is no port number" },
    { "nbd://h:/", "'' is no port number" },
    { "nbd://[::1/x", "brackets" },
    { "nbd://[fe80::1%25a%zz]/x", "stands for no character" },
    { "nbd://me@h/x", "user name" },
    { "nbds://a%@h/x", "stands for no character" },
    { "nbd://h/x?socket=/a", "nbd+unix" },
    { "nbd://h/a%zz", "'%zz' stands for no character" },
    { "nbd://h/a%0", "stands for no character" },
    { "nbd://h/a%00b", "stands for no character" },
    { "nbd+unix:///?socket=/a&tls-verify-peer=1", "unknown option 'tls-verify-peer'" },
    { "nbd://h/?tls-certificates=/a", "write nbds://" },
    { "nbd+unix:///?socket=/a&tls-psk-file=/b", "nbds+unix://" },
};

static bool same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void good_ones(void)
{
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct nbd_uri uri;
        struct error err = { .text = "" };

        if (nbd_uri_parse(&uri, good[i].text, &err) != 0)
            EXPECT_TEXT(err.text, good[i].text);
        EXPECT(same(uri.host, good[i].host) && same(uri.port, good[i].port));
        EXPECT(same(uri.socket_path, good[i].socket_path));
        EXPECT_TEXT(uri.export_name, good[i].export_name);
        EXPECT(uri.tls == (good[i].user != NULL));
        EXPECT_TEXT(uri.user != NULL ? uri.user : "", good[i].user != NULL ? good[i].user : "");
        nbd_uri_free(&uri);
    }
}

static void bad_ones(void)
{
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct nbd_uri uri;
        struct error err = { .text = "" };

        EXPECT(nbd_uri_parse(&uri, bad[i].text, &err) == -EINVAL);
        if (strstr(err.text, bad[i].sentence) == NULL)
            EXPECT_TEXT(err.text, bad[i].sentence);
    }
}

static void too_long(void)
{
    static char text[8000] = "nbd+unix:///?socket=";
    struct nbd_uri uri;
    struct error err;

    memset(text + strlen(text), 'x', 200);
    EXPECT(nbd_uri_parse(&uri, text, &err) == -EINVAL);
    memset(text, 0, sizeof text);
    memcpy(text, "nbd://h/", 8);
    memset(text + 8, 'x', 4096);
    EXPECT(nbd_uri_parse(&uri, text, &err) == 0);
    nbd_uri_free(&uri);
    text[8 + 4096] = 'x';
    EXPECT(nbd_uri_parse(&uri, text, &err) == -EINVAL);
}

static const struct check checks[] = {
    { "URIs are taken apart", good_ones },
    { "what is no URI is refused with a reason", bad_ones },
    { "names and sockets that are too long are refused", too_long },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
