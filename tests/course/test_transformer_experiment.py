"""The run of `transformer`: interrupted and taken up again bit for bit, refused where it would mislead, from memory."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from grader.model.types import Cell, Submission
from grader.system.course import Course
from grader.verbs import milestone
from grader.verbs.check import Chosen
from grader.verbs.run import run
from lab import launch, plots, runs
from lab.corpora import made_up
from lab.experiment import CannotRun, Context, Refused
from lab.ladder import SHAKESPEARE, rungs
from lab.training import Checkpoint, Live, draw_losses

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

ROOT = Path(__file__).resolve().parents[2]
FOLDER = next((ROOT / "solutions").glob("ex*_transformer"))
FILE = FOLDER / "transformer.py"
KEPT = ["config.json", "loss.png", "losses.csv", "model.safetensors", "numbers.json", "samples.txt"]


@pytest.fixture(scope="module")
def experiment():
    launch.experiments(FOLDER)
    return sys.modules["experiment"]


@pytest.fixture(scope="module")
def module():
    return launch.load(FILE, "transformer_solution")


@pytest.fixture(scope="module")
def tiny(experiment):
    """A run of a second, with everything in it that the real one has."""
    small = {"n_layers": 2, "n_heads": 2, "d_model": 16, "context": 16, "batch": 4, "max_lr": 1e-2, "sample": 20}
    return replace(experiment.CLASSIC, **small, steps=90, warmup=10, evaluate_every=20, evaluate_on=320, save_every=7)


@pytest.fixture(scope="module")
def corpus():
    return made_up(6000)


@pytest.fixture(scope="module")
def whole(experiment, module, tiny, corpus, tmp_path_factory):
    """A run that nobody interrupted: its folder, its result and what it said."""
    folder, said = tmp_path_factory.mktemp("whole"), io.StringIO()
    result = experiment.train(module, corpus, tiny, folder, Live(said))
    return folder, result, said.getvalue()


def same_run(one, other):
    """Whether two runs are one, bit for bit; what holds seconds is left out."""
    equal = ("config.json", "losses.csv", "model.safetensors", "samples.txt")
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in equal)


# ---------------------------------------------------------------------------------------------- the run


def test_classic_is_the_published_configuration(experiment):
    classic = experiment.CLASSIC

    assert (classic.n_layers, classic.n_heads, classic.d_model, classic.context) == (4, 4, 128, 64)
    assert (classic.batch, classic.steps, classic.warmup) == (12, 2000, 100)
    assert (classic.max_lr, classic.min_lr, classic.betas) == (1e-3, 1e-4, (0.9, 0.99))
    assert (classic.weight_decay, classic.max_norm) == (0.1, 1.0)
    assert next(iter(experiment.EXPERIMENTS)) == "classic"
    assert experiment.QUICK.steps <= classic.steps / 4


def test_the_model_of_classic_has_the_published_number_of_parameters(experiment, module):
    classic = experiment.CLASSIC
    model = module.TransformerLM(65, classic.context, classic.n_layers, classic.n_heads, classic.d_model)

    assert experiment.parameters(model) == 809_856


def test_it_learns_and_leaves_its_results(whole, tiny, corpus):
    folder, result, said = whole
    numbers = json.loads((folder / "numbers.json").read_text())
    losses = [line.split(",") for line in (folder / "losses.csv").read_text().splitlines()]

    assert sorted(path.name for path in folder.iterdir()) == KEPT
    assert [path.name for path in result.files] == [
        "model.safetensors",
        "config.json",
        "numbers.json",
        "losses.csv",
        "samples.txt",
        "loss.png",
    ]
    assert [int(step) for step, _ in losses] == list(range(90))
    assert [step for step, _ in numbers["validation"]] == [0, 20, 40, 60, 80]
    assert numbers["loss"] == result.numbers["loss"] < 3.5 < numbers["validation"][0][1]
    assert f"{numbers['loss']:.3f} over the whole validation part of the made-up text" in result.finding
    assert "→" in result.table
    assert "entropy rate" in result.table
    assert result.table.startswith("    | ")
    assert re.search(r"First loss \d\.\d{3}; knowing nothing costs ln \d+ = \d\.\d{3}: as it should be\.", said)
    assert re.search(r"step 20  validation \d\.\d{3}  0:\d\d left\n    \| ", said)


def test_what_is_kept_is_the_trained_model(whole, module, tiny, corpus, experiment):
    folder, result, _ = whole
    config = json.loads((folder / "config.json").read_text())
    shape = {key: config[key] for key in ("vocab_size", "context", "n_layers", "n_heads", "d_model")}

    model = module.TransformerLM(**shape)
    model.load_state_dict(safetensors.load_file(folder / "model.safetensors"))

    ids = torch.tensor([config["vocab"].index(letter) for letter in corpus.validation])
    assert config["vocab"] == "".join(sorted(set(corpus.text)))
    assert module.estimate_loss(model, ids, config["context"]) == result.numbers["loss"]


def test_every_letter_becomes_its_place_in_the_sorted_alphabet(experiment):
    vocab, ids = experiment.as_ids("Zähne\n𝄞a")

    assert vocab == "\nZaehnä𝄞"
    assert "".join(vocab[i] for i in ids) == "Zähne\n𝄞a"


def test_other_seeds_make_other_runs(experiment, module, tiny, corpus, whole, tmp_path):
    short = replace(tiny, steps=3)
    losses = []
    for seed in (1, 1, 2):
        experiment.train(module, corpus, replace(short, seed=seed), tmp_path, Live(io.StringIO()))
        losses.append((tmp_path / "losses.csv").read_text())

    assert losses[0] == losses[1] != losses[2]


# ---------------------------------------------------------------------------------------------- interrupted


DRIVER = """
import dataclasses, json, sys
from pathlib import Path
from lab import launch
from lab.corpora import made_up
from lab.training import Live

