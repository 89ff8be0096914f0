# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What crashes leave behind, done to the disks of real engines, one thing at a time.

For each case: every container that is not hurt reads exactly as before, the hurt one has the status and the code that
docs/codes.md explains, and nothing raises.
"""
import contextlib
import json
import os
import shutil

import pytest
import rescued

from ansible_collections.lifeboat.docker.plugins.module_utils.records.codes import CODES

SUBSETS = ['containers', 'layers', 'changes', 'images', 'volumes', 'orphans']


@pytest.fixture(scope='module')
def copies(tmp_path_factory):
    """copies(root): (a copy of the dead host that tests may damage, its facts while it is whole)."""
    made = {}
    with contextlib.ExitStack() as stack:
        def get(root):
            if root.kind not in made:
                target = os.path.join(root.scratch, 'damaged-copy')
                copy = root.copy(target)
                stack.callback(shutil.rmtree, target)
                made[root.kind] = (copy, gather(copy))
            return made[root.kind]
        yield get


def gather(root):
    return rescued.gather(root, gather_subset=SUBSETS, changes_limit=0)


class Hurt:
    """Damages files and puts them back."""

    def __init__(self, root, facts):
        self.root = root
        self.facts = facts
        self.undo = []

    def container(self, name):
        return next(item for item in self.facts['containers'] if item['name'] == name)

    def folder(self, name, *more):
        return os.path.join(self.root.data_root, 'containers', self.container(name)['id'], *more)

    def image_folder(self, *more):
        return os.path.join(self.root.data_root, 'image', 'overlay2', *more)

    def mount(self, name, *more):
        return self.image_folder('layerdb', 'mounts', self.container(name)['id'], *more)

    def layer(self, name, *more):
        """The overlay2 folder of a container's writable layer."""
        return os.path.join(os.path.dirname(self.container(name)['layers']['writable']), *more)

    def aside(self, path):
        """Take a file or folder away."""
        parked = os.path.join(self.root.scratch, 'parked-%d' % len(self.undo))
        os.rename(path, parked)

        def back():
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.unlink(path)
            os.rename(parked, path)
        self.undo.append(back)
        return parked

    def write(self, path, data):
        """Replace a file's content."""
        parked = self.aside(path)
        with open(path, 'wb') as out:
            out.write(data(open(parked, 'rb').read()) if callable(data) else data)

    def add(self, path, data=None):
        if data is None:
            os.mkdir(path)
            self.undo.append(lambda: shutil.rmtree(path))
        else:
            with open(path, 'wb') as out:
                out.write(data)
            self.undo.append(lambda: os.unlink(path))

    def empty_folder(self, path):
        self.aside(path)
        os.mkdir(path)

    def heal(self):
        for back in reversed(self.undo):
            back()


def edit(**changes):
    def change(raw):
        value = json.loads(raw)
        for path, new in changes.items():
            inner = value
            keys = path.split('__')
            for key in keys[:-1]:
                inner = inner[key]
            inner[keys[-1]] = new
        return json.dumps(value).encode()
    return change


def _without_sources(raw):
    value = json.loads(raw)
    for point in value['MountPoints'].values():
        if point.get('Type') == 'volume':
            point['Source'] = ''
    return json.dumps(value).encode()


def _top_layer(hurt):
    chain = hurt.facts_images[hurt.container(WEB)['image']['id']]['layers'][-1]['chain_id']
    return hurt.image_folder('layerdb', 'sha256', chain[7:])


def _rename_removing(hurt):
    path = _top_layer(hurt)
    os.rename(path, path + '-123456-removing')
    hurt.undo.append(lambda: os.rename(path + '-123456-removing', path))


WEB, DB = 'shop-web-1', 'shop-db-1'

