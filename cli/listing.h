/*
 * The ledgers of what a path names: of itself, and of the files below it if it is a directory.
 */
#ifndef ZCFS_LISTING_H
#define ZCFS_LISTING_H

#include <stddef.h>

#include "control.h"

struct listing_entry {
	char *path;
	char *json; /* as the daemon wrote it, checked; NULL unless asked for */
	struct control_ledger ledger;
};

/* Owned by whoever declared it, filled by listing_fill(), emptied by listing_fini(). */
struct listing {
	bool keep_json; /* set before filling */
	struct listing_entry self;
	struct listing_entry *files; /* those with I/O, most bytes first */
	size_t count, capacity;
	size_t idle; /* files without I/O, left out */
	size_t skipped; /* files and directories that could not be looked at */
};

/* Looks at path, and at all below it on the same mount if it is a directory. 0 or -errno of path itself. */
int listing_fill(struct listing *list, const char *path) MUST_CHECK;
void listing_fini(struct listing *list);

/* read.bytes + write.bytes. */
uint64_t listing_bytes(const struct control_ledger *ledger);

#endif
