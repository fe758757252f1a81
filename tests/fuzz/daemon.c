/*
 * The daemon without a kernel; see daemon.h. Owns the process's mount namespace, limits and credentials.
 */
#include "daemon.h"

#include <dirent.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "input.h"
/* To serve one request in this thread, with serve() and current_worker, which are the session's own affair. */
#include "ops/session.c" /* NOLINT(bugprone-suspicious-include) */

/* No file grows beyond it, so that nothing takes long. */
#define FILE_MAX_BYTES (8UL * 1024 * 1024)

#define PIPE_SLOTS 128 /* what worker_init() takes for so large requests */

/* Called by notify.c in the place of libfuse's (see meson.build): there is no kernel to notify. */
int __wrap_fuse_lowlevel_notify_inval_inode(struct fuse_session *se, fuse_ino_t ino, off_t off,
					    off_t len);

int __wrap_fuse_lowlevel_notify_inval_inode(struct fuse_session *se, fuse_ino_t ino, off_t off, off_t len)
{
	(void)se;
	REQUIRE(ino != 0 && off >= 0 && len >= 0, "inode %llu, %lld from %lld",
		(unsigned long long)ino, (long long)len, (long long)off);
	return -ENOENT;
}

static void no_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	(void)level, (void)fmt, (void)ap;
}

