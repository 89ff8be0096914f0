"""docs/codes.md from the tables of codes in records/codes.py and roles/audit, with what to do about each.

    python3 tools/codes_doc.py            write docs/codes.md
    python3 tools/codes_doc.py --check    exit status 1 and the reason if it is not current, or a table has gaps

The meaning of a code is in records/codes.py, what is safe and what to do in codes_texts.py: they are of no use at run time, where every
problem carries its own next step. Standard library only, Python 3.6 and newer.
"""
import ast
import os
import re
import sys

from codes_texts import AUDIT_TEXTS, TEXTS

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = os.path.join('plugins', 'module_utils', 'records', 'codes.py')
RULES = os.path.join('roles', 'audit', 'defaults', 'main', 'rules.yml')
PAGE = os.path.join('docs', 'codes.md')
CODE = re.compile(r'[A-Z][A-Z0-9]*(_[A-Z0-9]+)+\Z')
SEVERITIES = ('critical', 'warning', 'info')

# What makes a problem: functions whose first argument is a code
MAKERS = ('problem', '_lack')

# made by plugin_utils/findings.py itself
OWN = ('RULE_FAILED', ['critical'])

HEAD = """\
# Problem codes

This page is made by `python3 tools/codes_doc.py`. Do not edit it.

Modules and the tool name everything that they could not do, as *problems*: records with `code`, `severity`, `object`, `message`, `next_step`,
`loses_data` and `blocks_start`. The message says what was found, and the next step what to do in this case. This page says what a code
means in general.

- `critical`: data are lost or in danger. `warning`: something is missing or uncertain. `info`: good to know.
- **Loses data**: something of the object is missing or cannot be read. Its status is not `complete`.
- **Blocks the start**: the engine, or this container, does not start with it, or the engine does not list the container.

Error messages of Docker itself are in [outage.md](outage.md#by-symptom).

In the commands, `lifeboat` is [the tool](tool.md) (`python3 lifeboat.pyz`), as root on the machine that has the disk. If the disk is mounted
elsewhere, add `--host-root /mnt/dead`. Capital letters stand for your own names: NAME is a container, DEST a folder on another disk,
IMAGE@DIGEST an image, best with its digest. With Ansible, the modules and roles have options of the same names.
"""

PARTS = ('Meaning', 'Safe', 'Do')
MARKS = (('LOSES_DATA', 'Loses data'), ('BLOCKS_START', 'Blocks the start'), ('DELETES', 'The engine deletes it'))


class Stale(Exception):
    """The page or a table is not as it should be. The message says which and what to do."""


def read(path, where):
    with open(os.path.join(where, path), encoding='utf-8') as found:
        return found.read()


def table(where=CHECKOUT):
    """[(section, [(code, severity, meaning, [names of marks])])] of records/codes.py. Read and not imported: sections are comments there."""
    source = read(TABLE, where)
    tree = ast.parse(source)
    lines = source.split('\n')
    values = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id == 'CODES':
            values = node.value
    sections = []
    for key, value in zip(values.keys, values.values):
        comment = lines[key.lineno - 2].strip()
        if comment.startswith('#') or not sections:
            sections.append((comment.lstrip('# '), []))
        severity, meaning = value.elts[:2]
        sections[-1][1].append((ast.literal_eval(key), severity.id.lower(), ast.literal_eval(meaning), [mark.id for mark in value.elts[2:]]))
    return sections


def audit_codes(where=CHECKOUT):
    """[(code, [severities])] of the built-in audit rules, in their order, and of what tells of rules."""
    found = {}
    order = []
    code = None
    for line in read(RULES, where).split('\n'):
        match = re.match(r'  - code: ([A-Z_]+)$', line)
        if match:
            code = match.group(1)
            if code not in found:
                order.append(code)
                found[code] = []
        match = re.match(r'    severity: ([a-z]+)$', line)
        if match and code and match.group(1) not in found[code]:
            found[code].append(match.group(1))
    return [(code, sorted(found[code], key=SEVERITIES.index)) for code in order] + [OWN]


def constants(node):
    """Codes that an expression can be: a string, or the branches of a conditional."""
    if isinstance(node, ast.IfExp):
        return constants(node.body) | constants(node.orelse)
    if type(node).__name__ not in ('Constant', 'Str'):      # Str: Python 3.7 and older
        return set()
    value = ast.literal_eval(node)
    return {value} if isinstance(value, str) and CODE.match(value) else set()


