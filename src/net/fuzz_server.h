// A server without sockets for the fuzz targets: bytes go straight into a connection, answers into nothing.
#ifndef CORACLE_NET_FUZZ_SERVER_H
#define CORACLE_NET_FUZZ_SERVER_H

#include "base/str.h"

// Feeds `first` in one piece, then the rest in pieces whose sizes its own first byte chooses. Handlers of all kinds answer,
// chosen by the request's path.
void fuzz_server_feed(str first, str rest);

#endif
