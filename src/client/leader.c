// Leader election: whoever can write its name into the Lease leads, as long as it renews in time. Others look at it every
// retry period and take it over when its record has not changed for the lease's duration by their own clock (clocks of
// different machines are never compared).
#include "client/leader.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/heap.h"
#include "base/io.h"
#include "base/log.h"
#include "client/thread.h"
#include "schema_gen.h"

enum { LEASE_S = 15, RENEW_S = 10, RETRY_S = 2, CLOSE_TRIES = 150 };

struct leader {
	struct client *client;
	char *ns, *name, *identity;
	int64_t lease_s, renew_ns, retry_ns;
	void (*lost)(void *ctx);
	void *ctx;
	// What was seen last, and when.
	char *holder;
	char version[64];
	int64_t seen_at;
};

static const struct resource_desc *leases(void)
{
	return schema_resource(S("coordination.k8s.io"), S("v1"), S("leases"));
}

static void observe(struct leader *l, const struct coordination_v1_Lease *lease)
{
	str v = lease->metadata.resourceVersion,
	    holder = lease->spec.holderIdentity ? *lease->spec.holderIdentity : S("");
	if (l->holder && str_eqc(v, l->version))
		return;
	free(l->holder);
	l->holder = heap_cstr(holder);
	size_t n = MIN(v.n, sizeof(l->version) - 1);
	memcpy(l->version, v.p ? v.p : "", n);
	l->version[n] = 0;
	l->seen_at = clock_mono(client_clock(l->client));
}

// --- Identities ---

// The start time of a process in clock ticks since boot (field 22 of /proc/PID/stat); 0: not to be read; -1: it has ended and only
// waits for its parent.
static int64_t start_time(struct arena *a, int64_t pid)
{
	str text, rest;
	struct error ignored = { 0 };
	if (!io_read_file(a, arena_printf(a, "/proc/%" PRId64 "/stat", pid).p, 8192, &text, &ignored))
		return 0;
	ptrdiff_t end = str_rfind_char(text, ')'); // the name before it may hold anything
	if (end < 0)
		return 0;
	rest = str_from(text, (size_t)end + 2);
	if (rest.n && (rest.p[0] == 'Z' || rest.p[0] == 'X'))
		return -1;
	int64_t ticks = 0;
	int field = 3;
	for (str one; str_next(&rest, ' ', &one); field++)
		if (field == 22)
			return str_to_i64(one, &ticks) ? ticks : 0;
	return 0;
}

// What processes share that can look for each other: host name, boot and PID namespace.
static str place(struct arena *a)
{
	char host[256] = "";
	gethostname(host, sizeof(host) - 1);
	str boot = S("");
	struct error ignored = { 0 };
	io_read_file(a, "/proc/sys/kernel/random/boot_id", 64, &boot, &ignored);
	struct stat st = { 0 };
	stat("/proc/self/ns/pid", &st);
	return arena_printf(a, "%s_" STR_FMT "-%" PRIu64, host, STR_ARG(str_sub(boot, 0, 8)), (uint64_t)st.st_ino);
}

str leader_identity(struct arena *a)
{
	return arena_printf(a, STR_FMT "-%d-%" PRId64, STR_ARG(place(a)), (int)getpid(), start_time(a, getpid()));
}

static bool holder_is_dead(struct arena *a, str identity)
{
	str rest = identity, pid_text, start_text;
	int64_t pid, start;
	if (!str_cut_prefix(&rest, place(a)) || !str_cut_prefix(&rest, S("-")) ||
	    !str_split(rest, '-', &pid_text, &start_text) || !str_to_i64(pid_text, &pid) ||
	    !str_to_i64(start_text, &start) || pid <= 1 || pid > INT32_MAX)
		return false;
	if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
		return true;
	int64_t now = start_time(a, pid);
	return now != 0 && start != 0 && now != start; // the number is another's by now
}

