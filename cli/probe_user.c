/*
 * The doctor on the person: capabilities as root, fusermount3 and allow_other otherwise.
 */
#include "doctor.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"

/* What root does for the callers of a mount, and what is lost without. */
static const struct capability {
	int number;
	const char *name, *loss;
} capabilities[] = {
	{CAP_SETUID, "CAP_SETUID", "new files do not get their caller's owner"},
	{CAP_SETGID, "CAP_SETGID", "new files do not get their caller's group"},
	{CAP_CHOWN, "CAP_CHOWN", "chown fails"},
	{CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE", "files of others cannot be opened for them"},
	{CAP_FOWNER, "CAP_FOWNER", "chmod and utimes fail on files of others"},
	{CAP_FSETID, "CAP_FSETID", "set-id bits are cleared where root would keep them"},
	{CAP_MKNOD, "CAP_MKNOD", "device nodes cannot be made"},
	{CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "each known file costs a descriptor"},
};

static uint64_t effective_capabilities(void)
{
	char line[256];
	uint64_t mask = 0;
	FILE *f = fopen("/proc/self/status", "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, "CapEff:", 7) == 0)
			mask = strtoull(line + 7, NULL, 16);
	fclose(f);
	return mask;
}

static bool has(uint64_t mask, int capability)
{
	return mask >> capability & 1;
}

static void probe_root(uint64_t mask)
{
	bool has_all = true;
	for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
		const struct capability *c = &capabilities[i];
		if (has(mask, c->number))
			continue;
		has_all = false;
		doctor_say(DOCTOR_DEGRADED, "privileges",
			   "no %s: %s: give it to this process (--cap-add)", c->name, c->loss);
	}
	if (has_all)
		doctor_say(DOCTOR_OK, "privileges",
			   "may mount, and act for every user of the mount (allow_other)");
}

/* The first fusermount3 in PATH. */
static bool find_fusermount(struct stat *st, char path[PATH_MAX])
{
	const char *dir = getenv("PATH");
	while (dir && *dir) {
		size_t len = strcspn(dir, ":");
		int n = snprintf(path, PATH_MAX, "%.*s/fusermount3", (int)len, dir);
		if (len > 0 && n < PATH_MAX && stat(path, st) == 0 && access(path, X_OK) == 0)
			return true;
		dir += len + (dir[len] == ':');
	}
	return false;
}

static void probe_fusermount(void)
{
	struct stat st;
	char path[PATH_MAX];
	if (!find_fusermount(&st, path))
		doctor_say(DOCTOR_MISSING, "fusermount3",
			   "is not in PATH, only root can mount: install the package fuse3");
	else if (st.st_uid != 0 || !(st.st_mode & S_ISUID))
		doctor_say(DOCTOR_MISSING, "fusermount3",
			   "%s is not set-user-id root, only root can mount: 'chmod u+s %s' as root, or "
			   "reinstall the package fuse3",
			   path, path);
	else
		doctor_say(DOCTOR_OK, "fusermount3", "%s mounts for you", path);
}

static void probe_allow_other(void)
{
	char line[256];
	bool is_allowed = false;
	FILE *f = fopen("/etc/fuse.conf", "re");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, " \t\r\n")] = '\0';
		is_allowed = is_allowed || strcmp(line, "user_allow_other") == 0;
	}
	if (f)
		fclose(f);
	if (is_allowed)
		doctor_say(DOCTOR_OK, "allow_other", "user_allow_other is set in /etc/fuse.conf");
	else
		doctor_say(DOCTOR_DEGRADED, "allow_other",
			   "is not for you to give, your mounts are for you alone: add a line "
			   "'user_allow_other' to /etc/fuse.conf as root");
}

void probe_user(void)
{
	uint64_t mask = effective_capabilities();
	if (has(mask, CAP_SYS_ADMIN)) {
		probe_root(mask);
		return;
	}
	doctor_say(DOCTOR_DEGRADED, "privileges",
		   "neither root nor CAP_SYS_ADMIN: the mount acts as you (uid %u), new files are yours and "
		   "each known file costs a descriptor: mount as root to serve several users",
		   (unsigned)geteuid());
	probe_fusermount();
	probe_allow_other();
}
