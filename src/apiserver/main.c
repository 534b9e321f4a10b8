// The apiserver program: flags, start, stop.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "apiserver/alloc.h"
#include "apiserver/apiserver.h"
#include "apiserver/kubelet.h"
#include "apiserver/metrics.h"
#include "base/heap.h"
#include "base/log.h"

// --- Flags (upstream's names where upstream has them) ---------------------------------------------------------------------

struct options { struct config config; struct { const char **v; size_t n; } key_files, audiences; struct arena *a; bool done; };

enum flag_kind { F_TEXT, F_INT, F_IGNORED, F_KEY_FILES, F_AUDIENCES, F_ISSUER, F_SIGNING, F_TOKENS, F_PORTS, F_ANONYMOUS, F_MODE, F_ETCD, F_LISTEN_FD, F_PLAIN, F_DURATION };
struct flag { const char *name; enum flag_kind kind; size_t offset; const char *help; };
#define AT(field) offsetof(struct config, field)

static const struct flag flags[] = {
	{ "bind-address", F_TEXT, AT(bind_address), "address to listen on (0.0.0.0)" },
	{ "secure-port", F_INT, AT(port), "port to listen on (6443)" },
	{ "advertise-address", F_TEXT, AT(advertise_address), "address that the service `kubernetes` leads to" },
	{ "external-hostname", F_TEXT, AT(external_hostname), "host name for documents that name this server" },
	{ "tls-cert-file", F_TEXT, AT(cert_file), "serving certificate (PEM chain)" },
	{ "tls-private-key-file", F_TEXT, AT(key_file), "its key" },
	{ "client-ca-file", F_TEXT, AT(client_ca_file), "CA of client certificates" },
	{ "token-auth-file", F_TOKENS, 0, "static tokens: token,user,uid,\"groups\"" },
	{ "service-account-key-file", F_KEY_FILES, 0, "key that verifies service account tokens; may stand more than once" },
	{ "service-account-signing-key-file", F_SIGNING, 0, "key that signs them" },
	{ "service-account-issuer", F_ISSUER, 0, "their issuer" },
	{ "api-audiences", F_AUDIENCES, 0, "audiences of this server, separated by commas" },
	{ "service-cluster-ip-range", F_TEXT, AT(service_cidr), "addresses of services (10.96.0.0/16)" },
	{ "service-node-port-range", F_PORTS, 0, "node ports (30000-32767)" },
	{ "kubelet-client-certificate", F_TEXT, AT(kubelet_cert), "client certificate towards kubelets" },
	{ "kubelet-client-key", F_TEXT, AT(kubelet_key), "its key" },
	{ "kubelet-certificate-authority", F_TEXT, AT(kubelet_ca), "CA of the kubelets" },
	{ "authorization-mode", F_MODE, 0, "Node,RBAC" },
	{ "anonymous-auth", F_ANONYMOUS, 0, "whether requests without credentials are system:anonymous (true)" },
	{ "event-ttl", F_DURATION, AT(event_ttl_s), "how long events are kept (1h0m0s)" },
	{ "store", F_TEXT, AT(store), "where the objects are: lmdb:PATH" },
	{ "loops", F_INT, AT(loops), "event loops (one per core)" },
	{ "listen-fd", F_LISTEN_FD, 0, "an inherited listening socket; may stand more than once" },
	{ "insecure-plain-http", F_PLAIN, 0, "no TLS (tests)" },
	{ "allow-privileged", F_IGNORED, 0, "privileged containers are allowed, as RBAC and admission say" },
	{ "v", F_IGNORED, 0, "log level" },
	{ "etcd-servers", F_ETCD, 0, "not available: the store is --store" },
};

static bool list_add(struct arena *a, const char ***v, size_t *n, str item)
{
	struct { const char **v; size_t n; } l = { *v, *n };
	*LIST_ADD(a, &l) = arena_cstr(a, item);
	*v = l.v;
	*n = l.n;
	return true;
}

