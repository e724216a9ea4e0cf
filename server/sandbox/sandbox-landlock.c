#include "server/sandbox/sandbox-landlock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS_CREATE 444 /* the same on all architectures */
#define SYS_ADD 445
#define SYS_RESTRICT 446
#define CREATE_VERSION 1u
#define RULE_PATH 1
#define RULE_PORT 2

/* linux/landlock.h */
enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_DIR = 1 << 4,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_CHAR = 1 << 6,
    FS_MAKE_DIR = 1 << 7,
    FS_MAKE_REG = 1 << 8,
    FS_MAKE_SOCK = 1 << 9,
    FS_MAKE_FIFO = 1 << 10,
    FS_MAKE_BLOCK = 1 << 11,
    FS_MAKE_SYM = 1 << 12,
    FS_ALL_1 = (1 << 13) - 1,
    FS_REFER = 1 << 13,     /* version 2 */
    FS_TRUNCATE = 1 << 14,  /* version 3 */
    FS_IOCTL_DEV = 1 << 15, /* version 5 */
};
enum { NET_BIND = 1, NET_CONNECT = 2 };
enum { SCOPE_ABSTRACT_SOCKET = 1 }; /* and signals, but we end what we have started before */

#define FS_WRITES                                                                                \
    (FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_SOCK | \
     FS_MAKE_FIFO | FS_MAKE_SYM)
#define FS_OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

struct ruleset {
    uint64_t files, ports, scopes;
};

