/*
 * A worker: one thread of the request loop and the memory, pipe and credentials that are its alone. No other
 * thread touches a worker's fields, so nothing here is locked. Layer: data; no libfuse.
 *
 *   area:  | headroom 4096 ....[header]|data: max_io + slack ..........|scratch|
 *                                      ^ page-aligned
 *
 * A request is read so that a WRITE's payload begins at `data`: aligned, hence good for O_DIRECT. A READ's reply is made
 * there too, its header directly before it, so that one write(2) sends both.
 */
#ifndef ZCFS_DATA_WORKER_H
#define ZCFS_DATA_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/auto.h"
#include "base/cred.h"
#include "pool/pool.h"

/* A pipe with room for `slots` pages; slots is what the kernel granted (F_SETPIPE_SZ may be capped). */
struct pipe {
	int rd; /* -1: none */
	int wr;
	size_t slots;
};

struct worker {
	unsigned char *area; /* mmap'd */
	size_t area_bytes;
	unsigned char *data; /* page-aligned, WORKER_HEADROOM into area */
	size_t data_bytes; /* from data to the scratch: max_io + slack */
	unsigned char *scratch; /* behind the data, for handlers' replies: a request's own text stands at `data` */
	size_t scratch_bytes;
	struct pipe pipe; /* requests in, file ranges out; empty between requests */
	size_t pipe_slots; /* what it has to have */
	int64_t pipe_retry_ns; /* CLOCK_MONOTONIC; where there is none, another is not tried before */
	struct pipe spare; /* a second one, for a reply that came out short; made when first needed */
	struct cred cred;
	struct pool_view view; /* pages of the buffer pool that a reply is being sent from */
	struct pool_file *view_file; /* whose they are */
	unsigned syscalls; /* made since the present request arrived, its receipt included */
};

#define WORKER_HEADROOM 4096
/*
 * What an unaligned range costs beyond max_io when it is widened to the alignment, or to pages of the buffer pool: one unit at each
 * end, 64K at most.
 */
#define WORKER_SLACK   (2UL * POOL_PAGE_MAX)
#define WORKER_SCRATCH (128UL * 1024)

/* max_io_bytes: the largest payload. want_pipe: make the pipe for splicing (short of pipes it goes
 * without and copies). 0 or -errno; on failure nothing is held. */
int worker_init(struct worker *w, uint64_t max_io_bytes, bool want_pipe) MUST_CHECK;
void worker_fini(struct worker *w);

/*
 * Makes or grows p to at least `slots` pages. 0, or -errno with p closed: -EPERM where the user's pipe limits
 * (/proc/sys/fs/pipe-max-size, pipe-user-pages-soft) do not allow so many. A pipe that is too small would block
 * the worker that fills it, so there is none rather than a small one.
 */
int pipe_open(struct pipe *p, size_t slots) MUST_CHECK;
void pipe_close(struct pipe *p);
/*
 * Empties p by replacing it: after an error nobody knows what is left in it. If no new one is to be had
 * p is closed (rd < 0), which says so in the log, and the worker copies.
 */
void pipe_renew(struct pipe *p);
/* The same of the worker's own, with all the rights to pages it can have. */
void worker_renew_pipe(struct worker *w);
/* Where the worker's own is missing: tries for one, though not oftener than once a second. */
void worker_retry_pipe(struct worker *w);

/* The largest READ or WRITE whose pages and header fit a pipe here: min(wanted, what F_SETPIPE_SZ grants). Multiple of 4096. */
uint64_t pipe_max_io(uint64_t wanted_bytes);

#endif
