"""Runs inside the guest: dockerd in an unprivileged container of LXC is used and killed, and our code finds its data root from outside.

Prints `case NAME ok` or `case NAME failed: WHY`, and what it saw.
"""
import json
import os
import subprocess
import sys
import tarfile
import time
import traceback

sys.path.insert(0, '/run/job/tree')
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run as rescues  # noqa: E402

SHIFT = 100000
ROOT = '/var/lib/lxc/dock/rootfs'
CONFIG = '''lxc.uts.name = dock
lxc.rootfs.path = dir:/var/lib/lxc/dock/rootfs
lxc.idmap = u 0 100000 65536
lxc.idmap = g 0 100000 65536
lxc.mount.auto = proc:rw sys:rw cgroup:rw:force
lxc.mount.entry = /usr usr none bind,ro 0 0
lxc.mount.entry = tmpfs run tmpfs rw 0 0
lxc.mount.entry = tmpfs tmp tmpfs rw 0 0
lxc.net.0.type = empty
lxc.apparmor.profile = unconfined
lxc.init.cmd = /init
'''
# process 1 of the instance: its own processes leave the top of its cgroups, as those of every dockerd in a container must
INIT = '''#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
exec >/log 2>&1 </dev/null
mkdir /sys/fs/cgroup/init; for p in $(cat /sys/fs/cgroup/cgroup.procs); do echo $p >/sys/fs/cgroup/init/cgroup.procs; done
for each in $(cat /sys/fs/cgroup/cgroup.controllers); do echo +$each >/sys/fs/cgroup/cgroup.subtree_control; done
cat /proc/self/uid_map
dockerd --storage-driver overlay2 --bridge=none --iptables=false >/dockerd.log 2>&1 &
n=0; until docker info >/dev/null 2>&1; do sleep 0.5; n=$((n+1)); [ $n -gt 200 ] && { tail -5 /dockerd.log; echo failed >/said; exit 3; }; done
mkdir -p /tmp/image/bin; cp /usr/bin/busybox /tmp/image/bin/; for each in sh mkdir chown ln sleep cat; do ln -s busybox /tmp/image/bin/$each; done
tar -C /tmp/image -cf - . | docker import - probe &&
docker run --name inner -d --network none -v vol:/vol probe sh -c 'echo v >/vol/f; chown 999:998 /vol/f; echo l >/new; chown 33:33 /new; \\
  mkdir /d; ln -s /new /d/l; echo said; sleep 100000' || { tail -5 /dockerd.log; echo failed >/said; exit 4; }
n=0; until docker logs inner | grep -q said; do sleep 0.5; n=$((n+1)); [ $n -gt 60 ] && break; done
docker inspect -f '{{.Id}} {{.Image}}' inner >/inspected
docker diff inner >/diffed
docker cp inner:/new - >/new.tar; docker cp inner:/vol/f - >/f.tar
sync; echo worked >/said; sleep 100000
'''


