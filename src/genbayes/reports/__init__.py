"""One self-contained HTML page about a run, and the BibTeX of what it used.

In come a posterior, its draws and what was checked; out comes a file that needs no network and no further files.
"""
