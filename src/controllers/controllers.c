// Flags, leader election and the end of the controller manager.
#include "controllers/controllers.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "client/leader.h"
#include "controllers/manager.h"

struct flags {
	struct manager_options o;
	const char *ignored; // accepted, without effect here
	int64_t verbosity, secure_port;
	bool help;
};

enum flag_kind { TEXT, BOOL, NUMBER, SECONDS, SECONDS32 };
struct flag {
	const char *name;
	enum flag_kind kind;
	void *to;
	const char *help;
};

// A Go duration in whole seconds ("40s", "1m30s", "500ms" is rounded up).
static bool parse_duration(str s, int64_t *seconds)
{
	static const struct {
		str unit;
		int64_t ms;
	} units[] = { { S_INIT("ms"), 1 }, { S_INIT("h"), 3600000 }, { S_INIT("m"), 60000 }, { S_INIT("s"), 1000 } };
	int64_t ms = 0;
	if (s.n == 0)
		return false;
	while (s.n) {
		size_t digits = 0, u = 0;
		while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
			digits++;
		int64_t n;
		if (digits > 9 || !str_to_i64(str_sub(s, 0, digits), &n))
			return false;
		s = str_from(s, digits);
		while (u < ARRAY_LEN(units) && !str_cut_prefix(&s, units[u].unit))
			u++;
		if (u == ARRAY_LEN(units) && !(s.n == 0 && n == 0))
			return false;
		ms += u < ARRAY_LEN(units) ? n * units[u].ms : 0;
	}
	*seconds = (ms + 999) / 1000;
	return true;
}

static bool set_flag(const struct flag *f, const char *value, struct error *err)
{
	int64_t n;
	str v = str_c(value);
	switch (f->kind) {
	case TEXT:
		*(const char **)f->to = value;
		return true;
	case BOOL:
		if (!str_eq(v, S("true")) && !str_eq(v, S("false")))
			return error_set(err, "--%s: \"%s\" is neither true nor false", f->name, value);
		*(bool *)f->to = str_eq(v, S("true"));
		return true;
	case NUMBER:
		if (!str_to_i64(v, &n) || n < 0)
			return error_set(err, "--%s: \"%s\" is no number", f->name, value);
		*(int64_t *)f->to = n;
		return true;
	case SECONDS:
	case SECONDS32:
		if (!parse_duration(v, &n) || n > INT32_MAX)
			return error_set(err, "--%s: \"%s\" is no duration", f->name, value);
		if (f->kind == SECONDS)
			*(int64_t *)f->to = n;
		else
			*(int *)f->to = (int)n;
		return true;
	}
	return false;
}

static bool parse(int argc, char **argv, const struct flag *flags, size_t nflags, struct flags *out, struct error *err)
{
	for (int i = 1; i < argc; i++) {
		str arg = str_c(argv[i]), name, value;
		if (!str_cut_prefix(&arg, S("--")))
			return error_set(err, "unknown argument \"%s\"", argv[i]);
		bool has_value = str_split(arg, '=', &name, &value);
		if (str_eq(name, S("help"))) {
			out->help = true;
			return true;
		}
		const struct flag *f = NULL;
		for (size_t n = 0; n < nflags && !f; n++)
			if (str_eqc(name, flags[n].name))
				f = &flags[n];
		// --concurrent-deployment-syncs and its like: one bound for all.
		struct flag concurrent = { "concurrent-syncs", NUMBER, &out->o.concurrent_syncs, NULL };
		if (!f && str_has_prefix(name, S("concurrent-")) && str_has_suffix(name, S("-syncs")))
			f = &concurrent;
		if (!f)
			return error_set(err, "unknown flag: --" STR_FMT, STR_ARG(name));
		const char *text = has_value ? value.p : f->kind == BOOL ? "true" : ++i < argc ? argv[i] : NULL;
		if (!text)
			return error_set(err, "flag needs an argument: --" STR_FMT, STR_ARG(name));
		if (!set_flag(f, text, err))
			return false;
	}
	if (out->o.concurrent_syncs < 1 || out->o.concurrent_syncs > 64)
		return error_set(err, "--concurrent-*-syncs: from 1 to 64");
	if (out->secure_port)
		return error_set(err, "--secure-port: the controller manager serves no port; leave it 0");
	if (out->o.allocate_node_cidrs && !out->o.cluster_cidr)
		return error_set(err, "--allocate-node-cidrs needs --cluster-cidr");
	return true;
}

static void lost(void *ctx)
{
	// What others decide from now on must not be disturbed: no clean-up, the supervisor starts a new one.
	log_error("leaderelection lost");
	_exit(1);
}