def sh(command):
    done = subprocess.run(['bash', '-ec', command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError('%s: %s' % (command, done.stdout.decode('utf-8', 'replace')[-600:]))
    return done.stdout.decode().strip()


def inside(name):
    with open(os.path.join(ROOT, name), encoding='utf-8') as source:
        return source.read().strip()


def start():
    sh('mkdir -p %s; cd %s; mkdir usr proc sys dev run tmp root etc var var/lib var/log; for each in bin sbin lib lib64; do ln -s usr/$each $each; done; '
       'cp -a /etc/passwd /etc/group /etc/os-release /etc/ld.so.cache etc/; echo dock >etc/hostname' % (ROOT, ROOT))
    with open(os.path.join(ROOT, 'init'), 'w') as out:
        out.write(INIT)
    os.chmod(os.path.join(ROOT, 'init'), 0o755)
    sh('chown -hR %d:%d %s; chmod 755 /var/lib/lxc /var/lib/lxc/dock; echo root:%d:65536 | tee /etc/subuid >/etc/subgid' % (SHIFT, SHIFT, ROOT, SHIFT))
    with open('/var/lib/lxc/dock/config', 'w') as out:
        out.write(CONFIG)
    # cgroups of this machine: none but the empty one may hold processes
    sh('mkdir -p /sys/fs/cgroup/me; for p in $(cat /sys/fs/cgroup/cgroup.procs); do echo $p >/sys/fs/cgroup/me/cgroup.procs 2>/dev/null || true; done; '
       'for each in $(cat /sys/fs/cgroup/cgroup.controllers); do echo +$each >/sys/fs/cgroup/cgroup.subtree_control || true; done')
    monitor = subprocess.Popen(['lxc-start', '-F', '-n', 'dock', '-o', '/run/lxc.log', '-l', 'INFO'], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    for dummy in range(300):
        if os.path.exists(os.path.join(ROOT, 'said')) or monitor.poll() is not None:
            break
        time.sleep(0.5)
    worked = os.path.exists(os.path.join(ROOT, 'said')) and inside('said') == 'worked'
    if not worked:
        raise RuntimeError(' | '.join(sh('tail -15 %s || true' % path)[-900:] for path in ('/run/lxc.log', ROOT + '/log', ROOT + '/dockerd.log')))
    return monitor


def case_found(host):
    """The data root is found by itself, and its owners are those that the instance saw."""
    paths = [os.fsdecode(each.path) for each in host.roots]
    print('roots %s' % paths, flush=True)
    wanted = [each for each in host.roots if os.fsdecode(each.path).endswith('/var/lib/lxc/dock/rootfs/var/lib/docker')]
    assert len(wanted) == 1, (paths, [each.message for each in host.problems])
    ident, image = inside('inspected').split()
    container = wanted[0].container(ident)
    assert container.name == 'inner' and container.status == 'complete', (container.name, container.status, container.problems)
    changes = sorted('%s /%s' % (each.kind, os.fsdecode(each.path)) for each in wanted[0].changes(container))
    assert changes == sorted(inside('diffed').splitlines()), (changes, inside('diffed'))


def case_rescued(host):
    assert os.lstat(os.path.join(ROOT, 'var/lib/docker/volumes/vol/_data/f')).st_uid == SHIFT + 999
    result = rescues.rescue(host, rescues.Request(b'/var/tmp/out', host_name='dead', compression='none', include=('config', 'writable', 'volumes', 'rootfs')))
    bundle, = [each for each in result['bundles'] if each['kind'] == 'container']
    assert bundle['status'] == 'complete', bundle['problems']
    files = {each['name']: os.path.join(bundle['path'], each['file']) for each in bundle['components'] if each['file']}
    for name, path, said in (('writable', 'new', 'new.tar'), ('rootfs', 'new', 'new.tar'), ('volume:vol', 'f', 'f.tar')):
        with tarfile.open(os.path.join(ROOT, said)) as archive:
            theirs, = list(archive)
        with tarfile.open(files[name]) as archive:
            ours, = [member for member in archive if member.isreg() and os.path.basename(member.name) == path]
        pair = [(one.uid, one.gid, one.size, one.mode & 0o7777) for one in (ours, theirs)]
        assert pair[0] == pair[1], (name, pair)
        print('owners %s %s' % (name, json.dumps(pair[0][:2])), flush=True)


def told(name, function, *arguments):
    try:
        function(*arguments)
        print('case %s ok' % name, flush=True)
    except Exception:                   # whatever it is, it is told to the host
        print('case %s failed: %s' % (name, traceback.format_exc().replace('\n', ' | ')[-3500:]), flush=True)


def main():
    monitor = start()
    print('uid_map of the instance: %s' % [line.split() for line in inside('log').splitlines() if line.split()[-1:] == ['65536']], flush=True)
    sh('lxc-stop -k -n dock')
    monitor.wait(60)
    with registry.open_host(b'/') as host:
        told('found', case_found, host)
        told('rescued', case_rescued, host)


told('all', main)
