"""The commands, by click. Whatever is slow to import is imported where it is used."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grader import __version__
from grader.model.errors import GraderError, UsageError
from grader.model.types import Exercise, Report, Scope
from grader.shell import instructors
from grader.shell.shared import (
    SETTINGS,
    State,
    aside,
    exercise_argument,
    exercises_argument,
    names_of_exercises,
    names_of_variants,
    plain,
    say,
    the_course,
    worker_server,
)

if TYPE_CHECKING:
    from grader.system.course import Course
    from grader.system.host import Server
    from grader.system.launch import Launched
    from grader.verbs.check import Chosen, Grading

FROM_MEMORY = "from_memory"


def run(words: list[str], launched: Any = None) -> int:
    """One command line; its exit code. Nothing but the one message of a `GraderError` is shown of an error of ours."""
    state = State(launched)
    state.colour = _colour(sys.stdout)
    try:
        code = grader.main(words, prog_name="grader", standalone_mode=False, obj=state)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.Abort:
        return 130
    except click.ClickException as wrong:
        wrong.show()
        return 2
    except GraderError as error:
        from grader.shell import screen

        screen.put(screen.problem(error, _colour(sys.stderr) and state.colour), sys.stderr)
        return error.exit_code
    finally:
        if state.launched is not None:
            _end(state.launched)


def _colour(stream: Any) -> bool:
    from grader.shell.screen import wants_colour

    return wants_colour(stream, dict(os.environ))


def _end(launched: Launched) -> None:
    launched.control.close()
    launched.process.kill()
    launched.process.wait()
    if launched.process.stderr is not None:
        launched.process.stderr.close()


@click.group(invoke_without_command=True, context_settings=SETTINGS, subcommand_metavar="[COMMAND] [ARGUMENT]...")
@plain
@click.version_option(__version__, "--version", prog_name="grader", message="%(prog)s %(version)s")
@click.pass_context
def grader(context: click.Context) -> int | None:
    """Grade the exercises of this course, and say which idea makes wrong numbers.

    Without a command: watch the first exercise that is not done, and grade it at
    every save.

    EXERCISE is a name (attention), a folder (exNN_attention), its number NN or a
    path to one of its files.

    \b
    Example:
      grader check attention

    \b
    The exit code is 0 when all passed, 1 when something did not, 2 when the
    command or this computer will not do, and 130 after Ctrl-C.

    \b
    Completion of commands, exercises and variants, for this shell session:
      bash  eval "$(_GRADER_COMPLETE=bash_source grader)"
      zsh   eval "$(_GRADER_COMPLETE=zsh_source grader)"
      fish  _GRADER_COMPLETE=fish_source grader | source
    Put the line into ~/.bashrc, ~/.zshrc or config.fish to keep it.
    """
    if context.invoked_subcommand is None:
        return context.invoke(watch, exercise=None)
    return None


# ---------------------------------------------------------------- grading


@grader.command()
@exercises_argument
@click.option("--submission", metavar="FILE", type=click.Path(path_type=Path), help="Grade this .py or .ipynb file.")
@click.option("--public", is_flag=True, help="Run the public checks only.")
@click.option("--all", "everything", is_flag=True, help="Show every step and message.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a submission, and nothing else.")
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="Write JUnit's XML, too.")
@click.option(
    "--as",
    "variant",
    metavar="VARIANT",
    shell_complete=names_of_variants,
    help="Grade a variant of the solution, or `solution` itself.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), metavar="N", help="Draw other inputs than the published.")
@click.option(
    "--checkpoint",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Judge the trained model in DIR by its loss on held-out text, for the milestone.",
)
@click.option("--require", metavar="LAYER,...", default="", help="Refuse without these layers of isolation.")
@plain
@click.pass_obj
def check(
    state: State,
    exercises: tuple[str, ...],
    submission: Path | None,
    public: bool,
    everything: bool,
    as_json: bool,
    junit: Path | None,
    variant: str | None,
    seed: int | None,
    checkpoint: Path | None,
    require: str,
) -> int:
    """Grade exercises: all of them, or those that are named.

    What is graded is your file in the exercise's folder under exercises/, or the
    notebook beside it when you edited that instead.

    \b
    Example:
      grader check attention
      grader check attention --submission ~/Downloads/attention.ipynb --json
      grader check transformer --checkpoint runs/transformer/classic
    """
    if submission is not None and variant is not None:
        raise UsageError("--submission and --as name two things to grade.", "Give one of them.")
    course = the_course()
    from grader.verbs.check import RECORDING, Grading, named_file

    handed_in = named_file(submission) if submission is not None else None
    chosen_exercises = _chosen_exercises(course, exercises, submission)
    scope: Scope = "public" if public else "all"
    reports: list[Report] = []
    with worker_server(state) as server:
        if require:
            from grader.verbs.check import demand_layers

            demand_layers(require, server)
        if checkpoint is not None:
            return _judge_checkpoint(course, chosen_exercises, handed_in, checkpoint, server)
        for number, exercise in enumerate(chosen_exercises):
            grading = Grading(course, exercise, server, aside, scope=scope, seed=seed)
            chosen = handed_in or grading.variant(variant) if handed_in or variant else grading.own()

            def early(report: Report, grading: Grading = grading, chosen: Chosen = chosen) -> None:
                if sys.stdout.isatty() and not as_json:  # a script gets one verdict, the whole one
                    say(_show(state, grading, report, chosen, everything))
                    aside(RECORDING)

            report = grading.grade(chosen, early)
            reports.append(report)
            if as_json:
                sys.stdout.write(json.dumps(report.as_json()) + "\n")
                sys.stdout.flush()
            else:
                say(("\n" if number else "") + _show(state, grading, report, chosen, everything))
            own = handed_in is None and variant is None
            said = grading.keep(report, chosen) if own else []
            for line in [] if as_json else said:
                aside(line)
    if junit is not None:
        _write_junit(junit, reports)
    return 0 if all(report.status == "passed" for report in reports) else 1


def _judge_checkpoint(
    course: Course, exercises: list[Exercise], handed_in: Chosen | None, folder: Path, server: Server
) -> int:
    from grader.verbs import milestone
    from grader.verbs.check import Grading

    if len(exercises) != 1:
        raise UsageError("--checkpoint is one model, of one exercise.", "Name the exercise.")
    grading = Grading(course, exercises[0], server, aside)
    chosen = handed_in or grading.own()
    kept = None if handed_in else grading.progress
    holds, said = milestone.checkpoint(exercises[0], chosen.submission, folder, server, kept)
    for line in said:
        say(line)
    return 0 if holds else 1


def _chosen_exercises(course: Course, names: tuple[str, ...], submission: Path | None) -> list[Exercise]:
    if names:
        found = [course.find(name) for name in names]
        for name, exercise in zip(names, found, strict=True):
            _refuse_elsewhere(course, name, exercise)
        if submission is not None and len(found) > 1:
            raise UsageError("--submission is one file, for one exercise.", "Name one exercise.")
        return list({exercise.name: exercise for exercise in found}.values())
    exercises = course.found()
    if not exercises:
        raise UsageError("There is no exercise in this course.", "`grader new NAME` begins one.")
    if submission is None or len(exercises) == 1:
        return exercises
    fitting = [one for one in exercises if Path(one.module).stem == submission.stem]
    if len(fitting) != 1:
        names = tuple(one.name for one in exercises)
        raise UsageError(f"Which exercise is {submission} for?", f"Name one of: {', '.join(names)}.")
    return fitting


def _refuse_elsewhere(course: Course, name: str, exercise: Exercise) -> None:
    """A path to a file names the exercise that it belongs to; a file that lies elsewhere must not pass for the learner's own."""
    path = Path(name)
    if path.suffix not in (".py", ".ipynb") or not path.is_file():
        return
    folders = (course.exercise_folder(exercise), course.solution_folder(exercise))
    if path.resolve().parent not in [folder.resolve() for folder in folders]:
        raise UsageError(
            f"{name} is not the file that {exercise.name} is worked on in.",
            f"To grade it: grader check {exercise.name} --submission {shlex.quote(name)}",
        )


