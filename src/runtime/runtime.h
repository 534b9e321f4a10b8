// The container runtime: a CRI v1 server (`coracle runtime`) that any kubelet can use, over conmon and an OCI runtime.
//
// Sandboxes are pinned namespaces (network, UTS, IPC) without a process of their own; containers are overlay mounts over
// unpacked image layers, started by crun under conmon. Everything the server knows is in small files that are replaced
// atomically, so it may be killed at any moment: a restart reads them back and never touches a running container.
#ifndef CORACLE_RUNTIME_RUNTIME_H
#define CORACLE_RUNTIME_RUNTIME_H

// Runs the server, or one of its subcommands: `import ARCHIVE...` brings images (OCI layouts and docker archives, packed or
// not) into the store of --root, also while a server uses it; `images` lists them; `unpack-layer` is the confined process
// that a server starts for each layer. Returns the exit status. `coracle runtime --help` lists the flags.
int runtime_main(int argc, char **argv);

// The first process of a PID namespace that the containers of a pod share: reaps what is left to it until SIGTERM or
// SIGINT. It takes no arguments; the server starts it inside new namespaces (see pause.c).
int pause_main(int argc, char **argv);

#endif
