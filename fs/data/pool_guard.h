/*
 * What keeps the buffer pool right about files that are read and changed past it: by other data paths, with O_DIRECT, by truncate,
 * fallocate, copy_file_range. For a node without a pool file all of this is nothing. Layer: data. Any thread.
 */
#ifndef ZCFS_DATA_POOL_GUARD_H
#define ZCFS_DATA_POOL_GUARD_H

#include "base/auto.h"
#include "data/path.h"
#include "pool/pool.h"

/* Around one change; on the stack. Between begin and end the thread must not use the pool. */
struct pool_guard {
	struct pool_file *file; /* NULL: nothing is guarded */
	struct pool_change change;
	bool is_grown_underneath; /* pool_guard_append() found the file longer than the pool knew */
};

/* Before a change of n's bytes in the range, or of its size. is_truncate, errors: pool_change_begin(). Blocks. */
int pool_guard_begin(struct pool_guard *g, struct node *n, uint64_t off_bytes, uint64_t len_bytes,
		     bool is_truncate) MUST_CHECK;
/*
 * The change is over, or has failed. fd is asked for the file's size where the range went to the end; elsewhere the file is at least
 * end_bytes long now, 0 if it cannot have grown. Nothing after a begin that failed.
 */
void pool_guard_end(struct pool_guard *g, int fd, uint64_t end_bytes);

/*
 * Before an append: to the end from wherever that is when nobody else changes it any more. *end_bytes says where; UINT64_MAX if the
 * backing does not.
 */
int pool_guard_append(struct pool_guard *g, struct node *n, int fd, uint64_t *end_bytes) MUST_CHECK;

/* The same around a WRITE by another path; n: what became of it. */
int pool_guard_write_begin(struct pool_guard *g, const struct io_request *rq) MUST_CHECK;
void pool_guard_write_end(struct pool_guard *g, const struct io_request *rq, ssize_t n);

/* Before anything is read from n's backing in the range: what the pool has not written yet, is. 0 or -errno. Blocks. */
int pool_guard_read(struct node *n, uint64_t off_bytes, uint64_t len_bytes) MUST_CHECK;

/* Before n's attributes are told: a write that the pool holds has changed them. True: those read before are out of date. */
bool pool_guard_times(struct node *n);

#endif
