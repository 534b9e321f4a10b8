#!/usr/bin/env python3
"""A WebSocket client for the exec protocol: ws.py URL [--stdin TEXT] [--resize WxH] [--count]; prints "CHANNEL TEXT" per message."""
import argparse
import base64
import json
import os
import socket
import struct
import sys

p = argparse.ArgumentParser()
p.add_argument('url')
p.add_argument('--stdin')
p.add_argument('--resize')
p.add_argument('--count', action='store_true')
args = p.parse_args()
host, _, path = args.url[len('http://'):].partition('/')
name, port = host.split(':')
s = socket.create_connection((name, int(port)), 10)
key = base64.b64encode(os.urandom(16)).decode()
s.sendall(('GET /%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n'
           'Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n' % (path, host, key)).encode())
f = s.makefile('rb')
head = f.readline().decode()
if ' 101 ' not in head:
    sys.exit(head)
while f.readline() not in (b'\r\n', b''):
    pass


def send(data):
    mask = os.urandom(4)
    head = bytes([0x82, 0x80 | len(data)]) if len(data) < 126 else bytes([0x82, 0xfe]) + struct.pack('>H', len(data))
    s.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))


if args.resize:
    width, height = args.resize.split('x')
    send(b'\x04' + json.dumps({'Width': int(width), 'Height': int(height)}).encode())
if args.stdin is not None:
    send(b'\x00' + args.stdin.encode().decode('unicode_escape').encode())
    send(b'\xff\x00')
total = 0
while True:
    head = f.read(2)
    if len(head) < 2 or head[0] & 15 == 8:
        break
    n = head[1] & 127
    if n == 126:
        n, = struct.unpack('>H', f.read(2))
    elif n == 127:
        n, = struct.unpack('>Q', f.read(8))
    data = f.read(n)
    if data[:1] == b'\x01':
        total += len(data) - 1
    if len(data) > 1 and not (args.count and data[0] != 3):
        print(data[0], data[1:].decode(errors='replace'), flush=True)
    if data[:1] == b'\x03' and args.count:
        print('bytes', total, data[1:].decode())
