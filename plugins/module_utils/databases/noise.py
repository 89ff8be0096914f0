"""Files of containers that do not count as data: the next container makes them again by itself.

Everything that is not listed here counts as data. A line costs nothing when it is missing (a report shows a few
bytes too many) and much when it is wrong (data are called worthless), so each one carries its reason.
"""
from typing import Dict, Iterable, NamedTuple, Optional, Tuple


class Noise(NamedTuple):
    """One line of the table. `where` says how `pattern` is compared, always as text without a leading slash:

    ``folder``: a path below the root of the layer or volume, with all that is in it;
    ``folder_name``: any folder of that name, with all that is in it;
    ``file``: one path; ``name``: any file of that name; ``suffix``: any file whose name ends like that.
    """
    where: str
    pattern: str
    reason: str


WHERE = ('folder', 'folder_name', 'file', 'name', 'suffix')

TABLE = (
    Noise('folder', 'tmp', 'temporary by definition'),
    Noise('folder', 'var/tmp', 'temporary by definition'),
    Noise('folder', 'run', 'pid files, sockets and locks of running processes'),
    Noise('folder', 'var/run', 'pid files, sockets and locks of running processes'),
    Noise('folder', 'var/lock', 'locks of running processes'),
    Noise('folder', 'dev', 'device nodes, made at every start'),
    Noise('folder', 'proc', 'mount point of a kernel file system'),
    Noise('folder', 'sys', 'mount point of a kernel file system'),
    Noise('folder', 'var/cache', 'caches, filled again on use'),
    Noise('folder', 'var/log', 'logs; what matters goes to the container log'),
    Noise('folder', 'var/lib/apt', 'package lists, fetched again by apt'),
    Noise('folder', 'var/lib/dpkg', 'package database, the image has its own'),
    Noise('folder', 'var/lib/rpm', 'package database, the image has its own'),
    Noise('folder', 'usr/lib/sysimage/rpm', 'package database, the image has its own'),
    Noise('folder', 'var/lib/dnf', 'history of the package manager'),
    Noise('folder', 'var/lib/yum', 'history of the package manager'),
    Noise('folder', 'lib/apk', 'package database, the image has its own'),
    Noise('folder', 'usr/lib/apk', 'package database, the image has its own'),
    Noise('folder', 'var/lib/pacman', 'package database, the image has its own'),
    Noise('folder', 'var/lib/command-not-found', 'index of package names'),
    Noise('folder', 'var/lib/mlocate', 'index of file names'),
    Noise('folder', 'var/lib/plocate', 'index of file names'),
    Noise('folder', 'var/lib/ucf', 'registry of package configuration files'),
    Noise('folder', 'var/lib/pam', 'written by package installation'),
    Noise('folder', 'var/lib/systemd', 'timers, seeds and catalogues of systemd'),
    Noise('folder', 'var/lib/logrotate', 'when which log was rotated'),
    Noise('folder', 'var/lib/nginx', 'request bodies and proxied answers on their way'),
    Noise('folder', 'var/lib/varnish', 'shared memory of varnishd, made at every start'),
    Noise('folder', 'var/lib/php/sessions', 'sessions of a web server, they expire'),
    Noise('folder', 'usr/local/tomcat/work', 'pages compiled by Tomcat at first use'),
    Noise('folder', 'usr/local/tomcat/temp', 'temporary by definition'),
    Noise('folder', 'usr/local/tomcat/logs', 'logs; what matters goes to the container log'),
    Noise('folder', 'usr/local/apache2/logs', 'logs and the pid file of httpd'),
    Noise('folder', 'etc/ssl/certs', 'public certificates, written by update-ca-certificates'),
    Noise('folder', 'etc/pki/ca-trust/extracted', 'public certificates, written by update-ca-trust'),
    Noise('folder', 'usr/share/man', 'manual pages'),
    Noise('folder', 'usr/share/doc', 'documentation of packages'),
    Noise('folder', 'usr/share/locale', 'translations of packages'),
    Noise('folder_name', '__pycache__', 'compiled by Python at first import'),
    Noise('folder_name', '.cache', 'caches of user programs, filled again on use'),
    Noise('folder_name', '.npm', 'download cache of npm'),
    Noise('folder_name', '.pnpm-store', 'download cache of pnpm'),
    Noise('folder_name', 'node_modules', 'dependencies, installed again by npm'),
    Noise('folder_name', 'site-packages', 'dependencies, installed again by pip'),
    Noise('folder_name', 'dist-packages', 'dependencies, installed again by pip or apt'),
    Noise('folder_name', '.m2', 'download cache of Maven'),
    Noise('folder_name', '.gradle', 'download cache of Gradle'),
    Noise('folder_name', '.nuget', 'download cache of NuGet'),
    Noise('folder_name', 'lost+found', 'made by mkfs'),
    Noise('file', '.dockerenv', 'made by Docker'),
    Noise('file', 'etc/hosts', 'made by Docker at every start'),
    Noise('file', 'etc/hostname', 'made by Docker at every start'),
    Noise('file', 'etc/resolv.conf', 'made by Docker at every start'),
    Noise('file', 'etc/mtab', 'made by Docker at every start'),
    Noise('file', 'etc/ld.so.cache', 'index of shared libraries, made by ldconfig'),
    Noise('file', 'etc/timezone', 'set from the environment by start scripts'),
    Noise('file', 'etc/localtime', 'set from the environment by start scripts'),
    Noise('file', 'etc/passwd', 'user ids adapted by start scripts (PUID, PGID)'),
    Noise('file', 'etc/passwd-', 'copy made by useradd and usermod'),
    Noise('file', 'etc/group', 'user ids adapted by start scripts (PUID, PGID)'),
    Noise('file', 'etc/group-', 'copy made by groupadd and groupmod'),
    Noise('file', 'etc/shadow', 'user ids adapted by start scripts (PUID, PGID)'),
    Noise('file', 'etc/shadow-', 'copy made by useradd and usermod'),
    Noise('file', 'etc/gshadow', 'user ids adapted by start scripts (PUID, PGID)'),
    Noise('file', 'etc/nginx/conf.d/default.conf', "changed by the nginx image's own start script"),
    Noise('file', 'etc/ssl/private/ssl-cert-snakeoil.key', 'self-signed, made by package installation'),
    Noise('name', '.bash_history', 'what somebody typed in a shell'),
    Noise('name', '.ash_history', 'what somebody typed in a shell'),
    Noise('name', '.sh_history', 'what somebody typed in a shell'),
    Noise('name', '.python_history', 'what somebody typed in a shell'),
    Noise('name', '.viminfo', 'what somebody edited'),
    Noise('name', '.lesshst', 'what somebody searched'),
    Noise('name', '.wget-hsts', 'memory of wget'),
    Noise('suffix', '.pyc', 'compiled by Python at first import'),
    Noise('suffix', '.pyo', 'compiled by Python at first import'),
    Noise('suffix', '.pid', 'number of a process that is gone'),
    Noise('suffix', '.log', 'logs; what matters goes to the container log'),
    Noise('suffix', '.swp', 'swap file of an editor'),
)

