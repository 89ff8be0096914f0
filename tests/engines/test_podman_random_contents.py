"""Images and containers of random contents on Podman, with fuse-overlayfs first: the rescue against `podman diff`, `podman export`, the
layers of its images, and what the containers themselves saw.

Podman 5.8 is not asked: its `podman diff` ends with an error ("not a directory") on such images.
One seed on fuse-overlayfs by default; with LIFEBOAT_SOAK=N as many fresh ones on each driver, as in test_random_contents.py.
"""
import base64
import json
import os

import pytest
import rescued
from rig import fixtures, listing, podmanwild, truth
from test_random_contents import FROM, SEEDS, SOAK

KINDS = fixtures.some(('podman-fuse',), ('podman-rootless', 'podman-root', 'podman-vfs'))
AT_ONCE = 4                             # seeds on one host
MOUNTED = ('dev', 'proc', 'sys', 'etc', 'data', 'run')      # mounts lie on or in these while a container runs
WORDS = {'changed': 'C', 'added': 'A', 'deleted': 'D'}


class Rescued:
    """A dead host with some seeds, and everything that was rescued of it."""

    def __init__(self, root):
        self.root = root
        self.before = listing.snapshot(root.host_root)
        self.result = rescued.rescue(root, os.path.join(root.scratch, 'rescued'), compression='none', include=('config', 'writable', 'rootfs', 'image'))
        self.after = listing.snapshot(root.host_root)
        self.facts = {item['name']: item for item in rescued.gather(
            root, gather_subset=['containers', 'layers', 'changes', 'images'], changes_limit=0)['containers']}
        self.images = {item['id']: item for item in rescued.gather(root, gather_subset=['images', 'integrity'])['images']}

    def bundle(self, name):
        return next(item for item in self.result['bundles'] if item['container'] == name)


@pytest.fixture(scope='module')
def rescued_of():
    """rescued_of(kind, seed): Rescued of the host that has the seed. One host at a time."""
    current = {}

    def get(kind, seed):
        key = kind, (seed - FROM) // AT_ONCE
        if key not in current:
            for made in current.values():
                made.root.close()
            current.clear()
            first = FROM + key[1] * AT_ONCE
            with fixtures.or_say(kind):
                current[key] = Rescued(podmanwild.build(kind, range(first, min(first + AT_ONCE, SEEDS.stop))))
        return current[key]
    yield get
    for made in current.values():
        made.root.close()


@pytest.fixture(params=[(kind, seed) for kind in fixtures.wanted(KINDS) for seed in SEEDS], ids=lambda pair: '%s-%d' % pair)
def chosen(request, rescued_of, dead_podman_of):
    """(Rescued, seed)"""
    del dead_podman_of                  # this is one of the tests of Podman, see rig/shares.py
    return rescued_of(*request.param), request.param[1]


def test_nothing_differs_on_podman(chosen, scratch):
    """All comparisons of one seed: what is wrong is collected, so that one run tells everything."""
    made, seed = chosen
    wrong = list(differences(made, seed, scratch))
    assert not wrong, '%d differences, the first: %s' % (len(wrong), wrong[:10])
    assert SOAK or seed == 1


def differences(made, seed, scratch):
    """Yield what of a seed is otherwise than Podman said."""
    said = {'sha256:' + item['Id']: item for item in made.root.json('images.json')}
    for name in podmanwild.containers_of(seed):
        fact, inspect = made.facts[name], made.root.json('inspect-%s.json' % name)[0]
        lacks = [item for item in fact['problems'] if item['severity'] != 'info']
        if (fact['status'], fact['id'], lacks) != ('complete', inspect['Id'], []):
            yield name, 'facts', fact['status'], lacks
        linked = linked_in_image(fact) if made.root.how.fuse else set()
        for what, found in (('diff', diff_of(made, name, fact)), ('export', export_of(made, name)), ('tree', tree_of(made, name, os.path.join(scratch, name)))):
            for item in found:
                if item[0] not in linked and not ('hard links' in item and linked.intersection(item[2])):
                    yield (name, what) + item
        record, layers = rescued.component(made.bundle(name), 'image'), said['sha256:' + inspect['Image']]['RootFS']['Layers']
        if not record['exact'] or [layer['diff_id'] for layer in record['layers']] != layers:
            yield name, 'layers', record['exact'], [layer['diff_id'] for layer in record['layers']], layers
    for ident, item in said.items():
        ours = made.images[ident]
        if ours['status'] != 'complete' or [layer['diff_id'] for layer in ours['layers']] != item['RootFS']['Layers'] or \
                ours['integrity']['verified'] != len(ours['layers']):
            yield ident, 'image', ours['status'], ours['problems'], ours['integrity']
    for item in listing.differences(made.before, made.after):
        yield 'the source', item


