#include "runtime/server.h"

void sandbox_status(struct arena *a, const struct sandbox *s, struct cri_v1_PodSandboxStatus *out)
{
	const struct cri_v1_PodSandboxConfig *c = s->config;
	*out = (struct cri_v1_PodSandboxStatus){
		.id = str_c(s->id), .metadata = c->metadata, .created_at = s->created, .labels = c->labels, .annotations = c->annotations,
		.state = s->ready ? cri_v1_PodSandboxState_SANDBOX_READY : cri_v1_PodSandboxState_SANDBOX_NOTREADY, .runtime_handler = s->handler,
	};
	struct cri_v1_PodSandboxNetworkStatus *net = ARENA_NEW(a, struct cri_v1_PodSandboxNetworkStatus);
	if (s->ips.n && !s->host_network) { // a pod on the node's network has no address of its own to tell
		net->ip = s->ips.v[0];
		for (size_t i = 1; i < s->ips.n; i++)
			LIST_ADD(a, &net->additional_ips)->ip = s->ips.v[i];
	}
	out->network = net;
	struct cri_v1_NamespaceOption *ns = ARENA_NEW(a, struct cri_v1_NamespaceOption);
	const struct cri_v1_LinuxSandboxSecurityContext *sc = c->linux_ ? c->linux_->security_context : NULL;
	if (sc && sc->namespace_options)
		*ns = *sc->namespace_options;
	out->linux_ = ARENA_NEW(a, struct cri_v1_LinuxPodSandboxStatus);
	out->linux_->namespaces = ARENA_NEW(a, struct cri_v1_Namespace);
	out->linux_->namespaces->options = ns;
}

void container_status(struct arena *a, const struct container *c, struct cri_v1_ContainerStatus *out)
{
	const struct cri_v1_ContainerConfig *config = c->config;
	*out = (struct cri_v1_ContainerStatus){
		.id = str_c(c->id), .metadata = config->metadata, .state = c->state, .created_at = c->created, .started_at = c->started,
		.finished_at = c->finished, .exit_code = c->exit_code, .image_ref = c->image_ref, .image_id = c->image_id, .reason = str_c(c->reason),
		.message = c->message, .labels = config->labels, .annotations = config->annotations, .mounts = config->mounts,
		.log_path = str_c(c->log_path), .stop_signal = signal_to_cri(c->stop_signal),
	};
	// The image under its full name, as containerd tells it.
	struct cri_v1_ImageSpec *image = ARENA_NEW(a, struct cri_v1_ImageSpec);
	if (config->image)
		*image = *config->image;
	if (c->image_name.n)
		image->image = c->image_name;
	out->image = image;
	struct cri_v1_LinuxContainerResources *resources = c->resources;
	if (resources) {
		out->resources = ARENA_NEW(a, struct cri_v1_ContainerResources);
		out->resources->linux_ = resources;
	}
	out->user = ARENA_NEW(a, struct cri_v1_ContainerUser);
	out->user->linux_ = ARENA_NEW(a, struct cri_v1_LinuxContainerUser);
	out->user->linux_->uid = c->uid;
	out->user->linux_->gid = c->gid;
	out->user->linux_->supplemental_groups = c->groups;
}
