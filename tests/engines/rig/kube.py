"""A node whose containerd (the machine's own, or that of a newer Debian) was driven over its CRI and by `ctr`, and killed. kubelet's folders and
nerdctl's labels and folders are laid by hand: they are an imitation, everything of containerd is real.

One process in PID and mount namespaces of its own does everything (scene() below), writes down what containerd says, and is killed with all
its containers by one SIGKILL to its process 1. `truth/` beside the host root holds the answers.
"""
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

from . import cri, listing, newer, oneshell
from .common import need_root, not_installed
from .engine import scratch_parent

KINDS = ('kube-containerd', 'kube-nerdctl')
NEWER = {'kube-containerd-newer': 'kube-containerd', 'kube-nerdctl-newer': 'kube-nerdctl'}     # in soaks only: its other scene
SHARED = 'kube-shared'                  # both on one containerd
WAIT = 120                              # seconds; it takes about 10
SECRET = 'kub3-s3cret-value'
SOCKET = '/run/containerd/containerd.sock'
UID, PV = '0f1e2d3c-0000-4000-8000-000000000001', 'pvc-0f1e2d3c-0000-4000-8000-00000000000a'
STATIC = '0123456789abcdef0123456789abcdef'
POD, CLAIM = '/var/lib/kubelet/pods/' + UID, '/opt/local-path-provisioner/%s_shop_data-web-0' % PV
NERDCTL = '/var/lib/nerdctl/1935db59'
TASK = '/run/containerd/io.containerd.runtime.v2.task/%s/%s/rootfs'
CONFIG = '''version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_cgroup = true
  disable_apparmor = true
  restrict_oom_score_adj = true
'''
CONFIG_OF_2 = '''version = 3
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "localhost/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  options = {{BinaryName = "{runc}"}}
'''
# `ctr`, and the CRI of containerd 2, ask for shares of the processor, which not every machine can give
RUNC = '''#!{python}
import json, os, sys
if 'create' in sys.argv:
    path = os.path.join(sys.argv[sys.argv.index('--bundle') + 1], 'config.json')
    with open(path) as found:
        spec = json.load(found)
    spec['linux'].pop('resources', None)
    with open(path, 'w') as out:
        json.dump(spec, out)
os.execv('{runc}', ['runc'] + sys.argv[1:])
'''
OUTER = r'''
set -eu
mount --make-rprivate /
''' + oneshell.INTO_TREE + r'''
for each in /var/lib/containerd /var/lib/kubelet /var/lib/nerdctl /var/log /opt /srv /etc/containerd; do
    mkdir -p "$each" "$HOST$each" && mount --bind "$HOST$each" "$each"
done
mount -t tmpfs tmpfs /run
umount -l -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
mount --make-rshared /
exec "$PYTHON" -m rig.kube
'''
WORK = '''
i=0; while [ $i -lt 60 ]; do echo "line $i"; echo "error $i" >&2; i=$((i+1)); done
head -c 40000 /dev/zero | tr "\\0" x; echo
rm /d/two; rm -r /opaque; mkdir /opaque; echo again >/opaque/new; echo x >>/d/three
mkdir /made; echo made >/made/file; chown 7:8 /made/file; ln -s /nowhere /made/link; mkfifo /made/fifo
mv /kept /moved; touch /d/kept; for each in /data /claim /cache; do [ ! -d $each ] || { echo $each >$each/file; chown 9:10 $each/file; }; done
touch -t 202001010000 /made; echo done; : >/ready; sleep 100000'''


class DeadKube(oneshell.DeadHost):
    """A host whose containerd was killed."""

    def __init__(self, kind, scratch):
        super().__init__(kind, scratch)
        self.data_root = self.host_root + '/var/lib/containerd'


def build(kind):
    """The DeadKube of a kind: started, filled, asked, killed."""
    need_root()
    for program in ('busybox',) + (() if kind in NEWER else ('containerd', 'ctr', 'runc')):
        if shutil.which(program) is None:
            raise not_installed(program)
    scratch = tempfile.mkdtemp(prefix='lb-kube-', dir=scratch_parent())
    dead = DeadKube(kind, scratch)
    try:
        for folder in ('host', 'truth'):
            os.makedirs(os.path.join(scratch, folder))
        os.makedirs(dead.host_root + '/etc/containerd')
        put(dead.host_root + '/etc/containerd/config.toml', CONFIG_OF_2.format(runc=scratch + '/runc') if kind in NEWER else CONFIG)
        image(os.path.join(scratch, 'shop.tar'), 'docker.io/shop/web:2', base() + [second()])
        image(os.path.join(scratch, 'pause.tar'), 'localhost/pause:1', base())
        python, tree = ('/usr/bin/python3', newer.ensure_tree(what='others')) if kind in NEWER else (sys.executable, '')
        _live(dead, {'SCENE': NEWER.get(kind, kind), 'PYTHON': python, 'TREE': tree})
    except BaseException:
        dead.close()
        raise
    return dead


