#include "node/export.h"

#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "node/file_handle.h"

enum {
	HANDLE_INO32_GEN = 1, /* u32 inode, u32 generation */
	HANDLE_BTRFS = 0x4d, /* u64 inode, u64 subvolume, u32 generation; packed */
	HANDLE_XFS = 0x81, /* u64 inode, u32 generation; packed */
	BTRFS_ROOT_INO = 256, /* of every subvolume */
};

/* xfs_fs.h, which only xfsprogs' package brings; part of the kernel's ABI. */
struct xfs_bulkreq {
	uint64_t *ino;
	int32_t n_wanted;
	void *out;
	int32_t *n_got;
};
#define XFS_BULKSTAT_SINGLE _IOWR('X', 102, struct xfs_bulkreq)
enum { XFS_BSTAT_BYTES = 136, XFS_BSTAT_GEN_OFFSET = 108 };

/* Whether the root of the mount that dir_fd is on is its filesystem's own, by mountinfo: a bind mount may show a part. */
static bool is_mount_whole(uint64_t mount_id)
{
	char line[2 * PATH_MAX];
	bool is_whole = false;
	FILE *f = fopen("/proc/self/mountinfo", "re");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long long id;
		char root[3]; /* "/" if it is whole */
		if (sscanf(line, "%llu %*s %*s %2s", &id, root) == 2 && id == mount_id)
			is_whole = strcmp(root, "/") == 0;
	}
	if (f)
		(void)fclose(f);
	return is_whole;
}

static bool is_whole(const struct export *e, const struct statx *root)
{
	if (e->magic == BTRFS_SUPER_MAGIC)
		return root->stx_ino == BTRFS_ROOT_INO;
	return root->stx_attributes & STATX_ATTR_MOUNT_ROOT && is_mount_whole(root->stx_mnt_id);
}

int export_init(struct export *e, int root_fd, bool is_any)
{
	struct statx stx;
	struct statfs fs;
	union file_handle_buf buf;

	if (statx(root_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &stx) < 0)
		return -errno;
	if (fstatfs(root_fd, &fs) < 0)
		fs.f_type = 0; /* an unknown filesystem leads nowhere */
	*e = (struct export){.root_fd = root_fd,
			     .root_dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
			     .root_ino = stx.stx_ino,
			     .magic = (unsigned long)fs.f_type};
	if (e->magic == BTRFS_SUPER_MAGIC && file_handle_take(root_fd, &buf) == 0)
		memcpy(&e->subvolume, buf.head.f_handle + sizeof(uint64_t), sizeof(uint64_t));
	e->is_any = is_any || is_whole(e, &stx);
	return 0;
}

static void put_u32(struct file_handle *h, uint32_t value)
{
	memcpy(h->f_handle + h->handle_bytes, &value, sizeof(value));
	h->handle_bytes += sizeof(value);
}

static void put_u64(struct file_handle *h, uint64_t value)
{
	memcpy(h->f_handle + h->handle_bytes, &value, sizeof(value));
	h->handle_bytes += sizeof(value);
}

static bool xfs_generation(int root_fd, uint64_t ino, uint32_t *generation)
{
	unsigned char out[XFS_BSTAT_BYTES];
	int32_t n_got = 0;
	struct xfs_bulkreq req = {.ino = &ino, .n_wanted = 1, .out = out, .n_got = &n_got};

	if (ioctl(root_fd, XFS_BULKSTAT_SINGLE, &req) < 0 || n_got != 1)
		return false;
	memcpy(generation, out + XFS_BSTAT_GEN_OFFSET, sizeof(*generation));
	return true;
}

/* The backing's handle of the inode, as the filesystem itself would make it. */
static bool handle_make(const struct export *e, uint64_t ino, struct file_handle *h)
{
	uint32_t generation = 0;

	h->handle_bytes = 0;
	switch (e->magic) {
	case EXT4_SUPER_MAGIC: /* ext2's and ext3's as well */
		h->handle_type = HANDLE_INO32_GEN;
		put_u32(h, (uint32_t)ino);
		break;
	case BTRFS_SUPER_MAGIC:
		h->handle_type = HANDLE_BTRFS;
		put_u64(h, ino);
		put_u64(h, e->subvolume);
		break;
	case XFS_SUPER_MAGIC:
		h->handle_type = HANDLE_XFS;
		put_u64(h, ino);
		if (!xfs_generation(e->root_fd, ino, &generation))
			return false;
		break;
	default:
		return false;
	}
	put_u32(h, generation);
	return true;
}

static bool is_root(const struct export *e, const struct stat *st)
{
	return st->st_dev == e->root_dev && st->st_ino == e->root_ino;
}

/* Walks up from a directory. A rename meanwhile can only make it miss the root. */
static bool is_beneath(const struct export *e, int dir_fd)
{
	struct stat at, above;
	int AUTO_FD fd = openat(dir_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && fstat(fd, &at) == 0) {
		if (is_root(e, &at))
			return true;
		int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = up;
		if (fd < 0 || fstat(fd, &above) < 0 ||
		    (above.st_dev == at.st_dev && above.st_ino == at.st_ino))
			return false;
	}
	return false;
}

int export_open(const struct export *e, uint64_t ino)
{
	union file_handle_buf buf;
	struct stat st;

	if (!handle_make(e, ino, &buf.head))
		return -ESTALE;
	int AUTO_FD fd = file_handle_open(e->root_fd, &buf);
	/* Whatever the reason (no such inode, no right to ask), the handle leads nowhere. */
	if (fd < 0 || fstat(fd, &st) < 0)
		return -ESTALE;
	if (st.st_dev != e->root_dev || st.st_ino != ino)
		return -ESTALE;
	if (!e->is_any && !(S_ISDIR(st.st_mode) && is_beneath(e, fd)))
		return -ESTALE;
	return take_fd(&fd);
}

int export_parent(const struct export *e, int dir_fd)
{
	struct stat st;

	if (fstat(dir_fd, &st) < 0 || is_root(e, &st))
		return -ESTALE;
	int AUTO_FD fd = openat(dir_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || !is_beneath(e, fd))
		return -ESTALE;
	return take_fd(&fd);
}
