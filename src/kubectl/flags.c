#include "kubectl/cmd.h"

const struct flag global_flags[] = {
	FLAG_TEXT("kubeconfig", 0, ""),
	FLAG_TEXT("context", 0, ""),
	FLAG_TEXT("cluster", 0, ""),
	FLAG_TEXT("user", 0, ""),
	FLAG_TEXT("namespace", 'n', ""),
	FLAG_TEXT("server", 's', ""),
	FLAG_TEXT("token", 0, ""),
	FLAG_TEXT("certificate-authority", 0, ""),
	FLAG_TEXT("client-certificate", 0, ""),
	FLAG_TEXT("client-key", 0, ""),
	FLAG_BOOL("insecure-skip-tls-verify", 0),
	FLAG_TEXT("tls-server-name", 0, ""),
	FLAG_TEXT("request-timeout", 0, "0"),
	FLAG_TEXT("as", 0, ""),
	FLAG_LIST("as-group", 0),
	FLAG_TEXT("v", 'v', "0"),
	FLAG_BOOL("help", 'h'),
};
const size_t global_flags_n = ARRAY_LEN(global_flags);

static struct flag_value *find(const struct kctl *k, str name)
{
	for (size_t i = 0; i < k->flags.n; i++)
		if (str_eqc(name, k->flags.v[i].def->name))
			return &k->flags.v[i];
	return NULL;
}

static struct flag_value *find_letter(const struct kctl *k, char letter)
{
	for (size_t i = 0; i < k->flags.n; i++)
		if (k->flags.v[i].def->letter == letter)
			return &k->flags.v[i];
	return NULL;
}

str flag_text(const struct kctl *k, const char *name)
{
	const struct flag_value *f = find(k, str_c(name));
	return f ? f->text : (str){ NULL, 0 };
}

bool flag_bool(const struct kctl *k, const char *name)
{
	return str_eqc(flag_text(k, name), "true");
}

bool flag_set(const struct kctl *k, const char *name)
{
	const struct flag_value *f = find(k, str_c(name));
	return f && f->set;
}

const struct str_list *flag_list(const struct kctl *k, const char *name)
{
	static const struct str_list none = { 0 };
	const struct flag_value *f = find(k, str_c(name));
	return f ? &f->list : &none;
}

bool flag_int(const struct kctl *k, const char *name, int64_t *out, struct error *err)
{
	str text = flag_text(k, name);
	return str_to_i64(text, out) ||
	       error_set(err,
	                 "invalid argument \"" STR_FMT "\" for \"--%s\" flag: strconv.ParseInt: parsing \"" STR_FMT
	                 "\": invalid syntax",
	                 STR_ARG(text), name, STR_ARG(text));
}

bool kc_duration_parse(str s, int64_t *ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {
		{ "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "m", 60e9 }, { "h", 3600e9 },
	};
	bool minus = str_cut_prefix(&s, S("-"));
	double total = 0;
	if (str_eqc(s, "0")) {
		*ns = 0;
		return true;
	}
	if (s.n == 0)
		return false;
	while (s.n) {
		double v = 0, place = 0;
		size_t i = 0;
		for (; i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] == '.' && place == 0)); i++) {
			if (s.p[i] == '.')
				place = 1;
			else if (place > 0)
				v += (s.p[i] - '0') * (place /= 10);
			else
				v = v * 10 + (s.p[i] - '0');
		}
		size_t digits = i;
		while (i < s.n && s.p[i] >= 'a' && s.p[i] <= 'z')
			i++;
		str unit = str_sub(s, digits, i);
		size_t u = 0;
		while (u < ARRAY_LEN(units) && !str_eqc(unit, units[u].unit))
			u++;
		if (digits == 0 || u == ARRAY_LEN(units))
			return false;
		total += v * units[u].ns;
		s = str_from(s, i);
	}
	if (total > 9e18)
		return false;
	*ns = minus ? -(int64_t)total : (int64_t)total;
	return true;
}

bool flag_duration(const struct kctl *k, const char *name, int64_t *out, struct error *err)
{
	str text = flag_text(k, name);
	return kc_duration_parse(text, out) ||
	       error_set(err,
	                 "invalid argument \"" STR_FMT "\" for \"--%s\" flag: time: invalid duration \"" STR_FMT "\"",
	                 STR_ARG(text), name, STR_ARG(text));
}

bool kc_usage_error(struct kctl *k, struct error *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	str text = arena_vprintf(k->a, fmt, ap);
	va_end(ap);
	return error_set(err, STR_FMT "\nSee '%s " STR_FMT " -h' for help and examples", STR_ARG(text), k->program,
	                 STR_ARG(k->command));
}

