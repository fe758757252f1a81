/*
 * What the doctor's probes share. A probe says one line: what it looked at, what it found, what that means
 * for zcfs and how to mend it. It changes nothing: what it makes has no name or is removed before it returns.
 */
#ifndef ZCFS_DOCTOR_H
#define ZCFS_DOCTOR_H

enum doctor_verdict {
	DOCTOR_OK, /* all of it is there */
	DOCTOR_DEGRADED, /* works, with less */
	DOCTOR_MISSING, /* is not there */
	DOCTOR_SKIPPED /* could not be looked at */
};

void doctor_say(enum doctor_verdict verdict, const char *subject, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* probe_system.c: kernel, libfuse, limits. */
void probe_system(void);

/* probe_user.c: what the person may do. */
void probe_user(void);

/* probe_backing.c: the filesystem of a directory that is to be served. */
void probe_backing(const char *backing);

/*
 * trial.c: mounts backing (NULL: a directory of its own) read-only on a private mountpoint by `zcfs mount`, reads
 * a file through it and unmounts. 0 if all of that works.
 */
int trial_mount(const char *backing) __attribute__((warn_unused_result));

#endif
