/* preflight: the words a person gave, refused with a line that says what to do, or taken. */
#include "backing.h"
#include "check.h"
#include "child.h"
#include "preflight.h"

#include <sched.h>
#include <sys/mount.h>

/* A directory with: backing/in/deep, other, file, and links to some of them. */
struct words {
	struct backing b;
	int fd; /* backing, by preflight */
	char backing[PATH_MAX]; /* as preflight knows it */
	char at[PATH_MAX]; /* the path that word() made last */
	char err[512];
	char resolved[PATH_MAX];
};

#define WORDS __attribute__((cleanup(words_fini)))

/* name below the scratch directory. */
static const char *word(struct words *w, const char *name)
{
	int n = snprintf(w->at, sizeof(w->at), "%s/%s", w->b.path, name);

	CHECK(n > 0 && (size_t)n < sizeof(w->at));
	return w->at;
}

static bool words_init(struct words *w)
{
	*w = (struct words){.b = backing_new(), .fd = -1};
	return w->b.fd >= 0 && fchmod(w->b.fd, 0755) == 0 &&
	       mkdirat(w->b.fd, "backing", 0755) == 0 && mkdirat(w->b.fd, "backing/in", 0755) == 0 &&
	       mkdirat(w->b.fd, "backing/in/deep", 0755) == 0 &&
	       mkdirat(w->b.fd, "backing-not", 0755) == 0 && mkdirat(w->b.fd, "other", 0755) == 0 &&
	       backing_file(&w->b, "file", "x") && symlinkat("backing", w->b.fd, "to-backing") == 0 &&
	       symlinkat("backing/in", w->b.fd, "to-in") == 0 &&
	       symlinkat("other", w->b.fd, "to-other") == 0 &&
	       symlinkat("file", w->b.fd, "to-file") == 0 &&
	       symlinkat("nowhere", w->b.fd, "to-nothing") == 0 &&
	       symlinkat("loop", w->b.fd, "loop") == 0 &&
	       symlinkat("../../other", w->b.fd, "backing/in/out") == 0 &&
	       preflight_backing(word(w, "backing"), &w->fd, w->backing, w->err, sizeof(w->err)) == 0;
}

static void words_fini(struct words *w)
{
	if (w->fd >= 0)
		close(w->fd);
	backing_free(&w->b);
}

/* err is one line: what, on what, why, what to do. */
static void check_line(const struct words *w, const char *what, const char *on, const char *why)
{
	CHECK(strncmp(w->err, what, strlen(what)) == 0);
	CHECK(strstr(w->err, on) && strstr(w->err, why));
	CHECK(!strchr(w->err, '\n') && strstr(w->err, "; "));
	if (!strstr(w->err, on) || !strstr(w->err, why))
		printf("# %s\n", w->err);
}

static int try_backing(struct words *w, const char *name)
{
	int fd = -1;
	int err = preflight_backing(word(w, name), &fd, w->resolved, w->err, sizeof(w->err));

	CHECK_EQ(fd >= 0, err == 0);
	if (fd >= 0)
		close(fd);
	return err;
}

static int try_mountpoint(struct words *w, const char *name)
{
	memset(w->resolved, 0, sizeof(w->resolved));
	return preflight_mountpoint(word(w, name), w->fd, w->resolved, w->err, sizeof(w->err));
}

/* Accepted, and known by that name below the scratch directory. */
static void check_taken(struct words *w, const char *name, const char *as)
{
	char expected[PATH_MAX], *scratch = realpath(w->b.path, NULL);

	CHECK_EQ(try_mountpoint(w, name), 0);
	snprintf(expected, sizeof(expected), "%s/%s", scratch ? scratch : "", as);
	CHECK_STR(w->resolved, expected);
	free(scratch);
}

