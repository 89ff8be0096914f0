"""Command line of the rig; run it in tests/engines as `python3 -m rig`."""
import argparse
import sys

from . import dead, newer, setup
from .common import RigError
from .engine import KINDS


def main(argv=None):
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog='rig', description='Real Docker engines for the tests of lifeboat.docker.')
    commands = parser.add_subparsers(dest='command', required=True)
    one = commands.add_parser('setup', help='install all that the engines need on this machine')
    one.add_argument('--rebuild', action='store_true', help='make the tree of the newer Docker again')
    commands.add_parser('kinds', help='list the kinds of engine')
    one = commands.add_parser('build', help='leave a dead engine with its truth.json in a folder')
    one.add_argument('--kind', required=True, choices=sorted(KINDS))
    one.add_argument('--to', required=True, metavar='DIR', help='new folder that receives it (a short path)')
    args = parser.parse_args(argv)
    try:
        if args.command == 'setup':
            setup.install()
            newer.ensure_tree(args.rebuild)
            print('ready: %s' % setup.versions())
        elif args.command == 'kinds':
            print('\n'.join(KINDS))
        else:
            root, engine = dead.build(args.kind, args.to)
            engine.close(keep=True)
            if engine.kind.driver == 'btrfs':
                print('first: mount -o loop %s/btrfs.img %s' % (root.scratch, engine.outside(engine.kind.data_root)))
            print('host_root %s\ndata_root %s\ncontainerd_root %s' % (
                root.host_root, root.data_root, root.containerd_root))
    except RigError as why:
        print('rig: %s' % why, file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
