#include "base/encode.h"

static const char HEX[] = "0123456789abcdef";
static const char STD[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

str hex_encode(struct arena *a, str bytes)
{
	char *p = arena_alloc(a, bytes.n * 2 + 1);
	for (size_t i = 0; i < bytes.n; i++) {
		p[i * 2] = HEX[(unsigned char)bytes.p[i] >> 4];
		p[i * 2 + 1] = HEX[bytes.p[i] & 15];
	}
	return str_n(p, bytes.n * 2);
}

bool hex_decode(struct arena *a, str text, str *out)
{
	if (text.n % 2)
		return false;
	char *p = arena_alloc(a, text.n / 2 + 1);
	for (size_t i = 0; i < text.n; i += 2) {
		int hi = hex_value(text.p[i]), lo = hex_value(text.p[i + 1]);
		if (hi < 0 || lo < 0)
			return false;
		p[i / 2] = (char)(hi << 4 | lo);
	}
	*out = str_n(p, text.n / 2);
	return true;
}

static str encode64(struct arena *a, str bytes, const char *alphabet, bool pad)
{
	char *p = arena_alloc(a, (bytes.n + 2) / 3 * 4 + 1), *to = p;
	const unsigned char *in = (const unsigned char *)bytes.p;
	for (size_t i = 0; i < bytes.n; i += 3) {
		size_t have = MIN(bytes.n - i, (size_t)3);
		unsigned v = (unsigned)in[i] << 16 | (have > 1 ? (unsigned)in[i + 1] << 8 : 0) | (have > 2 ? in[i + 2] : 0u);
		for (size_t k = 0; k < 4; k++)
			if (k <= have)
				*to++ = alphabet[v >> (18 - 6 * k) & 63];
			else if (pad)
				*to++ = '=';
	}
	return str_n(p, (size_t)(to - p));
}

str base64_encode(struct arena *a, str bytes)
{
	return encode64(a, bytes, STD, true);
}

str base64url_encode(struct arena *a, str bytes)
{
	return encode64(a, bytes, URL, false);
}

static int value64(char c, bool url)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == (url ? '-' : '+') ? 62 : c == (url ? '_' : '/') ? 63 : -1;
}

static bool decode64(struct arena *a, str text, bool url, str *out)
{
	char *p = arena_alloc(a, text.n / 4 * 3 + 4), *to = p;
	unsigned acc = 0, bits = 0;
	size_t chars = 0, pads = 0;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '\r' || c == '\n')
			continue;
		if (c == '=' && !url) {
			pads++;
			continue;
		}
		int v = value64(c, url);
		if (v < 0 || pads)
			return false;
		chars++;
		acc = acc << 6 | (unsigned)v;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			*to++ = (char)(acc >> bits);
		}
	}
	size_t odd = chars % 4;
	if (odd == 1 || (!url && pads != (odd ? 4 - odd : 0)))
		return false;
	*out = str_n(p, (size_t)(to - p));
	return true;
}

bool base64_decode(struct arena *a, str text, str *out)
{
	return decode64(a, text, false, out);
}

bool base64url_decode(struct arena *a, str text, str *out)
{
	return decode64(a, text, true, out);
}

bool percent_decode(struct arena *a, str text, bool plus, str *out)
{
	char *p = arena_alloc(a, text.n + 1), *to = p;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '%') {
			int hi = i + 2 < text.n ? hex_value(text.p[i + 1]) : -1;
			int lo = i + 2 < text.n ? hex_value(text.p[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return false;
			*to++ = (char)(hi << 4 | lo);
			i += 2;
		} else {
			*to++ = plus && text.p[i] == '+' ? ' ' : text.p[i];
		}
	}
	*out = str_n(p, (size_t)(to - p));
	return true;
}

str percent_encode(struct arena *a, str text)
{
	char *p = arena_alloc(a, text.n * 3 + 1), *to = p;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c))) {
			*to++ = c;
		} else {
			*to++ = '%';
			*to++ = "0123456789ABCDEF"[(unsigned char)c >> 4];
			*to++ = "0123456789ABCDEF"[c & 15];
		}
	}
	return str_n(p, (size_t)(to - p));
}
