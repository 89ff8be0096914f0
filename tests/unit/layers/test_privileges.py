"""Whether this process sees trusted.* attributes, from what the kernel says about it."""
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.layers import privileges

INITIAL = '         0          0 4294967295\n'
ALL = 'CapEff:\t000001ffffffffff\n'


@pytest.mark.parametrize('status, uid_map, sees', [
    (ALL, INITIAL, True),
    ('CapEff:\t00000000a80425fb\n', INITIAL, False),            # root in an ordinary container of Docker
    ('CapEff:\t00000000a82425fb\n', INITIAL, True),             # and with --cap-add SYS_ADMIN
    ('CapEff:\t0000000000000000\n', INITIAL, False),
    (ALL, '         0     100000      65536\n', False),           # all capabilities, but of a user namespace
    (ALL, '         0       1000          1\n', False),
])
def test_sees_trusted(tmp_path, status, uid_map, sees):
    (tmp_path / 'status').write_text('Name:\tpython3\nCapPrm:\t000001ffffffffff\n' + status + 'Seccomp:\t0\n')
    (tmp_path / 'uid_map').write_text(uid_map)
    assert privileges.sees_trusted(str(tmp_path)) is sees


@pytest.mark.parametrize('uid, sees', [(0, True), (1000, False)])
def test_without_proc(tmp_path, monkeypatch, uid, sees):
    monkeypatch.setattr(privileges.os, 'geteuid', lambda: uid)
    assert privileges.sees_trusted(str(tmp_path / 'none')) is sees
