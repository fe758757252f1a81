/*
 * What path direct shares with path pool: writing to a backing whose data goes by O_DIRECT, at any alignment. Layer: data.
 */
#ifndef ZCFS_DATA_PATH_DIRECT_H
#define ZCFS_DATA_PATH_DIRECT_H

#include "data/path.h"

/*
 * Writes a payload in memory that its program did not align: whole blocks by the O_DIRECT descriptor fd, the ends buffered, written
 * out and dropped from the page cache. Appends (rq->is_append) wholly so. The payload's bytes may have been moved in memory
 * afterwards, unless its address and rq->off_bytes agree modulo 4096. Bytes (short at ENOSPC and the like) or -errno; *acc says
 * how they went. Blocks.
 */
ssize_t path_direct_split_write(struct worker *w, const struct io_request *rq, int fd,
				struct payload *in, struct account *acc) MUST_CHECK;

/*
 * What was just written to [off, off + len) through the page cache goes to the device and out of the cache; len 0: the whole file.
 * 0 or -errno. Two system calls. Blocks.
 */
int path_direct_write_out(int fd, uint64_t off_bytes, uint64_t len_bytes) MUST_CHECK;

#endif
