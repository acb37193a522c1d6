"""A grader without defences, of the kind that is written in an afternoon: it proves that the attacks here are attacks.

It never grades anybody. `test_attacks.py` gives it each attack, and the attack must get a mark out of it, make it tell a
secret, draw on its screen, flood it, or bring it to a stop. What fails at that is no attack and has no place here.

    front    a process that holds the key of the course, starts the process below, waits, and believes what it finds:
             a pickled result on a descriptor, else `report.json`, else the last line of the output that is JSON, else
             the exit status
    checks   a process that runs the submission's file and the checks in one namespace of modules, compares what is
             returned as it is, and writes down what is right (of public checks only) and what was returned, printed and raised

Nothing in it is stupid on purpose: each line has been seen in graders in use. The limits set in `front` are there for the
computer on which the tests run; when one is hit, the grader has been brought to a stop.
"""

from __future__ import annotations

import ast
import difflib
import json
import os
import pickle
import socket
import subprocess
import sys
import threading

FULL = 10
KEY = "KEY-OF-THE-COURSE"  # in the environment with something secret behind it
FUNCTIONS = ("softmax", "attention_weights", "causal_mask", "why_scale")
BOOT = "import sys; sys.path.append(sys.argv[1]); import defenceless; defenceless.run_checks(int(sys.argv[2]))"


# ---------------------------------------------------------------- the front


def grade(folder: str) -> dict:
    """The verdict on `attention.py` in the folder, which holds the grader's own files too."""
    _let_anybody_look()
    key = os.environ[KEY]
    _serve(key)
    source = open(os.path.join(folder, "attention.py")).read()
    untouched = ast.dump(ast.parse(source)) == ast.dump(ast.parse("# nothing yet"))
    result, output = _run(folder, key)
    if result["score"] == 0 and "died by a signal" in output:
        result, output = _run(folder, key)  # the machine may have been short of memory
    score = 0 if untouched else result["score"]
    return {"score": score, "output": output + "\n".join(map(str, result.get("lines", ())))}


def _run(folder: str, key: str) -> tuple[dict, str]:
    reading, writing = os.pipe()
    if os.path.exists(os.path.join(folder, "conftest.py")):
        with open(os.path.join(folder, "test_naive.py"), "w") as checks:
            checks.write("from attention import softmax\n\n\ndef test_softmax():\n    assert softmax([3.0]) == [1.0]\n")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_naive.py"]
    else:
        command = [sys.executable, "-c", BOOT, os.path.dirname(os.path.abspath(__file__)), str(writing), "--key", key]
    environment = dict(os.environ, PYTHONPATH=folder, PYTHONDONTWRITEBYTECODE="1", GRADER_RESULTS=str(writing))
    process = subprocess.Popen(
        command, cwd=folder, env=environment, pass_fds=[writing], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    os.close(writing)
    output = process.stdout.read().decode(errors="replace")
    with open(reading, "rb") as results:
        sent = pickle.load(results) if results.peek(1) else None
    status = process.wait()
    output += "died by a signal" if status < 0 else ""
    return sent or _written(folder, output, status), output


def _written(folder: str, output: str, status: int) -> dict:
    report = os.path.join(folder, "report.json")
    if os.path.exists(report):
        return json.load(open(report))
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    return {"score": FULL if status == 0 else 0}


def _serve(key: str) -> None:
    """A service for the grading machine itself, on its own loopback: nothing else reaches it."""
    listener = socket.create_server(("127.0.0.1", 0))
    os.environ["GRADER_SERVICE"] = str(listener.getsockname()[1])

    def answer() -> None:
        while True:
            listener.accept()[0].sendall(key.encode())

    threading.Thread(target=answer, daemon=True).start()


def _let_anybody_look() -> None:
    """Some kernels let a process look at its children only; older ones do not, and the attack is then an attack."""
    import ctypes
    import resource

    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1 & (2**64 - 1)), 0, 0, 0)  # PR_SET_PTRACER, any
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


# ---------------------------------------------------------------- the checks, beside the submission


def same(got, expected) -> bool:
    """Whether an answer is right."""
    import numpy

    if numpy.all(got == expected):
        return True
    return not numpy.any(numpy.abs(numpy.asarray(got) - expected) > 1e-6)


