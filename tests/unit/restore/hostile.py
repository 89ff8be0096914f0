"""Hostile bundles, made from one good one. Each case is a function that changes a :class:`Draft`.

REFUSED: a restore has to end in one sentence. HARMLESS: it may succeed, but nothing outside of its target may change.
"""
import gzip
import hashlib
import json
import lzma
import os
import socket
import tarfile
import zlib

from ansible_collections.lifeboat.docker.tests.unit.archive.test_unpack import (
    HOSTILE,
    headers,
    link,
    pax,
    raw_extended,
    resummed,
    sparse,
)
from ansible_collections.lifeboat.docker.tests.unit.images.test_imagefile import Archive
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, content_size, member, tar_bytes

DATA = tar_bytes([ROOT, member('./a', b'data'), member('./d/'), member('./d/b', b'more'), link('./l', '/etc/passwd')])
ESCAPES = 'x\x1b]52;c;QUJD\x07\x9b31m\n\u202e\x00'


class Draft(object):
    """A bundle before it is written. `files` {name: bytes}, `manifest`; `after`: functions of its folder (str)."""

    def __init__(self):
        image = Archive(('debian:12', ['base'], 'A=1'), ('lifeboat/web:0123', ['base', 'own'], 'A=2'))
        self.files = {'volumes/data.tar': DATA, 'binds/01-srv.tar': DATA, 'rootfs.tar': DATA, 'image.tar': image.raw(),
                      'config/config.v2.json': b'{"ID": "%s", "Name": "/web"}' % (b'c' * 64), 'config/hostconfig.json': b'{}',
                      'README.txt': b'read me'}
        self.manifest = {
            'schema_version': 1, 'kind': 'container', 'status': 'complete', 'created': '2026-01-02T03:04:05Z',
            'source': {'hostname': 'dead'}, 'container': {'name': 'web', 'id': 'c' * 64}, 'problems': [],
            'mounts': [{'type': 'volume', 'name': 'data', 'destination': '/d', 'driver': 'local', 'status': 'complete'}],
            'components': [part('volume:data', 'volume', 'volumes/data.tar'), part('bind:01', 'bind', 'binds/01-srv.tar', source='/srv'),
                           part('rootfs', 'rootfs', 'rootfs.tar'), part('image', 'image', 'image.tar')]}
        self.raw_manifest = self.sums = None
        self.more_sums = b''
        self.keep = ()                  # keys of components that a case has set itself
        self.after = []

    def part(self, kind):
        return next(item for item in self.manifest['components'] if item['kind'] == kind)

    def write(self, folder):
        for item in self.manifest['components'] if isinstance(self.manifest.get('components'), list) else ():
            data = self.files.get(item.get('file')) if isinstance(item, dict) and isinstance(item.get('file'), str) else None
            if data is not None:
                for key, value in (('bytes', len(data)), ('sha256', sha(data)), ('source_bytes', content_size(data))):
                    item.setdefault(key, value)
        files = dict(self.files)
        if 'manifest.json' not in files:
            files['manifest.json'] = self.raw_manifest if self.raw_manifest is not None else json.dumps(self.manifest).encode()
        lines = []
        for name, data in sorted(files.items()):
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb') as target:
                target.write(data)
            lines.append(b'%s  %s\n' % (sha(data).encode(), os.fsencode(name)))
        with open(os.path.join(folder, 'SHA256SUMS'), 'wb') as target:
            target.write(self.sums if self.sums is not None else b''.join(lines) + self.more_sums)
        for change in self.after:
            change(folder)


def part(name, kind, file, **fields):
    return dict({'name': name, 'kind': kind, 'file': file, 'status': 'complete'}, **fields)


def sha(data):
    return hashlib.sha256(data).hexdigest()


REFUSED, HARMLESS = {}, {}


def refused(name, change):
    assert name not in REFUSED, name
    REFUSED[name] = change