// One try to take or renew the lease. False without an error: somebody else holds it.
static bool try(struct leader *l, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	const struct clock *clock = client_clock(l->client);
	struct api_time now = { 0 };
	int64_t wall = clock_wall(clock);
	now = (struct api_time){ .sec = wall / NS_PER_SEC,
		                 .nsec = (int32_t)(wall % NS_PER_SEC / 1000 * 1000),
		                 .set = true };
	str me = str_c(l->identity);
	int32_t seconds = (int32_t)l->lease_s, transitions = 0;
	struct coordination_v1_Lease *lease = client_get(l->client, a, leases(), str_c(l->ns), str_c(l->name), err);
	if (!lease) {
		if (err->code != 404)
			return false;
		*err = (struct error){ 0 };
		struct coordination_v1_Lease fresh = { .metadata = { .name = str_c(l->name),
			                                             .namespace = str_c(l->ns) },
			                               .spec = { .holderIdentity = &me,
			                                         .leaseDurationSeconds = &seconds,
			                                         .acquireTime = &now,
			                                         .renewTime = &now,
			                                         .leaseTransitions = &transitions } };
		lease = client_create(l->client, a, leases(), str_c(l->ns), &fresh, err);
		if (!lease)
			return false;
		observe(l, lease);
		return true;
	}
	observe(l, lease);
	str holder = lease->spec.holderIdentity ? *lease->spec.holderIdentity : S("");
	bool mine = str_eq(holder, me);
	int64_t duration = lease->spec.leaseDurationSeconds ? *lease->spec.leaseDurationSeconds : l->lease_s;
	if (!mine && !str_empty(holder) && clock_mono(clock) - l->seen_at < duration * NS_PER_SEC &&
	    !holder_is_dead(a, holder))
		return false;
	if (!mine) {
		transitions = (lease->spec.leaseTransitions ? *lease->spec.leaseTransitions : 0) + 1;
		lease->spec.leaseTransitions = &transitions;
		lease->spec.acquireTime = &now;
	}
	lease->spec.holderIdentity = &me;
	lease->spec.leaseDurationSeconds = &seconds;
	lease->spec.renewTime = &now;
	lease = client_update(l->client, a, leases(), NULL, lease, err);
	if (!lease)
		return false;
	observe(l, lease);
	return true;
}

static void *renew(void *ctx)
{
	struct leader *l = ctx;
	const struct clock *clock = client_clock(l->client);
	int64_t last = clock_mono(clock);
	for (;;) {
		clock_sleep(clock, l->retry_ns);
		struct error err = { 0 };
		if (try(l, &err)) {
			last = clock_mono(clock);
			continue;
		}
		if (err.code)
			log_warn("leader election: %s", err.text);
		if ((!err.code && !str_eqc(str_c(l->holder), l->identity)) || clock_mono(clock) - last > l->renew_ns)
			break;
	}
	log_error("leader election: lost the lease %s/%s", l->ns, l->name);
	l->lost(l->ctx);
	return NULL;
}

bool leader_run(struct client *c, const struct leader_opts *o, void (*lost)(void *ctx), void *ctx, struct error *err)
{
	struct leader *l = HEAP_NEW(struct leader); // stays for the renewing thread
	*l = (struct leader){ .client = c,
		              .ns = heap_cstr(o->ns),
		              .name = heap_cstr(o->name),
		              .identity = heap_cstr(o->identity),
		              .lease_s = o->lease_seconds ? o->lease_seconds : LEASE_S,
		              .renew_ns = (o->renew_seconds ? o->renew_seconds : RENEW_S) * NS_PER_SEC,
		              .retry_ns = (o->retry_seconds ? o->retry_seconds : RETRY_S) * NS_PER_SEC,
		              .lost = lost,
		              .ctx = ctx };
	if (str_empty(o->ns) || str_empty(o->name) || str_empty(o->identity))
		return error_set(err, "leader election: namespace, name and identity are needed");
	log_info("leader election: attempting to acquire leader lease %s/%s", l->ns, l->name);
	for (int failures = 0;;) {
		struct error e = { 0 };
		if (try(l, &e))
			break;
		// The first failures are those of a server that is not there yet: it is waited for closely.
		int64_t wait = l->retry_ns;
		if (e.code) {
			if (failures++ < CLOSE_TRIES)
				wait = MIN(wait, 20 * NS_PER_MS);
			else
				log_warn("leader election: %s", e.text);
		}
		clock_sleep(client_clock(c), wait);
	}
	log_info("leader election: became leader as %s", l->identity);
	pthread_t t;
	if (!thread_start(&t, "leader", renew, l, err))
		return false;
	pthread_detach(t);
	return true;
}

void leader_release(struct client *c, const struct leader_opts *o)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct coordination_v1_Lease *lease = client_get(c, a, leases(), o->ns, o->name, &err);
	if (!lease || !lease->spec.holderIdentity || !str_eq(*lease->spec.holderIdentity, o->identity))
		return;
	str nobody = S("");
	int32_t one = 1;
	lease->spec.holderIdentity = &nobody;
	lease->spec.leaseDurationSeconds = &one;
	if (!client_update(c, a, leases(), NULL, lease, &err))
		log_debug("leader election: release: %s", err.text);
}