def uses(where=CHECKOUT):
    """(codes that the plugins make problems of, every string in them that looks like a code), codes.py left out."""
    made, named = set(), set()
    for folder, dummy, names in os.walk(os.path.join(where, 'plugins')):
        for name in names:
            path = os.path.join(folder, name)
            if not name.endswith('.py') or os.path.relpath(path, where) == TABLE:
                continue
            with open(path, encoding='utf-8') as found:
                tree = ast.parse(found.read())
            for node in ast.walk(tree):
                named |= constants(node) if isinstance(node, ast.expr) else set()
                if isinstance(node, ast.Call) and node.args:
                    called = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
                    if called in MAKERS:
                        made |= constants(node.args[0])
    return made, named


def gaps(where=CHECKOUT):
    """Sentences about what is missing in one table or another; [] if all fits."""
    known = {row[0] for dummy, rows in table(where) for row in rows}
    audit = {code for code, dummy in audit_codes(where)}
    made, named = uses(where)
    found = ['%s is made in plugins/ but is not in %s.' % (code, TABLE) for code in sorted(made - known)]
    found += ['%s is in %s but nothing in plugins/ makes it.' % (code, TABLE) for code in sorted(known - made - named)]
    found += ['%s has no text in tools/codes_texts.py.' % code for code in sorted(known - set(TEXTS))]
    found += ['tools/codes_texts.py has %s, which is not in %s.' % (code, TABLE) for code in sorted(set(TEXTS) - known)]
    found += ['A part of %s is empty in tools/codes_texts.py.' % code
              for code, parts in sorted(list(TEXTS.items()) + list(AUDIT_TEXTS.items())) if not all(part.strip() for part in parts)]
    found += ['%s of %s is not in tools/codes_texts.py.' % (code, RULES) for code in sorted(audit - set(AUDIT_TEXTS))]
    found += ['tools/codes_texts.py has %s, which is not in %s.' % (code, RULES) for code in sorted(set(AUDIT_TEXTS) - audit)]
    return found


def entry(code, severity, meaning, marks, text):
    """Lines about one code. MARKS: (what follows, does it) in words. TEXT: (what is safe, what to do, commands)."""
    safe, todo, commands = text
    follows = '. '.join('%s: %s' % (name, 'yes' if on else 'no') for name, on in marks)
    lines = ['### `%s`' % code, '', '`%s`%s' % (severity, '. ' + follows if follows else ''), '']
    lines += ['- **%s.** %s' % (name, part) for name, part in zip(PARTS, (meaning, safe, todo))]
    return lines + ['', '```'] + commands.split('\n') + ['```', '']


def page(where=CHECKOUT):
    """Text of docs/codes.md."""
    lines = [HEAD]
    for section, rows in table(where):
        lines += ['## ' + section[:1].upper() + section[1:], '']
        for code, severity, meaning, marks in rows:
            words = [(name, mark in marks) for mark, name in MARKS if mark in marks or mark != 'DELETES']
            lines += entry(code, severity, meaning, words, TEXTS.get(code, ('See the next step.', 'See the next step.', 'lifeboat look -v')))
    lines += ['## Findings of the audit', '',
              'The role `audit` adds findings of its own. They are not damage: they are data that the next ordinary step would delete. Each finding',
              'has its remedy; [audit.md](audit.md) explains the rules.', '']
    for code, severities in audit_codes(where):
        text = AUDIT_TEXTS.get(code, ('', '', '', ''))
        lines += entry(code, '` or `'.join(severities), text[0], [], text[1:])
    return '\n'.join(lines).rstrip('\n') + '\n'


def check(where=CHECKOUT):
    """Raise Stale with every reason."""
    reasons = gaps(where)
    try:
        current = read(PAGE, where)
    except OSError:
        current = None
    if current != page(where):
        reasons.append('%s is not current: run python3 tools/codes_doc.py.' % PAGE)
    if reasons:
        raise Stale('\n'.join(reasons))


def main():
    if sys.argv[1:] == ['--check']:
        try:
            check()
        except Stale as exc:
            sys.exit('%s' % exc)
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        with open(os.path.join(CHECKOUT, PAGE), 'w', encoding='utf-8') as out:
            out.write(page())
        for reason in gaps():
            sys.stderr.write(reason + '\n')


if __name__ == '__main__':
    main()
