"""Laws of deciding: caps, propensities, consent, stages."""