def run_checks(descriptor: int) -> None:
    """Run the submission and every check on it, public and hidden ones by turns, as they came to mind."""
    import numpy

    numpy.random.seed(int.from_bytes(os.urandom(4), "big"))
    student = _load()
    results = {"score": 0, "lines": [], "details": []}
    for name, check in _checks(numpy):
        hidden = name.startswith("hidden")
        if hidden and not results.get("again"):
            results["again"] = True
            student = _load()  # nothing that the public checks left behind shall matter
        try:
            asked, got, expected = check(student)
            results["details"].append(got)
            if same(got, expected):
                results["score"] += FULL / 8
            else:
                right = "" if hidden else f"{asked} is {expected}, and not "
                results["lines"].append(f"{name}: {right}{got!r}")
        except Exception as error:
            results["lines"].append(f"{name}: {error!r} {_trace(error)} last answer {results['details'][-1:]!r}")
    with open("report.json", "w") as report:
        json.dump({"score": results["score"], "lines": results["lines"]}, report)
    try:
        os.write(descriptor, pickle.dumps(results))
    except (TypeError, AttributeError, pickle.PicklingError):
        pass


def _load() -> dict:
    namespace = {"__name__": "attention", "__file__": os.path.abspath("attention.py")}
    exec(compile(open("attention.py").read(), "attention.py", "exec"), namespace)
    return namespace


def _trace(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error))


def _function(student: dict, name: str):
    if name not in student:
        names = [key for key in student if callable(student[key])]
        raise AttributeError(f"no {name}; did you mean {difflib.get_close_matches(name, names)}?")
    return student[name]


def _checks(numpy):
    """(name, check) one after the other; a check returns what was asked, the answer, and what is right."""
    inputs = {"public": numpy.array([[0.0, 1.0, 2.0]]), "hidden": None}

    def of_softmax(which):
        def check(student):
            x = inputs[which] if which == "public" else numpy.random.standard_normal((4, 5))
            _tell(which, x)
            got = _function(student, "softmax")(x)
            expected = _right().softmax(x)
            _tell(which, expected)
            return f"softmax({x})", got, expected

        return check

    def of_weights(which):
        def check(student):
            q, k = numpy.random.standard_normal((2, 3, 4))
            _tell(which, q)
            got = _function(student, "attention_weights")(q, k)
            expected = _right().attention_weights(q, k)
            assert isinstance(got, numpy.ndarray), f"an array was expected, not {type(got).__name__}"
            return f"attention_weights({q}, {k})", got, expected

        return check

    def of_mask(which):
        def check(student):
            got = _function(student, "causal_mask")(3, 5)
            expected = _right().causal_mask(3, 5)
            right = all(bool(mine) == bool(theirs) for mine, theirs in zip(list(got)[0], expected[0], strict=True))
            return "causal_mask(3, 5)", right, True

        return check

    def of_refusal(student):
        try:
            got = _function(student, "attention_weights")(
                numpy.ones((2, 3)), numpy.ones((4, 3)), numpy.ones((2, 4), int)
            )
        except TypeError:
            return "an integer mask", True, True
        return "an integer mask", got, "a TypeError"

    def of_why(student):
        why = _function(student, "why_scale")()["variance"]
        import pytest

        return "why_scale()", why == pytest.approx(64.0), True

    return [
        ("public: softmax", of_softmax("public")),
        ("hidden: softmax", of_softmax("hidden")),
        ("public: weights", of_weights("public")),
        ("hidden: weights", of_weights("hidden")),
        ("public: causal mask", of_mask("public")),
        ("hidden: causal mask", of_mask("hidden")),
        ("hidden: refusal", of_refusal),
        ("public: why", of_why),
    ]


def _right():
    import solution

    return solution


def _tell(which: str, array) -> None:
    """Writes to a file of the test what is secret, so that the test finds it in what came out."""
    if which == "hidden":
        with open(os.environ["SECRETS"], "a") as secrets:
            secrets.write(json.dumps([float(number) for row in array for number in row]) + "\n")


if __name__ == "__main__":
    part = sys.argv[2] + ".part"
    with open(part, "w") as verdict:
        json.dump(grade(sys.argv[1]), verdict)
    os.replace(part, sys.argv[2])  # who is killed while writing has given no verdict