folder, file, out, settings = sys.argv[1:]
launch.experiments(Path(folder))
experiment = sys.modules["experiment"]
module = launch.load(Path(file), "transformer_solution")
given = json.loads(settings)
given["betas"] = tuple(given["betas"])
experiment.train(module, made_up(6000), experiment.Settings(**given), Path(out), Live())
"""


def steps_kept(checkpoint):
    """How many steps the checkpoint has; 0 where there is none yet."""
    if not checkpoint.exists():
        return 0
    with safetensors.safe_open(checkpoint, "pt") as file:
        return json.loads(file.metadata()["run"])["story"]["step"]


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_killed_twice_it_ends_bit_for_bit_like_a_run_that_nobody_interrupted(
    experiment, module, tiny, corpus, tmp_path
):
    long = replace(tiny, steps=400, evaluate_every=30)
    there, out = tmp_path / "there", tmp_path / "cut"
    there.mkdir()
    out.mkdir()
    experiment.train(module, corpus, long, there, Live(io.StringIO()))
    command = [sys.executable, "-c", DRIVER, FOLDER, FILE, out, json.dumps(experiment.asdict(long))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    said = []

    for until in (50, 170):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, encoding="utf-8")
        while steps_kept(out / "checkpoint.safetensors") < until and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        said.append(process.communicate()[1])
        assert process.returncode == -signal.SIGKILL
        assert not (out / "model.safetensors").exists()
    end = io.StringIO()
    experiment.train(module, corpus, long, out, Live(end))

    assert re.search(r"^Going on after step \d+ of 400\.$", said[1], re.MULTILINE)
    going_on = re.search(r"^Going on after step (\d+) of 400\.$", end.getvalue(), re.MULTILINE)
    assert 170 <= int(going_on[1]) < 400
    assert same_run(there, out)
    assert sorted(path.name for path in out.iterdir()) == KEPT


class Stop(Exception):
    """Stands for a process that ends here."""


def stopped(experiment, module, settings, corpus, folder, monkeypatch, after):
    """Run until so many steps are done, then be gone."""
    step, done = module.train_step, []

    def counting(*args):
        done.append(1)
        if len(done) > after:
            raise Stop
        return step(*args)

    with monkeypatch.context() as patch:
        patch.setattr(module, "train_step", counting)
        with pytest.raises(Stop):
            experiment.train(module, corpus, settings, folder, Live(io.StringIO()))


def test_a_run_that_was_cut_after_its_last_step_only_has_to_be_finished(
    experiment, module, tiny, corpus, whole, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "keep", lambda *args: (_ for _ in ()).throw(Stop))
        with pytest.raises(Stop):
            experiment.train(module, corpus, tiny, tmp_path, Live(io.StringIO()))
    monkeypatch.setattr(module, "train_step", None)  # no step is left to do

    experiment.train(module, corpus, tiny, tmp_path, Live(io.StringIO()))

    assert same_run(whole[0], tmp_path)


@pytest.mark.parametrize("change", ["settings", "code", "text"])
def test_a_checkpoint_of_another_run_is_not_taken_up(experiment, module, tiny, corpus, tmp_path, monkeypatch, change):
    stopped(experiment, module, tiny, corpus, tmp_path, monkeypatch, 20)
    said = io.StringIO()
    if change == "settings":
        tiny = replace(tiny, seed=5)
    elif change == "code":
        monkeypatch.setattr(experiment, "source_of", lambda module: "another")
    else:
        corpus = replace(corpus, text=corpus.text[1:])

    experiment.train(module, corpus, replace(tiny, steps=90), tmp_path, Live(said))

    assert "is of other code or settings; this run begins anew" in said.getvalue()
    assert len((tmp_path / "losses.csv").read_text().splitlines()) == 90


@pytest.mark.parametrize("damage", ["cut short", "empty", "no header", "not ours"])
def test_a_damaged_checkpoint_is_not_taken_up(experiment, module, tiny, corpus, whole, tmp_path, monkeypatch, damage):
    stopped(experiment, module, tiny, corpus, tmp_path, monkeypatch, 20)
    file = tmp_path / "checkpoint.safetensors"
    data = file.read_bytes()
    file.write_bytes(
        {
            "cut short": data[:-1],
            "empty": b"",
            "no header": data[8:],
            "not ours": safetensors.save({"a": torch.zeros(1)}),
        }[damage]
    )

    experiment.train(module, corpus, tiny, tmp_path, Live(io.StringIO()))

    assert same_run(whole[0], tmp_path)


def test_what_a_killed_process_had_half_written_is_cleared_away(
    experiment, module, tiny, corpus, whole, tmp_path, monkeypatch
):
    stopped(experiment, module, tiny, corpus, tmp_path, monkeypatch, 30)
    (tmp_path / ".checkpoint.safetensors.x1y2").write_bytes(b"half")

    experiment.train(module, corpus, tiny, tmp_path, Live(io.StringIO()))

    assert sorted(path.name for path in tmp_path.iterdir()) == KEPT
    assert same_run(whole[0], tmp_path)


def test_a_checkpoint_holds_every_kind_of_state(tmp_path):
    """Shared weights, buffers, float64 state, tensors without axes, numbers, tuples, and the random state."""

    def made():
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Embedding(5, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 5, bias=False)
        )
        model[2].weight = model[0].weight
        decays, rest = [model[0].weight], list(model[1].parameters())
        optimizer = torch.optim.AdamW([{"params": decays}, {"params": rest, "lr": 0.5}], lr=0.1, betas=(0.8, 0.9))
        return model, optimizer

    def step(model, optimizer):
        optimizer.zero_grad()
        model(torch.randint(5, (7,))).square().mean().backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] /= 2

    model, optimizer = made()
    step(model, optimizer)
    optimizer.state[model[0].weight] |= {"count": 3, "exact": torch.tensor(1 / 3, dtype=torch.float64)}
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", {"betas": (1, 2)})
    checkpoint.save(model, optimizer, {"step": 1})
    step(model, optimizer)

    again, its_optimizer = made()
    story = checkpoint.load(again, its_optimizer)
    state = dict(its_optimizer.state[again[0].weight])
    step(again, its_optimizer)

    assert story == {"step": 1}
    assert (state["count"], state["exact"].dtype, state["step"].shape) == (3, torch.float64, ())
    assert its_optimizer.param_groups[0]["betas"] == (0.8, 0.9)
    assert [group["lr"] for group in its_optimizer.param_groups] == [0.025, 0.5]
    assert again[2].weight is again[0].weight
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_quick_run_ends_in_time_on_a_slow_machine_too(experiment, module, tiny, corpus, tmp_path, monkeypatch):
    now = [0.0]
    step = module.train_step
    monkeypatch.setattr(time, "monotonic", lambda: now.append(now[-1] + 1.0) or now[-1])
    monkeypatch.setattr(module, "train_step", lambda *args: now.append(now[-1] + 5.0) or step(*args))
    said = io.StringIO()

    result = experiment.train(module, corpus, replace(tiny, at_most_seconds=60), tmp_path, Live(said))

    assert re.search(r"Time is up after \d+ of 90 steps", said.getvalue())
    assert 5 <= result.numbers["steps"] < 20
    assert f"your transformer, {result.numbers['steps']} steps" in result.table
    assert experiment.QUICK.at_most_seconds <= 90
    assert experiment.CLASSIC.at_most_seconds is None


# ---------------------------------------------------------------------------------------------- refused


@pytest.fixture
def leaking(tmp_path):
    source = FILE.read_text(encoding="utf-8")
    assert source.count("is_causal=True") == 1
    file = tmp_path / "transformer.py"
    file.write_text(source.replace("is_causal=True", "is_causal=False"), encoding="utf-8")
    return launch.load(file, "leaking")


def test_a_model_that_looks_ahead_is_not_trained(experiment, leaking, tiny, corpus, tmp_path):
    with pytest.raises(Refused, match="`looks_ahead` says that it looks ahead"):
        experiment.train(leaking, corpus, tiny, tmp_path / "run", Live(io.StringIO()))

    assert not (tmp_path / "run").exists()


def test_first_weights_that_know_too_much_are_remarked_on(experiment):
    assert experiment.first_loss(4.2, 65).endswith("ln 65 = 4.174: as it should be.")
    assert experiment.first_loss(40.1, 65).endswith("it should be near: look at `init_weights`.")


def test_a_loss_that_is_no_number_ends_the_run(experiment, module, tiny, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "train_step", lambda *args: float("nan"))

    with pytest.raises(Refused, match="loss of step 0 is nan"):
        experiment.train(module, corpus, tiny, tmp_path, Live(io.StringIO()))


def test_the_launcher_says_why_it_refused_and_ends_with_1(tmp_path, capsys):
    tmp_path.joinpath("experiment.py").write_text(
        "from lab.experiment import Experiment, Refused\n"
        "def run(context):\n    raise Refused('It looks ahead.')\n"
        "EXPERIMENTS = {'one': Experiment('one', 'One', '', run)}\n"
    )

    assert launch.main([str(tmp_path), str(tmp_path / "experiment.py"), "one", str(tmp_path / "out")]) == 1

    assert capsys.readouterr().err == "It looks ahead.\n"


def test_without_pytorch_or_safetensors_it_says_how_to_get_them(experiment, module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)

    with pytest.raises(CannotRun, match=r"pip install torch --index-url .*/cpu\n.*pip install safetensors"):
        experiment.EXPERIMENTS["classic"].run(Context(module, tmp_path, False, None))


# ---------------------------------------------------------------------------------------------- as one runs it


@pytest.mark.parametrize("quick", [False, True])
def test_it_writes_into_the_folder_that_it_is_given(
    experiment, module, tiny, corpus, tmp_path, monkeypatch, capsys, quick
):
    monkeypatch.setattr(experiment, "tiny_shakespeare", lambda: replace(corpus, note="It is made up."))
    monkeypatch.setattr(experiment, "QUICK" if quick else "CLASSIC", replace(tiny, steps=2))

    result = experiment.EXPERIMENTS["classic"].run(Context(module, tmp_path / "out", quick, None))

    assert {path.parent for path in result.files} == {tmp_path / "out"}
    assert "It is made up." in capsys.readouterr().err
    assert "your transformer, 2 steps" in result.table


def test_two_runs_do_not_work_in_one_folder(tmp_path):
    with runs.alone(tmp_path), pytest.raises(CannotRun, match="Another run is at work"), runs.alone(tmp_path):
        pass
    with runs.alone(tmp_path):
        pass


@pytest.mark.skipif(os.name == "nt", reason="a process there does not learn that its parent is gone")
def test_a_run_ends_with_the_process_that_started_it(tmp_path):
    tmp_path.joinpath("experiment.py").write_text(
        "import time\nfrom lab.experiment import Experiment\n"
        "def run(context):\n    print('begun', flush=True)\n    time.sleep(60)\n"
        "EXPERIMENTS = {'one': Experiment('one', 'One', '', run)}\n"
    )
    launcher = [sys.executable, "-m", "lab.launch", tmp_path, tmp_path / "experiment.py", "one", tmp_path / "out"]
    starts_it = f"import subprocess; subprocess.run({[*map(str, launcher)]!r})"
    parent = subprocess.Popen([sys.executable, "-c", starts_it], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "begun\n"

    parent.kill()

    parent.communicate(timeout=30)  # returns once nobody holds the pipe any more, and the child did


# ---------------------------------------------------------------------------------------------- what one sees


class Screen(io.StringIO):
    """A stream that somebody watches."""

    def isatty(self):
        return True


def test_a_watched_run_draws_one_line_over_itself(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    screen = Screen()
    live = Live(screen)
    live.begin(2000, 1000)
    for done in (1001, 1100, 1101):
        now[0] = (done - 1000) * 0.1
        live.step(done, "loss 2.000")
    live.say("stays")

    lines = screen.getvalue().split("\r")
    assert lines[1] == "step 1,100 of 2,000  loss 2.000  1:30 left"
    assert [line.strip() for line in lines[2:]] == ["", "stays"]


def test_where_nobody_watches_only_lines_that_stay_are_written():
    stream = io.StringIO()
    live = Live(stream)
    live.begin(10, 0)
    live.step(5, "loss 2.000")
    live.say("stays")

    assert stream.getvalue() == "stays\n"


def test_the_losses_as_a_plot_and_without_matplotlib_as_a_chart(tmp_path, monkeypatch):
    train, validation = [4.0 - 0.02 * i for i in range(100)], [[0, 4.2], [50, 3.1], [100, 2.1]]

    if plots.available():
        made = draw_losses(tmp_path / "loss.png", "A title", "and more", train, validation, SHAKESPEARE)
        assert made.read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(plots, "available", lambda: False)
    made = draw_losses(tmp_path / "loss.png", "A title", "and more", train, validation, SHAKESPEARE)

    chart = made.read_text().splitlines()
    assert made.name == "loss.txt"
    assert len(chart) == 2 + 3 + len(SHAKESPEARE)
    assert chart[4].split() == ["100", "steps", "#" * 24, "2.10"]
    assert max(len(line) for line in chart) <= 80


def test_a_run_of_few_steps_can_be_drawn(tmp_path):
    made = draw_losses(tmp_path / "loss.png", "A title", "", [4.0], [[0, 4.2], [1, 4.1]], rungs(made_up(2000)))

    assert made.exists()


# ---------------------------------------------------------------------------------------------- from memory


@pytest.fixture
def from_memory(experiment, module, tmp_path, monkeypatch):
    """Run it; the current folder is the one that holds `runs`."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "transformer" / "from_memory"

    def run():
        return experiment.EXPERIMENTS["from_memory"].run(Context(module, folder, False, None))

    run.folder, run.file = folder, folder / "transformer.py"
    return run


