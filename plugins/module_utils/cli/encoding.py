"""Names of files are bytes, and on the disks of engines these are UTF-8. A Python that takes them for something else, because the
locale says so (GB18030, ISO-8859-1, or C on 3.6), is started once more as one that does not."""
import os
import sys
from typing import List, Mapping, Optional, Tuple

# of glibc and musl, of Debian and Red Hat; the last is what RHEL 7 has
LOCALES = ('C.UTF-8', 'C.utf8', 'en_US.UTF-8', 'en_US.utf8')
AGAIN = 'LIFEBOAT_UTF8'                 # set in the second start: there is no third


def arguments() -> List[str]:
    """The arguments of this process, as texts that are UTF-8. Does not return where Python has to be started again for that."""
    if sys.getfilesystemencoding().lower().replace('-', '') == 'utf8':
        return sys.argv[1:]
    given = _given()
    again = _other(given, os.environ) if given is not None else None
    if again is not None:
        try:
            os.execve(*again)
        except OSError:
            pass                        # no file system that has this Python any more; go on as we are
    return [word.decode('utf-8', 'surrogateescape') for word in ([os.fsencode(word) for word in sys.argv[1:]] if given is None else given)]


def _given() -> Optional[List[bytes]]:
    """The arguments as they were given: a few encodings (EUC-JP) do not lead back from the texts that Python made of them. None where another
    program runs us within its own process, or there is no /proc."""
    count = len(sys.argv)
    try:
        with open('/proc/self/cmdline', 'rb') as file:
            line = file.read().split(b'\0')[:-1]
    except OSError:
        return None
    return line[len(line) - count + 1:] if len(line) > count and line[-count] == os.fsencode(sys.argv[0]) else None


def _other(given: List[bytes], environ: Mapping[str, str]) -> Optional[Tuple[str, List[bytes], Mapping[str, str]]]:
    """(program, arguments, environment) of a Python that takes names for UTF-8, or None if there is none."""
    import subprocess
    spec = getattr(sys.modules['__main__'], '__spec__', None)
    if not sys.executable or not os.path.isfile(sys.argv[0]) or spec and spec.name != '__main__' or environ.get(AGAIN):
        return None                     # not started as a file: there is no line that would start the same
    flags: List[str] = []
    settings = {AGAIN: '1'}
    if sys.version_info >= (3, 7):
        flags = ['-X', 'utf8']
    else:
        found = [name for name in LOCALES if _is_there(name)]
        if not found:
            return None
        settings['LC_ALL'] = found[0]
    kept = getattr(subprocess, '_args_from_interpreter_flags', list)
    words = [os.fsencode(word) for word in [sys.executable] + kept() + flags + sys.argv[:1]]
    return sys.executable, words + given, dict(environ, **settings)


def _is_there(name: str) -> bool:
    import locale
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, name)
    except locale.Error:
        return False
    locale.setlocale(locale.LC_CTYPE, before)
    return True
