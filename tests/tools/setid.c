/*
 * setid BACKING MOUNT [-]: which set-id bits and file capabilities are left after each way to change a file, by each kind of
 * user, on the mount and on the backing directory itself. Makes its files in the backing directory's served/ and native/, does the one through
 * MOUNT and the other there, and prints where the outcome differs (errno, mode, whether there is a capability); then how many were
 * compared. Status 1 if any differed. As root; with - it prints every outcome of the backing instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FILE_BYTES 8192
#define OWNER      1234
#define GROUP      2345
#define STRANGER   999

static char source[4200]; /* a file to copy from, on the same side */
static unsigned char *block; /* aligned */

/* Each way: >= 0, or -1 and errno. `how` is the row's word. */

static long by_write(const char *path, int how)
{
	int fd = open(path, how);
	return fd < 0 ? -1 : write(fd, block, 4096);
}

static long by_pwrite(const char *path, int how)
{
	int fd = open(path, O_RDWR);
	return fd < 0 ? -1 : pwrite(fd, block, (size_t)how, 17);
}

static long by_pwritev2(const char *path, int how)
{
	const struct iovec iov = {block, 100};
	int fd = open(path, O_RDWR);
	return fd < 0 ? -1 : pwritev2(fd, &iov, 1, 1, how);
}

static long by_map(const char *path, int how)
{
	int fd = open(path, O_RDWR);
	unsigned char *map = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -1;
	map[how] = 'm';
	return msync(map, FILE_BYTES, MS_SYNC);
}

static long by_truncate(const char *path, int how)
{
	return truncate(path, how);
}

static long by_ftruncate(const char *path, int how)
{
	int fd = open(path, O_RDWR);
	return fd < 0 ? -1 : ftruncate(fd, how);
}

static long by_fallocate(const char *path, int how)
{
	int fd = open(path, O_RDWR);
	return fd < 0 ? -1 : fallocate(fd, how, how & FALLOC_FL_PUNCH_HOLE ? 0 : FILE_BYTES, 4096);
}

static long by_copy_range(const char *path, int how)
{
	int from = open(source, O_RDONLY), fd = open(path, O_RDWR);
	return fd < 0 ? -1 : copy_file_range(from, NULL, fd, NULL, (size_t)how, 0);
}

static long by_splice(const char *path, int how)
{
	int ends[2], fd = open(path, O_RDWR);
	if (fd < 0 || pipe(ends) < 0 || write(ends[1], block, (size_t)how) != how)
		return -1;
	return splice(ends[0], NULL, fd, NULL, (size_t)how, 0);
}

static long by_sendfile(const char *path, int how)
{
	int from = open(source, O_RDONLY), fd = open(path, O_RDWR);
	return fd < 0 ? -1 : sendfile(fd, from, NULL, (size_t)how);
}

static long by_chown(const char *path, int how)
{
	return chown(path, (uid_t)-1, (gid_t)how);
}

static long by_times(const char *path, int how)
{
	(void)how;
	return utimensat(AT_FDCWD, path, NULL, 0);
}

static const struct way {
	const char *name;
	long (*change)(const char *path, int how);
	int how;
} ways[] = {
	{"open", by_truncate, -1}, /* of a negative length: nothing is changed */
	{"O_TRUNC", by_write, O_WRONLY | O_TRUNC},
	{"write", by_write, O_RDWR},
	{"O_APPEND", by_write, O_WRONLY | O_APPEND},
	{"O_DIRECT", by_write, O_WRONLY | O_DIRECT},
	{"O_DIRECT|O_APPEND", by_write, O_WRONLY | O_DIRECT | O_APPEND},
	{"pwrite", by_pwrite, 1000},
	{"pwrite of nothing", by_pwrite, 0},
	{"pwritev2", by_pwritev2, 0},
	{"pwritev2 RWF_APPEND", by_pwritev2, RWF_APPEND},
	{"mmap", by_map, 5000},
	{"truncate", by_truncate, 100},
	{"truncate to the same size", by_truncate, FILE_BYTES},
	{"truncate to grow", by_truncate, 20000},
	{"ftruncate", by_ftruncate, 100},
	{"fallocate", by_fallocate, 0},
	{"fallocate KEEP_SIZE", by_fallocate, FALLOC_FL_KEEP_SIZE},
	{"fallocate PUNCH_HOLE", by_fallocate, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE},
	{"fallocate ZERO_RANGE", by_fallocate, FALLOC_FL_ZERO_RANGE},
	{"copy_file_range", by_copy_range, 4096},
	{"splice", by_splice, 4096},
	{"sendfile", by_sendfile, 4096},
	{"chown to nobody", by_chown, -1},
	{"chgrp", by_chown, GROUP},
	{"utimensat", by_times, 0},
};