def test_an_empty_file_and_a_clock(from_memory):
    result = from_memory()

    names = {line.strip() for line in from_memory.file.read_text().splitlines()}
    assert result.finding == "the clock is running."
    assert "generate(model, ids, n_new, temperature=1.0, top_k=None, seed=0)" in names
    assert "grader check transformer --submission runs/transformer/from_memory/transformer.py" in result.table
    assert "Milestone  grader run transformer from_memory   (up to your last save" in result.table
    launch.load(from_memory.file, "empty")  # nothing but the list


def test_the_list_is_what_the_solution_defines(experiment, module):
    listed = re.findall(r"^    (\w+)(\(.*\))$", experiment.EMPTY_FILE, re.MULTILINE)

    assert all(hasattr(module, name) for name, _ in listed)
    for name, written in listed:
        parameters = inspect.signature(getattr(module, name)).parameters.values()
        said = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
        assert written.replace("1e-8", "1e-08") == f"({', '.join(said)})"


def test_the_list_begins_with_what_the_milestone_asks_for(experiment):
    course = Course(ROOT)
    exercise = course.find("transformer")
    (steps,) = [rule.from_memory for rule in exercise.milestones if rule.from_memory]
    needed = {name.split(".")[0] for step in exercise.steps if step.name in steps for name in step.functions}

    first, rest, _ = experiment.EMPTY_FILE.partition("And for the rest")
    assert rest
    assert set(re.findall(r"^    (\w+)\(.*\)$", first, re.MULTILINE)) == needed - {"Attention", "choose_next"}
    assert milestone.MEMORY_MINUTES == 60
    assert "within an hour" in first


