#include "server/pki/tls-advice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/shell-text.h"

/* What is printed needs no memory in one piece: no more is lost than a line of advice. */
static char *format_word(const char *front, const char *middle, const char *back)
{
    char *text, *word = NULL;

    if (asprintf(&text, "%s%s%s", front, middle, back) >= 0) {
        word = shell_text_word(text);
        free(text);
    }
    return word;
}

static const char *or_empty(char *word)
{
    return word != NULL ? word : "";
}

static char *folder_of(const char *path, const char *below)
{
    size_t length = strlen(path);
    char *folder;

    while (length > 1 && path[length - 1] == '/')
        length--;
    return asprintf(&folder, "%.*s/%s", (int)length, path, below) < 0 ? NULL : folder;
}

static char *client_folder(const char *path, const char *client)
{
    char *below = folder_of("clients", client);
    char *folder = below != NULL ? folder_of(path, below) : NULL;

    free(below);
    return folder;
}

/* A wildcard is no address. */
static const char *example_host(const struct param_list *hosts)
{
    for (size_t i = 0; hosts != NULL && i < hosts->count; i++) {
        if (hosts->items[i][0] != '*')
            return hosts->items[i];
    }
    return "HOST";
}

/* "nbds://[::1]/?tls-certificates=pki/clients/client" */
static void print_copy(const char *user, const char *host, const char *parameter, const char *path)
{
    bool v6 = strchr(host, ':') != NULL;
    char *file = shell_text_uri(path), *name = shell_text_uri(user), *uri = NULL, *word = NULL;

    if (file != NULL && name &&
        asprintf(&uri, "nbds://%s%s%s%s%s/?%s=%s", name, *name ? "@" : "", v6 ? "[" : "", host,
                 v6 ? "]" : "", parameter, file) >= 0)
        word = format_word(uri, "", "");
    printf("Copy:   nbdcopy %s copy.raw\n", or_empty(word));
    free(word);
    free(uri);
    free(name);
    free(file);
}

static void print_qemu(const char *host, const char *folder)
{
    char *object = format_word("tls-creds-x509,id=tls0,endpoint=client,dir=", folder, "");
    char *image = format_word("driver=nbd,host=", host, ",port=10809,tls-creds=tls0");

    printf("QEMU:   qemu-img info --object %s \\\n"
           "            --image-opts %s\n",
           or_empty(object), or_empty(image));
    free(object);
    free(image);
}

static void print_serve(const char *folder)
{
    char *word = shell_text_word(folder);

    printf("Serve:  nbdcrypt serve --listen 0.0.0.0:10809 --tls require --tls-verify-peer \\\n"
           "            --tls-certificates %s IMAGE\n",
           or_empty(word));
    free(word);
}

static void print_place(const char *what, const char *path)
{
    char *word = path != NULL ? shell_text_word(path) : NULL;

    printf("%-16s%s\n", what, or_empty(word));
    free(word);
}

void tls_advice_init(const char *path, const char *client, const struct param_list *hosts)
{
    char *key = folder_of(path, "ca-key.pem"), *server = folder_of(path, "server");
    char *folder = client_folder(path, client);

    print_place("To the server:", server);
    print_place("To the client:", folder);
    print_place("Nowhere:", key);
    printf("Whoever has that last file can make certificates that the server takes.\n\n");
    if (server != NULL && folder) {
        print_serve(server);
        print_copy("", example_host(hosts), "tls-certificates", folder);
        print_qemu(example_host(hosts), folder);
    }
    free(key);
    free(server);
    free(folder);
}

void tls_advice_client(const char *path, const char *client)
{
    char *folder = client_folder(path, client);

    print_place("To the client:", folder);
    if (folder) {
        print_copy("", "HOST", "tls-certificates", folder);
        print_qemu("HOST", folder);
    }
    free(folder);
}

void tls_advice_server(const char *path)
{
    char *folder = folder_of(path, "server");

    print_place("To the server:", folder);
    printf("Then send the server SIGHUP (kill -HUP PID): it reads it again.\n");
    free(folder);
}

void tls_advice_revoke(const char *path, const char *client, size_t revoked, bool in_server)
{
    char *list = folder_of(path, in_server ? "server/ca-crl.pem" : "ca-crl.pem");
    char *word = shell_text_word(client);

    if (revoked == 0)
        printf("All certificates of %s had been revoked before.\n", or_empty(word));
    else
        printf("%zu certificate%s of %s %s revoked.\n", revoked, revoked == 1 ? "" : "s",
               or_empty(word), revoked == 1 ? "is" : "are");
    print_place("To the server:", list);
    printf("Then send the server SIGHUP (kill -HUP PID): until then it takes them.\n");
    free(word);
    free(list);
}

void tls_advice_psk(const char *path, const char *user)
{
    char *file = shell_text_word(path), *name = shell_text_word(user);
    char *encoded = shell_text_uri(user);

    printf("%s has a key in %s now.\n"
           "To the server:  the file\n"
           "To the client:  a file with the line of %s only\n"
           "\n"
           "Serve:  nbdcrypt serve --listen 0.0.0.0:10809 --tls require --tls-psk %s IMAGE\n",
           or_empty(name), or_empty(file), or_empty(name), or_empty(file));
    /* libnbd 1.14 takes what is encoded in the user of a URI as it stands. */
    if (encoded != NULL && strcmp(encoded, user) == 0)
        print_copy(user, "HOST", "tls-psk-file", "keys.psk");
    free(encoded);
    free(file);
    free(name);
}

void tls_advice_psk_removed(const char *path, const char *user)
{
    char *file = shell_text_word(path), *name = shell_text_word(user);

    printf("%s has no key in %s any more.\n"
           "Copy the file to the server, and send that SIGHUP.  Connections that were made before "
           "stay.\n",
           or_empty(name), or_empty(file));
    free(file);
    free(name);
}
