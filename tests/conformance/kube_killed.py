"""A containerd that was really driven over its CRI, or by `ctr`, and killed (tests/engines/rig/kube.py)."""
import copy
import os
import re

import boltwriter
import kube_damage
import rescued
import subject
from hurt import Hurt
from rig import kube, listing

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import boltdb, gotypes

SOAK = bool(os.environ.get('LIFEBOAT_SOAK'))
LINE = re.compile(rb'(\S+)\.(\d+)Z (stdout|stderr) ([FP]) (.*)\Z', re.DOTALL)
LABEL = 'io.kubernetes.'
POD = {LABEL + 'pod.namespace': 'shop', LABEL + 'pod.name': 'web-0', LABEL + 'pod.uid': kube.UID}


class KilledKubernetes(subject.Subject):
    """The truth is what containerd said while it lived: the status of the CRI, its snapshots as it mounts them, `ctr snapshots diff`."""

    KINDS = ('kube-containerd',) + (('kube-containerd-newer',) if SOAK else ())
    ROLES = {'web': 'shop/db-node1/db', 'db': 'shop/web-0/app'}     # the first may get another name without any other being told differently
    secret = kube.SECRET
    engine, namespace = 'kubernetes', b'k8s.io'

    def __init__(self, dead):
        self.dead = dead
        self.name, self.host_root, self.data_root, self.scratch = dead.kind, dead.host_root, dead.data_root, dead.scratch

    @classmethod
    def build(cls, kind, request):
        return cls(request.getfixturevalue('dead_kube_of')(kind))

    def copy(self, target):
        return type(self)(self.dead.copy(target))

    def _said(self, name):
        return self.dead.json('said.json')[name]

    def _declared(self, name):
        """Names of the volumes that the image declares: only the runtime spec has them."""
        return {mount['destination']: os.path.basename(mount['source']) for mount in self._said(name)['info']['Spec']['mounts']
                if '/io.containerd.grpc.v1.cri/containers/' in mount['source']}

    def containers(self):
        found = {}
        for name, item in self.dead.json('status.json').items():
            mounts = [('volume', volume, place, True) for place, volume in self._declared(name).items()]
            for mount in item['mounts']:
                volume = {'/data': 'shop_web-0_data', '/claim': 'shop_data-web-0'}.get(mount['destination'], '')
                if mount['destination'] != '/etc/hosts':
                    mounts.append(('volume' if volume else 'bind', volume, mount['destination'], not mount['readonly']))
            found[name] = subject.Container(
                id=item['id'], created=_time(item['created_at']), image_id=item['image_ref'], image_reference=item['image'], labels=item['labels'],
                status=item['state'], running=item['state'] == 'running', exit_code=item['exit_code'],
                started_at=_time(item['started_at']) if item['started_at'] else None, log_driver='cri', mounts=tuple(sorted(mounts)))
        return found

    def images(self):
        return {item['id']: subject.Image(tuple(sorted(item['tags'])), tuple(item['diff_ids'])) for item in self.dead.json('images.json')}

    def _places(self):
        found = {'shop_web-0_data': (kube.POD + '/volumes/kubernetes.io~empty-dir/data', dict(POD, **{
            LABEL + 'volume.plugin': 'empty-dir', LABEL + 'volume.name': 'data'})),
            'shop_data-web-0': (kube.CLAIM, dict(POD, **{
                LABEL + 'volume.plugin': 'local-volume', LABEL + 'volume.name': kube.PV, LABEL + 'pv.name': kube.PV, LABEL + 'pvc.name': 'data-web-0',
                LABEL + 'pvc.namespace': 'shop'}))}
        for name in self.dead.json('said.json'):
            for volume in self._declared(name).values():
                found[volume] = '/var/lib/containerd/io.containerd.grpc.v1.cri/containers/%s/volumes/%s' % (self._said(name)['info']['ID'], volume), {}
        return found

    def volumes(self):
        users = self.users_of_volumes()
        return {name: subject.Volume(labels, {}, users.get(name, frozenset())) for name, (dummy, labels) in self._places().items()}

    def layers(self, name):
        text = self._said(name)['mounts']
        lower, upper = re.search(r'lowerdir=([^,\s]+)', text).group(1), re.search(r'upperdir=([^,\s]+)', text).group(1)
        return [self.host_root + path for path in [upper] + lower.split(':')]

    def size_pair(self, name, fact):
        return None

    def _truth(self, form, name):
        return self.dead.truth(form % name.replace('/', '_'))

    def changes(self, name):
        """Of the layer that `ctr snapshots diff` makes: what it has is new where no layer of the image has it, else changed."""
        below = {b'/' + os.fsencode(item.name) for layer in kube.base() + [kube.second()] for item, dummy in layer} - {b'/d/gone', b'/opaque/old'}
        found = set()
        for path in rescued.members(self._truth('diff-%s.tar', name), ['gzip', '-dc']):
            folder, dummy, last = (b'/' + path).rpartition(b'/')
            if last.startswith(b'.wh.'):
                found.add(('D', folder + b'/' + last[4:]))
            else:
                found.add(('C' if b'/' + path in below else 'A', b'/' + path))
        return found

    def path_of_change(self, raw):
        return raw

    def view(self, name):
        return {os.fsencode(item['path']): (item['type'], item['mode'], item['uid'], item['gid'], item.get('size', 0), item['mtime_ns'],
                                            os.fsencode(item.get('link', ''))) for item in self.dead.json(os.path.basename(self._truth('tree-%s.json', name)))
                if item['path'] != '.'}

    def export(self, name):
        members, groups = rescued.unlink_hard(rescued.members(self._truth('rootfs-%s.tar', name)))
        return members, groups, set()

    def logs(self, name):
        path = self.host_root + self.dead.json('status.json')[name]['log_path']
        if not os.path.exists(path):
            return None
        texts = {b'stdout': b'', b'stderr': b''}
        with open(path, 'rb') as found:
            for line in found.read().split(b'\n')[:-1]:
                when, nanos, stream, tag, text = LINE.match(line).groups()
                texts[stream] += when + b'.' + nanos.ljust(9, b'0') + b'Z ' + text + (b'\n' if tag == b'F' else b'')
        return tuple(texts[stream].splitlines() for stream in (b'stdout', b'stderr'))

    def volume_tree(self, name):
        return listing.listing(self.host_root + self._places()[name][0])

    def bind_trees(self):
        return {'/srv/site': listing.listing(self.host_root + '/srv/site')}

    def renamed(self, role, name):
        """The database is written anew, with the record changed."""
        path = os.path.join(self.data_root, 'io.containerd.metadata.v1.bolt', 'meta.db')
        with open(path, 'rb') as found:
            tree = _tree(boltdb.open_db(found.read()).root)
        hurt = Hurt(self, None)
        hurt.write(path, boltwriter.encode(kube_damage.with_name(copy.deepcopy(tree), self.engine, self.namespace, self._said(
            self.ROLES[role])['info']['ID'].encode(), name)))
        return hurt


