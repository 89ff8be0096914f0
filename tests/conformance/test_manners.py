"""The source is not written to, and hostile names stay names."""
import json
import os
import stat
import subprocess

import rescued
from hostiletext import IDS, NAMES, bad
from rig import listing

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info


def test_nothing_is_written_to_the_source(rescue):
    """Not even a time of access: facts are gathered in it as well (see test_facts_write_nothing)."""
    dummy, dummy, before, after = rescue
    assert listing.differences(before, after) == []


def test_facts_write_nothing(subject):
    before = listing.snapshot(subject.host_root)
    rescued.gather(subject, gather_subset=['all'])
    assert listing.differences(before, listing.snapshot(subject.host_root)) == []


def test_everything_is_rescued_and_verifies(subject, rescue):
    result, dest, dummy, dummy = rescue
    assert {item['container'] for item in result['bundles'] if item['kind'] == 'container'} == set(subject.containers())
    for item in info.inspect(os.fsencode(dest), True):
        assert (item['status'], item['extra'], item['differences']) == ('verified', [], []), item['path']
        subprocess.check_call(['sha256sum', '--quiet', '-c', 'SHA256SUMS'], cwd=item['path'])
    for folder, dummy, files in os.walk(dest):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700, folder
        for name in files:
            assert stat.S_IMODE(os.lstat(os.path.join(folder, name)).st_mode) == 0o600, name


def test_hostile_names(subject, copies, disk_dir):
    """A container's name, its label, the target of its bind mount and its volume have one hostile name after another."""
    copy, whole = copies(subject, gather)
    hurt, ident = None, whole_id(copy)
    for number, (name, which) in enumerate(zip(NAMES, IDS)):
        hurt = copy.renamed('web', name)
        try:
            facts = rescued.gather(copy, gather_subset=['containers', 'layers', 'volumes', 'changes'], changes_limit=0)
            result = rescued.rescue(copy, os.path.join(disk_dir, which), containers=(ident,), include=('config', 'writable', 'volumes', 'binds'),
                                    compression='none') if number < 4 else None
        finally:
            hurt.heal()
        assert len(facts['containers']) == len(whole['containers']), which
        before = {item['id']: item for item in whole['containers']}
        for item in facts['containers']:
            if item['id'] == ident:
                assert item['layers'] == before[ident]['layers'] and item['changes'] == before[ident]['changes'], which
            else:
                assert item == before[item['id']], which
        problems = facts['problems'] + [each for item in facts['containers'] for each in item['problems']]
        assert [bad(text) for each in problems for text in each.values() if isinstance(text, str) and bad(text)] == [], which
        json.dumps(facts)
        if result is not None:
            bundle, = result['bundles']
            assert os.path.realpath(bundle['path']).startswith(os.path.realpath(os.path.join(disk_dir, which)) + os.sep)
            assert sorted(os.listdir(disk_dir)) == sorted(IDS[:number + 1])
            assert bad(os.path.basename(bundle['path'])) == [] and [each['status'] for each in info.inspect(os.fsencode(bundle['path']), True)] == ['verified']


def whole_id(copy):
    return copy.containers()[copy.ROLES['web']].id


def gather(subject):
    return rescued.gather(subject, gather_subset=['containers', 'layers', 'changes', 'images', 'volumes', 'orphans'], changes_limit=0)
