// What websocket.c needs of http_client.c: the connection under an answer of 101.
#ifndef CORACLE_NET_HTTP_STREAM_H
#define CORACLE_NET_HTTP_STREAM_H

#include "base/buf.h"
#include "net/http_client.h"
#include "net/transport.h"

// Takes the connection away from the stream; `rest` gets the bytes that followed the answer's head. Close the stream after.
struct transport *http_stream_take(struct http_stream_in *s, struct buf *rest);

#endif
