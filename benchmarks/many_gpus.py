"""What several GPUs make of a fit: labels and training, by N processes against one.

    python benchmarks/many_gpus.py                     # a process for each GPU
    accelerate launch --num_processes 4 benchmarks/many_gpus.py
    python benchmarks/many_gpus.py --cpu --processes 2 --n-queries 4000 --n-keys 2000

Without ``accelerate launch`` the script starts its processes itself. The same work is
done by all of them together, and then by the first alone while the others wait. Seconds
are the least of some runs, after one that is not counted. Labels include the upload of
the keys and what is gathered, training that of the data and the recording of a step.
Batches are those of all processes together, so that what is learned is the same.
"""

import os
import subprocess
import sys
import time
from datetime import timedelta

import numpy as np
import torch
from tables import Report, Skip, parser, run

from sk_amips import SupportNetRegressor
from sk_amips.estimators._build_net import build_net
from sk_amips.training import device_of, processes_of


def unit_rows(n, d, seed):
    rows = np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def least_seconds(function, accelerator, device, n_runs):
    """Least seconds of some runs after the first, and the last result.

    With an accelerator its processes begin each run together.
    """
    times = []
    for _ in range(1 + n_runs):
        if accelerator is not None:
            accelerator.wait_for_everyone()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        result = function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:]), result


def measured(args, problem, accelerator, device):
    """Seconds of the labels and of training, by batch size, and what came of them.

    Without an accelerator this process works alone.
    """
    keys, queries = problem
    own = {"device": device} if accelerator is None else {"accelerator": accelerator}

    def estimator(batch_size):
        est = SupportNetRegressor(
            keys,
            partition=np.arange(len(keys)) % args.n_lists,
            hidden_layer_sizes=args.hidden,
            max_epochs=args.epochs,
            batch_size=batch_size,
            random_state=0,
            **own,
        )
        est._begin(queries[:10])
        return est

    timed = {"accelerator": accelerator, "device": device, "n_runs": args.n_runs}
    est = estimator(args.batch_size[0])
    seconds, data = least_seconds(lambda: est._training_data(queries), **timed)
    found = {"labels": (seconds, data.scores)}
    for size in args.batch_size:
        net = build_net(estimator(size), data, seed=0)

        def train(net=net):
            net.partial_fit(data, processes=processes_of(accelerator))

        seconds, _ = least_seconds(train, **timed)
        found[size] = seconds, np.array(net.history[:, "train_loss"])
    return found


def launch(n):
    """Start this script as n processes; its exit status."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", n]
    return subprocess.run([sys.executable, *map(str, command), *sys.argv]).returncode


def main():
    arguments = parser(__doc__)
    arguments.add_argument(
        "--processes", type=int, help="as many as there are GPUs, if not given"
    )
    arguments.add_argument("--cpu", action="store_true", help="leave GPUs alone")
    arguments.add_argument("--n-queries", type=int, default=500_000)
    arguments.add_argument("--n-keys", type=int, default=600_000)
    arguments.add_argument("--width", type=int, default=384)
    arguments.add_argument("--n-lists", type=int, default=1000)
    arguments.add_argument("--hidden", type=int, nargs="+", default=[256, 256])
    arguments.add_argument("--epochs", type=int, default=5)
    arguments.add_argument(
        "--batch-size", type=int, nargs="+", default=[2048, 16_384, 131_072]
    )
    arguments.add_argument("--n-runs", type=int, default=2)
    args = arguments.parse_args()
    try:
        from accelerate import Accelerator, InitProcessGroupKwargs
    except ImportError:
        raise Skip(
            'several processes need pip install "sk-amips[distributed]"'
        ) from None
    if "WORLD_SIZE" not in os.environ:
        n_processes = args.processes or (0 if args.cpu else torch.cuda.device_count())
        if n_processes > 1:
            sys.exit(launch(n_processes))
    # The others wait for as long as one needs for the work of all.
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=6))
    accelerator = Accelerator(cpu=args.cpu, kwargs_handlers=[patience])
    n, device = accelerator.num_processes, device_of(accelerator)
    problem = (
        unit_rows(args.n_keys, args.width, 1),
        unit_rows(args.n_queries, args.width, 2),
    )
    shared = measured(args, problem, accelerator, device)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        alone = measured(args, problem, None, device)
        show(args, n, shared, alone)
    accelerator.wait_for_everyone()
    accelerator.end_training()


def show(args, n, shared, alone):
    """Print what was measured."""
    report = Report(args.json)
    gpu = (
        torch.cuda.get_device_name()
        if not args.cpu and torch.cuda.is_available()
        else None
    )
    print(f"{n} x {gpu or 'CPU process'}, {torch.get_num_threads()} threads each")
    record = {key: value for key, value in vars(args).items() if key != "json"}
    report.records.append(record | {"processes": n, "gpu": gpu})
    table = report.table(
        "work",
        ("s, 1 process", ".3g"),
        (f"s, all {n}", ".3g"),
        ("one / all", ".2f"),
        ("queries a second, all", ",.0f"),
        ("largest relative difference", ".0e"),
    )
    for what, (together, found) in shared.items():
        seconds, expected = alone[what]
        label, n_queries = "labels", args.n_queries
        if what != "labels":
            label, n_queries = f"training, batch {what:,}", args.n_queries * args.epochs
        differs = float(np.max(np.abs(found - expected) / np.abs(expected).max()))
        rate = n_queries / together
        table.row(label, seconds, together, seconds / together, rate, differs)


if __name__ == "__main__":
    run(main)
