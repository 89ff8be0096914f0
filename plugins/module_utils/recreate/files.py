# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file of a bundle's config/ folder that makes its container again."""
import json

from . import compose, env, run
from .body import create_body
from .definition import seccomp_profiles


def files(definition):
    """{file name: text} for the bundle's config/ folder: create.json, compose.yaml, run.sh and the env files they use.

    All of them 0600; run.sh is for `sh run.sh`. Env files are left out where they would be empty.
    """
    made = {'create.json': json.dumps(create_body(definition), indent=2, sort_keys=True) + '\n',
            'compose.yaml': compose.compose([definition]),
            'run.sh': run.run_sh(definition)}
    made.update(env.files(definition))
    for number, profile in enumerate(seccomp_profiles(definition)):
        made['seccomp-%d.json' % number] = profile + '\n'
    return made
