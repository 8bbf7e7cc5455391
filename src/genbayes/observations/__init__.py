"""Observations from files and labelled arrays: what was measured, when, under which name and in which units.

A file becomes records of cells with their lines (`lines`), then a head of names and units (`headers`), numbers
(`cells`) and an index (`indices`), and so a table (`tables`). Arrays and labelled objects have files of their own. All
end in one frozen `Observation`. A missing value is NaN. What cannot be read for certain is refused: the message names
the file, the line, what stood there and the remedy.
"""

from .observation import Observation as Observation
from .reading import read_observation as read_observation
from .stacks import as_output as as_output
from .stacks import as_stack as as_stack
from .stacks import read_observations as read_observations
