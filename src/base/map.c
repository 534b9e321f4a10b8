#include "base/map.h"

#include "base/heap.h"

void map_free(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		free((char *)m->slots[i].key.p);
	free(m->slots);
	*m = (struct map){ 0 };
}

// The slot of the key, or the free one where it would go. The table is never full.
static struct map_slot *find(const struct map *m, str key)
{
	size_t i = str_hash(key) & (m->cap - 1);
	while (m->slots[i].key.p && !str_eq(m->slots[i].key, key))
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

void *map_get(const struct map *m, str key)
{
	return m->cap ? find(m, key)->value : NULL;
}

bool map_has(const struct map *m, str key)
{
	return m->cap && find(m, key)->key.p;
}

static void grow(struct map *m)
{
	struct map bigger = { .n = m->n, .cap = m->cap ? m->cap * 2 : 16 };
	bigger.slots = heap_calloc(bigger.cap, sizeof(*bigger.slots));
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].key.p)
			*find(&bigger, m->slots[i].key) = m->slots[i];
	free(m->slots);
	*m = bigger;
}

void *map_put(struct map *m, str key, void *value)
{
	if (m->n + 1 > m->cap / 4 * 3)
		grow(m);
	struct map_slot *s = find(m, key);
	if (!s->key.p) {
		s->key = str_n(heap_cstr(key), key.n);
		m->n++;
	}
	void *old = s->value;
	s->value = value;
	return old;
}

void *map_del(struct map *m, str key)
{
	if (!m->cap)
		return NULL;
	struct map_slot *s = find(m, key);
	if (!s->key.p)
		return NULL;
	void *old = s->value;
	free((char *)s->key.p);
	m->n--;
	// Close the gap: move back every later entry of the run whose home is not after the gap.
	size_t mask = m->cap - 1, gap = (size_t)(s - m->slots);
	for (size_t i = (gap + 1) & mask; m->slots[i].key.p; i = (i + 1) & mask) {
		size_t home = str_hash(m->slots[i].key) & mask;
		if (((i - home) & mask) >= ((i - gap) & mask)) {
			m->slots[gap] = m->slots[i];
			gap = i;
		}
	}
	m->slots[gap] = (struct map_slot){ 0 };
	return old;
}

struct map_slot *map_each(const struct map *m, struct map_slot *after)
{
	for (size_t i = after ? (size_t)(after - m->slots) + 1 : 0; i < m->cap; i++)
		if (m->slots[i].key.p)
			return &m->slots[i];
	return NULL;
}