struct path_rule {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

struct port_rule {
    uint64_t allowed, port;
};

/* What libraries and we read, whoever has configured what. */
static const struct sandbox_path system_paths[] = {
    { "/usr", SANDBOX_READ, false },
    { "/lib", SANDBOX_READ, false },
    { "/lib64", SANDBOX_READ, false },
    { "/lib32", SANDBOX_READ, false },
    { "/proc", SANDBOX_READ, false },
    { "/sys", SANDBOX_READ, false },
    { "/dev", SANDBOX_READ, false },
    { "/dev/null", SANDBOX_WRITE, false },
    { "/dev/mapper/control", SANDBOX_WRITE, false },
    { "/dev/tty", SANDBOX_WRITE, false },
    { "/run/systemd", SANDBOX_READ, false },
    { "/run/udev", SANDBOX_READ, false },
    { "/run/credentials", SANDBOX_READ, false },
    { "/run/resolvconf", SANDBOX_READ, false },
    { "/run/NetworkManager", SANDBOX_READ, false },
    { "/run/nbdcrypt", SANDBOX_READ, false },
    { "/var/lib/nbdcrypt/conf.d", SANDBOX_READ, false },
    { "/etc/nbdcrypt", SANDBOX_READ, false },
    { "/etc/ceph", SANDBOX_READ, false },
    { "/etc/crypto-policies", SANDBOX_READ, false },
    { "/etc/gai.conf", SANDBOX_READ, false },
    { "/etc/gcrypt", SANDBOX_READ, false },
    { "/etc/gnutls", SANDBOX_READ, false },
    { "/etc/group", SANDBOX_READ, false },
    { "/etc/host.conf", SANDBOX_READ, false },
    { "/etc/hosts", SANDBOX_READ, false },
    { "/etc/ld.so.cache", SANDBOX_READ, false },
    { "/etc/ld.so.preload", SANDBOX_READ, false },
    { "/etc/localtime", SANDBOX_READ, false },
    { "/etc/machine-id", SANDBOX_READ, false },
    { "/etc/nsswitch.conf", SANDBOX_READ, false },
    { "/etc/passwd", SANDBOX_READ, false },
    { "/etc/pki", SANDBOX_READ, false },
    { "/etc/protocols", SANDBOX_READ, false },
    { "/etc/resolv.conf", SANDBOX_READ, false },
    { "/etc/services", SANDBOX_READ, false },
    { "/etc/ssl", SANDBOX_READ, false },
};

/* Who writes there is there again at the next start, or is root.  In /, and in /var. */
static const char *const system_folders[] = {
    "/bin",    "/boot", "/efi",  "/etc",  "/lib", "/lib32", "/lib64",
    "/libx32", "/proc", "/root", "/sbin", "/sys", "/usr",   "/var/spool",
};

int landlock_version(void)
{
    long version = syscall(SYS_CREATE, NULL, (size_t)0, CREATE_VERSION);

    return version > 0 ? (int)version : 0;
}

bool landlock_is_below(const char *path, const char *folder)
{
    size_t length = strlen(folder);

    return strncmp(path, folder, length) == 0 && (path[length] == '\0' || path[length] == '/' ||
                                                  (length > 0 && folder[length - 1] == '/'));
}

bool landlock_always_allows(const char *path)
{
    for (size_t i = 0; i < sizeof system_paths / sizeof system_paths[0]; i++)
        if (landlock_is_below(path, system_paths[i].path))
            return true;
    return false;
}

bool landlock_is_of_system(const char *path)
{
    for (size_t i = 0; i < sizeof system_folders / sizeof system_folders[0]; i++)
        if (landlock_is_below(path, system_folders[i]))
            return true;
    return false;
}

/* ---- what is taken away ---- */

static uint64_t known_file_rights(int version)
{
    return FS_ALL_1 | (version >= 2 ? FS_REFER : 0) | (version >= 3 ? FS_TRUNCATE : 0) |
           (version >= 5 ? FS_IOCTL_DEV : 0);
}

/* In any case what we never do: but a plugin may. */
static uint64_t handled_files(int version, const struct sandbox_settings *settings)
{
    const uint64_t never = FS_EXECUTE | FS_MAKE_CHAR | FS_MAKE_BLOCK;
    const uint64_t writes = FS_WRITES | (known_file_rights(version) & (FS_REFER | FS_TRUNCATE));
    const uint64_t rights[] = {
        [SANDBOX_REACH_ALL] = settings->programs ? 0 : never,
        [SANDBOX_REACH_SYSTEM] = never | writes,
        [SANDBOX_REACH_WRITES] = never | writes,
        [SANDBOX_REACH_PATHS] = known_file_rights(version),
    };

    return settings->programs ? rights[settings->reach] & ~(uint64_t)FS_EXECUTE
                              : rights[settings->reach];
}

static struct ruleset ruleset_of(int version, const struct sandbox_settings *settings)
{
    return (struct ruleset){
        .files = handled_files(version, settings),
        .ports = version >= LANDLOCK_VERSION_NETWORK && settings->only_ports
                     ? NET_CONNECT | (settings->only_bind ? NET_BIND : 0)
                     : 0,
        .scopes =
            version >= LANDLOCK_VERSION_SCOPES && !settings->outsiders ? SCOPE_ABSTRACT_SOCKET : 0,
    };
}

static size_t ruleset_bytes(int version)
{
    return version >= LANDLOCK_VERSION_SCOPES    ? sizeof(struct ruleset)
           : version >= LANDLOCK_VERSION_NETWORK ? offsetof(struct ruleset, scopes)
                                                 : offsetof(struct ruleset, ports);
}

/* ---- what stays ---- */

static uint64_t rights_of(enum sandbox_access access)
{
    static const uint64_t rights[] = {
        [SANDBOX_READ] = FS_READ_FILE | FS_READ_DIR,
        [SANDBOX_WRITE] = FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV,
        [SANDBOX_NAMES] = FS_READ_DIR | FS_REMOVE_FILE | FS_REMOVE_DIR | FS_MAKE_SOCK,
        [SANDBOX_FILES] = FS_READ_DIR | FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE | FS_MAKE_REG |
                          FS_MAKE_DIR | FS_REMOVE_FILE,
        [SANDBOX_ALL] = FS_WRITES | FS_READ_FILE | FS_READ_DIR | FS_REFER | FS_TRUNCATE,
    };

    return rights[access];
}

static int add_path(int ruleset_fd, uint64_t handled, const struct sandbox_path *path,
                    struct error *err)
{
    struct path_rule rule = { .parent_fd = open(path->path, O_PATH | O_CLOEXEC) };
    struct stat status;

