/*
 * Invalidation of the kernel's page cache, from threads of its own. A worker must not do it: the kernel waits for pages that
 * are being read, and those reads may need that very worker. Layer: ops.
 *
 * Why: after an asynchronous O_DIRECT write through FUSE the kernel drops no page that a buffered reader brought in meanwhile,
 * so buffered opens of the file would read the old bytes from then on. Here the pages are dropped before the write is answered.
 *
 * Where the backing hangs, so does the read of such a page, and the thread that waits for it. Others' writes go on by another
 * thread (notifier_tick()), and a program that is killed gets its answer at once (notifier_answer_now()): its write has been
 * carried out. The pages are dropped when they come free; until then others may find old bytes in the rest of the range.
 */
#ifndef ZCFS_OPS_NOTIFY_H
#define ZCFS_OPS_NOTIFY_H

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "ops/reply.h"

struct notifier;

/* Starts the first thread. 0 or -errno. se: borrowed until notifier_stop(). */
int notifier_new(struct fuse_session *se, struct notifier **out) MUST_CHECK;

/*
 * Carries out what is queued and ends the threads, while workers still serve: the kernel may make one wait for pages whose reads
 * only they can answer. What comes later is answered without invalidation. If it takes longer than 2 s, it aborts the connection
 * of the mount with the device number `dev` (0: unknown), which frees the pages; where it cannot, it waits on: a thread left
 * behind would keep the daemon from ending, and the connection from being closed.
 */
void notifier_stop(struct notifier *n, dev_t dev);

/* Neither a worker nor the watching thread may use it any more. Stops it, if that was not done. NULL is nothing. */
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

/*
 * By the watching thread, once a tick. Starts another thread, up to 8 in all, if there is something that could be carried out
 * and has not been since the last tick. True while there is anything.
 */
bool notifier_tick(struct notifier *n);

/*
 * The next WRITE that was waiting for its answer at the last tick already: sets *number, by which the search goes on (0: from
 * the start), and *pid, its caller's thread. False: no more.
 */
bool notifier_next_waiting(struct notifier *n, uint64_t *number, uint32_t *pid);

/* Answers it, unless that has been done, before its pages are dropped. */
void notifier_answer_now(struct notifier *n, uint64_t number);

#endif
