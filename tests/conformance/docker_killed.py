"""Docker engines that were really started, filled and killed (tests/engines/rig)."""
import base64
import glob
import os
import struct

import docker_damage
import rescued
import subject
from rig import listing, truth

# what every container has mounted
MOUNTED = {b'proc', b'dev', b'sys', b'etc/hosts', b'etc/hostname', b'etc/resolv.conf', b'run/secrets'}
ZERO = '0001-01-01T00:00:00Z'
# kind: the map of its user ids and that of its group ids, (first inside, first on the host, how many)
MAPS = {'debian-userns': (((0, 100000, 65536),), ((0, 100000, 65536),)),
        'debian-rootless': (((0, 5001, 1), (1, 100000, 65536)), ((0, 5001, 1), (1, 200000, 65536)))}


def inside(number, ranges):
    """What a container calls the id NUMBER of the host; None: nothing."""
    return next((number - host + first for first, host, size in ranges if host <= number < host + size), None)


class KilledDocker(subject.Subject):
    """The truth is what the engine said while it lived: inspect, diff, export, logs, ps --size."""

    KINDS = ('debian-overlay2', 'newer-overlay2', 'newer-containerd', 'newer-containerd-packaged', 'debian-userns', 'debian-rootless',
             'debian-vfs', 'debian-btrfs')
    DAMAGES = docker_damage.DAMAGES
    BLINDING = docker_damage.BLINDING
    ROLES = {'web': 'shop-web-1', 'db': 'shop-db-1'}

    def __init__(self, root):
        self.root = root
        self.name = root.kind
        self.host_root, self.data_root, self.containerd_root = root.host_root, root.data_root, root.containerd_root
        self.scratch = root.scratch
        self.userns = root.kind in MAPS
        self.secret = root.truth['secret']

    @classmethod
    def build(cls, kind, request):
        return cls(request.getfixturevalue('dead_root_of')(kind))

    def copy(self, target):
        return KilledDocker(self.root.copy(target))

    def _inspect(self, name):
        return self.root.truth['containers'][name]['inspect']

    def containers(self):
        found = {}
        for name, said in self.root.truth['containers'].items():
            item = said['inspect']
            state = item['State']
            found[name] = subject.Container(
                id=item['Id'], created=item['Created'], image_id=item['Image'], image_reference=item['Config']['Image'],
                labels=item['Config']['Labels'] or {}, status=state['Status'], running=state['Running'],
                exit_code=state['ExitCode'], started_at=state['StartedAt'] if state['StartedAt'] != ZERO else None,
                log_driver=item['HostConfig']['LogConfig']['Type'], mounts=tuple(sorted(
                    (m['Type'], m.get('Name') or '', m['Destination'], m['RW']) for m in item['Mounts'])))
        return found

    def images(self):
        return {item['Id']: subject.Image(tuple(sorted(item['RepoTags'] or [])), tuple(item['RootFS']['Layers']))
                for item in self.root.truth['images']}

    def volumes(self):
        users = self.users_of_volumes()
        return {name: subject.Volume(said['inspect']['Labels'] or {}, said['inspect']['Options'] or {}, users.get(name, frozenset()))
                for name, said in self.root.truth['volumes'].items()}

    def layers(self, name):
        data = self._inspect(name).get('GraphDriver', {}).get('Data') or {}
        if 'UpperDir' not in data:
            return None                 # containerd, btrfs, vfs: not in inspect
        paths = [data['UpperDir']] + data['LowerDir'].split(':')
        return [self.host_root + path for path in paths]

    def size_pair(self, name, fact):
        said = self._inspect(name).get('SizeRw', 0)      # left out by Docker where it is 0
        if self.name in ('debian-vfs', 'debian-btrfs', 'debian-rootless'):
            return None                 # these count by comparing, so not what is the same again; or not at all
        if fact['store'] == 'graphdriver':
            return said, fact['usage']['bytes']
        # containerd counts blocks, the top folder's too
        return said, fact['usage']['allocated'] + os.lstat(fact['layers']['writable']).st_blocks * 512

    def changes(self, name):
        return {(truth.KINDS_OF_CHANGE[change['Kind']], change['Path']) for change in self.root.truth['containers'][name]['changes']}

    def path_of_change(self, raw):
        return truth.go_text(raw)

    def view(self, name):
        tree = self.root.truth['containers'][name]['tree']
        if tree is None:
            return None                 # it was not running
        return {os.fsencode(item['path']): (item['type'], item['mode'], item['uid'], item['gid'], item.get('size', 0), item['mtime_ns'],
                                            os.fsencode(item.get('link', ''))) for item in self.root.tree(tree) if item['path'] != '.'}

    def unseen(self, name):
        item = self._inspect(name)
        mounted = [mount['Destination'] for mount in item['Mounts']] + list(item['HostConfig'].get('Tmpfs') or ())
        return {os.fsencode(path.strip('/')) for path in mounted} | MOUNTED

    def export(self, name):
        members, groups = rescued.unlink_hard(rescued.members(self.root.file(self.root.truth['containers'][name]['export'])))
        return members, groups, self._outside_of_the_map() if self.userns else set()

    def _outside_of_the_map(self):
        """Names in layers whose owner is no id of the container, such as the init layer's /etc/mtab: docker export leaves them out, we
        keep them."""
        found = set()
        users, owners = MAPS[self.name]
        for layer in glob.glob(os.path.join(self.data_root, 'overlay2/*/diff')):
            for folder, folders, names in os.walk(layer):
                for name in folders + names:
                    st = os.lstat(os.path.join(folder, name))
                    if inside(st.st_uid, users) is None or inside(st.st_gid, owners) is None:
                        found.add(os.fsencode(os.path.relpath(os.path.join(folder, name), layer)))
        return found

    def logs(self, name):
        said = self.root.truth['containers'][name]
        if said['stdout'] is None:
            return None
        streams = []
        for stream in ('stdout', 'stderr'):
            with open(self.root.file(said[stream]), 'rb') as found:
                streams.append(found.read().split(b'\n'))
            if not streams[-1][-1]:
                streams[-1].pop()
        return tuple(streams)

    def volume_tree(self, name):
        said = self.root.truth['volumes'][name]
        options = said['inspect']['Options'] or {}
        if options.get('type') == 'tmpfs':
            return None
        if options.get('device'):       # a local volume that is a folder of the host: its data lie there
            tree = listing.listing(self.host_root + options['device'])
        else:
            tree = self.root.tree(said['tree'])
        return self._seen_inside(tree)

    def _seen_inside(self, tree):
        if not self.userns:
            return tree

        def seen(number, ranges):
            found = inside(number, ranges)
            return number if found is None else found
        users, owners = MAPS[self.name]

        def access(name, value):
            """An ACL with the ids that it has inside: version, then tag, permissions and id of each entry (acl(5), linux/posix_acl_xattr.h)."""
            raw = base64.b64decode(value)
            if name == 'security.capability' and raw[3] == 3:       # of a user namespace, with its root: inside it is a plain one
                return base64.b64encode(raw[:3] + b'\x02' + raw[4:20]).decode('ascii')
            if not name.startswith('system.posix_acl_'):
                return value
            named = {2: users, 8: owners}
            return base64.b64encode(raw[:4] + b''.join(struct.pack('<HHI', tag, mode, seen(number, named[tag]) if tag in named else number)
                                                       for tag, mode, number in struct.iter_unpack('<HHI', raw[4:]))).decode('ascii')
        return [dict(item, uid=seen(item['uid'], users), gid=seen(item['gid'], owners),
                     xattrs={name: access(name, value) for name, value in (item.get('xattrs') or {}).items()} or item.get('xattrs')) for item in tree]

    def bind_trees(self):
        return {source: said and self._seen_inside(self.root.tree(said)) for source, said in self.root.truth['binds'].items()}

    def renamed(self, role, name):
        return docker_damage.renamed(self, role, name)