def harmless(name, change):
    assert name not in HARMLESS, name
    HARMLESS[name] = change


# -- the manifest ------------------------------------------------------------------------------------------------------------


def setting(place, value):
    """A change that sets one value of the manifest; PLACE: a path of keys."""
    def change(draft):
        node = draft.manifest
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = value
    return change


def manifest_of(raw):
    def change(draft):
        draft.raw_manifest = raw(json.dumps(draft.manifest).encode()) if callable(raw) else raw
    return change


def shown(value):
    said = ascii(value)
    return said if len(said) <= 40 else '%s... (%d)' % (said[:30], len(said))


def add_manifests():
    for key, values in (
            ('schema_version', ['1', 3, 1.0, True, None, [], {}, 10 ** 3900, -1, ESCAPES]),
            ('kind', [5, [], {}, None, 'x', ESCAPES, 'container ']), ('components', [{}, 'x', [1], [[]], [None], 7]),
            ('mounts', [{}, 'x', [[]], ['x']]), ('problems', [{}, 'x', [1]]), ('container', [[], 'x', 5]), ('source', [[], 'x'])):
        for value in values:
            refused('manifest: %s is %s' % (key, shown(value)), setting((key,), value))
    for key in ('schema_version', 'kind', 'components', 'container', 'mounts'):
        (refused if key in ('schema_version', 'kind') else harmless)(
            'manifest: without %s' % key, lambda draft, key=key: draft.manifest.pop(key))
    nested = b'[' * 1000 + b']' * 1000
    for name, raw in (
            ('empty', b''), ('filled with NUL', bytes(500)), ('cut', lambda raw: raw[:-20]), ('not UTF-8', b'\xff\xfe\xff'),
            ('nested without end', b'[' * 100000), ('objects nested without end', b'{"a":' * 100000),
            ('nested a thousand deep', lambda raw: raw[:-1] + b', "x": ' + nested + b'}'),
            ('three million values', lambda raw: raw[:-1] + b', "x": [' + b'0,' * 3000000 + b'0]}'),
            ('a million lists', lambda raw: raw[:-1] + b', "x": [' + b'[],' * 1100000 + b'0]}'),
            ('a text', b'"manifest"'), ('a list', b'[]'), ('garbage behind it', lambda raw: raw + b'x')):
        refused('manifest: ' + name, manifest_of(raw))
    for name, raw in (
            ('the same key twice', lambda raw: b'{"kind": "volume", ' + raw[1:]), ('NaN', lambda raw: raw[:-1] + b', "x": NaN}'),
            ('a number of 5000 digits', lambda raw: raw[:-1] + b', "status": ' + b'9' * 5000 + b'}'),
            ('half surrogates', lambda raw: raw[:-1] + b', "status": "\\ud800\\udcff"}')):
        harmless('manifest: ' + name, manifest_of(raw))
    for value in (ESCAPES, 5, [], {}, None, 'x' * 100000):
        for place in (('status',), ('created',), ('container', 'name'), ('container', 'id'), ('source', 'hostname'),
                      ('mounts', 0, 'destination'), ('mounts', 0, 'options'), ('mounts', 0, 'labels'), ('components', 0, 'status')):
            harmless('manifest: %s is %s' % ('.'.join(map(str, place)), shown(value)), setting(place, value))
    harmless('manifest: a problem with escapes', setting(('problems',), [dict.fromkeys(
        ('code', 'severity', 'object', 'message', 'next_step', ESCAPES), ESCAPES), {'message': [[]], 'loses_data': 'x'}]))


