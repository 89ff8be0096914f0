import struct

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.layers import idmap
from ansible_collections.lifeboat.docker.plugins.module_utils.layers.idmap import IdMap

SUBUID = b'alice:100000:65536\ndockremap:231072:65536\ndockremap:500000:1000\n'
SUBGID = b'alice:100000:65536\ndockremap:300000:65536\n'


def test_ids_go_back_to_those_of_the_container():
    ids = IdMap([(0, 100000, 65536)], [(0, 200000, 65536)])
    assert ids.to_container(100000, 200000) == (0, 0)
    assert ids.to_container(165535, 200999) == (65535, 999)
    assert ids.to_container(165536, 199999) == (165536, 199999)
    assert ids.to_container(0, 200000) == (0, 0)
    # counted for every entry, not for every id
    ids.to_container(165536, 199999)


def test_more_pairs_than_are_remembered():
    ids = IdMap([(0, 100000, 65536)], [(0, 100000, 65536)])
    for number in range(idmap._CACHE * 2 + 5):
        assert ids.to_container(100000 + number, 100000) == (number, 0)
    assert len(ids._pairs) <= idmap._CACHE


def test_root_name_finds_its_owner_in_the_subid_files():
    ids = idmap.from_root_name(b'231072.300000', SUBUID, SUBGID)
    assert ids.uid_ranges == ((0, 231072, 65536), (65536, 500000, 1000)) and ids.gid_ranges == ((0, 300000, 65536),)
    assert not ids.assumed
    assert ids.to_container(500999, 300001) == (66535, 1)


def test_root_name_without_the_files_assumes_the_usual_length():
    ids = idmap.from_root_name(b'231072.300000', b'', SUBGID)
    assert ids.assumed and ids.uid_ranges == ((0, 231072, 65536),)
    # a second range of its owner, whose first one comes before: not the one that Docker took
    assert idmap.from_root_name(b'231072.300000', b'other:1:2\n', SUBGID).assumed


@pytest.mark.parametrize('name', [b'overlay2', b'1', b'1.2.3', b'a.b', b'1.', b'.1', b'-1.5', b'1.99999999999',
                                  b'\xb2.1'])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError):
        idmap.from_root_name(name)


def test_rootless():
    ids = idmap.from_rootless(1000, 1000, b'alice', SUBUID, SUBGID)
    assert ids.uid_ranges == ((0, 1000, 1), (1, 100000, 65536)) and not ids.assumed
    assert ids.to_container(1000, 1000) == (0, 0)
    assert ids.to_container(100000, 100032) == (1, 33)
    assert idmap.from_rootless(1000, 1000, None, b'1000:7:10\n', b'1000:8:10\n').to_container(7, 9) == (1, 2)
    alone = idmap.from_rootless(1000, 1001, b'bob', SUBUID, SUBGID)
    assert alone.assumed and alone.to_container(1000, 1001) == (0, 0)


def test_shifted_root_file_system():
    ids = idmap.from_shifted(100000, 100000, b'root:100000:65536\n', b'root:100000:65536\n')
    assert not ids.assumed and [ids.to_container(100000 + each, 100000 + each) for each in (0, 33, 65535)] == [(0, 0), (33, 33), (65535, 65535)]
    # LXD's own default
    assert idmap.from_shifted(1000000, 1000000, b'root:1000000:1000000000\n', b'root:1000000:1000000000\n').to_container(1200000, 1000999) == (200000, 999)
    assert idmap.from_shifted(100000, 100000).assumed


def test_subid_files_are_read_with_care():
    raw = (b'# comment:1:2\nalice:1:2\n\n bob:3:4 \nx:y:z\nshort:1\nneg:-1:5\nzero:5:0\nhuge:4294967295:5\n'
           b'long:99999999999999999999:1\nalice:10:20:30\n\xff\xfe:7:8')
    assert idmap.parse_subids(raw) == [(b'alice', 1, 2), (b'bob', 3, 4), (b'\xff\xfe', 7, 8)]


CAP2 = struct.pack('<IIIII', 0x02000001, 1024, 0, 0, 0)


def cap3(root):
    return struct.pack('<IIIIII', 0x03000001, 1024, 0, 0, 0, root)


def test_capabilities_lose_their_namespace():
    ids = IdMap([(0, 100000, 65536)], [(0, 100000, 65536)])
    found = {'security.capability': cap3(100000), 'user.x': b'1'}
    assert ids.xattrs(found) == {'security.capability': CAP2, 'user.x': b'1'}
    # a namespace inside the container keeps its own root, as the container saw it
    assert ids.xattrs({'security.capability': cap3(101000)}) == {'security.capability': cap3(1000)}
    assert ids.xattrs({'security.capability': cap3(7)}) == {'security.capability': cap3(7)}
    for value in (CAP2, b'', b'\3', cap3(100000)[:-1], cap3(100000) + b'x'):
        assert ids.xattrs({'security.capability': value}) == {'security.capability': value}
    assert idmap.revision2(cap3(5)) == CAP2 and idmap.revision2(CAP2) == CAP2 and idmap.revision2(b'') == b''


def acl(*found):
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in found)


NOBODY = 0xffffffff


@pytest.mark.parametrize('name', ['system.posix_acl_access', 'system.posix_acl_default'])
def test_acls_are_shifted_likewise(name):
    ids = IdMap([(0, 100000, 65536)], [(0, 200000, 65536)])
    before = acl((1, 6, NOBODY), (2, 7, 100005), (4, 4, NOBODY), (8, 4, 200006), (16, 7, NOBODY), (32, 0, NOBODY))
    after = acl((1, 6, NOBODY), (2, 7, 5), (4, 4, NOBODY), (8, 4, 6), (16, 7, NOBODY), (32, 0, NOBODY))
    assert ids.xattrs({name: before}) == {name: after}
    assert ids.xattrs({name: acl((2, 7, 7))}) == {name: acl((2, 7, 7))}
    for value in (b'', b'\2\0', before[:-1]):
        assert ids.xattrs({name: value}) == {name: value}


def test_maps_are_compared_by_their_ranges():
    one, same = IdMap([(0, 5, 6)], [(0, 7, 8)]), IdMap([(0, 5, 6)], [(0, 7, 8)])
    one.to_container(1, 1)
    assert one == same and hash(one) == hash(same) and one != IdMap([(0, 5, 6)], [(0, 7, 9)]) and one != 5


@pytest.mark.parametrize('users, owners, said', [([(0, 5001, 1), (1, 100000, 9)], [(0, 5002, 1)], '5001:5002'), ([], [(0, 7, 8)], None), ([], [], None)])
def test_what_the_root_of_a_container_is_on_the_disk(users, owners, said):
    assert IdMap(users, owners).first == said
