#include "server/report/report-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/report/proc-file.h"
#include "server/report/report-view.h"
#include "server/report/report.h"

#define NAME_BYTES 96u
#define TRIES 9u /* of one second, process and kind */
#define STDERR_MS 1000u
#define FORGET_MAX 64u /* at a time */
#define PREFIX "report-"

void report_files_make_folder(const struct report_files *files)
{
    if (files->directory[0] != '\0')
        (void)mkdir(files->directory, 0700);
}

bool report_files_are_writable(const struct report_files *files)
{
    return files->directory[0] == '\0' || access(files->directory, W_OK | X_OK) == 0;
}

/* ---- names ---- */

/* report-20261129T164001Z-812-stall, and -2 and so on behind it. */
static void put_stem(char out[NAME_BYTES], const char *kind, pid_t pid, unsigned try)
{
    char time[REPORT_TIME_BYTES], number[24] = "", process[24];
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    report_time(time, (uint64_t)now.tv_sec, true);
    report_join(out, NAME_BYTES - 6, PREFIX, time, "-", report_digits(process, (uint64_t)pid), "-",
                kind, try > 1 ? "-" : "", try > 1 ? report_digits(number, try) : "", NULL);
}

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), bytes = strlen(end);

    return length > bytes && strcmp(name + length - bytes, end) == 0;
}

/* What this file makes, and nothing else. */
static bool is_report(const char *name)
{
    static const char shape[] = PREFIX "########T######Z-";
    size_t i = 0;

    for (; shape[i] != '\0'; i++)
        if (shape[i] == '#' ? name[i] < '0' || name[i] > '9' : name[i] != shape[i])
            return false;
    return strchr(name + i, '-') != NULL && strlen(name) < NAME_BYTES && ends_with(name, ".txt");
}

/* ---- writing ---- */

typedef void write_fn(struct report_out *out, const struct report_tree *const *trees, size_t count);

static int create(int folder, const char *stem, const char *end)
{
    char name[NAME_BYTES];

    report_join(name, sizeof name, stem, end, NULL);
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

static int write_file(int folder, const char *stem, const char *end, write_fn *write_tree,
                      const struct report_tree *const *trees, size_t count)
{
    int fd = create(folder, stem, end);
    struct report_out out = { .fd = fd };
    char name[NAME_BYTES];

    if (fd < 0)
        return fd;
    write_tree(&out, trees, count);
    int result = report_out_end(&out);
    if (close(fd) < 0 && result == 0)
        result = -errno;
    if (result < 0) { /* half of one helps nobody, and takes the room that others need */
        report_join(name, sizeof name, stem, end, NULL);
        (void)unlinkat(folder, name, 0);
    }
    return result;
}

static int write_both(int folder, const char *stem, const struct report_tree *const *trees,
                      size_t count)
{
    int result = write_file(folder, stem, ".txt", report_write_text, trees, count);

    if (result == 0 &&
        write_file(folder, stem, ".json", report_write_json, trees, count) == -EEXIST) {
        result = -EEXIST;
    }
    return result;
}

static int open_folder(const struct report_files *files)
{
    int folder = open(files->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (folder < 0 && errno == ENOENT) {
        report_files_make_folder(files);
        folder = open(files->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    return folder < 0 ? -errno : folder;
}

static int write_into_folder(const struct report_files *files, const char *kind, pid_t pid,
                             const struct report_tree *const *trees, size_t count,
                             char path[REPORT_PATH_BYTES])
{
    int folder = open_folder(files), result = -EEXIST;
    char stem[NAME_BYTES];

    if (folder < 0)
        return folder;
    for (unsigned try = 1; try <= TRIES && result == -EEXIST; try++) {
        put_stem(stem, kind, pid, try);
        result = write_both(folder, stem, trees, count);
    }
    close(folder);
    if (result == 0)
        report_join(path, REPORT_PATH_BYTES, files->directory, "/", stem, ".txt", NULL);
    return result;
}

void report_files_write(const struct report_files *files, const char *kind, pid_t pid,
                        const struct report_tree *const *trees, size_t count,
                        char path[REPORT_PATH_BYTES])
{
    struct report_out out = { .fd = STDERR_FILENO, .wait_ms = STDERR_MS };
    int result =
        files->directory[0] != '\0' ? write_into_folder(files, kind, pid, trees, count, path) : 0;

    if (files->directory[0] != '\0' && result == 0)
        return;
    path[0] = '\0';
    if (result < 0) {
        char text[REPORT_PATH_BYTES + 128];

        report_join(text, sizeof text, "nbdcrypt: a report can't be written to '", files->directory,
                    "' (", strerrorname_np(-result), "): here it is\n", NULL);
        size_t length = strlen(text);
        if (length <= sizeof out.bytes) {
            memcpy(out.bytes, text, length);
            out.used_bytes = length;
        }
    }
    report_write_text(&out, trees, count);
    (void)!report_out_end(&out);
}

/* ---- forgetting ---- */

/* Names are in the order of time.  But one of a time that is still to come was made by a clock that
 * was wrong: it is older than those that were made since. */
static bool is_older(const char *name, const char *than, const char *now)
{
    bool is_wrong = strncmp(name, now, strlen(now)) > 0;
    bool than_is_wrong = strncmp(than, now, strlen(now)) > 0;

    return is_wrong != than_is_wrong ? is_wrong : strcmp(name, than) < 0;
}

/* How many there are, and the name of the oldest one. */
static unsigned look_through(int folder, char oldest[NAME_BYTES])
{
    char time[REPORT_TIME_BYTES], now[REPORT_TIME_BYTES + sizeof PREFIX];
    struct proc_folder names;
    struct timespec clock;
    unsigned count = 0;
    const char *name;

    clock_gettime(CLOCK_REALTIME, &clock);
    report_time(time, (uint64_t)clock.tv_sec, true);
    report_join(now, sizeof now, PREFIX, time, NULL);
    oldest[0] = '\0';
    (void)lseek(folder, 0, SEEK_SET);
    proc_folder_begin(&names, folder);
    while ((name = proc_folder_next(&names)) != NULL) {
        if (!is_report(name))
            continue;
        count++;
        if (oldest[0] == '\0' || is_older(name, oldest, now))
            report_join(oldest, NAME_BYTES, name, NULL);
    }
    return count;
}

void report_files_forget(const struct report_files *files)
{
    int folder = files->keep > 0 && files->directory[0] != '\0' ? open_folder(files) : -1;
    char oldest[NAME_BYTES];

    if (folder < 0)
        return;
    for (unsigned i = 0; i < FORGET_MAX && look_through(folder, oldest) > files->keep; i++) {
        if (unlinkat(folder, oldest, 0) < 0)
            break;
        memcpy(oldest + strlen(oldest) - 4, ".json", sizeof ".json");
        (void)unlinkat(folder, oldest, 0);
    }
    close(folder);
}
