"""What the engine itself says of all that it has, written down while it still can.

Shape of `truth.json` (paths are relative to the scratch folder that holds it):

- kind, version (answer of /version), info (answer of /info), secret (a value that must never be seen)
- places: host_root, data_root, containerd_root (or null)
- commands: {command line: its standard output as text} of `docker ps -a -s --no-trunc`, `docker images ...`, ...
- containers: {name: {
    inspect: the object of `docker inspect --size`, ps: the row of `docker ps -a -s --no-trunc` as a dict,
    changes: [{Path, Kind}] of the API behind `docker diff` (Kind 0 changed, 1 added, 2 deleted; a byte that is not
             UTF-8 reads U+FFFD, see :func:`go_text`),
    diff: file with the output of `docker diff`,
    cp: {path in the container: tar of `docker cp NAME:PATH -`} of some (COPIED),
    export: tar of `docker export`, stdout, stderr: files with `docker logs --timestamps` (or null),
    logs_error: why there are no logs, or null,
    tree: file with the listing (listing.py) of the merged view of a *running* container without its mounts, else null}}
- images: [objects of `docker image inspect`] of all images, image_rows: [rows of `docker images --digests`],
  image_rows_all: the same with --all (the builds' intermediate images too),
  history: {image id: [answer of /images/ID/history]}, save: one tar of `docker save` of all tagged images,
  save_dangling: the same for the untagged ones, or null
- volumes: {name: {inspect, tree: file with the listing of its _data as the dead disk has it}}
- binds: {host path as the engine knows it: file with its listing (of a file: a list of that one) or null}
- networks: [objects of `docker network inspect`]
"""
import json
import os
import urllib.parse

from . import listing, procs, scenario
from .common import RigError

# (container, path): files of the layers, the engine's own files among them, a volume
COPIED = (('shop-web-1', '/srv/wild'), ('shop-web-1', '/etc'), ('shop-db-1', '/data'))
KINDS_OF_CHANGE = {0: 'C', 1: 'A', 2: 'D'}


def go_text(name):
    """How Go's JSON writes a name (bytes) that is not UTF-8: each wrong byte becomes U+FFFD."""
    out = []
    while name:
        try:
            out.append(name.decode('utf-8'))
            break
        except UnicodeDecodeError as why:
            out.append(name[:why.start].decode('utf-8') + '\ufffd')
            name = name[why.start + 1:]
    return ''.join(out)


def _rows(engine, *args):
    out = engine.docker(*args, '--no-trunc', '--format', '{{json .}}').decode('utf-8')
    return [json.loads(line) for line in out.splitlines() if line.strip()]


class _Writer:
    """Files beside truth.json."""

    def __init__(self, scratch):
        self.scratch = scratch
        os.makedirs(os.path.join(scratch, 'truth'), exist_ok=True)

    def place(self, *parts):
        """(relative name, absolute path) of a new file."""
        name = os.path.join('truth', *parts)
        os.makedirs(os.path.dirname(os.path.join(self.scratch, name)), exist_ok=True)
        return name, os.path.join(self.scratch, name)

    def data(self, data, *parts):
        """Write bytes, return the relative name."""
        name, path = self.place(*parts)
        with open(path, 'wb') as handle:
            handle.write(data)
        return name

    def json(self, value, *parts):
        """Write JSON, return the relative name."""
        return self.data(json.dumps(value).encode('ascii'), *parts)


def record(engine):
    """Ask the engine for everything and write truth.json; returns its contents."""
    out = _Writer(engine.scratch)
    truth = {'kind': engine.kind.name, 'version': engine.version, 'info': engine.api('GET', '/info'),
             'secret': scenario.SECRET, 'commands': {}}
    for line in ('ps -a -s --no-trunc', 'images --all --digests --no-trunc', 'images --digests --no-trunc', 'volume ls',
                 'volume ls -q', 'network ls --no-trunc', 'system df -v'):
        truth['commands']['docker ' + line] = engine.docker(*line.split()).decode('utf-8')
    truth['containers'] = {row['Names']: _container(engine, out, row) for row in _rows(engine, 'ps', '-a', '-s')}
    _images(engine, out, truth)
    names = engine.docker('volume', 'ls', '-q').decode().split()
    truth['volumes'] = {item['Name']: {'inspect': item, 'tree': None}
                        for item in json.loads(engine.docker('volume', 'inspect', *names).decode())}
    networks = engine.docker('network', 'ls', '-q', '--no-trunc').decode().split()
    truth['networks'] = json.loads(engine.docker('network', 'inspect', *networks).decode())
    return truth


