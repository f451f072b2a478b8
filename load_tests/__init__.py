"""Load with a known truth: simulated shoppers, the demo and the benchmarks.

It may use everything and nothing uses it. It ships in the wheel because the demo does.
"""
