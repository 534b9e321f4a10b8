// Leader election by a Lease (coordination.k8s.io/v1), as client-go's leaderelection.
#ifndef CORACLE_CLIENT_LEADER_H
#define CORACLE_CLIENT_LEADER_H

#include "client/client.h"

struct leader_opts {
	str ns, name, identity;
	int lease_seconds, renew_seconds, retry_seconds; // 0: 15, 10, 2
};
// An identity for this process: host name, boot, PID namespace, PID and start time. Whoever finds the lease held by such a
// process of its own host, boot and namespace that is no longer there takes it over at once: a process that was killed and
// started again does not wait for its own lease to run out.
str leader_identity(struct arena *a);
// Blocks until this process leads (true; a thread goes on renewing and calls lost(ctx) when the lease is lost).
bool leader_run(struct client *c, const struct leader_opts *o, void (*lost)(void *ctx), void *ctx, struct error *err);
// Gives the lease back (on a clean stop), so that the next one need not wait.
void leader_release(struct client *c, const struct leader_opts *o);

#endif
