"""Damaged and hostile files for all that the scripts read: how many were tried, and how it ended.

python tests/fuzz.py                         the table, and a line for each case that went wrong
python tests/fuzz.py --cases 1000 --seed 7   more random files of each kind, and others
python tests/fuzz.py --only states/order     those cases alone whose names begin so
python tests/fuzz.py --only states/order-2-D --keep folder      and their files, to look at them
"""

import argparse
import os
import sys
import tempfile
import warnings
from pathlib import Path

MANY, SEED = 150, 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=MANY, help="random files of each kind")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="cases at a time")
    parser.add_argument("--only", default="", metavar="NAME", help="how the cases' names begin")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the files, run nothing")
    parser.add_argument("--all", action="store_true", help="a line for every case")
    args = parser.parse_args()
    from fuzzing.base import make_base
    from fuzzing.core import plans
    from fuzzing.kinds import KINDS
    from fuzzing.runner import progress, run_cases, table, write_cases

    planned = [plan for kind in KINDS for plan in plans(kind, args.cases)]
    planned = [plan for plan in planned if plan.name.startswith(args.only)]
    with tempfile.TemporaryDirectory() as folder:
        base = make_base(Path(folder))
        if args.keep is not None:
            write_cases(planned, base, args.seed, args.keep)
            return 0
        results = list(progress(run_cases(planned, base, args.seed, args.jobs)))
    print(table(results))
    shown = [result for result in results if args.all or not result.fine]
    print(*shown, sep="\n")
    return int(not all(result.fine for result in results))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # each case is a process
    warnings.simplefilter("ignore")  # PyTorch's, about the oddest of the tensors
    sys.path.insert(0, str(Path(__file__).parent.parent))
    sys.exit(main())
