/*
 * How a worker gets its next request from /dev/fuse. Layer: ops.
 *
 *   by memory   read(2): one call; a WRITE's payload lands aligned at worker->data
 *   by pipe     splice(2), then the head is read: one call more, but a large WRITE's pages stay references
 *
 * What comes next is unknown, so the way is chosen by what came last: after a large WRITE that its path wants in the pipe, the
 * next few requests are received by pipe.
 */
#ifndef ZCFS_OPS_RECEIVE_H
#define ZCFS_OPS_RECEIVE_H

#include <linux/fuse.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "data/worker.h"

/* The largest head of a request with a payload. */
#define HEAD_BYTES (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))

/* Shared by all workers of a session. */
struct receiver {
	int dev_fd; /* borrowed */
	atomic_int pipe_credit; /* receive so many more by pipe; relaxed, a hint */
};

/* A request of n bytes is at receive_head(), or, but for its first HEAD_BYTES, in the worker's pipe. */
struct received {
	ssize_t n; /* or -errno */
	bool is_piped;
};

/* Where a request begins: so far before worker->data that a WRITE's payload starts there. */
static inline unsigned char *receive_head(struct worker *w)
{
	return w->data - HEAD_BYTES;
}

/* Waits for the next request, whose system calls so far are worker->syscalls then. Any worker. */
struct received receive(struct receiver *from, struct worker *w);

/* Tells what the request turned out to be, for the choice of the next ones' way. */
void receive_learn(struct receiver *from, bool is_large_write);

#endif
