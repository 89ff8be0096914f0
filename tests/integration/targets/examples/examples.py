"""Runs every example of the documentation as it is written: python examples.py COLLECTION FOLDER

The EXAMPLES of all modules and filters (as ansible-doc tells them, so none can be forgotten), and the plays and commands
of README.md and of the roles. It must be root in a mount namespace of its own, see runme.sh. An example fails if Ansible
does, if it warns of something, or if what EXPECTED names is not there afterwards. The commands of docs/storage.md and
docs/outage.md are run by a shell, and fail if they complain.
"""
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
import time

COLLECTION = os.path.abspath(sys.argv[1])
WORK = os.path.abspath(sys.argv[2])
PLAYS = os.path.join(WORK, 'plays')
VOLUMES = os.path.join(WORK, 'volumes')     # of the engine
NAME = 'lifeboat.docker.'
# In this order one example makes what another reads. The plays of a stage are one playbook; its commands follow.
STAGES = [['docker_layer_facts', 'docker_data_rescue', 'docker_bundle_info', 'roles/rescue/README.md', 'README.md',
           'roles/audit/README.md'],
          ['docker_data_restore', 'roles/restore/README.md']]     # and everything else
RULES = os.path.join(COLLECTION, 'roles', 'audit', 'defaults', 'main')
# what an example takes for granted
GIVEN = {
    'audit_host': '''
      vars_files: [%s/main.yml, %s/rules.yml]
      pre_tasks:
        - lifeboat.docker.docker_layer_facts:
          register: result
        - ansible.builtin.file:
            path: records
            state: directory
            mode: '0700'
          delegate_to: localhost
    ''' % (RULES, RULES),
    'original_projects': '''
      pre_tasks:
        - lifeboat.docker.docker_data_rescue:
            host_root: /mnt/dead
            host_name: deadhost
            include: [config]
            dest: /srv/rescued
    ''',
}
# files that must be there after it
EXPECTED = {
    'docker_data_rescue': ['/srv/rescued/newhost/shop-db-*/rootfs.tar*', '/srv/rescued-volumes/newhost/volume-shop_data/manifest.json'],
    'docker_data_restore': ['/srv/restored/volumes/shop_data/*', VOLUMES + '/shop_data/_data/*',
                            VOLUMES + '/shop_data_restored/_data/*'],
    'roles/rescue/README.md': ['/srv/rescued/deadhost/shop-db-*/README.txt'],
    'roles/audit/README.md': ['/srv/lifeboat-reports/report.html', '/srv/lifeboat-reports/lifeboat.prom'],
    'README.md': ['/mnt/vault/deadhost/shop-db-*/manifest.json'],
    'audit_host': [PLAYS + '/records/newhost.json'],
    'audit_expired': [PLAYS + '/lifeboat-reports/hosts/newhost/202001*.json'],
    'audit_report': [PLAYS + '/lifeboat-reports/report.html'],
    'dead_file': ['/srv/rescued/hostname', '/srv/rescued/README'],
    'to_docker_container': ['/srv/rescued/shop-db.yml'],
    'rescue_report': [PLAYS + '/lifeboat-reports/rescue-report.html'],
}
# ... and that must not
UNEXPECTED = {
    'audit_expired': [PLAYS + '/lifeboat-reports/hosts/newhost/20200101*'],
}
COMMANDS = re.compile(r'(?:[A-Z]=|ID=|for |while |(?:ls|cat|cd|mkdir|tar|find|zcat|python3|ansible) )')
# in the guide, what a host without user namespaces and without the containerd store does not have
NOT_HERE = ['100000.100000', 'ROOT/', "-name 'io.containerd"]
SILENT = re.compile(r'\A(?:D=|mkdir |tar )')
# in the page for outages, what wants a broken disk (tests/kernel tries mounting), the Internet or Docker's client
OUTAGE_NOT_HERE = re.compile(r'(?:ddrescue|lsblk|mkdir -p /mnt/dead|mount|umount|mdadm|vgchange|python3 -m venv|docker load) ')
OUTAGE_LEAVES = ['/mnt/usb/rescued/deadhost/shop-db-*/manifest.json', '/srv/rescued/deadhost/volume-shop-data/manifest.json',
                 '/srv/rescued/dead1/shop-db-*/manifest.json', '/srv/rescued/NAME.tar']
