/*
 * Runs a child with its output kept in a memory file, so that a daemon it leaves behind cannot hold us up by
 * an inherited pipe. Waits by pidfd with a deadline; a child that misses it is killed.
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>

static long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool run_wait_gone(int pidfd, int timeout_ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	long end_ms = now_ms() + timeout_ms;
	for (;;) {
		long left_ms = end_ms - now_ms();
		int n = poll(&p, 1, left_ms > 0 ? (int)left_ms : 0);
		if (n > 0)
			return true;
		if (n == 0 || errno != EINTR)
			return false;
	}
}

static int exec_words(void *ctx)
{
	char *const *argv = ctx;
	execvp(argv[0], argv);
	int err = errno;
	fprintf(stderr, "%s: %s", argv[0], strerror(err));
	return err == ENOENT ? 127 : 126;
}

/* In the child: nothing of the parent's signals or standard files. */
static _Noreturn void become_child(int out_fd, int (*fn)(void *ctx), void *ctx)
{
	sigset_t none;
	int AUTO_FD null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(out_fd, 2) < 0)
		_exit(126);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int status = fn(ctx);
	fflush(stdout);
	fflush(stderr);
	_exit(status);
}

static void read_output(int fd, char *out, size_t out_bytes)
{
	ssize_t len = pread(fd, out, out_bytes - 1, 0);
	if (len < 0)
		len = 0;
	while (len > 0 && out[len - 1] == '\n')
		len--;
	out[len] = '\0';
}

int run_function(int (*fn)(void *ctx), void *ctx, int timeout_ms, char *out, size_t out_bytes)
{
	out[0] = '\0';
	int AUTO_FD out_fd = memfd_create("output", MFD_CLOEXEC);
	if (out_fd < 0)
		return -errno;
	fflush(stdout);
	fflush(stderr);
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become_child(out_fd, fn, ctx);
	int AUTO_FD pidfd = pidfd_open(pid, 0);
	bool is_late = pidfd >= 0 && !run_wait_gone(pidfd, timeout_ms);
	if (is_late)
		kill(pid, SIGKILL);
	int status = 0;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	read_output(out_fd, out, out_bytes);
	if (is_late)
		return -ETIMEDOUT;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_program(const char *const argv[], int timeout_ms, char *out, size_t out_bytes)
{
	/* execvp() does not write to them; its type only predates const. */
	return run_function(exec_words, (void *)argv, timeout_ms, out, out_bytes);
}