static int run(const struct flags *f)
{
	struct error err = { 0 };
	struct arena *a = arena_new(0);
	struct manager *m = ARENA_NEW(a, struct manager);
	*m = (struct manager){ .options = &f->o, .arena = a };
	m->client = client_from_kubeconfig(f->o.kubeconfig, "kube-controller-manager", NULL, NULL, &err);
	if (!m->client) {
		log_error("%s", err.text);
		return 1;
	}
	struct leader_opts lease = { .ns = S("kube-system"),
		                     .name = S("kube-controller-manager"),
		                     .identity = leader_identity(a),
		                     .lease_seconds = f->o.lease_s,
		                     .renew_seconds = f->o.renew_s,
		                     .retry_seconds = f->o.retry_s };
	if (f->o.leader_elect && !leader_run(m->client, &lease, lost, NULL, &err)) {
		log_error("%s", err.text);
		return 1;
	}
	m->recorder = recorder_new(m->client, S("kube-controller-manager"), S(""));
	if (!manager_start(m, &err)) {
		log_error("%s", err.text);
		return 1;
	}
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	int sig;
	while (sigwait(&ends, &sig) != 0)
		;
	log_info("ends on signal %d", sig);
	recorder_free(m->recorder);
	if (f->o.leader_elect)
		leader_release(m->client, &lease);
	return 0; // threads, caches and connections end with the process
}

int controller_manager_main(int argc, char **argv)
{
	struct flags f = { .o = { .leader_elect = true,
		                  .node_mask_v4 = 24,
		                  .node_mask_v6 = 64,
		                  .node_monitor_grace_s = 50,
		                  .node_monitor_period_s = 5,
		                  .terminated_pod_threshold = 12500,
		                  .concurrent_syncs = 5 } };
	const struct flag flags[] = {
		{ "kubeconfig", TEXT, &f.o.kubeconfig, "file with the address and credentials of the API server" },
		{ "leader-elect", BOOL, &f.o.leader_elect,
		  "lead by the Lease kube-system/kube-controller-manager (true)" },
		{ "leader-elect-lease-duration", SECONDS32, &f.o.lease_s, "15s" },
		{ "leader-elect-renew-deadline", SECONDS32, &f.o.renew_s, "10s" },
		{ "leader-elect-retry-period", SECONDS32, &f.o.retry_s, "2s" },
		{ "service-account-private-key-file", TEXT, &f.ignored,
		  "accepted; tokens are issued by the API server's TokenRequest only" },
		{ "use-service-account-credentials", BOOL, &f.o.use_accounts,
		  "each controller writes in the name of its own ServiceAccount (false)" },
		{ "root-ca-file", TEXT, &f.o.root_ca_file,
		  "certificate that goes into kube-root-ca.crt of each namespace" },
		{ "cluster-signing-cert-file", TEXT, &f.o.signing_cert_file,
		  "authority that signs CertificateSigningRequests" },
		{ "cluster-signing-key-file", TEXT, &f.o.signing_key_file, "its key" },
		{ "cluster-cidr", TEXT, &f.o.cluster_cidr, "range (or two, v4 and v6) of pod addresses" },
		{ "service-cluster-ip-range", TEXT, &f.ignored, "accepted" },
		{ "allocate-node-cidrs", BOOL, &f.o.allocate_node_cidrs,
		  "give each node a part of --cluster-cidr (false)" },
		{ "node-cidr-mask-size", NUMBER, &f.o.node_mask_v4, "bits of a node's part (24)" },
		{ "node-cidr-mask-size-ipv4", NUMBER, &f.o.node_mask_v4, "24" },
		{ "node-cidr-mask-size-ipv6", NUMBER, &f.o.node_mask_v6, "64" },
		{ "node-monitor-grace-period", SECONDS, &f.o.node_monitor_grace_s,
		  "silence after which a node counts as unknown (50s)" },
		{ "node-monitor-period", SECONDS, &f.o.node_monitor_period_s, "how often that is looked at (5s)" },
		{ "terminated-pod-gc-threshold", NUMBER, &f.o.terminated_pod_threshold,
		  "terminated pods kept (12500)" },
		{ "controllers", TEXT, &f.o.controllers, "'*', 'name' or '-name', separated by commas ('*')" },
		{ "bind-address", TEXT, &f.ignored, "accepted" },
		{ "secure-port", NUMBER, &f.secure_port, "0: none is served" },
		{ "v", NUMBER, &f.verbosity, "4 and more: debug lines" },
	};
	struct error err = { 0 };
	if (!parse(argc, argv, flags, ARRAY_LEN(flags), &f, &err)) {
		fprintf(stderr, "controller-manager: %s\n", err.text);
		return 2;
	}
	if (f.help) {
		puts("usage: coracle controller-manager --kubeconfig FILE [flags]\n");
		for (size_t i = 0; i < ARRAY_LEN(flags); i++)
			printf("  --%-36s %s\n", flags[i].name, flags[i].help);
		puts("  --concurrent-*-syncs                   the most workers of a controller (5)");
		return 0;
	}
	if (!f.o.kubeconfig) {
		fprintf(stderr, "controller-manager: --kubeconfig is needed\n");
		return 2;
	}
	// Many threads that allocate little: one heap for all keeps the memory of the idle process small.
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_TRIM_THRESHOLD, 256 << 10);
	log_start("controller-manager", f.verbosity >= 4 ? LOG_DEBUG : LOG_INFO);
	// Blocked before the first thread starts, taken up by sigwait at the end of run().
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	signal(SIGPIPE, SIG_IGN);
	return run(&f);
}
