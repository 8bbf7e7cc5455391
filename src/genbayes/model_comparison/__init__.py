"""Which of several simulators an observation speaks for: Gibbs evidences and posterior probabilities of models.

In come priors and costs of one distance, with an observation and an inverse temperature; out comes a `ModelComparison`.
"""
