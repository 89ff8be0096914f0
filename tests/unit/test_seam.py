"""The seam between the engines and everything above: no engine's word there; a driver is one file and its entry in one table; an engine
is a folder and one line. Both are added to a copy of the tree, and used."""
import ast
import functools
import glob
import json
import os
import re
import shutil
import subprocess
import sys

import deadroot
import pytest
import toyengine

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLUGINS = os.path.join(TOP, 'plugins')
# floors that know of engines what engines/api.py says, and no more
ABOVE = ('archive', 'databases', 'deployment', 'usage', 'images', 'bundles', 'transport', 'facts', 'rescue', 'restore', 'swarm', 'cli', 'recreate')
# files in homes that no engine reads
OF_THE_COMMAND_LINE = {'.docker/config.json'}
# names of files, folders, keys and stores that only one engine has
WORDS = re.compile(r'config\.v2\.json|hostconfig|config\.json\Z|layerdb|imagedb|repositories\.json|local-kv|graphdriver|snapshotter|overlay2|'
                   r'io\.containerd\.(snapshotter|metadata|content)|MountPoints|ResolvConfPath|HostnamePath|LogPath|ImageManifest')
# what the Engine API calls its fields, and folders of engines on the host that a container is made on: for those who write for an
# engine (recreate) or speak with it (restore)
API_WORDS = re.compile(r'HostConfig\Z|RestartPolicy|NetworkMode|AutoRemove|VolumesFrom|/var/lib/(docker|containerd)\Z')
SPEAKS_API = ('recreate', 'restore')


def sources(rooms=ABOVE):
    for room in rooms:
        for path in sorted(glob.glob(os.path.join(PLUGINS, 'module_utils', room, '**', '*.py'), recursive=True)):
            yield room, path
    for folder in ('modules', 'plugin_utils', 'action', 'filter'):
        for path in sorted(glob.glob(os.path.join(PLUGINS, folder, '*.py'))):
            yield folder, path


@functools.lru_cache(maxsize=None)
def parsed(path):
    with open(path, encoding='utf-8') as stream:
        return ast.parse(stream.read())


