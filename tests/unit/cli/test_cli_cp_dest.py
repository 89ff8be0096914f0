"""cp to file systems that cannot hold everything: sticks with FAT or exFAT, shares. What they refuse is named, and the rest is copied."""
import errno
import os
import types

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.cli import copying, main


@pytest.fixture(scope='module')
def host(tmp_path_factory):
    """A host with a container whose folder /case has what such file systems do not tell apart, links, and a name that is none there."""
    tmp = tmp_path_factory.mktemp('host')
    upper = deadroot.build(str(tmp / 'var' / 'lib' / 'docker'), containers=1, host_root=str(tmp)).containers[0].upper
    for name, text in ((b'File', 'one'), (b'file', 'two'), (b'D/x', 'three'), (b'd/x', 'four'), (b'e/y', 'five'), (b'q?', 'six'), (b'z', 'seven')):
        path = upper + b'/case/' + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write(text)
    os.symlink('z', upper + b'/case/link')
    os.link(upper + b'/case/z', upper + b'/case/z2')
    return str(tmp)


def refusing(number):
    def refuse(*dummy, **more):
        raise OSError(number, os.strerror(number))
    return refuse


class Stick(types.SimpleNamespace):
    """os as it is on such a file system: names in any case are one, no links, no owners, no question marks."""

    def __init__(self):
        super(Stick, self).__init__(**vars(os))

    def __getattribute__(self, attribute):
        if attribute in ('symlink', 'link', 'fchown', 'chown', 'fchmod'):
            return refusing(errno.EPERM)
        if attribute in ('open', 'mkdir', 'stat'):
            return lambda name, *args, **more: Stick.plain(attribute, name, *args, **more)
        return object.__getattribute__(self, attribute) if attribute == 'plain' else getattr(os, attribute)

    @staticmethod
    def plain(attribute, name, *args, **more):
        if more.get('dir_fd') is not None and isinstance(name, bytes):
            if b'?' in name:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            name = {b'file': b'File', b'd': b'D'}.get(name, name)
        return getattr(os, attribute)(name, *args, **more)


def lifeboat(host, capfd, *words):
    status = main.main(['--host-root', host, 'cp'] + list(words))
    return status, capfd.readouterr().err


@pytest.mark.parametrize('again', [False, True], ids=['at once', 'after an end in the middle'])
def test_what_the_destination_refuses_is_named_and_the_rest_is_there(host, capfd, tmp_path, monkeypatch, again):
    monkeypatch.setattr(copying, 'os', Stick())
    if again:
        with monkeypatch.context() as short:
            short.setattr(copying, '_write', refusing(errno.ENOSPC))
            short.setattr(copying.Copy, '_settle', refusing(errno.ENOSPC))
            assert lifeboat(host, capfd, 'web:/case', str(tmp_path / 'out'))[0] == 2
    status, said = lifeboat(host, capfd, 'web:/case', str(tmp_path / 'out'))
    assert status == 1, said
    for name in ('file', 'd', 'q?', 'link'):
        assert 'cannot copy web:/case/%s: DEST cannot hold it' % name in said, said
    assert 'cannot copy web:/case/File' not in said and 'could not be set' in said
    assert 'make room' not in said
    found = {str(path.relative_to(tmp_path / 'out')): path.read_text() for path in (tmp_path / 'out').rglob('*') if path.is_file()}
    assert found == {'File': 'one', 'D/x': 'three', 'e/y': 'five', 'z': 'seven', 'z2': 'seven'}


def test_a_full_destination_still_ends_it(host, capfd, tmp_path, monkeypatch):
    monkeypatch.setattr(copying, '_write', refusing(errno.ENOSPC))
    status, said = lifeboat(host, capfd, 'web:/case', str(tmp_path / 'out'))
    assert status == 2 and 'make room' in said and not (tmp_path / 'out').exists()
