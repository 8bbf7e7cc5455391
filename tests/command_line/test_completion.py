"""`genbayes completion`: what the shells that are here complete, and that the text follows the parser."""

import argparse
import shutil
import subprocess
from pathlib import Path

import pytest

from genbayes import cli
from genbayes.command_line.completion_scripts import FILES, FOLDERS, SCRIPTS, Option, words_of


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script of each shell."""
    folder = tmp_path_factory.mktemp("scripts")
    words = words_of(cli._parser())
    for name, script in SCRIPTS.items():
        (folder / name).write_text(script(words))
    return folder


@pytest.fixture
def complete(scripts: Path, tmp_path: Path):
    """What bash proposes for the last of some words, in a folder with a file and two folders."""
    (tmp_path / "predator.toml").touch()
    (tmp_path / "prey run").mkdir()
    (tmp_path / "other").mkdir()

    def proposed(*words: str) -> list[str]:
        code = (
            f'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD={len(words)}; _genbayes; '
            'printf "%s\\n" "${COMPREPLY[@]}"; complete -p genbayes >&2'
        )
        command = ["bash", "--norc", "-c", code, "bash", str(scripts / "bash"), "genbayes", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stderr == "complete -F _genbayes genbayes\n"
        return done.stdout.split("\n")[:-1] if done.stdout.strip() else []

    return proposed


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


@needs_bash
def test_bash_completes_commands_and_options(complete) -> None:
    assert complete("s") == ["simulate", "sample", "sensitivity"]
    assert complete("--v") == ["--version"]
    assert complete("sample", "predator.toml", "--ob") == ["--observation", "--observations"]
    # An option may follow values of another.
    assert complete("temperature", "predator.toml", "--rule", "none", "--resim") == ["--resimulate"]
    assert complete("gone", "-") == []


@needs_bash
def test_bash_completes_values(complete) -> None:
    assert complete("run", "predator.toml", "--sampler", "n") == ["nuts"]
    assert complete("temperature", "--rule", "calibrated", "no") == ["noise_floor", "none"]
    assert complete("init", "--language", "") == ["python", "c"]
    assert complete("completion", "") == ["bash", "zsh", "fish"]
    assert complete("run", "--beta", "1") == []


@needs_bash
def test_bash_completes_files(complete) -> None:
    assert sorted(complete("run", "pre")) == ["predator.toml", "prey run"]
    assert complete("run", "predator.toml", "--out", "p") == ["prey run"]
    # An option with one value is over after it.
    assert complete("run", "--out", "other", "pred") == ["predator.toml"]
    assert complete("run", "--beta", "1", "pred") == ["predator.toml"]
    assert complete("init", "p") == ["prey run"]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_shells_read_their_script(scripts: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    subprocess.run([shell, "-n", str(scripts / shell)], check=True)


@pytest.mark.parametrize("shell", SCRIPTS)
def test_every_command_and_option_is_in_the_script(scripts: Path, shell: str) -> None:
    text = (scripts / shell).read_text()
    for name, words in words_of(cli._parser()).items():
        assert name in text
        for option in words.options:
            flag = option.flags[-1]
            assert (f"-l {flag[2:]} " if shell == "fish" and flag.startswith("--") else flag[1:]) in text


def test_words_follow_the_parser() -> None:
    parser = argparse.ArgumentParser()
    one = parser.add_subparsers().add_parser("one", help="Does it.")
    one.add_argument("problem", type=Path)
    one.add_argument("--where", metavar="DIR")
    one.add_argument("--of", choices=("a", "b"), nargs="+", help="50 %% of it's")
    one.add_argument("--flag", action="store_true")
    words = words_of(parser)["one"]
    assert (words.help, words.word) == ("Does it.", FILES)
    assert words.options[1:] == (
        Option(("--where",), FOLDERS, False, ""),
        Option(("--of",), ("a", "b"), True, "50 % of it's"),
        Option(("--flag",), None, False, ""),
    )
    assert "-l of -r -f -a 'a b' -d '50 % of it\\'s'\n" in SCRIPTS["fish"]({"one": words})


def test_the_command_prints_the_script(scripts: Path, capsys: pytest.CaptureFixture) -> None:
    for shell in SCRIPTS:
        assert cli.main(["completion", shell]) == 0
        assert capsys.readouterr().out == (scripts / shell).read_text()
    assert cli.main(["completion", "csh"]) == 2