def _live(dead, more):
    rig = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    env = dict(PATH='/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOST=dead.host_root, SCRATCH=dead.scratch, PYTHONPATH=rig, ALSO=rig,
               LC_ALL='C.UTF-8', PYTHONDONTWRITEBYTECODE='1', **more)
    with oneshell.alive(dead, OUTER, env, WAIT, ['containerd.log']):
        pass                            # what it has to say is said


def put(path, content, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as out:
        out.write(content.encode() if isinstance(content, str) else content)
    os.chmod(path, mode)


# -- images -----------------------------------------------------------------------------------------------------------------------------


def base():
    """[layer] of a system with nothing but busybox; a layer is [(TarInfo, bytes)]."""
    with open(shutil.which('busybox'), 'rb') as found:
        items = [folder(name) for name in ('bin', 'etc', 'd', 'opaque', 'tmp', 'data', 'claim', 'proc', 'sys', 'dev', 'run')]
        items.append(file('bin/busybox', found.read(), 0o755))
    for name in ('sh', 'cat', 'touch', 'mkdir', 'rm', 'echo', 'sleep', 'chown', 'mv', 'ln', 'mkfifo', 'head', 'tr'):
        item = tarfile.TarInfo('bin/' + name)
        item.type, item.linkname = tarfile.SYMTYPE, 'busybox'
        items.append((item, b''))
    return [items + [file(name, name.encode() + b'\n') for name in ('d/gone', 'd/kept', 'd/two', 'opaque/old', 'kept', 'etc/motd')]]


def second():
    """A layer that deletes, and makes a folder anew."""
    linked = tarfile.TarInfo('d/three.hard')
    linked.type, linked.linkname = tarfile.LNKTYPE, 'd/three'
    return [folder('d'), file('d/.wh.gone', b''), file('d/three', b'three\n'), (linked, b''), folder('opaque'), file('opaque/.wh..wh..opq', b''),
            file('opaque/fresh', b'fresh\n')]


def folder(name):
    item = tarfile.TarInfo(name)
    item.type, item.mode, item.mtime = tarfile.DIRTYPE, 0o755, 1700000000
    return item, b''


def file(name, content, mode=0o644):
    item = tarfile.TarInfo(name)
    item.size, item.mode, item.mtime = len(content), mode, 1700000000
    return item, content


def image(path, name, layers):
    """Write the archive of an image as `docker save` does, with its layers not compressed."""
    def add(archive, member, content):
        item = tarfile.TarInfo(member)
        item.size = len(content)
        archive.addfile(item, io.BytesIO(content))
    with tarfile.open(path, 'w') as archive:
        diff_ids = []
        for number, layer in enumerate(layers):
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode='w') as packed:
                for item, content in layer:
                    packed.addfile(item, io.BytesIO(content))
            diff_ids.append('sha256:' + hashlib.sha256(out.getvalue()).hexdigest())
            add(archive, '%d/layer.tar' % number, out.getvalue())
        config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {
            'Cmd': ['sleep', '100000'], 'Env': ['PATH=/bin', 'COLOUR=blue'], 'Volumes': {'/cache': {}} if len(layers) > 1 else None},
            'rootfs': {'type': 'layers', 'diff_ids': diff_ids}}).encode()
        digest = hashlib.sha256(config).hexdigest()
        add(archive, digest + '.json', config)
        add(archive, 'manifest.json', json.dumps([{'Config': digest + '.json', 'RepoTags': [name], 'Layers': [
            '%d/layer.tar' % number for number in range(len(layers))]}]).encode())


# -- inside of the namespaces -----------------------------------------------------------------------------------------------------------


