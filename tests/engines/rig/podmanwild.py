"""Podmans with images and containers of random contents (chance.py): filled, asked, killed. One seed is one image that is loaded, one that
Podman builds on it, one that it commits, and a running container of each.

What fuse-overlayfs shows is seen by its user's namespace alone, so everything is done and looked at from inside of that.
"""
import base64
import contextlib
import json
import os
import random
import tempfile
import time
from unittest import mock

from . import chance, listing, oneshell, podman, procs, scenario, wild
from .common import RigError
from .engine import scratch_parent

HOWS = ('loaded', 'built', 'commit')
OWNERS = ((0, 0), (999, 998), (1000, 1000), (60000, 60001), (65535, 5))        # that a rootless user can give
WAIT = 300

SCENARIO = r'''
set -eu
cd /
p() { podman $OPTIONS "$@"; }
each() { for seed in $SEEDS; do for how in "$@"; do echo "chance-$how-$seed"; done; done; }
wait_for() { i=0; until [ -e "$TRUTH/$1" ]; do sleep 0.1; i=$((i+1)); [ $i -lt 3000 ]; done; }
# what was written through one name of a file may be seen through another, or not yet, as long as a file system is mounted: it is mounted anew
again() { p kill "$1" >/dev/null; p wait "$1" >/dev/null; p start "$1" >/dev/null; }
start() { p run --cgroups=disabled --detach --name "$1" --network none "$2" /bin/sleep 100000 >/dev/null; p inspect --format '{{.Id}}' "$1" >"$TRUTH/id-$1"; }
for seed in $SEEDS; do
    p load --quiet --input "$SCRATCH/loaded-$seed.tar" >/dev/null
    mkdir -p "$TRUTH/context-$seed" && tar -C "$TRUTH/context-$seed" -xf "$SCRATCH/context-$seed.tar"
    p build --quiet --network host --isolation chroot --layers -t "localhost/chance/built:$seed" "$TRUTH/context-$seed" >/dev/null
    start "chance-loaded-$seed" "localhost/chance/loaded:$seed"
    start "chance-built-$seed" "localhost/chance/built:$seed"
done
: >"$TRUTH/up-1"; wait_for changed-1
for name in $(each loaded built); do again "$name"; done
: >"$TRUTH/again-1"; wait_for done-1
for seed in $SEEDS; do
    p commit --quiet "chance-loaded-$seed" "localhost/chance/commit:$seed" >/dev/null
    start "chance-commit-$seed" "localhost/chance/commit:$seed"
done
: >"$TRUTH/up-2"; wait_for changed-2
for name in $(each commit); do again "$name"; done
: >"$TRUTH/again-2"; wait_for done-2
for name in $(each loaded built commit); do
    p inspect --type container "$name" >"$TRUTH/inspect-$name.json"
    p diff --format json "$name" >"$TRUTH/diff-$name.json"
    p export --output "$TRUTH/export-$name.tar" "$name"
done
p image ls --all --quiet --no-trunc | sort -u >"$TRUTH/images.txt"
p image inspect $(sed 's/^sha256://' "$TRUTH/images.txt") >"$TRUTH/images.json"
p info --format json >"$TRUTH/info.json"
: >"$TRUTH/ready"
sleep 100000
'''


def containers_of(seed):
    """Names of the containers of one seed."""
    return ['chance-%s-%d' % (how, seed) for how in HOWS]


def build(kind, seeds):
    """The podman.DeadPodman of a kind with SEEDS. `tree-NAME.json` of its truth is what the container itself sees."""
    podman.need(kind)
    scratch = tempfile.mkdtemp(prefix='lb-podman-', dir=scratch_parent())
    os.chmod(scratch, 0o755)
    dead = podman.DeadPodman(kind, scratch)
    owners = OWNERS if dead.rootless else chance.OWNERS
    try:
        podman._lay_out(dead)
        with mock.patch.object(chance, 'OWNERS', owners):
            for seed in seeds:
                _inputs(dead, seed)
            _live(dead, list(seeds))
    except BaseException:
        dead.close()
        raise
    return dead


