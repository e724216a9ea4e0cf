/* Files of /proc and folders, read without memory and locks: safe in a handler of a signal. */
#ifndef NBDCRYPT_PROC_FILE_H
#define NBDCRYPT_PROC_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "/proc/self/task/" "71" "/wchan": up to three parts become one path, cut where there is no more
 * room. */
#define PROC_PATH_BYTES 128u
void proc_path(char out[PROC_PATH_BYTES], const char *first, uint64_t number, const char *last);

/* The beginning of a file, with a NUL; without its last line end.  0: it can't be read, and *out is
 * empty. */
size_t proc_read(char *out, size_t room_bytes, const char *path);

/* What stands behind a word in such a file ("VmRSS:"), as a number; false: nothing does. */
bool proc_number(const char *text, const char *word, uint64_t *out);

/* One line after the other of a file that may be long.  `fd`: -1 when it can't be read. */
struct proc_lines {
    int fd;
    size_t start, end;
    char bytes[4096];
};
void proc_lines_open(struct proc_lines *lines, const char *path);
/* With a NUL in the place of its end; one that is longer than there is room is cut.  NULL: there
 * are no more, and the file is closed. */
char *proc_lines_next(struct proc_lines *lines);

/* Names in a folder; `fd` is the caller's. */
struct proc_folder {
    int fd;
    size_t start, end;
    _Alignas(8) char bytes[8192];
};
void proc_folder_begin(struct proc_folder *folder, int fd);
/* Without "." and "..".  NULL: there are no more. */
const char *proc_folder_next(struct proc_folder *folder);

#endif
