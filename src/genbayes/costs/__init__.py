"""The expected distance of what a parameter simulates to any observation, learned from simulations alone.

In come `Simulations` and a distance; out comes a `Cost`, which is one of four forms (features, marginal distributions,
an emulator, a general network), can be asked at any parameter and observation, and is kept in one file without code.
"""
