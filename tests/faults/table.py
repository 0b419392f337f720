"""What can go wrong with a training, what happens then, and the test that makes it happen.

python -m tests.faults.table  # prints the table for README
"""

from __future__ import annotations

from typing import NamedTuple, Optional


class Row(NamedTuple):
    """A fault.

    Attributes:
      fault: what goes wrong.
      outcome: what the run does.
      exit_code: of the process; None = it goes on.
      test: `file::function` under `tests/`.
    """

    fault: str
    outcome: str
    exit_code: Optional[int]
    test: str


_CONTINUES = "the same command continues from the newest checkpoint"

TABLE = (
    Row(
        "NaN in an image",
        "stops before the update; step, loss terms, image, file and remedy are named; dump for "
        "`kmax replay-step`",
        1,
        "trainer/test_train_loop.py::test_nan_in_an_image_is_a_fault",
    ),
    Row(
        "NaN in a loss",
        "the same",
        1,
        "trainer/test_experiment.py::test_a_fault_stops_the_run_and_names_images",
    ),
    Row(
        "NaN in a gradient only",
        "the same; the variables are named",
        1,
        "trainer/test_train_loop.py::test_a_fault_in_a_gradient_alone_names_its_variables",
    ),
    Row(
        "loss above `trainer_options.max_total_loss`",
        "the same",
        1,
        "trainer/test_train_loop.py::test_a_loss_above_its_limit_stops_before_the_update",
    ),
    Row(
        "weights, slots and moving statistics after such a step",
        "those from before it",
        1,
        "trainer/test_train_loop.py::test_a_fault_leaves_the_moving_statistics_of_before",
    ),
    Row(
        "the dump cannot be written (full disk, Ctrl-C)",
        "the fault is told all the same, and why there is no dump",
        1,
        "trainer/test_preserve_fault.py::test_the_fault_is_told_whatever_happens_to_its_dump",
    ),
    Row(
        "overflow of a float16 gradient",
        "the update is skipped and counted, the scale halved; stops where no scale helps",
        None,
        "trainer/test_train_loop.py::test_skipped_updates_are_counted_and_left_out_of_the_norm",
    ),
    Row(
        "logits of an evaluation that are not finite",
        "stops; the images are named",
        1,
        "trainer/test_experiment.py::test_an_evaluation_of_nan_names_images",
    ),
    Row(
        "more segments than mask slots",
        "those that match worst count as void; `unmatched_segments` tells how many",
        None,
        "faults/test_images.py::test_images_that_are_unusual_are_trained_on",
    ),
    Row(
        "image without any segment",
        "trained on like any other",
        None,
        "faults/test_images.py::test_images_that_are_unusual_are_trained_on",
    ),
    Row(
        "image that cannot be decoded, label outside the classes, size that is not the stated one, "
        "wrong checksum of a record",
        "stops; file, record, image and fault are named. Up to `max_bad_records` such records are "
        "listed in `bad_records.jsonl` and left out, and the run goes on",
        2,
        "trainer/test_bad_records.py::test_a_bad_record_stops_the_run_or_is_left_out",
    ),
    Row(
        "record file that is cut off or damaged in a length",
        "the same; of what can be read nothing is left out",
        2,
        "trainer/test_bad_records.py::test_a_bad_record_stops_the_run_or_is_left_out",
    ),
    Row(
        "bad record in an evaluation",
        "the same; the evaluation begins again without it and says how many were left out",
        2,
        "trainer/test_bad_records.py::test_an_evaluation_leaves_bad_records_out",
    ),
    Row(
        "run with bad records, killed and started again",
        "ends as one that was not",
        None,
        "trainer/test_bad_records.py::test_a_run_with_bad_records_is_repeated_exactly",
    ),
    Row(
        "bad record in a run of several workers",
        "it is listed and the run stops (the other workers end with 1 and name the one that met "
        "it); where `max_bad_records` allows it, the next start leaves it out",
        2,
        "trainer/test_workers.py::"
        "test_a_bad_record_stops_all_and_is_left_out_from_the_next_start_on",
    ),
    Row(
        "numeric fault in a run of several workers",
        "all tell it; the chief writes the dump",
        1,
        "trainer/test_workers.py::test_a_numeric_fault_is_told_by_all_and_kept_by_the_chief",
    ),
    Row(
        "tf.data service that is not there",
        "ends within seconds; the field is named",
        2,
        "trainer/test_experiment.py::test_a_run_fed_by_a_service_says_so",
    ),
    Row(
        "SIGTERM (preemption) in training or evaluation, Ctrl-C (130)",
        "saves at once; " + _CONTINUES,
        143,
        "faults/test_signals.py::test_a_terminated_run_is_continued",
    ),
    Row(
        "SIGTERM in the middle of `steps_per_loop`",
        "saves after the step; the same command ends with the metrics.jsonl of an undisturbed run, "
        "bit by bit",
        143,
        "faults/test_signals.py::test_a_loop_that_was_cut_off_costs_no_step_of_a_mean",
    ),
    Row(
        "SIGTERM of one of several workers",
        "all stop after the same step; the chief saves",
        143,
        "trainer/test_workers.py::test_an_interrupt_of_one_worker_stops_all_after_the_same_step",
    ),
    Row(
        "SIGTERM while the run starts",
        "ends; nothing was begun",
        143,
        "faults/test_signals.py::test_a_terminated_run_is_continued",
    ),
    Row(
        "SIGTERM while a checkpoint is written",
        "the checkpoint is completed first",
        143,
        "trainer/test_safe_manager.py::test_a_signal_waits_until_all_is_written",
    ),
    Row(
        "second signal, a second or more later",
        "ends at once, even where TensorFlow is stuck",
        143,
        "trainer/test_interrupts.py::test_a_second_signal_ends_a_process_that_is_stuck",
    ),
    Row(
        "SIGKILL at any moment",
        "the same command ends bit by bit as an undisturbed run",
        137,
        "faults/test_kill_and_resume.py::test_a_killed_run_ends_as_an_undisturbed_one",
    ),
    Row(
        "input of training or evaluation that does not come",
        "after `trainer_options.stall_timeout` the run says what it waited for, with the stacks of "
        "all threads; " + _CONTINUES,
        1,
        "faults/test_stalls.py::test_a_stuck_input_is_reported_in_time",
    ),
    Row(
        "step that does not end, process that does not answer",
        "the same",
        1,
        "trainer/test_watchdog.py::test_a_stall_is_told_with_the_stacks_and_ends_the_process",
    ),
    Row(
        "worker of several that dies or hangs",
        "the others name it within a minute; the same commands continue from the newest checkpoint",
        1,
        "trainer/test_workers.py::test_a_worker_that_ends_or_hangs_is_named_by_the_other",
    ),
    Row(
        "full disk while a checkpoint is written",
        "stops with a sentence; older checkpoints are untouched; once there is room, " + _CONTINUES,
        1,
        "faults/test_disks.py::test_a_full_disk_ends_the_run_with_its_checkpoints_untouched",
    ),
    Row(
        "full disk while metrics.jsonl or TensorBoard events are written",
        "the same",
        1,
        "faults/test_disks.py::test_numbers_that_cannot_be_written_end_the_run",
    ),
    Row(
        "model_dir vanishes",
        "the same; it is not made anew",
        1,
        "faults/test_disks.py::test_a_folder_that_vanishes_is_named_and_not_made_anew",
    ),
    Row(
        "model_dir that cannot be written at the start",
        "ends before anything is loaded",
        2,
        "end_to_end/test_bad_input.py::test_read_only_model_dir",
    ),
    Row(
        "newest checkpoint truncated or with a flipped bit",
        "a warning; kept as `damaged-ckpt-N`; continues from the one before, metrics.jsonl is cut",
        None,
        "faults/test_disks.py::test_a_truncated_newest_checkpoint_is_left_out",
    ),
    Row(
        "all checkpoints damaged",
        "an error that names each; nothing is changed",
        2,
        "faults/test_disks.py::test_where_all_checkpoints_are_damaged_nothing_begins_anew",
    ),
    Row(
        "file `checkpoint` garbled or lost",
        "a warning; made again from the folder",
        None,
        "faults/test_disks.py::test_a_garbled_list_of_checkpoints_is_made_again",
    ),
)


def main() -> None:
    """Prints the table as Markdown."""
    print("| fault | what happens | exit code |\n|---|---|---|")
    for row in TABLE:
        code = "goes on" if row.exit_code is None else row.exit_code
        print(f"| {row.fault} | {row.outcome} | {code} |")


if __name__ == "__main__":
    main()
