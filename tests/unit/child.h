/*
 * A part of a test in a process of its own, for what a process cannot take back: another user, a
 * namespace, a limit.
 */
#pragma once

#include "check.h"

#include <grp.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* A user whom nobody else is, so that what the kernel counts by user starts at nothing. */
#define CHILD_UID 54321

/*
 * Runs body(arg) as CHILD_UID, or as who we are if !is_other. Failures in it count here. False: it
 * could not be run (no fork, or not permitted to become another).
 */
static inline bool child_run(bool is_other, void (*body)(void *), void *arg)
{
	int status = -1;

	(void)fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (is_other && (setgroups(0, NULL) || setgid(CHILD_UID) || setuid(CHILD_UID)))
			_exit(2);
		atomic_store(&check_n_failed, 0);
		body(arg);
		(void)fflush(stdout);
		_exit(atomic_load(&check_n_failed) ? 1 : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
		CHECK(pid < 0 || !"the child ended by itself");
		return pid >= 0;
	}
	if (WEXITSTATUS(status) == 2)
		return false;
	CHECK_EQ(WEXITSTATUS(status), 0);
	return true;
}
