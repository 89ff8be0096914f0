"""Commands of this machine: run with a list of arguments, remembered as a person would type them."""
import os
import shlex
import shutil
import subprocess
from typing import Dict, Optional, Sequence, Tuple

from ..disk.errors import LifeboatError
from ..formats.wording import show

TIMEOUT = 120                           # seconds of one command
# package of a tool by the family of the distribution (ID and ID_LIKE of os-release); tried on Debian only
PACKAGES = {
    'qemu-img': {'debian': 'qemu-utils', 'fedora': 'qemu-img', 'rhel': 'qemu-img', 'suse': 'qemu-img', 'arch': 'qemu-img',
                 'alpine': 'qemu-img'},
    'qemu-storage-daemon': {'debian': 'qemu-system-common (or qemu-utils, where that has it)', 'fedora': 'qemu-img',
                            'suse': 'qemu-tools', 'arch': 'qemu-storage-daemon', 'alpine': 'qemu-storage-daemon'},
    'qemu-nbd': {'debian': 'qemu-utils', 'fedora': 'qemu-img', 'rhel': 'qemu-img', 'suse': 'qemu-img', 'arch': 'qemu-img', 'alpine': 'qemu-img'},
    'modprobe': {'': 'kmod'},
    'lvm': {'': 'lvm2'},
    'dmsetup': {'debian': 'dmsetup', '': 'device-mapper'},
    'mdadm': {'': 'mdadm'},
    'cryptsetup': {'debian': 'cryptsetup-bin', '': 'cryptsetup'},
    'losetup': {'debian': 'mount', '': 'util-linux'},
    'mount': {'debian': 'mount', '': 'util-linux'},
    'umount': {'debian': 'mount', '': 'util-linux'},
    'blockdev': {'': 'util-linux'},
    'prlimit': {'': 'util-linux'},
}


class Failed(Exception):
    """A command ended with an error: `said` is its last line."""

    def __init__(self, words: Sequence[str], status: int, said: str) -> None:
        super(Failed, self).__init__('%s ended with status %d: %s' % (words[0], status, said))
        self.status, self.said = status, said


class ToolMissing(LifeboatError):
    """A program is not installed; the message names the package for this distribution."""


class Commands(object):
    """Runs commands; `steps` has each as one line for a shell."""

    def __init__(self) -> None:
        self.steps = []

    def run(self, words: Sequence[str], stdin: Optional[bytes] = None, quiet: bool = False, note: str = '') -> str:
        """Run WORDS -> what it printed. Failed if it did not end well, ToolMissing if it is not there.

        QUIET: only asks something, which is no step. NOTE: a comment behind the step, instead of what went into STDIN.
        """
        program = find(words[0])
        if not quiet:
            self.steps.append(line_of(words) + ('  # ' + note if note else ''))
        try:
            # pylint: disable-next=ansible-bad-function
            done = subprocess.run([program] + list(words[1:]), input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT, check=False,
                                  env=environment(), restore_signals=False)
        except subprocess.TimeoutExpired:
            raise Failed(words, -1, 'no answer in %d seconds' % TIMEOUT)
        if done.returncode:
            raise Failed(words, done.returncode, last_line(done.stderr or done.stdout))
        return done.stdout.decode('utf-8', 'surrogateescape')

    def note(self, text: str) -> None:
        """A step that is no command."""
        self.steps.append(text)


def environment() -> Dict[str, str]:
    """Of every command: the tools' English messages, and nothing of the caller's that they would act on."""
    # util-linux 2.41 hands long option strings to fsconfig(2) in one piece, which may be too small
    return {'PATH': _path(), 'LC_ALL': 'C', 'LVM_SUPPRESS_FD_WARNINGS': '1', 'LIBMOUNT_FORCE_MOUNT2': 'always'}


def _path() -> str:
    return os.pathsep.join(['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'])


def find(tool: str) -> str:
    """Where TOOL is. ToolMissing with the package that has it."""
    place = shutil.which(tool, path=_path())
    if place is None:
        raise ToolMissing('%s is not installed; %s' % (tool, _advice(tool)))
    return place


def has(tool: str) -> bool:
    """Whether TOOL is installed."""
    return shutil.which(tool, path=_path()) is not None


def _advice(tool: str) -> str:
    known = PACKAGES.get(tool, {})
    name, family = _distribution()
    package = known.get(family) or known.get('') or tool
    return 'install the package %s%s and run again' % (package, ' of %s' % name if name else '')


def _distribution() -> Tuple[str, str]:
    """(name, family) of this machine's distribution, for a sentence."""
    values = {}
    for path in ('/etc/os-release', '/usr/lib/os-release'):
        try:
            with open(path, encoding='utf-8', errors='replace') as stream:
                for line in stream.read(1 << 16).splitlines():
                    key, dummy, value = line.partition('=')
                    values.setdefault(key.strip(), value.strip().strip('"\''))
            break
        except OSError:
            continue
    names = [values.get('ID', '')] + values.get('ID_LIKE', '').split()
    families = {'ubuntu': 'debian', 'opensuse': 'suse', 'centos': 'rhel', 'sles': 'suse'}
    for name in names:
        family = families.get(name, name)
        if any(family in known for known in PACKAGES.values()):
            return show(values.get('NAME', '')), family
    return show(values.get('NAME', '')), ''


def line_of(words: Sequence[str]) -> str:
    """WORDS as one line for a shell, harmless on a terminal."""
    return ' '.join(shlex.quote(show(word)) for word in words)


def last_line(raw: bytes) -> str:
    """The last line that is not empty, shown."""
    lines = [line.strip() for line in raw.decode('utf-8', 'replace').splitlines() if line.strip()]
    useful = [line for line in lines if not line.startswith('dmesg(1)') and 'dmesg(1)' not in line]
    return show((useful or lines or ['(no message)'])[-1])
