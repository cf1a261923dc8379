"""Measures servers of the plugin protocol, what people use instead of them, and what the machine can do at most.

``python -m benchmarks`` runs everything; ``python -m benchmarks growth`` draws how costs grow with the work. How to
read the figures is told in ``docs/performance.md``.
"""