def _write_junit(path: Path, reports: list[Report]) -> None:
    from grader.shell.junit import junit
    from grader.system.course import write_atomically

    try:
        write_atomically(path, junit(reports))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "Name another file with --junit.") from error


def _show(state: State, grading: Grading, report: Report, chosen: Chosen, everything: bool = False) -> str:
    from grader.shell import screen

    return screen.verdict(
        report,
        grading.exercise,
        colour=state.colour,
        everything=everything,
        notes=[chosen.note] if chosen.note else [],
        following=grading.following(report),
    )


@grader.command()
@click.argument("exercise", required=False, shell_complete=names_of_exercises)
@plain
@click.pass_obj
def watch(state: State, exercise: str | None) -> int:
    """Grade at every save; one key each for hint, next, list, reset and quit.

    Without EXERCISE: the first one that is not done.

    \b
    Example:
      grader watch attention
    """
    course = the_course()
    from grader.shell.watch import watch_course

    with worker_server(state) as server:
        return watch_course(course, exercise, server, state.colour)


# ---------------------------------------------------------------- for learners


@grader.command()
@plain
@click.pass_obj
def status(state: State) -> int:
    """The board: exercises, points, milestones, what to do next.

    \b
    Example:
      grader status
    """
    course = the_course()
    from grader.shell import screen
    from grader.system.progress import Progress
    from grader.verbs.status import board

    say(screen.board(board(course, Progress(course, aside)), state.colour))
    return 0


