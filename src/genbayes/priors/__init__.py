"""Priors: named parameters over numpyro distributions, with an exact map to unconstrained coordinates.

In come numpyro (or torch) distributions by name; out comes a `Prior` that samples, judges and maps parameters.
"""
