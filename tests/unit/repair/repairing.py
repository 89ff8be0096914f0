"""Data roots that are broken in known ways, and what a repair made of them."""
import hashlib
import json
import os
import shutil
import stat

import deadroot

from ansible_collections.lifeboat.docker.plugins.module_utils.repair import run

ROOT = 'var/lib/docker'


class Dead(object):
    """A data root of tests/fixtures/deadroot.py below the folder TMP."""

    def __init__(self, tmp, **options):
        self.top = str(tmp)
        self.path = os.path.join(self.top, ROOT)
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.expected = deadroot.build(self.path, host_root=self.top, **options)
        self.image = os.path.join(self.path, 'image/overlay2')
        self.overlay = os.path.join(self.path, 'overlay2')
        self.journal = self.path + '.lifeboat-repair'

    def run(self, state=run.REPAIRED, **more):
        return run.run(run.Request(state=state, host_root=os.fsencode(self.top), data_root=b'/' + ROOT.encode(), **more))

    def plan(self, **more):
        return self.run(run.PLANNED, **more)['plan']

    def container(self, name):
        return self.expected.container(name)

    def folder(self, name, *more):
        return os.path.join(self.path, 'containers', self.container(name).id, *more)

    def mount(self, name, *more):
        return os.path.join(self.image, 'layerdb/mounts', self.container(name).id, *more)

    def layer(self, number, *more):
        return os.path.join(self.image, 'layerdb/sha256', self.expected.images[0].layers[number].chain_id[7:], *more)

    def cache(self, number, *more):
        return os.path.join(self.overlay, self.expected.images[0].layers[number].cache_id, *more)

    def upper(self, name, *more):
        return os.path.join(self.overlay, self.container(name).mount_id, *more)


def snapshot(top):
    """{path: (mode, owner, times, what)} of everything below TOP, folders too; not the times of TOP itself."""
    found = {}
    for folder, names, files in os.walk(top):
        for name in names + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            what = os.readlink(path) if stat.S_ISLNK(st.st_mode) else st.st_rdev
            if stat.S_ISREG(st.st_mode):
                with open(path, 'rb') as stream:
                    what = hashlib.sha256(stream.read()).hexdigest()
            xattrs = {one: os.getxattr(path, one, follow_symlinks=False) for one in os.listxattr(path, follow_symlinks=False)}
            found[os.path.relpath(path, top)] = (st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns, what, xattrs)
    return found


def contents(top):
    """The same without times."""
    return {path: one[:3] + one[4:] for path, one in snapshot(top).items()}


def codes(plan):
    return sorted({step['code'] for step in plan})


def empty(path):
    with open(path, 'wb'):
        pass


def put(path, data):
    with open(path, 'wb') as out:
        out.write(data)


def nul(path):
    put(path, b'\0' * os.path.getsize(path))


def load(path):
    with open(path, encoding='utf-8') as stream:
        return json.load(stream)


def edit(path, **changes):
    value = dict(load(path), **changes)
    put(path, json.dumps(value).encode())


def clear(path):
    """Empty a folder, or remove it if it is there."""
    shutil.rmtree(path)


# name: what breaks, on a Dead with five containers. Each is repaired by `certain` and `rebuilt` steps alone.
BREAKS = {
    'config empty': lambda dead: empty(dead.folder('web', 'config.v2.json')),
    'config NUL': lambda dead: nul(dead.folder('web', 'config.v2.json')),
    'config gone': lambda dead: os.unlink(dead.folder('web', 'config.v2.json')),
    'hostconfig empty': lambda dead: empty(dead.folder('db', 'hostconfig.json')),
    'hostconfig gone': lambda dead: os.unlink(dead.folder('job', 'hostconfig.json')),
    'mount-id empty': lambda dead: empty(dead.mount('web', 'mount-id')),
    'init-id gone': lambda dead: os.unlink(dead.mount('db', 'init-id')),
    'mount parent empty': lambda dead: empty(dead.mount('web', 'parent')),
    'cache-id empty': lambda dead: empty(dead.layer(1, 'cache-id')),
    'diff empty': lambda dead: empty(dead.layer(0, 'diff')),
    'parent gone': lambda dead: os.unlink(dead.layer(2, 'parent')),
    'size empty': lambda dead: empty(dead.layer(1, 'size')),
    'layer record gone': lambda dead: clear(dead.layer(1)),
    'layer removing': lambda dead: os.rename(dead.layer(2), dead.layer(2) + '-123456-removing'),
    'links gone': lambda dead: clear(os.path.join(dead.overlay, 'l')),
    'link became a file': lambda dead: _file_for_link(dead),     # pylint: disable=unnecessary-lambda
    'link to itself': lambda dead: _self_link(dead),     # pylint: disable=unnecessary-lambda
    'link file empty': lambda dead: empty(dead.cache(1, 'link')),
    'lower of container empty': lambda dead: empty(dead.upper('web', 'lower')),
    'lower of container gone': lambda dead: os.unlink(dead.upper('db', 'lower')),
    'lower of layer empty': lambda dead: empty(dead.cache(2, 'lower')),
    'work gone': lambda dead: shutil.rmtree(dead.upper('job', 'work')),
    'init layer gone': lambda dead: shutil.rmtree(dead.upper('job') + '-init'),
    'repositories empty': lambda dead: empty(os.path.join(dead.image, 'repositories.json')),
    'repositories NUL': lambda dead: nul(os.path.join(dead.image, 'repositories.json')),
    'volumes db garbage': lambda dead: put(os.path.join(dead.path, 'volumes/metadata.db'), b'garbage' * 3000),
    'volumes db gone': lambda dead: os.unlink(os.path.join(dead.path, 'volumes/metadata.db')),
    'volumes db without head': lambda dead: _behead(os.path.join(dead.path, 'volumes/metadata.db')),
    'network db garbage': lambda dead: put(os.path.join(dead.path, 'network/files/local-kv.db'), b'garbage' * 3000),
    'buildkit garbage': lambda dead: put(os.path.join(dead.path, 'buildkit/cache.db'), b'garbage' * 3000),
    'containerd garbage': lambda dead: _containerd(dead),     # pylint: disable=unnecessary-lambda
}


def _a_link(dead):
    return os.path.join(dead.overlay, 'l', load_text(dead.cache(2, 'link')))


def load_text(path):
    with open(path, encoding='ascii') as stream:
        return stream.read()


def _file_for_link(dead):
    path = os.path.join(dead.overlay, 'l', sorted(os.listdir(os.path.join(dead.overlay, 'l')))[0])
    os.unlink(path)
    put(path, b'not a link')


def _self_link(dead):
    path = os.path.join(dead.overlay, 'l', sorted(os.listdir(os.path.join(dead.overlay, 'l')))[-1])
    os.unlink(path)
    os.symlink(os.path.basename(path), path)


def _behead(path):
    with open(path, 'r+b') as stream:
        stream.write(b'\0' * 8192)


def _containerd(dead):
    folder = os.path.join(dead.path, 'containerd/daemon/io.containerd.metadata.v1.bolt')
    os.makedirs(folder)
    put(os.path.join(folder, 'meta.db'), b'garbage' * 3000)
