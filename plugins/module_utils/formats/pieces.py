# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one loop that reads: all that a descriptor or a stream holds, in pieces."""
import functools
import os

CHUNK = 1 << 20


def of(source, size=CHUNK):
    """Iterate over the bytes that SOURCE, a descriptor or an object with read(n), holds from where it stands, in pieces of at most
    SIZE. What read(2) or the object raises comes through."""
    read = functools.partial(os.read, source) if isinstance(source, int) else source.read
    return iter(functools.partial(read, size), b'')


def up_to(read, most):
    """The next MOST bytes that READ(n) gives, fewer only at its end. What READ raises comes through."""
    found = []
    while most > 0:
        piece = read(min(most, CHUNK))
        if not piece:
            break
        found.append(piece)
        most -= len(piece)
    return found[0] if len(found) == 1 else b''.join(found)
