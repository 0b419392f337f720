"""Kills a training at random moments, starts it again, and compares it with an undisturbed one.

python -m tests.faults.kill_and_resume --kills=20

Exit code 0: weights, optimiser slots, metrics, best weights, pictures and input are the same, bit
for bit. `make test-faults` runs it; the ordinary suite runs a short version on a toy model.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import pathlib
import random
import sys
import tempfile
import time
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

import tensorflow as tf

from kmax_tf.build.config import load_config
from kmax_tf.build.data import build_dataset
from kmax_tf.data.converters.shapes import build_shapes
from kmax_tf.data.converters.shapes_drawing import SceneOptions
from tests.faults.compare_runs import compare_runs
from tests.faults.processes import Life, Moment

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEMO = ROOT / "configs" / "shapes" / "kmax_demo.textproto"
KINDS = (Moment.TRAINING, Moment.CHECKPOINT, Moment.EVALUATION, Moment.BEST, Moment.START)


class Job(NamedTuple):
    """A training that can be started again and again.

    Attributes:
      program: what Python runs: `-m` and a module, and a sub-command where it has some.
      config_file: textproto.
      overrides: `field=value`, the data included.
      eval_interval: steps between evaluations, as in the config.
    """

    program: Sequence[str]
    config_file: pathlib.Path
    overrides: Sequence[str]
    eval_interval: int

    def start(self, model_dir: pathlib.Path, log: pathlib.Path) -> Life:
        """Starts it, or goes on where it stopped."""
        command = [sys.executable, *self.program, f"--config_file={self.config_file}"]
        command += [f"--model_dir={model_dir}", "--num_gpus=0"]
        command += [f"--set={override}" for override in self.overrides]
        return Life(command, model_dir=model_dir, log=log, eval_interval=self.eval_interval)


def kill_and_resume(
    job: Job, folder: pathlib.Path, moments: Sequence[Moment], seed: int
) -> List[str]:
    """Runs the job undisturbed and killed, prints what happened; returns all differences.

    Raises:
      RuntimeError: a process failed, or the run ended before all kills.
    """
    undisturbed, killed = folder / "undisturbed", folder / "killed"
    begin = time.monotonic()
    pace = job.start(undisturbed, folder / "undisturbed.log").measure()
    print(f"Undisturbed: {time.monotonic() - begin:.0f} s, {pace}", flush=True)
    draw = random.Random(seed)
    starts = []
    for number, moment in enumerate(moments, 1):
        life = job.start(killed, folder / f"life_{number:02d}.log")
        if not life.kill(moment, pace, draw):
            raise RuntimeError(f"The run ended before kill {number}: give it more steps.")
        starts.append(life.first_step)
        cut_off = life.what_was_cut_off()
        print(
            f"Kill {number:2d}, {moment.value}: {_describe_start(starts[-1])}"
            + (f", left {cut_off}" if cut_off else ""),
            flush=True,
        )
    last = job.start(killed, folder / "last_life.log")
    while not last.finish():
        time.sleep(0.05)
    starts.append(last.first_step)
    print(f"The last life {_describe_start(starts[-1])}; {time.monotonic() - begin:.0f} s in all.")
    found = compare_runs(undisturbed, killed)
    found.different.extend(_compare_input(job, sorted({start or 0 for start in starts})))
    for title, lines in zip(
        ("Equal", "Remark", "DIFFERENT"), (found.equal, found.remarks, found.different)
    ):
        for line in lines:
            print(f"{title}: {line}")
    return found.different


def _describe_start(step: Optional[int]) -> str:
    return "had read no checkpoint" if step is None else f"began at step {step}"


def draw_moments(kills: int, seed: int) -> List[Moment]:
    """All kinds about equally often, in random order."""
    moments = list(itertools.islice(itertools.cycle(KINDS), kills))
    random.Random(seed).shuffle(moments)
    return moments


def _compare_input(job: Job, starts: Sequence[int]) -> Iterable[str]:
    """Whether input that starts at a step is that of an uninterrupted run, for two batches each."""
    config = load_config(job.config_file, list(job.overrides))
    options, seed = config.train_dataset_options, config.trainer_options.seed
    whole: Dict[int, str] = {}
    needed = {step + i for step in starts for i in range(2)}
    for step, batch in enumerate(build_dataset(options, training=True, seed=seed)):
        if step in needed:
            whole[step] = _digest(batch)
        if step >= max(needed):
            break
    for start in starts:
        dataset = build_dataset(options, training=True, seed=seed, start_step=start)
        for step, batch in enumerate(dataset.take(2), start):
            if _digest(batch) != whole[step]:
                yield f"the input of step {step}, begun at step {start}"


def _digest(batch: object) -> str:
    """Of image ids, images and targets."""
    digest = hashlib.sha256()
    for tensor in tf.nest.flatten(batch):
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def write_data(folder: pathlib.Path) -> None:
    """Draws a few images."""
    build_shapes(
        output_dir=str(folder / "shapes"), num_train=24, num_val=6, seed=0, options=SceneOptions()
    )


def demo_job(data: pathlib.Path, steps: int) -> Job:
    """The demo model, with checkpoints between summaries and evaluations at some of them."""
    trainer = "trainer_options"
    values = {
        "KMAX_DATA": data,
        "train_dataset_options.batch_size": 4,
        f"{trainer}.solver_options.training_number_of_steps": steps,
        f"{trainer}.ema_decay": 0.9,
        f"{trainer}.steps_per_loop": 5,
        f"{trainer}.save_summaries_steps": 10,
        f"{trainer}.save_checkpoints_steps": 10,
        "evaluator_options.eval_interval": 25,
        "evaluator_options.num_vis_samples": 2,
    }
    overrides = [f"{field}={value}" for field, value in values.items()]
    return Job(("-m", "trainer.cli", "train"), DEMO, overrides, eval_interval=25)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=400, help="of the whole training")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--output_dir", help="keeps runs and logs (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(arguments.output_dir or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write_data(folder / "data")
        job = demo_job(folder / "data", arguments.steps)
        moments = draw_moments(arguments.kills, arguments.seed)
        different = kill_and_resume(job, folder, moments, arguments.seed)
    print("Differences were found." if different else "The same, bit for bit.")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
