#include "server/sandbox/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "server/base/log.h"
#include "server/loop/ring-restrictions.h"
#include "server/sandbox/sandbox-landlock.h"
#include "server/sandbox/sandbox-seccomp.h"
#include "server/sandbox/sandbox-violation.h"

#define BLOCK_BYTES 100000u /* less than what malloc() maps by itself */
#define BLOCKS 320u

/* There is one sandbox in a process.  Written before there are threads. */
static struct sandbox_report now;
static struct sandbox_path *visible; /* whole paths, without links */
static size_t visible_count;

void sandbox_prepare(enum sandbox_mode mode)
{
    ring_restrictions_use(mode != SANDBOX_OFF);
}

const char *sandbox_mode_name(enum sandbox_mode mode)
{
    static const char *const names[] = {
        [SANDBOX_OFF] = "off", [SANDBOX_AUTO] = "auto", [SANDBOX_STRICT] = "strict"
    };

    return names[mode];
}

/* ---- what is lacking ---- */

static void note_lack(const char *what)
{
    size_t used = strlen(now.lacks);

    (void)snprintf(now.lacks + used, sizeof now.lacks - used, "%s%s", used > 0 ? ", " : "", what);
}

static void look_at_landlock(const struct sandbox_settings *settings)
{
    now.landlock = landlock_version();
    if (now.landlock == 0)
        note_lack("Landlock (not in this kernel, or not switched on)");
    else if (settings->only_ports && now.landlock < LANDLOCK_VERSION_NETWORK)
        note_lack("ports (Landlock before version 4)");
    now.reach = now.landlock > 0 ? settings->reach : SANDBOX_REACH_ALL;
    now.ports = settings->only_ports && now.landlock >= LANDLOCK_VERSION_NETWORK;
}

/* ---- names ---- */

/* For sandbox_hides(). */
static int remember_paths(const struct sandbox_settings *settings, struct error *err)
{
    visible = calloc(settings->path_count + 1, sizeof *visible);
    if (visible == NULL)
        return error_no_memory(err, "for the sandbox");
    for (size_t i = 0; i < settings->path_count; i++) {
        const struct sandbox_path *path = &settings->paths[i];
        char *whole = path->access != SANDBOX_NAMES ? realpath(path->path, NULL) : NULL;

        if (whole != NULL)
            visible[visible_count++] =
                (struct sandbox_path){ .path = whole, .access = path->access };
    }
    return 0;
}

bool sandbox_hides(const char *path, enum sandbox_access access)
{
    char whole[PATH_MAX];

    if (now.reach == SANDBOX_REACH_ALL || realpath(path, whole) == NULL)
        return false;
    if (access == SANDBOX_READ &&
        (now.reach != SANDBOX_REACH_PATHS || landlock_always_allows(whole)))
        return false;
    for (size_t i = 0; i < visible_count; i++)
        if (visible[i].access >= access && landlock_is_below(whole, visible[i].path))
            return false;
    return now.reach != SANDBOX_REACH_SYSTEM || landlock_is_of_system(whole);
}

/* ---- in force ---- */

static int refuse_to_lack(struct error *err)
{
    return error_set(err, -ENOSYS,
                     "--sandbox strict: this machine lacks %s; --sandbox auto does without",
                     now.lacks);
}

static int enter_calls(const struct sandbox_settings *settings, struct error *err)
{
    int result = sandbox_violation_watch(settings->mode == SANDBOX_STRICT, err);

    if (result == 0)
        result = seccomp_enter(settings->programs, err);
    if (result < 0 && settings->mode == SANDBOX_STRICT)
        return result;
    now.calls = result == 0;
    now.programs = now.calls && !settings->programs;
    if (result < 0)
        note_lack("system calls (seccomp is not available here)");
    return 0;
}

static int enter_files(const struct sandbox_settings *settings, struct error *err)
{
    int result = landlock_enter(now.landlock, settings, err);

    if (result == 0 && now.reach != SANDBOX_REACH_ALL)
        result = remember_paths(settings, err);
    return result;
}

