/*
 * Data paths: how the bytes of one READ or WRITE travel. A path describes a read's answer (struct reply), ops/reply.c sends
 * it; a path carries out a write. Both say what really happened in a struct account, which is booked in the ledger
 * exactly once. Layer: data; no libfuse.
 *
 * To add a path: fs/data/path_foo.c with `const struct path_ops path_foo_ops` at its foot, and 'foo' in meson's list.
 */
#ifndef ZCFS_DATA_PATH_H
#define ZCFS_DATA_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "data/path_id.h"
#include "data/worker.h"
#include "node/handle.h"

/* The ways bytes can go; they add up to R.bytes. */
enum way {
	WAY_SPLICE,
	WAY_COPY,
	WAY_DIRECT,
	WAY_MMAP,
	WAY_POOL_HIT,
	WAY_POOL_MISS,
	WAY_KERNEL,
	WAY_COUNT
};

/* One READ or WRITE as the kernel sent it. */
struct io_request {
	struct handle *handle; /* borrowed for the request */
	uint64_t off_bytes;
	size_t len_bytes; /* <= max_io_bytes */
	bool is_direct; /* O_DIRECT is set on the open at this moment */
	bool is_append; /* O_APPEND is set at this moment: the write goes to the end, wherever that is by then */
	bool is_writeback; /* the kernel writes back its page cache (mmap): the caller is unknown */
	bool is_sync; /* O_SYNC or O_DSYNC, of the open or of this write: durable when it is answered */
	bool is_kill; /* whoever writes has no right to keep set-id bits (FUSE_WRITE_KILL_SUIDGID) */
};

/* What happened to the bytes of one request. */
struct account {
	uint64_t way_bytes[WAY_COUNT];
	uint64_t user_bytes; /* copied by the CPU into or out of the daemon's memory */
	uint64_t dma_bytes; /* moved by O_DIRECT; more than asked for where a range was widened */
	bool is_misaligned; /* refused for its alignment (O_DIRECT) */
};

/* The answer to a READ. */
enum reply_kind {
	REPLY_MEMORY, /* len_bytes at mem, in the worker's area */
	REPLY_RANGE, /* fd at off_bytes, up to len_bytes: to be spliced; fewer where the file ends */
	REPLY_VIEW, /* len_bytes in the pieces iov[1 .. iov_count], which path_ops.done() gives back; iov[0] is the header's */
};

struct reply {
	enum reply_kind kind;
	int fd; /* REPLY_RANGE: borrowed from the handle */
	uint64_t off_bytes;
	size_t len_bytes;
	unsigned char *mem; /* REPLY_MEMORY; the header goes directly before it */
	enum way way; /* REPLY_MEMORY: how the bytes came there; of a REPLY_VIEW the account has it already */
	struct iovec *iov; /* REPLY_VIEW */
	size_t iov_count;
};

/* The payload of a WRITE: in memory (at worker->data, so aligned), or in worker->pipe. Paths consume it wholly or leave the rest. */
struct payload {
	unsigned char *mem; /* NULL: it is in the pipe */
	size_t len_bytes; /* not yet consumed */
};

struct path_ops {
	const char *name;
	/* Fills *out, and *acc but for the reply's own copy. 0 or -errno. Blocks on the backing file. */
	int (*read)(struct worker *w, const struct io_request *rq, struct reply *out,
		    struct account *acc);
	/* Writes the payload. Bytes written (short only at ENOSPC and the like), or -errno; *acc says how they went. */
	ssize_t (*write)(struct worker *w, const struct io_request *rq, struct payload *in,
			 struct account *acc);
	/* A WRITE of len bytes is better received through the pipe. */
	bool (*wants_pipe)(size_t len_bytes);
	/* After a REPLY_VIEW was sent, when handle and node may be gone: what it used is free again. NULL where there are none. */
	void (*done)(struct worker *w);
};

/* By id; PATH_ID_AUTO has none: resolve it with path_resolve() first. */
const struct path_ops *path_ops_get(enum path_id id);

/*
 * The path one request takes: the handle's; but O_DIRECT requests of auto and pool take direct, which gives programs that have a
 * cache of their own what they ask for, and others of auto take splice.
 */
enum path_id path_resolve(enum path_id handle_path, bool is_direct);

/* A payload in the pipe is brought into worker->data (a copy, counted in acc). 0 or -errno. */
int payload_to_memory(struct worker *w, struct payload *in, struct account *acc) MUST_CHECK;

/* Reads a range of fd into w->data as REPLY_MEMORY, by WAY_COPY: what path copy does, and splice's fallback. 0 or -errno. */
int path_copy_range(struct worker *w, int fd, uint64_t off_bytes, size_t len_bytes,
		    struct reply *out, struct account *acc) MUST_CHECK;

/* Writes the payload through memory to fd by WAY_COPY, at its offset or, for is_append, at the end. Bytes or -errno. */
ssize_t path_copy_payload(struct worker *w, const struct io_request *rq, int fd, struct payload *in,
			  struct account *acc) MUST_CHECK;

/* Requests below this are copied: splicing a few pages costs more than copying them. Measured; see fs/README.md. */
#define SPLICE_READ_MIN_BYTES  (32UL * 1024)
#define SPLICE_WRITE_MIN_BYTES (128UL * 1024)

#endif
