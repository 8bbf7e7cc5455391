"""`genbayes completion`: print what lets a shell complete commands, options and files."""

import argparse

from .completion_scripts import SCRIPTS, words_of
from .registry import Commands, register
from .terminal import Terminal

EXAMPLES = """\
once, in the folder where the shell looks:
  genbayes completion bash > ~/.local/share/bash-completion/completions/genbayes
  genbayes completion zsh > ~/.zsh/_genbayes        with fpath+=(~/.zsh) before compinit in .zshrc
  genbayes completion fish > ~/.config/fish/completions/genbayes.fish
or for this shell alone:
  source <(genbayes completion bash)
Make it anew after an update: the text is fixed, so that completion starts nothing.
"""


@register
def add_parser(commands: Commands) -> None:
    """What can be typed after `genbayes completion`."""
    text = "Print what lets a shell complete commands, options and files."
    command = commands.add("completion", run, text, problem=False, epilog=EXAMPLES)
    command.add_argument("shell", choices=tuple(SCRIPTS), help="for which")


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Prints the script."""
    del terminal
    print(SCRIPTS[options.shell](words_of(options.parser_of_all())), end="")
