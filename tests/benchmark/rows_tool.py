"""The tool: its start and a look at many containers as lifeboat.pyz, a program of its own; listing and copying a merged view, as in all
other rows without the start of Python."""
import importlib
import os
import resource
import shlex
import subprocess
import sys

import lab
from rows_facts import dead_host, explorer

sys.path.insert(0, os.path.join(lab.COLLECTION, 'tools'))


def tool(here):
    """Path of lifeboat.pyz, built anew."""
    return importlib.import_module('pyz').pyz(here.path('tool'), 1000000000)


@lab.work('tool')
def tool_work(path, words, output='/dev/null'):
    def run():
        with open(output, 'wb') as out:
            status = subprocess.run([sys.executable, '-I', path] + words, stdin=subprocess.DEVNULL, stdout=out,
                                    stderr=subprocess.DEVNULL, check=False).returncode
        if status not in (0, 2 if words[-1] == 'look' else 0):
            raise SystemExit('the tool ended with %d' % status)
    return run


@lab.work('verb')
def verb_work(words, first):
    """FIRST: arguments of a run before the measured one, which loads what is needed."""
    lab.importable()
    main = importlib.import_module(lab.UTILS + '.cli.main')

    def run(words=words):
        kept, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        try:
            status = main.main(words)
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            os.close(null)
        if status:
            raise SystemExit('the tool ended with %d' % status)
    run(first)
    return run


def bare():
    """Seconds of processor time of a Python that does nothing."""
    used = []
    for dummy in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, '-I', '-c', 'pass'], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(used)


@lab.row('tool-start')
def tool_start(here):
    empty = here.made('empty', lambda path, dummy: None)
    yield lab.Row('lifeboat look, an empty root', 'tool', {'path': tool(here), 'words': ['--host-root', empty, 'look']},
                  cpu=0.15 + bare())


@lab.row('tool-look')
def tool_look(here):
    containers, images = here.count(1000), here.count(200)
    root = dead_host(here, containers, images)
    command = explorer(here)
    references = []
    if command is None:
        print('tool-look is not measured beside docker-explorer: it cannot be installed')
    else:
        references = [lab.Reference('docker-explorer list all_containers',
                                    '%s -r %s/var/lib/docker list all_containers' % (shlex.quote(command), shlex.quote(root)), 1.0)]
    for label, words in (('with images, volumes, layers without a container', []), ('containers only', ['--gather', 'containers'])):
        yield lab.Row('lifeboat look of %d containers, %s' % (containers, label), 'tool',
                      {'path': tool(here), 'words': ['--host-root', root, 'look'] + words}, references)


def merged(here):
    """(host root, number of files, command that mounts its container c at MOUNTED): 12 layers."""
    files = here.count(20000)

    def build(path, dummy):
        importlib.import_module('deadroot').build(path + '/var/lib/docker', containers=1, layers=12, files=files // 12, rich=False,
                                                  host_root=path)
    root = here.made('merged-%d' % files, build)
    name = subprocess.check_output([sys.executable, '-I', tool(here), '--host-root', root, '--json', 'look'])
    name = importlib.import_module('json').loads(name.decode())['containers'][0]['name']
    mounted = here.path('merged-mounted')
    os.makedirs(mounted, exist_ok=True)
    line = subprocess.check_output([sys.executable, '-I', tool(here), '--host-root', root, 'mount', name, mounted]).decode().strip()
    return root, name, mounted, line


@lab.row('tool-ls')
def tool_ls(here):
    if os.geteuid() != 0:
        print('tool-ls is not measured: overlay mounts need root')
        return
    root, name, mounted, line = merged(here)
    yield lab.Row('lifeboat ls -R of a merged view, %d files, 12 layers' % here.count(20000), 'verb',
                  {'words': ['--host-root', root, 'ls', '-R', '--no-mounts', name], 'first': ['--host-root', root, 'ls', name + ':/etc']},
                  [lab.Reference('overlay mount, find', 'unshare -m sh -ec %s' % shlex.quote('%s; find %s' % (line, mounted)), 1.0)])


@lab.row('tool-cp')
def tool_cp(here):
    if os.geteuid() != 0:
        print('tool-cp is not measured: overlay mounts need root')
        return
    root, name, mounted, line = merged(here)
    ours, theirs, sums = here.path('copied-ours'), here.path('copied-theirs'), here.path('copied-sums')
    reference = lab.Reference('overlay mount, cp -a', 'unshare -m sh -ec %s' % shlex.quote('%s; cp -a %s %s' % (line, mounted, theirs)), 1.5)
    for label, words in (('', []), (' with checksums', ['--sums', sums])):
        yield lab.Row('lifeboat cp of a merged view, %d files%s' % (here.count(20000), label), 'verb',
                      {'words': ['--quiet', '--host-root', root, 'cp', '--no-mounts'] + words + [name + ':/', ours],
                       'first': ['--host-root', root, 'ls', name + ':/etc']}, [reference],
                      outputs=(ours, theirs, sums))
