"""Several pieces together with real processes and a real Redis."""
