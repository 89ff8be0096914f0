"""Images and containers of random contents, of both builders: the rescue against the engine's own diff, export and layers.

One seed by default. LIFEBOAT_SOAK=N takes N fresh ones, LIFEBOAT_SOAK_FROM=S those from S on: the number in the name of a
failed test is its seed.
"""
import contextlib
import hashlib
import json
import os
import random
import tarfile

import pytest
import rescued
from rig import chance, dead, fixtures, listing, truth

KINDS = ('debian-overlay2', 'newer-overlay2', 'newer-containerd')
SOAK = int(os.environ.get('LIFEBOAT_SOAK') or 0)
FROM = int(os.environ.get('LIFEBOAT_SOAK_FROM') or (random.SystemRandom().randrange(10 ** 6) if SOAK else 1))
AT_ONCE = 10                            # seeds in one engine
SEEDS = range(FROM, FROM + (SOAK or 1))
MOUNTED = ('dev', 'proc', 'sys', 'etc', 'data')     # mounts lie on or in these while a container runs


class Rescued:
    """One dead engine with some seeds, and everything that was rescued of it."""

    def __init__(self, kind, seeds):
        self.root, self._engine = dead.build(kind, fill=chance.fill(seeds))
        self.before = self.root.snapshot()
        self.result = rescued.rescue(self.root, os.path.join(self.root.scratch, 'rescued'), compression='none',
                                     include=('config', 'writable', 'rootfs', 'image'))
        self.after = self.root.snapshot()
        self.facts = {item['name']: item for item in rescued.gather(
            self.root, gather_subset=['containers', 'changes', 'images'], changes_limit=0)['containers']}
        self.images = {item['id']: item for item in rescued.gather(self.root, gather_subset=['images', 'integrity'])['images']}

    def bundle(self, name):
        return next(item for item in self.result['bundles'] if item['container'] == name)

    def close(self):
        self._engine.close()


@pytest.fixture(scope='module')
def rescued_of():
    """rescued_of(kind, seed): Rescued of the engine that has the seed. One engine at a time."""
    with contextlib.ExitStack() as stack:
        current = {}

        def get(kind, seed):
            key = kind, (seed - FROM) // AT_ONCE
            if key not in current:
                with fixtures.or_say(kind):
                    stack.pop_all().close()
                    current.clear()
                    first = FROM + key[1] * AT_ONCE
                    made = Rescued(kind, range(first, min(first + AT_ONCE, SEEDS.stop)))
                    stack.callback(made.close)
                    current[key] = made
            return current[key]
        yield get


@pytest.fixture(params=[(kind, seed) for kind in fixtures.wanted(KINDS) for seed in SEEDS], ids=lambda pair: '%s-%d' % pair)
def chosen(request, rescued_of):
    """(Rescued, seed)"""
    return rescued_of(*request.param), request.param[1]


def raw_path(change):
    import base64
    return base64.b64decode(change['path_b64']) if 'path_b64' in change else os.fsencode(change['path'])


def test_nothing_differs(chosen, scratch):
    """All comparisons of one seed: what is wrong is collected, so that one run tells everything."""
    made, seed = chosen
    wrong = []
    for name in chance.containers_of(seed):
        said, fact, bundle = made.root.truth['containers'][name], made.facts[name], made.bundle(name)
        lacks = [item for item in fact['problems'] if item['severity'] != 'info']
        if fact['status'] != 'complete' or lacks:
            wrong.append((name, 'facts', fact['status'], lacks))
        wrong.extend((name, 'diff') + item for item in diff_of(said, fact))
        wrong.extend((name, 'export') + item for item in export_of(made, said, bundle))
        wrong.extend((name, 'tree') + item for item in tree_of(made, said, bundle, os.path.join(scratch, name)))
        wrong.extend((name, 'image') + item for item in image_of(made, said, bundle))
    for tag in chance.images_of(seed).values():
        original = next(item for item in made.root.truth['images'] if tag in (item['RepoTags'] or ()))
        ours = made.images[original['Id']]
        if ours['status'] != 'complete' or [layer['diff_id'] for layer in ours['layers']] != original['RootFS']['Layers'] \
                or ours['integrity']['verified'] != len(ours['layers']):
            wrong.append((tag, 'image', ours['status'], ours['problems'], ours['integrity']))
    assert listing.differences(made.before, made.after) == []
    assert not wrong, '%d differences, the first: %s' % (len(wrong), wrong[:10])


