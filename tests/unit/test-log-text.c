/* What others chose can't move a terminal's cursor, end a line or turn its direction, and good text
 * stays. */
#include "server/base/log-text.h"

#include <string.h>

#include "server/base/log.h"
#include "tests/support/check.h"

static void becomes(const char *text, const char *expected)
{
    char out[LOG_TEXT_GROWTH * 64];

    EXPECT(strlen(text) <= 64);
    size_t length = log_text_escape(out, text);
    EXPECT(length <= LOG_TEXT_GROWTH * strlen(text));
    EXPECT(length == strlen(expected) && memcmp(out, expected, length) == 0);
}

/* Connections of one address, or user, count together. */
static void sources(void)
{
    EXPECT(log_source_of("client 192.0.2.7:1") == log_source_of("client 192.0.2.7:40312 (CN=vm7)"));
    EXPECT(log_source_of("client 192.0.2.7:1") != log_source_of("client 192.0.2.8:1"));
    EXPECT(log_source_of("client [2001:db8::1]:9") == log_source_of("client [2001:db8::1]:10"));
    EXPECT(log_source_of("client [2001:db8::1]:9") != log_source_of("client [2001:db8::2]:9"));
    EXPECT(log_source_of("client pid 71 uid 0") == log_source_of("client pid 8 uid 0"));
    EXPECT(log_source_of("client pid 71 uid 0") != log_source_of("client pid 71 uid 1"));
    EXPECT(log_source_of("image 'a'") != log_source_of("image 'b'"));
    EXPECT(log_source_of("client") != 0 && log_source_of("") != 0 && log_source_of("client ") != 0);
}

int main(void)
{
    becomes("", "");
    becomes("plain text, '\\'", "plain text, '\\'");
    becomes("a\nb\x1b[31m\x7f", "a\\x0ab\\x1b[31m\\x7f");
    becomes("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x92\xbe", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x92\xbe");
    becomes("\x9b"
            "31m",
            "\\x9b31m"); /* C1 as one byte */
    becomes("\xc2\x9b"
            "31m",
            "\\xc2\\x9b31m");                                     /* and as UTF-8 writes it */
    becomes("\xc0\xaf\xed\xa0\x80", "\\xc0\\xaf\\xed\\xa0\\x80"); /* overlong, surrogate */
    becomes("\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80");
    becomes("end \xe2\x82", "end \\xe2\\x82"); /* cut in the middle */
    becomes("\xe2\x80\xae"
            "gpj",
            "\\xe2\\x80\\xaegpj");              /* right-to-left override */
    becomes("\xe2\x80\xa8", "\\xe2\\x80\\xa8"); /* line separator */
    becomes("\xe2\x81\xa6", "\\xe2\\x81\\xa6");
    sources();
    return 0;
}
