/*
 * A strict reader of RFC 8259 that skips over values, and a writer of strings. Keeps nothing, allocates nothing.
 */
#include "json.h"

#include <ctype.h>
#include <string.h>

#define DEPTH_MAX 16

size_t json_utf8_decode(const char *s, size_t len, unsigned *out)
{
	static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *b = (const unsigned char *)s;
	size_t n = b[0] < 0x80 ? 1 : b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : 2;
	if (n == 1) {
		*out = b[0];
		return 1;
	}
	if (b[0] < 0xc2 || b[0] > 0xf4 || n > len)
		return 0;
	unsigned code = b[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (b[i] & 0x3fu);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*out = code;
	return n;
}

bool json_is_utf8(const char *s)
{
	unsigned code;
	for (size_t len = strlen(s), n; len > 0; s += n, len -= n) {
		n = json_utf8_decode(s, len, &code);
		if (n == 0)
			return false;
	}
	return true;
}

void json_write_string(FILE *out, const char *s)
{
	unsigned code;
	putc('"', out);
	for (size_t len = strlen(s), n; len > 0; s += n, len -= n) {
		n = json_utf8_decode(s, len, &code);
		if (n == 0) {
			fputs("\\ufffd", out);
			n = 1;
		} else if (code < 0x20 || code == 0x7f) {
			fprintf(out, "\\u%04x", code);
		} else {
			if (code == '"' || code == '\\')
				putc('\\', out);
			fwrite(s, 1, n, out);
		}
	}
	putc('"', out);
}

static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* Over a string, p at its opening quote; NULL if it is none. */
static const char *skip_string(const char *p)
{
	unsigned code;
	if (*p++ != '"')
		return NULL;
	while (*p != '"') {
		if (*p == '\\' && p[1] == 'u') {
			for (int i = 2; i < 6; i++)
				if (!isxdigit((unsigned char)p[i]))
					return NULL;
			p += 6;
		} else if (*p == '\\') {
			if (!p[1] || !strchr("\"\\/bfnrt", p[1]))
				return NULL;
			p += 2;
		} else {
			size_t n = json_utf8_decode(p, strnlen(p, 4), &code);
			if (n == 0 || code < 0x20)
				return NULL;
			p += n;
		}
	}
	return p + 1;
}

static const char *skip_digits(const char *p)
{
	size_t n = strspn(p, "0123456789");
	return n ? p + n : NULL;
}

static const char *skip_number(const char *p)
{
	if (*p == '-')
		p++;
	if (*p == '0')
		p++;
	else
		p = skip_digits(p);
	if (p && *p == '.')
		p = skip_digits(p + 1);
	if (p && (*p == 'e' || *p == 'E')) {
		p++;
		p = skip_digits(*p == '+' || *p == '-' ? p + 1 : p);
	}
	return p;
}

static const char *skip_value(const char *p, int depth);

/* Over "key": value; calls member if there is one. */
static const char *skip_member(const char *p, int depth,
			       void (*member)(const char *, size_t, const char *, void *), void *ctx)
{
	const char *key = p + 1;
	p = skip_string(p);
	if (!p)
		return NULL;
	size_t key_len = (size_t)(p - 1 - key);
	p = skip_space(p);
	if (*p != ':')
		return NULL;
	const char *value = skip_space(p + 1);
	p = skip_value(value, depth);
	if (p && member)
		member(key, key_len, value, ctx);
	return p;
}

/* Over an object or array, p at its opening bracket. */
static const char *skip_list(const char *p, int depth,
			     void (*member)(const char *, size_t, const char *, void *), void *ctx)
{
	char close = *p == '{' ? '}' : ']';
	p = skip_space(p + 1);
	if (*p == close)
		return p + 1;
	for (;;) {
		const char *value = p;
		p = close == '}' ? skip_member(p, depth, member, ctx) : skip_value(p, depth);
		if (!p)
			return NULL;
		if (close == ']' && member)
			member(NULL, 0, value, ctx);
		p = skip_space(p);
		if (*p == close)
			return p + 1;
		if (*p != ',')
			return NULL;
		p = skip_space(p + 1);
	}
}

static const char *skip_value(const char *p, int depth)
{
	static const char *const words[] = {"true", "false", "null"};
	if (depth >= DEPTH_MAX)
		return NULL;
	if (*p == '"')
		return skip_string(p);
	if (*p == '{' || *p == '[')
		return skip_list(p, depth + 1, NULL, NULL);
	for (size_t i = 0; i < 3; i++)
		if (strncmp(p, words[i], strlen(words[i])) == 0)
			return p + strlen(words[i]);
	return skip_number(p);
}

bool json_each_member(const char *text,
		      void (*member)(const char *key, size_t key_len, const char *value, void *ctx),
		      void *ctx)
{
	const char *p = skip_space(text);
	p = *p == '{' ? skip_list(p, 0, member, ctx) : NULL;
	return p && *skip_space(p) == '\0';
}

bool json_each_inside(const char *value,
		      void (*member)(const char *key, size_t key_len, const char *value, void *ctx),
		      void *ctx)
{
	return (*value == '{' || *value == '[') && skip_list(value, 0, member, ctx);
}
