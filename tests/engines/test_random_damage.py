"""Random damage to the metadata of real data roots: truncated, zeroed, flipped, deleted, swapped files.

For every seed: nothing raises, nothing takes long, nothing outside the host root is opened, nothing is written, and a
container none of whose files was touched reads as before. LIFEBOAT_DAMAGE_SEEDS sets how many in all, or LIFEBOAT_SOAK (100 times that).
"""
import contextlib
import os
import random
import stat
import sys
import time

import pytest
import rescued
from rig import dead, listing, scenario

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.records.codes import CODES

SEEDS = int(os.environ.get('LIFEBOAT_DAMAGE_SEEDS') or 100 * int(os.environ.get('LIFEBOAT_SOAK') or 0) or 40)
SHARE = {'debian-overlay2': 0.6, 'newer-containerd': 0.4}
DEADLINE = 20                           # seconds of processor time for one read of one small root
SUBSETS = ['containers', 'layers', 'changes', 'images', 'volumes', 'orphans']
# Only what Docker and containerd write down; the containers' own files are data, not metadata.
CONTENT = ('/diff/', '/fs/', '/_data/', '/work/', '/merged/')


def metadata_files(root):
    """Paths of all metadata files and links of a dead host."""
    found = []
    for folder, folders, names in os.walk(root.host_root):
        place = folder + '/'
        if any(part in place for part in CONTENT):
            del folders[:]
            continue
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path) or os.path.isfile(path):
                found.append(path)
    return sorted(found)


class Damage:
    """Some random damage to some files, which is undone afterwards."""

    def __init__(self, root, files, seed):
        self.rng = random.Random(seed)
        self.files = files
        self.parking = os.path.join(root.scratch, 'parked-files')
        os.makedirs(self.parking, exist_ok=True)
        self.parked = []
        self.touched = []

    def __enter__(self):
        files = self.files
        if self.rng.random() < 0.5:     # one container only: all others must read as before
            owners = sorted({path.split('/containers/')[1].split('/')[0] for path in files if '/containers/' in path})
            owner = self.rng.choice(owners)
            files = [path for path in self.files if '/%s/' % owner in path]
        for dummy in range(self.rng.choice((1, 1, 1, 2, 3, 8, 40))):
            self.hurt(self.rng.choice(files), files)
        return self

    def __exit__(self, *dummy):
        for path, place in reversed(self.parked):
            if os.path.lexists(path):
                os.unlink(path)
            os.rename(place, path)

    def hurt(self, path, files):
        if path in self.touched:
            return
        self.touched.append(path)
        place = os.path.join(self.parking, str(len(self.parked)))
        if os.path.islink(path):
            os.rename(path, place)
            self.parked.append((path, place))
            if self.rng.random() < 0.5:
                os.symlink(self.rng.choice(('../../../../../../etc', '/', '../nothing/diff', 'loop')), path)
            return
        os.rename(path, place)
        self.parked.append((path, place))
        with open(place, 'rb') as found:
            raw = found.read()
        what = self.rng.randrange(7)
        if what == 0:
            return                      # deleted
        if what == 1:
            raw = b''
        elif what == 2:
            raw = raw[:self.rng.randrange(len(raw) + 1)]
        elif what == 3:
            raw = bytes(len(raw))
        elif what == 4 and raw:
            raw = bytearray(raw)
            for dummy in range(self.rng.choice((1, 1, 5, 100))):
                raw[self.rng.randrange(len(raw))] ^= 1 << self.rng.randrange(8)
        elif what == 5:
            raw = os.urandom(min(len(raw), 100000) or 10)
        else:
            other = self.rng.choice(files)
            if not os.path.islink(other) and os.path.isfile(other):
                self.touched.append(other)  # its content counts as another's from now on
                with open(other, 'rb') as found:
                    raw = found.read()
        with open(path, 'wb') as out:
            out.write(raw)


class Watch:
    """An audit hook: every path that is opened while it is on."""

    def __init__(self):
        self.on = False
        self.opened = []
        sys.addaudithook(self.hook)

    def hook(self, event, args):
        if self.on and event == 'open' and isinstance(args[0], (str, bytes)):
            self.opened.append((os.fsdecode(args[0]), args[2] if len(args) > 2 else 0))