    if (rule.parent_fd < 0 && !path->demanded)
        return 0;
    if (rule.parent_fd < 0 || fstat(rule.parent_fd, &status) < 0)
        return error_set(err, -errno, "the sandbox can't allow '%s': %s", path->path,
                         strerror(errno));
    rule.allowed = rights_of(path->access) & handled;
    if (!S_ISDIR(status.st_mode))
        rule.allowed &= FS_OF_FILES;
    long result = rule.allowed != 0 ? syscall(SYS_ADD, ruleset_fd, RULE_PATH, &rule, 0) : 0;
    int error = errno;
    close(rule.parent_fd);
    return result == 0 ? 0
                       : error_set(err, -error, "the sandbox can't allow '%s': %s", path->path,
                                   strerror(error));
}

static int add_paths(int ruleset_fd, uint64_t handled, const struct sandbox_path *paths,
                     size_t count, struct error *err)
{
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++)
        result = add_path(ruleset_fd, handled, &paths[i], err);
    return result;
}

/* Each folder in this one, but for those of the system, and `apart`. */
static int add_folders_in(int ruleset_fd, uint64_t handled, const char *folder, const char *apart,
                          struct error *err)
{
    DIR *listing = opendir(folder);
    const struct dirent *entry;
    int result = 0;

    while (listing != NULL && result == 0 && (entry = readdir(listing)) != NULL) {
        char name[sizeof entry->d_name + sizeof "/var/"];
        const struct sandbox_path path = { name, SANDBOX_ALL, false };

        (void)snprintf(name, sizeof name, "%s%s", folder, entry->d_name);
        if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0 && strcmp(name, apart) != 0 &&
            !landlock_is_of_system(name))
            result = add_path(ruleset_fd, handled, &path, err);
    }
    if (listing != NULL)
        (void)closedir(listing);
    return result;
}

static int add_ports(int ruleset_fd, uint64_t allowed, const uint16_t *ports, size_t count,
                     struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct port_rule rule = { allowed, ports[i] };

        if (syscall(SYS_ADD, ruleset_fd, RULE_PORT, &rule, 0) != 0)
            return error_set(err, -errno, "the sandbox can't allow port %u: %s", ports[i],
                             strerror(errno));
    }
    return 0;
}

static int add_rules(int ruleset_fd, const struct ruleset *ruleset,
                     const struct sandbox_settings *settings, struct error *err)
{
    int result = 0;

    if (settings->reach != SANDBOX_REACH_ALL) {
        result = add_paths(ruleset_fd, ruleset->files, system_paths,
                           sizeof system_paths / sizeof system_paths[0], err);
        if (result == 0)
            result =
                add_paths(ruleset_fd, ruleset->files, settings->paths, settings->path_count, err);
    }
    if (result == 0 && settings->reach == SANDBOX_REACH_SYSTEM) {
        result = add_folders_in(ruleset_fd, ruleset->files, "/", "/var", err);
        if (result == 0)
            result = add_folders_in(ruleset_fd, ruleset->files, "/var/", "", err);
    }
    if (result == 0 && ruleset->ports != 0) {
        result = add_ports(ruleset_fd, NET_CONNECT, settings->connect_ports,
                           settings->connect_count, err);
        if (result == 0 && settings->only_bind)
            result =
                add_ports(ruleset_fd, NET_BIND, settings->bind_ports, settings->bind_count, err);
    }
    return result;
}

int landlock_enter(int version, const struct sandbox_settings *settings, struct error *err)
{
    const struct ruleset ruleset = ruleset_of(version, settings);

    if (ruleset.files == 0 && ruleset.ports == 0 && ruleset.scopes == 0)
        return 0;
    int fd = (int)syscall(SYS_CREATE, &ruleset, ruleset_bytes(version), 0u);
    if (fd < 0)
        return error_set(err, -errno, "Landlock can't be used: %s", strerror(errno));
    int result = add_rules(fd, &ruleset, settings, err);
    if (result == 0 && syscall(SYS_RESTRICT, fd, 0u) != 0)
        result = error_set(err, -errno, "Landlock can't be used: %s", strerror(errno));
    close(fd);
    return result;
}