FENCE = re.compile(r'^```(yaml|console)\n(.*?)^```$', re.M | re.S)


def run(*command):
    subprocess.run(command, check=True)


def read(*names):
    with open(os.path.join(*names), encoding='utf-8') as page:
        return page.read()


def write(path, text):
    with open(path, 'w', encoding='utf-8') as out:
        out.write(text)


# the machine that the examples see

def dead_host(folder):
    """The / of a dead host with what the examples name: a container shop-db with a volume shop_data."""
    sys.path[:0] = [os.path.join(COLLECTION, 'tests', 'fixtures')]
    import deadcontent as content
    import deadroot

    class Shop(deadroot.Recipe):
        def shop_db(self):
            self.db()
            self.volume('shop_data', '/srv/data')

        def shop_web_1(self):
            self.changes = content.web_changes()
            self.volume('shop-data', '/srv/shop-data')

    deadroot.KINDS, deadroot.Recipe = ('shop-db', 'web', 'job', 'shop-web-1'), Shop
    root = os.path.join(folder, 'var/lib/docker')
    deadroot.build(root, containers=4, host_root=folder, seed='examples')
    os.makedirs(os.path.join(root, 'volumes/shop-opt-bind/_data'))
    write(os.path.join(root, 'volumes/shop-opt-bind/opts.json'), '{"MountType":"none","MountOpts":"bind","MountDevice":"/srv/shop"}')
    os.makedirs(os.path.join(folder, 'srv', 'shop'))
    write(os.path.join(folder, 'srv', 'shop', 'of-the-volume'), 'x')
    # so that a rescue has original files
    os.makedirs(os.path.join(folder, 'opt/stacks/wiki'))
    write(os.path.join(folder, 'opt/stacks/wiki/compose.yaml'), 'services: {web: {image: "wiki:1"}}\n')


def private_mounts(dead):
    """In this namespace: what is written to /srv and so on goes to memory, and /var/lib/docker is the dead host's."""
    memory = os.path.join(WORK, 'memory')
    os.mkdir(memory)
    run('mount', '-t', 'tmpfs', '-o', 'mode=0755', 'tmpfs', memory)
    for path in ('/srv', '/mnt', '/var/lib', '/run'):
        own = os.path.join(memory, path.replace('/', '_'))
        for name in ('upper', 'work'):
            os.makedirs(os.path.join(own, name))
        run('mount', '-t', 'overlay', 'overlay', '-o', 'lowerdir=%s,upperdir=%s/upper,workdir=%s/work' % (path, own, own),
            path)
    empty = os.path.join(memory, 'empty')
    os.mkdir(empty)
    for path in ('/var/lib/docker', '/var/lib/containerd', '/mnt/dead', '/mnt/deaddisk'):
        os.makedirs(path, exist_ok=True)
    run('mount', '--bind', os.path.join(dead, 'var/lib/docker'), '/var/lib/docker')
    run('mount', '--bind', empty, '/var/lib/containerd')
    for path in ('/mnt/dead', '/mnt/deaddisk'):
        run('mount', '--bind', dead, path)
    for path in ('/etc/docker', '/etc/containerd', '/var/snap'):
        if os.path.isdir(path):
            run('mount', '--bind', empty, path)
    for path in ('/var/lib/docker', '/mnt/dead', '/mnt/deaddisk'):
        run('mount', '-o', 'remount,bind,ro', path)
    for name in ('/run/docker.sock', '/srv/rescued', '/srv/restored'):
        if os.path.isdir(name):
            shutil.rmtree(name)
        elif os.path.lexists(name):
            os.unlink(name)


def start_engine():
    os.mkdir(VOLUMES)
    engine = subprocess.Popen([sys.executable, 'engine.py', '/run/docker.sock', VOLUMES])
    for _attempt in range(100):
        if os.path.exists('/run/docker.sock'):
            return engine
        time.sleep(0.1)
    raise SystemExit('the engine of the test did not start')


