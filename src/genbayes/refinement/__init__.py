"""More simulations where the posteriors are, fitted again until the answers agree.

In come a simulator, simulations, a cost and the posteriors that matter; out come more simulations and a better cost.
"""
