"""As much of an Engine's API as the examples of docker_data_restore ask for, in memory: python engine.py SOCKET VOLUMES

What it was made to hold can be read as JSON from GET /held. Real engines are the matter of tests/engines.
"""
import hashlib
import http.server
import io
import json
import os
import platform
import re
import shutil
import socketserver
import sys
import tarfile
import urllib.parse

ARCHITECTURES = {'x86_64': 'amd64', 'aarch64': 'arm64'}
VERSION = {'ApiVersion': '1.41', 'MinAPIVersion': '1.12', 'Version': '20.10.24', 'Os': 'linux',
           'Arch': ARCHITECTURES.get(platform.machine(), platform.machine())}


class Held(object):
    def __init__(self, folder):
        self.folder = folder
        self.images, self.volumes, self.containers, self.networks = {}, {}, {}, {}

    def load(self, raw):
        """What docker save wrote -> lines of docker load."""
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            for entry in json.loads(archive.extractfile('manifest.json').read().decode('utf-8')):
                config = archive.extractfile(entry['Config']).read()
                value = json.loads(config.decode('utf-8'))
                identifier = 'sha256:' + hashlib.sha256(config).hexdigest()
                record = {'Id': identifier, 'Os': value.get('os'), 'Architecture': value.get('architecture'),
                          'Config': value.get('config'), 'RootFS': {'Layers': value['rootfs']['diff_ids']}}
                for name in [identifier] + (entry.get('RepoTags') or []):
                    self.images[name] = record
                    yield {'stream': 'Loaded image: %s\n' % name}

    def create_volume(self, body):
        place = os.path.join(self.folder, body['Name'], '_data')
        os.makedirs(place)
        self.volumes[body['Name']] = {'Name': body['Name'], 'Driver': 'local', 'Mountpoint': place, 'Options': None,
                                      'Labels': body.get('Labels') or {}}
        return self.volumes[body['Name']]

    def remove_volume(self, name):
        shutil.rmtree(os.path.join(self.folder, name))
        return self.volumes.pop(name)

    def create_container(self, name, body):
        identifier = hashlib.sha256(name.encode('utf-8')).hexdigest()
        image = self.images[body['Image']]
        self.containers[name] = {'Id': identifier, 'Name': '/' + name, 'Image': image['Id'], 'Config': body,
                                 'HostConfig': body['HostConfig'], 'State': {'Running': False, 'Status': 'created'}}
        return {'Id': identifier, 'Warnings': []}

    def container(self, name):
        for known, value in self.containers.items():
            if name in (known, value['Id']):
                return value
        raise KeyError(name)

    def start(self, name):
        self.container(name)['State'] = {'Running': True, 'Status': 'running'}

    def answer(self, method, path, query, body):
        """The JSON value of the answer; KeyError if there is no such thing."""
        what = urllib.parse.unquote(path).strip('/').split('/')
        if what in (['version'], ['info'], ['held'], ['volumes']) and method == 'GET':
            return {'version': VERSION, 'info': {'OSType': 'linux', 'SecurityOptions': []}, 'held': self.__dict__,
                    'volumes': {'Volumes': list(self.volumes.values())}}[what[0]]
        if what[0] == 'images' and what[-1] == 'json':
            return self.images['/'.join(what[1:-1])]
        if what == ['containers', 'json']:
            return []
        if what == ['volumes', 'create']:
            return self.create_volume(body)
        if what[0] == 'volumes':
            return self.remove_volume(what[1]) if method == 'DELETE' else self.volumes[what[1]]
        if what[0] == 'networks' and method == 'GET':
            return self.networks[what[1]]
        if what == ['containers', 'create']:
            return self.create_container(query['name'][0], body)
        if what[0] == 'containers' and what[-1] == 'json':
            return self.container(what[1])
        if what[0] == 'containers' and what[-1] == 'start':
            return self.start(what[1])
        if what[0] == 'containers' and what[-1] == 'update':
            return self.container(what[1])
        raise KeyError(path)


class Handler(http.server.BaseHTTPRequestHandler):
    held = None

    def address_string(self):
        return 'unix'

    def body(self):
        if self.headers.get('Transfer-Encoding') != 'chunked':
            return self.rfile.read(int(self.headers.get('Content-Length') or 0))
        found = b''
        while True:
            size = int(self.rfile.readline(), 16)
            found += self.rfile.read(size)
            self.rfile.readline()
            if not size:
                return found

    def handle_one(self):
        parts = urllib.parse.urlsplit(self.path)
        path = re.sub(r'\A/v[0-9.]+', '', parts.path)
        raw = self.body()
        try:
            if path == '/images/load':
                status, values = 200, list(self.held.load(raw))
            else:
                status, values = 200, [self.held.answer(self.command, path, urllib.parse.parse_qs(parts.query),
                                                        json.loads(raw.decode('utf-8')) if raw else None)]
        except KeyError as exc:
            status, values = 404, [{'message': 'no such thing: %s' % exc}]
        data = '\n'.join(json.dumps(value) for value in values).encode('utf-8')
        if self.command == 'HEAD':
            status, data = 404, b''     # no container here has files
        self.send_response(status)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_HEAD = do_POST = do_DELETE = handle_one


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def main():
    Handler.held = Held(sys.argv[2])
    with Server(sys.argv[1], Handler) as server:
        server.serve_forever()


if __name__ == '__main__':
    main()
