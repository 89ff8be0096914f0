"""The one parser of the tool. A verb is a file in verbs/ and a line in VERBS."""
import argparse
import importlib
import os
from typing import Any, Callable, Dict, Iterable, List

from .output import terminal_width

# verb -> what it does. Its file is loaded when it is asked for.
VERBS = (
    ('look', 'what is on the disk: data roots, containers, images, volumes, and what is wrong with them'),
    ('ls', 'list files'),
    ('cat', 'print files'),
    ('find', 'find files by name, age, size and type'),
    ('du', 'how large folders are'),
    ('cp', 'copy files and folders out'),
    ('tar', 'write files as a tar archive to the standard output'),
    ('diff', 'what a container changed, as docker diff'),
    ('logs', 'what a container printed, as docker logs'),
    ('inspect', 'the definition of a container, volume or image'),
    ('rescue', 'write bundles: everything of containers, with checksums'),
    ('verify', 'check bundles against their checksums'),
    ('repair', 'what is to be done so that the engine starts again; with --apply do it, with --revert undo it'),
    ('dump', 'write the databases of dead containers as SQL, with the servers of their own images'),
    ('swarm', 'services, networks, configs and secrets of a swarm, out of a dead manager'),
    ('mount', 'the command that mounts a container\'s file system read-only'),
    ('completion', 'tab completion for bash, zsh or fish'),
)
OBJECT_HELP = 'NAME (or the beginning of the ID) of a container, volume:NAME, layer:NAME (the writable layer of a container, ' \
              'or an orphan one) or image:REF; PATH is a path in it'
ABOUT = 'Rescues container data of dead hosts, without a daemon. Only repair writes to a data root.'
END = '''\
Every verb has examples: lifeboat VERB --help

OBJECT is the NAME (or the beginning of the ID) of a container, volume:NAME, layer:NAME (the writable layer of a container,
or an orphan one) or image:REF.

environment: LIFEBOAT_PASSPHRASE (of LUKS on --disk), LIFEBOAT_UNLOCK_KEY (of a swarm); LIFEBOAT_HOST_ROOT, LIFEBOAT_DATA_ROOT (several with a
colon between them), LIFEBOAT_CONTAINERD_ROOT, LIFEBOAT_JSON=1, LIFEBOAT_QUIET=1 are the options of these names; NO_COLOR: no colours

exit status: 0 everything asked for is there and whole, 1 a part of it, 2 nothing, or wrong use
'''


