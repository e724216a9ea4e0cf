/* A client that sends anything, in any pieces, against the handshake.
 *
 * The input: one byte for the size of the pieces, one that says how much of a sensible beginning
 * comes first (bit 0: client flags, bit 1: structured replies), then what the client sends.
 *
 *     clang -g -fsanitize=fuzzer,address,undefined ... fuzz-handshake.c     libFuzzer
 *     gcc -g -fsanitize=address,undefined -DFUZZ_STANDALONE ... && ./a.out FILE...
 *                                                     each FILE once; without, random input */
#include <stdint.h>

#include "tests/support/handshake-client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_all(struct client *client)
{
    uint8_t bytes[4096];

    while (fake_socket_take(client->loop, client->fd, bytes, sizeof bytes) > 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct client client;

    if (size < 2)
        return 0;
    client_open(&client);
    fake_socket_chunk(client.loop, client.fd, data[0], data[0]);
    if (data[1] & 1)
        fake_socket_feed(client.loop, client.fd, "\0\0\0\3", 4);
    if (data[1] & 2)
        client_send(&client, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
    fake_socket_feed(client.loop, client.fd, data + 2, size - 2);
    fake_loop_run(client.loop);
    fake_socket_end(client.loop, client.fd);
    fake_loop_run(client.loop);
    take_all(&client);
    EXPECT(client.ends == 1);
    client_close(&client);
    return 0;
}

#ifdef FUZZ_STANDALONE

#define RANDOM_INPUTS 20000u
#define INPUT_BYTES_MAX (1u << 20)

/* Random options in the right frame, or the first ones would be the last. */
static size_t random_input(uint8_t *out, unsigned *seed)
{
    size_t used = 0;

    out[used++] = (uint8_t)rand_r(seed);
    out[used++] = (uint8_t)rand_r(seed) | 1;
    for (int options = rand_r(seed) % 8; options >= 0; options--) {
        const struct nbd_option_header header = {
            .option = (uint32_t)rand_r(seed) % 13,
            .length_bytes = (uint32_t)rand_r(seed) % 64,
        };

        nbd_encode_option_header(out + used, &header);
        used += NBD_OPTION_HEADER_BYTES;
        for (uint32_t i = 0; i < header.length_bytes; i++)
            out[used++] = rand_r(seed) % 3 ? 0 : (uint8_t)rand_r(seed);
    }
    return used;
}

static int run_file(const char *path, uint8_t *input)
{
    FILE *file = fopen(path, "rb");
    size_t size;

    if (file == NULL) {
        perror(path);
        return EXIT_FAILURE;
    }
    size = fread(input, 1, INPUT_BYTES_MAX, file);
    fclose(file);
    return LLVMFuzzerTestOneInput(input, size);
}

int main(int argc, char **argv)
{
    uint8_t *input = malloc(INPUT_BYTES_MAX);
    unsigned seed = 1;
    int status = EXIT_SUCCESS;

    EXPECT(input);
    for (int i = 1; i < argc && status == EXIT_SUCCESS; i++)
        status = run_file(argv[i], input);
    for (unsigned i = 0; argc < 2 && i < RANDOM_INPUTS; i++)
        LLVMFuzzerTestOneInput(input, random_input(input, &seed));
    free(input);
    return status;
}

#endif
