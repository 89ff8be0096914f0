"""Every command in the documents exists: verbs and options of the tool, modules and roles with their options, targets of make.

What somebody copies at three in the morning is parsed by the parser that will read it, and every name is looked up where it is defined.
"""
import ast
import functools
import glob
import json
import os
import re
import shlex

import pytest
import yaml

from ansible_collections.lifeboat.docker.plugins.module_utils.cli import parser as cli

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGES = sorted(os.path.relpath(path, TOP) for pattern in ('*.md', 'docs/*.md', 'docs/zh/*.md', 'roles/*/README.md')
               for path in glob.glob(os.path.join(TOP, pattern)) if os.path.basename(path) != 'CHANGELOG.md')
FENCE = re.compile(r'^```[ ]*([a-z]*)\n(.*?)^```[ ]*$', re.M | re.S)
INLINE = re.compile(r'(?<!`)`([^`]+)`(?!`)', re.S)
TOOL = re.compile(r'(?:\./)?lifeboat(?:\.pyz)?\Z')
ROLE = re.compile(r'lifeboat\.docker\.((?:rescue|restore)(?:_repository)?|audit|repair|drill)\Z')
CALL = re.compile(r"(?:lookup|query)\(\s*'lifeboat\.docker\.([a-z_]+)'(.*?)\)", re.S)
VARIABLE = re.compile(r'\b((?:rescue|restore|audit|repair|drill)_[a-z_]*[a-z])\b')
# words of that shape that are no variables: filters, modules of others, keys of results and columns of tables
NO_VARIABLES = {'rescue_report', 'audit_findings', 'audit_host', 'audit_report', 'audit_expired', 'audit_folder_name', 'drill_report'}
# a word with its quotes, or what ends a command
WORD = re.compile(r"""(?:[^\s|;&()<>'"\\]|\\.|'[^']*'|"(?:\\.|[^"\\])*")+|[|;&()<>]+""")


def read(*path):
    with open(os.path.join(TOP, *path), encoding='utf-8') as stream:
        return stream.read()


def constant(path, name):
    """The text of a module's NAME = r'''...'''."""
    for node in ast.walk(ast.parse(read(path))):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == name:
            return ast.literal_eval(node.value)
    raise AssertionError('%s has no %s' % (path, name))


def options_of(path):
    """Names of the options (with aliases) that the plugin in PATH has, those of our fragments too."""
    documented = yaml.safe_load(constant(path, 'DOCUMENTATION'))
    found = dict(documented.get('options') or {})
    fragments = documented.get('extends_documentation_fragment') or []
    for fragment in [fragments] if isinstance(fragments, str) else fragments:
        space, dummy, rest = fragment.partition('lifeboat.docker.')
        if rest:
            name, dummy, part = rest.partition('.')
            shared = constant(os.path.join('plugins', 'doc_fragments', name + '.py'), (part or 'documentation').upper())
            found.update(yaml.safe_load(shared).get('options') or {})
    return set(found) | {alias for option in found.values() for alias in option.get('aliases') or ()}


def plugins(kind):
    return {os.path.basename(path)[:-3]: options_of(os.path.relpath(path, TOP))
            for path in glob.glob(os.path.join(TOP, 'plugins', kind, '*.py')) if not path.endswith('__init__.py')}


MODULES, LOOKUPS, INVENTORIES = plugins('modules'), plugins('lookup'), plugins('inventory')
FILTERS = {os.path.basename(path)[:-4] for path in glob.glob(os.path.join(TOP, 'plugins', 'filter', '*.yml'))}
ROLES = {name: {option for entry in yaml.safe_load(read('roles', name, 'meta', 'argument_specs.yml'))['argument_specs'].values() for option in entry['options']}
         for name in os.listdir(os.path.join(TOP, 'roles'))}
# what the role takes besides: variables of its play
PLAY = {name: set(VARIABLE.findall(read('playbooks', name + '.yml'))) for name in ROLES}
VARIABLES = set().union(*ROLES.values()).union(*PLAY.values())
TARGETS = set(re.findall(r'^([a-z]+)(?=[a-z ]*:)', read('Makefile'), re.M)) | set(re.findall(r'^\.PHONY: (.*)$', read('Makefile'), re.M)[0].split())


