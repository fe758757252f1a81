/*
 * Owns the order in which the parts of struct fs are made, and taken down in reverse. Main thread only.
 */
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "data/worker.h"
#include "wire.h"

/* Of 10 ms: how long a daemon may take to write its pool, and to leave the list of mounts. */
#define CLAIM_WAITS      6000
#define CLAIM_LIVE_WAITS 100

/* Filesystems that may keep an error for close(2). Local ones have told it at write or tell it at fsync. */
static bool has_close_errors(int root_fd)
{
	struct statfs st;
	if (fstatfs(root_fd, &st) < 0)
		return true;
	switch ((unsigned long)st.f_type) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
	case F2FS_SUPER_MAGIC:
	case RAMFS_MAGIC:
		return false;
	default:
		return true;
	}
}

/* Also where it is not reached by that name, the lock is not free: only the waiting is shorter for knowing. */
static bool is_mounted(const char *backing)
{
	struct mntent m;
	char buf[8192];
	bool is_found = false;
	FILE *f = setmntent("/proc/self/mounts", "re");
	while (f && !is_found && getmntent_r(f, &m, buf, sizeof(buf)))
		is_found = strcmp(m.mnt_type, ZCFS_FSTYPE) == 0 && strcmp(m.mnt_fsname, backing) == 0;
	if (f)
		(void)endmntent(f);
	return is_found;
}

int fs_claim(struct fs *fs, const char *backing, char *err, size_t err_bytes)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	int how = fs->opt.pool_write == POOL_WRITE_BACK ? LOCK_EX : LOCK_SH;
	fs->claim_fd = openat(fs->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int waits = 0; flock(fs->claim_fd, how | LOCK_NB) < 0; waits++) {
		if (errno != EWOULDBLOCK) /* a filesystem without locks: as it was before there were any here */
			return 0;
		bool is_live = waits >= CLAIM_LIVE_WAITS && is_mounted(backing);
		if (is_live || waits >= CLAIM_WAITS) {
			(void)snprintf(err, err_bytes,
				       "%s is %s by another zcfs, and one of the two writes back (pool_write=back): %s",
				       backing, is_live ? "mounted" : "still being written",
				       is_live ? "unmount it first" : "try again when it is done");
			return -EBUSY;
		}
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

/* A mount that does not use its pool can do without, where address space is short. */
static int make_pool(struct fs *fs)
{
	const struct options *o = &fs->opt;
	const struct pool_config config = {
		.size_bytes = o->pool_size_bytes,
		.page_bytes = (uint32_t)o->pool_page_bytes,
		.policy = o->pool_policy,
		.is_write_back = o->pool_write == POOL_WRITE_BACK,
		.dirty_max_percent = o->pool_dirty_max_percent,
		.flush_interval_s = o->pool_flush_interval_s,
		.readahead_bytes = o->pool_readahead_bytes,
		.verify = (enum pool_verify)o->pool_verify,
		.mrc = fs->mrc,
	};
	int err = pool_new(&config, &fs->pool);
	if (err == -ENOMEM && !options_name_pool(o)) {
		log_info("no memory for a buffer pool of %llu bytes, so there is no path=pool; see pool_size=",
			 (unsigned long long)config.size_bytes);
		err = 0;
	}
	return err;
}

_Static_assert(POOL_GHOSTS_MAX <= GHOSTS_MAX, "each has a ghost");

static int make_ghosts(struct fs *fs)
{
	const struct options *o = &fs->opt;
	if (!fs->pool || !o->pool_ghosts_count)
		return 0;
	return ghost_new(o->pool_ghosts, o->pool_ghosts_count, o->pool_size_bytes / o->pool_page_bytes,
			 (uint32_t)o->pool_page_bytes, true, &fs->ghost);
}

static void end_pool_file(struct pool_file *f, bool is_deleted)
{
	if (is_deleted) {
		pool_file_put_deleted(f);
		return;
	}
	(void)pool_file_settle_times(f); /* nobody can ask for that until the file is known again */
	pool_file_put(f);
}

int fs_open(struct fs *fs, size_t fd_budget)
{
	opens_init(&fs->opens);
	fs->has_close_errors = has_close_errors(fs->root_fd);
	fs->is_flush_needed = fs->has_close_errors || fs->opt.pool_write == POOL_WRITE_BACK;
	fs->max_io_bytes = pipe_max_io(fs->opt.max_io_bytes);
	if (fs->max_io_bytes < fs->opt.max_io_bytes)
		log_info("max_io is %llu bytes, as pipes are limited to less than %llu (see /proc/sys/fs/pipe-max-size)",
			 (unsigned long long)fs->max_io_bytes, (unsigned long long)fs->opt.max_io_bytes);
	fs->ledgers = ledger_table_new(fs->opt.ledger_files);
	fs->mrc = mrc_new(MRC_BYTES, (uint32_t)fs->opt.pool_page_bytes);
	if (!fs->ledgers || !fs->mrc)
		return -ENOMEM;
	const struct node_limits limits = {.fd_budget = fd_budget,
					   .is_one_mount = fs->opt.xdev,
					   .is_export_any = fs->opt.nfs_export};
	int err = node_table_new(fs->root_fd, fs->ledgers, &limits, &fs->nodes, &fs->root);
	if (err == 0)
		err = make_pool(fs);
	if (err == 0)
		err = make_ghosts(fs);
	if (err == 0)
		node_table_on_pool_file(fs->nodes, end_pool_file);
	return err;
}

void fs_start(struct fs *fs)
{
	int err = fs->pool ? pool_start(fs->pool) : 0;
	if (err < 0)
		log_warn("cannot start all of the buffer pool's threads, so it does not read ahead, or writes through: %s",
			 strerror(-err));
}

void fs_close(struct fs *fs)
{
	if (fs->nodes) {
		opens_fini(&fs->opens);
		node_table_end_pool_files(fs->nodes);
	}
	pool_free(fs->pool);
	ghost_free(fs->ghost);
	mrc_free(fs->mrc);
	node_table_free(fs->nodes);
	ledger_table_free(fs->ledgers);
	options_free(&fs->opt);
	if (fs->claim_fd >= 0)
		close(fs->claim_fd);
	if (fs->root_fd >= 0)
		close(fs->root_fd);
}
