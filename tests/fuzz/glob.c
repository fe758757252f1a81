/*
 * glob_error() and glob_match() with any glob and path, against a matcher that tries every possibility, for what is short
 * enough for that; and with long ones against the clock, for no glob may take exponential time.
 *
 *	input:  [how often each text is repeated] GLOB NUL PATH
 */
#include "base/glob.h"

#include <ctype.h>
#include <fnmatch.h>
#include <limits.h>
#include <time.h>

#include "input.h"

#define SHORT_BYTES 24
#define SHORT_STARS 5
#define LONG_BYTES  4000 /* a path's length at most */
#define MATCH_MAX_S 2 /* of processor time; what is linear takes some microseconds */

/* One component of a glob against one name, both ended by NUL or slash: the documented grammar, read naively. */
static bool component_matches(const char *glob, const char *name);

static bool at_end(const char *s)
{
	return *s == '\0' || *s == '/';
}

static bool class_has(const char *name, size_t len, int c)
{
	static const struct {
		const char *name;
		int (*has)(int);
	} classes[] = {
		{"alnum", isalnum}, {"alpha", isalpha}, {"blank", isblank}, {"cntrl", iscntrl},
		{"digit", isdigit}, {"graph", isgraph}, {"lower", islower}, {"print", isprint},
		{"punct", ispunct}, {"space", isspace}, {"upper", isupper}, {"xdigit", isxdigit},
	};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strlen(classes[i].name) == len && memcmp(classes[i].name, name, len) == 0)
			return classes[i].has(c);
	return false;
}

/* Moves *glob, behind a '[', behind its ']'; whether c is one of those between. */
static bool bracket_has(const char **glob, unsigned char c)
{
	const char *s = *glob;
	bool is_negated = *s == '!' || *s == '^', has = false;

	if (is_negated)
		s++;
	for (bool is_first = true; *s != ']' || is_first; is_first = false) {
		if (s[0] == '[' && s[1] == ':') {
			const char *end = strstr(s + 2, ":]");
			has |= class_has(s + 2, (size_t)(end - s - 2), c);
			s = end + 2;
			continue;
		}
		if (*s == '\\')
			s++;
		unsigned char low = (unsigned char)*s++, high = low;
		if (s[0] == '-' && s[1] != ']') {
			s++;
			if (*s == '\\')
				s++;
			high = (unsigned char)*s++;
		}
		has |= low <= c && c <= high;
	}
	*glob = s + 1;
	return has != is_negated;
}

static bool component_matches(const char *glob, const char *name)
{
	if (at_end(glob))
		return at_end(name);
	if (*glob == '*')
		return component_matches(glob + 1, name) ||
		       (!at_end(name) && component_matches(glob, name + 1));
	if (at_end(name))
		return false;
	if (*glob == '?')
		return component_matches(glob + 1, name + 1);
	if (*glob == '[') {
		glob++;
		return bracket_has(&glob, (unsigned char)*name) && component_matches(glob, name + 1);
	}
	if (*glob == '\\')
		glob++;
	return *glob == *name && component_matches(glob + 1, name + 1);
}

static const char *next(const char *s)
{
	s += strcspn(s, "/");
	return *s ? s + 1 : NULL;
}

/* NULL: nothing is left. */
static bool components_match(const char *glob, const char *path)
{
	if (!glob || !path)
		return !glob && !path;
	bool is_any = strncmp(glob, "**", 2) == 0 && at_end(glob + 2);
	if (!is_any)
		return component_matches(glob, path) && components_match(next(glob), next(path));
	if (!next(glob))
		return true; /* one component at least, and there is one */
	return components_match(next(glob), path) || components_match(glob, next(path));
}

static bool matches(const char *glob, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!strchr(glob, '/'))
		return component_matches(glob, slash ? slash + 1 : path);
	return components_match(*glob == '/' ? glob + 1 : glob, path);
}

/*
 * The naive matcher is quick enough, and knows it all: not collating symbols, nor ranges in the locale's order, nor one that
 * ends in a class, which POSIX leaves undefined.
 */
static bool is_plain(const char *glob, const char *path)
{
	size_t stars = 0;

	if (strlen(glob) > SHORT_BYTES || strlen(path) > SHORT_BYTES)
		return false;
	for (const char *s = glob; *s; s++)
		stars += *s == '*';
	if (stars > SHORT_STARS)
		return false;
	if (strstr(glob, "[.") || strstr(glob, "[=") || strstr(glob, "-[:"))
		return false;
	for (; *glob; glob++)
		if ((unsigned char)*glob >= 0x80)
			return false;
	return true;
}

/* What glob_match() is promised of a path; the mount's rules hold for files, which have names. */
static bool is_path(const char *path)
{
	if (!*path)
		return false;
	for (; path; path = next(path)) {
		size_t len = strcspn(path, "/");
		if (len == 0 || len > NAME_MAX || strncmp(path, "./", 2) == 0 ||
		    strncmp(path, "../", 3) == 0 || strcmp(path, ".") == 0 || strcmp(path, "..") == 0)
			return false;
	}
	return true;
}

/* text n times, as far as there is room. malloc'd */
static char *repeat(const char *text, unsigned n)
{
	size_t len = strlen(text), all = 0;
	char *out = malloc(LONG_BYTES + len + 1);

	REQUIRE(out, "no memory");
	for (unsigned i = 0; i < n && all + len <= LONG_BYTES; i++, all += len)
		memcpy(out + all, text, len);
	out[all] = '\0';
	return out;
}

static double processor_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void match_in_time(const char *glob, const char *path)
{
	double start_s = processor_s();

	if (!glob_error(glob) && is_path(path))
		(void)!glob_match(glob, path);
	double took_s = processor_s() - start_s;
	REQUIRE(took_s < MATCH_MAX_S, "%.1f s for %s on %s", took_s, glob, path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = input_of(data, size);
	unsigned n = input_u8(&in), m = input_u8(&in);
	char *glob = input_rest(&in);
	const char *path = size > strlen(glob) + 3 ? glob + strlen(glob) + 1 : "a";
	const char *why = glob_error(glob);

	REQUIRE(!why || *why, "refused without a word");
	if (!why && is_path(path)) {
		bool is_match = glob_match(glob, path);
		if (is_plain(glob, path))
			REQUIRE(is_match == matches(glob, path), "%s on %s is %d", glob, path, is_match);
	}
	if (n > 0) {
		char *long_glob = repeat(glob, n), *long_path = repeat(path, m ? m : n);
		match_in_time(long_glob, long_path);
		free(long_glob);
		free(long_path);
	}
	free(glob);
	return 0;
}
