// RBAC: who holds which rules. Every request passes here, so the bindings are kept as an index by subject that readers use
// without a lock: one immutable snapshot, published by a pointer; a change marks it stale, and the next request makes a new one.
#include "apiserver/policy_internal.h"

#include "base/heap.h"

struct grant {
	const struct rbac_v1_PolicyRule *rules;
	size_t n;
	str missing;  // `clusterrole.rbac.authorization.k8s.io "x" not found`: a binding to a role that is not there
	str source;   // `ClusterRoleBinding "x" of ClusterRole "y" to Group "z"`
};
struct grants { struct grant *v; size_t n; };
// One scope: the cluster or a namespace.
struct scope {
	struct map users;  // name -> struct grants *
	struct map groups;
};
struct snapshot {
	struct arena *arena;
	uint64_t version;
	struct map cluster_roles; // name -> struct rbac_v1_ClusterRole *
	struct map roles;         // ns/name -> struct rbac_v1_Role *
	struct scope cluster;
	struct map namespaces;    // name -> struct scope *
	struct snapshot *next;    // retired ones
};

struct rbac {
	_Atomic(struct snapshot *) current;
	_Atomic uint64_t version;                       // of the objects; the snapshot is fresh when it carries the same
	_Atomic(struct snapshot *) in_use[MAX_LOOPS];   // what each loop looks at right now: not to be freed
	pthread_mutex_t lock;                           // makes and retires snapshots
	struct snapshot *retired;
};

struct rbac *rbac_new(void)
{
	struct rbac *b = HEAP_NEW(struct rbac);
	pthread_mutex_init(&b->lock, NULL);
	atomic_store(&b->version, 1);
	return b;
}

static void free_scope(struct scope *s)
{
	map_free(&s->users);
	map_free(&s->groups);
}

static void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	for (struct map_slot *i = NULL; (i = map_each(&s->namespaces, i));)
		free_scope(i->value);
	free_scope(&s->cluster);
	map_free(&s->namespaces);
	map_free(&s->cluster_roles);
	map_free(&s->roles);
	arena_free(s->arena);
	free(s);
}

void rbac_free(struct rbac *b)
{
	if (!b)
		return;
	snapshot_free(atomic_load(&b->current));
	while (b->retired) {
		struct snapshot *next = b->retired->next;
		snapshot_free(b->retired);
		b->retired = next;
	}
	pthread_mutex_destroy(&b->lock);
	free(b);
}

void rbac_changed(struct rbac *b)
{
	atomic_fetch_add(&b->version, 1);
}

// --- Making a snapshot ---

static str ns_key(struct arena *a, str ns, str name)
{
	return arena_concat(a, ns, S("/"), name);
}

static bool take_cluster_role(const void *obj, void *ctx)
{
	struct snapshot *s = ctx;
	struct rbac_v1_ClusterRole *role = schema_clone(s->arena, rbac_v1_ClusterRole_desc, obj);
	map_put(&s->cluster_roles, role->metadata.name, role);
	return true;
}

static bool take_role(const void *obj, void *ctx)
{
	struct snapshot *s = ctx;
	struct rbac_v1_Role *role = schema_clone(s->arena, rbac_v1_Role_desc, obj);
	map_put(&s->roles, ns_key(s->arena, role->metadata.namespace, role->metadata.name), role);
	return true;
}

static void add_grant(struct snapshot *s, struct map *to, str subject, const struct grant *g)
{
	struct grants *all = map_get(to, subject);
	if (!all) {
		all = ARENA_NEW(s->arena, struct grants);
		map_put(to, subject, all);
	}
	*LIST_ADD(s->arena, all) = *g;
}

