"""Where tests import from is said in one place."""
import os
import re

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# programs of their own, which pytest does not run
PROGRAMS = ('benchmark', 'integration')
CHANGES = re.compile(r'sys\.path(\.(insert|append|extend)\(|\[[^]]*\]\s*=|\s*\+?=[^=])')


def test_no_test_changes_where_modules_are_looked_for():
    found = []
    for folder, folders, names in os.walk(TESTS):
        if folder == TESTS:
            folders[:] = [name for name in folders if name not in PROGRAMS]
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith('.py') and not name.endswith('_in_guest.py') and path not in (os.path.join(TESTS, 'conftest.py'), os.path.abspath(__file__)):
                with open(path, encoding='utf-8') as source:
                    found += ['%s:%d' % (os.path.relpath(path, TESTS), number) for number, line in enumerate(source, 1) if CHANGES.search(line)]
    assert found == []


def test_no_two_tests_have_one_name():
    """Files of tests are modules without a package: two of one name cannot be run in one call."""
    places = {}
    for folder, folders, names in os.walk(TESTS):
        if folder == TESTS:
            folders[:] = [name for name in folders if name not in PROGRAMS]
        for name in names:
            if name.startswith('test_') and name.endswith('.py'):
                places.setdefault(name, []).append(os.path.relpath(folder, TESTS))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
