"""Whether a result can be relied on, why not, and what to do: one file for each thing that is checked.

In come a posterior, its draws, new runs and the simulations behind it; out come `Finding`s (level, text, remedy,
numbers) and, of all of them together, a verdict.
"""