def held():
    """What the engine of the test was made to hold."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect('/run/docker.sock')
        client.sendall(b'GET /held HTTP/1.0\r\n\r\n')
        raw = b''
        for piece in iter(lambda: client.recv(65536), b''):
            raw += piece
    return json.loads(raw.partition(b'\r\n\r\n')[2].decode('utf-8'))


# the examples

# a disk image and loop devices: tests/kernel/test_attach.py; a root that an engine writes again: tests/engines/test_repair.py; servers of
# databases: tests/engines/test_dump.py; repositories: the target role_rescue_repository
ELSEWHERE = ('disk_attach', 'docker_bundle_repository', 'docker_root_repair', 'docker_database_dump', 'docker_swarm_export')
# tasks for which a Podman must run: tests/engines/test_podman_restore.py
OF_PODMAN = re.compile(r'^ *engine: podman$', re.M)


def documented(kind):
    """{name: EXAMPLES} of the collection's plugins of a kind."""
    def doc(*arguments):
        done = subprocess.run(['ansible-doc', '-t', kind, '-j'] + list(arguments), stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout.decode('utf-8'))
    names = sorted(name for name in doc('-l', NAME.rstrip('.')) if name[len(NAME):] not in ELSEWHERE)
    found = doc(*names)
    return {name[len(NAME):]: found[name]['examples'] for name in names}


def play(name, tasks):
    tasks = ''.join(task for task in re.split(r'^(?=- name:)', tasks, flags=re.M) if not OF_PODMAN.search(task))
    given = textwrap.indent(textwrap.dedent(GIVEN.get(name, '')), '  ')
    return '- name: The examples of %s\n  hosts: newhost\n  gather_facts: false\n%s\n  tasks:\n%s' % (
        name, given, textwrap.indent(textwrap.dedent(tasks), '    '))


def of_page(page):
    """Yield (kind, text) of the fenced plays and commands of a page."""
    for kind, text in FENCE.findall(read(COLLECTION, page)):
        if kind == 'yaml' and text.startswith('module_defaults:'):
            yield 'yaml', '- hosts: newhost\n  gather_facts: false\n%s\n  tasks:\n    - %sdocker_layer_facts:\n' % (
                textwrap.indent(text, '  '), NAME)
        elif kind == 'yaml':
            yield kind, text
        else:
            for command in re.findall(r'^\$ (ansible-playbook (?:.*\\\n)*.*)$', text, re.M):
                yield 'console', command


def ansible(command, inventory, folder=PLAYS):
    """Run it in FOLDER; returns what was wrong with it, [] if nothing."""
    environment = dict(os.environ, ANSIBLE_TRANSPORT='local', ANSIBLE_PYTHON_INTERPRETER=sys.executable, ANSIBLE_NOCOLOR='1',
                       ANSIBLE_DEPRECATION_WARNINGS='1', ANSIBLE_FORCE_COLOR='0', ANSIBLE_RETRY_FILES_ENABLED='0',
                       COLUMNS='500')
    # on newer versions an inventory of commands decides for itself
    if inventory:
        environment['ANSIBLE_INVENTORY'] = inventory
    print('=== %s' % (command if isinstance(command, str) else read(command[-1])), flush=True)
    done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, shell=isinstance(command, str), check=False)
    said = done.stdout.decode('utf-8', 'replace')
    print(said, flush=True)
    wrong = ['exit status %d' % done.returncode] if done.returncode else []
    # older cores say that they are in a collection's folder, as ansible-test has them
    wrong += [line for line in re.findall(r'^\[(?:DEPRECATION )?WARNING\]: .*$', said, re.M) if 'running with default collection' not in line]
    if isinstance(command, str) and command.startswith('ansible all '):
        nothing = not re.search(r'^deadhost \| (?:SUCCESS|CHANGED) => ', said, re.M)
    else:
        nothing = said.count('\nTASK [') < said.count('\nPLAY [') or '\nPLAY [' not in said
    if nothing:
        wrong.append('nothing was run')
    return wrong


