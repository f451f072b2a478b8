"""What an operator, a marketer and a dashboard can change without touching code.

Settings come from the environment, the catalogue and the policy from YAML; nothing is in both. The floor sits below the
edges, so that flow and API read the same values, and above the engine, which takes them as plain arguments.
"""