static bool unknown(struct kctl *k, str what, struct error *err)
{
	return error_set(err, "unknown " STR_FMT "\nSee '%s " STR_FMT " --help' for usage.", STR_ARG(what), k->program,
	                 STR_ARG(k->command));
}

static bool take(struct kctl *k, struct flag_value *f, str text, struct error *err)
{
	if (f->def->bare && strcmp(f->def->bare, "true") == 0) {
		static const char *const yes[] = { "true", "TRUE", "True", "t", "T", "1" }, *const no[] = {
			"false", "FALSE", "False", "f", "F", "0"
		};
		bool known = false;
		for (size_t i = 0; i < ARRAY_LEN(yes) && !known; i++) {
			known = str_eqc(text, yes[i]) || str_eqc(text, no[i]);
			if (known)
				text = str_eqc(text, yes[i]) ? S("true") : S("false");
		}
		// A few flags are words that may be left out: --cascade, --validate, --dry-run.
		if (!known && strcmp(f->def->name, "validate") != 0 && strcmp(f->def->name, "cascade") != 0)
			return error_set(err,
			                 "invalid argument \"" STR_FMT
			                 "\" for \"--%s\" flag: strconv.ParseBool: parsing \"" STR_FMT
			                 "\": invalid syntax",
			                 STR_ARG(text), f->def->name, STR_ARG(text));
	}
	f->set = true;
	f->text = text;
	if (!f->def->list)
		return true;
	for (str rest = text, part; str_next(&rest, ',', &part);)
		*LIST_ADD(k->a, &f->list) = part;
	return true;
}

bool flags_parse(struct kctl *k, int argc, char **argv, struct error *err)
{
	const struct {
		const struct flag *v;
		size_t n;
	} sets[] = { { k->cmd->flags, k->cmd->nflags }, { global_flags, global_flags_n } };
	for (size_t s = 0; s < ARRAY_LEN(sets); s++)
		for (size_t i = 0; i < sets[s].n; i++)
			if (!find(k, str_c(sets[s].v[i].name)))
				*LIST_ADD(k->a, &k->flags) =
				        (struct flag_value){ .def = &sets[s].v[i], .text = str_c(sets[s].v[i].value) };
	k->dash = -1;
	for (int i = 0; i < argc; i++) {
		str arg = str_c(argv[i]), name, value;
		if (k->dash >= 0 || arg.n < 2 || arg.p[0] != '-') {
			*LIST_ADD(k->a, &k->args) = arg;
			continue;
		}
		if (str_eqc(arg, "--")) {
			k->dash = (ptrdiff_t)k->args.n;
			continue;
		}
		if (str_cut_prefix(&arg, S("--"))) {
			bool has_value = str_split(arg, '=', &name, &value);
			struct flag_value *f = find(k, name);
			if (!f)
				return unknown(k, arena_printf(k->a, "flag: --" STR_FMT, STR_ARG(name)), err);
			if (!has_value && f->def->bare) {
				value = str_c(f->def->bare);
			} else if (!has_value) {
				if (++i == argc)
					return error_set(err,
					                 "flag needs an argument: --" STR_FMT "\nSee '%s " STR_FMT
					                 " --help' for usage.",
					                 STR_ARG(name), k->program, STR_ARG(k->command));
				value = str_c(argv[i]);
			}
			if (!take(k, f, value, err))
				return false;
			continue;
		}
		// -it, -nNAME, -n NAME, -o=json
		for (size_t at = 1; at < arg.n; at++) {
			struct flag_value *f = find_letter(k, arg.p[at]);
			if (!f)
				return unknown(
				        k,
				        arena_printf(k->a, "shorthand flag: '%c' in " STR_FMT, arg.p[at], STR_ARG(arg)),
				        err);
			value = str_from(arg, at + 1);
			bool equals = value.n && value.p[0] == '=';
			if (f->def->bare && !equals) {
				if (!take(k, f, str_c(f->def->bare), err))
					return false;
				continue;
			}
			if (equals) {
				value = str_from(value, 1);
			} else if (value.n == 0) {
				if (++i == argc)
					return error_set(err,
					                 "flag needs an argument: '%c' in " STR_FMT "\nSee '%s " STR_FMT
					                 " --help' for usage.",
					                 arg.p[at], STR_ARG(arg), k->program, STR_ARG(k->command));
				value = str_c(argv[i]);
			}
			if (!take(k, f, value, err))
				return false;
			break;
		}
	}
	return true;
}
