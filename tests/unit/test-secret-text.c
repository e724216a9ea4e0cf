/* What looks like a secret is hidden, and what there is no room for is left out: at each length, up
 * to the last byte. */
#include "server/base/secret-text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

#define WHOLE "nbdkit:p?token=a&x=1&key=b&y=2"
#define MASKED "nbdkit:p?token=***&x=1&key=***&y=2"

/* Each byte behind the room is a fault that sanitizers see, and so does the mark. */
static void is_cut_to(size_t room_bytes)
{
    char *out = malloc(room_bytes + 1);

    EXPECT(out != NULL);
    out[room_bytes] = '#';
    secret_text_mask(out, room_bytes, WHOLE);
    size_t length = strlen(out);
    EXPECT(length < room_bytes && out[room_bytes] == '#');
    EXPECT(strncmp(out, MASKED, length) == 0);
    free(out);
}

static void nothing_is_written_behind_the_room(void)
{
    for (size_t room_bytes = 1; room_bytes < sizeof MASKED + 8; room_bytes++)
        is_cut_to(room_bytes);
}

static void three_times_the_length_is_enough(void)
{
    char out[3 * sizeof WHOLE + 8];

    secret_text_mask(out, sizeof out, WHOLE);
    EXPECT(strcmp(out, MASKED) == 0);
    secret_text_mask(out, sizeof out, "rbd:p/i?keyring=/etc/ceph/keyring&key-file=/k&keyring2=x");
    EXPECT(strcmp(out, "rbd:p/i?keyring=/etc/ceph/keyring&key-file=/k&keyring2=***") == 0);
}

static void becomes(const char *text, const char *expected)
{
    char out[1024], here[1024];

    secret_text_mask(out, sizeof out, text);
    snprintf(here, sizeof here, "%s", text);
    secret_text_mask_line(here, sizeof here);
    if (strcmp(out, expected) != 0 || strcmp(here, expected) != 0)
        fprintf(stderr, "of '%s' became\n'%s' and, where it stands,\n'%s' instead of\n'%s'\n", text,
                out, here, expected);
    EXPECT(strcmp(out, expected) == 0 && strcmp(here, expected) == 0);
}

/* In reports values of such names are hidden, wherever they stand. */
static void sentences_stay_sentences(void)
{
    static const char *const lines[] = {
        "'raw' is not KEY=VALUE: a word behind the image is an option with its value, as raw=yes",
        "systemd sets it for a unit with LoadCredential=disk:FILE",
        "give --key-command=PROGRAM, or token=0, to open it",
        "key=pbkdf2 auth=psk",
    };

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char line[256];

        snprintf(line, sizeof line, "%s", lines[i]);
        secret_text_mask_line(line, sizeof line);
        EXPECT(strcmp(line, lines[i]) == 0);
    }
}

