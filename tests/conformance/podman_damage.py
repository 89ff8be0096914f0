"""What crashes leave behind in a graph root, done to one record at a time: the cases of test_damage.py."""
import contextlib
import glob
import json
import os
import shutil
import sqlite3

from hurt import Hurt
from subject import Damage

WEB, DB = 'web', 'db'
OVERLAY = ('built-podman', 'built-podman-bolt')
SQLITE = ('built-podman',)
CRIO = ('built-crio',)
ALL = ('built-podman', 'built-podman-bolt', 'built-podman-vfs')


def top(hurt, *more):
    """A file of the graph root."""
    return os.path.join(hurt.subject.data_root, *more)


def records(hurt, kind, name=None):
    """The file of records of a kind; of the driver that is there."""
    found = [path for path in glob.glob(top(hurt, '*-' + kind, name or kind + '.json')) if os.path.exists(path)]
    return found[0]


def layer(hurt, role, *more):
    """The folder of a container's layer."""
    return os.path.join(os.path.dirname(hurt.container(role)['layers']['writable']), *more)


def userdata(hurt, role, *more):
    """A file of a container's own folder."""
    return os.path.join(os.path.dirname(records(hurt, 'containers')), hurt.container(role)['id'], 'userdata', *more)


def edit(ident, change):
    """A change of a file of records: CHANGE(record) of the one with an id; None takes it out."""
    def apply(raw):
        kept = []
        for record in json.loads(raw):
            if record['id'] != ident:
                kept.append(record)
            elif change is not None:
                change(record)
                kept.append(record)
        return json.dumps(kept).encode()
    return apply


def _incomplete(hurt):
    name = os.path.basename(layer(hurt, WEB))
    hurt.write(records(hurt, 'layers'), edit(name, lambda record: record.update(flags={'incomplete': True})))


def _without_lowers(hurt):
    for name in ('lower', 'lower-layers'):
        if os.path.exists(layer(hurt, WEB, name)):
            hurt.aside(layer(hurt, WEB, name))


def _volatile(hurt):
    """The records of containers and their layers are lost, as a power cut leaves files that were not synced."""
    for kind in ('containers', 'layers'):
        hurt.write(records(hurt, kind, 'volatile-%s.json' % kind), b'')


def _web_lost(hurt):
    return {item['name']: ('partial', 'IMAGE_LAYER_LOST') for item in hurt.facts['containers'] if hurt.container(WEB)['layers']['image'][1] in
            item['layers']['image']}