static size_t count_fds(void)
{
	size_t n = 0;
	DIR *dir = opendir("/proc/self/fd");

	REQUIRE(dir, "%m");
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* The worker's pipes may be renewed, made when first needed, or given up. */
static size_t count_own_fds(const struct daemon *d)
{
	return count_fds() - (d->worker.pipe.rd >= 0 ? 2 : 0) - (d->worker.spare.rd >= 0 ? 2 : 0);
}

static char top_path[PATH_MAX];

static void remove_top(void)
{
	(void)umount2(top_path, MNT_DETACH); /* fails where nothing is mounted */
	(void)rmdir(top_path);
}

static void make_top(struct daemon *d)
{
	const char *wanted = getenv("ZCFS_FUZZ_DIR"), *tmp = getenv("TMPDIR");

	(void)snprintf(top_path, sizeof(top_path), "%s/zcfs-fuzz-XXXXXX",
		       wanted ? wanted
		       : tmp  ? tmp
			      : "/tmp");
	REQUIRE(mkdtemp(top_path), "%s: %m", top_path);
	d->is_private = !wanted && unshare(CLONE_NEWNS) == 0 &&
			mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
			mount("tmpfs", top_path, "tmpfs", 0, "size=32m,mode=755") == 0;
	d->top_fd = open(top_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	REQUIRE(d->top_fd >= 0, "%s: %m", top_path);
	atexit(remove_top);
}

static void make_device(struct daemon *d)
{
	char path[64];
	int ends[2];

	REQUIRE(pipe(ends) == 0, "%m");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
	d->dev_fd = open(path, O_RDWR | O_CLOEXEC);
	REQUIRE(d->dev_fd >= 0, "%m");
	close(ends[0]);
	close(ends[1]);
	REQUIRE(fcntl(d->dev_fd, F_SETPIPE_SZ, 1 << 20) > (int)DAEMON_MAX_IO, "%m");
}

static void make_session(struct daemon *d)
{
	char arg0[] = "fuzz", arg1[64], path[32];
	char *argv[] = {arg0, arg1, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(2, argv);
	struct session *session;

	(void)snprintf(arg1, sizeof(arg1), "-odefault_permissions,max_read=%lu", DAEMON_MAX_IO);
	fuse_set_log_func(no_log);
	d->se = fuse_session_new(&args, &ops_table, sizeof(ops_table), &d->fs);
	fuse_opt_free_args(&args);
	(void)snprintf(path, sizeof(path), "/dev/fd/%d", d->dev_fd);
	REQUIRE(d->se && fuse_session_mount(d->se, path) == 0, "libfuse");
	REQUIRE(session_new(&d->fs, d->se, &session) == 0, "no session");
}

/* As worker_init(), but from the heap, so that what is written behind an area's end is seen. */
static void make_worker(struct daemon *d)
{
	struct worker *w = &d->worker;

	*w = (struct worker){.pipe = {.rd = -1, .wr = -1}, .spare = {.rd = -1, .wr = -1}};
	w->data_bytes = DAEMON_MAX_IO + WORKER_SLACK;
	w->scratch_bytes = WORKER_SCRATCH;
	w->area_bytes = WORKER_HEADROOM + w->data_bytes;
	w->area = aligned_alloc(WORKER_HEADROOM, w->area_bytes);
	w->scratch = malloc(w->scratch_bytes);
	REQUIRE(w->area && w->scratch, "no memory");
	w->data = w->area + WORKER_HEADROOM;
	REQUIRE(cred_thread_init(&w->cred) == 0, "%m");
	current_worker = w;
}

static struct daemon *started;

static void stop(void)
{
	session_stop(started->fs.session);
	fuse_session_destroy(started->se); /* and dev_fd */
	session_free(started->fs.session);
	pipe_close(&started->worker.pipe);
	pipe_close(&started->worker.spare);
	free(started->worker.area);
	free(started->worker.scratch);
	close(started->top_fd);
}

void daemon_start(struct daemon *d)
{
	struct rlimit limit = {.rlim_cur = FILE_MAX_BYTES, .rlim_max = FILE_MAX_BYTES};

	*d = (struct daemon){.fs = {.root_fd = -1, .claim_fd = -1}};
	signal(SIGPIPE, SIG_IGN);
	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0, "%m");
	make_top(d);
	make_device(d);
	make_session(d);
	make_worker(d);
	clock_calibrate();
	d->fs.max_io_bytes = DAEMON_MAX_IO;
	d->fs.is_privileged = geteuid() == 0;
	started = d;
	atexit(stop);
}

/* Immutable and append-only files cannot be removed. */
static void clear_flags(int fd)
{
	int none = 0;

	(void)ioctl(fd, FS_IOC_SETFLAGS, &none);
}

static void remove_tree(int dir_fd, const char *name)
{
	int AUTO_FD fd = -1;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return;
	(void)fchmodat(dir_fd, name, 0700, 0);
	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	REQUIRE(fd >= 0, "%s: %m", name);
	clear_flags(fd);
	if (unlinkat(dir_fd, name, 0) == 0)
		return;
	DIR *dir = fdopendir(dup(fd));
	REQUIRE(dir, "%s: %m", name);
	for (const struct dirent *entry; (entry = readdir(dir));)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			remove_tree(fd, entry->d_name);
	closedir(dir);
	REQUIRE(unlinkat(dir_fd, name, AT_REMOVEDIR) == 0, "%s: %m", name);
}

static void make_file(int dir_fd, const char *name, size_t bytes)
{
	static unsigned char content[150000];
	int AUTO_FD fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	for (size_t i = 0; content[1] == 0 && i < sizeof(content); i++)
		content[i] = (unsigned char)(i ^ i >> 8);
	REQUIRE(fd >= 0 && write(fd, content, bytes) == (ssize_t)bytes, "%s: %m", name);
}

static int make_tree(int top_fd)
{
	REQUIRE(mkdirat(top_fd, "b", 0755) == 0, "%m");
	int fd = openat(top_fd, "b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	REQUIRE(fd >= 0, "%m");
	make_file(fd, "f", 150000);
	make_file(fd, "g", 0);
	REQUIRE(mkdirat(fd, "d", 0755) == 0 && symlinkat("f", fd, "l") == 0 &&
			mkfifoat(fd, "p", 0644) == 0,
		"%m");
	make_file(fd, "d/a", 5000);
	return fd;
}

static void set_fd_limit(rlim_t most)
{
	struct rlimit limit;

	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0, "%m");
	limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0, "%m");
}

void daemon_limit_fds(unsigned more)
{
	int next = dup(STDERR_FILENO);

	REQUIRE(next >= 0, "%m");
	close(next);
	set_fd_limit((rlim_t)next + more);
}

void daemon_unlimit_fds(void)
{
	set_fd_limit(RLIM_INFINITY);
}

/* The thread serves nobody, and the session remembers nothing, of the input before. */
static void be_nobodys(struct daemon *d)
{
	daemon_unlimit_fds();
	REQUIRE(pipe_open(&d->worker.pipe, PIPE_SLOTS) == 0, "%m");
	cred_become(&d->worker.cred, geteuid(), getegid(), 0);
	cred_set_fsetid(&d->worker.cred, true);
	atomic_store(&d->fs.session->receiver.pipe_credit, 0);
}

void daemon_begin(struct daemon *d, const struct daemon_setup *setup)
{
	struct fs *fs = &d->fs;
	char err[256];

	signal(SIGXFSZ, SIG_IGN); /* as main.c; here, for libFuzzer has taken it meanwhile */
	be_nobodys(d);
	d->fds = count_own_fds(d);
	fs->root_fd = make_tree(d->top_fd);
	REQUIRE(options_parse(&fs->opt, setup->options, err, sizeof(err)) == 0, "%s", err);
	fs->is_flush_needed = setup->is_flush_needed;
	fs->has_direct_mmap = setup->has_direct_mmap;
	opens_init(&fs->opens);
	fs->ledgers = ledger_table_new(fs->opt.ledger_files);
	fs->mrc = mrc_new(MRC_BYTES, (uint32_t)fs->opt.pool_page_bytes);
	REQUIRE(fs->ledgers && fs->mrc, "no memory");
	const struct node_limits limits = {.fd_budget = setup->fd_budget,
					   .is_one_mount = fs->opt.xdev,
					   .is_export_any = fs->opt.nfs_export};
	REQUIRE(node_table_new(fs->root_fd, fs->ledgers, &limits, &fs->nodes, &fs->root) == 0,
		"no node table");
}

void daemon_serve(struct daemon *d)
{
	struct session *s = d->fs.session;
	int in_pipe = 0, in_spare = 0;
	struct received r = receive(&s->receiver, &d->worker);

	REQUIRE(r.n >= (ssize_t)sizeof(struct fuse_in_header), "a request is received as %zd", r.n);
	serve(s, &d->worker, r);
	if (d->worker.pipe.rd >= 0)
		(void)ioctl(d->worker.pipe.rd, FIONREAD, &in_pipe);
	if (d->worker.spare.rd >= 0)
		(void)ioctl(d->worker.spare.rd, FIONREAD, &in_spare);
	REQUIRE(in_pipe == 0 && in_spare == 0, "%d and %d bytes are left in the worker's pipes",
		in_pipe, in_spare);
}

void daemon_end(struct daemon *d)
{
	struct fs *fs = &d->fs;

	daemon_unlimit_fds();
	opens_fini(&fs->opens);
	node_table_free(fs->nodes);
	ledger_table_free(fs->ledgers);
	mrc_free(fs->mrc);
	options_free(&fs->opt);
	close(fs->root_fd);
	fs->root_fd = -1;
	be_nobodys(d);
	remove_tree(d->top_fd, "b");
	size_t fds = count_own_fds(d);
	REQUIRE(fds == d->fds, "%zu descriptors, %zu before", fds, d->fds);
}
