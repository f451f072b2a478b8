"""Named readings of a profile at an instant.

One function reads them in the flow, in the API and in evaluation, so what a model learned from and what it scores can
never drift apart; the fingerprint names the exact set.
"""
