"""Hosts of a real Podman (the machine's own, or that of a newer Debian), filled and killed. There is no daemon: one shell in PID and mount
namespaces of its own does everything, writes down what Podman says, and is killed with all its containers by one SIGKILL to its process 1.

Inside, /var/lib/containers, /etc/containers, /home and /srv are those of the dead host, and /run is in memory, as after a power cut.
`truth/` beside the host root holds the answers, named as the commands are. A newer Podman runs in an overlay over its file tree (newer.py).
"""
import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from typing import NamedTuple

from . import journald, listing, newer, oneshell, procs
from .common import need_root, not_installed, run
from .engine import scratch_parent


class Kind(NamedTuple):
    """What tells one kind of Podman from another."""
    driver: str = 'overlay'
    rootless: bool = False
    fuse: bool = False                  # overlays are mounted by fuse-overlayfs
    newer: bool = False                 # from the cached tree instead of the machine's own


OWN = {'podman-root': Kind(), 'podman-vfs': Kind('vfs'), 'podman-rootless': Kind(rootless=True), 'podman-fuse': Kind(rootless=True, fuse=True)}
NEWER = {'podman-newer-root': Kind(newer=True), 'podman-newer-rootless': Kind(rootless=True, newer=True),
         'podman-newer-fuse': Kind(rootless=True, fuse=True, newer=True)}       # in soaks only
KINDS = dict(OWN, **NEWER)
SECRET = 'p0dman-s3cret-value'
USER, UID, SUBUID, SUBGID = 'alice', 5001, 100000, 200000
WAIT = 240                              # seconds; it takes about 15
CONTAINERS_CONF = '[containers]\nlog_driver = "k8s-file"\nnetns = "none"\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "crun"\n'

CONTAINERFILE = '''FROM localhost/base:1
RUN rm /d/gone && rm -r /opaque && mkdir /opaque && echo new >/opaque/new && echo two >/d/two
RUN echo three >/d/three && ln /d/three /d/three.hard && chown 5:6 /d/three
VOLUME /cache
ENV COLOUR=blue
LABEL maker=lifeboat
CMD ["sh", "-c", "sleep 1000"]
'''

SCENARIO = r'''
set -eu
cd /
p() { podman $OPTIONS "$@"; }
p import "$SCRATCH/base.tar" localhost/base:1 >/dev/null
p build --quiet --network host --isolation chroot --layers -t localhost/shop:2 "$SCRATCH/context" >/dev/null
p volume create --label tier=web web-data >/dev/null
p volume create db-data >/dev/null
p volume create --opt type=tmpfs --opt device=tmpfs memory >/dev/null
p create --cgroups=disabled --name shop-web-1 --label app=shop --env "TOKEN=$SECRET" --volume web-data:/data \
    --volume /srv/site:/site:ro --mount type=tmpfs,destination=/scratch --restart always --log-opt max-size=10mb localhost/shop:2 sh -c '
        i=0; while [ $i -lt 60 ]; do echo "line $i"; echo "error $i" >&2; i=$((i+1)); done
        sleep 0.5 # else an error may come in the middle of the long line
        head -c 40000 /dev/zero | tr "\0" x; echo
        rm /d/two; rm -r /opaque; mkdir /opaque; echo again >/opaque/new; echo other >/opaque/other; echo back >/opaque/old; echo x >>/d/three
        mkdir /made; echo made >/made/file
        chmod 700 /etc; chown 7:8 /made/file; ln -s /nowhere /made/link; mkfifo /made/fifo; echo data >/data/file; chown 9:10 /data/file; echo c >/cache/c
        mv /kept /moved; touch /d/kept; echo done; : >/data/ready; sleep 1000' >/dev/null
p start shop-web-1 >/dev/null
p run --cgroups=disabled --name shop-db-1 --volume db-data:/var/db localhost/base:1 \
    sh -c 'echo rows >/var/db/table; echo out; echo err >&2; echo x >/d/x; exit 3' >/dev/null 2>&1 || true
p create --cgroups=disabled --name only-created --volume db-data:/var/db:ro localhost/base:1 sh >/dev/null
p run --cgroups=disabled -d --name passing --rm localhost/base:1 sh -c 'echo kept >/kept-by-nobody; sleep 1000' >/dev/null
if [ "$POD" = yes ]; then
    p pod create --name pod1 --infra-image localhost/base:1 --infra-command "sleep 1000" >/dev/null
    p create --cgroups=disabled --pod pod1 --name in-pod localhost/base:1 sh -c 'sleep 1000' >/dev/null
    p run --cgroups=disabled -d --name mapped --uidmap 0:300000:65536 --gidmap 0:400000:65536 --volume mapped-data:/data localhost/shop:2 \
        sh -c 'echo m >/m; chown 5:6 /m /d/kept; echo d >/data/d; sleep 1000' >/dev/null
fi
i=0; while [ ! -e "$(p volume inspect web-data --format '{{.Mountpoint}}')/ready" ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done
i=0; until p logs shop-web-1 2>/dev/null | grep -qx done || [ $i -ge 100 ]; do sleep 0.1; i=$((i+1)); done
# MORE
p version --format json >"$TRUTH/version.json"
p ps --all --external --no-trunc --format json >"$TRUTH/ps.json"
for name in $(p ps --all --format '{{.Names}}'); do
    case $name in *infra*) continue;; esac
    p inspect --type container "$name" >"$TRUTH/inspect-$name.json"
    p diff "$name" >"$TRUTH/diff-$name.txt"
    p export --output "$TRUTH/export-$name.tar" "$name"
    p logs --timestamps "$name" >"$TRUTH/stdout-$name.txt" 2>"$TRUTH/stderr-$name.txt" || true
done
p image ls --all --quiet --no-trunc | sort -u >"$TRUTH/images.txt"
p image inspect $(sed 's/^sha256://' "$TRUTH/images.txt") >"$TRUTH/images.json"
p volume inspect --all >"$TRUTH/volumes.json"
p info --format json >"$TRUTH/info.json"
: >"$TRUTH/ready"
sleep 100000
'''

