"""What crashes leave behind, done to one record of Docker at a time: the cases of test_damage.py."""
import glob
import json
import os
import struct

from hurt import Hurt
from subject import Damage


def folder(hurt, role, *more):
    """Docker's folder of a container."""
    return os.path.join(hurt.subject.data_root, 'containers', hurt.container(role)['id'], *more)


def image_folder(hurt, *more):
    """Docker's database of images and layers."""
    return os.path.join(hurt.subject.data_root, 'image', 'overlay2', *more)


def mount(hurt, role, *more):
    """The record that says which writable layer is a container's."""
    return image_folder(hurt, 'layerdb', 'mounts', hurt.container(role)['id'], *more)


def volume(hurt, role, *more):
    """The folder of a container's named volume."""
    name = next(item['name'] for item in hurt.container(role)['mounts'] if item['type'] == 'volume' and not item['anonymous'])
    return os.path.join(hurt.subject.data_root, 'volumes', name, *more)


def layer(hurt, role, *more):
    """The overlay2 folder of a container's writable layer."""
    return os.path.join(os.path.dirname(hurt.container(role)['layers']['writable']), *more)


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
    return image_folder(hurt, 'layerdb', 'sha256', chain[7:])


def _rename_removing(hurt):
    path = _top_layer(hurt)
    os.rename(path, path + '-123456-removing')
    hurt.undo.append(lambda: os.rename(path + '-123456-removing', path))


# roles, see subject.Subject.ROLES
WEB, DB = 'web', 'db'
GRAPH = ('debian-overlay2', 'built-overlay2')
STORE = ('newer-containerd', 'built-containerd')
MAIN = ('newer-overlay2', 'newer-containerd-packaged') + GRAPH + STORE

