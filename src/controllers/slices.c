#include "controllers/slices.h"

static bool text_equal(const str *x, const str *y)
{
	return !x || !y ? x == y : str_eq(*x, *y);
}

static bool port_equal(const struct discovery_v1_EndpointPort *x, const struct discovery_v1_EndpointPort *y)
{
	return text_equal(x->name, y->name) && text_equal(x->protocol, y->protocol) &&
	       text_equal(x->appProtocol, y->appProtocol) &&
	       (!x->port || !y->port ? x->port == y->port : *x->port == *y->port);
}

// In any order.
bool ports_equal(const struct discovery_v1_EndpointPort_list *x, const struct discovery_v1_EndpointPort_list *y)
{
	if (x->n != y->n)
		return false;
	for (size_t i = 0; i < x->n; i++) {
		bool found = false;
		for (size_t k = 0; k < y->n && !found; k++)
			found = port_equal(&x->v[i], &y->v[k]);
		if (!found)
			return false;
	}
	return true;
}

// The same endpoint, whatever its state.
static bool same_endpoint(const struct discovery_v1_Endpoint *x, const struct discovery_v1_Endpoint *y)
{
	if (!x->targetRef != !y->targetRef || x->addresses.n != y->addresses.n)
		return false;
	if (x->targetRef &&
	    (!str_eq(x->targetRef->uid, y->targetRef->uid) || !str_eq(x->targetRef->name, y->targetRef->name)))
		return false;
	for (size_t i = 0; i < x->addresses.n; i++)
		if (!str_eq(x->addresses.v[i], y->addresses.v[i]))
			return false;
	return true;
}

// Equal in all that this controller sets (hints are another's matter).
static bool endpoint_equal(const struct discovery_v1_Endpoint *x, const struct discovery_v1_Endpoint *y)
{
	struct discovery_v1_Endpoint cx = *x, cy = *y;
	cx.hints = cy.hints = NULL;
	return schema_equal(discovery_v1_Endpoint_desc, &cx, &cy);
}

static void fill(struct arena *a, slice *s, struct discovery_v1_Endpoint_list *from, size_t *taken)
{
	while (s->endpoints.n < SLICE_MAX && *taken < from->n)
		*LIST_ADD(a, &s->endpoints) = from->v[(*taken)++];
}

// Keeps what is still wanted, up to date; marks in `placed` what it holds. True: something changed.
static bool refresh(struct arena *a, slice *s, const struct port_group *g, bool *placed)
{
	struct discovery_v1_Endpoint_list kept = { 0 };
	bool changed = false;
	for (size_t i = 0; i < s->endpoints.n; i++) {
		size_t w = 0;
		while (w < g->endpoints.n && (placed[w] || !same_endpoint(&g->endpoints.v[w], &s->endpoints.v[i])))
			w++;
		if (w == g->endpoints.n) {
			changed = true;
			continue;
		}
		placed[w] = true;
		changed |= !endpoint_equal(&g->endpoints.v[w], &s->endpoints.v[i]);
		*LIST_ADD(a, &kept) = g->endpoints.v[w];
	}
	if (changed)
		s->endpoints = kept;
	return changed;
}

static void plan_group(struct arena *a, const struct port_group *g, struct slice_list have,
                       slice *(*fresh)(struct arena *a, void *ctx), void *ctx, struct slice_plan *out)
{
	bool *placed = arena_calloc(a, g->endpoints.n + 1, sizeof(bool)),
	     *changed = arena_calloc(a, have.n + 1, sizeof(bool));
	for (size_t i = 0; i < have.n; i++)
		changed[i] = refresh(a, have.v[i], g, placed);
	struct discovery_v1_Endpoint_list rest = { 0 };
	for (size_t w = 0; w < g->endpoints.n; w++)
		if (!placed[w])
			*LIST_ADD(a, &rest) = g->endpoints.v[w];
	size_t taken = 0;
	// Slices that are written anyway are filled first; what is left (if it fills no slice of its own) goes where there is room.
	for (size_t i = 0; i < have.n; i++)
		if (changed[i])
			fill(a, have.v[i], &rest, &taken);
	while (rest.n - taken >= SLICE_MAX) {
		slice *s = fresh(a, ctx);
		s->ports = g->ports;
		fill(a, s, &rest, &taken);
		*LIST_ADD(a, &out->create) = s;
	}
	size_t left = rest.n - taken;
	for (size_t i = 0; i < have.n && left; i++)
		if (have.v[i]->endpoints.n + left <= SLICE_MAX) {
			fill(a, have.v[i], &rest, &taken);
			changed[i] = true;
			left = 0;
		}
	if (left) {
		slice *s = fresh(a, ctx);
		s->ports = g->ports;
		fill(a, s, &rest, &taken);
		*LIST_ADD(a, &out->create) = s;
	}
	for (size_t i = 0; i < have.n; i++) {
		if (changed[i] && have.v[i]->endpoints.n == 0)
			*LIST_ADD(a, &out->remove) = have.v[i];
		else if (changed[i])
			*LIST_ADD(a, &out->update) = have.v[i];
	}
}

void slices_plan(struct arena *a, struct port_groups want, struct slice_list have,
                 slice *(*fresh)(struct arena *a, void *ctx), void *ctx, struct slice_plan *out)
{
	*out = (struct slice_plan){ 0 };
	bool *used = arena_calloc(a, have.n + 1, sizeof(bool));
	for (size_t g = 0; g < want.n; g++) {
		struct slice_list mine = { 0 };
		for (size_t i = 0; i < have.n; i++)
			if (!used[i] && ports_equal(&have.v[i]->ports, &want.v[g].ports)) {
				used[i] = true;
				*LIST_ADD(a, &mine) = have.v[i];
			}
		plan_group(a, &want.v[g], mine, fresh, ctx, out);
	}
	for (size_t i = 0; i < have.n; i++)
		if (!used[i])
			*LIST_ADD(a, &out->remove) = have.v[i];
	// Rather than delete one and create another, the one that would go is written anew.
	while (out->create.n && out->remove.n) {
		slice *s = out->remove.v[--out->remove.n];
		const slice *made = out->create.v[--out->create.n];
		s->ports = made->ports;
		s->endpoints = made->endpoints;
		*LIST_ADD(a, &out->update) = s;
	}
	// A slice stays even if nothing is in it: so that all see that there is nothing.
	if (out->create.n || out->update.n || out->remove.n < have.n)
		return;
	if (out->remove.n == 0) {
		*LIST_ADD(a, &out->create) = fresh(a, ctx);
		return;
	}
	slice *keep = out->remove.v[0];
	memmove(&out->remove.v[0], &out->remove.v[1], --out->remove.n * sizeof(*out->remove.v));
	bool empty = keep->endpoints.n == 0 && keep->ports.n == 0;
	keep->endpoints = (struct discovery_v1_Endpoint_list){ 0 };
	keep->ports = (struct discovery_v1_EndpointPort_list){ 0 };
	if (!empty)
		*LIST_ADD(a, &out->update) = keep;
}
