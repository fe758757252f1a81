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
};

/*
 * Sends a READ's answer and completes acc with what the sending did: a range that could not be spliced is copied and said so.
 * Returns the bytes sent, or -errno of an error reply it sent instead. The worker's pipe is empty afterwards.
 */
int64_t reply_send(struct worker *w, const struct reply_to *to, const struct reply *r, struct account *acc);

/* Sends an error (-errno, or 0 for success without data). */
void reply_send_err(struct worker *w, const struct reply_to *to, int err);

/* Sends a WRITE's answer: bytes written. Any thread; w may be NULL outside a worker. */
void reply_send_written(struct worker *w, const struct reply_to *to, size_t written_bytes);

#endif
