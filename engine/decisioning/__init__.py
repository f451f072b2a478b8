"""Which offer, if any: catalogue, eligibility, caps, holdout, arbitration, and the reasons in words."""
