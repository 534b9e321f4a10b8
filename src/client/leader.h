// Leader election by a Lease (coordination.k8s.io/v1), as client-go's leaderelection.
#ifndef CORACLE_CLIENT_LEADER_H
#define CORACLE_CLIENT_LEADER_H

#include "client/client.h"

struct leader_opts {
	str ns, name, identity;
	int lease_seconds, renew_seconds, retry_seconds; // 0: 15, 10, 2
};
// Blocks until this process leads (true; a thread goes on renewing and calls lost(ctx) when the lease is lost).
bool leader_run(struct client *c, const struct leader_opts *o, void (*lost)(void *ctx), void *ctx, struct error *err);
// Gives the lease back (on a clean stop), so that the next one need not wait.
void leader_release(struct client *c, const struct leader_opts *o);

#endif
