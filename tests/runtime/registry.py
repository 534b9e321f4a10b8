#!/usr/bin/env python3
"""A registry for tests: serves one OCI layout (tar) as REPOSITORY:TAG behind token authentication.

    registry.py PORT LAYOUT.tar REPOSITORY TAG LOG

It behaves badly on purpose: manifests come as an index with other platforms, blobs are redirected to another path, and the
first answer with a large blob breaks off in the middle (the next must be asked for with Range). LOG gets a line per request.
"""
import base64
import hashlib
import http.server
import json
import sys
import tarfile

port, layout, repository, tag, log = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], open(sys.argv[5], 'w')
blobs = {}
with tarfile.open(layout) as tar:
    for m in tar:
        if m.name.startswith('blobs/sha256/'):
            blobs['sha256:' + m.name[13:]] = tar.extractfile(m).read()
    index = json.load(tar.extractfile('index.json'))
manifest = index['manifests'][0]
amd = {'mediaType': manifest['mediaType'], 'digest': manifest['digest'], 'size': manifest['size'], 'platform': manifest['platform']}
other = {'mediaType': manifest['mediaType'], 'digest': 'sha256:' + '0' * 64, 'size': 2, 'platform': {'os': 'windows', 'architecture': 'amd64'}}
top = json.dumps({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.index.v1+json', 'manifests': [other, amd]}).encode()
blobs['sha256:' + hashlib.sha256(top).hexdigest()] = top
broken = set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def answer(self, status, body=b'', **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path, _, query = self.path.partition('?')
        auth = self.headers.get('Authorization', '')
        print(self.path, auth.split(' ')[0] or '-', self.headers.get('Range', '-'), file=log, flush=True)
        if path == '/token':
            good = 'Basic ' + base64.b64encode(b'user:secret').decode()
            if auth and auth != good:
                return self.answer(401)
            who = 'full' if auth else 'anonymous'
            return self.answer(200, json.dumps({'token': who + '-token'}).encode())
        if path.startswith('/cdn/'):
            if auth:
                return self.answer(400, b'credentials reached the content server')
            data = blobs[path[5:]]
            begin = 0
            if self.headers.get('Range'):
                begin = int(self.headers['Range'][6:].rstrip('-'))
            if len(data) > 100000 and begin == 0 and path not in broken:
                broken.add(path)
                self.send_response(200)
                self.send_header('Content-Length', str(len(data)))
                self.end_headers()
                self.wfile.write(data[:60000])
                self.close_connection = True
                return None
            return self.answer(206 if begin else 200, data[begin:])
        if not path.startswith('/v2/'):
            return self.answer(404)
        if auth not in ('Bearer full-token', 'Bearer anonymous-token') or ('private' in path and auth != 'Bearer full-token'):
            host = self.headers['Host']
            scope = 'repository:%s:pull' % repository
            return self.answer(401, WWW_Authenticate='Bearer realm="http://%s/token",service="test, \\"quoted\\"",scope="%s"' % (host, scope))
        kind, _, what = path[4:].rpartition('/')
        kind = kind.rpartition('/')[2]
        if kind == 'manifests' and what == tag:
            return self.answer(200, top)
        if kind == 'manifests' and what in blobs:
            return self.answer(200, blobs[what])
        if kind == 'blobs' and what in blobs:
            return self.answer(307, Location='http://127.0.0.1:%d/cdn/%s' % (port, what))
        return self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')


http.server.ThreadingHTTPServer(('127.0.0.1', port), Handler).serve_forever()
