# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Break the data root of a real engine, repair it, start the same engine on it, and compare with an unbroken one.

The control is the same dead root with nothing but the guard: what a start deletes or starts is held in both.
"""
import contextlib
import hashlib
import json
import os
import shutil
import tarfile

import pytest
from rig import dead, engine as engines, fixtures, listing
from rig.common import RigError

from ansible_collections.lifeboat.docker.plugins.module_utils.repair import run

# each takes about half a minute; a soak takes the newer engine too
KINDS = fixtures.wanted(('debian-overlay2', 'newer-overlay2') if os.environ.get('LIFEBOAT_SOAK') else ('debian-overlay2',))
WEB, DB, QUIET, CREATED = 'shop-web-1', 'shop-db-1', 'shop-quiet', 'shop-created'
# what a record that was made anew has lost for good, or says in other words
LOST_OF_CONFIG = {'Created', 'State', 'Config', 'NetworkSettings', 'Mounts', 'RestartCount', 'AppArmorProfile', 'Name', 'LogPath', 'SizeRw'}
LOST_OF_HOSTCONFIG = {'HostConfig', 'Mounts'}


class Broken(object):
    """A dead root that may be broken: paths in it, by the engine's own words."""

    def __init__(self, data_root, truth):
        self.path = data_root
        self.truth = truth
        self.image = os.path.join(data_root, 'image/overlay2')
        self.overlay = os.path.join(data_root, 'overlay2')

    def id(self, name):
        return self.truth['containers'][name]['inspect']['Id']

    def folder(self, name, *more):
        return os.path.join(self.path, 'containers', self.id(name), *more)

    def mount(self, name, *more):
        return os.path.join(self.image, 'layerdb/mounts', self.id(name), *more)

    def upper(self, name, *more):
        with open(self.mount(name, 'mount-id'), encoding='ascii') as stream:
            return os.path.join(self.overlay, stream.read(), *more)

    def chain(self, name, up):
        """layerdb folder of the layer UP below the top one of a container's image."""
        with open(self.mount(name, 'parent'), encoding='ascii') as stream:
            here = os.path.join(self.image, 'layerdb/sha256', stream.read()[7:])
        for dummy in range(up):
            with open(os.path.join(here, 'parent'), encoding='ascii') as stream:
                here = os.path.join(self.image, 'layerdb/sha256', stream.read()[7:])
        return here


def write(path, data=b''):
    with open(path, 'wb') as out:
        out.write(data)


def behead(path):
    """Both meta pages are gone; the pages with data are there."""
    with open(path, 'r+b') as stream:
        stream.write(bytes(8192))


def records(broken):
    """Links, layer records, indexes, databases, and the record of a container that ran."""
    shutil.rmtree(os.path.join(broken.overlay, 'l'))
    write(os.path.join(broken.chain(WEB, 1), 'cache-id'))
    write(os.path.join(broken.chain(WEB, 0), 'diff'))
    write(broken.upper(DB, 'lower'))
    write(broken.mount(DB, 'parent'))
    path = os.path.join(broken.image, 'repositories.json')
    write(path, bytes(os.path.getsize(path)))
    behead(os.path.join(broken.path, 'volumes/metadata.db'))
    behead(os.path.join(broken.path, 'network/files/local-kv.db'))
    write(os.path.join(broken.path, 'buildkit/cache.db'), b'garbage' * 3000)
    write(broken.folder(WEB, 'config.v2.json'))
    return {WEB: LOST_OF_CONFIG}


def layers(broken):
    """A removal that was begun, mount records, an init layer, hostconfig, containerd's own database."""
    os.rename(broken.chain(WEB, 0), broken.chain(WEB, 0) + '-424242-removing')
    os.unlink(broken.upper(WEB, 'lower'))
    shutil.rmtree(broken.upper(QUIET) + '-init')
    write(broken.mount(QUIET, 'init-id'))
    shutil.rmtree(broken.upper(CREATED, 'work'))
    write(broken.mount(DB, 'mount-id'))
    write(broken.folder(DB, 'hostconfig.json'), bytes(100))
    write(os.path.join(broken.path, 'containerd/daemon/io.containerd.metadata.v1.bolt/meta.db'), b'garbage' * 3000)
    return {DB: LOST_OF_HOSTCONFIG}


@contextlib.contextmanager
def engine_on(root):
    """An engine that is not started, whose disk has copies of the data of ROOT (DeadRoot)."""
    with engines.Engine(root.kind) as engine:
        for name in ('var/lib', 'srv'):
            target = os.path.join(engine.host_root, name)
            shutil.rmtree(target)
            dead.copy_tree(os.path.join(root.host_root, name), target)
        yield engine


def said(engine):
    """What the engine tells of all it has; names of containers are not trusted for anything."""
    found = {'containers': {}, 'diff': {}, 'export': {}}
    for row in engine.api('GET', '/containers/json', all='true'):
        ident = row['Id']
        inspect = engine.api('GET', '/containers/%s/json' % ident)
        found['containers'][ident] = {key: inspect[key] for key in inspect if key not in ('ResolvConfPath', 'State')}
        found['containers'][ident]['Mounts'] = sorted(inspect['Mounts'], key=lambda one: one['Destination'])   # else in no order
        changes = engine.api('GET', '/containers/%s/changes' % ident) or []
        found['diff'][ident] = sorted((one['Kind'], one['Path']) for one in changes)
        found['export'][ident] = exported(engine, ident)
    found['images'] = {row['Id']: sorted(row['RepoTags'] or []) for row in engine.api('GET', '/images/json', all='true')}
    volumes = engine.api('GET', '/volumes')['Volumes'] or []
    found['volumes'] = {one['Name']: (one['Labels'], one['Options']) for one in volumes}
    found['networks'] = {one['Name']: (one['Id'], one['Driver'], json.dumps(one['IPAM'], sort_keys=True), one['Labels'])
                         for one in engine.api('GET', '/networks')}
    return found


