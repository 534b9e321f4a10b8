#include "runtime/caps.h"

#include <linux/capability.h>
#include <sys/prctl.h>

#define ALL ((UINT64_C(1) << ARRAY_LEN(names)) - 1)

// In the order of linux/capability.h.
static const char *const names[] = {
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
	"NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
	"SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
	"AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
	"PERFMON", "BPF", "CHECKPOINT_RESTORE",
};

uint64_t caps_default(void)
{
	static const uint8_t bits[] = {
		CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FSETID, CAP_FOWNER, CAP_MKNOD, CAP_NET_RAW, CAP_SETGID, CAP_SETUID, CAP_SETFCAP, CAP_SETPCAP,
		CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_KILL, CAP_AUDIT_WRITE,
	};
	uint64_t set = 0;
	for (size_t i = 0; i < ARRAY_LEN(bits); i++)
		set |= UINT64_C(1) << bits[i];
	return set;
}

uint64_t caps_available(void)
{
	uint64_t set = 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			set |= UINT64_C(1) << i;
	return set;
}

bool caps_parse(str name, int *bit)
{
	if (name.n > 4 && str_eq_nocase(str_sub(name, 0, 4), S("CAP_")))
		name = str_from(name, 4);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq_nocase(name, str_c(names[i]))) {
			*bit = (int)i;
			return true;
		}
	return false;
}

static bool has_all(const struct str_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq_nocase(l->v[i], S("ALL")))
			return true;
	return false;
}

bool caps_apply(uint64_t start, const struct str_list *add, const struct str_list *drop, uint64_t *out, struct error *err)
{
	uint64_t set = start;
	if (has_all(add))
		set = ALL;
	if (has_all(drop))
		set = 0;
	for (int pass = 0; pass < 2; pass++) {
		const struct str_list *l = pass == 0 ? add : drop;
		for (size_t i = 0; i < l->n; i++) {
			int bit;
			if (str_eq_nocase(l->v[i], S("ALL")))
				continue;
			if (!caps_parse(l->v[i], &bit))
				return error_api(err, 400, "BadRequest", "unknown capability \"" STR_FMT "\"", STR_ARG(l->v[i]));
			if (pass == 0)
				set |= UINT64_C(1) << bit;
			else
				set &= ~(UINT64_C(1) << bit);
		}
	}
	*out = set;
	return true;
}

struct value *caps_value(struct arena *a, uint64_t set)
{
	struct value *v = value_array(a);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (caps_has(set, (int)i))
			value_append(a, v, value_string(a, arena_concat(a, S("CAP_"), str_c(names[i]))));
	return v;
}
