/*
 * READ and WRITE, which the session hands over as the kernel sent them. Layer: ops. In a worker's thread.
 */
#ifndef ZCFS_OPS_OPS_FILE_H
#define ZCFS_OPS_OPS_FILE_H

#include <linux/fuse.h>
#include <stdint.h>

#include "data/path.h"
#include "fs.h"
#include "ops/reply.h"

/* One READ or WRITE being served. */
struct file_request {
	struct fs *fs;
	struct worker *w;
	struct reply_to to;
	uint64_t nodeid;
	uid_t uid; /* the caller's; 0 of write-back */
	gid_t gid;
	uint64_t arrival_ticks;
};

/* Serves and answers a READ. `in` is copied before the worker's data area is used. */
void ops_file_read(const struct file_request *r, const struct fuse_read_in *in);

/* Serves and answers a WRITE whose payload is in memory or in the worker's pipe; the pipe is empty afterwards. */
void ops_file_write(const struct file_request *r, const struct fuse_write_in *in, struct payload *payload);

/* Whether a WRITE of this size to this file is better received through the pipe. */
bool ops_file_wants_pipe(const struct fuse_write_in *in);

#endif
