/*
 * Owns the grammar of rule globs: which are valid, and what they match. A glob is split at its
 * slashes and each component given to fnmatch(3); only "**" is ours. One point to go back to is
 * enough, as for '*' in a flat pattern: what a later "**" cannot match, an earlier one cannot.
 *
 *	a / ** / b / ** / c        on a mismatch the last "**" passed takes one more component
 *	         ^------- star     and matching resumes behind it
 *
 * fnmatch() takes a broken bracket as literal text: glob_error() finds those at the start.
 */
#include "base/glob.h"

#include <fnmatch.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <wctype.h>

/* The component at s ends at the next slash or at the end of the text. */
static size_t component_len(const char *s)
{
	return strcspn(s, "/");
}

/* The component behind this one, or NULL if this is the last. */
static const char *next_component(const char *s)
{
	s += component_len(s);
	return *s == '/' ? s + 1 : NULL;
}

static bool is_component(const char *s, const char *word)
{
	size_t len = strlen(word);
	return component_len(s) == len && memcmp(s, word, len) == 0;
}

/* Moves *p, at the "[:", "[." or "[=" of a bracket, behind its end. */
static const char *skip_class(const char **p)
{
	char name[16], kind = (*p)[1];
	const char *start = *p + 2, *end = start;

	while (*end && *end != '/' && !(end[0] == kind && end[1] == ']'))
		end++;
	if (*end != kind)
		return "has a '[:', '[.' or '[=' without its end";
	if (kind == ':') {
		size_t len = (size_t)(end - start);
		if (len >= sizeof(name))
			return "names an unknown character class";
		memcpy(name, start, len);
		name[len] = '\0';
		if (!wctype(name))
			return "names an unknown character class, such as [[:digit:]]";
	}
	*p = end + 2;
	return NULL;
}

/*
 * One character of a bracket at *p, perhaps escaped, with *p moved behind it; -1 if the
 * component ends there.
 */
static int take_bracket_char(const char **p)
{
	if (**p == '\\')
		(*p)++;
	if (**p == '\0' || **p == '/')
		return -1;
	return (unsigned char)*(*p)++;
}

/* Moves *p, at a '[', behind its ']'. */
static const char *skip_bracket(const char **p)
{
	static const char unclosed[] = "has a '[' without its ']' (\\[ means the character)";
	const char *s = *p + 1, *first;

	if (*s == '!' || *s == '^')
		s++;
	/* A ']' in first place stands for itself. */
	for (first = s; *s != ']' || s == first;) {
		if (s[0] == '[' && s[1] && strchr(":.=", s[1])) {
			const char *why = skip_class(&s);
			if (why)
				return why;
			continue;
		}
		int low = take_bracket_char(&s), high = low;
		if (low >= 0 && s[0] == '-' && s[1] == '[' && (s[2] == ':' || s[2] == '='))
			return "has a range that ends in a class, which means nothing";
		if (low >= 0 && s[0] == '-' && s[1] != ']' && s[1] != '[') {
			s++;
			high = take_bracket_char(&s);
		}
		if (low < 0 || high < 0)
			return unclosed;
		/* Above ASCII the order is the locale's. */
		if (high < low && low < 0x80)
			return "has a range whose end is before its start";
	}
	*p = s + 1;
	return NULL;
}

static const char *component_error(const char *s)
{
	const char *end = s + component_len(s);

	if (s == end)
		return "has an empty component, which matches nothing (DIR/** means all below DIR)";
	if (is_component(s, ".") || is_component(s, ".."))
		return "has a component '.' or '..', which no path below the mount has";
	if (end - s > GLOB_COMPONENT_MAX)
		return "has a component of over 1023 bytes";
	while (s < end) {
		const char *why;
		if (*s == '[') {
			why = skip_bracket(&s);
			if (why)
				return why;
			continue;
		}
		if (*s == '\\' && ++s == end)
			return "has a backslash with no character behind it";
		s++;
	}
	return NULL;
}

const char *glob_error(const char *glob)
{
	if (*glob == '\0')
		return "is empty (* matches every file)";
	if (*glob == '/')
		glob++;
	for (; glob; glob = next_component(glob)) {
		const char *why = component_error(glob);
		if (why)
			return why;
	}
	return NULL;
}

/* Does the component at `glob` match the one at `path`? fnmatch() wants both terminated. */
static bool match_component(const char *glob, const char *path)
{
	char glob_text[GLOB_COMPONENT_MAX + 1], name[NAME_MAX + 1];
	size_t glob_len = component_len(glob), name_len = component_len(path);

	if (glob_len >= sizeof(glob_text) || name_len >= sizeof(name))
		return false;
	memcpy(glob_text, glob, glob_len);
	glob_text[glob_len] = '\0';
	memcpy(name, path, name_len);
	name[name_len] = '\0';
	return fnmatch(glob_text, name, 0) == 0;
}

static bool match_components(const char *glob, const char *path)
{
	const char *star = NULL, *star_path = NULL; /* behind the last "**", and what it has not taken */

	while (path) {
		if (glob && is_component(glob, "**")) {
			glob = next_component(glob);
			if (!glob)
				return true;
			star = glob;
			star_path = path;
		} else if (glob && match_component(glob, path)) {
			glob = next_component(glob);
			path = next_component(path);
		} else if (star) {
			glob = star;
			path = star_path = next_component(star_path);
		} else {
			return false;
		}
	}
	return !glob;
}

bool glob_match(const char *glob, const char *relpath)
{
	if (!strchr(glob, '/')) {
		const char *slash = strrchr(relpath, '/');
		return match_component(glob, slash ? slash + 1 : relpath);
	}
	return match_components(*glob == '/' ? glob + 1 : glob, relpath);
}
