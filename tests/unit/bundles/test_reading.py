import hashlib
import json
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes


@pytest.fixture
def whole(tmp_path):
    return make_bundle(tmp_path / 'b', {'volumes/data.tar': tar_bytes([ROOT, member('./a', b'x')]), 'README.txt': b'r'})


def problems(path, verify=True):
    info = reading.inspect_bundle(path, verify)
    return info.status, {item['file']: item['problem'] for item in info.differences}


def resum(path, name, data):
    """Change a file and its sum, as somebody would who wants to be believed."""
    with open(os.path.join(path, os.fsencode(name)), 'wb') as handle:
        handle.write(data)
    sums = os.path.join(path, b'SHA256SUMS')
    with open(sums) as handle:
        lines = [line for line in handle if not line.endswith('  %s\n' % name)]
    lines.append('%s  %s\n' % (hashlib.sha256(data).hexdigest(), name))
    with open(sums, 'w') as handle:
        handle.write(''.join(lines))


def test_whole_bundle_is_verified(whole):
    info = reading.inspect_bundle(whole)
    assert (info.status, info.differences, info.extra) == ('verified', (), ())
    assert info.manifest['kind'] == 'volume'
    assert reading.component_file(reading.components(info.manifest, 'volume')[0]) == b'volumes/data.tar'
    assert reading.read_file(info, b'README.txt') == b'r'


def test_without_verify_nothing_is_called_verified(whole):
    assert problems(whole, False) == ('unverified', {})


def test_flipped_byte_is_damage_only_seen_by_reading(whole):
    with open(whole + b'/volumes/data.tar', 'r+b') as handle:
        handle.seek(600)
        handle.write(b'!')
    assert problems(whole) == ('damaged', {'volumes/data.tar': 'has another SHA-256 than SHA256SUMS says'})
    assert problems(whole, False)[0] == 'unverified'


def test_cut_component_is_seen_without_reading(whole):
    os.truncate(whole + b'/volumes/data.tar', 512)
    status, found = problems(whole, False)
    assert status == 'damaged' and 'has 512 bytes instead of' in found['volumes/data.tar']


@pytest.mark.parametrize('name', ['volumes/data.tar', 'manifest.json', 'SHA256SUMS'])
def test_missing_file_is_incomplete(whole, name):
    os.unlink(whole + b'/' + os.fsencode(name))
    assert problems(whole) == ('incomplete', {name: 'is missing'})


def test_link_in_the_place_of_a_file_is_damage(whole, tmp_path):
    (tmp_path / 'elsewhere').write_bytes(b'r')
    os.unlink(whole + b'/README.txt')
    os.symlink(str(tmp_path / 'elsewhere'), whole + b'/README.txt')
    assert problems(whole)[0] == 'damaged'


def test_linked_folder_is_damage(whole, tmp_path):
    os.rename(whole + b'/volumes', os.fsencode(str(tmp_path / 'v')))
    os.symlink(str(tmp_path / 'v'), whole + b'/volumes')
    assert problems(whole)[0] == 'incomplete'


def test_unlisted_file_is_named_but_no_damage(whole):
    with open(whole + b'/note', 'w'):
        pass
    info = reading.inspect_bundle(whole)
    assert (info.status, info.extra) == ('verified', ('note',))
    with pytest.raises(LifeboatError):
        reading.open_file(info, b'note')


@pytest.mark.parametrize('raw', [b'', b'{"a": ', b'[]', b'[' * 100000, b'{"schema_version": 1, "kind": "x"}',
                                 b'{"schema_version": 1, "kind": "volume", "components": {"a": 1}}',
                                 b'{"schema_version": 1, "kind": "volume", "mounts": [1]}'])
def test_senseless_manifest_is_damage(whole, raw):
    resum(whole, 'manifest.json', raw)
    assert problems(whole)[0] == 'damaged'


def test_newer_schema_says_what_to_do(whole):
    resum(whole, 'manifest.json', b'{"schema_version": 3, "kind": "volume"}')
    assert 'version of the collection' in problems(whole)[1]['manifest.json']


@pytest.mark.parametrize('name', ['../outside', '/etc/passwd', 'a/../../b', ''])
def test_sum_of_a_path_outside_is_damage(whole, name):
    with open(whole + b'/SHA256SUMS', 'a') as handle:
        handle.write('%s  %s\n' % ('0' * 64, name))
    assert problems(whole)[0] == 'damaged'


def test_cut_sums_are_damage(whole):
    with open(whole + b'/SHA256SUMS', 'r+b') as handle:
        handle.truncate(os.fstat(handle.fileno()).st_size - 3)
    assert problems(whole)[0] == 'damaged'


def test_component_sum_must_agree_with_sums(whole):
    with open(whole + b'/manifest.json') as handle:
        manifest = json.load(handle)
    manifest['components'][0]['sha256'] = '0' * 64
    resum(whole, 'manifest.json', json.dumps(manifest).encode())
    assert 'one SHA-256 in manifest.json' in problems(whole)[1]['volumes/data.tar']


@pytest.mark.parametrize('name', ['../x', '/x', 'volumes/../../x'])
def test_component_outside_is_damage(whole, name):
    with open(whole + b'/manifest.json') as handle:
        manifest = json.load(handle)
    manifest['components'][0]['file'] = name
    resum(whole, 'manifest.json', json.dumps(manifest).encode())
    assert problems(whole)[0] == 'damaged'


def test_sums_with_escaped_names():
    sums, wrong = reading.parse_sums(b'\\' + b'a' * 64 + b'  logs/a\\nb\\\\c\n')
    assert (sums, wrong) == ({b'logs/a\nb\\c': 'a' * 64}, [])


def test_find_bundles(tmp_path):
    one = make_bundle(tmp_path / 'dest' / 'host' / 'one', {'README.txt': b'1'})
    two = make_bundle(tmp_path / 'dest' / 'host' / 'two', {'README.txt': b'2'})
    make_bundle(tmp_path / 'dest' / 'host' / '.unfinished', {'README.txt': b'3'})
    assert reading.find_bundles(os.fsencode(str(tmp_path / 'dest'))) == [one, two]
    assert reading.find_bundles(one) == [one]
    assert reading.find_bundles(str(tmp_path / 'dest' / 'host')) == [one, two]


def test_find_bundles_of_nothing(tmp_path):
    with pytest.raises(LifeboatError):
        reading.find_bundles(os.fsencode(str(tmp_path / 'none')))


def test_bundle_may_be_given_through_a_link(whole, tmp_path):
    os.symlink(whole, str(tmp_path / 'link'))
    assert reading.inspect_bundle(str(tmp_path / 'link')).status == 'verified'
