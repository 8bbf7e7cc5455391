"""The explorer: a fitted cost and its prior as numbers, and the page's own programs that move a posterior with them.

A report holds it: a reader drags beta, values of the observation and weights, and sees the posterior move, offline. The
numbers are exact; what cannot be written down as numbers is refused (`NotExportable`), and the page says so.
"""
