"""The registry of commands, and the laws that hold for every option of every command."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from genbayes import cli
from genbayes.command_line import registry
from genbayes.command_line.argument_types import Several
from genbayes.command_line.registry import Commands, register

COMMANDS = """
demo init simulate merge fit sample report explore run campaign check refine sensitivity temperature benchmark
hodgkin-huxley completion
""".split()  # noqa: SIM905 (a text shows the order)
# Two values for each type of an option that takes several; a new type gets a line here.
VALUES = {
    "positive": ("1.5", "20"),
    "natural": ("3", "0"),
    "probability": ("0.25", "0.75"),
    "named_number": ("a=1", "b=2"),
    "named_distance": ("absolute", "huber:2"),
    "Path": ("x.csv", "y.csv"),
}


def parsers() -> dict[str, argparse.ArgumentParser]:
    (action,) = [one for one in cli._parser()._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(action.choices)


def options_of_several() -> list[tuple[str, str]]:
    return [
        (name, action.option_strings[-1])
        for name, parser in parsers().items()
        for action in parser._actions
        if action.nargs in ("+", "*")
    ]


def values_of(action: argparse.Action) -> tuple[str, str]:
    if action.choices is not None:
        # Neither the first nor the last alone: a default that stays would show.
        first, *_, last = list(action.choices)
        return str(last), str(first)
    kind = getattr(action.type, "__name__", "")
    assert kind in VALUES, f"{action.option_strings}: give VALUES two examples of the type {kind!r}"
    return VALUES[kind]


def test_the_commands_stand_in_their_order() -> None:
    # A command whose file is not in `registry.ORDER` comes after these.
    assert list(parsers())[: len(COMMANDS)] == COMMANDS


def test_the_help_needs_no_command_to_be_imported() -> None:
    code = """
import sys
from genbayes import cli
assert cli.main(["--help"]) == 0
assert cli.main(["no-such"]) == 2
print([name for name in ("jax", "numpy", "rich", "genbayes.costs") if name in sys.modules])
assert cli.main(["fit", "--help"]) == 0
assert "genbayes.command_line.check_command" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown, _, rest = done.stdout.partition("[]\n")
    assert "Fit the cost" in rest
    places = [shown.index(f"\n    {name} ") if len(name) < 12 else shown.index(f"\n    {name}\n") for name in COMMANDS]
    assert places == sorted(places)


def test_a_file_of_a_command_says_what_it_does_first(tmp_path) -> None:
    folder = tmp_path / "genbayes" / "command_line"
    folder.mkdir(parents=True)
    (folder / "greet_command.py").write_text('"""`genbayes greet`: says hello."""')
    assert registry.command_files(folder.parent, ()) == [
        registry.CommandFile("genbayes.command_line.greet_command", "greet", "says hello.")
    ]
    (folder / "greet_command.py").write_text('"""Says hello."""')
    with pytest.raises(ValueError, match="greet_command.py: the docstring must begin"):
        registry.command_files(folder.parent, ())


@pytest.mark.parametrize("name", parsers())
def test_every_command_has_a_help(name: str) -> None:
    # argparse reads a single percent sign as the start of a placeholder, and fails only when the help is asked for.
    parser = parsers()[name]
    text = " ".join(parser.format_help().split())
    assert parser.description
    assert parser.description.endswith(".")
    for action in parser._actions:
        assert all(option in text for option in action.option_strings)


@pytest.mark.parametrize(("name", "option"), options_of_several())
def test_several_values_are_given_at_once_or_one_by_one(name: str, option: str) -> None:
    parser = parsers()[name]
    action = parser._option_string_actions[option]
    assert isinstance(action, Several)
    required = [word for one in parser._actions if one.required for word in (*one.option_strings[-1:], "1")]
    first, second = values_of(action)
    once = parser.parse_args([*required, option, first, second])
    repeated = parser.parse_args([*required, option, first, option, second])
    found = getattr(repeated, action.dest)
    assert len(found) == 2
    # Distances hold a threshold of NaN, which equals nothing.
    assert str(found) == str(getattr(once, action.dest))
    assert str(found[1]) == str(getattr(parser.parse_args([*required, option, second]), action.dest)[0])
    # The default, if there is one, is neither extended nor changed by what was typed before.
    assert getattr(parser.parse_args(required), action.dest) == action.default


def test_n_is_the_number_of_runs_and_draws_that_of_draws() -> None:
    for name, parser in parsers().items():
        options = parser._option_string_actions
        if "-n" in options:
            assert options["-n"] is options["--simulations"], name
            assert options["-n"].dest == "n_simulations"
        if "--draws" in options:
            assert options["--draws"].option_strings == ["--draws"]
    of_runs = ("simulate", "run", "campaign", "refine", "demo", "benchmark", "hodgkin-huxley")
    assert all("-n" in parsers()[name]._option_string_actions for name in of_runs)
    for name in ("sample", "run", "campaign", "temperature", "sensitivity", "demo"):
        assert "--draws" in parsers()[name]._option_string_actions


def test_every_command_that_has_to_do_with_an_observation_takes_another() -> None:
    problem = {name for name, parser in parsers().items() if any(one.dest == "problem" for one in parser._actions)}
    assert problem - {"simulate", "merge", "fit"} == {
        name for name, parser in parsers().items() if "--observation" in parser._option_string_actions
    }


def test_there_are_options_of_several_values() -> None:
    assert {("sample", "--beta"), ("benchmark", "--task"), ("refine", "--observation")} <= set(options_of_several())


def test_a_command_of_a_script_is_one_of_genbayes(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.chdir(tmp_path)
    seen = []

    def run(options, terminal):
        seen.append((options.problem, options.out, options.twice))
        terminal.say("hello")
        if options.twice == 3:
            raise ValueError("`twice` is 3.")
        if options.twice == 4:
            raise KeyboardInterrupt
        return options.twice

    @register
    def add_parser(commands: Commands) -> None:
        commands.add("greet", run, "Says hello.").add_argument("--twice", type=int, default=2)

    assert list(parsers())[-1] == "greet"
    assert cli.main(["greet", "p.toml"]) == 2
    assert seen == [(Path("p.toml"), None, 2)]
    assert capsys.readouterr().out == "hello\n"
    assert cli.main(["greet", "p.toml", "--twice", "3"]) == 1
    assert capsys.readouterr().err == "error: `twice` is 3.\n"
    assert cli.main(["greet", "p.toml", "--twice", "4"]) == 130
    assert "nothing had been stored yet" in capsys.readouterr().err


def test_a_command_without_a_folder_can_be_interrupted(monkeypatch, capsys) -> None:
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))

    def interrupted(options, terminal):
        raise KeyboardInterrupt

    register(lambda commands: commands.add("wait", interrupted, "Waits.", problem=False) and None)
    assert cli.main(["wait"]) == 130
    assert capsys.readouterr().err == "interrupted. Run the same command again to continue.\n"
