/* The Guru Meditation Report: what a server is and does, for the one who has to find out what is
 * wrong with it, in one text that has no secrets.
 *
 * It is made in two tiers.  Sections that are REPORT_SAFE take no locks and no memory, so they are
 * there when a thread hangs, when malloc() does, and in the handler of a signal that ends the
 * process.  The others are collected by a thread of their own, which is waited for a little: what
 * hangs costs them alone. */
#ifndef NBDCRYPT_REPORT_H
#define NBDCRYPT_REPORT_H

#include <sys/types.h>

#include "server/board/board.h"
#include "server/report/report-modules.h"
#include "server/report/report-tree.h"

#define REPORT_VERSION 1u /* of the JSON: raised when something in it gets another meaning */

/* Why there is one. */
struct report_cause {
    const char *kind;   /* a word, which is in the name of its files: "asked", "stall" */
    const char *reason; /* a sentence without its end */
};

/* What it is of. */
struct report_look {
    const struct board *board; /* NULL: there is none yet */
    uint64_t now_ns;           /* as times on the board */
    pid_t pid;
    const struct report_modules *modules; /* NULL: of a process that has gone */
};

enum {
    REPORT_SAFE = 1,  /* no locks, no memory: see above */
    REPORT_BOARD = 2, /* it needs the board alone: also of a process that has gone */
};

struct report_section {
    const char *name; /* a word, with '_' between parts; JSON has it as it is */
    unsigned flags;
    void (*collect)(struct report_tree *tree, struct report_node *of,
                    const struct report_look *look);
};

/* Any thread; once is enough, more does no harm.  It stays. */
void report_register(const struct report_section *section);

/* The head, and all sections with these flags and without those. */
void report_collect(struct report_tree *tree, const struct report_cause *cause,
                    const struct report_look *look, unsigned with, unsigned without);

/* ---- for sections ---- */

/* Joins texts up to NULL, cut where there is no more room. */
void report_join(char *out, size_t room_bytes, const char *first, ...) __attribute__((sentinel));
/* In decimal digits; `out` is for the expression that it stands in. */
#define REPORT_DIGITS(number) report_digits((char[24]){ 0 }, number)
const char *report_digits(char out[24], uint64_t number);
/* 2026-11-29T16:40:01Z, or as in names of files 20261129T164001Z. */
#define REPORT_TIME_BYTES 24u
void report_time(char out[REPORT_TIME_BYTES], uint64_t seconds, bool short_form);
/* Text with passwords in it: of URIs (user:password@), and values of parameters that are named like
 * secrets, become ***.  At most 4000 bytes of it. */
void report_text_masked(struct report_tree *tree, struct report_node *of, const char *name,
                        const char *text);

#endif
