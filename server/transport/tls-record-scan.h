/* Where the records of TLS are in what has been received. */
#ifndef NBDCRYPT_TLS_RECORD_SCAN_H
#define NBDCRYPT_TLS_RECORD_SCAN_H

#include <stdint.h>

/* How many of these bytes are whole records.  A record that is longer than `capacity_bytes` comes
 * in parts: *left_bytes is what is missing of one, 0 at the beginning, and the parts count as
 * whole.  What can't be a record at all is usable too, because it has to be refused at once. */
uint32_t tls_record_scan_whole(const uint8_t *bytes, uint32_t count, uint32_t capacity_bytes,
                               uint32_t *left_bytes);

#endif