static void add_binding(struct snapshot *s, struct scope *scope, const char *kind, const struct meta_v1_ObjectMeta *m, str ns,
                        const struct rbac_v1_RoleRef *ref, const struct rbac_v1_Subject_list *subjects)
{
	struct arena *a = s->arena;
	struct grant g = { 0 };
	if (str_eq(ref->kind, S("ClusterRole"))) {
		const struct rbac_v1_ClusterRole *role = map_get(&s->cluster_roles, ref->name);
		if (role)
			g.rules = role->rules.v, g.n = role->rules.n;
		else
			g.missing = arena_concat(a, S("clusterrole.rbac.authorization.k8s.io "), go_quote(a, ref->name), S(" not found"));
	} else {
		const struct rbac_v1_Role *role = map_get(&s->roles, ns_key(a, ns, ref->name));
		if (role)
			g.rules = role->rules.v, g.n = role->rules.n;
		else
			g.missing = arena_concat(a, S("role.rbac.authorization.k8s.io "), go_quote(a, ref->name), S(" not found"));
	}
	str who = ns.n ? ns_key(a, m->name, ns) : m->name;
	str head = arena_concat(a, str_c(kind), S(" "), go_quote(a, who), S(" of "), ref->kind, S(" "), go_quote(a, ref->name), S(" to "));
	for (size_t i = 0; i < subjects->n; i++) {
		const struct rbac_v1_Subject *sub = &subjects->v[i];
		if (str_eq(sub->kind, S("ServiceAccount"))) {
			str sa_ns = sub->namespace.n ? sub->namespace : ns;
			if (!sa_ns.n)
				continue;
			g.source = arena_concat(a, head, S("ServiceAccount "), go_quote(a, ns_key(a, sub->name, sa_ns)));
			add_grant(s, &scope->users, service_account_username(a, sa_ns, sub->name), &g);
		} else if (str_eq(sub->kind, S("User"))) {
			g.source = arena_concat(a, head, S("User "), go_quote(a, sub->name));
			add_grant(s, &scope->users, arena_dup(a, sub->name), &g);
		} else if (str_eq(sub->kind, S("Group"))) {
			g.source = arena_concat(a, head, S("Group "), go_quote(a, sub->name));
			add_grant(s, &scope->groups, arena_dup(a, sub->name), &g);
		}
	}
}

static bool take_cluster_binding(const void *obj, void *ctx)
{
	struct snapshot *s = ctx;
	const struct rbac_v1_ClusterRoleBinding *b = obj;
	add_binding(s, &s->cluster, "ClusterRoleBinding", &b->metadata, S(""), &b->roleRef, &b->subjects);
	return true;
}

static bool take_binding(const void *obj, void *ctx)
{
	struct snapshot *s = ctx;
	const struct rbac_v1_RoleBinding *b = obj;
	struct scope *scope = map_get(&s->namespaces, b->metadata.namespace);
	if (!scope) {
		scope = ARENA_NEW(s->arena, struct scope);
		map_put(&s->namespaces, b->metadata.namespace, scope);
	}
	add_binding(s, scope, "RoleBinding", &b->metadata, arena_dup(s->arena, b->metadata.namespace), &b->roleRef, &b->subjects);
	return true;
}

static struct snapshot *make_snapshot(struct request *r, uint64_t version)
{
	struct snapshot *s = HEAP_NEW(struct snapshot);
	s->arena = arena_new(64 * 1024);
	s->version = version;
	_cleanup_arena_ struct arena *a = arena_new(64 * 1024);
	struct request tmp = *r; // objects that are read on the way need not live as long as this request
	tmp.arena = a;
	str group = S("rbac.authorization.k8s.io");
	registry_each(&tmp, group, S("clusterroles"), S(""), take_cluster_role, s);
	registry_each(&tmp, group, S("roles"), S(""), take_role, s);
	registry_each(&tmp, group, S("clusterrolebindings"), S(""), take_cluster_binding, s);
	registry_each(&tmp, group, S("rolebindings"), S(""), take_binding, s);
	return s;
}

