"""Podmans that were really started, filled and killed (tests/engines/rig/podman.py)."""
import os
import re

import podman_damage
import rescued
import subject
from rig import listing, podman

ZERO = '0001-01-01T00:00:00Z'
SUBIDS = podman.UID, podman.SUBUID, podman.SUBGID
# what every container has mounted
MOUNTED = {b'proc', b'dev', b'sys', b'etc/hosts', b'etc/hostname', b'etc/resolv.conf', b'run'}
STAMP = re.compile(rb'(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.)(\d+)(Z|\+00:00) ')


class KilledPodman(subject.Subject):
    """The truth is what Podman said while it lived: inspect, diff, export, logs, volume inspect, image inspect."""

    # what fuse-overlayfs shows of hard links while it is mounted is not what it shows after that: see test_podman_random_contents.py
    KINDS = tuple(kind for kind, how in (podman.KINDS if os.environ.get('LIFEBOAT_SOAK') else podman.OWN).items() if not how.fuse)
    ROLES = {'web': 'shop-web-1', 'db': 'shop-db-1'}
    secret = podman.SECRET

    def __init__(self, dead):
        self.dead = dead
        self.name, self.host_root, self.data_root, self.scratch = dead.kind, dead.host_root, dead.data_root, dead.scratch
        self.userns = dead.rootless

    @classmethod
    def build(cls, kind, request):
        return cls(request.getfixturevalue('dead_podman_of')(kind))

    def copy(self, target):
        return KilledPodman(self.dead.copy(target))

    def _names(self):
        return sorted(name[8:-5] for name in os.listdir(self.dead.truth('')) if name.startswith('inspect-'))

    def _inspect(self, name):
        return self.dead.json('inspect-%s.json' % name)[0]

    def containers(self):
        found = {}
        for name in self._names():
            item = self._inspect(name)
            state = item['State']
            mounts = [(m['Type'], m.get('Name') or '', m['Destination'], m['RW']) for m in item['Mounts']]
            if name == 'shop-web-1':
                mounts.append(('tmpfs', '', '/scratch', True))      # not in Mounts of its inspect
            found[name] = subject.Container(
                id=item['Id'], created=item['Created'], image_id='sha256:' + item['Image'], image_reference=item['ImageName'],
                labels=item['Config']['Labels'] or {}, status=state['Status'], running=state['Running'], exit_code=state['ExitCode'],
                started_at=state['StartedAt'] if state['StartedAt'] != ZERO else None, log_driver=item['HostConfig']['LogConfig']['Type'],
                mounts=tuple(sorted(mounts)))
        return found

    def images(self):
        return {'sha256:' + item['Id']: subject.Image(tuple(sorted(item['RepoTags'] or [])), tuple(item['RootFS']['Layers']))
                for item in self.dead.json('images.json')}

    def volumes(self):
        users = self.users_of_volumes()
        return {item['Name']: subject.Volume(item['Labels'] or {}, item['Options'] or {}, users.get(item['Name'], frozenset()))
                for item in self.dead.json('volumes.json')}

    def layers(self, name):
        data = self._inspect(name)['GraphDriver']['Data'] or {}
        if 'UpperDir' not in data:
            return None
        return [self.host_root + path for path in [data['UpperDir']] + [path for path in data.get('LowerDir', '').split(':') if path]]

    def size_pair(self, name, fact):
        return None                     # its sizes count mount points that are made while it asks

    def changes(self, name):
        with open(self.dead.truth('diff-%s.txt' % name), 'rb') as found:
            return {(line[:1].decode(), line[2:]) for line in found.read().split(b'\n') if line}

    def path_of_change(self, raw):
        return raw

    def view(self, name):
        if name == 'mapped' or not os.path.exists(self.dead.truth('tree-%s.json' % name)):
            return None                 # its mount shifts the owners of the image's layers; the others were not running
        return {os.fsencode(item['path']): (item['type'], item['mode'], item['uid'], item['gid'], item.get('size', 0), item['mtime_ns'],
                                            os.fsencode(item.get('link', ''))) for item in self.dead.json('tree-%s.json' % name) if item['path'] != '.'}

    def unseen(self, name):
        return MOUNTED | {os.fsencode(place.strip('/')) for dummy, dummy, place, dummy in self.containers()[name].mounts}

    def export(self, name):
        members, groups = rescued.unlink_hard(rescued.members(self.dead.truth('export-%s.tar' % name)))
        return {path: self._seen(name, item) for path, item in members.items() if path}, groups, {b'dev', b'proc', b'sys', b'run'}

    @staticmethod
    def _seen(name, item):
        """podman export shows owners of a mapped container as the host has them; we show those of the container."""
        if name != 'mapped':
            return item
        uid, gid = (number - start if start <= number < start + 65536 else number for number, start in ((item[2], 300000), (item[3], 400000)))
        return item[:2] + (uid, gid) + item[4:]

    def logs(self, name):
        streams = []
        for stream in ('stdout', 'stderr'):
            with open(self.dead.truth('%s-%s.txt' % (stream, name)), 'rb') as found:
                lines = found.read().split(b'\n')
            if not lines[-1]:
                lines.pop()
            streams.append([STAMP.sub(lambda match: match.group(1) + match.group(2).ljust(9, b'0') + b'Z ', line) for line in lines])
        return tuple(streams)

    def volume_tree(self, name):
        path = os.path.join(self.data_root, 'volumes', name, '_data')
        if name == 'memory':
            return None
        return [dict(item, uid=self._inside(item['uid'], 1), gid=self._inside(item['gid'], 2)) for item in listing.listing(path)]

    def _inside(self, number, which):
        if not self.dead.rootless:
            return number
        own, start = SUBIDS[0], SUBIDS[which]
        return 0 if number == own else number - start + 1 if start <= number < start + 65536 else number

    def renamed(self, role, name):
        return podman_damage.renamed(self, role, name)

    def bind_trees(self):
        tree = listing.listing(self.host_root + '/srv/site')
        return {'/srv/site': [dict(item, uid=self._inside(item['uid'], 1), gid=self._inside(item['gid'], 2)) for item in tree]}
