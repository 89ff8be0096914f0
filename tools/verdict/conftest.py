# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No dots: the parts printed theirs already."""


def pytest_report_teststatus(report):
    if report.passed:
        return ('passed' if report.when == 'call' else ''), '', ''
    return None