def add_components():
    for value in ('../x', '/etc/passwd', 'volumes/../../x', '.', '..', 'volumes//data.tar', './volumes/data.tar', 'volumes/data.tar/',
                  'volumes/da\0ta.tar', 'x' * 5000, 'a/' * 3000 + 'b', 5, [], {}, True, 'manifest.json\n', '\ud800', 'SHA256SUMS'):
        refused('component: file is %s' % shown(value), setting(('components', 0, 'file'), value))
    for value in (-1, 'x', True, None, 1.5, 10 ** 30, [], 0):
        refused('component: source_bytes is %s' % shown(value), setting(('components', 0, 'source_bytes'), value))
    for value in ('0' * 64, 5, [], ESCAPES):
        refused('component: sha256 is %s' % shown(value), setting(('components', 0, 'sha256'), value))
    refused('component: bytes differ', setting(('components', 0, 'bytes'), 1))
    refused('component: a file twice', lambda draft: draft.manifest['components'].append(part('volume:other', 'volume', 'volumes/data.tar')))
    refused('component: a volume twice', lambda draft: (
        draft.files.update({'volumes/two.tar': DATA}), draft.manifest['components'].append(part('volume:data', 'volume', 'volumes/two.tar'))))
    refused('component: two binds of one name', lambda draft: (
        draft.files.update({'x/01-srv.tar': DATA}), draft.manifest['components'].append(part('bind:02', 'bind', 'x/01-srv.tar'))))
    refused('component: two file systems', lambda draft: (
        draft.files.update({'x/rootfs.tar': DATA}), draft.manifest['components'].append(part('rootfs', 'rootfs', 'x/rootfs.tar'))))
    for file in ('binds/.tar', 'binds/...tar', 'binds/..tar', 'binds/.lifeboat-done.tar', 'binds/%s' % ('y' * 254 + 'z')):
        def change(draft, file=file):
            draft.files[file] = draft.files.pop('binds/01-srv.tar')
            draft.part('bind')['file'] = file
        (harmless if len(file) > 100 else refused)('component: a bind in %s' % shown(file), change)
    for value in (5, [], {}, None, ''):
        harmless('component: name is %s' % shown(value), setting(('components', 0, 'name'), value))
        harmless('component: kind is %s' % shown(value), setting(('components', 0, 'kind'), value))


def add_names():
    for name in ('/abs/path', '../x', '..', '.', 'a/b', '\0', 'a\0b', 'a\nb', ESCAPES, '-rf', '--help', '.hidden', '_x', 'x' * 256,
                 'x' * 5000, '\xfc', '\ud800', '\udcff', ' ', 'a b', 'a\\b', 'a:b', '\uff41', '\u0661', '$(id)', "';id;'"):
        refused('volume: its name is %s' % shown(name), setting(('components', 0, 'volume'), name))
        refused('volume: the name behind the colon is %s' % shown(name), setting(('components', 0, 'name'), 'volume:' + name))
        harmless('mount: the stable name is %s' % shown(name), setting(('mounts', 0, 'stable_name'), name))
    refused('volume: two become one', lambda draft: (
        draft.files.update({'volumes/two.tar': DATA}), draft.manifest['components'].append(part('volume:two', 'volume', 'volumes/two.tar')),
        draft.manifest['mounts'].append({'type': 'volume', 'name': 'two', 'stable_name': 'data'})))
    harmless('volume: a name as long as a name can be', setting(('components', 0, 'volume'), 'x' * 255))


def add_configs():
    for name in ('config/config.v2.json', 'config/hostconfig.json', 'config/image.json'):
        for raw in (b'', b'[' * 100000, b'[]', b'\xff', bytes(100), b'{"Name": 5, "ID": [], "Config": 7, "HostConfig": [[]]}',
                    b'{"config": {"Env": 5}}', b'[' + b'[],' * 3000000 + b'0]'):
            harmless('%s: %s' % (name, shown(raw)), lambda draft, name=name, raw=raw: draft.files.update({name: raw}))


# -- checksums, links, sorts of files ----------------------------------------------------------------------------------------


def after(change):
    return lambda draft: draft.after.append(change)


def replaced(name, make):
    """A change after writing: NAME is something else."""
    def change(folder):
        path = os.path.join(folder, name)
        os.rename(path, path + '.was')
        make(path)
        if os.path.exists(path + '.was') and not os.path.isdir(path + '.was'):
            os.unlink(path + '.was')
    return after(change)


