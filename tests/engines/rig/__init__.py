"""A rig of real Docker engines: start, fill, ask, kill, and hand over what is left on the disk.

engine.py starts them, scenario.py and wild.py fill them, truth.py writes down what they say, dead.py kills them and
hands over a DeadRoot. keeper.py clears away on every way out. `python3 -m rig` in tests/engines is the command line.
"""