def lines(block):
    """Command lines of a block: prompts off, continuations joined."""
    return [re.sub(r'^\s*[$#] ', '', line) for line in re.sub(r'\\\n\s*', ' ', block).split('\n')]


def words(line):
    """[words of each command in LINE]. A line that is no command, like a drawing, is cut into whatever it is cut into."""
    found = [[]]
    for word in WORD.findall(line):
        if word.startswith('#'):
            break
        if word[0] in '|;&()<>' or word in ('do', 'done'):
            if word.startswith('>') and found[-1][-1:] in (['1'], ['2']):
                found[-1].pop()
            found.append([])
        else:
            found[-1].append(''.join(shlex.split(word)))
    return found


def nested(command):
    """The command, and what it hands on as one word (ssh host 'python3 lifeboat.pyz ...')."""
    yield command
    for word in command[1:]:
        if 'lifeboat' in word and ' ' in word and not word.startswith('{'):
            yield from words(word)


def commands(text):
    """(line, words, is it whole) of what is in fences, and of what is in the text."""
    bare = FENCE.sub('', text)
    for dummy, block in FENCE.findall(text):
        for line in lines(block):
            for command in words(line):
                for inner in nested(command):
                    yield line, inner, True
    for code in INLINE.findall(bare):
        for command in words(' '.join(code.split())):
            yield code, command, False


class Wrong(Exception):
    pass


def refuse(dummy, message):
    raise Wrong(message)


def parse(arguments, whole):
    """Wrong if the tool would refuse ARGUMENTS. What stands within a sentence may lack its objects."""
    parser = cli.build('1')
    for each in [parser] + list(parser.verbs.values()):
        each.error = functools.partial(refuse, each)
    if not whole:
        for verb in parser.verbs.values():
            for action in verb.filled()._actions:
                action.required = False
                if not action.option_strings and action.nargs in (None, '+'):
                    action.nargs = '*' if action.nargs else '?'
        parser._subparsers._group_actions[0].required = False
    parser.parse_args(['look' if word == 'VERB' else word for word in arguments])


def tool_faults(text):
    for line, command, whole in commands(text):
        at = next((number for number, word in enumerate(command) if TOOL.match(word)), None)
        if at is None or command[:at] not in ([], ['python3'], ['sudo'], ['sudo', 'python3']):
            continue
        arguments = command[at + 1:]
        if whole:                       # a remark stands after two spaces
            head = re.match(r'.*?lifeboat(?:\.pyz)?(?: \S+)*?(?=\s{2,}\S|\s*$)', line.split('#')[0])
            if head and re.search(r'\s{2,}\S', line):
                arguments = next((each[each.index(command[at]) + 1:] for each in words(head.group(0)) if command[at] in each), arguments)
        if '--help' in arguments or any(word in ('...', '…') or word.startswith('--') and word.endswith('...') for word in arguments):
            arguments = [word for word in arguments if word not in ('--help', '...', '…')]
            whole = False
        try:
            parse(arguments, whole)
        except Wrong as exc:
            yield '%s: %s' % (line.strip(), exc)


def assigned(text):
    """Keys of -a or -e: JSON, or words with =."""
    text = text.strip()
    if text.startswith('{'):
        return list(json.loads(text))
    return [word.partition('=')[0] for word in shlex.split(text) if '=' in word]


def ansible_faults(text):
    for line, command, dummy in commands(text):
        if not command or os.path.basename(command[0]) not in ('ansible', 'ansible-playbook', '-e', '-m'):
            if not (len(command) > 2 and 'ansible-playbook' in os.path.basename(command[0])):
                continue
        role = next((ROLE.match(word).group(1) for word in command if ROLE.match(word)), None)
        module = next((after[len('lifeboat.docker.'):] for word, after in zip(command, command[1:])
                       if word == '-m' and after.startswith('lifeboat.docker.')), None)
        if module is not None and module not in MODULES:
            yield '%s: no module %s' % (line, module)
            continue
        for word, after in zip(command, command[1:]):
            if word == '-a' and module:
                for key in assigned(after):
                    if key not in MODULES[module]:
                        yield '%s: %s has no option %s' % (line, module, key)
            if word == '-e':
                for key in assigned(after):
                    if VARIABLE.match(key) and key not in VARIABLES or role and VARIABLE.match(key) and key not in ROLES[role] | PLAY[role]:
                        yield '%s: no variable %s' % (line, key)


