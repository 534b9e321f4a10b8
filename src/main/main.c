// One binary, many programs: the first argument, or the name that it is called by, says which.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apiserver/apiserver.h"
#include "cni/cni.h"
#include "controllers/controllers.h"
#include "kubectl/kubectl.h"
#include "kubelet/kubelet.h"
#include "main/node.h"
#include "proxy/proxy.h"
#include "runtime/runtime.h"
#include "scheduler/scheduler.h"

static int version_main(int argc, char **argv)
{
	puts("Coracle " CORACLE_VERSION " (Kubernetes API v1.36)");
	return 0;
}

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *help; // NULL: not listed
} programs[] = {
	{ "up", up_main, "start a cluster on this machine, or this machine's part of one" },
	{ "down", down_main, "stop it; data stay" },
	{ "join", join_main, "make this machine a node of a cluster" },
	{ "token", token_main, "make a token for join" },
	{ "sandbox", sandbox_main, "whole clusters in namespaces of this machine" },
	{ "kubectl", kubectl_main, "talk to a cluster" },
	{ "apiserver", apiserver_main, "component: the API" },
	{ "controller-manager", controller_manager_main, "component: the controllers" },
	{ "scheduler", scheduler_main, "component: the scheduler" },
	{ "kubelet", kubelet_main, "component: pods of a node" },
	{ "runtime", runtime_main, "component: containers of a node (CRI); import: bring in images" },
	{ "proxy", proxy_main, "component: Service addresses of a node" },
	{ "cni", cni_main, "network plugin (CNI)" },
	{ "pause", pause_main, NULL },
	{ "version", version_main, "print the version" },
};

static int usage(FILE *to, int status)
{
	fputs("usage: coracle COMMAND [options]\n\n", to);
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (programs[i].help)
			fprintf(to, "  %-20s %s\n", programs[i].name, programs[i].help);
	return status;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
	if (strncmp(name, "coracle-", 8) == 0)
		name += 8; // coracle-cni
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (strcmp(name, programs[i].name) == 0)
			return programs[i].main(argc, argv);
	if (argc < 2 && getenv("CNI_COMMAND")) // as a plugin of type "coracle" is called
		return cni_main(argc, argv);
	if (argc < 2)
		return usage(stderr, 2);
	if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return usage(stdout, 0);
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (strcmp(argv[1], programs[i].name) == 0)
			return programs[i].main(argc - 1, argv + 1);
	fprintf(stderr, "error: unknown command %s\n", argv[1]);
	return usage(stderr, 2);
}
