#include "server/report/proc-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/base/file-io.h"

/* ---- whole files ---- */

void proc_path(char out[PROC_PATH_BYTES], const char *first, uint64_t number, const char *last)
{
    char digits[24], *at = digits + sizeof digits - 1;
    size_t used = 0;

    *at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    const char *parts[] = { first, at, last };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        for (const char *c = parts[i]; *c != '\0' && used < PROC_PATH_BYTES - 1; c++)
            out[used++] = *c;
    out[used] = '\0';
}

size_t proc_read(char *out, size_t room_bytes, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;

    out[0] = '\0';
    if (fd < 0)
        return 0;
    if (file_io_read(fd, out, room_bytes - 1, &length) < 0)
        length = 0;
    close(fd);
    if (length > 0 && out[length - 1] == '\n')
        length--;
    out[length] = '\0';
    return length;
}

bool proc_number(const char *text, const char *word, uint64_t *out)
{
    const char *at = strstr(text, word);

    if (at == NULL)
        return false;
    at += strlen(word);
    at += strspn(at, " \t");
    if (*at < '0' || *at > '9')
        return false;
    for (*out = 0; *at >= '0' && *at <= '9'; at++)
        *out = *out * 10 + (uint64_t)(*at - '0');
    return true;
}

/* ---- lines ---- */

void proc_lines_open(struct proc_lines *lines, const char *path)
{
    lines->fd = open(path, O_RDONLY | O_CLOEXEC);
    lines->start = lines->end = 0;
}

static bool read_more(struct proc_lines *lines)
{
    size_t room = sizeof lines->bytes - 1;
    ssize_t got;

    memmove(lines->bytes, lines->bytes + lines->start, lines->end - lines->start);
    lines->end -= lines->start;
    lines->start = 0;
    if (lines->fd < 0 || lines->end == room)
        return false;
    do
        got = read(lines->fd, lines->bytes + lines->end, room - lines->end);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return false;
    lines->end += (size_t)got;
    return true;
}

char *proc_lines_next(struct proc_lines *lines)
{
    char *end;

    do {
        char *line = lines->bytes + lines->start;

        end = memchr(line, '\n', lines->end - lines->start);
        if (end != NULL) {
            *end = '\0';
            lines->start = (size_t)(end - lines->bytes) + 1;
            return line;
        }
    } while (read_more(lines));
    if (lines->start < lines->end) { /* what is there has no end */
        char *line = lines->bytes + lines->start;

        lines->bytes[lines->end] = '\0';
        lines->start = lines->end = 0;
        return line;
    }
    if (lines->fd >= 0)
        close(lines->fd);
    lines->fd = -1;
    return NULL;
}

/* ---- folders ---- */

void proc_folder_begin(struct proc_folder *folder, int fd)
{
    folder->fd = fd;
    folder->start = folder->end = 0;
}

const char *proc_folder_next(struct proc_folder *folder)
{
    while (true) {
        if (folder->start == folder->end) {
            long got = syscall(SYS_getdents64, folder->fd, folder->bytes, sizeof folder->bytes);

            if (got <= 0)
                return NULL;
            folder->start = 0;
            folder->end = (size_t)got;
        }
        const struct dirent64 *entry =
            (const struct dirent64 *)(const void *)(folder->bytes + folder->start);
        folder->start += entry->d_reclen;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return entry->d_name;
    }
}
