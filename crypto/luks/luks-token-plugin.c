#include "crypto/luks/luks-token-plugin.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/luks/luks-header.h"
#include "crypto/luks/luks-policy.h"
#include "crypto/luks/luks-quote.h"
#include "crypto/luks/luks-token.h"

/* The binary interface, CRYPTSETUP_TOKEN_1.0. */
struct token_plugin {
    void *library;
    crypt_token_open_func open;
    crypt_token_buffer_free_func free; /* NULL: free(3) */
};

static int find_path(char path[PATH_MAX], const char *folder, const char *type, struct error *err)
{
    for (const char *c = type; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
            return error_set(err, -EPERM, "its type '%s' is not that of a plugin",
                             luks_quote(type, strlen(type)).text);
    int length = snprintf(path, PATH_MAX, "%s/libcryptsetup-token-%s.so", folder, type);
    if (length < 0 || length >= PATH_MAX)
        return error_set(err, -ENAMETOOLONG, "the path of its plugin is too long");
    return 0;
}

/* Whoever can write it has this process, and the keys of every export. */
static int check_owner(const char *path, struct error *err)
{
    struct stat status;

    if (stat(path, &status) < 0)
        return error_set(err, -errno, "its plugin '%s' can't be used: %s", path, strerror(errno));
    bool ours = status.st_uid == 0 || status.st_uid == geteuid();
    if (!S_ISREG(status.st_mode) || !ours || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return error_set(err, -EPERM,
                         "its plugin '%s' must be a file that root or you own and nobody else may "
                         "write",
                         path);
    return 0;
}

/* It stays loaded: libraries that it brings may not bear to be unloaded. */
static int load(struct token_plugin *plugin, const char *path, struct error *err)
{
    plugin->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin->library == NULL)
        return error_set(err, -ENOENT, "its plugin can't be loaded: %s", dlerror());
    plugin->open = (crypt_token_open_func)dlsym(plugin->library, CRYPT_TOKEN_ABI_OPEN);
    plugin->free =
        (crypt_token_buffer_free_func)dlsym(plugin->library, CRYPT_TOKEN_ABI_BUFFER_FREE);
    if (plugin->open == NULL)
        return error_set(err, -ENOENT, "its plugin '%s' has no function " CRYPT_TOKEN_ABI_OPEN,
                         path);
    return 0;
}

static int call(struct secret **passphrase, const struct token_plugin *plugin, int token,
                struct cryptsetup_library *library, struct error *err)
{
    char *buffer = NULL;
    size_t buffer_bytes = 0;

    cryptsetup_library_lock();
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): load() has seen that it is there */
    int result = plugin->open(library->device, token, &buffer, &buffer_bytes, NULL);
    cryptsetup_library_unlock();
    if (result == -ENOANO)
        return error_set(err, result,
                         "it wants a PIN, which is not asked for here: give the "
                         "passphrase by --key-command");
    if (result < 0)
        return cryptsetup_library_error(library, result, "its plugin gives no passphrase", err);
    result = buffer != NULL && buffer_bytes > 0
                 ? secret_copy(passphrase, buffer, buffer_bytes, err)
                 : error_set(err, -EINVAL, "its plugin gives an empty passphrase");
    if (buffer != NULL)
        secret_wipe(buffer, buffer_bytes);
    if (plugin->free != NULL)
        plugin->free(buffer, buffer_bytes);
    else
        free(buffer);
    return result;
}

int luks_token_plugin_read(struct secret **passphrase, int token, struct luks_header *header,
                           const char *folder, struct error *err)
{
    struct token_plugin plugin = { 0 };
    char path[PATH_MAX], *type = NULL;
    int result = luks_token_type(&type, token, header, err);

    if (result == 0)
        result = find_path(path, folder, type, err);
    if (result == 0)
        result = check_owner(path, err);
    if (result == 0)
        result = load(&plugin, path, err);
    if (result == 0)
        result = call(passphrase, &plugin, token, header->library, err);
    free(type);
    return result;
}
