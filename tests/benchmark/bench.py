# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our time beside that of what an administrator would type instead, in one table.

    bench.py [--list] [PATTERN ...]     rows whose name contains one of the patterns; all without

Every row runs our work and its references in turn, in this very call, LIFEBOAT_BENCH_RUNS times (5) after one round
that is not counted (so: warm caches, unless the row says cold); the table shows medians. Our work runs in a process of
its own, which measures itself: its seconds begin when Python and the collection are loaded, as they are once per host
in a module, and that start is a row of its own. References are whole command lines. Nothing is synced to the disk on
either side.

Environment: LIFEBOAT_BENCH_RUNS; LIFEBOAT_BENCH_DIR (a folder for 12 GB of test data, kept for the next time;
otherwise a temporary one); LIFEBOAT_BENCH_SCALE (0.01 to try the rows themselves); LIFEBOAT_BENCH_COLD=1 (as root: also
the rows that empty the kernel's caches, which everybody on the machine feels).

A row is a function in one of the rows_*.py files beside this one, see lab.py. Exit status 1 if a target is missed.
"""
import argparse
import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import lab  # noqa: E402

ENVIRONMENT = dict(os.environ, LC_ALL='C', PYTHONHASHSEED='0')


def load_rows():
    for name in sorted(os.listdir(HERE)):
        if name.startswith('rows_') and name.endswith('.py'):
            importlib.import_module(name[:-3])


def run_work(name, arguments):
    """{'seconds', 'peak_kib', 'start'} of our work in a process of its own."""
    started = time.perf_counter()
    out = subprocess.run([sys.executable, os.path.abspath(__file__), '--work', name, json.dumps(arguments)],
                         env=ENVIRONMENT, stdout=subprocess.PIPE, check=True).stdout
    measured = json.loads(out.decode())
    measured['start'] = time.perf_counter() - started - measured['seconds']
    return measured


def do_work(name, arguments):
    """The other side of run_work."""
    work = lab.WORKS[name](**json.loads(arguments))
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    with open('/proc/self/status') as status:
        peak = [int(line.split()[1]) for line in status if line.startswith('VmHWM')][0]
    sys.stdout.write(json.dumps({'seconds': seconds, 'peak_kib': peak}))


def run_reference(command):
    started = time.perf_counter()
    subprocess.run(['sh', '-c', 'set -e; ' + command], env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def measure(row, runs):
    """(median seconds of ours, {reference: median seconds}, peak KiB of ours, median start)."""
    ours, peaks, starts = [], [], []
    theirs = {reference: [] for reference in row.references}
    for turn in range(runs + 1):
        if row.before is not None:
            row.before()
        measured = run_work(row.work, row.arguments)
        row.clean()
        seconds = {}
        for reference in row.references:
            if row.before is not None:
                row.before()
            seconds[reference] = run_reference(reference.command)
            row.clean()
        if turn or runs == 0:
            ours.append(measured['seconds'])
            peaks.append(measured['peak_kib'])
            starts.append(measured['start'])
            for reference, found in seconds.items():
                theirs[reference].append(found)
    return (statistics.median(ours), {reference: statistics.median(found) for reference, found in theirs.items()},
            max(peaks), statistics.median(starts))


HEAD = '%-52s %9s  %-46s %9s %6s %6s %7s' % ('work', 'ours', 'reference', 'theirs', 'ratio', 'target', 'peak')


def line(label, ours, reference, theirs, target, peak):
    """(text, whether it is as it should be)."""
    ratio = ours / theirs if theirs else None
    good = (target is None or ratio is None or ratio <= target) and peak <= lab.PEAK_KIB
    return '%-52s %7.3f s  %-46s %9s %6s %6s %3d MiB%s' % (
        label[:52], ours, reference[:46], '%7.3f s' % theirs if theirs else '', '%.2f' % ratio if ratio else '',
        '%.2f' % target if target else '', peak // 1024, '' if good else '  MISSED'), good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--work', nargs=2, help=argparse.SUPPRESS)
    parser.add_argument('patterns', nargs='*')
    options = parser.parse_args()
    load_rows()
    if options.work:
        do_work(*options.work)
        return 0
    chosen = [name for name in lab.ROWS if not options.patterns or any(part in name for part in options.patterns)]
    if options.list or not chosen:
        sys.stdout.write('\n'.join(lab.ROWS) + '\n')
        return 0 if options.list else 2
    runs = int(os.environ.get('LIFEBOAT_BENCH_RUNS', '5'))
    folder = os.environ.get('LIFEBOAT_BENCH_DIR')
    kept = folder is not None
    folder = os.path.abspath(folder) if kept else tempfile.mkdtemp(prefix='lifeboat-bench-')
    os.makedirs(folder, exist_ok=True)
    here = lab.Lab(folder, float(os.environ.get('LIFEBOAT_BENCH_SCALE', '1')))
    all_good = True
    starts = []
    print('medians of %d, Python %s, %d CPUs, load %.1f, scale %g' % (
        runs, sys.version.split()[0], len(os.sched_getaffinity(0)), os.getloadavg()[0], here.scale))
    print(HEAD, flush=True)
    try:
        for name in chosen:
            first = None                # of a row of several sizes
            for row in lab.ROWS[name](here):
                ours, theirs, peak, start = measure(row, runs)
                starts.append(start)
                told = []
                for reference in row.references:
                    told.append(line(row.label, ours, reference.label, theirs[reference], reference.target, peak))
                if row.units:
                    first = first or (ours, row.units)
                    told.append(line(row.label, ours, '%g times the first of these rows' % (row.units / first[1]),
                                     first[0] * row.units / first[1], row.linear, peak))
                for text, good in told:
                    print(text, flush=True)
                    all_good = all_good and good
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    if starts:
        print('%-52s %7.3f s  once per host, not in the rows above' % ('start of Python and import of the collection',
                                                                     statistics.median(starts)))
    return 0 if all_good else 1


if __name__ == '__main__':
    sys.exit(main())