@grader.command()
@exercise_argument
@plain
@click.pass_obj
def hint(state: State, exercise: str) -> int:
    """The next hint for the step that you are at.

    First a question, then the idea, then the tool, then the lines in words.

    \b
    Example:
      grader hint attention
    """
    course = the_course()
    one = course.find(exercise)
    from grader.shell import screen
    from grader.verbs.check import Grading
    from grader.verbs.hint import next_hint

    with worker_server(state) as server:
        grading = Grading(course, one, server, aside)
        told = next_hint(course, one, grading.progress, grading.regrade)
    say(screen.hint(told, one, state.colour))
    return 0


@grader.command()
@exercise_argument
@plain
@click.pass_obj
def reset(state: State, exercise: str) -> int:
    """The stub again; your file is kept beside it, with the time in its name.

    \b
    Example:
      grader reset attention
    """
    course = the_course()
    from grader.verbs.reset import reset as do_reset

    for line in do_reset(course, course.find(exercise)):
        say(line)
    return 0


@grader.command()
@exercise_argument
@click.option("--spoil", is_flag=True, help="Show it before the exercise is passed.")
@plain
@click.pass_obj
def solution(state: State, exercise: str, spoil: bool) -> int:
    """The solution, once passed, and two or three other ways to write it.

    \b
    Example:
      grader solution attention
      grader solution attention --spoil
    """
    course = the_course()
    one = course.find(exercise)
    from grader.shell import screen
    from grader.system.progress import Progress
    from grader.verbs.solution import solution as find_solution

    say(screen.solution(find_solution(course, one, Progress(course, aside), spoil), one, state.colour))
    return 0


