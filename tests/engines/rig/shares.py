# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests of real engines in several runs, each of which builds its own dead roots and no other's.

`LIFEBOAT_ENGINES_SHARE` names the one share that a run is to have; without it a run has all of them.
"""
import re

# share: the kinds of dead roots that its tests read
SHARES = {'debian': ('debian-overlay2',), 'newer': ('newer-overlay2', 'newer-containerd-packaged'), 'containerd': ('newer-containerd',),
          'drivers': ('debian-userns', 'debian-vfs', 'debian-btrfs'), 'own': ()}
_KIND = re.compile('|'.join(sorted((kind for kinds in SHARES.values() for kind in kinds), key=len, reverse=True)))
# tests whose first kind is that of the engine which takes what comes from the root of the share `debian`
_FROM_DEBIAN = ('test_without_hard_links_the_command_fetches_the_blobs',)


def share_of(name, fixtures):
    """The share of a test: by its NAME with parameters, and the names of the FIXTURES that it uses."""
    if name.split('[')[0] in _FROM_DEBIAN or 'dead_databases' in fixtures:
        return 'debian'
    if not {'dead_root_of', 'subject'} & set(fixtures):
        return 'own'                    # it starts engines for itself
    found = _KIND.search(name)
    kind = found.group(0) if found else 'debian-overlay2'
    return next(share for share, kinds in SHARES.items() if kind in kinds)
