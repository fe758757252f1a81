/*
 * Whether a text is one JSON value (RFC 8259) in UTF-8 without control characters: a judge that shares nothing with what
 * writes it. Header only; recursion as deep as the text nests.
 */
#pragma once

#include <stdbool.h>
#include <string.h>

static inline bool json_value(const char **s);

static inline void json_blank(const char **s)
{
	*s += strspn(*s, " \t\r\n");
}

static inline bool json_digits(const char **s)
{
	size_t n = strspn(*s, "0123456789");

	*s += n;
	return n > 0;
}

static inline bool json_number(const char **s)
{
	if (**s == '-')
		(*s)++;
	bool is_zero = **s == '0';
	const char *start = *s;
	if (!json_digits(s) || (is_zero && *s - start > 1))
		return false;
	if (**s == '.') {
		(*s)++;
		if (!json_digits(s))
			return false;
	}
	if (**s == 'e' || **s == 'E') {
		(*s)++;
		if (**s == '+' || **s == '-')
			(*s)++;
		return json_digits(s);
	}
	return true;
}

/* One UTF-8 character of more than a byte, decoded and held against what its length may carry. */
static inline bool json_wide(const char **s)
{
	const unsigned char *p = (const unsigned char *)*s;
	unsigned more = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : 1;
	unsigned long code = p[0] & (0x3fU >> more);
	static const unsigned long least[] = {0, 0x80, 0x800, 0x10000};

	if (p[0] < 0xc0 || p[0] > 0xf7)
		return false;
	for (unsigned i = 1; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return false;
		code = code << 6 | (p[i] & 0x3fU);
	}
	*s += more + 1;
	return code >= least[more] && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
}

static inline bool json_escape(const char **s)
{
	char c = *++*s;

	(*s)++;
	if (c == 'u') {
		size_t n = strspn(*s, "0123456789abcdefABCDEF");
		*s += n < 4 ? n : 4;
		return n >= 4;
	}
	return c && strchr("\"\\/bfnrt", c);
}

static inline bool json_text(const char **s)
{
	for ((*s)++; **s != '"';) {
		unsigned char c = (unsigned char)**s;
		if (c < 0x20 || c == 0x7f)
			return false;
		if (c == '\\' ? !json_escape(s) : c >= 0x80 && !json_wide(s))
			return false;
		if (c != '\\' && c < 0x80)
			(*s)++;
	}
	(*s)++;
	return true;
}

/* An array's or object's members up to `end`. */
static inline bool json_members(const char **s, char end)
{
	(*s)++;
	json_blank(s);
	if (**s == end) {
		(*s)++;
		return true;
	}
	for (;;) {
		if (end == '}') {
			json_blank(s);
			if (**s != '"' || !json_text(s))
				return false;
			json_blank(s);
			if (*(*s)++ != ':')
				return false;
		}
		if (!json_value(s))
			return false;
		if (**s == end) {
			(*s)++;
			return true;
		}
		if (*(*s)++ != ',')
			return false;
	}
}

static inline bool json_word(const char **s, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(*s, word, len) != 0)
		return false;
	*s += len;
	return true;
}

static inline bool json_value(const char **s)
{
	bool is_good;

	json_blank(s);
	switch (**s) {
	case '{':
		is_good = json_members(s, '}');
		break;
	case '[':
		is_good = json_members(s, ']');
		break;
	case '"':
		is_good = json_text(s);
		break;
	default:
		is_good = json_word(s, "null") || json_word(s, "true") || json_word(s, "false") ||
			  json_number(s);
	}
	json_blank(s);
	return is_good;
}

static inline bool json_is_valid(const char *text)
{
	return json_value(&text) && *text == '\0';
}