def test_the_list_has_every_name_that_the_checks_ask_for(experiment):
    asked = set()
    for file in FOLDER.glob("test_*.py"):
        asked |= set(re.findall(r"\b(?:student|reference|submission)\.(\w+)\(", file.read_text(encoding="utf-8")))

    listed = set(re.findall(r"^    (\w+)\(.*\)$", experiment.EMPTY_FILE, re.MULTILINE))
    assert asked - {"with_inputs_after"} <= listed


def test_while_nothing_is_written_it_says_how_long_it_has_run(from_memory):
    from_memory()
    started(from_memory, minutes_ago=7)

    assert from_memory().finding == "nothing is written yet, 7 min after the start."


def started(from_memory, minutes_ago):
    clock = from_memory.folder / "clock.json"
    clock.write_text(json.dumps({"started": time.time() - 60 * minutes_ago}))


def test_run_again_it_says_how_long_it_took_and_leaves_the_file_alone(from_memory):
    from_memory()
    started(from_memory, minutes_ago=120)
    from_memory.file.write_text("class Block: ...\n")
    saved = time.time() - 60 * 55
    os.utime(from_memory.file, (saved, saved))

    assert from_memory().finding == "1 h 05 min from the start to your last save."
    assert from_memory.file.read_text() == "class Block: ...\n"


