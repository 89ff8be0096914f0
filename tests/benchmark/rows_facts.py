"""Facts: a host with many containers, usage of many files, changes of one container; beside live engines and others.

The rows with an engine need what tests/engines needs (root, Debian's docker.io); that of docker-explorer a network of
packages, from which it gets that program into a venv in the folder of test data. Where something is missing, a row says so.
"""
import contextlib
import importlib
import io
import os
import shlex
import shutil
import subprocess
import sys
import tarfile

import lab

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, 'engines'), os.path.join(TESTS, 'fixtures')]
EXPLORER = 'docker-explorer==20230719'


@lab.work('facts')
def facts_work(host_root, subset, containers=None, names=(), changes=None):
    """CONTAINERS, CHANGES: how many there must be."""
    lab.importable()
    registry, facts = (importlib.import_module(lab.UTILS + '.' + name) for name in ('engines.registry', 'facts.gather'))

    def run():
        with registry.open_host(os.fsencode(host_root)) as host:
            found = facts.gather(host, facts.Options(gather_subset=subset, containers=list(names), changes_limit=0))
        if containers is not None and found['summary']['complete'] != containers:
            raise SystemExit('not all containers are there: %r' % (found['summary'],))
        if changes is not None and len(found['containers'][0]['changes']) != changes:
            raise SystemExit('%d changes instead of %d' % (len(found['containers'][0]['changes']), changes))
    return run


@lab.work('usage')
def usage_work(path, files):
    lab.importable()
    trees = importlib.import_module(lab.UTILS + '.usage.trees')
    path = os.fsencode(path)

    def run():
        walked = trees.Trees(look=False)
        walked.folder(path)
        walked.walk()
        if walked.of_folder(path).usage['files'] != files:
            raise SystemExit('not all files were counted')
    return run


def dead_host(here, containers, images):
    """Host root with that many containers, of images with 10 layers each."""
    def build(path, dummy):
        deadroot = importlib.import_module('deadroot')
        deadroot.build(path + '/var/lib/docker', containers=containers, images=images, layers=10, files=2, rich=False,
                       host_root=path)
    return here.made('host-%d-%d' % (containers, images), build)


