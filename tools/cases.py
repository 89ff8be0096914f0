"""Results of checks, one record each, whatever ran them; and the closing lines that sum them up."""
import collections
import glob
import json
import os
import re
import subprocess
import xml.etree.ElementTree as etree

HERE = os.path.dirname(os.path.abspath(__file__))
PASSED, FAILED, SKIPPED = 'passed', 'failed', 'skipped'
NOTHING_TO_TEST = 'No tests applicable.'  # ansible-test: no file of the kind that this test is about
Case = collections.namedtuple('Case', 'part name outcome text')


def from_junit(part, pattern):
    """Cases of every JUnit file that PATTERN (a glob) names."""
    found = []
    for path in sorted(glob.glob(pattern)):
        for node in etree.parse(path).getroot().iter('testcase'):
            name = '.'.join(each for each in (node.get('classname'), node.get('name')) if each)
            outcome, text = PASSED, ''
            for child in node:
                if child.tag in ('failure', 'error'):
                    outcome = FAILED
                    # what did not hold comes first: it is all that the closing lines have room for
                    text = '\n'.join(filter(None, (' '.join((child.get('message') or '').split()), child.text))) or child.tag
                elif child.tag == 'skipped' and outcome == PASSED:
                    outcome, text = SKIPPED, child.get('message') or child.text or ''
            if text != NOTHING_TO_TEST:
                found.append(Case(part, name, outcome, text))
    return found


def spread(found, most):
    """At most MOST of FOUND (a list), the first and the last among them."""
    if len(found) <= most:
        return found
    return [found[number * (len(found) - 1) // (most - 1)] for number in range(most)] if most > 1 else found[:1]


def count(cases):
    """(passed, failed, skipped)"""
    outcomes = collections.Counter(case.outcome for case in cases)
    return outcomes[PASSED], outcomes[FAILED], outcomes[SKIPPED]


def reasons(cases):
    """[(why, how many)] of what was skipped, the most frequent first. Parts that did not run at all say so themselves."""
    whys = [(case.text.strip().splitlines() or ['no reason given'])[0] for case in cases
            if case.outcome == SKIPPED and not case.text.startswith('did not run: ')]
    # ansible-test names each of its tests for each Python
    whys = [re.sub(r'^Skipping sanity test .* on (Python [\d.]+) because it could not be found.*', r'\1 is not installed', why)
            for why in whys]
    return collections.Counter(whys).most_common()


def worded(cases):
    return '%d passed, %d failed, %d skipped' % count(cases)


def close(cases, seconds, pytest, scratch):
    """Print what did not pass and the sum over all parts. Returns the exit status.

    The last line is pytest's own: every case is handed to a real pytest run as one test of that outcome
    (tools/verdict), so that whoever watches for pytest's closing line sees true numbers.
    """
    parts = collections.OrderedDict()
    for case in cases:
        parts.setdefault(case.part, []).append(case)
    print()
    for part, members in parts.items():
        print('  %-34s %s' % (part, worded(members)))
    print('%s in %d s' % (worded(cases), seconds), flush=True)
    kept = os.path.join(scratch, 'cases.json')
    with open(kept, 'w', encoding='utf-8') as out:
        json.dump([case._asdict() for case in cases], out)
    where = os.path.join(HERE, 'verdict')
    environment = dict(os.environ, LIFEBOAT_CASES=kept, PYTHONDONTWRITEBYTECODE='1')
    environment.pop('CI', None)         # pytest would not shorten its lines
    environment['COLUMNS'] = '400'      # but not to names alone: often nothing else is kept of a run elsewhere
    replay = subprocess.run([pytest, '--no-header', '-p', 'no:cacheprovider', '-o', 'console_output_style=classic',
                             '-rf', '--tb=no', '--rootdir', where, where],
                            env=environment, check=False)
    if not cases or count(cases)[1]:
        return 1
    return replay.returncode
