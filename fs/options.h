/*
 * Mount options: parsed from the text after -o, checked, printed. Rows are in options.def. Layer:
 * below node/, above base/; no libfuse.
 */
#ifndef ZCFS_OPTIONS_H
#define ZCFS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/auto.h"
#include "data/path_id.h"

enum cache_mode { CACHE_KERNEL, CACHE_NONE };
enum pool_write_mode { POOL_WRITE_THROUGH, POOL_WRITE_BACK };

struct evict_ops; /* pool/evict.h */
#define POOL_GHOSTS_MAX 8

/* rule=GLOB:PATH; the first whose glob (base/glob.h) matches the path below the mount wins. */
struct rule {
	char *glob;
	enum path_id path;
};

struct options {
	enum path_id path; /* path= */
	struct rule *rules; /* rule=, in the order given */
	size_t rules_count;
	enum cache_mode cache; /* cache= */
	uint64_t max_io_bytes; /* max_io=, 4K..1M, a multiple of 4K */
	unsigned threads; /* threads=, 1..256: at most so many workers */
	double attr_timeout_s; /* attr_timeout=, 0..1e9 */
	double entry_timeout_s; /* entry_timeout=, 0..1e9 */
	uint64_t readahead_bytes; /* readahead=, 0..64M, a multiple of 4K */
	bool list_stats; /* list_stats */
	uint64_t ledger_files; /* ledger_files=, 1..16M */
	uint64_t pool_size_bytes; /* pool_size=, 64K..16T, a multiple of 4K */
	uint64_t pool_page_bytes; /* pool_page=, 4K..64K, a power of two */
	const struct evict_ops *pool_policy; /* pool_policy= */
	const struct evict_ops *pool_ghosts[POOL_GHOSTS_MAX]; /* pool_ghosts=, in the order given, none twice */
	size_t pool_ghosts_count;
	enum pool_write_mode pool_write; /* pool_write= */
	unsigned pool_dirty_max_percent; /* pool_dirty_max=, 1..90 */
	double pool_flush_interval_s; /* pool_flush_interval=, 0.01..3600 */
	uint64_t pool_readahead_bytes; /* pool_readahead=, 0..16M, a multiple of 4K */
	unsigned pool_verify; /* pool_verify=: enum pool_verify of pool/pool.h */
	bool xdev; /* xdev */
	bool nfs_export; /* nfs_export */
	bool is_read_only; /* ro */
	bool allow_other; /* allow_other */
	bool allow_root, auto_unmount; /* among `fuse` below */
	/*
	 * For libfuse: the usual FUSE and mount options that are not ours, comma-separated,
	 * escaped as libfuse reads them; "" if none. Without ro, allow_other and
	 * default_permissions, which whoever mounts adds, and after a default fsname= and
	 * subtype=: the last one counts.
	 */
	char *fuse;
};

/*
 * Sets the defaults, then applies `text` ("path=copy,ro,..."; NULL or "" is fine), the last of
 * several counting. In it "\," is a comma and "\\" a backslash; any other backslash stays, for
 * globs. A word that is a policy and follows pool_ghosts= or another such word belongs to pool_ghosts. A value of context= and its kin may stand in double quotes, with commas in them, as
 * mount(8) writes it. 0, or -EINVAL with one line in err (what, why, what would be accepted), or
 * -ENOMEM, with a line as well. On failure *o holds nothing. Unknown words are refused unless they
 * are usual FUSE or mount options.
 */
int options_parse(struct options *o, const char *text, char *err, size_t err_bytes) MUST_CHECK;

/* Frees what *o holds and zeroes it; again is harmless. */
void options_free(struct options *o);

/*
 * The path that `relpath` (below the mount, no leading slash) is to take: the first matching
 * rule's, else o->path.
 */
enum path_id options_path_for(const struct options *o, const char *relpath);

/* Whether path= or a rule= is pool, so that a mount without one would not do what it was asked. */
bool options_name_pool(const struct options *o);

#endif
