/*
 * A stream of bytes out of a file that may be compressed: by zstd or xz, told by its first bytes, not by its name.
 */
#ifndef ZCFS_DECODE_H
#define ZCFS_DECODE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/auto.h"

struct decode;

/* Takes the descriptor over, whatever is returned. 0 or -ENOMEM. */
int decode_new(int fd, struct decode **out) MUST_CHECK;
void decode_free(struct decode *d); /* NULL is fine */

/*
 * Up to len bytes, > 0. Returns how many; 0 at the end; -errno of read(2); -EBADMSG if what is compressed cannot be read, -ENOMEM,
 * for both of which decode_why() has the words. After an error nothing more can be read.
 */
ssize_t decode_read(struct decode *d, char *out, size_t len) MUST_CHECK;

/* Why the last decode_read() failed, for a person. */
const char *decode_why(const struct decode *d);

#endif
