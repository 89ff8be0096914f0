"""lifeboat mount: the command that mounts a container's file system read-only, without any daemon."""
import os
import shlex
import subprocess
from typing import TYPE_CHECKING, List, Optional, Tuple, Union

from ...bundles import objects
from ...disk.errors import LifeboatError
from ...formats import wording
from ...records import model
from .. import files
from ..host import open_host
from ..output import Output, shown

if TYPE_CHECKING:
    import argparse

    from ..parser import Parser

DESCRIPTION = '''
The writable layer is the top one of lowerdir, and there is no upperdir: the kernel cannot write into it. Volumes are not in
the mounted view; lifeboat ls shows them at their places.'''

EXAMPLES = '''
lifeboat mount web                   prints the command
lifeboat mount web /mnt/web --do     mounts it (as root)
umount /mnt/web                      ends it'''

SAFE = frozenset('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-')
MAX_OPTIONS = 4095                      # bytes of mount(2)'s data: one page with a zero at its end


def arguments(parser: 'Parser') -> None:
    parser.add_argument('object', metavar='OBJECT', help='a container, volume:NAME, layer:NAME or image:REF')
    parser.add_argument('mountpoint', metavar='FOLDER', nargs='?', help='where to mount it (default: /mnt/lifeboat-NAME)')
    parser.add_argument('--do', action='store_true', help='mount it; the default is to print the command')


def run(given: 'argparse.Namespace', out: Output) -> int:
    tally = files.Tally(out)
    reference = objects.parse(given.object)
    with open_host(given) as host, objects.opened(host, reference, mounts=False) as found:
        tally.note(found.partial)
        name = ''.join(char if char in SAFE else '-' for char in found.object.name)
        point = os.path.abspath(given.mountpoint or '/mnt/lifeboat-' + name.strip('.-'))
        folder, argv = command(found, point)
    if not given.do:
        if given.json:
            out.json({'folder': folder and wording.text(folder), 'argv': [wording.text(word) for word in argv]})
        else:
            out.line(line(folder, argv))
        return tally.status()
    return _do(out, tally, folder, argv, point)


def line(folder: Optional[bytes], argv: List[Union[bytes, str]]) -> str:
    """The command for a shell."""
    words = ' '.join(_quoted(word) for word in argv)
    return 'cd %s && %s' % (_quoted(folder), words) if folder else words


def _quoted(word: Union[bytes, str]) -> str:
    """A word for a shell; where a byte would do something to a terminal, in the form $'...' of bash."""
    text = os.fsdecode(word)
    if text.isprintable():
        return shlex.quote(text)
    return "$'%s'" % ''.join(char if char.isprintable() and char not in "'\\" else ''.join('\\x%02x' % byte for byte in os.fsencode(char))
                             for char in text)


def command(found: objects.Opened, point: str) -> Tuple[Optional[bytes], List[Union[bytes, str]]]:
    """(folder in which it has to be run or None, argv) that mounts an objects.Opened read-only at POINT."""
    if found.view is None:
        return None, ['mount', '-o', 'bind,ro', found.object.record.path, point]
    layers = found.view.layers
    if layers[0].encoding == model.PLAIN or len(layers) == 1 and layers[0].encoding in (model.OVERLAY, model.OVERLAY_USER):
        return None, ['mount', '-o', 'bind,ro', layers[0].path, point]
    encodings = {layer.encoding for layer in layers}
    if encodings == {model.FUSE_OVERLAYFS}:
        return None, ['fuse-overlayfs', '-o', b'ro,lowerdir=' + _joined([layer.path for layer in layers]), point]
    if not encodings <= {model.OVERLAY, model.OVERLAY_USER}:
        raise LifeboatError('The kernel cannot mount layers of this storage driver (%s). lifeboat cp and lifeboat tar read them' % (
            ', '.join(sorted(encodings))))
    options = b'ro,userxattr,lowerdir=' if model.OVERLAY_USER in encodings else b'ro,lowerdir='
    folder = os.path.commonpath([layer.path for layer in layers])
    whole = options + _joined([layer.path for layer in layers])
    if len(whole) <= MAX_OPTIONS:
        return None, ['mount', '-t', 'overlay', 'lifeboat', '-o', whole, point]
    short = options + _joined([os.path.relpath(layer.path, folder) for layer in layers])
    if len(short) <= MAX_OPTIONS:
        return folder, ['mount', '-t', 'overlay', 'lifeboat', '-o', short, point]
    raise LifeboatError('%s are too many for one mount command. lifeboat cp and lifeboat tar read them without a mount' % wording.number(len(layers), 'layer'))


def _joined(paths: List[bytes]) -> bytes:
    """Paths as lowerdir= takes them: backslash, colon and (for mount's own list of options) comma are escaped."""
    return b':'.join(path.replace(b'\\', b'\\\\').replace(b':', b'\\:').replace(b',', b'\\,') for path in paths)


def _do(out: Output, tally: files.Tally, folder: Optional[bytes], argv: List[Union[bytes, str]], point: str) -> int:
    if os.geteuid() != 0 and argv[0] == 'mount':
        raise LifeboatError('Only root can mount. Run it with sudo, or use lifeboat cp, which needs no mount')
    try:
        os.makedirs(point, exist_ok=True)
        # fsconfig(2), which newer mount programs use, takes 256 bytes of lowerdir; mount(2) takes a page
        # pylint: disable-next=ansible-bad-function
        done = subprocess.run(argv, cwd=folder, env=dict(os.environ, LIBMOUNT_FORCE_MOUNT2='always'), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except OSError as exc:
        raise LifeboatError('%s cannot be mounted: %s' % (shown(point), exc.strerror or exc))
    if done.returncode:
        raise LifeboatError('mount failed: %s' % shown(done.stdout.decode('utf-8', 'replace').strip()))
    out.note('mounted at %s, read-only; end it with: umount %s' % (shown(point), shlex.quote(point)))
    return tally.status()