def linked_in_image(fact):
    """Paths of files that have several names in a layer of the image: fuse-overlayfs takes names of one file below for one file above, too, and
    which of them counts depends on which it sees first. On the disk each name that was written is a file of its own."""
    found = set()
    for layer in fact['layers']['image']:
        for item in listing.listing(layer, contents=False):
            if item.get('nlink', 1) > 1 and item['type'] != 'd':
                found.update((item['path'], '/' + item['path'], os.fsencode(item['path'])))
    return found


def diff_of(made, name, fact):
    theirs = {(WORDS[kind], path) for kind, paths in made.root.json('diff-%s.json' % name).items() for path in paths or ()}
    ours = {(item['kind'], truth.go_text(base64.b64decode(item['path_b64']) if 'path_b64' in item else os.fsencode(item['path']))) for item in fact['changes']}
    for kind, path in sorted(theirs ^ ours):
        yield path, kind, 'only in podman diff' if (kind, path) in theirs else 'only in ours'


def export_of(made, name):
    ours, our_links = rescued.unlink_hard(rescued.members(os.path.join(made.bundle(name)['path'], rescued.component(made.bundle(name), 'rootfs')['file'])))
    theirs, their_links = rescued.unlink_hard(rescued.members(made.root.truth('export-%s.tar' % name)))
    seen = {os.fsencode(item['path']): item for item in tree(made, name)}
    for path in sorted(set(ours) | set(theirs)):
        # an archive of podman export has no entry for what has an attribute with = in its name
        lacks = path not in theirs and any('=' in key for key in seen.get(path, {}).get('xattrs', ()))
        if path and not lacks and ours.get(path) != theirs.get(path):
            yield path, ours.get(path), theirs.get(path)
    # what is one file on the disk may be two in a mount without origins (rootless), and in one that was made anew
    for group in their_links - our_links:
        yield sorted(group)[0], 'hard links', sorted(group)


def tree(made, name):
    """What the container itself saw."""
    with open(made.root.truth('tree-%s.json' % name), encoding='ascii') as found:
        return json.load(found)


def tree_of(made, name, target):
    """What the container saw, against rootfs unpacked by GNU tar: all attributes, nanoseconds."""
    rescued.extract(os.path.join(made.bundle(name)['path'], rescued.component(made.bundle(name), 'rootfs')['file']), target)
    theirs = {item['path']: item for item in tree(made, name) if item['type'] != 's'}
    ours = {item['path']: item for item in listing.listing(target)}
    mounted = {path for path in set(theirs) ^ set(ours) if path.split('/')[0] in MOUNTED}
    for path in sorted((set(theirs) | set(ours)) - mounted - {'.'}):
        one, other = ours.get(path), theirs.get(path)
        if one is None or other is None:
            yield path, one, other
            continue
        for key in ('type', 'mode', 'uid', 'gid', 'mtime_ns', 'xattrs', 'size', 'sha256', 'link', 'rdev'):
            if path.split('/')[0] in MOUNTED and key in ('mode', 'mtime_ns', 'size', 'sha256'):
                continue
            if key == 'mtime_ns' and one['type'] == 'l' and (one['nlink'] > 1 or other['nlink'] > 1):
                continue                # GNU tar dates the first name of a link only
            if one.get(key) != other.get(key):
                yield path, key, one.get(key), other.get(key)
