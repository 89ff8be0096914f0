"""The filter as the kernel reads it: its instructions are run here."""
import struct

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.dump import seccomp

ARCHES = {'x86_64': 0xC000003E, 'aarch64': 0xC00000B7}
EPERM, ENOSYS, ALLOW, KILL = 0x00050001, 0x00050026, 0x7FFF0000, 0
CLONE = {'x86_64': 56, 'aarch64': 220}
OPEN_AT = {'x86_64': 257, 'aarch64': 56}
MOUNT = {'x86_64': 165, 'aarch64': 40}


def verdict(program, arch, number, argument=0):
    data = struct.pack('<IIQQ', number, arch, 0, argument)
    lines = [struct.unpack_from('<HBBI', program, at) for at in range(0, len(program), 8)]
    value, at = 0, 0
    while True:
        code, if_true, if_false, operand = lines[at]
        at += 1
        if code == 0x06:
            return operand
        if code == 0x20:
            value = struct.unpack_from('<I', data, operand)[0]
        else:
            yes = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
            at += if_true if yes else if_false


@pytest.mark.parametrize('machine', sorted(ARCHES))
def test_verdicts(machine):
    program, arch = seccomp.program(machine), ARCHES[machine]
    assert verdict(program, arch, OPEN_AT[machine]) == ALLOW
    assert verdict(program, arch, MOUNT[machine]) == EPERM
    assert {verdict(program, arch, number) for number in seccomp.MACHINES[machine][1]} == {EPERM}
    assert verdict(program, arch, 435) == ENOSYS        # clone3: its flags cannot be seen
    assert verdict(program, arch, CLONE[machine], 0x01200011) == ALLOW       # a fork
    assert verdict(program, arch, CLONE[machine], 0x003D0F00) == ALLOW       # a thread
    for flag in (0x10000000, 0x00020000, 0x40000000, 0x20000000, 0x02000000):
        assert verdict(program, arch, CLONE[machine], 0x11 | flag) == EPERM
    assert verdict(program, ARCHES['aarch64' if machine == 'x86_64' else 'x86_64'], OPEN_AT[machine]) == KILL
    assert len(program) // 8 < 4096
    if machine == 'x86_64':
        assert verdict(program, arch, 0x40000000 | 165) == EPERM


def test_no_filter_for_a_machine_that_is_not_known():
    assert seccomp.program('sparc64') is None and seccomp.program('') is None
