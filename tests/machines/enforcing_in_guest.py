"""Runs inside the guest: under an enforcing policy a container writes, its engine is killed, it is rescued, and restored onto a new engine.

Prints `case NAME ok` or `case NAME failed: WHY`, and what it saw.
"""
import json
import os
import signal
import subprocess
import sys
import tarfile
import traceback

sys.path.insert(0, '/run/job/tree')
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run as rescues  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import plan, run as restores  # noqa: E402

NAME, OUT = 'labelled', '/var/tmp/out'
SELINUX, IN_ARCHIVE = 'security.selinux', 'SCHILY.xattr.security.selinux'
# z and Z: dockerd labels them; hand: somebody did with chcon, as the manuals say; plain: nobody did, so no container may read it
BINDS = {'shared': ':z', 'private': ':Z', 'hand': '', 'plain': ''}
READ, DENIED = ['hand', 'layer', 'private', 'shared', 'vol'], ['plain']
STORY = '[ -e /layer ] || { mkdir /layer; echo l >/layer/f; echo v >/vol/f; }; for d in hand layer plain private shared vol; do ' \
    'if cat /$d/f /$d/below/f >/dev/null 2>&1 || { [ ! -e /$d/below ] && cat /$d/f >/dev/null 2>&1; }; then echo "reads $d"; else echo "denied $d"; fi; ' \
    'done; cat /proc/self/attr/current; echo; echo done; sleep 100000'


