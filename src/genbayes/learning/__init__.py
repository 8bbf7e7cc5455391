"""Regression from parameters to what a cost needs: polynomials, networks, mixtures of logistic distributions.

In come arrays of inputs and labels with the folds that hold rows back; out come fitted equinox modules and a
`FitRecord` of how the fitting went. Nothing here knows of distances, observations or posteriors.
"""
