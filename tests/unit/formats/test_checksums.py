import hashlib
import io
import os
import shutil
import subprocess

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import checksums

DIGEST = hashlib.sha256(b'').hexdigest()
NAMES = [b'plain', b'two  spaces', b' leading', b'*star', b'new\nline', b'back\\slash', b'\\', b'\\\\n', b'end\\',
         b'cr\r', b'mid\rdle', b'\xff\xfe', '\u00fc'.encode(), b'\\n', b'#hash']


@pytest.mark.parametrize('name', NAMES)
def test_round_trip(name):
    assert list(checksums.parse([checksums.line(DIGEST, b'./' + name)])) == [(DIGEST, b'./' + name)]


def test_whole_list_keeps_its_order():
    items = [('%064x' % number, name) for number, name in enumerate(NAMES)]
    raw = checksums.lines(items)
    # a line ends with \n and nothing else
    assert list(checksums.parse(io.BytesIO(raw))) == items and raw.count(b'\n') == len(items)


def test_sha256sum_accepts_it(tmp_path):
    if shutil.which('sha256sum') is None:
        pytest.fail('sha256sum of coreutils is missing')
    names = [name for name in NAMES if b'\r' not in name]       # \r is written since coreutils 9 only
    items = []
    for number, name in enumerate(names):
        with open(os.path.join(os.fsencode(str(tmp_path)), name), 'wb') as handle:
            handle.write(b'%d' % number)
        items.append((hashlib.sha256(b'%d' % number).hexdigest(), b'./' + name))
    listed = checksums.lines(items)
    # pylint: disable-next=subprocess-run-check
    run = subprocess.run(['sha256sum', '-c', '--strict', '-'], input=listed, cwd=str(tmp_path), stdout=subprocess.PIPE)
    assert run.returncode == 0 and run.stdout.count(b': OK') == len(names)
    assert subprocess.check_output(['sha256sum', '--'] + [b'./' + name for name in names], cwd=str(tmp_path)) == listed
    with open(os.path.join(os.fsencode(str(tmp_path)), b'new\nline'), 'ab') as handle:
        handle.write(b'!')
    assert subprocess.run(['sha256sum', '-c', '--strict', '-'], input=listed, cwd=str(tmp_path),  # pylint: disable=subprocess-run-check
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 1


def test_what_sha256sum_writes_is_read():
    upper = DIGEST.upper().encode()
    raw = [b'# a comment\n', b'\n', upper + b' *binary\n',
           b'\\' + upper + b'  a\\nb\\\\c\\rd\n', DIGEST.encode() + b'  no newline']
    assert list(checksums.parse(raw)) == [(DIGEST, b'binary'), (DIGEST, b'a\nb\\c\rd'), (DIGEST, b'no newline')]


@pytest.mark.parametrize('raw', [b'nonsense\n', DIGEST.encode() + b'\n', DIGEST.encode() + b'  \n',
                                 DIGEST[:-1].encode() + b'  short\n', b'g' * 64 + b'  not hex\n',
                                 DIGEST.encode() + b' one space\n', b'\\' + DIGEST.encode() + b'  bad\\x\n',
                                 b'\\' + DIGEST.encode() + b'  lone\\\n', b'\x00' * 70])
def test_anything_else_is_refused(raw):
    with pytest.raises(ValueError, match='line 2'):
        list(checksums.parse([DIGEST.encode() + b'  fine\n', raw]))