OUTER = journald.START + r'''
set -eu
mount --make-rprivate /
''' + oneshell.INTO_TREE + r'''mkdir -p /var/lib/containers /srv
for each in /var/lib/containers /etc/containers /home /srv /etc/passwd /etc/group /etc/subuid /etc/subgid; do mount --bind "$HOST$each" "$each"; done
mount -t tmpfs tmpfs /run
umount -l -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /run/lock "/run/user/$RIG_UID"
[ ! -e "$HOST/journald.conf" ] || NEW= start_journald
# a runtime gives the standard streams of a mapped container to its root, this device too
mknod -m 666 /run/null c 1 3 && mount --bind /run/null /dev/null
[ ! -e /dev/fuse ] || { mknod -m 666 /run/fuse c 10 229 && mount --bind /run/fuse /dev/fuse; }
mount --make-rshared /
if [ "$AS" = root ]; then exec bash -c "$SCENARIO"; fi
chown "$RIG_UID:$RIG_UID" "/run/user/$RIG_UID"
exec setpriv --reuid "$RIG_UID" --regid "$RIG_UID" --clear-groups --inh-caps=-all \
    env HOME=/home/alice USER=alice XDG_RUNTIME_DIR="/run/user/$RIG_UID" bash -c "$SCENARIO"
'''


class DeadPodman(oneshell.DeadHost):
    """A host whose Podman was killed."""

    def __init__(self, kind, scratch):
        super().__init__(kind, scratch)
        self.how = KINDS[kind]
        self.rootless = self.how.rootless
        self.recorded_root = '/home/%s/.local/share/containers/storage' % USER if self.rootless else '/var/lib/containers/storage'
        self.data_root = self.host_root + self.recorded_root


def build(kind, scenario=SCENARIO, files=(), pause=0, more=None, journal=False):
    """The DeadPodman of a kind: started, filled, asked, killed. SCENARIO: what its shell does; it has FILES {name: path} in $SCRATCH and the
    variables MORE, makes $TRUTH/ready, and is killed PAUSE seconds later. JOURNAL: with a journald."""
    need(kind)
    scratch = tempfile.mkdtemp(prefix='lb-podman-', dir=scratch_parent())
    os.chmod(scratch, 0o755)
    dead = DeadPodman(kind, scratch)
    try:
        _lay_out(dead)
        if journal:
            journald.lay_out(dead.host_root, '512K')
        for name, path in dict(files).items():
            shutil.copy(path, os.path.join(scratch, name))
            os.chmod(os.path.join(scratch, name), 0o644)
        _live(dead, dict(_environment(dead, scenario), **(more or {})), pause)
    except BaseException:
        dead.close()
        raise
    return dead


def need(kind):
    """NotHere where a Podman of this KIND cannot run."""
    need_root()
    own = () if KINDS[kind].newer else ('podman', 'crun', 'conmon', 'setpriv') + (('newuidmap',) if KINDS[kind].rootless else ())
    for program in ('busybox',) + own:
        if shutil.which(program) is None:
            raise not_installed(program)