TEST(a_directory_is_a_backing)
{
	static const char *const good[] = {"backing",           "backing/",    "backing///",
					   "to-backing",        "to-backing/", "backing/in/..",
					   "other/../backing/."};
	struct words WORDS w;
	struct stat st;

	REQUIRE(words_init(&w));
	CHECK(fstat(w.fd, &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(fcntl(w.fd, F_GETFD) & FD_CLOEXEC);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		CHECK_EQ(try_backing(&w, good[i]), 0);
}

TEST(what_is_no_directory_is_no_backing)
{
	static const char what[] = "cannot open the backing directory ";
	struct words WORDS w;

	REQUIRE(words_init(&w));
	CHECK_EQ(try_backing(&w, "missing"), -ENOENT);
	check_line(&w, what, w.at, "No such file or directory; make it first");
	CHECK_EQ(try_backing(&w, "missing/below/"), -ENOENT);
	CHECK_EQ(try_backing(&w, "to-nothing"), -ENOENT);
	CHECK_EQ(try_backing(&w, "file"), -ENOTDIR);
	check_line(&w, what, w.at, "Not a directory; name a directory");
	CHECK_EQ(try_backing(&w, "file/"), -ENOTDIR);
	CHECK_EQ(try_backing(&w, "to-file"), -ENOTDIR);
	CHECK_EQ(try_backing(&w, "loop"), -ELOOP);
	check_line(&w, what, w.at, "Too many levels of symbolic links");
	int fd = -1;
	CHECK_EQ(preflight_backing("", &fd, w.resolved, w.err, sizeof(w.err)), -ENOENT);
}

static void check_unreadable(void *arg)
{
	struct words *w = arg;

	CHECK_EQ(try_backing(w, "closed"), -EACCES);
	check_line(w, "cannot open the backing directory ", w->at,
		   "Permission denied; you need read and search permission on it");
	CHECK_EQ(try_backing(w, "closed/below"), -EACCES);
	CHECK_EQ(try_backing(w, "unlisted"), -EACCES);
	CHECK_EQ(try_backing(w, "other"), 0);
	CHECK_EQ(try_mountpoint(w, "closed/below"), -EACCES);
	check_line(w, "cannot use the mountpoint ", w->at,
		   "Permission denied; name a directory you may enter");
	CHECK_EQ(try_mountpoint(w, "other"), 0);
}

TEST(what_another_user_may_not_read_is_refused)
{
	struct words WORDS w;

	REQUIRE(words_init(&w));
	REQUIRE(mkdirat(w.b.fd, "closed", 0700) == 0 && mkdirat(w.b.fd, "closed/below", 0755) == 0);
	REQUIRE(mkdirat(w.b.fd, "unlisted", 0711) == 0);
	if (geteuid() != 0 || access(w.b.path, X_OK) != 0)
		SKIP("needs root, to be another user");
	if (!child_run(true, check_unreadable, &w))
		SKIP("not permitted to become another user");
}

TEST(a_directory_is_a_mountpoint)
{
	struct words WORDS w;

	REQUIRE(words_init(&w));
	check_taken(&w, "other", "other");
	check_taken(&w, "other/", "other");
	check_taken(&w, "other//.", "other");
	check_taken(&w, "to-other", "other");
	check_taken(&w, "to-other/", "other");
	check_taken(&w, "backing/in/out", "other");
	check_taken(&w, "backing-not", "backing-not"); /* a name that only begins like it */
}

TEST(the_backing_itself_may_be_mounted_over)
{
	struct words WORDS w;

	REQUIRE(words_init(&w));
	check_taken(&w, "backing", "backing");
	check_taken(&w, "backing/", "backing");
	check_taken(&w, "to-backing", "backing");
	check_taken(&w, "backing/in/..", "backing");
	/* And what has the backing below itself: the mount hides it, the descriptor stays. */
	CHECK_EQ(try_mountpoint(&w, "."), 0);
	CHECK_EQ(preflight_mountpoint("/", w.fd, w.resolved, w.err, sizeof(w.err)), 0);
	CHECK_STR(w.resolved, "/");
}

TEST(a_mountpoint_inside_the_backing_is_refused)
{
	static const char *const inside[] = {"backing/in",
					     "backing/in/",
					     "backing/in/deep",
					     "to-in",
					     "to-in/deep",
					     "to-backing/in",
					     "backing/../backing/in/deep/.."};
	struct words WORDS w;

	REQUIRE(words_init(&w));
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		CHECK_EQ(try_mountpoint(&w, inside[i]), -EINVAL);
		check_line(&w, "the mountpoint ", w.at,
			   "lies inside the backing directory, so the mount would contain itself");
	}
}

TEST(a_relative_mountpoint_is_made_absolute)
{
	struct words WORDS w;
	char *here = getcwd(NULL, 0);

	REQUIRE(here && words_init(&w));
	CHECK_EQ(fchdir(w.b.fd), 0);
	CHECK_EQ(preflight_mountpoint("other", w.fd, w.resolved, w.err, sizeof(w.err)), 0);
	CHECK(w.resolved[0] == '/' && strstr(w.resolved, "/other"));
	CHECK_EQ(preflight_mountpoint("backing/in", w.fd, w.resolved, w.err, sizeof(w.err)), -EINVAL);
	CHECK_EQ(chdir(here), 0);
	free(here);
}

TEST(what_is_no_directory_is_no_mountpoint)
{
	static const char what[] = "cannot use the mountpoint ";
	struct words WORDS w;
	char hint[PATH_MAX + 64];

	REQUIRE(words_init(&w));
	CHECK_EQ(try_mountpoint(&w, "missing"), -ENOENT);
	snprintf(hint, sizeof(hint), "No such file or directory; make it first: mkdir %s", w.at);
	check_line(&w, what, w.at, hint);
	CHECK_EQ(try_mountpoint(&w, "to-nothing"), -ENOENT);
	CHECK_EQ(try_mountpoint(&w, "file"), -ENOTDIR);
	check_line(&w, what, w.at, "Not a directory; name a directory");
	CHECK_EQ(try_mountpoint(&w, "to-file"), -ENOTDIR);
	CHECK_EQ(try_mountpoint(&w, "file/below"), -ENOTDIR);
	check_line(&w, what, w.at, "Not a directory; name a directory");
	CHECK_EQ(try_mountpoint(&w, "loop"), -ELOOP);
	CHECK_EQ(preflight_mountpoint("", w.fd, w.resolved, w.err, sizeof(w.err)), -ENOENT);
}

/* Mounts FUSE there with nobody behind it. In a namespace of the child's own: nothing to clean. */
static void check_dead_mount(void *arg)
{
	struct words *w = arg;
	char options[128], hint[PATH_MAX + 64];
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
	if (fuse < 0 || unshare(CLONE_NEWNS) != 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("dead", word(w, "other"), "fuse.zcfs", 0, options) != 0)
		_exit(2);
	close(fuse);
	CHECK_EQ(try_mountpoint(w, "other"), -ENOTCONN);
	snprintf(hint, sizeof(hint), "a mount whose daemon died; clear it: zcfs umount %s", w->at);
	check_line(w, "cannot use the mountpoint ", w->at, hint);
}

TEST(a_mount_whose_daemon_died_is_refused)
{
	struct words WORDS w;

	REQUIRE(words_init(&w));
	if (!child_run(false, check_dead_mount, &w))
		SKIP("not permitted to mount here");
}

TEST(long_words_do_not_overflow)
{
	struct words WORDS w;
	char name[2 * PATH_MAX], err[32];
	int fd = -1;

	REQUIRE(words_init(&w));
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	memset(err, '#', sizeof(err));
	CHECK_EQ(preflight_backing(name, &fd, w.resolved, err, sizeof(err) - 1), -ENAMETOOLONG);
	CHECK_EQ(strlen(err), sizeof(err) - 2);
	CHECK_EQ(preflight_mountpoint(name, w.fd, w.resolved, err, sizeof(err) - 1), -ENAMETOOLONG);
	CHECK_EQ(err[sizeof(err) - 1], '#');
}

static bool may_all_users(void)
{
	char line[256];
	bool is_allowed = false;
	FILE *f = fopen("/etc/fuse.conf", "re");

	while (f && fgets(line, sizeof(line), f))
		is_allowed |= strncmp(line, "user_allow_other", 16) == 0;
	if (f)
		(void)fclose(f);
	return is_allowed;
}

static void check_fuse(void *arg)
{
	struct words *w = arg;
	struct options alone = {0}, shared = {.allow_other = true};
	bool has_device = access("/dev/fuse", R_OK | W_OK) == 0;
	bool is_user = geteuid() != 0;
	bool has_helper = access("/usr/bin/fusermount3", X_OK) == 0;

	int err = preflight_fuse(&alone, w->err, sizeof(w->err));
	int err_shared = preflight_fuse(&shared, w->err, sizeof(w->err));
	if (!has_device) {
		CHECK(err < 0 && err == err_shared);
		check_line(w, "cannot open /dev/fuse: ", "/dev/fuse", "; ");
	} else if (is_user && !has_helper) {
		CHECK_EQ(err, -ENOENT);
		check_line(w, "mounting as a user needs fusermount3", "fusermount3", "install");
	} else {
		CHECK_EQ(err, 0);
		CHECK_EQ(err_shared, is_user && !may_all_users() ? -EPERM : 0);
		if (err_shared < 0)
			check_line(w, "allow_other is for root", "/etc/fuse.conf",
				   "add that line or leave it out");
	}
}

TEST(fuse_is_there_or_said_to_be_missing)
{
	struct words WORDS w;

	REQUIRE(words_init(&w));
	check_fuse(&w);
	if (geteuid() == 0 && !child_run(true, check_fuse, &w))
		SKIP("not permitted to become another user");
}
