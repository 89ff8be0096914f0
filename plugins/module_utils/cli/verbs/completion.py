# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lifeboat completion: scripts for tab completion, made of the parser."""
from .. import completion
from ..main import VERSION, WHOLE

EXAMPLES = '''
lifeboat completion bash > /etc/bash_completion.d/lifeboat
lifeboat completion zsh > /usr/local/share/zsh/site-functions/_lifeboat
lifeboat completion fish > ~/.config/fish/completions/lifeboat.fish'''


def arguments(parser):
    parser.add_argument('shell', choices=sorted(completion.SHELLS))


def run(given, out):
    from .. import parser
    out.write(completion.SHELLS[given.shell](parser.build(VERSION)).encode('utf-8'))
    return WHOLE
