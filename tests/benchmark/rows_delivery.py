"""Delivery: through ssh to the controller, and what a thousand hosts cost there.

Needs ansible-playbook; the ssh row also what tests/delivery needs (root, sshd, sudo, ip). Where that is missing, a row says so.
"""
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

import lab

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, 'delivery'), os.path.join(TESTS, 'fixtures')]

SETUP = [{'hosts': 'all', 'gather_facts': False, 'tasks': [{'ansible.builtin.setup': {'gather_subset': ['min']}}]}]


def ansible():
    """Path of ansible-playbook, None if there is none."""
    beside = os.path.join(os.path.dirname(sys.executable), 'ansible-playbook')
    return beside if os.path.exists(beside) else shutil.which('ansible-playbook')


def missing(ssh=False):
    hosts = importlib.import_module('hosts')
    return ([] if ansible() else ['ansible-playbook']) + (hosts.missing() if ssh else [])


@lab.work('playbook')
def playbook_work(argv, environment, folder, remove):
    for path in remove:
        shutil.rmtree(path, ignore_errors=True)

    def run():
        subprocess.run(argv, check=True, env=dict(os.environ, **environment), cwd=folder, stdout=subprocess.DEVNULL)
    return run


@lab.row('delivery-ssh')
def delivery_ssh(here):
    lacks = missing(True)
    if lacks:
        print('delivery-ssh is not measured: this machine lacks ' + ', '.join(lacks))
        return
    hosts = importlib.import_module('hosts')
    deadroot = importlib.import_module('deadroot')
    size = here.count(4 * 10**9)
    source = here.big_file(size)

    def build(path, dummy):
        expected = deadroot.build(path + '/var/lib/docker', containers=1, host_root=path, orphan_volumes=0)
        for base, _folders, files in os.walk(source):
            for name in files:
                os.link(os.path.join(base, name), os.path.join(os.fsdecode(expected.volumes[0].path), name))
    root = here.made('delivery-%d' % size, build)
    folder = tempfile.mkdtemp(prefix='lifeboat-bench-delivery-')
    os.chmod(folder, 0o755)
    machines = hosts.Lab(os.path.join(folder, 'hosts'))
    try:
        machine = machines.host(9)
        boss = hosts.Controller(os.path.join(folder, 'controller'), os.path.join(os.path.dirname(ansible()), 'python'))
        out, theirs = os.path.join(folder, 'out'), os.path.join(folder, 'theirs.tar.zst')
        path = os.path.join(boss.folder, 'play.json')
        with open(path, 'w') as target:
            json.dump(hosts.task(host_root=root, dest=out, store_on='controller', include=['config', 'volumes']), target)
        inventory = boss.inventory({'box': machine.variables()})
        ssh = 'ssh -i %s %s %s@%s' % (machines.key, hosts.SSH, hosts.USER, machine.address)
        yield lab.Row('%.1f GB from a host through ssh and sudo, verified' % (size / 1e9), 'playbook',
                      {'argv': [ansible(), '-i', inventory, path], 'environment': boss.environment, 'folder': boss.folder,
                       'remove': [out]},
                      # 0.7 of its throughput
                      [lab.Reference("ssh host 'tar -c DIR | zstd' > file", "%s 'sudo tar -c %s | zstd -q' > %s" % (
                          ssh, source, theirs), 1 / 0.7)], outputs=(theirs,))
    finally:
        machines.close()
        shutil.rmtree(folder, ignore_errors=True)


@lab.row('fleet')
def fleet(here):
    if missing():
        print('fleet is not measured: this machine lacks ' + ', '.join(missing()))
        return
    hosts = importlib.import_module('hosts')
    deadroot = importlib.import_module('deadroot')
    count = here.count(1000)

    def build(path, dummy):
        for number in range(count):
            top = '%s/%04d' % (path, number)
            deadroot.build(top + '/var/lib/docker', containers=1, layers=1, files=2, host_root=top, rich=False,
                           orphan_volumes=0, seed=str(number))
    root = here.made('fleet-%d' % count, build)
    folder = tempfile.mkdtemp(prefix='lifeboat-bench-fleet-')
    try:
        boss = hosts.Controller(os.path.join(folder, 'controller'), os.path.join(os.path.dirname(ansible()), 'python'))
        # as with everybody, Python keeps what it compiled of plugins: each worker imports them anew
        boss.environment.pop('PYTHONDONTWRITEBYTECODE')
        everyone = {'h%04d' % number: {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable,
                                       'rescue_host_root': '%s/%04d' % (root, number)} for number in range(count)}
        inventory = boss.inventory(everyone)
        setup = os.path.join(boss.folder, 'setup.json')
        with open(setup, 'w') as target:
            json.dump(SETUP, target)
        variables = {'rescue_dest': os.path.join(folder, 'out'), 'rescue_report_dir': os.path.join(folder, 'reports'),
                     'rescue_become': False, 'rescue_progress': 'false'}
        words = ' '.join('%s=%s' % pair for pair in boss.environment.items() if ' ' not in pair[1])
        rescue = [ansible(), '-f', '20', '-i', inventory, 'lifeboat.docker.rescue', '-e', json.dumps(variables)]
        yield lab.Row('%d hosts, forks 20: the rescue playbook with its report' % count, 'playbook',
                      {'argv': rescue, 'environment': boss.environment, 'folder': boss.folder,
                       'remove': [variables['rescue_dest'], variables['rescue_report_dir']]},
                      [lab.Reference('ansible.builtin.setup, gather_subset: min', 'cd %s; %s %s -f 20 -i %s %s' % (
                          boss.folder, words, ansible(), inventory, setup), 1.5)])
        _memory(boss, rescue, everyone, variables, count)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _memory(boss, rescue, everyone, variables, count):
    """Growth of the controller's memory between a tenth of the hosts and all of them."""
    peaks = []
    for share in (count // 10 or 1, count):
        for path in (variables['rescue_dest'], variables['rescue_report_dir']):
            shutil.rmtree(path, ignore_errors=True)
        boss.inventory(dict(sorted(everyone.items())[:share]))
        # of a process of its own: a maximum over children never goes down again
        script = 'import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True); ' \
                 'print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)'
        peaks.append(int(subprocess.run([sys.executable, '-c', script] + rescue, env=dict(os.environ, **boss.environment), cwd=boss.folder,
                                        check=True, stdout=subprocess.PIPE).stdout))
    grown = (peaks[1] - peaks[0]) / max(1, count - (count // 10 or 1))
    print('%-52s %7.0f KiB for each host; target 100%s' % ('growth of the controller\'s memory', grown, '' if grown < 100 else '  MISSED'))
    if grown >= 100:
        raise SystemExit(1)