def ctr(*words, namespace='k8s.io'):
    done = subprocess.run(('ctr', '-n', namespace) + words, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise SystemExit('ctr %s: %s' % (' '.join(words[:2]), done.stderr.decode('utf-8', 'replace')))
    return done.stdout


def wait_for(what, seconds=30):
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            raise SystemExit('waited too long')
        time.sleep(0.05)


def scene():
    """Start containerd, fill it, write the truth; then wait for the end."""
    scratch, kind = os.environ['SCRATCH'], os.environ['SCENE']
    truth = os.path.join(scratch, 'truth', '')
    put(scratch + '/runc', RUNC.format(python=sys.executable, runc=shutil.which('runc')), 0o755)
    with open(os.path.join(scratch, 'containerd.log'), 'wb') as log:
        subprocess.Popen(['containerd'], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    wait_for(lambda: os.path.exists(SOCKET) and subprocess.run(['ctr', 'version'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                                               check=False).returncode == 0)
    fillers = {'kube-containerd': (kubernetes,), 'kube-nerdctl': (nerdctl,), SHARED: (kubernetes, nerdctl)}[kind]
    said = {}
    for namespace, ident, name in [item for filler in fillers for item in filler(scratch, truth)]:
        said[name] = {'info': json.loads(ctr('containers', 'info', ident, namespace=namespace)),
                      'mounts': ctr('snapshots', 'mounts', '/mnt', ident, namespace=namespace).decode()}
        with open(truth + 'diff-%s.tar' % name.replace('/', '_'), 'wb') as out:
            out.write(ctr('snapshots', 'diff', ident, namespace=namespace))
    put(truth + 'said.json', json.dumps(said))
    put(truth + 'ready', '')
    time.sleep(100000)


def kubernetes(scratch, truth):
    """Pods over the CRI -> [(namespace, id, name)]."""
    runtime = cri.Runtime(SOCKET)
    for name in ('shop', 'pause'):
        ctr('images', 'import', '%s/%s.tar' % (scratch, name))
    empty = POD + '/volumes/kubernetes.io~empty-dir/data'
    for path in (empty, CLAIM, '/srv/site', POD + '/volumes/kubernetes.io~local-volume/' + PV):
        os.makedirs(path)
    put('/srv/site/index.html', 'site\n')
    put(POD + '/etc-hosts', '127.0.0.1 web-0\n')
    labels = {'io.kubernetes.pod.name': 'web-0', 'io.kubernetes.pod.namespace': 'shop', 'io.kubernetes.pod.uid': UID}
    folder = '/var/log/pods/shop_web-0_' + UID
    pod = cri.sandbox_config('web-0', UID, folder, {'kubernetes.io/config.source': 'api'}, dict(labels, app='shop'))
    sandbox = runtime.sandbox(pod)
    os.makedirs(folder + '/app')
    named = {}
    mounts = [('/data', empty, 0), ('/claim', CLAIM, 0), ('/site', '/srv/site', 1), ('/etc/hosts', POD + '/etc-hosts', 0)]
    for attempt, command in ((0, 'echo first; echo old >/old; exit 3'), (1, WORK)):
        config = cri.container_config('app', 'docker.io/shop/web:2', ['sh', '-c', command], 'app/%d.log' % attempt, mounts, [('TOKEN', SECRET)],
                                      dict(labels, **{'io.kubernetes.container.name': 'app'}), attempt)
        ident = runtime.create(sandbox, config, pod)
        runtime.start(ident)
        named['shop/web-0/app' if attempt else 'shop/web-0/app.0'] = ident
        if not attempt:
            wait_for(lambda: runtime.status(named['shop/web-0/app.0'])['state'] == 'exited')
    config = cri.container_config('side', 'docker.io/shop/web:2', ['sleep', '5'], 'side/0.log', (), (),
                                  dict(labels, **{'io.kubernetes.container.name': 'side'}))
    named['shop/web-0/side'] = runtime.create(sandbox, config, pod)
    labels = dict(labels, **{'io.kubernetes.pod.name': 'db-node1', 'io.kubernetes.pod.uid': STATIC})
    pod = cri.sandbox_config('db-node1', STATIC, '/var/log/pods/shop_db-node1_' + STATIC, {'kubernetes.io/config.source': 'file'}, labels)
    sandbox = runtime.sandbox(pod)
    os.makedirs('/var/log/pods/shop_db-node1_%s/db' % STATIC)
    named['shop/db-node1/db'] = runtime.create(sandbox, cri.container_config(
        'db', 'docker.io/shop/web:2', ['sh', '-c', 'echo rows >/cache/table; echo x >/d/x; echo out; sleep 100000'], 'db/0.log', (), (),
        dict(labels, **{'io.kubernetes.container.name': 'db'})), pod)
    runtime.start(named['shop/db-node1/db'])
    put(os.path.join(os.environ['HOST'], 'etc/kubernetes/manifests/db.yaml'), 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: db\n  namespace: shop\n')
    wait_for(lambda: os.path.exists(TASK % ('k8s.io', named['shop/web-0/app']) + '/ready') and os.path.exists(
        TASK % ('k8s.io', named['shop/db-node1/db']) + '/d/x'))
    wait_for(lambda: b' F done\n' in open('%s/app/1.log' % folder, 'rb').read())   # pylint: disable=consider-using-with
    put(truth + 'status.json', json.dumps({name: runtime.status(ident) for name, ident in named.items()}))
    put(truth + 'images.json', json.dumps([dict(each, diff_ids=json.loads(ctr('content', 'get', each['id']))['rootfs']['diff_ids'])
                                           for each in runtime.images()]))
    for name, ident in named.items():
        place = TASK % ('k8s.io', ident)
        if os.path.exists(place + '/bin'):
            tree(truth, name, place)
        else:
            mounted(truth, name, 'k8s.io', ident)
    return [('k8s.io', ident, name) for name, ident in named.items()]


def nerdctl(scratch, truth):
    """Containers of `ctr` with the labels that nerdctl gives: an imitation -> [(namespace, id, name)]."""
    ctr('images', 'import', scratch + '/shop.tar', namespace='default')
    found = []
    for name, command in (('web', WORK), ('once', 'for i in 1 2 3 4 5 6 7 8; do echo $i >/once-$i; done; exit 1')):
        ident = hashlib.sha256(name.encode()).hexdigest()
        where = '%s/containers/default/%s' % (NERDCTL, ident)
        source = '%s/volumes/default/%s-data/_data' % (NERDCTL, name)
        os.makedirs(source)
        put(os.path.dirname(source) + '/volume.json', '{}')
        put('%s/names/default/%s' % (NERDCTL, name), ident)
        put(where + '/lifecycle.json', '{"started_at": "2026-01-01T00:00:00Z"}')
        put(where + '/log-config.json', '{"driver": "json-file", "opts": {}}')
        lines = [{'log': 'line %d\n' % number, 'stream': 'stdout', 'time': '2026-01-01T00:00:00.%09dZ' % number} for number in range(120)]
        put('%s/%s-json.log' % (where, ident), ''.join(json.dumps(each) + '\n' for each in lines))
        labels = {'nerdctl/name': name, 'nerdctl/namespace': 'default', 'nerdctl/state-dir': where, 'app': 'shop', 'nerdctl/mounts': json.dumps(
            [{'Type': 'volume', 'Name': name + '-data', 'Source': source, 'Destination': '/data', 'RW': True}]),
            'containerd.io/restart.status': 'running' if name == 'web' else 'stopped'}
        words = [word for key, value in labels.items() for word in ('--label', '%s=%s' % (key, value))]
        ctr('run', '--detach', '--runc-binary', scratch + '/runc', '--env', 'TOKEN=' + SECRET,
            '--mount', 'type=bind,src=%s,dst=/data,options=rbind:rw' % source, *words, 'docker.io/shop/web:2', ident, 'sh', '-c', command, namespace='default')
        found.append(('default', ident, name))
    place = TASK % found[0][:2]
    wait_for(lambda: os.path.exists(place + '/ready'))
    wait_for(lambda: b'STOPPED' in ctr('tasks', 'ls', namespace='default'))
    tree(truth, 'web', place)
    mounted(truth, 'once', 'default', found[1][1])
    target = ctr('images', 'ls', namespace='default').decode().splitlines()[1].split()[2]
    config = json.loads(ctr('content', 'get', target, namespace='default'))['config']['digest']
    put(truth + 'images.json', json.dumps([{'id': target, 'tags': ['shop/web:2'], 'diff_ids': json.loads(
        ctr('content', 'get', config, namespace='default'))['rootfs']['diff_ids']}]))
    return found


def tree(truth, name, place):
    """The listing of a mounted file system, and its archive."""
    put(truth + 'tree-%s.json' % name.replace('/', '_'), json.dumps(listing.listing(place)))
    subprocess.run(['tar', '-C', place, '--numeric-owner', '--format=pax', '-cf', truth + 'rootfs-%s.tar' % name.replace('/', '_')] + sorted(os.listdir(place)),
                   check=True, stdin=subprocess.DEVNULL)


def mounted(truth, name, namespace, ident):
    """The same of one that does not run: its snapshot is mounted as containerd says."""
    place = tempfile.mkdtemp(dir='/run')
    command = ctr('snapshots', 'mounts', place, ident, namespace=namespace).decode().split()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    tree(truth, name, place)
    subprocess.run(['umount', place], check=True)


def main():
    """python3 -m rig.kube KIND: build one and say where it is; it stays."""
    print(build(sys.argv[1]).scratch)


if __name__ == '__main__':
    if os.environ.get('SCENE'):
        scene()
    else:
        main()
