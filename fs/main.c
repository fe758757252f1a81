/*
 * zcfsd: parse, open the backing directory, mount, serve until a signal or an unmount, take everything down in reverse. Owns
 * struct fs. In the background, a parent waits until the mount answers and takes over the exit status: 0 mounted, 1 the mount
 * failed, 2 bad input.
 */
#include <ctype.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/log.h"
#include "ops/mount.h"
#include "ops/ops.h"
#include "ops/session.h"
#include "preflight.h"

#ifndef ZCFS_VERSION
#define ZCFS_VERSION "unknown" /* meson defines it */
#endif

enum { EXIT_FAILED = 1, EXIT_BAD_INPUT = 2 };
#define ERR_BYTES (3 * PATH_MAX)

/* The command line, checked. */
struct start {
	bool is_foreground;
	char *options; /* malloc'd */
	char backing[PATH_MAX]; /* absolute, as /proc/mounts shows it */
	char mountpoint[PATH_MAX];
	dev_t dev; /* of the mount, once it answers; before that 0 */
	int ready_fd; /* the parent waits there; -1 in the foreground */
	char err[ERR_BYTES];
};

static int usage(FILE *to, int status)
{
	fputs("usage: zcfsd [-f] [-o OPTIONS] BACKING MOUNTPOINT\n"
	      "       zcfsd --version\n"
	      "Options are described by: zcfs mount --help\n",
	      to);
	return status;
}

/* One line it is, whatever the names in it contain. */
static int complain(const char *line)
{
	fputs("zcfs: ", stderr);
	for (; *line; line++)
		fputc(iscntrl((unsigned char)*line) ? '?' : *line, stderr);
	fputc('\n', stderr);
	return EXIT_BAD_INPUT;
}

/* Several -o are one. */
static void add_options(struct start *s, const char *text)
{
	char *joined = NULL;
	if (asprintf(&joined, "%s%s%s", s->options ? s->options : "", s->options ? "," : "", text) >= 0) {
		free(s->options);
		s->options = joined;
	}
}

/* -1 to go on, or the exit status. */
static int parse_words(struct start *s, int argc, char **argv)
{
	static const struct option words[] = {{"version", no_argument, NULL, 'V'},
					      {"help", no_argument, NULL, 'h'},
					      {NULL, 0, NULL, 0}};
	for (int c; (c = getopt_long(argc, argv, "fho:V", words, NULL)) != -1;) {
		if (c == 'f')
			s->is_foreground = true;
		else if (c == 'o')
			add_options(s, optarg);
		else if (c == 'V')
			return printf("zcfsd %s, libfuse %s\n", ZCFS_VERSION, fuse_pkgversion()) < 0;
		else
			return usage(c == 'h' ? stdout : stderr, c == 'h' ? 0 : EXIT_BAD_INPUT);
	}
	if (argc - optind != 2)
		return usage(stderr, EXIT_BAD_INPUT);
	return -1;
}

/* As many descriptors as we may have; half of them may be nodes' (the rest: open files). */
static size_t raise_fd_limit(void)
{
	struct rlimit lim;
	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return 256;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		(void)getrlimit(RLIMIT_NOFILE, &lim);
	size_t limit = lim.rlim_cur < 1024UL * 1024 ? (size_t)lim.rlim_cur : 1024UL * 1024;
	return limit / 2;
}

/* Tells whoever waits: the exit status and, if that is not 0, why. */
static void report(struct start *s, int status)
{
	if (s->ready_fd >= 0) {
		unsigned char code = (unsigned char)status;
		if (write(s->ready_fd, &code, 1) == 1 && status != 0)
			(void)!write(s->ready_fd, s->err, strlen(s->err));
		close(s->ready_fd);
		s->ready_fd = -1;
	} else if (status != 0) {
		(void)complain(s->err);
	}
}

static void detach_from_terminal(void)
{
	int AUTO_FD null = open("/dev/null", O_RDWR | O_CLOEXEC);
	log_to_syslog();
	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		(void)dup2(null, fd);
}

static sigset_t handled_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SESSION_ENDED_SIGNAL);
	return set;
}

/* Mounted and served; returns when it is over. 0, or -errno if it never answered (s->err says why). */
static int serve(struct start *s, struct fs *fs, struct session *session)
{
	sigset_t set = handled_signals();
	int sig = 0;
	int err = session_start(session);
	if (err < 0) {
		(void)snprintf(s->err, sizeof(s->err),
			       "%s was mounted, but no worker thread can start: %s", s->mountpoint,
			       strerror(-err));
		/* Nobody to ask, so nothing to wait for. */
		if (mount_drop_dead(s->mountpoint) < 0)
			log_err("cannot unmount %s; run: fusermount3 -uz '%s'", s->mountpoint,
				s->mountpoint);
		session_stop(session);
		return err;
	}
	err = mount_settle(fs, s->mountpoint, &s->dev);
	if (err < 0) {
		(void)snprintf(s->err, sizeof(s->err), "%s was mounted, but does not answer: %s",
			       s->mountpoint, strerror(-err));
		mount_detach(s->mountpoint, s->dev);
		session_stop(session);
		return err;
	}
	if (s->ready_fd >= 0)
		detach_from_terminal();
	report(s, 0);
	while (sigwait(&set, &sig) != 0)
		;
	if (sig != SESSION_ENDED_SIGNAL) {
		mount_detach(s->mountpoint, s->dev);
		session_drain(session);
	}
	session_stop(session);
	return 0;
}

