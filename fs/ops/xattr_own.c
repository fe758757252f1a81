/*
 * user.zcfs.*: renders ledgers, sets a file's path, resets. Values are made anew for each request,
 * so that getxattr's two calls (how long? then give) may differ in length; ERANGE tells such a
 * caller to ask again, as for any attribute that changes. Any worker; no state of its own.
 */
#include "ops/xattr_own.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "node/mode.h"
#include "ops/xattr_pool.h"
#include "stats/render.h"
#include "wire.h"

#define PREFIX_BYTES  (sizeof(ZCFS_XATTR_PREFIX) - 1)
#define IO_MODE_BYTES 256

bool xattr_own_is(const char *name)
{
	return strncmp(name, ZCFS_XATTR_PREFIX, PREFIX_BYTES) == 0;
}

/* As the kernel has it for user.*: nothing else can carry them. */
static bool can_carry(const struct node *n)
{
	return S_ISREG(n->type) || S_ISDIR(n->type);
}

/* *sums = n's counters; the root's are the mount's. */
static void snapshot(struct fs *fs, struct node *n, struct counters_snapshot *sums,
		     struct counters_snapshot *others)
{
	memset(sums, 0, sizeof(*sums));
	if (n == fs->root) {
		ledger_totals(fs->ledgers, sums, others);
		return;
	}
	struct ledger *ledger = node_ledger_find(fs->nodes, n);
	if (ledger)
		counters_accumulate(&ledger->counters, sums);
	counters_total(sums);
}

static const char *next_path(const struct fs *fs, const struct node *n)
{
	/*
	 * A directory has none of its own: files below it take the mount's, unless a rule says
	 * otherwise.
	 */
	return path_id_name(S_ISREG(n->type) ? mode_decide(&fs->opt, n, 0).path : fs->opt.path);
}

/* The whole ledger. malloc'd, or NULL when memory is short. */
static char *render_ledger(struct fs *fs, struct node *n, bool as_json)
{
	struct counters_snapshot sums, others;
	char io_mode[IO_MODE_BYTES];
	struct render_head head = {.title = "directory"};

	memset(&others, 0, sizeof(others));
	snapshot(fs, n, &sums, &others);
	if (n == fs->root) {
		size_t files, merged;
		ledger_table_size(fs->ledgers, &files, &merged);
		head = (struct render_head){.title = "mount",
					    .path = next_path(fs, n),
					    .others = &others,
					    .files = files,
					    .merged = merged};
	} else if (S_ISREG(n->type)) {
		mode_describe(n, io_mode, sizeof(io_mode));
		head = (struct render_head){.title = "file", .path = next_path(fs, n), .io_mode = io_mode};
	}
	return as_json ? render_json(&head, &sums) : render_text(&head, &sums);
}

static char *render_io_mode(const struct node *n)
{
	if (!S_ISREG(n->type))
		return strdup("none: a directory");
	char *text = malloc(IO_MODE_BYTES);
	if (text)
		mode_describe(n, text, IO_MODE_BYTES);
	return text;
}

/* What the pool's size is, if the mount uses it. */
static uint64_t pool_bytes_now(const struct fs *fs)
{
	struct pool_stats s = {0};
	if (fs->pool)
		pool_stat(fs->pool, &s);
	return s.frames_free < s.frames || options_name_pool(&fs->opt) ? s.frames * s.page_bytes : 0;
}

/* The curve of the mount, or of a file that has a sample. */
static int render_mrc(struct fs *fs, struct node *n, char **out)
{
	if (n == fs->root)
		return mrc_render_json(fs->mrc, MRC_WHOLE, pool_bytes_now(fs), out);
	struct ledger *ledger = S_ISREG(n->type) ? node_ledger_find(fs->nodes, n) : NULL;
	return ledger ? mrc_render_json(fs->mrc, mrc_file_key(ledger), pool_bytes_now(fs), out)
		      : -ENODATA;
}

