/*
 * A ledger as text, as JSON, and value by value, for the extended attributes. Layer: stats. Pure
 * functions over snapshots; thread-safe. They allocate: not with a lock held.
 */
#ifndef ZCFS_STATS_RENDER_H
#define ZCFS_STATS_RENDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "stats/counters.h"

/* What stands above the counters. Strings are borrowed for the call. */
struct render_head {
	const char *title; /* "file", "directory" or "mount" */
	const char *path; /* the path of the next open: "auto", "splice", ...; or NULL */
	const char *io_mode; /* one line, or NULL */
	const struct counters_snapshot *others; /* on the mount: what was merged; else NULL */
	uint64_t files; /* on the mount: files with a ledger; else 0 */
	uint64_t merged; /* on the mount: files merged into others */
};

/*
 * The whole ledger, aligned for reading, ending in a newline. A group of rows that are all zero is
 * one line ("writes  none"). malloc'd; NULL when memory is short.
 */
char *render_text(const struct render_head *head, const struct counters_snapshot *s) MUST_CHECK;

/*
 * The same, and every zero, as one JSON object ending in a newline; always valid JSON, whatever
 * bytes the head's strings hold:
 *
 *   {"title": "file", "path": "auto", "io_mode": null, "read.ops": 12, ..., "copy.per_byte": 2.00,
 *    "read.latency": {"count": 2, "p50": 740, "p90": 900, "p99": 900, "p99.9": 900, "max": 900,
 *                     "buckets": [[512, 2]]}, ...}
 *
 * "buckets" lists the non-empty ones as [least value, count]. On the mount there are also "files",
 * "merged" and "others", an object of the same counters. malloc'd; NULL when memory is short.
 */
char *render_json(const struct render_head *head, const struct counters_snapshot *s) MUST_CHECK;

/*
 * One value by its name without prefix ("read.ops", "copy.per_byte", "read.latency") as decimal
 * text without newline; a histogram is one line, "count=2 p50=740 p90=900 p99=900 p99.9=900
 * max=900" (ns or bytes). malloc'd into *out. 0, -ENODATA (no such name) or -ENOMEM.
 */
int render_value(const char *name, const struct counters_snapshot *s, char **out) MUST_CHECK;

/*
 * All names a file answers (with the prefix "user.zcfs.", each ended by NUL), as listxattr returns
 * them: the fixed names of wire.h and every counter, histogram and derived value. Static memory;
 * *len_bytes is set.
 */
const char *render_names(size_t *len_bytes);

/* The same with those of the buffer pool before them: what the root of a mount that has one answers. */
const char *render_names_with_pool(size_t *len_bytes);

#endif