static void free_retired(struct rbac *b)
{
	for (struct snapshot **at = &b->retired; *at;) {
		bool used = false;
		for (size_t i = 0; i < MAX_LOOPS; i++)
			used = used || atomic_load(&b->in_use[i]) == *at;
		struct snapshot *s = *at;
		if (used) {
			at = &s->next;
		} else {
			*at = s->next;
			snapshot_free(s);
		}
	}
}

// With the lock held: the fresh snapshot.
static struct snapshot *refresh(struct rbac *b, struct request *r)
{
	uint64_t version = atomic_load(&b->version); // read first: a change meanwhile makes the new one stale again
	struct snapshot *old = atomic_load(&b->current);
	if (old && old->version == version)
		return old;
	struct snapshot *s = make_snapshot(r, version);
	atomic_store(&b->current, s);
	if (old) {
		old->next = b->retired;
		b->retired = old;
	}
	free_retired(b);
	return s;
}

// Takes the fresh snapshot for reading. *slot: what `release` needs; threads that are no loop hold the lock instead.
static struct snapshot *acquire(struct rbac *b, struct request *r, size_t *slot)
{
	*slot = r->x ? r->loop : MAX_LOOPS;
	if (*slot >= MAX_LOOPS) {
		*slot = MAX_LOOPS;
		pthread_mutex_lock(&b->lock);
		return refresh(b, r);
	}
	for (;;) {
		struct snapshot *s = atomic_load(&b->current);
		if (!s || s->version != atomic_load(&b->version)) {
			pthread_mutex_lock(&b->lock);
			s = refresh(b, r);
			atomic_store(&b->in_use[*slot], s);
			pthread_mutex_unlock(&b->lock);
			return s;
		}
		atomic_store(&b->in_use[*slot], s);
		if (atomic_load(&b->current) == s) // else it may be freed already: it was not marked in time
			return s;
	}
}

static void release(struct rbac *b, size_t slot)
{
	if (slot == MAX_LOOPS)
		pthread_mutex_unlock(&b->lock);
	else
		atomic_store(&b->in_use[slot], NULL);
}

// --- Rules ---

static bool has_or_all(const struct str_list *l, str s)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->v[i], S("*")) || str_eq(l->v[i], s))
			return true;
	return false;
}

static bool resource_matches(const struct rbac_v1_PolicyRule *rule, const struct attributes *at)
{
	for (size_t i = 0; i < rule->resources.n; i++) {
		str want = rule->resources.v[i], sub = want;
		if (str_eq(want, S("*")))
			return true;
		if (!at->subresource.n) {
			if (str_eq(want, at->resource))
				return true;
			continue;
		}
		if (want.n == at->resource.n + 1 + at->subresource.n && str_has_prefix(want, at->resource) && want.p[at->resource.n] == '/' &&
		    str_has_suffix(want, at->subresource))
			return true;
		if (str_cut_prefix(&sub, S("*/")) && str_eq(sub, at->subresource))
			return true;
	}
	return false;
}

static bool path_matches(const struct str_list *urls, str path)
{
	for (size_t i = 0; i < urls->n; i++) {
		str u = urls->v[i];
		if (str_eq(u, S("*")) || str_eq(u, path))
			return true;
		if (str_has_suffix(u, S("*"))) {
			while (str_cut_suffix(&u, S("*")))
				;
			if (str_has_prefix(path, u))
				return true;
		}
	}
	return false;
}

bool rule_allows(const struct rbac_v1_PolicyRule *rule, const struct attributes *at)
{
	if (!has_or_all(&rule->verbs, at->verb))
		return false;
	if (!at->is_resource)
		return path_matches(&rule->nonResourceURLs, at->path);
	return has_or_all(&rule->apiGroups, at->group) && resource_matches(rule, at) &&
	       (rule->resourceNames.n == 0 || str_list_has(&rule->resourceNames, at->name));
}

struct walk {
	bool (*each)(const struct grant *g, void *ctx); // false: enough
	void *ctx;
};