ssize_t xattr_own_get(struct fs *fs, struct node *n, const char *name, char **out)
{
	char *text = NULL;

	if (!can_carry(n))
		return -ENODATA;
	if (strcmp(name, ZCFS_XATTR_STATS) == 0) {
		text = render_ledger(fs, n, false);
	} else if (strcmp(name, ZCFS_XATTR_JSON) == 0) {
		text = render_ledger(fs, n, true);
	} else if (strcmp(name, ZCFS_XATTR_PATH) == 0) {
		text = strdup(next_path(fs, n));
	} else if (strcmp(name, ZCFS_XATTR_MODE) == 0) {
		text = render_io_mode(n);
	} else if (strcmp(name, ZCFS_XATTR_RESET) == 0) {
		text = strdup(""); /* it is listed, so getfattr -d must be able to read it */
	} else if (strcmp(name, ZCFS_XATTR_MRC) == 0) {
		int rc = render_mrc(fs, n, &text);
		if (rc)
			return rc;
	} else if (xattr_pool_is(name)) {
		int rc = xattr_pool_get(fs, n, name, &text);
		if (rc)
			return rc;
	} else {
		struct counters_snapshot sums;
		snapshot(fs, n, &sums, NULL);
		int rc = render_value(name + PREFIX_BYTES, &sums, &text);
		if (rc)
			return rc;
	}
	if (!text)
		return -ENOMEM;
	*out = text;
	return (ssize_t)strlen(text);
}

/*
 * 0 if uid may set ours on n: root, the daemon's own user, or the file's owner; not the root
 * directory's.
 */
static int check_owner(struct fs *fs, struct node *n, uid_t uid)
{
	struct statx stx;

	if (uid == 0 || uid == getuid())
		return 0;
	if (n == fs->root)
		return -EPERM;
	int rc = node_statx(fs->nodes, n, &stx);
	if (rc)
		return rc;
	return stx.stx_uid == uid ? 0 : -EPERM;
}

static int set_path(struct node *n, const char *value, size_t value_bytes)
{
	char word[32];

	if (value_bytes > 0 && value[value_bytes - 1] == '\n') /* echo's, read back with getfattr */
		value_bytes--;
	if (value_bytes >= sizeof(word) || memchr(value, '\0', value_bytes))
		return -EINVAL;
	memcpy(word, value, value_bytes);
	word[value_bytes] = '\0';
	enum path_id path = path_id_parse(word);
	if (path == PATH_ID_COUNT)
		return -EINVAL;
	atomic_store_explicit(&n->path_wanted, (int)path, memory_order_relaxed);
	return 0;
}

static void reset(struct fs *fs, struct node *n)
{
	if (n == fs->root) {
		ledger_reset_all(fs->ledgers);
		mrc_reset(fs->mrc, MRC_WHOLE);
		if (fs->ghost)
			ghost_reset(fs->ghost);
		return;
	}
	struct ledger *ledger = node_ledger_find(fs->nodes, n);
	if (ledger) {
		ledger_reset(fs->ledgers, ledger);
		mrc_reset(fs->mrc, mrc_file_key(ledger));
	}
}

int xattr_own_set(struct fs *fs, struct node *n, uid_t uid, const char *name, const char *value,
		  size_t value_bytes, int flags)
{
	bool is_path = strcmp(name, ZCFS_XATTR_PATH) == 0 && S_ISREG(n->type);
	bool is_reset = strcmp(name, ZCFS_XATTR_RESET) == 0 && can_carry(n);
	bool is_pool = xattr_pool_is_writable(fs, n, name);

	if (!is_path && !is_reset && !is_pool)
		return -EOPNOTSUPP;
	if (flags & XATTR_CREATE)
		return -EEXIST;
	int rc = check_owner(fs, n, uid);
	if (rc)
		return rc;
	if (is_path)
		return set_path(n, value, value_bytes);
	if (is_pool)
		return xattr_pool_set(fs, n, name, value, value_bytes);
	reset(fs, n);
	return 0;
}

const char *xattr_own_names(struct fs *fs, const struct node *n, size_t *len_bytes)
{
	bool has_pool = n == fs->root && fs->pool;
	const char *names = has_pool ? render_names_with_pool(len_bytes) : render_names(len_bytes);

	/* Elsewhere cp -a, rsync -X and tar --xattrs would carry them into backups. */
	if (n != fs->root && !(fs->opt.list_stats && can_carry(n)))
		*len_bytes = 0;
	return names;
}
