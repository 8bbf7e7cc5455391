"""Running a simulator and keeping what it returned: JAX and Python simulators, worker processes, a Zarr store.

In come a simulator, a prior (or given parameters) and a seed; out come `Simulations`: a row for each run, failed ones
with their reason, each dependent on (seed, row) alone.
"""