def run_stage(names, examples):
    """All examples of these plugins and pages -> what was wrong, as lines."""
    path = os.path.join(PLAYS, '%s.yml' % names[0])
    write(path, '\n'.join(text for name in names for kind, text in examples[name] if kind == 'yaml'))
    wrong = ['in %s: %s' % (path, each) for each in
             ansible(['ansible-playbook', path], os.path.join(WORK, 'inventory'))]
    for name in names:
        for kind, text in examples[name]:
            if kind == 'console':
                wrong += ['%s: %s' % (name, each) for each in ansible(text, None)]
        wrong += ['%s: there is no %s afterwards' % (name, each) for each in EXPECTED.get(name, []) if not glob.glob(each)]
        wrong += ['%s: %s is still there' % (name, each) for each in UNEXPECTED.get(name, []) if glob.glob(each)]
    return wrong


def run_guide():
    """The commands of docs/storage.md, one after another in one shell -> what was wrong, as lines."""
    blocks = [text for text in re.findall(r'^```\n(.*?)^```$', read(COLLECTION, 'docs', 'storage.md'), re.M | re.S)
              if COMMANDS.match(text) and not re.search('[│▶]', text)]
    tried = [text for text in blocks if not any(word in text for word in NOT_HERE)]
    if len(blocks) < 18 or len(blocks) - len(tried) != len(NOT_HERE):
        return ['docs/storage.md has %d blocks of commands, %d can be run here' % (len(blocks), len(tried))]
    if not shutil.which('getfattr'):
        print('NOT RUN: the commands of docs/storage.md, which need getfattr')
        return []
    os.makedirs('/srv/rescued')
    script = ''.join('echo; echo "=== "%d\n%s' % pair for pair in enumerate(tried))
    done = subprocess.run(['bash', '-c', script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PLAYS, check=False,
                          env=dict(os.environ, ANSIBLE_PYTHON_INTERPRETER=sys.executable,
                                   ANSIBLE_INVENTORY_UNPARSED_WARNING='0'))
    said = done.stdout.decode('utf-8', 'replace')
    print(said, flush=True)
    answers = re.split(r'^=== \d+\n', said, flags=re.M)[1:]
    silent = [text for text, answer in zip(tried, answers) if not answer.strip() and not SILENT.search(text)]
    return ['docs/storage.md: %s' % line for line in done.stderr.decode('utf-8', 'replace').splitlines()
            if 'socket ignored' not in line and 'running with default collection' not in line] + [
        'docs/storage.md: nothing came of %s' % text for text in silent]


def without_binds(dead):
    """A healthy host has none of the folders that the dead one's containers had mounted from it."""
    for name in os.listdir(os.path.join(dead, 'srv')):
        shutil.rmtree(os.path.join('/srv', name), ignore_errors=True)


def run_outage(dead):
    """The commands of docs/outage.md, from the folder /srv of the one who rescues -> what was wrong, as lines."""
    blocks = re.findall(r'^```\n(.*?)^```$', read(COLLECTION, 'docs', 'outage.md'), re.M | re.S)
    commands = [text for text in blocks if not OUTAGE_NOT_HERE.match(text) and '──' not in text]
    if len(commands) != 7:
        return ['docs/outage.md has %d blocks of commands that can be run here' % len(commands)]
    shutil.rmtree('/srv/rescued')
    os.makedirs('/mnt/usb')
    shutil.copytree(os.path.join(dead, 'srv'), '/srv', dirs_exist_ok=True)
    wrong = []
    for text in commands:
        # nobody is there to be asked for a password; a volume of the dead host instead of NAME
        script = text.replace(' -K', '').replace('/volumes/NAME/', '/volumes/shop_data/')
        if 'docker.restore' in script:
            without_binds(dead)
        if script.startswith('ansible'):
            wrong += ['docs/outage.md: %s' % each for each in ansible(script, None, '/srv')]
            continue
        done = subprocess.run(['bash', '-c', 'set -e\n' + script], cwd='/srv', stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        said = done.stdout.decode('utf-8', 'replace')
        print('=== %s%s' % (script, said), flush=True)
        if done.returncode or ('sha256sum' in script and said.count(': verified\n') != len(glob.glob('/srv/rescued/dead1/*/SHA256SUMS'))):
            wrong.append('docs/outage.md: exit status %d of %s' % (done.returncode, script))
    return wrong + ['docs/outage.md: there is no %s afterwards' % each for each in OUTAGE_LEAVES if not glob.glob(each)]


def bundles_for_restore():
    """Bundles as the examples of docker_data_restore and of its role name them."""
    # a volume that leads to a folder of the host needs more than these examples give
    shutil.copytree('/srv/rescued/deadhost', '/srv/rescued/dead1', symlinks=True, ignore=shutil.ignore_patterns('volume-shop-opt-bind'))
    bundle, = glob.glob('/srv/rescued/dead1/shop-db-*')
    os.rename(bundle, '/srv/rescued/dead1/shop-db-0f1e2d3c4b5a')
    shutil.copytree('/srv/rescued/dead1', os.path.join(PLAYS, 'rescued', 'dead1'), symlinks=True)


def records_for_reports():
    """The folder of the reports as the examples of the filters name it, with records that are too many."""
    where = os.path.join(PLAYS, 'lifeboat-reports')
    shutil.copytree('/srv/lifeboat-reports', where, dirs_exist_ok=True)
    newest = glob.glob(os.path.join(where, 'hosts', 'newhost', '*.json'))[0]
    for day in range(1, 16):
        shutil.copy(newest, os.path.join(os.path.dirname(newest), '202001%02dT000000Z.json' % day))


def run_inventory():
    """The inventory of the documentation, as it is written."""
    wrong = []
    for name, text in documented('inventory').items():
        write(os.path.join(PLAYS, name + '.yml'), text)
        done = subprocess.run(['ansible-inventory', '-i', name + '.yml', '--list'], cwd=PLAYS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        said = json.loads(done.stdout.decode('utf-8') or '{}')
        if done.returncode or 'shop-db' not in said.get('_meta', {}).get('hostvars', {}) or 'lifeboat_status_complete' not in said:
            wrong.append('the inventory %s: %s' % (name, done.stderr.decode('utf-8', 'replace')))
    return wrong


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(PLAYS)
    dead = os.path.join(WORK, 'dead')
    dead_host(dead)
    private_mounts(dead)
    write(os.path.join(WORK, 'inventory'), 'newhost\ndeadhost\n')
    write(os.path.join(PLAYS, 'hosts'), 'deadhost\n')
    examples = {}
    for kind in ('module', 'filter', 'lookup'):
        for name, tasks in documented(kind).items():
            examples[name] = [('yaml', play(name, tasks))]
    for page in ['README.md'] + ['roles/%s/README.md' % role for role in ('audit', 'rescue', 'restore')]:
        examples[page] = list(of_page(page))
    wrong = run_guide() + run_inventory()
    wrong += ['%s has no examples' % name for name, each in examples.items() if not each]
    shutil.copytree(os.path.join(dead, 'srv'), '/srv', dirs_exist_ok=True)
    engine = start_engine()
    try:
        wrong += run_stage(STAGES[0], examples)
        bundles_for_restore()
        without_binds(dead)
        records_for_reports()
        wrong += run_stage(STAGES[1] + sorted(set(examples) - set(STAGES[0] + STAGES[1])), examples)
        containers = held()['containers']
        wrong += run_outage(dead)
    finally:
        engine.terminate()
        engine.wait()
    running = sorted(name for name, value in containers.items() if value['State']['Running'])
    if sorted(containers) != ['job', 'shop-db', 'shop-db-restored', 'shop-web-1', 'web'] or 'shop-db' not in running:
        wrong.append('the engine was given %s, running: %s' % (sorted(containers), running))
    print('%d examples of %d pages and plugins' % (sum(len(each) for each in examples.values()), len(examples)))
    sys.exit('\n'.join(wrong) or 0)


if __name__ == '__main__':
    main()
