"""Tab completion for bash, zsh and fish, made of the parser: no list of verbs or options stands here."""
import argparse
from typing import TYPE_CHECKING, List, Optional, Tuple

if TYPE_CHECKING:
    from .parser import Parser

HEAD = '# Tab completion of lifeboat for %s, made by: lifeboat completion %s\n'


def options_of(parser: 'Parser') -> List[Tuple[List[str], str, Optional[List[str]], bool]]:
    """[(words, help, choices or None, whether it takes a value)] of the options of a parser."""
    found = []
    for action in parser._actions:
        if not action.option_strings or action.help == argparse.SUPPRESS:
            continue
        found.append((list(action.option_strings), one_line(action), list(action.choices) if action.choices else None,
                      action.nargs != 0 and not isinstance(action, argparse._CountAction)))
    return found


def one_line(action: argparse.Action) -> str:
    """The help of an option, short and without what a shell would read."""
    text = (action.help or '').replace('%(default)s', str(action.default)).split(';')[0].split('(default')[0].strip()
    return ''.join(char for char in text if char not in '\'"`$\\[]:')


def arguments_of(parser: 'Parser') -> List[str]:
    """The words that an argument (not an option) of a parser may be, [] where it is a name or a path."""
    return [str(word) for action in parser._actions if not action.option_strings and action.choices for word in action.choices]


def verbs_of(parser: 'Parser') -> List[Tuple[str, str, List[Tuple[List[str], str, Optional[List[str]], bool]], List[str]]]:
    """[(verb, summary, its options, words that its argument may be)] of the whole parser."""
    summaries = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {item.dest: item.help or '' for item in action._choices_actions}
    return [(name, summaries.get(name, ''), options_of(child.filled()), arguments_of(child)) for name, child in parser.verbs.items()]


def _words(options: List[Tuple[List[str], str, Optional[List[str]], bool]]) -> str:
    return ' '.join(word for words, dummy, dummy2, dummy3 in options for word in words)


def bash(parser: 'Parser') -> str:
    """A script for bash."""
    verbs = verbs_of(parser)
    cases = ''.join("        %s) words='%s' arguments='%s' ;;\n" % (name, _words(options), ' '.join(arguments))
                    for name, dummy, options, arguments in verbs)
    return HEAD % ('bash', 'bash') + '''\
_lifeboat() {
    local word="${COMP_WORDS[COMP_CWORD]}" verb= each words arguments=
    for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case " %(verbs)s " in *" $each "*) verb="$each"; break ;; esac
    done
    case "$verb" in
        '') words='%(verbs)s %(common)s' ;;
%(cases)s    esac
    case "$word" in
        -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
        *) if [ -z "$verb" ]; then arguments="$words"; fi; COMPREPLY=($(compgen -W "$arguments" -- "$word")) ;;
    esac
}
complete -o default -F _lifeboat lifeboat lifeboat.pyz
''' % {'verbs': ' '.join(verb[0] for verb in verbs), 'common': _words(options_of(parser)), 'cases': cases}


def zsh(parser: 'Parser') -> str:
    """A script for zsh, to be called _lifeboat."""
    verbs = verbs_of(parser)

    def arguments(options: List[Tuple[List[str], str, Optional[List[str]], bool]]) -> str:
        lines = []
        for words, text, choices, value in options:
            for word in words:
                tail = ':value:(%s)' % ' '.join(choices) if choices and value else ':value:_files' if value else ''
                lines.append("            '%s[%s]%s'" % (word, text, tail))
        return ' \\\n'.join(lines)
    cases = ''.join("        %s)\n        _arguments \\\n%s \\\n            '*:argument:%s' ;;\n" % (
        name, arguments(options), '(%s)' % ' '.join(words) if words else '_files') for name, dummy, options, words in verbs)
    listed = ''.join("        '%s:%s'\n" % (name, ''.join(char for char in summary if char not in "':")) for name, summary, *dummy in verbs)
    return '#compdef lifeboat lifeboat.pyz\n' + HEAD % ('zsh', 'zsh') + '''\
_lifeboat() {
    local -a verbs
    local verb each
    verbs=(
%s    )
    for each in ${words[2,CURRENT-1]}; do
        if (( ${verbs[(I)$each:*]} )); then verb=$each; break; fi
    done
    case $verb in
        '')
        if [[ $words[CURRENT] = -* ]]; then
            _arguments \\
%s
        else _describe verb verbs; fi ;;
%s    esac
}
_lifeboat "$@"
''' % (listed, arguments(options_of(parser)), cases)


def fish(parser: 'Parser') -> str:
    """A script for fish."""
    lines = [HEAD % ('fish', 'fish')]
    names = ' '.join(parser.verbs)

    def line(condition: str, words: List[str], text: str, choices: Optional[List[str]], value: bool) -> str:
        parts = ["complete -c lifeboat -n '%s'" % condition]
        for word in words:
            flag = '-l' if word.startswith('--') else '-s' if len(word) == 2 else '-o'
            parts.append('%s %s' % (flag, word.lstrip('-')))
        if value:
            parts.append('-x -a "%s"' % ' '.join(choices) if choices else '-r')
        return ' '.join(parts) + " -d '%s'\n" % text
    for words, text, choices, value in options_of(parser):
        lines.append(line('not __fish_seen_subcommand_from %s' % names, words, text, choices, value))
    for name, summary, options, arguments in verbs_of(parser):
        lines.append("complete -c lifeboat -f -n 'not __fish_seen_subcommand_from %s' -a %s -d '%s'\n" % (
            names, name, ''.join(char for char in summary if char not in "'\\")))
        if arguments:
            lines.append("complete -c lifeboat -f -n '__fish_seen_subcommand_from %s' -a '%s'\n" % (name, ' '.join(arguments)))
        for words, text, choices, value in options:
            lines.append(line('__fish_seen_subcommand_from %s' % name, words, text, choices, value))
    return ''.join(lines)


SHELLS = {'bash': bash, 'zsh': zsh, 'fish': fish}
