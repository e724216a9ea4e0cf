/* nbdcrypt format: see command-format.h. */
#include "server/cli/command-format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "server/base/shell-text.h"
#include "server/base/size-text.h"
#include "server/block/lock-params.h"
#include "server/cli/new-volume.h"

struct format {
    struct new_volume volume;
    bool help;
};

#define FIELD(name) offsetof(struct format, volume.arguments.name)

static const struct param format_params[] = {
    KEY_SOURCE_ROWS("", struct format, volume.arguments.key, "the passphrase"),
    PARAM("volume-key-file", STRING, "FILE", volume_key.volume_key_file,
          "take the volume key from this file, which has as many bits as --key-bits; default: "
          "random"),
    PARAM("type", STRING, "TYPE", type, "luks2 or luks1 (default: luks2)",
          .choices = "luks2|luks1"),
    NEW_VOLUME_ROWS(struct format, volume.arguments),
    PARAM(
        "size", SIZE, "SIZE", usable_bytes,
        "the usable size: a file is made, or made large enough, to hold header and data; default: "
        "the whole image is used",
        .min = 1, .max = INT64_MAX / 2),
    NEW_VOLUME_PBKDF_ROWS(struct format, volume.arguments),
    PARAM("header", STRING, "FILE", header,
          "keep the header in this file; the image then holds nothing but data"),
    PARAM("discard", FLAG, NULL, discard,
          "set the flag by which all who open the volume pass TRIM on, which shows what is in use "
          "(luks2)"),
    PARAM("force", FLAG, NULL, force, "overwrite what is there", .never_proposed = true),
    LOCK_ROWS(struct format, volume.arguments.terms),
    PARAM_AT(offsetof(struct format, help), "help", FLAG, NULL, "show this help", .letter = 'h'),
    { .name = NULL },
};

/* For a shell: an image may be nbd://host/name?socket=path&... */
static void print_word(const char *before, const char *text)
{
    char *word = shell_text_word(text);

    printf("%s%s", before, word != NULL ? word : text);
    free(word);
}

static void print_result(const struct new_volume *volume, const struct luks_segment *segment)
{
    const char *key_file = volume->arguments.key.file;
    bool named = key_file != NULL && strcmp(key_file, "-") != 0;

    printf("%s is a LUKS%d volume now.\n", volume->image.spec, (int)segment->type);
    printf("UUID:        %s\n", segment->uuid);
    printf("Cipher:      %s, %u-bit key, sectors of %u bytes\n", segment->cipher.name,
           segment->cipher.key_bits, segment->sector_bytes);
    printf("Usable size: %s\n", size_text(segment->payload_bytes).text);
    printf("Serve it:    nbdcrypt serve");
    if (named)
        print_word(" --key-file ", key_file);
    if (volume->header.spec)
        print_word(" --header ", volume->header.spec);
    print_word(" ", volume->image.spec);
    printf("\n");
}

static void warn_of_weakness(const struct luks_segment *segment)
{
    const char *weakness = cipher_spec_weakness(&segment->cipher, segment->payload_bytes);

    if (weakness)
        log_warning("%s %s", segment->cipher.name, weakness);
}

static int check(void *context, char **operands, struct error *err)
{
    struct format *format = context;

    (void)operands;
    return new_volume_set_options(&format->volume, err);
}

static int run(void *context, char **operands, struct error *err)
{
    struct format *format = context;
    struct new_volume *volume = &format->volume;
    struct luks_segment segment;
    int result = new_volume_inspect(volume, operands[0], err);

    if (result == 0)
        result = new_volume_choose_sizes(volume, err);
    if (result == 0)
        result = new_volume_make(volume, &segment, err);
    if (result == 0) {
        print_result(volume, &segment);
        warn_of_weakness(&segment);
    }
    new_volume_close(volume);
    return result;
}

static const struct format defaults = {
    .volume = { .arguments = { .type = "luks2", .cipher = "aes-xts-plain64" },
                .force_option = "force" },
};

const struct command command_format = {
    .name = "format",
    .help = "make an encrypted disk",
    .cryptsetup = "luksFormat",
    .about = "Makes an encrypted disk: writes a LUKS header with a new random key.",
    .operands = "IMAGE",
    .params = format_params,
    .arguments_bytes = sizeof(struct format),
    .defaults = &defaults,
    .check = check,
    .run = run,
};
