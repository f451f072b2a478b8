"""Simulated web shoppers of whom everything is known: what they like, how offers sway them, when they stay away.

Real baskets cannot be persuaded by a replay, so an effect can only be shown where the truth is known. `world` holds the
truth, `visit` plays it without any I/O, `truth` says what each policy is worth under it, `driver` speaks HTTP.
"""
