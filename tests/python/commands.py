"""Runs of the command line, for the tests of it."""

from tied_augment.cli import main


def error_of(capsys, *argv):
    """The one line on stderr of a command that fails by the user's mistake."""
    assert main([str(part) for part in argv]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"tied-augment {argv[0]}: error: ")
    return err