@grader.command("run")
@exercise_argument
@click.argument("name", required=False)
@click.option("--quick", is_flag=True, help="Smaller: ends within two minutes and still shows the effect.")
@click.option("--solution", "use_solution", is_flag=True, help="Run it on the author's solution instead of your file.")
@click.option("--mine", is_flag=True, help="With your own passed parts of other exercises.")
@plain
@click.pass_obj
def run_command(state: State, exercise: str, name: str | None, quick: bool, use_solution: bool, mine: bool) -> int:
    """An exercise's experiment, on your file, once its public checks pass.

    Asks for a guess first (Enter skips). The results lie in runs/EXERCISE/NAME/
    afterwards; a run that was interrupted goes on where it stopped.

    \b
    Example:
      grader run attention
      grader run attention against_torch --quick
    """
    course = the_course()
    one = course.find(exercise)
    from grader.verbs.check import Grading
    from grader.verbs.run import experiment_named, own_parts
    from grader.verbs.run import run as run_experiment

    name, _ = experiment_named(course, one, name)
    chosen, parts = None, []
    if mine or not use_solution:
        with worker_server(state) as server:
            if not use_solution:
                grading = Grading(course, one, server, aside, scope="public")
                chosen = grading.own()
                report = grading.grade(chosen)
                if report.status != "passed":
                    say(_show(state, grading, report, chosen))
                    aside("The experiment runs once the public checks pass.")
                    return 1
            parts = own_parts(course, one, name, server, say) if mine else []
    ask = _ask if sys.stdin.isatty() and sys.stdout.isatty() else None
    began = time.time()
    code = run_experiment(course, one, name, chosen, quick=quick, parts=parts, ask=ask)
    if code == 0 and chosen is not None and one.milestones:
        _judge_run(course, one, name, chosen, began)
    return code


def _judge_run(course: Course, exercise: Exercise, name: str | None, chosen: Chosen, began: float) -> None:
    """Milestones that a run of the learner's own reaches: a model that was just trained, a file written from memory."""
    from grader.system.host import Server
    from grader.verbs import milestone
    from grader.verbs.check import Grading, named_file
    from grader.verbs.run import RUNS

    runs = course.root / RUNS / exercise.name
    trained = [path for path in runs.rglob(milestone.WEIGHTS) if path.stat().st_mtime >= began]
    with Server() as server:
        grading = Grading(course, exercise, server, aside)
        said: list[str] = []
        if trained and milestone.rule_with(exercise, "checkpoint"):
            folder = max(trained, key=lambda path: path.stat().st_mtime).parent
            _, said = milestone.checkpoint(exercise, chosen.submission, folder, server, grading.progress)
        elif name == FROM_MEMORY:
            _, said = milestone.memory(
                exercise, lambda file: grading.grade(named_file(file)), runs / FROM_MEMORY, grading.progress
            )
    for line in said:
        say(line)


def _ask(question: str) -> str:
    from grader.shell import screen

    for line in screen.wrapped(question, ""):
        say(line)
    return click.prompt("Your guess (Enter skips)", default="", show_default=False)


@grader.command()
@plain
def doctor() -> int:
    """What is installed, what is missing, what holds here, and what to do.

    \b
    Example:
      grader doctor
    """
    from grader.verbs.doctor import doctor as examine

    return examine(say)


# ---------------------------------------------------------------- for authors


@grader.command()
@click.option("--check", "only_check", is_flag=True, help="Write nothing: exit with 1 when something would change.")
@plain
def build(only_check: bool) -> int:
    """Print exercises/ and tapes/ from solutions/.

    \b
    Example:
      grader build --check
    """
    from grader.verbs.build import build as print_course

    return print_course(the_course(), check=only_check, say=say)


@grader.command()
@exercises_argument
@click.option("--full", is_flag=True, help="Every mutant instead of a sample.")
@plain
def verify(exercises: tuple[str, ...], full: bool) -> int:
    """Prove the course: every claim about its exercises, with the evidence.

    \b
    Example:
      grader verify attention --full
    """
    from grader.verbs.verify import verify as prove

    return prove(the_course(), list(exercises), full=full, say=say)


@grader.command()
@click.argument("name")
@plain
def new(name: str) -> int:
    """Begin an exercise: its folder under solutions/, small but valid.

    \b
    Example:
      grader new layer_norm
    """
    from grader.verbs.new import new as begin

    for line in begin(the_course(), name):
        say(line)
    return 0


# ---------------------------------------------------------------- for instructors

instructors.add_to(grader)
