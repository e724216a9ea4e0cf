/* The status page: one text, which asks for /status.json again and again and for nothing else. */
#ifndef NBDCRYPT_STATUS_PAGE_H
#define NBDCRYPT_STATUS_PAGE_H

#include <stdbool.h>
#include <stddef.h>

/* HTML; *length_bytes is set. */
const char *status_page(size_t *length_bytes);
/* The Content-Security-Policy that lets it do what it does, and no more: its style and its script
 * by their hashes (Content Security Policy Level 3, "hash-source").  The caller's to free; NULL: no
 * memory. */
char *status_page_policy(void);

#endif
