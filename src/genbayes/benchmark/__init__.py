"""`genbayes benchmark`: methods on tasks whose answer is known, one row a posterior, with tables and figures.

In come the names of tasks and methods (`methods/`); out come rows on disk, a table, pictures and a page.
"""