def _inputs(dead, seed):
    rng = random.Random(seed)
    layers = [scenario.base_tar(not dead.rootless)] + [chance.layer(rng) for dummy in range(rng.randint(1, 3))]
    _put(dead, 'loaded-%d.tar' % seed, scenario.loadable(layers, 'localhost/chance/loaded:%d' % seed))
    _put(dead, 'context-%d.tar' % seed, chance.context(rng, 'localhost/chance/loaded:%d' % seed, False, False))


def _put(dead, name, raw):
    with open(os.path.join(dead.scratch, name), 'wb') as out:
        out.write(raw)


def _live(dead, seeds):
    env = dict(podman._environment(dead, SCENARIO), SEEDS=' '.join(map(str, seeds)))
    with oneshell.begun(dead, podman.OUTER, env, podman.WAIT) as process:
        for number, hows in ((1, ('loaded', 'built')), (2, ('commit',))):
            names = ['chance-%s-%d' % (how, seed) for seed in seeds for how in hows]
            _wait(dead, process, 'up-%d' % number)
            for seed in seeds:
                rng = random.Random(seed * 10 + number)
                for how in hows:
                    step, count = rng.randrange(1 << 30), rng.randint(40, 120)
                    inside(_pid(dead, process, 'chance-%s-%d' % (how, seed)), lambda out, step=step, count=count: chance.change(step, count))
            _put(dead, 'truth/changed-%d' % number, b'')
            _wait(dead, process, 'again-%d' % number)
            for name in names:
                _put(dead, 'truth/tree-%s.json' % name, inside(_pid(dead, process, name), lambda out: out(json.dumps(_listing()).encode())))
            _put(dead, 'truth/done-%d' % number, b'')
        _wait(dead, process, 'ready')


def _listing():
    """The listing of the root that this process has; its /proc does not know the process."""
    with mock.patch.object(listing, '_xattrs', _xattrs):
        return listing.listing('/', (b'proc', b'sys', b'dev'))


def _xattrs(folder, name):
    os.fchdir(folder)
    return {key: base64.b64encode(os.getxattr(name, key, follow_symlinks=False)).decode('ascii')
            for key in sorted(os.listxattr(name, follow_symlinks=False))}


def _wait(dead, process, name):
    until = time.monotonic() + WAIT
    while not os.path.exists(dead.truth(name)):
        if process.poll() is not None or time.monotonic() > until:
            raise RigError('the scenario of %s ended: %s' % (dead.kind, oneshell.last_words(dead)))
        time.sleep(0.05)


def _pid(dead, process, name):
    """The first process of a container, as this machine numbers it."""
    with open(dead.truth('id-' + name), encoding='ascii') as found:
        wanted = b'HOSTNAME=' + found.read().strip()[:12].encode()
    for pid in procs.descendants(process.pid):
        with contextlib.suppress(OSError):
            with open('/proc/%d/environ' % pid, 'rb') as found:
                if wanted in found.read().split(b'\0'):
                    return pid
    raise RigError('%s does not run' % name)


def inside(pid, function):
    """Bytes that FUNCTION(out) gives to out(), in a child that has the root of PID and is root in its user namespace."""
    root = os.open('/proc/%d/root' % pid, os.O_PATH)    # a look at it may be its user's alone

    def work(out):
        if os.readlink('/proc/%d/ns/user' % pid) != os.readlink('/proc/self/ns/user'):
            wild.root_of(os.open('/proc/%d/ns/user' % pid, os.O_RDONLY))
            os.setgroups([])
        os.fchdir(root)
        os.chroot('.')
        function(out)
    try:
        return wild.in_child(work, 'inside of a container')
    finally:
        os.close(root)
