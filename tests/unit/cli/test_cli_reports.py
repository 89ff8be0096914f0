"""look, diff, logs, inspect, rescue, verify and mount say what the modules say."""
import json
import os
import subprocess

import programs
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.cli import report
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather as facts
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import gotypes
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run as rescues


def open_host(dead):
    return registry.open_host(os.fsencode(dead[1]))


def test_look_json_is_what_the_module_returns(dead, lifeboat):
    ran = lifeboat('look', '--json', '--gather', 'containers,layers,images,volumes,usage,orphans')
    with open_host(dead) as host:
        assert json.loads(ran.out.decode()) == json.loads(json.dumps(facts.gather(host, facts.Options())))


def test_look_names_everything_and_the_problems_with_next_steps(dead, lifeboat):
    ran = lifeboat('look', '--size')
    text = ran.out.decode()
    for name in [item.name for item in dead[0].containers] + [item.name for item in dead[0].volumes]:
        assert name in text
    assert 'shop/web:1.4' in text and 'Layers without a container: 1' in text
    assert 'REMOVED_AT_NEXT_START' in text and 'Next: Rescue it before' in text
    assert ran.status == 1              # half-gone is partial
    # others than root are told that they do not see all
    assert lifeboat('look', 'web').status == (1 if os.geteuid() else 0)


def test_look_at_nothing_is_status_2_with_the_reason(lifeboat, tmp_path):
    ran = lifeboat('look', host_root=str(tmp_path))
    assert ran.status == 2 and b'NO_DATA_ROOT' in ran.out and b'Next: ' in ran.out
    ran = lifeboat('look', host_root=str(tmp_path / 'missing'))
    assert ran.status == 2 and 'cannot be used' in ran.err
    ran = lifeboat('ls', 'web:/', host_root=str(tmp_path))
    assert ran.status == 2 and 'No Docker data root was found' in ran.err


def test_tables_fit_the_terminal(dead):
    with open_host(dead) as host:
        found = facts.gather(host, facts.Options())
    for width in (70, 80, 120):
        lines = report.look(found, width)
        assert max(map(len, lines)) <= width, [line for line in lines if len(line) > width]
    assert max(map(len, report.look(found))) > 120


def test_a_hostile_value_is_one_harmless_line():
    result = {'bundles': [{'status': '\x1b[31m', 'name': 'a\nb', 'image': '\x07', 'bytes': 1, 'changed': True}],
              'problems': [{'severity': 'warning', 'code': 'X', 'message': 'a\x1b]0;x\x07b\nc', 'next_step': '\r'}],
              'summary': {'bundles': 1, 'written': 1, 'bytes': 1, 'problems': 1}}
    assert all(line.isprintable() for line in report.rescued(result, 80))


@pytest.mark.parametrize('name', ['web', 'db', 'job'])
def test_diff_is_what_docker_diff_prints(dead, lifeboat, name):
    ran = lifeboat('diff', '--json', name)
    found = {(item['kind'], item['path']) for item in json.loads(ran.out.decode())['changes']}
    assert found == {(kind, path.decode('utf-8', 'backslashreplace')) for kind, path in dead[0].container(name).changes()}
    assert ran.status == 0
    assert len(lifeboat('diff', name).out.splitlines()) == len(found)


def records(dead, name, stream=None):
    return [(kind, when, data) for kind, when, data in dead[0].container(name).log_records if stream in (None, kind)]


def test_logs_go_to_the_two_streams(dead, lifeboat):
    ran = lifeboat('logs', 'web')
    assert ran.out == b''.join(data for dummy, dummy, data in records(dead, 'web', 'stdout'))
    assert ran.err == b''.join(data for dummy, dummy, data in records(dead, 'web', 'stderr')).decode()


