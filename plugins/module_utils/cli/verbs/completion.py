"""lifeboat completion: scripts for tab completion, made of the parser."""
from typing import TYPE_CHECKING

from .. import completion
from ..main import VERSION, WHOLE

if TYPE_CHECKING:
    import argparse

    from ..output import Output
    from ..parser import Parser

EXAMPLES = '''
lifeboat completion bash > /etc/bash_completion.d/lifeboat
lifeboat completion zsh > /usr/local/share/zsh/site-functions/_lifeboat
lifeboat completion fish > ~/.config/fish/completions/lifeboat.fish'''


def arguments(parser: 'Parser') -> None:
    parser.add_argument('shell', choices=sorted(completion.SHELLS))


def run(given: 'argparse.Namespace', out: 'Output') -> int:
    from .. import parser
    out.write(completion.SHELLS[given.shell](parser.build(VERSION)).encode('utf-8'))
    return WHOLE