static bool set_flag(struct options *o, const struct flag *f, str value, struct error *err)
{
	struct config *c = &o->config;
	char *at = (char *)c + f->offset;
	int64_t n;
	switch (f->kind) {
	case F_TEXT: *(const char **)(void *)at = arena_cstr(o->a, value); return true;
	case F_INT:
		if (!str_to_i64(value, &n) || n < 0 || n > 65535)
			return error_set(err, "invalid argument \"" STR_FMT "\" for \"--%s\" flag", STR_ARG(value), f->name);
		*(int *)(void *)at = (int)n;
		return true;
	case F_IGNORED: return true;
	case F_KEY_FILES:
		for (str part; str_next(&value, ',', &part);)
			list_add(o->a, &o->key_files.v, &o->key_files.n, part);
		return true;
	case F_AUDIENCES:
		for (str part; str_next(&value, ',', &part);)
			list_add(o->a, &o->audiences.v, &o->audiences.n, part);
		return true;
	case F_ISSUER: c->policy.issuer = arena_cstr(o->a, value); return true;
	case F_SIGNING: c->policy.signing_key_file = arena_cstr(o->a, value); return true;
	case F_TOKENS: c->policy.token_file = arena_cstr(o->a, value); return true;
	case F_PORTS: {
		str low, high;
		int64_t from, to;
		if (!str_split(value, '-', &low, &high) || !str_to_i64(low, &from) || !str_to_i64(high, &to) || from < 1 || to < from || to > 65535)
			return error_set(err, "invalid argument \"" STR_FMT "\" for \"--%s\" flag: a range such as 30000-32767 is needed", STR_ARG(value), f->name);
		c->node_port_first = (int)from;
		c->node_port_last = (int)to;
		return true;
	}
	case F_ANONYMOUS: c->policy.no_anonymous = str_eq(value, S("false")); return true;
	case F_MODE:
		for (str part; str_next(&value, ',', &part);)
			if (!str_eq(part, S("Node")) && !str_eq(part, S("RBAC")))
				return error_set(err, "authorization mode \"" STR_FMT "\" is not available (Node,RBAC)", STR_ARG(part));
		return true;
	case F_ETCD: return error_set(err, "--etcd-servers is not available: objects are kept in --store=lmdb:PATH");
	case F_LISTEN_FD:
		if (!str_to_i64(value, &n) || n < 3 || c->nlisten_fds >= LISTEN_FDS)
			return error_set(err, "invalid argument \"" STR_FMT "\" for \"--%s\" flag", STR_ARG(value), f->name);
		c->listen_fds[c->nlisten_fds++] = (int)n;
		return true;
	case F_PLAIN: c->insecure_plain = !str_eq(value, S("false")); return true;
	case F_DURATION: {
		// Hours, minutes and seconds as Go prints them.
		int64_t total = 0, v = 0;
		for (size_t i = 0; i < value.n; i++) {
			char ch = value.p[i];
			if (ch >= '0' && ch <= '9') {
				v = v * 10 + (ch - '0');
			} else if (ch == 'h' || ch == 'm' || ch == 's') {
				total += v * (ch == 'h' ? 3600 : ch == 'm' ? 60 : 1);
				v = 0;
			} else {
				return error_set(err, "invalid argument \"" STR_FMT "\" for \"--%s\" flag", STR_ARG(value), f->name);
			}
		}
		*(int64_t *)(void *)at = total;
		return true;
	}
	}
	return true;
}

static void usage(void)
{
	printf("The API of the cluster.\n\nUsage:\n  coracle apiserver [flags]\n\nFlags:\n");
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (flags[i].kind != F_IGNORED && flags[i].kind != F_ETCD)
			printf("      --%-36s %s\n", flags[i].name, flags[i].help);
}

static bool read_flags(struct options *o, int argc, char **argv, struct error *err)
{
	for (int i = 1; i < argc; i++) {
		str arg = str_c(argv[i]), name, value;
		if (str_eq(arg, S("--help")) || str_eq(arg, S("-h"))) {
			usage();
			o->done = true;
			return true;
		}
		if (!str_cut_prefix(&arg, S("--")))
			return error_set(err, "unknown argument \"%s\"", argv[i]);
		bool has_value = str_split(arg, '=', &name, &value);
		const struct flag *f = NULL;
		for (size_t k = 0; k < ARRAY_LEN(flags); k++)
			if (str_eqc(name, flags[k].name))
				f = &flags[k];
		if (!f)
			return error_set(err, "unknown flag: --" STR_FMT, STR_ARG(name));
		if (!has_value) {
			bool boolean = f->kind == F_ANONYMOUS || f->kind == F_PLAIN || strcmp(f->name, "allow-privileged") == 0;
			if (boolean)
				value = S("true");
			else if (i + 1 < argc)
				value = str_c(argv[++i]);
			else
				return error_set(err, "flag needs an argument: --%s", f->name);
		}
		if (!set_flag(o, f, value, err))
			return false;
	}
	return true;
}

// --- Start and stop ----------------------------------------------------------------------------------------------------------

