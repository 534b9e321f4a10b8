// The command line client: the verbs of upstream's kubectl that people type most, with its flags, output and messages.
#ifndef CORACLE_KUBECTL_KUBECTL_H
#define CORACLE_KUBECTL_KUBECTL_H

// argv[0] is the name that usage texts show. Returns the exit status.
int kubectl_main(int argc, char **argv);

#endif
