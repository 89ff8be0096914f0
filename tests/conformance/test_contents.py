"""Contents: changes, merged view, export, logs, volumes and bind mounts."""
import base64
import os
import stat

import rescued
from rig import listing

from ansible_collections.lifeboat.docker.plugins.module_utils.layers import union

TYPES = {stat.S_IFREG: 'f', stat.S_IFDIR: 'd', stat.S_IFLNK: 'l', stat.S_IFIFO: 'p', stat.S_IFCHR: 'c', stat.S_IFBLK: 'b', stat.S_IFSOCK: 's'}
KEYS = ('type', 'mode', 'uid', 'gid', 'mtime_ns', 'xattrs', 'size', 'link', 'rdev', 'sha256')
DECOMPRESS = {'.zst': ['zstd', '-dc'], '.gz': ['gzip', '-dc'], '.xz': ['xz', '-dc']}


def bundle_of(result, name):
    return next(item for item in result['bundles'] if item['container'] == name)


def members(bundle, name):
    path = os.path.join(bundle['path'], rescued.component(bundle, name)['file'])
    return rescued.members(path, DECOMPRESS.get(os.path.splitext(path)[1]))


def raw(change):
    return base64.b64decode(change['path_b64']) if 'path_b64' in change else os.fsencode(change['path'])


def test_changes_are_those_of_the_engine(subject, facts):
    compared = 0
    for item in facts['containers']:
        said = subject.changes(item['name'])
        ours = [(change['kind'], subject.path_of_change(raw(change))) for change in item['changes']]
        assert len(ours) == len(set(ours)) == item['changes_total'], item['name']
        assert set(ours) == said, item['name']
        compared += len(said)
    assert compared > 20


def test_the_merged_view(subject):
    compared = 0
    with rescued.open_host(subject) as host:
        for root in host.roots:
            for ident in root.container_ids():
                container = root.container(ident)
                said = subject.view(container.name)
                if said is None:
                    continue
                with union.View(container.stack.view()) as view:
                    ours = {entry.path: shown(entry) for entry in view.entries()}
                for tree in (ours, said):
                    for path in [path for path in tree if lies_below(path, subject.unseen(container.name))]:
                        del tree[path]
                assert set(ours) == set(said), container.name
                for path, item in said.items():
                    assert ours[path] == item, (container.name, path)
                compared += len(said)
    assert compared > 20


def lies_below(path, places):
    parts = path.split(b'/')
    return any(b'/'.join(parts[:count]) in places for count in range(1, len(parts) + 1))


def shown(entry):
    st = entry.st
    kind = TYPES[stat.S_IFMT(st.st_mode)]
    link = entry.readlink() if kind == 'l' else b''
    return kind, stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_size if kind == 'f' else 0, st.st_mtime_ns, link


def test_rootfs_is_the_export_of_the_engine(subject, rescue):
    for name in subject.containers():
        ours, our_links = rescued.unlink_hard(members(bundle_of(rescue[0], name), 'rootfs'))
        theirs, their_links, extra = subject.export(name)
        for path in extra & set(ours) - set(theirs):
            del ours[path]
        assert set(ours) == set(theirs), name
        for path, item in theirs.items():
            assert ours[path] == item, (name, path)
        assert our_links == their_links, name


def test_logs_are_those_of_the_engine(subject, rescue):
    compared = 0
    for name in subject.containers():
        streams = subject.logs(name)
        if streams is None:
            continue
        path = os.path.join(bundle_of(rescue[0], name)['path'], 'logs', 'container.log')
        ours = b''
        if os.path.exists(path):
            with open(path, 'rb') as found:
                ours = found.read()
        lines = ours.split(b'\n')
        if not lines[-1]:
            lines.pop()
        assert len(lines) == len(streams[0]) + len(streams[1]), name
        for stream in streams:
            position = iter(lines)
            assert all(line in position for line in stream), name
        compared += len(lines)
    assert compared > 100


def compare(said, path, only=None):
    """The folder PATH holds what the listing SAID has, but for sockets, which no archive keeps."""
    ours = {item['path']: item for item in listing.listing(path, only=only)}
    said = {item['path']: item for item in said if item['type'] != 's'}
    assert set(ours) == set(said)
    for name, item in said.items():
        mine = ours[name]
        if 'same_as' in item:
            assert mine.get('same_as') or any(other.get('same_as') == name for other in ours.values()), name
        for key in KEYS:
            if key == 'mtime_ns' and item['type'] == 'l' and item.get('nlink', 1) > 1:
                continue
            assert mine.get(key) == item.get(key), (name, key)


def test_volumes_keep_everything(subject, rescue, disk_dir):
    seen = set()
    for bundle in rescue[0]['bundles']:
        if bundle['kind'] != 'volume':
            continue
        name = rescued.manifest(bundle)['volume']['name']
        said = subject.volume_tree(name)
        if said is None:
            assert bundle['status'] == 'lost', name
            continue
        target = os.path.join(disk_dir, 'volume-%d' % len(seen))
        rescued.extract(os.path.join(bundle['path'], rescued.component(bundle, 'volume:' + name)['file']), target)
        compare(said, target)
        seen.add(name)
    assert seen == {name for name in subject.volumes() if subject.volume_tree(name) is not None}


def test_binds_keep_everything(subject, rescue, disk_dir):
    trees, seen = subject.bind_trees(), set()
    for bundle in rescue[0]['bundles']:
        if bundle['kind'] != 'container':
            continue
        for item in rescued.manifest(bundle)['components']:
            if item['kind'] != 'bind' or item['source'] in seen:
                continue
            seen.add(item['source'])
            said = trees[item['source']]
            target = os.path.join(disk_dir, 'bind-%d' % len(seen))
            rescued.extract(os.path.join(bundle['path'], item['file']), target)
            compare(said, target, os.path.basename(os.fsencode(item['source'])) if said[0]['type'] == 'f' else None)
    assert seen == {path for path, said in trees.items() if said}
