// What both sides of websocket.h share.
#ifndef CORACLE_NET_WS_INTERNAL_H
#define CORACLE_NET_WS_INTERNAL_H

#include <wslay/wslay.h>

#include "net/websocket.h"

enum { WS_MAX_FRAGMENTS = 10000 };

// Sec-WebSocket-Accept for a key (RFC 6455, section 4.2.2).
str ws_accept_key(struct arena *a, str key);

#endif
