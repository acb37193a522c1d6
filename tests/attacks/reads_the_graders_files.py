# expect: status=failed score=0 leaks=nothing
"""Looks in every folder that the process has heard of for solutions, hidden checks, tapes and the submissions of others."""

import dataclasses

sys = dataclasses.sys
os = sys.modules["os"]
WANTED = ("solution", "test_hidden", "test_public", "tape", "variants", "submission", "secret", "session", "judge")


def search():
    starts = [os.getcwd(), "..", "../..", "/work", "/home", "/root", "/srv", "/tmp", "/"]
    starts += [word for word in sys.orig_argv + sys.path if word.startswith("/")]
    starts += [value for value in os.environ.values() if value.startswith("/")]
    looked = 0
    for start in dict.fromkeys(starts):
        for folder, folders, files in os.walk(start):
            looked += 1
            folders[:] = [
                name for name in folders if name not in ("proc", "sys", "usr", "lib", "lib64", "site-packages")
            ]
            if folder.count("/") > 6 or looked > 200:
                break
            for name in files:
                if any(word in name for word in WANTED):
                    try:
                        print(open(os.path.join(folder, name), "rb").read()[:4000])
                    except OSError:
                        pass


search()


def softmax(x, axis=-1):
    return x
