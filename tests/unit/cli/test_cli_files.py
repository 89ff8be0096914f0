"""ls, cat, find, du and tar show what is in the layers, the volumes and the binds, and nothing else."""
import io
import json
import os
import tarfile

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.cli import output


def lines(ran):
    return ran.out.decode('utf-8').splitlines()


def everything(dead, name):
    """{path: node} of the container with its mounts at their places."""
    container = dead[0].container(name)
    tree = dict(container.tree())
    for place in (b'etc/hosts', b'etc/hostname', b'etc/resolv.conf'):
        tree[place] = None              # the engine's own files, mounted into every container
    for mount in container.mounts:
        if mount.path is None:
            continue                    # it was in memory
        if mount.type == 'volume':
            nodes = dead[0].volume(mount.name).nodes
        else:
            nodes = None
        at = os.fsencode(mount.destination).strip(b'/')
        for path in [path for path in tree if path.startswith(at + b'/')]:
            del tree[path]
        if nodes is None:
            for folder, folders, names in os.walk(mount.path):
                for each in folders + names:
                    tree[at + b'/' + os.path.relpath(os.path.join(folder, each), mount.path)] = None
        else:
            tree.update({at + b'/' + path: node for path, node in nodes.items()})
        parts = at.split(b'/')
        for count in range(1, len(parts) + 1):
            tree.setdefault(b'/'.join(parts[:count]), None)
    return tree


@pytest.mark.parametrize('name', ['web', 'db', 'job'])
def test_recursive_listing_is_the_whole_tree(dead, lifeboat, name):
    ran = lifeboat('ls', '-R', name)
    assert {line.rstrip('/') for line in lines(ran)} == {'/' + output.shown(path) for path in everything(dead, name)}
    assert ran.status == 0
    long = lifeboat('ls', '-R', '-l', name)
    assert len(lines(long)) == len(lines(ran))


@pytest.mark.parametrize('name', ['web', 'db'])
def test_without_mounts_it_is_the_layers(dead, lifeboat, name):
    ran = lifeboat('ls', '-R', '--no-mounts', name)
    assert {line.rstrip('/') for line in lines(ran)} == {'/' + output.shown(path) for path in dead[0].container(name).tree()}


def test_the_names_come_in_the_same_order_whichever_way_they_are_read(lifeboat):
    fast = [line.rstrip('/') for line in lines(lifeboat('ls', '-R', '--no-mounts', 'web'))]
    slow = [output.shown(os.fsencode(item['path'])) for item in json.loads(lifeboat(
        '--json', 'ls', '-R', '--no-mounts', 'web').out.decode())['entries'] if 'path_b64' not in item]
    assert [line for line in fast if '\\x' not in line] == [line for line in slow if '\\x' not in line]


def test_long_lines_and_json_say_modes_sizes_and_links(dead, lifeboat):
    tree = everything(dead, 'web')
    found = {item['path']: item for item in json.loads(lifeboat('ls', '--json', '-R', 'web').out.decode())['entries']}
    compared = 0
    for path, node in tree.items():
        item = found.get('/' + path.decode('utf-8', 'backslashreplace'))
        if node is None or node.kind not in ('file', 'symlink'):
            continue
        assert item['mode'] == '%04o' % node.mode if node.kind == 'file' else item['link'] == os.fsdecode(node.target), path
        assert item['size'] == node.size and item['mtime_ns'] == node.mtime, path
        compared += 1
    assert compared > 20
    assert any(line.startswith('l') and ' -> ' in line for line in lines(lifeboat('ls', '-l', 'web:/srv')))


def test_a_layer_is_what_the_container_itself_wrote(dead, lifeboat):
    ran = lifeboat('ls', '-R', 'layer:web')
    nodes = {path: node for path, node in dead[0].container('web').upper_nodes.items() if node.kind != 'whiteout'}
    assert {line.rstrip('/') for line in lines(ran)} == {'/' + output.shown(path) for path in nodes}


def test_an_orphan_layer_goes_by_its_name(dead, lifeboat):
    orphan = dead[0].orphans[0]
    ran = lifeboat('ls', '-R', 'layer:' + orphan.name)
    assert {line.rstrip('/') for line in lines(ran)} == {
        '/' + output.shown(path) for path, node in orphan.nodes.items() if node.kind != 'whiteout'}


def test_an_image_and_a_volume(dead, lifeboat):
    image = dead[0].images[0]
    ran = lifeboat('ls', '-R', 'image:' + image.references[0])
    assert {line.rstrip('/') for line in lines(ran)} == {'/' + output.shown(path) for path in image.tree()}
    again = lifeboat('ls', '-R', 'image:%s' % image.id.split(':')[1][:12])
    assert again.out == ran.out
    assert lifeboat('ls', '-R', 'image:' + image.id).out == ran.out
    assert lifeboat('ls', 'image:other:' + image.id.split(':')[1][:12]).status == 2     # a tag is no ID
    ran = lifeboat('ls', '-R', 'volume:shop_db')
    assert {line.rstrip('/') for line in lines(ran)} == {'/' + output.shown(path) for path in dead[0].volume('shop_db').nodes}


def test_an_id_prefix_means_the_same(dead, lifeboat):
    assert lifeboat('ls', dead[0].container('web').id[:8] + ':/etc').out == lifeboat('ls', 'web:/etc').out