def texts(tree):
    """Yield (line, text) of each name, attribute and constant that the program works with. Documentation is for people, and so are
    sentences: a text with a blank."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)} | {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') in (
            'DOCUMENTATION', 'EXAMPLES', 'RETURN')}
    for node in ast.walk(tree):
        kind = type(node).__name__      # Str and Bytes: before Python 3.8
        value = node.value if kind == 'Constant' else node.s if kind in ('Str', 'Bytes') else \
            getattr(node, 'attr', getattr(node, 'id', getattr(node, 'arg', None)))
        if isinstance(value, bytes):
            value = value.decode('latin-1')
        if isinstance(value, str) and ' ' not in value and id(node) not in documentation:
            yield getattr(node, 'lineno', 0), value


def test_no_word_of_an_engine_above_the_seam():
    found = [(os.path.relpath(path, PLUGINS), line, text) for room, path in sources() for line, text in texts(parsed(path))
             if WORDS.search(text) and text not in OF_THE_COMMAND_LINE or room not in SPEAKS_API and API_WORDS.search(text)]
    assert found == []


def test_the_words_are_found_where_they_belong():
    """The test above would say nothing if it saw nothing."""
    found = {text for dummy, path in sources(('engines',)) for dummy, text in texts(parsed(path)) if WORDS.search(text)}
    assert len(found) > 20


def imports(path):
    """Yield the full names that a file imports, wherever in it, below ``plugins``."""
    place = os.path.relpath(path, PLUGINS)[:-3].split(os.sep)
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        if isinstance(node, ast.ImportFrom):
            base = place[:len(place) - node.level] if node.level else []
            base = '.'.join(base + [node.module] if node.module else base)
            for alias in node.names:
                yield (base + '.' + alias.name).replace('ansible_collections.lifeboat.docker.plugins.', '')


def test_only_the_seam_is_imported_of_engines():
    allowed = re.compile(r'module_utils\.engines\.(api|registry)\b')
    found = [(os.path.relpath(path, PLUGINS), name) for dummy, path in sources() for name in imports(path)
             if name.startswith('module_utils.engines.') and not allowed.match(name)]
    assert found == []


@pytest.mark.parametrize('folder, refused', [
    ('module_utils', ('modules.', 'plugin_utils.', 'action.', 'filter.')),
    ('modules', ('plugin_utils.', 'action.', 'filter.', 'modules.')),
    ('plugin_utils', ('modules.', 'action.', 'filter.')),
    ('action', ('modules.', 'filter.')),
    ('filter', ('modules.', 'action.')),
])
def test_no_import_leads_upwards(folder, refused):
    found = [(os.path.relpath(path, PLUGINS), name) for path in glob.glob(os.path.join(PLUGINS, folder, '**', '*.py'), recursive=True)
             for name in imports(path) if name.startswith(refused)]
    assert found == []


def test_an_engine_that_there_is_not(tmp_path):
    with pytest.raises(LifeboatError) as raised:
        registry.open_host(os.fsencode(str(tmp_path)), engines=['docker', 'doker'])
    assert str(raised.value) == 'engines has no "doker"; it has: docker, crio, kubernetes, nerdctl, podman, all.'


# -- a copy of the tree, with something more in it ---------------------------------------------------------------------------------------

WORK = '''
import json, os, sys
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info, reading
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run
top, data_root, dest = map(os.fsencode, sys.argv[1:4])
with registry.open_host(top, [data_root] if data_root else []) as host:
    facts = gather.gather(host, gather.Options(gather_subset=['all']))
with registry.open_host(top, [data_root] if data_root else []) as host:
    result = run.rescue(host, run.Request(dest, host_name='box', compression='none', include=(
        'config', 'writable', 'rootfs', 'volumes', 'binds', 'logs')))
seen = [reading.inspect_bundle(path) for path in reading.find_bundles(dest)]
print(json.dumps({'facts': facts, 'result': result, 'verified': [item.status for item in seen]}))
'''


def copied(folder):
    """A copy of the plugins, as a collection below FOLDER/tree. Python keeps there what it compiles, since several tests start it."""
    place = folder / 'tree' / 'ansible_collections' / 'lifeboat' / 'docker'
    shutil.copytree(PLUGINS, str(place / 'plugins'), ignore=shutil.ignore_patterns('__pycache__'))
    return place / 'plugins'


def insert(path, before, line):
    """LINE in a file, before the only line that is BEFORE."""
    text = path.read_text()
    assert text.count(before) == 1, before
    path.write_text(text.replace(before, line + before))


def run(tree, script, *words):
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONDONTWRITEBYTECODE'}
    done = subprocess.run([sys.executable, '-c', script] + [str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=dict(environment, PYTHONPATH=str(tree.parents[3])), timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout.decode())


def worked(tree, top, data_root, dest):
    return run(tree, WORK, top, data_root, dest)


def test_a_driver_is_one_file_and_its_entry(tmp_path):
    """A copy of vfs under another name; the data root has a container on it, and no word of vfs."""
    tree = copied(tmp_path)
    utils = tree / 'module_utils' / 'engines' / 'docker'
    text = (utils / 'drivers' / 'vfs.py').read_text()
    (utils / 'drivers' / 'copies.py').write_text(text.replace("b'vfs", "b'copies"))
    insert(utils / 'driver_table.py', "    if name == 'overlay2':\n", "    if name == 'copies':\n        from .drivers import copies\n        return copies\n")
    root = tmp_path / 'host' / 'var' / 'lib' / 'docker'
    expected = deadroot.build(str(root), containers=1, host_root=str(tmp_path / 'host'), rich=False)
    one = expected.containers[0]
    ident = os.path.basename(os.path.dirname(os.fsdecode(one.upper)))
    os.makedirs(str(root / 'copies' / 'dir' / (ident + '-init')))
    for name in os.listdir(str(root / 'overlay2')):
        if name != 'l' and os.path.isdir(str(root / 'overlay2' / name / 'diff')) and name != ident + '-init':
            shutil.move(str(root / 'overlay2' / name / 'diff'), str(root / 'copies' / 'dir' / name))
    shutil.rmtree(str(root / 'overlay2'))
    os.rename(str(root / 'image' / 'overlay2'), str(root / 'image' / 'copies'))
    for path in (root / 'containers').glob('*/config.v2.json'):
        path.write_text(path.read_text().replace('"overlay2"', '"copies"').replace('/overlay2/', '/copies/'))
    found = worked(tree, tmp_path / 'host', '/var/lib/docker', tmp_path / 'out')
    assert [item for item in found['facts']['problems'] if item['severity'] == 'critical'] == []
    shown = found['facts']['containers'][0]
    assert (shown['driver'], shown['store'], shown['status']) == ('copies', 'graphdriver', 'complete')
    assert found['facts']['roots'][0]['drivers'] == ['copies']
    assert shown['layers']['writable'] == str(root / 'copies' / 'dir' / ident)
    assert [item['status'] for item in found['result']['bundles']] == ['complete'] and found['verified'] == ['verified']


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    """(copy of the tree with a made-up engine, the root of a host that has a container of it). Do not write into either."""
    place = tmp_path_factory.mktemp('toy')
    tree = copied(place)
    folder = tree / 'module_utils' / 'engines' / 'toy'
    folder.mkdir()
    (folder / '__init__.py').write_text('')
    shutil.copy(toyengine.ENGINE, str(folder / 'engine.py'))
    insert(tree / 'module_utils' / 'engines' / 'registry.py', '    from .docker import engine as docker  # noqa: F401\n',
           '    from .toy import engine as toy  # noqa: F401\n')
    toyengine.build(str(place / 'host' / 'var' / 'lib' / 'toy'))
    return tree, place / 'host'


@pytest.mark.parametrize('data_root', ['', '/var/lib/toy'])
def test_an_engine_is_a_folder_and_one_line(toy, tmp_path, data_root):
    """Facts, rescue, verify."""
    tree, host = toy
    found = worked(tree, host, data_root, tmp_path / 'out')
    facts = found['facts']
    assert [(item['engine'], item['path']) for item in facts['roots']] == [('toy', str(host / 'var/lib/toy'))]
    shown = facts['containers'][0]
    assert (shown['engine'], shown['name'], shown['status'], shown['user']) == ('toy', 'bear', 'complete', None)
    assert shown['layers']['writable'] == str(host / 'var/lib/toy' / toyengine.ID / 'rootfs')
    assert [(item['name'], item['used_by'], item['usage']['files']) for item in facts['volumes']] == [('bear-data', [toyengine.ID], 1)]
    # others than root are told that they do not see all, and nothing else is told
    assert [item['code'] for item in facts['problems']] == (['PRIVILEGES_MISSING'] if os.geteuid() else []), facts['problems']
    assert found['verified'] == ['verified'] and [item['status'] for item in found['result']['bundles']] == ['complete']
    files = {item['name']: item['files'] for item in json.loads((
        tmp_path / 'out' / 'box' / ('bear-' + toyengine.ID[:12]) / 'manifest.json').read_text())['components']}
    assert files['volume:bear-data'] == 1 and files['writable'] == 1


RESTORE = '''
import json, os, sys
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import plan, run
print(json.dumps(run.restore(plan.Options(path=os.fsencode(sys.argv[1]), target='directory', dest=os.fsencode(sys.argv[2]),
                                          restore=('volumes',)))))
'''


def test_the_volume_of_that_engine_is_restored(toy, tmp_path):
    tree, host = toy
    worked(tree, host, '', tmp_path / 'out')
    (tmp_path / 'back').mkdir()
    result = run(tree, RESTORE, tmp_path / 'out' / 'box' / ('bear-' + toyengine.ID[:12]), tmp_path / 'back')
    assert result['changed'] is True
    assert [path.read_text() for path in (tmp_path / 'back').rglob('honey')] == ['sweet']


AUDIT = '''
import json, sys
from ansible_collections.lifeboat.docker.plugins.plugin_utils import findings
facts, rules = json.loads(sys.argv[1])
print(json.dumps(findings.findings(facts, rules, None, 'box', None)))
'''


@pytest.mark.skipif(sys.version_info < (3, 10), reason='code of the controller')
def test_that_engine_is_audited(toy, tmp_path):
    tree, host = toy
    facts = worked(tree, host, '', tmp_path / 'out')['facts']
    rules = [{'code': 'TOY', 'severity': 'warning', 'query': "containers[?engine=='toy'].name", 'message': 'a toy', 'next_step': ''}]
    found = run(tree, AUDIT, json.dumps([facts, rules]))
    assert [(item['code'], item['object']) for item in found] == [('TOY', 'bear')]


def test_engines_are_looked_for_as_asked(toy):
    """Only the one that is named; a folder of one engine is not shown to another."""
    tree, host = toy
    script = '''
import json, os, sys
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
with registry.open_host(os.fsencode(sys.argv[1]), engines=sys.argv[2:]) as host:
    print(json.dumps([[root.engine for root in host.roots], [item.code for item in host.problems]]))
'''
    assert run(tree, script, host, 'toy') == [['toy'], []]
    assert run(tree, script, host, 'all') == [['toy'], []]
    assert run(tree, script, host, 'docker') == [[], ['NO_DATA_ROOT']]


TOOL = '''
import json, os, sys
from ansible_collections.lifeboat.docker.plugins.module_utils.cli import main
kept, statuses = os.dup(1), []
with open(sys.argv[2], 'wb') as out:
    os.dup2(out.fileno(), 1)
    for words in (['look'], ['look', '--json'], ['ls', '-R', 'bear'], ['find', 'bear', '-type', 'f'], ['du', 'bear'], ['tar', 'bear'], ['diff', 'bear'],
                  ['inspect', 'bear'], ['mount', 'bear'], ['cp', 'bear:/', sys.argv[3]], ['cat', 'volume:bear-data:/honey']):
        statuses.append([words[0], main.main(['--host-root', sys.argv[1]] + words)])
os.dup2(kept, 1)
print(json.dumps(statuses))
'''


def test_the_tool_looks_into_that_engine(toy, tmp_path):
    tree, host = toy
    statuses = run(tree, TOOL, host, tmp_path / 'said', tmp_path / 'copied')
    assert [item for item in statuses if item[1] != 0] == []
    said = (tmp_path / 'said').read_bytes()
    assert said.startswith(b'Data root %s: toy' % os.fsencode(str(host / 'var/lib/toy'))) and said.endswith(b'sweet')
    assert b'complete  bear' in said and os.path.isdir(str(tmp_path / 'copied'))
