/*
 * The ledger as a mount tells it, through the extended attributes of fs/wire.h. Descriptors are O_PATH: looking
 * at a file opens nothing, so it does not change what it looks at.
 */
#ifndef ZCFS_CONTROL_H
#define ZCFS_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

/* Room for any value and its NUL: the kernel's limit on an extended attribute. */
#define CONTROL_VALUE_BYTES 65537

/* The sums of fs/stats/counters.def. */
enum control_counter {
#define COUNTER(id, name, unit, help) CONTROL_##id,
#include "fs/stats/counters.def"
	CONTROL_COUNT
};

struct control_ledger {
	uint64_t value[CONTROL_COUNT];
	char title[12]; /* "file", "directory" or "mount" */
};

/* The name of a counter, as "read.bytes", and the counter of a name (CONTROL_COUNT if there is none). */
const char *control_counter_name(enum control_counter id);
enum control_counter control_counter_find(const char *name, size_t len);

/*
 * The value of one attribute (a name of wire.h) of the file behind an O_PATH descriptor, ended by NUL, into buf of
 * CONTROL_VALUE_BYTES. Its length; -ENODATA (not on a zcfs mount, or no regular file or directory) or -errno.
 */
ssize_t control_get(int fd, const char *name, char *buf) MUST_CHECK;

/*
 * Sets an attribute (a name of wire.h) of the file behind an O_PATH descriptor; asks first whether it is on a zcfs mount, since
 * elsewhere that would leave an attribute. 0, -ENODATA (as above) or -errno.
 */
int control_set(int fd, const char *name, const char *value) MUST_CHECK;

/* Zeroes the ledger of the file. The same results. */
int control_reset(int fd) MUST_CHECK;

/* Takes the sums and the title out of a ledger's JSON; -EPROTO if it is not a JSON object. Counters it lacks are 0. */
int control_parse(const char *json, struct control_ledger *out) MUST_CHECK;

/*
 * One line on why `path` cannot be looked at, err as -errno, and the exit status for it: 2 where the path is wrong,
 * 1 where looking failed.
 */
int control_complain(const char *cmd, const char *path, int err);

#endif