/* Root's rights that serving does not take; before any thread starts, since rights are a thread's own. */
static void drop_rights(void)
{
	int err = confine_process();
	if (err < 0)
		log_warn("cannot drop all the rights that serving does not need: %s", strerror(-err));
}

static int run(struct start *s, struct fs *fs)
{
	struct fuse_session *se = NULL;
	struct session *session = NULL;
	sigset_t set = handled_signals();
	size_t fd_budget = raise_fd_limit();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of one write, EFBIG */
	/* Whoever is served, root's own groups must not speak for them. */
	if (geteuid() == 0 && setgroups(0, NULL) < 0)
		log_warn("cannot drop supplementary groups: %s", strerror(errno));
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	clock_calibrate();
	int err = fs_claim(fs, s->backing, s->err, sizeof(s->err));
	bool is_claimed = err == 0;
	if (is_claimed)
		err = fs_open(fs, fd_budget);
	if (is_claimed && err < 0)
		(void)snprintf(s->err, sizeof(s->err), "cannot serve %s: %s", s->backing, strerror(-err));
	if (err == 0)
		err = mount_attach(fs, s->backing, s->mountpoint, &se, s->err, sizeof(s->err));
	if (err == 0) {
		drop_rights();
		fs_start(fs);
		err = session_new(fs, se, &session);
		if (err < 0) {
			(void)snprintf(s->err, sizeof(s->err), "cannot start serving %s: %s",
				       s->mountpoint, strerror(-err));
			mount_detach(s->mountpoint, s->dev);
		} else {
			err = serve(s, fs, session);
		}
		/* Not fuse_session_unmount(): what is at the mountpoint now is what our mount covered. */
		fuse_session_destroy(se);
	}
	session_free(session);
	if (err < 0)
		report(s, EXIT_FAILED);
	return err < 0 ? EXIT_FAILED : 0;
}

/* The foreground half of a daemon: its exit status is the child's report. */
static int await_child(pid_t pid, int fd)
{
	unsigned char code = EXIT_FAILED;
	char line[ERR_BYTES] = "";
	if (read(fd, &code, 1) != 1) {
		int status = 0;
		(void)waitpid(pid, &status, 0);
		fprintf(stderr,
			"zcfs: the daemon ended before the mount answered (%s %d); run with -f to see why\n",
			WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		return EXIT_FAILED;
	}
	if (code != 0 && read(fd, line, sizeof(line) - 1) > 0)
		(void)complain(line);
	return code;
}

/* -1 in the process that serves, else the exit status. */
static int go_to_background(struct start *s)
{
	int fds[2];
	if (s->is_foreground)
		return -1;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return complain(strerror(errno));
	pid_t pid = fork();
	if (pid < 0) {
		fprintf(stderr, "zcfs: cannot start the daemon: fork: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	close(fds[pid == 0 ? 0 : 1]);
	if (pid > 0)
		return await_child(pid, fds[0]);
	s->ready_fd = fds[1];
	(void)setsid();
	return -1;
}

/* Started with 0, 1 or 2 closed, our own files would get these numbers, and lose them when detaching from the terminal. */
static bool has_standard_files(void)
{
	int fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2)
		fd = dup(fd);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* What a daemon that died left at the mountpoint is in everybody's way, also where it covers the backing itself. */
static void clear_dead(const char *mountpoint)
{
	char path[PATH_MAX];
	while (preflight_is_dead(mountpoint, path) && mount_drop_dead(path) == 0)
		fprintf(stderr, "zcfs: cleared the mount at %s, whose daemon had died\n", path);
}

int main(int argc, char **argv)
{
	if (!has_standard_files())
		return EXIT_FAILED;
	signal(SIGCHLD, SIG_DFL); /* one that ignored it would not let us wait for fusermount3 */
	struct start s = {.ready_fd = -1};
	struct fs fs = {.root_fd = -1, .claim_fd = -1};
	int status = parse_words(&s, argc, argv);
	if (status >= 0) {
		free(s.options);
		return status;
	}
	int err = options_parse(&fs.opt, s.options, s.err, sizeof(s.err));
	free(s.options);
	if (err == 0)
		clear_dead(argv[optind + 1]);
	if (err == 0)
		err = preflight_backing(argv[optind], &fs.root_fd, s.backing, s.err, sizeof(s.err));
	if (err == 0)
		err = preflight_mountpoint(argv[optind + 1], fs.root_fd, s.mountpoint, s.err,
					   sizeof(s.err));
	if (err == 0)
		err = preflight_pool(&fs.opt, s.err, sizeof(s.err));
	if (err == 0)
		err = preflight_fuse(&fs.opt, s.err, sizeof(s.err));
	status = err < 0 ? complain(s.err) : go_to_background(&s);
	if (status < 0) {
		if (chdir("/") < 0)
			log_warn("cannot leave the current directory: %s", strerror(errno));
		status = run(&s, &fs);
	}
	fs_close(&fs);
	return status;
}
