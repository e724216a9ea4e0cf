/* An image whose LUKS header is apart holds data from where that header says, and must be no other
 * volume. */
#ifndef NBDCRYPT_FOREIGN_HEADER_H
#define NBDCRYPT_FOREIGN_HEADER_H

#include "crypto/luks/luks.h"
#include "server/block/layer.h"

/* Does `image` begin with a LUKS header of its own that would be destroyed, or whose data would be,
 * by writes to the volume of `header`, which is apart?  0: no; 1: yes, and `err` has a sentence
 * with cause and way out.  The volume's own header may be there, too, in front of the data. Errors:
 * those of reading.  Blocks; the message does not name the image. */
NODISCARD int foreign_header_find(const struct luks_header *header, struct stage *image,
                                  struct error *err);

#endif