int sandbox_enter(const struct sandbox_settings *settings, struct error *err)
{
    int result = 0;

    now = (struct sandbox_report){ .mode = settings->mode };
    if (settings->mode == SANDBOX_OFF)
        return 0;
    now.rings = ring_restrictions_hold();
    if (!now.rings)
        note_lack("rings (Linux before 5.10)");
    look_at_landlock(settings);
    bool machine_lacks = now.lacks[0] != '\0'; /* what the build lacks, its builder knows */
    if (seccomp_lack() != NULL)
        note_lack(seccomp_lack());
    if (settings->mode == SANDBOX_STRICT && now.lacks[0] != '\0')
        return refuse_to_lack(err);
    now.no_new_privs = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    if (now.landlock > 0)
        result = enter_files(settings, err);
    if (result == 0 && seccomp_lack() == NULL)
        result = enter_calls(settings, err);
    if (result == 0 && machine_lacks)
        log_notice("the sandbox is not whole: this machine lacks %s", now.lacks);
    return result;
}

/* glibc's malloc reads /proc/sys/vm/overcommit_memory when a thread gives memory back for the first
 * time in a process: so that is now.  More than the limit above which it does, which grows. */
static void let_malloc_look(void)
{
    static atomic_flag has_looked = ATOMIC_FLAG_INIT;
    void **blocks = NULL;

    if (atomic_flag_test_and_set(&has_looked))
        return;
    for (unsigned i = 0; i < BLOCKS; i++) {
        void **block = malloc(BLOCK_BYTES);

        if (block == NULL)
            break;
        *block = (void *)blocks;
        blocks = block;
    }
    while (blocks != NULL) {
        void **next = *blocks;

        free((void *)blocks);
        blocks = next;
    }
}

int sandbox_enter_worker(struct error *err)
{
    if (!now.calls)
        return 0;
    let_malloc_look();
    return seccomp_enter_worker(err);
}

/* ---- for who looks ---- */

void sandbox_describe(struct sandbox_report *out)
{
    *out = now;
    out->rings = now.rings && ring_restrictions_hold();
    out->violations = sandbox_violation_count();
}

static void add(char out[SANDBOX_TEXT_BYTES], const char *format, ...)
{
    size_t used = strlen(out);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(out + used, SANDBOX_TEXT_BYTES - used, format, args);
    va_end(args);
}

const char *sandbox_writes_name(enum sandbox_reach reach)
{
    static const char *const names[] = {
        [SANDBOX_REACH_ALL] = "anywhere",
        [SANDBOX_REACH_SYSTEM] = "outside_system",
        [SANDBOX_REACH_WRITES] = "named",
        [SANDBOX_REACH_PATHS] = "named",
    };

    return names[reach];
}

void sandbox_text(char out[SANDBOX_TEXT_BYTES], const struct sandbox_report *report)
{
    const struct {
        bool in_force;
        const char *name;
    } parts[] = { { report->no_new_privs, "no new privileges" },
                  { report->reach == SANDBOX_REACH_PATHS, "files" },
                  { report->reach == SANDBOX_REACH_WRITES, "writes" },
                  { report->reach == SANDBOX_REACH_SYSTEM, "writes to the system" },
                  { report->ports, "ports" },
                  { report->calls, "system calls" },
                  { report->programs, "programs" },
                  { report->rings, "rings" } };

    out[0] = '\0';
    add(out, "%s", sandbox_mode_name(report->mode));
    if (report->mode == SANDBOX_OFF)
        return;
    if (report->landlock > 0)
        add(out, ", Landlock %d", report->landlock);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i].in_force)
            add(out, ", %s", parts[i].name);
    if (report->violations > 0)
        add(out, "; %llu violations", (unsigned long long)report->violations);
    if (report->lacks[0] != '\0')
        add(out, "; lacks %s", report->lacks);
}