static void parameters_of_plugins_are_hidden(void)
{
    static const char *const rows[][2] = {
        { "nbdkit:curl?header=Authorization: Bearer S&url=x", "nbdkit:curl?header=***&url=x" },
        { "nbdkit:curl?url=x&header=X-Mine%3A%20S", "nbdkit:curl?url=x&header=***" },
        { "nbdkit:curl?proxy-header=a: S", "nbdkit:curl?proxy-header=***" },
        { "image 'nbdkit:curl?header=a: \"S\", S&x=1': it can't",
          "image 'nbdkit:curl?header=***&x=1': it can't" },
        { "it can't: 'nbdkit:curl?header=a: S': no", "it can't: 'nbdkit:curl?header=***': no" },
        { "nbdkit:curl?cookie=a=S; b=S&x=1", "nbdkit:curl?cookie=***&x=1" },
        { "nbdkit:ssh?password=S,S S;S&x=1", "nbdkit:ssh?password=***&x=1" },
        { "nbdkit:ssh?password=+/etc/secret&x=1", "nbdkit:ssh?password=+/etc/secret&x=1" },
        { "write password=+FILE", "write password=+FILE" },
        { "nbdkit:curl?user=me&x=1", "nbdkit:curl?user=me&x=1" },
        { "nbdkit:curl?user=me:S&x=1", "nbdkit:curl?user=me:***&x=1" },
        { "nbdkit:curl?proxy-user=me%3aS", "nbdkit:curl?proxy-user=me%3a***" },
        { "nbdkit:curl?url=https://me:S@h/&x=1", "nbdkit:curl?url=https://me:***@h/&x=1" },
        { "nbdkit:curl?url=https%3A%2F%2Fme%3AS%40h%2F",
          "nbdkit:curl?url=https%3A%2F%2Fme%3A***%40h%2F" },
        { "nbdkit:curl?url=https://h:80/a@b&x=1", "nbdkit:curl?url=https://h:80/a@b&x=1" },
        { "nbdkit:curl?url=https://h/?X-Amz-Signature=S&x=1",
          "nbdkit:curl?url=https://h/?X-Amz-Signature=***&x=1" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        becomes(rows[i][0], rows[i][1]);
}

static void what_a_plugin_says_is_hidden(void)
{
    static const char *const rows[][2] = {
        { "curl: > Authorization: Basic S", "curl: > Authorization: ***" },
        { "proxy-authorization:S", "proxy-authorization:***" },
        { "Set-Cookie: a=S; path=/", "Set-Cookie: ***" },
        { "X-Auth-Token: S\r\nHost: h", "X-Auth-Token: ***\r\nHost: h" },
        { "{\"password\": \"S\\\"S\", \"x\": 1}", "{\"password\": \"***\", \"x\": 1}" },
        { "password='S S' x", "password='***' x" },
        { "no value without 'key=' in front", "no value without 'key=' in front" },
        { "the key: it is short", "the key: it is short" },
        { "add header='/srv/h' key-file='/k'", "add header='/srv/h' key-file='/k'" },
        { "'x' is not KEY=VALUE: a word", "'x' is not KEY=VALUE: a word" },
        { "one is written key=value", "one is written key=value" },
        { "password=values", "password=***" },
        { "a unit with LoadCredential=disk:FILE", "a unit with LoadCredential=disk:FILE" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        becomes(rows[i][0], rows[i][1]);
}

/* A quotation mark that is closed, an apostrophe, and one that JSON escapes are no end. */
static void quotes_of_others_end_no_secret(void)
{
    static const char *const rows[][2] = {
        { "image 'nbdkit:curl?url=x': it said: Cookie: a='S'; b=S",
          "image 'nbdkit:curl?url=x': it said: Cookie: ***" },
        { "image 'nbdkit:curl?header=a: it's S&x=1'", "image 'nbdkit:curl?header=***&x=1'" },
        { "password=S's, Cookie: S'S'", "password=***'s, Cookie: ***" },
        { "{\"image\":\"nbdkit:curl?header=a: \\\"S\\\", S\",\"x\":1}",
          "{\"image\":\"nbdkit:curl?header=***\",\"x\":1}" },
        { "{\"reason\":\"password=\\\"S S\\\" is wrong\"}",
          "{\"reason\":\"password=\\\"***\\\" is wrong\"}" },
        { "add name='?pin=\"' image='/srv/x'", "add name='?pin=\"' image='/srv/x'" },
        { "add name='?pin=\"S' image='/srv/x'", "add name='?pin=\"***' image='/srv/x'" },
        { "password=\"S S", "password=\"***" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        becomes(rows[i][0], rows[i][1]);
}

static void nothing_is_written_behind_its_place(void)
{
    for (size_t room_bytes = sizeof WHOLE; room_bytes < sizeof MASKED + 8; room_bytes++) {
        char *text = malloc(room_bytes);

        EXPECT(text != NULL);
        memcpy(text, WHOLE, sizeof WHOLE);
        secret_text_mask_line(text, room_bytes);
        EXPECT(strncmp(text, MASKED, strlen(text)) == 0);
        free(text);
    }
}

int main(void)
{
    parameters_of_plugins_are_hidden();
    what_a_plugin_says_is_hidden();
    sentences_stay_sentences();
    quotes_of_others_end_no_secret();
    nothing_is_written_behind_its_place();
    nothing_is_written_behind_the_room();
    three_times_the_length_is_enough();
    return 0;
}
