"""One record of the engine damaged at a time.

Every container that is not hurt reads exactly as before, the hurt one has the status and the code that docs/codes.md explains, and
nothing raises. The cases belong to the adapter (Subject.DAMAGES).
"""
import os

import rescued
from hurt import Hurt
from test_manners import gather

from ansible_collections.lifeboat.docker.plugins.module_utils.records.codes import CODES


def known_codes(facts):
    """The codes of all problems; each has an entry in the table, and a sentence."""
    holders = [facts] + facts['containers'] + facts['images'] + facts['volumes']
    for item in [problem for holder in holders for problem in holder['problems']]:
        assert item['code'] in CODES
        assert item['message'].strip().endswith('.')
        yield item['code']


def test_damage(subject, case, copies):
    copy, whole = copies(subject, gather)
    damage = subject.DAMAGES[case]
    hurt = Hurt(copy, whole)
    try:
        damage.apply(hurt)
        facts = gather(copy)
    finally:
        hurt.heal()
    before = {item['id']: item for item in whole['containers']}
    after = {item['id']: item for item in facts['containers']}
    assert set(before) == set(after), 'no container may vanish'
    assert set(damage.codes) <= set(known_codes(facts))
    if damage.hurt == 'any':
        return
    if damage.hurt == 'every':
        concerned = None
    elif callable(damage.hurt):
        concerned = damage.hurt(hurt)
        assert concerned
    else:
        concerned = {subject.ROLES[role]: expected for role, expected in damage.hurt.items()}
    for ident, item in after.items():
        compare(item, before[ident], concerned, damage.same_changes)


def compare(item, before, concerned, same_changes):
    """The facts of one container, ITEM, against what they were BEFORE. CONCERNED: {name: (status, code)}, None: every container."""
    name = before['name']
    if concerned is None:               # found another way: nothing of it may change
        assert (item['status'], item['changes'], item['layers']['image']) == (before['status'], before['changes'], before['layers']['image']), name
    elif name in concerned:
        status, code = concerned[name]
        assert status in (None, item['status']), (name, item['problems'])
        assert code is None or code in [problem['code'] for problem in item['problems']], item['problems']
        if same_changes:
            assert (item['changes'], item['layers']) == (before['changes'], before['layers']), name
    elif concerned:
        assert item == before, 'a container that is not hurt reads differently: %s' % name
    else:
        assert item['changes'] == before['changes'], name


def test_when_nothing_tells_which_layer_is_whose(subject, blinding, copies, disk_dir):
    """No container claims a writable layer, every one of them is offered as an orphan, and volumes are rescued all the same."""
    copy, whole = copies(subject, gather)
    hurt = Hurt(copy, whole)
    try:
        subject.BLINDING[blinding].apply(hurt)
        facts = gather(copy)
        assert {'METADATA_DB_DAMAGED', 'WRITABLE_LAYER_UNKNOWN'} <= set(known_codes(facts))
        assert len(facts['containers']) == len(whole['containers'])
        assert all(item['status'] in ('partial', 'lost') for item in facts['containers'])
        offered = {item['path'] for item in facts['orphans']['writable_layers']}
        assert {item['layers']['writable'] for item in whole['containers']} <= offered
        result = rescued.rescue(copy, os.path.join(disk_dir, 'out'), orphans=True, compression=subject.compression)
        assert sum(1 for item in result['bundles'] if item['kind'] == 'orphan') == len(offered)
        volumes = [item for bundle in result['bundles'] for item in bundle['components'] if item['kind'] == 'volume']
        assert volumes and all(item['status'] == 'complete' for item in volumes)
    finally:
        hurt.heal()
