"""Shell scripts that complete a command line, from its parser: text that needs neither Python nor this package."""

import argparse
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .argument_types import count_or_file, path

FILES, FOLDERS = "files", "folders"


class Option(NamedTuple):
    """An option of a command.

    Attributes:
        flags: as typed, such as ("-h", "--help").
        value: what follows: its choices, or `FILES`, `FOLDERS`, "" (what cannot be completed), None (nothing).
        several: whether several values may follow.
        help: in a few words.
    """

    flags: tuple[str, ...]
    value: tuple[str, ...] | str | None
    several: bool
    help: str


class Words(NamedTuple):
    """What can be typed after a command: its options, and words that stand by themselves.

    Attributes:
        help: what the command does.
        options: of the command.
        word: as `Option.value`, of the first word that is no option.
    """

    help: str
    options: tuple[Option, ...]
    word: tuple[str, ...] | str | None


def words_of(parser: argparse.ArgumentParser) -> dict[str, Words]:
    """What can be typed after each command of a parser."""
    (commands,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    texts = {one.dest: one.help or "" for one in commands._choices_actions}
    return {name: _words(texts[name], one._actions) for name, one in commands.choices.items()}


def _words(text: str, actions: list[argparse.Action]) -> Words:
    options = tuple(
        Option(
            tuple(one.option_strings),
            None if one.nargs == 0 else _value(one),
            one.nargs in ("+", "*"),
            (one.help or "").replace("%%", "%"),
        )
        for one in actions
        if one.option_strings
    )
    positional = [_value(one) for one in actions if not one.option_strings]
    return Words(text, options, positional[0] if positional else None)


def _value(action: argparse.Action) -> tuple[str, ...] | str:
    if action.choices is not None:
        return tuple(map(str, action.choices))
    if action.type is path or action.metavar == "DIR":
        return FOLDERS
    return FILES if action.type in (Path, count_or_file) else ""


def bash(commands: dict[str, Words]) -> str:
    """A function that bash calls with the words so far."""
    cases = []
    for name, words in commands.items():
        flags = " ".join(flag for option in words.options for flag in option.flags)
        after_flag = [option for option in words.options if option.value is not None]
        after_values = [option for option in after_flag if option.several and option.value]
        lines = [f"    {name})", *_bash_case("before", after_flag), *_bash_case("last", after_values)]
        lines += [f'      if [[ $word == -* ]]; then _genbayes_complete -W "{flags}"']
        lines += [f"      else {_bash_answer(words.word or '')}; fi ;;"]
        cases.append("\n".join(lines))
    return f"""\
# Completion of genbayes for bash; made by `genbayes completion bash`.
_genbayes_complete() {{
  COMPREPLY=($(compgen "$@" -- "$word"))
}}
_genbayes_files() {{
  # Names may have spaces.
  local IFS=$'\\n'
  compopt -o filenames 2>/dev/null
  _genbayes_complete "$@"
}}
_genbayes() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} last="" i
  # The option before this word and values of it: some take several.
  for ((i = COMP_CWORD - 1; i > 1; i--)); do
    [[ ${{COMP_WORDS[i]}} == -* ]] && {{ last=${{COMP_WORDS[i]}}; break; }}
  done
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    _genbayes_complete -W "{" ".join(commands)} --help --version"
    return
  fi
  [[ $word == -* ]] && before="" last=""
  case ${{COMP_WORDS[1]}} in
{chr(10).join(cases)}
  esac
}}
complete -F _genbayes genbayes
"""


def _bash_case(variable: str, options: list[Option]) -> list[str]:
    if not options:
        return []
    answers = [f"        {'|'.join(one.flags)}) {_bash_answer(one.value or '')}; return ;;" for one in options]
    return [f"      case ${variable} in", *answers, "      esac"]


def _bash_answer(value: tuple[str, ...] | str) -> str:
    if isinstance(value, tuple):
        return f'_genbayes_complete -W "{" ".join(value)}"'
    return {FILES: "_genbayes_files -f", FOLDERS: "_genbayes_files -d"}.get(value, ":")


def zsh(commands: dict[str, Words]) -> str:
    """A completion file of zsh, with the help beside each option."""
    described = "\n".join(f"    {shlex.quote(f'{name}:{words.help}')}" for name, words in commands.items())
    cases = []
    for name, words in commands.items():
        specs = [_zsh_option(option) for option in words.options]
        specs += [f"*:word:{_zsh_answer(words.word)}"] if words.word else []
        cases.append(f"    {name}) _arguments " + " \\\n      ".join(shlex.quote(spec) for spec in specs) + " ;;")
    return f"""\
#compdef genbayes
# Completion of genbayes for zsh; made by `genbayes completion zsh`.
_genbayes() {{
  local -a commands=(
{described}
  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  shift words
  ((CURRENT--))
  case $words[1] in
{chr(10).join(cases)}
  esac
}}
# As a file in fpath it is the function itself; sourced, it is defined for the command.
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _genbayes "$@"; else compdef _genbayes genbayes; fi
"""


def _zsh_option(option: Option) -> str:
    text = re.sub(r"([\[\]:\\])", r"\\\1", option.help)
    value = "" if option.value is None else f":value:{_zsh_answer(option.value)}"
    return f"*{option.flags[-1]}[{text}]{value}"


def _zsh_answer(value: tuple[str, ...] | str) -> str:
    answers = {FILES: "_files", FOLDERS: "_files -/"}
    return answers.get(value, " ") if isinstance(value, str) else f"({' '.join(value)})"


def fish(commands: dict[str, Words]) -> str:
    """One line for each command and option."""
    lines = ["# Completion of genbayes for fish; made by `genbayes completion fish`."]
    lines += ["complete -c genbayes -f"]
    for name, words in commands.items():
        lines.append(f"complete -c genbayes -n __fish_use_subcommand -a {name} -d {_fish_quoted(words.help)}")
    for name, words in commands.items():
        start = f"complete -c genbayes -n '__fish_seen_subcommand_from {name}'"
        if words.word:
            lines.append(f"{start} {_fish_answer(words.word)}")
        for option in words.options:
            flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags)
            value = "" if option.value is None else f" -r {_fish_answer(option.value)}".rstrip()
            lines.append(f"{start} {flags}{value} -d {_fish_quoted(option.help)}")
    return "\n".join(lines) + "\n"


def _fish_answer(value: tuple[str, ...] | str) -> str:
    if isinstance(value, tuple):
        return f"-f -a '{' '.join(value)}'"
    return {FILES: "-F", FOLDERS: "-f -a '(__fish_complete_directories)'"}.get(value, "-f")


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SCRIPTS: dict[str, Callable[[dict[str, Words]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
