"""Links out of a volume over the API of an engine: held back, and sent for the folder `/` with the folders that hold them."""
import io
import os
import tarfile

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import tarread
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import awaylinks, volumes
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, member, tar_bytes


def folder(name, mode=0o755, mtime=1600000000, uid=7):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime, info.uid = tarfile.DIRTYPE, mode, mtime, uid
    return info, None


def link(name, target, **more):
    return member(name, kind=tarfile.SYMTYPE, linkname=target, **more)


def passed(tmp_path, members, confined=False):
    """(members of the first archive, members of the second one, the Passing)"""
    passing = volumes.Passing(io.BytesIO(tar_bytes(members)), 'the archive', os.fsencode(str(tmp_path)), confined=confined)
    first = b''.join(passing)
    second = b''.join(passing.away.archive())
    return [opened(raw) for raw in (first, second)] + [passing]


def opened(raw):
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        return [(item.name, item.type, item.linkname, item.mode, item.uid, item.mtime, archive.extractfile(item).read() if item.isreg() else None)
                for item in archive]


@pytest.mark.parametrize('name, target, out', [
    ('l', '../x', True), ('l', '..', True), ('l', '.', False), ('l', '/etc/passwd', False), ('a/l', '../x', False), ('a/l', '../../x', True),
    ('a/l', '../b/../../x', True), ('a/b/l', '../../x', False), ('l', 'a/../../x', True), ('l', '', False), ('l', 'a//..//./b', False)])
def test_which_links_lead_out(name, target, out):
    assert awaylinks.leaves(name.encode(), target.encode()) is out


def test_links_out_come_second_and_nothing_else_is_changed(tmp_path):
    members = [ROOT, member('./a', b'x' * 700), link('./b', '../../etc'), member('./c', b'y' * 513), folder('./d', 0o2750, 1500000000),
               link('./d/in', 'x'), link('./d/out', '../../host', uid=5), folder('./d/e'), member('./d/e/f', b''), link('./d/z', '../../../up'),
               member('./e', b'z')]
    first, second, passing = passed(tmp_path, members)
    whole = opened(tar_bytes(members))
    away = ('./b', './d/out', './d/z')
    assert first == [item for item in whole if item[0] not in away]
    assert [(item[0], item[1]) for item in second] == [
        ('lifeboat-place', tarfile.DIRTYPE), ('lifeboat-place/d', tarfile.DIRTYPE), ('lifeboat-place/b', tarfile.SYMTYPE),
        ('lifeboat-place/d/out', tarfile.SYMTYPE), ('lifeboat-place/d/z', tarfile.SYMTYPE)]
    by_name = {item[0]: item for item in whole}
    for item in second:
        name = '.' + item[0][len('lifeboat-place'):]
        assert item[2:6] == by_name[name][2:6], name
    assert len(passing.away) == 3 and passing.away.names() == [b'b', b'd/out', b'd/z']


def test_a_second_name_of_such_a_link_comes_with_it(tmp_path):
    hard = member('./c', kind=tarfile.LNKTYPE, linkname='./b')
    first, second, dummy = passed(tmp_path, [ROOT, link('./b', '../x'), hard, member('./d', b'1')])
    assert [item[0] for item in first] == ['.', './d']
    assert [(item[0], item[1], item[2]) for item in second][1:] == [
        ('lifeboat-place/b', tarfile.SYMTYPE, '../x'), ('lifeboat-place/c', tarfile.LNKTYPE, 'lifeboat-place/b')]


def test_nothing_is_held_where_the_engine_takes_each_link(tmp_path):
    first, second, passing = passed(tmp_path, [ROOT, link('./b', '../x')], confined=True)
    assert [item[0] for item in first] == ['.', './b'] and not len(passing.away) and second == []


def test_no_member_goes_through_a_link_that_is_held_back(tmp_path):
    with pytest.raises(tarread.ArchiveError):
        passed(tmp_path, [ROOT, link('./b', '../x'), member('./b/c', b'1')])
    with pytest.raises(tarread.ArchiveError):
        passed(tmp_path, [ROOT, link('./b', '../x'), folder('./b')])


def test_more_links_than_fit_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(awaylinks, 'MOST', 4096)
    with pytest.raises(tarread.ArchiveError) as raised:
        passed(tmp_path, [ROOT] + [link('./l%d' % number, '../x') for number in range(20)])
    assert 'links out of the volume' in str(raised.value)
