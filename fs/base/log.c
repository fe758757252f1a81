/*
 * Owns where messages go: stderr, or syslog once the daemon has detached. It never exits and never
 * reports a failure to log: there is no one left to tell. A line is composed in full and written
 * by one write(2), so that lines of several threads do not mix. Control characters (a file may be
 * called anything) become '?', so that a line stays one line. Keeps errno. The one mutable state
 * is is_syslog: set once, by the main thread when workers may already have something to say.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOG_LINE_BYTES 2048

static atomic_bool is_syslog;

static const char *level_prefix(int level)
{
	switch (level) {
	case LOG_WARNING:
		return "warning: ";
	case LOG_DEBUG:
		return "debug: ";
	default:
		return "";
	}
}

/* Makes line[0..len) one line of text, and marks it where vsnprintf() had to cut it. */
static void tidy_line(char *line, size_t len, bool is_cut)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	if (is_cut && len >= 3)
		memcpy(line + len - 3, "...", 3);
}

/* A message that stderr does not take is lost: there is no better place to say so. */
static void write_stderr(const char *line, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, line, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		line += n;
		len -= (size_t)n;
	}
}

void log_msg(int level, const char *fmt, ...)
{
	char line[LOG_LINE_BYTES];
	int saved = errno;
	int head = 0;
	va_list args;
	/* acquire: pairs with the release that comes after openlog() */
	bool to_syslog = atomic_load_explicit(&is_syslog, memory_order_acquire);

	if (!to_syslog)
		head = snprintf(line, sizeof(line), "zcfs: %s", level_prefix(level));
	if (head < 0)
		head = 0;
	/* The last byte is kept for the newline. */
	size_t room = sizeof(line) - 1 - (size_t)head;
	va_start(args, fmt);
	int body = vsnprintf(line + head, room, fmt, args);
	va_end(args);
	if (body >= 0) {
		bool is_cut = (size_t)body >= room;
		size_t len = (size_t)head + (is_cut ? room - 1 : (size_t)body);
		tidy_line(line, len, is_cut);
		if (to_syslog) {
			line[len] = '\0';
			syslog(level, "%s", line);
		} else {
			line[len] = '\n';
			write_stderr(line, len + 1);
		}
	}
	errno = saved;
}

void log_to_syslog(void)
{
	openlog("zcfs", LOG_PID, LOG_DAEMON);
	atomic_store_explicit(&is_syslog, true, memory_order_release);
}
