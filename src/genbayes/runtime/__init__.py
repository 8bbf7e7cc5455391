"""What every other package stands on, and what knows nothing of inference.

Outcomes in plain words, seeds by (seed, row), progress bars, seconds with compilation told apart, compiling, processes,
safe writing of files, numbers as text. In come plain values; out come plain values and small frozen records.
"""