def sh(command, stdin=None):
    done = subprocess.run(['bash', '-ec', command], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError('%s: %s' % (command, done.stdout.decode('utf-8', 'replace')[-600:]))
    return done.stdout.decode().strip()


def start():
    """dockerd with SELinux -> its process"""
    # as the policy of the distributions that have one for containers labels it
    sh('mkdir -p /var/lib/docker/overlay2; chcon -t container_ro_file_t /var/lib/docker/overlay2')
    daemon = subprocess.Popen(['dockerd', '--bridge=none', '--iptables=false', '--storage-driver', 'overlay2', '--selinux-enabled'],
                              stdout=open('/run/dockerd.log', 'ab'), stderr=subprocess.STDOUT)
    sh('n=0; until docker info >/dev/null 2>&1; do sleep 0.5; n=$((n+1)); [ $n -lt 200 ] || { tail -5 /run/dockerd.log; exit 3; }; done')
    assert 'name=selinux' in sh('docker info -f {{.SecurityOptions}}')
    return daemon


def story():
    """What the container says at a start of whether it can read its files -> (what it reads, what is denied to it, its label)"""
    sh('n=0; until docker logs %s | grep -q ^done; do sleep 0.5; n=$((n+1)); [ $n -lt 100 ] || { docker logs %s; exit 4; }; done' % (NAME, NAME))
    lines = sh('docker logs ' + NAME).splitlines()
    label, = [line.strip('\0') for line in lines if ':' in line]
    return (sorted(line.split()[1] for line in lines if line.startswith('reads ')), sorted(line.split()[1] for line in lines if line.startswith('denied ')),
            label)


def labels(folder):
    """{path relative to FOLDER: label}, with its own as '.'"""
    found = {'.': folder}
    for where, folders, names in os.walk(folder):
        found.update((os.path.relpath(os.path.join(where, name), folder), os.path.join(where, name)) for name in folders + names)
    return {name: os.getxattr(path, SELINUX, follow_symlinks=False).decode().rstrip('\0') for name, path in found.items()}


def places():
    """{component of the bundle: folder of this host} of the container."""
    layer = sh("docker inspect -f '{{.GraphDriver.Data.UpperDir}}' " + NAME)
    found = {'writable': layer, 'volume:vol': '/var/lib/docker/volumes/vol/_data'}
    found.update(('/srv/' + name, '/srv/' + name) for name in BINDS)
    return found


def archived(bundle, component):
    """{path: label} of the archive of a component of BUNDLE."""
    found = {}
    with tarfile.open(os.path.join(bundle['path'], component['file'])) as archive:
        for member in archive:
            name = os.path.relpath(member.name.lstrip('/') or '.')
            found[name] = member.pax_headers.get(IN_ARCHIVE, '').rstrip('\0')
    return found


def kill(daemon):
    """The engine and its container end at once, as with the machine."""
    pid = int(sh("docker inspect -f '{{.State.Pid}}' " + NAME))
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait()
    sh('kill -9 $(pidof containerd containerd-shim-runc-v2) || true')
    os.kill(pid, signal.SIGKILL)
    sh("grep -E ' /var/lib/docker[/ ]| /run/docker/' /proc/mounts | awk '{print $2}' | xargs -r umount -l || true; rm -rf /run/docker /var/run/docker*")


def use():
    """A container with all kinds of places -> (dockerd, what story() says of it)"""
    for name in BINDS:
        sh('mkdir -p /srv/{0}/below; echo {0} >/srv/{0}/f; echo {0} >/srv/{0}/below/f'.format(name))
    sh('chcon -R -t container_file_t /srv/hand')
    sh('mkdir -p /run/image/bin; cp /usr/bin/busybox /run/image/bin/; for each in sh mkdir cat sleep; do ln -s busybox /run/image/bin/$each; done')
    daemon = start()
    sh('tar -C /run/image -cf - . | docker import - probe')
    sh("docker run --name %s -d --network none -v vol:/vol %s probe sh -c '%s'" % (
        NAME, ' '.join('-v /srv/%s:/%s%s' % (name, name, mode) for name, mode in BINDS.items()), STORY))
    return daemon, story()


def rescued():
    with registry.open_host(b'/') as host:
        result = rescues.rescue(host, rescues.Request(os.fsencode(OUT), host_name='dead', compression='none',
                                                      include=('config', 'writable', 'rootfs', 'volumes', 'binds', 'image', 'logs')))
    bundle, = [each for each in result['bundles'] if each['kind'] == 'container']
    assert bundle['status'] == 'complete', bundle['problems']
    return bundle


def component_of(bundle, name):
    if not name.startswith('/'):
        return [each for each in bundle['components'] if each['name'] == name][0]
    return [each for each in bundle['components'] if each['name'].startswith('bind:') and each['file'].split('.')[0].endswith(name.replace('/', '-'))][0]


def case_archives(before, bundle):
    """Every label of the disk is in the archives to the byte."""
    for name, disk in sorted(before.items()):
        found = archived(bundle, component_of(bundle, name))
        prefix = 'layer/' if name == 'writable' and 'layer' not in disk else ''
        wrong = {path: (label, found.get(prefix + path)) for path, label in disk.items() if path != '.' and found.get(prefix + path) != label}
        assert len(disk) > 1 and not wrong, (name, wrong, sorted(found)[:20])


def case_restored(said, told):
    reads, denied, dummy = said
    assert reads == told[0] == READ and denied == told[1] == DENIED, (told, said)


def case_labels(before, after):
    """The labels are those from before, but for the categories, which dockerd gives each container anew. The old writable layer is in the image now."""
    wrong = {}
    for name, disk in before.items():
        if name == 'writable':
            continue
        for path, label in disk.items():
            now = after[name].get(path)
            if now is None or now.split(':')[:3] != label.split(':')[:3]:
                wrong[name, path] = (label, now)
    assert not wrong, wrong


def told(name, function, *arguments):
    try:
        function(*arguments)
        print('case %s ok' % name, flush=True)
    except Exception:                   # whatever it is, it is told to the host
        print('case %s failed: %s' % (name, traceback.format_exc().replace('\n', ' | ')[-2500:]), flush=True)


def main():
    sh('load_policy -i; restorecon -F -R /dev /run /tmp')
    assert sh('getenforce') == 'Enforcing'
    daemon, first = use()
    assert first[:2] == (READ, DENIED), (first, sh('dmesg | grep avc: | tail -5; cat /run/dockerd.log | tail -3'))
    before = {name: labels(folder) for name, folder in places().items()}
    kill(daemon)
    bundle = rescued()
    told('archives', case_archives, before, bundle)
    sh('mv /var/lib/docker /var/lib/docker.dead; for each in %s; do mv /srv/$each /srv/dead-$each; done' % ' '.join(BINDS))
    daemon = start()
    result = restores.restore_all(plan.Options(os.fsencode(bundle['path']), state='started', allow=('host_paths',)))
    print('notes %s' % json.dumps([result.get('notes'), result.get('problems')]), flush=True)
    second = story()
    after = {name: labels(folder) for name, folder in places().items()}
    for name in sorted(before):
        print('labels %s: %s -> %s' % (name, sorted(set(before[name].values())), sorted(set(after[name].values()))), flush=True)
    print('container %s %s' % (first, second), flush=True)
    told('restored', case_restored, first, second)
    told('labels', case_labels, before, after)
    print(sh('dmesg | grep avc: | grep container_t | tail -4 | cut -c1-300'), flush=True)


told('all', main)
