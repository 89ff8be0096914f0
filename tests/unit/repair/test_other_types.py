"""Records that are JSON, but have another type than the engine writes: half a sector of another file, or somebody's own edit.

None of them ends in an error of our own: the rest is repaired, and every byte can be put back. LIFEBOAT_SOAK: many, by chance.
"""
import hashlib
import json
import os
import random

import pytest
from repairing import Dead, empty, load, put, snapshot

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import boltwrite
from ansible_collections.lifeboat.docker.plugins.module_utils.repair import run

ROUNDS = 20 * int(os.environ.get('LIFEBOAT_SOAK') or 0) or 2
ODD = ('null', '[]', '{}', '""', '"x"', '5', 'true', '[5]', '{"a": 5}', '[[]]', '[{}]', '-1.5', '[null]', '"/"', '":"', '{"Name": 5}', '1e300')
CONFIG, HOST = 'config.v2.json', 'hostconfig.json'


@pytest.fixture
def dead(tmp_path):
    return Dead(tmp_path, containers=3)


def set_in_image(dead, change):
    """CHANGE(config) -> config, of every image; names and users follow the new digest."""
    folder = os.path.join(dead.image, 'imagedb/content/sha256')
    for name in sorted(os.listdir(folder)):
        raw = json.dumps(change(load(os.path.join(folder, name)))).encode()
        os.unlink(os.path.join(folder, name))
        new = hashlib.sha256(raw).hexdigest()
        put(os.path.join(folder, new), raw)
        for container in dead.expected.containers:
            path = dead.folder(container.name, CONFIG)
            with open(path, 'rb') as stream:
                put(path, stream.read().replace(name.encode(), new.encode()))


def set_specs(dead, change):
    """A containerd that knows what ran: CHANGE(spec) -> spec, of every container."""
    found = {}
    for container in dead.expected.containers:
        spec = {'ociVersion': '1', 'process': {'args': ['a', 'b'], 'env': ['A=b'], 'cwd': '/'},
                'root': {'path': '/var/lib/docker/overlay2/%s/merged' % container.mount_id, 'readonly': False},
                'mounts': [{'destination': '/x', 'source': '/srv', 'options': ['ro']}],
                'linux': {'resources': {'memory': {'limit': 5}}, 'maskedPaths': ['/a'], 'readonlyPaths': ['/b']}}
        raw = json.dumps(change(spec), separators=(',', ':')).encode()
        found[container.id.encode()] = boltwrite.Tree({b'spec': raw})
    tree = boltwrite.Tree({b'containers': boltwrite.Tree(found)})
    path = os.path.join(dead.path, 'containerd/daemon/io.containerd.metadata.v1.bolt/meta.db')
    os.makedirs(os.path.dirname(path))
    put(path, boltwrite.encode(boltwrite.Tree({b'v1': boltwrite.Tree({b'moby': tree})}), 4096, '<', 2))


def of_image(**values):
    return lambda dead: set_in_image(dead, lambda image: dict(image, config=dict(image.get('config') or {}, **values)))


def of_record(container, name, **values):
    def act(dead):
        path = dead.folder(container, name)
        put(path, json.dumps(dict(load(path), **values)).encode())
    return act


def of_spec(**values):
    return lambda dead: set_specs(dead, lambda spec: dict(spec, **values))


def repaired_and_undone(dead):
    broken = snapshot(dead.path)
    try:
        dead.run(steps=['all'], verify='offline')
        assert [step for step in dead.run(run.PLANNED, steps=['all'])['plan'] if step['selected']] == []
    except LifeboatError as exc:
        assert str(exc)
    if os.path.exists(dead.journal):
        assert dead.run(run.REVERTED)['unresolved'] == []
    assert snapshot(dead.path) == broken


# what is odd; which other record is lost, so that the odd one is a source for it
CASES = {
    'root of a runtime spec': (of_spec(root='x'), ('db', 'mount-id')),
    'mounts of a runtime spec': (of_spec(mounts=1.5), ('db', CONFIG)),
    'network mode': (of_record('db', HOST, NetworkMode=5), ('db', CONFIG)),
    'mounts of a hostconfig': (of_record('db', HOST, Mounts=5), ('db', CONFIG)),
    'name of a volume': (of_record('web', CONFIG, MountPoints={'/x': {'Name': {}}}), ('db', CONFIG)),
    'driver': (of_record('db', CONFIG, Driver=[], State={'Dead': True}), ('web', HOST)),
    'image of a container': (of_record('db', CONFIG, Image=[5]), ('db', 'parent')),
    'image of another container': (of_record('web', CONFIG, Image={}), ('db', CONFIG)),
    'entrypoint of an image': (of_image(Entrypoint=1.5, Cmd={'a': 1}), ('db', CONFIG)),
    'volumes of an image': (of_image(Volumes=5), ('db', CONFIG)),
}


@pytest.mark.parametrize('name', CASES)
def test_a_value_of_another_type_is_no_error_of_ours(dead, name):
    act, (container, lost) = CASES[name]
    act(dead)
    empty(dead.folder(container, lost) if lost in (CONFIG, HOST) else dead.mount(container, lost))
    if lost == 'mount-id':
        empty(dead.mount(container, 'init-id'))
    repaired_and_undone(dead)


def places(value, at=()):
    """Yield the way to every value in VALUE."""
    if at:
        yield at
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, at + (key,))


def odd(chance, value, most):
    """VALUE with up to MOST of its values replaced."""
    for dummy in range(chance.randint(0, most)):
        at = chance.choice(list(places(value)) or [None])
        if at is not None:
            holder = value
            for key in at[:-1]:
                holder = holder[key]
            holder[at[-1]] = json.loads(chance.choice(ODD))
    return value


@pytest.mark.parametrize('seed', range(ROUNDS))
def test_many_values_of_other_types_by_chance(dead, seed):
    chance = random.Random(seed)
    set_in_image(dead, lambda image: dict(image, **odd(chance, {'config': dict(image.get('config') or {}, Volumes={'/v': {}})}, 3)))
    for container in dead.expected.containers:
        for name in (CONFIG, HOST):
            path = dead.folder(container.name, name)
            put(path, json.dumps(odd(chance, load(path), 4)).encode())
    if chance.random() < 0.7:
        set_specs(dead, lambda spec: odd(chance, spec, 4))
    names = [container.name for container in dead.expected.containers]
    chance.shuffle(names)
    lost = [dead.folder(names[0], CONFIG), dead.folder(names[1], HOST), dead.mount(names[2], chance.choice(('mount-id', 'init-id', 'parent'))),
            os.path.join(dead.image, 'repositories.json'), os.path.join(dead.path, 'volumes/metadata.db')]
    for path in lost:
        if chance.random() < 0.6:
            empty(path)
    path = os.path.join(dead.image, 'repositories.json')
    if os.path.getsize(path):
        put(path, json.dumps(odd(chance, load(path), 2)).encode())
    repaired_and_undone(dead)
