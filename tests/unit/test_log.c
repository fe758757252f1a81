/*
 * base/log.c: one line each, whatever is in it. stderr is a pipe meanwhile. Last of all, as there
 * is no way back: syslog leaves stderr alone.
 */
#include "base/log.h"

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int real_stderr, pipe_out;

static bool capture_start(void)
{
	int fds[2];

	real_stderr = dup(STDERR_FILENO);
	if (real_stderr < 0 || pipe2(fds, O_NONBLOCK) < 0)
		return false;
	pipe_out = fds[0];
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	return true;
}

static const char *capture_end(char *buf, size_t len_bytes)
{
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	ssize_t n = read(pipe_out, buf, len_bytes - 1);
	close(pipe_out);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

TEST(lines_name_the_program)
{
	char buf[4096];

	REQUIRE(capture_start());
	log_err("cannot open %s: %s", "/dev/fuse", "no");
	log_warn("slow");
	log_info("ready");
	log_msg(LOG_DEBUG, "detail");
	CHECK_STR(capture_end(buf, sizeof(buf)), "zcfs: cannot open /dev/fuse: no\n"
						 "zcfs: warning: slow\n"
						 "zcfs: ready\n"
						 "zcfs: debug: detail\n");
}

TEST(a_line_stays_one_line)
{
	char buf[4096];

	REQUIRE(capture_start());
	log_err("file %s", "a\nb\x1b[31m\x7f \xc3\xa9");
	CHECK_STR(capture_end(buf, sizeof(buf)), "zcfs: file a?b?[31m? \xc3\xa9\n");
}

TEST(long_lines_are_cut_and_say_so)
{
	char text[5000], buf[6000];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	REQUIRE(capture_start());
	log_err("%s", text);
	capture_end(buf, sizeof(buf));
	size_t len = strlen(buf);
	CHECK(len > 1000 && len <= 2048);
	CHECK_STR(len > 5 ? buf + len - 5 : buf, "x...\n");
}

TEST(errno_is_kept)
{
	char buf[100];

	REQUIRE(capture_start());
	errno = ENOSPC;
	log_err("full");
	CHECK_EQ(errno, ENOSPC);
	close(STDERR_FILENO);
	log_err("nobody hears this");
	CHECK_EQ(errno, ENOSPC);
	CHECK_STR(capture_end(buf, sizeof(buf)), "zcfs: full\n");
}

TEST(syslog_leaves_stderr_alone)
{
	char buf[100];

	REQUIRE(capture_start());
	log_to_syslog();
	log_msg(LOG_DEBUG, "a line of %s, to be ignored", "test_log");
	CHECK_STR(capture_end(buf, sizeof(buf)), "");
}
