/*
 * The daemon without a kernel: its struct fs and session as main.c makes them, on a small backing tree, with a pipe in the
 * place of /dev/fuse and one worker, which is the calling thread. One at a time; not thread-safe.
 *
 * The backing tree is in a tmpfs of its own (32 MiB, in a mount namespace of the process, so that nothing else is within
 * reach and nothing stays), or, where that is not permitted or $ZCFS_FUZZ_DIR names a directory, in a directory made there.
 */
#pragma once

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/worker.h"
#include "fs.h"

/* The largest READ and WRITE; above both SPLICE_*_MIN_BYTES. */
#define DAEMON_MAX_IO (256UL * 1024)

struct daemon {
	struct fs fs;
	struct fuse_session *se;
	struct worker worker;
	int dev_fd; /* the pipe, opened for both directions: request and answer never meet, as one waits for the other */
	int top_fd; /* the directory that holds the backing directory */
	bool is_private; /* it is a tmpfs of this process alone */
	size_t fds; /* the process's descriptors before this input, but for the worker's pipes */
};

/* How the daemon is set up for one input. */
struct daemon_setup {
	const char *options; /* as behind -o */
	size_t fd_budget;
	bool is_flush_needed;
	bool has_direct_mmap;
};

/* Once, before the first input; ends the process if it cannot. */
void daemon_start(struct daemon *d);

/* A fresh backing tree, node table and ledger: f (150000 bytes), g (empty), d/, d/a, l -> f, p (a fifo). */
void daemon_begin(struct daemon *d, const struct daemon_setup *setup);

/* From now on the process gets at most so many descriptors more than it has, until daemon_unlimit_fds(). */
void daemon_limit_fds(unsigned more);
void daemon_unlimit_fds(void);

/* Serves the one request that has been written to dev_fd. */
void daemon_serve(struct daemon *d);

/* As main.c does when the mount is over, whatever is still open; then nothing may be left of it. */
void daemon_end(struct daemon *d);
