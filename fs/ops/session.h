/*
 * The request loop: worker threads that read requests from /dev/fuse, serve READ and WRITE themselves and give the rest to
 * libfuse. Layer: ops.
 *
 * Threads: as many as there are requests being served, and four more to wait; at most opt.threads. Surplus ones are parked, so
 * that requests do not wander over cold threads.
 */
#ifndef ZCFS_OPS_SESSION_H
#define ZCFS_OPS_SESSION_H

#include <fuse_lowlevel.h>
#include <stdbool.h>

#include "base/auto.h"
#include "fs.h"

/*
 * Makes the session and its notifier and sets fs->session, fs->notifier. dev_fd: borrowed, /dev/fuse of the mounted session. 0
 * or -errno.
 */
int session_new(struct fs *fs, struct fuse_session *se, struct session **out) MUST_CHECK;

/* Starts the first worker and waits until it serves; others come with the load. 0, or -errno: why it cannot. Main thread. */
int session_start(struct session *s) MUST_CHECK;

/*
 * Waits until the kernel has sent nothing for a while (50 ms), 2 s at most: after a detach, for the write-back of mapped
 * pages, which the kernel's syncfs starts but does not wait for. Main thread.
 */
void session_drain(struct session *s);

/* Ends the notifier, then all workers. Requests still queued stay unanswered. Main thread. */
void session_stop(struct session *s);

void session_free(struct session *s);

/* The signal a worker sends the process when the kernel has ended the session (unmounted, aborted). */
#define SESSION_ENDED_SIGNAL SIGUSR1

/* libfuse's init handler: agrees with the kernel on capabilities and sizes. */
void session_init(void *userdata, struct fuse_conn_info *conn);

#endif
