"""The command `genbayes`: one file for each command, and what they share.

In come words typed and a problem.toml; out come files in the problem's folder, tables on the terminal and exit codes.
"""
