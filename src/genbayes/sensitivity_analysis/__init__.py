"""How the answer changes with the distance, its scales and its weights, and which outputs make the misfit.

In comes a posterior whose cost has the marginal form; out comes a `Sensitivity`: the posterior and its misfit for each
variant of the distance.
"""
