"""`lifeboat rescue "$DEST"` where DEST is not set: an empty path is refused, it is not the present folder."""
import os

import pytest


@pytest.mark.parametrize('words, named', [
    (['rescue', ''], 'DEST'), (['cp', 'web:/etc', ''], 'DEST'), (['dump', ''], 'DEST'), (['swarm', ''], 'DEST'), (['verify', ''], 'PATH'),
    (['look', '--host-root', ''], '--host-root'), (['look', '--data-root', ''], '--data-root'), (['--disk', '', 'look'], '--disk')])
def test_an_empty_path_is_refused(lifeboat, tmp_path, monkeypatch, words, named):
    monkeypatch.chdir(tmp_path)
    ran = lifeboat(*words)
    assert (ran.status, ran.out) == (2, b'') and '%s is empty' % named in ran.err
    assert os.listdir(str(tmp_path)) == []


def test_names_in_errors_keep_their_letters(lifeboat):
    assert 'lifeboat: web:/nope: No such file' in lifeboat('ls', 'web:/nope').err