@pytest.mark.parametrize('words, said', [
    (('ls', 'nobody:/'), 'No container matches "nobody". There are: '),
    (('ls', 'volume:nothing'), 'No volume matches "nothing"'),
    (('ls', 'image:nothing'), 'No image matches "nothing"'),
    (('ls', 'web:/etc/nothing/here'), 'No such file or directory. The nearest folder that exists is /etc'),
    (('cat', 'web:/etc'), 'is a folder'), (('cat', 'web'), 'has no path'), (('ls', ':/x'), 'names no container')])
def test_what_is_not_there_is_one_sentence_and_status_2(lifeboat, words, said):
    ran = lifeboat(*words)
    assert (ran.status, ran.out) == (2, b'')
    assert said in ran.err and ran.err.startswith('lifeboat: ') and ran.err.count('\n') == 1


def test_one_of_two_that_is_not_there_is_partial(lifeboat):
    ran = lifeboat('ls', 'web:/etc', 'nobody:/')
    assert ran.status == 1 and b'passwd' in ran.out and 'nobody' in ran.err


def test_cat_gives_the_bytes_through_links_inside(dead, lifeboat):
    for path in ('/etc/passwd', '/../etc/./passwd', '/proc/../etc/passwd'):
        assert lifeboat('cat', 'web:' + path).out == dead[0].container('web').tree()[b'etc/passwd'].content()
    assert lifeboat('cat', 'web:/srv/uploads/latest').out == dead[0].volume('shop_uploads').nodes[b'data/a'].content()


def test_a_planted_link_does_not_lead_out(lifeboat):
    """/srv/escape of the container is a link to the host's /etc/shadow: it is looked up inside the container."""
    link = json.loads(lifeboat('find', '--json', 'web:/srv', '-name', 'escape').out.decode())['entries'][0]
    assert link['type'] == 'l'
    ran = lifeboat('cat', 'web:/srv/escape')
    assert ran.status == 2 and ran.out == b''


def test_find_by_name_type_size_and_time(dead, lifeboat):
    tree = everything(dead, 'web')
    assert {path.rpartition('/')[2] for path in lines(lifeboat('find', 'web', '-name', 'pass*'))} == {'passwd'}
    assert lines(lifeboat('find', 'web', '-type', 'p')) == [
        '/' + output.shown(path) for path in sorted(tree) if tree[path] is not None and tree[path].kind == 'fifo']
    large = {'/' + output.shown(path) for path, node in tree.items() if node is not None and node.kind == 'file' and node.size > 1 << 20}
    assert large and set(lines(lifeboat('find', 'web', '-size', '+1M'))) == large
    raw = lifeboat('find', 'web', '-newer', '2026-01-01T00:00:00Z', '-type', 'f', '-print0', '--no-mounts').out.split(b'\0')[:-1]
    newer = {b'/' + path for path, node in dead[0].container('web').tree().items()
             if node.kind == 'file' and node.mtime > 1767225600 * 10**9}
    assert set(raw) == newer
    assert lifeboat('find', 'web', '-size', 'much').status == 2
    assert lines(lifeboat('find', 'web', '-maxdepth', '1', '-name', 'etc')) == ['/etc']


def test_du_sums_up_to_the_tree(dead, lifeboat):
    found = {item['path']: item for item in json.loads(lifeboat('du', '--json', 'layer:web').out.decode())['folders']}
    assert found['/']['bytes'] == dead[0].container('web').writable_bytes()
    assert sum(item['bytes'] for path, item in found.items() if path != '/') <= found['/']['bytes']


def members(raw):
    with tarfile.open(fileobj=io.BytesIO(raw), encoding='utf-8', errors='surrogateescape') as archive:
        return {os.fsencode(item.name).rstrip(b'/'): item for item in archive}


def test_tar_of_a_container_is_its_file_system_without_mounts(dead, lifeboat):
    found = members(lifeboat('tar', 'web').out)
    tree = {path: node for path, node in dead[0].container('web').tree().items() if node.kind != 'socket'}
    assert set(found) == set(tree)
    for path, node in tree.items():
        # what a user other than root built is a rootless root, whose owner is root inside
        owner = (0, 0) if os.geteuid() else (node.uid, node.gid)
        assert (found[path].mode, found[path].uid, found[path].gid) == (node.mode,) + owner or node.kind == 'symlink', path


def test_tar_of_a_path_begins_with_its_name_and_has_mounts(dead, lifeboat):
    found = members(lifeboat('tar', 'web:/srv').out)
    assert set(found) == {path for path, node in everything(dead, 'web').items() if (path == b'srv' or path.startswith(b'srv/'))
                          and not (node is not None and node.kind == 'socket')}
    one = members(lifeboat('tar', 'web:/etc/passwd').out)
    assert list(one) == [b'passwd']


def test_tar_of_a_layer_has_whiteouts(dead, lifeboat):
    found = members(lifeboat('tar', 'layer:web').out)
    deleted = [path for path, node in dead[0].container('web').upper_nodes.items() if node.kind == 'whiteout']
    assert deleted
    for path in deleted:
        assert os.path.join(os.path.dirname(path), b'.wh.' + os.path.basename(path)) in found


def test_names_can_do_nothing_to_a_terminal(lifeboat):
    for words in (('ls', '-R', 'web'), ('find', 'web'), ('diff', 'web'), ('look',)):
        assert all(line.isprintable() for line in lines(lifeboat(*words))), words


def test_what_harmless_makes_of_a_hostile_file():
    assert output.harmless(b'a\x1b[2Jb\tc\n\xff') == b'a\\x1b[2Jb\tc\n\\xff'