class Help(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal. argparse would load shutil, with three kinds of compression, to find that out."""

    def __init__(self, prog: str, **options: Any) -> None:
        options.setdefault('width', terminal_width(1) - 2)
        super(Help, self).__init__(prog, **options)


class Parser(argparse.ArgumentParser):
    """argparse, but a verb's file is loaded, and its parser set up, only when the verb is asked for."""
    fill: Any = None                    # callable(parser) that adds its arguments, until it was called

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # pylint: disable=super-init-not-called
        self._later: Any = (arguments, options)     # of argparse's own __init__, until it was called
        self.verbs: Dict[str, 'Parser'] = {}        # verb -> its Parser, in the parser of the whole tool

    def __getattr__(self, name: str) -> Any:
        """Something of argparse's is wanted that its __init__ sets: time to call it."""
        later, self.__dict__['_later'] = self.__dict__.get('_later'), None
        if later is None:
            raise AttributeError(name)
        super(Parser, self).__init__(*later[0], **later[1])
        return getattr(self, name)

    def filled(self) -> 'Parser':
        if self.fill is not None:
            fill, self.fill = self.fill, None
            fill(self)
        return self

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.filled()
        return super(Parser, self).parse_known_args(args, namespace)


def _on(name: str) -> bool:
    return os.environ.get(name, '').lower() in ('1', 'true', 'yes', 'on')


def common(parser: Parser, top: bool) -> None:
    """The options that every verb has; they may stand before the verb (TOP) or behind it."""
    def default(value: Any) -> Any:
        return value if top else argparse.SUPPRESS
    group = parser.add_argument_group('where to look')
    group.add_argument('--host-root', metavar='DIR', default=default(os.environ.get('LIFEBOAT_HOST_ROOT') or '/'),
                       help='where the / of the dead host is mounted (default: /, this machine)')
    group.add_argument('--disk', metavar='FILE', action='append', default=default([]),
                       help='attach this disk or image (raw, qcow2, vhdx, vmdk, vdi) read-only, look there, release it; may be given several times')
    group.add_argument('--key-file', metavar='FILE', default=default(None), help='key file of LUKS on --disk')
    group.add_argument('--nested', action='store_true', default=default(False), help='also attach images of disks inside --disk')
    group.add_argument('--attach-layers', action='store_true', default=default(False),
                       help='also mount layers of --disk that are thin devices (devicemapper)')
    group.add_argument('--no-journal', action='store_true', default=default(False),
                       help='do not replay the journals of --disk: what was written last may then be missing')
    group.add_argument('--scratch-dir', metavar='DIR', default=default(None),
                       help='where overlays of --disk are kept (default: /var/tmp/lifeboat-attach)')
    group.add_argument('--data-root', metavar='DIR', action='append', default=default(
        [path for path in os.environ.get('LIFEBOAT_DATA_ROOT', '').split(':') if path]),
        help='a data root of an engine, if it is not found by itself; may be given several times')
    group.add_argument('--containerd-root', metavar='DIR', default=default(os.environ.get('LIFEBOAT_CONTAINERD_ROOT') or None),
                       help='the root of containerd, if it is not found by itself')
    group.add_argument('--engine', metavar='NAME,...', action='append', default=default([]),
                       help='engines to look for (default: all that can be read); may be given several times')
    group = parser.add_argument_group('what to print')
    group.add_argument('--json', action='store_true', default=default(_on('LIFEBOAT_JSON')), help='print JSON')
    group.add_argument('-q', '--quiet', action='store_true', default=default(_on('LIFEBOAT_QUIET')),
                       help='no progress and no notes; errors are printed')
    group.add_argument('-v', '--verbose', action='count', default=default(0), help='print infos too; with -vv where an error comes from')


def listed(given: Iterable[str]) -> List[str]:
    """The words of an option that may be given several times, each time with several words and commas between them."""
    return [word.strip() for each in given for word in each.split(',') if word.strip()]


def verb(name: str) -> Any:
    """The module of a verb: `arguments(parser)`, `run(given, out)` -> exit status, `EXAMPLES`."""
    return importlib.import_module('.verbs.' + name, __name__.rpartition('.')[0])


def _fill(name: str) -> Callable[[Parser], None]:
    def fill(parser: Parser) -> None:
        module = verb(name)
        module.arguments(parser)
        common(parser, False)
        parser.epilog = 'examples:\n' + ''.join('  %s\n' % line for line in module.EXAMPLES.strip('\n').split('\n'))
        more = getattr(module, 'DESCRIPTION', '')
        if more:
            parser.description = (parser.description or '') + '\n' + more
    return fill


def build(version: str) -> Parser:
    """The argparse parser of the whole tool; verbs are filled in when they are parsed, or by filled()."""
    parser = Parser(prog='lifeboat', description=ABOUT, epilog=END, formatter_class=Help)
    common(parser, True)
    parser.add_argument('--version', action='version', version='lifeboat %s' % version)
    verbs = parser.add_subparsers(dest='verb', metavar='VERB', title='verbs', parser_class=Parser)
    verbs.required = True
    for name, summary in VERBS:
        child = verbs.add_parser(name, help=summary, description=summary[:1].upper() + summary[1:] + '.',
                                 formatter_class=Help)
        child.fill = _fill(name)
        parser.verbs[name] = child
    return parser