def record_disk(engine, truth):
    """What only the disk tells, after the death (nothing is mounted over anything any more); writes truth.json."""
    out = _Writer(engine.scratch)
    for name, volume in truth['volumes'].items():
        folder = os.path.join(engine.data_root, 'volumes', name, '_data')
        volume['tree'] = out.json(listing.listing(folder), 'volumes', name + '.json')
    truth['binds'] = {}
    for container in truth['containers'].values():
        for mount in container['inspect']['Mounts']:
            source = mount['Source']
            if mount['Type'] != 'bind' or source in truth['binds']:
                continue
            path = engine.outside(source)
            if not os.path.lexists(path):
                truth['binds'][source] = None
                continue
            if os.path.isdir(path):
                tree = listing.listing(path)
            else:
                tree = listing.listing(os.path.dirname(path), only=os.fsencode(os.path.basename(path)))
            truth['binds'][source] = out.json(tree, 'binds', '%02d.json' % len(truth['binds']))
    truth['places'] = {name: path and os.path.relpath(path, engine.scratch) for name, path in (
        ('host_root', engine.host_root), ('data_root', engine.data_root), ('containerd_root', engine.containerd_root))}
    with open(os.path.join(engine.scratch, 'truth.json'), 'w', encoding='ascii') as handle:
        json.dump(truth, handle, indent=1)
    return truth


def _container(engine, out, row):
    name, ident = row['Names'], row['ID']
    inspect = engine.api('GET', '/containers/%s/json' % ident, size='true')
    found = {'ps': row, 'inspect': inspect, 'changes': engine.api('GET', '/containers/%s/changes' % ident) or [],
             'stdout': None, 'stderr': None, 'logs_error': None, 'tree': None}
    found['diff'] = out.data(engine.docker('diff', ident), 'diff', name + '.txt')
    found['export'], path = out.place('export', name + '.tar')
    engine.download(path, '/containers/%s/export' % ident)
    found['cp'] = {}
    for number, (copied, inside) in enumerate(COPIED):
        if copied == name:
            try:
                found['cp'][inside] = out.data(engine.docker('cp', '%s:%s' % (name, inside), '-'), 'cp', '%s-%d.tar' % (name, number))
            except RigError:            # not in every scenario
                continue
    try:
        stdout, stderr = engine.docker_both('logs', '--timestamps', ident)
        found['stdout'] = out.data(stdout, 'logs', name + '.stdout')
        found['stderr'] = out.data(stderr, 'logs', name + '.stderr')
    except RigError as why:
        found['logs_error'] = str(why)
    if inspect['State']['Running']:
        pid = inspect['State']['Pid']
        skip = [point.lstrip(b'/') for point in procs.mounts_below('/', '/proc/%d/mountinfo' % pid)]
        found['tree'] = out.json(listing.listing('/proc/%d/root' % pid, skip), 'merged', name + '.json')
    return found


def _images(engine, out, truth):
    rows = _rows(engine, 'images', '--all', '--digests')
    truth['image_rows'], truth['image_rows_all'] = _rows(engine, 'images', '--digests'), rows
    idents = sorted({row['ID'] for row in rows})
    truth['images'] = json.loads(engine.docker('image', 'inspect', *idents).decode())
    truth['history'] = {ident: engine.api('GET', '/images/%s/history' % ident) for ident in idents}
    tags = sorted({tag for image in truth['images'] for tag in image['RepoTags'] or ()})
    truth['save'], path = out.place('images.tar')
    engine.download(path, '/images/get?' + urllib.parse.urlencode([('names', tag) for tag in tags]))
    dangling = [image['Id'] for image in truth['images'] if not image['RepoTags']]
    truth['save_dangling'] = None
    if dangling:
        truth['save_dangling'], path = out.place('images-dangling.tar')
        engine.download(path, '/images/get?' + urllib.parse.urlencode([('names', ident) for ident in dangling]))
