/*
 * Invalidation of the kernel's page cache, from a thread of its own. A worker must not do it: the kernel waits for pages that
 * are being read, and those reads may need that very worker. Layer: ops.
 *
 * Why: after an asynchronous O_DIRECT write through FUSE the kernel drops no page that a buffered reader brought in meanwhile,
 * so buffered opens of the file would read the old bytes from then on. Here the pages are dropped before the write is answered.
 */
#ifndef ZCFS_OPS_NOTIFY_H
#define ZCFS_OPS_NOTIFY_H

#include <fuse_lowlevel.h>
#include <stdint.h>

#include "base/auto.h"
#include "ops/reply.h"

struct notifier;

/* Starts the thread. 0 or -errno. se: borrowed until notifier_free(). */
int notifier_new(struct fuse_session *se, struct notifier **out) MUST_CHECK;

/*
 * Carries out what is queued and ends the thread, while workers still serve: the kernel may make it wait for pages whose reads
 * only they can answer. What comes later is answered without invalidation.
 */
void notifier_stop(struct notifier *n);

/* After notifier_stop(). No worker may use it any more. */
void notifier_free(struct notifier *n);

/*
 * Drops the kernel's cached pages of [off, off + len) of inode `ino` (len 0: to the end), then answers the WRITE `to` with
 * written_bytes. Never blocks; short of memory, it answers at once after dropping the pages itself.
 */
void notifier_answer_write(struct notifier *n, const struct reply_to *to, fuse_ino_t ino,
			   uint64_t off_bytes, uint64_t len_bytes, size_t written_bytes);

/*
 * Drops the kernel's cached attributes of inode `ino` and its pages of [off, off + len) (len 0: to the end), soon. For a write
 * that went through the cache and is answered already: until its answer the kernel may hold its last page locked, and dropping
 * that one would wait for ever. Never blocks but when short of memory.
 */
void notifier_drop(struct notifier *n, fuse_ino_t ino, uint64_t off_bytes, uint64_t len_bytes);

/* The same, waiting until it is done, at most wait_ns: for a write not answered yet. After that it is done in its time. */
void notifier_drop_within(struct notifier *n, fuse_ino_t ino, uint64_t off_bytes,
			  uint64_t len_bytes, int64_t wait_ns);

#endif
