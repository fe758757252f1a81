/*
 * The only place that sends file data, and the only one that books a READ or WRITE. Layer: ops. Speaks the kernel's
 * protocol itself (linux/fuse.h), because only who fills the pipe knows whether bytes were spliced or copied.
 */
#ifndef ZCFS_OPS_REPLY_H
#define ZCFS_OPS_REPLY_H

#include <stdint.h>

#include "data/account.h"
#include "data/path.h"

/* Where an answer goes. */
struct reply_to {
	int dev_fd; /* /dev/fuse, the descriptor the request was read from */
	uint64_t unique; /* the request's number */
	uint32_t pid; /* the thread that waits for it; 0: none, or it is not known */
};

/*
 * A READ's answer in two steps, so that it can be booked in between. reply_prepare() brings the range into the worker's pipe
 * (or, where it cannot be spliced, into memory: then *r says so afterwards) and completes acc. Returns the bytes to be sent,
 * or -errno, with the pipe empty.
 */
int64_t reply_prepare(struct worker *w, const struct reply_to *to, struct reply *r, struct account *acc);

/*
 * Sends what was prepared; the pipe is empty afterwards. If /dev/fuse refuses the pipe's pages the bytes are copied after
 * all, and booked anew in `ledger` (may be NULL). A requester that is gone is no error.
 */
void reply_commit(struct worker *w, const struct reply_to *to, const struct reply *r,
		  struct ledger *ledger);

/* Sends an error (-errno, or 0 for success without data). */
void reply_send_err(struct worker *w, const struct reply_to *to, int err);

/* Sends a WRITE's answer: bytes written. Any thread; w may be NULL outside a worker. */
void reply_send_written(struct worker *w, const struct reply_to *to, size_t written_bytes);

#endif