def yaml_faults(text):
    for kind, block in FENCE.findall(text):
        if kind in ('yaml', 'yml'):
            for document in yaml.safe_load_all(block):
                yield from _walk(document)
    for name, arguments in CALL.findall(text):
        keys = set(re.findall(r'\b([a-z_0-9]+)=', arguments))
        if name not in LOOKUPS or keys - LOOKUPS[name]:
            yield 'lookup %s: %s' % (name, sorted(keys - LOOKUPS.get(name, set())))


def _walk(value):
    if isinstance(value, list):
        for item in value:
            yield from _walk(item)
    elif isinstance(value, dict):
        plugin = value.get('plugin')
        if isinstance(plugin, str) and plugin.startswith('lifeboat.docker.') and plugin[16:] not in INVENTORIES:
            yield 'no inventory %s' % plugin
        for key, item in value.items():
            name = key[len('lifeboat.docker.'):] if isinstance(key, str) and key.startswith('lifeboat.docker.') else None
            if name is not None:
                if name not in MODULES:
                    yield 'no module %s' % name
                elif isinstance(item, dict) and set(item) - MODULES[name]:
                    yield '%s has no option %s' % (name, sorted(set(item) - MODULES[name]))
            yield from _walk(item)


def name_faults(text):
    """Names in the text: variables of roles, modules, plugins, targets of make."""
    for name in set(VARIABLE.findall(text)):
        if name not in VARIABLES | NO_VARIABLES and not re.search(r'\blifeboat_%s\b|\b%s[/.*]' % (name, name), text):
            yield 'no variable %s' % name
    for name in set(re.findall(r'\b(docker_[a-z]+_[a-z]+)\b', ' '.join(INLINE.findall(text)))) - set(MODULES):
        if re.match(r'docker_(layer|data|bundle|root|database|disk)_', name):
            yield 'no module %s' % name
    known = set(MODULES) | set(LOOKUPS) | set(INVENTORIES) | FILTERS | set(ROLES) | {'docker'}
    for name in set(re.findall(r'\blifeboat\.docker\.([a-z_]+)', text)) - known:
        yield 'nothing is called lifeboat.docker.%s' % name
    for command in [each[1] for each in commands(text)]:
        if command[:1] == ['make'] and len(command) > 1 and re.match(r'[a-z]+\Z', command[1]) and command[1] not in TARGETS:
            yield 'make has no target %s' % command[1]


def faults(text):
    return sorted(set(tool_faults(text)) | set(ansible_faults(text)) | set(yaml_faults(text)) | set(name_faults(text)))


@pytest.mark.parametrize('page', PAGES)
def test_every_command_exists(page):
    assert faults(read(page)) == []


def test_remedies_of_the_audit_exist():
    rules = yaml.safe_load(read('roles', 'audit', 'defaults', 'main', 'rules.yml'))['audit_builtin_rules']
    remedies = [line for rule in rules for line in rule['remedy'].split('\n') if 'lifeboat' in line]
    assert remedies and [fault for line in remedies for fault in faults('```\n%s\n```' % line)] == []


def descriptions(value):
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ('description', 'short_description', 'notes', 'details') and not isinstance(item, dict):
                yield from item if isinstance(item, list) else [item]
            else:
                yield from descriptions(item)
    elif isinstance(value, list):
        for item in value:
            yield from descriptions(item)


def test_every_description_is_text():
    """A colon and a blank in an unquoted line of YAML make a dictionary of it, and ansible-doc refuses the whole module."""
    found = [(path, each) for kind in ('modules', 'lookup', 'inventory') for path in glob.glob(os.path.join(TOP, 'plugins', kind, '*.py'))
             for name in ('DOCUMENTATION', 'RETURN') if name == 'DOCUMENTATION' or kind == 'modules'
             for each in descriptions(yaml.safe_load(constant(os.path.relpath(path, TOP), name)))]
    found += [(path, each) for pattern in ('plugins/filter/*.yml', 'roles/*/meta/argument_specs.yml') for path in glob.glob(os.path.join(TOP, pattern))
              for each in descriptions(yaml.safe_load(read(os.path.relpath(path, TOP))))]
    assert len(found) > 200 and [(path, each) for path, each in found if not isinstance(each, str)] == []