class KilledNerdctl(KilledKubernetes):
    """Containers of `ctr` with the labels and folders of nerdctl, which are an imitation."""

    KINDS = ('kube-nerdctl',) + (('kube-nerdctl-newer',) if SOAK else ())
    ROLES = {'web': 'web', 'db': 'once'}
    engine, namespace = 'nerdctl', b'default'

    def containers(self):
        image = self.dead.json('images.json')[0]
        return {name: subject.Container(
            id=item['info']['ID'], created=item['info']['CreatedAt'], image_id=image['id'], image_reference='shop/web:2', labels={'app': 'shop'},
            status='running' if name == 'web' else 'unknown', running=name == 'web', exit_code=None, started_at='2026-01-01T00:00:00Z', log_driver='json-file',
            mounts=(('volume', name + '-data', '/data', True),)) for name, item in self.dead.json('said.json').items()}

    def _places(self):
        return {name + '-data': ('%s/volumes/default/%s-data/_data' % (kube.NERDCTL, name), {}) for name in self.dead.json('said.json')}

    def logs(self, name):
        return [b'2026-01-01T00:00:00.%09dZ line %d' % (number, number) for number in range(120)], []

    def bind_trees(self):
        return {}


def _time(nanos):
    return gotypes.format_time(*divmod(nanos, 10 ** 9))


def _tree(bucket):
    """What a bucket holds, as dicts."""
    found = {key: value for key, value in bucket.items() if value is not None}
    found.update((key, _tree(inner)) for key, inner in bucket.buckets())
    return found