# Databases below these are the package manager's own, never an application's.
PACKAGE_MANAGERS = frozenset((
    'var/lib/apt', 'var/lib/dpkg', 'var/lib/rpm', 'usr/lib/sysimage/rpm', 'var/lib/dnf', 'var/lib/yum', 'lib/apk',
    'usr/lib/apk', 'var/lib/pacman', 'var/cache', 'var/lib/command-not-found', 'var/lib/mlocate', 'var/lib/plocate',
))


class Compiled(object):
    """The table in the form that a walk of many files needs: look-ups only, made once a run."""

    def __init__(self, table: Tuple[Noise, ...] = TABLE) -> None:
        self.folders: Dict[str, str] = {}  # path -> reason
        self.folder_names: Dict[str, str] = {}  # name -> reason
        self.files: Dict[str, Dict[str, str]] = {}  # folder path -> {name: reason}
        self.names: Dict[str, str] = {}  # name -> reason
        self.tails: Dict[str, str] = {}  # last four characters -> reason
        suffixes = []
        for line in table:
            if line.where == 'folder':
                self.folders[line.pattern.strip('/')] = line.reason
            elif line.where == 'folder_name':
                self.folder_names[line.pattern] = line.reason
            elif line.where == 'file':
                folder, dummy, name = line.pattern.strip('/').rpartition('/')
                self.files.setdefault(folder, {})[name] = line.reason
            elif line.where == 'name':
                self.names[line.pattern] = line.reason
            elif len(line.pattern) == 4:
                self.tails[line.pattern] = line.reason
            else:
                suffixes.append(line.pattern)
        self.suffixes = tuple(suffixes)  # those of any other length

    def folder(self, path: str, name: str) -> Optional[str]:
        """Why all below the folder PATH (text, no slash at its ends) whose last part is NAME is noise, or None."""
        return self.folder_names.get(name) or self.folders.get(path)


def extended(lines: Iterable[Dict[str, str]]) -> Tuple[Noise, ...]:
    """The built-in table and LINES, as the role variable `audit_noise` has them: dicts of `where`, `pattern`, `reason`.

    Raises ValueError with a sentence that names the line which is wrong.
    """
    table = list(TABLE)
    for line in lines or ():
        where, pattern, reason = (str(line.get(key) or '') for key in ('where', 'pattern', 'reason'))
        if where not in WHERE or not pattern or not reason:
            raise ValueError('noise line %r needs where (one of %s), pattern and reason' % (dict(line), ', '.join(WHERE)))
        table.append(Noise(where, pattern, reason))
    return tuple(table)
