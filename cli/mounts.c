/*
 * Reads /proc/self/mountinfo. A path is turned into a mount by an O_PATH descriptor and its mnt_id in
 * /proc/self/fdinfo: neither sends a request to the filesystem, and the topmost of stacked mounts is found.
 */
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void auto_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define AUTO_FILE __attribute__((cleanup(auto_fclose)))

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* Space, tab, newline and backslash stand as \ooo in mountinfo. False if it does not fit. */
static bool unescape(const char *s, char *out, size_t size)
{
	for (size_t n = 0; n < size; n++) {
		if (s[0] == '\\' && is_octal(s[1]) && is_octal(s[2]) && is_octal(s[3])) {
			out[n] = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 4;
		} else {
			out[n] = *s;
			if (!*s++)
				return true;
		}
	}
	return false;
}

/*
 * id parent major:minor root mountpoint options [tags...] - fstype source superoptions
 * Cuts the line up. False if it is not such a line.
 */
static bool parse_line(char *line, struct mount_entry *out)
{
	enum { ID, PARENT, DEVICE, ROOT, MOUNTPOINT, FIELDS };
	char *fields[FIELDS], *rest = line, *dash = strstr(line, " - ");
	if (!dash)
		return false;
	char *fstype = dash + 3;
	fstype[strcspn(fstype, " ")] = '\0';
	*dash = '\0';
	for (int i = 0; i < FIELDS; i++) {
		fields[i] = strsep(&rest, " ");
		if (!fields[i])
			return false;
	}
	const char *minor = strchr(fields[DEVICE], ':');
	if (!minor)
		return false;
	out->id = (int)strtol(fields[ID], NULL, 10);
	out->major = (unsigned)strtoul(fields[DEVICE], NULL, 10);
	out->minor = (unsigned)strtoul(minor + 1, NULL, 10);
	return unescape(fields[MOUNTPOINT], out->mountpoint, sizeof(out->mountpoint)) &&
	       unescape(fstype, out->fstype, sizeof(out->fstype));
}

/* The last entry with that id, or, where id is -1, at that mountpoint. 0 or -errno, -ENOENT. */
static int find_entry(int id, const char *mountpoint, struct mount_entry *out)
{
	struct mount_entry entry;
	FILE AUTO_FILE *f = fopen("/proc/self/mountinfo", "re");
	char AUTO_FREE *line = NULL;
	size_t size = 0;
	int err = -ENOENT;
	if (!f)
		return -errno;
	while (getline(&line, &size, f) >= 0) {
		if (!parse_line(line, &entry) ||
		    (id >= 0 ? entry.id != id : strcmp(entry.mountpoint, mountpoint) != 0))
			continue;
		*out = entry;
		err = 0;
	}
	return err;
}

bool mounts_has(const struct mount_entry *entry)
{
	struct mount_entry now;
	return find_entry(entry->id, NULL, &now) == 0 && now.major == entry->major &&
	       now.minor == entry->minor && strcmp(now.mountpoint, entry->mountpoint) == 0;
}

/* The id of the mount that an open file lies on; -errno. */
static int mount_id_of_fd(int fd)
{
	char name[64];
	char AUTO_FREE *line = NULL;
	size_t size = 0;
	int id = -ENOENT;
	snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
	FILE AUTO_FILE *f = fopen(name, "re");
	if (!f)
		return -errno;
	while (getline(&line, &size, f) >= 0)
		if (strncmp(line, "mnt_id:", 7) == 0)
			id = (int)strtol(line + 7, NULL, 10);
	return id;
}

/* The path of an open file as the kernel knows it. 0 or -errno. */
static int path_of_fd(int fd, char out[PATH_MAX])
{
	char name[64];
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ssize_t len = readlink(name, out, PATH_MAX - 1);
	if (len < 0)
		return -errno;
	out[len] = '\0';
	return 0;
}

/* `path` made absolute by words alone: for one that cannot be walked to. Trailing slashes go. */
static int absolute_by_words(const char *path, char out[PATH_MAX])
{
	size_t len = 0;
	if (path[0] != '/') {
		if (!getcwd(out, PATH_MAX))
			return -errno;
		len = strlen(out);
		out[len++] = '/';
	}
	int n = snprintf(out + len, PATH_MAX - len, "%s", path);
	if (n < 0 || (size_t)n >= PATH_MAX - len)
		return -ENAMETOOLONG;
	for (len += (size_t)n; len > 1 && out[len - 1] == '/'; len--)
		out[len - 1] = '\0';
	return 0;
}

int mounts_of_path(const char *path, struct mount_entry *out, char canonical[PATH_MAX])
{
	int AUTO_FD fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0) {
		int err = -errno;
		bool is_found = *path && absolute_by_words(path, canonical) == 0 &&
				find_entry(-1, canonical, out) == 0;
		return is_found ? 0 : err;
	}
	int id = mount_id_of_fd(fd);
	if (id < 0)
		return id;
	int err = path_of_fd(fd, canonical);
	return err ? err : find_entry(id, NULL, out);
}
