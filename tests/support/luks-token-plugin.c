/* A plugin of libcryptsetup for tests/luks/test-token-plugins.sh: it gives the passphrase that is
 * in the token as its member "answer", asks for a PIN when that is "pin", and fails when it is
 * "fail". */
#include <errno.h>
#include <libcryptsetup.h>
#include <stdlib.h>
#include <string.h>

int cryptsetup_token_open(struct crypt_device *device, int token, char **buffer,
                          size_t *buffer_bytes, void *context);
void cryptsetup_token_buffer_free(void *buffer, size_t buffer_bytes);

int cryptsetup_token_open(struct crypt_device *device, int token, char **buffer,
                          size_t *buffer_bytes, void *context)
{
    const char *json = NULL;

    (void)context;
    if (crypt_token_json_get(device, token, &json) < 0)
        return -EINVAL;
    const char *answer = strstr(json, "\"answer\"");
    const char *from = answer != NULL ? strchr(answer + strlen("\"answer\""), '"') : NULL;
    const char *end = from != NULL ? strchr(from + 1, '"') : NULL;
    if (end == NULL)
        return -EINVAL;
    size_t length = (size_t)(end - from - 1);
    if (length == 3 && memcmp(from + 1, "pin", 3) == 0)
        return -ENOANO;
    if (length == 4 && memcmp(from + 1, "fail", 4) == 0) {
        crypt_log(device, CRYPT_LOG_ERROR, "The device does not answer.\n");
        return -EIO;
    }
    *buffer = malloc(length + 1);
    if (*buffer == NULL)
        return -ENOMEM;
    memcpy(*buffer, from + 1, length);
    *buffer_bytes = length;
    return 0;
}

void cryptsetup_token_buffer_free(void *buffer, size_t buffer_bytes)
{
    (void)buffer_bytes;
    free(buffer);
}
