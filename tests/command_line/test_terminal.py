"""What the commands print."""

from genbayes.command_line.terminal import Terminal


def test_a_name_without_room_goes_on_below_and_is_not_cut(capsys, monkeypatch) -> None:
    """Two names that differ in their last letter alone stay two, in 80 columns; numbers stay whole."""
    monkeypatch.setenv("COLUMNS", "80")
    names = ["a_very_long_name_of_a_parameter_" + "x" * 30 + end for end in "ab"]
    rows = [[name, *["-1234.567"] * 5] for name in names]
    Terminal().table(["parameter", *["quantile"] * 5], rows, "draws")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    shown = "".join(line[: line.find("-1234.567") if "-1234.567" in line else None].strip() for line in lines)
    assert all(name in shown for name in names)
    assert sum(line.count("-1234.567") for line in lines) == 10
