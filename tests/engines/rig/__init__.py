# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig of real Docker engines: start, fill, ask, kill, and hand over what is left on the disk.

engine.py starts them, scenario.py and wild.py fill them, truth.py writes down what they say, dead.py kills them and
hands over a DeadRoot. keeper.py clears away on every way out. `python3 -m rig` in tests/engines is the command line.
"""