def exported(engine, ident):
    """Digest of names, kinds, sizes, owners, modes and contents of docker export."""
    path = os.path.join(engine.scratch, 'export.tar')
    engine.download(path, '/containers/%s/export' % ident)
    digest = hashlib.sha256()
    with tarfile.open(path) as tar:
        for item in sorted(tar, key=lambda one: one.name):
            content = hashlib.sha256(tar.extractfile(item).read()).hexdigest() if item.isreg() else item.linkname
            digest.update(repr((item.name, item.type, item.mode, item.uid, item.gid, item.size, content)).encode('utf-8', 'backslashreplace'))
    os.unlink(path)
    return digest.hexdigest()


def state(engine):
    """Everything below the data root but how files lie on their disk: holes of a file are written as zeros when it is put back."""
    return [{key: value for key, value in item.items() if key != 'allocated'} for item in listing.listing(engine.data_root)]


def started(engine, names):
    """Those of NAMES (IDs) that the engine can start; they are stopped again."""
    found = set()
    for ident in names:
        try:
            engine.docker('start', ident)
            found.add(ident)
        except RigError:
            continue
    return found


def repair(engine, state=run.REPAIRED, **more):
    return run.run(run.Request(state=state, host_root=os.fsencode(engine.host_root), **more))


@pytest.fixture(scope='module')
def control(dead_root_of):
    """control(kind): (what the engine says of the guarded root, containers that it can start)."""
    made = {}

    def get(kind):
        if kind not in made:
            with engine_on(dead_root_of(kind)) as engine:
                result = repair(engine, run.GUARDED, verify='offline')
                assert result['changed'] and repair(engine, run.PLANNED)['plan'] == []
                engine.start()
                names = [row['Id'] for row in engine.api('GET', '/containers/json', all='true')]
                made[kind] = said(engine), started(engine, names), result['verified']['containers']
        return made[kind]
    return get


def compare(now, before, lost, broken):
    allowed = {broken.id(name): keys for name, keys in lost.items()}
    for what in ('diff', 'export', 'volumes', 'networks'):
        assert now[what] == before[what], what
    assert set(now['images']) == set(before['images'])
    for ident, names in now['images'].items():
        assert set(names) - {'<none>:<none>'} <= set(before['images'][ident]), (ident, names, before['images'][ident])
    assert set(now['containers']) == set(before['containers'])
    for ident, inspect in before['containers'].items():
        different = {key for key in inspect if now['containers'][ident].get(key) != inspect[key]}
        assert different <= allowed.get(ident, set()), (ident, different)


def lost_names(now, before, lost, broken):
    """Names that images lost, and that a container with a record of its own was made from: the plan has to say each. Others are in no record."""
    whole = set(before['containers']) - {broken.id(name) for name in lost}
    made = {before['containers'][ident]['Config']['Image'] for ident in whole}
    gone = {name for ident, names in before['images'].items() for name in set(names) - set(now['images'][ident])}
    return gone & made


@pytest.mark.parametrize('hurt', [records, layers], ids=['records', 'layers'])
@pytest.mark.parametrize('kind', KINDS)
def test_the_engine_starts_again(dead_root_of, control, kind, hurt):
    before, startable, statuses = control(kind)
    with engine_on(dead_root_of(kind)) as engine:
        broken = Broken(engine.data_root, dead_root_of(kind).truth)
        lost = hurt(broken)
        hurt_state = state(engine)
        names = {broken.id(name)[:12]: name for name in lost}
        result = repair(engine, names=names, verify='offline')
        # a name that was moved from one image to another, while a container of each was made from it: which has it is not known
        assert {one['code'] for one in result['unresolved']} <= {'REPOSITORIES'}, result['unresolved']
        assert result['verified']['containers'] == statuses
        left = repair(engine, run.PLANNED)['plan']
        assert [(step['code'], step['certainty'], step['selected']) for step in left] == [('REPOSITORIES', 'likely', False)] * (hurt is records), left
        undone = repair(engine, run.REVERTED)
        assert undone['unresolved'] == []
        assert state(engine) == hurt_state
        repair(engine, names=names)
        engine.start()
        now = said(engine)
        compare(now, before, lost, broken)
        told = ' '.join(step['why'] for step in left) + ' '.join(one['why'] for one in result['unresolved'])
        assert all(name in told for name in lost_names(now, before, lost, broken)), told
        assert started(engine, sorted(startable)) == startable


def test_without_the_repair_it_does_not_start(dead_root_of):
    """The breaks are real ones: the same engine ends, or hides containers."""
    kind = 'debian-overlay2'
    with engine_on(dead_root_of(kind)) as engine:
        records(Broken(engine.data_root, dead_root_of(kind).truth))
        with pytest.raises(engines.NotHere):
            engine.start()