static bool walk_grants(const struct map *m, str subject, const struct walk *w)
{
	const struct grants *all = map_get(m, subject);
	for (size_t i = 0; all && i < all->n; i++)
		if (!w->each(&all->v[i], w->ctx))
			return false;
	return true;
}

static bool walk_scope(const struct scope *s, const struct user_info *u, const struct walk *w)
{
	if (!walk_grants(&s->users, u->name, w))
		return false;
	for (size_t i = 0; i < u->groups.n; i++)
		if (!walk_grants(&s->groups, u->groups.v[i], w))
			return false;
	return true;
}

static void walk_all(const struct snapshot *s, const struct user_info *u, str ns, const struct walk *w)
{
	if (!walk_scope(&s->cluster, u, w) || !ns.n)
		return;
	const struct scope *scope = map_get(&s->namespaces, ns);
	if (scope)
		walk_scope(scope, u, w);
}

struct decide_ctx {
	const struct attributes *at;
	const struct grant *by;
	struct arena *arena;
	struct str_list missing;
};

static bool decide_one(const struct grant *g, void *ctx)
{
	struct decide_ctx *d = ctx;
	if (g->missing.n && !str_list_has(&d->missing, g->missing))
		*LIST_ADD(d->arena, &d->missing) = arena_dup(d->arena, g->missing);
	for (size_t i = 0; i < g->n; i++)
		if (rule_allows(&g->rules[i], d->at)) {
			d->by = g;
			return false;
		}
	return true;
}

static str missing_text(struct arena *a, const struct str_list *missing)
{
	str text = str_list_join(a, missing, ", ");
	return missing->n > 1 ? arena_concat(a, S("["), text, S("]")) : text;
}

enum decision rbac_decide(struct request *r, const struct attributes *at, str *reason)
{
	struct rbac *b = apiserver_policy(r->server)->rbac;
	struct decide_ctx d = { .at = at, .arena = r->arena };
	size_t slot;
	struct snapshot *s = acquire(b, r, &slot);
	walk_all(s, at->user, at->ns, &(struct walk){ decide_one, &d });
	if (d.by)
		*reason = arena_concat(r->arena, S("RBAC: allowed by "), d.by->source);
	release(b, slot);
	if (d.by)
		return ALLOW;
	*reason = d.missing.n ? arena_concat(r->arena, S("RBAC: "), missing_text(r->arena, &d.missing)) : S("");
	return NO_OPINION;
}

struct collect_ctx {
	struct arena *arena;
	struct rbac_v1_PolicyRule_list *rules;
	struct str_list missing;
	struct map seen; // a binding with several subjects that fit counts once
};

static bool collect_one(const struct grant *g, void *ctx)
{
	struct collect_ctx *c = ctx;
	if (g->missing.n && !str_list_has(&c->missing, g->missing))
		*LIST_ADD(c->arena, &c->missing) = arena_dup(c->arena, g->missing);
	ptrdiff_t at = str_find(g->source, S(" to "));
	str binding = str_sub(g->source, 0, at < 0 ? g->source.n : (size_t)at);
	if (map_has(&c->seen, binding))
		return true;
	map_put(&c->seen, binding, NULL);
	for (size_t i = 0; i < g->n; i++) {
		const struct rbac_v1_PolicyRule *copy = schema_clone(c->arena, rbac_v1_PolicyRule_desc, &g->rules[i]);
		*LIST_ADD(c->arena, c->rules) = *copy;
	}
	return true;
}

void rbac_rules_for(struct request *r, const struct user_info *u, str ns, struct rbac_v1_PolicyRule_list *rules, str *errors)
{
	struct rbac *b = apiserver_policy(r->server)->rbac;
	struct collect_ctx c = { .arena = r->arena, .rules = rules };
	size_t slot;
	struct snapshot *s = acquire(b, r, &slot);
	walk_all(s, u, ns, &(struct walk){ collect_one, &c });
	release(b, slot);
	map_free(&c.seen);
	*errors = c.missing.n ? missing_text(r->arena, &c.missing) : S("");
}