@pytest.mark.parametrize("clock", ["gone", "damaged"])
def test_a_file_without_a_clock_is_kept_under_another_name(from_memory, clock):
    from_memory()
    for text in ("first", "second"):
        from_memory.file.write_text(text)
        if clock == "gone":
            (from_memory.folder / "clock.json").unlink()
        else:
            (from_memory.folder / "clock.json").write_text("{")
        result = from_memory()

    assert result.table.startswith("A file was there already; it is now runs/transformer/from_memory/transformer-2.py.")
    assert from_memory.file.with_name("transformer-1.py").read_text() == "first"
    assert from_memory.file.with_name("transformer-2.py").read_text() == "second"
    assert "it has to define" in from_memory.file.read_text()


@pytest.fixture
def solved(tmp_path):
    """A course of this one exercise, and the solution's text."""
    shutil.copytree(FOLDER, tmp_path / "solutions" / FOLDER.name)
    return Course(tmp_path), FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("other", [{}, {"quick": True}, {"solution": True}], ids=["itself", "quick", "on the solution"])
def test_there_is_one_clock_and_no_run_takes_the_written_file_for_its_own(solved, other, monkeypatch, capfd):
    """A notebook's cells are written into a file, which once took this one's place."""
    course, solution = solved
    monkeypatch.chdir(course.root)
    exercise = course.find("transformer")
    notebook = Submission("transformer.ipynb", (Cell(solution),))
    chosen = Chosen(notebook, notebook.name, course.root / notebook.name)
    file = course.root / "runs" / "transformer" / "from_memory" / "transformer.py"
    assert run(course, exercise, "from_memory", chosen) == 0
    clock = file.with_name("clock.json").read_text()
    file.write_text("class Block: ...\n")

    code = run(course, exercise, "from_memory", None if "solution" in other else chosen, quick="quick" in other)

    said = capfd.readouterr().out
    assert code == 0
    assert file.read_text() == "class Block: ...\n"
    assert file.with_name("clock.json").read_text() == clock
    assert [path.parent.name for path in file.parent.rglob("clock.json")] == ["from_memory"]
    assert "0 min from the start to your last save." in said
    assert said.count(f"--submission {file}\n") == 2
