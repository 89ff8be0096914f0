"""The audit of a large host: everything docker_layer_facts does for the role, beside du over the same layers."""
import importlib
import json
import os
import sys

import lab

CONTAINERS = 200
SUBSETS = ['containers', 'volumes', 'usage', 'databases', 'orphans']     # as roles/audit has them
# what lies about in writable layers, by the ends of names; nothing of it is a database
NAMES = ('mod%03d.py', 'mod%03d.cpython-311.pyc', 'page-%03d.html', 'img_%03d.jpg', 'part%03d.js', 'session_%03d', 'rec%03d.json', 'x%03d.db', 'trace%03d.log',
         'lib%03d.so')
IN_A_FOLDER = 25


def facts_module():
    lab.importable()
    return importlib.import_module(lab.UTILS + '.facts.gather'), importlib.import_module(lab.UTILS + '.engines.registry')


def read(root, containers, files, state=None):
    """The facts of a host as plain data and as the JSON that Ansible sends, checked against what was built."""
    facts, registry = facts_module()
    options = facts.Options(gather_subset=SUBSETS, state_path=state)
    with registry.open_host(os.fsencode(root), [], None) as host:
        found = facts.gather(host, options)
    sent = json.dumps({'ansible_facts': {'docker_layers': found}})
    counted = sum(one['usage']['files'] for one in found['containers'])
    if len(found['containers']) != containers or counted < files or len(sent) > 700000:
        raise SystemExit('%d containers with %d files, %d characters of facts' % (len(found['containers']), counted, len(sent)))


@lab.work('audit')
def audit_work(root, containers, files, state=None):
    """STATE: path of a state file; a full audit writes it first, which is not measured."""
    if state:
        if os.path.exists(state):
            os.unlink(state)
        read(root, containers, files, state)
    facts_module()
    importlib.import_module(lab.UTILS + '.usage.trees')
    return lambda: read(root, containers, files, state)


def fill(upper, count, dice):
    """COUNT files in UPPER, 25 in a folder, folders up to six deep."""
    for number in range(0, count, IN_A_FOLDER):
        index = number // IN_A_FOLDER
        folder = os.path.join(upper, 'srv', 'app%d' % (index % 3), *['d%d' % (index // 4 ** level % 16) for level in range(index % 4)] + ['n%03d' % index])
        os.makedirs(folder)
        for place in range(min(IN_A_FOLDER, count - number)):
            with open(os.path.join(folder, dice.choice(NAMES) % place), 'wb') as handle:
                handle.write(b'lifeboat' * dice.randrange(100))


@lab.row('audit-host')
def audit_host(here):
    containers, files = max(2, here.count(CONTAINERS)), here.count(500000)
    each = files // containers

    def build(path, dice):
        sys.path.insert(0, os.path.join(lab.COLLECTION, 'tests', 'fixtures'))
        import deadroot
        built = deadroot.build(os.path.join(path, 'var', 'lib', 'docker'), host_root=path, containers=containers, images=20, layers=10, files=2, rich=False)
        for container in built.containers:
            fill(os.fsdecode(container.upper), each, dice)
    root = here.made('audit-host-%d' % files, build)
    what = {'root': root, 'containers': containers, 'files': each * containers}
    layers = os.path.join(root, 'var', 'lib', 'docker', 'overlay2', '*', 'diff')
    yield lab.Row('audit: %d containers, %d files, with databases' % (containers, files), 'audit', what,
                  [lab.Reference('du -s of all layers', 'du -s %s' % layers, 1.5),
                   lab.Reference('du -s --apparent-size of all layers', 'du -s --apparent-size %s' % layers)], units=10)
    # a tenth of the first row
    yield lab.Row('the same with state_path, nothing changed', 'audit', dict(what, state=here.path('audit-host.state')),
                  [lab.Reference('du -s of all layers', 'du -s %s' % layers)], units=1, linear=1.0)