def stamped(found):
    return b''.join(gotypes.format_time(when // 10**9, when % 10**9, fixed=True).encode() + b' ' + data for dummy, when, data in found)


def test_logs_with_times_tail_since_and_until(dead, lifeboat):
    whole = records(dead, 'db')
    assert lifeboat('logs', '-t', '--tail', '3', 'db').out == stamped([item for item in whole[-3:] if item[0] == 'stdout'])
    middle = whole[len(whole) // 2]
    since = gotypes.format_time(middle[1] // 10**9, middle[1] % 10**9)
    assert lifeboat('logs', '-t', '--since', since, 'db').out == stamped(
        [item for item in whole if item[1] >= middle[1] and item[0] == 'stdout'])
    assert lifeboat('logs', '-t', '--until', since, 'db').out == stamped(
        [item for item in whole if item[1] <= middle[1] and item[0] == 'stdout'])
    assert lifeboat('logs', '--tail', '0', 'db').out == b''
    assert lifeboat('logs', '--since', 'soon', 'db').status == 2


def test_inspect_is_the_create_body_of_the_bundle(dead, lifeboat, tmp_path):
    lifeboat('rescue', str(tmp_path), 'web', '--host-name', 'box', '--compression', 'none', '--include', 'config,writable')
    with open(str(tmp_path / 'box' / ('web-' + dead[0].container('web').id[:12]) / 'config' / 'create.json')) as made:
        assert json.loads(lifeboat('inspect', 'web').out.decode()) == json.load(made)
    assert json.loads(lifeboat('inspect', 'volume:shop_db').out.decode())['Name'] == 'shop_db'
    assert json.loads(lifeboat('inspect', 'image:shop/web:1.4').out.decode())['Id'] == dead[0].images[0].id


def test_inspect_shows_values_as_docker_does_and_hides_them_on_request(dead, lifeboat):
    raw, quiet = (json.loads(lifeboat('inspect', 'web', *words).out.decode()) for words in ((), ('--redact',)))
    assert raw['Env'] and not any(item.endswith('=VALUE_REDACTED') for item in raw['Env'])
    assert [item.split('=')[0] for item in quiet['Env']] == [item.split('=')[0] for item in raw['Env']]
    assert all(item.endswith('=VALUE_REDACTED') for item in quiet['Env'])
    assert {key: value for key, value in quiet.items() if key not in ('Env', 'Labels')} == {
        key: value for key, value in raw.items() if key not in ('Env', 'Labels')}
    assert json.loads(lifeboat('inspect', 'volume:shop_db', '--redact').out.decode())['Name'] == 'shop_db'
    assert json.loads(lifeboat('inspect', 'image:shop/web:1.4', '--redact').out.decode())['Id'] == dead[0].images[0].id


def timeless(value):
    """A manifest without the times of the run."""
    return {key: item for key, item in value.items() if key != 'created'}


def test_rescue_writes_what_the_module_writes(dead, lifeboat, tmp_path):
    ran = lifeboat('rescue', str(tmp_path / 'tool'), '--host-name', 'box', '--volumes', '*', '--orphans', '--json')
    with open_host(dead) as host:
        theirs = rescues.rescue(host, rescues.Request(os.fsencode(str(tmp_path / 'module')), 'box', volumes=('*',), orphans=True))
    assert [item['name'] for item in json.loads(ran.out.decode())['bundles']] == [item['name'] for item in theirs['bundles']]
    assert ran.status == 1              # half-gone
    for bundle in theirs['bundles']:
        pair = []
        for side in ('tool', 'module'):
            folder = tmp_path / side / 'box' / bundle['name']
            sums = sorted(line.split(b'  ', 1)[::-1] for line in (folder / 'SHA256SUMS').read_bytes().splitlines())
            with open(str(folder / 'manifest.json')) as made:
                manifest = json.load(made)
            pair.append((timeless(manifest), [item for item in sums if item[0] not in (b'manifest.json', b'README.txt')]))
        assert pair[0] == pair[1], bundle['name']
    again = lifeboat('rescue', str(tmp_path / 'tool'), '--host-name', 'box', '--volumes', '*', '--orphans')
    assert again.out.count(b'unchanged') == len(theirs['bundles'])


def test_rescue_check_writes_nothing(lifeboat, tmp_path):
    ran = lifeboat('rescue', str(tmp_path / 'out'), 'web', '--check')
    assert ran.status == 0 and b'1 to write' in ran.out and not (tmp_path / 'out').exists()


def test_verify_tells_whole_from_damaged(dead, lifeboat, tmp_path):
    lifeboat('rescue', str(tmp_path), 'web', 'db', '--host-name', 'box')
    ran = lifeboat('verify', str(tmp_path))
    assert ran.status == 0 and b'2 of 2 bundles are whole' in ran.out
    folder = tmp_path / 'box' / ('db-' + dead[0].container('db').id[:12])
    (folder / 'README.txt').write_text('other')
    ran = lifeboat('verify', str(tmp_path))
    assert ran.status == 1 and b'damaged' in ran.out and b'README.txt' in ran.out
    assert lifeboat('verify', str(folder)).status == 2
    assert lifeboat('verify', str(tmp_path / 'nothing')).status == 2


def test_verify_says_who_signed(dead, lifeboat, tmp_path):
    programs.need('ssh-keygen')
    lifeboat('rescue', str(tmp_path / 'out'), 'web', '--host-name', 'box')
    folder = tmp_path / 'out' / 'box' / ('web-' + dead[0].container('web').id[:12])
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(tmp_path / 'key')], check=True)
    (tmp_path / 'allowed').write_text('ann@example.org %s' % (tmp_path / 'key.pub').read_text())
    command = ('verify', str(tmp_path / 'out'), '--allowed-signers', str(tmp_path / 'allowed'))
    ran = lifeboat(*command)
    assert ran.status == 2 and b'SHA256SUMS.sig is missing' in ran.out
    subprocess.run(['ssh-keygen', '-q', '-Y', 'sign', '-f', str(tmp_path / 'key'), '-n', 'lifeboat-bundle@lifeboat.docker', str(folder / 'SHA256SUMS')],
                   check=True, stderr=subprocess.DEVNULL)
    ran = lifeboat(*command)
    assert ran.status == 0 and b'signed by ann@example.org' in ran.out and b'1 of 1 bundle is whole and signed' in ran.out


def test_the_mount_command_has_no_upperdir_and_is_for_a_shell(dead, lifeboat):
    ran = lifeboat('mount', 'web', '/mnt/x y')
    line = ran.out.decode().strip()
    assert 'upperdir' not in line and line.endswith("'/mnt/x y'") and line.startswith('mount -t overlay')
    words = json.loads(lifeboat('mount', '--json', 'web').out.decode())['argv']
    assert subprocess.check_output(['sh', '-c', 'for each in %s; do echo "$each"; done' % line.replace("'/mnt/x y'", '/mnt/lifeboat-web')],
                                   universal_newlines=True).split('\n')[:-1] == words
    container = dead[0].container('web')
    options = words[words.index('-o') + 1]
    assert options.split('lowerdir=')[1].split(':') == [os.fsdecode(path) for path in
                                                        (container.upper, container.init) + container.lowers]


def test_verify_names_a_bundle_that_a_rescue_began_and_did_not_end(lifeboat, tmp_path):
    """All that is there is whole, and one is not there: that is no success."""
    dest = tmp_path / 'out'
    lifeboat('rescue', str(dest), '--host-name', 'box', '--include', 'config')
    assert lifeboat('verify', str(dest)).status == 0
    gone = sorted(name for name in os.listdir(str(dest / 'box')) if name.startswith('web-'))[0]
    os.rename(str(dest / 'box' / gone), str(dest / 'box' / ('.%s.partial' % gone)))
    ran = lifeboat('verify', str(dest))
    assert ran.status == 1 and '%s was begun and is not there' % gone in ran.err and b'4 of 4 bundles are whole' in ran.out
    assert json.loads(lifeboat('verify', '--json', str(dest)).out.decode())['unfinished'] == [str(dest / 'box' / gone)]
    (dest / 'box' / gone).mkdir()       # an older one stays under its name: it is judged by itself
    assert 'was begun' not in lifeboat('verify', str(dest)).err