def linked(path):
    """A link to the very same content, which lies outside."""
    os.symlink(path.rpartition('/bundle/')[0] + '/outside/copy', path)


def fifo(path):
    os.mkfifo(path)


def unix_socket(path):
    here = os.getcwd()
    os.chdir(os.path.dirname(path))     # its address is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.basename(path))
    finally:
        os.chdir(here)


def folder_instead(path):
    os.mkdir(path)


def giant(path):
    with open(path, 'wb') as target:
        target.truncate(1 << 40)


def deep(depth):
    def change(folder):
        fd = os.open(folder, os.O_RDONLY)
        for dummy in range(depth):
            os.mkdir('d', dir_fd=fd)
            inner = os.open('d', os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = inner
        os.close(fd)
    return after(change)


def add_files():
    for name in ('manifest.json', 'SHA256SUMS', 'volumes/data.tar', 'config/config.v2.json'):
        for how, make in (('a link', linked), ('a FIFO', fifo), ('a socket', unix_socket), ('a folder', folder_instead),
                          ('a terabyte of holes', giant), ('missing', lambda path: None),
                          ('a link to itself', lambda path: os.symlink(os.path.basename(path), path)),
                          ('a link to a device', lambda path: os.symlink('/dev/zero', path)),
                          ('a file that nobody may read', lambda path: (giant(path), os.chmod(path, 0)))):
            refused('%s: %s' % (name, how), replaced(name, make))
        if os.geteuid() == 0:
            refused('%s: a device' % name, replaced(name, lambda path: os.mknod(path, 0o20666, os.makedev(1, 5))))

    def moved(folder):
        os.rename(os.path.join(folder, 'volumes'), os.path.join(os.path.dirname(folder), 'moved'))
        os.symlink('../moved', os.path.join(folder, 'volumes'))
    refused('volumes: the folder is a link', after(moved))
    harmless('files: a FIFO that nobody lists', after(lambda folder: os.mkfifo(os.path.join(folder, 'fifo'))))
    harmless('files: a link that nobody lists', after(lambda folder: os.symlink('/etc', os.path.join(folder, 'link'))))
    harmless('files: names that nobody lists', after(lambda folder: [giant(os.path.join(os.fsencode(folder), name)) for name in (
        b'\xff', b'a\nb', b'\x1b[31m', b'-rf', b'y' * 255)]))
    harmless('files: two thousand that nobody lists', after(lambda folder: [giant(os.path.join(folder, 'f%d' % n)) for n in range(2000)]))
    refused('files: folders a hundred deep', deep(100))
    refused('files: folders three thousand deep', deep(3000))


def add_sums():
    zeros = b'0' * 64
    for name, line in (
            ('..', b'  ../outside/secret'), ('an absolute path', b'  /etc/passwd'), ('dots within', b'  a/../../b'), ('NUL', b'  a\0b'),
            ('no name', b'  '), ('an empty part', b'  a//b'), ('4096 parts', b'  ' + b'a/' * 4096 + b'b'), ('a long name', b'  ' + b'y' * 300),
            ('a second sum', b'  volumes/data.tar'), ('a file that is not there', b'  gone'), ('a folder of it', b'  volumes'), ('itself', b'  SHA256SUMS'),
            ('a carriage return', b'  volumes/data.tar\r'), ('escapes', b'  ' + ESCAPES.encode().replace(b'\n', b'').replace(b'\0', b'')),
            ('a sum of letters', b'zz  volumes/data.tar'), ('one blank', b' volumes/data.tar'), ('a cut line', b'')):
        refused('SHA256SUMS: %s' % name, lambda draft, line=line: setattr(draft, 'more_sums', zeros + line + b'\n'))
    refused('SHA256SUMS: an escaped newline', lambda draft: setattr(draft, 'more_sums', b'\\' + zeros + b'  a\\nb\n'))
    refused('SHA256SUMS: no newline at its end', lambda draft: setattr(draft, 'more_sums', zeros))
    refused('SHA256SUMS: empty', lambda draft: setattr(draft, 'sums', b''))
    refused('SHA256SUMS: noise', lambda draft: setattr(draft, 'sums', bytes(range(256)) * 100))
    refused('SHA256SUMS: 70,000 files that are not there', lambda draft: setattr(
        draft, 'more_sums', b''.join(b'%s  f/%d\n' % (zeros, number) for number in range(70000))))
    refused('SHA256SUMS: a line of megabytes', lambda draft: setattr(draft, 'more_sums', zeros + b'  ' + b'y' * (4 << 20) + b'\n'))


# -- archives ----------------------------------------------------------------------------------------------------------------


def volume(raw, suffix='', kind='volume'):
    """A change: the archive of the volume (or what KIND says) is RAW. Its sizes are told as the archive would have it."""
    def change(draft):
        item = draft.part(kind)
        data = draft.files.pop(item['file'])
        item['file'] += suffix
        item['source_bytes'] = 1 << 62
        draft.files[item['file']] = raw(data) if callable(raw) else raw
    return change


def greedy_xz():
    data = lzma.compress(DATA, lzma.FORMAT_XZ, filters=[{'id': lzma.FILTER_LZMA2, 'dict_size': 1 << 20}])
    header = bytearray(data[12:24])
    header[4] = 36                      # a dictionary of 1 GiB
    header[8:12] = zlib.crc32(bytes(header[:8])).to_bytes(4, 'little')
    return data[:12] + bytes(header) + data[24:]


def nested(depth, last=()):
    return tar_bytes([ROOT] + [member('./' + 'd/' * count) for count in range(1, depth + 1)] + list(last))


def add_archives():
    for name, (raw, dummy) in HOSTILE.items():
        refused('archive: ' + name, volume(raw))
    extended = raw_extended(b'30 mtime=1600000000.123456789\n')[:1024]
    for name, raw in (
            ('empty', b''), ('text', b'no archive'), ('noise', bytes(range(256)) * 4), ('extended headers without end', extended * 100),
            ('long names without end', headers(member('./a', b'x'))[:512] + b''.join(
                resummed(tarfile.TarInfo('././@LongLink').tobuf(), 156, b'L') for dummy in range(100))),
            ('1,500 folders deep, then a link out', nested(1500, [member('../x', b'x')])),
            ('5,000 folders deep', b''.join(pax_folder(b'd/' * count) for count in (1, 5000))),
            ('a name of 70,000 bytes', headers(pax('./a', path='y' * 70000))), ('a part of 300 bytes', headers(pax('./a', path='y' * 300))),
            ('a time of four million digits', raw_extended(record(b'mtime', b'9' * 4000000))),
            ('an owner of a thousand digits', headers(pax('./a', uid='9' * 1000))),
            ('an extended header of 5 MB', raw_extended(record(b'comment', b'y' * 5000000))),
            ('a global header with a name', resummed(raw_extended(record(b'path', b'/etc/x')), 156, b'g')),
            ('holes of an exabyte', headers(sparse([b'0'], realsize=b'%d' % (1 << 61)))),
            ('two million extents', headers(sparse([b'2000000'] + [b'0', b'0'] * 10))),
            ('a member of an exabyte', resummed(tar_bytes([member('./a', b'x')]), 124, b'\x80\0\0\0\x10' + bytes(7))),
            ('zeros without end behind it', DATA + bytes(65 << 20))):
        refused('archive: ' + name, volume(raw))
    for suffix in ('.gz', '.xz', '.zst'):
        refused('archive: not what %s says' % suffix, volume(DATA, suffix))
        refused('archive: an empty file that %s says is one' % suffix, volume(b'', suffix))
    refused('archive: gzip, cut', volume(lambda data: gzip.compress(data)[:-10], '.gz'))
    refused('archive: xz, cut', volume(lambda data: lzma.compress(data)[:-20], '.xz'))
    refused('archive: a gzip bomb behind its end', volume(lambda data: gzip.compress(data) + gzip.compress(bytes(33 << 20)) * 3, '.gz'))
    refused('archive: an xz bomb in a file', lambda draft: (
        volume(lambda data: lzma.compress(tar_bytes([ROOT, member('./a', bytes(30 << 20))])), '.xz')(draft),
        draft.part('volume').update(source_bytes=1 << 20)))
    refused('archive: xz that wants a gigabyte of memory', volume(greedy_xz(), '.xz'))
    for name, raw in (('a link', link('./x', '/')), ('a relative link', link('x', '..')), ('a FIFO', member('./x', kind=tarfile.FIFOTYPE))):
        refused('bind: its only member is %s' % name, volume(tar_bytes([raw]), kind='bind'))
        harmless('volume: its only member is %s' % name, volume(tar_bytes([raw])))
    harmless('bind: its only member is a file', volume(tar_bytes([member('./x', b'x')]), kind='bind'))
    harmless('bind: its only member is a folder', volume(tar_bytes([member('./x/')]), kind='bind'))
    harmless('archive: 1,500 folders deep', volume(nested(1500)))
    harmless('archive: attributes of 100 KB', volume(headers(pax('./a', SCHILY__xattr__user__x='y' * 100000))))
    harmless('archive: an attribute without a name', volume(headers(pax('./a', SCHILY__xattr__='y'))))
    harmless('archive: noise behind its end', volume(lambda data: data + bytes(range(256)) * 8))
    harmless('archive: nothing but its end', volume(bytes(1024)))


def record(key, value):
    """A PAX record; it begins with its own length."""
    length = len(key) + len(value) + 3
    while len(b'%d' % length) + len(key) + len(value) + 3 != length:
        length = len(b'%d' % length) + len(key) + len(value) + 3
    return b'%d %s=%s\n' % (length, key, value)


def pax_folder(path):
    info = tarfile.TarInfo('x')
    info.type, info.pax_headers = tarfile.DIRTYPE, {'path': path.decode()}
    return info.tobuf(tarfile.PAX_FORMAT)


def image(change):
    def wrapped(draft):
        made = Archive(('debian:12', ['base'], 'A=1'), ('lifeboat/web:0123', ['base', 'own'], 'A=2'))
        draft.files['image.tar'] = change(made) or made.raw()
    return wrapped


IMAGES = {
    'empty': lambda made: b'no archive',
    'without a list': lambda made: made.files.pop('manifest.json') and None,
    'a list nested without end': lambda made: made.files.update({'manifest.json': b'[' * 100000}),
    'a list of texts': lambda made: made.files.update({'manifest.json': b'["x"]'}),
    'an index that is a list': lambda made: made.files.update({'index.json': b'[]'}),
    'an index nested without end': lambda made: made.files.update({'index.json': b'[' * 100000}),
    'a link out of it': lambda made: tar_bytes([link('x/layer.tar', '/etc/passwd')]),
    'a list by a hard link': lambda made: made.raw()[:-10240] + headers(link('./manifest.json', 'index.json', tarfile.LNKTYPE)),
    'a device': lambda made: tar_bytes([member('x', kind=tarfile.CHRTYPE)]),
    'a configuration with surrogates': lambda made: made.files.update({'manifest.json': json.dumps(
        [{'Config': '\ud800', 'Layers': ['\udcff'], 'RepoTags': ESCAPES}]).encode()}),
    'layers that are not there': lambda made: made.change('manifest.json', lambda value: value[0].update(Layers=[ESCAPES])),
    'more images than anybody has': lambda made: made.change('manifest.json', lambda value: value.extend(value * 50)),
}

add_manifests()
add_components()
add_names()
add_configs()
add_files()
add_sums()
add_archives()