# name: (damage, {container: (status, code)}, codes of the host, the hurt container's changes still equal docker diff)
COMMON = {
    'config empty': (lambda h: h.write(h.folder(WEB, 'config.v2.json'), b''), {WEB: ('partial', 'CONFIG_DAMAGED')}, (), True),
    'config cut': (lambda h: h.write(h.folder(WEB, 'config.v2.json'), lambda raw: raw[:len(raw) // 2]),
                   {WEB: ('partial', 'CONFIG_DAMAGED')}, (), True),
    'config of NUL bytes': (lambda h: h.write(h.folder(WEB, 'config.v2.json'), lambda raw: bytes(len(raw))),
                            {WEB: ('partial', 'CONFIG_DAMAGED')}, (), True),
    'config not UTF-8': (lambda h: h.write(h.folder(WEB, 'config.v2.json'), lambda raw: b'\xff\xfe\xfd' + raw[3:]),
                         {WEB: ('partial', 'CONFIG_DAMAGED')}, (), True),
    'config missing': (lambda h: h.aside(h.folder(WEB, 'config.v2.json')), {WEB: ('partial', 'CONFIG_DAMAGED')}, (), True),
    "another container's config": (lambda h: h.write(h.folder(WEB, 'config.v2.json'), open(
        h.folder(DB, 'config.v2.json'), 'rb').read()), {WEB: ('partial', 'CONFIG_MISMATCH')}, (), True),
    'hostconfig empty': (lambda h: h.write(h.folder(WEB, 'hostconfig.json'), b''),
                         {WEB: ('partial', 'HOSTCONFIG_DAMAGED')}, (), True),
    'hostconfig of NUL bytes': (lambda h: h.write(h.folder(WEB, 'hostconfig.json'), lambda raw: bytes(len(raw))),
                                {WEB: ('partial', 'HOSTCONFIG_DAMAGED')}, (), True),
    'both empty': (lambda h: (h.write(h.folder(WEB, 'config.v2.json'), b''), h.write(h.folder(WEB, 'hostconfig.json'), b'')),
                   {WEB: ('partial', 'HOSTCONFIG_DAMAGED')}, (), True),
    'newest config only in a temporary file': (lambda h: (h.add(h.folder(WEB, '.tmp-config.v2.json123456'), open(
        h.folder(WEB, 'config.v2.json'), 'rb').read()), h.write(h.folder(WEB, 'config.v2.json'), b'')),
        {WEB: ('complete', 'CONFIG_FROM_TEMP')}, (), True),
    'mount points null': (lambda h: h.write(h.folder(WEB, 'config.v2.json'), edit(MountPoints=None)), {WEB: (None, None)}, (),
                          True),
    'mount points without source': (lambda h: h.write(h.folder(WEB, 'config.v2.json'), _without_sources),
                                    {WEB: ('complete', None)}, (), True),
    'dead': (lambda h: h.write(h.folder(WEB, 'config.v2.json'), edit(State__Dead=True, State__Running=False)),
             {WEB: ('partial', 'REMOVAL_INTERRUPTED')}, (), True),
    'removal in progress': (lambda h: h.write(h.folder(WEB, 'config.v2.json'), edit(
        State__RemovalInProgress=True, State__Running=False)), {WEB: ('partial', 'REMOVAL_INTERRUPTED')}, (), True),
    'two of one name': (lambda h: h.write(h.folder(DB, 'config.v2.json'), edit(Name='/' + WEB)),
                        {WEB: ('complete', 'NAME_CONFLICT'), DB: ('complete', 'NAME_CONFLICT')}, ('NAME_CONFLICT',), True),
    'volume database cut': (lambda h: h.write(os.path.join(h.root.data_root, 'volumes', 'metadata.db'), lambda raw: raw[:5000]),
                            {}, ('METADATA_DB_DAMAGED',), True),
    'volume database of NUL bytes': (lambda h: h.write(os.path.join(h.root.data_root, 'volumes', 'metadata.db'),
                                                       lambda raw: bytes(len(raw))), {}, ('METADATA_DB_DAMAGED',), True),
    'network database gone': (lambda h: h.write(os.path.join(h.root.data_root, 'network', 'files', 'local-kv.db'), b''), {}, (),
                              True),
    'volume folder gone': (lambda h: h.aside(os.path.join(h.root.data_root, 'volumes', 'shop-db')),
                           {DB: ('partial', 'VOLUME_LOST')}, (), True),
    'volume options empty': (lambda h: h.add(os.path.join(h.root.data_root, 'volumes', 'shop-db', 'opts.json'), b''),
                             {DB: ('complete', 'VOLUME_OPTIONS_DAMAGED')}, (), True),
    'writable layer gone': (lambda h: h.aside(h.container(WEB)['layers']['writable']),
                            {WEB: ('partial', 'WRITABLE_LAYER_LOST')}, (), False),
}

GRAPHDRIVER = {
    'links folder empty': (lambda h: h.empty_folder(os.path.join(h.root.data_root, 'overlay2', 'l')), 'every', (), True),
    'links folder missing': (lambda h: h.aside(os.path.join(h.root.data_root, 'overlay2', 'l')), 'every', (), True),
    'link empty': (lambda h: h.write(os.path.join(os.path.dirname(h.container(WEB)['layers']['image'][0]), 'link'), b''), {
        WEB: ('complete', None)}, (), True),
    'lower empty': (lambda h: h.write(h.layer(WEB, 'lower'), b''), {WEB: ('complete', 'LAYER_LINKS_DAMAGED')}, (), True),
    'lower missing': (lambda h: h.aside(h.layer(WEB, 'lower')), {WEB: ('complete', 'LAYER_LINKS_DAMAGED')}, (), True),
    'lower with a bare l': (lambda h: h.write(h.layer(WEB, 'lower'), lambda raw: b'l:' + raw),
                            {WEB: ('complete', 'LAYER_LINKS_DAMAGED')}, (), True),
    'mounts entry empty': (lambda h: [h.write(h.mount(DB, name), b'') for name in ('mount-id', 'init-id', 'parent')],
                           {DB: ('partial', 'WRITABLE_LAYER_LIKELY')}, (), True),
    'mounts entry missing': (lambda h: h.aside(h.mount(DB)), {DB: ('partial', 'WRITABLE_LAYER_LIKELY')}, (), True),
    # of a container that was running, containerd still has the runtime spec with the layer's path: no guess
    'mounts entry missing, spec there': (lambda h: h.aside(h.mount(WEB)), {WEB: ('complete', 'LAYER_ORDER_FALLBACK')}, (), True),
    'mount-id empty': (lambda h: h.write(h.mount(WEB, 'mount-id'), b''), {WEB: ('complete', None)}, (), True),
    'parent empty': (lambda h: h.write(h.mount(WEB, 'parent'), b''), {WEB: ('complete', 'LAYER_ORDER_FALLBACK')}, (), True),
    'init-id missing': (lambda h: h.aside(h.mount(WEB, 'init-id')), {WEB: ('complete', None)}, (), True),
    'repositories garbage': (lambda h: h.write(h.image_folder('repositories.json'), b's{"x"'), {}, ('REFERENCES_DAMAGED',),
                             True),
    'image config missing': (lambda h: h.aside(h.image_folder('imagedb', 'content', 'sha256', h.container(WEB)['image']['id'][7:])),
                             {}, ('IMAGE_CONFIG_LOST',), True),
    'image config wrong': (lambda h: h.write(h.image_folder('imagedb', 'content', 'sha256', h.container(WEB)['image']['id'][7:]),
                                             lambda raw: raw + b' '), {}, ('IMAGE_CONFIG_LOST',), True),
    'layerdb entry emptied': (lambda h: h.empty_folder(_top_layer(h)), {}, ('LAYER_METADATA_DAMAGED', 'LAYER_ORDER_FALLBACK'), True),
    'stray empty layerdb entry': (lambda h: h.add(h.image_folder('layerdb', 'sha256', 'ab' * 32)), {}, ('LAYER_METADATA_DAMAGED',),
                                  True),
    'layerdb entry half removed': (_rename_removing, {}, ('LAYER_REMOVING',), True),
}


def _sharers(hurt, path):
    """Containers that have an image layer at PATH."""
    return {item['name']: ('partial', 'IMAGE_LAYER_LOST') for item in hurt.facts['containers']
            if path in item['layers']['image']}


def _layer_of(hurt):
    return hurt.container(WEB)['layers']['image'][1]


def _meta_db(hurt, damage):
    hurt.write(os.path.join(hurt.root.containerd_root, 'io.containerd.metadata.v1.bolt', 'meta.db'), damage)


def _snapshot_db(hurt, damage):
    hurt.write(os.path.join(hurt.root.containerd_root, 'io.containerd.snapshotter.v1.overlayfs', 'metadata.db'), damage)


def _blob(hurt, kind):
    """Path of the blob of WEB's image: its config."""
    import glob
    for path in glob.glob(os.path.join(hurt.root.containerd_root, 'io.containerd.content.v1.content', 'blobs', 'sha256', '*')):
        with open(path, 'rb') as found:
            raw = found.read(1 << 16)
        if raw.startswith(b'{') and json.loads(raw).get('mediaType', '').endswith(kind):
            yield path


# store: {name: (damage, containers hurt or a function of Hurt that gives them, codes, changes stay)}
IMAGE_LAYERS = {
    'image layer gone': (lambda h: h.aside(_layer_of(h)), lambda h: _sharers(h, _layer_of(h)), ('IMAGE_LAYER_LOST',), False),
    'image layer emptied': (lambda h: h.empty_folder(_layer_of(h)), lambda h: _sharers(h, _layer_of(h)),
                            ('IMAGE_LAYER_LOST',), False),
    'image layer is a link': (lambda h: (h.aside(_layer_of(h)), os.symlink('/', _layer_of(h))),
                              lambda h: _sharers(h, _layer_of(h)), ('IMAGE_LAYER_LOST',), False),
}
CONTAINERD = {
    'meta.db cut': (lambda h: _meta_db(h, lambda raw: raw[:9000]), 'every', ('METADATA_DB_DAMAGED',), True),
    'meta.db of NUL bytes': (lambda h: _meta_db(h, lambda raw: bytes(len(raw))), 'every', ('METADATA_DB_DAMAGED',), True),
    'meta.db empty': (lambda h: _meta_db(h, b''), 'every', ('METADATA_DB_DAMAGED',), True),
    'newest meta page torn': (lambda h: _meta_db(h, _torn_meta), 'any', (), False),
}
BLIND = {
    'metadata.db cut': lambda h: _snapshot_db(h, lambda raw: raw[:9000]),
    'metadata.db of NUL bytes': lambda h: _snapshot_db(h, lambda raw: bytes(len(raw))),
    'metadata.db gone': lambda h: h.aside(os.path.join(h.root.containerd_root, 'io.containerd.snapshotter.v1.overlayfs',
                                                       'metadata.db')),
    'both databases of NUL bytes': lambda h: (_snapshot_db(h, lambda raw: bytes(len(raw))),
                                              _meta_db(h, lambda raw: bytes(len(raw)))),
}


def _torn_meta(raw):
    """Overwrite the meta page of the newer transaction: the older commit must answer."""
    import struct
    sides = [(struct.unpack_from('<Q', raw, page * 4096 + 16 + 48)[0], page) for page in (0, 1)]
    page = max(sides)[1]
    return raw[:page * 4096] + bytes(80) + raw[page * 4096 + 80:]


def known_codes(facts):
    holders = [facts] + facts['containers'] + facts['images'] + facts['volumes']
    for item in [problem for holder in holders for problem in holder['problems']]:
        assert item['code'] in CODES
        assert item['message'].strip().endswith('.')
        yield item['code']


def check(copies, root, damage, hurt_ones, host_codes, same_changes):
    copy, whole = copies(root)
    hurt = Hurt(copy, whole)
    hurt.facts_images = {item['id']: item for item in whole['images']}
    try:
        damage(hurt)
        facts = gather(copy)
    finally:
        hurt.heal()
    before = {item['id']: item for item in whole['containers']}
    after = {item['id']: item for item in facts['containers']}
    assert set(before) == set(after), 'no container may vanish'
    codes = set(known_codes(facts))
    assert set(host_codes) <= codes
    if callable(hurt_ones):
        hurt_ones = hurt_ones(hurt)
        assert hurt_ones
    names = {item['id']: item['name'] for item in whole['containers']}
    every = hurt_ones == 'every'
    for ident, item in after.items():
        expected = before[ident]
        name = names[ident]
        if hurt_ones == 'any':
            continue
        if every:
            assert item['status'] == expected['status'], name
            assert item['changes'] == expected['changes'], name
            assert item['layers']['image'] == expected['layers']['image']
            continue
        if name not in hurt_ones:
            if hurt_ones:
                assert item == expected, 'a container that is not hurt reads differently: %s' % name
            else:
                assert item['changes'] == expected['changes'], name
            continue
        status, code = hurt_ones[name]
        if status is not None:
            assert item['status'] == status, (name, item['problems'])
        if code is not None:
            assert code in [problem['code'] for problem in item['problems']], item['problems']
        if same_changes:
            assert item['changes'] == expected['changes'], name
            assert item['layers'] == expected['layers'], name
    again = gather(copy)
    assert again == whole, 'the test did not put everything back'
    return facts


@pytest.mark.parametrize('case', sorted(COMMON))
def test_damage(copies, dead_root, case):
    check(copies, dead_root, *COMMON[case])


@pytest.mark.parametrize('case', sorted(GRAPHDRIVER))
def test_damage_of_overlay2(copies, dead_root_of, case):
    check(copies, dead_root_of('debian-overlay2'), *GRAPHDRIVER[case])


@pytest.mark.parametrize('case', sorted(IMAGE_LAYERS))
def test_damage_of_image_layers(copies, dead_root, case):
    check(copies, dead_root, *IMAGE_LAYERS[case])


@pytest.mark.parametrize('case', sorted(CONTAINERD))
def test_damage_of_containerd(copies, dead_root_of, case):
    check(copies, dead_root_of('newer-containerd'), *CONTAINERD[case])


@pytest.mark.parametrize('case', sorted(BLIND))
def test_without_the_snapshotters_database(copies, dead_root_of, case, disk_dir):
    """Nothing tells which snapshot is whose: no container claims one, every one of them is offered as an orphan."""
    copy, whole = copies(dead_root_of('newer-containerd'))
    hurt = Hurt(copy, whole)
    try:
        BLIND[case](hurt)
        facts = gather(copy)
        codes = set(known_codes(facts))
        assert {'METADATA_DB_DAMAGED', 'WRITABLE_LAYER_UNKNOWN'} <= codes
        assert len(facts['containers']) == len(whole['containers'])
        assert all(item['status'] in ('partial', 'lost') for item in facts['containers'])
        offered = {item['path'] for item in facts['orphans']['writable_layers']}
        assert {item['layers']['writable'] for item in whole['containers']} <= offered
        result = rescued.rescue(copy, os.path.join(disk_dir, 'out'), orphans=True)
        assert sum(1 for item in result['bundles'] if item['kind'] == 'orphan') == len(offered)
        volumes = [item for bundle in result['bundles'] for item in bundle['components'] if item['kind'] == 'volume']
        assert volumes and all(item['status'] == 'complete' for item in volumes)
    finally:
        hurt.heal()