def test_the_page_of_the_tool_has_every_verb_and_every_option_for_all():
    page, parser = read('docs', 'tool.md'), cli.build('1')
    headings = {word for line in re.findall(r'^##+ (.*)$', page, re.M) for word in re.findall(r'\w+', line.lower())}
    assert [name for name, dummy in cli.VERBS if name not in headings] == []
    options = page[page.index('## Options for all'):page.index('## Exit status')]
    for action in parser._actions:
        if action.option_strings and action.option_strings[-1] not in ('--help', '--version'):
            assert '`%s' % action.option_strings[-1] in options, action.option_strings


def test_the_readme_has_the_sections_of_the_collection_template_and_every_plugin():
    page = read('README.md')
    headings = re.findall(r'^## (.*)$', page, re.M)
    wanted = ['Use cases', 'Using this collection', 'Included content', 'Requirements', 'Installation', 'Testing', 'Contributing', 'Code of Conduct',
              'Communication', 'Support', 'Release notes and roadmap', 'More information', 'Licensing']
    assert headings == wanted
    content = page[page.index('## Included content'):page.index('## Requirements')]
    named = set(re.findall(r'`([a-z_]+)`', content))
    assert (set(MODULES) | FILTERS | set(LOOKUPS) | set(INVENTORIES) | set(ROLES)) - named == set()
    assert 'docs/support.md' in page[page.index('## Testing'):]


def test_there_are_commands_to_check():
    counted = [each[1] for page in PAGES for each in commands(read(page)) if each[1]]
    assert len([command for command in counted if any(TOOL.match(word) for word in command)]) > 60
    assert len([command for command in counted if 'ansible' in command[0]]) > 20


@pytest.mark.parametrize('text, said', [
    ('`lifeboat show`', 'invalid choice'), ('`lifeboat look --weird`', 'unrecognized'), ('```\nlifeboat rescue\n```', 'required'),
    ('```\nssh dead \'python3 lifeboat.pyz tar --wat web\' > x\n```', 'unrecognized'),
    ('```\n$ sudo lifeboat ls web --long-listing\n```', 'unrecognized'),
    ('```\nlifeboat look                         a remark\nlifeboat frob                        another\n```', 'frob'),
    ('```\nansible-playbook lifeboat.docker.rescue -e rescue_destination=/x\n```', 'rescue_destination'),
    ('```\nansible-playbook lifeboat.docker.rescue -e restore_path=/x\n```', 'restore_path'),
    ('```\nansible all -m lifeboat.docker.docker_layer_facts \\\n    -a \'{"hostroot": "/"}\'\n```', 'hostroot'),
    ('```\nansible all -m lifeboat.docker.docker_facts\n```', 'docker_facts'),
    ('```yaml\n- lifeboat.docker.docker_data_rescue:\n    destination: /x\n```', 'destination'),
    ('```yaml\nplugin: lifeboat.docker.dead_hosts\n```', 'dead_hosts'),
    ("`lookup('lifeboat.docker.dead_file', 'web:/x', hostroot='/')`", 'hostroot'), ('`rescue_wat`', 'rescue_wat'),
    ('`docker_data_fetch`', 'docker_data_fetch'), ('`lifeboat.docker.dead_files`', 'dead_files'), ('```\nmake everything\n```', 'everything')])
def test_a_command_that_does_not_exist_is_found(text, said):
    assert said in ' '.join(faults(text))


@pytest.mark.parametrize('text', [
    '`lifeboat rescue DEST`', '`lifeboat`', '`lifeboat VERB --help`', '`lifeboat --data-root DIR rescue DEST --volumes \'*\'`', '`lifeboat.docker.rescue`',
    '```\nlifeboat tar web | docker import - web:rescued\n```', '```\nlifeboat look --size               how large, too; this walks\n```',
    '`-e \'{"rescue_volumes": ["*"]}\'`'])
def test_one_that_exists_is_not(text):
    assert faults(text) == []