static const struct who {
	const char *name;
	uid_t uid;
	gid_t gid;
	gid_t other_group; /* 0: none */
	bool lacks_fsetid;
} whos[] = {
	{"owner", OWNER, GROUP, 0, false},
	{"owner in another group", OWNER, STRANGER, 0, false},
	{"group", STRANGER, GROUP, 0, false},
	{"group by supplement", STRANGER, STRANGER, GROUP, false},
	{"other", STRANGER, STRANGER, 0, false},
	{"root", 0, 0, 0, false},
	{"root without CAP_FSETID", 0, 0, 0, true},
};

static const struct bits {
	mode_t mode;
	bool has_capability;
} all_bits[] = {{06777, false}, {02767, false}, {06666, false}, {06777, true}, {0777, true}};

/* cap_net_raw+ep, as setcap writes it */
static const struct vfs_cap_data capability = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
					       .data = {{.permitted = 1 << CAP_NET_RAW}}};

struct outcome {
	int err;
	mode_t mode;
	bool has_capability;
};

static void die(const char *what)
{
	fprintf(stderr, "setid: %s: %s\n", what, strerrorname_np(errno));
	exit(2);
}

static void make(const char *path, const struct bits *bits)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	if (fd < 0 || write(fd, block, FILE_BYTES) != FILE_BYTES || fchown(fd, OWNER, GROUP) < 0 ||
	    fchmod(fd, bits->mode) < 0)
		die(path);
	if (bits->has_capability &&
	    fsetxattr(fd, "security.capability", &capability, XATTR_CAPS_SZ_2, 0) < 0)
		die(path);

	close(fd);
}

static void become(const struct who *who)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	if (setgroups(who->other_group != 0, &who->other_group) < 0 || setgid(who->gid) < 0 ||
	    setuid(who->uid) < 0)
		die("setuid");
	if (!who->lacks_fsetid)
		return;
	if (syscall(SYS_capget, &head, data) < 0)
		die("capget");
	data[0].effective &= ~(1U << CAP_FSETID);
	if (syscall(SYS_capset, &head, data) < 0)
		die("capset");
}

/* What `who` does by `way` to the file at `path`, seen at `seen`. */
static struct outcome try(const char *path, const char *seen, const struct way *way, const struct who *who)
{
	struct outcome o = {0};
	struct stat st = {0};
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		become(who);
		errno = 0;
		_exit(way->change(path, way->how) < 0 ? errno : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || stat(seen, &st) < 0)
		die(seen);
	o.err = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
	o.mode = st.st_mode & 07777;
	o.has_capability = getxattr(seen, "security.capability", NULL, 0) > 0;
	return o;
}

static bool is_same(const struct outcome *a, const struct outcome *b)
{
	return a->err == b->err && a->mode == b->mode && a->has_capability == b->has_capability;
}

static void print(const char *side, const struct outcome *o)
{
	printf(" %s %s %04o%s", side, o->err ? strerrorname_np(o->err) : "done", o->mode,
	       o->has_capability ? " cap" : "");
}

/* One way, one user, one mode, on either side; false if they differ. */
static bool compare(char **arg, const struct way *way, const struct who *who, const struct bits *bits)
{
	static unsigned serial;
	char native[4200], served[4200], below[4200];
	snprintf(native, sizeof(native), "%s/native/%u", arg[0], ++serial);
	snprintf(below, sizeof(below), "%s/served/%u", arg[0], serial);
	snprintf(served, sizeof(served), "%s/served/%u", arg[1], serial);
	make(native, bits);
	make(below, bits);
	snprintf(source, sizeof(source), "%s/native/source", arg[0]);
	struct outcome wanted = try(native, native, way, who);
	snprintf(source, sizeof(source), "%s/served/source", arg[1]);
	struct outcome got = try(served, below, way, who);
	struct stat st = {0};
	bool is_shown = stat(served, &st) == 0 && (st.st_mode & 07777) == got.mode;
	bool is_right = is_same(&wanted, &got) && is_shown;
	if (!is_right || arg[2]) {
		printf("%s, %s, %04o%s:", way->name, who->name, bits->mode,
		       bits->has_capability ? " cap" : "");
		print("backing", &wanted);
		print("mount", &got);
		printf(is_shown ? "\n" : " shown as %04o\n", st.st_mode & 07777);
	}
	unlink(native);
	unlink(served);
	return is_right;
}

int main(int argc, char **argv)
{
	long checked = 0, bad = 0;
	char path[4200];
	block = aligned_alloc(4096, FILE_BYTES);
	if (argc < 3 || !block)
		return 2;
	memset(block, 'x', FILE_BYTES);
	umask(0);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", argv[1], i ? "native" : "served");
		if (mkdir(path, 0777) < 0)
			die(path);
		snprintf(path, sizeof(path), "%s/%s/source", argv[1], i ? "native" : "served");
		make(path, &(struct bits){0644, false});
	}
	for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++)
		for (size_t u = 0; u < sizeof(whos) / sizeof(whos[0]); u++)
			for (size_t b = 0; b < sizeof(all_bits) / sizeof(all_bits[0]); b++, checked++)
				bad += !compare(argv + 1, &ways[w], &whos[u], &all_bits[b]);
	printf("%ld compared, %ld differ\n", checked, bad);
	return bad ? 1 : 0;
}