def fill(engine):
    """The shop's images and three small containers: stopped, running, and with a volume."""
    scenario.build_images(engine)
    for name, more in (('small-exited', ['-e', 'A=b']), ('small-volume', ['-v', 'small-data:/data', '--restart', 'on-failure']),
                       ('small-running', ['--label', 'a=b'])):
        work = 'echo x > /new; rm -f /etc/issue; mkdir -p /srv/deep; echo y > /srv/deep/z; echo line'
        engine.docker('run', '-d', '--name', name, '--network', 'none', *more, scenario.SHOP, 'sh', '-c',
                      work + ('; sleep 1000' if name == 'small-running' else ''))
    engine.docker('wait', 'small-exited', 'small-volume')


@pytest.fixture(scope='module')
def small(request):
    """small(kind): a small dead root of a real engine, its facts, its metadata files."""
    made = {}
    with contextlib.ExitStack() as stack:
        def get(kind):
            if kind not in made:
                root, engine = dead.build(kind, fill=fill)
                stack.callback(engine.close)
                copy = root.copy(os.path.join(root.scratch, 'to-damage'))
                made[kind] = (copy, rescued.gather(copy, gather_subset=SUBSETS, changes_limit=0), metadata_files(copy))
            return made[kind]
        yield get


@pytest.fixture(scope='module')
def watch():
    watching = Watch()
    yield watching
    watching.on = False


@pytest.mark.parametrize('kind', sorted(SHARE))
def test_random_damage(small, watch, kind):
    root, whole, files = small(kind)
    before = {item['id']: item for item in whole['containers']}
    state = content_of(root)
    undamaged_checked = 0
    slowest = 0
    for seed in range(int(SEEDS * SHARE[kind])):
        with Damage(root, files, '%s-%d' % (kind, seed)) as damage:
            watch.opened, watch.on = [], True
            started = time.process_time()
            try:
                facts = rescued.gather(root, gather_subset=SUBSETS, changes_limit=0)
            except LifeboatError as exc:
                facts = None
                assert str(exc).strip(), seed
            except Exception:
                print('seed %s-%d, damaged: %s' % (kind, seed, damage.touched))
                raise
            finally:
                watch.on = False
            took = time.process_time() - started
            slowest = max(slowest, took)
            assert took < DEADLINE, (seed, damage.touched)
            for path, flags in watch.opened:
                assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT), (seed, path)
                if path.startswith('/') and not path.startswith((root.host_root, '/proc/', '/sys/', '/usr/', sys.prefix,
                                                                 sys.base_prefix)):
                    assert path == '/' or '/ansible_collections/' in path or root.host_root.startswith(path), (seed, path)
            assert facts is not None, (seed, damage.touched)
            for item in facts['problems'] + [note for one in facts['containers'] for note in one['problems']]:
                assert item['code'] in CODES
            undamaged_checked += compare(facts, before, damage.touched, root, (kind, seed))
    assert content_of(root) == state
    print('%s: %d roots, %d containers unhurt and equal, slowest read %.2f s' % (
        kind, int(SEEDS * SHARE[kind]), undamaged_checked, slowest))
    assert undamaged_checked > SEEDS * SHARE[kind] * 0.5


def content_of(root):
    """{path: (mode, uid, gid, size, xattrs)}; the test itself moves files about, so no times and no inodes."""
    return {path: (item[0], item[3], item[4], item[5] if not stat.S_ISDIR(item[0]) else 0, item[11])
            for path, item in listing.snapshot(root.host_root).items()}


def compare(facts, before, touched, root, seed):
    """Every container that has nothing to do with the touched files is complete as before; returns how many."""
    shared = [path for path in touched if '/containers/' not in path and '/layerdb/mounts/' not in path]
    hurt = {part for path in touched for part in path.split('/') if len(part) == 64}
    after = {item['id']: item for item in facts['containers']}
    count = 0
    for ident, item in before.items():
        if ident in hurt:
            continue
        found = after.get(ident)
        assert found is not None, (seed, 'a container vanished', touched)
        if not shared:
            clean(found)
            assert found == clean(dict(item)), (seed, touched)
            count += 1
    return count


def clean(item):
    """Without what another container's damage rightly changes."""
    item['problems'] = [note for note in item['problems'] if note['code'] != 'NAME_CONFLICT']
    return item