def diff_of(said, fact):
    theirs = {(truth.KINDS_OF_CHANGE[change['Kind']], change['Path']) for change in said['changes']}
    ours = {(change['kind'], truth.go_text(raw_path(change))) for change in fact['changes']}
    for item in sorted(theirs ^ ours):
        yield item + ('only in docker diff' if item in theirs else 'only in ours',)


def export_of(made, said, bundle):
    ours, our_links = rescued.unlink_hard(rescued.members(os.path.join(bundle['path'], rescued.component(bundle, 'rootfs')['file'])))
    theirs, their_links = rescued.unlink_hard(rescued.members(made.root.file(said['export'])))
    for path in sorted(set(ours) | set(theirs)):
        if ours.get(path) != theirs.get(path):
            yield path, ours.get(path), theirs.get(path)
    for group in our_links ^ their_links:
        yield 'hard links', sorted(group)


def tree_of(made, said, bundle, target):
    """Everything that the kernel shows of the merged view, against rootfs unpacked by GNU tar: all attributes, nanoseconds."""
    rescued.extract(os.path.join(bundle['path'], rescued.component(bundle, 'rootfs')['file']), target)
    theirs = {item['path']: item for item in made.root.tree(said['tree']) if item['type'] != 's'}
    ours = {item['path']: item for item in listing.listing(target)}
    mounted = {path for path in set(theirs) ^ set(ours) if path.split('/')[0] in MOUNTED}
    for path in sorted((set(theirs) | set(ours)) - mounted - {'.'}):
        one, other = ours.get(path), theirs.get(path)
        if one is None or other is None:
            yield path, one, other
            continue
        for key in ('type', 'mode', 'uid', 'gid', 'mtime_ns', 'xattrs', 'size', 'sha256', 'link', 'rdev'):
            if path.split('/')[0] in MOUNTED and key in ('mode', 'mtime_ns'):
                continue
            if key == 'mtime_ns' and one['type'] == 'l' and (one['nlink'] > 1 or other['nlink'] > 1):
                continue                # GNU tar dates the first name of a link only
            if one.get(key) != other.get(key):
                yield path, key, one.get(key), other.get(key)


def image_of(made, said, bundle):
    """The layers of image.tar: those of the image by their diffIDs, digest by digest, and what the writable one lacks is told."""
    record = rescued.component(bundle, 'image')
    original = [item for item in made.root.truth['images'] if item['Id'] == said['inspect']['Image']][0]
    if not record['exact'] or [layer['diff_id'] for layer in record['layers']] != original['RootFS']['Layers']:
        yield 'layers', record['exact'], [layer['diff_id'] for layer in record['layers']], original['RootFS']['Layers']
    told = {item['code'] for item in rescued.manifest(bundle)['problems']}
    if record['status'] != 'complete' and not told & {'IMAGE_ATTRIBUTES', 'WHITEOUT_NAME'}:
        yield 'status', record['status'], sorted(told)
    saved = blobs(os.path.join(bundle['path'], 'image.tar'))
    for digest in original['RootFS']['Layers']:
        if digest not in saved:
            yield 'a layer is not in image.tar', digest


def blobs(path):
    """DiffIDs of the layers of an image archive: of each blob unpacked, by its own bytes."""
    import gzip
    found = set()
    with tarfile.open(path) as archive:
        for item in json.load(archive.extractfile('manifest.json')):
            for layer in item['Layers']:
                stream = archive.extractfile(layer)
                packed = stream.read(2) == b'\x1f\x8b'
                stream.seek(0)
                digest = hashlib.sha256()
                reader = gzip.GzipFile(fileobj=stream) if packed else stream
                for piece in iter(lambda reader=reader: reader.read(1 << 20), b''):
                    digest.update(piece)
                found.add('sha256:' + digest.hexdigest())
    return found
