/*
 * The rules of failshim.c: which call fails next, and how. They are read from the file $ZCFS_FAIL at each question, so that they
 * change while the program runs; each time one is met, a line of its `CALL NUMBER` is appended to $ZCFS_FAIL.met. Owns how
 * often each rule's call was made since the file's text last changed. Any thread. Made of plain system calls and of what
 * allocates nothing, so that the shim does not meet itself.
 */
#ifndef ZCFS_FAILRULES_H
#define ZCFS_FAILRULES_H

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RULES_BYTES 256
#define RULES_MAX   16

/* The function that the shim's own of that name hides. */
#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

struct rule {
	char call[16];
	int number;
	unsigned first, times; /* the first call that it is for, counted from 1; how many, 0: all */
};

static size_t rules_read(char text[RULES_BYTES])
{
	const char *file = getenv("ZCFS_FAIL");
	long fd = file ? NEXT(syscall)(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0) : -1;
	long len = fd >= 0 ? NEXT(syscall)(SYS_read, fd, text, RULES_BYTES - 1) : 0;
	if (fd >= 0)
		NEXT(syscall)(SYS_close, fd);
	len = len > 0 ? len : 0;
	text[len] = 0;
	return (size_t)len;
}

/* One line. False: it is none. */
static bool rule_parse(const char *line, struct rule *r)
{
	*r = (struct rule){.first = 1};
	return sscanf(line, "%15s %d %u %u", r->call, &r->number, &r->first, &r->times) >= 2;
}

/* Counts this call of the rule in that place. Whether the rule is for it. */
static bool rule_count(const char *text, unsigned place, const struct rule *r)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	static char known[RULES_BYTES];
	static unsigned made[RULES_MAX];
	pthread_mutex_lock(&mutex);
	if (strcmp(known, text) != 0) {
		memset(made, 0, sizeof(made));
		memcpy(known, text, strlen(text) + 1);
	}
	unsigned nth = ++made[place];
	pthread_mutex_unlock(&mutex);
	return nth >= r->first && (r->times == 0 || nth - r->first < r->times);
}

static void rule_note(const struct rule *r)
{
	char file[PATH_MAX], line[32];
	snprintf(file, sizeof(file), "%s.met", getenv("ZCFS_FAIL"));
	int len = snprintf(line, sizeof(line), "%s %d\n", r->call, r->number);
	long fd = NEXT(syscall)(SYS_openat, AT_FDCWD, file,
				O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	NEXT(syscall)(SYS_write, fd, line, (size_t)len);
	NEXT(syscall)(SYS_close, fd);
}

/* The number that the rules have for this call, or 0. Keeps errno. */
static int rule_for(const char *call)
{
	/* What answers the question may be shimmed as well. */
	static _Thread_local bool is_asking;
	char text[RULES_BYTES];
	int saved = errno, number = 0;
	if (is_asking)
		return 0;
	is_asking = true;
	size_t len = rules_read(text);
	unsigned place = 0;
	for (char *line = text, *end; number == 0 && line < text + len && place < RULES_MAX;
	     line = end + 1) {
		struct rule r;
		end = strchrnul(line, '\n');
		/* A line's own end is no part of it: sscanf() would read on. */
		char line_text[64];
		snprintf(line_text, sizeof(line_text), "%.*s", (int)(end - line), line);
		if (rule_parse(line_text, &r) && strcmp(r.call, call) == 0 &&
		    rule_count(text, place, &r)) {
			rule_note(&r);
			number = r.number;
		}
		place++;
	}
	is_asking = false;
	errno = saved;
	return number;
}

/* Whether the call is to fail, and then errno says how. */
static bool fails(const char *call)
{
	int number = rule_for(call);
	if (number != 0)
		errno = number;
	return number != 0;
}

#endif
