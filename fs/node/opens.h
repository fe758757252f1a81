/*
 * The opens the kernel has not released: files and directories alike. The kernel releases them all, except when the mount is
 * ended under programs that hold it busy; then the daemon closes what is left by this list. Layer: node.
 */
#ifndef ZCFS_NODE_OPENS_H
#define ZCFS_NODE_OPENS_H

#include "base/lock.h"

/* Embedded in what was opened. Guarded by the list's mutex. */
struct open_link {
	struct open_link *prev, *next;
	void (*close)(struct open_link *link); /* frees what embeds it */
};

struct opens {
	struct mutex mutex; /* a leaf */
	struct open_link head; /* of a ring */
};

void opens_init(struct opens *o);

/* Any thread. */
void opens_add(struct opens *o, struct open_link *link, void (*close)(struct open_link *));
void opens_remove(struct opens *o, struct open_link *link);

/* Closes what is left. No other thread may use the list any more. */
void opens_fini(struct opens *o);

#endif