def explorer(here):
    """Path of docker-explorer's command, None if it cannot be installed."""
    folder = here.path('docker-explorer')
    command = os.path.join(folder, 'bin', 'de.py')
    if not os.path.exists(command):
        try:
            subprocess.run([sys.executable, '-m', 'venv', folder], check=True, stdout=subprocess.DEVNULL)
            subprocess.run([os.path.join(folder, 'bin', 'pip'), 'install', '-q', EXPLORER], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            shutil.rmtree(folder, ignore_errors=True)
            return None
    return command


@contextlib.contextmanager
def engine(row):
    """A running engine of Debian's, None with a word of why if it can't be had."""
    rig = importlib.import_module('rig.engine')
    common = importlib.import_module('rig.common')
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(rig.Engine('debian-overlay2'))
            running.start()
        except (common.NotHere, common.RigError) as why:
            print('%s is not measured beside an engine: %s' % (row, why))
            running = None
        yield running


def image_of(files):
    """Bytes of a tar for `docker import`: FILES files of 100 bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as tar:
        for number in range(files):
            item = tarfile.TarInfo('usr/share/d%03d/file%05d' % (number // 100, number))
            item.size, item.mtime = 100, 1000000000
            tar.addfile(item, io.BytesIO(b'%-100d' % number))
    return buffer.getvalue()


def client(running, *words):
    return ' '.join(map(shlex.quote, running.enter('docker', *words)))


@lab.row('facts')
def facts_row(here):
    containers = here.count(1000)
    root = dead_host(here, containers, here.count(200))
    live = here.count(200)
    asked = {'host_root': root, 'subset': ['!usage'], 'containers': containers}
    label = 'facts of %d containers, %d images, no usage' % (containers, here.count(200))
    with engine('facts') as running:
        references = []
        if running is not None:
            running.docker('import', '-c', 'CMD ["/x"]', '-', 'small', stdin=image_of(5))
            for number in range(live):
                running.docker('create', '--name', 'c%d' % number, '--network', 'none', '-e', 'A=b', '-l', 'x=y', '-v', '/data', 'small')
            references = [lab.Reference(
                'docker ps -a and inspect of %d, times %g' % (live, containers / live),
                '%s > OUT; %s | xargs -n 200 %s' % (client(running, 'ps', '-a', '--no-trunc'), client(running, 'ps', '-aq'),
                                                    client(running, 'inspect')),
                0.5, containers / live)]
            references[0].command = references[0].command.replace('OUT', here.path('listed'))
        yield lab.Row(label, 'facts', asked, references, cpu=here.scale * 1.0, outputs=(here.path('listed'),))


@lab.row('facts-list')
def facts_list(here):
    command = explorer(here)
    if command is None:
        print('facts-list is not measured: docker-explorer cannot be installed')
        return
    containers = here.count(1000)
    root = dead_host(here, containers, here.count(200))
    yield lab.Row('list of %d containers, with start of Python' % containers, 'facts',
                  {'host_root': root, 'subset': ['containers'], 'containers': containers},
                  [lab.Reference('docker-explorer list all_containers',
                                 '%s -r %s/var/lib/docker list all_containers' % (shlex.quote(command), shlex.quote(root)), 0.2)],
                  start=True)


@lab.row('linear-containers')
def linear_containers(here):
    for containers in (62, 250, 1000):
        containers = here.count(containers)
        images = max(1, containers // 5)
        yield lab.Row('facts of %d containers, %d images' % (containers, images), 'facts',
                      {'host_root': dead_host(here, containers, images), 'subset': ['!usage'], 'containers': containers},
                      units=containers)


@lab.row('linear-layers')
def linear_layers(here):
    for layers in (7, 28, 112):
        def build(path, dummy, layers=layers):
            deadroot = importlib.import_module('deadroot')
            deadroot.build(path + '/var/lib/docker', containers=100, images=50, layers=layers, files=1, rich=False, host_root=path)
        yield lab.Row('facts of 100 containers, 50 images of %d layers' % layers, 'facts',
                      {'host_root': here.made('deep-%d' % layers, build), 'subset': ['!usage'], 'containers': 100}, units=layers)


@lab.row('usage')
def usage(here):
    count = here.count(100000)
    path = here.small_files(count)
    yield lab.Row('usage of %d files' % count, 'usage', {'path': path, 'files': count},
                  [lab.Reference('du -s', 'du -s ' + shlex.quote(path), 1.5)])


@lab.row('changes')
def changes(here):
    files, changed = here.count(20000), here.count(200)
    with engine('changes') as running:
        if running is None:
            return
        running.docker('import', '-c', 'CMD ["/x"]', '-', 'large', stdin=image_of(files))
        running.docker('create', '--name', 'changed', '--network', 'none', 'large')
        top = running.docker('inspect', '-f', '{{.GraphDriver.Data.UpperDir}}', 'changed').decode().strip()
        base = os.path.join(running.outside(top), 'usr', 'share')
        for number in range(changed):
            folder = os.path.join(base, 'd%03d' % (number * (files // 100) // changed))
            os.makedirs(folder, exist_ok=True)
            if number % 4:
                with open(os.path.join(folder, 'new%d' % number), 'w') as handle:
                    handle.write('new')
            else:
                os.mknod(os.path.join(folder, 'file%05d' % (int(os.path.basename(folder)[1:]) * 100)), 0o20000)
        expected = len(running.docker('diff', 'changed').splitlines())
        yield lab.Row('changes: %d of %d files of an image' % (changed, files), 'facts',
                      {'host_root': running.host_root, 'subset': ['containers', 'changes'], 'names': ['changed'],
                       'changes': expected},
                      [lab.Reference('docker diff, live', client(running, 'diff', 'changed'), 1.0)])