DAMAGES = {
    'database empty': Damage(lambda h: h.write(top(h, 'db.sql'), b''), {}, ('STATE_DB_DAMAGED',), works_on=SQLITE),
    'database of NUL bytes': Damage(lambda h: h.write(top(h, 'db.sql'), lambda raw: bytes(len(raw))), {}, ('STATE_DB_DAMAGED',), works_on=SQLITE),
    'database cut': Damage(lambda h: h.write(top(h, 'db.sql'), lambda raw: raw[:4096]), {}, ('STATE_DB_DAMAGED',), works_on=SQLITE),
    'database gone': Damage(lambda h: h.aside(top(h, 'db.sql')), {}, ('STATE_DB_MISSING',), works_on=SQLITE),
    'bolt database of NUL bytes': Damage(lambda h: h.write(top(h, 'libpod', 'bolt_state.db'), lambda raw: bytes(len(raw))), {},
                                         ('STATE_DB_DAMAGED',), works_on=('built-podman-bolt',)),
    'containers.json torn': Damage(lambda h: h.write(records(h, 'containers'), lambda raw: raw[:len(raw) // 2]), 'every', ('RECORDS_DAMAGED',),
                                   works_on=OVERLAY),
    'layers.json of NUL bytes': Damage(lambda h: h.write(records(h, 'layers'), lambda raw: bytes(len(raw))), 'every', ('RECORDS_DAMAGED',), False,
                                       works_on=OVERLAY),
    'images.json torn': Damage(lambda h: h.write(records(h, 'images'), lambda raw: raw[:-3]), {}, ('RECORDS_DAMAGED',), works_on=ALL),
    'record of a container lost': Damage(lambda h: h.write(records(h, 'containers'), edit(h.container(WEB)['id'], None)), {WEB: ('complete', None)},
                                         works_on=OVERLAY),
    'layer incomplete': Damage(_incomplete, {WEB: ('complete', 'LAYER_INCOMPLETE')}, works_on=ALL[:2]),
    'links gone': Damage(lambda h: h.aside(top(h, 'overlay', 'l')), 'every', works_on=OVERLAY),
    'lower and lower-layers gone': Damage(_without_lowers, {WEB: ('complete', 'LAYER_LINKS_DAMAGED')}, works_on=OVERLAY),
    'lower-layers with a path in it': Damage(lambda h: h.write(layer(h, WEB, 'lower-layers'), b'../../../../etc:x'), {WEB: ('complete', 'LAYER_LINKS_DAMAGED')},
                                             works_on=SQLITE),
    'writable layer gone': Damage(lambda h: h.aside(h.container(WEB)['layers']['writable']), {WEB: ('partial', 'WRITABLE_LAYER_LOST')}, (), False,
                                  works_on=OVERLAY),
    'image layer gone': Damage(lambda h: h.aside(h.container(WEB)['layers']['image'][1]), _web_lost, ('IMAGE_LAYER_LOST',), False, works_on=OVERLAY),
    'image layer is a link': Damage(lambda h: (h.aside(h.container(WEB)['layers']['image'][1]), os.symlink('/', h.container(WEB)['layers']['image'][1])),
                                    _web_lost, ('IMAGE_LAYER_LOST',), False, works_on=SQLITE),
    'volume folder gone': Damage(lambda h: h.aside(top(h, 'volumes', 'shop_db')), {DB: ('partial', 'VOLUME_LOST')}, works_on=ALL[:2]),
    'runtime spec torn': Damage(lambda h: h.write(userdata(h, WEB, 'config.json'), lambda raw: raw[:40]), {WEB: ('complete', None)}, works_on=OVERLAY),
    'volatile records empty': Damage(_volatile, 'every', ('VOLATILE_RECORD_LOST',), works_on=CRIO),
}


def renamed(subject, role, name):
    """NAME is the name of a container in every record of it -> hurt.Hurt."""
    ident = subject.containers()[subject.ROLES[role]].id
    hurt = Hurt(subject, None)

    def change(record):
        record['names'] = [name]
        record['metadata'] = json.dumps(dict(json.loads(record['metadata']), **{'name': name, 'metadata-name': name, 'image-name': name}))
    folder, = glob.glob(os.path.join(subject.data_root, '*-containers'))
    stable = os.path.join(folder, 'containers.json')
    hurt.write(stable if os.path.exists(stable) else os.path.join(folder, 'volatile-containers.json'), edit(ident, change))
    database = os.path.join(subject.data_root, 'db.sql')
    if os.path.exists(database):
        shutil.copy(hurt.aside(database), database)
        _in_database(database, ident, name)
    hurt.write(os.path.join(folder, ident, 'userdata', 'config.json'), lambda raw: _with_mounts(json.loads(raw), name))
    return hurt


def _in_database(path, ident, name):
    """Podman's own record of a container: NAME is its name, a label, the target of a bind mount and a volume."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        config = json.loads(database.execute('SELECT JSON FROM ContainerConfig WHERE ID = ?', (ident,)).fetchone()[0])
        config.update(name=name, labels={name: name}, userVolumes=['/' + name], namedVolumes=[{'volumeName': name, 'dest': '/v', 'options': []}])
        config['spec'] = json.loads(_with_mounts(config['spec'], name).decode('ascii'))
        database.execute('UPDATE ContainerConfig SET JSON = ? WHERE ID = ?', (json.dumps(config).encode('ascii'), ident))
        database.commit()


def _with_mounts(spec, name):
    spec['mounts'] += [{'destination': '/' + name, 'type': 'bind', 'source': '/srv/' + name, 'options': ['rw']},
                       {'destination': '/v', 'type': 'bind', 'source': '/x/volumes/%s/_data' % name, 'options': ['rw']}]
    spec.setdefault('annotations', {})[name] = name
    return json.dumps(spec).encode()
