"""Benchmarks: newsmill beside peers that do the same work, in the same run, on the same machine.

``python -m bench [SECTION …]`` prints tables and writes ``bench/results/*.json`` with versions and the machine's load.
Figures of a shared machine vary: compare the rows of one run, not runs.
"""