# name: (damage, {container: (status, code)}, codes of the host, the hurt container's changes still equal docker diff)
COMMON = {
    'config empty': (lambda h: h.write(folder(h, WEB, 'config.v2.json'), b''), {WEB: ('partial', 'CONFIG_DAMAGED')}, (), True),
    'config cut': (lambda h: h.write(folder(h, WEB, 'config.v2.json'), lambda raw: raw[:len(raw) // 2]),
                   {WEB: ('partial', 'CONFIG_DAMAGED')}, (), True),
    'config of NUL bytes': (lambda h: h.write(folder(h, WEB, 'config.v2.json'), lambda raw: bytes(len(raw))),
                            {WEB: ('partial', 'CONFIG_DAMAGED')}, (), True),
    'config not UTF-8': (lambda h: h.write(folder(h, WEB, 'config.v2.json'), lambda raw: b'\xff\xfe\xfd' + raw[3:]),
                         {WEB: ('partial', 'CONFIG_DAMAGED')}, (), True),
    'config missing': (lambda h: h.aside(folder(h, WEB, 'config.v2.json')), {WEB: ('partial', 'CONFIG_DAMAGED')}, (), True),
    "another container's config": (lambda h: h.write(folder(h, WEB, 'config.v2.json'), open(
        folder(h, DB, 'config.v2.json'), 'rb').read()), {WEB: ('partial', 'CONFIG_MISMATCH')}, (), True),
    'hostconfig empty': (lambda h: h.write(folder(h, WEB, 'hostconfig.json'), b''),
                         {WEB: ('partial', 'HOSTCONFIG_DAMAGED')}, (), True),
    'hostconfig of NUL bytes': (lambda h: h.write(folder(h, WEB, 'hostconfig.json'), lambda raw: bytes(len(raw))),
                                {WEB: ('partial', 'HOSTCONFIG_DAMAGED')}, (), True),
    'both empty': (lambda h: (h.write(folder(h, WEB, 'config.v2.json'), b''), h.write(folder(h, WEB, 'hostconfig.json'), b'')),
                   {WEB: ('partial', 'HOSTCONFIG_DAMAGED')}, (), True),
    'newest config only in a temporary file': (lambda h: (h.add(folder(h, WEB, '.tmp-config.v2.json123456'), open(
        folder(h, WEB, 'config.v2.json'), 'rb').read()), h.write(folder(h, WEB, 'config.v2.json'), b'')),
        {WEB: ('complete', 'CONFIG_FROM_TEMP')}, (), True),
    'mount points null': (lambda h: h.write(folder(h, WEB, 'config.v2.json'), edit(MountPoints=None)), {WEB: (None, None)}, (),
                          True),
    'mount points without source': (lambda h: h.write(folder(h, WEB, 'config.v2.json'), _without_sources),
                                    {WEB: ('complete', None)}, (), True),
    'dead': (lambda h: h.write(folder(h, WEB, 'config.v2.json'), edit(State__Dead=True, State__Running=False)),
             {WEB: ('partial', 'REMOVAL_INTERRUPTED')}, (), True),
    'removal in progress': (lambda h: h.write(folder(h, WEB, 'config.v2.json'), edit(
        State__RemovalInProgress=True, State__Running=False)), {WEB: ('partial', 'REMOVAL_INTERRUPTED')}, (), True),
    'two of one name': (lambda h: h.write(folder(h, DB, 'config.v2.json'), edit(Name='/' + h.subject.ROLES[WEB])),
                        {WEB: ('complete', 'NAME_CONFLICT'), DB: ('complete', 'NAME_CONFLICT')}, ('NAME_CONFLICT',), True),
    'volume database cut': (lambda h: h.write(os.path.join(h.subject.data_root, 'volumes', 'metadata.db'), lambda raw: raw[:5000]),
                            {}, ('METADATA_DB_DAMAGED',), True),
    'volume database of NUL bytes': (lambda h: h.write(os.path.join(h.subject.data_root, 'volumes', 'metadata.db'),
                                                       lambda raw: bytes(len(raw))), {}, ('METADATA_DB_DAMAGED',), True),
    'network database gone': (lambda h: h.write(os.path.join(h.subject.data_root, 'network', 'files', 'local-kv.db'), b''), {}, (),
                              True),
    'volume folder gone': (lambda h: h.aside(volume(h, DB)),
                           {DB: ('partial', 'VOLUME_LOST')}, (), True),
    'volume options empty': (lambda h: h.add(volume(h, DB, 'opts.json'), b''),
                             {DB: ('complete', 'VOLUME_OPTIONS_DAMAGED')}, (), True),
    'writable layer gone': (lambda h: h.aside(h.container(WEB)['layers']['writable']),
                            {WEB: ('partial', 'WRITABLE_LAYER_LOST')}, (), False),
}

GRAPHDRIVER = {
    'links folder empty': (lambda h: h.empty_folder(os.path.join(h.subject.data_root, 'overlay2', 'l')), 'every', (), True),
    'links folder missing': (lambda h: h.aside(os.path.join(h.subject.data_root, 'overlay2', 'l')), 'every', (), True),
    'link empty': (lambda h: h.write(os.path.join(os.path.dirname(h.container(WEB)['layers']['image'][0]), 'link'), b''), {
        WEB: ('complete', None)}, (), True),
    'lower empty': (lambda h: h.write(layer(h, WEB, 'lower'), b''), {WEB: ('complete', 'LAYER_LINKS_DAMAGED')}, (), True),
    'lower missing': (lambda h: h.aside(layer(h, WEB, 'lower')), {WEB: ('complete', 'LAYER_LINKS_DAMAGED')}, (), True),
    'lower with a bare l': (lambda h: h.write(layer(h, WEB, 'lower'), lambda raw: b'l:' + raw),
                            {WEB: ('complete', 'LAYER_LINKS_DAMAGED')}, (), True),
    'mounts entry empty': (lambda h: [h.write(mount(h, DB, name), b'') for name in ('mount-id', 'init-id', 'parent')],
                           {DB: ('partial', 'WRITABLE_LAYER_LIKELY')}, (), True),
    'mounts entry missing': (lambda h: h.aside(mount(h, DB)), {DB: ('partial', 'WRITABLE_LAYER_LIKELY')}, (), True),
    # of a container that was running, containerd still has the runtime spec with the layer's path: no guess
    'mounts entry missing, spec there': (lambda h: h.aside(mount(h, WEB)), {WEB: ('complete', 'LAYER_ORDER_FALLBACK')}, (), True),
    'mount-id empty': (lambda h: h.write(mount(h, WEB, 'mount-id'), b''), {WEB: ('complete', None)}, (), True),
    'parent empty': (lambda h: h.write(mount(h, WEB, 'parent'), b''), {WEB: ('complete', 'LAYER_ORDER_FALLBACK')}, (), True),
    'init-id missing': (lambda h: h.aside(mount(h, WEB, 'init-id')), {WEB: ('complete', None)}, (), True),
    'repositories garbage': (lambda h: h.write(image_folder(h, 'repositories.json'), b's{"x"'), {}, ('REFERENCES_DAMAGED',),
                             True),
    'image config missing': (lambda h: h.aside(image_folder(h, 'imagedb', 'content', 'sha256', h.container(WEB)['image']['id'][7:])),
                             {}, ('IMAGE_CONFIG_LOST',), True),
    'image config wrong': (lambda h: h.write(image_folder(h, 'imagedb', 'content', 'sha256', h.container(WEB)['image']['id'][7:]),
                                             lambda raw: raw + b' '), {}, ('IMAGE_CONFIG_LOST',), True),
    'layerdb entry emptied': (lambda h: h.empty_folder(_top_layer(h)), {}, ('LAYER_METADATA_DAMAGED', 'LAYER_ORDER_FALLBACK'), True),
    'stray empty layerdb entry': (lambda h: h.add(image_folder(h, 'layerdb', 'sha256', 'ab' * 32)), {}, ('LAYER_METADATA_DAMAGED',),
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
    hurt.write(os.path.join(hurt.subject.containerd_root, 'io.containerd.metadata.v1.bolt', 'meta.db'), damage)


def _snapshot_db(hurt, damage):
    hurt.write(os.path.join(hurt.subject.containerd_root, 'io.containerd.snapshotter.v1.overlayfs', 'metadata.db'), damage)


def _blob(hurt, kind):
    """Path of the blob of WEB's image: its config."""
    for path in glob.glob(os.path.join(hurt.subject.containerd_root, 'io.containerd.content.v1.content', 'blobs', 'sha256', '*')):
        with open(path, 'rb') as found:
            raw = found.read(1 << 16)
        if raw.startswith(b'{') and json.loads(raw).get('mediaType', '').endswith(kind):
            yield path


# the same, with containers hurt or a function of Hurt that gives them
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
    'metadata.db gone': lambda h: h.aside(os.path.join(h.subject.containerd_root, 'io.containerd.snapshotter.v1.overlayfs',
                                                       'metadata.db')),
    'both databases of NUL bytes': lambda h: (_snapshot_db(h, lambda raw: bytes(len(raw))),
                                              _meta_db(h, lambda raw: bytes(len(raw)))),
}


def _torn_meta(raw):
    """Overwrite the meta page of the newer transaction: the older commit must answer."""
    sides = [(struct.unpack_from('<Q', raw, page * 4096 + 16 + 48)[0], page) for page in (0, 1)]
    page = max(sides)[1]
    return raw[:page * 4096] + bytes(80) + raw[page * 4096 + 80:]


# a host of a builder has no network database, and no runtime spec of containerd
_KILLED_ONLY = ('network database gone', 'mounts entry missing, spec there')
DAMAGES = {}
for _cases, _kinds in ((COMMON, MAIN), (IMAGE_LAYERS, MAIN), (GRAPHDRIVER, GRAPH), (CONTAINERD, STORE)):
    for _name, _case in _cases.items():
        _where = tuple(kind for kind in _kinds if not (_name in _KILLED_ONLY and kind.startswith('built')))
        DAMAGES[_name] = Damage(*_case, works_on=_where)
BLINDING = {name: Damage(apply, 'every', works_on=STORE) for name, apply in BLIND.items()}


def renamed(subject, role, name):
    """NAME is the name of a container, its label, the target of a bind mount and a volume of it -> hurt.Hurt."""
    def change(raw):
        value = json.loads(raw.decode('utf-8'))
        value['Name'] = '/' + name
        value['Config']['Labels'] = {name: name}
        value['MountPoints'] = {'/' + name: {'Type': 'bind', 'Source': '/srv/' + name, 'Destination': '/' + name, 'RW': True},
                                '/v': {'Type': 'volume', 'Name': name, 'Destination': '/v', 'Driver': 'local', 'RW': True}}
        return json.dumps(value).encode('ascii')
    hurt = Hurt(subject, None)
    hurt.write(os.path.join(subject.data_root, 'containers', subject.containers()[subject.ROLES[role]].id, 'config.v2.json'), change)
    return hurt
