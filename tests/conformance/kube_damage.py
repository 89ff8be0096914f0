"""What crashes leave behind in a containerd root of Kubernetes or nerdctl, done to one record at a time: the cases of test_damage.py."""
import copy
import json
import os

import boltwriter
import deadkube
import docker_damage
from deadcontent import field
from hurt import Hurt
from subject import Damage

WEB, DB = 'web', 'db'


def top(hurt, *more):
    """A file of the containerd root."""
    return os.path.join(hurt.subject.data_root, *more)


def host(hurt, *more):
    """A file of the dead host."""
    return os.path.join(hurt.subject.host_root, *more)


def meta(hurt, damage):
    hurt.write(top(hurt, 'io.containerd.metadata.v1.bolt', 'meta.db'), damage)


def all_lost(hurt):
    """Every container is found without its record."""
    return {item['name']: (None, 'STATE_RECORD_LOST') for item in hurt.facts['containers']}


def _empty_dir(hurt):
    hurt.aside(host(hurt, 'var/lib/kubelet/pods/uid-of-db/volumes/kubernetes.io~empty-dir/shop-db'))


def _web_lost(hurt):
    lost = hurt.container(WEB)['layers']['image'][1]
    return {item['name']: ('partial', 'IMAGE_LAYER_LOST') for item in hurt.facts['containers'] if lost in item['layers']['image']}


COMMON = {
    'meta.db of NUL bytes': Damage(lambda h: meta(h, lambda raw: bytes(len(raw))), all_lost, ('METADATA_DB_DAMAGED',)),
    'meta.db empty': Damage(lambda h: meta(h, b''), all_lost, ('METADATA_DB_DAMAGED', 'METADATA_DB_MISSING')),
    'meta.db gone': Damage(lambda h: h.aside(top(h, 'io.containerd.metadata.v1.bolt', 'meta.db')), all_lost, ('METADATA_DB_MISSING',)),
    'writable layer gone': Damage(lambda h: h.aside(h.container(WEB)['layers']['writable']), {WEB: ('partial', 'WRITABLE_LAYER_LOST')}, (), False),
    'image layer gone': Damage(lambda h: h.aside(h.container(WEB)['layers']['image'][1]), _web_lost, ('IMAGE_LAYER_LOST',), False),
    'image layer is a link': Damage(lambda h: (h.aside(h.container(WEB)['layers']['image'][1]), os.symlink('/', h.container(WEB)['layers']['image'][1])),
                                    _web_lost, ('IMAGE_LAYER_LOST',), False),
}
KUBERNETES = dict(COMMON, **{
    'status torn': Damage(lambda h: h.write(top(h, 'io.containerd.grpc.v1.cri/containers', h.container(WEB)['id'], 'status'), lambda raw: raw[:20]),
                          {WEB: ('complete', None)}),
    'emptyDir gone': Damage(_empty_dir, {DB: ('partial', 'VOLUME_LOST')}),
    'manifest of a static pod gone': Damage(lambda h: h.aside(host(h, 'etc/kubernetes/manifests/db.yaml')), {DB: ('complete', 'REMOVED_AT_NEXT_START')}),
    'logs gone': Damage(lambda h: h.aside(host(h, 'var/log/pods')), {}),
})
NERDCTL = dict(COMMON, **{
    'folder of a container gone': Damage(lambda h: h.aside(host(h, 'var/lib/nerdctl/1935db59/containers/default', h.container(DB)['id'])),
                                         {DB: ('complete', None)}),
    'names gone': Damage(lambda h: h.aside(host(h, 'var/lib/nerdctl/1935db59/names')), {}),
    'volume folder gone': Damage(lambda h: h.aside(host(h, 'var/lib/nerdctl/1935db59/volumes/default/shop_db')), {DB: ('partial', 'VOLUME_LOST')}),
})
BLINDING = {name: Damage(apply, 'every') for name, apply in docker_damage.BLIND.items()}
# where the labels are lost nothing tells which volumes a container of nerdctl had: see test_without_labels in tests/unit
NERDCTL_BLINDING = {name: damage for name, damage in BLINDING.items() if not name.startswith('both')}


def renamed(subject, role, name):
    """NAME is the name of a container in its record, a label, the target of a bind mount and a volume of it -> hurt.Hurt."""
    built = os.fsencode(os.path.realpath(os.fsdecode(subject.expected.root)))
    tree = copy.deepcopy(deadkube.TREES[os.path.join(built, b'io.containerd.metadata.v1.bolt', b'meta.db')])
    hurt = Hurt(subject, None)
    hurt.write(os.path.join(subject.data_root, 'io.containerd.metadata.v1.bolt', 'meta.db'), boltwriter.encode(with_name(
        tree, subject.engine, b'k8s.io' if subject.engine == 'kubernetes' else b'default', subject.containers()[subject.ROLES[role]].id.encode(), name)))
    return hurt


def with_name(tree, engine, namespace, ident, name):
    """The TREE of a meta.db with NAME in the record of a container."""
    entry = tree[b'v1'][namespace][b'containers'][ident]
    raw = name.encode('utf-8', 'surrogatepass')
    entry[b'labels'][raw or b'-'] = raw
    if engine == 'kubernetes':
        entry[b'labels'].update({b'io.kubernetes.container.name': raw, b'io.kubernetes.pod.name': raw})
        extension = entry[b'extensions']
        extension[b'io.cri-containerd.container.metadata'] = field(2, json.dumps({'Metadata': {
            'Name': name, 'LogPath': '/' + name, 'ImageRef': name, 'Config': {
                'labels': {name: name}, 'image': {'image': name}, 'command': [name], 'envs': [{'key': name, 'value': name}], 'mounts': [
                    {'container_path': '/' + name, 'host_path': '/srv/' + name},
                    {'container_path': '/v', 'host_path': '/var/lib/kubelet/pods/x/volumes/kubernetes.io~empty-dir/' + name}]}}}).encode())
    else:
        entry[b'labels'].update({b'nerdctl/name': raw, b'nerdctl/state-dir': raw, b'nerdctl/mounts': json.dumps([
            {'Type': 'bind', 'Source': '/srv/' + name, 'Destination': '/' + name, 'RW': True},
            {'Type': 'volume', 'Name': name, 'Source': '/x/volumes/default/%s/_data' % name, 'Destination': '/v', 'RW': True}]).encode()})
    return tree
