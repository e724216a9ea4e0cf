/* What looks like a secret is hidden, and what there is no room for is left out: at each length, up
 * to the last byte. */
#include "server/base/secret-text.h"

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

int main(void)
{
    nothing_is_written_behind_the_room();
    three_times_the_length_is_enough();
    return 0;
}
