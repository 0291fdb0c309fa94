"""A process that takes part in a study and does as its standard input says; see test_study.py."""

import sys

from keras_mtl.tuning import tune
from tests.tuning._small import SPACE, build, rows


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def meet(parameters):
    """In each trial until the other process has one too."""
    if not met:
        met.append(True)
        say("has a trial")
        sys.stdin.readline()
    return 64


def hang(parameters):
    say("hangs")
    sys.stdin.readline()
    return 64


met: list[bool] = []
if __name__ == "__main__":
    parts = rows(48), rows(48, seed=1)
    options = {"space": SPACE, "epochs": 1, "storage": sys.argv[1], "name": "shared"}
    options["prune"] = None
    say("ready")
    for line in sys.stdin:
        wanted, _, what = line.strip().partition(" ")
        tune(build, *parts, trials=int(wanted), batch_size=globals()[what], **options)
        say("done")
