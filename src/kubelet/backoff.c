#include "kubelet/backoff.h"

#include "base/clock.h"

#define FIRST (10 * NS_PER_SEC)
#define MOST (300 * NS_PER_SEC)

static bool expired(const struct backoff *b, int64_t event_ns)
{
	return event_ns - b->updated_ns > 2 * MOST;
}

void backoff_next(struct backoff *b, int64_t event_ns, int64_t now_ns)
{
	if (b->delay_ns == 0 || expired(b, event_ns))
		b->delay_ns = FIRST;
	else
		b->delay_ns = b->delay_ns * 2 < MOST ? b->delay_ns * 2 : MOST;
	b->updated_ns = now_ns;
}

bool backoff_since(const struct backoff *b, int64_t event_ns, int64_t now_ns)
{
	return b->delay_ns && !expired(b, event_ns) && now_ns - event_ns < b->delay_ns;
}

bool backoff_since_update(const struct backoff *b, int64_t now_ns)
{
	return b->delay_ns && !expired(b, now_ns) && now_ns - b->updated_ns < b->delay_ns;
}
