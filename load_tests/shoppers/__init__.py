"""Simulated customers of whom everything is known: what they like, how offers sway them, when they stay away.

Real baskets cannot be persuaded by a replay, so an effect can only be shown where the truth is known.

Two worlds. Shoppers visit one at a time and speak HTTP: `world` holds their truth, `visit` plays it without any I/O, `truth`
says what each policy is worth under it, `driver` knocks at the doors. A crowd is arrays, so that hundreds of experiments
fit into seconds: `crowd` knows who can be persuaded and who leaves when, `shelf` has offers that come, drift and are lied
about, `looks` watches an experiment while customers come in, and `light` sends a crowd through the real engine in process.
"""