def on_a_new_host(script):
    """What SCRIPT, run by a shell on an empty host with a Podman of root, prints."""
    need_root()
    scratch = tempfile.mkdtemp(prefix='lb-podman-', dir=scratch_parent())
    dead = DeadPodman('podman-root', scratch)
    try:
        _lay_out(dead)
        done = run(['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'bash', '-c', OUTER], env=_environment(dead, script))
        return done.stdout
    finally:
        dead.close()


def _environment(dead, script):
    """Variables of OUTER for SCRIPT."""
    return dict(PATH='/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOST=dead.host_root, SCRATCH=dead.scratch, TRUTH=dead.truth(''),
                POD='yes' if dead.how._replace(newer=False) == Kind() else '', SECRET=SECRET, SCENARIO=script, AS=USER if dead.rootless else 'root',
                RIG_UID=str(UID), HOME='/root', LC_ALL='C.UTF-8', OPTIONS='', TREE=newer.ensure_tree(what='others') if dead.how.newer else '',
                JOURNALD='')


def _write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as handle:
        handle.write(text)
    os.chmod(path, mode)


def containers_conf(how, more=''):
    """Podman's configuration for a Kind; MORE: lines of the section of containers."""
    if how.newer:                       # it asks for more than a root without CAP_SYS_RESOURCE may have
        more += 'default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
    return CONTAINERS_CONF.replace('[containers]\n', '[containers]\n' + more)


def _lay_out(dead):
    """Write the files of a host that has not run yet."""
    host = dead.host_root
    options = '\n[storage.options.overlay]\nmount_program = "/usr/bin/fuse-overlayfs"\n' if dead.how.fuse else ''
    _write(host + '/etc/containers/storage.conf', '[storage]\ndriver = "%s"\ngraphroot = "/var/lib/containers/storage"\n'
           'runroot = "/run/containers/storage"\n%s' % (dead.how.driver, options))
    _write(host + '/etc/containers/containers.conf', containers_conf(dead.how))
    _write(host + '/etc/containers/policy.json', '{"default": [{"type": "insecureAcceptAnything"}]}')
    _write(host + '/etc/containers/registries.conf', 'unqualified-search-registries = []\n')
    _write(host + '/etc/passwd', 'root:x:0:0:root:/root:/bin/bash\n%s:x:%d:%d::/home/%s:/bin/bash\n' % (USER, UID, UID, USER))
    _write(host + '/etc/group', 'root:x:0:\n%s:x:%d:\n' % (USER, UID))
    _write(host + '/etc/subuid', '%s:%d:65536\n' % (USER, SUBUID))
    _write(host + '/etc/subgid', '%s:%d:65536\n' % (USER, SUBGID))
    _write(host + '/srv/site/index.html', 'site\n')
    for folder in ('/var/lib/containers', '/home/' + USER, '/root'):
        os.makedirs(host + folder, exist_ok=True)
    os.chown(host + '/home/' + USER, UID, UID)
    if dead.rootless:
        config = '%s/home/%s/.config/containers/storage.conf' % (host, USER)
        _write(config, '[storage]\ndriver = "overlay"\n' + options)
        for path in (config, os.path.dirname(config), os.path.dirname(os.path.dirname(config))):
            os.chown(path, UID, UID)
    os.makedirs(dead.truth(''), mode=0o777)
    os.chmod(dead.truth(''), 0o777)
    _write(os.path.join(dead.scratch, 'context', 'Containerfile'), CONTAINERFILE)
    _base(os.path.join(dead.scratch, 'base.tar'))


def _base(path):
    with tempfile.TemporaryDirectory() as top:
        for folder in ('bin', 'etc', 'd', 'opaque', 'tmp', 'data', 'var'):
            os.mkdir(os.path.join(top, folder))
        shutil.copy(shutil.which('busybox'), os.path.join(top, 'bin', 'busybox'))
        for name in ('sh', 'ls', 'cat', 'touch', 'mkdir', 'rm', 'echo', 'sleep', 'chmod', 'chown', 'mv', 'ln', 'mkfifo', 'head', 'tr'):
            os.symlink('busybox', os.path.join(top, 'bin', name))
        for name in ('d/gone', 'd/kept', 'opaque/old', 'kept', 'etc/motd'):
            _write(os.path.join(top, name), name + '\n')
        with tarfile.open(path, 'w') as archive:
            archive.add(top, '.')


def with_more(lines):
    """The usual scenario, which runs LINES of a shell before Podman is asked."""
    return SCENARIO.replace('\n# MORE\n', '\n%s\n' % lines)


def _live(dead, env, pause):
    with oneshell.alive(dead, OUTER, env, WAIT) as process:
        _merged(dead, process.pid)
        time.sleep(pause)


def _merged(dead, ancestor):
    """Write the listing of the file system of each running container, without what is mounted in it; not with fuse-overlayfs, which lets
    nobody but its user look into a mount (podmanwild.py looks from inside)."""
    if dead.how.fuse:
        return
    for name in os.listdir(dead.truth('')):
        if not name.startswith('inspect-'):
            continue
        ident = dead.json(name)[0]['Id'][:12].encode()
        for pid in procs.descendants(ancestor):
            try:
                with open('/proc/%d/environ' % pid, 'rb') as found:
                    mine = b'HOSTNAME=' + ident in found.read().split(b'\0')
            except OSError:
                continue
            if mine:
                skip = [point.lstrip(b'/') for point in procs.mounts_below('/', '/proc/%d/mountinfo' % pid)]
                _write(dead.truth('tree-' + name[8:]), json.dumps(listing.listing('/proc/%d/root' % pid, skip)))
                break


def main():
    """python3 -m rig.podman KIND: build one and say where it is; it stays."""
    print(build(sys.argv[1]).scratch)


if __name__ == '__main__':
    main()