static bool open_doors(struct apiserver *s, struct tls_context *tls, struct error *err)
{
	const struct config *c = s->config;
	size_t n = (size_t)c->nlisten_fds + 1;
	s->doors = ARENA_ARRAY(s->arena, struct door, n);
	for (size_t i = 0; i < n; i++) {
		struct door *d = &s->doors[i];
		d->s = s;
		struct http_server_opts o = { .address = i ? NULL : c->bind_address, .port = i ? 0 : c->port, .listen_fd = i ? c->listen_fds[i - 1] : 0,
			                      .loops = i ? 1 : c->loops, .tls = tls, .handle = handle_request, .ctx = d };
		d->http = http_server_start(&o, err);
		if (!d->http)
			return error_wrap(err, "listen");
		s->ndoors++;
	}
	return true;
}

static bool serve_api(const struct config *config, struct error *err)
{
	struct apiserver *s = HEAP_NEW(struct apiserver);
	s->config = config;
	s->arena = arena_new(1 << 16);
	s->started_ns = clock_wall(s->clock);
	struct tls_context *tls = NULL;
	bool ok = false;
	if (!config->insecure_plain) {
		struct tls_server_opts t = { .cert_file = config->cert_file, .key_file = config->key_file, .client_ca_file = config->client_ca_file, .http2 = true };
		tls = tls_server_new(&t, err);
		if (!tls)
			goto out;
	}
	struct store_opts so = { .location = str_c(config->store), .clock = s->clock, .retention_s = config->retention_s };
	s->store = store_open(&so, err);
	if (!s->store)
		goto out;
	s->cache = cache_new(s->clock);
	if (!kinds_load(s, err))
		goto out;
	s->metrics = metrics_new(s);
	s->pinned = pinned_new(s->arena);
	s->documents = documents_new(s->arena);
	s->policy = policy_new(&config->policy, err);
	if (!s->policy)
		goto out;
	s->kubelets = kubelets_new(config, err);
	if (!s->kubelets)
		goto out;
	cache_on_change(s->cache, watch_changed, s);
	if (!cache_start(s->cache, s->store, err) || !alloc_load(s, err) || !bootstrap(s, err) || !open_doors(s, tls, err) || !watch_start(s, err) || !discovery_load(s, err))
		goto out;
	atomic_store(&s->ready, true);
	log_info("serving on %s:%d, revision %lld", config->bind_address, http_server_port(s->doors[0].http), (long long)store_revision(s->store));
	sigset_t wait;
	sigemptyset(&wait);
	sigaddset(&wait, SIGTERM);
	sigaddset(&wait, SIGINT);
	int signal;
	sigwait(&wait, &signal);
	log_info("stopping");
	ok = true;
out:
	atomic_store(&s->stopping, true);
	watch_end(s);
	for (size_t i = 0; i < s->ndoors; i++)
		http_server_stop(s->doors[i].http, 2000);
	if (s->loops)
		watch_stop(s);
	s->nloops = 0;
	if (s->store && s->cache)
		cache_drop(s);
	store_close(s->store);
	policy_free(s->policy);
	alloc_free(s->alloc);
	kubelets_free(s->kubelets);
	metrics_free(s->metrics);
	documents_free(s->documents);
	map_free(&s->by_path);
	map_free(&s->by_resource);
	map_free(&s->discovery);
	tls_unref(tls);
	arena_free(s->arena);
	free(s);
	return ok;
}

int apiserver_main(int argc, char **argv)
{
	log_start("apiserver", LOG_INFO);
	struct options o = { .a = arena_new(0) };
	o.config = (struct config){ .bind_address = "0.0.0.0", .port = 6443, .service_cidr = "10.96.0.0/16", .node_port_first = 30000, .node_port_last = 32767,
		                    .event_ttl_s = 3600, .retention_s = 300 };
	struct error err = { 0 };
	int status = 1;
	// Before any thread is made, so that all of them leave the signals to sigwait.
	sigset_t block;
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &block, NULL);
	if (!read_flags(&o, argc, argv, &err)) {
		fprintf(stderr, "Error: %s\n", err.text);
	} else if (o.done) {
		status = 0;
	} else if (!o.config.store) {
		fprintf(stderr, "Error: --store must be given (lmdb:PATH)\n");
	} else if (!o.config.insecure_plain && (!o.config.cert_file || !o.config.key_file)) {
		fprintf(stderr, "Error: --tls-cert-file and --tls-private-key-file must be given\n");
	} else {
		o.config.policy.verify_key_files = o.key_files.v;
		o.config.policy.nverify_key_files = o.key_files.n;
		o.config.policy.audiences = o.audiences.v;
		o.config.policy.naudiences = o.audiences.n;
		if (o.config.external_hostname)
			o.config.policy.external_address = o.config.external_hostname;
		else if (o.config.advertise_address)
			o.config.policy.external_address = arena_printf(o.a, "%s:%d", o.config.advertise_address, o.config.port).p;
		if (serve_api(&o.config, &err))
			status = 0;
		else
			log_error("%s", err.text);
	}
	arena_free(o.a);
	return status;
}
